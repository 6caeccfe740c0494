//! How well a probe does on what it was not fitted on.

use serde::{Deserialize, Serialize};

use super::solve::logistic;
use crate::stats::{accuracy, log_loss, ClusterBootstrap, Interval, Ranking};
use crate::{Error, Result};

/// Metrics on the held-out part.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// AUROC with its 95 % percentile interval from a bootstrap over held-out groups. The interval is of the
    /// test part only: it does not hold the variation of refitting.
    pub auroc: Interval,
    /// Share of rows on the right side of decision = 0.
    pub accuracy: f64,
    /// Mean log-loss in nats; `None` for probes whose decisions are no log-odds.
    pub log_loss: Option<f64>,
    /// Held-out rows.
    pub n_test: usize,
    /// Held-out groups; below some 10 the interval is too short to trust.
    pub groups_test: usize,
    /// Resamples with one class only, left out of the interval.
    pub undefined_draws: usize,
}

impl Evaluation {
    /// Evaluates decisions, `[n]`, against labels, `[n]`, with resamples of the same rows.
    ///
    /// # Errors
    /// [`Error::OneClass`]; [`Error::RowCount`]; [`Error::NotFinite`].
    pub fn new(decisions: &[f64], labels: &[bool], calibrated: bool, resamples: &ClusterBootstrap) -> Result<Self> {
        let n = labels.len();
        for (what, found) in [("decisions", decisions.len()), ("resampled rows", resamples.rows())] {
            if found != n {
                return Err(Error::RowCount { what: what.into(), expected: n, found });
            }
        }
        let ranking = Ranking::new(decisions, labels);
        let auroc = ranking.and_then(|ranking| resamples.statistic(|weights| ranking.weighted_auroc(weights)));
        if let Some(row) = decisions.iter().position(|decision| !decision.is_finite()) {
            return Err(Error::NotFinite { what: "decisions".into(), row, id: String::new() });
        }
        let Some(auroc) = auroc else {
            let label = u8::from(labels.iter().any(|&label| label));
            return Err(Error::OneClass { part: "test", label });
        };
        let predicted: Vec<bool> = decisions.iter().map(|&decision| decision > 0.0).collect();
        let probabilities = || decisions.iter().copied().map(logistic).collect::<Vec<_>>();
        Ok(Evaluation {
            auroc: auroc.interval,
            accuracy: accuracy(&predicted, labels).unwrap_or(f64::NAN),
            log_loss: if calibrated { log_loss(&probabilities(), labels) } else { None },
            n_test: n,
            groups_test: resamples.clusters(),
            undefined_draws: auroc.undefined_draws,
        })
    }
}
