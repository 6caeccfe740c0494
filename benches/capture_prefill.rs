//! Reading hidden states of plain texts: all layers x 3 sites, last token, batch x tokens in the id.

use criterion::{criterion_group, criterion_main, BenchmarkId, Criterion, Throughput};
use probity::capture::{Pool, Readout};
use probity::hook::{Selection, Site};
use probity::text::Text;

fn capture_prefill(criterion: &mut Criterion) {
    let model = probity_benches::model();
    // Texts that begin unlike each other, so that nothing is shared.
    let words = [" river", " stone", " market", " window", " letter", " winter", " garden", " bridge"];
    let sites: Selection = [Site::ResidPost, Site::AttnOut, Site::MlpOut].map(Site::all_layers).into_iter().collect();
    let readout = Readout::new(sites, Pool::Last);
    let mut group = criterion.benchmark_group("capture_prefill");
    group.sample_size(10);
    for (batch, tokens) in [(1, 64), (8, 128), (4, 512)] {
        let text = |row: usize| words.iter().cycle().skip(row).take(tokens).copied().collect::<String>();
        let texts: Vec<Text> = (0..batch).map(|row| Text::new(row.to_string(), text(row))).collect();
        let counted: usize =
            texts.iter().map(|text| model.tokenizer().encode(&text.text).map_or(0, |encoded| encoded.ids.len())).sum();
        group.throughput(Throughput::Elements(counted as u64));
        group.bench_function(BenchmarkId::from_parameter(format!("{batch}x{tokens}")), |bencher| {
            bencher.iter(|| readout.capture(&model, &texts).unwrap_or_else(|error| panic!("{error}")));
        });
    }
    group.finish();
}

criterion_group!(benches, capture_prefill);
criterion_main!(benches);
