//! Centring and scaling, learned from the training part only.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, ArrayViewMut1, Axis};
use rayon::prelude::*;

use super::design::LARGE_DESIGN;
use super::element::Element;

/// Mean and scale of each column.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Standardiser {
    /// Column means, `[d]`.
    pub mean: Array1<f64>,
    /// Column standard deviations (divisor n), `[d]`; 1 where the column is constant.
    pub scale: Array1<f64>,
    /// Whether each column is constant, `[d]`: such a column is made exactly 0.
    constant: Vec<bool>,
}

/// A column whose spread is below this share of its mean is rounding noise around a constant; one unit in
/// the last place of an f32 in one of a million rows is still above it.
const CONSTANT_SHARE: f64 = 1e-12;

impl Standardiser {
    /// Learns from `rows`, `[n, d]`, in f64.
    pub fn fit<A: Copy + Into<f64> + Sync>(rows: ArrayView2<'_, A>) -> Self {
        let moments: Vec<(f64, f64)> = if rows.len() >= LARGE_DESIGN {
            (0..rows.ncols()).into_par_iter().map(|column| moments(rows.column(column))).collect()
        } else {
            rows.axis_iter(Axis(1)).map(moments).collect()
        };
        let constant: Vec<bool> = moments.iter().map(|(mean, sd)| *sd <= CONSTANT_SHARE * mean.abs()).collect();
        Standardiser {
            mean: moments.iter().map(|(mean, _)| *mean).collect(),
            scale: moments.iter().zip(&constant).map(|((_, sd), &constant)| if constant { 1.0 } else { *sd }).collect(),
            constant,
        }
    }

    /// Standardises `rows`, `[n, d]`, in place.
    pub fn apply(&self, rows: &mut Array2<f64>) {
        self.apply_to(rows);
    }

    /// Standardises `rows`, `[n, d]`, in place; computed in f64, kept in their own width of numbers.
    pub(crate) fn apply_to<F: Element>(&self, rows: &mut Array2<F>) {
        let one = |(column, mut values): (usize, ArrayViewMut1<'_, F>)| {
            let at = |values: &Array1<f64>| values.get(column).copied().unwrap_or_default();
            let (mean, scale) = (at(&self.mean), 1.0 / at(&self.scale));
            let constant = self.constant.get(column).copied().unwrap_or(true);
            values.mapv_inplace(|value| if constant { F::zero() } else { F::of((value.into() - mean) * scale) });
        };
        let parallel = rows.len() >= LARGE_DESIGN;
        let columns = rows.axis_iter_mut(Axis(1));
        if parallel {
            use ndarray::parallel::prelude::*;
            columns.into_par_iter().enumerate().for_each(one);
        } else {
            columns.enumerate().for_each(one);
        }
    }

    /// The rule on raw columns that equals a rule on standardised ones: `w_raw = w / scale`,
    /// `b_raw = b - sum(w mean / scale)`.
    pub fn to_raw(&self, weights: &Array1<f64>, intercept: f64) -> (Array1<f64>, f64) {
        let raw = weights / &self.scale;
        let intercept = intercept - raw.dot(&self.mean);
        (raw, intercept)
    }
}

/// Mean and standard deviation (divisor n) of a column.
fn moments<A: Copy + Into<f64>>(column: ArrayView1<'_, A>) -> (f64, f64) {
    let n = column.len().max(1) as f64;
    let mean = sum(column, |value| value) / n;
    let sd = (sum(column, |value| (value - mean).powi(2)) / n).sqrt();
    (mean, sd)
}

/// Sum of f over a column; eight sums side by side where it lies in one piece.
fn sum<A: Copy + Into<f64>>(column: ArrayView1<'_, A>, f: impl Fn(f64) -> f64) -> f64 {
    let Some(values) = column.to_slice() else { return column.iter().map(|&value| f(value.into())).sum() };
    let (chunks, rest) = values.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for chunk in chunks {
        for (sum, &value) in sums.iter_mut().zip(chunk) {
            *sum += f(value.into());
        }
    }
    sums.iter().sum::<f64>() + rest.iter().map(|&value| f(value.into())).sum::<f64>()
}
