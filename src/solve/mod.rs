//! L2-regularised logistic regression: many problems at once to a warm start, linfa from there, and the optimality
//! that linfa does not report.

mod certify;
mod cholesky;
mod column;
mod design;
mod element;
mod folds;
mod minimise;
mod precondition;
mod ridge_system;
mod standardise;
mod task;

pub(crate) use certify::softplus;
pub(crate) use design::{columns_of, LARGE_DESIGN};
pub(crate) use folds::{cross_validate, tolerance_of_scores, Folds};
pub(crate) use ridge_system::RidgeSystem;
pub(crate) use standardise::Standardiser;

use certify::{certify, Point};
use design::Design;
use element::{Element, LinfaRun};
use linfa_logistic::error::Error;
use minimise::{minimise, Limits};
use ndarray::{Array1, Array2};
use rayon::prelude::*;
use task::Task;

/// What to minimise, and how far.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Problem {
    /// Strength of the penalty, above 0.
    pub alpha: f64,
    /// Iterations of the warm start, and of one run of linfa.
    pub max_iterations: u64,
    /// (objective - optimum) / objective to reach.
    pub tolerance: f64,
    /// Runs of linfa on a large design before [`certify`] is asked: 1, or 0 for fits of which only the scores count.
    /// What misses the tolerance goes to linfa in any case.
    pub first_runs: usize,
}

/// Labels of the rows, and what each row weighs if not 1.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Targets<'a> {
    pub labels: &'a [bool],
    pub weights: Option<&'a [f64]>,
}

/// Where the solver ended.
#[derive(Debug, Clone)]
pub(crate) struct Solution {
    /// Weights, `[d]`, rising towards the label `true`.
    pub weights: Array1<f64>,
    pub intercept: f64,
    pub objective: f64,
    pub gradient_norm: f64,
    /// Upper bound of (objective - optimum) / objective.
    pub relative_gap: f64,
    /// Runs of linfa that came back.
    pub solver_runs: usize,
}

/// Runs of linfa in f64 at most: the first and what continues it.
const MAX_LINFA_RUNS: usize = 4;

