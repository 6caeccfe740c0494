//! Labels permuted over groups.

use std::collections::BTreeMap;

use rand::seq::SliceRandom;

use super::rng;

/// `draws` permutations of `labels`, `[n]`, that keep `groups`, `[n]`, whole: labels of groups with one label move among
/// these groups, labels of mixed groups move inside their group. Groups of unequal size change the share of `true`, and
/// may leave one label only.
pub fn permuted_labels(labels: &[bool], groups: &[impl AsRef<str>], draws: usize, seed: u64) -> Vec<Vec<bool>> {
    let mut rows_of: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (row, (_, group)) in labels.iter().zip(groups).enumerate() {
        rows_of.entry(group.as_ref()).or_default().push(row);
    }
    let is_pure = |rows: &&Vec<usize>| rows.windows(2).all(|pair| labels[pair[0]] == labels[pair[1]]);
    let (pure, mixed): (Vec<&Vec<usize>>, Vec<&Vec<usize>>) = rows_of.values().partition(is_pure);
    let mut of_pure: Vec<bool> = pure.iter().filter_map(|rows| rows.first()).map(|&row| labels[row]).collect();
    let mut rng = rng(seed, "permuted labels");
    let mut one = || {
        let mut permuted = labels.to_vec();
        of_pure.shuffle(&mut rng);
        for (rows, &label) in pure.iter().zip(&of_pure) {
            rows.iter().for_each(|&row| permuted[row] = label);
        }
        for rows in &mixed {
            let mut inside: Vec<bool> = rows.iter().map(|&row| labels[row]).collect();
            inside.shuffle(&mut rng);
            rows.iter().zip(inside).for_each(|(&row, label)| permuted[row] = label);
        }
        permuted
    };
    (0..draws).map(|_| one()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_stay_whole_and_shares_stay() {
        let labels = [true, true, false, false, true, false, false, true, true, false];
        let groups = ["a", "a", "b", "b", "c", "c", "d", "e", "f", "g"];
        let draws = permuted_labels(&labels, &groups, 500, 1);
        for permuted in &draws {
            assert!(permuted[0] == permuted[1] && permuted[2] == permuted[3] && permuted[4] != permuted[5]);
        }
        let moved = |row: usize| draws.iter().filter(|permuted| permuted[row] != labels[row]).count() as f64 / 500.0;
        // Three of the six pure groups are `true`: a label is another with chance 1/2.
        assert!((moved(0) - 0.5).abs() < 0.08 && (moved(9) - 0.5).abs() < 0.08 && (moved(4) - 0.5).abs() < 0.08);
        assert_eq!(draws, permuted_labels(&labels, &groups, 500, 1));
    }
}
