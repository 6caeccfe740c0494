//! How often the inference is right where the truth is known.
//!
//! Draws worlds in which behaviour and states change, only behaviour changes, states change only through the instruction's
//! own tokens, or nothing changes, and writes how often each is named right, how often intervals cover and tests claim.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use common::worlds::{Size, Truth, World, SIZES};
use indicatif::{ProgressBar, ProgressStyle};
use ndarray::Array2;
use probity::hook::Address;
use probity::level::{Levels, Metric, Transitions, VerdictKind, VerdictRule};
use probity::stats::{ClusterBootstrap, ClusteredMeans, Settings, SignFlips};
use probity::{Condition, Result};
use rayon::prelude::*;

#[derive(Parser)]
#[command(about = "How often verdicts, tests and intervals are right in worlds whose truth is known.")]
struct Args {
    /// Worlds drawn of each kind.
    #[arg(long, default_value_t = 200)]
    draws: u64,
    /// Seed of the first world.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// How often the items of each world are drawn anew, to count bands and max-T tests more often than worlds.
    #[arg(long, default_value_t = 9)]
    again: u64,
    /// Only the size with this number, counted from 0; all in turn if left out.
    #[arg(long)]
    size: Option<usize>,
    /// Where to write the table in Markdown; standard output if left out.
    #[arg(long)]
    out: Option<PathBuf>,
}

/// What was found in one world.
struct Outcome {
    named: &'static str,
    /// Tests of the world's items, then of others.
    tests: Vec<Tests>,
    /// Layers from the true onset.
    run_off_by: Option<i64>,
    step_off_by: i64,
    found_run: bool,
}

/// What bands and tests say of the items of a world.
struct Tests {
    size: Size,
    /// Least max-T p-value over the layers.
    least_p: f64,
    /// p-value of one layer alone, in the middle.
    p: f64,
    /// Whether the band holds the true change of every layer.
    covered: bool,
}

/// Bands and sign flips of `Inference` alone, without the nulls, which take most of its time.
fn tests(levels: &Levels, change: &[f64], size: Size, seed: u64) -> Result<Tests> {
    let series =
        |name: &str, at: Address| levels.series(&Condition::new(name, 1), at, Metric::Standardised).unwrap_or_default();
    let mut changes = Array2::zeros((levels.items().len(), levels.addresses().len()));
    for (mut column, &at) in changes.columns_mut().into_iter().zip(levels.addresses()) {
        let sides = series("L2", at).iter().zip(series("neutral", at));
        column.iter_mut().zip(sides).for_each(|(change, (after, before))| *change = after - before);
    }
    let means = ClusteredMeans::new(changes.view(), levels.groups())?;
    let columns: Vec<usize> = (0..means.columns()).collect();
    let bands = ClusterBootstrap::new(levels.groups(), 2_000, seed)?.studentised(&means)?.bands(&columns, 0.95)?;
    let flips = SignFlips::new(means.clusters(), 2_000, seed)?.test(&means)?;
    Ok(Tests {
        size,
        least_p: flips.single_step.iter().copied().fold(1.0, f64::min),
        p: flips.p.get(columns.len() / 2).copied().unwrap_or(1.0),
        covered: bands.intervals.iter().zip(change).all(|(band, truth)| band.low <= *truth && *truth <= band.high),
    })
}