impl Problem {
    /// Minimises sum_i r_i ln(1 + exp(-y_i (w.x_i + b))) + alpha/2 |w|^2 over w and b for each of `draws`, where x
    /// are `rows`, column-major `[n, d]`, standardised, y = 1 for `true` and -1 for `false`, and r the row weights.
    ///
    /// Small designs are solved in f64; large ones in f32, and again in f64 where the bound of [`certify`] (always
    /// f64) misses the tolerance. linfa knows no row weights: with them its part is left out.
    pub fn solve(
        &self,
        mut rows: Array2<f32>,
        standardiser: &Standardiser,
        draws: &[Targets<'_>],
    ) -> Vec<Result<Solution, Error>> {
        if rows.len() < LARGE_DESIGN {
            let mut rows = rows.mapv(f64::from);
            standardiser.apply_to(&mut rows);
            return self.solve_as_is(rows, draws);
        }
        standardiser.apply_to(&mut rows);
        let design = Design::new(rows);
        let mut solutions = self.solve_on(&design, draws, &vec![None; draws.len()], self.first_runs);
        let missed: Vec<usize> = (0..draws.len())
            .filter(|&draw| !matches!(solutions.get(draw), Some(Ok(found)) if found.relative_gap <= self.tolerance))
            .collect();
        if missed.is_empty() {
            return solutions;
        }
        let wide: Design<f64> = design.cast();
        drop(design);
        let again: Vec<Targets<'_>> = missed.iter().filter_map(|&draw| draws.get(draw).copied()).collect();
        let starts: Vec<Option<Vec<f64>>> = missed
            .iter()
            .map(|&draw| solutions.get(draw).and_then(|found| found.as_ref().ok()).map(Solution::params))
            .collect();
        for (draw, better) in missed.into_iter().zip(self.solve_on(&wide, &again, &starts, MAX_LINFA_RUNS)) {
            if let Some(slot) = solutions.get_mut(draw) {
                *slot = better;
            }
        }
        solutions
    }

    /// Minimises what [`Problem::solve`] does in f64, with `rows`, column-major `[n, d]`, as they are.
    pub fn solve_as_is(&self, rows: Array2<f64>, draws: &[Targets<'_>]) -> Vec<Result<Solution, Error>> {
        self.solve_on(&Design::new(rows), draws, &vec![None; draws.len()], MAX_LINFA_RUNS)
    }

    fn solve_on<F: Element>(
        &self,
        design: &Design<F>,
        draws: &[Targets<'_>],
        starts: &[Option<Vec<f64>>],
        max_runs: usize,
    ) -> Vec<Result<Solution, Error>> {
        let tasks: Vec<Task<'_>> = draws
            .iter()
            .zip(starts)
            .map(|(draw, start)| Task {
                labels: draw.labels,
                weights: draw.weights,
                alpha: self.alpha,
                frame: None,
                start: start.as_deref(),
            })
            .collect();
        let limits = Limits { max_iterations: self.max_iterations, tolerance: self.tolerance };
        let warm: Vec<(Vec<f64>, f64)> =
            minimise(design, &tasks, limits).into_iter().map(|found| (found.params, found.objective)).collect();
        let finish = |(draw, start): (&Targets<'_>, _)| self.finish(design, draw, start, max_runs);
        if design.is_large() {
            draws.par_iter().zip(warm).map(finish).collect()
        } else {
            draws.iter().zip(warm).map(finish).collect()
        }
    }

    /// linfa from a warm start with its objective. It is run again where it stopped early, as long as that helps; if it
    /// cannot go on from the start at all, the start stays.
    fn finish<F: Element>(
        &self,
        design: &Design<F>,
        draw: &Targets<'_>,
        (mut start, mut objective): (Vec<f64>, f64),
        max_runs: usize,
    ) -> Result<Solution, Error> {
        let at = |params| certify(design, draw.labels, draw.weights, self.alpha, params);
        let mut best: Option<Point> = None;
        let mut runs = 0;
        while runs < max_runs && draw.weights.is_none() {
            let run = LinfaRun {
                alpha: self.alpha,
                max_iterations: self.max_iterations,
                gradient_tolerance: 0.9 * (2.0 * self.alpha * self.tolerance * objective).sqrt(),
                start: &start,
            };
            let point = match F::run_linfa(design.x(), draw.labels, &run) {
                Ok(params) if params.iter().all(|value| value.is_finite()) => at(params),
                Err(error @ (Error::TooFewClasses | Error::TooManyClasses)) => return Err(error),
                // What was found before stays.
                Ok(_) | Err(_) => break,
            };
            runs += 1;
            let (done, stuck) = (point.relative_gap <= self.tolerance, point.objective >= objective);
            if done || !stuck || best.is_none() {
                (start, objective) = (point.params.clone(), point.objective);
                best = Some(point);
            }
            if done || stuck {
                break;
            }
        }
        Ok(Solution::new(best.unwrap_or_else(|| at(start)), runs))
    }
}

impl Solution {
    fn new(point: Point, solver_runs: usize) -> Self {
        let Point { mut params, objective, gradient_norm, relative_gap } = point;
        let intercept = params.pop().unwrap_or_default();
        let weights = Array1::from_vec(params);
        Solution { weights, intercept, objective, gradient_norm, relative_gap, solver_runs }
    }

    /// Weights, then the intercept.
    fn params(&self) -> Vec<f64> {
        self.weights.iter().copied().chain([self.intercept]).collect()
    }
}

/// Row weights under which both classes weigh the same and the whole what it did: scikit-learn's "balanced", n / (2 n_k),
/// over the rows that `mask`, `[n]`, holds at 1.
pub(crate) fn balanced_weights(labels: &[bool], mask: &[f64]) -> Vec<f64> {
    let of = |wanted: bool| -> f64 {
        mask.iter().zip(labels).filter(|(_, &label)| label == wanted).map(|(weight, _)| weight).sum()
    };
    let (moral, immoral) = (of(false), of(true));
    let of_class = |label: bool| (moral + immoral) / (2.0 * if label { immoral } else { moral });
    mask.iter().zip(labels).map(|(weight, &label)| weight * of_class(label)).collect()
}
