//! Sign-flip permutation of paired changes, one column or the largest of many.

use ndarray::{Array2, Axis};
use rand::Rng;
use rayon::prelude::*;

use super::bootstrap::MAX_DRAWS;
use super::clustered::ratio;
use super::{rng, ClusteredMeans};
use crate::{Error, Result};

/// Random signs of whole clusters, the same for every test made with them.
///
/// If a change is as likely as its opposite, giving each cluster's rows a random common sign changes nothing in
/// distribution. The statistic is the t of [`ClusteredMeans`], so that the test also keeps its level, for many clusters,
/// where the mean is 0 but the distribution is skewed (Canay, Romano and Shaikh 2017). All columns get the same signs:
/// dependence between them is kept, and the largest |t| is a joint statement.
#[derive(Debug, Clone, PartialEq)]
pub struct SignFlips {
    /// +1 or -1, `[draws, clusters]`.
    signs: Array2<f64>,
    exact: bool,
}

/// What sign flips say of each column, `[m]` each, two-sided.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SignFlipTest {
    /// p-value of the column alone.
    pub p: Vec<f64>,
    /// Adjusted for all columns by the largest |t| (single-step max-T, Westfall and Young 1993).
    pub single_step: Vec<f64>,
    /// Adjusted by the largest |t| among columns not yet rejected (step-down max-T, their algorithm 4.1): never above
    /// single-step, with the same control of any false claim among the columns.
    pub step_down: Vec<f64>,
    /// Largest |t| in each draw, rising.
    maxima: Vec<f64>,
}

/// Draws handled in one matrix product.
const DRAWS_AT_ONCE: usize = 128;
/// Equal statistics may differ by rounding: a tie must count as one.
const TIE_FACTOR: f64 = 1.0 - 1e-9;

impl SignFlips {
    /// Draws signs for so many clusters; where all patterns are no more than `draws`, each is taken once and the test is
    /// exact.
    ///
    /// # Errors
    /// [`Error::Setting`] without clusters, without draws, or with more than a million.
    pub fn new(clusters: usize, draws: usize, seed: u64) -> Result<Self> {
        if clusters == 0 {
            return Err(Error::setting("clusters", 0, "at least 1"));
        }
        if !(1..=MAX_DRAWS).contains(&draws) {
            return Err(Error::setting("draws", draws, format!("1 to {MAX_DRAWS}")));
        }
        let patterns = u32::try_from(clusters).ok().and_then(|clusters| 1_usize.checked_shl(clusters));
        if let Some(patterns) = patterns.filter(|&patterns| clusters < 32 && patterns <= draws) {
            let sign = |(pattern, cluster): (usize, usize)| if pattern >> cluster & 1 == 1 { -1.0 } else { 1.0 };
            return Ok(SignFlips { signs: Array2::from_shape_fn((patterns, clusters), sign), exact: true });
        }
        let mut rng = rng(seed, "sign flips");
        let signs = Array2::from_shape_simple_fn((draws, clusters), || if rng.gen() { 1.0 } else { -1.0 });
        Ok(SignFlips { signs, exact: false })
    }

    /// Patterns of signs.
    pub fn draws(&self) -> usize {
        self.signs.nrows()
    }

    /// Whether every pattern of signs is there once, so that p-values are exact and not Monte Carlo.
    pub fn is_exact(&self) -> bool {
        self.exact
    }

