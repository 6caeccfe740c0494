//! Statistics on plain numbers: metrics, calibration, clustered bootstrap, tests over many columns, power, nulls.
//!
//! Nothing here knows of models, probes or addresses. Everything is `f64`, and everything random takes a
//! seed and gives the same numbers for it whatever the number of threads.

pub mod directions;

mod adjusted;
mod bootstrap;
mod calibration;
mod change_point;
mod clustered;
mod comparison;
mod distribution;
mod gain;
mod interval;
mod metrics;
mod multiplicity;
mod permuted;
mod power;
mod proportion;
mod random;
mod random_factor;
mod rank_correlation;
mod ranking;
mod ratio;
mod resampler;
mod settings;
mod share;
mod sign_flip;
mod simultaneous;
mod size;
#[cfg(test)]
mod tests;

pub use bootstrap::ClusterBootstrap;
pub use calibration::Calibration;
pub use clustered::{ClusteredMeans, Equivalence};
pub use comparison::{auroc_permutation_p, AurocDifference};
pub use interval::{Interval, IntervalMethod, Resampled};
pub use multiplicity::FalseDiscovery;
pub use proportion::wilson;
pub use random_factor::{FactorVariance, RandomFactor};
pub use rank_correlation::Spearman;
pub use ranking::{auroc, Ranking};
pub use settings::Settings;
pub use sign_flip::{SignFlipTest, SignFlips};
pub use simultaneous::{Bands, Studentised};

pub(crate) use adjusted::mean_at_no_change;
pub(crate) use bootstrap::check_level;
pub(crate) use calibration::{expected_calibration_error, Binning};
pub(crate) use change_point::{first_run, line_break, step_break};
pub(crate) use directions::random_cosine_sd;
pub(crate) use distribution::{
    chi_squared_quantile, normal_cdf, normal_quantile, normal_upper_quantile, student_cdf, student_upper_quantile,
};
pub(crate) use interval::{bca_interval, percentile_interval};
pub(crate) use metrics::{accuracy, balanced_accuracy, brier, log_loss};
pub(crate) use permuted::permuted_labels;
pub(crate) use power::minimum_detectable;
pub(crate) use proportion::{fisher_interval, mcnemar_exact, pearson, weighted_pearson};
pub(crate) use random::{normals, rng};
pub(crate) use random_factor::FACTOR;
pub(crate) use rank_correlation::kendall_tau;
pub(crate) use ratio::{fieller_bound, Measured};
pub(crate) use resampler::Resampler;
pub(crate) use simultaneous::{Tail, PROBES};
pub(crate) use size::{intraclass_correlation, Requirement};

/// Mean of values; 0 without any.
pub(crate) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// The logistic function, 1 / (1 + e^-z).
pub(crate) fn logistic(z: f64) -> f64 {
    1.0 / (1.0 + (-z).exp())
}

/// The values at these rows; row numbers outside are left out.
pub(crate) fn pick<T: Clone>(values: &[T], rows: &[usize]) -> Vec<T> {
    rows.iter().filter_map(|&row| values.get(row)).cloned().collect()
}

/// Sum of a_i b_i in f64, over the shorter length. Eight sums run side by side, which lets the compiler use
/// vector instructions; the order of addition is fixed, so the result is too.
pub(crate) fn sum_of_products<A: Copy + Into<f64>, B: Copy + Into<f64>>(a: &[A], b: &[B]) -> f64 {
    let n = a.len().min(b.len());
    let (a, b) = (a.get(..n).unwrap_or_default(), b.get(..n).unwrap_or_default());
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let mut sums = [0.0; 8];
    for (a, b) in a.iter().zip(b) {
        for ((sum, &a), &b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a.into() * b.into();
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(&a, &b)| a.into() * b.into()).sum();
    sums.iter().sum::<f64>() + rest
}

/// The `q` quantile (0 to 1) of values in ascending order, with linear interpolation (Hyndman and Fan's
/// type 7); NaN without values.
pub(crate) fn quantile(sorted: &[f64], q: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let at = q.clamp(0.0, 1.0) * last as f64;
    let below = (at.floor() as usize).min(last);
    let above = (below + 1).min(last);
    match (sorted.get(below), sorted.get(above)) {
        (Some(low), Some(high)) => low + (at - below as f64) * (high - low),
        _ => f64::NAN,
    }
}
