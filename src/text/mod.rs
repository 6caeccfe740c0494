//! From text to token batches: tokeniser, chat template, spans, padded batches.
//!
//! Positions and attention masks are made in [`TokenBatch`] and nowhere else.

mod batch;
mod template;
mod tokenizer;

pub use batch::{Mask, PadSide, SlotLedger, TokenBatch};
pub use template::{ChatTemplate, Message, Role};
pub use tokenizer::{Encoded, Tokenizer};
pub(crate) use tokenizer::BpeVocabulary;

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// One text to read hidden states from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Text {
    /// Its id, kept beside its states.
    pub id: String,
    /// The text itself.
    pub text: String,
    /// Its group: texts of one group are never split between training and test.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The byte range to read; the whole text if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub span: Option<Span>,
}

impl Text {
    /// A text read as a whole, in no group.
    pub fn new(id: impl Into<String>, text: impl Into<String>) -> Self {
        Text { id: id.into(), text: text.into(), group: None, span: None }
    }
}

/// A byte range of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl Span {
    /// The tokens that overlap the span, given the byte range of each token.
    pub fn tokens(self, token_bytes: &[(usize, usize)]) -> Range<usize> {
        let overlaps = |&(start, end): &(usize, usize)| start < self.end && end > self.start;
        match token_bytes.iter().position(overlaps) {
            None => 0..0,
            Some(first) => {
                let last = token_bytes.iter().rposition(overlaps).unwrap_or(first);
                first..last + 1
            }
        }
    }
}
