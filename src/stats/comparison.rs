//! Whether one scorer ranks the same rows better than another.

use rand::Rng;
use rayon::prelude::*;

use super::bootstrap::{number_clusters, MAX_DRAWS};
use super::directions::monte_carlo_p;
use super::{normal_cdf, normal_upper_quantile, rng, Interval, Ranking};
use crate::{Error, Result};

/// The difference of the AUROCs of two scorers of the same rows.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct AurocDifference {
    /// AUROC of the first scorer.
    pub first: f64,
    /// AUROC of the second.
    pub second: f64,
    /// First minus second, with its 95 % normal interval.
    pub difference: Interval,
    /// Standard error of the difference.
    pub standard_error: f64,
    /// Two-sided p-value, from the normal distribution; 1 where the standard error is 0.
    pub p: f64,
}

impl AurocDifference {
    /// The test of DeLong, DeLong and Clarke-Pearson (1988), by midranks (Sun and Xu 2014: a sort instead of all
    /// pairs). Rows must be independent: with several rows of one prompt or template it claims too much, and
    /// [`AurocDifference::clustered`] is the test.
    ///
    /// `None` with unequal lengths, a NaN score, or fewer than two rows of a class.
    pub fn delong(first: &[f64], second: &[f64], positive: &[bool]) -> Option<Self> {
        Self::new([first, second], positive, &(0..positive.len()).collect::<Vec<_>>(), positive.len())
    }

    /// DeLong's test for rows that belong together in `groups`, `[n]` (Obuchowski 1997). The normal distribution asks
    /// for some 20 groups at least of each class.
    ///
    /// `None` with unequal lengths, a NaN score, or a class in fewer than two groups.
    pub fn clustered(first: &[f64], second: &[f64], positive: &[bool], groups: &[impl AsRef<str>]) -> Option<Self> {
        let (cluster_of_row, clusters) = number_clusters(groups);
        Self::new([first, second], positive, &cluster_of_row, clusters)
    }

    fn new(scores: [&[f64]; 2], positive: &[bool], cluster_of_row: &[usize], clusters: usize) -> Option<Self> {
        if cluster_of_row.len() != positive.len() {
            return None;
        }
        let [first, second] = scores.map(|scores| Ranking::new(scores, positive));
        let (first, second) = (first?, second?);
        let influence = |ranking: &Ranking| ranking.influence(cluster_of_row, clusters);
        // Rounding can leave a variance of 0 just below it.
        let variance = influence(&first)?.minus(&influence(&second)?).variance()?.max(0.0);
        let (first, second) = (first.auroc()?, second.auroc()?);
        let (estimate, standard_error) = (first - second, variance.sqrt());
        let reach = normal_upper_quantile(0.025) * standard_error;
        let p = if standard_error > 0.0 { 2.0 * normal_cdf(-(estimate / standard_error).abs()) } else { 1.0 };
        let difference = Interval { estimate, low: estimate - reach, high: estimate + reach };
        Some(AurocDifference { first, second, difference, standard_error, p })
    }
}

