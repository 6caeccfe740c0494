//! The choices that a run of self-correction makes explicit.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::feedback::Feedback;
use super::transcript::Transcript;
use crate::names::by_name;
use crate::task::RuleChoice;
use crate::Result;

/// What the rounds after the plain question are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
    /// Every kind.
    pub const ALL: [RoundKind; 2] = [RoundKind::FreshInstructed, RoundKind::Revise];

    /// The kind's name in files and on command lines.
    pub fn name(self) -> &'static str {
        match self {
            RoundKind::FreshInstructed => "fresh_instructed",
            RoundKind::Revise => "revise",
        }
    }
}

by_name!(RoundKind, "round kind");

/// What happens where a conversation and its answer outgrow the model's context.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
    /// Every way.
    pub const ALL: [Overflow; 2] = [Overflow::Error, Overflow::DropOldest];

    /// The way's name in files and on command lines.
    pub fn name(self) -> &'static str {
        match self {
            Overflow::Error => "error",
            Overflow::DropOldest => "drop_oldest",
        }
    }
}

by_name!(Overflow, "overflow");

/// Chain of thought: the model is asked to think, and answers in a turn of its own after that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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

/// The words of an instruction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct InstructionWords {
    /// Its name.
    pub instruction: String,
    /// What it says in its first round.
    pub words: String,
}

/// The wordings of one instruction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct InstructionWordings {
    /// Name of the instruction.
    pub instruction: String,
    /// Its wordings by number, as they stand beside the question.
    pub texts: Vec<String>,
}

/// How a run of [`SelfCorrection`](super::SelfCorrection) went about it, kept with its results: what a methods section
/// says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct ProtocolRecord {
    /// Last round of every instruction.
    pub rounds: usize,
    /// What the rounds are.
    pub round_kind: RoundKind,
    /// How the model was asked to think before every answer, if it was.
    pub thinking: Option<Thinking>,
    /// Names of the instructions whose own words ask the model to think first.
    pub thinking_instructions: Vec<String>,
    /// Who judged each answer before its review, if another did.
    pub feedback: Option<String>,
    /// Names of the instructions whose own words ask the model to judge itself before the review.
    pub self_feedback_instructions: Vec<String>,
    /// The wordings of each instruction that was asked in several; each item was asked in one of them.
    pub wordings: Vec<InstructionWordings>,
    /// Names of the instructions that each ended a copy of every conversation.
    pub re_elicitation: Vec<String>,
    /// What happened where a conversation outgrew the context.
    pub overflow: Overflow,
    /// How answers were generated.
    pub decoding: String,
    /// Continuations that were drawn of each text in each round; the conversation goes on from the first.
    pub continuations: usize,
    /// How thoughts and judgements were generated, where there were any.
    pub reasoning: Option<String>,
    /// The words of each instruction in its first round.
    pub instruction_words: Vec<InstructionWords>,
    /// Which score makes the options' probabilities, by a softmax, as the protocol has it.
    pub option_score: String,
    /// Which changes of the model's states which rounds were run under, if any were.
    pub interventions: Option<String>,
    /// The rule that was used in all rounds, with how it was chosen; `None` where there are no options.
    pub score_rule: Option<RuleChoice>,
}

/// A source of feedback that several clones of a protocol share.
#[derive(Clone)]
pub(super) struct Judge {
    source: Arc<Mutex<dyn Feedback + Send>>,
    described: String,
}

impl Judge {
    pub fn new(feedback: impl Feedback + Send + 'static) -> Self {
        Judge { described: feedback.describe(), source: Arc::new(Mutex::new(feedback)) }
    }

    pub fn describe(&self) -> String {
        self.described.clone()
    }

    pub fn feedback(&self, talks: &[Transcript]) -> Result<Vec<String>> {
        self.source.lock().unwrap_or_else(PoisonError::into_inner).feedback(talks)
    }
}

impl fmt::Debug for Judge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.describe())
    }
}
