//! Linear probes on hidden states: fit, direction, held-out evaluation.
//!
//! [`Labels`](crate::text::Labels) say which texts are immoral; an [`Estimator`] ([`LogisticProbe`], [`MeanDifferenceProbe`],
//! [`MassMeanProbe`] and, as one of its settings, linear discriminant analysis, [`RidgeProbe`], any of them
//! [`Calibrated`], or one of your own) turns the training part into a linear rule at every address; [`ProbeBank`] holds
//! the rules with their held-out [`Evaluation`]; [`validity`] asks whether to believe them. **Positive = more immoral**, everywhere: the labels name the
//! immoral class `true`, and an estimator returns weights that rise towards it, whatever the class balance.
//!
//! ```
//! use ndarray::Array2;
//! use probity::capture::Activations;
//! use probity::hook::Site;
//! use probity::probe::LogisticProbe;
//! use probity::text::Labels;
//!
//! let n = 80;
//! let mut activations = Activations::new((0..n).map(|i| i.to_string()));
//! // Three dimensions; immoral texts (odd numbers) have 1 in the first.
//! let value = |i, j| if j == 0 { (i % 2) as f32 } else { (i * (j + 2) % 7) as f32 };
//! let states = Array2::from_shape_fn((n, 3), |(i, j)| value(i, j));
//! activations.insert(Site::ResidPost.at(0), states)?;
//! let labels = Labels::ungrouped((0..n).map(|i| i % 2 == 1).collect());
//!
//! let bank = LogisticProbe::default().fit_all(&activations, &labels)?;
//! let probe = bank.get(Site::ResidPost.at(0))?;
//! assert!(probe.direction.unit()[0] > 0.9 && probe.evaluation.auroc.estimate == 1.0);
//! // Ten held-out texts of each label: even a perfect order says no more than this.
//! assert!(probe.evaluation.auroc.low > 0.65);
//! # Ok::<(), probity::Error>(())
//! ```

mod bank;
mod bank_file;
mod cross_fit;
mod direction;
mod ensemble;
mod evaluation;
mod fitted;
mod held_out_case;
mod kind;
mod one_vs_rest;
mod preset;
pub mod select;
mod split;
mod statement;
pub mod validity;

pub use bank::{Probe, ProbeBank, ProbeRow};
pub use cross_fit::CrossFit;
pub use direction::Direction;
pub(crate) use direction::{check_width, dot};
pub use ensemble::LayerEnsemble;
pub use evaluation::{Evaluation, ProbabilityMetrics};
use held_out_case::HeldOutCase;
pub(crate) use kind::described;
pub use kind::{Calibrated, CalibrationMethod, MassMeanProbe, MeanDifferenceProbe, RidgeProbe};
pub use kind::{ClassWeight, LogisticProbe, StrengthCurve, StrengthScore, Strengths};
pub use kind::{Estimator, FitProtocol, FitReport, Linear, Training};
pub use one_vs_rest::OneVsRest;
pub use preset::Preset;
pub use split::{GroupFolds, GroupSplit, Split};
pub use statement::StatementDirection;
