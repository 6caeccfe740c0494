//! Gain by where the right option stood before: does self-correction help only where the right answer was already
//! on top (the first question of arXiv 2407.15286)?

use serde::{Deserialize, Serialize};

use super::{check_rows, indicator};
use crate::stats::{ClusterBootstrap, Interval, Resampled};
use crate::task::behaviour::{Choices, Chosen, Measured};
use crate::task::{Answer, ChoiceItem};
use crate::{Error, Result};

pub(super) fn rows(study: &Choices<'_>) -> Result<Vec<Measured<GainByRank>>> {
    study.by_course(|course, by, resamples| {
        let Some((plain, last)) = course.ends().filter(|_| by == Chosen::Scored) else { return Ok(None) };
        let Some(neutral) = study.control(last.condition) else { return Ok(None) };
        GainByRank::of(study.items, plain.answers, last.answers, neutral, resamples).map(Some)
    })
}

/// The items whose right option had one rank at baseline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct RankGain {
    /// Rank of the right option at baseline; 1 = the most probable.
    pub rank: usize,
    /// Items of this rank.
    pub items: usize,
    /// Share of right answers after the instruction, over groups ([`ClusterBootstrap::share`]).
    pub instructed: Interval,
    /// Share of right answers after the neutral re-ask, over groups ([`ClusterBootstrap::share`]).
    pub neutral: Interval,
    /// Share of items whose most probable option changed under the instruction, over groups ([`ClusterBootstrap::share`]).
    pub flipped: Interval,
    /// Share of items whose most probable option changed under the neutral re-ask, over groups ([`ClusterBootstrap::share`]).
    pub flipped_neutral: Interval,
    /// Mean change of the right option's probability under the instruction, with its interval over groups.
    pub shift: Resampled,
    /// Mean change of the right option's probability under the neutral re-ask: what regression to the mean gives.
    pub shift_neutral: Resampled,
    /// `instructed - neutral` as shares of right answers, with its interval over groups ([`ClusterBootstrap::gain_where`]):
    /// the gain that being asked again does not explain.
    pub gain: Resampled,
}

/// Gain by baseline rank.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct GainByRank {
    /// The ranks that occur, from 1.
    pub ranks: Vec<RankGain>,
}

impl GainByRank {
    /// Compares the answers at baseline, after the instruction and after the neutral re-ask, `[n]` each; what was
    /// chosen is the most probable option. Options as probable as the right one stand before it if their index
    /// is lower, as in the choice of the most probable.
    ///
    /// # Errors
    /// [`Error::RowCount`] unless all describe the same rows; [`Error::Setting`] for an answer without a
    /// probability of the right option.
    pub fn of(
        items: &[ChoiceItem],
        baseline: &[Answer],
        instructed: &[Answer],
        neutral: &[Answer],
        resamples: &ClusterBootstrap,
    ) -> Result<Self> {
        check_rows("resampled items", resamples.rows(), items.len())?;
        let parts = [("baseline", baseline), ("instructed", instructed), ("neutral", neutral)];
        let mut p_right: Vec<Vec<f64>> = Vec::new();
        for (what, answers) in parts {
            check_rows(&format!("{what} answers"), answers.len(), items.len())?;
            let p = |(item, answer): (&ChoiceItem, &Answer)| {
                let p = answer.probabilities.get(item.label).copied();
                p.ok_or_else(|| Error::setting("answer", &answer.item, "has no probability of the right option"))
            };
            p_right.push(items.iter().zip(answers).map(p).collect::<Result<_>>()?);
        }
        let [p_before, p_after, p_neutral] = &p_right[..] else { return Ok(GainByRank { ranks: Vec::new() }) };
        let rank: Vec<usize> = items.iter().zip(baseline).map(|(item, answer)| rank_of(item, answer)).collect();
        let is_right = |answers: &[Answer], row: usize| answers[row].scored == items[row].label;
        let of_rank = |wanted: usize| {
            let share = |holds: &dyn Fn(usize) -> bool| resamples.share_where(&only(&rank, wanted, holds));
            let mean = |value: &dyn Fn(usize) -> f64| resamples.mean_where(&only(&rank, wanted, value));
            let gain = |row: usize| indicator(is_right(instructed, row)) - indicator(is_right(neutral, row));
            let shares = (
                share(&|row| is_right(instructed, row))?,
                share(&|row| is_right(neutral, row))?,
                share(&|row| instructed[row].scored != baseline[row].scored)?,
                share(&|row| neutral[row].scored != baseline[row].scored)?,
            );
            let shifts = mean(&|row| p_after[row] - p_before[row]).zip(mean(&|row| p_neutral[row] - p_before[row]));
            let gain = resamples.gain_where(&only(&rank, wanted, gain))?;
            // A rank that no item has is none.
            let (((Some(instructed), Some(neutral), Some(flipped), Some(flipped_neutral)), Some(shifts)), Some(gain)) =
                ((shares, shifts), gain)
            else {
                return Ok(None);
            };
            let items = rank.iter().filter(|&&rank| rank == wanted).count();
            let (shift, shift_neutral) = shifts;
            Ok(Some(RankGain {
                rank: wanted,
                items,
                instructed,
                neutral,
                flipped,
                flipped_neutral,
                shift,
                shift_neutral,
                gain,
            }))
        };
        let ranks = (1..=rank.iter().copied().max().unwrap_or(0)).map(of_rank).collect::<Result<Vec<_>>>()?;
        Ok(GainByRank { ranks: ranks.into_iter().flatten().collect() })
    }
}

/// The values of the items of one rank, `[n]`.
fn only<T>(ranks: &[usize], wanted: usize, value: impl Fn(usize) -> T) -> Vec<Option<T>> {
    ranks.iter().enumerate().map(|(row, &rank)| (rank == wanted).then(|| value(row))).collect()
}

fn rank_of(item: &ChoiceItem, answer: &Answer) -> usize {
    let own = answer.probabilities.get(item.label).copied().unwrap_or(f64::NEG_INFINITY);
    let before = |&(option, &p): &(usize, &f64)| p > own || (p == own && option < item.label);
    1 + answer.probabilities.iter().enumerate().filter(before).count()
}
