//! A set of items: read, checked, narrowed down.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;

use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::de::DeserializeOwned;

use super::Item;
use crate::error::nearest;
use crate::stats::rng;
use crate::{file, Error, Result};

/// The items of one benchmark, in order, with distinct ids.
///
/// ```
/// use probity::task::{ChoiceItem, ChoiceTask};
/// // A benchmark of one's own: {"context", "question", "options", "label", "group"} a line, or items made in code.
/// let item: ChoiceItem = serde_json::from_str(
///     r#"{"id": "q1", "group": "g1", "context": "", "question": "Is it right?", "options": ["yes", "no"], "label": 0}"#,
/// ).unwrap();
/// let task = ChoiceTask::new("mine", vec![item])?;
/// assert_eq!(task.items().len(), 1);
/// # Ok::<(), probity::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Task<I> {
    name: String,
    items: Vec<I>,
    sha256: String,
}

impl<I: Item> Task<I> {
    /// A task of these items.
    ///
    /// # Errors
    /// [`Error::Setting`] with the id of an item that is invalid or has the id of an earlier one.
    pub fn new(name: impl Into<String>, items: Vec<I>) -> Result<Self> {
        let mut builder = Builder::default();
        let mut whole = String::new();
        for item in items {
            let id = item.id().to_owned();
            let (group, context, question, options) = (item.group(), item.context(), item.question(), item.options());
            whole.push_str(&format!("{:?}\n", (&id, group, context, question, options)));
            builder.add(item).map_err(|problem| Error::setting("items", format!("{id:?}"), problem))?;
        }
        Ok(builder.finish(name, file::sha256(whole)))
    }

    /// Reads JSON lines of items.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Malformed`] with the line for broken JSON, an item that is invalid in itself or a
    /// repeated id.
    pub fn load(path: impl AsRef<Path>) -> Result<Self>
    where
        I: DeserializeOwned,
    {
        let path = path.as_ref();
        let mut builder = Builder::default();
        let sha256 = file::stream_json_lines(path, |line, item| builder.add_line(line, item))?;
        Ok(builder.finish(path.file_stem().unwrap_or_default().to_string_lossy(), sha256))
    }

    /// The items for which `keep` holds.
    pub fn filter(mut self, keep: impl FnMut(&I) -> bool) -> Self {
        self.items.retain(keep);
        self
    }

