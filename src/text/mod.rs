//! From text to token batches: tokeniser, chat template, spans, padded batches.
//!
//! Positions and attention masks are made with [`TokenBatch`] and nowhere else.

mod batch;
mod branches;
mod check;
#[cfg(feature = "gguf")]
mod gguf;
mod labelled_text;
mod labels;
mod template;
mod tokenizer;

pub(crate) use batch::{Mask, SlotLedger};
pub use batch::{PadSide, TokenBatch};
pub(crate) use branches::TokenTree;
#[cfg(feature = "gguf")]
pub(crate) use gguf::GgufVocabulary;
pub use labelled_text::LabelledText;
pub use labels::Labels;
pub use template::{ChatTemplate, Message, Role};
pub use tokenizer::{Encoded, Tokenizer};

use std::collections::HashSet;
use std::ops::Range;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::Place;
use crate::{file, Error, Result};

/// SentencePiece's sign for a space.
const SPACE: &str = "\u{2581}";

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
    /// Whether the text holds its special tokens already, so that the tokeniser adds none.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rendered: bool,
    /// Byte ranges whose tokens no token outside of them attends to; positions stay as they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hidden: Vec<Span>,
}

impl Text {
    /// A text read as a whole, in no group.
    pub fn new(id: impl Into<String>, text: impl Into<String>) -> Self {
        Text { id: id.into(), text: text.into(), group: None, span: None, rendered: false, hidden: Vec::new() }
    }

    /// The text as a user's turn of a conversation, up to where the model's answer begins: what
    /// [`Transcript`](crate::dialogue::Transcript) gives for one turn. Read at its last token, it is read where
    /// rounds of self-correction are.
    ///
    /// # Errors
    /// [`Error::Template`]; [`Error::Setting`] for a text with a span, whose bytes would move.
    pub fn into_turn(self, template: &ChatTemplate) -> Result<Text> {
        if self.span.is_some() {
            return Err(Error::setting("span", &self.id, "a text with a span cannot become a turn"));
        }
        let text = template.render(&[Message::new(Role::User, self.text)], true)?;
        Ok(Text { text, rendered: true, ..self })
    }

    /// The text as the model's own answer to a short question, with the answer as its span: read by its mean, it is read
    /// where the answers of self-correction are.
    ///
    /// # Errors
    /// [`Error::Template`], also for a template that does not show the answer as it is; [`Error::Setting`] for a text with
    /// a span, whose bytes would move.
    pub fn into_answer(self, template: &ChatTemplate) -> Result<Text> {
        if self.span.is_some() {
            return Err(Error::setting("span", &self.id, "a text with a span cannot become an answer"));
        }
        let answer = self.text.trim().to_owned();
        let question = Message::new(Role::User, "What did you do?");
        let text = template.render(&[question, Message::new(Role::Assistant, answer.clone())], false)?;
        let start = text.rfind(&answer).filter(|_| !answer.is_empty());
        let start = start.ok_or_else(|| Error::template(format!("it does not show the answer {answer:?} as it is")))?;
        Ok(Text { text, rendered: true, span: Some(Span { start, end: start + answer.len() }), ..self })
    }

    /// Reads texts: a `.txt` file one text a line (the ids are line numbers from 1, empty lines left out), a `.csv` file with
    /// the columns `id`, `text` and, if you like, `group`, among others, any other file as JSON lines of
    /// `{"id", "text", "group"?, "span"?, "rendered"?}`.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Malformed`] with the line for broken JSON, an empty text or a repeated id.
    pub fn load(path: impl AsRef<Path>) -> Result<Vec<Text>> {
        let path = path.as_ref();
        let rows: Vec<(u64, Text)> = match path.extension().and_then(|extension| extension.to_str()) {
            Some("txt") => {
                let content = file::read_text(path)?;
                let lines = (1..).zip(content.lines()).filter(|(_, text)| !text.trim().is_empty());
                lines.map(|(line, text)| (line, Text::new(line.to_string(), text))).collect()
            }
            Some("csv") => read_csv(path)?,
            _ => file::read_json_lines(path)?,
        };
        if rows.is_empty() {
            return Err(Error::malformed(path, Place::File, "holds no texts"));
        }
        let mut seen = HashSet::new();
        for (line, text) in &rows {
            let problem = match seen.insert(text.id.as_str()) {
                _ if text.text.is_empty() => format!("text {:?} is empty", text.id),
                false => format!("id {:?} appears a second time", text.id),
                true => continue,
            };
            return Err(Error::malformed(path, Place::Line(*line), problem));
        }
        Ok(rows.into_iter().map(|(_, text)| text).collect())
    }
}

/// The rows of a CSV file of texts, with their lines.
fn read_csv(path: &Path) -> Result<Vec<(u64, Text)>> {
    #[derive(Deserialize)]
    struct Row {
        id: String,
        text: String,
        #[serde(default)]
        group: Option<String>,
    }
    let content = file::read_text(path)?;
    let mut reader = csv::Reader::from_reader(content.as_bytes());
    let bad = |error: csv::Error| {
        let line = error.position().map_or(1, csv::Position::line);
        Error::unparsed(
            path,
            Place::Line(line),
            "is no row of a table; the columns are id,text and may be group",
            error,
        )
    };
    let header = reader.headers().map_err(bad)?.clone();
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(bad)?;
        let line = record.position().map_or(1, csv::Position::line);
        let Row { id, text, group } = record.deserialize(Some(&header)).map_err(bad)?;
        rows.push((line, Text { group, ..Text::new(id, text) }));
    }
    Ok(rows)
}

/// A byte range of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
