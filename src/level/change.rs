//! Mean levels and their changes, with paired intervals and nulls.

use std::collections::BTreeMap;

use ndarray::Array2;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::levels::MeanState;
use super::mean_level::LevelRow;
use super::{Levels, Metric, NullSummary};
use crate::hook::Address;
use crate::stats::{
    check_level, percentile_interval, random_cosine_sd, random_directions, ClusterBootstrap, Interval, MAX_DRAWS,
};
use crate::{Error, Result};

/// Compares conditions: mean levels, their changes against round 0 and against the neutral instruction.
///
/// Intervals are percentile intervals of a bootstrap over item groups. Both sides of a change are resampled
/// together (paired), and with the same resamples at every address. They are not simultaneous over addresses:
/// picking the largest of many changes needs a joint statement.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    draws: usize,
    null_draws: usize,
    level: f64,
    seed: u64,
    neutral: Option<String>,
}

impl Default for Comparison {
    fn default() -> Self {
        Comparison { draws: 2_000, null_draws: 1_000, level: 0.95, seed: 0, neutral: None }
    }
}

/// What a change is measured against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Against {
    /// The plain question.
    Round0,
    /// The neutral instruction in the same round.
    Neutral,
}

/// The mean change of one condition at one address; below 0 = less immoral.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChangeRow {
    /// Instruction.
    pub instruction: String,
    /// Round.
    pub round: usize,
    /// Address.
    pub address: Address,
    /// Metric.
    pub metric: Metric,
    /// The condition that was subtracted.
    pub against: Against,
    /// Mean over the items of the paired difference, with its interval.
    pub interval: Interval,
    /// Its place among random directions; for cosines and dot products.
    pub null: Option<NullSummary>,
}

/// What [`Comparison::run`] found. Rows go by address, then condition, then metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Changes {
    /// Mean levels.
    pub levels: Vec<LevelRow>,
    /// Mean changes.
    pub changes: Vec<ChangeRow>,
    /// Items.
    pub items: usize,
    /// Item groups, the unit of resampling; below some 10 the intervals are too short to trust.
    pub groups: usize,
    /// Resamples.
    pub draws: usize,
    /// Level of the intervals.
    pub level: f64,
    /// Seed of resamples and random directions.
    pub seed: u64,
}

/// Indices of two conditions, the second to be subtracted from the first.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pair {
    pub condition: usize,
    pub base: usize,
    pub against: Against,
}

impl Comparison {
    /// Sets the resamples, default 2,000.
    pub fn draws(mut self, draws: usize) -> Self {
        self.draws = draws;
        self
    }

    /// Sets the random directions of the null, at least and by default 1,000.
    pub fn null_draws(mut self, draws: usize) -> Self {
        self.null_draws = draws;
        self
    }

    /// Sets the level of the intervals, default 0.95.
    pub fn level(mut self, level: f64) -> Self {
        self.level = level;
        self
    }

    /// Sets the seed, default 0.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Sets the name of the neutral instruction, one for all. Default: for each the nearest, [`Levels::neutral_of`].
    pub fn neutral(mut self, instruction: impl Into<String>) -> Self {
        self.neutral = Some(instruction.into());
        self
    }

    /// Compares every condition of round 1 and later with the condition of round 0 and with the neutral
    /// instruction in its round, where these are there.
    ///
    /// # Errors
    /// [`Error::Setting`].
    pub fn run(&self, levels: &Levels) -> Result<Changes> {
        check_null_draws(self.null_draws)?;
        check_level(self.level)?;
        let resamples = ClusterBootstrap::new(levels.groups(), self.draws, self.seed)?;
        let pairs = self.pairs(levels);
        let mut directions: BTreeMap<usize, Array2<f64>> = BTreeMap::new();
        for mean in levels.means.iter().flatten() {
            let d = mean.raw.len();
            directions.entry(d).or_insert_with(|| random_directions(self.null_draws, d, self.seed));
        }
        let found: Vec<Result<(Vec<LevelRow>, Vec<ChangeRow>)>> = (0..levels.addresses.len())
            .into_par_iter()
            .map(|address| self.at_address(levels, address, &pairs, &resamples, &directions))
            .collect();
        let (mut level_rows, mut change_rows) = (Vec::new(), Vec::new());
        for found in found {
            let (levels, changes) = found?;
            level_rows.extend(levels);
            change_rows.extend(changes);
        }
        Ok(Changes {
            levels: level_rows,
            changes: change_rows,
            items: levels.items.len(),
            groups: resamples.clusters(),
            draws: self.draws,
            level: self.level,
            seed: self.seed,
        })
    }

