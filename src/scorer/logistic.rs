//! Logistic regression by linfa on sparse rows, with the optimality that linfa does not report.

use linfa::traits::Fit;
use linfa::Dataset;
use linfa_logistic::LogisticRegression;
use ndarray::{s, Array1, Array2, ShapeBuilder};

use super::words::SparseRow;
use crate::{Error, Result};

/// Where linfa ended, with weights that rise towards `true`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Fitted {
    pub weights: Vec<f64>,
    pub intercept: f64,
    pub objective: f64,
    /// Upper bound of (objective - optimum) / objective.
    pub relative_gap: f64,
}

/// (objective - optimum) / objective to reach.
pub(super) const TOLERANCE: f64 = 1e-8;
/// Runs of linfa at most: the first and what continues it.
const MAX_RUNS: usize = 4;

/// Minimises sum_i ln(1 + exp(-y_i (w.x_i + b))) + alpha/2 |w|^2. linfa takes dense rows only: this needs
/// 8 n `width` bytes, once.
pub(super) fn fit(rows: &[SparseRow], width: usize, labels: &[bool], alpha: f64) -> Result<Fitted> {
    // Column after column, on which linfa's gradient is several times faster.
    let mut dense = Array2::zeros((rows.len(), width).f());
    for (mut dense, row) in dense.outer_iter_mut().zip(rows) {
        for &(column, value) in row {
            if let Some(cell) = dense.get_mut(column) {
                *cell = value;
            }
        }
    }
    let dataset = Dataset::new(dense, Array1::from_vec(labels.to_vec()));
    let mut best: Option<Fitted> = None;
    let mut sign = 1.0;
    let mut expected_objective = 0.05 * labels.len() as f64 * std::f64::consts::LN_2;
    for _ in 0..MAX_RUNS {
        let gradient_tolerance = 0.5 * (2.0 * alpha * TOLERANCE * expected_objective).sqrt();
        let mut linfa =
            LogisticRegression::default().alpha(alpha).max_iterations(1_000).gradient_tolerance(gradient_tolerance);
        if let Some(start) = &best {
            let mut params = Array1::from_elem(width + 1, start.intercept * sign);
            params.slice_mut(s![..-1]).assign(&(&Array1::from_vec(start.weights.clone()) * sign));
            linfa = linfa.initial_params(params);
        }
        let fitted = match (linfa.fit(&dataset), &best) {
            (Ok(fitted), _) => fitted,
            (Err(_), Some(_)) => break,
            (Err(error), None) => return Err(Error::fit("the text scorer", error.to_string())),
        };
        // linfa's positive class is the majority, whatever the labels mean: here it becomes `true`.
        sign = if fitted.labels().pos.class { 1.0 } else { -1.0 };
        let weights = (fitted.params() * sign).to_vec();
        let certified = certify(rows, labels, alpha, weights, fitted.intercept() * sign);
        let better = best.as_ref().is_none_or(|best| certified.objective < best.objective);
        let done = certified.relative_gap <= TOLERANCE;
        expected_objective = certified.objective;
        if done || better {
            best = Some(certified);
        }
        if done || !better {
            break;
        }
    }
    best.ok_or_else(|| Error::fit("the text scorer", "linfa gave no result"))
}

/// w.x + b of a sparse row.
pub(super) fn decision(row: &SparseRow, weights: &[f64], intercept: f64) -> f64 {
    row.iter().filter_map(|&(column, value)| Some(value * weights.get(column)?)).sum::<f64>() + intercept
}

/// 1 / (1 + e^-z).
pub(super) fn logistic(z: f64) -> f64 {
    1.0 / (1.0 + (-z).exp())
}

/// Objective and gradient at these weights, with the intercept at its best for them (Newton's method): the rest
/// is strongly convex with modulus alpha, so objective - optimum <= |gradient|^2 / (2 alpha).
fn certify(rows: &[SparseRow], labels: &[bool], alpha: f64, weights: Vec<f64>, start: f64) -> Fitted {
    let scores: Vec<f64> = rows.iter().map(|row| decision(row, &weights, 0.0)).collect();
    let residual = |z: f64, label: bool| logistic(z) - f64::from(u8::from(label));
    let mut intercept = start;
    for _ in 0..50 {
        let (mut slope, mut curvature) = (0.0, 0.0);
        for (score, &label) in scores.iter().zip(labels) {
            let p = logistic(score + intercept);
            slope += p - f64::from(u8::from(label));
            curvature += p * (1.0 - p);
        }
        let step = (slope / f64::max(curvature, 1e-300)).clamp(-1.0, 1.0);
        intercept -= step;
        if step.abs() < 1e-14 {
            break;
        }
    }
    let mut gradient: Vec<f64> = weights.iter().map(|weight| alpha * weight).collect();
    let (mut loss, mut slope) = (0.0, 0.0);
    for ((row, score), &label) in rows.iter().zip(&scores).zip(labels) {
        let z = score + intercept;
        let wrong = if label { -z } else { z };
        loss += f64::max(wrong, 0.0) + (-wrong.abs()).exp().ln_1p();
        let residual = residual(z, label);
        slope += residual;
        for &(column, value) in row {
            if let Some(cell) = gradient.get_mut(column) {
                *cell += residual * value;
            }
        }
    }
    let objective = loss + 0.5 * alpha * weights.iter().map(|weight| weight * weight).sum::<f64>();
    let squared = gradient.iter().map(|value| value * value).sum::<f64>() + slope * slope;
    Fitted { relative_gap: squared / (2.0 * alpha) / objective, weights, intercept, objective }
}
