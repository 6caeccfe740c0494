//! Mean levels with their intervals.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::levels::Levels;
use super::metric::Metric;
use crate::condition::Condition;
use crate::dialogue::Reading;
use crate::hook::Address;
use crate::stats::{random_cosine_sd, ClusterBootstrap, Interval};
use crate::Result;

/// The mean level of one condition at one address.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct LevelRow {
    /// Instruction and round.
    #[serde(flatten)]
    pub condition: Condition,
    /// Which tokens the states stand for.
    pub reading: Reading,
    /// Address.
    pub address: Address,
    /// Metric.
    pub metric: Metric,
    /// Mean over the items, with its percentile interval over item groups: of this level alone, not simultaneous.
    pub interval: Interval,
    /// 1/sqrt(d), the standard deviation of a single state's cosine with a random direction: the scale on which to read
    /// a level; for cosines.
    pub random_sd: Option<f64>,
}

/// The mean of every series, by address, then condition, then metric.
pub(super) fn mean_levels(levels: &Levels, resamples: &ClusterBootstrap) -> Result<Vec<LevelRow>> {
    let at_address = |(index, &address): (usize, &Address)| {
        let mut rows = Vec::with_capacity(levels.design().arms().len() * levels.metrics().len());
        for (number, condition) in levels.design().conditions().enumerate() {
            for &metric in levels.metrics() {
                let Some(series) = levels.at(number, index, metric) else { continue };
                let estimate = series.iter().sum::<f64>() / series.len() as f64;
                rows.push(LevelRow {
                    condition: condition.clone(),
                    reading: levels.reading(),
                    address,
                    metric,
                    interval: resamples.percentiles(estimate, &mut resamples.means(series)?, resamples.level()),
                    random_sd: levels.width(index).filter(|_| metric == Metric::Cosine).map(random_cosine_sd),
                });
            }
        }
        Ok(rows)
    };
    let addresses: Vec<(usize, &Address)> = levels.addresses().iter().enumerate().collect();
    let found: Result<Vec<Vec<LevelRow>>> = addresses.into_par_iter().map(at_address).collect();
    Ok(found?.concat())
}
