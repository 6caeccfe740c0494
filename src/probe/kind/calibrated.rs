//! Any kind of probe with decisions made log-odds on a part of its own.

use super::{Estimator, FitProtocol, FitReport, Linear, Training};
use crate::capture::Activations;
use crate::probe::{GroupSplit, ProbeBank};
use crate::stats::{auroc, Calibration};
use crate::text::Labels;
use crate::{Error, Provenance, Result};

/// How decisions become log-odds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CalibrationMethod {
    /// Slope and intercept ([`Calibration::platt`]).
    Platt,
    /// Slope only ([`Calibration::temperature`]): the threshold stays where it is.
    Temperature,
}

/// A kind of probe whose decisions are scaled to log-odds on rows that it was neither trained nor tested on.
///
/// The training part is split once more, by group: the inner kind is fitted on one part, the scaling on the other,
/// and the bank's held-out part judges both. The three cannot be mixed up from outside. The direction is that of the
/// inner kind, from fewer rows. Where decisions do not rise with the labels on the calibration part, the slope is
/// held at 0: no probability is then told from the states, and the direction is all zeros
/// ([`Direction::is_null`](crate::probe::Direction::is_null)).
///
/// ```
/// use probity::probe::{Calibrated, CalibrationMethod, MeanDifferenceProbe};
/// # let n = 80;
/// # let mut activations = probity::capture::Activations::new((0..n).map(|i| i.to_string()));
/// # let value = |i, j| ((i % 2) * 3 * (1 - j) + i * (j + 2) % 7) as f32;
/// # activations.insert(probity::hook::Site::ResidPost.at(0), ndarray::Array2::from_shape_fn((n, 2), |(i, j)| value(i, j)))?;
/// # let labels = probity::text::Labels::ungrouped((0..n).map(|i| i % 2 == 1).collect());
/// let bank = Calibrated::new(MeanDifferenceProbe::default(), CalibrationMethod::Platt).fit_all(&activations, &labels)?;
/// assert!(bank.rows()[0].log_loss.is_some());
/// # Ok::<(), probity::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[must_use]
pub struct Calibrated<E> {
    inner: E,
    scaling: CalibrationMethod,
    split: GroupSplit,
}

impl<E: Estimator> Calibrated<E> {
    /// Scales the decisions of `inner`, whose own protocol splits off and judges the held-out part.
    pub fn new(inner: E, scaling: CalibrationMethod) -> Self {
        Calibrated { inner, scaling, split: GroupSplit::default() }
    }

    /// Sets how the training part is split into rows to fit on and rows to calibrate on (its test part). Default:
    /// [`GroupSplit::default`], a quarter.
    pub fn calibration_split(mut self, split: GroupSplit) -> Self {
        self.split = split;
        self
    }

    /// Fits and evaluates a probe at every address; see [`ProbeBank::fit`].
    ///
    /// # Errors
    /// Those of [`ProbeBank::fit`].
    pub fn fit_all(&self, activations: &Activations, labels: &Labels) -> Result<ProbeBank> {
        ProbeBank::fit(self, activations, labels)
    }
}

impl<E: Estimator> Estimator for Calibrated<E> {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn settings(&self) -> Provenance {
        let mut settings = self.inner.settings();
        let name = match self.scaling {
            CalibrationMethod::Platt => "platt",
            CalibrationMethod::Temperature => "temperature",
        };
        settings.insert("probe_calibration".to_owned(), format!("{name} on rows {}", self.split.describe()));
        settings
    }

    fn protocol(&self) -> &FitProtocol {
        self.inner.protocol()
    }

    fn is_calibrated(&self) -> bool {
        true
    }

    fn validate(&self) -> Result<()> {
        self.split.validate()?;
        self.inner.validate()
    }

    fn fit(&self, training: Training) -> Result<Linear> {
        self.validate()?;
        let groups = training.groups.iter().map(usize::to_string).collect();
        let split = self.split.split(&Labels::new(training.labels.clone(), groups)?)?;
        let part = |rows: &[usize]| {
            let groups: Vec<usize> = rows.iter().filter_map(|&row| training.groups.get(row).copied()).collect();
            Training::gather(training.what.clone(), training.states.view(), &training.labels, rows).grouped(&groups)
        };
        let calibration = part(&split.test)?;
        let n_train = training.labels.len();
        let fitted = self.inner.fit(part(&split.train)?)?;
        let decisions: Vec<f64> = calibration
            .states
            .outer_iter()
            .map(|row| row.iter().zip(&fitted.weights).map(|(&x, w)| f64::from(x) * w).sum::<f64>() + fitted.intercept)
            .collect();
        let scaling = match self.scaling {
            CalibrationMethod::Platt => Calibration::platt(&decisions, &calibration.labels),
            CalibrationMethod::Temperature => Calibration::temperature(&decisions, &calibration.labels),
        };
        let rises = auroc(&decisions, &calibration.labels).is_some_and(|auroc| auroc > 0.5);
        let Calibration { slope, intercept } = match scaling {
            Some(scaling) if scaling.slope > 0.0 => scaling,
            _ if rises => {
                let problem = "its decisions separate the calibration part without error, so no temperature is best: \
                               calibrate by Platt"
                    .to_owned();
                return Err(Error::fit(training.what, problem));
            }
            _ => {
                tracing::warn!(address = training.what, "decisions do not rise with the labels they are calibrated on");
                let immoral = calibration.labels.iter().filter(|&&label| label).count() as f64;
                let moral = calibration.labels.len() as f64 - immoral;
                Calibration { slope: 0.0, intercept: (immoral / moral).ln() }
            }
        };
        let fit = FitReport { n_train, ..fitted.fit };
        Ok(Linear { weights: fitted.weights * slope, intercept: fitted.intercept * slope + intercept, fit })
    }
}
