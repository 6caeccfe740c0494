//! Choosing an instruction by the level of the hidden states, before anything is generated.

use std::collections::BTreeSet;

use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use super::levels::Levels;
use super::metric::Metric;
use crate::condition::{Condition, Role};
use crate::error::check_rows;
use crate::stats::{kendall_tau, mean, rng, sum_of_products, Interval, Resampler, Settings, Spearman};
use crate::task::Outcome;
use crate::{Error, Result};

/// Ranks candidate instructions by the level of immorality on some of the items and compares that with what they gain on
/// the others (the second finding of arXiv 2407.15286: the level tells which of two instructions works better).
///
/// The level is the mean standardised projection at the prompt's last token over the valid addresses ([`Levels::valid`]);
/// lower ranks first. The items are divided by groups at random: levels are taken on the one part, gains in behaviour over
/// round 0 on the other, so that no item speaks for both. All candidates have the same items.
///
/// ```
/// use probity::level::{InstructionSelection, Levels};
/// # fn run(levels: &Levels, outcome: &probity::task::Outcome) -> probity::Result<()> {
/// let found = InstructionSelection::default().items(20).run(levels, outcome, 1)?;
/// println!("picked {}, regret {:.3} (at random {:.3})", found.picked, found.regret, found.regret_at_random);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[must_use]
pub struct InstructionSelection {
    items: usize,
    settings: Settings,
}

impl Default for InstructionSelection {
    fn default() -> Self {
        InstructionSelection { items: 20, settings: Settings::default() }
    }
}

/// A candidate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Candidate {
    /// Name of the instruction.
    pub instruction: String,
    /// Mean level on the items that chose, in training standard deviations.
    pub level: f64,
    /// Gain in behaviour over round 0 on the other items, with its interval over groups
    /// ([`ClusterBootstrap::gain`](crate::stats::ClusterBootstrap::gain)).
    pub gain: Interval,
}

/// How well the level chooses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct InstructionRanking {
    /// The candidates, by rising level.
    pub candidates: Vec<Candidate>,
    /// The round.
    pub round: usize,
    /// Items whose levels chose.
    pub items_to_choose: usize,
    /// Items on which gains were measured.
    pub items_to_gain: usize,
    /// Spearman's correlation over candidates of minus level with gain; `None` where one side does not vary.
    #[cfg_attr(feature = "schema", schemars(range(min = -1.0, max = 1.0)))]
    pub spearman: Option<f64>,
    /// Kendall's tau-b over candidates of minus level with gain.
    #[cfg_attr(feature = "schema", schemars(range(min = -1.0, max = 1.0)))]
    pub kendall: Option<f64>,
    /// Two-sided p-value of Spearman's correlation by permuting the candidates, (1 + as far) / (1 + permutations).
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0, max = 1.0)))]
    pub p: Option<f64>,
    /// The least |correlation| that is found at 5 % among so many candidates, by the same permutations; `None` where even a
    /// perfect one is not.
    pub found_from: Option<f64>,
    /// Least and largest Spearman's correlation with one candidate left out.
    pub leave_one_out: Option<[f64; 2]>,
    /// The candidate of the lowest level.
    pub picked: String,
    /// The largest gain minus that of the picked candidate, in the outcome's unit; 0 = the best was picked.
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0)))]
    pub regret: f64,
    /// Its interval over groups of the items that gains are measured on, with the same candidate picked; the largest gain is found
    /// anew in every resample, which makes a regret of 0 look larger than it is.
    pub regret_interval: Interval,
    /// What picking at random would miss on average.
    pub regret_at_random: f64,
    /// Mean regret where one candidate at a time is left out.
    pub regret_leave_one_out: f64,
}

impl InstructionSelection {
    /// Sets the items whose levels choose, default 20; groups stay together, so that it may be a few more.
    pub fn items(mut self, items: usize) -> Self {
        self.items = items;
        self
    }

    /// Sets draws and seed. Default: [`Settings::default`].
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// Ranks all studied instructions that have this round.
    ///
    /// # Errors
    /// [`Error::Setting`] for fewer than 3 candidates, levels without a valid probe, too few items for both parts, and
    /// draws out of range; [`Error::Mismatch`] where levels and outcome are of other items.
    pub fn run(&self, levels: &Levels, outcome: &Outcome, round: usize) -> Result<InstructionRanking> {
        self.run_with(levels, outcome, round, &Resampler::new(self.settings)?)
    }

    /// [`InstructionSelection::run`] with the resamples of a whole analysis.
    pub(crate) fn run_with(
        &self,
        levels: &Levels,
        outcome: &Outcome,
        round: usize,
        resampler: &Resampler,
    ) -> Result<InstructionRanking> {
        if outcome.items != levels.items() {
            let problem = "it is of other items than the levels".to_owned();
            return Err(Error::mismatch("outcome", problem));
        }
        if levels.valid().is_empty() {
            return Err(Error::setting("probes", "none valid", "a probe that tells immoral from moral"));
        }
        let (choose, gain) = self.parts(levels)?;
        let groups: Vec<&str> = gain.iter().filter_map(|&row| levels.groups().get(row).map(String::as_str)).collect();
        let resamples = resampler.of(&groups)?;
        let plain = outcome.series(&Condition::plain());
        let plain = plain.ok_or_else(|| Error::setting("outcome", "without round 0", "measured in round 0 too"))?;
        let (mut candidates, mut of_items) = (Vec::new(), Vec::new());
        let studied = levels.design().arms().iter().filter(|arm| arm.role == Role::Studied);
        for condition in studied.map(|arm| &arm.condition).filter(|condition| condition.round == round) {
            let Some(after) = outcome.series(condition) else { continue };
            for series in [plain, after] {
                check_rows("outcomes", series.len(), levels.items().len())?;
            }
            let gains: Vec<f64> = gain.iter().map(|&row| after[row] - plain[row]).collect();
            let level = level_of(levels, condition, &choose);
            candidates.push(Candidate { instruction: condition.name(), level, gain: resamples.gain(&gains)? });
            of_items.push((level, gains));
        }
        if candidates.len() < 3 {
            let expected = "at least 3 instructions that are not neutral: of fewer there is nothing to rank";
            return Err(Error::setting("instructions", candidates.len(), expected));
        }
        candidates.sort_by(|a, b| a.level.total_cmp(&b.level));
        of_items.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        let regret = resamples.statistic(|weights| {
            let mean = |gains: &Vec<f64>| sum_of_products(weights, gains) / weights.iter().sum::<f64>();
            let gains: Vec<f64> = of_items.iter().map(|(_, gains)| mean(gains)).collect();
            Some(gains.iter().copied().fold(f64::NEG_INFINITY, f64::max) - gains.first()?)
        });
        let ranked = self.ranked(candidates, round, choose.len(), gain.len());
        Ok(match regret {
            Some(found) => InstructionRanking { regret_interval: found.interval, ..ranked },
            None => ranked,
        })
    }

