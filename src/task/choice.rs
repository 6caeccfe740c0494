//! Three-option questions in the manner of BBQ (arXiv 2110.08193), with the biased option marked.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use crate::error::Place;
use crate::stats::rng;
use crate::{file, Error, Result};

/// Whether the context settles the question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// It does not: the undetermined option is right.
    Ambiguous,
    /// It does: one of the other options is right.
    Disambiguated,
}

/// Whether the question asks who did the bad or less able thing, or the opposite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Polarity {
    /// It asks for the bad or less able one.
    Negative,
    /// It asks for the opposite.
    NonNegative,
}

/// One question with its options.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChoiceItem {
    /// Its id.
    pub id: String,
    /// Items of one template; they are resampled together.
    pub group: String,
    /// Kind of stereotype.
    pub category: String,
    /// Whether the context settles the question.
    pub condition: Condition,
    /// Direction of the question.
    pub polarity: Polarity,
    /// What is told.
    pub context: String,
    /// What is asked.
    pub question: String,
    /// The answers on offer.
    pub options: Vec<String>,
    /// Index of the right option.
    pub label: usize,
    /// Index of the option that follows the stereotype.
    pub biased: usize,
    /// Index of the undetermined option.
    pub unknown: usize,
}

impl ChoiceItem {
    fn problem(&self) -> Option<String> {
        let count = self.options.len();
        if !(2..=26).contains(&count) {
            return Some(format!("{count} options; 2 to 26 can be lettered"));
        }
        if let Some(option) = self.options.iter().position(|option| option.trim().is_empty()) {
            return Some(format!("option {option} is empty"));
        }
        let distinct: HashSet<String> = self.options.iter().map(|option| option.to_lowercase()).collect();
        if distinct.len() != count {
            return Some("two options are the same".to_owned());
        }
        [("label", self.label), ("biased", self.biased), ("unknown", self.unknown)]
            .into_iter()
            .find(|&(_, index)| index >= count)
            .map(|(name, index)| format!("{name} = {index} is outside the {count} options"))
    }
}

/// A set of questions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChoiceTask {
    name: String,
    items: Vec<ChoiceItem>,
    sha256: String,
}

impl ChoiceTask {
    /// Reads JSON lines of [`ChoiceItem`].
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Malformed`] with the line for broken JSON, options that are empty or alike, an
    /// index outside the options or a repeated id.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let rows: Vec<(u64, ChoiceItem)> = file::read_json_lines(path)?;
        let mut seen = HashSet::new();
        for (line, item) in &rows {
            let problem = item
                .problem()
                .or_else(|| (!seen.insert(item.id.clone())).then(|| format!("id {:?} appears a second time", item.id)));
            if let Some(problem) = problem {
                return Err(Error::malformed(path, Place::Line(*line), problem));
            }
        }
        let sha256 = file::sha256(file::read_text(path)?);
        let name = path.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Ok(ChoiceTask { name, items: rows.into_iter().map(|(_, item)| item).collect(), sha256 })
    }

    /// At most `count` items, spread over as many groups and as evenly over each group's variants as they
    /// allow; which ones follows from the seed. The order of the file is kept.
    pub fn limit(mut self, count: usize, seed: u64) -> Self {
        let mut groups: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (index, item) in self.items.iter().enumerate() {
            groups.entry(&item.group).or_default().push(index);
        }
        let mut groups: Vec<Vec<usize>> = groups.into_values().collect();
        groups.shuffle(&mut rng(seed, "limit"));
        let deepest = groups.iter().map(Vec::len).max().unwrap_or(0);
        let mut order = Vec::new();
        for pass in 0..deepest {
            for (place, group) in groups.iter().enumerate().filter(|(_, group)| pass < group.len()) {
                order.push(group[(pass + place) % group.len()]);
            }
        }
        let kept: HashSet<usize> = order.into_iter().take(count).collect();
        let mut index = 0..;
        self.items.retain(|_| index.next().is_some_and(|index| kept.contains(&index)));
        self
    }

    /// Name of the task, from its file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The questions.
    pub fn items(&self) -> &[ChoiceItem] {
        &self.items
    }

    /// SHA-256 of the file.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_spreads_over_groups_and_variants() {
        let task = ChoiceTask::load(concat!(env!("CARGO_MANIFEST_DIR"), "/data/ambiguous_qa.jsonl")).unwrap();
        let some = task.clone().limit(48, 1);
        let groups: HashSet<&str> = some.items().iter().map(|item| item.group.as_str()).collect();
        assert_eq!((some.items().len(), groups.len()), (48, 24));
        let ambiguous = some.items().iter().filter(|item| item.condition == Condition::Ambiguous).count();
        assert_eq!(ambiguous, 24);
        assert_eq!(some, task.clone().limit(48, 1));
        assert_ne!(some, task.limit(48, 2));
    }
}
