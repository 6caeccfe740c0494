//! One logistic problem on its way by L-BFGS.

use std::collections::VecDeque;

use ndarray::ArrayView1;

use super::certify::softplus;
use super::design::Design;
use super::element::Element;
use super::precondition::Curvature;
use super::task::{Found, Task};
use crate::stats::logistic;

/// Pairs of changes that L-BFGS keeps.
const HISTORY_PAIRS: usize = 10;
/// Iterations without a better bound after which rounding, or the problem, is taken to forbid one.
const PATIENCE_ITERATIONS: u64 = 25;

/// A problem on its way.
pub(super) struct Column<'a> {
    task: Task<'a>,
    row_weights: &'a [f64],
    total_weight: f64,
    /// Weights and intercept, `[d + 1]`; then their gradient, and the direction of the step.
    pub v: Vec<f64>,
    g: Vec<f64>,
    pub p: Vec<f64>,
    pub step: f64,
    /// Scores, `[n]`, their change along `p`, and the weighted residuals.
    z: Vec<f64>,
    pub u: Vec<f64>,
    pub residuals: Vec<f64>,
    /// X' residuals, as the product gave it.
    pub gradient: Option<Vec<f64>>,
    objective: f64,
    /// Weighted sum of p (1 - p).
    curvature: f64,
    pairs: VecDeque<Pair>,
    kept: Vec<f64>,
    best_gap: f64,
    improved_at: u64,
    gap: f64,
    pub done: bool,
}

/// Change of the parameters, of the gradient, and 1 / their product.
struct Pair {
    s: Vec<f64>,
    y: Vec<f64>,
    rho: f64,
}

impl<'a> Column<'a> {
    pub fn new<F: Element>(task: &Task<'a>, design: &Design<F>, ones: &'a [f64]) -> Self {
        let (n, d) = (design.rows(), design.columns());
        let row_weights = task.weights.unwrap_or(ones);
        let total: f64 = row_weights.iter().sum();
        let immoral: f64 = row_weights.iter().zip(task.labels).filter(|(_, &label)| label).map(|(w, _)| w).sum();
        let mut v = task.start.map_or_else(|| vec![0.0; d + 1], <[f64]>::to_vec);
        if let (None, Some(intercept)) = (task.start, v.last_mut()) {
            *intercept = (immoral.max(1e-300) / (total - immoral).max(1e-300)).ln();
        }
        let intercept = v.last().copied().unwrap_or_default();
        Column {
            task: *task,
            row_weights,
            total_weight: total,
            z: vec![if task.start.is_some() { 0.0 } else { intercept }; n],
            g: vec![0.0; d + 1],
            p: vec![0.0; d + 1],
            v,
            step: 0.0,
            u: vec![0.0; n],
            residuals: vec![0.0; n],
            gradient: None,
            objective: f64::INFINITY,
            curvature: 0.0,
            pairs: VecDeque::with_capacity(HISTORY_PAIRS + 1),
            kept: Vec::new(),
            best_gap: f64::INFINITY,
            improved_at: 0,
            gap: f64::INFINITY,
            done: false,
        }
    }

