//! Simultaneous bands by a studentised bootstrap over clusters.

use ndarray::{Array2, ArrayView1, ArrayView2, Axis};
use rayon::prelude::*;

use super::clustered::ratio;
use super::{check_level, normals, rng, ClusterBootstrap, ClusteredMeans, Interval};
use crate::{Error, Result};

/// Bootstrap draws of the means of many columns, each with the standard error of its own resample.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Studentised {
    means: Vec<f64>,
    standard_errors: Vec<f64>,
    /// Resampled mean minus mean, `[draws, m]`.
    deviations: Array2<f64>,
    /// Standard error in the resample, `[draws, m]`.
    errors: Array2<f64>,
}

/// Intervals that hold for all columns at once.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Bands {
    /// Mean +- critical x standard error of each column, `[m]`.
    pub intervals: Vec<Interval>,
    /// How many standard errors they reach; infinite where there are too few clusters to say.
    pub critical: f64,
    /// Chance that all of them cover.
    pub level: f64,
}

/// Which way a mean may be off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tail {
    /// The bound below the mean.
    Below,
    /// The bound above it.
    Above,
    /// Both at once.
    Both,
}

/// The stream of draws that stand for the probes' texts.
pub(crate) const PROBES: &str = "second source";

/// Draws handled in one matrix product.
const DRAWS_AT_ONCE: usize = 128;

impl ClusterBootstrap {
    /// Resamples the means of all columns and their standard errors together.
    ///
    /// # Errors
    /// [`Error::RowCount`] for another number of clusters.
    pub fn studentised(&self, means: &ClusteredMeans) -> Result<Studentised> {
        let (clusters, columns) = (self.clusters(), means.columns());
        if means.clusters() != clusters {
            return Err(Error::row_count("clusters", clusters, means.clusters()));
        }
        let resampled = Resampled::new(means);
        let parts: Vec<[Array2<f64>; 2]> = self
            .multiplicities()
            .par_chunks(DRAWS_AT_ONCE * clusters)
            .map(|drawn| {
                let weights = drawn.iter().map(|&drawn| f64::from(drawn)).collect();
                let weights = Array2::from_shape_vec((drawn.len() / clusters, clusters), weights);
                resampled.draws(&weights.unwrap_or_else(|_| Array2::zeros((0, clusters))))
            })
            .collect();
        let stack = |which: usize| {
            let views: Vec<ArrayView2<'_, f64>> = parts.iter().map(|part| part[which].view()).collect();
            ndarray::concatenate(Axis(0), &views).unwrap_or_else(|_| Array2::zeros((0, columns)))
        };
        Ok(Studentised {
            means: means.means().to_vec(),
            standard_errors: means.standard_errors().to_vec(),
            deviations: stack(0),
            errors: stack(1),
        })
    }
}

impl Studentised {
    /// Bands of the chosen `columns` that cover all their means at once with chance `level`: mean +- c standard errors,
    /// with c the `level` quantile of the largest |resampled mean - mean| / resampled standard error (bootstrap-t of the
    /// maximum: Romano and Wolf 2005, section 4). Studentising each resample by itself keeps the level with few
    /// clusters, where a fixed standard error covers too little.
    ///
    /// # Errors
    /// [`Error::Setting`] for a level outside 0 to 1 or a column that is not there.
    pub fn bands(&self, columns: &[usize], level: f64) -> Result<Bands> {
        check_level(level)?;
        if let Some(missing) = columns.iter().find(|&&column| column >= self.means.len()) {
            return Err(Error::setting("columns", missing, format!("below {}", self.means.len())));
        }
        let critical = self.critical(columns, level, Tail::Both);
        let interval = |&column: &usize| {
            let (estimate, error) = (self.means[column], self.standard_errors[column]);
            // A column that never varies has no width, whatever the critical value.
            let reach = if error == 0.0 { 0.0 } else { critical * error };
            let reach = if reach.is_nan() { f64::INFINITY } else { reach };
            Interval { estimate, low: estimate - reach, high: estimate + reach }
        };
        Ok(Bands { intervals: columns.iter().map(interval).collect(), critical, level })
    }

