//! Linear discriminant analysis.

use super::pooled::Shrinkage;
use super::{with_protocol, Estimator, Linear, Protocol, Training};
use crate::{Provenance, Result};

/// Linear discriminant analysis: two normal classes with one covariance.
///
/// weights = S^-1 (m1 - m0), intercept = -weights . (m1 + m0) / 2 + ln(n1 / n0), with the means m of the immoral (1)
/// and moral (0) training states, n of each, and their pooled covariance S (divisor n) with its correlations shrunk
/// towards independence, by default as much as Ledoit and Wolf's formula asks for. The decision is the log-odds of that
/// model (Hastie, Tibshirani and Friedman 2009, equation 4.9). With few texts for the dimensions it is too sure of
/// itself: look at the log-loss, and calibrate.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct DiscriminantProbe {
    shrinkage: Shrinkage,
    protocol: Protocol,
}

impl DiscriminantProbe {
    /// Sets the shrinkage of the correlations, 0 (none) to 1 (ignored). Default: Ledoit and Wolf's formula.
    pub fn shrinkage(mut self, shrinkage: f64) -> Self {
        self.shrinkage = Shrinkage(Some(shrinkage));
        self
    }
}

with_protocol!(DiscriminantProbe);

impl Estimator for DiscriminantProbe {
    fn name(&self) -> &'static str {
        "discriminant"
    }

    fn settings(&self) -> Provenance {
        self.shrinkage.settings()
    }

    fn protocol(&self) -> &Protocol {
        &self.protocol
    }

    fn is_calibrated(&self) -> bool {
        true
    }

    fn validate(&self) -> Result<()> {
        self.shrinkage.validate()?;
        self.protocol.validate()
    }

    fn fit(&self, training: Training) -> Result<Linear> {
        self.validate()?;
        let pooled = self.shrinkage.fit(training)?;
        let [immoral, moral] = pooled.counts;
        let intercept = pooled.intercept + (immoral / moral).ln();
        Ok(Linear { weights: pooled.weights, intercept, fit: pooled.fit })
    }
}
