//! How good each single answer is.

use std::collections::HashSet;

use ndarray::{ArrayView2, Axis};
use serde::{Deserialize, Serialize};

use super::Measured;
use crate::stats::{ClusterBootstrap, ClusteredMeans, Interval, SignFlips};
use crate::{Error, Result};

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

    /// Mean paired change between two conditions of instruction and round, `after - before`, with its 95 % interval over
    /// groups of items; `None` where one was not measured.
    ///
    /// Where few answers change, resamples are too sure: four that became right among 50 that stayed are in nearly every
    /// resample, but by a fair coin all four go one way in 1 of 8 cases. So the interval reaches to 0 unless sign flips of whole
    /// groups, exact for so few, find the change at 5 %.
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
        let interval = ClusterBootstrap::new(&self.groups, draws, seed)?.mean(&gains)?;
        let column = ArrayView2::from_shape((gains.len(), 1), &gains)
            .map_err(|error| Error::Mismatch { what: "outcomes".into(), problem: error.to_string() })?;
        let changing: Vec<usize> = changing_rows(&gains, &self.groups);
        if changing.is_empty() {
            return Ok(Some(interval));
        }
        // Groups without change have no sign to flip: without them, all patterns of few groups are tried.
        let groups: Vec<&str> = changing.iter().filter_map(|&row| self.groups.get(row).map(String::as_str)).collect();
        let means = ClusteredMeans::new(column.select(Axis(0), &changing).view(), &groups)?;
        let test = SignFlips::new(means.clusters(), draws, seed)?.test(&means)?;
        let found = test.p.first().is_some_and(|&p| p <= 0.05);
        let reach =
            |interval: Interval| Interval { low: interval.low.min(0.0), high: interval.high.max(0.0), ..interval };
        Ok(Some(if found { interval } else { reach(interval) }))
    }
}

/// Rows of the groups in which some value is not 0.
fn changing_rows(values: &[f64], groups: &[String]) -> Vec<usize> {
    let changing: HashSet<&str> =
        values.iter().zip(groups).filter(|(value, _)| **value != 0.0).map(|(_, group)| group.as_str()).collect();
    (0..values.len().min(groups.len())).filter(|&row| changing.contains(groups[row].as_str())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gain(up: usize, down: usize, items: usize) -> Interval {
        let after: Vec<f64> = (0..items).map(|item| f64::from(u8::from(item < up))).collect();
        let before: Vec<f64> = (0..items).map(|item| f64::from(u8::from((up..up + down).contains(&item)))).collect();
        let series = |instruction: &str, result| Measured {
            instruction: instruction.into(),
            round: 1,
            from: None,
            category: None,
            chosen: None,
            result,
        };
        let names: Vec<String> = (0..items).map(|item| item.to_string()).collect();
        let outcome = Outcome {
            name: "accuracy".into(),
            items: names.clone(),
            groups: names,
            series: vec![series("neutral", before), series("L1", after)],
        };
        outcome.gain(("neutral", 1), ("L1", 1), 2_000, 0).unwrap().unwrap()
    }

    #[test]
    fn few_changes_are_no_sure_gain() {
        // All of 5 one way: 1 of 16 by chance. All of 6: 1 of 32.
        for (up, down, sure) in [(4, 0, false), (5, 0, false), (6, 0, true), (7, 1, false), (9, 1, true)] {
            let found = gain(up, down, 50);
            assert_eq!(found.low > 0.0, sure, "{up} up, {down} down: {found:?}");
            let worse = gain(down, up, 50);
            assert_eq!(worse.high < 0.0, sure, "{up} down, {down} up: {worse:?}");
        }
        assert_eq!(gain(0, 0, 50), Interval { estimate: 0.0, low: 0.0, high: 0.0 });
    }
}
