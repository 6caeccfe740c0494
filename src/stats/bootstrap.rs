//! Bootstrap over clusters of rows, with the same resamples for every statistic.

use std::collections::HashMap;

use rand::Rng;
use serde::{Deserialize, Serialize};

use super::{quantile, rng, sum_of_products};
use crate::{Error, Result};

/// An estimate with the bounds of an interval around it, in the estimate's own unit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The statistic of the rows as they are.
    pub estimate: f64,
    /// Lower bound.
    pub low: f64,
    /// Upper bound.
    pub high: f64,
}

/// A bootstrapped statistic that some resamples may leave undefined.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Resampled {
    /// Estimate and percentile interval over the defined draws.
    pub interval: Interval,
    /// Draws in which the statistic was undefined, left out of the interval.
    pub undefined_draws: usize,
}

/// The percentile interval of `level` (0 to 1) from bootstrap draws, which are sorted in place.
pub fn percentile_interval(estimate: f64, draws: &mut [f64], level: f64) -> Interval {
    draws.sort_by(f64::total_cmp);
    let tail = (1.0 - level) / 2.0;
    Interval { estimate, low: quantile(draws, tail), high: quantile(draws, 1.0 - tail) }
}

/// Bootstrap that draws whole clusters (items, prompts, templates) with replacement.
///
/// The resamples are drawn once, as multiplicities `[draws, clusters]` (2 bytes each), so that the draws of
/// two statistics belong together: their difference is the bootstrap of the difference, and a maximum over
/// layers is a joint statement. Percentile intervals, level 0.95 unless changed. With fewer than some 10
/// clusters such intervals are too short, and with one they have no width: look at
/// [`ClusterBootstrap::clusters`].
///
/// ```
/// use probity::stats::ClusterBootstrap;
/// let bootstrap = ClusterBootstrap::new(&["a", "a", "b", "c"], 1_000, 0)?;
/// let interval = bootstrap.mean(&[1.0, 3.0, 5.0, 1.0])?;
/// assert_eq!(interval.estimate, 2.5);
/// assert!(interval.low < 2.5 && interval.high > 2.5);
/// # Ok::<(), probity::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct ClusterBootstrap {
    cluster_of_row: Vec<usize>,
    clusters: usize,
    /// `[draws, clusters]`, row after row.
    multiplicities: Vec<u16>,
    /// Rows in each resample, `[draws]`.
    resample_rows: Vec<f64>,
    level: f64,
}

impl ClusterBootstrap {
    /// Draws the resamples for rows in these groups, `[n]`.
    ///
    /// # Errors
    /// [`Error::Setting`] without rows, without draws, or with more than a million.
    pub fn new(groups: &[impl AsRef<str>], draws: usize, seed: u64) -> Result<Self> {
        if groups.is_empty() {
            return Err(Error::setting("groups", "none", "give at least one row"));
        }
        if !(1..=MAX_DRAWS).contains(&draws) {
            return Err(Error::setting("draws", draws, format!("1 to {MAX_DRAWS}")));
        }
        let mut index: HashMap<&str, usize> = HashMap::new();
        let mut sizes: Vec<f64> = Vec::new();
        let mut cluster_of_row = Vec::with_capacity(groups.len());
        for group in groups {
            let cluster = *index.entry(group.as_ref()).or_insert_with(|| {
                sizes.push(0.0);
                sizes.len() - 1
            });
            sizes[cluster] += 1.0;
            cluster_of_row.push(cluster);
        }
        let clusters = sizes.len();
        let mut rng = rng(seed, "bootstrap");
        let mut multiplicities = vec![0_u16; draws * clusters];
        for resample in multiplicities.chunks_exact_mut(clusters) {
            for _ in 0..clusters {
                // As u32, so that 32-bit and 64-bit machines draw the same.
                let drawn = rng.gen_range(0..clusters as u32) as usize;
                resample[drawn] = resample[drawn].saturating_add(1);
            }
        }
        let resample_rows =
            multiplicities.chunks_exact(clusters).map(|resample| sum_of_products(resample, &sizes)).collect();
        Ok(ClusterBootstrap { cluster_of_row, clusters, multiplicities, resample_rows, level: 0.95 })
    }

    /// Sets the level of the intervals, default 0.95.
    ///
    /// # Errors
    /// [`Error::Setting`] unless 0 < level < 1.
    pub fn with_level(mut self, level: f64) -> Result<Self> {
        check_level(level)?;
        self.level = level;
        Ok(self)
    }

    /// Rows of a statistic's input.
    pub fn rows(&self) -> usize {
        self.cluster_of_row.len()
    }

    /// Clusters that the rows fall into.
    pub fn clusters(&self) -> usize {
        self.clusters
    }

    /// Resamples.
    pub fn draws(&self) -> usize {
        self.resample_rows.len()
    }

    /// Level of the intervals.
    pub fn level(&self) -> f64 {
        self.level
    }

    /// Mean over the rows of `values`, `[n]`, with its interval.
    ///
    /// # Errors
    /// [`Error::RowCount`] and [`Error::NotFinite`].
    pub fn mean(&self, values: &[f64]) -> Result<Interval> {
        let mut draws = self.means(values)?;
        let estimate = values.iter().sum::<f64>() / values.len() as f64;
        Ok(percentile_interval(estimate, &mut draws, self.level))
    }

