//! Products with a design matrix, in blocks of fixed size.
//!
//! The blocks, and the order in which their parts are added, depend on the shape alone: so do the results, whatever
//! the number of threads. Large designs spread their blocks over rayon's threads; small ones stay on one, and the
//! probes of many addresses run beside each other instead.

use ndarray::linalg::general_mat_mul;
use ndarray::{s, Array2, ArrayView2, ArrayViewMut2, Axis, ShapeBuilder};
use rayon::prelude::*;

use super::element::Element;
use crate::stats::sum_of_products;

/// Values from which a design is worth more than one thread.
pub(crate) const LARGE_DESIGN: usize = 1 << 20;

/// Rows of a block where the product runs down the rows, and columns where it runs across.
const BLOCK: usize = 512;

/// Right-hand sides up to which the f64 sums are faster than a matrix product.
const FEW_RIGHT_SIDES: usize = 2;

/// Standardised states, `[n, d]`, column after column.
pub(crate) struct Design<F> {
    x: Array2<F>,
}

impl<F: Element> Design<F> {
    /// `x`, `[n, d]`, must be column-major.
    pub fn new(x: Array2<F>) -> Self {
        Design { x }
    }

    pub fn x(&self) -> ArrayView2<'_, F> {
        self.x.view()
    }

    pub fn rows(&self) -> usize {
        self.x.nrows()
    }

    pub fn columns(&self) -> usize {
        self.x.ncols()
    }

    /// These states in another width of numbers.
    pub fn cast<G: Element>(&self) -> Design<G> {
        Design { x: self.x.mapv(|value| G::of(value.into())) }
    }

    /// Whether its products use more than one thread.
    pub fn is_large(&self) -> bool {
        self.x.len() >= LARGE_DESIGN
    }

    /// X W for W `[d, k]`: `[n, k]`, column-major.
    pub fn times(&self, w: ArrayView2<'_, F>) -> Array2<F> {
        if w.ncols() <= FEW_RIGHT_SIDES {
            return by_column(self.rows(), w, |w| self.scores(w));
        }
        let mut product = Array2::zeros((self.rows(), w.ncols()).f());
        in_blocks(&mut product, BLOCK, self.is_large(), |from, mut block| {
            let x = self.x.slice(s![from..from + block.nrows(), ..]);
            general_mat_mul(F::one(), &x, &w, F::zero(), &mut block);
        });
        product
    }

    /// X' R for R `[n, k]`: `[d, k]`, column-major.
    pub fn transposed_times(&self, r: ArrayView2<'_, F>) -> Array2<F> {
        if r.ncols() <= FEW_RIGHT_SIDES {
            return by_column(self.columns(), r, |r| self.gradient(r));
        }
        let mut product = Array2::zeros((self.columns(), r.ncols()).f());
        in_blocks(&mut product, BLOCK / 4, self.is_large(), |from, mut block| {
            let x = self.x.slice(s![.., from..from + block.nrows()]);
            general_mat_mul(F::one(), &x.t(), &r, F::zero(), &mut block);
        });
        product
    }

    /// X w in f64, `[n]`: sums over a number of columns each, added in order.
    pub fn scores(&self, w: &[f64]) -> Vec<f64> {
        let part = |(x, w): (ArrayView2<'_, F>, &[f64])| {
            let mut sums = vec![0.0; self.rows()];
            for (column, &weight) in x.axis_iter(Axis(1)).zip(w).filter(|(_, &weight)| weight != 0.0) {
                for (sum, &value) in sums.iter_mut().zip(column.to_slice().unwrap_or_default()) {
                    *sum += value.into() * weight;
                }
            }
            sums
        };
        let parts: Vec<(ArrayView2<'_, F>, &[f64])> =
            self.x.axis_chunks_iter(Axis(1), BLOCK).zip(w.chunks(BLOCK)).collect();
        let sums: Vec<Vec<f64>> = if self.is_large() {
            parts.into_par_iter().map(part).collect()
        } else {
            parts.into_iter().map(part).collect()
        };
        let mut scores = vec![0.0; self.rows()];
        for part in &sums {
            scores.iter_mut().zip(part).for_each(|(score, sum)| *score += sum);
        }
        scores
    }

    /// X' r in f64, `[d]`.
    pub fn gradient(&self, r: &[f64]) -> Vec<f64> {
        let mut gradient = Array2::<f64>::zeros((self.columns(), 1));
        in_blocks(&mut gradient, BLOCK / 4, self.is_large(), |from, mut block| {
            let x = self.x.slice(s![.., from..from + block.nrows()]);
            for (sum, column) in block.iter_mut().zip(x.axis_iter(Axis(1))) {
                *sum = sum_of_products(column.to_slice().unwrap_or_default(), r);
            }
        });
        gradient.into_raw_vec_and_offset().0
    }

    /// The lower half of X'X, `[d, d]`, or of XX', `[n, n]`; what is above the diagonal's blocks stays 0.
    pub fn gram(&self, of_rows: bool) -> Array2<F> {
        let x = if of_rows { self.x.t() } else { self.x.view() };
        let mut gram = Array2::zeros((x.ncols(), x.ncols()));
        in_blocks(&mut gram, BLOCK / 2, self.is_large(), |from, mut block| {
            let to = from + block.nrows();
            let left = x.slice(s![.., from..to]);
            general_mat_mul(F::one(), &left.t(), &x.slice(s![.., ..to]), F::zero(), &mut block.slice_mut(s![.., ..to]));
        });
        gram
    }
}

