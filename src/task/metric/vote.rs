//! Two yardsticks for self-correction (arXiv 2310.01798): a vote that costs as much, and stopping by an oracle.

use serde::{Deserialize, Serialize};

use super::{check_rows, indicator, right};
use crate::stats::{ClusterBootstrap, Interval};
use crate::task::ChoiceItem;
use crate::{Error, Result};

/// The option that most of the first `budget` samples of each item chose, `[n]`: give self-correction's number
/// of answers as the budget. Samples are `[n][k]`, drawn independently of each other. Of equally frequent
/// options the one sampled first wins; samples that name no single option do not vote, and `None` is the result
/// where none does.
///
/// # Errors
/// [`Error::Setting`] for a budget of 0, [`Error::RowCount`] for an item with fewer samples.
pub fn majority_vote(samples: &[Vec<Option<usize>>], budget: usize) -> Result<Vec<Option<usize>>> {
    if budget == 0 {
        return Err(Error::setting("budget", 0, "at least one sample an item"));
    }
    let vote = |(row, samples): (usize, &Vec<Option<usize>>)| {
        let samples = samples.get(..budget).ok_or_else(|| Error::RowCount {
            what: format!("samples of item {row}"),
            expected: budget,
            found: samples.len(),
        })?;
        // Pairs of option and votes, in the order of their first vote.
        let mut votes: Vec<(usize, usize)> = Vec::new();
        for &option in samples.iter().flatten() {
            match votes.iter_mut().find(|(known, _)| *known == option) {
                Some((_, count)) => *count += 1,
                None => votes.push((option, 1)),
            }
        }
        let most = votes.iter().map(|&(_, count)| count).max();
        Ok(votes.iter().find(|&&(_, count)| Some(count) == most).map(|&(option, _)| option))
    };
    samples.iter().enumerate().map(vote).collect()
}

/// What each item's answer would be if someone who knows the right one stopped the rounds as soon as it is
/// given: the right option if it is chosen in any round, otherwise the last round's choice. Rounds are `[r][n]`.
/// An upper bound that no method without the labels can claim.
///
/// # Errors
/// [`Error::Setting`] without rounds, [`Error::RowCount`] where a round has another number of rows.
pub fn oracle_stop(items: &[ChoiceItem], rounds: &[Vec<Option<usize>>]) -> Result<Vec<Option<usize>>> {
    let Some(last) = rounds.last() else {
        return Err(Error::setting("rounds", 0, "at least one"));
    };
    for (round, chosen) in rounds.iter().enumerate() {
        check_rows(&format!("options chosen in round {round}"), chosen.len(), items.len())?;
    }
    let stop = |(row, (item, &end)): (usize, (&ChoiceItem, &Option<usize>))| {
        let ever_right = rounds.iter().any(|chosen| chosen.get(row).is_some_and(|&chosen| right(item, chosen)));
        if ever_right {
            Some(item.label)
        } else {
            end
        }
    };
    Ok(items.iter().zip(last).enumerate().map(stop).collect())
}

/// What an oracle that stops the rounds would gain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OracleStop {
    /// Share of items that are right in some round.
    pub accuracy: Interval,
    /// Share of items that are right in the last round.
    pub last: Interval,
    /// The first minus the second: what self-correction found and lost again.
    pub lost: Interval,
}

impl OracleStop {
    /// From the options chosen in each round, `[r][n]` ([`oracle_stop`]).
    ///
    /// # Errors
    /// As [`oracle_stop`]; [`Error::RowCount`] unless the resamples describe the items.
    pub fn of(items: &[ChoiceItem], rounds: &[Vec<Option<usize>>], resamples: &ClusterBootstrap) -> Result<Self> {
        let stopped = oracle_stop(items, rounds)?;
        let shares = |chosen: &[Option<usize>]| -> Vec<f64> {
            items.iter().zip(chosen).map(|(item, &chosen)| indicator(right(item, chosen))).collect()
        };
        let (best, last) = (shares(&stopped), shares(rounds.last().map_or(&[], Vec::as_slice)));
        let lost: Vec<f64> = best.iter().zip(&last).map(|(best, last)| best - last).collect();
        Ok(OracleStop { accuracy: resamples.mean(&best)?, last: resamples.mean(&last)?, lost: resamples.mean(&lost)? })
    }
}
