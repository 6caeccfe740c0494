//! One verdict by many analyses: D and what is concluded under other choices that could have been made.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::behaviour_checks;
use super::check::{Check, CheckKind};
use super::judge::{judge, VerdictRule};
use super::readings::ReadingLevels;
use super::state_checks::Case;
use super::verdict::{conclude, ChangeOf, Verdict, VerdictKind};
use crate::condition::Condition;
use crate::dialogue::{Part, Reading};
use crate::stats::{Interval, Resampler};
use crate::task::Outcome;
use crate::{file, Error, Result};

/// D and verdicts of one run by every combination of choices that could have been made otherwise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct SensitivityTable {
    /// The margins, in class distances.
    pub margins: Vec<f64>,
    /// The rules by which options were scored; the outcome's name where there are no options.
    pub score_rules: Vec<String>,
    /// One row for each judged condition and each choice of probe, seed, layers and reading.
    pub specifications: Vec<Specification>,
}

/// One choice of probe, seed, layers and reading, with D and the verdicts by it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Specification {
    /// The condition that is judged.
    #[serde(flatten)]
    pub condition: Condition,
    /// Kind of probe.
    pub probe: String,
    /// Strength of its penalty in widths of the states; `None` for a kind without.
    pub penalty: Option<f64>,
    /// Seed of split and folds of the probes' texts.
    pub seed: u64,
    /// The layers whose valid probes are averaged: `all`, or a window.
    pub layers: String,
    /// What changes: the conversation around one answer, the answer, or the prompt's last token.
    pub reading: ChangeOf,
    /// Layers with a valid probe.
    pub valid: usize,
    /// D in class distances; `None` where no probe is valid.
    pub change: Option<Interval>,
    /// The verdict by each margin, then by each score rule; none for the prompt, on which no verdict rests.
    pub verdicts: Vec<Vec<VerdictKind>>,
}

/// How often one verdict was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerdictCount {
    /// The verdict.
    pub kind: VerdictKind,
    /// Analyses that reach it.
    pub analyses: usize,
}

/// What one choice of probe, seed and layers gives for one reading.
pub(crate) struct Specified {
    pub reading: ChangeOf,
    pub valid: usize,
    pub change: Option<Interval>,
    pub verdicts: Vec<Vec<VerdictKind>>,
}

/// A line of the file: one verdict.
#[derive(Serialize)]
struct CsvRow<'a> {
    instruction: String,
    round: usize,
    probe: &'a str,
    penalty: Option<f64>,
    seed: u64,
    layers: &'a str,
    reading: ChangeOf,
    valid_layers: usize,
    d: Option<f64>,
    low: Option<f64>,
    high: Option<f64>,
    margin: Option<f64>,
    score_rule: &'a str,
    verdict: String,
}

impl SensitivityTable {
    pub(crate) fn new(margins: Vec<f64>, score_rules: Vec<String>, specifications: Vec<Specification>) -> Self {
        SensitivityTable { margins, score_rules, specifications }
    }

    /// The conditions that were judged.
    pub fn conditions(&self) -> Vec<&Condition> {
        let mut found: Vec<&Condition> = Vec::new();
        for row in &self.specifications {
            if !found.contains(&&row.condition) {
                found.push(&row.condition);
            }
        }
        found
    }

    /// How many analyses reach which verdict on a condition, the most frequent first.
    pub fn counts(&self, condition: &Condition) -> Vec<VerdictCount> {
        let mut counts: Vec<VerdictCount> = Vec::new();
        let rows = self.specifications.iter().filter(|row| row.condition == *condition);
        for &kind in rows.flat_map(|row| row.verdicts.iter().flatten()) {
            match counts.iter_mut().find(|count| count.kind == kind) {
                Some(count) => count.analyses += 1,
                None => counts.push(VerdictCount { kind, analyses: 1 }),
            }
        }
        counts.sort_by_key(|count| std::cmp::Reverse(count.analyses));
        counts
    }

    /// Writes one verdict a row: the choices, D with its interval, margin, score rule, verdict. For the prompt, on which no
    /// verdict rests, one row without these three.
    ///
    /// # Errors
    /// [`Error::Io`]; the file appears whole or not at all.
    pub fn write_csv(&self, path: impl AsRef<Path>) -> Result<()> {
        let rows = self.specifications.iter().flat_map(|row| {
            let line = |margin: Option<f64>, score_rule, verdict: String| CsvRow {
                instruction: row.condition.name(),
                round: row.condition.round,
                probe: &row.probe,
                penalty: row.penalty,
                seed: row.seed,
                layers: &row.layers,
                reading: row.reading,
                valid_layers: row.valid,
                d: row.change.map(|change| change.estimate),
                low: row.change.map(|change| change.low).filter(|bound| bound.is_finite()),
                high: row.change.map(|change| change.high).filter(|bound| bound.is_finite()),
                margin,
                score_rule,
                verdict,
            };
            let mut lines = Vec::new();
            for (margin, by_rule) in self.margins.iter().zip(&row.verdicts) {
                for (rule, kind) in self.score_rules.iter().zip(by_rule) {
                    lines.push(line(Some(*margin), rule.as_str(), kind.to_string()));
                }
            }
            if lines.is_empty() {
                lines.push(line(None, "", String::new()));
            }
            lines
        });
        file::write_csv(path.as_ref(), rows)
    }
}

