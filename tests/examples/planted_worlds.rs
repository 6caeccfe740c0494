//! How often the verdict is right where the truth is known.
//!
//! Draws every world of the grid, then a sweep of the true change, and writes how often each verdict is said, how often
//! intervals cover and tests claim.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use common::programs::end;
use common::worlds::{asked, control, grid, Plan, Truth, Where, World};
use indicatif::{ProgressBar, ProgressStyle};
use probity::hook::Address;
use probity::level::{Against, Inference, Metric, Transitions, VerdictKind};
use probity::stats::Settings;
use probity::Result;
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
    /// Only worlds whose name holds this; those of the sweep are called `sweep`.
    #[arg(long)]
    only: Option<String>,
    /// Leaves out the sweep of the true change.
    #[arg(long)]
    no_sweep: bool,
    /// Where to write the tables in Markdown; standard output if left out.
    #[arg(long)]
    out: Option<PathBuf>,
}

/// What was found in one world.
struct Found {
    kind: VerdictKind,
    auroc: f64,
    /// Whether D's interval holds the true change, and whether it lies above or below.
    covered: Option<[bool; 3]>,
    /// Whether the bands at the prompt hold the true change of every layer.
    bands: bool,
    /// p-value at one layer of the prompt, and the least max-T p-value over all.
    p: [f64; 2],
    /// Whether the run of layers begins within one layer of the truth.
    near: bool,
}

const KINDS: [VerdictKind; 5] = [
    VerdictKind::Internal,
    VerdictKind::Superficial,
    VerdictKind::SomeChange,
    VerdictKind::LessHarm,
    VerdictKind::InsufficientEvidence,
];

fn look(plan: Plan, seed: u64) -> Result<Found> {
    let world = World::draw(plan, seed)?;
    let settings = Settings::default().seed(seed).draws(1_000).flips(1_000);
    let verdict = world.verdict(settings)?;
    let covered = plan.change().zip(verdict.decisive()).map(|(truth, change)| {
        let (low, high) = (change.interval.low, change.interval.high);
        [low <= truth && truth <= high, truth > high, truth < low]
    });
    let prompts = world.prompts();
    let tests = Inference::new(settings).run(prompts)?;
    let rows: Vec<_> = tests
        .rows
        .iter()
        .filter(|row| row.metric == Metric::ClassDistance && row.against == Against::Control)
        .collect();
    let truth = |address: Address| match address.layer() {
        Some(layer) if layer >= world.onset => -plan.prompt + -plan.control_raises,
        _ => 0.0,
    };
    let found = Transitions::default().find(prompts, settings, Metric::ClassDistance)?;
    let run = found.iter().find(|found| found.against == Against::Control).and_then(|found| found.run.address);
    let off = run.and_then(|address| address.layer()).map(|layer| layer as i64 - world.onset as i64);
    Ok(Found {
        kind: verdict.kind,
        auroc: world.auroc,
        covered,
        bands: rows.iter().all(|row| row.band.low <= truth(row.address) && truth(row.address) <= row.band.high),
        p: [rows.get(rows.len() / 2).map_or(1.0, |row| row.p), rows.iter().map(|row| row.p_max_t).fold(1.0, f64::min)],
        near: off.is_some_and(|off| off.abs() <= 1),
    })
}

fn share(count: usize, of: usize) -> String {
    format!("{:.1} %", 100.0 * count as f64 / of.max(1) as f64)
}

fn count(found: &[Found], is: impl Fn(&Found) -> bool) -> String {
    share(found.iter().filter(|found| is(found)).count(), found.len())
}

/// Largest distance between the shares of these p-values and uniform ones (Kolmogorov).
fn distance_from_uniform(mut p: Vec<f64>) -> f64 {
    p.sort_by(f64::total_cmp);
    let n = p.len() as f64;
    p.iter().enumerate().map(|(i, p)| (p - i as f64 / n).max((i + 1) as f64 / n - p)).fold(0.0, f64::max)
}

fn truth_name(truth: Truth) -> &'static str {
    match truth {
        Truth::Superficial => "superficial",
        Truth::Internal => "internal",
        Truth::Part => "in part",
        Truth::NoGain => "nothing positive",
    }
}

/// Verdicts that would be wrong.
fn wrong(truth: Truth, kind: VerdictKind) -> bool {
    match kind {
        VerdictKind::Internal => truth != Truth::Internal && truth != Truth::Part,
        VerdictKind::Superficial => truth != Truth::Superficial,
        _ => false,
    }
}