    pub(super) fn pairs(&self, levels: &Levels) -> Vec<Pair> {
        let plain = levels.conditions.iter().position(|condition| condition.round == 0);
        let instructed = levels.conditions.iter().enumerate().filter(|(_, condition)| condition.round > 0);
        instructed
            .flat_map(|(index, condition)| {
                let neutral = match &self.neutral {
                    Some(name) => Some(name.as_str()).filter(|&name| name != condition.instruction),
                    None => levels.neutral_of(&condition.instruction, condition.round),
                };
                let neutral = neutral.and_then(|name| levels.condition(name, condition.round));
                let pair =
                    move |base: Option<usize>, against| base.map(|base| Pair { condition: index, base, against });
                [pair(plain, Against::Round0), pair(neutral, Against::Neutral)].into_iter().flatten()
            })
            .collect()
    }

    fn at_address(
        &self,
        levels: &Levels,
        address: usize,
        pairs: &[Pair],
        resamples: &ClusterBootstrap,
        directions: &BTreeMap<usize, Array2<f64>>,
    ) -> Result<(Vec<LevelRow>, Vec<ChangeRow>)> {
        let missing =
            || Error::Mismatch { what: "levels".into(), problem: "an axis is shorter than its labels".into() };
        let name = *levels.addresses.get(address).ok_or_else(missing)?;
        // The mean of each series and its resampled means: a change's draws are differences of these.
        let mut means: Vec<Vec<(f64, Vec<f64>)>> = Vec::with_capacity(levels.conditions.len());
        let mut level_rows = Vec::new();
        for (index, condition) in levels.conditions.iter().enumerate() {
            let mut by_metric = Vec::with_capacity(levels.metrics.len());
            for &metric in &levels.metrics {
                let series = levels.at(index, address, metric).ok_or_else(missing)?;
                let estimate = series.iter().sum::<f64>() / series.len() as f64;
                let draws = resamples.means(series)?;
                level_rows.push(LevelRow {
                    instruction: condition.instruction.clone(),
                    round: condition.round,
                    span: levels.span(),
                    address: name,
                    metric,
                    interval: percentile_interval(estimate, &mut draws.clone(), self.level),
                    random_sd: levels.width(address).filter(|_| metric == Metric::Cosine).map(random_cosine_sd),
                });
                by_metric.push((estimate, draws));
            }
            means.push(by_metric);
        }
        let mut change_rows = Vec::new();
        for pair in pairs {
            let sides = (means.get(pair.condition), means.get(pair.base), levels.conditions.get(pair.condition));
            let (Some(after), Some(before), Some(condition)) = sides else { return Err(missing()) };
            for ((&metric, after), before) in levels.metrics.iter().zip(after).zip(before) {
                let estimate = after.0 - before.0;
                let mut draws: Vec<f64> = after.1.iter().zip(&before.1).map(|(after, before)| after - before).collect();
                change_rows.push(ChangeRow {
                    instruction: condition.instruction.clone(),
                    round: condition.round,
                    address: name,
                    metric,
                    against: pair.against,
                    interval: percentile_interval(estimate, &mut draws, self.level),
                    null: null_of(levels, address, pair, metric, estimate, directions),
                });
            }
        }
        Ok((level_rows, change_rows))
    }
}

fn null_of(
    levels: &Levels,
    address: usize,
    pair: &Pair,
    metric: Metric,
    observed: f64,
    directions: &BTreeMap<usize, Array2<f64>>,
) -> Option<NullSummary> {
    let vector = |mean: &MeanState| match metric {
        Metric::Cosine => Some(mean.unit.clone()),
        Metric::Dot => Some(mean.raw.clone()),
        // Training sd, length and intercept belong to the probe's weights; a random direction has none.
        Metric::Standardised | Metric::Logit | Metric::Probability => None,
    };
    let mean = |condition: usize| levels.means.get(condition)?.get(address).and_then(vector);
    let difference = mean(pair.condition)? - mean(pair.base)?;
    let null = directions.get(&difference.len())?.dot(&difference);
    Some(NullSummary::new(observed, null.to_vec(), difference.dot(&difference).sqrt(), difference.len()))
}

pub(super) fn check_null_draws(draws: usize) -> Result<()> {
    if (1_000..=MAX_DRAWS).contains(&draws) {
        return Ok(());
    }
    let expected = format!("1000 to {MAX_DRAWS}: fewer leave the tails of a null to chance");
    Err(Error::setting("null_draws", draws, expected))
}
