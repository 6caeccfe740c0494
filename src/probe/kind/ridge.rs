//! Ridge regression on the labels.

use ndarray::{Array1, Array2, Axis};

use super::{with_protocol, Estimator, FitProtocol, FitReport, Linear, Training};
use crate::solve::RidgeSystem;
use crate::{Error, Provenance, Result};

/// Ridge classifier: least squares on labels of 1 (immoral) and -1 (moral).
///
/// Minimises sum_i (y_i - w.x_i - b)^2 / 2 + alpha/2 |w|^2 over states standardised by the training part's mean and
/// standard deviation, b not penalised: scikit-learn's `RidgeClassifier(alpha)` after its `StandardScaler`. One
/// system of the smaller of n and d unknowns, solved directly; further label draws of the same rows share its
/// factor. Decisions approach 1 and -1; they are no log-odds.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[must_use]
pub struct RidgeProbe {
    /// The width of the states if `None`.
    alpha: Option<f64>,
    protocol: FitProtocol,
}

impl RidgeProbe {
    /// Sets the penalty's strength, above 0. Default: the width d of the states, for the reason that
    /// [`LogisticProbe::alpha`](super::LogisticProbe::alpha) gives.
    pub fn alpha(mut self, alpha: f64) -> Self {
        self.alpha = Some(alpha);
        self
    }

    /// One rule for each of `draws`, labels of these rows.
    fn solve(&self, training: Training, draws: &[Vec<bool>]) -> Result<Vec<Linear>> {
        self.validate()?;
        let what = training.what.clone();
        let (standardiser, rows, _) = training.standardised();
        let (n, d) = rows.dim();
        let alpha = self.alpha.unwrap_or(d.max(1) as f64);
        let target = |labels: &Vec<bool>| Array1::from_iter(labels.iter().map(|&label| if label { 1.0 } else { -1.0 }));
        let means: Vec<f64> = draws.iter().map(|labels| target(labels).sum() / n as f64).collect();
        let mut targets = Array2::zeros((n, draws.len()));
        for ((mut column, labels), &mean) in targets.axis_iter_mut(Axis(1)).zip(draws).zip(&means) {
            column.assign(&(target(labels) - mean));
        }
        let squares = targets.map_axis(Axis(0), |column| column.dot(&column));
        let system = RidgeSystem::new(&what, rows);
        let projected = system.transposed_times(&targets);
        let solved = system.factor(alpha)?.solve(&projected);
        let rule = |draw: usize| {
            let [weights, residual, projected] =
                [&solved.weights, &solved.residual, &projected].map(|columns| columns.column(draw));
            // |y - X w|^2 + alpha |w|^2 = y.y - w.(X^T y) - w.r, with r the residual of the system.
            let objective = 0.5 * (squares[draw] - weights.dot(&projected) - weights.dot(&residual));
            let gradient_norm = residual.dot(&residual).sqrt();
            // The objective is strongly convex with modulus alpha, as the logistic one is.
            let relative_gap = gradient_norm.powi(2) / (2.0 * alpha) / objective.max(f64::MIN_POSITIVE);
            let (weights, intercept) = standardiser.to_raw(&weights.to_owned(), means[draw]);
            let fit = FitReport {
                n_train: n,
                objective: Some(objective),
                gradient_norm: Some(gradient_norm),
                relative_gap: Some(relative_gap),
                solver_runs: 1,
                converged: relative_gap <= TOLERANCE,
            };
            Linear { weights, intercept, fit }
        };
        Ok((0..draws.len()).map(rule).collect())
    }
}

/// (objective - optimum) / objective that counts as solved; rounding leaves far less.
const TOLERANCE: f64 = 1e-8;

with_protocol!(RidgeProbe);

impl Estimator for RidgeProbe {
    fn name(&self) -> &'static str {
        "ridge"
    }

    fn settings(&self) -> Provenance {
        let alpha = self.alpha.map_or("width of the states".to_owned(), |alpha| alpha.to_string());
        [("probe_alpha".to_owned(), alpha)].into()
    }

    fn protocol(&self) -> &FitProtocol {
        &self.protocol
    }

    fn is_calibrated(&self) -> bool {
        false
    }

    fn validate(&self) -> Result<()> {
        if let Some(alpha) = self.alpha.filter(|alpha| !(*alpha > 0.0 && alpha.is_finite())) {
            return Err(Error::setting("alpha", alpha, "above 0 and finite"));
        }
        self.protocol.validate()
    }

    fn fit(&self, training: Training) -> Result<Linear> {
        let (what, labels) = (training.what.clone(), training.labels.clone());
        let none = || Error::fit(what, "no solution");
        self.solve(training, &[labels])?.pop().ok_or_else(none)
    }

    fn fit_draws(&self, training: &Training, draws: &[Vec<bool>]) -> Result<Vec<Linear>> {
        for labels in draws {
            training.check_other(labels)?;
        }
        self.solve(training.clone(), draws)
    }
}
