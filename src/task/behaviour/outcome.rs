//! How good each single answer is.

use std::collections::HashSet;

use ndarray::{ArrayView2, Axis};
use serde::{Deserialize, Serialize};

use super::Measured;
use crate::stats::{ClusteredMeans, Interval, Resampler};
use crate::{Condition, Error, Result};

/// One number for each item in each round, of which more is better.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Outcome {
    /// What it is: `accuracy` (1 where the most probable option is right, else 0), or `minus toxicity` of a
    /// continuation.
    pub name: String,
    /// Ids of the items, `[n]`.
    pub items: Vec<String>,
    /// Their groups, `[n]`, which are resampled.
    pub groups: Vec<String>,
    /// The values of each condition, `[n]`.
    pub series: Vec<Measured<Vec<f64>>>,
}

impl Outcome {
    /// An outcome of these items (ids and groups, `[n]` each) in no condition yet: [`Outcome::with_series`] adds each.
    pub fn new(name: impl Into<String>, items: Vec<String>, groups: Vec<String>) -> Self {
        Outcome { name: name.into(), items, groups, series: Vec::new() }
    }

    /// Adds the values of a condition, `[n]`.
    ///
    /// # Errors
    /// [`Error::RowCount`] for another number of items.
    pub fn with_series(mut self, condition: Condition, values: Vec<f64>) -> Result<Self> {
        crate::error::check_rows("outcomes", values.len(), self.items.len())?;
        self.series.push(Measured::new(&condition, values));
        Ok(self)
    }

    /// The values of a condition, `[n]`, if it was measured.
    pub fn series(&self, condition: &Condition) -> Option<&[f64]> {
        let found = self.series.iter().find(|series| series.condition == *condition);
        found.map(|series| series.result.as_slice())
    }

    /// Mean paired change between two conditions, `after - before`, with its interval over groups of items; `None` where
    /// one was not measured.
    ///
    /// Where few answers change, resamples are too sure: four that became right among 50 that stayed are in nearly every
    /// resample, but by a fair coin all four go one way in 1 of 8 cases. So the interval reaches to 0 unless sign flips of
    /// whole groups, exact for so few, find the change at 1 - level.
    ///
    /// # Errors
    /// [`Error::RowCount`] for a series that is not as long as the groups; [`Error::NotFinite`].
    pub(crate) fn gain(
        &self,
        before: &Condition,
        after: &Condition,
        resampler: &Resampler,
    ) -> Result<Option<Interval>> {
        let Some((before, after)) = self.series(before).zip(self.series(after)) else {
            return Ok(None);
        };
        crate::error::check_rows("outcomes before", before.len(), after.len())?;
        let gains: Vec<f64> = after.iter().zip(before).map(|(after, before)| after - before).collect();
        let interval = resampler.of(&self.groups)?.mean(&gains)?;
        let column = ArrayView2::from_shape((gains.len(), 1), &gains)
            .map_err(|error| Error::mismatch("outcomes", error.to_string()))?;
        let changing: Vec<usize> = changing_rows(&gains, &self.groups);
        if changing.is_empty() {
            return Ok(Some(interval));
        }
        // Groups without change have no sign to flip: without them, all patterns of few groups are tried.
        let groups: Vec<&str> = changing.iter().filter_map(|&row| self.groups.get(row).map(String::as_str)).collect();
        let means = ClusteredMeans::new(column.select(Axis(0), &changing).view(), &groups)?;
        let test = resampler.flips(means.clusters())?.test(&means)?;
        let found = test.p.first().is_some_and(|&p| p <= 1.0 - resampler.settings().level);
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
    use crate::stats::Settings;

    fn gain(up: usize, down: usize, items: usize) -> Interval {
        let after: Vec<f64> = (0..items).map(|item| f64::from(u8::from(item < up))).collect();
        let before: Vec<f64> = (0..items).map(|item| f64::from(u8::from((up..up + down).contains(&item)))).collect();
        let names: Vec<String> = (0..items).map(|item| item.to_string()).collect();
        let conditions = ["neutral", "L1"].map(|name| Condition::new(name, 1));
        let mut outcome = Outcome::new("accuracy", names.clone(), names);
        outcome.series = conditions
            .iter()
            .zip([before, after])
            .map(|(condition, values)| Measured::new(condition, values))
            .collect();
        let resampler = Resampler::new(Settings::default()).unwrap();
        outcome.gain(&conditions[0], &conditions[1], &resampler).unwrap().unwrap()
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