/// Two-sided p-value of the difference of two AUROCs by permutation: both scores of a row are turned into ranks,
/// and in each draw the two scorers are exchanged in a random half of the groups, whole groups at a time (Bandos,
/// Rockette and Gur 2005). It asks for no large sample, but its null is that the two are exchangeable, not only
/// that their AUROCs are equal. Never 0: (1 + draws as far as observed) / (1 + draws).
///
/// # Errors
/// [`Error::RowCount`]; [`Error::NotFinite`]; [`Error::OneClass`]; [`Error::Setting`] without draws or with more
/// than a million.
pub fn auroc_permutation_p(
    scores: [&[f64]; 2],
    positive: &[bool],
    groups: &[impl AsRef<str>],
    draws: usize,
    seed: u64,
) -> Result<f64> {
    let n = positive.len();
    for (what, found) in [("scores", scores[0].len()), ("scores", scores[1].len()), ("groups", groups.len())] {
        if found != n {
            return Err(Error::row_count(what, n, found));
        }
    }
    if !(1..=MAX_DRAWS).contains(&draws) {
        return Err(Error::setting("draws", draws, format!("1 to {MAX_DRAWS}")));
    }
    if let Some(row) = (0..n).find(|&row| scores.iter().any(|scores| !scores[row].is_finite())) {
        return Err(Error::not_finite("scores", row, row.to_string()));
    }
    let ranks = scores.map(midranks);
    let (cluster_of_row, clusters) = number_clusters(groups);
    let one_class = || Error::OneClass { part: "whole", label: u8::from(positive.contains(&true)) };
    let auroc = |ranks: &[f64]| Ranking::new(ranks, positive).and_then(|ranking| ranking.auroc());
    let difference = |swapped: &[bool]| {
        let pick = |side: usize| -> Vec<f64> {
            let side = |row: usize| side ^ usize::from(swapped[cluster_of_row[row]]);
            (0..n).map(|row| ranks[side(row)][row]).collect()
        };
        Some(auroc(&pick(0))? - auroc(&pick(1))?)
    };
    let observed = difference(&vec![false; clusters]).ok_or_else(one_class)?;
    let null: Vec<f64> = (0..draws)
        .into_par_iter()
        .filter_map(|draw| {
            let mut rng = rng(seed, &format!("swap {draw}"));
            difference(&(0..clusters).map(|_| rng.gen()).collect::<Vec<bool>>())
        })
        .collect();
    // Sums in another order may differ in the last digits: a tie with what was observed must stay one.
    Ok(monte_carlo_p(&null, observed.abs() * (1.0 - 1e-12)))
}

/// The rank of each value from 1, equal values sharing the mean of theirs.
fn midranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| (values[a] + 0.0).total_cmp(&(values[b] + 0.0)));
    let mut ranks = vec![0.0; values.len()];
    let mut below = 0;
    for tie in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let rank = below as f64 + 0.5 * (tie.len() + 1) as f64;
        tie.iter().for_each(|&row| ranks[row] = rank);
        below += tie.len();
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_scorers_do_not_differ() {
        let scores = [0.3, 0.9, 0.1, 0.5, 0.2, 0.7];
        let positive = [true, true, false, true, false, false];
        let test = AurocDifference::delong(&scores, &scores, &positive).unwrap();
        assert_eq!((test.difference.estimate, test.standard_error, test.p), (0.0, 0.0, 1.0));
        let groups = ["a", "b", "c", "d", "e", "f"];
        assert_eq!(auroc_permutation_p([&scores, &scores], &positive, &groups, 99, 0).unwrap(), 1.0);
        // A scorer on another scale ranks the same.
        let scaled = scores.map(|score| 100.0 * score - 7.0);
        assert_eq!(auroc_permutation_p([&scores, &scaled], &positive, &groups, 99, 0).unwrap(), 1.0);
    }

    #[test]
    fn what_cannot_be_tested_is_refused() {
        assert!(AurocDifference::delong(&[1.0, 2.0], &[1.0, 2.0], &[true, true]).is_none());
        assert!(AurocDifference::delong(&[1.0, 2.0], &[1.0, 2.0], &[true, false]).is_none());
        assert!(AurocDifference::clustered(&[1.0, 2.0], &[1.0, 2.0], &[true, false], &["a"]).is_none());
        let p = |first: &[f64], positive: &[bool], draws| {
            auroc_permutation_p([first, &[1.0, 2.0]], positive, &["a", "b"], draws, 0)
        };
        assert!(matches!(p(&[1.0], &[true, false], 9), Err(Error::RowCount { .. })));
        assert!(matches!(p(&[1.0, f64::NAN], &[true, false], 9), Err(Error::NotFinite(at)) if at.row == 1));
        assert!(matches!(p(&[1.0, 2.0], &[true, true], 9), Err(Error::OneClass { .. })));
        assert!(matches!(p(&[1.0, 2.0], &[true, false], 0), Err(Error::Setting { .. })));
    }
}
