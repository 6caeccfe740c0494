//! What may be said of many changes at once: simultaneous bands, adjusted p-values, equivalence, power, nulls.

use ndarray::Array2;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::mean_level::{mean_levels, LevelRow};
use super::null_places::{NullPlace, Nulls, PermutedProbes};
use super::pair::{check_null_draws, pairs, Pair};
use super::{Against, Condition, Levels, Metric};
use crate::dialogue::Reading;
use crate::hook::Address;
use crate::stats::{
    check_level, minimum_detectable, random_cosine_sd, student_upper_quantile, ClusterBootstrap, ClusteredMeans,
    Equivalence, FalseDiscovery, Interval, SignFlips,
};
use crate::{Error, Result};

/// Which changes share one joint statement; metrics never do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// All addresses (layers x sites) of one instruction in one round.
    #[default]
    Round,
    /// All addresses of one instruction in all its rounds.
    Instruction,
}

/// Tests the changes of every condition against round 0 and against the neutral instruction, over all addresses at once.
///
/// Everything is paired by item and clustered by item group. Bands are a studentised bootstrap of the maximum
/// ([`Studentised::bands`](crate::stats::Studentised::bands)), p-values sign flips with max-T ([`SignFlips`]), equivalence
/// and power Student's t. Metrics are tested side by side, without adjustment for their number: choose one beforehand.
///
/// ```
/// # use ndarray::Array2;
/// # use probity::capture::Activations;
/// # use probity::hook::Site;
/// # use probity::level::{Inference, Levels, Metric, RoundStates};
/// # use probity::probe::MeanDifferenceProbe;
/// # use probity::text::Labels;
/// # let states = |shift: f32| -> probity::Result<Activations> {
/// #     let mut activations = Activations::new((0..80).map(|i| i.to_string()));
/// #     let value = |i, j| if j == 0 { (i % 2) as f32 - shift * (i % 5) as f32 } else { (i * (j + 2) % 7) as f32 };
/// #     activations.insert(Site::ResidPost.at(0), Array2::from_shape_fn((80, 3), |(i, j)| value(i, j)))?;
/// #     Ok(activations)
/// # };
/// # let labels = Labels::ungrouped((0..80).map(|i| i % 2 == 1).collect());
/// # let bank = MeanDifferenceProbe::default().fit_all(&states(0.0)?, &labels)?;
/// # let (plain, asked) = (states(0.0)?, states(0.2)?);
/// # let rounds = [
/// #     RoundStates { instruction: "none", round: 0, activations: &plain },
/// #     RoundStates { instruction: "L1", round: 1, activations: &asked },
/// # ];
/// let levels = Levels::score(&rounds, &bank)?;
/// let tests = Inference::default().run(&levels)?;
/// let row = tests.rows.iter().find(|row| row.metric == Metric::Standardised).unwrap();
/// assert!(row.band.high < 0.0 && row.p_max_t < 0.01 && row.equivalence.unwrap().p > 0.05);
/// # Ok::<(), probity::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Inference {
    draws: usize,
    flips: usize,
    null_draws: usize,
    level: f64,
    margin: f64,
    power: f64,
    seed: u64,
    neutral: Option<String>,
    family: Family,
    false_discovery: FalseDiscovery,
    permuted: Option<PermutedProbes>,
}

impl Default for Inference {
    fn default() -> Self {
        Inference {
            draws: 2_000,
            flips: 2_000,
            null_draws: 1_000,
            level: 0.95,
            margin: 0.2,
            power: 0.8,
            seed: 0,
            neutral: None,
            family: Family::Round,
            false_discovery: FalseDiscovery::BenjaminiHochberg,
            permuted: None,
        }
    }
}

