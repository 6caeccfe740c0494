//! Where a sequence of values begins to differ: two piecewise fits by least squares.

use ndarray::ArrayView1;

/// A sequence's best break.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Break {
    /// First value after the break.
    pub onset: usize,
    /// Weighted sum of squared residuals.
    pub residual: f64,
}

/// The break of the best step: one constant before it, another from `onset` on. Weights, `[n]`, are inverse variances;
/// those that are not finite and above 0 count as 0. `None` with fewer than two values.
pub fn step_break(values: ArrayView1<'_, f64>, weights: &[f64]) -> Option<Break> {
    best(values, weights, |index, onset| if index >= onset { 1.0 } else { 0.0 })
}

/// The break of the best broken line: constant before `onset`, from there on a straight line that leaves the constant at
/// the value before `onset`. Weights as in [`step_break`]. `None` with fewer than two values.
pub fn line_break(values: ArrayView1<'_, f64>, weights: &[f64]) -> Option<Break> {
    best(values, weights, |index, onset| (index + 1).saturating_sub(onset) as f64)
}

/// The onset at which constant + slope x `shape(index, onset)` leaves the least squares; the first of equals.
fn best(values: ArrayView1<'_, f64>, weights: &[f64], shape: impl Fn(usize, usize) -> f64) -> Option<Break> {
    let weight = |index: usize| weights.get(index).copied().filter(|w| w.is_finite() && *w > 0.0).unwrap_or(0.0);
    let total: f64 = (0..values.len()).map(weight).sum();
    let centre = values.iter().enumerate().map(|(index, value)| weight(index) * value).sum::<f64>() / total;
    let fit = |onset: usize| {
        let mean = (0..values.len()).map(|index| weight(index) * shape(index, onset)).sum::<f64>() / total;
        let (mut xx, mut xy, mut yy) = (0.0, 0.0, 0.0);
        for (index, value) in values.iter().enumerate() {
            let (w, x, y) = (weight(index), shape(index, onset) - mean, value - centre);
            xx += w * x * x;
            xy += w * x * y;
            yy += w * y * y;
        }
        let explained = if xx > 0.0 { xy * xy / xx } else { 0.0 };
        Break { onset, residual: (yy - explained).max(0.0) }
    };
    (1..values.len()).map(fit).min_by(|a, b| a.residual.total_cmp(&b.residual))
}

/// The first of `k` (at least 1) values in a row that are all -1 or all 1; 0 stands for neither.
pub fn first_run(signs: impl IntoIterator<Item = i8>, k: usize) -> Option<usize> {
    let (mut last, mut length) = (0, 0);
    for (index, sign) in signs.into_iter().enumerate() {
        length = if sign != 0 && sign == last { length + 1 } else { usize::from(sign != 0) };
        last = sign;
        if length >= k.max(1) {
            return Some(index + 1 - length);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn breaks_by_hand() {
        let step = array![0.1, 0.0, 0.1, 1.0, 1.1, 1.0];
        assert_eq!(step_break(step.view(), &[1.0; 6]).unwrap().onset, 3);
        let line = array![0.5, 0.5, 0.5, 0.0, -0.5, -1.0];
        let found = line_break(line.view(), &[1.0; 6]).unwrap();
        assert!(found.onset == 3 && found.residual < 1e-12, "{found:?}");
        // The outlier has no weight.
        let step = array![9.0, 0.0, 0.0, 0.0, 1.0, 1.0];
        let found = step_break(step.view(), &[f64::INFINITY, 1.0, 1.0, 2.0, 1.0, 1.0]).unwrap();
        assert!(found.onset == 4 && found.residual < 1e-12, "{found:?}");
        assert!(step_break(array![1.0].view(), &[1.0]).is_none());
    }

    #[test]
    fn runs() {
        assert_eq!(first_run([0, -1, -1, 1, 1, 1], 3), Some(3));
        assert_eq!(first_run([1, 1, 0, 1, 1], 3), None);
        assert_eq!(first_run([0, 1, 1, 1, 1], 3), Some(1));
        assert_eq!(first_run([], 3), None);
        assert_eq!(first_run([0, -1], 0), Some(1));
    }
}