    /// The items of these categories.
    ///
    /// # Errors
    /// [`Error::Setting`] for a category that no item has, with the nearest.
    pub fn categories(self, categories: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Self> {
        let there: BTreeSet<&str> = self.items.iter().map(|item| item.category()).collect();
        let mut wanted = HashSet::new();
        for category in categories {
            let category = category.as_ref();
            if !there.contains(category) {
                let nearest = nearest(category, there.into_iter().map(str::to_owned)).join(", ");
                return Err(Error::setting("category", category, format!("no item has it; nearest: {nearest}")));
            }
            wanted.insert(category.to_owned());
        }
        Ok(self.filter(|item| wanted.contains(item.category())))
    }

    /// At most `count` items: every stratum ([`Item::strata`]) keeps its share as nearly as whole numbers
    /// allow, and within that the items are spread over as many groups as there are. Which ones follows from
    /// the seed. The order is kept.
    pub fn limit(self, count: usize, seed: u64) -> Self {
        let all = (0..self.items.len()).collect();
        let kept = self.drawn(all, count, seed);
        self.keep(&kept)
    }

    /// At most `count` items of each category, drawn as [`Task::limit`] draws.
    pub fn limit_per_category(self, count: usize, seed: u64) -> Self {
        let mut categories: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (index, item) in self.items.iter().enumerate() {
            categories.entry(item.category()).or_default().push(index);
        }
        let kept = categories.into_values().flat_map(|members| self.drawn(members, count, seed)).collect();
        self.keep(&kept)
    }

    fn keep(self, kept: &HashSet<usize>) -> Self {
        let mut index = 0..;
        self.filter(|_| index.next().is_some_and(|index| kept.contains(&index)))
    }

    fn drawn(&self, members: Vec<usize>, count: usize, seed: u64) -> HashSet<usize> {
        let mut rng = rng(seed, "limit");
        let members = members.into_iter().map(|index| (index, self.items[index].strata())).collect();
        let mut parts = Vec::new();
        share_out(members, 0, count, &mut rng, &mut parts);
        let (mut uses, mut kept): (HashMap<&str, usize>, _) = (HashMap::new(), HashSet::new());
        for (mut members, count) in parts {
            members.shuffle(&mut rng);
            for _ in 0..count.min(members.len()) {
                let group = |index: usize| self.items[index].group();
                let least = (0..members.len()).min_by_key(|&at| uses.get(group(members[at])).copied().unwrap_or(0));
                let index = members.swap_remove(least.unwrap_or(0));
                *uses.entry(group(index)).or_default() += 1;
                kept.insert(index);
            }
        }
        kept
    }

    /// Name of the task.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The items.
    pub fn items(&self) -> &[I] {
        &self.items
    }

    /// Group of each item, `[n]`, as [`ClusterBootstrap`](crate::stats::ClusterBootstrap) takes them.
    pub fn groups(&self) -> Vec<&str> {
        self.items.iter().map(|item| item.group()).collect()
    }

    /// SHA-256 of the files that the items were read from, before they were narrowed down.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }
}

/// Splits `count` over the strata at `depth` in proportion to their sizes (largest remainders, ties by lot), and
/// so on within each; the finest strata and their counts go to `parts`.
fn share_out(
    members: Vec<(usize, Vec<String>)>,
    depth: usize,
    count: usize,
    rng: &mut ChaCha8Rng,
    parts: &mut Vec<(Vec<usize>, usize)>,
) {
    if members.iter().all(|(_, strata)| strata.len() <= depth) {
        parts.push((members.into_iter().map(|(index, _)| index).collect(), count));
        return;
    }
    let (total, count) = (members.len(), count.min(members.len()));
    let mut strata: BTreeMap<String, Vec<(usize, Vec<String>)>> = BTreeMap::new();
    for member in members {
        strata.entry(member.1.get(depth).cloned().unwrap_or_default()).or_default().push(member);
    }
    let mut strata: Vec<_> = strata.into_values().collect();
    strata.shuffle(rng);
    let whole = |members: &Vec<_>| members.len() * count / total;
    let left = count - strata.iter().map(whole).sum::<usize>();
    // Stable, so that equal remainders stay in the order of the lot.
    strata.sort_by_key(|members| std::cmp::Reverse(members.len() * count % total));
    for (place, members) in strata.into_iter().enumerate() {
        let share = whole(&members) + usize::from(place < left);
        share_out(members, depth + 1, share, rng, parts);
    }
}

/// Items on their way into a [`Task`], checked one by one.
pub(super) struct Builder<I> {
    items: Vec<I>,
    ids: HashSet<String>,
}

impl<I> Default for Builder<I> {
    fn default() -> Self {
        Builder { items: Vec::new(), ids: HashSet::new() }
    }
}

impl<I: Item> Builder<I> {
    /// Adds an item, or says what is wrong with it.
    pub fn add(&mut self, item: I) -> Result<(), String> {
        if let Some(problem) = item.problem() {
            return Err(problem);
        }
        if !self.ids.insert(item.id().to_owned()) {
            return Err(format!("id {:?} appears a second time", item.id()));
        }
        self.items.push(item);
        Ok(())
    }

    /// Adds the item of a line, numbered by it where it has no id.
    pub fn add_line(&mut self, line: u64, mut item: I) -> Result<(), String> {
        if item.id().is_empty() {
            item.number(line);
        }
        self.add(item)
    }

    pub fn finish(self, name: impl Into<String>, sha256: String) -> Task<I> {
        Task { name: name.into(), items: self.items, sha256 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::{ChoiceTask, ContextCondition, Polarity};

    #[test]
    fn a_limit_keeps_strata_in_proportion_and_spreads_over_groups() {
        let task = ChoiceTask::load(concat!(env!("CARGO_MANIFEST_DIR"), "/data/ambiguous_qa.jsonl")).unwrap();
        for seed in 0..20 {
            let some = task.clone().limit(48, seed);
            let groups: HashSet<&str> = some.items().iter().map(|item| item.group.as_str()).collect();
            assert_eq!((some.items().len(), groups.len()), (48, 24));
            let ambiguous =
                some.items().iter().filter(|item| item.condition == Some(ContextCondition::Ambiguous)).count();
            assert_eq!(ambiguous, 24);
            // 32 of 96 divide evenly down to the finest stratum.
            let even = task.clone().limit(32, seed);
            let kind = |item: &&crate::task::ChoiceItem| {
                item.category == "age"
                    && (item.condition, item.polarity) == (Some(ContextCondition::Ambiguous), Some(Polarity::Negative))
            };
            assert_eq!(even.items().iter().filter(kind).count(), 1);
        }
        assert_eq!(task.clone().limit(48, 1), task.clone().limit(48, 1));
        assert_ne!(task.clone().limit(48, 1), task.clone().limit(48, 2));
        assert_eq!(task.clone().limit(1_000, 1), task);
        assert_eq!(task.clone().limit_per_category(5, 1).items().len(), 40);
        assert!(task.limit(0, 1).items().is_empty());
    }
}
