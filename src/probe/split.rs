//! Training and test parts that no group straddles.

use std::collections::BTreeMap;

use ndarray::Array2;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use super::Training;
use crate::stats::rng;
use crate::text::Labels;
use crate::{Error, Result};

/// Splits rows by group, with both labels in both parts in about the given share.
///
/// Groups come in random order; each goes to the test part if that brings the test part's share of both
/// labels nearer to `test_fraction`. With few or very unequal groups the shares can miss it by much; what is
/// certain is that no group is in both parts and that both labels are in both.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[must_use]
pub struct GroupSplit {
    test_fraction: f64,
    seed: u64,
}

impl Default for GroupSplit {
    fn default() -> Self {
        GroupSplit { test_fraction: 0.25, seed: 0 }
    }
}

/// Row numbers of the two parts, each in ascending order.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Split {
    /// Rows to fit on.
    pub train: Vec<usize>,
    /// Rows held out.
    pub test: Vec<usize>,
}

/// One group: its rows, and how many of them are moral and immoral.
struct Group {
    rows: Vec<usize>,
    counts: [f64; 2],
    in_test: bool,
}

impl GroupSplit {
    /// Sets the share of the rows to hold out, default 0.25.
    pub fn test_fraction(mut self, fraction: f64) -> Self {
        self.test_fraction = fraction;
        self
    }

    /// Sets the seed, default 0.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    pub(super) fn describe(&self) -> String {
        format!("by group, test_fraction {}, seed {}", self.test_fraction, self.seed)
    }

    pub(super) fn validate(&self) -> Result<()> {
        if self.test_fraction > 0.0 && self.test_fraction < 1.0 {
            return Ok(());
        }
        Err(Error::setting("test_fraction", self.test_fraction, "above 0 and below 1"))
    }

    /// The split of these rows. It depends on labels, groups and seed only.
    ///
    /// # Errors
    /// [`Error::OneClass`] if both labels cannot be in both parts; [`Error::Setting`].
    pub fn split(&self, labels: &Labels) -> Result<Split> {
        self.validate()?;
        let mut by_name: BTreeMap<&str, Group> = BTreeMap::new();
        let mut totals = [0.0; 2];
        for (row, (&label, name)) in labels.labels().iter().zip(labels.groups()).enumerate() {
            let group =
                by_name.entry(name).or_insert_with(|| Group { rows: Vec::new(), counts: [0.0; 2], in_test: false });
            group.rows.push(row);
            group.counts[usize::from(label)] += 1.0;
            totals[usize::from(label)] += 1.0;
        }
        if let Some(absent) = totals.iter().position(|&rows| rows == 0.0) {
            return Err(Error::OneClass { part: "whole", label: 1 - absent as u8 });
        }
        // Sorted by name before the shuffle: the order of the rows does not matter.
        let mut groups: Vec<Group> = by_name.into_values().collect();
        groups.shuffle(&mut rng(self.seed, "split"));

        let distance = |test: [f64; 2]| -> f64 {
            test.iter().zip(totals).map(|(rows, total)| (rows / total - self.test_fraction).powi(2)).sum()
        };
        let mut test = [0.0; 2];
        for group in &mut groups {
            let with = [test[0] + group.counts[0], test[1] + group.counts[1]];
            if distance(with) < distance(test) {
                (group.in_test, test) = (true, with);
            }
        }
        give_missing_labels(&mut groups, &mut test, totals, distance);
        for (part, counts) in [("training", [totals[0] - test[0], totals[1] - test[1]]), ("test", test)] {
            if let Some(absent) = counts.iter().position(|&rows| rows <= 0.0) {
                return Err(Error::OneClass { part, label: 1 - absent as u8 });
            }
        }
        let rows = |in_test: bool| {
            let mut rows: Vec<usize> = groups
                .iter()
                .filter(|group| group.in_test == in_test)
                .flat_map(|group| group.rows.iter().copied())
                .collect();
            rows.sort_unstable();
            rows
        };
        Ok(Split { train: rows(false), test: rows(true) })
    }
}

/// A part that lacks a label gets the group that does the least harm to the shares, by their `distance`.
fn give_missing_labels(
    groups: &mut [Group],
    test: &mut [f64; 2],
    totals: [f64; 2],
    distance: impl Fn([f64; 2]) -> f64,
) {
    for (to_test, label) in [(true, 0), (true, 1), (false, 0), (false, 1)] {
        let there = if to_test { test[label] } else { totals[label] - test[label] };
        if there > 0.0 {
            continue;
        }
        let sign = if to_test { 1.0 } else { -1.0 };
        let after = |group: &Group| [test[0] + sign * group.counts[0], test[1] + sign * group.counts[1]];
        let best = groups
            .iter_mut()
            .filter(|group| group.in_test != to_test && group.counts[label] > 0.0)
            .min_by(|a, b| distance(after(a)).total_cmp(&distance(after(b))));
        if let Some(group) = best {
            *test = after(group);
            group.in_test = to_test;
        }
    }
}

