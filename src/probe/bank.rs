//! The probes of many addresses, fitted and evaluated in one way.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use ndarray::{Array1, ArrayView2};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::cross_fit::Folded;
use super::direction::{check_width, dot};
use super::fitted::Fitted;
use super::{described, CrossFit, Direction, Estimator, Evaluation, FitReport, HeldOutCase, StrengthCurve};
use crate::capture::Activations;
use crate::error::nearest;
use crate::hook::Address;
use crate::solve::LARGE_DESIGN;
use crate::text::Labels;
use crate::{file, Error, Provenance, Result};

/// A linear rule at one address, with what is known of it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Probe {
    /// Unit vector of `weights`, and the address.
    pub direction: Direction,
    /// Weights in raw space, `[d]`, rising towards immoral.
    pub weights: Array1<f64>,
    /// Intercept.
    pub intercept: f64,
    /// Mean of the training states' projections on the direction, in the states' own unit.
    pub centre: f64,
    /// Standard deviation (divisor n) of these projections; 1 where they are constant.
    pub spread: f64,
    /// Mean of each column of the states that `centre` is from, `[d]`.
    pub mean: Array1<f64>,
    /// Standard deviation (divisor n) of each column, `[d]`; 1 where it is constant. `weights * scale` are the
    /// weights on standardised states.
    pub scale: Array1<f64>,
    /// How the fit went.
    pub fit: FitReport,
    /// How the penalty's strength was chosen, where it was.
    pub strengths: Option<StrengthCurve>,
    /// Metrics on the held-out part.
    pub evaluation: Evaluation,
    /// The same kind fitted without each fold of all texts; `None` where there was no such fit, or one failed.
    pub cross_fit: Option<Arc<CrossFit>>,
}

impl Probe {
    /// Where the probe lives.
    pub fn address(&self) -> Address {
        self.direction.address()
    }

    /// `weights . state + intercept` of each of `rows`, `[n, d]`: above 0 for immoral.
    ///
    /// # Errors
    /// [`Error::Mismatch`] for another width.
    pub fn decision(&self, rows: ArrayView2<'_, f32>) -> Result<Vec<f64>> {
        check_width(self.address(), self.weights.len(), rows.ncols())?;
        Ok(rows.outer_iter().map(|row| dot(row, self.weights.view()) + self.intercept).collect())
    }

    /// Projection of each of `rows`, `[n, d]`, on the direction, in standard deviations of the training
    /// projections around their mean.
    ///
    /// # Errors
    /// [`Error::Mismatch`] for another width.
    pub fn standardised(&self, rows: ArrayView2<'_, f32>) -> Result<Vec<f64>> {
        let mut projections = self.direction.project(rows)?;
        projections.iter_mut().for_each(|value| *value = (*value - self.centre) / self.spread);
        Ok(projections)
    }
}

/// One probe's numbers as a flat row, for tables.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct ProbeRow {
    /// Address.
    pub address: Address,
    /// Layer, if the site has one.
    pub layer: Option<usize>,
    /// Held-out AUROC.
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0, max = 1.0)))]
    pub auroc: f64,
    /// Its lower 95 % bound.
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0, max = 1.0)))]
    pub auroc_low: f64,
    /// Its upper 95 % bound.
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0, max = 1.0)))]
    pub auroc_high: f64,
    /// Held-out area under the precision-recall curve (average precision).
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0, max = 1.0)))]
    pub auprc: f64,
    /// Held-out accuracy.
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0, max = 1.0)))]
    pub accuracy: f64,
    /// Held-out balanced accuracy.
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0, max = 1.0)))]
    pub balanced_accuracy: f64,
    /// Held-out log-loss in nats, for calibrated probes.
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0)))]
    pub log_loss: Option<f64>,
    /// Held-out Brier score, for calibrated probes.
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0, max = 1.0)))]
    pub brier: Option<f64>,
    /// Held-out expected calibration error over 10 bins of equal width, for calibrated probes.
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0, max = 1.0)))]
    pub ece_equal_width: Option<f64>,
    /// Held-out expected calibration error over 10 bins of equally many rows, for calibrated probes.
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0, max = 1.0)))]
    pub ece_equal_mass: Option<f64>,
    /// AUROC over all texts, each decided by the rule that had not met its fold; `None` without such fits.
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0, max = 1.0)))]
    pub cross_auroc: Option<f64>,
    /// Its lower 95 % bound.
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0, max = 1.0)))]
    pub cross_auroc_low: Option<f64>,
    /// Mean immoral minus mean moral text left out, in standard deviations within a class (d').
    pub class_distance: Option<f64>,
    /// Its standard error, clustered by text group, in the same unit.
    pub class_distance_error: Option<f64>,
    /// Held-out rows.
    pub n_test: usize,
    /// Held-out groups.
    pub groups_test: usize,
    /// Resamples with one class only.
    pub undefined_draws: usize,
    /// Training rows.
    pub n_train: usize,
    /// Whether the fit converged.
    pub converged: bool,
}

