//! What a point is worth: objective, gradient, and a proven bound of its distance to the optimum.

use super::design::Design;
use super::element::Element;
use crate::stats::logistic;

/// A linear rule on the design's columns, with its proven optimality.
#[derive(Debug, Clone)]
pub(crate) struct Point {
    /// Weights, `[d]`, rising towards the label `true`, and the intercept, last.
    pub params: Vec<f64>,
    pub objective: f64,
    pub gradient_norm: f64,
    /// Upper bound of (objective - optimum) / objective.
    pub relative_gap: f64,
}

/// Objective and gradient at `params`, in f64, with the intercept moved to its best for these weights; rows weigh
/// `weights`, `[n]`.
///
/// With the intercept at its best the objective is strongly convex in the weights with modulus alpha, so that
/// objective - optimum <= |gradient|^2 / (2 alpha).
pub(super) fn certify<F: Element>(
    design: &Design<F>,
    labels: &[bool],
    weights: Option<&[f64]>,
    alpha: f64,
    mut params: Vec<f64>,
) -> Point {
    let start = params.pop().unwrap_or_default();
    let scores = design.scores(&params);
    let weigh = |row: usize| weights.map_or(1.0, |weights| weights.get(row).copied().unwrap_or_default());
    let intercept = best_intercept(&scores, labels, &weigh, start);
    let mut loss = 0.0;
    let mut residuals = vec![0.0; labels.len()];
    for (row, ((residual, &score), &label)) in residuals.iter_mut().zip(&scores).zip(labels).enumerate() {
        let z = score + intercept;
        loss += weigh(row) * softplus(if label { -z } else { z });
        *residual = weigh(row) * (logistic(z) - f64::from(u8::from(label)));
    }
    let norm: f64 = params.iter().map(|weight| weight * weight).sum();
    let objective = loss + 0.5 * alpha * norm;
    let of_weights: f64 =
        design.gradient(&residuals).iter().zip(&params).map(|(slope, weight)| (slope + alpha * weight).powi(2)).sum();
    let squared = of_weights + residuals.iter().sum::<f64>().powi(2);
    params.push(intercept);
    // Both are sums of what cannot be below 0: an objective of exactly 0 is the optimum.
    let relative_gap = if squared == 0.0 { 0.0 } else { squared / (2.0 * alpha) / objective };
    Point { relative_gap, gradient_norm: squared.sqrt(), params, objective }
}

/// The intercept that minimises the loss for fixed scores, by Newton's method with bounded steps; the loss is
/// convex in it.
fn best_intercept(scores: &[f64], labels: &[bool], weigh: &impl Fn(usize) -> f64, start: f64) -> f64 {
    let mut intercept = start;
    for _ in 0..100 {
        let (mut slope, mut curvature) = (0.0, 0.0);
        for (row, (&score, &label)) in scores.iter().zip(labels).enumerate() {
            let p = logistic(score + intercept);
            slope += weigh(row) * (p - f64::from(u8::from(label)));
            curvature += weigh(row) * p * (1.0 - p);
        }
        let step = (slope / curvature.max(1e-300)).clamp(-1.0, 1.0);
        intercept -= step;
        if step.abs() <= 1e-14 * intercept.abs().max(1.0) {
            break;
        }
    }
    intercept
}

/// ln(1 + e^z) without overflow.
pub(crate) fn softplus(z: f64) -> f64 {
    z.max(0.0) + (-z.abs()).exp().ln_1p()
}