    /// Rows of the two parts, whole groups each.
    fn parts(&self, levels: &Levels) -> Result<(Vec<usize>, Vec<usize>)> {
        let mut groups: Vec<&str> =
            levels.groups().iter().map(String::as_str).collect::<BTreeSet<_>>().into_iter().collect();
        groups.shuffle(&mut rng(self.settings.seed, "instruction selection"));
        let (mut choose, mut chosen) = (Vec::new(), BTreeSet::new());
        for group in groups {
            if choose.len() >= self.items {
                break;
            }
            chosen.insert(group);
            choose.extend((0..levels.items().len()).filter(|&row| levels.groups()[row] == group));
        }
        let rest: Vec<usize> =
            (0..levels.items().len()).filter(|&row| !chosen.contains(levels.groups()[row].as_str())).collect();
        if choose.is_empty() || rest.is_empty() {
            let expected = format!("at least 1, and fewer than leave none of {} to measure on", levels.items().len());
            return Err(Error::setting("items", self.items, expected));
        }
        Ok((choose, rest))
    }

    fn ranked(
        &self,
        candidates: Vec<Candidate>,
        round: usize,
        items_to_choose: usize,
        items_to_gain: usize,
    ) -> InstructionRanking {
        let promise: Vec<f64> = candidates.iter().map(|candidate| -candidate.level).collect();
        let gains: Vec<f64> = candidates.iter().map(|candidate| candidate.gain.estimate).collect();
        let spearman = |x: &[f64], y: &[f64]| Spearman::new(x, y).and_then(|ranks| ranks.correlation());
        let observed = spearman(&promise, &gains);
        let mut drawn = Vec::new();
        if observed.is_some() {
            let (mut shuffled, mut rng) =
                (gains.clone(), rng(self.settings.seed, "instruction selection permutations"));
            drawn.extend((0..self.settings.draws).filter_map(|_| {
                shuffled.shuffle(&mut rng);
                spearman(&promise, &shuffled).map(f64::abs)
            }));
            drawn.sort_by(f64::total_cmp);
        }
        // Rounding must not make a tie fall short.
        let p_of = |correlation: f64| {
            let as_far = drawn.len() - drawn.partition_point(|&drawn| drawn < correlation.abs() - 1e-12);
            (1 + as_far) as f64 / (1 + self.settings.draws) as f64
        };
        let p = observed.map(p_of);
        // The least correlation seen whose own p-value is small enough; where there is none, more than perfect.
        let found_from =
            observed.map(|_| drawn.iter().copied().find(|&seen| p_of(seen) <= 0.05).unwrap_or(f64::INFINITY));
        let without = |values: &[f64], out: usize| -> Vec<f64> {
            values.iter().enumerate().filter(|(place, _)| *place != out).map(|(_, &value)| value).collect()
        };
        let left_out: Vec<f64> =
            (0..gains.len()).filter_map(|out| spearman(&without(&promise, out), &without(&gains, out))).collect();
        let ends = left_out.iter().copied().reduce(f64::min).zip(left_out.iter().copied().reduce(f64::max));
        // The candidates stand by rising level: the first is picked.
        let regret = |gains: &[f64]| {
            gains.iter().copied().fold(f64::NEG_INFINITY, f64::max) - gains.first().copied().unwrap_or(0.0)
        };
        let best = gains.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let worst = gains.iter().copied().fold(f64::INFINITY, f64::min);
        let regrets: Vec<f64> = (0..gains.len()).map(|out| regret(&without(&gains, out))).collect();
        InstructionRanking {
            round,
            items_to_choose,
            items_to_gain,
            spearman: observed,
            kendall: kendall_tau(&promise, &gains),
            p,
            found_from: found_from.filter(|from| from.is_finite()),
            leave_one_out: ends.map(|(low, high)| [low, high]),
            picked: candidates.first().map(|first| first.instruction.clone()).unwrap_or_default(),
            regret: regret(&gains),
            regret_interval: Interval { estimate: regret(&gains), low: 0.0, high: best - worst },
            regret_at_random: best - mean(&gains),
            regret_leave_one_out: mean(&regrets),
            candidates,
        }
    }
}

fn level_of(levels: &Levels, condition: &Condition, rows: &[usize]) -> f64 {
    let of_address = |&address: &_| {
        let series = levels.series(condition, address, Metric::ClassDistance).unwrap_or_default();
        mean(&rows.iter().filter_map(|&row| series.get(row).copied()).collect::<Vec<f64>>())
    };
    mean(&levels.valid().iter().map(of_address).collect::<Vec<f64>>())
}
