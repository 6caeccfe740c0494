//! Many logistic problems on one design at once, by L-BFGS.
//!
//! Problems may differ in labels, row weights (0 leaves a row out), strength and standardisation; each is a column
//! of the products with the design, which is what makes a sweep cheap. Products are in the design's width of
//! numbers, everything else is f64. L-BFGS after Nocedal and Wright (2006), algorithm 7.4; since scores are linear
//! in the step, the line search costs no product.

use std::collections::VecDeque;

use ndarray::{Array2, ArrayView1, Axis, ShapeBuilder};
use rayon::prelude::*;

use super::certify::{logistic, softplus};
use super::design::Design;
use super::element::Element;
use super::precondition::{Curvature, Preconditioner};

/// One problem: minimise sum_i r_i ln(1 + exp(-y_i (w.x_i + b))) + alpha/2 |w|^2.
#[derive(Clone, Copy)]
pub(in crate::probe) struct Task<'a> {
    /// Labels, `[n]`.
    pub labels: &'a [bool],
    /// Weights r of the rows, `[n]`; all 1 if `None`.
    pub weights: Option<&'a [f64]>,
    pub alpha: f64,
    /// How the rows of this problem are standardised, if not as the design is.
    pub frame: Option<&'a Frame>,
    /// Where to start, `[d + 1]`.
    pub start: Option<&'a [f64]>,
}

/// Standardises anew: x = (design - shift) / scale, both `[d]`.
pub(in crate::probe) struct Frame {
    pub shift: Vec<f64>,
    pub scale: Vec<f64>,
}

/// How far to go.
#[derive(Debug, Clone, Copy)]
pub(in crate::probe) struct Limits {
    pub max_iterations: u64,
    /// (objective - optimum) / objective to reach.
    pub tolerance: f64,
}

/// Where a problem ended.
pub(in crate::probe) struct Found {
    /// Weights in the problem's own frame and the intercept, `[d + 1]`.
    pub params: Vec<f64>,
    /// Decisions on all rows of the design, `[n]`, those left out included.
    pub scores: Vec<f64>,
    pub objective: f64,
    /// Upper bound of (objective - optimum) / objective, as far as the products' width of numbers tells.
    pub relative_gap: f64,
}

const HISTORY: usize = 10;
/// Problems at a time: bounds the memory of their histories.
const BATCH: usize = 64;
/// Iterations without a better bound after which rounding, or the problem, is taken to forbid one.
const PATIENCE: u64 = 25;

