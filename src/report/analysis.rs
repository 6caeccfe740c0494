//! From a study and its levels to a report: every number that is shown, with its interval.

use std::collections::HashSet;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::dialogue::{PromptCell, Study, NO_INSTRUCTION};
use crate::error::Place;
use crate::level::{ChangeRow, Comparison, LevelRow, Levels, Verdict, VerdictRule};
use crate::probe::{ProbeBank, ProbeRow};
use crate::scorer::TextScorer;
use crate::stats::Interval;
use crate::task::{AnsweredRound, Behaviour, Completion, Item, Measurement, Winogender};
use crate::{file, Error, Provenance, Result};

/// Name and version of the report's form.
pub const SCHEMA: &str = "probity-report-2";

/// How a study is analysed.
///
/// ```no_run
/// # fn main() -> probity::Result<()> {
/// # let (study, probes): (probity::dialogue::Study, probity::probe::ProbeBank) = unimplemented!();
/// use probity::report::Analysis;
/// let levels = probity::level::Levels::of(&study, &probes)?;
/// let analysis = Analysis::default().seed(7);
/// let behaviour = analysis.choices(&study, None)?;
/// analysis.run(&study, behaviour, &probes, &levels)?.write_dir("out")?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Analysis {
    draws: usize,
    null_draws: usize,
    margin: f64,
    seed: u64,
}

impl Default for Analysis {
    fn default() -> Self {
        Analysis { draws: 2_000, null_draws: 1_000, margin: 0.2, seed: 0 }
    }
}

/// The settings of an analysis.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Bootstrap resamples of item groups.
    pub draws: usize,
    /// Random directions of the null.
    pub null_draws: usize,
    /// Level of the intervals.
    pub level: f64,
    /// Largest change that counts as none, in standard deviations of the probes' training projections.
    pub margin: f64,
    /// Seed of everything random.
    pub seed: u64,
    /// Items.
    pub items: usize,
    /// Groups of items, which are resampled.
    pub groups: usize,
}

/// The model in a few numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelSummary {
    /// File or directory name.
    pub name: String,
    /// Layers that were read.
    pub layers: usize,
}

/// Everything that a report shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: String,
    /// The model.
    pub model: ModelSummary,
    /// Hashes and settings of what the results were made from.
    pub provenance: Provenance,
    /// How they were analysed.
    pub settings: Settings,
    /// One verdict per instruction that was compared with the neutral one.
    pub verdicts: Vec<Verdict>,
    /// Held-out results of the probes, by address.
    pub probes: Vec<ProbeRow>,
    /// Behaviour by instruction and round.
    pub behaviour: Behaviour,
    /// Mean levels.
    pub levels: Vec<LevelRow>,
    /// Mean changes against round 0 and against the neutral instruction.
    pub changes: Vec<ChangeRow>,
}

impl Analysis {
    /// Sets the bootstrap resamples, default 2,000.
    pub fn draws(mut self, draws: usize) -> Self {
        self.draws = draws;
        self
    }

    /// Sets the random directions of the null, at least and by default 1,000.
    pub fn null_draws(mut self, draws: usize) -> Self {
        self.null_draws = draws;
        self
    }

    /// Sets the margin of equivalence, default 0.2 standard deviations of the training projections.
    pub fn margin(mut self, margin: f64) -> Self {
        self.margin = margin;
        self
    }

    /// Sets the seed, default 0.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Measures the answers of a study of questions with options; `winogender` gives the occupations that go with its
    /// pronouns. To be handed to [`Analysis::run`].
    ///
    /// # Errors
    /// As [`Measurement::choices`].
    pub fn choices(&self, study: &Study, winogender: Option<&Winogender>) -> Result<Behaviour> {
        let mut measurement = self.measurement(study);
        if let Some(winogender) = winogender {
            measurement = measurement.winogender(winogender);
        }
        let answered: Vec<AnsweredRound<'_>> = study.rounds.iter().map(|round| round.answered()).collect();
        measurement.choices(&study.items, &answered)
    }

    /// Measures the continuations of a study of texts, by a scorer that is no probe of the study.
    ///
    /// # Errors
    /// As [`Measurement::completions`].
    pub fn completions(&self, study: &Study<Completion>, scorer: &dyn TextScorer) -> Result<Behaviour> {
        let rounds = study.rounds.iter();
        let continued: Vec<AnsweredRound<'_, _>> = rounds
            .map(|round| AnsweredRound { instruction: &round.instruction, round: round.round, answers: &round.answers })
            .collect();
        self.measurement(study).completions(&study.items, &continued, scorer)
    }

    /// With each instruction's neutral counterpart in its last round.
    fn measurement<'a, I: Item>(&self, study: &Study<I>) -> Measurement<'a> {
        let controls = study.rounds.iter().filter(|round| round.round > 0).filter_map(|round| {
            let near = PromptCell::neutral(&round.instruction)?;
            let neutral = near.into_iter().find(|name| study.round(name, round.round).is_some())?;
            Some((round.instruction.clone(), neutral))
        });
        Measurement::default().draws(self.draws).seed(self.seed).controls(controls)
    }

