//! Comments in the format of the Jigsaw toxic comment challenge.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use rand::seq::SliceRandom;

use crate::error::Place;
use crate::stats::rng;
use crate::text::LabelledText;
use crate::{file, Error, Result};

/// Reads labelled comments from a CSV file with the columns `id`, `comment_text` and a label of 0 or 1: the
/// challenge's own `train.csv` (`toxic,severe_toxic,obscene,threat,insult,identity_hate`), or a part of it.
///
/// Comments whose words are the same, whatever their case, spacing and punctuation, form one group, so that no
/// copy of a training comment is held out.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Jigsaw {
    label: String,
    balanced: bool,
    limit: Option<usize>,
    seed: u64,
}

impl Default for Jigsaw {
    fn default() -> Self {
        Jigsaw { label: "toxic".to_owned(), balanced: false, limit: None, seed: 0 }
    }
}

/// What [`Jigsaw::load`] read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Comments {
    /// The comments, in the file's order; immoral = toxic.
    pub rows: Vec<LabelledText>,
    /// Rows of the file.
    pub read: usize,
    /// Rows left out because their text is empty.
    pub empty: usize,
    /// Rows left out because id, text and label are those of an earlier one.
    pub copies: usize,
    /// Chosen rows that repeat the words of an earlier one, and share its group.
    pub repeated: usize,
}

impl Jigsaw {
    /// Sets the label's column, default `toxic`.
    pub fn label(mut self, column: impl Into<String>) -> Self {
        self.label = column.into();
        self
    }

    /// Sets whether to draw as many comments of either label, all of the rarer one at most. Default: no.
    pub fn balanced(mut self, balanced: bool) -> Self {
        self.balanced = balanced;
        self
    }

    /// Sets how many comments to draw at most. Default: all.
    pub fn limit(mut self, comments: usize) -> Self {
        self.limit = Some(comments);
        self
    }

    /// Sets the seed of the draw, default 0.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Reads the file and draws.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Malformed`] with the line for a missing column, a label other than 0 and 1, an id
    /// that is empty or stands before two texts, and for a file without comments; [`Error::Setting`] for a limit of 0.
    pub fn load(&self, path: impl AsRef<Path>) -> Result<Comments> {
        if self.limit == Some(0) {
            return Err(Error::setting("limit", 0, "at least 1"));
        }
        let mut comments = self.read(path.as_ref())?;
        comments.rows = self.draw(comments.rows);
        comments.repeated = group_by_words(&mut comments.rows);
        Ok(comments)
    }

    fn read(&self, path: &Path) -> Result<Comments> {
        let text = file::read_text(path)?;
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let broken = |error: &csv::Error| {
            let place = error.position().map_or(Place::File, |position| Place::Line(position.line()));
            Error::malformed(path, place, error)
        };
        let header = reader.headers().map_err(|error| broken(&error))?.clone();
        let column = |name: &str| {
            header.iter().position(|column| column.trim() == name).ok_or_else(|| {
                let found = header.iter().collect::<Vec<_>>().join(",");
                Error::malformed(path, Place::Line(1), format!("no column {name:?} in the header {found:?}"))
            })
        };
        let (id_column, text_column, label_column) = (column("id")?, column("comment_text")?, column(&self.label)?);
        let mut comments = Comments { rows: Vec::new(), read: 0, empty: 0, copies: 0, repeated: 0 };
        let mut row_of: HashMap<String, usize> = HashMap::new();
        for record in reader.records() {
            let record = record.map_err(|error| broken(&error))?;
            let line = record.position().map_or(0, csv::Position::line);
            let bad = |problem: String| Err(Error::malformed(path, Place::Line(line), problem));
            let immoral = match record.get(label_column).unwrap_or_default().trim() {
                "0" => false,
                "1" => true,
                other => return bad(format!("{} = {other:?} is neither 0 nor 1", self.label)),
            };
            let id = record.get(id_column).unwrap_or_default().trim();
            let text = record.get(text_column).unwrap_or_default().trim();
            comments.read += 1;
            if text.is_empty() {
                comments.empty += 1;
                continue;
            }
            if let Some(earlier) = row_of.get(id).and_then(|&row| comments.rows.get(row)) {
                if earlier.text != text || earlier.immoral != immoral {
                    return bad(format!("id {id:?} has another text or label than before"));
                }
                comments.copies += 1;
                continue;
            }
            if id.is_empty() {
                return bad("the id is empty".to_owned());
            }
            row_of.insert(id.to_owned(), comments.rows.len());
            comments.rows.push(LabelledText {
                id: id.to_owned(),
                text: text.to_owned(),
                immoral,
                group: id.to_owned(),
            });
        }
        match comments.rows.is_empty() {
            true => Err(Error::malformed(path, Place::File, "holds no comments")),
            false => Ok(comments),
        }
    }

    /// The rows to keep, in their own order.
    fn draw(&self, rows: Vec<LabelledText>) -> Vec<LabelledText> {
        let mut order: Vec<usize> = (0..rows.len()).collect();
        order.shuffle(&mut rng(self.seed, "comments"));
        let mut wanted = self.limit.unwrap_or(rows.len());
        let toxic = |row: usize| rows.get(row).is_some_and(|row| row.immoral);
        if self.balanced {
            let count = rows.iter().filter(|row| row.immoral).count();
            let each = count.min(rows.len() - count).min(wanted / 2);
            let mut left = [each; 2];
            order.retain(|&row| {
                let left = &mut left[usize::from(toxic(row))];
                let keep = *left > 0;
                *left -= usize::from(keep);
                keep
            });
            wanted = 2 * each;
        }
        let kept: HashSet<usize> = order.into_iter().take(wanted).collect();
        rows.into_iter().enumerate().filter(|(row, _)| kept.contains(row)).map(|(_, row)| row).collect()
    }
}

/// Gives rows with the same words the group of the first of them, and counts the others.
fn group_by_words(rows: &mut [LabelledText]) -> usize {
    let mut first: HashMap<String, String> = HashMap::new();
    let mut repeated = 0;
    for row in rows {
        let lower = row.text.to_lowercase();
        let words: Vec<&str> = lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
        if words.is_empty() {
            continue;
        }
        match first.entry(words.join(" ")) {
            std::collections::hash_map::Entry::Occupied(entry) => {
                row.group = entry.get().clone();
                repeated += 1;
            }
            std::collections::hash_map::Entry::Vacant(entry) => {
                entry.insert(row.group.clone());
            }
        }
    }
    repeated
}
