//! How often the inference is right where the truth is known.
//!
//! Draws worlds in which behaviour and states change, only behaviour changes, states change only through the instruction's
//! own tokens, or nothing changes, and writes how often each is named right, how often intervals cover and tests claim.

mod common;
#[path = "common/worlds.rs"]
mod worlds;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use common::{exit, Bars};
use probity::level::{Inference, Metric, Transitions, VerdictKind, VerdictRule};
use probity::{Progress, Result};
use rayon::prelude::*;
use worlds::{Size, Truth, World, SIZES};

#[derive(Parser)]
#[command(about = "How often verdicts, tests and intervals are right in worlds whose truth is known.")]
struct Args {
    /// Worlds drawn of each kind.
    #[arg(long, default_value_t = 200)]
    draws: u64,
    /// Seed of the first world.
    #[arg(long, default_value_t = 0)]
    seed: u64,
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
    /// Least max-T p-value over the layers.
    least_p: f64,
    /// p-value of one layer alone, in the middle.
    p: f64,
    /// Whether the band holds the true change of every layer.
    covered: bool,
    /// Layers from the true onset.
    run_off_by: Option<i64>,
    step_off_by: i64,
    found_run: bool,
}

fn look(truth: Truth, size: Size, seed: u64) -> Result<Outcome> {
    let world = World::draw(truth, size, seed)?;
    let verdict = VerdictRule::default().seed(seed).judge_masked(
        &world.levels,
        &world.masked,
        &world.bank,
        "L2",
        Some(world.behaviour),
    )?;
    let named = match (verdict.kind, verdict.leak.is_some_and(|leak| leak.is_leak())) {
        (VerdictKind::Internal, _) => "internal",
        (VerdictKind::Superficial, true) => "leak",
        (VerdictKind::Superficial, false) => "superficial",
        (VerdictKind::InsufficientEvidence, _) => "insufficient evidence",
    };
    let inference = Inference::default().seed(seed);
    let tests = inference.run(&world.levels)?;
    let rows: Vec<_> = tests.rows.iter().filter(|row| row.metric == Metric::Standardised).collect();
    let covered = rows.iter().zip(&world.change).all(|(row, truth)| row.band.low <= *truth && *truth <= row.band.high);
    let found = Transitions::default().find(&world.levels, &inference, Metric::Standardised)?;
    let layer = |address: Option<probity::hook::Address>| address.and_then(|address| address.layer());
    let off = |layer: usize| layer as i64 - world.onset as i64;
    let run = found.first().and_then(|found| layer(found.run.address));
    let step = found.first().and_then(|found| layer(found.step.address)).unwrap_or_default();
    Ok(Outcome {
        named,
        least_p: rows.iter().map(|row| row.p_max_t).fold(1.0, f64::min),
        p: rows.get(rows.len() / 2).map_or(1.0, |row| row.p),
        covered,
        run_off_by: run.map(off),
        step_off_by: off(step),
        found_run: run.is_some(),
    })
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
         through the sizes d x layers {} in turn. The states are made by `examples/common/worlds.rs`; everything else is \
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
    text.push_str(
        "\n\"leak\" is the verdict superficial with a leak score above one half. Where nothing changes, insufficient \
         evidence is right, since there is no gain in behaviour to explain.\n\n## Tests and intervals\n\n| truth | band \
         covers all layers (95 %) | some layer by max-T at 5 % | run of 3 found | run within 1 layer | step within 1 layer \
         |\n|---|---|---|---|---|---|\n",
    );
    for (truth, outcomes) in found {
        let n = outcomes.len();
        let count = |is: &dyn Fn(&Outcome) -> bool| share(outcomes.iter().filter(|outcome| is(outcome)).count(), n);
        let changes = matches!(truth, Truth::Internal | Truth::Leak);
        let near = |is: &dyn Fn(&Outcome) -> bool| if changes { count(is) } else { "-".to_owned() };
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} |",
            truth.name(),
            count(&|outcome| outcome.covered),
            count(&|outcome| outcome.least_p <= 0.05),
            count(&|outcome| outcome.found_run),
            near(&|outcome| outcome.run_off_by.is_some_and(|off| off.abs() <= 1)),
            near(&|outcome| outcome.step_off_by.abs() <= 1),
        );
    }
    if let Some(outcomes) = found.get(&Truth::Null) {
        let bound = 1.36 / (outcomes.len() as f64).sqrt();
        let distance = |of: fn(&Outcome) -> f64| distance_from_uniform(outcomes.iter().map(of).collect());
        let _ = writeln!(
            text,
            "\nWhere nothing changes, the largest distance of the p-values' distribution from the uniform one is {:.3} for \
             one layer and {:.3} for the least max-T p-value of all layers; Kolmogorov's 5 % bound is {bound:.3}.",
            distance(|outcome| outcome.p),
            distance(|outcome| outcome.least_p),
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
    let bars = Bars::default();
    let began = Instant::now();
    bars.begin("worlds", 4 * args.draws);
    let mut found: BTreeMap<Truth, Vec<Outcome>> = BTreeMap::new();
    for truth in Truth::ALL {
        let outcomes: Result<Vec<Outcome>> = (0..args.draws)
            .into_par_iter()
            .map(|draw| {
                let size = SIZES[args.size.unwrap_or(draw as usize) % SIZES.len()];
                let outcome = look(truth, size, args.seed + 4 * draw + truth as u64);
                bars.advance(1);
                outcome
            })
            .collect();
        found.insert(truth, outcomes?);
    }
    let text = table(&found, args, began.elapsed().as_secs_f64());
    match &args.out {
        Some(path) => std::fs::write(path, text).map_err(|source| probity::Error::Io { path: path.clone(), source }),
        None => {
            print!("{text}");
            Ok(())
        }
    }
}

fn main() -> ExitCode {
    exit(run(&Args::parse()))
}
