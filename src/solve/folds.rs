//! Cross-validation of penalty strengths: every fold and strength is one column of the same products.

use ndarray::{Array2, Axis};

use super::design::{Design, LARGE_DESIGN};
use super::element::Element;
use super::minimise::{minimise, Limits};
use super::task::{Frame, Task};
use super::{balanced_weights, softplus, Problem, Standardiser};
use crate::stats::auroc;

/// What one strength came to on the rows left out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct FoldScores {
    /// Mean log-loss in nats over all rows, each by the fit that did not see its fold.
    pub log_loss: f64,
    /// Mean over folds of the AUROC in the fold, where it has both labels.
    pub auroc: Option<f64>,
    /// Largest bound of (objective - optimum) / objective over the folds.
    pub relative_gap: f64,
}

/// What to cross-validate.
#[derive(Clone, Copy)]
pub(crate) struct Folds<'a> {
    /// Labels, `[n]`.
    pub labels: &'a [bool],
    /// Whether both classes weigh the same, in fits and log-loss.
    pub balanced: bool,
    /// Number of the fold of each row, `[n]`.
    pub fold_of: &'a [usize],
}

/// What fits inside cross-validation are held to: held-out scores need no more, and f32 sums always reach it.
pub(crate) fn tolerance_of_scores(problem: &Problem) -> f64 {
    problem.tolerance.max(1e-6)
}

/// Scores of each of `alphas`; each training part is standardised by itself.
pub(crate) fn cross_validate(
    problem: &Problem,
    mut rows: Array2<f32>,
    standardiser: &Standardiser,
    folds: Folds<'_>,
    alphas: &[f64],
) -> Vec<FoldScores> {
    if rows.len() < LARGE_DESIGN {
        let mut rows = rows.mapv(f64::from);
        standardiser.apply_to(&mut rows);
        return on_design(problem, &Design::new(rows), folds, alphas);
    }
    standardiser.apply_to(&mut rows);
    on_design(problem, &Design::new(rows), folds, alphas)
}

fn on_design<F: Element>(problem: &Problem, design: &Design<F>, folds: Folds<'_>, alphas: &[f64]) -> Vec<FoldScores> {
    let Folds { labels, balanced, fold_of } = folds;
    let folds = fold_of.iter().max().map_or(0, |last| last + 1);
    let weigh = |mask: Vec<f64>| if balanced { balanced_weights(labels, &mask) } else { mask };
    let masks: Vec<Vec<f64>> =
        (0..folds).map(|out| weigh(fold_of.iter().map(|&fold| f64::from(u8::from(fold != out))).collect())).collect();
    let of_scores = weigh(vec![1.0; labels.len()]);
    let frames = frames(design, fold_of, folds);
    let tasks: Vec<Task<'_>> = alphas
        .iter()
        .flat_map(|&alpha| {
            let per_fold = masks.iter().zip(&frames);
            per_fold.map(move |(mask, frame)| Task {
                labels,
                weights: Some(mask),
                alpha,
                frame: Some(frame),
                start: None,
            })
        })
        .collect();
    let limits = Limits { max_iterations: problem.max_iterations, tolerance: tolerance_of_scores(problem) };
    let found = minimise(design, &tasks, limits);
    found
        .chunks(folds.max(1))
        .map(|fits| {
            let (mut loss, mut areas) = (0.0, Vec::new());
            for (out, fit) in fits.iter().enumerate() {
                let rows = fold_of.iter().zip(&of_scores).zip(&fit.scores).zip(labels);
                let held_out = rows.filter(|(((&fold, _), _), _)| fold == out);
                let (scores, labels): (Vec<f64>, Vec<bool>) = held_out
                    .map(|(((_, weight), &score), &label)| {
                        loss += weight * softplus(if label { -score } else { score });
                        (score, label)
                    })
                    .unzip();
                areas.extend(auroc(&scores, &labels));
            }
            FoldScores {
                log_loss: loss / of_scores.iter().sum::<f64>(),
                auroc: (!areas.is_empty()).then(|| areas.iter().sum::<f64>() / areas.len() as f64),
                relative_gap: fits.iter().map(|fit| fit.relative_gap).fold(0.0, f64::max),
            }
        })
        .collect()
}

/// Mean and standard deviation of each of the design's columns over the rows outside each fold. A column that is
/// constant there keeps its scale: its weight becomes 0.
fn frames<F: Element>(design: &Design<F>, fold_of: &[usize], folds: usize) -> Vec<Frame> {
    // The design is standardised, so that sums of squares lose no digits.
    let sums = design.by_column(|column| {
        let mut sums = vec![[0.0; 3]; folds];
        for (&value, &fold) in column.iter().zip(fold_of) {
            if let Some([count, sum, squares]) = sums.get_mut(fold) {
                let value: f64 = value.into();
                *count += 1.0;
                *sum += value;
                *squares += value * value;
            }
        }
        let whole = sums.iter().fold([0.0; 3], |whole, part| std::array::from_fn(|at| whole[at] + part[at]));
        let outside = sums.iter().map(|part| {
            let [count, sum, squares] = std::array::from_fn(|at| whole[at] - part[at]);
            let mean = sum / count;
            let sd = (squares / count - mean * mean).max(0.0).sqrt();
            (mean, if sd > 1e-6 { sd } else { 1.0 })
        });
        outside.collect::<Vec<(f64, f64)>>()
    });
    let of_fold = |fold: usize| {
        let (shift, scale) = sums.iter().filter_map(|column| column.get(fold).copied()).unzip();
        Frame { shift, scale }
    };
    (0..folds).map(of_fold).collect()
}

impl<F: Element> Design<F> {
    /// `f` of each column.
    fn by_column<T: Send>(&self, f: impl Fn(ndarray::ArrayView1<'_, F>) -> T + Send + Sync) -> Vec<T> {
        use rayon::prelude::*;
        let x = self.x();
        if self.is_large() {
            (0..x.ncols()).into_par_iter().map(|column| f(x.column(column))).collect()
        } else {
            x.axis_iter(Axis(1)).map(f).collect()
        }
    }
}
