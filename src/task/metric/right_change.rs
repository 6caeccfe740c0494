//! How the score of the right option moves from one round to another, and whether it does so more at one rank.

use serde::{Deserialize, Serialize};

use super::check_rows;
use crate::stats::{ClusterBootstrap, Resampled};
use crate::task::{Answer, ChoiceItem};
use crate::{Error, Result};

/// Mean change of the right option's score, later minus earlier round, with intervals over groups of items.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct RightChange {
    /// Of its probability among the options, p.
    pub probability: Resampled,
    /// Of its logit among the options, ln p - ln(1 - p), in nats: a probability near 1 has little room left, its logit has.
    pub log_odds: Resampled,
    /// Of the log-probability of the right option, as it is shown, as the whole answer
    /// ([`OptionScore::total`](crate::task::OptionScore::total)), in nats; the other options have no part in it.
    pub log_probability: Resampled,
}

/// What one rank of the right option at baseline gains more than others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct RankContrast {
    /// The rank that rank 1 is compared with; `None`: all others together.
    pub with: Option<usize>,
    /// Items of rank 1.
    pub first_items: usize,
    /// Items that they are compared with.
    pub other_items: usize,
    /// Gain at rank 1 minus gain at the others, both instructed minus neutral as shares of right answers. At rank 1 every
    /// answer was right, so that its gain is what the instruction retains over the re-ask; at the others it is what it wins.
    pub gain: Resampled,
    /// The same difference of the change of the right option's logit, instructed minus neutral, in nats.
    pub log_odds: Resampled,
}

/// The right option's score in each answer, `[n]` each.
#[derive(Clone)]
pub(super) struct RightScores {
    probability: Vec<f64>,
    pub log_odds: Vec<f64>,
    log_probability: Vec<f64>,
}

impl RightScores {
    /// The scores of the answers to these items.
    ///
    /// # Errors
    /// [`Error::RowCount`]; [`Error::Setting`] for an answer without a score of the right option.
    pub fn of(what: &str, items: &[ChoiceItem], answers: &[Answer]) -> Result<Self> {
        check_rows(&format!("{what} answers"), answers.len(), items.len())?;
        let mut scores = RightScores { probability: Vec::new(), log_odds: Vec::new(), log_probability: Vec::new() };
        for (item, answer) in items.iter().zip(answers) {
            let own = answer.probabilities.get(item.label).zip(answer.scores.get(item.label));
            let missing = || Error::setting("answer", &answer.item, "has no probability of the right option");
            let (&p, score) = own.ok_or_else(missing)?;
            let others: f64 = answer
                .probabilities
                .iter()
                .enumerate()
                .filter(|&(option, _)| option != item.label)
                .map(|(_, p)| p)
                .sum();
            // A share below what a number holds is that little, not none.
            let log = |p: f64| p.max(f64::MIN_POSITIVE).ln();
            scores.probability.push(p);
            scores.log_odds.push(log(p) - log(others));
            scores.log_probability.push(score.total);
        }
        Ok(scores)
    }

    /// Change of each item since `before`.
    pub fn since(&self, before: &RightScores) -> RightScores {
        let minus =
            |after: &[f64], before: &[f64]| after.iter().zip(before).map(|(after, before)| after - before).collect();
        RightScores {
            probability: minus(&self.probability, &before.probability),
            log_odds: minus(&self.log_odds, &before.log_odds),
            log_probability: minus(&self.log_probability, &before.log_probability),
        }
    }

    /// Means over the rows that are counted, `[n]`; `None` where there are none.
    pub fn mean(&self, counted: impl Fn(usize) -> bool, resamples: &ClusterBootstrap) -> Option<RightChange> {
        let mean = |values: &[f64]| {
            let of_row = |(row, &value): (usize, &f64)| counted(row).then_some(value);
            resamples.mean_where(&values.iter().enumerate().map(of_row).collect::<Vec<_>>())
        };
        Some(RightChange {
            probability: mean(&self.probability)?,
            log_odds: mean(&self.log_odds)?,
            log_probability: mean(&self.log_probability)?,
        })
    }
}

/// Rank 1 against all others, then against each: `gain` and `log_odds` are instructed minus neutral of each item, `[n]`.
pub(super) fn contrasts(
    rank: &[usize],
    gain: &[f64],
    log_odds: &[f64],
    resamples: &ClusterBootstrap,
) -> Vec<RankContrast> {
    let last = rank.iter().copied().max().unwrap_or(0);
    let each = (2..=last).map(Some).filter(|_| last > 2);
    let contrast = |with: Option<usize>| {
        let other = |rank: usize| if let Some(with) = with { rank == with } else { rank > 1 };
        let count = |holds: &dyn Fn(usize) -> bool| rank.iter().filter(|&&rank| holds(rank)).count();
        let difference = |values: &[f64]| {
            resamples.statistic(|weights| {
                let mean = |holds: &dyn Fn(usize) -> bool| {
                    let (mut sum, mut total) = (0.0, 0.0);
                    for ((&weight, &value), &rank) in weights.iter().zip(values).zip(rank) {
                        if holds(rank) {
                            (sum, total) = (sum + weight * value, total + weight);
                        }
                    }
                    (total > 0.0).then(|| sum / total)
                };
                Some(mean(&|rank| rank == 1)? - mean(&other)?)
            })
        };
        Some(RankContrast {
            with,
            first_items: count(&|rank| rank == 1),
            other_items: count(&other),
            gain: difference(gain)?,
            log_odds: difference(log_odds)?,
        })
    };
    std::iter::once(None).chain(each).filter_map(contrast).collect()
}