    pub fn curvature(&self) -> Curvature<'a> {
        Curvature {
            alpha: self.task.alpha,
            mean: self.curvature / self.total_weight,
            weights: self.row_weights,
            weights_id: self.row_weights.as_ptr() as usize,
        }
    }

    /// The weights of `values`, `[d + 1]`, for the design's columns.
    pub fn in_design(&self, values: &[f64]) -> Vec<f64> {
        let weights = values.iter().take(values.len().saturating_sub(1));
        match self.task.frame {
            None => weights.copied().collect(),
            Some(frame) => weights.zip(&frame.scale).map(|(weight, scale)| weight / scale).collect(),
        }
    }

    /// Scores of `values`, `[d + 1]`, from the design's product with [`Column::in_design`] of them.
    pub fn scores_of<F: Element>(&self, values: &[f64], product: ArrayView1<'_, F>) -> Vec<f64> {
        let mut offset = values.last().copied().unwrap_or_default();
        if let Some(frame) = self.task.frame {
            offset -= values.iter().zip(&frame.shift).zip(&frame.scale).map(|((w, m), s)| w * m / s).sum::<f64>();
        }
        product.iter().map(|&value| value.into() + offset).collect()
    }

    /// Goes `step` along `p`, whose scores are `u`; residuals, objective and curvature there.
    pub fn advance(&mut self) {
        let moved = self.objective.is_finite();
        if moved {
            for (v, p) in self.v.iter_mut().zip(&self.p) {
                *v += self.step * p;
            }
        }
        let (mut loss, mut curvature) = (0.0, 0.0);
        let rows = self.z.iter_mut().zip(&self.u).zip(&mut self.residuals).zip(self.row_weights);
        for ((((z, u), residual), &weight), &label) in rows.zip(self.task.labels) {
            *z += self.step * u;
            if weight == 0.0 {
                continue;
            }
            let p = logistic(*z);
            loss += weight * softplus(if label { -*z } else { *z });
            curvature += weight * p * (1.0 - p);
            *residual = weight * (p - f64::from(u8::from(label)));
        }
        let norm: f64 = self.v.iter().rev().skip(1).map(|weight| weight * weight).sum();
        (self.objective, self.curvature) = (loss + 0.5 * self.task.alpha * norm, curvature);
    }

    /// Takes in the gradient: bound, pair of changes, and whether to stop.
    pub fn learn(&mut self, tolerance: f64, iteration: u64) {
        let Some(mut gradient) = self.gradient.take() else { return };
        let total: f64 = self.residuals.iter().sum();
        if let Some(frame) = self.task.frame {
            for ((value, shift), scale) in gradient.iter_mut().zip(&frame.shift).zip(&frame.scale) {
                *value = (*value - shift * total) / scale;
            }
        }
        for (value, weight) in gradient.iter_mut().zip(&self.v) {
            *value += self.task.alpha * weight;
        }
        gradient.push(total);
        if iteration > 0 {
            let s: Vec<f64> = self.p.iter().map(|p| self.step * p).collect();
            let y: Vec<f64> = gradient.iter().zip(&self.g).map(|(new, old)| new - old).collect();
            let product = dot(&s, &y);
            if product > 1e-14 * (dot(&s, &s) * dot(&y, &y)).sqrt() {
                self.pairs.push_back(Pair { s, y, rho: 1.0 / product });
                if self.pairs.len() > HISTORY_PAIRS {
                    self.pairs.pop_front();
                }
            }
        }
        self.g = gradient;
        self.gap = dot(&self.g, &self.g) / (2.0 * self.task.alpha) / self.objective;
        if self.gap < 0.7 * self.best_gap {
            (self.best_gap, self.improved_at) = (self.gap, iteration);
        }
        // A quarter, so that another sum of the same gradient finds the tolerance kept too.
        let reached = self.gap <= 0.25 * tolerance || !self.gap.is_finite();
        self.done = reached || iteration > self.improved_at + PATIENCE_ITERATIONS;
    }

    /// The first loop of algorithm 7.4, from the newest pair to the oldest.
    pub fn descend_backwards(&mut self) {
        self.p.iter_mut().zip(&self.g).for_each(|(p, g)| *p = -g);
        self.kept.clear();
        for pair in self.pairs.iter().rev() {
            let a = pair.rho * dot(&pair.s, &self.p);
            self.p.iter_mut().zip(&pair.y).for_each(|(p, y)| *p -= a * y);
            self.kept.push(a);
        }
    }

    pub fn weights_of_direction(&self) -> &[f64] {
        self.p.split_last().map_or(&[], |(_, weights)| weights)
    }

    /// The approximate Hessian's inverse on `p`, as the preconditioner solved it for the weights.
    pub fn preconditioned<F: Element>(&mut self, solved: Option<ArrayView1<'_, F>>) {
        let Some(solved) = solved else { return };
        for (p, &value) in self.p.iter_mut().zip(solved) {
            *p = value.into();
        }
        if let Some(intercept) = self.p.last_mut() {
            *intercept /= self.curvature.max(1e-12);
        }
    }

    /// Without a preconditioner: scales the direction by the newest pair.
    pub fn scale_direction(&mut self) {
        let scale = self.pairs.back().map_or(1.0, |pair| 1.0 / (pair.rho * dot(&pair.y, &pair.y)));
        self.p.iter_mut().for_each(|p| *p *= scale);
    }

    /// The second loop; falls back to the gradient should rounding have turned the direction uphill.
    pub fn descend_forwards(&mut self) {
        for (pair, a) in self.pairs.iter().zip(self.kept.iter().rev()) {
            let b = pair.rho * dot(&pair.y, &self.p);
            self.p.iter_mut().zip(&pair.s).for_each(|(p, s)| *p += (a - b) * s);
        }
        // Not below 0: uphill, or not a number.
        if !matches!(dot(&self.p, &self.g).partial_cmp(&0.0), Some(std::cmp::Ordering::Less)) {
            self.pairs.clear();
            self.p.iter_mut().zip(&self.g).for_each(|(p, g)| *p = -g);
        }
    }

    /// The step along `p` where the slope is a tenth of what it was, by Newton's method inside a bracket: the
    /// objective is convex in it.
    pub fn search(&mut self) {
        let (at_start, norm) =
            self.v.iter().zip(&self.p).rev().skip(1).fold((0.0, 0.0), |(vp, pp), (v, p)| (vp + v * p, pp + p * p));
        let slope_at = |step: f64| {
            let (mut slope, mut curvature) = (0.0, 0.0);
            let rows = self.z.iter().zip(&self.u).zip(self.row_weights).zip(self.task.labels);
            for (((z, u), &weight), &label) in rows {
                if weight == 0.0 {
                    continue;
                }
                let p = logistic(z + step * u);
                slope += weight * (p - f64::from(u8::from(label))) * u;
                curvature += weight * p * (1.0 - p) * u * u;
            }
            let alpha = self.task.alpha;
            (slope + alpha * (at_start + step * norm), curvature + alpha * norm)
        };
        let first = dot(&self.g, &self.p);
        let (mut low, mut high) = (0.0, f64::INFINITY);
        // The first direction has no scale yet: Newton's step from 0.
        let mut step = if self.pairs.is_empty() { -first / slope_at(0.0).1.max(1e-300) } else { 1.0 };
        for _ in 0..20 {
            let (slope, curvature) = slope_at(step);
            if slope.abs() <= 0.1 * first.abs() {
                break;
            }
            if slope < 0.0 {
                low = step;
            } else {
                high = step;
            }
            let newton = step - slope / curvature.max(1e-300);
            step = if newton > low && newton < high.min(10.0 * low.max(step)) {
                newton
            } else if high.is_finite() {
                0.5 * (low + high)
            } else {
                10.0 * low
            };
        }
        self.step = step;
    }

    pub fn found(self) -> Found {
        Found { params: self.v, scores: self.z, objective: self.objective, relative_gap: self.gap }
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    crate::stats::sum_of_products(a, b)
}
