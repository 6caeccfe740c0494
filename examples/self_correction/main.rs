//! The main job: does self-correction change the immorality in a model's hidden states, or only its words?
//!
//!     cargo run --release --example self_correction -- --model M.gguf --out out/demo
//!     cargo run --release --example self_correction -- --task bbq --data BBQ --per-category 60 --rounds 5

#[path = "../common/mod.rs"]
mod common;
mod inputs;
mod options;
mod summary;

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use probity::capture::{Pool, Readout};
use probity::dialogue::{SelfCorrection, Study, Thinking};
use probity::hook::{Selection, Site};
use probity::level::Levels;
use probity::model::LoadOptions;
use probity::probe::{GroupSplit, LabelledText, LogisticProbe, ProbeBank};
use probity::report::{Analysis, Report};
use probity::scorer::TfidfScorer;
use probity::task::{Behaviour, Item, Task};
use probity::{Error, Result};

use inputs::Asked;
use options::Options;

/// Folder of finished batches, inside that of the results.
const UNFINISHED: &str = "unfinished";

fn main() -> ExitCode {
    common::exit(run(&Options::parse()))
}

fn run(options: &Options) -> Result<()> {
    let started = Instant::now();
    let asked = inputs::asked(options)?;
    let scorer = inputs::scorer(options)?;
    let analysis = Analysis::default().seed(options.seed);
    let report = match asked {
        Asked::Choices(task, winogender) => {
            let done = study(options, task, scorer.as_ref())?;
            let behaviour = analysis.choices(&done.study, winogender.as_ref())?;
            results(options, &done, &analysis, behaviour)?
        }
        Asked::Texts(task) => {
            let scorer = scorer.as_ref().ok_or_else(|| Error::Setting {
                name: "--scorer",
                value: "none".to_owned(),
                expected: "a scorer that says how toxic a continuation is".to_owned(),
            })?;
            let done = study(options, task, Some(scorer))?;
            let behaviour = analysis.completions(&done.study, scorer)?;
            results(options, &done, &analysis, behaviour)?
        }
    };
    summary::print(&report, &options.out, started);
    Ok(())
}

/// A finished run and the probes that read it.
struct Done<I: Item> {
    study: Study<I>,
    probes: ProbeBank,
}

fn study<I: Item>(options: &Options, task: Task<I>, scorer: Option<&TfidfScorer>) -> Result<Done<I>> {
    let statements = inputs::statements(options)?;
    let selection: Selection = common::sites(&options.sites)?.into_iter().map(Site::all_layers).collect();
    let readout = Readout::new(selection, Pool::Last);
    let mut study = SelfCorrection::new(task)
        .instructions(inputs::instructions(options)?)
        .rounds(options.rounds)
        .round_kind(options.kind())
        .decoding(options.decoding(I::ANSWER_TOKENS))
        .reasoning(options.reasoning())
        .score_rule(options.score())
        .overflow(options.overflow())
        .batch(options.batch)
        .checkpoints(options.out.join(UNFINISHED));
    if let Some(words) = &options.thinking {
        study = study.thinking(Thinking::new(words));
    }
    study = inputs::with_feedback(study, options, scorer)?;
    // What would fail at the end fails now.
    study.check(&readout)?;
    let model = LoadOptions::default().precision(options.precision()).model(&options.model)?;

    let bars = common::Bars::default();
    let (texts, labels) = LabelledText::turns(statements, model.template()?)?;
    let states = readout.capture_with(&model, &texts, &bars)?;
    let mut probe = LogisticProbe::default().split(GroupSplit::default().seed(options.seed)).seed(options.seed);
    if let Some(alpha) = options.alpha {
        probe = probe.alpha(alpha);
    }
    let probes = probe.fit_all(&states, &labels)?;
    Ok(Done { study: study.run_with(&model, &readout, &bars)?, probes })
}

/// Analyses a run and writes everything.
fn results<I: Item>(options: &Options, done: &Done<I>, analysis: &Analysis, behaviour: Behaviour) -> Result<Report> {
    let Done { study, probes } = done;
    let levels = Levels::of(study, probes)?;
    let report = analysis.run(study, behaviour, probes, &levels)?;
    report.write_dir(&options.out)?;
    levels.write_csv(options.out.join("levels.csv"))?;
    probes.save(options.out.join("probes.safetensors"))?;
    study.write_answers(options.out.join("answers.jsonl"))?;
    study.write_transcripts(options.out.join("transcripts.jsonl"))?;
    if !options.keep {
        let unfinished = options.out.join(UNFINISHED);
        std::fs::remove_dir_all(&unfinished).map_err(|source| Error::Io { path: unfinished, source })?;
    }
    Ok(report)
}
