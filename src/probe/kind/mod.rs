//! What a kind of probe must do, and what all kinds share.

mod logistic;
mod mean_difference;

use ndarray::{Array1, Array2, ArrayView2, ShapeBuilder};
use serde::{Deserialize, Serialize};

pub use logistic::LogisticProbe;
pub use mean_difference::MeanDifferenceProbe;

use super::GroupSplit;
use crate::{Error, Provenance, Result};

/// How a bank of probes is split and evaluated, the same for every kind of probe.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Protocol {
    /// The split into training and test, default [`GroupSplit::default`].
    pub split: GroupSplit,
    /// Resamples of the held-out groups for the AUROC's interval, default 1,000.
    pub draws: usize,
    /// Seed of these resamples, default 0.
    pub seed: u64,
}

impl Default for Protocol {
    fn default() -> Self {
        Protocol { split: GroupSplit::default(), draws: 1_000, seed: 0 }
    }
}

impl Protocol {
    pub(in crate::probe) fn validate(&self) -> Result<()> {
        if self.draws == 0 {
            return Err(Error::setting("draws", self.draws, "at least 1; 1000 is usual"));
        }
        self.split.validate()
    }
}

/// The training part at one address.
#[derive(Debug, Clone)]
pub struct Training {
    pub(in crate::probe) what: String,
    pub(in crate::probe) rows: Array2<f64>,
    pub(in crate::probe) labels: Vec<bool>,
}

impl Training {
    /// States, `[n, d]`, and labels, `[n]`, `true` = immoral; `what` names them in errors.
    ///
    /// # Errors
    /// [`Error::RowCount`]; [`Error::OneClass`]; [`Error::NotFinite`].
    pub fn new(what: impl Into<String>, rows: ArrayView2<'_, f64>, labels: Vec<bool>) -> Result<Self> {
        let (what, n) = (what.into(), rows.nrows());
        if labels.len() != n {
            return Err(Error::RowCount { what: format!("labels of {what}"), expected: n, found: labels.len() });
        }
        let immoral = labels.iter().filter(|&&label| label).count();
        if immoral == 0 || immoral == n {
            return Err(Error::OneClass { part: "training", label: u8::from(immoral != 0) });
        }
        if let Some(row) = rows.outer_iter().position(|row| row.iter().any(|value| !value.is_finite())) {
            return Err(Error::NotFinite { what, row, id: row.to_string() });
        }
        let mut by_column = Array2::zeros(rows.raw_dim().f());
        by_column.assign(&rows);
        Ok(Training { what, rows: by_column, labels })
    }

    /// The rows `chosen` out of `states`, `[rows, d]`, column after column: linfa's gradient is 5 to 7 times
    /// faster on that order.
    pub(in crate::probe) fn gather(
        what: String,
        states: ArrayView2<'_, f32>,
        labels: &[bool],
        chosen: &[usize],
    ) -> Self {
        let mut rows = Array2::zeros((chosen.len(), states.ncols()).f());
        for (mut row, &from) in rows.outer_iter_mut().zip(chosen) {
            row.zip_mut_with(&states.row(from), |value, &state| *value = f64::from(state));
        }
        let labels = chosen.iter().filter_map(|&row| labels.get(row).copied()).collect();
        Training { what, rows, labels }
    }

    /// The same states with other labels, `[n]`.
    ///
    /// # Errors
    /// As [`Training::new`].
    pub fn relabelled(&self, labels: Vec<bool>) -> Result<Self> {
        Training::new(self.what.clone(), self.rows.view(), labels)
    }

    /// States, `[n, d]`.
    pub fn rows(&self) -> ArrayView2<'_, f64> {
        self.rows.view()
    }

    /// Labels, `[n]`, `true` = immoral.
    pub fn labels(&self) -> &[bool] {
        &self.labels
    }
}

/// A fitted linear rule in raw space: `decision = weights . state + intercept`, above 0 for immoral.
#[derive(Debug, Clone, PartialEq)]
pub struct Linear {
    /// Weights, `[d]`.
    pub weights: Array1<f64>,
    /// Intercept.
    pub intercept: f64,
    /// How the fit went.
    pub fit: FitReport,
}

/// How a fit went.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FitReport {
    /// Rows fitted on.
    pub n_train: usize,
    /// Value of the objective where the fit ended, if the kind of probe has one.
    pub objective: Option<f64>,
    /// Length of its gradient there.
    pub gradient_norm: Option<f64>,
    /// Proven upper bound of (objective - optimum) / objective.
    pub relative_gap: Option<f64>,
    /// Runs of the solver: more than one where it stopped early and was continued.
    pub solver_runs: usize,
    /// Whether the bound keeps to the tolerance asked for; always true where nothing is iterated.
    pub converged: bool,
}

/// A kind of linear probe. Splitting, evaluation and files are the same for every kind: see
/// [`ProbeBank::fit`](super::ProbeBank::fit).
pub trait Estimator: Sync {
    /// Short name, for provenance.
    fn name(&self) -> &'static str;

    /// Settings by name, for provenance.
    fn settings(&self) -> Provenance;

    /// How to split and evaluate.
    fn protocol(&self) -> &Protocol;

    /// Whether the logistic function of the decision is a probability, so that a log-loss makes sense.
    fn is_calibrated(&self) -> bool;

    /// Refuses settings outside their range.
    ///
    /// # Errors
    /// [`Error::Setting`].
    fn validate(&self) -> Result<()>;

    /// Fits on the training part at one address. Decisions must rise towards the label `true`.
    ///
    /// # Errors
    /// [`Error::Fit`] if there is no result at all; a result short of the optimum is returned, and its
    /// [`FitReport`] says so.
    fn fit(&self, training: Training) -> Result<Linear>;

    /// Fits once for each of `draws`, other labels of the same rows (control tasks, permutations). Here one after
    /// the other; a kind that can share work between them does.
    ///
    /// # Errors
    /// As [`Estimator::fit`], and as [`Training::new`] for the labels.
    fn fit_draws(&self, training: &Training, draws: &[Vec<bool>]) -> Result<Vec<Linear>> {
        draws.iter().map(|labels| self.fit(training.relabelled(labels.clone())?)).collect()
    }
}
