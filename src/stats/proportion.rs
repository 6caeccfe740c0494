//! Shares, paired changes of shares, and correlations, with their classical intervals.

use super::{normal_upper_quantile, Interval};

/// Wilson's score interval of a share (Wilson 1927). `None` without trials, with more successes than trials, or
/// unless 0 < level < 1.
///
/// ```
/// let share = probity::stats::wilson(8, 10, 0.95).unwrap();
/// assert!((share.low - 0.4901624715).abs() < 1e-9 && (share.high - 0.9433178485).abs() < 1e-9);
/// ```
pub fn wilson(successes: usize, trials: usize, level: f64) -> Option<Interval> {
    (trials > 0 && successes <= trials).then(|| wilson_of(successes as f64 / trials as f64, trials as f64, level))?
}

/// [`wilson`] of a share of so many trials, which need be no whole number; without any, of everything from 0 to 1.
pub(super) fn wilson_of(share: f64, n: f64, level: f64) -> Option<Interval> {
    let z = z_of(level)?;
    if n <= 0.0 {
        return Some(Interval { estimate: share, low: 0.0, high: 1.0 });
    }
    let shrink = 1.0 + z * z / n;
    let centre = (share + z * z / (2.0 * n)) / shrink;
    let half = z / shrink * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).sqrt();
    // At the ends the bound is the share itself, which rounding would miss.
    let low = if share <= 0.0 { 0.0 } else { (centre - half).max(0.0) };
    let high = if share >= 1.0 { 1.0 } else { (centre + half).min(1.0) };
    Some(Interval { estimate: share, low, high })
}

/// McNemar's exact test, two-sided, from the numbers of pairs that changed in either direction: twice the
/// binomial tail at 1/2, at most 1. The pairs must be independent: clustered pairs need a clustered interval.
pub fn mcnemar_exact(one_way: usize, other_way: usize) -> f64 {
    let n = one_way.saturating_add(other_way);
    let (mut log_choose, mut log_terms) = (0.0, Vec::new());
    for k in 0..=one_way.min(other_way) {
        log_terms.push(log_choose - n as f64 * std::f64::consts::LN_2);
        log_choose += ((n - k) as f64).ln() - ((k + 1) as f64).ln();
    }
    (2.0 * log_terms.iter().map(|term: &f64| term.exp()).sum::<f64>()).min(1.0)
}

/// Pearson's correlation. `None` with unequal lengths, fewer than two pairs, or a side that does not vary.
pub fn pearson(x: &[f64], y: &[f64]) -> Option<f64> {
    weighted_pearson(x, y, &vec![1.0; x.len()])
}

/// Pearson's correlation with weights, `[n]` and not negative.
pub fn weighted_pearson(x: &[f64], y: &[f64], weights: &[f64]) -> Option<f64> {
    if x.len() != y.len() || x.len() != weights.len() {
        return None;
    }
    let total: f64 = weights.iter().sum();
    let mean = |values: &[f64]| values.iter().zip(weights).map(|(value, w)| w * value).sum::<f64>() / total;
    let (mean_x, mean_y) = (mean(x), mean(y));
    let (mut xx, mut yy, mut xy) = (0.0, 0.0, 0.0);
    for ((x, y), w) in x.iter().zip(y).zip(weights) {
        let (x, y) = (x - mean_x, y - mean_y);
        xx += w * x * x;
        yy += w * y * y;
        xy += w * x * y;
    }
    (xx > 0.0 && yy > 0.0).then(|| (xy / (xx * yy).sqrt()).clamp(-1.0, 1.0))
}

/// Interval of a correlation of `n` independent pairs by Fisher's z: tanh(atanh r ± z / sqrt(n - 3)) (Fisher
/// 1921). `None` with fewer than four pairs, |r| > 1, or unless 0 < level < 1.
pub fn fisher_interval(r: f64, n: usize, level: f64) -> Option<Interval> {
    let z = z_of(level).filter(|_| n > 3 && r.abs() <= 1.0)?;
    let half = z / ((n - 3) as f64).sqrt();
    Some(Interval { estimate: r, low: (r.atanh() - half).tanh(), high: (r.atanh() + half).tanh() })
}

fn z_of(level: f64) -> Option<f64> {
    (level > 0.0 && level < 1.0).then(|| normal_upper_quantile((1.0 - level) / 2.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mcnemar_by_hand() {
        // 2 (1 + 5) / 2^5; as many either way; nothing changed.
        assert!((mcnemar_exact(1, 4) - 0.375).abs() < 1e-15);
        assert_eq!(mcnemar_exact(4, 1), mcnemar_exact(1, 4));
        assert!((mcnemar_exact(0, 6) - 2.0 / 64.0).abs() < 1e-15);
        assert_eq!((mcnemar_exact(3, 3), mcnemar_exact(0, 0)), (1.0, 1.0));
        assert!(mcnemar_exact(0, 3_000) < 1e-300);
    }

    #[test]
    fn correlations_by_hand() {
        let r = pearson(&[1.0, 2.0, 3.0, 4.0], &[1.0, 3.0, 2.0, 4.0]).unwrap();
        assert!((r - 0.8).abs() < 1e-15);
        assert_eq!(pearson(&[1.0, 1.0], &[0.0, 1.0]), None);
        assert_eq!(pearson(&[1.0], &[0.0, 1.0]), None);
        let weighted = weighted_pearson(&[1.0, 2.0, 3.0, 9.0], &[1.0, 3.0, 2.0, 0.0], &[1.0, 1.0, 1.0, 0.0]);
        assert!((weighted.unwrap() - 0.5).abs() < 1e-15);
        let all = fisher_interval(1.0, 10, 0.95).unwrap();
        assert_eq!((all.low, all.high), (1.0, 1.0));
        assert!(fisher_interval(0.2, 3, 0.95).is_none());
    }

    #[test]
    fn shares_at_the_ends() {
        let none = wilson(0, 10, 0.95).unwrap();
        assert_eq!(none.low, 0.0);
        // z^2 / (n + z^2)
        assert!((none.high - 0.2775327998628892).abs() < 1e-12);
        assert!(wilson(0, 0, 0.95).is_none() && wilson(2, 1, 0.95).is_none() && wilson(1, 2, 1.0).is_none());
    }
}
