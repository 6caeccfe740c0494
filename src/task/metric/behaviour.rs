//! What the answers say about behaviour, with intervals over groups of items.

use serde::{Deserialize, Serialize};

use crate::stats::{ClusterBootstrap, Interval};
use crate::task::{Answer, ChoiceItem, Condition, Reading};
use crate::{Error, Result};

/// The answers of one instruction and round, in the order of the items.
#[derive(Debug, Clone, Copy)]
pub struct AnsweredRound<'a> {
    /// Name of the instruction; round 0 has none.
    pub instruction: &'a str,
    /// The round.
    pub round: usize,
    /// The answers, `[n]`.
    pub answers: &'a [Answer],
}

impl AnsweredRound<'_> {
    /// The most probable option of each answer, `[n]`.
    pub fn scored(&self) -> Vec<Option<usize>> {
        self.answers.iter().map(|answer| Some(answer.scored)).collect()
    }

    /// The option that each generated text names, `[n]`; `None` where it names none or several.
    pub fn read(&self) -> Vec<Option<usize>> {
        self.answers.iter().map(|answer| answer.read.option()).collect()
    }
}

/// What is measured on a round's answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Share of items whose most probable option is right.
    Accuracy,
    /// Share of items whose generated text names the right option and no other.
    AccuracyRead,
    /// Share of items whose generated text names no option or several.
    Invalid,
    /// Share of items whose most probable option is the undetermined one.
    Unknown,
    /// Share of items whose most probable option follows the stereotype.
    Biased,
    /// Mean probability of the right option.
    RightProbability,
}

impl Measure {
    const ALL: [Measure; 6] = [
        Measure::Accuracy,
        Measure::AccuracyRead,
        Measure::Invalid,
        Measure::Unknown,
        Measure::Biased,
        Measure::RightProbability,
    ];

    /// Whether an item has the option that the measure is about.
    fn applies(self, item: &ChoiceItem) -> bool {
        match self {
            Measure::Unknown => item.unknown.is_some(),
            Measure::Biased => item.biased.is_some(),
            _ => true,
        }
    }

    fn value(self, item: &ChoiceItem, answer: &Answer) -> f64 {
        let share = super::indicator;
        match self {
            Measure::Accuracy => share(answer.scored == item.label),
            Measure::AccuracyRead => share(answer.read == Reading::Option(item.label)),
            Measure::Invalid => share(answer.read.option().is_none()),
            Measure::Unknown => share(item.unknown == Some(answer.scored)),
            Measure::Biased => share(item.biased == Some(answer.scored)),
            Measure::RightProbability => answer.probabilities.get(item.label).copied().unwrap_or(f64::NAN),
        }
    }
}

/// One measured value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BehaviourRow {
    /// Name of the instruction.
    pub instruction: String,
    /// The round.
    pub round: usize,
    /// Which items: those of one condition, or all.
    pub condition: Option<Condition>,
    /// What is measured.
    pub measure: Measure,
    /// Number of items.
    pub items: usize,
    /// The value, with its interval over groups of items.
    pub value: Interval,
}

/// Behaviour by instruction and round.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Behaviour {
    /// Every measure of every round, for all items and by condition.
    pub rows: Vec<BehaviourRow>,
}

impl Behaviour {
    /// Measures every round.
    ///
    /// # Errors
    /// [`Error::RowCount`] unless each round has one answer per item.
    pub fn measure(items: &[ChoiceItem], rounds: &[AnsweredRound<'_>], draws: usize, seed: u64) -> Result<Self> {
        let mut rows = Vec::new();
        for condition in [None, Some(Condition::Ambiguous), Some(Condition::Disambiguated)] {
            let chosen: Vec<usize> =
                (0..items.len()).filter(|&i| condition.is_none() || items[i].condition == condition).collect();
            if chosen.is_empty() {
                continue;
            }
            for measure in Measure::ALL {
                // An item without an undetermined or biased option has no value in these measures.
                let measured: Vec<usize> = chosen.iter().copied().filter(|&i| measure.applies(&items[i])).collect();
                if measured.is_empty() {
                    continue;
                }
                let groups: Vec<&str> = measured.iter().map(|&i| items[i].group.as_str()).collect();
                let bootstrap = ClusterBootstrap::new(&groups, draws, seed)?;
                for round in rounds {
                    let values = values(items, round, measure)?;
                    let values: Vec<f64> = measured.iter().map(|&i| values[i]).collect();
                    rows.push(BehaviourRow {
                        instruction: round.instruction.to_owned(),
                        round: round.round,
                        condition,
                        measure,
                        items: measured.len(),
                        value: bootstrap.mean(&values)?,
                    });
                }
            }
        }
        Ok(Behaviour { rows })
    }

    /// Paired change of a measure over all items, `after - before`, with its interval over groups of items.
    ///
    /// # Errors
    /// As [`Behaviour::measure`].
    pub fn change(
        items: &[ChoiceItem],
        before: &AnsweredRound<'_>,
        after: &AnsweredRound<'_>,
        measure: Measure,
        draws: usize,
        seed: u64,
    ) -> Result<Interval> {
        let groups: Vec<&str> = items.iter().map(|item| item.group.as_str()).collect();
        let before = values(items, before, measure)?;
        let after = values(items, after, measure)?;
        if let Some(item) = items.iter().find(|item| !measure.applies(item)) {
            return Err(Error::setting(
                "measure",
                format!("{measure:?}"),
                format!("item {:?} has no such option", item.id),
            ));
        }
        let differences: Vec<f64> = after.iter().zip(before).map(|(after, before)| after - before).collect();
        ClusterBootstrap::new(&groups, draws, seed)?.mean(&differences)
    }
}

fn values(items: &[ChoiceItem], round: &AnsweredRound<'_>, measure: Measure) -> Result<Vec<f64>> {
    if round.answers.len() != items.len() {
        let what = format!("answers of {} round {}", round.instruction, round.round);
        return Err(Error::RowCount { what, expected: items.len(), found: round.answers.len() });
    }
    Ok(items.iter().zip(round.answers).map(|(item, answer)| measure.value(item, answer)).collect())
}