fn row(text: &mut String, plan: &Plan, found: &[Found]) {
    let kinds = KINDS.map(|kind| count(found, |found| found.kind == kind)).join(" | ");
    let auroc = found.iter().map(|found| found.auroc).sum::<f64>() / found.len().max(1) as f64;
    let covered: Vec<[bool; 3]> = found.iter().filter_map(|found| found.covered).collect();
    let of = |which: usize| share(covered.iter().filter(|covered| covered[which]).count(), covered.len());
    let covered = if covered.is_empty() { "-".to_owned() } else { format!("{} ({} / {})", of(0), of(1), of(2)) };
    let wrong = count(found, |found| wrong(plan.truth, found.kind));
    let _ =
        writeln!(text, "| {} | {} | {auroc:.2} | {kinds} | {wrong} | {covered} |", plan.name, truth_name(plan.truth));
}

const HEADER: &str =
    "| world | truth | AUROC | internal | superficial | some change | less harm | insufficient | wrong | D \
                      covers (truth above / below) |\n|---|---|---|---|---|---|---|---|---|---|\n";

fn draw(plan: Plan, args: &Args, bar: &ProgressBar) -> Result<Vec<Found>> {
    let one = |draw: u64| {
        let found = look(plan, args.seed + draw);
        bar.inc(1);
        found
    };
    (0..args.draws).into_par_iter().map(one).collect()
}

/// The true change against the probability of each verdict, by width and AUROC.
fn sweep() -> Vec<Plan> {
    let mut plans = Vec::new();
    for (d, distances) in [(256, [1.4, 2.1]), (2_048, [2.2, 3.2])] {
        for distance in distances {
            for share in [0.0, 0.1, 0.25, 0.5, 1.0] {
                let plan = Plan { d, distance, ..Plan::new("sweep").internal(share, Where::All) };
                plans.push(if share == 0.0 { Plan { truth: Truth::Superficial, ..plan } } else { plan });
            }
        }
    }
    plans
}

fn run(args: &Args) -> Result<String> {
    let began = Instant::now();
    let named = |plan: &Plan| args.only.as_ref().is_none_or(|only| plan.name.contains(only));
    let grid: Vec<Plan> = grid().into_iter().filter(named).collect();
    let sweep: Vec<Plan> = if args.no_sweep { Vec::new() } else { sweep().into_iter().filter(named).collect() };
    let bar = ProgressBar::new((grid.len() + sweep.len()) as u64 * args.draws);
    if let Ok(style) = ProgressStyle::with_template("worlds {bar:40} {pos}/{len} {elapsed} (left {eta})") {
        bar.set_style(style);
    }
    let mut verdicts = HEADER.to_owned();
    let mut bands = "| world | bands cover all layers (95 %) | some layer by max-T at 5 % | run within 1 layer |\n|---|---|---|---|\n"
        .to_owned();
    let mut uniform = String::new();
    for plan in grid {
        let found = draw(plan, args, &bar)?;
        row(&mut verdicts, &plan, &found);
        let _ = writeln!(
            bands,
            "| {} | {} | {} | {} |",
            plan.name,
            count(&found, |found| found.bands),
            count(&found, |found| found.p[1] <= 0.05),
            if plan.prompt > 0.0 && plan.place == Where::FromMiddle {
                count(&found, |found| found.near)
            } else {
                "-".to_owned()
            }
        );
        if plan.name == "nothing changes" {
            let of = |which: usize| distance_from_uniform(found.iter().map(|found| found.p[which]).collect());
            let bound = 1.36 / (found.len() as f64).sqrt();
            let _ = writeln!(
                uniform,
                "\nWhere nothing changes, the largest distance of the p-values' distribution from the uniform one is {:.3} for \
                 one layer and {:.3} for the least max-T p-value; Kolmogorov's 5 % bound is {bound:.3}.",
                of(0),
                of(1)
            );
        }
    }
    let mut swept = "| d | AUROC | true change | internal | superficial | some change | insufficient | D covers |\n|---|---|---|---|---|---|---|---|\n"
        .to_owned();
    for plan in &sweep {
        let found = draw(*plan, args, &bar)?;
        let auroc = found.iter().map(|found| found.auroc).sum::<f64>() / found.len().max(1) as f64;
        let of = |kind| count(&found, |found| found.kind == kind);
        let _ = writeln!(
            swept,
            "| {} | {auroc:.2} | {:.2} | {} | {} | {} | {} | {} |",
            plan.d,
            plan.conversation,
            of(VerdictKind::Internal),
            of(VerdictKind::Superficial),
            of(VerdictKind::SomeChange),
            of(VerdictKind::InsufficientEvidence),
            count(&found, |found| found.covered.is_some_and(|covered| covered[0]))
        );
    }
    bar.finish();
    let text = format!(
        "{verdicts}\n{bands}{uniform}\n{swept}\n{} draws a world, seeds from {}, {:.0} s; {} minus {} throughout.\n",
        args.draws,
        args.seed,
        began.elapsed().as_secs_f64(),
        asked(),
        control()
    );
    Ok(text)
}

fn main() -> ExitCode {
    let args = Args::parse();
    end(run(&args), args.out.as_deref())
}
