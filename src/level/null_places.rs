//! Where a mean change lies among the changes along directions that mean nothing.

use std::collections::BTreeMap;

use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::comparison::Pair;
use super::levels::{LevelStates, Levels};
use super::metric::Metric;
use crate::capture::Activations;
use crate::hook::Address;
use crate::probe::{check_width, Direction, Estimator, Training};
use crate::stats::directions::{covariance_matched_directions, monte_carlo_p, permuted_directions, random_directions};
use crate::stats::{permuted_labels, quantile};
use crate::text::Labels;
use crate::{Error, Result};

/// What the other directions are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NullKind {
    /// Uniform on the sphere: does the probe see more of the change than any direction would?
    Uniform,
    /// With the covariance of the states (of up to 256 items of the first condition): is the direction more than one along
    /// which states differ anyway?
    CovarianceMatched,
    /// The probe's own coordinates in random order: is it more than a direction as concentrated as this one?
    CoordinatePermutation,
    /// Probes fitted on permuted labels: does the meaning of the labels matter?
    PermutedLabels,
}

/// A change's place among the changes along other unit directions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct NullPlace {
    /// What the directions are.
    pub kind: NullKind,
    /// Directions.
    pub draws: usize,
    /// Root of the mean square of the change along them: 0 is their centre, since a direction is as likely as its
    /// opposite.
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0)))]
    pub sd: f64,
    /// 2.5 % quantile of the change along them.
    pub low: f64,
    /// 97.5 % quantile.
    pub high: f64,
    /// Two-sided Monte-Carlo p-value, (1 + #{|null| >= |observed|}) / (1 + draws).
    #[cfg_attr(feature = "schema", schemars(range(max = 1.0), extend("exclusiveMinimum" = 0)))]
    pub p: f64,
}

impl NullPlace {
    fn new(kind: NullKind, observed: f64, mut null: Vec<f64>) -> Self {
        let sd = (null.iter().map(|value| value * value).sum::<f64>() / null.len().max(1) as f64).sqrt();
        let p = monte_carlo_p(&null, observed);
        null.sort_by(f64::total_cmp);
        NullPlace { kind, draws: null.len(), sd, low: quantile(&null, 0.025), high: quantile(&null, 0.975), p }
    }
}

/// Unit directions of probes that were fitted on labels permuted over groups.
///
/// Fitting on permuted labels keeps everything that makes a probe's direction what it is (the states' covariance, the
/// penalty, the number of texts) but the meaning of the labels.
#[derive(Debug, Clone)]
pub struct PermutedProbes {
    /// By address, `[draws, d]`.
    directions: BTreeMap<Address, Array2<f64>>,
}

impl PermutedProbes {
    /// Fits `draws` probes at every address, each on all texts with its own permutation; draw k permutes alike at every
    /// address.
    ///
    /// # Errors
    /// [`Error::Setting`] without draws; [`Error::RowCount`]; [`Error::OneClass`] where a permutation over unequal groups
    /// leaves one label only; as [`Estimator::fit`].
    pub fn fit(
        estimator: &impl Estimator,
        activations: &Activations,
        labels: &Labels,
        draws: usize,
        seed: u64,
    ) -> Result<PermutedProbes> {
        if draws == 0 {
            return Err(Error::setting("draws", draws, "at least 1"));
        }
        estimator.validate()?;
        let permuted = permuted_labels(labels.labels(), labels.groups(), draws, seed);
        let mut directions = BTreeMap::new();
        for address in activations.addresses() {
            let states = activations.at(address)?;
            let training = Training::new(address.to_string(), states, labels.labels().to_vec())?;
            let training = training.grouped(labels.groups())?;
            let mut units = Array2::zeros((draws, states.ncols()));
            for (mut row, linear) in units.outer_iter_mut().zip(estimator.fit_draws(&training, &permuted)?) {
                row.assign(&Direction::new(address, linear.weights).unit());
            }
            directions.insert(address, units);
        }
        Ok(PermutedProbes { directions })
    }

