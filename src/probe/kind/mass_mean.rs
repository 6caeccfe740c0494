//! The mass-mean probe with the covariance within the classes.

use super::pooled::Shrinkage;
use super::{with_protocol, Estimator, Linear, Protocol, Training};
use crate::{Provenance, Result};

/// Mass-mean probe (Marks and Tegmark, 2310.06824, section 5): weights = inverse pooled covariance times mean
/// difference, threshold at the midpoint of the means.
///
/// The pooled covariance is that of the states around the mean of their own class; its correlations are shrunk
/// towards independence, by default as much as Ledoit and Wolf's formula asks for, since with fewer texts than
/// dimensions it has no inverse. The mean difference by itself, which that paper steers with, is
/// [`MeanDifferenceProbe`](super::MeanDifferenceProbe); with the log of the classes' frequencies in the
/// threshold this rule is [`DiscriminantProbe`](super::DiscriminantProbe). Decisions are log-odds only between
/// classes equally frequent, so there is no log-loss.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct MassMeanProbe {
    shrinkage: Shrinkage,
    protocol: Protocol,
}

impl MassMeanProbe {
    /// Sets the shrinkage of the correlations, 0 (none) to 1 (ignored). Default: Ledoit and Wolf's formula.
    pub fn shrinkage(mut self, shrinkage: f64) -> Self {
        self.shrinkage = Shrinkage(Some(shrinkage));
        self
    }
}

with_protocol!(MassMeanProbe);

impl Estimator for MassMeanProbe {
    fn name(&self) -> &'static str {
        "mass_mean"
    }

    fn settings(&self) -> Provenance {
        self.shrinkage.settings()
    }

    fn protocol(&self) -> &Protocol {
        &self.protocol
    }

    fn is_calibrated(&self) -> bool {
        false
    }

    fn validate(&self) -> Result<()> {
        self.shrinkage.validate()?;
        self.protocol.validate()
    }

    fn fit(&self, training: Training) -> Result<Linear> {
        self.validate()?;
        let pooled = self.shrinkage.fit(training)?;
        Ok(Linear { weights: pooled.weights, intercept: pooled.intercept, fit: pooled.fit })
    }
}
