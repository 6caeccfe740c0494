//! The difference-of-means probe.

use ndarray::Array1;

use super::{with_protocol, Estimator, FitProtocol, FitReport, Linear, Training};
use crate::{Provenance, Result};

/// Direction = mean immoral state minus mean moral state, in raw space; threshold at the midpoint.
///
/// Nothing is iterated and nothing is tuned; such directions often steer better than logistic ones (Marks and
/// Tegmark 2023). Decisions are dot products, not log-odds: there is no log-loss.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[must_use]
pub struct MeanDifferenceProbe {
    protocol: FitProtocol,
}

with_protocol!(MeanDifferenceProbe);

impl Estimator for MeanDifferenceProbe {
    fn name(&self) -> &'static str {
        "mean_difference"
    }

    fn settings(&self) -> Provenance {
        Provenance::new()
    }

    fn protocol(&self) -> &FitProtocol {
        &self.protocol
    }

    fn is_calibrated(&self) -> bool {
        false
    }

    fn validate(&self) -> Result<()> {
        self.protocol.validate()
    }

    fn fit(&self, training: Training) -> Result<Linear> {
        // In standardised columns a constant column is exactly 0, so that rounding makes no direction of it,
        // and a large offset costs no digits; the difference goes back to raw units below.
        let (standardiser, rows, labels) = training.standardised();
        let mean = |wanted: bool| {
            let (mut sum, mut count) = (Array1::<f64>::zeros(rows.ncols()), 0.0);
            for (row, _) in rows.outer_iter().zip(&labels).filter(|(_, &label)| label == wanted) {
                sum += &row;
                count += 1.0;
            }
            sum / count
        };
        let (moral, immoral) = (mean(false), mean(true));
        let weights = &standardiser.scale * (&immoral - &moral);
        let midpoint = &standardiser.mean + &standardiser.scale * (immoral + moral) / 2.0;
        let intercept = -weights.dot(&midpoint);
        let fit = FitReport::direct(labels.len());
        Ok(Linear { weights, intercept, fit })
    }
}
