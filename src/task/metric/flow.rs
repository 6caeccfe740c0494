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

/// Answers before and after (arXiv 2310.01798). Compare with the flow under the control: some
/// answers change whatever is asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct AnswerFlow {
    /// Items by state before (row) and after (column), in the order of [`AnswerFlow::STATES`]: right, undetermined, wrong, invalid.
    pub counts: [[usize; 4]; 4],
    /// Items whose answer became right.
    pub gained: usize,
    /// Items whose answer was right and is no more.
    pub lost: usize,
    /// Items whose answer changed at all, from one wrong option to another included.
    pub changed: usize,
    /// McNemar's exact two-sided p of gained against lost, which takes the items for independent.
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0, max = 1.0)))]
    pub mcnemar_p: f64,
    /// Change of the share of right answers, with its interval over groups
    /// ([`ClusterBootstrap::gain`]).
    pub gain: Interval,
}

impl AnswerFlow {
    /// What an answer is: the right option, the undetermined one where another is right, another wrong one, no single one.
    pub const STATES: [&'static str; 4] = ["right", "undetermined", "wrong", "invalid"];

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
            counts[state(item, before)][state(item, after)] += 1;
            changed += usize::from(before != after);
            gains.push(indicator(right(item, after)) - indicator(right(item, before)));
        }
        let gained = gains.iter().filter(|&&gain| gain > 0.0).count();
        let lost = gains.iter().filter(|&&gain| gain < 0.0).count();
        let mcnemar_p = mcnemar_exact(gained, lost);
        Ok(AnswerFlow { counts, gained, lost, changed, mcnemar_p, gain: resamples.gain(&gains)? })
    }
}

/// Place in [`AnswerFlow::STATES`].
fn state(item: &ChoiceItem, chosen: Option<usize>) -> usize {
    match chosen {
        None => 3,
        Some(_) if right(item, chosen) => 0,
        Some(_) if abstained(item, chosen) => 1,
        Some(_) => 2,
    }
}
