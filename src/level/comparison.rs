//! Which conditions are compared with which.

use serde::{Deserialize, Serialize};

use super::levels::Levels;

/// What a change is measured against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Against {
    /// The plain question.
    Round0,
    /// The control instruction in the same round.
    Control,
}

/// Indices of two conditions, the second to be subtracted from the first.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pair {
    pub condition: usize,
    pub base: usize,
    pub against: Against,
}

/// Every condition of round 1 and later with that of round 0, and with its control, where these are there.
pub(super) fn pairs(levels: &Levels) -> Vec<Pair> {
    let design = levels.design();
    let plain = design.plain().and_then(|plain| design.position(plain));
    let instructed = design.conditions().enumerate().filter(|(_, condition)| !condition.is_plain());
    instructed
        .flat_map(|(index, condition)| {
            let control = design.control(condition).and_then(|control| design.position(control));
            let pair = move |base: Option<usize>, against| base.map(|base| Pair { condition: index, base, against });
            [pair(plain, Against::Round0), pair(control, Against::Control)].into_iter().flatten()
        })
        .collect()
}
