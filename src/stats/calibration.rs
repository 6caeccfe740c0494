//! Whether probabilities mean what they say, and scalings that make them.

use super::{logistic, quantile};

/// How probabilities are put into bins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binning {
    /// Bins of equal width over 0 to 1.
    EqualWidth,
    /// Bins with about equally many rows, between quantiles of the probabilities; equal probabilities share a
    /// bin.
    EqualMass,
}

/// One bin of a reliability diagram.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct ReliabilityBin {
    /// Rows.
    pub rows: usize,
    /// Mean probability of the positive class.
    pub probability: f64,
    /// Share of positives.
    pub share: f64,
}

/// The bins of a reliability diagram that hold rows, in order of probability.
///
/// A bin holds its upper edge and not its lower one, but the first holds 0 too, so that no row from 0 to 1 falls
/// outside. Probabilities beyond 0 and 1 go to the first and last bin. `None` without rows or bins, with unequal
/// lengths or a NaN.
pub fn reliability(
    probabilities: &[f64],
    positive: &[bool],
    bins: usize,
    binning: Binning,
) -> Option<Vec<ReliabilityBin>> {
    let n = probabilities.len();
    if n != positive.len() || n == 0 || bins == 0 || probabilities.iter().any(|p| p.is_nan()) {
        return None;
    }
    // More bins than rows cannot all be filled.
    let bins = bins.min(MAX_BINS);
    let edge = |index: usize| index as f64 / bins as f64;
    let edges: Vec<f64> = match binning {
        Binning::EqualWidth => (1..bins).map(edge).collect(),
        Binning::EqualMass => {
            let mut sorted = probabilities.to_vec();
            sorted.sort_by(f64::total_cmp);
            (1..bins).map(|index| quantile(&sorted, edge(index))).collect()
        }
    };
    let mut sums = vec![(0_usize, 0.0, 0.0); bins];
    for (&p, &positive) in probabilities.iter().zip(positive) {
        let (rows, probability, positives) = &mut sums[edges.partition_point(|&edge| edge < p)];
        *rows += 1;
        *probability += p;
        *positives += f64::from(u8::from(positive));
    }
    let filled = sums.into_iter().filter(|&(rows, ..)| rows > 0);
    let bin = |(rows, probability, positives): (usize, f64, f64)| ReliabilityBin {
        rows,
        probability: probability / rows as f64,
        share: positives / rows as f64,
    };
    Some(filled.map(bin).collect())
}

/// Expected calibration error: the mean over rows of |share of positives - mean probability| of their bin (Naeini
/// et al. 2015; Nguyen and O'Connor 2015 for bins of equal mass), with the bins of [`reliability`]. 0 is perfect; it
/// is biased upwards where bins hold few rows. `None` as there.
pub fn expected_calibration_error(
    probabilities: &[f64],
    positive: &[bool],
    bins: usize,
    binning: Binning,
) -> Option<f64> {
    let gap = |bin: &ReliabilityBin| bin.rows as f64 * (bin.share - bin.probability).abs();
    let total: f64 = reliability(probabilities, positive, bins, binning)?.iter().map(gap).sum();
    Some(total / probabilities.len() as f64)
}

/// More bins than this say nothing more.
const MAX_BINS: usize = 1_000_000;

/// Turns decisions into log-odds: `slope x decision + intercept`.
///
/// Fit it on decisions for rows that the probe has neither been trained on nor will be tested on: on training rows
/// decisions are too sure, and a test on the same rows would flatter.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Calibration {
    /// Log-odds per unit of decision; below 0 where decisions fall towards the positive class.
    pub slope: f64,
    /// Log-odds at decision 0.
    pub intercept: f64,
}

