//! Scores of the options of multiple-choice questions after prompts that have been read: prompts x options in the id.

use criterion::{criterion_group, criterion_main, BenchmarkId, Criterion, Throughput};
use probity::generate::Session;
use probity::task::ChoiceTask;

fn option_scoring(criterion: &mut Criterion) {
    let model = probity_benches::model();
    let failed = |error: probity::Error| -> ! { panic!("{error}") };
    let task = ChoiceTask::load(probity_benches::QUESTIONS).unwrap_or_else(|error| failed(error));
    let tokens = |text: &String| model.tokenizer().encode_rendered(text).unwrap_or_else(|error| failed(error));
    let prompts = probity_benches::prompts(&model, 16);
    let options: Vec<Vec<Vec<u32>>> =
        task.items().iter().take(16).map(|item| item.options.iter().map(tokens).collect()).collect();
    let mut group = criterion.benchmark_group("option_scoring");
    group.sample_size(10);
    for batch in [1, 16] {
        let prompts: Vec<&[u32]> = prompts.iter().take(batch).map(Vec::as_slice).collect();
        let mut session = Session::new(&model);
        session.read(&prompts).unwrap_or_else(|error| failed(error));
        let scored = options[..batch].iter().map(Vec::len).sum::<usize>();
        group.throughput(Throughput::Elements(scored as u64));
        group.bench_function(BenchmarkId::from_parameter(format!("{batch}x{}", scored / batch)), |bencher| {
            bencher.iter(|| session.score(&options[..batch]).unwrap_or_else(|error| failed(error)));
        });
    }
    group.finish();
}

criterion_group!(benches, option_scoring);
criterion_main!(benches);