    /// The `level` quantile of the largest t over these columns: how many standard errors a bound of that chance is from
    /// the mean, for all of them at once. Infinite where there are too few clusters to say.
    pub(crate) fn critical(&self, columns: &[usize], level: f64, tail: Tail) -> f64 {
        let side = |t: f64| match tail {
            Tail::Both => t.abs(),
            Tail::Below => t,
            Tail::Above => -t,
        };
        let of_draw = |(deviations, errors): (ArrayView1<'_, f64>, ArrayView1<'_, f64>)| {
            let t = columns.iter().map(|&column| side(ratio(deviations[column], errors[column])));
            // No error can be told: as far as anything.
            t.map(|t| if t.is_nan() { f64::INFINITY } else { t }).fold(f64::NEG_INFINITY, f64::max)
        };
        let mut maxima: Vec<f64> = self.deviations.outer_iter().zip(self.errors.outer_iter()).map(of_draw).collect();
        maxima.sort_by(f64::total_cmp);
        let rank = (level * (maxima.len() + 1) as f64).ceil() as usize;
        maxima.get(rank.max(1) - 1).copied().unwrap_or(f64::INFINITY)
    }

    /// Adds another source of variation, independent of the clusters: a jackknife's `deviations`, `[k, m]`, whose squares sum
    /// to its variance of each mean. Each draw gets a normal variable times each row, and a variance that is as unsure as one
    /// of k - 1 degrees of freedom. Each source draws from a stream of its own.
    ///
    /// # Errors
    /// [`Error::RowCount`] for another number of columns.
    pub(crate) fn with_source(mut self, deviations: ArrayView2<'_, f64>, seed: u64, stream: &str) -> Result<Self> {
        let (k, m) = deviations.dim();
        if m != self.means.len() {
            return Err(Error::row_count("columns", self.means.len(), m));
        }
        if k < 2 {
            return Ok(self);
        }
        let variances: Vec<f64> = deviations.columns().into_iter().map(|column| column.dot(&column)).collect();
        for (error, variance) in self.standard_errors.iter_mut().zip(&variances) {
            *error = (*error * *error + variance).sqrt();
        }
        let mut rng = rng(seed, stream);
        let mut drawn = vec![0.0; 2 * k - 1];
        for (mut draw, mut errors) in self.deviations.outer_iter_mut().zip(self.errors.outer_iter_mut()) {
            normals(&mut rng, &mut drawn);
            let (weights, squares) = drawn.split_at(k);
            let chi = squares.iter().map(|value| value * value).sum::<f64>() / (k - 1) as f64;
            for (weight, row) in weights.iter().zip(deviations.outer_iter()) {
                draw.scaled_add(*weight, &row);
            }
            for (error, variance) in errors.iter_mut().zip(&variances) {
                *error = (*error * *error + variance * chi).sqrt();
            }
        }
        Ok(self)
    }

    /// Standard error of each mean, `[m]`, of all sources.
    pub(crate) fn standard_errors(&self) -> &[f64] {
        &self.standard_errors
    }

    /// Resampled means of each column, `[draws, m]`.
    pub fn means(&self) -> Array2<f64> {
        let mut means = self.deviations.clone();
        for (mut column, mean) in means.columns_mut().into_iter().zip(&self.means) {
            column += *mean;
        }
        means
    }

    /// Standard errors of each column in each resample, `[draws, m]`.
    pub fn errors(&self) -> ArrayView2<'_, f64> {
        self.errors.view()
    }
}

/// Resamples by matrix products. With R_k = S_k - n_k mean and multiplicities w: the deviation is e = sum w_k R_k / N,
/// N = sum w_k n_k, and the squared residuals around the resampled mean are sum w_k R_k^2 - 2 e sum w_k n_k R_k + e^2
/// sum w_k n_k^2: all small numbers, so nothing cancels.
struct Resampled<'a> {
    means: &'a ClusteredMeans,
    residuals: Array2<f64>,
    squares: Array2<f64>,
    weighted: Option<Array2<f64>>,
}

impl<'a> Resampled<'a> {
    fn new(means: &'a ClusteredMeans) -> Self {
        let mut residuals = means.sums().clone();
        for (mut row, &size) in residuals.outer_iter_mut().zip(means.sizes()) {
            row.iter_mut().zip(means.means()).for_each(|(sum, mean)| *sum -= size * mean);
        }
        // What is rounding in the standard error is rounding here.
        for (mut column, &error) in residuals.columns_mut().into_iter().zip(means.standard_errors()) {
            if error == 0.0 {
                column.fill(0.0);
            }
        }
        let squares = residuals.mapv(|residual| residual * residual);
        let weighted = means.common_size().is_none().then(|| {
            let mut weighted = residuals.clone();
            for (mut row, &size) in weighted.outer_iter_mut().zip(means.sizes()) {
                row *= size;
            }
            weighted
        });
        Resampled { means, residuals, squares, weighted }
    }

