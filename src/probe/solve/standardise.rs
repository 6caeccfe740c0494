//! Centring and scaling, learned from the training part only.

use ndarray::{Array1, Array2, ArrayView2, Axis};

/// Mean and scale of each column.
#[derive(Debug, Clone, PartialEq)]
pub struct Standardiser {
    /// Column means, `[d]`.
    pub mean: Array1<f64>,
    /// Column standard deviations (divisor n), `[d]`; 1 where the column is constant.
    pub scale: Array1<f64>,
    /// Whether each column is constant, `[d]`: such a column is made exactly 0.
    constant: Vec<bool>,
}

/// A column whose spread is below this share of its mean is rounding noise around a constant; one unit in
/// the last place of an f32 in one of a million rows is still above it.
const CONSTANT: f64 = 1e-12;

impl Standardiser {
    /// Learns from `rows`, `[n, d]`.
    pub fn fit(rows: ArrayView2<'_, f64>) -> Self {
        let n = rows.nrows().max(1) as f64;
        let (mut mean, mut scale) = (Array1::zeros(rows.ncols()), Array1::ones(rows.ncols()));
        let mut constant = vec![true; rows.ncols()];
        for (((column, mean), scale), constant) in
            rows.axis_iter(Axis(1)).zip(mean.iter_mut()).zip(scale.iter_mut()).zip(constant.iter_mut())
        {
            *mean = column.sum() / n;
            let sd = (column.iter().map(|value| (value - *mean).powi(2)).sum::<f64>() / n).sqrt();
            *constant = sd <= CONSTANT * mean.abs();
            if !*constant {
                *scale = sd;
            }
        }
        Standardiser { mean, scale, constant }
    }

    /// Standardises `rows`, `[n, d]`, in place.
    pub fn apply(&self, rows: &mut Array2<f64>) {
        for (((mut column, &mean), &scale), &constant) in
            rows.axis_iter_mut(Axis(1)).zip(&self.mean).zip(&self.scale).zip(&self.constant)
        {
            column.mapv_inplace(|value| if constant { 0.0 } else { (value - mean) / scale });
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
