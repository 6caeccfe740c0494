//! What may be said of many changes at once: simultaneous bands, adjusted p-values, equivalence, power, nulls.

use ndarray::Array2;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::comparison::{pairs, Against, Pair};
use super::levels::Levels;
use super::mean_level::{mean_levels, LevelRow};
use super::metric::Metric;
use super::null_places::{NullPlace, Nulls, PermutedProbes};
use super::sources::{Owed, Sources};
use crate::condition::Condition;
use crate::dialogue::Reading;
use crate::hook::Address;
use crate::stats::{
    minimum_detectable, random_cosine_sd, student_upper_quantile, ClusterBootstrap, ClusteredMeans, Equivalence,
    FalseDiscovery, Interval, Resampler, Settings, SignFlips, Tail,
};
use crate::{Error, Result};

/// Which changes share one joint statement; metrics never do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// All addresses (layers x sites) of one instruction in one round.
    #[default]
    Round,
    /// All addresses of one instruction in all its rounds.
    Instruction,
}

/// Tests the changes of every condition against round 0 and against its control, over all addresses at once.
///
/// Everything is paired by item and clustered by item group. Bands are a studentised bootstrap of the maximum
/// ([`Studentised::bands`](crate::stats::Studentised::bands)), p-values sign flips with max-T ([`SignFlips`]), equivalence
/// and power Student's t. Metrics are tested side by side, without adjustment for their number: choose one beforehand.
///
/// ```
/// # use ndarray::Array2;
/// # use probity::capture::Activations;
/// # use probity::hook::Site;
/// # use probity::level::{Inference, Levels, Metric};
/// # use probity::{Condition, Design};
/// # use probity::{probe::MeanDifferenceProbe, text::Labels};
/// # let states = |shift: f32| -> probity::Result<Activations> {
/// #     let mut activations = Activations::new((0..80).map(|i| i.to_string()));
/// #     let value = |i, j| if j == 0 { (i % 2) as f32 - shift * (i % 5) as f32 } else { (i * (j + 2) % 7) as f32 };
/// #     activations.insert(Site::ResidPost.at(0), Array2::from_shape_fn((80, 3), |(i, j)| value(i, j)))?;
/// #     Ok(activations)
/// # };
/// # let labels = Labels::ungrouped((0..80).map(|i| i % 2 == 1).collect());
/// # let bank = MeanDifferenceProbe::default().fit_all(&states(0.0)?, &labels)?;
/// # let (plain, asked) = (states(0.0)?, states(0.2)?);
/// let design = Design::new([Condition::plain(), Condition::new("L1", 1)])?;
/// let levels = Levels::score(&design, &[&plain, &asked], &bank)?;
/// let tests = Inference::default().run(&levels)?;
/// let row = tests.rows.iter().find(|row| row.metric == Metric::ClassDistance).unwrap();
/// assert!(row.band.high < 0.0 && row.p_max_t < 0.01 && row.equivalence.unwrap().p > 0.05);
/// # Ok::<(), probity::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct Inference {
    settings: Settings,
    family: Family,
    false_discovery: FalseDiscovery,
    permuted: Option<PermutedProbes>,
}

/// One change, with what may be said of it. Below 0 = less immoral.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct ChangeTest {
    /// Instruction and round.
    #[serde(flatten)]
    pub condition: Condition,
    /// Which tokens the states stand for.
    pub reading: Reading,
    /// Address.
    pub address: Address,
    /// Metric.
    pub metric: Metric,
    /// The condition that was subtracted.
    pub against: Against,
    /// Mean over the items of the paired difference, with its part of the family's simultaneous band.
    pub band: Interval,
    /// Standard error of the mean, clustered by item group, with what the probes' texts leave open for class distances; `None`
    /// with one group.
    pub standard_error: Option<f64>,
    /// Two-sided sign-flip p-value of this change alone.
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0, max = 1.0)))]
    pub p: f64,
    /// Adjusted over the family by single-step max-T.
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0, max = 1.0)))]
    pub p_max_t: f64,
    /// Adjusted over the family by step-down max-T.
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0, max = 1.0)))]
    pub p_step_down: f64,
    /// False-discovery q-value over the family.
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0, max = 1.0)))]
    pub q: f64,
    /// Tests against the margin; for class distances, in which the margin is.
    pub equivalence: Option<Equivalence>,
    /// The smallest change that a run like this finds, at this address alone, with the power asked for: what "no change
    /// found" does not rule out. `None` where no change would be found.
    pub detectable: Option<f64>,
    /// The smallest change that a run like this finds by the family's max-T.
    pub detectable_in_family: Option<f64>,
    /// 1/sqrt(d), the standard deviation of a single state's cosine with a random direction; for cosines.
    pub random_sd: Option<f64>,
    /// Its place among changes along other directions; for cosines and dot products, where the levels hold states.
    pub nulls: Vec<NullPlace>,
}

