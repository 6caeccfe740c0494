//! Blocked Cholesky factors of symmetric positive definite matrices, for preconditioning.

use ndarray::linalg::general_mat_mul;
use ndarray::{s, Array2, ArrayView2, ArrayViewMut2};

use super::design::in_blocks;
use super::element::Element;

/// Rows and columns of a block.
const BLOCK: usize = 128;

/// A = L L', with the inverse of each diagonal block of L.
pub(super) struct Cholesky<F> {
    lower: Array2<F>,
    inverses: Vec<Array2<F>>,
}

impl<F: Element> Cholesky<F> {
    /// Factorises; reads the lower half of `matrix` only. `None` if it is not positive definite in this width of
    /// numbers.
    pub fn new(mut matrix: Array2<F>) -> Option<Self> {
        let size = matrix.nrows();
        let mut inverses = Vec::with_capacity(size.div_ceil(BLOCK));
        for from in (0..size).step_by(BLOCK) {
            let to = (from + BLOCK).min(size);
            let inverse = factorise_block(matrix.slice_mut(s![from..to, from..to]))?;
            let mut panel = Array2::zeros((size - to, to - from));
            let parallel = size >= 4 * BLOCK;
            {
                let below = matrix.slice(s![to.., from..to]);
                in_blocks(&mut panel, BLOCK, parallel, |row, mut block| {
                    let below = below.slice(s![row..row + block.nrows(), ..]);
                    general_mat_mul(F::one(), &below, &inverse.t(), F::zero(), &mut block);
                });
            }
            matrix.slice_mut(s![to.., from..to]).assign(&panel);
            let mut rest = matrix.slice_mut(s![to.., to..]);
            let update = |row: usize, mut block: ArrayViewMut2<'_, F>| {
                let end = row + block.nrows();
                let (left, right) = (panel.slice(s![row..end, ..]), panel.slice(s![..end, ..]));
                let mut block = block.slice_mut(s![.., ..end]);
                general_mat_mul(F::zero() - F::one(), &left, &right.t(), F::one(), &mut block);
            };
            blocks_of(&mut rest, parallel, update);
            inverses.push(inverse);
        }
        Some(Cholesky { lower: matrix, inverses })
    }

    /// The least squared diagonal value of L, which a singular matrix leaves near 0.
    pub fn least_pivot(&self) -> f64 {
        let pivot = |value: &F| {
            let value: f64 = (*value).into();
            value * value
        };
        self.lower.diag().iter().map(pivot).fold(f64::INFINITY, f64::min)
    }

    /// Overwrites `b`, `[size, k]`, by the solution of A x = b.
    pub fn solve(&self, b: &mut Array2<F>) {
        let minus = F::zero() - F::one();
        for (number, inverse) in self.inverses.iter().enumerate() {
            let (from, to) = self.range(number);
            let (done, mut rest) = b.view_mut().split_at(ndarray::Axis(0), from);
            let mut here = rest.slice_mut(s![..to - from, ..]);
            general_mat_mul(minus, &self.lower.slice(s![from..to, ..from]), &done, F::one(), &mut here);
            let solved = inverse.dot(&here);
            here.assign(&solved);
        }
        for (number, inverse) in self.inverses.iter().enumerate().rev() {
            let (from, to) = self.range(number);
            let (mut above, mut rest) = b.view_mut().split_at(ndarray::Axis(0), from);
            let mut here = rest.slice_mut(s![..to - from, ..]);
            let solved = inverse.t().dot(&here);
            here.assign(&solved);
            general_mat_mul(minus, &self.lower.slice(s![from..to, ..from]).t(), &here, F::one(), &mut above);
        }
    }

    fn range(&self, block: usize) -> (usize, usize) {
        (block * BLOCK, ((block + 1) * BLOCK).min(self.lower.nrows()))
    }
}

/// Factorises a diagonal block in place, in f64, and gives the inverse of its lower factor.
fn factorise_block<F: Element>(mut block: ArrayViewMut2<'_, F>) -> Option<Array2<F>> {
    let size = block.nrows();
    let mut lower: Array2<f64> = block.mapv(Into::into);
    for i in 0..size {
        for j in 0..=i {
            let sum = lower[[i, j]] - dot(lower.view(), i, j, j);
            lower[[i, j]] = if i > j {
                sum / lower[[j, j]]
            } else if sum > 0.0 && sum.is_finite() {
                sum.sqrt()
            } else {
                return None;
            };
        }
    }
    // Column by column of the identity, kept as rows of the transposed inverse.
    let mut transposed = Array2::<f64>::zeros((size, size));
    for column in 0..size {
        transposed[[column, column]] = 1.0 / lower[[column, column]];
        for i in column + 1..size {
            let sum: f64 = (column..i).map(|l| lower[[i, l]] * transposed[[column, l]]).sum();
            transposed[[column, i]] = -sum / lower[[i, i]];
        }
    }
    block.zip_mut_with(&lower, |value, &factor| *value = F::of(factor));
    Some(transposed.t().mapv(F::of))
}

/// Product of the first `len` values of two rows.
fn dot(matrix: ArrayView2<'_, f64>, i: usize, j: usize, len: usize) -> f64 {
    matrix.slice(s![i, ..len]).dot(&matrix.slice(s![j, ..len]))
}

fn blocks_of<F: Element>(
    rest: &mut ArrayViewMut2<'_, F>,
    parallel: bool,
    f: impl Fn(usize, ArrayViewMut2<'_, F>) + Send + Sync,
) {
    use ndarray::parallel::prelude::*;
    let blocks = rest.axis_chunks_iter_mut(ndarray::Axis(0), BLOCK);
    if parallel {
        blocks.into_par_iter().enumerate().for_each(|(block, view)| f(block * BLOCK, view));
    } else {
        blocks.enumerate().for_each(|(block, view)| f(block * BLOCK, view));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array1;

    #[test]
    fn solves_and_refuses() {
        for size in [1, 5, 128, 300, 700] {
            let root = Array2::from_shape_fn((size, size), |(i, j)| ((i * 37 + j * 101) % 17) as f64 / 17.0 - 0.5);
            let matrix = root.dot(&root.t()) + Array2::<f64>::eye(size);
            let truth = Array2::from_shape_fn((size, 3), |(i, k)| (i % (7 + k)) as f64);
            let mut b = matrix.dot(&truth);
            Cholesky::new(matrix).unwrap().solve(&mut b);
            assert!((b - truth).iter().all(|error| error.abs() < 1e-9));
        }
        assert!(Cholesky::new(Array2::from_diag(&Array1::from(vec![1.0, -1.0]))).is_none());
        assert!(Cholesky::new(Array2::<f32>::zeros((2, 2))).is_none());
    }
}
