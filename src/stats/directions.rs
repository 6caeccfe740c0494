//! Random directions, and where an observed value lies among them.

use ndarray::{Array2, ArrayView1, ArrayView2, Axis};
use rand::seq::SliceRandom;

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

/// `n` unit directions that vary as these states do, `[n, d]`: z^T X / |z^T X| with X the `states`, `[rows, d]`, minus
/// their mean and z standard normal, so that before scaling their covariance is that of the states.
///
/// They favour the few directions along which hidden states differ most, and so does a probe; uniform directions hardly
/// meet them. Where the states do not vary, the directions are all 0.
pub fn covariance_matched_directions(states: ArrayView2<'_, f32>, n: usize, seed: u64) -> Array2<f64> {
    let mut centred = states.mapv(f64::from);
    if let Some(mean) = centred.mean_axis(Axis(0)) {
        centred -= &mean;
    }
    let mut weights = Array2::zeros((n, centred.nrows()));
    let mut rng = rng(seed, "covariance-matched directions");
    if let Some(values) = weights.as_slice_mut() {
        normals(&mut rng, values);
    }
    unit_rows(weights.dot(&centred))
}

/// `n` copies of `direction`, `[d]`, with its coordinates in random order, `[n, d]`: as concentrated on few coordinates
/// as the direction itself, which uniform directions are not.
pub fn permuted_directions(direction: ArrayView1<'_, f64>, n: usize, seed: u64) -> Array2<f64> {
    let mut rng = rng(seed, "coordinate permutations");
    let mut values = direction.to_vec();
    let mut directions = Array2::zeros((n, values.len()));
    for mut row in directions.rows_mut() {
        values.shuffle(&mut rng);
        row.iter_mut().zip(&values).for_each(|(to, from)| *to = *from);
    }
    directions
}

/// Rows divided by their lengths; rows of length 0 stay.
fn unit_rows(mut rows: Array2<f64>) -> Array2<f64> {
    for mut row in rows.rows_mut() {
        let norm = row.dot(&row).sqrt();
        if norm > 0.0 {
            row /= norm;
        }
    }
    rows
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
    fn matched_directions_have_the_states_covariance() {
        // Correlated in the first two of 40 coordinates, constant in the last.
        let mut noise = vec![0.0; 300 * 40];
        normals(&mut rng(9, "states"), &mut noise);
        let states = Array2::from_shape_fn((300, 40), |(row, column)| {
            let own = noise[row * 40 + column];
            let value = match column {
                0 => 1.5 * own + 50.0,
                1 => noise[row * 40] + 0.5 * own,
                39 => 7.0,
                _ => own,
            };
            value as f32
        });
        let directions = covariance_matched_directions(states.view(), 20_000, 3);
        let centred = &states - &states.mean_axis(Axis(0)).unwrap();
        // Scaling to length 1 changes covariances a little, since no draw's length is the same; correlations stay.
        let correlation = |rows: &Array2<f64>| {
            let (a, b) = (rows.column(0), rows.column(1));
            a.dot(&b) / (a.dot(&a) * b.dot(&b)).sqrt()
        };
        let (found, expected) = (correlation(&directions), correlation(&centred.mapv(f64::from)));
        assert!((found - expected).abs() < 0.03, "{found} {expected}");
        assert!(directions.rows().into_iter().all(|row| (row.dot(&row) - 1.0).abs() < 1e-12));
        assert!(directions.column(39).iter().all(|value| value.abs() < 1e-6));
        let along_first = directions.column(0).dot(&directions.column(0)) / 20_000.0;
        assert!(
            (along_first - 0.055).abs() < 0.01,
            "the share of the variance, where uniform directions have 1/40: {along_first}"
        );
        assert!(covariance_matched_directions(Array2::zeros((5, 3)).view(), 2, 0).iter().all(|value| *value == 0.0));
    }

    #[test]
    fn permuted_directions_keep_their_values() {
        let direction = ndarray::array![0.8, 0.6, 0.0, 0.0];
        let directions = permuted_directions(direction.view(), 4_000, 1);
        for row in directions.rows() {
            let mut values = row.to_vec();
            values.sort_by(f64::total_cmp);
            assert_eq!(values, [0.0, 0.0, 0.6, 0.8]);
        }
        for column in directions.columns() {
            let share = column.iter().filter(|&&value| value == 0.8).count() as f64 / 4_000.0;
            assert!((share - 0.25).abs() < 0.03, "{share}");
        }
    }

    #[test]
    fn p_values() {
        assert_eq!(monte_carlo_p(&[0.1, -0.5, 0.2], 0.4), 0.5);
        assert_eq!(monte_carlo_p(&[0.1, -0.5, 0.2], 9.0), 0.25);
        assert_eq!(monte_carlo_p(&[], 9.0), 1.0);
        assert_eq!(monte_carlo_p(&[0.1, -0.5, 0.2], f64::NAN), 1.0);
    }
}
