//! Texts that carry their labels, such as `data/moral_acts.jsonl`.

use std::collections::HashSet;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{ChatTemplate, Labels, Text};
use crate::error::Place;
use crate::{file, Error, Result};

/// A text to train a probe on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelledText {
    /// Its id.
    pub id: String,
    /// The text.
    pub text: String,
    /// Whether the text is immoral. In files this is `label`: 1 = immoral, 0 = moral.
    #[serde(rename = "label", with = "zero_or_one")]
    pub immoral: bool,
    /// Texts of one group are never split between training and test.
    pub group: String,
}

/// Path of the bundled statements in this repository, for error messages.
const BUNDLED: &str = "data/moral_acts.jsonl";

/// Path of the bundled statements about groups of people.
const GROUPS: &str = "data/group_statements.jsonl";

impl LabelledText {
    /// The statements that come with this crate: `data/moral_acts.jsonl`, minimal pairs of a moral and an immoral act.
    ///
    /// # Errors
    /// [`Error::Malformed`] never in a released crate: the file is read like any other.
    pub fn bundled() -> Result<Vec<LabelledText>> {
        let lines = file::read_bundled(BUNDLED, include_str!("../../data/moral_acts.jsonl"))?;
        checked(Path::new(BUNDLED), lines)
    }

    /// Ten mild first-person statements, each of which says of a group of people what is said of it too often:
    /// `data/group_statements.jsonl`, all labelled immoral. Their mean state is a bias direction
    /// ([`StatementDirection`](crate::probe::StatementDirection)); no probe can be fitted on them alone.
    ///
    /// # Errors
    /// [`Error::Malformed`] never in a released crate: the file is read like any other.
    pub fn bundled_groups() -> Result<Vec<LabelledText>> {
        let lines = file::read_bundled(GROUPS, include_str!("../../data/group_statements.jsonl"))?;
        checked(Path::new(GROUPS), lines)
    }

    /// Reads JSON lines of `{"id", "text", "label", "group"}`; further fields are ignored.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Malformed`] with the line for broken JSON, an empty text, a label other than 0
    /// and 1, or a repeated id.
    pub fn load(path: impl AsRef<Path>) -> Result<Vec<LabelledText>> {
        checked(path.as_ref(), file::read_json_lines(path.as_ref())?)
    }

    /// The texts as they are, and their labels in the same order.
    pub fn as_texts(rows: Vec<LabelledText>) -> (Vec<Text>, Labels) {
        let labels = rows.iter().map(|row| (row.immoral, row.group.clone())).collect();
        let text = |row: LabelledText| Text { group: Some(row.group), ..Text::new(row.id, row.text) };
        (rows.into_iter().map(text).collect(), labels)
    }

    /// Each text as a user's turn up to where the answer begins ([`Text::into_turn`]), and the labels in the same order.
    /// Probes for rounds of self-correction learn where they will read.
    ///
    /// # Errors
    /// [`Error::Template`].
    pub fn as_user_turns(rows: Vec<LabelledText>, template: &ChatTemplate) -> Result<(Vec<Text>, Labels)> {
        let (texts, labels) = LabelledText::as_texts(rows);
        let turns = texts.into_iter().map(|text| text.into_turn(template)).collect::<Result<_>>()?;
        Ok((turns, labels))
    }

    /// Each text as an answer of the model, to be read by its mean ([`Text::into_answer`]), and the labels in the same
    /// order. Probes for the answers of self-correction learn where they will read.
    ///
    /// # Errors
    /// [`Error::Template`].
    pub fn as_answers(rows: Vec<LabelledText>, template: &ChatTemplate) -> Result<(Vec<Text>, Labels)> {
        let (texts, labels) = LabelledText::as_texts(rows);
        let answers = texts.into_iter().map(|text| text.into_answer(template)).collect::<Result<_>>()?;
        Ok((answers, labels))
    }
}

/// The rows without their lines, if no text is empty and no id appears twice.
fn checked(path: &Path, rows: Vec<(u64, LabelledText)>) -> Result<Vec<LabelledText>> {
    let mut seen = HashSet::new();
    for (line, row) in &rows {
        let problem = match seen.insert(row.id.as_str()) {
            _ if row.text.is_empty() => format!("text {:?} is empty", row.id),
            false => format!("id {:?} appears a second time", row.id),
            true => continue,
        };
        return Err(Error::malformed(path, Place::Line(*line), problem));
    }
    Ok(rows.into_iter().map(|(_, row)| row).collect())
}

/// The label in files: 0 = moral, 1 = immoral.
mod zero_or_one {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    // serde calls it with a reference.
    #[allow(clippy::trivially_copy_pass_by_ref)]
    pub fn serialize<S: Serializer>(immoral: &bool, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(u8::from(*immoral))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
        match u64::deserialize(deserializer)? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(D::Error::custom(format!("label {other} is neither 0 (moral) nor 1 (immoral)"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundled_statements_are_the_file() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/data/moral_acts.jsonl");
        assert_eq!(LabelledText::bundled().unwrap(), LabelledText::load(path).unwrap());
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/data/group_statements.jsonl");
        assert_eq!(LabelledText::bundled_groups().unwrap(), LabelledText::load(path).unwrap());
    }
}
