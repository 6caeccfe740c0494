//! From a study and its levels to a report: every number that is shown, with its interval.

use std::collections::HashSet;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::plots;
use crate::causal::RoundContribution;
use crate::dialogue::{condition_of, re_elicited, Part, PromptCell, Reading, Study, NO_INSTRUCTION};
use crate::error::Place;
use crate::level::{
    ChangeTest, Family, Inference, InstructionSelection, LevelRow, Levels, Metric, PermutedProbes, Selected,
    SpanLevels, Superficiality, Transition, Transitions, Verdict, VerdictRule,
};
use crate::probe::{ProbeBank, ProbeRow};
use crate::scorer::TextScorer;
use crate::stats::{Interval, Resampler};
use crate::task::{AnsweredRound, Behaviour, Item, Measurement};
use crate::{file, Condition, Design, Error, Provenance, Result};

/// Name and version of the report's form.
pub const SCHEMA: &str = "probity-report-3";

/// How a study is analysed.
///
/// ```no_run
/// # fn main() -> probity::Result<()> {
/// # let (study, probes): (probity::dialogue::Study, probity::probe::ProbeBank) = unimplemented!();
/// use probity::report::Analysis;
/// use probity::level::{Levels, SpanLevels};
/// let levels = SpanLevels::new(vec![Levels::of(&study, &probes)?])?;
/// let analysis = Analysis::default().seed(7);
/// let behaviour = analysis.measure(&study, None)?;
/// analysis.run(&study, behaviour, &probes, &levels)?.write_dir("out")?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Analysis {
    draws: usize,
    null_draws: usize,
    margin: f64,
    seed: u64,
    permuted: Option<PermutedProbes>,
}

impl Default for Analysis {
    fn default() -> Self {
        Analysis { draws: 2_000, null_draws: 1_000, margin: 0.2, seed: 0, permuted: None }
    }
}

