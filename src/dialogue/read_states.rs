//! States of one reading of a study.

use super::reading::Reading;
use crate::capture::Activations;
use crate::condition::Condition;

/// States of one reading under one condition.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ReadStates {
    /// The condition, in whose round the part came up.
    pub condition: Condition,
    /// Which tokens the rows stand for.
    pub reading: Reading,
    /// Rows are the items whose conversation has the part in this round (an empty answer is none), in the order of the
    /// study.
    pub activations: Activations,
}

impl ReadStates {
    /// States that were read elsewhere; rows are the items whose conversation has what was read.
    pub fn new(condition: Condition, reading: Reading, activations: Activations) -> Self {
        ReadStates { condition, reading, activations }
    }

    /// What the rows belong to; the order in which readings stand.
    pub(super) fn key(&self) -> (&Condition, Reading) {
        (&self.condition, self.reading)
    }
}
