//! A mean change at no change of something else.

use ndarray::Array2;

use super::{mean, ClusteredMeans};
use crate::error::check_rows;
use crate::Result;

/// Mean of `changes`, `[n]`, where `beside`, `[n]`, does not change: the intercept a of the least squares line a + b x, with the
/// standard errors of rows in these groups. Where `beside` never differs from one value it is the plain mean.
///
/// Row i enters the result's one column as a + n c_i e_i, with e_i its residual and c_i = 1/n - m (x_i - m) / sum (x - m)^2, m the
/// mean of x: the sum by cluster of what a owes to each row is the sandwich of Liang & Zeger (1986), here with the factor g/(g-1) of
/// [`ClusteredMeans`].
///
/// # Errors
/// Those of [`ClusteredMeans::new`].
pub(crate) fn mean_at_no_change(changes: &[f64], beside: &[f64], groups: &[impl AsRef<str>]) -> Result<ClusteredMeans> {
    check_rows("what changes beside", beside.len(), changes.len())?;
    let n = changes.len() as f64;
    let (mean_x, mean_y) = (mean(beside), mean(changes));
    let spread: f64 = beside.iter().map(|x| (x - mean_x).powi(2)).sum();
    let together: f64 = beside.iter().zip(changes).map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    let slope = if spread > 0.0 { together / spread } else { 0.0 };
    let intercept = mean_y - slope * mean_x;
    let owed = |(x, y): (&f64, &f64)| {
        let lever = if spread > 0.0 { n * mean_x * (x - mean_x) / spread } else { 0.0 };
        intercept + (1.0 - lever) * (y - intercept - slope * x)
    };
    let column: Vec<f64> = beside.iter().zip(changes).map(owed).collect();
    let column = Array2::from_shape_fn((column.len(), 1), |(row, _)| column[row]);
    ClusteredMeans::new(column.view(), groups)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_taken_off() {
        let x = [1.0, 2.0, 4.0, 7.0];
        let groups = ["a", "b", "c", "d"];
        let exact = mean_at_no_change(&x.map(|x| 2.0 + 3.0 * x), &x, &groups).unwrap();
        assert!((exact.means()[0] - 2.0).abs() < 1e-12 && exact.standard_errors()[0] < 1e-9);
        // Without a slope to take off, the plain mean and its error.
        let plain = mean_at_no_change(&[1.0, 3.0, 2.0, 6.0], &[5.0; 4], &groups).unwrap();
        assert!((plain.means()[0] - 3.0).abs() < 1e-12);
        assert!((plain.standard_errors()[0] - (14.0_f64 / 3.0 / 4.0).sqrt()).abs() < 1e-12);
        assert!(mean_at_no_change(&[1.0], &[1.0, 2.0], &["a"]).is_err());
    }

    /// X = [1 x], B = (X'X)^-1 X' S X (X'X)^-1 with S the sums of e by cluster, times 3/2, in NumPy.
    #[test]
    fn the_error_is_the_sandwich_of_clusters() {
        let (x, y) = ([0.5, -1.0, 2.0, 0.0, 1.5, -0.5], [1.0, 0.2, 2.5, 0.9, 1.4, 0.1]);
        let found = mean_at_no_change(&y, &x, &["a", "a", "b", "b", "c", "c"]).unwrap();
        assert!((found.means()[0] - REFERENCE[0]).abs() < 1e-10, "{:?}", found.means());
        assert!((found.standard_errors()[0] - REFERENCE[1]).abs() < 1e-10, "{:?}", found.standard_errors());
    }

    const REFERENCE: [f64; 2] = [0.718_012_422_360_248_4, 0.146_773_918_062_344_58];
}
