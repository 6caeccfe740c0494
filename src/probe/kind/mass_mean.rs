//! The rules with the covariance within the classes: mass-mean probe and linear discriminant analysis.

use super::pooled::Shrinkage;
use super::{with_protocol, Estimator, FitProtocol, Linear, Training};
use crate::{Provenance, Result};

/// Mass-mean probe (Marks and Tegmark, 2310.06824, section 5): weights = inverse pooled covariance times mean
/// difference, threshold at the midpoint of the means. [`MassMeanProbe::discriminant`] is linear discriminant analysis.
///
/// weights = S^-1 (m1 - m0), intercept = -weights . (m1 + m0) / 2, with the means m of the immoral (1) and moral (0)
/// training states and their pooled covariance S (divisor n) around the mean of their own class. Its correlations are
/// shrunk towards independence, by default as much as Ledoit and Wolf's formula asks for, since with fewer texts than
/// dimensions it has no inverse. The mean difference by itself, which that paper steers with, is
/// [`MeanDifferenceProbe`](super::MeanDifferenceProbe). Decisions are log-odds only between classes equally frequent, so
/// there is no log-loss. Its name in provenance is `mass_mean`, that of linear discriminant analysis `discriminant`.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[must_use]
pub struct MassMeanProbe {
    shrinkage: Shrinkage,
    /// Whether the threshold holds the log of the classes' frequencies.
    with_frequencies: bool,
    protocol: FitProtocol,
}

impl MassMeanProbe {
    /// Linear discriminant analysis: two normal classes with one covariance.
    ///
    /// The intercept holds ln(n1 / n0) too, n of each class, so that the decision is the log-odds of that model
    /// (Hastie, Tibshirani and Friedman 2009, equation 4.9). With few texts for the dimensions it is too sure of itself:
    /// look at the log-loss, and calibrate.
    pub fn discriminant() -> Self {
        MassMeanProbe { with_frequencies: true, ..MassMeanProbe::default() }
    }

    /// Sets the shrinkage of the correlations, 0 (none) to 1 (ignored). Default: Ledoit and Wolf's formula.
    pub fn shrinkage(mut self, shrinkage: f64) -> Self {
        self.shrinkage = Shrinkage(Some(shrinkage));
        self
    }
}

with_protocol!(MassMeanProbe);

impl Estimator for MassMeanProbe {
    fn name(&self) -> &'static str {
        match self.with_frequencies {
            true => "discriminant",
            false => "mass_mean",
        }
    }

    fn settings(&self) -> Provenance {
        self.shrinkage.settings()
    }

    fn protocol(&self) -> &FitProtocol {
        &self.protocol
    }

    fn is_calibrated(&self) -> bool {
        self.with_frequencies
    }

    fn validate(&self) -> Result<()> {
        self.shrinkage.validate()?;
        self.protocol.validate()
    }

    fn fit(&self, training: Training) -> Result<Linear> {
        self.validate()?;
        let pooled = self.shrinkage.fit(training)?;
        let [immoral, moral] = pooled.counts;
        let frequencies = if self.with_frequencies { (immoral / moral).ln() } else { 0.0 };
        Ok(Linear { weights: pooled.weights, intercept: pooled.intercept + frequencies, fit: pooled.fit })
    }
}
