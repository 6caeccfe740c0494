//! Which of two instructions works better, and whether the level of the hidden states tells more of it than their words do.

use std::collections::BTreeMap;

use ndarray::Array2;
use serde::{Deserialize, Serialize};

use super::levels::Levels;
use super::metric::Metric;
use super::words::WordsPredictor;
use crate::condition::Role;
use crate::dialogue::{PromptCell, Specificity};
use crate::hook::Address;
use crate::stats::{mean, ClusterBootstrap, ClusteredMeans, Interval, Resampler, Settings};
use crate::task::Outcome;
use crate::{Error, Result};

/// Groups of items below which no share of cases is given.
const MIN_GROUPS: usize = 10;

/// Which pairs of instructions are meant. Specificities are those of the grid's cells ([`PromptCell`]); instructions of
/// one's own have none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PairKind {
    /// All.
    All,
    /// Of different specificity, such as L0 and L2.
    BetweenSpecificities,
    /// Both L0: wordings of one level.
    WithinL0,
    /// Both L1.
    WithinL1,
    /// Both L2.
    WithinL2,
}

impl PairKind {
    /// Every kind.
    pub const ALL: [PairKind; 5] =
        [PairKind::All, PairKind::BetweenSpecificities, PairKind::WithinL0, PairKind::WithinL1, PairKind::WithinL2];

    /// The kind in words.
    pub fn name(self) -> &'static str {
        match self {
            PairKind::All => "all pairs",
            PairKind::BetweenSpecificities => "pairs of different specificity",
            PairKind::WithinL0 => "pairs of L0 wordings",
            PairKind::WithinL1 => "pairs of L1 wordings",
            PairKind::WithinL2 => "pairs of L2 wordings",
        }
    }

    fn holds(self, pair: [Option<Specificity>; 2]) -> bool {
        let both = |level| pair == [Some(level); 2];
        match self {
            PairKind::All => true,
            PairKind::BetweenSpecificities => pair[0].is_some() && pair[1].is_some() && pair[0] != pair[1],
            PairKind::WithinL0 => both(Specificity::L0),
            PairKind::WithinL1 => both(Specificity::L1),
            PairKind::WithinL2 => both(Specificity::L2),
        }
    }
}

/// How often the level at one address foretells the better instruction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct AddressPairs {
    /// The address.
    pub address: Address,
    /// Share of concordant cases; 0.5 is chance. The interval holds for all addresses at once.
    pub share: Interval,
    /// This share minus that of the words predictor which does best in these cases, in whichever direction; the interval holds
    /// for all addresses at once. `None` where the instructions' words are not known.
    pub beyond_words: Option<Interval>,
}

/// How often words foretell the better instruction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct WordsPairs {
    /// What they are read for.
    pub predictor: WordsPredictor,
    /// Share of concordant cases, a tie counting one half; with the interval of this share alone.
    pub share: Interval,
}

/// The pairs of one kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct PairsOfKind {
    /// Which pairs.
    pub kind: PairKind,
    /// Pairs of instructions.
    pub pairs: usize,
    /// Cases: a pair and an item that it answers better with one of the two than with the other.
    pub cases: usize,
    /// Groups of items that cases are of, which are resampled.
    pub groups: usize,
    /// Each address with its levels.
    pub addresses: Vec<AddressPairs>,
    /// Each words-only predictor; none where the instructions' words are not known.
    pub words: Vec<WordsPairs>,
}

/// Which of two instructions works better, item by item (the second finding of arXiv 2407.15286).
///
/// A case is a pair of studied instructions and an item whose answer is better with one of them. It is concordant at an address
/// if the state after that instruction's prompt, before anything is generated, has the lower level. Pairs that answer an item
/// equally well say nothing. Cases are resampled by group of items. A constant difference between two instructions' states
/// foretells as well as one of each item: compare with what the words alone foretell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct PairwiseEffectiveness {
    /// The round.
    pub round: usize,
    /// What levels are compared in: class distances, or cosines where there are none.
    pub metric: Metric,
    /// The instructions, in the order of the design.
    pub instructions: Vec<String>,
    /// All pairs, then those kinds that the instructions have and 10 groups of items speak on.
    pub kinds: Vec<PairsOfKind>,
}

/// One instruction among the candidates.
struct Candidate<'a> {
    name: String,
    condition: usize,
    outcome: &'a [f64],
    specificity: Option<Specificity>,
    text: Option<&'a str>,
}

/// A pair and an item: the row, the two candidates, whether the first answered better.
struct Case {
    row: usize,
    pair: [usize; 2],
    first_better: bool,
}

impl Case {
    /// 1 if the higher of two promises goes with the better answer, 0 if the lower, one half for a tie.
    fn concordant(&self, promise: [f64; 2]) -> f64 {
        match promise[0].total_cmp(&promise[1]) {
            _ if promise[0] == promise[1] => 0.5,
            order => f64::from(u8::from(order.is_gt() == self.first_better)),
        }
    }
}

