//! Choosing where to probe without looking at the test part, and looking at it once.
//!
//! [`HeldOut::reserve`] divides the rows into an [`Open`] part and a [`HeldOut`] part. [`ProbeSelection`] sees the open part
//! only: it scores every address by grouped, stratified cross-validation (an estimator that chooses the strength of its
//! penalty does so anew inside each fold), takes the best, and fits there on the whole open part.
//! [`HeldOut::evaluate`] consumes the held-out part: a second look does not compile, and reserving the same rows again
//! is there for all to read. [`ProbeSelection::nested`] tells how well the whole procedure of choosing does.
//!
//! ```
//! use ndarray::Array2;
//! use probity::capture::Activations;
//! use probity::hook::Site;
//! use probity::probe::{GroupSplit, LogisticProbe, Strengths};
//! use probity::probe::select::{HeldOut, ProbeSelection};
//! use probity::text::Labels;
//!
//! let n = 120;
//! let mut activations = Activations::new((0..n).map(|i| i.to_string()));
//! let noise = |i: usize, j: usize| (i * (7 * j + 11) % 13) as f32;
//! activations.insert(Site::ResidPost.at(0), Array2::from_shape_fn((n, 3), |(i, j)| noise(i, j)))?;
//! let signal = |i, j| if j == 0 { (i % 2) as f32 } else { noise(i, j) };
//! activations.insert(Site::ResidPost.at(1), Array2::from_shape_fn((n, 3), |(i, j)| signal(i, j)))?;
//! let labels = Labels::ungrouped((0..n).map(|i| i % 2 == 1).collect());
//!
//! let (open, held_out) = HeldOut::reserve(&activations, &labels, &GroupSplit::default())?;
//! let selected = ProbeSelection::new(LogisticProbe::default().strengths(Strengths::default())).run(&open)?;
//! assert_eq!(selected.address(), Site::ResidPost.at(1));
//! let probe = held_out.evaluate(selected)?;
//! // The order is perfect; fifteen texts of each label can show no more than the lower bound says.
//! assert!(probe.evaluation.auroc.estimate == 1.0 && probe.evaluation.auroc.low > 0.75 && probe.strengths.is_some());
//! # Ok::<(), probity::Error>(())
//! ```
//!
//! A second look is an error of the compiler:
//!
//! ```compile_fail
//! # use probity::probe::select::{HeldOut, SelectedProbe};
//! # fn twice(held_out: HeldOut<'_>, one: SelectedProbe, other: SelectedProbe) -> probity::Result<()> {
//! held_out.evaluate(one)?;
//! held_out.evaluate(other)?; // use of moved value
//! # Ok(())
//! # }
//! ```

mod held_out;

pub use held_out::{HeldOut, Open};

use super::direction::dot;
use super::fitted::{gather, Fitted};
use super::{Estimator, FitProtocol, GroupFolds, Linear, StrengthCurve, Training};
use crate::hook::Address;
use crate::stats::auroc;
use crate::{Error, Result};

/// Chooses the address by cross-validation of one kind of probe.
#[derive(Debug, Clone, Copy, PartialEq)]
#[must_use]
pub struct ProbeSelection<E> {
    estimator: E,
    folds: GroupFolds,
}

/// One address in cross-validation on the open part.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct AddressScore {
    /// Address.
    pub address: Address,
    /// Mean of `folds`.
    pub auroc: f64,
    /// AUROC in each fold that has both labels, by the fit that did not see it.
    pub folds: Vec<f64>,
    /// Whether all fits converged.
    pub converged: bool,
}

/// What was chosen, fitted on the whole open part, before it met the held-out part.
#[derive(Debug)]
pub struct SelectedProbe {
    fitted: Fitted,
    scores: Vec<AddressScore>,
    protocol: FitProtocol,
    calibrated: bool,
}

/// How the procedure of choosing does on rows that it did not see.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Nested {
    /// What each outer fold chose and how that did in it.
    pub folds: Vec<NestedFold>,
    /// Mean AUROC over the outer folds.
    pub auroc: f64,
}

/// One outer fold.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct NestedFold {
    /// The address that was chosen without the fold.
    pub address: Address,
    /// The strength of the penalty that was chosen there, by a kind that chooses one.
    pub alpha: Option<f64>,
    /// AUROC in the fold; `None` if it has one label only.
    pub auroc: Option<f64>,
    /// Rows of the fold.
    pub rows: usize,
}

impl<E: Estimator> ProbeSelection<E> {
    /// ProbeSelection by `estimator` on [`GroupFolds::default`].
    pub fn new(estimator: E) -> Self {
        ProbeSelection { estimator, folds: GroupFolds::default() }
    }