/// The matrix with `rows` rows whose columns are `f` of those of `right`.
fn by_column<F: Element>(rows: usize, right: ArrayView2<'_, F>, f: impl Fn(&[f64]) -> Vec<f64>) -> Array2<F> {
    let mut product = Array2::zeros((rows, right.ncols()).f());
    for (mut to, from) in product.axis_iter_mut(Axis(1)).zip(right.axis_iter(Axis(1))) {
        let from: Vec<f64> = from.iter().map(|&value| value.into()).collect();
        to.iter_mut().zip(f(&from)).for_each(|(to, value)| *to = F::of(value));
    }
    product
}

/// Calls `f` with the first row's number and the rows of each block of `out`.
pub(super) fn in_blocks<F: Send + Sync>(
    out: &mut Array2<F>,
    rows: usize,
    parallel: bool,
    f: impl Fn(usize, ArrayViewMut2<'_, F>) + Send + Sync,
) {
    let blocks = out.axis_chunks_iter_mut(Axis(0), rows);
    if parallel {
        blocks.into_par_iter().enumerate().for_each(|(block, view)| f(block * rows, view));
    } else {
        blocks.enumerate().for_each(|(block, view)| f(block * rows, view));
    }
}

/// The rows `chosen` of row-major `states`, `[rows, d]`, column after column, as f32.
pub(crate) fn columns_of<A: Copy + Into<f64> + Sync>(states: ArrayView2<'_, A>, chosen: &[usize]) -> Array2<f32> {
    const COLUMNS_AT_ONCE: usize = 32;
    let mut columns = Array2::zeros((chosen.len(), states.ncols()).f());
    let parallel = columns.len() >= LARGE_DESIGN;
    // A few columns at a time: so many runs of writes stay in the cache.
    let fill = |(block, mut out): (usize, ArrayViewMut2<'_, f32>)| {
        let from = states.slice(s![.., block * COLUMNS_AT_ONCE..block * COLUMNS_AT_ONCE + out.ncols()]);
        for (mut row, &number) in out.outer_iter_mut().zip(chosen) {
            row.zip_mut_with(&from.row(number), |to, &value| *to = value.into() as f32);
        }
    };
    let blocks = columns.axis_chunks_iter_mut(Axis(1), COLUMNS_AT_ONCE);
    if parallel {
        blocks.into_par_iter().enumerate().for_each(fill);
    } else {
        blocks.enumerate().for_each(fill);
    }
    columns
}