/// What [`Inference::run`] found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ChangeTests {
    /// Mean levels, by address, then condition, then metric.
    pub levels: Vec<LevelRow>,
    /// The changes, by family, then metric, then condition and address.
    pub rows: Vec<ChangeTest>,
    /// What shares one joint statement.
    pub family: Family,
    /// Items.
    pub items: usize,
    /// Item groups, the unit of resampling. Below some 10 little can be said, below 5 hardly a band is bounded.
    pub groups: usize,
    /// The settings, with the sign flips that there were: as asked, or all patterns where these are fewer.
    pub settings: Settings,
}

/// What is drawn once for all families.
struct Drawn<'a> {
    settings: &'a Settings,
    resamples: &'a ClusterBootstrap,
    flips: &'a SignFlips,
    nulls: &'a Nulls,
}

impl Inference {
    /// Tests by these settings.
    pub fn new(settings: Settings) -> Self {
        Inference { settings, ..Inference::default() }
    }

    /// Sets what shares one joint statement, default [`Family::Round`].
    pub fn family(mut self, family: Family) -> Self {
        self.family = family;
        self
    }

    /// Sets how q-values are made, default Benjamini and Hochberg.
    pub fn false_discovery(mut self, method: FalseDiscovery) -> Self {
        self.false_discovery = method;
        self
    }

    /// Adds the null of probes that were fitted on permuted labels.
    pub fn permuted_probes(mut self, probes: PermutedProbes) -> Self {
        self.permuted = Some(probes);
        self
    }

    /// Tests every change.
    ///
    /// # Errors
    /// [`Error::Setting`] for settings out of range; [`Error::Mismatch`] for permuted probes of another width.
    pub fn run(&self, levels: &Levels) -> Result<ChangeTests> {
        self.run_with(levels, &Resampler::new(self.settings)?)
    }

    /// [`Inference::run`] with the resamples of a whole analysis.
    pub(crate) fn run_with(&self, levels: &Levels, resampler: &Resampler) -> Result<ChangeTests> {
        let settings = resampler.settings();
        let resamples = resampler.of(levels.groups())?;
        let flips = resampler.flips(resamples.clusters())?;
        let pairs = pairs(levels);
        let nulls = Nulls::new(levels, &pairs, self.permuted.as_ref(), settings.null_draws, settings.seed)?;
        let drawn = Drawn { settings, resamples: &resamples, flips: &flips, nulls: &nulls };
        let mut rows = Vec::new();
        for family in self.families(levels, &pairs) {
            for &metric in levels.metrics() {
                self.test_family(levels, &family, metric, &drawn, &mut rows)?;
            }
        }
        Ok(ChangeTests {
            levels: mean_levels(levels, &resamples)?,
            rows,
            family: self.family,
            items: levels.items().len(),
            groups: resamples.clusters(),
            settings: settings.flips(flips.draws()),
        })
    }

    /// Pairs by what shares a statement, in order.
    fn families(&self, levels: &Levels, pairs: &[Pair]) -> Vec<Vec<(usize, Pair)>> {
        let key = |pair: &Pair| {
            let condition = levels.design().arms().get(pair.condition).map(|arm| &arm.condition);
            let round = condition.filter(|_| self.family == Family::Round).map(|condition| condition.round);
            (condition.map(|condition| (&condition.instruction, &condition.then)), round, pair.against)
        };
        let mut families: Vec<Vec<(usize, Pair)>> = Vec::new();
        for (index, pair) in pairs.iter().enumerate() {
            match families.iter_mut().find(|family| family.first().is_some_and(|(_, first)| key(first) == key(pair))) {
                Some(family) => family.push((index, *pair)),
                None => families.push(vec![(index, *pair)]),
            }
        }
        families
    }

