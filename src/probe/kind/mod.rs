//! What a kind of probe must do, and what all kinds share.

mod logistic;
mod mean_difference;
mod strength;

use std::collections::{BTreeMap, BTreeSet};

use ndarray::{Array1, Array2, ArrayView2};
use serde::{Deserialize, Serialize};

pub use logistic::{ClassWeight, LogisticProbe};
pub use mean_difference::MeanDifferenceProbe;
pub use strength::{StrengthCurve, StrengthScore, Strengths};

use super::solve::{columns_of, Standardiser};
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

/// The training part at one address: states in f32, as they were captured, column after column.
#[derive(Debug, Clone)]
pub struct Training {
    pub(in crate::probe) what: String,
    pub(in crate::probe) states: Array2<f32>,
    pub(in crate::probe) labels: Vec<bool>,
    /// Number of each row's group, `[n]`.
    pub(in crate::probe) groups: Vec<usize>,
}

impl Training {
    /// States, `[n, d]`, kept as f32, and labels, `[n]`, `true` = immoral; `what` names them in errors. Each row is
    /// a group of its own.
    ///
    /// # Errors
    /// [`Error::RowCount`]; [`Error::OneClass`]; [`Error::NotFinite`], also for what f32 cannot hold.
    pub fn new<A: Copy + Into<f64> + Sync>(
        what: impl Into<String>,
        rows: ArrayView2<'_, A>,
        labels: Vec<bool>,
    ) -> Result<Self> {
        let chosen: Vec<usize> = (0..rows.nrows()).collect();
        let (states, groups) = (columns_of(rows, &chosen), (0..labels.len()).collect());
        let training = Training { what: what.into(), states, labels, groups };
        training.check_other(&training.labels)?;
        let values = training.states.as_slice_memory_order().unwrap_or_default();
        if let Some(at) = values.iter().position(|value| !value.is_finite()) {
            let row = at % training.states.nrows().max(1);
            return Err(Error::NotFinite { what: training.what, row, id: row.to_string() });
        }
        Ok(training)
    }

    /// The rows `chosen` out of `states`, `[rows, d]`.
    pub(in crate::probe) fn gather(
        what: String,
        states: ArrayView2<'_, f32>,
        labels: &[bool],
        chosen: &[usize],
    ) -> Self {
        let labels: Vec<bool> = chosen.iter().filter_map(|&row| labels.get(row).copied()).collect();
        let groups = (0..labels.len()).collect();
        Training { what, states: columns_of(states, chosen), labels, groups }
    }

    /// Sets the group of each row, `[n]`: cross-validation inside the training part keeps groups together.
    ///
    /// # Errors
    /// [`Error::RowCount`] unless there is one group per row.
    pub fn grouped<G: Ord>(mut self, groups: &[G]) -> Result<Self> {
        let n = self.labels.len();
        if groups.len() != n {
            let what = format!("groups of {}", self.what);
            return Err(Error::RowCount { what, expected: n, found: groups.len() });
        }
        // Numbered by the order of their names: the order of the rows does not matter.
        let names: BTreeSet<&G> = groups.iter().collect();
        let number: BTreeMap<&G, usize> = names.into_iter().zip(0..).collect();
        self.groups = groups.iter().filter_map(|name| number.get(name).copied()).collect();
        Ok(self)
    }

    /// Whether `labels`, `[n]`, can be labels of these rows.
    pub(in crate::probe) fn check_other(&self, labels: &[bool]) -> Result<()> {
        let (n, found) = (self.states.nrows(), labels.len());
        if found != n {
            return Err(Error::RowCount { what: format!("labels of {}", self.what), expected: n, found });
        }
        let immoral = labels.iter().filter(|&&label| label).count();
        if immoral == 0 || immoral == n {
            return Err(Error::OneClass { part: "training", label: u8::from(immoral != 0) });
        }
        Ok(())
    }

    /// The same states with other labels, `[n]`.
    ///
    /// # Errors
    /// As [`Training::new`].
    pub fn relabelled(&self, labels: Vec<bool>) -> Result<Self> {
        self.check_other(&labels)?;
        Ok(Training { labels, ..self.clone() })
    }

    /// States, `[n, d]`.
    pub fn rows(&self) -> ArrayView2<'_, f32> {
        self.states.view()
    }

    /// States, `[n, d]`, standardised in f64 by themselves, column-major, with what takes a rule back to raw states,
    /// and the labels.
    pub fn standardised(self) -> (Standardiser, Array2<f64>, Vec<bool>) {
        let standardiser = Standardiser::fit(self.states.view());
        let mut rows = self.states.mapv(f64::from);
        standardiser.apply(&mut rows);
        (standardiser, rows, self.labels)
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

    /// [`Estimator::fit`], with how the strength of its penalty was chosen, for a kind that chooses one.
    ///
    /// # Errors
    /// As [`Estimator::fit`].
    fn fit_selected(&self, training: Training) -> Result<(Linear, Option<StrengthCurve>)> {
        Ok((self.fit(training)?, None))
    }

    /// Fits once for each of `draws`, other labels of the same rows (control tasks, permutations). Here one after
    /// the other; a kind that can share work between them does.
    ///
    /// # Errors
    /// As [`Estimator::fit`], and as [`Training::new`] for the labels.
    fn fit_draws(&self, training: &Training, draws: &[Vec<bool>]) -> Result<Vec<Linear>> {
        draws.iter().map(|labels| self.fit(training.relabelled(labels.clone())?)).collect()
    }
}
