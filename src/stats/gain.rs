//! The mean of paired changes of which few differ from 0.

use std::collections::HashSet;

use ndarray::Array2;

use super::{ClusterBootstrap, ClusteredMeans, Interval, Resampled};
use crate::error::check_rows;
use crate::Result;

impl ClusterBootstrap {
    /// Mean over the rows of paired changes, `[n]`, with its interval: what an answer gains from one round to another.
    ///
    /// Where few answers change, resamples are too sure: four that became right among 50 that stayed are in nearly every
    /// resample, but by a fair coin all four go one way in 1 of 8 cases. So the interval reaches to 0 unless sign flips of
    /// whole clusters ([`SignFlips`](super::SignFlips)), exact for so few, find the change at 1 - level.
    ///
    /// ```
    /// use probity::stats::ClusterBootstrap;
    /// let rows: Vec<String> = (0..50).map(|row| row.to_string()).collect();
    /// let bootstrap = ClusterBootstrap::new(&rows, 2_000, 0)?;
    /// let better = |count: usize| -> Vec<f64> { (0..50).map(|row| if row < count { 1.0 } else { 0.0 }).collect() };
    /// assert_eq!(bootstrap.gain(&better(4))?.low, 0.0);
    /// assert!(bootstrap.gain(&better(6))?.low > 0.0);
    /// # Ok::<(), probity::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::RowCount`](crate::Error::RowCount) and [`Error::NotFinite`](crate::Error::NotFinite).
    pub fn gain(&self, changes: &[f64]) -> Result<Interval> {
        let interval = self.mean(changes)?;
        let changes: Vec<Option<f64>> = changes.iter().copied().map(Some).collect();
        self.unless_by_chance(interval, &changes)
    }

    /// [`ClusterBootstrap::gain`] of the rows that have a change, `[n]`; draws without any are counted as undefined. `None`
    /// where no row has one.
    ///
    /// # Errors
    /// As [`ClusterBootstrap::gain`].
    pub fn gain_where(&self, changes: &[Option<f64>]) -> Result<Option<Resampled>> {
        check_rows("changes", changes.len(), self.rows())?;
        let Some(Resampled { interval, undefined_draws }) = self.mean_where(changes) else { return Ok(None) };
        Ok(Some(Resampled { interval: self.unless_by_chance(interval, changes)?, undefined_draws }))
    }

    /// The interval, which reaches to 0 unless sign flips find the change too.
    fn unless_by_chance(&self, interval: Interval, changes: &[Option<f64>]) -> Result<Interval> {
        let rows = || changes.iter().zip(self.cluster_of_row()).filter_map(|(change, of)| Some(((*change)?, *of)));
        // Clusters without change have no sign to flip: without them, all patterns of few clusters are tried.
        let changing: HashSet<usize> = rows().filter(|(change, _)| *change != 0.0).map(|(_, of)| of).collect();
        if changing.is_empty() {
            return Ok(interval);
        }
        let (values, clusters): (Vec<f64>, Vec<String>) =
            rows().filter(|(_, of)| changing.contains(of)).map(|(change, of)| (change, of.to_string())).unzip();
        let column = Array2::from_shape_fn((values.len(), 1), |(row, _)| values[row]);
        let means = ClusteredMeans::new(column.view(), &clusters)?;
        let test = self.sign_flips(means.clusters())?.test(&means)?;
        if test.p.first().is_some_and(|&p| p <= 1.0 - self.level()) {
            return Ok(interval);
        }
        Ok(Interval { low: interval.low.min(0.0), high: interval.high.max(0.0), ..interval })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(n: usize) -> Vec<String> {
        (0..n).map(|row| row.to_string()).collect()
    }

    /// So many rows up, so many down, the rest as they were.
    fn changes(up: usize, down: usize, n: usize) -> Vec<f64> {
        (0..n).map(|row| if row < up { 1.0 } else { -f64::from(u8::from(row < up + down)) }).collect()
    }

    #[test]
    fn few_changes_are_no_sure_gain() {
        let bootstrap = ClusterBootstrap::new(&rows(50), 2_000, 0).unwrap();
        // All of 5 one way: 1 of 16 by chance. All of 6: 1 of 32.
        for (up, down, sure) in [(4, 0, false), (5, 0, false), (6, 0, true), (7, 1, false), (9, 1, true)] {
            let found = bootstrap.gain(&changes(up, down, 50)).unwrap();
            assert_eq!(found.low > 0.0, sure, "{up} up, {down} down: {found:?}");
            let worse = bootstrap.gain(&changes(down, up, 50)).unwrap();
            assert_eq!(worse.high < 0.0, sure, "{up} down, {down} up: {worse:?}");
        }
        assert_eq!(bootstrap.gain(&[0.0; 50]).unwrap(), Interval { estimate: 0.0, low: 0.0, high: 0.0 });
        assert!(bootstrap.gain(&[0.0]).is_err() && bootstrap.gain_where(&[None]).is_err());
        assert!(bootstrap.gain_where(&[None; 50]).unwrap().is_none());
    }

    #[test]
    fn a_part_of_the_rows_is_guarded_alike() {
        // 4 of a stratum of 20 became right: by plain resamples 0.2 [0.05, 0.4].
        let bootstrap = ClusterBootstrap::new(&rows(50), 2_000, 0).unwrap();
        let part = |up: usize| -> Vec<Option<f64>> {
            changes(up, 0, 50).into_iter().enumerate().map(|(row, change)| (row < 20).then_some(change)).collect()
        };
        assert!(bootstrap.mean_where(&part(4)).unwrap().interval.low > 0.0);
        let found = bootstrap.gain_where(&part(4)).unwrap().unwrap().interval;
        assert_eq!((found.estimate, found.low), (0.2, 0.0));
        assert!(bootstrap.gain_where(&part(8)).unwrap().unwrap().interval.low > 0.0);
        // Eight rows of four templates are four signs.
        let templates: Vec<String> = (0..50).map(|row| (row / 2).to_string()).collect();
        let bootstrap = ClusterBootstrap::new(&templates, 2_000, 0).unwrap();
        assert_eq!(bootstrap.gain_where(&part(8)).unwrap().unwrap().interval.low, 0.0);
        assert_eq!(bootstrap.gain(&changes(8, 0, 50)).unwrap().low, 0.0);
    }
}