    /// Tests every column against a mean of 0. Monte-Carlo p-values are (1 + draws as far) / (1 + draws), exact ones the
    /// share of patterns as far, of which what was observed is one.
    ///
    /// # Errors
    /// [`Error::RowCount`] for another number of clusters.
    pub fn test(&self, means: &ClusteredMeans) -> Result<SignFlipTest> {
        let clusters = self.signs.ncols();
        if means.clusters() != clusters {
            return Err(Error::row_count("clusters", clusters, means.clusters()));
        }
        let observed: Vec<f64> = means.t().into_iter().map(known).collect();
        let mut order: Vec<usize> = (0..observed.len()).collect();
        order.sort_by(|&a, &b| observed[b].total_cmp(&observed[a]));
        let flipped = Flipped::new(means);
        let tallies = self.signs.axis_chunks_iter(Axis(0), DRAWS_AT_ONCE).into_par_iter().map(|signs| {
            let mut tally = Tally::new(observed.len());
            for t in flipped.t(&signs).outer_iter() {
                tally.count(&t.to_vec(), &observed, &order);
            }
            tally
        });
        let mut tally = tallies.collect::<Vec<_>>().into_iter().fold(Tally::new(observed.len()), Tally::plus);
        tally.maxima.sort_by(f64::total_cmp);
        let p = |as_far: &usize| match self.exact {
            true => *as_far as f64 / self.draws() as f64,
            false => (1 + as_far) as f64 / (1 + self.draws()) as f64,
        };
        let mut step_down = vec![1.0; observed.len()];
        let mut largest = 0.0_f64;
        for (&column, as_far) in order.iter().zip(&tally.step_down) {
            largest = largest.max(p(as_far));
            step_down[column] = largest;
        }
        Ok(SignFlipTest {
            p: tally.alone.iter().map(p).collect(),
            single_step: tally.single_step.iter().map(p).collect(),
            step_down,
            maxima: tally.maxima,
        })
    }
}

impl SignFlipTest {
    /// The |t| beyond which a column is found at this `level` (such as 0.05) by single-step max-T.
    pub fn critical(&self, level: f64) -> f64 {
        let rank = ((1.0 - level) * (self.maxima.len() + 1) as f64).ceil() as usize;
        self.maxima.get(rank.max(1) - 1).copied().unwrap_or(f64::INFINITY)
    }
}

/// What is not a number must not look far.
fn known(t: f64) -> f64 {
    if t.is_nan() {
        0.0
    } else {
        t.abs()
    }
}

/// Statistics of flipped clusters by matrix products: with signs s, n mean = sum_k s_k S_k, and the squared residuals
/// are sum S_k^2 - 2 mean sum_k s_k n_k S_k + mean^2 sum n_k^2.
struct Flipped<'a> {
    means: &'a ClusteredMeans,
    /// n_k S_k, where clusters differ in size.
    weighted: Option<Array2<f64>>,
    /// Sum of S_k^2 by column.
    squares: Vec<f64>,
    sizes_squared: f64,
}

impl<'a> Flipped<'a> {
    fn new(means: &'a ClusteredMeans) -> Self {
        let weighted = means.common_size().is_none().then(|| {
            let mut weighted = means.sums().clone();
            for (mut row, &size) in weighted.outer_iter_mut().zip(means.sizes()) {
                row *= size;
            }
            weighted
        });
        let squares = means.sums().columns().into_iter().map(|sums| sums.dot(&sums)).collect();
        let sizes_squared = means.sizes().iter().map(|size| size * size).sum();
        Flipped { means, weighted, squares, sizes_squared }
    }

    /// |t| of every column, `[draws, m]`.
    fn t(&self, signs: &ndarray::ArrayView2<'_, f64>) -> Array2<f64> {
        let (rows, clusters) = (self.means.rows(), self.means.clusters() as f64);
        let mut sums = signs.dot(self.means.sums());
        let weighted = match (&self.weighted, self.means.common_size()) {
            (Some(weighted), _) => signs.dot(weighted),
            (None, size) => &sums * size.unwrap_or(1.0),
        };
        let factor = (clusters / (clusters - 1.0)).sqrt() / rows;
        for (mut sums, weighted) in sums.outer_iter_mut().zip(weighted.outer_iter()) {
            for ((sum, weighted), &uncentred) in sums.iter_mut().zip(weighted).zip(&self.squares) {
                let mean = *sum / rows;
                let squares = uncentred - 2.0 * mean * weighted + mean * mean * self.sizes_squared;
                // Differences of this size are rounding: the flipped column does not vary.
                let squares = if squares <= 1e-13 * uncentred { 0.0 } else { squares };
                *sum = known(ratio(mean, factor * squares.sqrt()));
            }
        }
        sums
    }
}

/// Draws as far as observed.
struct Tally {
    alone: Vec<usize>,
    single_step: Vec<usize>,
    /// By rank of the observed |t|.
    step_down: Vec<usize>,
    maxima: Vec<f64>,
}