    /// Mean over the rows of `values`, `[n]`, in each resample, `[draws]`; draw k is the same resample in
    /// every call.
    ///
    /// # Errors
    /// [`Error::RowCount`] and [`Error::NotFinite`].
    pub fn means(&self, values: &[f64]) -> Result<Vec<f64>> {
        if values.len() != self.rows() {
            return Err(Error::RowCount { what: "values".into(), expected: self.rows(), found: values.len() });
        }
        if let Some(row) = values.iter().position(|value| !value.is_finite()) {
            return Err(Error::NotFinite { what: "values".into(), row, id: row.to_string() });
        }
        let mut sums = vec![0.0; self.clusters];
        for (&cluster, value) in self.cluster_of_row.iter().zip(values) {
            sums[cluster] += value;
        }
        let resamples = self.multiplicities.chunks_exact(self.clusters);
        Ok(resamples.zip(&self.resample_rows).map(|(resample, rows)| sum_of_products(resample, &sums) / rows).collect())
    }

    /// Any statistic of row weights, `[n]`: all 1 for the estimate, each row's multiplicity in a resample.
    ///
    /// `None` where the estimate or every draw is undefined.
    pub fn statistic(&self, mut statistic: impl FnMut(&[f64]) -> Option<f64>) -> Option<Resampled> {
        let mut weights = vec![1.0; self.rows()];
        let estimate = statistic(&weights)?;
        let mut draws = Vec::with_capacity(self.draws());
        for resample in self.multiplicities.chunks_exact(self.clusters) {
            for (weight, &cluster) in weights.iter_mut().zip(&self.cluster_of_row) {
                *weight = f64::from(resample[cluster]);
            }
            draws.extend(statistic(&weights));
        }
        let undefined_draws = self.draws() - draws.len();
        (!draws.is_empty())
            .then(|| Resampled { interval: percentile_interval(estimate, &mut draws, self.level), undefined_draws })
    }
}

/// More draws than this say nothing more, and their numbers would not fit into memory.
pub(crate) const MAX_DRAWS: usize = 1_000_000;

pub(crate) fn check_level(level: f64) -> Result<()> {
    if level > 0.0 && level < 1.0 {
        Ok(())
    } else {
        Err(Error::setting("level", level, "above 0 and below 1, such as 0.95"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::{normals, Ranking};

    fn groups(clusters: usize, rows_each: usize) -> Vec<String> {
        (0..clusters * rows_each).map(|row| format!("g{}", row / rows_each)).collect()
    }

    #[test]
    fn intervals_cover_clustered_means_where_row_intervals_do_not() {
        let (clusters, rows_each, worlds) = (40, 4, 300);
        let mut rng = rng(7, "coverage");
        let (mut clustered, mut by_row) = (0, 0);
        for world in 0..worlds {
            let mut noise = vec![0.0; clusters * (rows_each + 1)];
            normals(&mut rng, &mut noise);
            let (shared, own) = noise.split_at(clusters);
            let values: Vec<f64> =
                own.iter().enumerate().map(|(row, own)| shared[row / rows_each] + 0.5 * own).collect();
            let rows: Vec<String> = (0..values.len()).map(|row| row.to_string()).collect();
            for (groups, covered) in [(groups(clusters, rows_each), &mut clustered), (rows, &mut by_row)] {
                let interval = ClusterBootstrap::new(&groups, 400, world).unwrap().mean(&values).unwrap();
                *covered += usize::from(interval.low <= 0.0 && 0.0 <= interval.high);
            }
        }
        // 0.95 within sampling error and the known slight shortness; ignoring the clusters covers far less.
        assert!((0.90..=0.98).contains(&(clustered as f64 / worlds as f64)), "{clustered}");
        assert!((by_row as f64) < 0.85 * worlds as f64, "{by_row}");
    }

    #[test]
    fn a_mean_by_weights_is_the_mean_by_sums() {
        let values: Vec<f64> = (0..24).map(|row| ((row * 7) % 11) as f64).collect();
        let bootstrap = ClusterBootstrap::new(&groups(6, 4), 200, 3).unwrap();
        let by_weights = bootstrap
            .statistic(|w| Some(w.iter().zip(&values).map(|(w, v)| w * v).sum::<f64>() / w.iter().sum::<f64>()))
            .unwrap();
        let by_sums = bootstrap.mean(&values).unwrap();
        assert_eq!(by_weights.undefined_draws, 0);
        assert!((by_weights.interval.low - by_sums.low).abs() < 1e-12);
        assert!((by_weights.interval.high - by_sums.high).abs() < 1e-12);
    }

    #[test]
    fn undefined_draws_are_counted() {
        let positive = [true, false, false];
        let ranking = Ranking::new(&[3.0, 1.0, 2.0], &positive).unwrap();
        let bootstrap = ClusterBootstrap::new(&["a", "b", "c"], 500, 0).unwrap();
        let result = bootstrap.statistic(|weights| ranking.weighted_auroc(weights)).unwrap();
        assert_eq!(result.interval.estimate, 1.0);
        // The only positive is left out with chance (2/3)^3, both negatives with (1/3)^3: together 1/3.
        assert!((100..240).contains(&result.undefined_draws), "{}", result.undefined_draws);
        assert!(bootstrap.statistic(|_| None).is_none());
    }

    #[test]
    fn bad_input_is_an_error() {
        assert!(ClusterBootstrap::new(&[] as &[&str], 10, 0).is_err());
        assert!(ClusterBootstrap::new(&["a"], 0, 0).is_err());
        assert!(ClusterBootstrap::new(&["a", "b"], usize::MAX, 0).is_err());
        let bootstrap = ClusterBootstrap::new(&["a", "b"], 10, 0).unwrap();
        assert!(bootstrap.mean(&[1.0]).is_err());
        assert!(bootstrap.mean(&[1.0, f64::NAN]).is_err());
        assert!(bootstrap.with_level(1.0).is_err());
    }
}
