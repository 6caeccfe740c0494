//! One approximate Hessian for many problems on the same design.
//!
//! The Hessian of a logistic problem is X' diag(p (1 - p)) X + alpha I (Boehning 1992, *Annals of the Institute of
//! Statistical Mathematics* 44, bounds p (1 - p) by 1/4). Here p (1 - p) is replaced by its mean c, so that X'X is
//! computed once for all labels, folds and strengths, and one Cholesky factor per strength serves all of them. With
//! fewer rows than columns the inverse is applied through XX' (Woodbury's identity), for each set of row weights.

use ndarray::{s, Array2, Axis};
use rayon::prelude::*;

use super::cholesky::Cholesky;
use super::design::Design;
use super::element::Element;

/// Bytes that the factors may take, unless two designs are more.
const FACTOR_BYTES: usize = 512 << 20;

/// A problem as far as its Hessian is concerned.
#[derive(Clone, Copy)]
pub(super) struct Curvature<'a> {
    pub alpha: f64,
    /// Weighted mean of p (1 - p).
    pub mean: f64,
    /// Row weights, `[n]`.
    pub weights: &'a [f64],
    /// Problems with the same number have the same row weights.
    pub weights_id: usize,
}

struct Factor<F> {
    alpha: f64,
    weights_id: usize,
    cholesky: Cholesky<F>,
}

/// Factors by strength, and for few rows by row weights.
pub(super) struct Preconditioner<F> {
    gram: Option<Array2<F>>,
    factors: Vec<Factor<F>>,
}

impl<F: Element> Preconditioner<F> {
    pub fn new() -> Self {
        Preconditioner { gram: None, factors: Vec::new() }
    }

    /// Iterations of `problems` at once without a factor that take about as long as making one: whoever needs more is
    /// better off with it. Some ten problems take twice as long as one.
    pub fn break_even(design: &Design<F>, problems: usize) -> u64 {
        let alone = design.rows().min(design.columns()) as f64 / 40.0;
        (alone / (1.0 + problems as f64 / 10.0)).max(10.0) as u64
    }

    /// Makes the factors that `problems` need, of the smallest strengths first, as far as memory allows. `last`: no
    /// other will be asked for.
    pub fn prepare(&mut self, design: &Design<F>, problems: &[Curvature<'_>], last: bool) {
        let dual = design.rows() < design.columns();
        let size = design.rows().min(design.columns());
        let bytes = size * size * size_of::<F>();
        let most = (FACTOR_BYTES.max(2 * design.rows() * design.columns() * size_of::<F>()) / bytes.max(1)).max(1);
        let mut wanted: Vec<Curvature<'_>> = Vec::new();
        for problem in problems {
            let same = |alpha: f64, id: usize| alpha == problem.alpha && (!dual || id == problem.weights_id);
            if !self.factors.iter().any(|factor| same(factor.alpha, factor.weights_id))
                && !wanted.iter().any(|other| same(other.alpha, other.weights_id))
            {
                wanted.push(*problem);
            }
        }
        wanted.sort_by(|a, b| a.alpha.total_cmp(&b.alpha));
        wanted.truncate(most.saturating_sub(self.factors.len()));
        let count = wanted.len();
        for (number, problem) in wanted.into_iter().enumerate() {
            let gram = self.gram.take().unwrap_or_else(|| design.gram(dual));
            let mut matrix = if last && number + 1 == count {
                gram
            } else {
                let copy = gram.clone();
                self.gram = Some(gram);
                copy
            };
            let mean = problem.mean.max(1e-12);
            // In the primal form c X'X + alpha I; in the dual XX' + alpha/c diag(1 / weights).
            let (scale, ridge) = if dual { (1.0, problem.alpha / mean) } else { (mean, problem.alpha) };
            let trace: f64 = matrix.diag().iter().map(|&value| value.into() * scale).sum();
            // Rounding of the sums in X'X must not make it indefinite.
            let floor = if size_of::<F>() == 4 { 3e-7 } else { 1e-14 } * trace;
            matrix.mapv_inplace(|value| value * F::of(scale));
            for (row, value) in matrix.diag_mut().iter_mut().enumerate() {
                let weight = problem.weights.get(row).copied().unwrap_or(1.0);
                let ridge = if !dual {
                    ridge
                } else if weight > 0.0 {
                    ridge / weight
                } else {
                    // As good as left out.
                    1e4 * (trace + ridge)
                };
                *value = F::of((*value).into() + ridge.max(floor));
            }
            if let Some(cholesky) = Cholesky::new(matrix) {
                let (alpha, weights_id) = (problem.alpha, problem.weights_id);
                self.factors.push(Factor { alpha, weights_id, cholesky });
            }
        }
        if last {
            self.gram = None;
        }
    }

    /// The number of the factor that fits a problem.
    pub fn find(&self, design: &Design<F>, problem: &Curvature<'_>) -> Option<usize> {
        let dual = design.rows() < design.columns();
        self.factors
            .iter()
            .position(|factor| factor.alpha == problem.alpha && (!dual || factor.weights_id == problem.weights_id))
    }

    /// Overwrites each column of `q`, `[d, k]`, by the inverse of its factor's approximate Hessian times it.
    pub fn apply(&self, design: &Design<F>, q: &mut Array2<F>, factor_of: &[usize]) {
        let dual = design.rows() < design.columns();
        let inner = if dual { design.times(q.view()) } else { q.clone() };
        let mut groups: Vec<(usize, Vec<usize>)> = Vec::new();
        for (column, &factor) in factor_of.iter().enumerate() {
            match groups.iter_mut().find(|(number, _)| *number == factor) {
                Some((_, columns)) => columns.push(column),
                None => groups.push((factor, vec![column])),
            }
        }
        let solve = |(number, columns): &(usize, Vec<usize>)| {
            let mut part = inner.select(Axis(1), columns);
            if let Some(factor) = self.factors.get(*number) {
                factor.cholesky.solve(&mut part);
            }
            part
        };
        let parts: Vec<Array2<F>> =
            if design.is_large() { groups.par_iter().map(solve).collect() } else { groups.iter().map(solve).collect() };
        let mut solved = inner;
        for ((_, columns), part) in groups.iter().zip(&parts) {
            for (&column, values) in columns.iter().zip(part.axis_iter(Axis(1))) {
                solved.column_mut(column).assign(&values);
            }
        }
        if !dual {
            q.assign(&solved);
            return;
        }
        let back = design.transposed_times(solved.view());
        for (column, &number) in factor_of.iter().enumerate() {
            let Some(factor) = self.factors.get(number) else { continue };
            let inverse = F::of(1.0 / factor.alpha);
            let mut values = q.slice_mut(s![.., column]);
            values.zip_mut_with(&back.column(column), |value, &fitted| *value = (*value - fitted) * inverse);
        }
    }
}