/// One change, with what may be said of it. Below 0 = less immoral.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChangeTest {
    /// Instruction.
    pub instruction: String,
    /// Round.
    pub round: usize,
    /// Which tokens the states stand for.
    pub span: Reading,
    /// Address.
    pub address: Address,
    /// Metric.
    pub metric: Metric,
    /// The condition that was subtracted.
    pub against: Against,
    /// Mean over the items of the paired difference, with its part of the family's simultaneous band.
    pub band: Interval,
    /// Standard error of the mean, clustered by item group; `None` with one group.
    pub standard_error: Option<f64>,
    /// Two-sided sign-flip p-value of this change alone.
    pub p: f64,
    /// Adjusted over the family by single-step max-T.
    pub p_max_t: f64,
    /// Adjusted over the family by step-down max-T.
    pub p_step_down: f64,
    /// False-discovery q-value over the family.
    pub q: f64,
    /// Tests against the margin; for the standardised metric, in whose unit the margin is.
    pub equivalence: Option<Equivalence>,
    /// The smallest change that a run like this finds, at this address alone, with the power asked for: what "no change
    /// found" does not rule out. `None` where no change would be found.
    pub detectable: Option<f64>,
    /// The same by the family's max-T.
    pub detectable_in_family: Option<f64>,
    /// 1/sqrt(d), the standard deviation of a single state's cosine with a random direction; for cosines.
    pub random_sd: Option<f64>,
    /// Its place among changes along other directions; for cosines and dot products, where the levels hold states.
    pub nulls: Vec<NullPlace>,
}

/// What [`Inference::run`] found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
    /// Bootstrap resamples.
    pub draws: usize,
    /// Sign flips: as asked, or all patterns where these are fewer.
    pub flips: usize,
    /// Level of the bands; 1 - level is that of the tests.
    pub level: f64,
    /// Margin of equivalence, in standard deviations of the training projections.
    pub margin: f64,
    /// Power of the detectable changes.
    pub power: f64,
    /// Seed.
    pub seed: u64,
}

impl Inference {
    /// Sets the bootstrap resamples, default 2,000.
    pub fn draws(mut self, draws: usize) -> Self {
        self.draws = draws;
        self
    }

    /// Sets the sign flips, default 2,000.
    pub fn flips(mut self, flips: usize) -> Self {
        self.flips = flips;
        self
    }

    /// Sets the directions of each null, at least and by default 1,000.
    pub fn null_draws(mut self, draws: usize) -> Self {
        self.null_draws = draws;
        self
    }

    /// Sets the level of the bands, default 0.95.
    pub fn level(mut self, level: f64) -> Self {
        self.level = level;
        self
    }

    /// Sets the margin of equivalence in standard deviations of the training projections, default 0.2. Set it before
    /// looking.
    pub fn margin(mut self, margin: f64) -> Self {
        self.margin = margin;
        self
    }

    /// Sets the power of the detectable changes, default 0.8.
    pub fn power(mut self, power: f64) -> Self {
        self.power = power;
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
        self.validate()?;
        let resamples = self.resamples(levels)?;
        let flips = SignFlips::new(resamples.clusters(), self.flips, self.seed)?;
        let pairs = self.pairs(levels);
        let nulls = Nulls::new(levels, &pairs, self.permuted.as_ref(), self.null_draws, self.seed)?;
        let mut rows = Vec::new();
        for family in self.families(levels, &pairs) {
            for &metric in levels.metrics() {
                self.test_family(levels, &family, metric, (&resamples, &flips, &nulls), &mut rows)?;
            }
        }
        Ok(ChangeTests {
            levels: mean_levels(levels, &resamples, self.level)?,
            rows,
            family: self.family,
            items: levels.items().len(),
            groups: resamples.clusters(),
            draws: self.draws,
            flips: flips.draws(),
            level: self.level,
            margin: self.margin,
            power: self.power,
            seed: self.seed,
        })
    }

    pub(super) fn validate(&self) -> Result<()> {
        check_null_draws(self.null_draws)?;
        check_level(self.level)?;
        if !(self.margin > 0.0 && self.margin.is_finite()) {
            return Err(Error::setting("margin", self.margin, "above 0, in standard deviations"));
        }
        if !(self.power > 0.0 && self.power < 1.0) {
            return Err(Error::setting("power", self.power, "above 0 and below 1, such as 0.8"));
        }
        Ok(())
    }

    pub(super) fn resamples(&self, levels: &Levels) -> Result<ClusterBootstrap> {
        ClusterBootstrap::new(levels.groups(), self.draws, self.seed)
    }

    /// Flips for the clusters of these resamples.
    pub(super) fn sign_flips(&self, clusters: usize) -> Result<SignFlips> {
        SignFlips::new(clusters, self.flips, self.seed)
    }

    pub(super) fn pairs(&self, levels: &Levels) -> Vec<Pair> {
        pairs(levels, self.neutral.as_deref())
    }

