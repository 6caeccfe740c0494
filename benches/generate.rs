//! Greedy answers to prompts of unlike length, reading included: batch and new tokens in the id.

use criterion::{criterion_group, criterion_main, BenchmarkId, Criterion, Throughput};
use probity::generate::{Decoding, Session};

const TOKENS: usize = 32;

fn generate(criterion: &mut Criterion) {
    let model = probity_benches::model();
    let failed = |error: probity::Error| -> ! { panic!("{error}") };
    let prompts = probity_benches::prompts(&model, 32);
    // Nothing ends an answer but its length, so that every run does the same work.
    let decoding = Decoding::new(TOKENS).stop_tokens([]);
    let mut group = criterion.benchmark_group("generate");
    group.sample_size(10);
    for batch in [1, 8, 32] {
        let prompts: Vec<&[u32]> = prompts.iter().take(batch).map(Vec::as_slice).collect();
        group.throughput(Throughput::Elements((batch * TOKENS) as u64));
        group.bench_function(BenchmarkId::from_parameter(format!("{batch}x{TOKENS}")), |bencher| {
            bencher.iter(|| {
                let mut session = Session::new(&model);
                session.read(&prompts).unwrap_or_else(|error| failed(error));
                session.generate(&decoding).unwrap_or_else(|error| failed(error))
            });
        });
    }
    group.finish();
}

criterion_group!(benches, generate);
criterion_main!(benches);
