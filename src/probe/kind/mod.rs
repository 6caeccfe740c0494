//! What a kind of probe must do, and what all kinds share.

mod calibrated;
mod discriminant;
mod logistic;
mod mass_mean;
mod mean_difference;
mod pooled;
mod ridge;
mod strength;

use std::collections::{BTreeMap, BTreeSet};

use ndarray::{Array1, Array2, ArrayView2, Axis, ShapeBuilder};
use serde::{Deserialize, Serialize};

pub use calibrated::{Calibrated, Scaling};
pub use discriminant::DiscriminantProbe;
pub use logistic::{ClassWeight, LogisticProbe};
pub use mass_mean::MassMeanProbe;
pub use mean_difference::MeanDifferenceProbe;
pub use ridge::RidgeProbe;
pub use strength::{StrengthCurve, StrengthScore, Strengths};

use super::solve::{columns_of, Standardiser};
use super::{GroupFolds, GroupSplit};
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
    /// Folds for the unit of standardised projections, [`Probe::spread`](super::Probe::spread), default `None`: the
    /// training states' projections on the direction that was fitted to them. With folds each state is projected on
    /// a direction that was fitted without its fold, at as many fits more.
    pub cross_fit: Option<GroupFolds>,
}

impl Default for Protocol {
    fn default() -> Self {
        Protocol { split: GroupSplit::default(), draws: 1_000, seed: 0, cross_fit: None }
    }
}

impl Protocol {
    pub(in crate::probe) fn describe_unit(&self) -> String {
        let of = |folds: GroupFolds| format!("cross-fitted on {}", folds.describe());
        self.cross_fit.map_or("training projections".to_owned(), of)
    }

    pub(in crate::probe) fn validate(&self) -> Result<()> {
        if self.draws == 0 {
            return Err(Error::setting("draws", self.draws, "at least 1; 1000 is usual"));
        }
        if let Some(folds) = self.cross_fit {
            folds.validate()?;
        }
        self.split.validate()
    }
}

/// The setters of the protocol that each kind of probe keeps in its field `protocol`, and [`ProbeBank::fit`] by the name
/// that reads best.
///
/// [`ProbeBank::fit`]: super::ProbeBank::fit
macro_rules! with_protocol {
    ($probe:ty) => {
        impl $probe {
            /// Sets the split, default [`GroupSplit::default`](crate::probe::GroupSplit::default).
            pub fn split(mut self, split: crate::probe::GroupSplit) -> Self {
                self.protocol.split = split;
                self
            }

            /// Sets the resamples for the AUROC's interval, default 1,000.
            pub fn draws(mut self, draws: usize) -> Self {
                self.protocol.draws = draws;
                self
            }

            /// Sets the resamples' seed, default 0. (The split has its own.)
            pub fn seed(mut self, seed: u64) -> Self {
                self.protocol.seed = seed;
                self
            }

            /// Sets split, resamples and seed at once: one protocol for several kinds.
            pub fn with_protocol(mut self, protocol: crate::probe::Protocol) -> Self {
                self.protocol = protocol;
                self
            }

            /// Fits and evaluates a probe at every address of pooled activations; see
            /// [`ProbeBank::fit`](crate::probe::ProbeBank::fit).
            ///
            /// # Errors
            /// As [`ProbeBank::fit`](crate::probe::ProbeBank::fit).
            pub fn fit_all(
                &self,
                activations: &crate::capture::Activations,
                labels: &crate::text::Labels,
            ) -> crate::Result<crate::probe::ProbeBank> {
                crate::probe::ProbeBank::fit(self, activations, labels)
            }
        }
    };
}
use with_protocol;

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
            return Err(Error::not_finite(training.what, row, row.to_string()));
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
            return Err(Error::row_count(what, n, groups.len()));
        }
        // Numbered by the order of their names: the order of the rows does not matter.
        let names: BTreeSet<&G> = groups.iter().collect();
        let number: BTreeMap<&G, usize> = names.into_iter().zip(0..).collect();
        self.groups = groups.iter().filter_map(|name| number.get(name).copied()).collect();
        Ok(self)
    }

    /// The rows for which `keep`, `[n]`, holds, and the states of the others, `[rows, d]`.
    pub(in crate::probe) fn divided(&self, keep: impl Fn(usize) -> bool) -> (Training, Array2<f32>) {
        let (kept, others): (Vec<usize>, Vec<usize>) = (0..self.labels.len()).partition(|&row| keep(row));
        let pick = |rows: &[usize]| {
            let mut states = Array2::zeros((rows.len(), self.states.ncols()).f());
            for (mut to, from) in states.axis_iter_mut(Axis(1)).zip(self.states.axis_iter(Axis(1))) {
                to.iter_mut().zip(rows).for_each(|(to, &row)| *to = from.get(row).copied().unwrap_or_default());
            }
            states
        };
        let training = Training {
            what: self.what.clone(),
            states: pick(&kept),
            labels: kept.iter().filter_map(|&row| self.labels.get(row).copied()).collect(),
            groups: kept.iter().filter_map(|&row| self.groups.get(row).copied()).collect(),
        };
        (training, pick(&others))
    }

    /// Whether `labels`, `[n]`, can be labels of these rows.
    pub(in crate::probe) fn check_other(&self, labels: &[bool]) -> Result<()> {
        let (n, found) = (self.states.nrows(), labels.len());
        if found != n {
            return Err(Error::row_count(format!("labels of {}", self.what), n, found));
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

impl FitReport {
    /// Of a rule that follows from its rows directly, without iterations.
    pub fn direct(n_train: usize) -> Self {
        FitReport { n_train, objective: None, gradient_norm: None, relative_gap: None, solver_runs: 0, converged: true }
    }
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

/// A kind that is chosen at run time.
impl Estimator for std::sync::Arc<dyn Estimator + Send> {
    fn name(&self) -> &'static str {
        (**self).name()
    }

    fn settings(&self) -> Provenance {
        (**self).settings()
    }

    fn protocol(&self) -> &Protocol {
        (**self).protocol()
    }

    fn is_calibrated(&self) -> bool {
        (**self).is_calibrated()
    }

    fn validate(&self) -> Result<()> {
        (**self).validate()
    }

    fn fit(&self, training: Training) -> Result<Linear> {
        (**self).fit(training)
    }

    fn fit_selected(&self, training: Training) -> Result<(Linear, Option<StrengthCurve>)> {
        (**self).fit_selected(training)
    }

    fn fit_draws(&self, training: &Training, draws: &[Vec<bool>]) -> Result<Vec<Linear>> {
        (**self).fit_draws(training, draws)
    }
}