impl From<&Probe> for ProbeRow {
    fn from(probe: &Probe) -> Self {
        let Evaluation { auroc, probabilities, .. } = probe.evaluation;
        let of_folds = |number: &dyn Fn(&CrossFit) -> f64| {
            probe.cross_fit.as_deref().map(number).filter(|value| value.is_finite())
        };
        ProbeRow {
            address: probe.address(),
            layer: probe.address().layer(),
            auroc: auroc.estimate,
            auroc_low: auroc.low,
            auroc_high: auroc.high,
            auprc: probe.evaluation.auprc,
            accuracy: probe.evaluation.accuracy,
            balanced_accuracy: probe.evaluation.balanced_accuracy,
            log_loss: probabilities.map(|metrics| metrics.log_loss),
            brier: probabilities.map(|metrics| metrics.brier),
            ece_equal_width: probabilities.map(|metrics| metrics.ece_equal_width),
            ece_equal_mass: probabilities.map(|metrics| metrics.ece_equal_mass),
            cross_auroc: of_folds(&|fits| fits.auroc.estimate),
            cross_auroc_low: of_folds(&|fits| fits.auroc.low),
            class_distance: of_folds(&|fits| fits.distance / fits.spread),
            class_distance_error: of_folds(&|fits| fits.distance_error / fits.spread),
            n_test: probe.evaluation.n_test,
            groups_test: probe.evaluation.groups_test,
            undefined_draws: probe.evaluation.undefined_draws,
            n_train: probe.fit.n_train,
            converged: probe.fit.converged,
        }
    }
}

/// One probe per address, in order of address, and what they were made from.
#[derive(Debug, Clone, PartialEq)]
pub struct ProbeBank {
    pub(super) probes: BTreeMap<Address, Probe>,
    pub(super) provenance: Provenance,
}

impl ProbeBank {
    /// Splits by group, fits `estimator` at every address, and evaluates on the held-out part; then fits it once without each
    /// fold of all texts, for class distances ([`CrossFit`]), where the texts can be divided so. Split, folds and
    /// resamples are the same at every address; addresses run in parallel, and the result does not depend on
    /// the number of threads. Groups are those of the labels; where each text is a group of its own there, those
    /// of the activations, if they have any.
    ///
    /// # Errors
    /// [`Error::Setting`]; [`Error::Mismatch`] for activations with one row per token or of width 0, and for
    /// labels whose groups tear a group of the activations apart; [`Error::RowCount`];
    /// [`Error::NotFinite`]; [`Error::OneClass`]; [`Error::Fit`].
    pub fn fit(estimator: &impl Estimator, activations: &Activations, labels: &Labels) -> Result<ProbeBank> {
        estimator.validate()?;
        let case = HeldOutCase::new(estimator.protocol(), activations, labels)?;
        let folded = Folded::new(estimator.protocol(), &case.labels)?;
        ProbeBank::fit_folded(estimator, activations, &case, folded.as_ref())
    }

    /// Fits a bank on rows that are divided already, by the estimator's own protocol, without class distances.
    pub(super) fn fit_case(
        estimator: &impl Estimator,
        activations: &Activations,
        case: &HeldOutCase,
    ) -> Result<ProbeBank> {
        ProbeBank::fit_folded(estimator, activations, case, None)
    }

    fn fit_folded(
        estimator: &impl Estimator,
        activations: &Activations,
        case: &HeldOutCase,
        folded: Option<&Folded>,
    ) -> Result<ProbeBank> {
        let HeldOutCase { labels, split, .. } = case;
        let addresses: Vec<Address> = activations.addresses().collect();
        let one = |&address: &Address| {
            let states = activations.at(address)?;
            let fitted = Fitted::new(estimator, address, states, labels, &split.train)?;
            let cross_fit =
                folded.map(|folded| CrossFit::new(estimator, address, states, labels, folded)).transpose()?;
            fitted.judge(states, case, estimator.is_calibrated(), cross_fit.flatten())
        };
        // Wide addresses follow each other and spread their own products over the threads, narrow ones run beside each
        // other: never both, so that no more designs are alive than threads.
        let width =
            addresses.iter().filter_map(|&address| activations.at(address).ok()).map(|states| states.ncols()).max();
        let probes: Vec<Result<Probe>> = if split.train.len() * width.unwrap_or(0) >= LARGE_DESIGN {
            addresses.iter().map(one).collect()
        } else {
            addresses.par_iter().map(one).collect()
        };
        let probes = probes.into_iter().collect::<Result<Vec<Probe>>>()?;
        let provenance = bank_provenance(estimator, activations, case, &probes);
        let probes = probes.into_iter().map(|probe| (probe.address(), probe)).collect();
        Ok(ProbeBank { probes, provenance })
    }

