//! The choices that a run of self-correction makes explicit.

use std::fmt;
use std::rc::Rc;

use serde::{Deserialize, Serialize};

use super::Feedback;

/// What the rounds after the plain question are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RoundKind {
    /// As in arXiv 2407.15286: round 1 asks the question with the instruction in a fresh conversation, an instructed
    /// first answer; rounds 2 and later review that.
    #[default]
    FreshInstructed,
    /// Every round from 1 on reviews the answer of round 0, in one conversation with it.
    Revise,
}

impl RoundKind {
    pub(super) fn name(self) -> &'static str {
        match self {
            RoundKind::FreshInstructed => "fresh_instructed",
            RoundKind::Revise => "revise",
        }
    }
}

/// What happens where a conversation and its answer outgrow the model's context.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Overflow {
    /// The run fails and names the item.
    #[default]
    Error,
    /// The oldest answers, with what was said to them, are left out of what the model sees, as many as must be; each
    /// answer counts the turns that it did without. The question stays.
    DropOldest,
}

impl Overflow {
    pub(super) fn name(self) -> &'static str {
        match self {
            Overflow::Error => "error",
            Overflow::DropOldest => "drop_oldest",
        }
    }
}

/// Chain of thought: the model is asked to think, and answers in a turn of its own after that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Thinking {
    /// The request to think first; it stands where the form of the answer else stands.
    pub request: String,
    /// Begins the turn after the rationale, before the form of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conclude: Option<String>,
}

impl Thinking {
    /// Asks with `request`; after the rationale only the form of the answer is said.
    pub fn new(request: impl Into<String>) -> Self {
        Thinking { request: request.into(), conclude: None }
    }
}

/// A source of feedback that several clones of a protocol share.
#[derive(Clone)]
pub(super) struct Judge(pub Rc<dyn Feedback>);

impl fmt::Debug for Judge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.describe())
    }
}
