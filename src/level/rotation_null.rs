//! What a mean over layers gives along directions that are turned at random.

use ndarray::{Array1, Array2};
use rayon::prelude::*;

use crate::stats::{normals, rng};

/// Mean over layers of (rotated direction) . (mean difference), for `draws` random rotations, `[draws]`.
///
/// One rotation, uniform over the orthogonal group, turns all layers' directions together. That keeps the
/// cosines between them, as a fair null must: neighbouring layers of a residual stream have similar probe
/// directions and similar differences, and averaging over directions drawn apart for each layer would make
/// the null narrower by up to sqrt(layers) than what equally similar, but meaningless, directions give.
///
/// `directions` and `differences` are `[l, d]`. With V an orthonormal basis of the directions, C = directions
/// V^T and W a random orthonormal frame, the rotated directions are C W, and the statistic is the sum over
/// W * (C^T differences), divided by l.
pub(super) fn rotation_null(directions: &Array2<f64>, differences: &Array2<f64>, draws: usize, seed: u64) -> Vec<f64> {
    let basis = orthonormal(directions.clone());
    let coefficients = directions.dot(&basis.t());
    let targets = coefficients.t().dot(differences);
    let layers = directions.nrows().max(1) as f64;
    (0..draws)
        .into_par_iter()
        .map(|draw| {
            let mut values = vec![0.0; basis.len()];
            normals(&mut rng(seed, &format!("rotation {draw}")), &mut values);
            let frame =
                Array2::from_shape_vec(basis.raw_dim(), values).unwrap_or_else(|_| Array2::zeros(basis.raw_dim()));
            let frame = orthonormal(frame);
            frame.outer_iter().zip(targets.outer_iter()).map(|(w, target)| w.dot(&target)).sum::<f64>() / layers
        })
        .collect()
}

/// An orthonormal basis of the span of the rows, `[rank, d]`, by Gram and Schmidt, twice for accuracy.
fn orthonormal(rows: Array2<f64>) -> Array2<f64> {
    let d = rows.ncols();
    let mut basis: Vec<Array1<f64>> = Vec::with_capacity(rows.nrows());
    for row in rows.outer_iter() {
        let mut rest = row.to_owned();
        for _ in 0..2 {
            for done in &basis {
                let along = rest.dot(done);
                rest.scaled_add(-along, done);
            }
        }
        let norm = rest.dot(&rest).sqrt();
        if norm > 1e-9 * row.dot(&row).sqrt() {
            basis.push(rest / norm);
        }
    }
    let mut matrix = Array2::zeros((basis.len(), d));
    for (mut row, vector) in matrix.outer_iter_mut().zip(&basis) {
        row.assign(vector);
    }
    matrix
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::directions::random_directions;

    fn sd(values: &[f64]) -> f64 {
        (values.iter().map(|value| value * value).sum::<f64>() / values.len() as f64).sqrt()
    }

    #[test]
    fn the_rotation_null_knows_that_layers_resemble_each_other() {
        let (layers, d) = (9, 40);
        let v = random_directions(1, d, 1);
        let same = Array2::from_shape_fn((layers, d), |(_, j)| v[[0, j]]);
        let apart = orthonormal(random_directions(layers, d, 2));
        // Equal directions and equal differences: one direction's null, 1/sqrt(d); averaging gains nothing.
        let null = rotation_null(&same, &same, 4_000, 0);
        assert!((sd(&null) * (d as f64).sqrt() - 1.0).abs() < 0.05, "{}", sd(&null));
        // Orthogonal directions: the mean over layers gains sqrt(layers).
        let null = rotation_null(&apart, &same, 4_000, 0);
        assert!((sd(&null) * (d as f64 * layers as f64).sqrt() - 1.0).abs() < 0.07, "{}", sd(&null));
        assert_eq!(rotation_null(&apart, &same, 10, 3), rotation_null(&apart, &same, 10, 3));
    }

    #[test]
    fn a_basis_is_orthonormal_and_leaves_out_what_depends() {
        let mut rows = random_directions(4, 7, 3);
        let sum = &rows.row(0) * 2.0 - rows.row(1);
        rows.row_mut(2).assign(&sum);
        let basis = orthonormal(rows.clone());
        assert_eq!(basis.dim(), (3, 7));
        let gram = basis.dot(&basis.t());
        assert!((gram - Array2::<f64>::eye(3)).iter().all(|value| value.abs() < 1e-12));
        let back = rows.dot(&basis.t()).dot(&basis);
        assert!((back - rows).iter().all(|value| value.abs() < 1e-12));
    }
}
