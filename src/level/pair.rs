//! Which conditions are compared with which.

use serde::{Deserialize, Serialize};

use super::Levels;
use crate::stats::MAX_DRAWS;
use crate::{Error, Result};

/// What a change is measured against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Against {
    /// The plain question.
    Round0,
    /// The neutral instruction in the same round.
    Neutral,
}

/// Indices of two conditions, the second to be subtracted from the first.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pair {
    pub condition: usize,
    pub base: usize,
    pub against: Against,
}

/// Every condition of round 1 and later with that of round 0, and with the neutral instruction in its round (the one named,
/// or the nearest), where these are there.
pub(super) fn pairs(levels: &Levels, neutral: Option<&str>) -> Vec<Pair> {
    let plain = levels.conditions.iter().position(|condition| condition.round == 0);
    let instructed = levels.conditions.iter().enumerate().filter(|(_, condition)| condition.round > 0);
    instructed
        .flat_map(|(index, condition)| {
            let neutral = match neutral {
                Some(name) => Some(name).filter(|&name| name != condition.instruction),
                None => levels.neutral_of(&condition.instruction, condition.round),
            };
            let neutral = neutral.and_then(|name| levels.condition(name, condition.round));
            let pair = move |base: Option<usize>, against| base.map(|base| Pair { condition: index, base, against });
            [pair(plain, Against::Round0), pair(neutral, Against::Neutral)].into_iter().flatten()
        })
        .collect()
}

pub(super) fn check_null_draws(draws: usize) -> Result<()> {
    if (1_000..=MAX_DRAWS).contains(&draws) {
        return Ok(());
    }
    let expected = format!("1000 to {MAX_DRAWS}: fewer leave the tails of a null to chance");
    Err(Error::setting("null_draws", draws, expected))
}
