//! One rule at one address: fitted on the training rows, then judged on the held-out ones.

use ndarray::ArrayView2;

use super::direction::{check_width, dot};
use super::{CrossFit, Direction, Estimator, Evaluation, HeldOutCase, Linear, Probe, StrengthCurve, Training};
use crate::hook::Address;
use crate::solve::Standardiser;
use crate::stats::pick;
use crate::text::Labels;
use crate::{Error, Result};

/// A rule that has not met its test part.
#[derive(Debug)]
pub(super) struct Fitted {
    pub address: Address,
    pub linear: Linear,
    pub strengths: Option<StrengthCurve>,
    centre: f64,
    spread: f64,
    /// Mean and scale of the training states' columns.
    columns: Standardiser,
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
        let columns = Standardiser::fit(training.rows());
        let (linear, strengths) = estimator.fit_selected(training)?;
        check_width(address, linear.weights.len(), states.ncols())?;
        if !linear.weights.iter().chain([&linear.intercept]).all(|value| value.is_finite()) {
            let problem = "the weights are not finite".to_owned();
            return Err(Error::fit(address.to_string(), problem));
        }
        let direction = Direction::new(address, linear.weights.clone());
        let projections: Vec<f64> = train.iter().map(|&row| dot(states.row(row), direction.unit())).collect();
        let (centre, spread) = centre_and_spread(&projections);
        Ok(Fitted { address, linear, strengths, centre, spread, columns })
    }

    /// The probe, evaluated on the held-out rows, with what other fits say of the texts that they left out.
    pub fn judge(
        self,
        states: ArrayView2<'_, f32>,
        case: &HeldOutCase,
        calibrated: bool,
        cross_fit: Option<CrossFit>,
    ) -> Result<Probe> {
        let Fitted { address, linear: Linear { weights, intercept, fit }, strengths, centre, spread, columns } = self;
        check_width(address, weights.len(), states.ncols())?;
        let decide = |&row: &usize| dot(states.row(row), weights.view()) + intercept;
        let decisions: Vec<f64> = case.split.test.iter().map(decide).collect();
        let evaluation = Evaluation::new(&decisions, &case.held_out_labels(), calibrated, &case.resamples)?;
        let direction = Direction::new(address, weights.clone());
        let Standardiser { mean, scale, .. } = columns;
        let cross_fit = cross_fit.map(std::sync::Arc::new);
        Ok(Probe { direction, weights, intercept, centre, spread, mean, scale, fit, strengths, evaluation, cross_fit })
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
    let groups = pick(labels.groups(), chosen);
    Training::gather(address.to_string(), states, labels.labels(), chosen).grouped(&groups)
}

pub(super) fn centre_and_spread(values: &[f64]) -> (f64, f64) {
    let n = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / n;
    let sd = (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n).sqrt();
    (mean, if sd > 1e-12 * mean.abs() { sd } else { 1.0 })
}
