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

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use common::{bars::Bars, exit::exit};
use probity::capture::{Pool, Readout};
use probity::causal::{Attribution, RoundContribution};
use probity::dialogue::{Part, Reading, SelfCorrection, Study, Thinking};
use probity::hook::{Selection, Site};
use probity::level::{Levels, PermutedProbes, SpanLevels};
use probity::model::LoadOptions;
use probity::probe::{GroupSplit, LogisticProbe, ProbeBank};
use probity::report::{Analysis, Report};
use probity::scorer::TfidfScorer;
use probity::task::{Behaviour, Item, Task};
use probity::text::{LabelledText, Labels, Text};
use probity::{Error, Result};

use inputs::Asked;
use options::Options;

/// Folder of finished batches, inside that of the results.
const UNFINISHED: &str = "unfinished";

fn main() -> ExitCode {
    exit(run(&Options::parse()))
}

fn run(options: &Options) -> Result<()> {
    let started = Instant::now();
    let asked = inputs::asked(options)?;
    let scorer = inputs::scorer(options)?;
    let analysis = Analysis::default().seed(options.seed);
    let report = match asked {
        Asked::Choices(task) => {
            let done = study(options, task, scorer.as_ref())?;
            let behaviour = analysis.measure(&done.study, None)?;
            results(options, &done, &analysis, behaviour)?
        }
        Asked::Texts(task) => {
            let scorer = scorer
                .as_ref()
                .ok_or_else(|| Error::setting("--scorer", "none", "a scorer that says how toxic a continuation is"))?;
            let done = study(options, task, Some(scorer))?;
            let behaviour = analysis.measure(&done.study, Some(scorer))?;
            results(options, &done, &analysis, behaviour)?
        }
    };
    summary::print(&report, &options.out, started);
    Ok(())
}

/// A finished run, the probes that read it, and its levels.
struct Done<I: Item> {
    study: Study<I>,
    probes: ProbeBank,
    permuted: Option<PermutedProbes>,
    levels: SpanLevels,
    contributions: Vec<RoundContribution>,
}

fn study<I: Item>(options: &Options, task: Task<I>, scorer: Option<&TfidfScorer>) -> Result<Done<I>> {
    let statements = inputs::statements(options)?;
    let selection: Selection = options.sites.parse()?;
    let readout = Readout::new(selection.clone(), Pool::Last);
    let mut study = SelfCorrection::new(task)
        .instructions(inputs::instructions(options, &options.instruction)?)
        .re_elicit(inputs::instructions(options, &options.re_elicit)?)
        .rounds(options.rounds)
        .round_kind(options.kind())
        .decoding(options.decoding(I::ANSWER_TOKENS))
        .reasoning(options.reasoning())
        .score_rule(options.score())
        .overflow(options.overflow())
        .batch(options.batch)
        .read_answers(options.readings.contains(&Reading::of(Part::Answer)))
        .checkpoints(options.out.join(UNFINISHED));
    if let Some(words) = &options.thinking {
        study = study.thinking(Thinking::new(words));
    }
    study = inputs::with_feedback(study, options, scorer)?;
    // What would fail at the end fails now.
    study.check(&readout)?;
    let model = LoadOptions::default().precision(options.precision()).load(&options.model)?;

    let bars = Bars::default();
    let probe = |texts: Result<(Vec<Text>, Labels)>, readout: &Readout, permutations: usize| {
        let (texts, labels) = texts?;
        let states = readout.capture_with_progress(&model, &texts, &bars)?;
        let probe = LogisticProbe::default().split(GroupSplit::default().seed(options.seed)).seed(options.seed);
        let probe = options.alpha.map_or(probe, |alpha| probe.alpha(alpha));
        let permuted = (permutations > 0)
            .then(|| PermutedProbes::fit(&probe, &states, &labels, permutations, options.seed))
            .transpose()?;
        Ok::<_, Error>((probe.fit_all(&states, &labels)?, permuted))
    };
    let template = model.template()?;
    let (probes, permuted) =
        probe(LabelledText::as_user_turns(statements.clone(), template), &readout, options.permuted_labels)?;
    let study = study.run_with(&model, &readout, &bars)?;

    let mut levels = vec![Levels::of(&study, &probes)?];
    if !options.readings.is_empty() {
        let means = Readout::new(selection.clone(), Pool::Mean);
        let of_parts = options.readings.iter().any(|reading| reading.part().is_some());
        let of_parts =
            of_parts.then(|| probe(LabelledText::as_answers(statements, template), &means, 0)).transpose()?;
        let of_parts = of_parts.map(|(probes, _)| probes);
        let read = study.read(&model, selection, &options.readings, &bars)?;
        for &reading in &options.readings {
            let bank = of_parts.as_ref().filter(|_| reading.part().is_some()).unwrap_or(&probes);
            levels.push(Levels::of_reading(&read, reading, bank)?);
        }
    }
    let contributions = match options.attribute {
        None => Vec::new(),
        Some(layer) => {
            let direction = &probes.get(Site::ResidPost.at(layer))?.direction;
            Attribution::new(direction).by_round(&model, &study, (2_000, options.seed), &bars)?
        }
    };
    Ok(Done { study, probes, permuted, levels: SpanLevels::new(levels)?, contributions })
}

/// Analyses a run and writes everything.
fn results<I: Item>(options: &Options, done: &Done<I>, analysis: &Analysis, behaviour: Behaviour) -> Result<Report> {
    let Done { study, probes, permuted, levels, contributions } = done;
    let analysis = match permuted {
        Some(permuted) => analysis.clone().permuted_probes(permuted.clone()),
        None => analysis.clone(),
    };
    let report = analysis.run(study, behaviour, probes, levels)?.with_contributions(contributions.clone());
    report.write_dir(&options.out)?;
    levels.write_csv(options.out.join("levels.csv"))?;
    probes.save(options.out.join("probes.safetensors"))?;
    study.write_answers(options.out.join("answers.jsonl"))?;
    study.write_transcripts(options.out.join("transcripts.jsonl"))?;
    if !options.keep {
        let unfinished = options.out.join(UNFINISHED);
        std::fs::remove_dir_all(&unfinished).map_err(Error::io("remove", &unfinished))?;
    }
    Ok(report)
}
