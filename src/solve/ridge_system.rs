//! Systems (X'X + ridge I) w = v for a design X, in f64.

use ndarray::Array2;

use super::cholesky::Cholesky;
use super::design::Design;
use crate::{Error, Result};

/// X, `[n, d]`, and the smaller of X'X, `[d, d]`, and XX', `[n, n]`.
pub(crate) struct RidgeSystem {
    what: String,
    design: Design<f64>,
    /// Its lower half.
    gram: Array2<f64>,
    /// Whether `gram` is X'X.
    primal: bool,
}

/// The system for one ridge, factored once for any number of right-hand sides.
pub(crate) struct Factored<'a> {
    system: &'a RidgeSystem,
    ridge: f64,
    cholesky: Cholesky<f64>,
}

/// What solves the system, and by how much it misses.
pub(crate) struct Solved {
    /// w, `[d, k]`.
    pub weights: Array2<f64>,
    /// v - (X'X + ridge I) w, `[d, k]`.
    pub residual: Array2<f64>,
}

impl RidgeSystem {
    /// Takes the rows, `[n, d]`, column-major; `what` names them in errors.
    pub fn new(what: &str, rows: Array2<f64>) -> Self {
        let primal = rows.ncols() <= rows.nrows();
        let design = Design::new(rows);
        let gram = design.gram(!primal);
        RidgeSystem { what: what.to_owned(), design, gram, primal }
    }

    /// Sum of the squares of X'X, the same as of XX'.
    pub fn gram_squares(&self) -> f64 {
        let lower = |(row, values): (usize, ndarray::ArrayView1<'_, f64>)| -> f64 {
            values.iter().take(row).map(|value| 2.0 * value * value).sum::<f64>()
                + values.get(row).map_or(0.0, |value| value * value)
        };
        self.gram.outer_iter().enumerate().map(lower).sum()
    }

    /// X'y for y, `[n, k]`.
    pub fn transposed_times(&self, y: &Array2<f64>) -> Array2<f64> {
        self.design.transposed_times(y.view())
    }

    /// Factors the system for one ridge, at least 0, and above 0 where n < d.
    ///
    /// # Errors
    /// [`Error::Fit`] for a system that is singular to machine precision.
    pub fn factor(&self, ridge: f64) -> Result<Factored<'_>> {
        let singular = || Error::fit(self.what.clone(), "the covariance has no inverse: regularise or shrink more");
        if !self.primal && ridge <= 0.0 {
            return Err(singular());
        }
        let mut shifted = self.gram.clone();
        shifted.diag_mut().iter_mut().for_each(|value| *value += ridge);
        let largest = shifted.diag().iter().fold(0.0_f64, |largest, &value| largest.max(value));
        let cholesky = Cholesky::new(shifted).ok_or_else(singular)?;
        // Rounding can leave a singular matrix just above it.
        if ridge <= f64::EPSILON * largest && cholesky.least_pivot() <= 1e-14 * largest {
            return Err(singular());
        }
        Ok(Factored { system: self, ridge, cholesky })
    }
}

impl Factored<'_> {
    /// Solves for v, `[d, k]`, with one step of refinement.
    pub fn solve(&self, v: &Array2<f64>) -> Solved {
        let first = self.apply_inverse(v.clone());
        let weights = self.apply_inverse(self.residual(v, &first)) + first;
        Solved { residual: self.residual(v, &weights), weights }
    }

    /// Where n < d by (X'X + r I)^-1 v = (v - X' (XX' + r I)^-1 X v) / r (Woodbury).
    fn apply_inverse(&self, mut v: Array2<f64>) -> Array2<f64> {
        if self.system.primal {
            self.cholesky.solve(&mut v);
            return v;
        }
        let design = &self.system.design;
        let mut inner = design.times(v.view());
        self.cholesky.solve(&mut inner);
        (v - design.transposed_times(inner.view())) / self.ridge
    }

    fn residual(&self, v: &Array2<f64>, weights: &Array2<f64>) -> Array2<f64> {
        let design = &self.system.design;
        v - design.transposed_times(design.times(weights.view()).view()) - self.ridge * weights
    }
}

#[cfg(test)]
mod tests {
    use ndarray::ShapeBuilder;

    use super::*;
    use crate::stats::{normals, rng};

    fn noise(n: usize, d: usize, stream: &str) -> Array2<f64> {
        let mut values = vec![0.0; n * d];
        normals(&mut rng(1, stream), &mut values);
        Array2::from_shape_vec((n, d).f(), values).unwrap()
    }

    #[test]
    fn both_forms_solve_the_system() {
        for (n, d, ridge) in [(30, 8, 0.0), (30, 8, 2.5), (8, 30, 2.5), (8, 30, 1e-7), (300, 200, 0.1)] {
            let (x, v) = (noise(n, d, "x"), noise(d, 3, "v"));
            let system = RidgeSystem::new("x", x.clone());
            let solved = system.factor(ridge).unwrap().solve(&v);
            let left = x.t().dot(&x.dot(&solved.weights)) + ridge * &solved.weights;
            let missing = (&left - &v).into_iter().fold(0.0_f64, |missing, value| missing.max(value.abs()));
            // Beside a ridge of 1e-7 weights outside the rows' span reach 1e7.
            let size = solved.weights.iter().fold(1.0_f64, |size, w| size.max(w.abs()));
            assert!(missing < 1e-13 * size * (n * d) as f64, "{n} {d} {ridge}: {missing}");
            let squares: f64 = x.t().dot(&x).iter().map(|value| value * value).sum();
            assert!((system.gram_squares() / squares - 1.0).abs() < 1e-12);
            let y = noise(n, 2, "y");
            assert!((system.transposed_times(&y) - x.t().dot(&y)).iter().all(|value| value.abs() < 1e-11));
        }
        assert!(matches!(RidgeSystem::new("x", noise(3, 5, "x")).factor(0.0), Err(Error::Fit { .. })));
        assert!(matches!(RidgeSystem::new("x", Array2::zeros((6, 2).f())).factor(0.0), Err(Error::Fit { .. })));
        // A column twice.
        let half = noise(20, 3, "x");
        let twice = ndarray::concatenate(ndarray::Axis(1), &[half.view(), half.view()]).unwrap();
        let mut by_column = Array2::zeros(twice.raw_dim().f());
        by_column.assign(&twice);
        assert!(matches!(RidgeSystem::new("x", by_column).factor(0.0), Err(Error::Fit { .. })));
    }
}
