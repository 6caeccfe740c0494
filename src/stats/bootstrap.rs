//! Bootstrap over clusters of rows, with the same resamples for every statistic.

use std::collections::HashMap;

use rand::Rng;

use super::interval::expanded_level;
use super::{bca_interval, percentile_interval, rng, sum_of_products, Interval, IntervalMethod, Resampled, SignFlips};
use crate::{Error, Result};

/// Bootstrap that draws whole clusters (items, prompts, templates) with replacement.
///
/// The resamples are drawn once, as multiplicities `[draws, clusters]` (2 bytes each), so that the draws of
/// two statistics belong together: their difference is the bootstrap of the difference, and a maximum over
/// layers is a joint statement. Percentile intervals of level 0.95 unless changed. With fewer than some 10
/// clusters the percentiles are those of a handful of resamples, and with one they have no width: look at
/// [`ClusterBootstrap::clusters`]. For an AUROC, [`Ranking::interval`](super::Ranking::interval) keeps its level
/// where both methods here fall short of it.
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
    /// Rows in each cluster, `[clusters]`.
    sizes: Vec<f64>,
    /// `[draws, clusters]`, row after row.
    multiplicities: Vec<u16>,
    /// Rows in each resample, `[draws]`.
    resample_rows: Vec<f64>,
    level: f64,
    method: IntervalMethod,
    flips: usize,
    seed: u64,
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
        let (cluster_of_row, clusters) = number_clusters(groups);
        let mut sizes = vec![0.0; clusters];
        cluster_of_row.iter().for_each(|&cluster| sizes[cluster] += 1.0);
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
        let (level, method) = (0.95, IntervalMethod::Percentile);
        let flips = draws;
        Ok(ClusterBootstrap {
            cluster_of_row,
            clusters,
            sizes,
            multiplicities,
            resample_rows,
            level,
            method,
            flips,
            seed,
        })
    }

    /// Sets the sign flips of [`ClusterBootstrap::gain`], by default as many as resamples.
    pub(super) fn with_flips(self, flips: usize) -> Self {
        ClusterBootstrap { flips, ..self }
    }

    /// Sets how bounds follow from the draws, default [`IntervalMethod::Percentile`].
    pub fn with_method(mut self, method: IntervalMethod) -> Self {
        self.method = method;
        self
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

    /// Seed of the draws.
    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    /// Mean over the rows of `values`, `[n]`, with its interval.
    ///
    /// # Errors
    /// [`Error::RowCount`] and [`Error::NotFinite`].
    pub fn mean(&self, values: &[f64]) -> Result<Interval> {
        let mut draws = self.means(values)?;
        let (sum, rows) = (values.iter().sum::<f64>(), values.len() as f64);
        let without = || {
            let sums = self.sums(values);
            let rest = sums.iter().zip(&self.sizes).map(|(of_cluster, size)| (sum - of_cluster) / (rows - size));
            rest.filter(|mean| mean.is_finite()).collect()
        };
        Ok(self.interval(sum / rows, &mut draws, without))
    }

    /// Mean over the rows of `values`, `[n]`, in each resample, `[draws]`; draw k is the same resample in
    /// every call.
    ///
    /// # Errors
    /// [`Error::RowCount`] and [`Error::NotFinite`].
    pub fn means(&self, values: &[f64]) -> Result<Vec<f64>> {
        if values.len() != self.rows() {
            return Err(Error::row_count("values", self.rows(), values.len()));
        }
        if let Some(row) = values.iter().position(|value| !value.is_finite()) {
            return Err(Error::not_finite("values", row, row.to_string()));
        }
        let sums = self.sums(values);
        let resamples = self.multiplicities.chunks_exact(self.clusters);
        Ok(resamples.zip(&self.resample_rows).map(|(resample, rows)| sum_of_products(resample, &sums) / rows).collect())
    }

    /// Any statistic of row weights, `[n]`: all 1 for the estimate, each row's multiplicity in a resample.
    ///
    /// `None` where the estimate or every draw is undefined.
    pub fn statistic(&self, mut statistic: impl FnMut(&[f64]) -> Option<f64>) -> Option<Resampled> {
        let estimate = statistic(&vec![1.0; self.rows()])?;
        let mut draws = Vec::with_capacity(self.draws());
        self.each_resample(|weights| draws.extend(statistic(weights)));
        if draws.is_empty() {
            return None;
        }
        let undefined_draws = self.draws() - draws.len();
        let without = || {
            let mut weights = vec![1.0; self.rows()];
            let leave_out = |cluster: usize| {
                for (weight, &of_row) in weights.iter_mut().zip(&self.cluster_of_row) {
                    *weight = f64::from(u8::from(of_row != cluster));
                }
                statistic(&weights)
            };
            (0..self.clusters).filter_map(leave_out).collect()
        };
        Some(Resampled { interval: self.interval(estimate, &mut draws, without), undefined_draws })
    }

    /// The interval of `level` around an estimate from its values in these resamples, which are sorted in place: percentiles,
    /// expanded for the number of clusters ([`IntervalMethod::Percentile`]).
    pub(crate) fn percentiles(&self, estimate: f64, draws: &mut [f64], level: f64) -> Interval {
        percentile_interval(estimate, draws, expanded_level(level, self.clusters))
    }

    /// Mean of the values that are there, `[n]`; draws without any are counted as undefined. `None` where there are none.
    pub(crate) fn mean_where(&self, values: &[Option<f64>]) -> Option<Resampled> {
        self.statistic(|weights| {
            let (mut sum, mut total) = (0.0, 0.0);
            for (value, weight) in values.iter().zip(weights) {
                if let Some(value) = value {
                    sum += weight * value;
                    total += weight;
                }
            }
            (total > 0.0).then(|| sum / total)
        })
    }

    /// Calls `each` with every resample's multiplicities of the rows, `[n]`, in order.
    pub(super) fn each_resample(&self, mut each: impl FnMut(&[f64])) {
        let mut weights = vec![1.0; self.rows()];
        for resample in self.multiplicities.chunks_exact(self.clusters) {
            for (weight, &cluster) in weights.iter_mut().zip(&self.cluster_of_row) {
                *weight = f64::from(resample[cluster]);
            }
            each(&weights);
        }
    }

    /// Sign flips of so many clusters.
    pub(super) fn sign_flips(&self, clusters: usize) -> Result<SignFlips> {
        SignFlips::new(clusters, self.flips, self.seed)
    }

    /// Cluster of each row, `[n]`.
    pub(super) fn cluster_of_row(&self) -> &[usize] {
        &self.cluster_of_row
    }

    /// How often each cluster was drawn, `[draws, clusters]`, row after row.
    pub(super) fn multiplicities(&self) -> &[u16] {
        &self.multiplicities
    }

    /// Sum of the rows' values in each cluster, `[clusters]`.
    fn sums(&self, values: &[f64]) -> Vec<f64> {
        let mut sums = vec![0.0; self.clusters];
        for (&cluster, value) in self.cluster_of_row.iter().zip(values) {
            sums[cluster] += value;
        }
        sums
    }

    fn interval(&self, estimate: f64, draws: &mut [f64], without_each: impl FnOnce() -> Vec<f64>) -> Interval {
        match self.method {
            IntervalMethod::Percentile => self.percentiles(estimate, draws, self.level),
            IntervalMethod::Bca => bca_interval(estimate, draws, &without_each(), self.level),
        }
    }
}

/// The cluster of each row by number, in order of first appearance, and the clusters.
pub(super) fn number_clusters(groups: &[impl AsRef<str>]) -> (Vec<usize>, usize) {
    let mut index: HashMap<&str, usize> = HashMap::new();
    let numbered = groups.iter().map(|group| {
        let next = index.len();
        *index.entry(group.as_ref()).or_insert(next)
    });
    let numbered = numbered.collect();
    (numbered, index.len())
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
