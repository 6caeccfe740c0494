//! Means of many columns over rows that come in clusters, with their standard errors.

use ndarray::{Array2, ArrayView2};

use super::bootstrap::number_clusters;
use super::{student_cdf, Interval};
use crate::{Error, Result};

/// Means of `m` columns over `n` rows in `g` clusters, as sums by cluster: what sign flips and resamples of whole
/// clusters need of the rows.
///
/// The standard error of a mean is sqrt(g/(g-1) sum_k (S_k - n_k mean)^2) / n, with S_k the sum and n_k the rows of
/// cluster k: the linearised variance of a ratio (Cochran 1977, equation 6.13 without finite population), which for
/// clusters of one row each is the ordinary s/sqrt(n). Student's t has g - 1 degrees of freedom.
///
/// ```
/// use ndarray::array;
/// use probity::stats::ClusteredMeans;
/// let changes = array![[-1.0, 0.5], [-3.0, -0.5], [-2.0, 0.0]];
/// let means = ClusteredMeans::new(changes.view(), &["a", "b", "c"])?;
/// assert_eq!(means.means(), [-2.0, 0.0]);
/// assert!((means.standard_errors()[0] - (1.0_f64 / 3.0).sqrt()).abs() < 1e-12);
/// # Ok::<(), probity::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct ClusteredMeans {
    /// Sum of the rows in each cluster, `[g, m]`.
    sums: Array2<f64>,
    /// Rows in each cluster, `[g]`.
    sizes: Vec<f64>,
    rows: f64,
    means: Vec<f64>,
    standard_errors: Vec<f64>,
}

/// Below this share of the uncentred sum of squares, a sum of squared residuals is rounding.
const ROUNDING_SHARE: f64 = 1e-24;

impl ClusteredMeans {
    /// The means of the columns of `values`, `[n, m]`, for rows in these groups, `[n]`.
    ///
    /// # Errors
    /// [`Error::Setting`] without rows; [`Error::RowCount`]; [`Error::NotFinite`].
    pub fn new(values: ArrayView2<'_, f64>, groups: &[impl AsRef<str>]) -> Result<Self> {
        let (n, m) = values.dim();
        if n == 0 {
            return Err(Error::setting("groups", "none", "give at least one row"));
        }
        if groups.len() != n {
            return Err(Error::row_count("groups", n, groups.len()));
        }
        let (cluster_of_row, clusters) = number_clusters(groups);
        let mut sizes = vec![0.0; clusters];
        let mut sums = Array2::zeros((clusters, m));
        for ((row, values), &cluster) in values.outer_iter().enumerate().zip(&cluster_of_row) {
            if !values.iter().all(|value| value.is_finite()) {
                return Err(Error::not_finite("values", row, row.to_string()));
            }
            sizes[cluster] += 1.0;
            let mut sum = sums.row_mut(cluster);
            sum += &values;
        }
        let rows = n as f64;
        let means: Vec<f64> = sums.columns().into_iter().map(|sums| sums.sum() / rows).collect();
        let correction = clusters as f64 / (clusters as f64 - 1.0);
        let error = |(sums, mean): (ndarray::ArrayView1<'_, f64>, &f64)| {
            let squares: f64 = sums.iter().zip(&sizes).map(|(sum, size)| (sum - size * mean).powi(2)).sum();
            let uncentred = sums.dot(&sums);
            let squares = if squares <= ROUNDING_SHARE * uncentred { 0.0 } else { squares };
            (correction * squares).sqrt() / rows
        };
        let standard_errors = sums.columns().into_iter().zip(&means).map(error).collect();
        Ok(ClusteredMeans { sums, sizes, rows, means, standard_errors })
    }

    /// Mean of each column over the rows, `[m]`.
    pub fn means(&self) -> &[f64] {
        &self.means
    }

    /// Standard error of each mean, `[m]`; not a number with one cluster.
    pub fn standard_errors(&self) -> &[f64] {
        &self.standard_errors
    }

    /// Mean over standard error of each column, `[m]`; 0 where the mean is 0 whatever its error.
    pub fn t(&self) -> Vec<f64> {
        self.means.iter().zip(&self.standard_errors).map(|(&mean, &error)| ratio(mean, error)).collect()
    }

    /// Columns.
    pub fn columns(&self) -> usize {
        self.means.len()
    }

    /// Clusters.
    pub fn clusters(&self) -> usize {
        self.sizes.len()
    }

    /// Degrees of freedom of Student's t, clusters - 1.
    pub fn degrees(&self) -> f64 {
        self.sizes.len() as f64 - 1.0
    }

