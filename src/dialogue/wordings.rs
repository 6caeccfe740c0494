//! Which item is asked in which wording.

use std::collections::HashMap;

use rand::seq::SliceRandom;

use crate::stats::rng;

/// The number of each item's wording, `[n]`: items in random order, group by group, take the wordings in turn. So each wording
/// has as many items as another (or one more), and the items of a group have as many different ones as there can be, whatever
/// the order in which the benchmark lists them.
pub(super) fn assign<'a>(groups: impl Iterator<Item = &'a str>, wordings: usize, seed: u64) -> Vec<usize> {
    let mut numbers: HashMap<&str, usize> = HashMap::new();
    let mut members: Vec<Vec<usize>> = Vec::new();
    let mut rows = 0;
    for group in groups {
        let next = numbers.len();
        let number = *numbers.entry(group).or_insert(next);
        match members.get_mut(number) {
            Some(members) => members.push(rows),
            None => members.push(vec![rows]),
        }
        rows += 1;
    }
    let mut rng = rng(seed, "wordings");
    members.shuffle(&mut rng);
    let mut order = Vec::with_capacity(rows);
    for mut members in members {
        members.shuffle(&mut rng);
        order.extend(members);
    }
    let mut wording = vec![0; rows];
    for (turn, row) in order.into_iter().enumerate() {
        if let Some(wording) = wording.get_mut(row) {
            *wording = turn % wordings.max(1);
        }
    }
    wording
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wordings_are_spread_evenly_over_items_and_within_groups() {
        // 9 groups of 4 items each, of which the first is always of another kind.
        let groups: Vec<String> = (0..36).map(|row| (row / 4).to_string()).collect();
        let of = |seed: u64| assign(groups.iter().map(String::as_str), 4, seed);
        let found = of(1);
        for wording in 0..4 {
            assert_eq!(found.iter().filter(|other| **other == wording).count(), 9);
        }
        for group in found.chunks(4) {
            let mut group = group.to_vec();
            group.sort_unstable();
            assert_eq!(group, [0, 1, 2, 3]);
        }
        // No wording goes with a place in the group.
        let first: Vec<usize> = found.iter().step_by(4).copied().collect();
        assert!(first.iter().any(|wording| *wording != first[0]), "{first:?}");
        assert_eq!(found, of(1));
        assert_ne!(found, of(2));
    }
}
