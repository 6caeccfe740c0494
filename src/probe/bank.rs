//! The probes of many addresses, fitted and evaluated in one way.

use std::collections::BTreeMap;
use std::path::Path;

use ndarray::{Array1, ArrayView2};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::direction::{check_width, dot};
use super::solve::LARGE;
use super::{
    Direction, Estimator, Evaluation, FitReport, GroupFolds, Linear, Split, Standardiser, StrengthCurve, Training,
};
use crate::capture::Activations;
use crate::error::nearest;
use crate::hook::Address;
use crate::stats::ClusterBootstrap;
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

    /// The rule and where it goes; shared by fitting and loading.
    pub(super) fn new(
        address: Address,
        weights: Array1<f64>,
        [intercept, centre, spread]: [f64; 3],
        [mean, scale]: [Array1<f64>; 2],
        of: (FitReport, Option<StrengthCurve>, Evaluation),
    ) -> Self {
        let direction = Direction::new(address, weights.clone());
        let (fit, strengths, evaluation) = of;
        Probe { direction, weights, intercept, centre, spread, mean, scale, fit, strengths, evaluation }
    }
}

/// One probe's numbers as a flat row, for tables.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProbeRow {
    /// Address.
    pub address: Address,
    /// Layer, if the site has one.
    pub layer: Option<usize>,
    /// Held-out AUROC.
    pub auroc: f64,
    /// Its lower 95 % bound.
    pub auroc_low: f64,
    /// Its upper 95 % bound.
    pub auroc_high: f64,
    /// Held-out area under the precision-recall curve (average precision).
    pub auprc: f64,
    /// Held-out accuracy.
    pub accuracy: f64,
    /// Held-out balanced accuracy.
    pub balanced_accuracy: f64,
    /// Held-out log-loss in nats, for calibrated probes.
    pub log_loss: Option<f64>,
    /// Held-out Brier score, for calibrated probes.
    pub brier: Option<f64>,
    /// Held-out expected calibration error over 10 bins of equal width, for calibrated probes.
    pub ece_equal_width: Option<f64>,
    /// The same over 10 bins of equally many rows.
    pub ece_equal_mass: Option<f64>,
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
    /// Splits by group, fits `estimator` at every address, and evaluates on the held-out part. Split and
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
        check_pooled(activations, labels)?;
        let addresses: Vec<Address> = activations.addresses().collect();
        let labels = &*labels.respecting(activations.groups())?;
        let protocol = estimator.protocol();
        let split = protocol.split.split(labels)?;
        let pick = |rows: &[usize]| rows.iter().filter_map(|&row| labels.groups().get(row)).collect::<Vec<_>>();
        let resamples = ClusterBootstrap::new(&pick(&split.test), protocol.draws, protocol.seed)?;
        let one = |&address: &Address| {
            let states = activations.at(address)?;
            fit_one(estimator, address, states, labels, &split, &resamples)
        };
        // Wide addresses follow each other and spread their own products over the threads, narrow ones run beside each
        // other: never both, so that no more designs are alive than threads.
        let width =
            addresses.iter().filter_map(|&address| activations.at(address).ok()).map(|states| states.ncols()).max();
        let probes: Vec<Result<Probe>> = if split.train.len() * width.unwrap_or(0) >= LARGE {
            addresses.iter().map(one).collect()
        } else {
            addresses.par_iter().map(one).collect()
        };
        let probes = probes.into_iter().collect::<Result<Vec<Probe>>>()?;

        let mut provenance = activations.provenance().clone();
        provenance.extend(estimator.settings());
        let of_split = [&split.train, &split.test].map(|rows| format!("{rows:?}")).concat();
        let common = [
            ("probe_kind", estimator.name().to_owned()),
            ("probe_split", protocol.split.describe()),
            ("probe_split_sha256", file::sha256(of_split)),
            ("probe_labels_sha256", labels.sha256()),
            ("probe_unit", protocol.describe_unit()),
            ("probe_bootstrap", format!("{} draws over groups, seed {}", protocol.draws, protocol.seed)),
        ];
        provenance.extend(common.map(|(key, value)| (key.to_owned(), value)));
        for probe in &probes {
            if let Some(best) = probe.strengths.as_ref().and_then(StrengthCurve::best) {
                provenance.insert(format!("probe_alpha_{}", probe.address()), best.alpha.to_string());
            }
        }
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

/// Refuses activations that no probe can be fitted on with these labels.
pub(super) fn check_pooled(activations: &Activations, labels: &Labels) -> Result<()> {
    if activations.token_rows().is_some() {
        let problem = "they have one row per token, a probe needs one per text: capture with a pool".to_owned();
        return Err(Error::mismatch("activations", problem));
    }
    if labels.len() != activations.rows() {
        return Err(Error::row_count("labels", activations.rows(), labels.len()));
    }
    if activations.addresses().next().is_none() {
        return Err(Error::setting("activations", "empty", "capture at least one address"));
    }
    activations.check_finite()
}