/// Minimises each of `tasks`; where one ends does not depend on the number of threads.
pub(in crate::probe) fn minimise<F: Element>(design: &Design<F>, tasks: &[Task<'_>], limits: Limits) -> Vec<Found> {
    let mut preconditioner = Preconditioner::new();
    let batches = tasks.chunks(BATCH);
    let last = batches.len().saturating_sub(1);
    let run = |(number, batch)| minimise_batch(design, batch, limits, &mut preconditioner, number == last);
    batches.enumerate().flat_map(run).collect()
}

fn minimise_batch<F: Element>(
    design: &Design<F>,
    tasks: &[Task<'_>],
    limits: Limits,
    preconditioner: &mut Preconditioner<F>,
    last: bool,
) -> Vec<Found> {
    let parallel = design.is_large();
    let ones = vec![1.0; design.rows()];
    let mut columns: Vec<Column<'_>> = tasks.iter().map(|task| Column::new(task, design, &ones)).collect();
    if tasks.iter().any(|task| task.start.is_some()) {
        let product = product_with(design, columns.iter().map(|column| column.in_design(&column.v)).collect());
        for (column, scores) in columns.iter_mut().zip(product.axis_iter(Axis(1))) {
            column.u = column.scores_of(&column.v, scores);
            column.step = 1.0;
        }
    }
    let mut prepared = false;
    for iteration in 0..=limits.max_iterations {
        let mut active: Vec<&mut Column<'_>> = columns.iter_mut().filter(|column| !column.done).collect();
        each(&mut active, parallel, |column| column.advance());
        let residuals = columns_to_matrix(design.rows(), active.iter().map(|column| &column.residuals));
        let gradients = design.transposed_times(residuals.view());
        for (column, gradient) in active.iter_mut().zip(gradients.axis_iter(Axis(1))) {
            column.gradient = Some(gradient.iter().map(|&value| value.into()).collect());
        }
        each(&mut active, parallel, |column| column.learn(limits.tolerance, iteration));
        active.retain(|column| !column.done);
        if active.is_empty() || iteration == limits.max_iterations {
            break;
        }

        // By those that still run: a factor is not worth its making for a last one.
        if !prepared && iteration >= Preconditioner::break_even(design, active.len()) {
            prepared = true;
            let curvatures: Vec<Curvature<'_>> = active.iter().map(|column| column.curvature()).collect();
            preconditioner.prepare(design, &curvatures, last);
        }
        each(&mut active, parallel, |column| column.descend_backwards());
        let factors: Vec<Option<usize>> =
            active.iter().map(|column| preconditioner.find(design, &column.curvature())).collect();
        let chosen: Vec<usize> = factors.iter().copied().flatten().collect();
        if !chosen.is_empty() {
            let with = || active.iter().zip(&factors).filter(|(_, factor)| factor.is_some());
            let mut q = columns_to_matrix(design.columns(), with().map(|(column, _)| column.weights_of_direction()));
            preconditioner.apply(design, &mut q, &chosen);
            let mut solved = q.axis_iter(Axis(1));
            for (column, _) in active.iter_mut().zip(&factors).filter(|(_, factor)| factor.is_some()) {
                column.preconditioned(solved.next());
            }
        }
        for (column, _) in active.iter_mut().zip(&factors).filter(|(_, factor)| factor.is_none()) {
            column.scale_direction();
        }
        each(&mut active, parallel, |column| column.descend_forwards());
        let product = product_with(design, active.iter().map(|column| column.in_design(&column.p)).collect());
        for (column, scores) in active.iter_mut().zip(product.axis_iter(Axis(1))) {
            column.u = column.scores_of(&column.p, scores);
        }
        each(&mut active, parallel, |column| column.search());
    }
    columns.into_iter().map(Column::found).collect()
}

/// A problem on its way.
struct Column<'a> {
    task: Task<'a>,
    row_weights: &'a [f64],
    total_weight: f64,
    /// Weights and intercept, `[d + 1]`; then their gradient, and the direction of the step.
    v: Vec<f64>,
    g: Vec<f64>,
    p: Vec<f64>,
    step: f64,
    /// Scores, `[n]`, their change along `p`, and the weighted residuals.
    z: Vec<f64>,
    u: Vec<f64>,
    residuals: Vec<f64>,
    /// X' residuals, as the product gave it.
    gradient: Option<Vec<f64>>,
    objective: f64,
    /// Weighted sum of p (1 - p).
    curvature: f64,
    pairs: VecDeque<Pair>,
    kept: Vec<f64>,
    best_gap: f64,
    improved_at: u64,
    gap: f64,
    done: bool,
}

/// Change of the parameters, of the gradient, and 1 / their product.
struct Pair {
    s: Vec<f64>,
    y: Vec<f64>,
    rho: f64,
}

impl<'a> Column<'a> {
    fn new<F: Element>(task: &Task<'a>, design: &Design<F>, ones: &'a [f64]) -> Self {
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
            pairs: VecDeque::with_capacity(HISTORY + 1),
            kept: Vec::new(),
            best_gap: f64::INFINITY,
            improved_at: 0,
            gap: f64::INFINITY,
            done: false,
        }
    }

    fn curvature(&self) -> Curvature<'a> {
        Curvature {
            alpha: self.task.alpha,
            mean: self.curvature / self.total_weight,
            weights: self.row_weights,
            weights_id: self.row_weights.as_ptr() as usize,
        }
    }

    /// The weights of `values`, `[d + 1]`, for the design's columns.
    fn in_design(&self, values: &[f64]) -> Vec<f64> {
        let weights = values.iter().take(values.len().saturating_sub(1));
        match self.task.frame {
            None => weights.copied().collect(),
            Some(frame) => weights.zip(&frame.scale).map(|(weight, scale)| weight / scale).collect(),
        }
    }

    /// Scores of `values`, `[d + 1]`, from the design's product with [`Column::in_design`] of them.
    fn scores_of<F: Element>(&self, values: &[f64], product: ArrayView1<'_, F>) -> Vec<f64> {
        let mut offset = values.last().copied().unwrap_or_default();
        if let Some(frame) = self.task.frame {
            offset -= values.iter().zip(&frame.shift).zip(&frame.scale).map(|((w, m), s)| w * m / s).sum::<f64>();
        }
        product.iter().map(|&value| value.into() + offset).collect()
    }

    /// Goes `step` along `p`, whose scores are `u`; residuals, objective and curvature there.
    fn advance(&mut self) {
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
    fn learn(&mut self, tolerance: f64, iteration: u64) {
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
                if self.pairs.len() > HISTORY {
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
        self.done = reached || iteration > self.improved_at + PATIENCE;
    }

    /// The first loop of algorithm 7.4, from the newest pair to the oldest.
    fn descend_backwards(&mut self) {
        self.p.iter_mut().zip(&self.g).for_each(|(p, g)| *p = -g);
        self.kept.clear();
        for pair in self.pairs.iter().rev() {
            let a = pair.rho * dot(&pair.s, &self.p);
            self.p.iter_mut().zip(&pair.y).for_each(|(p, y)| *p -= a * y);
            self.kept.push(a);
        }
    }

    fn weights_of_direction(&self) -> &[f64] {
        self.p.split_last().map_or(&[], |(_, weights)| weights)
    }

    /// The approximate Hessian's inverse on `p`, as the preconditioner solved it for the weights.
    fn preconditioned<F: Element>(&mut self, solved: Option<ArrayView1<'_, F>>) {
        let Some(solved) = solved else { return };
        for (p, &value) in self.p.iter_mut().zip(solved) {
            *p = value.into();
        }
        if let Some(intercept) = self.p.last_mut() {
            *intercept /= self.curvature.max(1e-12);
        }
    }

    /// The same without a preconditioner: the scale of the newest pair.
    fn scale_direction(&mut self) {
        let scale = self.pairs.back().map_or(1.0, |pair| 1.0 / (pair.rho * dot(&pair.y, &pair.y)));
        self.p.iter_mut().for_each(|p| *p *= scale);
    }

    /// The second loop; falls back to the gradient should rounding have turned the direction uphill.
    fn descend_forwards(&mut self) {
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
    fn search(&mut self) {
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

    fn found(self) -> Found {
        Found { params: self.v, scores: self.z, objective: self.objective, relative_gap: self.gap }
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    crate::stats::sum_of_products(a, b)
}

fn each(columns: &mut [&mut Column<'_>], parallel: bool, f: impl Fn(&mut Column<'_>) + Send + Sync) {
    if parallel {
        columns.par_iter_mut().for_each(|column| f(column));
    } else {
        columns.iter_mut().for_each(|column| f(column));
    }
}

fn columns_to_matrix<'v, F: Element, V: AsRef<[f64]> + 'v + ?Sized>(
    rows: usize,
    columns: impl Iterator<Item = &'v V>,
) -> Array2<F> {
    let columns: Vec<&V> = columns.collect();
    let mut matrix = Array2::zeros((rows, columns.len()).f());
    for (mut to, from) in matrix.axis_iter_mut(Axis(1)).zip(columns) {
        to.iter_mut().zip(from.as_ref()).for_each(|(to, &from)| *to = F::of(from));
    }
    matrix
}

fn product_with<F: Element>(design: &Design<F>, weights: Vec<Vec<f64>>) -> Array2<F> {
    design.times(columns_to_matrix(design.columns(), weights.iter()).view())
}
