//! Gain by where the right option stood before: does self-correction help only where the right answer was already
//! on top (the first question of arXiv 2407.15286)?

use serde::{Deserialize, Serialize};

use super::right_change::{contrasts, RightScores};
pub use super::right_change::{RankContrast, RightChange};
use super::{check_rows, indicator};
use crate::stats::{ClusterBootstrap, Interval, Resampled};
use crate::task::behaviour::{Choices, Measured};
use crate::task::{Answer, ChoiceItem};
use crate::Result;

pub(super) fn rows(study: &Choices<'_>) -> Result<Vec<Measured<GainByRank>>> {
    study.by_course_and_part(|course, part| {
        let Some((plain, last)) = course.ends() else { return Ok(None) };
        let Some(neutral) = study.control(last.condition) else { return Ok(None) };
        let [before, after, neutral] = [plain.answers, last.answers, neutral].map(|all| part.answers(all));
        GainByRank::of(&part.items, &before, &after, &neutral, &part.resamples).map(Some)
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
    /// Change of the right option's score under the instruction.
    pub change: RightChange,
    /// Change of the right option's score under the neutral re-ask: what regression to the mean gives.
    pub change_neutral: RightChange,
    /// `instructed - neutral` as shares of right answers, with its interval over groups ([`ClusterBootstrap::gain_where`]):
    /// the gain that being asked again does not explain. At rank 1, where every answer was right, it is retention.
    pub gain: Resampled,
}

/// Gain by baseline rank.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct GainByRank {
    /// Items of all ranks.
    pub items: usize,
    /// The ranks that occur, from 1.
    pub ranks: Vec<RankGain>,
    /// Rank 1 against all others together and, where there are more than two ranks, against each; none where it is alone.
    pub contrasts: Vec<RankContrast>,
    /// Change of the right option's score under the instruction, whatever its rank; `None` without items.
    pub change: Option<RightChange>,
    /// The same under the neutral re-ask.
    pub change_neutral: Option<RightChange>,
}

impl GainByRank {
    /// Compares the answers at baseline, after the instruction and after the neutral re-ask, `[n]` each; what was
    /// chosen is the most probable option. Options as probable as the right one stand before it if their index
    /// is lower, as in the choice of the most probable.
    ///
    /// # Errors
    /// [`Error::RowCount`](crate::Error::RowCount) unless all describe the same rows; [`Error::Setting`](crate::Error::Setting)
    /// for an answer without a score of the right option.
    pub fn of(
        items: &[ChoiceItem],
        baseline: &[Answer],
        instructed: &[Answer],
        neutral: &[Answer],
        resamples: &ClusterBootstrap,
    ) -> Result<Self> {
        check_rows("resampled items", resamples.rows(), items.len())?;
        let before = RightScores::of("baseline", items, baseline)?;
        let after = RightScores::of("instructed", items, instructed)?.since(&before);
        let again = RightScores::of("neutral", items, neutral)?.since(&before);
        let rank: Vec<usize> = items.iter().zip(baseline).map(|(item, answer)| rank_of(item, answer)).collect();
        let is_right = |answers: &[Answer], row: usize| answers[row].scored == items[row].label;
        let gain = |row: usize| indicator(is_right(instructed, row)) - indicator(is_right(neutral, row));
        let of_rank = |wanted: usize| {
            let share = |holds: &dyn Fn(usize) -> bool| resamples.share_where(&only(&rank, wanted, holds));
            let shares = (
                share(&|row| is_right(instructed, row))?,
                share(&|row| is_right(neutral, row))?,
                share(&|row| instructed[row].scored != baseline[row].scored)?,
                share(&|row| neutral[row].scored != baseline[row].scored)?,
            );
            let here = |row: usize| rank[row] == wanted;
            let changes = after.mean(here, resamples).zip(again.mean(here, resamples));
            let gain = resamples.gain_where(&only(&rank, wanted, gain))?;
            // A rank that no item has is none.
            let (((Some(instructed), Some(neutral), Some(flipped), Some(flipped_neutral)), Some(changes)), Some(gain)) =
                ((shares, changes), gain)
            else {
                return Ok(None);
            };
            let items = rank.iter().filter(|&&rank| rank == wanted).count();
            let (change, change_neutral) = changes;
            Ok(Some(RankGain {
                rank: wanted,
                items,
                instructed,
                neutral,
                flipped,
                flipped_neutral,
                change,
                change_neutral,
                gain,
            }))
        };
        let ranks = (1..=rank.iter().copied().max().unwrap_or(0)).map(of_rank).collect::<Result<Vec<_>>>()?;
        let gains: Vec<f64> = (0..items.len()).map(gain).collect();
        let odds = after.since(&again).log_odds;
        Ok(GainByRank {
            items: items.len(),
            ranks: ranks.into_iter().flatten().collect(),
            contrasts: contrasts(&rank, &gains, &odds, resamples),
            change: after.mean(|_| true, resamples),
            change_neutral: again.mean(|_| true, resamples),
        })
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
