//! What a kind of probe must do, and what all kinds share.

mod calibrated;
mod logistic;
mod mass_mean;
mod mean_difference;
mod pooled;
mod ridge;
mod strength;
mod training;

use ndarray::Array1;
use serde::{Deserialize, Serialize};

pub use calibrated::{Calibrated, CalibrationMethod};
pub use logistic::{ClassWeight, LogisticProbe};
pub use mass_mean::MassMeanProbe;
pub use mean_difference::MeanDifferenceProbe;
pub use ridge::RidgeProbe;
pub use strength::{StrengthCurve, StrengthScore, Strengths};
pub use training::Training;

use super::{GroupFolds, GroupSplit};
use crate::{Error, Provenance, Result};

/// How a bank of probes is split and evaluated, the same for every kind of probe.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FitProtocol {
    /// The split into training and test, default [`GroupSplit::default`].
    pub split: GroupSplit,
    /// Resamples of the held-out groups for the AUROC's interval, default 1,000.
    pub draws: usize,
    /// Seed of these resamples, default 0.
    pub seed: u64,
    /// Folds for class distances ([`CrossFit`](super::CrossFit)), at a fit more for each, default 10 by group; `None` for
    /// none, without which levels have no class distances and a study no verdict.
    pub cross_fit: Option<GroupFolds>,
}

impl Default for FitProtocol {
    fn default() -> Self {
        FitProtocol {
            split: GroupSplit::default(),
            draws: 1_000,
            seed: 0,
            cross_fit: Some(GroupFolds::default().folds(10)),
        }
    }
}

impl FitProtocol {
    pub(in crate::probe) fn describe_folds(&self) -> String {
        self.cross_fit.map_or("none".to_owned(), |folds| folds.describe())
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
            /// Sets the split with its seed, default [`GroupSplit::default`](crate::probe::GroupSplit::default).
            pub fn split(mut self, split: crate::probe::GroupSplit) -> Self {
                self.protocol.split = split;
                self
            }

            /// Sets the resamples for the AUROC's interval, default 1,000.
            pub fn draws(mut self, draws: usize) -> Self {
                self.protocol.draws = draws;
                self
            }

            /// Sets the seed of the split, of the folds and of the resamples, default 0. Call it after
            /// [`split`](Self::split), which brings a seed of its own.
            pub fn seed(mut self, seed: u64) -> Self {
                self.protocol.split = self.protocol.split.seed(seed);
                self.protocol.cross_fit = self.protocol.cross_fit.map(|folds| folds.seed(seed));
                self.protocol.seed = seed;
                self
            }

            /// Sets split, resamples and seed at once: one protocol for several kinds.
            pub fn with_protocol(mut self, protocol: crate::probe::FitProtocol) -> Self {
                self.protocol = protocol;
                self
            }

            /// Fits and evaluates a probe at every address of pooled activations; see
            /// [`ProbeBank::fit`](crate::probe::ProbeBank::fit).
            ///
            /// # Errors
            /// Those of [`ProbeBank::fit`](crate::probe::ProbeBank::fit).
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
    /// The report of a rule that follows from its rows directly, without iterations.
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
    fn protocol(&self) -> &FitProtocol;

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
    /// Those of [`Estimator::fit`].
    fn fit_selected(&self, training: Training) -> Result<(Linear, Option<StrengthCurve>)> {
        Ok((self.fit(training)?, None))
    }

    /// Fits once for each of `draws`, other labels of the same rows (control tasks, permutations). Here one after
    /// the other; a kind that can share work between them does.
    ///
    /// # Errors
    /// Those of [`Estimator::fit`]; those of [`Training::new`] for the labels.
    fn fit_draws(&self, training: &Training, draws: &[Vec<bool>]) -> Result<Vec<Linear>> {
        draws.iter().map(|labels| self.fit(training.relabelled(labels.clone())?)).collect()
    }

    /// Fits once without each of so many folds: rule k has not met the rows whose `fold_of`, `[n]`, is k. Here one after the
    /// other; a kind that can share work between them does.
    ///
    /// # Errors
    /// Those of [`Estimator::fit`].
    fn fit_folds(&self, training: &Training, fold_of: &[usize], folds: usize) -> Result<Vec<Linear>> {
        let without = |fold: usize| training.divided(|row| fold_of.get(row) != Some(&fold)).0;
        (0..folds).map(|fold| self.fit(without(fold))).collect()
    }
}

/// All that is settled about a kind of probe before it meets states, as provenance.
pub(crate) fn described(estimator: &impl Estimator) -> Provenance {
    let (mut settings, protocol) = (estimator.settings(), estimator.protocol());
    let common = [
        ("probe_kind", estimator.name().to_owned()),
        ("probe_split", protocol.split.describe()),
        ("probe_cross_fit", protocol.describe_folds()),
        ("probe_bootstrap", format!("{} draws over groups, seed {}", protocol.draws, protocol.seed)),
    ];
    settings.extend(common.map(|(key, value)| (key.to_owned(), value)));
    settings
}

/// A kind that is chosen at run time.
impl Estimator for std::sync::Arc<dyn Estimator + Send> {
    fn name(&self) -> &'static str {
        (**self).name()
    }

    fn settings(&self) -> Provenance {
        (**self).settings()
    }

    fn protocol(&self) -> &FitProtocol {
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

    fn fit_folds(&self, training: &Training, fold_of: &[usize], folds: usize) -> Result<Vec<Linear>> {
        (**self).fit_folds(training, fold_of, folds)
    }
}