impl VerdictRule {
    /// [`VerdictRule::judge`] by each of several margins, in class distances; the states are judged once.
    ///
    /// # Errors
    /// As [`VerdictRule::judge`].
    pub fn by_margins(
        &self,
        condition: &Condition,
        levels: &ReadingLevels,
        outcome: &Outcome,
        margins: &[f64],
    ) -> Result<Vec<VerdictKind>> {
        let resampler = Resampler::new(*self.settings())?;
        let verdict = judge(condition, levels, outcome, &resampler)?;
        let found = concluded(&verdict, levels, std::slice::from_ref(outcome), margins, &resampler)?;
        Ok(found.into_iter().flatten().collect())
    }
}

/// Judges one condition by each reading, margin and outcome. The rule is that of [`VerdictRule`](super::VerdictRule): states
/// are judged once for each reading, and held against each margin.
///
/// # Errors
/// As [`VerdictRule::judge`](super::VerdictRule::judge).
pub(crate) fn specify(
    condition: &Condition,
    levels: &ReadingLevels,
    outcomes: &[Outcome],
    margins: &[f64],
    resampler: &Resampler,
) -> Result<Vec<Specified>> {
    let Some(first) = outcomes.first() else {
        return Err(Error::setting("outcomes", "none", "at least one"));
    };
    let crossed = levels.readings().iter().any(|levels| levels.reading() == Reading::CONTROL_ANSWER);
    let answers = Reading::of(Part::Answer);
    let mut found = Vec::new();
    let whole = judge(condition, levels, first, resampler)?;
    let valid = |reading: Reading| levels.get(reading).map_or(0, |levels| levels.valid().len());
    let change = |verdict: &Verdict, of| verdict.change(of).map(|change| change.interval);
    if crossed {
        found.push(Specified {
            reading: ChangeOf::Conversation,
            valid: valid(answers),
            change: change(&whole, ChangeOf::Conversation),
            verdicts: concluded(&whole, levels, outcomes, margins, resampler)?,
        });
    }
    if levels.get(answers).is_some() {
        let own =
            |levels: &&super::Levels| ![Reading::CONTROL_ANSWER, Reading::AFTER_CONTROL].contains(&levels.reading());
        let own = ReadingLevels::new(levels.readings().iter().filter(own).cloned().collect())?;
        let verdict = if crossed { judge(condition, &own, first, resampler)? } else { whole.clone() };
        found.push(Specified {
            reading: ChangeOf::Answer,
            valid: valid(answers),
            change: change(&verdict, ChangeOf::Answer),
            verdicts: concluded(&verdict, &own, outcomes, margins, resampler)?,
        });
    }
    if levels.get(Reading::PROMPT).is_some() {
        found.push(Specified {
            reading: ChangeOf::Prompt,
            valid: valid(Reading::PROMPT),
            change: change(&whole, ChangeOf::Prompt),
            verdicts: Vec::new(),
        });
    }
    Ok(found)
}

/// The verdict by each margin and outcome.
fn concluded(
    verdict: &Verdict,
    levels: &ReadingLevels,
    outcomes: &[Outcome],
    margins: &[f64],
    resampler: &Resampler,
) -> Result<Vec<Vec<VerdictKind>>> {
    let by_outcome: Vec<Vec<Check>> =
        outcomes.iter().map(|outcome| by_outcome(verdict, levels, outcome, resampler)).collect::<Result<_>>()?;
    let kind = |checks: &Vec<Check>, margin: f64| match verdict.kind {
        VerdictKind::AnswerTold => VerdictKind::AnswerTold,
        _ => {
            let checks: Vec<Check> = checks.iter().map(|check| check.at_margin(margin)).collect();
            conclude(&checks, &verdict.changes, margin)
        }
    };
    Ok(margins.iter().map(|&margin| by_outcome.iter().map(|checks| kind(checks, margin)).collect()).collect())
}

/// The checks of a verdict, those that depend on how good the answers are taken from this outcome.
fn by_outcome(
    verdict: &Verdict,
    levels: &ReadingLevels,
    outcome: &Outcome,
    resampler: &Resampler,
) -> Result<Vec<Check>> {
    let (condition, answers) = (&verdict.condition, levels.get(Reading::of(Part::Answer)));
    let design = levels.readings().first().map(|first| first.design());
    let compared = design.and_then(|design| Some((design, design.control(condition)?)));
    let Some((design, control)) = compared else { return Ok(verdict.checks.clone()) };
    let mut fresh = behaviour_checks::run(outcome, design, (control, condition), resampler)?.to_vec();
    if let Some(answers) = answers.filter(|answers| !answers.valid().is_empty()) {
        let case = Case { all: levels, answers, outcome, condition, control, resampler };
        let judged = verdict.check(CheckKind::NoReduction).is_some_and(|check| check.passed.is_some());
        fresh.push(case.in_domain()?.judged_if(judged));
    }
    let replaced = |check: &Check| fresh.iter().find(|new| new.kind == check.kind).unwrap_or(check).clone();
    Ok(verdict.checks.iter().map(replaced).collect())
}