/// Folds for cross-validation: no group is in two of them, and each has about its share of both labels.
///
/// Groups go from the largest to the smallest, in random order among equals, each to the fold that it leaves most
/// even over both labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[must_use]
pub struct GroupFolds {
    folds: usize,
    seed: u64,
}

impl Default for GroupFolds {
    fn default() -> Self {
        GroupFolds { folds: 5, seed: 0 }
    }
}

impl GroupFolds {
    /// Sets the number of folds, default 5, at least 2.
    pub fn folds(mut self, folds: usize) -> Self {
        self.folds = folds;
        self
    }

    /// Sets the seed, default 0.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    pub(super) fn describe(&self) -> String {
        format!("{} folds by group, seed {}", self.folds, self.seed)
    }

    pub(super) fn validate(&self) -> Result<()> {
        match self.folds {
            0 | 1 => Err(Error::setting("folds", self.folds, "at least 2; 5 is usual")),
            _ => Ok(()),
        }
    }

    /// The number of the fold of each row, `[n]`. It depends on labels, groups and seed only.
    ///
    /// # Errors
    /// [`Error::Setting`], also for more folds than groups; [`Error::OneClass`] if all rows of one label are in one
    /// fold, so that the others cannot train without it.
    pub fn assign(&self, labels: &Labels) -> Result<Vec<usize>> {
        self.assign_by(labels.labels(), labels.groups())
    }

    /// For each fold the training rows outside it, the states of those in it, `[rows, d]`, and their labels.
    ///
    /// # Errors
    /// Those of [`GroupFolds::assign`].
    pub(super) fn divide<'a>(
        &self,
        training: &'a Training,
    ) -> Result<impl Iterator<Item = (Training, Array2<f32>, Vec<bool>)> + 'a> {
        let fold_of = self.assign_by(&training.labels, &training.groups)?;
        Ok((0..self.folds).map(move |fold| {
            let inside = |row: usize| fold_of.get(row) == Some(&fold);
            let (part, held_out) = training.divided(|row| !inside(row));
            let labels = training.labels.iter().enumerate().filter(|(row, _)| inside(*row)).map(|(_, &label)| label);
            (part, held_out, labels.collect())
        }))
    }

    /// The number of the fold of each row, for groups of any kind; their order is what the seed shuffles.
    pub(super) fn assign_by<G: Ord>(&self, labels: &[bool], groups: &[G]) -> Result<Vec<usize>> {
        self.validate()?;
        let mut by_name: BTreeMap<&G, (Vec<usize>, [f64; 2])> = BTreeMap::new();
        let mut totals = [0.0_f64; 2];
        for (row, (&label, name)) in labels.iter().zip(groups).enumerate() {
            let (rows, counts) = by_name.entry(name).or_default();
            rows.push(row);
            counts[usize::from(label)] += 1.0;
            totals[usize::from(label)] += 1.0;
        }
        if by_name.len() < self.folds {
            let most = format!("at most the {} groups", by_name.len());
            return Err(Error::setting("folds", self.folds, most));
        }
        let mut groups: Vec<(Vec<usize>, [f64; 2])> = by_name.into_values().collect();
        groups.shuffle(&mut rng(self.seed, "folds"));
        groups.sort_by_key(|(rows, _)| std::cmp::Reverse(rows.len()));

        let mut counts = vec![[0.0; 2]; self.folds];
        let mut fold_of = vec![0; labels.len()];
        for (rows, of_group) in groups {
            // Sum of squared shares after the group came: it grows least where there is most room.
            let cost = |fold: &[f64; 2]| -> f64 {
                let share = |label: usize| (2.0 * fold[label] + of_group[label]) * of_group[label];
                (0..2).map(|label| share(label) / totals[label].max(1.0).powi(2)).sum()
            };
            let best = (0..self.folds).min_by(|&a, &b| {
                let of = |fold: usize| counts.get(fold).map_or((f64::INFINITY, 0.0), |at| (cost(at), at[0] + at[1]));
                of(a).0.total_cmp(&of(b).0).then(of(a).1.total_cmp(&of(b).1))
            });
            let Some(best) = best else { continue };
            if let Some(fold) = counts.get_mut(best) {
                (fold[0], fold[1]) = (fold[0] + of_group[0], fold[1] + of_group[1]);
            }
            for row in rows {
                if let Some(slot) = fold_of.get_mut(row) {
                    *slot = best;
                }
            }
        }
        for label in [0, 1] {
            if counts.iter().any(|fold| fold[label] == totals[label]) {
                return Err(Error::OneClass { part: "training", label: 1 - label as u8 });
            }
        }
        Ok(fold_of)
    }
}