    /// Analyses a study of any kind of item, whose answers were measured by [`Analysis::choices`],
    /// [`Analysis::completions`] or a [`Measurement`]. Without behaviour ([`Behaviour::default`]) no verdict but
    /// "insufficient evidence" is possible.
    ///
    /// # Errors
    /// [`Error::Setting`] for settings out of range; [`Error::Mismatch`] if levels, probes and behaviour do not
    /// belong together.
    pub fn run<I: Item>(
        &self,
        study: &Study<I>,
        behaviour: Behaviour,
        probes: &ProbeBank,
        levels: &Levels,
    ) -> Result<Report> {
        check_items(&behaviour, levels)?;
        let comparison = Comparison::default().draws(self.draws).null_draws(self.null_draws).seed(self.seed);
        let changes = comparison.run(levels)?;
        let rule =
            VerdictRule::default().margin(self.margin).draws(self.draws).null_draws(self.null_draws).seed(self.seed);
        let mut seen = HashSet::new();
        let instructions = levels.conditions().iter().filter(|condition| condition.round > 0);
        let verdicts = instructions
            .map(|condition| condition.instruction.as_str())
            .filter(|&name| name != NO_INSTRUCTION && PromptCell::neutral(name).is_some() && seen.insert(name))
            .map(|name| rule.judge(levels, probes, name, self.gain(&behaviour, levels, name)?))
            .collect::<Result<Vec<_>>>()?;
        let mut provenance = study.provenance.clone();
        provenance.extend(probes.provenance().iter().map(|(key, value)| (format!("probe.{key}"), value.clone())));
        Ok(Report {
            schema: SCHEMA.to_owned(),
            model: ModelSummary {
                name: study.provenance.get("model").cloned().unwrap_or_default(),
                layers: levels
                    .addresses()
                    .iter()
                    .filter_map(|address| address.layer())
                    .max()
                    .map_or(0, |last| last + 1),
            },
            provenance,
            settings: Settings {
                draws: self.draws,
                null_draws: self.null_draws,
                level: changes.level,
                margin: self.margin,
                seed: self.seed,
                items: changes.items,
                groups: changes.groups,
            },
            verdicts,
            probes: probes.rows(),
            behaviour,
            levels: changes.levels,
            changes: changes.changes,
        })
    }

    /// Gain in behaviour over the neutral counterpart in the instruction's last round.
    fn gain(&self, behaviour: &Behaviour, levels: &Levels, name: &str) -> Result<Option<Interval>> {
        let rounds = levels.conditions().iter().filter(|condition| condition.instruction == name);
        let Some(last) = rounds.map(|condition| condition.round).max() else { return Ok(None) };
        match levels.neutral_of(name, last) {
            Some(neutral) => behaviour.outcome.gain((neutral, last), (name, last), self.draws, self.seed),
            None => Ok(None),
        }
    }
}

/// Behaviour and states must be of the same items, or a verdict would compare what does not belong together.
fn check_items(behaviour: &Behaviour, levels: &Levels) -> Result<()> {
    let (outcome, items) = (&behaviour.outcome, levels.items());
    let problem = if behaviour.is_empty() {
        return Ok(());
    } else if outcome.items.len() != items.len() {
        format!("it is of {} items, the levels are of {}", outcome.items.len(), items.len())
    } else if let Some((found, expected)) = outcome.items.iter().zip(items).find(|(found, item)| found != item) {
        format!("it has item {found:?} where the levels have {expected:?}")
    } else {
        return Ok(());
    };
    Err(Error::Mismatch { what: "behaviour".into(), problem })
}

impl Report {
    /// Writes `report.json` and `report.html` into a folder, which is made if needed.
    ///
    /// # Errors
    /// [`Error::Io`]; each file appears whole or not at all.
    pub fn write_dir(&self, folder: impl AsRef<Path>) -> Result<()> {
        let folder = folder.as_ref();
        file::write_json(&folder.join("report.json"), self)?;
        let page = self.to_html();
        file::write_atomic(&folder.join("report.html"), |out| std::io::Write::write_all(out, page.as_bytes()))
    }

    /// Reads a `report.json`.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Malformed`].
    pub fn load(path: impl AsRef<Path>) -> Result<Report> {
        let path = path.as_ref();
        let bad = |place, problem: String| Error::malformed(path, place, problem);
        let report: Report = serde_json::from_str(&file::read_text(path)?)
            .map_err(|error| bad(Place::Line(error.line() as u64), error.to_string()))?;
        if report.schema != SCHEMA {
            return Err(bad(Place::Entry("schema".into()), format!("{:?} is not {SCHEMA:?}", report.schema)));
        }
        Ok(report)
    }
}
