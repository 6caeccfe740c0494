//! The main job: does self-correction change the immorality in a model's hidden states, or only its words?
//!
//!     cargo run --release --example self_correction -- --model M.gguf --out out/demo
//!     cargo run --release --example self_correction -- --task bbq --data BBQ --per-category 60 --rounds 5

#[path = "../common"]
mod common {
    pub mod bars;
    pub mod exit;
    pub mod interval;
}
mod inputs;
mod options;
mod summary;

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use common::{bars::Bars, exit::exit};
use probity::dialogue::{SelfCorrection, Thinking};
use probity::experiment::{Experiment, Plan, Sensitivity};
use probity::model::LoadOptions;
use probity::probe::LogisticProbe;
use probity::task::{Item, Task};
use probity::Result;

use inputs::Asked;
use options::Options;

/// Folder of finished batches, inside that of the results.
const UNFINISHED: &str = "unfinished";

fn main() -> ExitCode {
    let options = Options::parse();
    exit(match inputs::asked(&options) {
        Ok(Asked::Choices(task)) => study(&options, task),
        Ok(Asked::Texts(task)) => study(&options, task),
        Err(error) => Err(error),
    })
}

fn study<I: Item>(options: &Options, task: Task<I>) -> Result<()> {
    let started = Instant::now();
    let scorer = inputs::scorer(options)?;
    let mut protocol = SelfCorrection::new(task)
        .instructions(inputs::asked_for(options)?)
        .re_elicit(inputs::instructions(options, &options.re_elicit)?)
        .wordings_seed(options.seed)
        .rounds(options.rounds)
        .round_kind(options.kind)
        .decoding(options.decoding(I::ANSWER_TOKENS))
        .continuations(options.continuations)
        .reasoning(options.reasoning())
        .overflow(options.overflow())
        .batch(options.batch)
        .checkpoints(options.out.join(UNFINISHED));
    if let Some(rule) = options.score {
        protocol = protocol.score_rule(rule);
    }
    if let Some(words) = &options.thinking {
        protocol = protocol.thinking(Thinking::new(words));
    }
    let protocol = inputs::with_feedback(protocol, options, scorer.as_ref())?;
    let mut experiment = Experiment::new(protocol.clone())
        .statements(inputs::statements(options)?)
        .sites(options.sites.clone())
        .verdict_site(options.verdict_site)
        .windows(options.window.iter().copied())
        .readings(options.readings.iter().copied())
        .permuted_labels(options.permuted_labels)
        .causal(options.causal)
        .seed(options.seed);
    if let Some(statements) = inputs::direction(options)? {
        experiment = experiment.statement_direction(statements);
    }
    if let Some(alpha) = options.alpha {
        experiment = experiment.probe(LogisticProbe::default().seed(options.seed).alpha(alpha));
    }
    if let Some(layer) = options.attribute {
        experiment = experiment.attribute(layer);
    }
    if let Some(scorer) = scorer {
        experiment = experiment.scorer(scorer);
    }
    if let Some(window) = options.verdict_window {
        experiment = experiment.verdict_window(window);
    }
    if options.sensitivity {
        experiment = experiment.sensitivity(Sensitivity::default());
    }
    if let Some(path) = &options.write_plan {
        let name = options.model.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        return write_plan(Plan::of(&experiment)?.model(name), path);
    }
    if let Some(path) = &options.plan {
        experiment = experiment.by_plan(Plan::load(path)?);
    }
    // What would fail at the end fails before the model is loaded.
    experiment.check()?;
    let model = LoadOptions::default().precision(options.precision).load(&options.model)?;
    let findings = experiment.run_with_progress(&model, &Bars::default())?;
    findings.write_dir(&options.out)?;
    if !options.keep {
        protocol.remove_checkpoints()?;
    }
    summary::print(&findings.report, &options.out, started);
    Ok(())
}

fn write_plan(plan: Plan, path: &Path) -> Result<()> {
    plan.save(path)?;
    println!("{}: made {}, sha256 {}", path.display(), plan.made, plan.sha256());
    Ok(())
}
