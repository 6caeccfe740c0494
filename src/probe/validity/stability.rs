//! Whether a refitted direction is the same direction.

use std::collections::BTreeMap;

use ndarray::ArrayView2;
use rand::Rng;
use serde::{Deserialize, Serialize};

use super::{both, Case, Estimator};
use crate::probe::{Direction, LogisticProbe, MeanDifferenceProbe, Probe};
use crate::stats::{pick, rng};
use crate::Result;

/// Mean pairwise cosines of directions fitted anew, the probe's own among them. Random directions in d
/// dimensions have cosines of 0 +- 1/sqrt(d). Two published toxicity directions of one group agree at 0.236 only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Stability {
    /// Over other splits, which share most of their training rows: an upper bound of what new texts would give.
    pub splits: f64,
    /// The least of these cosines.
    pub splits_least: f64,
    /// Over resamples of the training groups.
    pub bootstraps: f64,
    /// The least of these cosines.
    pub bootstraps_least: f64,
    /// Cosine with the other recipe: difference of means, or logistic regression where the probe is that.
    pub recipes: f64,
}

/// Measures all three.
pub(super) fn measure<E: Estimator>(
    case: &Case<'_, E>,
    probe: &Probe,
    states: ArrayView2<'_, f32>,
    refits: usize,
) -> Result<Stability> {
    let address = probe.address();
    let direction = |rows: &[usize]| case.fit(address, states, rows).map(|rule| Direction::new(address, rule.weights));
    let (mut splits, mut bootstraps) = (vec![probe.direction.clone()], vec![probe.direction.clone()]);
    let mut groups: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for &row in &case.split().train {
        groups.entry(case.labels().groups().get(row).map_or("", String::as_str)).or_default().push(row);
    }
    let groups: Vec<Vec<usize>> = groups.into_values().collect();
    // One stream for all addresses: the same resamples at each.
    let mut rng = rng(case.seed, "direction bootstrap");
    for refit in 1..=refits as u64 {
        let other = case.estimator.protocol().split.seed(case.seed.wrapping_mul(1_000_003).wrapping_add(refit));
        splits.push(direction(&other.split(case.labels())?.train)?);
        let mut resample = || -> Vec<usize> {
            let drawn = |_| groups.get(rng.gen_range(0..groups.len().max(1) as u32) as usize);
            (0..groups.len()).filter_map(drawn).flatten().copied().collect()
        };
        let one_class = |rows: &Vec<usize>| !both(pick(case.labels().labels(), rows));
        let mut rows = resample();
        for _ in 0..100 {
            if one_class(&rows) {
                rows = resample();
            }
        }
        bootstraps.push(direction(&rows)?);
    }
    let training = case.training(address, states, &case.split().train)?;
    let other = match case.estimator.name() {
        "mean_difference" => LogisticProbe::default().fit(training)?,
        _ => MeanDifferenceProbe::default().fit(training)?,
    };
    let (splits, splits_least) = pairwise(&splits)?;
    let (bootstraps, bootstraps_least) = pairwise(&bootstraps)?;
    let recipes = probe.direction.cosine(&Direction::new(address, other.weights))?;
    Ok(Stability { splits, splits_least, bootstraps, bootstraps_least, recipes })
}

/// Mean and least cosine over all pairs.
fn pairwise(directions: &[Direction]) -> Result<(f64, f64)> {
    let (mut sum, mut pairs, mut least) = (0.0, 0.0, f64::INFINITY);
    for (i, a) in directions.iter().enumerate() {
        for b in directions.iter().skip(i + 1) {
            let cosine = a.cosine(b)?;
            (sum, pairs, least) = (sum + cosine, pairs + 1.0, f64::min(least, cosine));
        }
    }
    Ok((sum / pairs, least))
}
