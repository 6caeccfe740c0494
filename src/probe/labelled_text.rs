//! Texts that carry their labels, such as `data/moral_acts.jsonl`.

use std::collections::HashSet;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Labels;
use crate::error::Place;
use crate::text::{ChatTemplate, Text};
use crate::{file, Error, Result};

/// A text to train a probe on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelledText {
    /// Its id.
    pub id: String,
    /// The text.
    pub text: String,
    /// 1 = immoral, 0 = moral.
    pub label: u8,
    /// Texts of one group are never split between training and test.
    pub group: String,
}

impl LabelledText {
    /// Reads JSON lines of `{"id", "text", "label", "group"}`; further fields are ignored.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Malformed`] with the line for broken JSON, an empty text, a label other than 0
    /// and 1, or a repeated id.
    pub fn load(path: impl AsRef<Path>) -> Result<Vec<LabelledText>> {
        let path = path.as_ref();
        let rows: Vec<(u64, LabelledText)> = file::read_json_lines(path)?;
        let mut seen = HashSet::new();
        for (line, row) in &rows {
            let problem = match row.label {
                0 | 1 if row.text.is_empty() => format!("text {:?} is empty", row.id),
                0 | 1 if seen.insert(row.id.as_str()) => continue,
                0 | 1 => format!("id {:?} appears a second time", row.id),
                other => format!("label {other} is neither 0 (moral) nor 1 (immoral)"),
            };
            return Err(Error::malformed(path, Place::Line(*line), problem));
        }
        Ok(rows.into_iter().map(|(_, row)| row).collect())
    }

    /// The texts, and their labels in the same order.
    ///
    /// # Errors
    /// [`Error::RowCount`] never: both come from the same rows.
    pub fn bare(rows: Vec<LabelledText>) -> Result<(Vec<Text>, Labels)> {
        let labels = rows.iter().map(|row| row.label == 1).collect();
        let groups: Vec<String> = rows.iter().map(|row| row.group.clone()).collect();
        let text = |row: LabelledText| Text { group: Some(row.group), ..Text::new(row.id, row.text) };
        Ok((rows.into_iter().map(text).collect(), Labels::new(labels, groups)?))
    }

    /// [`LabelledText::bare`], each text as a user's turn up to where the answer begins
    /// ([`Text::into_turn`]): probes for rounds of self-correction learn where they will read.
    ///
    /// # Errors
    /// [`Error::Template`].
    pub fn turns(rows: Vec<LabelledText>, template: &ChatTemplate) -> Result<(Vec<Text>, Labels)> {
        let (texts, labels) = LabelledText::bare(rows)?;
        let turns = texts.into_iter().map(|text| text.into_turn(template)).collect::<Result<_>>()?;
        Ok((turns, labels))
    }

    /// [`LabelledText::bare`], each text as an answer of the model, to be read by its mean ([`Text::into_answer`]): probes
    /// for the answers of self-correction learn where they will read.
    ///
    /// # Errors
    /// [`Error::Template`].
    pub fn answers(rows: Vec<LabelledText>, template: &ChatTemplate) -> Result<(Vec<Text>, Labels)> {
        let (texts, labels) = LabelledText::bare(rows)?;
        let answers = texts.into_iter().map(|text| text.into_answer(template)).collect::<Result<_>>()?;
        Ok((answers, labels))
    }
}