impl Calibration {
    /// Platt scaling (Platt 1999): slope and intercept of greatest likelihood, with the targets (p + 1) / (p + 2)
    /// and 1 / (n + 2) for p positives and n negatives in place of 1 and 0, so that even decisions that separate the
    /// classes get finite ones. Newton's method with the step halved where it must (Lin, Lin and Weng 2007).
    ///
    /// `None` with one class only, unequal lengths, a decision that is not finite, or decisions all equal.
    pub fn platt(decisions: &[f64], positive: &[bool]) -> Option<Calibration> {
        let (scale, positives, negatives) = check(decisions, positive)?;
        let first = decisions.first()?;
        if decisions.iter().all(|decision| decision == first) {
            return None;
        }
        let targets = [1.0 / (negatives + 2.0), (positives + 1.0) / (positives + 2.0)];
        // In units of the largest decision, so that slope and intercept have like sizes.
        let rows: Vec<(f64, f64)> =
            decisions.iter().zip(positive).map(|(&f, &label)| (f / scale, targets[usize::from(label)])).collect();
        let loss = |slope: f64, intercept: f64| -> f64 {
            rows.iter().map(|&(f, target)| cross_entropy(slope * f + intercept, target)).sum()
        };
        let (mut slope, mut intercept) = (0.0, ((positives + 1.0) / (negatives + 1.0)).ln());
        let mut value = loss(slope, intercept);
        for _ in 0..100 {
            let (mut g, mut h) = ([0.0; 2], [0.0; 3]);
            for &(f, target) in &rows {
                let p = logistic(slope * f + intercept);
                let curvature = p * (1.0 - p);
                g = [g[0] + (p - target) * f, g[1] + p - target];
                h = [h[0] + curvature * f * f, h[1] + curvature * f, h[2] + curvature];
            }
            let ridge = 1e-12 * (h[0] + h[2]);
            let (a, c) = (h[0] + ridge, h[2] + ridge);
            let determinant = a * c - h[1] * h[1];
            let step = [(c * g[0] - h[1] * g[1]) / determinant, (a * g[1] - h[1] * g[0]) / determinant];
            let mut share = 1.0;
            let mut next = value;
            while share > 1e-10 {
                next = loss(slope - share * step[0], intercept - share * step[1]);
                if next <= value {
                    break;
                }
                share *= 0.5;
            }
            if next > value || !next.is_finite() {
                break;
            }
            (slope, intercept, value) = (slope - share * step[0], intercept - share * step[1], next);
            if step[0].abs() <= 1e-13 * slope.abs().max(1.0) && step[1].abs() <= 1e-13 * intercept.abs().max(1.0) {
                break;
            }
        }
        Some(Calibration { slope: slope / scale, intercept })
    }

    /// Temperature scaling (Guo et al. 2017): decisions are divided by the temperature of greatest likelihood, so
    /// slope = 1 / temperature and the intercept is 0; no decision changes its side. Newton's method, held between
    /// bounds that bisect where it leaves them.
    ///
    /// `None` where there is none: one class only, unequal lengths, a decision that is not finite, decisions that
    /// do not rise with the labels (the best slope is 0 or less), or that separate them without error (it is
    /// infinite).
    pub fn temperature(decisions: &[f64], positive: &[bool]) -> Option<Calibration> {
        let (scale, ..) = check(decisions, positive)?;
        let rows: Vec<(f64, f64)> =
            decisions.iter().zip(positive).map(|(&f, &label)| (f / scale, f64::from(u8::from(label)))).collect();
        let gradient = |slope: f64| -> f64 { rows.iter().map(|&(f, y)| (logistic(slope * f) - y) * f).sum() };
        // The loss is convex in the slope: its optimum is above 0 where it falls at 0, and finite where some row
        // lies on the wrong side.
        if gradient(0.0) >= 0.0 || !rows.iter().any(|&(f, y)| (f > 0.0 && y == 0.0) || (f < 0.0 && y == 1.0)) {
            return None;
        }
        let (mut low, mut high) = (0.0, 1.0);
        while gradient(high) < 0.0 {
            if high > 1e12 {
                return None;
            }
            (low, high) = (high, 2.0 * high);
        }
        let mut slope = 0.5 * (low + high);
        for _ in 0..200 {
            let g = gradient(slope);
            if g < 0.0 {
                low = slope;
            } else {
                high = slope;
            }
            let curvature: f64 = rows
                .iter()
                .map(|&(f, _)| {
                    let p = logistic(slope * f);
                    p * (1.0 - p) * f * f
                })
                .sum();
            let newton = slope - g / curvature;
            let next = if newton > low && newton < high { newton } else { 0.5 * (low + high) };
            let moved = (next - slope).abs();
            slope = next;
            if moved <= 1e-14 * slope {
                break;
            }
        }
        Some(Calibration { slope: slope / scale, intercept: 0.0 })
    }

