//! Judges self-correction on hidden states that were captured elsewhere; needs no model. docs/judge-states.md has a script
//! that writes such files.
//!
//!     cargo run --release --example judge_states -- --train-turn turn.safetensors --train-answer answer.safetensors \
//!         --labels labels.csv --behaviour behaviour.csv --plain-answer p.safetensors --neutral-answer n.safetensors \
//!         --asked-answer a.safetensors --neutral-answer-after-asked na.safetensors \
//!         --asked-answer-after-neutral an.safetensors --positive-control pp.safetensors pa.safetensors --json out.json

mod common {
    pub mod exit;
    pub mod interval;
}

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use common::exit::exit;
use common::interval::interval;
use probity::capture::Activations;
use probity::dialogue::{Part, ReadStates, Reading};
use probity::level::{Levels, ReadingLevels, Verdict, VerdictRule};
use probity::probe::{LogisticProbe, ProbeBank};
use probity::stats::Settings;
use probity::task::Outcome;
use probity::text::Labels;
use probity::{Condition, Design, Error, Result};

/// Judge whether a change of behaviour reaches the hidden states, from files of states. Rows are items, numbered from 0 where
/// a file names no ids; the tensors are named by addresses such as L0.resid_post, one f32 matrix each.
#[derive(Parser)]
struct Options {
    /// States of labelled texts at the last token of a user's turn: for the prompts.
    #[arg(long)]
    train_turn: Option<PathBuf>,
    /// States of the same texts as answers, means over their tokens: for the answers.
    #[arg(long)]
    train_answer: PathBuf,
    /// CSV with the columns id, label (1 = immoral, 0 = moral) and, if texts belong together, group.
    #[arg(long)]
    labels: PathBuf,
    /// Prompts of round 0.
    #[arg(long)]
    plain_prompt: Option<PathBuf>,
    /// Answers of round 0.
    #[arg(long)]
    plain_answer: Option<PathBuf>,
    /// Prompts of the control.
    #[arg(long)]
    neutral_prompt: Option<PathBuf>,
    /// Answers of the control.
    #[arg(long)]
    neutral_answer: Option<PathBuf>,
    /// Prompts of the instruction.
    #[arg(long)]
    asked_prompt: Option<PathBuf>,
    /// Answers of the instruction.
    #[arg(long)]
    asked_answer: Option<PathBuf>,
    /// The control's answers, read after the instruction's conversation. Without the crossed readings nothing is internal.
    #[arg(long, requires = "asked_answer_after_neutral")]
    neutral_answer_after_asked: Option<PathBuf>,
    /// The instruction's answers, read after the control's conversation.
    #[arg(long, requires = "neutral_answer_after_asked")]
    asked_answer_after_neutral: Option<PathBuf>,
    /// CSV with the columns item, group, condition (plain, neutral or asked) and right (1 or 0, or a number, more = better).
    #[arg(long)]
    behaviour: PathBuf,
    /// States of the same items under a contrast that is known to move the level, compared with the control's: without it
    /// nothing is superficial.
    #[arg(long, num_args = 2, value_names = ["PROMPT", "ANSWER"])]
    positive_control: Vec<PathBuf>,
    /// The largest change that counts as none, in class distances.
    #[arg(long, default_value_t = Settings::default().margin)]
    margin: f64,
    /// Seed of folds, resamples and nulls.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Where to write verdicts and checks as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

fn main() -> ExitCode {
    exit(run(&Options::parse()))
}

/// The conditions by their names in the file.
fn conditions() -> [(&'static str, Condition); 3] {
    [("plain", Condition::plain()), ("neutral", Condition::new("neutral", 1)), ("asked", Condition::new("asked", 1))]
}

fn run(options: &Options) -> Result<()> {
    let settings = Settings::default().seed(options.seed).margin(options.margin);
    settings.validate()?;
    let outcome = Outcome::load(&options.behaviour, &conditions())?;
    let [plain, neutral, asked] = conditions().map(|(_, condition)| condition);
    let mut readings = Vec::new();
    let prompts = [
        (&plain, Reading::PROMPT, options.plain_prompt.as_deref()),
        (&neutral, Reading::PROMPT, options.neutral_prompt.as_deref()),
        (&asked, Reading::PROMPT, options.asked_prompt.as_deref()),
    ];
    let contrast = options.positive_control.get(1).map(PathBuf::as_path);
    let own = Reading::of(Part::Answer);
    let answers = [
        (&plain, own, options.plain_answer.as_deref()),
        (&neutral, own, options.neutral_answer.as_deref()),
        (&asked, own, options.asked_answer.as_deref()),
        (&asked, Reading::CONTROL_ANSWER, options.neutral_answer_after_asked.as_deref()),
        (&asked, Reading::AFTER_CONTROL, options.asked_answer_after_neutral.as_deref()),
        (&neutral, Reading::CONTRAST, contrast),
    ];
    let probes = |path: &Path| -> Result<ProbeBank> {
        let states = Activations::load(path)?;
        let labels = Labels::load(&options.labels, states.ids())?;
        LogisticProbe::default().seed(options.seed).fit_all(&states, &labels)
    };
    if let Some(turn) = options.train_turn.as_deref().filter(|_| prompts.iter().any(|(_, _, path)| path.is_some())) {
        readings.extend(levels(&prompts, &probes(turn)?, &outcome)?);
    }
    readings.extend(levels(&answers, &probes(&options.train_answer)?, &outcome)?);
    readings.sort_by_key(|levels| std::cmp::Reverse(levels.design().arms().len()));
    let verdict = VerdictRule::new(settings).judge(&asked, &ReadingLevels::new(readings)?, &outcome)?;
    print(&verdict, &settings);
    match &options.json {
        Some(path) => write_json(path, &verdict, &settings),
        None => Ok(()),
    }
}

type Place<'a> = (&'a Condition, Reading, Option<&'a Path>);

/// Levels of every reading for which there are files.
fn levels(places: &[Place<'_>], bank: &ProbeBank, outcome: &Outcome) -> Result<Vec<Levels>> {
    let group_of: HashMap<&String, &String> = outcome.items.iter().zip(&outcome.groups).collect();
    let mut states = Vec::new();
    for (condition, reading, path) in places {
        let Some(path) = path else { continue };
        let activations = Activations::load(path)?;
        let group = |id: &String| {
            let known = group_of.get(id).map(|group| (*group).clone());
            known
                .ok_or_else(|| Error::mismatch(path.display().to_string(), format!("the behaviour has no item {id:?}")))
        };
        let groups = activations.ids().iter().map(group).collect::<Result<_>>()?;
        states.push(ReadStates::new((*condition).clone(), *reading, activations.with_groups(groups)?));
    }
    let mut readings: Vec<Reading> = states.iter().map(|states| states.reading).collect();
    readings.dedup();
    let of_reading = |&reading: &Reading| {
        let here = states.iter().filter(|states| states.reading == reading).map(|states| states.condition.clone());
        let design = Design::new(here)?;
        let has = |name: &str| design.conditions().any(|condition| condition.instruction == name);
        let design = if has("neutral") { design.with_control("neutral")? } else { design };
        Levels::from_reading(&design, &states, reading, bank)
    };
    readings.iter().map(of_reading).collect()
}

fn print(verdict: &Verdict, settings: &Settings) {
    println!("{}: {}", verdict.condition.instruction, verdict.kind);
    if let Some(missing) = verdict.missing() {
        println!("  {missing}");
    }
    for change in &verdict.changes {
        let [first, last] = change.addresses;
        println!("  {:?} {first} to {last}: {} class distances", change.of, interval(&change.interval));
    }
    for check in &verdict.checks {
        let mark = match check.passed {
            Some(true) => "yes",
            Some(false) => "no",
            None => "not run",
        };
        let value = check.value.as_ref().map_or(String::new(), interval);
        let unit = if check.value.is_some() { check.kind.unit(settings, "right answers") } else { String::new() };
        println!("  {:<26} {mark:<8} {value} {unit} ({})", check.kind.name(), check.detail);
    }
}

fn write_json(path: &Path, verdict: &Verdict, settings: &Settings) -> Result<()> {
    let json = serde_json::json!({ "settings": settings, "verdicts": [verdict] });
    std::fs::write(path, format!("{json:#}\n")).map_err(Error::io("write", path))
}