impl PairwiseEffectiveness {
    /// Compares all pairs of studied instructions that have this round. `texts` are the words of each instruction by its name,
    /// as far as they are known. `None` with fewer than two instructions, or where fewer than 10 groups of items tell any two apart.
    ///
    /// # Errors
    /// [`Error::Mismatch`] where levels and outcome are of other items; [`Error::Setting`] for settings out of range.
    pub fn of(
        levels: &Levels,
        outcome: &Outcome,
        texts: &BTreeMap<String, String>,
        round: usize,
        settings: Settings,
    ) -> Result<Option<Self>> {
        PairwiseEffectiveness::with(levels, outcome, texts, round, &Resampler::new(settings)?)
    }

    /// [`PairwiseEffectiveness::of`] with the resamples of a whole analysis.
    pub(crate) fn with(
        levels: &Levels,
        outcome: &Outcome,
        texts: &BTreeMap<String, String>,
        round: usize,
        resampler: &Resampler,
    ) -> Result<Option<Self>> {
        if outcome.items != levels.items() {
            return Err(Error::mismatch("outcome", "it is of other items than the levels"));
        }
        let arms = levels.design().arms().iter().enumerate();
        let studied = arms.filter(|(_, arm)| arm.role == Role::Studied && arm.condition.round == round);
        let candidate = |(condition, arm): (usize, &crate::Arm)| {
            let name = arm.condition.name();
            Some(Candidate {
                condition,
                outcome: outcome.series(&arm.condition)?,
                specificity: name.parse::<PromptCell>().ok().map(|cell| cell.specificity),
                text: texts.get(&name).map(String::as_str),
                name,
            })
        };
        let candidates: Vec<Candidate<'_>> = studied.filter_map(candidate).collect();
        let metric = match levels.metrics().contains(&Metric::ClassDistance) {
            true => Metric::ClassDistance,
            false => Metric::Cosine,
        };
        let pairing = Pairing { levels, candidates: &candidates, metric, resampler };
        let mut kinds = Vec::new();
        for kind in PairKind::ALL {
            let Some(found) = pairing.of_kind(kind)? else { continue };
            // What is all pairs is told once.
            if kinds.first().is_none_or(|all: &PairsOfKind| all.pairs != found.pairs) {
                kinds.push(found);
            }
        }
        let instructions = candidates.iter().map(|candidate| candidate.name.clone()).collect();
        let found = kinds.first().is_some_and(|first| first.kind == PairKind::All);
        Ok(found.then_some(PairwiseEffectiveness { round, metric, instructions, kinds }))
    }

    /// The pairs of a kind, if there are enough.
    pub fn kind(&self, kind: PairKind) -> Option<&PairsOfKind> {
        self.kinds.iter().find(|found| found.kind == kind)
    }
}

/// What pairs are made of.
struct Pairing<'a> {
    levels: &'a Levels,
    candidates: &'a [Candidate<'a>],
    metric: Metric,
    resampler: &'a Resampler,
}