    /// The probe at one address.
    ///
    /// # Errors
    /// [`Error::UnknownAddress`] with the nearest that there are.
    pub fn get(&self, address: Address) -> Result<&Probe> {
        self.probes.get(&address).ok_or_else(|| {
            let name = address.to_string();
            Error::unknown_address(&name, nearest(&name, self.probes.keys().map(Address::to_string)))
        })
    }

    /// The probes, in order of address.
    pub fn iter(&self) -> impl Iterator<Item = &Probe> {
        self.probes.values()
    }

    /// Probes.
    pub fn len(&self) -> usize {
        self.probes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.probes.is_empty()
    }

    /// What the probes were made from: the activations' provenance, the probe's settings, hashes of labels
    /// and split.
    pub fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    /// Checks that these states are of the kind that the probes learnt on: every address of the bank, of the same
    /// width, from the same model, tokeniser and pooling, and, where either were read as conversations, from the
    /// same chat template. What a file does not say (activations from elsewhere carry no hashes) is not checked.
    ///
    /// # Errors
    /// [`Error::Mismatch`] with what differs; [`Error::UnknownAddress`].
    pub fn check_matches(&self, states: &Activations) -> Result<()> {
        let (ours, theirs) = (&self.provenance, states.provenance());
        let conversations = [ours, theirs].iter().any(|of| of.get("texts_form").is_none_or(|form| form != "plain"));
        let keys = [
            ("model_sha256", "model", true),
            ("tokenizer_sha256", "tokeniser", true),
            ("template_sha256", "chat template", conversations),
            ("pool", "pooling", true),
        ];
        for (key, what, counts) in keys {
            if let (true, Some(ours), Some(theirs)) = (counts, ours.get(key), theirs.get(key)) {
                if ours != theirs {
                    let problem =
                        format!("the probes learnt with the {what} {ours}, the states come from {theirs} ({key})");
                    return Err(Error::mismatch("probes", problem));
                }
            }
        }
        self.iter().try_for_each(|probe| {
            check_width(probe.address(), probe.weights.len(), states.at(probe.address())?.ncols())
        })
    }

    /// The probes' numbers as flat rows, in order of address.
    pub fn rows(&self) -> Vec<ProbeRow> {
        self.iter().map(ProbeRow::from).collect()
    }

    /// Writes [`ProbeBank::rows`] and the provenance as JSON.
    ///
    /// # Errors
    /// [`Error::Io`]; the file appears whole or not at all.
    pub fn write_json(&self, path: impl AsRef<Path>) -> Result<()> {
        let value = serde_json::json!({ "provenance": self.provenance, "probes": self.rows() });
        file::write_json(path.as_ref(), &value)
    }

    /// Writes [`ProbeBank::rows`] as CSV.
    ///
    /// # Errors
    /// [`Error::Io`]; the file appears whole or not at all.
    pub fn write_csv(&self, path: impl AsRef<Path>) -> Result<()> {
        file::write_csv(path.as_ref(), self.rows())
    }
}

/// What a bank was made from: the states, the kind's settings, the rows.
fn bank_provenance(
    estimator: &impl Estimator,
    activations: &Activations,
    case: &HeldOutCase,
    probes: &[Probe],
) -> Provenance {
    let HeldOutCase { labels, split, .. } = case;
    let mut provenance = activations.provenance().clone();
    provenance.extend(described(estimator));
    let of_split = [&split.train, &split.test].map(|rows| format!("{rows:?}")).concat();
    let common = [("probe_split_sha256", file::sha256(of_split)), ("probe_labels_sha256", labels.sha256())];
    provenance.extend(common.map(|(key, value)| (key.to_owned(), value)));
    for probe in probes {
        if let Some(best) = probe.strengths.as_ref().and_then(StrengthCurve::best) {
            provenance.insert(format!("probe_alpha_{}", probe.address()), best.alpha.to_string());
        }
    }
    provenance
}
