//! From text to token batches: tokeniser, chat template, spans, padded batches.
//!
//! Positions and attention masks are made in [`TokenBatch`] and nowhere else.

mod batch;
mod template;
mod tokenizer;

pub use batch::{Mask, PadSide, SlotLedger, TokenBatch};
pub use template::{ChatTemplate, Message, Role};
pub(crate) use tokenizer::BpeVocabulary;
pub use tokenizer::{Encoded, Tokenizer};

use std::ops::Range;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::Place;
use crate::{file, Error, Result};

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

    /// Reads texts: a `.txt` file one text a line (the ids are line numbers from 1), any other file as JSON
    /// lines of `{"id", "text", "group"?, "span"?}`.
    ///
    /// # Errors
    /// [`Error::Io`], and [`Error::Malformed`] with the line.
    pub fn load(path: impl AsRef<Path>) -> Result<Vec<Text>> {
        let path = path.as_ref();
        if path.extension().is_none_or(|extension| extension != "txt") {
            return Ok(file::read_json_lines(path)?.into_iter().map(|(_, text)| text).collect());
        }
        let content = file::read_text(path)?;
        let texts: Vec<Text> =
            content.lines().enumerate().map(|(index, line)| Text::new((index + 1).to_string(), line)).collect();
        if texts.is_empty() {
            return Err(Error::malformed(path, Place::File, "holds no texts"));
        }
        Ok(texts)
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
