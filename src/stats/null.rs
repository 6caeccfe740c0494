//! Random directions, and where an observed value lies among them.

use ndarray::Array2;

use super::{normals, rng};

/// `n` directions drawn uniformly from the unit sphere of `d` dimensions, `[n, d]`.
///
/// The cosine of such a direction with any fixed vector has mean 0 and standard deviation 1/sqrt(d).
pub fn random_directions(n: usize, d: usize, seed: u64) -> Array2<f64> {
    let mut rng = rng(seed, "directions");
    let mut directions = Array2::zeros((n, d));
    let mut row_values = vec![0.0; d];
    for mut row in directions.rows_mut() {
        normals(&mut rng, &mut row_values);
        let norm = row_values.iter().map(|value| value * value).sum::<f64>().sqrt();
        for (value, normal) in row.iter_mut().zip(&row_values) {
            *value = if norm > 0.0 { normal / norm } else { 0.0 };
        }
    }
    directions
}

/// Two-sided Monte-Carlo p-value, (1 + #{|null| >= |observed|}) / (1 + n): never 0, and valid at any n
/// (Phipson and Smyth 2010).
pub fn monte_carlo_p(null: &[f64], observed: f64) -> f64 {
    // A NaN on either side must not make the value look rare.
    let unknown = |value: f64| value.is_nan() || observed.is_nan();
    let as_far = null.iter().filter(|value| value.abs() >= observed.abs() || unknown(**value)).count();
    (1 + as_far) as f64 / (1 + null.len()) as f64
}

/// Standard deviation of one cosine between a random direction and a fixed vector in `d` dimensions,
/// 1/sqrt(d).
pub fn random_cosine_sd(d: usize) -> f64 {
    1.0 / (d as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directions_are_unit_and_isotropic() {
        let directions = random_directions(4_000, 64, 5);
        for row in directions.rows() {
            assert!((row.dot(&row) - 1.0).abs() < 1e-12);
        }
        for column in [0, 31, 63] {
            let values = directions.column(column);
            let mean = values.sum() / 4_000.0;
            let sd = (values.dot(&values) / 4_000.0).sqrt();
            assert!(mean.abs() < 4.0 * random_cosine_sd(64) / 4_000_f64.sqrt(), "{mean}");
            assert!((sd / random_cosine_sd(64) - 1.0).abs() < 0.05, "{sd}");
        }
        assert_eq!(random_directions(3, 5, 1), random_directions(3, 5, 1));
        assert_ne!(random_directions(3, 5, 1), random_directions(3, 5, 2));
    }

    #[test]
    fn p_values() {
        assert_eq!(monte_carlo_p(&[0.1, -0.5, 0.2], 0.4), 0.5);
        assert_eq!(monte_carlo_p(&[0.1, -0.5, 0.2], 9.0), 0.25);
        assert_eq!(monte_carlo_p(&[], 9.0), 1.0);
        assert_eq!(monte_carlo_p(&[0.1, -0.5, 0.2], f64::NAN), 1.0);
    }
}
