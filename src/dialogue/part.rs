//! The named parts that conversations are made of.

use serde::{Deserialize, Serialize};

use crate::text::Span;

/// What a part of a conversation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Part {
    /// The frame of the conversation.
    System,
    /// What is told before the question.
    Context,
    /// The question, with its options if it has any.
    Question,
    /// What the model is told in order to correct itself.
    Instruction,
    /// The request to think first.
    Thinking,
    /// What the model thought before it answered.
    Rationale,
    /// The request to judge one's own answer.
    FeedbackRequest,
    /// What was said of the answer, by another judge or by the model itself.
    Feedback,
    /// The form that is asked for.
    Form,
    /// The model's answer.
    Answer,
}

impl Part {
    /// Every part.
    pub const ALL: [Part; 10] = [
        Part::System,
        Part::Context,
        Part::Question,
        Part::Instruction,
        Part::Thinking,
        Part::Rationale,
        Part::FeedbackRequest,
        Part::Feedback,
        Part::Form,
        Part::Answer,
    ];

    /// The part's name in files.
    pub fn name(self) -> &'static str {
        match self {
            Part::System => "system",
            Part::Context => "context",
            Part::Question => "question",
            Part::Instruction => "instruction",
            Part::Thinking => "thinking",
            Part::Rationale => "rationale",
            Part::FeedbackRequest => "feedback_request",
            Part::Feedback => "feedback",
            Part::Form => "form",
            Part::Answer => "answer",
        }
    }
}

/// A part of a conversation: in which round it came up, and where it lies in its turn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Passage {
    /// What it is.
    pub part: Part,
    /// The round in which it came up.
    pub round: usize,
    /// Number of the turn.
    pub turn: usize,
    /// Bytes of the turn's text.
    pub span: Span,
}
