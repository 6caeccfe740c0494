//! Loading the bench's model, with its tokeniser and chat template, from a file that the system has read before: precision
//! in the id.

use criterion::{criterion_group, criterion_main, BenchmarkId, Criterion};
use probity::model::{LoadOptions, Precision};

fn load_model(criterion: &mut Criterion) {
    let path = probity_benches::model_path();
    let mut group = criterion.benchmark_group("load_model");
    group.sample_size(10);
    for precision in [Precision::F32, Precision::Bf16] {
        let options = LoadOptions::default().precision(precision);
        group.bench_function(BenchmarkId::from_parameter(precision.name()), |bencher| {
            bencher.iter(|| options.load(&path).unwrap_or_else(|error| panic!("{error}")));
        });
    }
    group.finish();
}

criterion_group!(benches, load_model);
criterion_main!(benches);
