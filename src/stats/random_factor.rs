//! A random factor that is crossed with clusters of rows, such as the wordings of an instruction over items.

use ndarray::{Array2, ArrayView1, ArrayView2};
use serde::{Deserialize, Serialize};

use super::bootstrap::number_clusters;
use super::{student_upper_quantile, ClusterBootstrap, ClusteredMeans, Interval, Tail};
use crate::error::check_rows;
use crate::{Error, Result};

/// A factor whose levels are a sample too, such as the wordings of an instruction: a mean over rows is one over the levels
/// that happened to be used, and its interval must say what other levels would have given (Clark 1973).
///
/// With K levels, mean m_w over the n_w rows of level w, and clusters that are drawn anew:
///
/// - s^2 is the sample variance of the m_w, and tr(C S) / (K - 1) what of it the clusters make, with S the covariance of the
///   m_w by clusters, S = G/(G-1) sum_g z_g z_g', z_gw the sum of the rows of cluster g and level w around m_w, over n_w, and C
///   what takes the mean out. The variance between levels is what is left, and not below 0.
/// - It adds f times itself to the variance of the overall mean: f is the sum over w of (n_w / n)^2, less what of it the
///   clusters' own standard error ([`ClusteredMeans`]) holds already.
/// - K - 1 degrees of freedom belong to it.
///
/// This is the two-way variance of Cameron, Gelbach and Miller (2011, equation 2.10), of which the part that rows in one cluster
/// and one level share is taken off by its expectation, so that it is never negative.
///
/// ```
/// use probity::stats::{ClusterBootstrap, RandomFactor};
/// let wordings: Vec<usize> = (0..40).map(|row| row % 4).collect();
/// let items: Vec<String> = (0..40).map(|row| row.to_string()).collect();
/// let values: Vec<f64> = wordings.iter().map(|&wording| wording as f64).collect();
/// let factor = RandomFactor::new(&wordings, &items)?.ok_or("one level")?;
/// let bootstrap = ClusterBootstrap::new(&items, 2_000, 0)?;
/// let interval = factor.mean(&values, &bootstrap)?;
/// // Four wordings, 3 degrees of freedom: much wider than over 40 items alone.
/// assert!(interval.high - interval.low > 3.0 * (bootstrap.mean(&values)?.high - bootstrap.mean(&values)?.low));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct RandomFactor {
    /// Level of each row by its place among `labels`, `[n]`.
    level_of_row: Vec<usize>,
    /// Labels of the levels, in order.
    labels: Vec<usize>,
    cluster_of_row: Vec<usize>,
    clusters: usize,
    /// Rows of each level.
    sizes: Vec<f64>,
    /// f: the share of the variance between levels that a mean's variance lacks.
    share: f64,
}

/// Where the variance of rows comes from.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct FactorVariance {
    /// Variance between levels, beyond what the rows' own variance makes of the levels' means; 0 or more.
    pub between: f64,
    /// Variance of rows within a level, over n - K.
    pub within: f64,
    /// `between` over the sum of both; 0 where nothing varies.
    pub share: f64,
}

/// Moments of one column.
struct Split {
    /// m_w.
    means: Vec<f64>,
    /// s^2.
    spread: f64,
    /// The variance between levels.
    between: f64,
    within: f64,
}

impl RandomFactor {
    /// The factor with these labels of the rows, `[n]`, whose clusters are `groups`, `[n]`; `None` where there is but one level.
    ///
    /// # Errors
    /// [`Error::RowCount`]; [`Error::Setting`] without rows.
    pub fn new(labels: &[usize], groups: &[impl AsRef<str>]) -> Result<Option<Self>> {
        check_rows("labels", labels.len(), groups.len())?;
        if groups.is_empty() {
            return Err(Error::setting("groups", "none", "give at least one row"));
        }
        let (cluster_of_row, clusters) = number_clusters(groups);
        let mut names = labels.to_vec();
        names.sort_unstable();
        names.dedup();
        if names.len() < 2 || clusters < 2 {
            return Ok(None);
        }
        let level_of_row: Vec<usize> = labels.iter().map(|label| names.binary_search(label).unwrap_or(0)).collect();
        let mut both = Array2::<f64>::zeros((clusters, names.len()));
        level_of_row.iter().zip(&cluster_of_row).for_each(|(&level, &cluster)| both[[cluster, level]] += 1.0);
        let sizes = both.sum_axis(ndarray::Axis(0)).to_vec();
        let rows = labels.len() as f64;
        // What the levels make of the sums by cluster around the mean, from which its standard error is.
        let mut held = 0.0;
        for of_cluster in both.outer_iter() {
            let all = of_cluster.sum();
            held += of_cluster.iter().zip(&sizes).map(|(n, size)| (n - all * size / rows).powi(2)).sum::<f64>();
        }
        let held = clusters as f64 / (clusters as f64 - 1.0) * held;
        let share = (sizes.iter().map(|size| size * size).sum::<f64>() - held).max(0.0) / (rows * rows);
        Ok(Some(RandomFactor { level_of_row, labels: names, cluster_of_row, clusters, sizes, share }))
    }

