//! Mean difference and pooled covariance of the two classes, for the kinds that invert it.

use ndarray::{Array1, Array2, Axis};

use super::{FitReport, Training};
use crate::solve::RidgeSystem;
use crate::{Error, Provenance, Result};

/// How much of the pooled correlations is replaced by independence; `None` = by the data.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Shrinkage(pub Option<f64>);

/// What both kinds share: the rule with its threshold at the midpoint of the means.
pub(super) struct Pooled {
    /// Inverse covariance times mean difference, in raw space, `[d]`.
    pub weights: Array1<f64>,
    /// -weights . midpoint.
    pub intercept: f64,
    /// Immoral and moral rows.
    pub counts: [f64; 2],
    /// That nothing was iterated.
    pub fit: FitReport,
}

impl Shrinkage {
    pub fn validate(self) -> Result<()> {
        match self.0 {
            Some(shrinkage) if !(0.0..=1.0).contains(&shrinkage) => {
                Err(Error::setting("shrinkage", shrinkage, "0 (none) to 1 (correlations ignored)"))
            }
            _ => Ok(()),
        }
    }

    pub fn settings(self) -> Provenance {
        let value = self.0.map_or("Ledoit and Wolf".to_owned(), |shrinkage| shrinkage.to_string());
        [("probe_shrinkage".to_owned(), value)].into()
    }

    /// Fits on one training part.
    ///
    /// With D the standard deviations within the classes, R the correlations within them and s the shrinkage, the
    /// covariance is D ((1 - s) R + s I) D: shrinking correlations rather than covariances makes the rule
    /// independent of the units, so that one massive dimension does not set the scale for all.
    pub fn fit(self, training: Training) -> Result<Pooled> {
        let what = training.what.clone();
        // Standardised over all rows first: offsets cost no digits then, and constant columns are exactly 0.
        let (standardiser, mut rows, labels) = training.standardised();
        let (n, d) = rows.dim();
        let mut sums = [Array1::<f64>::zeros(d), Array1::zeros(d)];
        let mut counts = [0.0; 2];
        for (row, &label) in rows.outer_iter().zip(&labels) {
            sums[usize::from(label)] += &row;
            counts[usize::from(label)] += 1.0;
        }
        let [moral, immoral] = [&sums[0] / counts[0], &sums[1] / counts[1]];
        let (difference, midpoint) = (&immoral - &moral, 0.5 * (&immoral + &moral));
        for (mut row, &label) in rows.outer_iter_mut().zip(&labels) {
            row -= if label { &immoral } else { &moral };
        }
        let scale = rows.map_axis(Axis(0), |column| {
            let sd = (column.iter().map(|value| value * value).sum::<f64>() / n as f64).sqrt();
            // A column that only tells the classes apart keeps its overall spread as its unit.
            if sd > 1e-12 {
                sd
            } else {
                1.0
            }
        });
        rows /= &scale;
        let target = (&difference / &scale).insert_axis(Axis(1));
        let weights = self.invert(&what, rows, target)?;
        let (weights, intercept) = (weights / &scale, &midpoint);
        let intercept = -weights.dot(intercept);
        let (weights, intercept) = standardiser.to_raw(&weights, intercept);
        let fit = FitReport::direct(labels.len());
        Ok(Pooled { weights, intercept, counts: [counts[1], counts[0]], fit })
    }

    /// ((1 - s) R + s I)^-1 target, `[d]`, for the correlations R = rows^T rows / n.
    fn invert(self, what: &str, rows: Array2<f64>, target: Array2<f64>) -> Result<Array1<f64>> {
        let n = rows.nrows() as f64;
        let moments = Moments::of(&rows);
        if target.iter().all(|&value| value == 0.0) {
            return Ok(target.remove_axis(Axis(1)));
        }
        let system = RidgeSystem::new(what, rows);
        let shrinkage = match self.0 {
            Some(shrinkage) => shrinkage,
            None => moments.ledoit_wolf(system.gram_squares()),
        };
        if shrinkage >= 1.0 {
            return Ok(target.remove_axis(Axis(1)));
        }
        let kept = (1.0 - shrinkage) / n;
        let solved = system.factor(shrinkage / kept)?.solve(&target);
        Ok(solved.weights.remove_axis(Axis(1)) / kept)
    }
}

/// What the shrinkage of Ledoit and Wolf needs of centred rows.
struct Moments {
    n: f64,
    d: f64,
    /// Sum of all squares.
    squares: f64,
    /// Sum over the rows of their squared length, squared.
    fourth: f64,
}

impl Moments {
    fn of(rows: &Array2<f64>) -> Self {
        let lengths = rows.map_axis(Axis(1), |row| row.dot(&row));
        Moments {
            n: rows.nrows() as f64,
            d: rows.ncols() as f64,
            squares: lengths.sum(),
            fourth: lengths.iter().map(|length| length * length).sum(),
        }
    }

    /// The shrinkage towards the mean variance times the identity that has the least expected squared error
    /// (Ledoit and Wolf 2004, theorem 3.2 and section 3.3; `sklearn.covariance.ledoit_wolf`). `gram_squares` is the
    /// sum of the squares of rows^T rows.
    fn ledoit_wolf(&self, gram_squares: f64) -> f64 {
        let covariance_squares = gram_squares / (self.n * self.n);
        let mean_variance = self.squares / (self.n * self.d);
        let noise = (self.fourth / self.n - covariance_squares) / self.n;
        let distance = covariance_squares - self.d * mean_variance * mean_variance;
        let shrinkage = noise / distance;
        if shrinkage.is_finite() && distance > 0.0 {
            shrinkage.clamp(0.0, 1.0)
        } else {
            1.0
        }
    }
}
