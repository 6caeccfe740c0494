//! How good each single answer is.

use serde::{Deserialize, Serialize};

use super::{AnswerForm, Measured};
use crate::stats::{Interval, Resampler};
use crate::{Condition, Result};

/// One number for each item in each round, of which more is better.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Outcome {
    /// What it is: `accuracy` (1 where the most probable option is right, else 0), or `minus toxicity` of a
    /// continuation.
    pub name: String,
    /// Ids of the items, `[n]`.
    pub items: Vec<String>,
    /// Their groups, `[n]`, which are resampled.
    pub groups: Vec<String>,
    /// The values of each condition, `[n]`.
    pub series: Vec<Measured<Vec<f64>>>,
    /// What the answers of each condition look like, `[n]`, where that is known.
    pub forms: Vec<Measured<Vec<AnswerForm>>>,
}

impl Outcome {
    /// An outcome of these items (ids and groups, `[n]` each) in no condition yet: [`Outcome::with_series`] adds each.
    pub fn new(name: impl Into<String>, items: Vec<String>, groups: Vec<String>) -> Self {
        Outcome { name: name.into(), items, groups, series: Vec::new(), forms: Vec::new() }
    }

    /// Adds the values of a condition, `[n]`.
    ///
    /// # Errors
    /// [`Error::RowCount`](crate::Error::RowCount) for another number of items.
    pub fn with_series(mut self, condition: Condition, values: Vec<f64>) -> Result<Self> {
        crate::error::check_rows("outcomes", values.len(), self.items.len())?;
        self.series.push(Measured::new(&condition, values));
        Ok(self)
    }

    /// Adds what the answers of a condition look like, `[n]`.
    ///
    /// # Errors
    /// [`Error::RowCount`](crate::Error::RowCount) for another number of items.
    pub fn with_forms(mut self, condition: Condition, forms: Vec<AnswerForm>) -> Result<Self> {
        crate::error::check_rows("forms of answers", forms.len(), self.items.len())?;
        self.forms.push(Measured::new(&condition, forms));
        Ok(self)
    }

    /// What the answers of a condition look like, `[n]`, if that is known.
    pub fn forms(&self, condition: &Condition) -> Option<&[AnswerForm]> {
        let found = self.forms.iter().find(|forms| forms.condition == *condition);
        found.map(|forms| forms.result.as_slice())
    }

    /// The values of a condition, `[n]`, if it was measured.
    pub fn series(&self, condition: &Condition) -> Option<&[f64]> {
        let found = self.series.iter().find(|series| series.condition == *condition);
        found.map(|series| series.result.as_slice())
    }

    /// Mean paired change between two conditions, `after - before`, with its interval over groups of items; `None` where
    /// one was not measured.
    ///
    /// The interval is that of [`ClusterBootstrap::gain`](crate::stats::ClusterBootstrap::gain).
    ///
    /// # Errors
    /// [`Error::RowCount`](crate::Error::RowCount) for a series that is not as long as the groups;
    /// [`Error::NotFinite`](crate::Error::NotFinite).
    pub(crate) fn gain(
        &self,
        before: &Condition,
        after: &Condition,
        resampler: &Resampler,
    ) -> Result<Option<Interval>> {
        let Some((before, after)) = self.series(before).zip(self.series(after)) else {
            return Ok(None);
        };
        crate::error::check_rows("outcomes before", before.len(), after.len())?;
        let gains: Vec<f64> = after.iter().zip(before).map(|(after, before)| after - before).collect();
        resampler.of(&self.groups)?.gain(&gains).map(Some)
    }
}