    /// Labels of the levels, in order, `[k]`.
    pub fn labels(&self) -> &[usize] {
        &self.labels
    }

    /// Degrees of freedom, levels - 1.
    pub fn degrees(&self) -> f64 {
        self.labels.len() as f64 - 1.0
    }

    /// The rows of a level, by its place among the labels.
    pub fn rows_of(&self, place: usize) -> Vec<usize> {
        self.level_of_row.iter().enumerate().filter(|(_, level)| **level == place).map(|(row, _)| row).collect()
    }

    /// Where the variance of `values`, `[n]`, comes from.
    ///
    /// # Errors
    /// [`Error::RowCount`].
    pub fn variance(&self, values: &[f64]) -> Result<FactorVariance> {
        check_rows("values", values.len(), self.level_of_row.len())?;
        let Split { between, within, .. } = self.split(ArrayView1::from(values));
        let all = between + within;
        Ok(FactorVariance { between, within, share: if all > 0.0 { between / all } else { 0.0 } })
    }

    /// The mean of `values`, `[n]`, with an interval over clusters and levels together: bootstrap-t of the clusters, with a
    /// normal variable times each level's part in each draw, and a variance as unsure as one of K - 1 degrees of freedom.
    ///
    /// # Errors
    /// [`Error::RowCount`], [`Error::NotFinite`].
    pub fn mean(&self, values: &[f64], bootstrap: &ClusterBootstrap) -> Result<Interval> {
        check_rows("values", values.len(), self.level_of_row.len())?;
        let column = Array2::from_shape_fn((values.len(), 1), |(row, _)| values[row]);
        let groups: Vec<String> = self.cluster_of_row.iter().map(ToString::to_string).collect();
        let means = ClusteredMeans::new(column.view(), &groups)?;
        let drawn = bootstrap.studentised(&means)?;
        let drawn = drawn.with_source(self.deviations(column.view()).view(), bootstrap.seed(), FACTOR)?;
        let (estimate, error) = (means.means()[0], drawn.standard_errors()[0]);
        let half = 0.5 * (1.0 + bootstrap.level());
        let reach = |tail| if error == 0.0 { 0.0 } else { drawn.critical(&[0], half, tail) * error };
        Ok(Interval { estimate, low: estimate - reach(Tail::Below), high: estimate + reach(Tail::Above) })
    }

    /// An interval of `level` over clusters alone, of the mean of `values`, widened by the levels: each bound's distance and
    /// Student's bound of the levels' part, squared and added (MOVER; Zou and Donner 2008).
    ///
    /// # Errors
    /// [`Error::RowCount`].
    pub(crate) fn widen(&self, interval: Interval, values: &[f64], level: f64) -> Result<Interval> {
        check_rows("values", values.len(), self.level_of_row.len())?;
        let error = (self.share * self.split(ArrayView1::from(values)).between).sqrt();
        let reach = student_upper_quantile(0.5 * (1.0 - level), self.degrees()) * error;
        let Interval { estimate, low, high } = interval;
        let wider = |distance: f64| distance.hypot(reach);
        Ok(Interval { estimate, low: estimate - wider(estimate - low), high: estimate + wider(high - estimate) })
    }

    /// What each level adds to the mean of each column, `[k, m]`: their squares sum to the variance that the levels add.
    pub(crate) fn deviations(&self, columns: ArrayView2<'_, f64>) -> Array2<f64> {
        let k = self.labels.len();
        let mut deviations = Array2::zeros((k, columns.ncols()));
        for (column, mut deviations) in columns.columns().into_iter().zip(deviations.columns_mut()) {
            let Split { means, spread, between, .. } = self.split(column);
            if between <= 0.0 {
                continue;
            }
            let middle = means.iter().sum::<f64>() / k as f64;
            let scale = (self.share * between / (spread * (k as f64 - 1.0))).sqrt();
            deviations.iter_mut().zip(&means).for_each(|(deviation, mean)| *deviation = scale * (mean - middle));
        }
        deviations
    }

    fn split(&self, values: ArrayView1<'_, f64>) -> Split {
        let k = self.labels.len();
        let mut means = vec![0.0; k];
        for (&level, value) in self.level_of_row.iter().zip(values) {
            means[level] += value / self.sizes[level];
        }
        let mut by_cluster = Array2::<f64>::zeros((self.clusters, k));
        let mut squares = 0.0;
        for ((&level, &cluster), value) in self.level_of_row.iter().zip(&self.cluster_of_row).zip(values) {
            let rest = value - means[level];
            squares += rest * rest;
            by_cluster[[cluster, level]] += rest / self.sizes[level];
        }
        let middle = means.iter().sum::<f64>() / k as f64;
        let spread = means.iter().map(|mean| (mean - middle).powi(2)).sum::<f64>() / (k as f64 - 1.0);
        let centred = |row: ArrayView1<'_, f64>| {
            let middle = row.sum() / k as f64;
            row.iter().map(|value| (value - middle).powi(2)).sum::<f64>()
        };
        let clusters = self.clusters as f64;
        let noise = by_cluster.outer_iter().map(centred).sum::<f64>() * clusters / (clusters - 1.0) / (k as f64 - 1.0);
        let degrees = (self.level_of_row.len() as f64 - k as f64).max(1.0);
        // A difference within rounding is none.
        let between = spread - noise;
        let between = if between <= 1e-12 * spread.abs() { 0.0 } else { between };
        Split { means, spread, between, within: squares / degrees }
    }
}