    /// Sets the folds of the open part, default [`GroupFolds::default`].
    pub fn folds(mut self, folds: GroupFolds) -> Self {
        self.folds = folds;
        self
    }

    /// Scores every address of the open part, and fits at the one with the highest mean AUROC, the first on a tie.
    ///
    /// # Errors
    /// [`Error::Setting`]; [`Error::OneClass`] where the folds cannot have both labels; [`Error::Fit`].
    pub fn run(&self, open: &Open<'_>) -> Result<SelectedProbe> {
        self.estimator.validate()?;
        self.folds.validate()?;
        self.choose(open, open.rows())
    }

    /// [`ProbeSelection::run`] inside each of the outer folds of the open part, judged on the fold that it did not see.
    ///
    /// # Errors
    /// Those of [`ProbeSelection::run`].
    pub fn nested(&self, open: &Open<'_>, outer: GroupFolds) -> Result<Nested> {
        self.estimator.validate()?;
        let fold_of = outer.assign(&open.labels_of_rows()?)?;
        let last = fold_of.iter().max().map_or(0, |last| last + 1);
        let mut folds = Vec::with_capacity(last);
        for fold in 0..last {
            let part = |inside: bool| -> Vec<usize> {
                let rows = open.rows().iter().zip(&fold_of);
                rows.filter(|(_, &of)| (of == fold) == inside).map(|(&row, _)| row).collect()
            };
            let (training, test) = (part(false), part(true));
            let SelectedProbe { fitted, .. } = self.choose(open, &training)?;
            let states = open.activations().at(fitted.address)?;
            let scores: Vec<f64> = test.iter().map(|&row| decide(&fitted.linear, states.row(row))).collect();
            folds.push(NestedFold {
                address: fitted.address,
                alpha: fitted.strengths.as_ref().and_then(StrengthCurve::best).map(|best| best.alpha),
                auroc: auroc(&scores, &open.labels_at(&test)),
                rows: test.len(),
            });
        }
        let areas: Vec<f64> = folds.iter().filter_map(|fold| fold.auroc).collect();
        let auroc = areas.iter().sum::<f64>() / areas.len() as f64;
        Ok(Nested { folds, auroc })
    }

    fn choose(&self, open: &Open<'_>, rows: &[usize]) -> Result<SelectedProbe> {
        let mut scores = Vec::new();
        for address in open.activations().addresses() {
            let training = gather(address, open.activations().at(address)?, open.labels(), rows)?;
            scores.push(self.score(address, &training)?);
        }
        let best = scores.iter().rev().max_by(|a, b| a.auroc.total_cmp(&b.auroc));
        let address =
            best.ok_or_else(|| Error::setting("activations", "empty", "capture at least one address"))?.address;
        let states = open.activations().at(address)?;
        let fitted = Fitted::new(&self.estimator, address, states, open.labels(), rows)?;
        let (protocol, calibrated) = (*self.estimator.protocol(), self.estimator.is_calibrated());
        Ok(SelectedProbe { fitted, scores, protocol, calibrated })
    }

    fn score(&self, address: Address, training: &Training) -> Result<AddressScore> {
        let (mut folds, mut converged) = (Vec::new(), true);
        for (part, held_out, labels) in self.folds.divide(training)? {
            let linear = self.estimator.fit(part)?;
            converged &= linear.fit.converged;
            let scores: Vec<f64> = held_out.outer_iter().map(|row| decide(&linear, row)).collect();
            folds.extend(auroc(&scores, &labels));
        }
        if folds.is_empty() {
            // No fold has both labels.
            return Err(Error::OneClass { part: "test", label: u8::from(training.labels().first() == Some(&true)) });
        }
        let auroc = folds.iter().sum::<f64>() / folds.len() as f64;
        Ok(AddressScore { address, auroc, folds, converged })
    }
}

impl SelectedProbe {
    /// The address that was chosen.
    pub fn address(&self) -> Address {
        self.fitted.address
    }

    /// Every address in cross-validation, in order of address.
    pub fn scores(&self) -> &[AddressScore] {
        &self.scores
    }

    /// The rule fitted at the chosen address on the whole open part.
    pub fn linear(&self) -> &Linear {
        &self.fitted.linear
    }

    /// How the strength of the penalty was chosen there, by a kind that chooses one.
    pub fn strengths(&self) -> Option<&StrengthCurve> {
        self.fitted.strengths.as_ref()
    }
}

fn decide(linear: &Linear, row: ndarray::ArrayView1<'_, f32>) -> f64 {
    dot(row, linear.weights.view()) + linear.intercept
}