    /// Student's interval of `level` around the mean of one column; `None` for a column that is not there.
    pub fn interval(&self, column: usize, level: f64) -> Option<Interval> {
        let (&estimate, &error) = self.means.get(column).zip(self.standard_errors.get(column))?;
        let reach = super::student_upper_quantile(0.5 * (1.0 - level), self.degrees()) * error;
        Some(Interval { estimate, low: estimate - reach, high: estimate + reach })
    }

    /// Whether the mean of one column lies within +-`margin`; `None` for a column that is not there or one cluster.
    pub fn equivalence(&self, column: usize, margin: f64) -> Option<Equivalence> {
        let (&mean, &error) = self.means.get(column).zip(self.standard_errors.get(column))?;
        Equivalence::new(mean, error, self.degrees(), margin)
    }

    pub(super) fn sums(&self) -> &Array2<f64> {
        &self.sums
    }

    pub(super) fn sizes(&self) -> &[f64] {
        &self.sizes
    }

    pub(super) fn rows(&self) -> f64 {
        self.rows
    }

    /// The rows of every cluster where all have as many.
    pub(super) fn common_size(&self) -> Option<f64> {
        let &first = self.sizes.first()?;
        self.sizes.iter().all(|&size| size == first).then_some(first)
    }
}

/// Two one-sided tests (Schuirmann 1987) of a mean against a margin, by Student's t.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Equivalence {
    /// The margin, above 0, in the unit of the mean.
    pub margin: f64,
    /// One-sided p-value against "the mean lies at -margin or below": small where a reduction by more than the margin is
    /// ruled out.
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0, max = 1.0)))]
    pub p_no_reduction: f64,
    /// One-sided p-value against "the mean lies at margin or above".
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0, max = 1.0)))]
    pub p_no_increase: f64,
    /// The larger of both: small where the mean is shown to lie within +-margin.
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0, max = 1.0)))]
    pub p: f64,
}

impl Equivalence {
    /// The two tests of a mean with this standard error and these degrees of freedom; `None` without any.
    pub(crate) fn new(mean: f64, error: f64, degrees: f64, margin: f64) -> Option<Equivalence> {
        if degrees < 1.0 {
            return None;
        }
        let above = |distance: f64| student_cdf(-ratio(distance, error), degrees);
        let (p_no_reduction, p_no_increase) = (above(mean + margin), above(margin - mean));
        Some(Equivalence { margin, p_no_reduction, p_no_increase, p: p_no_reduction.max(p_no_increase) })
    }
}

/// a / b, with 0 / 0 = 0: a column that never varies and whose mean is 0 says nothing.
pub(super) fn ratio(a: f64, b: f64) -> f64 {
    if a == 0.0 {
        0.0
    } else {
        a / b
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn one_row_each_is_the_ordinary_standard_error() {
        let values = array![[1.0, 5.0], [2.0, 5.0], [4.0, 5.0], [9.0, 5.0]];
        let means = ClusteredMeans::new(values.view(), &["a", "b", "c", "d"]).unwrap();
        // s^2 = 38/3 around 4.
        assert!((means.standard_errors()[0] - (38.0_f64 / 3.0 / 4.0).sqrt()).abs() < 1e-14);
        assert_eq!((means.standard_errors()[1], means.t()[1]), (0.0, f64::INFINITY));
        assert_eq!(means.interval(1, 0.95).unwrap().low, 5.0);
    }

    #[test]
    fn clusters_of_equal_rows_count_once() {
        let single = array![[1.0], [2.0], [4.0], [9.0]];
        let double = array![[1.0], [1.0], [2.0], [2.0], [4.0], [4.0], [9.0], [9.0]];
        let one = ClusteredMeans::new(single.view(), &["a", "b", "c", "d"]).unwrap();
        let two = ClusteredMeans::new(double.view(), &["a", "a", "b", "b", "c", "c", "d", "d"]).unwrap();
        assert!((one.standard_errors()[0] - two.standard_errors()[0]).abs() < 1e-14);
    }

    #[test]
    fn what_has_no_error_is_refused_or_says_so() {
        assert!(matches!(ClusteredMeans::new(array![[1.0]].view(), &["a", "b"]), Err(Error::RowCount { .. })));
        assert!(ClusteredMeans::new(Array2::zeros((0, 3)).view(), &[] as &[&str]).is_err());
        let bad = array![[1.0], [f64::NAN]];
        assert!(matches!(ClusteredMeans::new(bad.view(), &["a", "b"]), Err(Error::NotFinite(at)) if at.row == 1));
        let one = ClusteredMeans::new(array![[1.0], [2.0]].view(), &["a", "a"]).unwrap();
        assert!(one.standard_errors()[0].is_nan() && one.equivalence(0, 1.0).is_none());
        assert!(one.interval(7, 0.9).is_none());
    }
}