    /// Deviations and standard errors under these multiplicities, `[draws, clusters]`.
    fn draws(&self, weights: &Array2<f64>) -> [Array2<f64>; 2] {
        let sizes = ndarray::ArrayView1::from(self.means.sizes());
        let (rows, sizes_squared) = (weights.dot(&sizes), weights.dot(&(&sizes * &sizes)));
        let clusters = self.means.clusters() as f64;
        let mut deviations = weights.dot(&self.residuals);
        let mut errors = weights.dot(&self.squares);
        let weighted = match (&self.weighted, self.means.common_size()) {
            (Some(weighted), _) => weights.dot(weighted),
            (None, size) => &deviations * size.unwrap_or(1.0),
        };
        let correction = clusters / (clusters - 1.0);
        let draws = deviations.outer_iter_mut().zip(errors.outer_iter_mut()).zip(weighted.outer_iter());
        for (((mut deviations, mut errors), weighted), (&rows, &sizes_squared)) in
            draws.zip(rows.iter().zip(&sizes_squared))
        {
            for ((deviation, error), weighted) in deviations.iter_mut().zip(errors.iter_mut()).zip(weighted) {
                *deviation /= rows;
                let squares = *error - 2.0 * *deviation * weighted + *deviation * *deviation * sizes_squared;
                let squares = if squares <= 1e-13 * *error { 0.0 } else { squares };
                *error = (correction * squares).sqrt() / rows;
            }
        }
        [deviations, errors]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(rows: usize, columns: usize) -> Array2<f64> {
        let mut values = vec![0.0; rows * columns];
        normals(&mut rng(1, "simultaneous tests"), &mut values);
        Array2::from_shape_vec((rows, columns), values).unwrap()
    }

    #[test]
    fn products_are_the_means_and_errors_of_resampled_rows() {
        let values = noise(9, 2) + 4.0;
        let groups = ["a", "a", "a", "b", "c", "c", "d", "e", "e"];
        let means = ClusteredMeans::new(values.view(), &groups).unwrap();
        let bootstrap = ClusterBootstrap::new(&groups, 300, 5).unwrap();
        let found = bootstrap.studentised(&means).unwrap();
        let resampled = found.means();
        for (draw, drawn) in bootstrap.multiplicities().chunks(5).enumerate() {
            let mut rows = Vec::new();
            let mut names = Vec::new();
            for (cluster, &times) in drawn.iter().enumerate() {
                for copy in 0..times {
                    for (row, _) in
                        groups.iter().enumerate().filter(|(_, group)| "abcde".find(**group) == Some(cluster))
                    {
                        rows.extend(values.row(row).to_vec());
                        names.push(format!("{cluster} {copy}"));
                    }
                }
            }
            let rows = Array2::from_shape_vec((names.len(), 2), rows).unwrap();
            let direct = ClusteredMeans::new(rows.view(), &names).unwrap();
            for column in 0..2 {
                assert!((resampled[[draw, column]] - direct.means()[column]).abs() < 1e-12);
                assert!((found.errors()[[draw, column]] - direct.standard_errors()[column]).abs() < 1e-7);
            }
        }
        let means_only = bootstrap.means(&values.column(1).to_vec()).unwrap();
        means_only.iter().zip(resampled.column(1)).for_each(|(a, b)| assert!((a - b).abs() < 1e-12));
    }

    #[test]
    fn more_columns_need_wider_bands() {
        let values = noise(40, 20);
        let groups: Vec<String> = (0..40).map(|row| row.to_string()).collect();
        let means = ClusteredMeans::new(values.view(), &groups).unwrap();
        let found = ClusterBootstrap::new(&groups, 1_000, 0).unwrap().studentised(&means).unwrap();
        let one = found.bands(&[0], 0.95).unwrap();
        let all = found.bands(&(0..20).collect::<Vec<_>>(), 0.95).unwrap();
        assert!(one.critical > 1.8 && all.critical > one.critical + 0.5, "{} {}", one.critical, all.critical);
        assert!(found.bands(&[20], 0.95).is_err() && found.bands(&[0], 1.0).is_err());
    }

    #[test]
    fn too_few_clusters_give_no_bound() {
        let values = noise(2, 1);
        let means = ClusteredMeans::new(values.view(), &["a", "b"]).unwrap();
        let found = ClusterBootstrap::new(&["a", "b"], 200, 0).unwrap().studentised(&means).unwrap();
        let band = found.bands(&[0], 0.95).unwrap();
        assert_eq!((band.intervals[0].low, band.intervals[0].high), (f64::NEG_INFINITY, f64::INFINITY));
        let still = ClusteredMeans::new(Array2::from_elem((2, 1), 0.5).view(), &["a", "b"]).unwrap();
        let found = ClusterBootstrap::new(&["a", "b"], 200, 0).unwrap().studentised(&still).unwrap();
        assert_eq!(found.bands(&[0], 0.95).unwrap().intervals[0].low, 0.5);
    }
}
