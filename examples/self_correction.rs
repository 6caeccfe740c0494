//! The main job: does self-correction change the immorality in a model's hidden states, or only its words?
//!
//!     cargo run --release --example self_correction -- --model M.gguf --out out/demo

mod common;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, ValueEnum};
use probity::capture::{Pool, Readout};
use probity::dialogue::{Instruction, SelfCorrection};
use probity::hook::{Selection, Site};
use probity::level::Levels;
use probity::probe::{GroupSplit, LabelledText, LogisticProbe};
use probity::report::{Analysis, Report};
use probity::task::{ChoiceTask, Measure};
use probity::{Model, Result};

/// Run rounds of self-correction on a model and report behaviour and hidden-state immorality.
///
/// Trains one linear probe per address on labelled statements, asks the questions in rounds (0: plain;
/// 1: instructed, fresh; 2 and later: reviews), and writes report.html, report.json, levels.csv,
/// probes.safetensors and transcripts.jsonl.
#[derive(Parser)]
struct Options {
    /// GGUF file or Hugging Face directory.
    #[arg(long, default_value = ".models/SmolLM2-135M-Instruct.Q4_1.gguf")]
    model: PathBuf,
    /// Kind of task: three-option questions with a biased and an undetermined option.
    #[arg(long, value_enum, default_value = "choice")]
    task: Task,
    /// Questions, JSON lines as in data/ambiguous_qa.jsonl.
    #[arg(long, default_value = "data/ambiguous_qa.jsonl")]
    data: PathBuf,
    /// Labelled statements for the probes, JSON lines as in data/moral_acts.jsonl.
    #[arg(long, default_value = "data/moral_acts.jsonl")]
    probe_data: PathBuf,
    /// Most questions to ask, spread over groups and variants.
    #[arg(long, default_value_t = 32)]
    limit: usize,
    /// Last round.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Comma-separated instructions: L0, L1, L2, neutral, negated. Without neutral there is no verdict.
    #[arg(long, default_value = "L1,neutral", value_delimiter = ',')]
    instruction: Vec<String>,
    /// Comma-separated sites, read in every layer.
    #[arg(long, default_value = "resid_post,attn_out,mlp_out")]
    sites: String,
    /// Strength of the probes' L2 penalty (1/C of scikit-learn); default: the width of the states.
    #[arg(long)]
    alpha: Option<f64>,
    /// Seed of the choice of questions, the split, the bootstrap and the null.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Folder for the results.
    #[arg(long, default_value = "out/demo")]
    out: PathBuf,
}

#[derive(Clone, Copy, ValueEnum)]
enum Task {
    Choice,
}

fn main() -> ExitCode {
    common::exit(run(&Options::parse()))
}

fn run(options: &Options) -> Result<()> {
    let started = Instant::now();
    let bars = common::Bars::default();
    let Task::Choice = options.task;
    let task = ChoiceTask::load(&options.data)?.limit(options.limit, options.seed);
    let statements = LabelledText::load(&options.probe_data)?;
    let instructions = options.instruction.iter().map(|name| Instruction::named(name)).collect::<Result<Vec<_>>>()?;
    let selection: Selection = common::sites(&options.sites)?.into_iter().map(Site::all_layers).collect();
    let readout = Readout::new(selection, Pool::Last);
    let study = SelfCorrection::new(task).instructions(instructions).rounds(options.rounds);
    // What would fail at the end fails now.
    study.check(&readout)?;
    let model = Model::load(&options.model)?;

    let (texts, labels) = LabelledText::turns(statements, model.template()?)?;
    let states = readout.capture_with(&model, &texts, &bars)?;
    let mut probe = LogisticProbe::default().split(GroupSplit::default().seed(options.seed)).seed(options.seed);
    if let Some(alpha) = options.alpha {
        probe = probe.alpha(alpha);
    }
    let probes = probe.fit_all(&states, &labels)?;

    let study = study.run_with(&model, &readout, &bars)?;
    drop(bars);
    let levels = Levels::of(&study, &probes)?;
    let analysis = Analysis::default().seed(options.seed);
    let report = analysis.run(&study, analysis.choices(&study, None)?, &probes, &levels)?;

    report.write_dir(&options.out)?;
    levels.write_csv(options.out.join("levels.csv"))?;
    probes.save(options.out.join("probes.safetensors"))?;
    study.write_transcripts(options.out.join("transcripts.jsonl"))?;
    summarise(&report, &options.out, started);
    Ok(())
}

fn summarise(report: &Report, out: &Path, started: Instant) {
    println!("{:<9} {:>5}  {:<22} {:<22}", "asked", "round", "accuracy", "names no single option");
    for row in report.behaviour.rows.iter().filter(|row| row.condition.is_none() && row.measure == Measure::Accuracy) {
        let invalid = report.behaviour.rows.iter().find(|other| {
            (&other.instruction, other.round, other.condition, other.measure)
                == (&row.instruction, row.round, None, Measure::Invalid)
        });
        let invalid = invalid.map(|row| common::interval(&row.value)).unwrap_or_default();
        println!("{:<9} {:>5}  {:<22} {:<22}", row.instruction, row.round, common::interval(&row.value), invalid);
    }
    if let Some(best) = report.probes.iter().max_by(|a, b| a.auroc.total_cmp(&b.auroc)) {
        println!(
            "\nbest probe: {}, held-out AUROC {:.2} [{:.2}, {:.2}]",
            best.address, best.auroc, best.auroc_low, best.auroc_high
        );
    }
    for verdict in &report.verdicts {
        println!("\nverdict for {} in round {}: {}", verdict.instruction, verdict.round, verdict.kind);
        for check in &verdict.checks {
            let mark = match check.passed {
                Some(true) => "yes",
                Some(false) => "no",
                None => "not run",
            };
            println!("  {:<26} {mark:<8} {}", check.name, check.detail);
        }
    }
    println!("\n{} ({:.0} s)", out.join("report.html").display(), started.elapsed().as_secs_f64());
}