    /// Permutations.
    pub fn draws(&self) -> usize {
        self.directions.values().next().map_or(0, Array2::nrows)
    }
}

/// The places of all changes of cosines and dot products.
pub(super) struct Nulls {
    /// By address, then pair, then cosine and dot.
    places: Vec<Vec<[Vec<NullPlace>; 2]>>,
}

impl Nulls {
    /// Projects the mean changes on all directions, address by address: the change of a mean projection is the
    /// projection of the mean change.
    pub fn new(
        levels: &Levels,
        pairs: &[Pair],
        permuted: Option<&PermutedProbes>,
        draws: usize,
        seed: u64,
    ) -> Result<Nulls> {
        let Some(states) = &levels.states else { return Ok(Nulls { places: Vec::new() }) };
        let widths = (0..levels.addresses().len()).filter_map(|address| levels.width(address));
        let uniform: BTreeMap<usize, Array2<f64>> = widths
            .map(|d| (d, ()))
            .collect::<BTreeMap<_, _>>()
            .into_keys()
            .map(|d| (d, random_directions(draws, d, seed)))
            .collect();
        let at = |address: usize| {
            let missing = || Error::mismatch("levels", "an axis is shorter than its labels");
            let name = *levels.addresses().get(address).ok_or_else(missing)?;
            let d = levels.width(address).ok_or_else(missing)?;
            let changes = mean_changes(states, pairs, address, d).ok_or_else(missing)?;
            let sample = states.samples.get(address).ok_or_else(missing)?;
            let direction = levels.directions.get(address).ok_or_else(missing)?;
            let observed = changes.t().dot(direction);
            let mut places = vec![[Vec::new(), Vec::new()]; pairs.len()];
            let mut place = |kind: NullKind, directions: ArrayView2<'_, f64>| {
                let null = directions.dot(&changes);
                for ((column, null), &observed) in null.columns().into_iter().enumerate().zip(&observed) {
                    places[column / 2][column % 2].push(NullPlace::new(kind, observed, null.to_vec()));
                }
            };
            place(NullKind::Uniform, uniform.get(&d).ok_or_else(missing)?.view());
            place(NullKind::CovarianceMatched, covariance_matched_directions(sample.view(), draws, seed).view());
            place(NullKind::CoordinatePermutation, permuted_directions(direction.view(), draws, seed).view());
            if let Some(directions) = permuted.and_then(|permuted| permuted.directions.get(&name)) {
                check_width(name, d, directions.ncols())?;
                place(NullKind::PermutedLabels, directions.view());
            }
            Ok(places)
        };
        let places = (0..levels.addresses().len()).into_par_iter().map(at).collect::<Result<_>>()?;
        Ok(Nulls { places })
    }

    /// The places of the change of one pair, by index, at one address.
    pub fn of(&self, pair: usize, address: usize, metric: Metric) -> Vec<NullPlace> {
        let which = match metric {
            Metric::Cosine => 0,
            Metric::Dot => 1,
            Metric::ClassDistance | Metric::Logit | Metric::Probability => return Vec::new(),
        };
        let places = self.places.get(address).and_then(|pairs| pairs.get(pair));
        places.map(|places| places[which].clone()).unwrap_or_default()
    }
}

/// Mean changes of the states, `[d, 2 pairs]`: of the states divided by their lengths, then as they are.
fn mean_changes(states: &LevelStates, pairs: &[Pair], address: usize, d: usize) -> Option<Array2<f64>> {
    let mut changes = Array2::zeros((d, 2 * pairs.len()));
    for (index, pair) in pairs.iter().enumerate() {
        let mean = |condition: usize| states.means.get(condition)?.get(address);
        let (after, before) = (mean(pair.condition)?, mean(pair.base)?);
        changes.column_mut(2 * index).assign(&(&after.unit - &before.unit));
        changes.column_mut(2 * index + 1).assign(&(&after.raw - &before.raw));
    }
    Some(changes)
}
