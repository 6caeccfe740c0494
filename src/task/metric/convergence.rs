//! The round from which answers no longer change.

use serde::{Deserialize, Serialize};

use super::check_rows;
use crate::stats::{ClusterBootstrap, Interval};
use crate::task::behaviour::{Choices, Measured};
use crate::{Error, Result};

pub(super) fn rows(study: &Choices<'_>) -> Result<Vec<Measured<Convergence>>> {
    study.by_course(|course, by, resamples| {
        if course.rounds.len() < 2 {
            return Ok(None);
        }
        Convergence::of(&course.options(by), resamples).map(Some)
    })
}

/// When answers settle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Convergence {
    /// For each item the first round, counted from 0 in the order given, from which its answer stays the same up
    /// to the last; `None` where the last two rounds differ or the last answer names no single option, `[n]`.
    pub rounds: Vec<Option<usize>>,
    /// Share of items that settled, over groups ([`ClusterBootstrap::share`]).
    pub settled: Interval,
    /// Mean round from which answers stay, among the items that settled.
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0)))]
    pub mean_round: Option<f64>,
}

impl Convergence {
    /// Looks where the options chosen in each round, `[r][n]`, stay.
    ///
    /// # Errors
    /// [`Error::Setting`] for fewer than two rounds; [`Error::RowCount`] unless rounds and resamples describe the same rows.
    pub fn of(rounds: &[Vec<Option<usize>>], resamples: &ClusterBootstrap) -> Result<Self> {
        let [_, .., last] = rounds else {
            return Err(Error::setting("rounds", rounds.len(), "at least two, to see whether an answer stays"));
        };
        for (round, chosen) in rounds.iter().enumerate() {
            check_rows(&format!("options chosen in round {round}"), chosen.len(), resamples.rows())?;
        }
        let settled_at = |(row, &end): (usize, &Option<usize>)| {
            let stays = rounds.iter().rev().take_while(|chosen| chosen.get(row) == Some(&end)).count();
            (end.is_some() && stays > 1).then_some(rounds.len() - stays)
        };
        let settled: Vec<Option<usize>> = last.iter().enumerate().map(settled_at).collect();
        let known: Vec<usize> = settled.iter().flatten().copied().collect();
        let holds: Vec<bool> = settled.iter().map(Option::is_some).collect();
        Ok(Convergence {
            settled: resamples.share(&holds)?,
            mean_round: (!known.is_empty()).then(|| known.iter().sum::<usize>() as f64 / known.len() as f64),
            rounds: settled,
        })
    }
}
