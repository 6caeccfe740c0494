//! The behaviour of a study: every metric that its items allow, by condition.

mod choices;
mod course;
mod form;
mod measure;
mod measurement;
mod outcome;
mod outcome_file;
mod texts;

use serde::{Deserialize, Serialize};

use super::Answer;
use crate::Condition;

pub(super) use choices::Choices;
pub use form::{AnswerForm, FormFault};
pub use measure::{BehaviourRow, Measure};
pub use measurement::Measurement;
pub use outcome::Outcome;
pub(super) use texts::Texts;

/// The answers of one condition, in the order of the items.
#[derive(Debug)]
pub struct AnsweredRound<'a, A = Answer> {
    /// Which instruction in which round.
    pub condition: &'a Condition,
    /// The answers, `[n]`.
    pub answers: &'a [A],
}

// Derived, these would ask it of the answers too.
impl<A> Clone for AnsweredRound<'_, A> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<A> Copy for AnsweredRound<'_, A> {}

impl AnsweredRound<'_> {
    /// The most probable option of each answer, `[n]`.
    pub fn scored(&self) -> Vec<Option<usize>> {
        self.answers.iter().map(|answer| Some(answer.scored)).collect()
    }

    /// The option that each generated text names, `[n]`; `None` where it names none or several.
    pub fn read(&self) -> Vec<Option<usize>> {
        self.answers.iter().map(|answer| answer.read.option()).collect()
    }
}

/// What counts as the option chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Chosen {
    /// The most probable option.
    Scored,
    /// The option that the generated text names.
    Read,
}

impl Chosen {
    /// Scored and read.
    pub const ALL: [Chosen; 2] = [Chosen::Scored, Chosen::Read];

    pub(super) fn of(self, round: &AnsweredRound<'_>) -> Vec<Option<usize>> {
        match self {
            Chosen::Scored => round.scored(),
            Chosen::Read => round.read(),
        }
    }
}

/// A result with what it was measured on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Measured{T}"))]
#[non_exhaustive]
pub struct Measured<T> {
    /// Which instruction in which round.
    #[serde(flatten)]
    pub condition: Condition,
    /// The earlier round that it is about too; `None` where it is about one round.
    pub from: Option<usize>,
    /// The category of the items; `None` for all of them.
    pub category: Option<String>,
    /// What counts as chosen; `None` for texts.
    pub chosen: Option<Chosen>,
    /// The result.
    pub result: T,
}

impl<T> Measured<T> {
    /// A result of one condition, over all items.
    pub fn new(condition: &Condition, result: T) -> Self {
        Measured { condition: condition.clone(), from: None, category: None, chosen: None, result }
    }
}