fn look(truth: Truth, size: Size, seed: u64, again: u64) -> Result<Outcome> {
    let world = World::draw(truth, size, seed)?;
    let (settings, asked) = (Settings::default().seed(seed), Condition::new("L2", 1));
    let verdict =
        VerdictRule::new(settings).judge(&asked, &world.levels, Some(&world.masked), Some(world.behaviour))?;
    let named = match (verdict.kind, verdict.leak.is_some_and(|leak| leak.is_leak())) {
        (VerdictKind::Internal, _) => "internal",
        (VerdictKind::Superficial, true) => "leak",
        (VerdictKind::Superficial, false) => "superficial",
        (VerdictKind::InsufficientEvidence, _) => "insufficient evidence",
    };
    let mut seen = vec![tests(&world.levels, &world.change, size, seed)?];
    for other in 0..again {
        let seed = seed * 1_000 + other;
        seen.push(tests(&world.other_items(seed)?, &world.change, size, seed)?);
    }
    let found = Transitions::default().find(&world.levels, settings, Metric::Standardised)?;
    let layer = |address: Option<Address>| address.and_then(|address| address.layer());
    let off = |layer: usize| layer as i64 - world.onset as i64;
    let run = found.first().and_then(|found| layer(found.run.address));
    let step = found.first().and_then(|found| layer(found.step.address)).unwrap_or_default();
    Ok(Outcome { named, tests: seen, run_off_by: run.map(off), step_off_by: off(step), found_run: run.is_some() })
}

fn share(count: usize, of: usize) -> String {
    format!("{:.1} %", 100.0 * count as f64 / of.max(1) as f64)
}

/// Largest distance between the shares of these p-values and uniform ones (Kolmogorov).
fn distance_from_uniform(mut p: Vec<f64>) -> f64 {
    p.sort_by(f64::total_cmp);
    let n = p.len() as f64;
    p.iter().enumerate().map(|(i, p)| (p - i as f64 / n).max((i + 1) as f64 / n - p)).fold(0.0, f64::max)
}

