//! How good each single answer is.

use serde::{Deserialize, Serialize};

use super::Measured;
use crate::stats::{ClusterBootstrap, Interval};
use crate::Result;

/// One number for each item in each round, of which more is better.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// What it is: `accuracy` (1 where the most probable option is right, else 0), or `minus toxicity` of a
    /// continuation.
    pub name: String,
    /// Ids of the items, `[n]`.
    pub items: Vec<String>,
    /// Their groups, `[n]`, which are resampled.
    pub groups: Vec<String>,
    /// The values of each instruction and round, `[n]`.
    pub series: Vec<Measured<Vec<f64>>>,
}

impl Outcome {
    /// The values of an instruction in a round, `[n]`, if it was measured.
    pub fn series(&self, instruction: &str, round: usize) -> Option<&[f64]> {
        let found = self.series.iter().find(|series| series.instruction == instruction && series.round == round);
        found.map(|series| series.result.as_slice())
    }

    /// Mean paired change between two conditions of instruction and round, `after - before`, with its interval over
    /// groups of items; `None` where one was not measured.
    ///
    /// # Errors
    /// [`crate::Error::Setting`] for the draws; [`crate::Error::RowCount`] for a series that is not as long as the
    /// groups.
    pub fn gain(
        &self,
        before: (&str, usize),
        after: (&str, usize),
        draws: usize,
        seed: u64,
    ) -> Result<Option<Interval>> {
        let Some((before, after)) = self.series(before.0, before.1).zip(self.series(after.0, after.1)) else {
            return Ok(None);
        };
        super::super::check_rows("outcomes before", before.len(), after.len())?;
        let gains: Vec<f64> = after.iter().zip(before).map(|(after, before)| after - before).collect();
        ClusterBootstrap::new(&self.groups, draws, seed)?.mean(&gains).map(Some)
    }
}
