//! Choosing the penalty's strength by cross-validation inside the training part.

use serde::{Deserialize, Serialize};

use crate::probe::GroupFolds;
use crate::{Error, Result};

/// Which strengths to try, and on which folds.
///
/// The grid is spaced evenly in the logarithm between two multiples of the states' width d, since that is where a
/// strength gets its meaning (see [`LogisticProbe::alpha`](super::LogisticProbe::alpha)). Default: 7 strengths from
/// d/1,000 to 1,000 d. Chosen is the strength with the least log-loss on the rows left out.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[must_use]
pub struct Strengths {
    lowest: f64,
    highest: f64,
    count: usize,
    folds: GroupFolds,
}

impl Default for Strengths {
    fn default() -> Self {
        Strengths { lowest: 1e-3, highest: 1e3, count: 7, folds: GroupFolds::default() }
    }
}

impl Strengths {
    /// Sets the least and the greatest strength in multiples of d, default 0.001 and 1,000.
    pub fn range(mut self, lowest: f64, highest: f64) -> Self {
        (self.lowest, self.highest) = (lowest, highest);
        self
    }

    /// Sets how many to try, default 7.
    pub fn count(mut self, count: usize) -> Self {
        self.count = count;
        self
    }

    /// Sets the folds of the training part, default [`GroupFolds::default`].
    pub fn folds(mut self, folds: GroupFolds) -> Self {
        self.folds = folds;
        self
    }

    pub(super) fn group_folds(&self) -> &GroupFolds {
        &self.folds
    }

    /// The strengths for states of width `d`, rising.
    pub(super) fn grid(&self, d: usize) -> Vec<f64> {
        let (low, high) = (self.lowest.ln(), self.highest.ln());
        let at = |number: usize| number as f64 / (self.count.max(2) - 1) as f64;
        (0..self.count).map(|number| d.max(1) as f64 * (low + at(number) * (high - low)).exp()).collect()
    }

    pub(super) fn describe(&self) -> String {
        let Strengths { lowest, highest, count, folds } = self;
        format!("{count} from {lowest} to {highest} times the width, by log-loss on {}", folds.describe())
    }

    pub(super) fn validate(&self) -> Result<()> {
        let above_0 = |value: f64| value > 0.0 && value.is_finite();
        if !(above_0(self.lowest) && above_0(self.highest) && self.lowest <= self.highest) {
            let range = format!("{} to {}", self.lowest, self.highest);
            return Err(Error::setting("range", range, "above 0, finite and rising"));
        }
        if self.count == 0 {
            return Err(Error::setting("count", 0, "at least 1"));
        }
        self.folds.validate()
    }
}

/// How the strengths did in cross-validation inside the training part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StrengthCurve {
    /// The strengths, rising, with their scores.
    pub tried: Vec<StrengthScore>,
    /// Which of them was chosen: the least log-loss, the stronger on a tie.
    pub chosen: usize,
}

/// One strength on the rows left out.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StrengthScore {
    /// Strength of the penalty.
    pub alpha: f64,
    /// Mean log-loss in nats, with the classes weighted as in the fit.
    pub log_loss: f64,
    /// Mean AUROC over the folds that have both labels; `None` if none has.
    pub auroc: Option<f64>,
    /// Whether all folds' fits kept to the tolerance, or to 1e-6 where it is tighter: scores need no more.
    pub converged: bool,
}

impl StrengthCurve {
    pub(super) fn new(tried: Vec<StrengthScore>) -> Self {
        let best = tried.iter().enumerate().rev().min_by(|(_, a), (_, b)| a.log_loss.total_cmp(&b.log_loss));
        let chosen = best.map_or(0, |(number, _)| number);
        StrengthCurve { tried, chosen }
    }

    /// The chosen strength with its scores; `None` only for a curve without strengths.
    pub fn best(&self) -> Option<&StrengthScore> {
        self.tried.get(self.chosen)
    }

    /// Whether the choice is the least or the greatest strength tried: then the range may be too short.
    pub fn is_at_the_edge(&self) -> bool {
        self.tried.len() > 1 && (self.chosen == 0 || self.chosen + 1 == self.tried.len())
    }
}
