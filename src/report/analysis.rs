//! From a study and its levels to a report: every number that is shown, with its interval.

use std::collections::HashSet;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::dialogue::{Study, NO_INSTRUCTION};
use crate::error::Place;
use crate::level::{ChangeRow, Comparison, LevelRow, Levels, Verdict, VerdictRule, NEUTRAL};
use crate::probe::{ProbeBank, ProbeRow};
use crate::stats::Interval;
use crate::task::{AnsweredRound, Behaviour, BehaviourRow, Measure};
use crate::{file, Error, Provenance, Result};

/// Name and version of the report's form.
pub const SCHEMA: &str = "probity-report-1";

/// How a study is analysed.
///
/// ```no_run
/// # fn main() -> probity::Result<()> {
/// # let (study, probes): (probity::dialogue::Study, probity::probe::ProbeBank) = unimplemented!();
/// use probity::report::Analysis;
/// let levels = probity::level::Levels::of(&study, &probes)?;
/// let report = Analysis::default().seed(7).run(&study, &probes, &levels)?;
/// report.write_dir("out")?;
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
    /// Behaviour by instruction, round and kind of item.
    pub behaviour: Vec<BehaviourRow>,
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

    /// Analyses a study.
    ///
    /// # Errors
    /// [`Error::Setting`] for settings out of range; [`Error::Mismatch`] if levels and probes do not belong
    /// together.
    pub fn run(&self, study: &Study, probes: &ProbeBank, levels: &Levels) -> Result<Report> {
        let comparison = Comparison::default().draws(self.draws).null_draws(self.null_draws).seed(self.seed);
        let changes = comparison.run(levels)?;
        let answered: Vec<AnsweredRound<'_>> = study.rounds.iter().map(|round| round.answered()).collect();
        let behaviour = Behaviour::measure(&study.items, &answered, self.draws, self.seed)?;
        let rule =
            VerdictRule::default().margin(self.margin).draws(self.draws).null_draws(self.null_draws).seed(self.seed);
        let mut seen = HashSet::new();
        let verdicts = answered
            .iter()
            .map(|round| round.instruction)
            .filter(|&name| name != NO_INSTRUCTION && name != NEUTRAL && seen.insert(name))
            .map(|name| rule.judge(levels, probes, name, self.gain(study, &answered, name)?))
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
            behaviour: behaviour.rows,
            levels: changes.levels,
            changes: changes.changes,
        })
    }

    /// Gain in accuracy over the neutral instruction in the last round of both.
    fn gain(&self, study: &Study, answered: &[AnsweredRound<'_>], name: &str) -> Result<Option<Interval>> {
        let last =
            |name: &str| answered.iter().filter(|round| round.instruction == name).max_by_key(|round| round.round);
        match (last(NEUTRAL), last(name)) {
            (Some(neutral), Some(instructed)) if neutral.round == instructed.round => {
                let items = &study.items;
                Behaviour::change(items, neutral, instructed, Measure::Accuracy, self.draws, self.seed).map(Some)
            }
            _ => Ok(None),
        }
    }
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
