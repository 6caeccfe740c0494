//! One logistic probe at one address, rows x width in the id.

use criterion::{criterion_group, criterion_main, BatchSize, BenchmarkId, Criterion};
use probity::probe::{Estimator, LogisticProbe, Training};

fn probe_fit(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("probe_fit");
    group.sample_size(10);
    for (n, d) in [(1_000, 576), (10_000, 576), (2_000, 4_096), (10_000, 4_096)] {
        let (states, labels) = probity_benches::states(n, d, 7);
        let training = Training::new("bench", states.view(), labels).unwrap_or_else(|error| panic!("{error}"));
        group.bench_function(BenchmarkId::from_parameter(format!("{n}x{d}")), |bencher| {
            let fit = |training| LogisticProbe::default().fit(training).unwrap_or_else(|error| panic!("{error}"));
            bencher.iter_batched(|| training.clone(), fit, BatchSize::PerIteration);
        });
    }
    group.finish();
}

criterion_group!(benches, probe_fit);
criterion_main!(benches);
