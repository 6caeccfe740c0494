//! The probes of several layers taken together.

use super::{Estimator, Evaluation, HeldOutCase, ProbeBank};
use crate::capture::Activations;
use crate::hook::Address;
use crate::stats::pick;
use crate::text::Labels;
use crate::{Error, Result};

/// The mean over addresses of the standardised projections
/// ([`Probe::standardised`](super::Probe::standardised)).
///
/// Every address weighs the same and nothing is fitted beyond the probes, so the held-out part of the bank is held out
/// for the ensemble too. The scores are no log-odds.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerEnsemble {
    bank: ProbeBank,
    addresses: Vec<Address>,
    evaluation: Evaluation,
}

impl LayerEnsemble {
    /// Fits a bank at every address of the activations, and evaluates the mean over `addresses` (all if empty) on
    /// its held-out part.
    ///
    /// # Errors
    /// Those of [`ProbeBank::fit`]; [`Error::UnknownAddress`].
    pub fn fit(
        estimator: &impl Estimator,
        activations: &Activations,
        labels: &Labels,
        addresses: &[Address],
    ) -> Result<Self> {
        estimator.validate()?;
        let case = HeldOutCase::new(estimator.protocol(), activations, labels)?;
        let bank = ProbeBank::fit_case(estimator, activations, &case)?;
        let addresses: Vec<Address> = match addresses {
            [] => bank.iter().map(super::Probe::address).collect(),
            some => some.to_vec(),
        };
        let scores = mean_scores(&bank, &addresses, activations)?;
        let scores = pick(&scores, &case.split.test);
        let evaluation = Evaluation::new(&scores, &case.held_out_labels(), false, &case.resamples)?;
        Ok(LayerEnsemble { bank, addresses, evaluation })
    }

    /// The probes.
    pub fn bank(&self) -> &ProbeBank {
        &self.bank
    }

    /// The addresses that are averaged.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// Held-out metrics of the mean.
    pub fn evaluation(&self) -> &Evaluation {
        &self.evaluation
    }

    /// The mean over the addresses for each row, `[n]`, in standard deviations of the training projections.
    ///
    /// # Errors
    /// [`Error::UnknownAddress`]; [`Error::Mismatch`] for another width, or one row per token.
    pub fn scores(&self, activations: &Activations) -> Result<Vec<f64>> {
        mean_scores(&self.bank, &self.addresses, activations)
    }
}

fn mean_scores(bank: &ProbeBank, addresses: &[Address], activations: &Activations) -> Result<Vec<f64>> {
    if activations.token_rows().is_some() {
        let problem = "they have one row per token, an ensemble scores texts: capture with a pool".to_owned();
        return Err(Error::mismatch("activations", problem));
    }
    let mut sums = vec![0.0; activations.rows()];
    for &address in addresses {
        let scores = bank.get(address)?.standardised(activations.at(address)?)?;
        sums.iter_mut().zip(scores).for_each(|(sum, score)| *sum += score);
    }
    let count = addresses.len().max(1) as f64;
    Ok(sums.into_iter().map(|sum| sum / count).collect())
}
