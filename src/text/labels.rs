//! Which texts are immoral, and which belong together.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::path::Path;

use crate::error::{check_rows, Place};
use crate::{file, Error, Result};

/// Labels and groups of n texts, in the order of their activations.
///
/// This is the one place where "positive" gets its meaning: `true` is immoral.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labels {
    labels: Vec<bool>,
    groups: Vec<String>,
}

impl Labels {
    /// Labels, `[n]`, `true` = immoral, with the group of each text, `[n]`; rows of one group (prompt,
    /// template, comment) are never split between training and test.
    ///
    /// # Errors
    /// [`Error::RowCount`] unless there is one group per label.
    pub fn new(labels: Vec<bool>, groups: Vec<String>) -> Result<Self> {
        check_rows("groups", groups.len(), labels.len())?;
        Ok(Labels { labels, groups })
    }

    /// Labels, `[n]`, `true` = immoral, of texts that are each a group of their own.
    pub fn ungrouped(labels: Vec<bool>) -> Self {
        let groups = (0..labels.len()).map(|row| row.to_string()).collect();
        Labels { labels, groups }
    }

    /// Reads a CSV file with the columns `id`, `label` (0 = moral, 1 = immoral) and, if you like, `group`, in
    /// any order and among others, and puts its rows in the order of `ids`, `[n]`. Without the column, or with
    /// an empty cell, a text is a group of its own, named by its id.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Malformed`] with the line, for a column that is missing, a label other than 0
    /// and 1, an id given twice, and an id of the activations without a label; [`Error::UnknownId`];
    /// [`Error::Mismatch`] if `ids` holds an id twice.
    pub fn load(path: impl AsRef<Path>, ids: &[String]) -> Result<Self> {
        let path = path.as_ref();
        let text = file::read_text(path)?;
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
        let header = reader.headers().map_err(|error| malformed(path, &error))?.clone();
        let column = |name: &str| header.iter().position(|column| column == name);
        let needed = |name: &str| {
            column(name).ok_or_else(|| {
                let found = header.iter().collect::<Vec<_>>().join(",");
                let problem =
                    format!("no column {name:?} in the header {found:?}; it must name id,label and may name group");
                Error::malformed(path, Place::Line(1), problem)
            })
        };
        let (id_column, label_column, group_column) = (needed("id")?, needed("label")?, column("group"));

        let mut row_of = HashMap::with_capacity(ids.len());
        for (row, id) in ids.iter().enumerate() {
            if row_of.insert(id.as_str(), row).is_some() {
                let problem = format!("id {id:?} occurs twice, so its label is ambiguous");
                return Err(Error::mismatch("ids of the activations", problem));
            }
        }
        let mut found: Vec<Option<(bool, String, u64)>> = vec![None; ids.len()];
        for record in reader.records() {
            let record = record.map_err(|error| malformed(path, &error))?;
            let line = record.position().map_or(0, csv::Position::line);
            let bad = |problem: String| Error::malformed(path, Place::Line(line), problem);
            let id = record.get(id_column).unwrap_or_default();
            let slot = row_of.get(id).and_then(|&row| found.get_mut(row));
            let Some(slot) = slot else {
                return Err(Error::unknown_id(path, line, id.to_owned()));
            };
            if let Some((_, _, first)) = slot {
                return Err(bad(format!("id {id:?} has a label already, on line {first}")));
            }
            let label = match record.get(label_column).unwrap_or_default() {
                "0" => false,
                "1" => true,
                other => return Err(bad(format!("label {other:?} is neither 0 (moral) nor 1 (immoral)"))),
            };
            let group = group_column.and_then(|column| record.get(column)).filter(|group| !group.is_empty());
            *slot = Some((label, group.unwrap_or(id).to_owned(), line));
        }
        let missing: Vec<&str> =
            ids.iter().zip(&found).filter(|(_, slot)| slot.is_none()).map(|(id, _)| id.as_str()).collect();
        if let Some(first) = missing.first() {
            let problem = format!("no label for id {first:?}; {} of {} ids have none", missing.len(), ids.len());
            return Err(Error::malformed(path, Place::File, problem));
        }
        Ok(found.into_iter().flatten().map(|(label, group, _)| (label, group)).collect())
    }

    /// Whether each text is immoral, `[n]`.
    pub fn labels(&self) -> &[bool] {
        &self.labels
    }

    /// Group of each text, `[n]`.
    pub fn groups(&self) -> &[String] {
        &self.groups
    }

    /// Texts.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// These labels with groups that tear no group of the activations apart: the activations' own where every
    /// text is a group by itself here.
    pub(crate) fn respecting(&self, groups: Option<&[String]>) -> Result<Cow<'_, Labels>> {
        let Some(groups) = groups else { return Ok(Cow::Borrowed(self)) };
        if self.groups.iter().collect::<HashSet<_>>().len() == self.len() {
            return Ok(Cow::Owned(Labels::new(self.labels.clone(), groups.to_vec())?));
        }
        let mut label_group = HashMap::new();
        for (group, of_label) in groups.iter().zip(&self.groups) {
            let first = *label_group.entry(group).or_insert(of_label);
            if first != of_label {
                let problem = format!(
                    "rows of the activations' group {group:?} are in {first:?} and in {of_label:?}; give coarser groups"
                );
                return Err(Error::mismatch("groups of the labels", problem));
            }
        }
        Ok(Cow::Borrowed(self))
    }

    /// SHA-256 over labels and groups, for provenance.
    pub(crate) fn sha256(&self) -> String {
        let rows = self.labels.iter().zip(&self.groups);
        file::sha256(rows.map(|(&label, group)| format!("{}\t{group}\n", u8::from(label))).collect::<String>())
    }
}

/// From the label of each text, `true` = immoral, and its group.
impl FromIterator<(bool, String)> for Labels {
    fn from_iter<I: IntoIterator<Item = (bool, String)>>(rows: I) -> Self {
        let (labels, groups) = rows.into_iter().unzip();
        Labels { labels, groups }
    }
}

fn malformed(path: &Path, error: &csv::Error) -> Error {
    let place = error.position().map_or(Place::File, |position| Place::Line(position.line()));
    Error::malformed(path, place, error)
}
