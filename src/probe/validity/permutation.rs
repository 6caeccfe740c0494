//! Held-out labels permuted over groups.

use std::collections::BTreeMap;

use rand::seq::SliceRandom;

use super::{both, Case, Estimator};
use crate::stats::{auroc, pick, rng};

/// One-sided p-value of the held-out AUROC, (k + 1) / (B + 1) with k = permutations whose AUROC is at least as high
/// (Phipson and Smyth 2010); `None` without permutations.
///
/// Labels of groups with one label move among these groups; labels of mixed groups move inside their group. So the
/// groups stay whole, and the test is exact where groups, and rows of a mixed group, are exchangeable.
pub(super) fn p<E: Estimator>(case: &Case<'_, E>, decisions: &[f64], permutations: usize) -> Option<f64> {
    let labels = case.held_out.held_out_labels();
    if permutations == 0 || !both(labels.iter().copied()) {
        return None;
    }
    let observed = auroc(decisions, &labels)?;
    let mut groups: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (row, group) in pick(case.labels().groups(), &case.split().test).into_iter().enumerate() {
        groups.entry(group).or_default().push(row);
    }
    let is_pure = |rows: &&Vec<usize>| !both(pick(&labels, rows));
    let (pure, mixed): (Vec<&Vec<usize>>, Vec<&Vec<usize>>) = groups.values().partition(is_pure);
    let mut of_pure: Vec<bool> = pure.iter().filter_map(|rows| labels.get(*rows.first()?).copied()).collect();
    let mut rng = rng(case.seed, "label permutations");
    let mut permuted = labels.clone();
    let put = |row: usize, label: bool, permuted: &mut Vec<bool>| {
        if let Some(cell) = permuted.get_mut(row) {
            *cell = label;
        }
    };
    let mut as_high = 0;
    for _ in 0..permutations {
        of_pure.shuffle(&mut rng);
        for (rows, &label) in pure.iter().zip(&of_pure) {
            rows.iter().for_each(|&row| put(row, label, &mut permuted));
        }
        for rows in &mixed {
            let mut inside = pick(&labels, rows);
            inside.shuffle(&mut rng);
            rows.iter().zip(inside).for_each(|(&row, label)| put(row, label, &mut permuted));
        }
        // A permutation over unequal groups may leave one class only: it counts as no evidence.
        as_high += usize::from(auroc(decisions, &permuted).is_none_or(|auroc| auroc >= observed));
    }
    Some((1 + as_high) as f64 / (1 + permutations) as f64)
}