    fn test_family(
        &self,
        levels: &Levels,
        family: &[(usize, Pair)],
        metric: Metric,
        drawn: &Drawn<'_>,
        rows: &mut Vec<ChangeTest>,
    ) -> Result<()> {
        let places: Vec<(usize, Pair, usize)> = family
            .iter()
            .flat_map(|&(index, pair)| (0..levels.addresses().len()).map(move |address| (index, pair, address)))
            .filter(|&(_, pair, address)| levels.at(pair.condition, address, metric).is_some())
            .collect();
        if places.is_empty() {
            return Ok(());
        }
        let columns: Vec<(Pair, usize)> = places.iter().map(|&(_, pair, address)| (pair, address)).collect();
        let Settings { level, margin, power, .. } = *drawn.settings;
        let means = ClusteredMeans::new(changes(levels, &columns, metric)?.t(), levels.groups())?;
        let all: Vec<usize> = (0..columns.len()).collect();
        let owed = Some(&columns).filter(|_| metric == Metric::ClassDistance);
        let (bands, errors) = match owed.and_then(|columns| Owed::of_pairs(levels, columns)) {
            None => {
                let bands = drawn.resamples.studentised(&means)?.bands(&all, level)?;
                (bands.intervals, means.standard_errors().to_vec())
            }
            Some(owed) => {
                let sources = Sources::new(&means, drawn.resamples, owed, drawn.settings.seed)?;
                let critical = sources.critical(&all, level, Tail::Both);
                let bands = all.iter().map(|&column| sources.interval(column, critical, critical)).collect();
                (bands, sources.standard_errors().to_vec())
            }
        };
        let test = drawn.flips.test(&means)?;
        let q = self.false_discovery.adjust(&test.p);
        let alpha = 1.0 - level;
        let found_beyond = |critical: f64| minimum_detectable(means.clusters() as f64 - 1.0, critical, power);
        let alone = found_beyond(student_upper_quantile(0.5 * alpha, means.degrees()));
        let in_family = found_beyond(test.critical(alpha));
        for (column, (index, pair, address)) in places.into_iter().enumerate() {
            let Some((condition, name)) = labels(levels, pair.condition, address) else { continue };
            let error = Some(errors[column]).filter(|error| error.is_finite());
            let detectable = |errors: f64| error.map(|error| errors * error).filter(|change| change.is_finite());
            rows.push(ChangeTest {
                condition: condition.clone(),
                reading: levels.reading(),
                address: name,
                metric,
                against: pair.against,
                band: bands[column],
                standard_error: error,
                p: test.p[column],
                p_max_t: test.single_step[column],
                p_step_down: test.step_down[column],
                q: q[column],
                equivalence: match metric {
                    Metric::ClassDistance => {
                        Equivalence::new(means.means()[column], errors[column], means.degrees(), margin)
                    }
                    _ => None,
                },
                detectable: detectable(alone),
                detectable_in_family: detectable(in_family),
                random_sd: levels.width(address).filter(|_| metric == Metric::Cosine).map(random_cosine_sd),
                nulls: drawn.nulls.of(index, address, metric),
            });
        }
        Ok(())
    }
}

fn labels(levels: &Levels, condition: usize, address: usize) -> Option<(&Condition, Address)> {
    let condition = levels.design().arms().get(condition).map(|arm| &arm.condition);
    condition.zip(levels.addresses().get(address).copied())
}

/// Differences of the items' levels, a row for each of `columns`, `[columns, n]`.
pub(super) fn changes(levels: &Levels, columns: &[(Pair, usize)], metric: Metric) -> Result<Array2<f64>> {
    let mut values = Array2::zeros((columns.len(), levels.items().len()));
    for (mut row, (pair, address)) in values.outer_iter_mut().zip(columns) {
        let sides = levels.at(pair.condition, *address, metric).zip(levels.at(pair.base, *address, metric));
        let (after, before) =
            sides.ok_or_else(|| Error::mismatch("levels", format!("they have no metric {metric}")))?;
        row.iter_mut().zip(after).zip(before).for_each(|((value, after), before)| *value = after - before);
    }
    Ok(values)
}

/// Mean of columns, item by item.
pub(super) fn mean_row(rows: &Array2<f64>) -> Vec<f64> {
    let columns: Vec<_> = rows.columns().into_iter().collect();
    columns.par_iter().map(|column| column.sum() / rows.nrows().max(1) as f64).collect()
}