/// The stream of draws that stand for levels, apart from those of other sources.
pub(crate) const FACTOR: &str = "random factor";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::{normals, rng};

    const GROUPS: usize = 40;
    const LEVELS: usize = 10;

    /// Rows of `each` items in each group, one level each, with effects of these deviations.
    fn world(each: usize, between: f64, seed: u64) -> (Vec<f64>, Vec<usize>, Vec<String>) {
        let n = GROUPS * each;
        let mut noise = vec![0.0; LEVELS + GROUPS + n];
        normals(&mut rng(seed, "random factor tests"), &mut noise);
        let (levels, rest) = noise.split_at(LEVELS);
        let (groups, own) = rest.split_at(GROUPS);
        let label = |row: usize| (row + row / LEVELS * 3) % LEVELS;
        let value = |row: usize| between * levels[label(row)] + 0.5 * groups[row / each] + own[row];
        ((0..n).map(value).collect(), (0..n).map(label).collect(), (0..n).map(|row| (row / each).to_string()).collect())
    }

    #[test]
    fn intervals_over_ten_levels_cover_where_those_over_rows_do_not() {
        const WORLDS: u64 = 600;
        for (each, between, most_ignoring) in [(4, 0.0, 1.0), (1, 0.5, 0.92), (4, 0.5, 0.82), (4, 1.0, 0.65)] {
            let (mut covered, mut ignoring, mut widened) = (0, 0, 0);
            for world_seed in 0..WORLDS {
                let (values, labels, groups) = world(each, between, world_seed);
                let bootstrap = ClusterBootstrap::new(&groups, 600, world_seed).unwrap();
                let factor = RandomFactor::new(&labels, &groups).unwrap().unwrap();
                let covers = |interval: Interval| usize::from(interval.low <= 0.0 && 0.0 <= interval.high);
                covered += covers(factor.mean(&values, &bootstrap).unwrap());
                let alone = bootstrap.mean(&values).unwrap();
                ignoring += covers(alone);
                widened += covers(factor.widen(alone, &values, 0.95).unwrap());
            }
            let share = |count: usize| count as f64 / WORLDS as f64;
            // 0.95 +- 0.02, and one standard error of 600 worlds.
            assert!((share(covered) - 0.95).abs() <= 0.03, "{each} {between}: {}", share(covered));
            assert!(share(widened) >= 0.93, "{each} {between}: {}", share(widened));
            assert!(share(ignoring) <= most_ignoring, "{each} {between}: {}", share(ignoring));
        }
    }

    #[test]
    fn variances_are_those_of_the_reference() {
        let fixture: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/fixtures/statistics/random_factor.json")).unwrap();
        let numbers = |value: &serde_json::Value| -> Vec<f64> { serde_json::from_value(value.clone()).unwrap() };
        let cases = fixture["cases"].as_array().unwrap();
        assert!(cases.len() >= 3);
        for case in cases {
            let labels: Vec<usize> = serde_json::from_value(case["labels"].clone()).unwrap();
            let groups: Vec<String> = serde_json::from_value(case["groups"].clone()).unwrap();
            let values = numbers(&case["values"]);
            let factor = RandomFactor::new(&labels, &groups).unwrap().unwrap();
            let found = factor.variance(&values).unwrap();
            let column = ArrayView2::from_shape((values.len(), 1), &values).unwrap();
            let added = factor.deviations(column).iter().map(|value| value * value).sum::<f64>();
            for (name, found) in
                [("between", found.between), ("within", found.within), ("factor", factor.share), ("added", added)]
            {
                let expected = case[name].as_f64().unwrap();
                assert!((found - expected).abs() <= 1e-12 * expected.abs().max(1e-3), "{name}: {found} {expected}");
            }
        }
    }

    #[test]
    fn without_levels_there_is_no_factor_and_without_differences_no_variance() {
        assert!(RandomFactor::new(&[3, 3], &["a", "b"]).unwrap().is_none());
        assert!(RandomFactor::new(&[1], &["a", "b"]).is_err());
        let factor = RandomFactor::new(&[0, 1, 0, 1], &["a", "b", "c", "d"]).unwrap().unwrap();
        let still = factor.variance(&[0.3; 4]).unwrap();
        assert_eq!((still.between, still.share), (0.0, 0.0));
        let interval = Interval { estimate: 0.3, low: 0.1, high: 0.4 };
        assert_eq!(factor.widen(interval, &[0.3; 4], 0.95).unwrap().estimate, 0.3);
        assert_eq!((factor.labels(), factor.rows_of(1)), (&[0, 1][..], vec![1, 3]));
    }
}
