//! From activations to what may be said of them: 1,000 items in 6 rounds at 30 layers x 3 sites of width 576, in five
//! metrics, with three nulls of 1,000 directions, 2,000 resamples and 2,000 sign flips; every item is its own group, which is
//! the most to resample. Prints the peak of resident memory, activations included.

use criterion::{criterion_group, criterion_main, Criterion};
use ndarray::{Array2, Axis};
use probity::capture::Activations;
use probity::hook::{Address, Site};
use probity::level::{Inference, Levels, Metric, Transitions};
use probity::probe::{LogisticProbe, ProbeBank};
use probity::stats::Settings;
use probity::text::Labels;
use probity::{Condition, Design, Result};

const ITEMS: usize = 1_000;
const ROUNDS: usize = 6;
const LAYERS: usize = 30;
const WIDTH: usize = 576;

fn places() -> Vec<Address> {
    let sites = [Site::ResidPost, Site::AttnOut, Site::MlpOut];
    sites.iter().flat_map(|site| (0..LAYERS).map(move |layer| site.at(layer))).collect()
}

/// Probes on 200 texts, and the items' states: those of round 0 with a little added in every later round.
fn world() -> Result<(ProbeBank, Vec<Activations>)> {
    let mut training = Activations::new((0..200).map(|row| format!("t{row}")));
    let ids = || (0..ITEMS).map(|item| format!("i{item}"));
    let mut rounds: Vec<Activations> = (0..ROUNDS).map(|_| Activations::new(ids())).collect();
    let mut labels = Vec::new();
    for (number, place) in places().into_iter().enumerate() {
        let (all, immoral) = probity_benches::states(200 + ITEMS, WIDTH, number as u64);
        let (texts, items) = all.view().split_at(Axis(0), 200);
        training.insert(place, texts.to_owned())?;
        // One set of labels: the first address has a probe that works, the others what chance gives.
        if labels.is_empty() {
            labels = immoral[..200].to_vec();
        }
        for (round, states) in rounds.iter_mut().enumerate() {
            let moved = |((row, column), &value): ((usize, usize), &f32)| {
                value + 0.02 * round as f32 * ((row * 7 + column * 3 + round) % 11) as f32
            };
            let values: Vec<f32> = items.indexed_iter().map(moved).collect();
            let values = Array2::from_shape_vec((ITEMS, WIDTH), values).unwrap_or_default();
            states.insert(place, values)?;
        }
    }
    Ok((LogisticProbe::default().draws(100).fit_all(&training, &Labels::ungrouped(labels))?, rounds))
}

fn analyse(bank: &ProbeBank, states: &[Activations]) -> Result<usize> {
    let later = (1..states.len()).map(|round| Condition::new("L1", round));
    let design = Design::new([Condition::plain()].into_iter().chain(later))?;
    let levels = Levels::score(&design, &states.iter().collect::<Vec<_>>(), bank)?;
    let tests = Inference::default().run(&levels)?;
    // All of the work, or the time says nothing: 5 rounds against the first, in every place and metric, with all nulls.
    let nulls: usize = tests.rows.iter().flat_map(|row| &row.nulls).map(|null| null.draws).sum();
    let places = LAYERS * 3;
    let of_round = (ROUNDS - 1) * places;
    assert_eq!(
        (tests.rows.len(), tests.groups, tests.settings.draws, tests.settings.flips),
        (of_round * 5, ITEMS, 2_000, 2_000)
    );
    assert_eq!(nulls, of_round * 2 * 3 * 1_000, "cosine and dot, three kinds of directions");
    let transitions = Transitions::default().find(&levels, Settings::default(), Metric::ClassDistance)?;
    Ok(tests.rows.len() + transitions.len())
}

/// Peak of resident memory in GiB, where the system tells (Linux).
fn peak_memory() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok()? / 1024.0 / 1024.0)
}

fn levels_inference(criterion: &mut Criterion) {
    let (bank, states) = world().unwrap_or_else(|error| panic!("{error}"));
    let mut group = criterion.benchmark_group("levels_inference");
    group.sample_size(10);
    group.bench_function("1000 items x 6 rounds x 90 addresses", |bencher| {
        bencher.iter(|| analyse(&bank, &states).unwrap_or_else(|error| panic!("{error}")));
    });
    group.finish();
    if let Some(peak) = peak_memory() {
        println!("levels_inference: peak of resident memory {peak:.2} GiB, activations included");
    }
}

criterion_group!(benches, levels_inference);
criterion_main!(benches);
