//! Stopping by an oracle, a bound for self-correction (arXiv 2310.01798).

use serde::{Deserialize, Serialize};

use super::{check_rows, right};
use crate::stats::{ClusterBootstrap, Interval};
use crate::task::behaviour::{Choices, Measured};
use crate::task::ChoiceItem;
use crate::{Error, Result};

pub(super) fn rows(study: &Choices<'_>) -> Result<Vec<Measured<OracleStop>>> {
    study.by_course(|course, by, resamples| OracleStop::of(study.items, &course.options(by), resamples).map(Some))
}

/// What an oracle that stops the rounds would gain; shares are over groups ([`ClusterBootstrap::share`]).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct OracleStop {
    /// Share of items that are right in some round.
    pub accuracy: Interval,
    /// Share of items that are right in the last round.
    pub last: Interval,
    /// Share of items that are right in some round and not in the last: what self-correction found and lost again.
    pub lost: Interval,
}

impl OracleStop {
    /// Measures the answers of [`OracleStop::chosen`] and of the last round; rounds are `[r][n]`.
    ///
    /// # Errors
    /// [`Error::Setting`] without rounds; [`Error::RowCount`] unless rounds and resamples describe the items.
    pub fn of(items: &[ChoiceItem], rounds: &[Vec<Option<usize>>], resamples: &ClusterBootstrap) -> Result<Self> {
        let stopped = OracleStop::chosen(items, rounds)?;
        let all_right = |chosen: &[Option<usize>]| -> Vec<bool> {
            items.iter().zip(chosen).map(|(item, &chosen)| right(item, chosen)).collect()
        };
        let (best, last) = (all_right(&stopped), all_right(rounds.last().map_or(&[], Vec::as_slice)));
        let lost: Vec<bool> = best.iter().zip(&last).map(|(best, last)| *best && !last).collect();
        let share = |holds: &[bool]| resamples.share(holds);
        Ok(OracleStop { accuracy: share(&best)?, last: share(&last)?, lost: share(&lost)? })
    }

    /// What each item's answer would be if someone who knows the right one stopped the rounds as soon as it is
    /// given: the right option if it is chosen in any round, otherwise the last round's choice. Rounds are `[r][n]`.
    /// An upper bound that no method without the labels can claim.
    ///
    /// # Errors
    /// [`Error::Setting`] without rounds, [`Error::RowCount`] where a round has another number of rows.
    pub fn chosen(items: &[ChoiceItem], rounds: &[Vec<Option<usize>>]) -> Result<Vec<Option<usize>>> {
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
}
