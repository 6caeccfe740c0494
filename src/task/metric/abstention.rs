//! What the model does with the undetermined option.

use serde::{Deserialize, Serialize};

use super::{abstained, check_rows, right, share_of};
use crate::stats::{ClusterBootstrap, Interval};
use crate::task::behaviour::{Choices, Measured};
use crate::task::ChoiceItem;
use crate::Result;

pub(super) fn rows(study: &Choices<'_>) -> Result<Vec<Measured<Abstention>>> {
    if study.items.iter().all(|item| item.unknown.is_none()) {
        return Ok(Vec::new());
    }
    study.by_round(|part| Abstention::of(part.items, &part.chosen, part.resamples).map(Some))
}

/// Abstention (arXiv 2410.07627): precision = right / (all - abstained), rate = abstained / all; over groups
/// ([`ClusterBootstrap::share`]).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Abstention {
    /// Share of right answers among those that are not the undetermined option; `None` if all are.
    pub precision: Option<Interval>,
    /// Share of answers that are the undetermined option.
    pub rate: Option<Interval>,
    /// Share of undetermined answers to items whose right answer is another: laziness. `None` without such items.
    pub rate_answerable: Option<Interval>,
    /// Share of undetermined answers to items where that is right. `None` without such items.
    pub rate_unanswerable: Option<Interval>,
}

impl Abstention {
    /// Measures the options chosen for items, `[n]`; an answer that names no single option is no abstention, and
    /// wrong.
    ///
    /// # Errors
    /// [`crate::Error::RowCount`] unless all describe the same rows.
    pub fn of(items: &[ChoiceItem], chosen: &[Option<usize>], resamples: &ClusterBootstrap) -> Result<Self> {
        check_rows("chosen options", chosen.len(), items.len())?;
        check_rows("resampled items", resamples.rows(), items.len())?;
        let share =
            |holds: &dyn Fn(&ChoiceItem, Option<usize>) -> Option<bool>| share_of(items, chosen, resamples, holds);
        let rate = |keep: &dyn Fn(&ChoiceItem) -> bool| {
            share(&|item, chosen| (item.unknown.is_some() && keep(item)).then(|| abstained(item, chosen)))
        };
        Ok(Abstention {
            precision: share(&|item, chosen| (!abstained(item, chosen)).then(|| right(item, chosen)))?,
            rate: rate(&|_| true)?,
            rate_answerable: rate(&|item| item.unknown != Some(item.label))?,
            rate_unanswerable: rate(&|item| item.unknown == Some(item.label))?,
        })
    }

    /// (1 - lambda) precision + lambda (1 - rate), the trade-off of arXiv 2410.07627; `None` where a part is.
    pub fn trade_off(&self, lambda: f64) -> Option<f64> {
        let (precision, rate) = (self.precision?.estimate, self.rate?.estimate);
        Some((1.0 - lambda) * precision + lambda * (1.0 - rate))
    }
}
