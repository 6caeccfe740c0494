//! The two widths of numbers that the solver works in.

use linfa::traits::Fit;
use linfa::DatasetBase;
use linfa_logistic::{error::Error, LogisticRegression};
use ndarray::{s, Array1, ArrayView1, ArrayView2, LinalgScalar};

/// f32 for large designs, f64 for small ones and where f32 does not reach the tolerance.
pub(crate) trait Element: LinalgScalar + Send + Sync + Into<f64> + PartialOrd {
    /// The nearest value.
    fn of(value: f64) -> Self;

    /// One run of linfa-logistic on `x`, `[n, d]`, from `start`, `[d + 1]` with the intercept last; gives the same.
    fn run_linfa(x: ArrayView2<'_, Self>, labels: &[bool], run: &LinfaRun<'_>) -> Result<Vec<f64>, Error>;
}

/// Settings of one run of linfa-logistic.
pub(crate) struct LinfaRun<'a> {
    pub alpha: f64,
    pub max_iterations: u64,
    pub gradient_tolerance: f64,
    pub start: &'a [f64],
}

macro_rules! element {
    ($type:ty) => {
        impl Element for $type {
            fn of(value: f64) -> Self {
                value as $type
            }

            fn run_linfa(x: ArrayView2<'_, Self>, labels: &[bool], run: &LinfaRun<'_>) -> Result<Vec<f64>, Error> {
                let dataset = DatasetBase::new(x, ArrayView1::from(labels));
                // linfa's positive class is the majority, on a tie the first label, whatever the labels mean.
                let immoral = labels.iter().filter(|&&label| label).count();
                let tie = 2 * immoral == labels.len() && labels.first() == Some(&true);
                let sign = if 2 * immoral > labels.len() || tie { 1.0 } else { -1.0 };
                let fit_from = |sign: f64| {
                    LogisticRegression::<$type>::default()
                        .alpha(run.alpha as $type)
                        .max_iterations(run.max_iterations)
                        .gradient_tolerance((run.gradient_tolerance as $type).max(<$type>::MIN_POSITIVE))
                        .initial_params(run.start.iter().map(|value| (value * sign) as $type).collect())
                        .fit(&dataset)
                        .map(|fitted| (if fitted.labels().pos.class { 1.0 } else { -1.0 }, fitted))
                };
                let (mut found, mut fitted) = fit_from(sign)?;
                // Should another version of linfa choose otherwise, the start pointed the wrong way: once more.
                if found != sign {
                    (found, fitted) = fit_from(found)?;
                }
                let mut point = Array1::zeros(fitted.params().len() + 1);
                point.slice_mut(s![..-1]).assign(&fitted.params().mapv(|value| f64::from(value) * found));
                point.slice_mut(s![-1..]).fill(f64::from(fitted.intercept()) * found);
                Ok(point.to_vec())
            }
        }
    };
}

element!(f32);
element!(f64);