impl Tally {
    fn new(columns: usize) -> Self {
        let none = vec![0; columns];
        Tally { alone: none.clone(), single_step: none.clone(), step_down: none, maxima: Vec::new() }
    }

    fn count(&mut self, t: &[f64], observed: &[f64], order: &[usize]) {
        let largest = t.iter().copied().fold(0.0, f64::max);
        for (column, (&t, &observed)) in t.iter().zip(observed).enumerate() {
            self.alone[column] += usize::from(t >= observed * TIE_FACTOR);
            self.single_step[column] += usize::from(largest >= observed * TIE_FACTOR);
        }
        let mut running = 0.0_f64;
        for (rank, &column) in order.iter().enumerate().rev() {
            running = running.max(t[column]);
            self.step_down[rank] += usize::from(running >= observed[column] * TIE_FACTOR);
        }
        self.maxima.push(largest);
    }

    fn plus(mut self, other: Tally) -> Tally {
        let add = |own: &mut Vec<usize>, other: &[usize]| own.iter_mut().zip(other).for_each(|(a, b)| *a += b);
        add(&mut self.alone, &other.alone);
        add(&mut self.single_step, &other.single_step);
        add(&mut self.step_down, &other.step_down);
        self.maxima.extend(other.maxima);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::normals;

    fn noise(rows: usize, columns: usize, seed: u64) -> Array2<f64> {
        let mut values = vec![0.0; rows * columns];
        normals(&mut rng(seed, "sign flip tests"), &mut values);
        Array2::from_shape_vec((rows, columns), values).unwrap()
    }

    #[test]
    fn products_are_the_t_of_flipped_rows() {
        let values = noise(11, 3, 1) + 0.3;
        let groups = ["a", "a", "a", "b", "c", "c", "d", "e", "e", "f", "f"];
        let means = ClusteredMeans::new(values.view(), &groups).unwrap();
        let flips = SignFlips::new(6, 64, 0).unwrap();
        assert!(flips.is_exact() && flips.draws() == 64);
        let by_products = Flipped::new(&means).t(&flips.signs.view());
        for (signs, t) in flips.signs.outer_iter().zip(by_products.outer_iter()) {
            let of_row = |row: usize| signs["abcdef".find(groups[row]).unwrap()];
            let flipped = Array2::from_shape_fn(values.dim(), |(row, column)| of_row(row) * values[[row, column]]);
            let direct = ClusteredMeans::new(flipped.view(), &groups).unwrap().t();
            t.iter().zip(direct).for_each(|(a, b)| assert!((a - b.abs()).abs() < 1e-10, "{a} {b}"));
        }
    }

    #[test]
    fn adjusted_values_are_ordered() {
        let mut values = noise(30, 12, 2);
        values.column_mut(0).mapv_inplace(|value| value + 2.0);
        values.column_mut(1).mapv_inplace(|value| value + 0.5);
        values.column_mut(2).fill(0.0);
        let groups: Vec<String> = (0..30).map(|row| row.to_string()).collect();
        let means = ClusteredMeans::new(values.view(), &groups).unwrap();
        let test = SignFlips::new(30, 999, 0).unwrap().test(&means).unwrap();
        for column in 0..12 {
            assert!(test.p[column] <= test.step_down[column]);
            assert!(test.step_down[column] <= test.single_step[column]);
        }
        assert!(test.step_down[1] < test.single_step[1]);
        assert_eq!((test.p[0], test.single_step[0], test.p[2]), (0.001, 0.001, 1.0));
        let critical = test.critical(0.05);
        let t = means.t();
        assert!((0..12).all(|column| (t[column].abs() > critical) == (test.single_step[column] <= 0.05)));
    }

    #[test]
    fn one_cluster_and_wrong_sizes() {
        let means = ClusteredMeans::new(noise(3, 2, 3).view(), &["a"; 3]).unwrap();
        assert_eq!(SignFlips::new(1, 99, 0).unwrap().test(&means).unwrap().single_step, [1.0, 1.0]);
        assert!(matches!(SignFlips::new(2, 99, 0).unwrap().test(&means), Err(Error::RowCount { .. })));
        assert!(SignFlips::new(0, 99, 0).is_err() && SignFlips::new(3, 0, 0).is_err());
    }
}
