//! How well a probe does on what it was not fitted on.

use serde::{Deserialize, Serialize};

use crate::error::check_rows;
use crate::stats::{
    accuracy, balanced_accuracy, brier, expected_calibration_error, log_loss, logistic, Binning, ClusterBootstrap,
    Interval, Ranking,
};
use crate::{Error, Result};

/// Metrics on the held-out part.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Evaluation {
    /// AUROC with its 95 % interval from a bootstrap over held-out groups ([`Ranking::interval`]). The interval is
    /// of the test part only: it does not hold the variation of refitting.
    pub auroc: Interval,
    /// Area under the precision-recall curve (average precision); chance is the share of immoral rows.
    pub auprc: f64,
    /// Share of rows on the right side of decision = 0.
    pub accuracy: f64,
    /// Mean of the two labels' shares on the right side of decision = 0; 0.5 is chance.
    pub balanced_accuracy: f64,
    /// What the probabilities are worth; `None` for probes whose decisions are no log-odds.
    pub probabilities: Option<ProbabilityMetrics>,
    /// Held-out rows.
    pub n_test: usize,
    /// Held-out groups; below some 10 the interval is too short to trust.
    pub groups_test: usize,
    /// Resamples with one class only, left out of the interval.
    pub undefined_draws: usize,
}

/// Metrics of the probabilities, the logistic function of the decisions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ProbabilityMetrics {
    /// Mean log-loss in nats; always saying one half gets 0.693.
    pub log_loss: f64,
    /// Mean squared distance from the label; always saying one half gets 0.25.
    pub brier: f64,
    /// Expected calibration error over 10 bins of equal width.
    pub ece_equal_width: f64,
    /// Expected calibration error over 10 bins of equally many rows.
    pub ece_equal_mass: f64,
}

/// Bins of the calibration errors.
const CALIBRATION_BINS: usize = 10;

impl Evaluation {
    /// Evaluates decisions, `[n]`, against labels, `[n]`, with resamples of the same rows.
    ///
    /// # Errors
    /// [`Error::OneClass`]; [`Error::RowCount`]; [`Error::NotFinite`].
    pub fn new(decisions: &[f64], labels: &[bool], calibrated: bool, resamples: &ClusterBootstrap) -> Result<Self> {
        let n = labels.len();
        for (what, found) in [("decisions", decisions.len()), ("resampled rows", resamples.rows())] {
            check_rows(what, found, n)?;
        }
        if let Some(row) = decisions.iter().position(|decision| !decision.is_finite()) {
            return Err(Error::not_finite("decisions", row, String::new()));
        }
        let metrics = || {
            let ranking = Ranking::new(decisions, labels)?;
            let auroc = ranking.interval(resamples)?;
            let predicted: Vec<bool> = decisions.iter().map(|&decision| decision > 0.0).collect();
            Some(Evaluation {
                auroc: auroc.interval,
                auprc: ranking.average_precision()?,
                accuracy: accuracy(&predicted, labels)?,
                balanced_accuracy: balanced_accuracy(&predicted, labels)?,
                probabilities: if calibrated { Some(ProbabilityMetrics::new(decisions, labels)?) } else { None },
                n_test: n,
                groups_test: resamples.clusters(),
                undefined_draws: auroc.undefined_draws,
            })
        };
        // All that is left to be missing is a class.
        metrics().ok_or_else(|| Error::OneClass { part: "test", label: u8::from(labels.contains(&true)) })
    }
}

impl ProbabilityMetrics {
    fn new(decisions: &[f64], labels: &[bool]) -> Option<Self> {
        let probabilities: Vec<f64> = decisions.iter().copied().map(logistic).collect();
        let ece = |binning| expected_calibration_error(&probabilities, labels, CALIBRATION_BINS, binning);
        Some(ProbabilityMetrics {
            log_loss: log_loss(&probabilities, labels)?,
            brier: brier(&probabilities, labels)?,
            ece_equal_width: ece(Binning::EqualWidth)?,
            ece_equal_mass: ece(Binning::EqualMass)?,
        })
    }
}