    /// Log-odds of a decision.
    pub fn log_odds(&self, decision: f64) -> f64 {
        self.slope * decision + self.intercept
    }

    /// Probability of the positive class at a decision.
    pub fn probability(&self, decision: f64) -> f64 {
        logistic(self.log_odds(decision))
    }
}

/// The largest decision without its sign (1 if all are 0), positives, negatives.
fn check(decisions: &[f64], positive: &[bool]) -> Option<(f64, f64, f64)> {
    if decisions.len() != positive.len() || decisions.iter().any(|decision| !decision.is_finite()) {
        return None;
    }
    let positives = positive.iter().filter(|&&positive| positive).count() as f64;
    let negatives = positive.len() as f64 - positives;
    let largest = decisions.iter().fold(0.0_f64, |largest, decision| largest.max(decision.abs()));
    (positives > 0.0 && negatives > 0.0).then_some((if largest > 0.0 { largest } else { 1.0 }, positives, negatives))
}

/// -(target ln p + (1 - target) ln(1 - p)) for log-odds z, without overflow.
fn cross_entropy(z: f64, target: f64) -> f64 {
    z.max(0.0) - target * z + (-z.abs()).exp().ln_1p()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_bin_holds_its_edge_and_empty_bins_do_not_divide() {
        // All four say 1.0, half of them wrongly; a bin without its right edge would find an error of 0.
        for binning in [Binning::EqualWidth, Binning::EqualMass] {
            let labels = [true, false, true, false];
            assert_eq!(expected_calibration_error(&[1.0; 4], &labels, 10, binning), Some(0.5));
            assert_eq!(expected_calibration_error(&[0.0; 4], &labels, 10, binning), Some(0.5));
            assert_eq!(reliability(&[1.0; 4], &labels, 10, binning).unwrap().len(), 1);
            assert_eq!(expected_calibration_error(&[], &[], 10, binning), None);
            assert_eq!(expected_calibration_error(&[0.5], &[true], 0, binning), None);
        }
    }

    #[test]
    fn no_row_is_lost() {
        let probabilities: Vec<f64> = (0..=1_000).map(|row| f64::from(row) / 1_000.0).collect();
        let labels: Vec<bool> = (0..=1_000).map(|row| row % 3 == 0).collect();
        for binning in [Binning::EqualWidth, Binning::EqualMass] {
            for bins in [1, 3, 7, 10, 15] {
                let filled = reliability(&probabilities, &labels, bins, binning).unwrap();
                assert_eq!(filled.len(), bins);
                assert_eq!(filled.iter().map(|bin| bin.rows).sum::<usize>(), 1_001);
            }
        }
    }

    #[test]
    fn scalings_without_an_answer_say_so() {
        assert_eq!(Calibration::platt(&[1.0, 2.0], &[true, true]), None);
        assert_eq!(Calibration::platt(&[1.0, 1.0], &[true, false]), None);
        assert_eq!(Calibration::platt(&[f64::NAN, 1.0], &[true, false]), None);
        assert!(Calibration::platt(&[-1.0, 1.0], &[false, true]).unwrap().slope > 0.0);
        assert_eq!(Calibration::temperature(&[-1.0, 1.0], &[false, true]), None);
        assert_eq!(Calibration::temperature(&[-1.0, 1.0, 0.5], &[true, false, false]), None);
        assert_eq!(Calibration::temperature(&[0.0, 0.0], &[true, false]), None);
    }

    #[test]
    fn scale_of_the_decisions_does_not_matter() {
        let decisions: Vec<f64> = (0..60).map(|row| f64::from(row * 37 % 60) / 10.0 - 2.0).collect();
        let labels: Vec<bool> = decisions.iter().enumerate().map(|(row, f)| *f > 1.0 || row % 5 == 0).collect();
        for fit in [Calibration::platt, Calibration::temperature] {
            let plain = fit(&decisions, &labels).unwrap();
            let large: Vec<f64> = decisions.iter().map(|f| f * 1e6).collect();
            let scaled = fit(&large, &labels).unwrap();
            assert!((scaled.slope * 1e6 / plain.slope - 1.0).abs() < 1e-9);
            assert!((plain.probability(1.5) - scaled.probability(1.5e6)).abs() < 1e-9);
        }
    }
}
