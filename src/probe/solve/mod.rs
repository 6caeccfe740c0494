//! L2-regularised logistic regression by linfa, with the optimality that linfa does not report.

mod standardise;

pub use standardise::Standardiser;

use linfa::traits::Fit;
use linfa::Dataset;
use linfa_logistic::LogisticRegression;
use ndarray::{s, Array1, Array2};

/// What to minimise, and how far.
#[derive(Debug, Clone, Copy)]
pub(in crate::probe) struct Problem {
    /// Strength of the penalty, above 0.
    pub alpha: f64,
    /// Iterations of one solver run.
    pub max_iterations: u64,
    /// (objective - optimum) / objective to reach.
    pub tolerance: f64,
}

/// Where the solver ended.
#[derive(Debug, Clone)]
pub(in crate::probe) struct Solution {
    /// Weights, `[d]`, rising towards the label `true`.
    pub weights: Array1<f64>,
    pub intercept: f64,
    pub objective: f64,
    pub gradient_norm: f64,
    /// Upper bound of (objective - optimum) / objective.
    pub relative_gap: f64,
    pub solver_runs: usize,
}

/// Runs of linfa at most: the first and what continues it.
const MAX_RUNS: usize = 4;

impl Problem {
    /// Minimises sum_i ln(1 + exp(-y_i (w.x_i + b))) + alpha/2 |w|^2 over w and b, with y = 1 for `true` and
    /// -1 for `false`.
    ///
    /// With b at its best for the given w, the objective is strongly convex in w with modulus alpha, so
    /// objective - optimum <= |gradient|^2 / (2 alpha): that bound decides whether to go on.
    pub fn solve(&self, rows: Array2<f64>, labels: &[bool]) -> Result<Solution, linfa_logistic::error::Error> {
        let dataset = Dataset::new(rows, Array1::from_vec(labels.to_vec()));
        let mut best: Option<Solution> = None;
        let mut sign = 1.0;
        // For the first run, a low guess of the optimum: 5 % of the objective at w = 0, n ln 2.
        let mut expected_objective = 0.05 * labels.len() as f64 * std::f64::consts::LN_2;
        for run in 1..=MAX_RUNS {
            let gradient_tolerance = 0.9 * (2.0 * self.alpha * self.tolerance * expected_objective).sqrt();
            let mut linfa = LogisticRegression::default()
                .alpha(self.alpha)
                .max_iterations(self.max_iterations)
                .gradient_tolerance(gradient_tolerance.max(f64::MIN_POSITIVE));
            if let Some(start) = &best {
                let mut params = Array1::zeros(start.weights.len() + 1);
                params.slice_mut(s![..-1]).assign(&(&start.weights * sign));
                params.slice_mut(s![-1..]).fill(start.intercept * sign);
                linfa = linfa.initial_params(params);
            }
            let fitted = match (linfa.fit(&dataset), &best) {
                (Ok(fitted), _) => fitted,
                (Err(error), None) => return Err(error),
                // What an earlier run found stays.
                (Err(_), Some(_)) => break,
            };
            // linfa's positive class is the majority, whatever the labels mean: here it becomes `true`.
            sign = if fitted.labels().pos.class { 1.0 } else { -1.0 };
            let (weights, intercept) = (fitted.params() * sign, fitted.intercept() * sign);
            let solution = self.certify(dataset.records(), labels, weights, intercept, run);
            let previous = best.as_ref().map_or(f64::INFINITY, |best| best.objective);
            let stuck = solution.objective >= previous;
            expected_objective = solution.objective;
            let done = solution.relative_gap <= self.tolerance;
            if done || !stuck {
                best = Some(solution);
            }
            if done || stuck {
                break;
            }
        }
        // The first run either returned its error or set `best`.
        best.ok_or(linfa_logistic::error::Error::TooFewClasses)
    }

    /// Objective and gradient at a point, with the intercept moved to its best for these weights.
    fn certify(&self, x: &Array2<f64>, labels: &[bool], weights: Array1<f64>, start: f64, run: usize) -> Solution {
        let scores = x.dot(&weights);
        let intercept = best_intercept(&scores, labels, start);
        let mut loss = 0.0;
        let mut residuals = Array1::zeros(labels.len());
        for ((residual, &score), &label) in residuals.iter_mut().zip(&scores).zip(labels) {
            let z = score + intercept;
            loss += softplus(if label { -z } else { z });
            *residual = logistic(z) - f64::from(u8::from(label));
        }
        let objective = loss + 0.5 * self.alpha * weights.dot(&weights);
        let gradient = x.t().dot(&residuals) + self.alpha * &weights;
        let squared = gradient.dot(&gradient) + residuals.sum().powi(2);
        Solution {
            relative_gap: squared / (2.0 * self.alpha) / objective,
            gradient_norm: squared.sqrt(),
            weights,
            intercept,
            objective,
            solver_runs: run,
        }
    }
}

/// The intercept that minimises the loss for fixed scores, by Newton's method with bounded steps; the loss is
/// convex in it.
fn best_intercept(scores: &Array1<f64>, labels: &[bool], start: f64) -> f64 {
    let mut intercept = start;
    for _ in 0..100 {
        let (mut slope, mut curvature) = (0.0, 0.0);
        for (&score, &label) in scores.iter().zip(labels) {
            let p = logistic(score + intercept);
            slope += p - f64::from(u8::from(label));
            curvature += p * (1.0 - p);
        }
        let step = (slope / curvature.max(1e-300)).clamp(-1.0, 1.0);
        intercept -= step;
        if step.abs() <= 1e-14 * intercept.abs().max(1.0) {
            break;
        }
    }
    intercept
}

/// 1 / (1 + e^-z).
pub(in crate::probe) fn logistic(z: f64) -> f64 {
    1.0 / (1.0 + (-z).exp())
}

/// ln(1 + e^z) without overflow.
fn softplus(z: f64) -> f64 {
    z.max(0.0) + (-z.abs()).exp().ln_1p()
}
