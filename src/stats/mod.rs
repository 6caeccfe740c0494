//! Statistics on plain numbers: metrics, clustered bootstrap, random-direction nulls.
//!
//! Nothing here knows of models, probes or addresses. Everything is `f64`, and everything random takes a
//! seed and gives the same numbers for it whatever the number of threads.

mod bootstrap;
mod metrics;
mod null;
mod random;

pub use bootstrap::{percentile_interval, ClusterBootstrap, Interval, Resampled};
pub use metrics::{accuracy, auroc, log_loss, Ranking};
pub use null::{monte_carlo_p, normal_upper_quantile, random_cosine_sd, random_directions};
pub(crate) use random::{normals, rng};

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
