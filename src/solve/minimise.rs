//! Many logistic problems on one design at once, by L-BFGS.
//!
//! Problems may differ in labels, row weights (0 leaves a row out), strength and standardisation; each is a column
//! of the products with the design, which is what makes a sweep cheap. Products are in the design's width of
//! numbers, everything else is f64. L-BFGS after Nocedal and Wright (2006), algorithm 7.4; since scores are linear
//! in the step, the line search costs no product.

use ndarray::{Array2, Axis, ShapeBuilder};
use rayon::prelude::*;

use super::column::Column;
use super::design::Design;
use super::element::Element;
use super::precondition::{Curvature, Preconditioner};
use super::task::{Found, Task};

/// How far to go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub max_iterations: u64,
    /// (objective - optimum) / objective to reach.
    pub tolerance: f64,
}

/// Problems at a time: bounds the memory of their histories.
const PROBLEMS_AT_ONCE: usize = 64;

/// Minimises each of `tasks`; where one ends does not depend on the number of threads.
pub(crate) fn minimise<F: Element>(design: &Design<F>, tasks: &[Task<'_>], limits: Limits) -> Vec<Found> {
    let mut preconditioner = Preconditioner::new();
    let batches = tasks.chunks(PROBLEMS_AT_ONCE);
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
        scale_directions(design, &mut active, preconditioner);
        each(&mut active, parallel, |column| column.descend_forwards());
        let product = product_with(design, active.iter().map(|column| column.in_design(&column.p)).collect());
        for (column, scores) in active.iter_mut().zip(product.axis_iter(Axis(1))) {
            column.u = column.scores_of(&column.p, scores);
        }
        each(&mut active, parallel, |column| column.search());
    }
    columns.into_iter().map(Column::found).collect()
}

/// Applies each problem's approximate inverse Hessian to its direction: a factor's where there is one, else a number.
fn scale_directions<F: Element>(
    design: &Design<F>,
    active: &mut [&mut Column<'_>],
    preconditioner: &Preconditioner<F>,
) {
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
