//! The layer at which a change begins.

use std::collections::BTreeMap;

use ndarray::ArrayView1;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::comparison::{pairs, Against, Pair};
use super::inference::changes;
use super::levels::Levels;
use super::metric::Metric;
use crate::condition::Condition;
use crate::hook::{Address, Site};
use crate::stats::{first_run, line_break, step_break, ClusterBootstrap, ClusteredMeans, Resampler, Settings};
use crate::{Error, Result};

/// Where over the layers of one site one instruction's change begins, by three rules.
///
/// A fitted break is always somewhere, also where nothing changes: read the fits only where the run was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Transition {
    /// Instruction and round.
    #[serde(flatten)]
    pub condition: Condition,
    /// The condition that was subtracted.
    pub against: Against,
    /// Metric.
    pub metric: Metric,
    /// The site's addresses in order of layer: the axis of the shares below.
    pub addresses: Vec<Address>,
    /// First of [`Transitions::consecutive`] layers in a row whose simultaneous intervals exclude 0 on the same side.
    pub run: Onset,
    /// First layer after the break of the best step: two constants, weighted by the layers' inverse variances.
    pub step: Onset,
    /// First layer after the break of the best broken line: constant, then straight.
    pub line: Onset,
}

/// A layer with its bootstrap distribution over item groups.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Onset {
    /// By the data as they are; `None` where no layer qualifies.
    pub address: Option<Address>,
    /// Share of the resamples in which each address is the onset.
    #[cfg_attr(feature = "schema", schemars(inner(range(min = 0.0, max = 1.0))))]
    pub shares: Vec<f64>,
    /// Share of the resamples without an onset.
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0, max = 1.0)))]
    pub none: f64,
    /// 2.5 % and 97.5 % quantiles among the resamples with one.
    pub interval: Option<[Address; 2]>,
}

/// Looks for transition layers.
///
/// The band of a site is simultaneous over its layers. In each resample the run is looked for anew, with the resample's
/// own means and standard errors and the band's critical value, and the fits are fitted anew.
///
/// ```
/// use probity::{level::{Metric, Transitions}, stats::Settings};
/// # fn run(levels: &probity::level::Levels) -> probity::Result<()> {
/// for found in Transitions::default().consecutive(3).find(levels, Settings::default(), Metric::ClassDistance)? {
///     println!("{}: {:?}", found.condition, found.run.address);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Transitions {
    consecutive: usize,
}

impl Default for Transitions {
    fn default() -> Self {
        Transitions { consecutive: 3 }
    }
}

impl Transitions {
    /// Sets how many layers in a row a run takes, default 3.
    pub fn consecutive(mut self, layers: usize) -> Self {
        self.consecutive = layers;
        self
    }

    /// Layers in a row that a run takes.
    pub fn run_length(&self) -> usize {
        self.consecutive
    }

    /// Looks at every change and every site that was read in at least as many layers as a run takes, and two.
    ///
    /// # Errors
    /// [`Error::Setting`], also for a run of 0 layers; [`Error::Mismatch`] for a metric that the levels do not have.
    pub fn find(&self, levels: &Levels, settings: Settings, metric: Metric) -> Result<Vec<Transition>> {
        self.find_with(levels, &Resampler::new(settings)?, metric)
    }

    /// [`Transitions::find`] with the resamples of a whole analysis.
    pub(crate) fn find_with(&self, levels: &Levels, resampler: &Resampler, metric: Metric) -> Result<Vec<Transition>> {
        if self.consecutive == 0 {
            return Err(Error::setting("consecutive", 0, "at least 1 layer"));
        }
        if !levels.metrics().contains(&metric) {
            return Err(Error::mismatch("levels", format!("they have no metric {metric}")));
        }
        let resamples = resampler.of(levels.groups())?;
        let mut sites: BTreeMap<(Site, Option<usize>), Vec<usize>> = BTreeMap::new();
        for (index, address) in levels.addresses().iter().enumerate().filter(|(_, address)| address.layer().is_some()) {
            sites.entry((address.site(), address.head_index())).or_default().push(index);
        }
        let mut found = Vec::new();
        for pair in pairs(levels) {
            for addresses in sites.values().filter(|addresses| addresses.len() >= self.consecutive.max(2)) {
                found.extend(self.at_site(levels, &resamples, pair, addresses, metric)?);
            }
        }
        Ok(found)
    }

    fn at_site(
        &self,
        levels: &Levels,
        resamples: &ClusterBootstrap,
        pair: Pair,
        indices: &[usize],
        metric: Metric,
    ) -> Result<Option<Transition>> {
        let read = |index: &&usize| levels.at(pair.condition, **index, metric).is_some();
        let columns: Vec<(Pair, usize)> = indices.iter().filter(read).map(|&index| (pair, index)).collect();
        if columns.len() < self.consecutive.max(2) {
            return Ok(None);
        }
        let means = ClusteredMeans::new(changes(levels, &columns, metric)?.t(), levels.groups())?;
        let studentised = resamples.studentised(&means)?;
        let all: Vec<usize> = (0..columns.len()).collect();
        let critical = studentised.bands(&all, resamples.level())?.critical;
        let weights: Vec<f64> = means.standard_errors().iter().map(|error| 1.0 / (error * error)).collect();
        let look = |values: ArrayView1<'_, f64>, errors: ArrayView1<'_, f64>| {
            let signs = values.iter().zip(errors).map(|(&value, &error)| match value.abs() > critical * error {
                true => value.signum() as i8,
                false => 0,
            });
            [
                first_run(signs, self.consecutive),
                step_break(values, &weights).map(|found| found.onset),
                line_break(values, &weights).map(|found| found.onset),
            ]
        };
        let observed = look(means.means().into(), means.standard_errors().into());
        let drawn_means = studentised.means();
        let drawn: Vec<[Option<usize>; 3]> = (0..drawn_means.nrows())
            .into_par_iter()
            .map(|draw| look(drawn_means.row(draw), studentised.errors().row(draw)))
            .collect();
        let addresses: Vec<Address> =
            columns.iter().filter_map(|&(_, index)| levels.addresses().get(index).copied()).collect();
        let onset = |rule: usize| Onset::new(&addresses, observed[rule], drawn.iter().map(|found| found[rule]));
        let arm = levels.design().arms().get(pair.condition);
        Ok(arm.map(|arm| Transition {
            condition: arm.condition.clone(),
            against: pair.against,
            metric,
            run: onset(0),
            step: onset(1),
            line: onset(2),
            addresses: addresses.clone(),
        }))
    }
}

impl Onset {
    fn new(addresses: &[Address], observed: Option<usize>, drawn: impl Iterator<Item = Option<usize>>) -> Onset {
        let (mut counts, mut none, mut draws) = (vec![0_usize; addresses.len()], 0_usize, 0_usize);
        for onset in drawn {
            draws += 1;
            match onset.and_then(|onset| counts.get_mut(onset)) {
                Some(count) => *count += 1,
                None => none += 1,
            }
        }
        let with = draws - none;
        let quantile = |q: f64| {
            let mut below = 0;
            let reaches = |&(_, &count): &(&Address, &usize)| {
                below += count;
                below as f64 >= q * with as f64 && below > 0
            };
            addresses.iter().zip(&counts).find(reaches).map(|(&address, _)| address)
        };
        let share = |count: usize| count as f64 / draws.max(1) as f64;
        Onset {
            address: observed.and_then(|onset| addresses.get(onset).copied()),
            interval: quantile(0.025).zip(quantile(0.975)).map(|(low, high)| [low, high]),
            none: share(none),
            shares: counts.iter().map(|&count| share(count)).collect(),
        }
    }
}