fn fit_one(
    estimator: &impl Estimator,
    address: Address,
    states: ArrayView2<'_, f32>,
    labels: &Labels,
    split: &Split,
    resamples: &ClusterBootstrap,
) -> Result<Probe> {
    let fitted = Fitted::new(estimator, address, states, labels, &split.train)?;
    fitted.judge(states, labels, &split.test, estimator.is_calibrated(), resamples)
}

/// A rule that has not met its test part.
#[derive(Debug)]
pub(super) struct Fitted {
    pub address: Address,
    pub linear: Linear,
    pub strengths: Option<StrengthCurve>,
    centre: f64,
    spread: f64,
    /// Mean and scale of the training states' columns.
    columns: [Array1<f64>; 2],
}

impl Fitted {
    /// Fits on the rows `train` of `states`, `[rows, d]`.
    pub fn new(
        estimator: &impl Estimator,
        address: Address,
        states: ArrayView2<'_, f32>,
        labels: &Labels,
        train: &[usize],
    ) -> Result<Fitted> {
        let training = gather(address, states, labels, train)?;
        let Standardiser { mean, scale, .. } = Standardiser::fit(training.rows());
        let cross_fit = estimator.protocol().cross_fit;
        let spread = cross_fit.map(|folds| cross_fitted_spread(estimator, &training, folds)).transpose()?;
        let (linear, strengths) = estimator.fit_selected(training)?;
        check_width(address, linear.weights.len(), states.ncols())?;
        if !linear.weights.iter().chain([&linear.intercept]).all(|value| value.is_finite()) {
            let problem = "the weights are not finite".to_owned();
            return Err(Error::fit(address.to_string(), problem));
        }
        let direction = Direction::new(address, linear.weights.clone());
        let projections: Vec<f64> = train.iter().map(|&row| dot(states.row(row), direction.unit())).collect();
        let (centre, of_training) = centre_and_spread(&projections);
        let spread = spread.unwrap_or(of_training);
        Ok(Fitted { address, linear, strengths, centre, spread, columns: [mean, scale] })
    }

    /// The probe, evaluated on the rows `test`.
    pub fn judge(
        self,
        states: ArrayView2<'_, f32>,
        labels: &Labels,
        test: &[usize],
        calibrated: bool,
        resamples: &ClusterBootstrap,
    ) -> Result<Probe> {
        let Fitted { address, linear: Linear { weights, intercept, fit }, strengths, centre, spread, columns } = self;
        check_width(address, weights.len(), states.ncols())?;
        let decisions: Vec<f64> = test.iter().map(|&row| dot(states.row(row), weights.view()) + intercept).collect();
        let held_out: Vec<bool> = test.iter().filter_map(|&row| labels.labels().get(row).copied()).collect();
        let evaluation = Evaluation::new(&decisions, &held_out, calibrated, resamples)?;
        Ok(Probe::new(address, weights, [intercept, centre, spread], columns, (fit, strengths, evaluation)))
    }
}

/// The rows `chosen` of the states at `address`, with their labels and groups.
pub(super) fn gather(
    address: Address,
    states: ArrayView2<'_, f32>,
    labels: &Labels,
    chosen: &[usize],
) -> Result<Training> {
    if states.ncols() == 0 {
        return Err(Error::mismatch(address.to_string(), "its states have width 0"));
    }
    let groups: Vec<&String> = chosen.iter().filter_map(|&row| labels.groups().get(row)).collect();
    Training::gather(address.to_string(), states, labels.labels(), chosen).grouped(&groups)
}

/// Standard deviation of projections on directions that were fitted without the state's fold, around each fold's own
/// mean: the directions differ a little, and with them where a large common offset of all states falls.
fn cross_fitted_spread(estimator: &impl Estimator, training: &Training, folds: GroupFolds) -> Result<f64> {
    let mut squares = 0.0;
    let mut largest: f64 = 0.0;
    for (part, held_out, _) in folds.divide(training)? {
        let linear = estimator.fit(part)?;
        let norm = linear.weights.dot(&linear.weights).sqrt();
        let unit = if norm > 0.0 { linear.weights / norm } else { linear.weights };
        let projections: Vec<f64> = held_out.outer_iter().map(|row| dot(row, unit.view())).collect();
        let mean = projections.iter().sum::<f64>() / projections.len().max(1) as f64;
        squares += projections.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
        largest = largest.max(mean.abs());
    }
    let sd = (squares / training.labels().len().max(1) as f64).sqrt();
    Ok(if sd > 1e-12 * largest { sd } else { 1.0 })
}

pub(super) fn centre_and_spread(values: &[f64]) -> (f64, f64) {
    let n = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / n;
    let sd = (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n).sqrt();
    (mean, if sd > 1e-12 * mean.abs() { sd } else { 1.0 })
}