/// The settings of an analysis.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Bootstrap resamples of item groups.
    pub draws: usize,
    /// Sign flips of the tests; all patterns where these are fewer.
    pub flips: usize,
    /// Random directions of each null.
    pub null_draws: usize,
    /// Level of intervals and bands; 1 - level is that of the tests.
    pub level: f64,
    /// What shares one joint statement.
    pub family: Family,
    /// Largest change that counts as none, in standard deviations of the probes' training projections.
    pub margin: f64,
    /// Power of the smallest detectable changes.
    pub power: f64,
    /// Layers in a row that make a transition.
    pub consecutive: usize,
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
    /// Mean levels, span by span.
    pub levels: Vec<LevelRow>,
    /// Changes against round 0 and against the neutral instruction, span by span.
    pub changes: Vec<ChangeTest>,
    /// Where over the layers the standardised projection begins to change, at the prompt's last token.
    pub transitions: Vec<Transition>,
    /// What else speaks for or against each verdict.
    pub evidence: Vec<Superficiality>,
    /// What attention and feed-forward parts add to the changes; see [`Report::with_contributions`].
    pub contributions: Vec<RoundContribution>,
    /// Choosing among instructions by their level in round 1, where there are three or more.
    pub selection: Option<Selected>,
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

    /// Adds the null of probes that were fitted on permuted labels, to the changes of the first of the levels: the probes must
    /// have learnt from states that were read like these.
    pub fn permuted_probes(mut self, probes: PermutedProbes) -> Self {
        self.permuted = Some(probes);
        self
    }

    /// Measures the answers of a study, as items of their kind are measured ([`Item::measure`]); `scorer`, which must be no
    /// probe of the study, judges texts. To be handed to [`Analysis::run`].
    ///
    /// # Errors
    /// As [`Measurement::measure`].
    pub fn measure<I: Item>(&self, study: &Study<I>, scorer: Option<&dyn TextScorer>) -> Result<Behaviour> {
        let conditions: Vec<Condition> =
            study.rounds.iter().map(|round| condition_of(&round.instruction, round.round)).collect();
        let design = Design::new(conditions.clone())?.with_controls(PromptCell::neutral);
        let resampler = self.resampler()?;
        let mut measurement = Measurement::lent(&design, &resampler);
        if let Some(scorer) = scorer {
            measurement = measurement.scorer(scorer);
        }
        let rounds: Vec<AnsweredRound<'_, I::Answer>> = conditions
            .iter()
            .zip(&study.rounds)
            .map(|(condition, round)| AnsweredRound { condition, answers: &round.answers })
            .collect();
        measurement.measure(&study.items, &rounds)
    }

    fn resampler(&self) -> Result<Resampler> {
        Resampler::new(crate::stats::Settings::default().draws(self.draws).flips(self.draws).seed(self.seed))
    }

    /// Analyses a study of any kind of item, whose answers were measured by [`Analysis::measure`] or a
    /// [`Measurement`]. Without behaviour ([`Behaviour::default`]) no verdict but
    /// "insufficient evidence" is possible. The first of the `levels` are judged; those of the answers, where they are
    /// there, say what a change owes to the instruction's own tokens ([`VerdictRule::judge_masked`]).
    ///
    /// # Errors
    /// [`Error::Setting`] for settings out of range; [`Error::Mismatch`] if levels, probes and behaviour do not
    /// belong together.
    pub fn run<I: Item>(
        &self,
        study: &Study<I>,
        behaviour: Behaviour,
        probes: &ProbeBank,
        levels: &SpanLevels,
    ) -> Result<Report> {
        let Some((judged, others)) = levels.spans().split_first() else {
            return Err(Error::setting("levels", "none", "the levels of at least one span"));
        };
        check_items(&behaviour, judged)?;
        let (inference, transitions) = (self.inference(), Transitions::default());
        let tests = match &self.permuted {
            Some(permuted) => inference.clone().permuted_probes(permuted.clone()).run(judged)?,
            None => inference.run(judged)?,
        };
        let (mut level_rows, mut changes) = (tests.levels, tests.rows);
        for other in others {
            let tests = inference.run(other)?;
            level_rows.extend(tests.levels);
            changes.extend(tests.rows);
        }
        let verdicts = self.verdicts(&behaviour, probes, judged, others)?;
        let evidence = verdicts
            .iter()
            .map(|verdict| Superficiality::of(verdict, judged, others, &behaviour, self.draws, self.seed))
            .filter_map(Result::transpose)
            .collect::<Result<Vec<_>>>()?;
        let mut provenance = study.provenance.clone();
        provenance.extend(probes.provenance().iter().map(|(key, value)| (format!("probe.{key}"), value.clone())));
        Ok(Report {
            schema: SCHEMA.to_owned(),
            model: ModelSummary {
                name: study.provenance.get("model").cloned().unwrap_or_default(),
                layers: judged
                    .addresses()
                    .iter()
                    .filter_map(|address| address.layer())
                    .max()
                    .map_or(0, |last| last + 1),
            },
            provenance,
            settings: Settings {
                draws: self.draws,
                flips: tests.flips,
                null_draws: self.null_draws,
                level: tests.level,
                family: tests.family,
                margin: self.margin,
                power: tests.power,
                consecutive: transitions.run_length(),
                seed: self.seed,
                items: tests.items,
                groups: tests.groups,
            },
            verdicts,
            probes: probes.rows(),
            transitions: transitions.find(judged, &inference, Metric::Standardised)?,
            selection: self.selection(judged, &behaviour)?,
            behaviour,
            levels: level_rows,
            changes,
            evidence,
            contributions: Vec::new(),
        })
    }

    fn inference(&self) -> Inference {
        Inference::default().draws(self.draws).null_draws(self.null_draws).margin(self.margin).seed(self.seed)
    }

    /// Of every instruction that has a neutral counterpart, but for those that end in another one.
    fn verdicts(
        &self,
        behaviour: &Behaviour,
        probes: &ProbeBank,
        levels: &Levels,
        others: &[Levels],
    ) -> Result<Vec<Verdict>> {
        let rule =
            VerdictRule::default().margin(self.margin).draws(self.draws).null_draws(self.null_draws).seed(self.seed);
        let answers = others.iter().find(|levels| levels.span() == Reading::of(Part::Answer));
        let mut seen = HashSet::new();
        let instructions = levels.conditions().iter().filter(|condition| condition.round > 0);
        instructions
            .map(|condition| condition.instruction.as_str())
            .filter(|&name| name != NO_INSTRUCTION && re_elicited(name).is_none())
            .filter(|&name| PromptCell::neutral(name).is_some() && seen.insert(name))
            .map(|name| {
                let gain = self.gain(behaviour, levels, name)?;
                match answers {
                    Some(answers) => rule.judge_masked(levels, answers, probes, name, gain),
                    None => rule.judge(levels, probes, name, gain),
                }
            })
            .collect()
    }

    fn selection(&self, levels: &Levels, behaviour: &Behaviour) -> Result<Option<Selected>> {
        let here = |name: &str| {
            behaviour.outcome.series(&condition_of(name, 1)).is_some() && PromptCell::neutral(name).is_some()
        };
        let first = levels.conditions().iter().filter(|condition| condition.round == 1);
        let candidates = first.filter(|condition| here(&condition.instruction)).count();
        let items = levels.items().len() / 3;
        let plain = behaviour.outcome.series(&Condition::plain()).is_some();
        if candidates < 3 || items == 0 || !plain || levels.valid().is_empty() {
            return Ok(None);
        }
        let choose = InstructionSelection::default().items(items.min(20)).draws(self.draws).seed(self.seed);
        choose.run(levels, &behaviour.outcome, 1).map(Some)
    }

    /// Gain in behaviour over the neutral counterpart in the instruction's last round.
    fn gain(&self, behaviour: &Behaviour, levels: &Levels, name: &str) -> Result<Option<Interval>> {
        let rounds = levels.conditions().iter().filter(|condition| condition.instruction == name);
        let Some(last) = rounds.map(|condition| condition.round).max() else { return Ok(None) };
        match levels.neutral_of(name, last) {
            Some(neutral) => {
                behaviour.outcome.gain(&condition_of(neutral, last), &condition_of(name, last), &self.resampler()?)
            }
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
    Err(Error::mismatch("behaviour", problem))
}

impl Report {
    /// Adds what [`Attribution::by_round`](crate::causal::Attribution::by_round) found.
    pub fn with_contributions(self, contributions: Vec<RoundContribution>) -> Self {
        Report { contributions, ..self }
    }

    /// Writes `report.json`, `report.html` and the page's plots, as `plots/*.svg`, into a folder, which is made if needed.
    ///
    /// # Errors
    /// [`Error::Io`]; each file appears whole or not at all.
    pub fn write_dir(&self, folder: impl AsRef<Path>) -> Result<()> {
        let folder = folder.as_ref();
        file::write_json(&folder.join("report.json"), self)?;
        let page = self.to_html();
        file::write_atomic(&folder.join("report.html"), |out| std::io::Write::write_all(out, page.as_bytes()))?;
        plots::write(&page, folder)
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
