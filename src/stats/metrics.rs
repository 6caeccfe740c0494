//! Classification metrics.

/// Area under the receiver operating characteristic: the chance that a positive scores above a negative,
/// ties counted half (midranks, so exact). `None` with one class only, unequal lengths or a NaN score.
///
/// ```
/// let scores = [0.1, 0.4, 0.4, 0.8];
/// assert_eq!(probity::stats::auroc(&scores, &[false, true, false, true]), Some(0.875));
/// ```
pub fn auroc(scores: &[f64], positive: &[bool]) -> Option<f64> {
    Ranking::new(scores, positive)?.auroc()
}

/// Mean negative log-likelihood in nats of labels under probabilities of the positive class, clipped to
/// `[1e-15, 1 - 1e-15]`. `None` without rows or with unequal lengths.
pub fn log_loss(probabilities: &[f64], positive: &[bool]) -> Option<f64> {
    const CLIP: f64 = 1e-15;
    if probabilities.len() != positive.len() || positive.is_empty() {
        return None;
    }
    let total: f64 = probabilities
        .iter()
        .zip(positive)
        .map(|(&p, &positive)| -(if positive { p } else { 1.0 - p }).clamp(CLIP, 1.0 - CLIP).ln())
        .sum();
    Some(total / positive.len() as f64)
}

/// Share of predictions that equal the labels. `None` without rows or with unequal lengths.
pub fn accuracy(predicted: &[bool], actual: &[bool]) -> Option<f64> {
    if predicted.len() != actual.len() || actual.is_empty() {
        return None;
    }
    let right = predicted.iter().zip(actual).filter(|(predicted, actual)| predicted == actual).count();
    Some(right as f64 / actual.len() as f64)
}

/// Scores sorted once, so that the AUROC of many reweightings of the rows costs one pass each.
#[derive(Debug, Clone)]
pub struct Ranking {
    rows: Vec<Ranked>,
}

#[derive(Debug, Clone)]
struct Ranked {
    row: usize,
    positive: bool,
    /// Whether the next row, if any, has a higher score.
    ends_tie: bool,
}

impl Ranking {
    /// Sorts scores, `[n]`, with their labels, `[n]`. `None` with unequal lengths or a NaN score.
    pub fn new(scores: &[f64], positive: &[bool]) -> Option<Self> {
        if scores.len() != positive.len() || scores.iter().any(|score| score.is_nan()) {
            return None;
        }
        let mut sorted: Vec<(f64, usize, bool)> =
            scores.iter().zip(positive).enumerate().map(|(row, (&score, &positive))| (score, row, positive)).collect();
        // Adding 0.0 makes -0.0 and 0.0 the tie that they are.
        sorted.sort_by(|a, b| (a.0 + 0.0).total_cmp(&(b.0 + 0.0)));
        let ends = sorted.iter().skip(1).zip(&sorted).map(|(next, this)| next.0 > this.0).chain([true]);
        let rows =
            sorted.iter().zip(ends).map(|(&(_, row, positive), ends_tie)| Ranked { row, positive, ends_tie }).collect();
        Some(Ranking { rows })
    }

    /// AUROC; `None` with one class only.
    pub fn auroc(&self) -> Option<f64> {
        self.area(|_| 1.0)
    }

    /// AUROC with row weights, `[n]` and not negative; `None` where one class has no weight.
    pub fn weighted_auroc(&self, weights: &[f64]) -> Option<f64> {
        self.area(|row| weights.get(row).copied().unwrap_or(0.0))
    }

    fn area(&self, weight: impl Fn(usize) -> f64) -> Option<f64> {
        let (mut positives, mut negatives, mut area) = (0.0, 0.0, 0.0);
        let (mut tied_positives, mut tied_negatives) = (0.0, 0.0);
        for ranked in &self.rows {
            let tied = if ranked.positive { &mut tied_positives } else { &mut tied_negatives };
            *tied += weight(ranked.row);
            if ranked.ends_tie {
                area += tied_positives * (negatives + 0.5 * tied_negatives);
                positives += tied_positives;
                negatives += tied_negatives;
                (tied_positives, tied_negatives) = (0.0, 0.0);
            }
        }
        (positives > 0.0 && negatives > 0.0).then(|| area / (positives * negatives))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::{normals, rng};

    #[test]
    fn auroc_equals_the_count_over_all_pairs() {
        let mut scores = vec![0.0; 60];
        normals(&mut rng(1, "auroc"), &mut scores);
        scores.iter_mut().for_each(|score| *score = (*score * 3.0).round());
        let positive: Vec<bool> = (0..60).map(|row| row % 3 == 0).collect();
        let weights: Vec<f64> = (0..60).map(|row| (row % 4) as f64).collect();
        let (mut won, mut pairs, mut weighted_won, mut weighted_pairs) = (0.0, 0.0, 0.0, 0.0);
        for (i, _) in positive.iter().enumerate().filter(|(_, &positive)| positive) {
            for (j, _) in positive.iter().enumerate().filter(|(_, &positive)| !positive) {
                let win = if scores[i] > scores[j] { 1.0 } else { 0.5 * f64::from(u8::from(scores[i] == scores[j])) };
                (won, pairs) = (won + win, pairs + 1.0);
                weighted_won += win * weights[i] * weights[j];
                weighted_pairs += weights[i] * weights[j];
            }
        }
        assert!((auroc(&scores, &positive).unwrap() - won / pairs).abs() < 1e-15);
        let ranking = Ranking::new(&scores, &positive).unwrap();
        assert!((ranking.weighted_auroc(&weights).unwrap() - weighted_won / weighted_pairs).abs() < 1e-14);
    }

    #[test]
    fn ties_and_single_classes() {
        assert_eq!(auroc(&[0.0, -0.0, 0.0], &[true, false, true]), Some(0.5));
        assert_eq!(auroc(&[1.0, 2.0], &[true, true]), None);
        assert_eq!(auroc(&[1.0], &[true, false]), None);
        assert_eq!(auroc(&[f64::NAN, 1.0], &[true, false]), None);
        assert_eq!(auroc(&[], &[]), None);
    }

    #[test]
    fn losses() {
        assert!((log_loss(&[0.5, 0.25], &[true, false]).unwrap() - (2.0_f64.ln() - 0.75_f64.ln()) / 2.0).abs() < 1e-15);
        assert!(log_loss(&[0.0], &[true]).unwrap().is_finite());
        assert_eq!(accuracy(&[true, false], &[true, true]), Some(0.5));
        assert_eq!(accuracy(&[], &[]), None);
    }
}
