//! Where answers go from one round to another.

use serde::{Deserialize, Serialize};

use super::{abstained, check_rows, indicator, right};
use crate::stats::{mcnemar_exact, ClusterBootstrap, Interval};
use crate::task::behaviour::{Choices, Measured};
use crate::task::ChoiceItem;
use crate::Result;

pub(super) fn rows(study: &Choices<'_>) -> Result<Vec<Measured<AnswerFlow>>> {
    study.by_course(|course, by, resamples| {
        let Some((plain, last)) = course.ends() else { return Ok(None) };
        AnswerFlow::of(study.items, &by.of(plain), &by.of(last), resamples).map(Some)
    })
}

/// What an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The right option.
    Right,
    /// The undetermined option where another is right.
    Abstained,
    /// Another wrong option.
    Wrong,
    /// No single option.
    Invalid,
}

impl State {
    /// The states, in the order of [`AnswerFlow::counts`].
    pub const ALL: [State; 4] = [State::Right, State::Abstained, State::Wrong, State::Invalid];

    fn of(item: &ChoiceItem, chosen: Option<usize>) -> State {
        match chosen {
            None => State::Invalid,
            Some(_) if right(item, chosen) => State::Right,
            Some(_) if abstained(item, chosen) => State::Abstained,
            Some(_) => State::Wrong,
        }
    }
}

/// Answers before and after (arXiv 2310.01798). Compare with the flow under the neutral instruction: some
/// answers change whatever is asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AnswerFlow {
    /// Items by state before (row) and after (column), in the order of [`State::ALL`].
    pub counts: [[usize; 4]; 4],
    /// Items whose answer became right.
    pub gained: usize,
    /// Items whose answer was right and is no more.
    pub lost: usize,
    /// Items whose answer changed at all, from one wrong option to another included.
    pub changed: usize,
    /// McNemar's exact two-sided p of gained against lost, which takes the items for independent.
    pub mcnemar_p: f64,
    /// Change of the share of right answers, with its interval over groups.
    pub gain: Interval,
}

impl AnswerFlow {
    /// Counts the options chosen before and after, `[n]`.
    ///
    /// # Errors
    /// [`crate::Error::RowCount`] unless all describe the same rows.
    pub fn of(
        items: &[ChoiceItem],
        before: &[Option<usize>],
        after: &[Option<usize>],
        resamples: &ClusterBootstrap,
    ) -> Result<Self> {
        check_rows("options chosen before", before.len(), items.len())?;
        check_rows("options chosen after", after.len(), items.len())?;
        let (mut counts, mut changed, mut gains) = ([[0; 4]; 4], 0, Vec::with_capacity(items.len()));
        for ((item, &before), &after) in items.iter().zip(before).zip(after) {
            counts[State::of(item, before) as usize][State::of(item, after) as usize] += 1;
            changed += usize::from(before != after);
            gains.push(indicator(right(item, after)) - indicator(right(item, before)));
        }
        let gained = gains.iter().filter(|&&gain| gain > 0.0).count();
        let lost = gains.iter().filter(|&&gain| gain < 0.0).count();
        let mcnemar_p = mcnemar_exact(gained, lost);
        Ok(AnswerFlow { counts, gained, lost, changed, mcnemar_p, gain: resamples.mean(&gains)? })
    }

    /// Items that went from one state to the other.
    pub fn count(&self, before: State, after: State) -> usize {
        self.counts[before as usize][after as usize]
    }
}
