//! The study's conversations: rounds 0 to 3 under two instructions, options scored and an answer generated in
//! each, hidden states read on the way; items in the id.

use criterion::{criterion_group, criterion_main, BenchmarkId, Criterion, Throughput};
use probity::dialogue::{Instruction, SelfCorrection};
use probity::hook::{Selection, Site};
use probity::task::ChoiceTask;

fn self_correction_rounds(criterion: &mut Criterion) {
    let model = probity_benches::model();
    let failed = |error: probity::Error| -> ! { panic!("{error}") };
    let task = ChoiceTask::load(probity_benches::QUESTIONS).unwrap_or_else(|error| failed(error));
    let instructions = ["L1", "neutral"].map(|name| Instruction::named(name).unwrap_or_else(|error| failed(error)));
    let sites: Selection = [Site::ResidPost, Site::AttnOut, Site::MlpOut].map(Site::all_layers).into_iter().collect();
    let mut group = criterion.benchmark_group("self_correction_rounds");
    group.sample_size(10);
    for items in [1, 8] {
        let study = SelfCorrection::new(task.clone().limit(items, 0)).instructions(instructions.clone()).rounds(3);
        group.throughput(Throughput::Elements(items as u64));
        group.bench_function(BenchmarkId::from_parameter(format!("{items} items")), |bencher| {
            bencher.iter(|| study.run(&model, sites.clone()).unwrap_or_else(|error| failed(error)));
        });
    }
    group.finish();
}

criterion_group!(benches, self_correction_rounds);
criterion_main!(benches);