impl Pairing<'_> {
    fn of_kind(&self, kind: PairKind) -> Result<Option<PairsOfKind>> {
        let (mut cases, mut pairs) = (Vec::new(), 0);
        for (a, first) in self.candidates.iter().enumerate() {
            for (b, second) in self.candidates.iter().enumerate().skip(a + 1) {
                if !kind.holds([first.specificity, second.specificity]) {
                    continue;
                }
                pairs += 1;
                let rows = first.outcome.iter().zip(second.outcome).enumerate();
                cases.extend(rows.filter(|(_, (one, other))| one != other).map(|(row, (one, other))| Case {
                    row,
                    pair: [a, b],
                    first_better: one > other,
                }));
            }
        }
        let groups: Vec<String> = cases.iter().filter_map(|case| self.levels.groups().get(case.row).cloned()).collect();
        if groups.is_empty() {
            return Ok(None);
        }
        let clusters = self.resampler.of(&groups)?.clusters();
        if clusters < MIN_GROUPS {
            return Ok(None);
        }
        let (addresses, concordant) = self.by_address(&cases);
        let words = self.by_words(&cases);
        let known = words.iter().max_by(|a, b| foretold(&a.1).total_cmp(&foretold(&b.1)));
        let baseline: Option<Vec<f64>> = known.map(|(_, of_case)| match mean(of_case) < 0.5 {
            true => of_case.iter().map(|value| 1.0 - value).collect(),
            false => of_case.clone(),
        });
        let shares = self.shares(&concordant, &groups)?;
        let beyond = match &baseline {
            Some(baseline) => {
                let minus = |column: &Vec<f64>| column.iter().zip(baseline).map(|(own, words)| own - words).collect();
                Some(self.bands(&concordant.iter().map(minus).collect::<Vec<_>>(), &groups)?)
            }
            None => None,
        };
        let within = |band: Interval| Interval { low: band.low.max(-1.0), high: band.high.min(1.0), ..band };
        let addresses = addresses.into_iter().zip(shares).enumerate().map(|(place, (address, share))| AddressPairs {
            address,
            share,
            beyond_words: beyond.as_ref().and_then(|beyond| beyond.get(place).copied().map(within)),
        });
        let resamples = self.resampler.of(&groups)?;
        let of_words = |(predictor, of_case): &(WordsPredictor, Vec<f64>)| {
            let alone = resamples.mean(of_case)?;
            let share = if alone.low < alone.high { alone } else { share(of_case, &resamples)? };
            Ok(WordsPairs { predictor: *predictor, share })
        };
        Ok(Some(PairsOfKind {
            kind,
            pairs,
            cases: cases.len(),
            groups: clusters,
            addresses: addresses.collect(),
            words: words.iter().map(of_words).collect::<Result<_>>()?,
        }))
    }

    /// Every address with levels of all candidates, and whether each case is concordant there, `[addresses][cases]`.
    fn by_address(&self, cases: &[Case]) -> (Vec<Address>, Vec<Vec<f64>>) {
        let of_address = |(index, &address): (usize, &Address)| {
            let series: Option<Vec<&[f64]>> =
                self.candidates.iter().map(|own| self.levels.at(own.condition, index, self.metric)).collect();
            let series = series?;
            let level = |candidate: usize, row: usize| series.get(candidate)?.get(row).copied();
            let concordant = |case: &Case| {
                let [one, other] = case.pair;
                Some(case.concordant([-level(one, case.row)?, -level(other, case.row)?]))
            };
            Some((address, cases.iter().map(concordant).collect::<Option<Vec<f64>>>()?))
        };
        self.levels.addresses().iter().enumerate().filter_map(of_address).unzip()
    }

    /// Whether each case is concordant with its words, `[cases]`, by each predictor; none unless all words are known.
    fn by_words(&self, cases: &[Case]) -> Vec<(WordsPredictor, Vec<f64>)> {
        let texts: Option<Vec<&str>> = self.candidates.iter().map(|candidate| candidate.text).collect();
        let Some(texts) = texts else { return Vec::new() };
        let of_predictor = |predictor: WordsPredictor| {
            let promise: Vec<f64> = texts.iter().map(|text| predictor.of(text)).collect();
            let of_pair = |case: &Case| case.pair.map(|candidate| promise.get(candidate).copied().unwrap_or(0.0));
            (predictor, cases.iter().map(|case| case.concordant(of_pair(case))).collect())
        };
        WordsPredictor::ALL.map(of_predictor).to_vec()
    }

    /// Shares of the columns, `[columns][cases]`, with intervals that hold for all of them at once. Where the bands cannot tell, as
    /// where all cases agree, they are those of a share at a level that is shared out among the columns (Bonferroni).
    fn shares(&self, columns: &[Vec<f64>], groups: &[String]) -> Result<Vec<Interval>> {
        let bands = self.bands(columns, groups)?;
        let settings = *self.resampler.settings();
        let level = 1.0 - (1.0 - settings.level) / columns.len().max(1) as f64;
        let mut stricter = None;
        let mut shares = Vec::with_capacity(columns.len());
        for (column, band) in columns.iter().zip(bands) {
            if band.low < band.high && band.low.is_finite() && band.high.is_finite() {
                shares.push(Interval { low: band.low.max(0.0), high: band.high.min(1.0), ..band });
                continue;
            }
            if stricter.is_none() {
                stricter = Some(Resampler::new(settings.level(level))?.of(groups)?);
            }
            shares.push(match &stricter {
                Some(resamples) => share(column, resamples)?,
                None => band,
            });
        }
        Ok(shares)
    }

    /// Means of the columns, `[columns][cases]`, with bands that hold for all of them at once.
    fn bands(&self, columns: &[Vec<f64>], groups: &[String]) -> Result<Vec<Interval>> {
        if columns.is_empty() {
            return Ok(Vec::new());
        }
        let values = Array2::from_shape_fn((groups.len(), columns.len()), |(case, column)| {
            columns.get(column).and_then(|column| column.get(case)).copied().unwrap_or(f64::NAN)
        });
        let means = ClusteredMeans::new(values.view(), groups)?;
        let drawn = self.resampler.of(groups)?.studentised(&means)?;
        let all: Vec<usize> = (0..columns.len()).collect();
        Ok(drawn.bands(&all, self.resampler.settings().level)?.intervals)
    }
}

/// The share of concordant cases with the interval of a share, a tie counting one half in the estimate only.
fn share(of_case: &[f64], resamples: &ClusterBootstrap) -> Result<Interval> {
    let found = resamples.share(&of_case.iter().map(|&value| value > 0.5).collect::<Vec<_>>())?;
    Ok(Interval { estimate: mean(of_case), ..found })
}

/// How far from chance the cases are, in either direction.
fn foretold(of_case: &[f64]) -> f64 {
    (mean(of_case) - 0.5).abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_is_concordant_if_the_promise_is_kept() {
        let case = |first_better| Case { row: 0, pair: [0, 1], first_better };
        assert_eq!(case(true).concordant([2.0, 1.0]), 1.0);
        assert_eq!(case(true).concordant([1.0, 2.0]), 0.0);
        assert_eq!(case(false).concordant([1.0, 2.0]), 1.0);
        assert_eq!(case(false).concordant([1.0, 1.0]), 0.5);
    }
}
