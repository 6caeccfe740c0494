//! Outcomes that were measured elsewhere.

use std::collections::HashMap;
use std::path::Path;

use super::{Measured, Outcome};
use crate::error::Place;
use crate::{file, Condition, Error, Result};

impl Outcome {
    /// Reads a CSV file with the columns `item`, `group`, `condition` and `right` (a number, more = better, 1 and 0 for right and
    /// wrong), in any order and among others, one line for each answer. Items stand in the order in which they first come up;
    /// an empty group is the item's own. `conditions` says what the names in the file mean.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Malformed`] with the line, for a column that is missing, a condition without a meaning, a number
    /// that is none, an answer given twice, an item in two groups, and a condition that lacks some of the items.
    pub fn load(path: impl AsRef<Path>, conditions: &[(&str, Condition)]) -> Result<Outcome> {
        let path = path.as_ref();
        let text = file::read_text(path)?;
        let whole = |problem: String| Error::malformed(path, Place::File, problem);
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
        let header = reader.headers().map_err(|error| whole(error.to_string()))?.clone();
        let column = |name: &str| {
            let found = header.iter().position(|column| column == name);
            let problem = || format!("no column {name:?} in the header; it must name item,group,condition,right");
            found.ok_or_else(|| Error::malformed(path, Place::Line(1), problem()))
        };
        let columns = [column("item")?, column("group")?, column("condition")?, column("right")?];
        let mut outcome = Outcome::new("right answers", Vec::new(), Vec::new());
        let mut row_of: HashMap<String, usize> = HashMap::new();
        let mut answers: Vec<HashMap<usize, f64>> = vec![HashMap::new(); conditions.len()];
        for record in reader.records() {
            let record = record.map_err(|error| whole(error.to_string()))?;
            let line = record.position().map_or(0, csv::Position::line);
            let bad = |problem: String| Error::malformed(path, Place::Line(line), problem);
            let [item, group, condition, right] = columns.map(|column| record.get(column).unwrap_or_default());
            let number = right.parse::<f64>().ok().filter(|number| number.is_finite());
            let number = number.ok_or_else(|| bad(format!("right is {right:?}, no number")))?;
            let names = || conditions.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
            let meant = conditions.iter().position(|(name, _)| *name == condition);
            let meant = meant.ok_or_else(|| bad(format!("condition {condition:?} is none of {}", names())))?;
            let group = if group.is_empty() { item } else { group };
            let row = *row_of.entry(item.to_owned()).or_insert_with(|| {
                outcome.items.push(item.to_owned());
                outcome.groups.push(group.to_owned());
                outcome.items.len() - 1
            });
            if outcome.groups.get(row).is_some_and(|known| known != group) {
                return Err(bad(format!("item {item:?} is of group {group:?}, on an earlier line of another")));
            }
            let known = answers.get_mut(meant).and_then(|answers| answers.insert(row, number));
            if known.is_some() {
                return Err(bad(format!("item {item:?} has an answer to {condition:?} already")));
            }
        }
        let items = outcome.items.len();
        for ((name, condition), answers) in conditions.iter().zip(answers).filter(|(_, answers)| !answers.is_empty()) {
            let values: Option<Vec<f64>> = (0..items).map(|row| answers.get(&row).copied()).collect();
            let lacks = || whole(format!("condition {name:?} has {} of the {items} items", answers.len()));
            outcome.series.push(Measured::new(condition, values.ok_or_else(lacks)?));
        }
        if outcome.series.is_empty() {
            return Err(whole("holds no answers".to_owned()));
        }
        Ok(outcome)
    }
}