    pub(super) fn band_level(&self) -> f64 {
        self.level
    }

    pub(super) fn equivalence_margin(&self) -> f64 {
        self.margin
    }

    /// The smallest change, in standard errors, found beyond this critical value.
    pub(super) fn detectable(&self, clusters: usize, critical: f64) -> f64 {
        minimum_detectable(clusters as f64 - 1.0, critical, self.power)
    }

    /// Pairs by what shares a statement, in order.
    fn families(&self, levels: &Levels, pairs: &[Pair]) -> Vec<Vec<(usize, Pair)>> {
        let key = |pair: &Pair| {
            let condition = levels.conditions().get(pair.condition);
            let round = condition.filter(|_| self.family == Family::Round).map(|condition| condition.round);
            (condition.map(|condition| condition.instruction.as_str()), round, pair.against)
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
        (resamples, flips, nulls): (&ClusterBootstrap, &SignFlips, &Nulls),
        rows: &mut Vec<ChangeTest>,
    ) -> Result<()> {
        let places: Vec<(usize, Pair, usize)> = family
            .iter()
            .flat_map(|&(index, pair)| (0..levels.addresses().len()).map(move |address| (index, pair, address)))
            .collect();
        let columns: Vec<(Pair, usize)> = places.iter().map(|&(_, pair, address)| (pair, address)).collect();
        let means = ClusteredMeans::new(changes(levels, &columns, metric)?.t(), levels.groups())?;
        let all: Vec<usize> = (0..columns.len()).collect();
        let bands = resamples.studentised(&means)?.bands(&all, self.level)?;
        let test = flips.test(&means)?;
        let q = self.false_discovery.adjust(&test.p);
        let alpha = 1.0 - self.level;
        let alone = self.detectable(means.clusters(), student_upper_quantile(0.5 * alpha, means.degrees()));
        let in_family = self.detectable(means.clusters(), test.critical(alpha));
        for (column, (index, pair, address)) in places.into_iter().enumerate() {
            let Some((condition, name)) = labels(levels, pair.condition, address) else { continue };
            let error = Some(means.standard_errors()[column]).filter(|error| error.is_finite());
            let detectable = |errors: f64| error.map(|error| errors * error).filter(|change| change.is_finite());
            rows.push(ChangeTest {
                instruction: condition.instruction.clone(),
                round: condition.round,
                span: levels.span(),
                address: name,
                metric,
                against: pair.against,
                band: bands.intervals[column],
                standard_error: error,
                p: test.p[column],
                p_max_t: test.single_step[column],
                p_step_down: test.step_down[column],
                q: q[column],
                equivalence: (metric == Metric::Standardised).then(|| means.equivalence(column, self.margin)).flatten(),
                detectable: detectable(alone),
                detectable_in_family: detectable(in_family),
                random_sd: levels.width(address).filter(|_| metric == Metric::Cosine).map(random_cosine_sd),
                nulls: nulls.of(index, address, metric),
            });
        }
        Ok(())
    }
}

fn labels(levels: &Levels, condition: usize, address: usize) -> Option<(&Condition, Address)> {
    levels.conditions().get(condition).zip(levels.addresses().get(address).copied())
}

/// Differences of the items' levels, a row for each of `columns`, `[columns, n]`.
pub(super) fn changes(levels: &Levels, columns: &[(Pair, usize)], metric: Metric) -> Result<Array2<f64>> {
    let mut values = Array2::zeros((columns.len(), levels.items().len()));
    for (mut row, (pair, address)) in values.outer_iter_mut().zip(columns) {
        let sides = levels.at(pair.condition, *address, metric).zip(levels.at(pair.base, *address, metric));
        let (after, before) = sides.ok_or_else(|| Error::Mismatch {
            what: "levels".into(),
            problem: format!("they have no metric {metric}"),
        })?;
        row.iter_mut().zip(after).zip(before).for_each(|((value, after), before)| *value = after - before);
    }
    Ok(values)
}

/// Mean of columns, item by item.
pub(super) fn mean_row(rows: &Array2<f64>) -> Vec<f64> {
    let columns: Vec<_> = rows.columns().into_iter().collect();
    columns.par_iter().map(|column| column.sum() / rows.nrows().max(1) as f64).collect()
}
