//! Choosing a strength, and control draws: rows x width x folds x strengths (x draws) in the id.

use criterion::{criterion_group, criterion_main, BatchSize, BenchmarkId, Criterion};
use probity::probe::{Estimator, LogisticProbe, Strengths, Training};

fn probe_sweep(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("probe_sweep");
    group.sample_size(10);
    for (n, d) in [(1_000, 576), (2_000, 4_096)] {
        let (states, labels) = probity_benches::states(n, d, 7);
        let training = Training::new("bench", states.view(), labels.clone()).unwrap_or_else(|error| panic!("{error}"));
        group.bench_function(BenchmarkId::from_parameter(format!("{n}x{d}x5x8")), |bencher| {
            let probe = LogisticProbe::default().strengths(Strengths::default().count(8));
            let fit = |training| probe.fit(training).unwrap_or_else(|error| panic!("{error}"));
            bencher.iter_batched(|| training.clone(), fit, BatchSize::PerIteration);
        });
        let draw = |by: usize| labels.iter().cycle().skip(by).take(n).copied().collect();
        let draws: Vec<Vec<bool>> = (1..=20).map(|number| draw(37 * number)).collect();
        group.bench_function(BenchmarkId::from_parameter(format!("{n}x{d}, 20 draws")), |bencher| {
            let fit = || LogisticProbe::default().fit_draws(&training, &draws);
            bencher.iter(|| fit().unwrap_or_else(|error| panic!("{error}")));
        });
    }
    group.finish();
}

criterion_group!(benches, probe_sweep);
criterion_main!(benches);
