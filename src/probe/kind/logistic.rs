//! The logistic probe: linfa's logistic regression on standardised states.

use super::{Estimator, FitReport, Linear, Protocol, Training};
use crate::capture::Activations;
use crate::probe::solve::{Problem, Standardiser};
use crate::probe::{GroupSplit, Labels, ProbeBank};
use crate::{Error, Provenance, Result};

/// L2-regularised logistic regression by linfa-logistic, one probe per address.
///
/// Minimises sum_i ln(1 + exp(-y_i (w.x_i + b))) + alpha/2 |w|^2 over states standardised by the training
/// part's mean and standard deviation; the intercept b is not penalised. This is scikit-learn's
/// `LogisticRegression(C=1/alpha)` after its `StandardScaler`. Weights come back in raw space.
///
/// After linfa's fit, objective and gradient are computed anew and give a proven bound of the distance to the
/// optimum; a run that stopped early is continued up to three times. What then still misses the tolerance is
/// returned with `converged: false` in its [`FitReport`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LogisticProbe {
    /// The width of the states if `None`.
    alpha: Option<f64>,
    max_iterations: u64,
    tolerance: f64,
    protocol: Protocol,
}

impl Default for LogisticProbe {
    fn default() -> Self {
        LogisticProbe { alpha: None, max_iterations: 1_000, tolerance: 1e-8, protocol: Protocol::default() }
    }
}

impl LogisticProbe {
    /// Sets the penalty's strength, 1/C in scikit-learn, above 0. Default: the width d of the states. In a Bayesian
    /// reading each weight then has the prior variance 1/d, and the log-odds of a typical state the variance 1,
    /// whatever the width; scikit-learn's C = 1 lets a few hundred texts be learnt by heart.
    pub fn alpha(mut self, alpha: f64) -> Self {
        self.alpha = Some(alpha);
        self
    }

    /// Sets the iterations of one solver run, default 1,000.
    pub fn max_iterations(mut self, iterations: u64) -> Self {
        self.max_iterations = iterations;
        self
    }

    /// Sets the largest (objective - optimum) / objective that counts as converged, default 1e-8. The solver's
    /// gradient tolerance follows from it, from alpha and from the number of rows.
    pub fn tolerance(mut self, tolerance: f64) -> Self {
        self.tolerance = tolerance;
        self
    }

    /// Sets the split, default [`GroupSplit::default`].
    pub fn split(mut self, split: GroupSplit) -> Self {
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

    /// Fits and evaluates a probe at every address of pooled activations; see [`ProbeBank::fit`].
    ///
    /// # Errors
    /// As [`ProbeBank::fit`].
    pub fn fit_all(&self, activations: &Activations, labels: &Labels) -> Result<ProbeBank> {
        ProbeBank::fit(self, activations, labels)
    }
}

impl Estimator for LogisticProbe {
    fn name(&self) -> &'static str {
        "logistic"
    }

    fn settings(&self) -> Provenance {
        [
            ("probe_alpha", self.alpha.map_or("width of the states".to_owned(), |alpha| alpha.to_string())),
            ("probe_max_iterations", self.max_iterations.to_string()),
            ("probe_tolerance", self.tolerance.to_string()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into()
    }

    fn protocol(&self) -> &Protocol {
        &self.protocol
    }

    fn is_calibrated(&self) -> bool {
        true
    }

    fn validate(&self) -> Result<()> {
        if let Some(alpha) = self.alpha.filter(|alpha| !(*alpha > 0.0 && alpha.is_finite())) {
            return Err(Error::setting("alpha", alpha, "above 0 and finite; it is 1/C of scikit-learn"));
        }
        if !(self.tolerance > 0.0 && self.tolerance < 1.0) {
            return Err(Error::setting("tolerance", self.tolerance, "above 0 and below 1"));
        }
        if self.max_iterations == 0 {
            return Err(Error::setting("max_iterations", 0, "at least 1"));
        }
        self.protocol.validate()
    }

    fn fit(&self, training: Training) -> Result<Linear> {
        self.validate()?;
        let Training { what, mut rows, labels } = training;
        let standardiser = Standardiser::fit(rows.view());
        standardiser.apply(&mut rows);
        let alpha = self.alpha.unwrap_or(rows.ncols().max(1) as f64);
        let problem = Problem { alpha, max_iterations: self.max_iterations, tolerance: self.tolerance };
        let solution = problem.solve(rows, &labels).map_err(|error| Error::Fit { what, problem: error.to_string() })?;
        if solution.relative_gap > self.tolerance {
            tracing::warn!(gap = solution.relative_gap, tolerance = self.tolerance, "a logistic fit did not converge");
        }
        let (weights, intercept) = standardiser.to_raw(&solution.weights, solution.intercept);
        let fit = FitReport {
            n_train: labels.len(),
            objective: Some(solution.objective),
            gradient_norm: Some(solution.gradient_norm),
            relative_gap: Some(solution.relative_gap),
            solver_runs: solution.solver_runs,
            converged: solution.relative_gap <= self.tolerance,
        };
        Ok(Linear { weights, intercept, fit })
    }
}