fn table(found: &BTreeMap<Truth, Vec<Outcome>>, args: &Args, seconds: f64) -> String {
    let mut text = String::from("# Operating characteristics\n\n");
    let sizes: Vec<String> = SIZES
        .iter()
        .map(|size| format!("{} x {} ({} items in {} groups)", size.d, size.layers, size.items, size.groups))
        .collect();
    let _ = writeln!(
        text,
        "How often verdicts, tests and intervals are right in worlds whose truth is known: {} draws of each kind, going \
         through the sizes d x layers {} in turn. The states are made by `tests/common/worlds.rs`; everything else is \
         the library with its defaults. Made in {seconds:.0} s by\n\n```sh\ncargo run --release --example planted_worlds \
         -- --draws {} --seed {} --out docs/results/operating-characteristics.md\n```\n",
        args.draws,
        sizes.join(", "),
        args.draws,
        args.seed
    );
    text.push_str(
        "## Verdicts\n\n| truth | internal | superficial | leak | insufficient evidence |\n|---|---|---|---|---|\n",
    );
    let names = ["internal", "superficial", "leak", "insufficient evidence"];
    for (truth, outcomes) in found {
        let count = |name: &str| share(outcomes.iter().filter(|outcome| outcome.named == name).count(), outcomes.len());
        let _ = writeln!(text, "| {} | {} |", truth.name(), names.map(count).join(" | "));
    }
    let sets = args.draws * (1 + args.again);
    let _ = writeln!(
        text,
        "\n\"leak\" is the verdict superficial with a leak score above one half. Where nothing changes, insufficient \
         evidence is right, since there is no gain in behaviour to explain.\n\n## Tests and intervals\n\nBands and max-T \
         tests are counted over {sets} sets of items of each truth: those of the worlds, and {} more of each world, with the \
         same probes. Shares of {sets} vary by {:.1} % (one standard deviation at 95 %); runs and steps are of the {} \
         worlds.\n\n| truth | band covers all layers (95 %) | some layer by max-T at 5 % | run of 3 found | run within 1 layer \
         | step within 1 layer |\n|---|---|---|---|---|---|",
        args.again,
        100.0 * (0.95_f64 * 0.05 / sets as f64).sqrt(),
        args.draws
    );
    for (truth, outcomes) in found {
        let n = outcomes.len();
        let count = |is: &dyn Fn(&Outcome) -> bool| share(outcomes.iter().filter(|outcome| is(outcome)).count(), n);
        let changes = matches!(truth, Truth::Internal | Truth::Leak);
        let tests: Vec<&Tests> = outcomes.iter().flat_map(|outcome| &outcome.tests).collect();
        let of_tests = |is: &dyn Fn(&Tests) -> bool| share(tests.iter().filter(|one| is(one)).count(), tests.len());
        let near = |is: &dyn Fn(&Outcome) -> bool| if changes { count(is) } else { "-".to_owned() };
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} |",
            truth.name(),
            of_tests(&|tests| tests.covered),
            of_tests(&|tests| tests.least_p <= 0.05),
            count(&|outcome| outcome.found_run),
            near(&|outcome| outcome.run_off_by.is_some_and(|off| off.abs() <= 1)),
            near(&|outcome| outcome.step_off_by.abs() <= 1),
        );
    }
    text.push_str(
        "\n| size | band covers all layers, any truth | some layer by max-T at 5 %, nothing changes |\n|---|---|---|\n",
    );
    let of_size = |truth: &Truth, size: Size| -> Vec<&Tests> {
        let outcomes = found.get(truth).into_iter().flatten();
        outcomes.flat_map(|outcome| &outcome.tests).filter(|tests| tests.size == size).collect()
    };
    for size in SIZES {
        let all: Vec<&Tests> = Truth::ALL.iter().flat_map(|truth| of_size(truth, size)).collect();
        let still = of_size(&Truth::Null, size);
        if all.is_empty() {
            continue;
        }
        let _ = writeln!(
            text,
            "| {} x {}, {} items in {} groups | {} of {} | {} of {} |",
            size.d,
            size.layers,
            size.items,
            size.groups,
            share(all.iter().filter(|tests| tests.covered).count(), all.len()),
            all.len(),
            share(still.iter().filter(|tests| tests.least_p <= 0.05).count(), still.len()),
            still.len()
        );
    }
    if let Some(outcomes) = found.get(&Truth::Null) {
        let tests: Vec<&Tests> = outcomes.iter().flat_map(|outcome| &outcome.tests).collect();
        let bound = 1.36 / (tests.len() as f64).sqrt();
        let distance = |of: fn(&Tests) -> f64| distance_from_uniform(tests.iter().map(|tests| of(tests)).collect());
        let _ = writeln!(
            text,
            "\nWhere nothing changes, the largest distance of the p-values' distribution from the uniform one is {:.3} for \
             one layer and {:.3} for the least max-T p-value of all layers; Kolmogorov's 5 % bound is {bound:.3}.",
            distance(|tests| tests.p),
            distance(|tests| tests.least_p),
        );
    }
    text.push_str(
        "\nIn the superficial world each instruction shifts all states in a direction of its own, and an imperfect probe \
         sees a little of that: the true change at a layer is small, not 0, and tests may find it. The verdict asks for \
         more: a reduction beyond random directions.\n",
    );
    text
}

fn run(args: &Args) -> Result<()> {
    let began = Instant::now();
    let bar = ProgressBar::new(4 * args.draws);
    if let Ok(style) = ProgressStyle::with_template("worlds {bar:40} {pos}/{len} {elapsed} (left {eta})") {
        bar.set_style(style);
    }
    let mut found: BTreeMap<Truth, Vec<Outcome>> = BTreeMap::new();
    for truth in Truth::ALL {
        let outcomes: Result<Vec<Outcome>> = (0..args.draws)
            .into_par_iter()
            .map(|draw| {
                let size = SIZES[args.size.unwrap_or(draw as usize) % SIZES.len()];
                let outcome = look(truth, size, args.seed + 4 * draw + truth as u64, args.again);
                bar.inc(1);
                outcome
            })
            .collect();
        found.insert(truth, outcomes?);
    }
    bar.finish();
    let text = table(&found, args, began.elapsed().as_secs_f64());
    match &args.out {
        Some(path) => std::fs::write(path, text).map_err(probity::Error::io("write", path)),
        None => {
            print!("{text}");
            Ok(())
        }
    }
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
