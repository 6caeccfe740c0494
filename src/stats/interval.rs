//! Intervals from resamples.

use serde::{Deserialize, Serialize};

use super::{normal_cdf, normal_quantile, quantile, student_upper_quantile};

/// An estimate with the bounds of an interval around it, in the estimate's own unit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Interval {
    /// The statistic of the rows as they are.
    pub estimate: f64,
    /// Lower bound; minus infinity, in JSON null, where nothing bounds the estimate from below.
    #[serde(with = "no_lower")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<f64>"))]
    pub low: f64,
    /// Upper bound; infinity, in JSON null, where nothing bounds it from above.
    #[serde(with = "no_upper")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<f64>"))]
    pub high: f64,
}

/// JSON knows no infinity.
macro_rules! open_bound {
    ($name:ident, $missing:expr) => {
        mod $name {
            use serde::{Deserialize, Deserializer, Serialize, Serializer};

            pub fn serialize<S: Serializer>(bound: &f64, to: S) -> Result<S::Ok, S::Error> {
                Some(bound).filter(|bound| bound.is_finite()).serialize(to)
            }

            pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
                Ok(Option::deserialize(from)?.unwrap_or($missing))
            }
        }
    };
}

open_bound!(no_lower, f64::NEG_INFINITY);
open_bound!(no_upper, f64::INFINITY);

/// A bootstrapped statistic that some resamples may leave undefined.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Resampled {
    /// Estimate and interval over the defined draws.
    pub interval: Interval,
    /// Draws in which the statistic was undefined, left out of the interval.
    pub undefined_draws: usize,
}

/// How bounds follow from bootstrap draws.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IntervalMethod {
    /// Quantiles of the draws, a little further out than the level says, for the number of clusters (Hesterberg 2015).
    #[default]
    Percentile,
    /// Quantiles moved for bias and skewness (BCa). Costs one more evaluation per cluster.
    Bca,
}

/// The level at which percentiles of resamples of so many clusters keep `level`: `1 - 2 Phi(-sqrt(g / (g - 1)) t)` with t the
/// quantile of Student's t with g - 1 degrees of freedom (Hesterberg 2015, "What teachers should know about the bootstrap",
/// section 3.4: the expanded percentile interval). Resamples of g clusters vary by (g - 1) / g of what they should, and have
/// normal tails where a mean over its own error has Student's: plain percentiles are too short for both reasons.
pub(crate) fn expanded_level(level: f64, clusters: usize) -> f64 {
    if clusters < 2 {
        return level;
    }
    let clusters = clusters as f64;
    let t = student_upper_quantile(0.5 * (1.0 - level), clusters - 1.0);
    1.0 - 2.0 * normal_cdf(-(clusters / (clusters - 1.0)).sqrt() * t)
}

/// The percentile interval of `level` (0 to 1) from bootstrap draws, which are sorted in place.
pub fn percentile_interval(estimate: f64, draws: &mut [f64], level: f64) -> Interval {
    draws.sort_by(f64::total_cmp);
    let tail = (1.0 - level) / 2.0;
    Interval { estimate, low: quantile(draws, tail), high: quantile(draws, 1.0 - tail) }
}

/// The bias-corrected and accelerated interval (Efron 1987) of `level` (0 to 1) from bootstrap draws, which are
/// sorted in place, and the statistic with each cluster left out in turn, `jackknife`.
///
/// z0 = normal quantile of the share of draws below the estimate, ties counted half; a = sum(u^3) / 6
/// sum(u^2)^(3/2) with u = mean of the jackknife values minus each; the bounds are the draws' quantiles at
/// Phi(z0 + (z0 + z) / (1 - a (z0 + z))), z = the normal quantiles of the level (Efron and Tibshirani 1993,
/// equations 14.9 to 14.15). Where all draws lie on one side of the estimate there is no z0: then this is the
/// percentile interval; where the jackknife values are all equal, a = 0.
pub fn bca_interval(estimate: f64, draws: &mut [f64], jackknife: &[f64], level: f64) -> Interval {
    let below = draws.iter().filter(|&&draw| draw < estimate).count();
    let at = draws.iter().filter(|&&draw| draw == estimate).count();
    let z0 = normal_quantile((below as f64 + 0.5 * at as f64) / draws.len().max(1) as f64);
    if !z0.is_finite() {
        return percentile_interval(estimate, draws, level);
    }
    let mean = jackknife.iter().sum::<f64>() / jackknife.len().max(1) as f64;
    let power = |k: i32| jackknife.iter().map(|value| (mean - value).powi(k)).sum::<f64>();
    let acceleration = power(3) / (6.0 * power(2).powf(1.5));
    let acceleration = if acceleration.is_finite() { acceleration } else { 0.0 };
    draws.sort_by(f64::total_cmp);
    let bound = |tail: f64| {
        let z = z0 + normal_quantile(tail);
        quantile(draws, normal_cdf(z0 + z / (1.0 - acceleration * z)))
    };
    let tail = (1.0 - level) / 2.0;
    Interval { estimate, low: bound(tail), high: bound(1.0 - tail) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_bias_and_skewness_both_methods_agree() {
        let mut draws: Vec<f64> = (0..=1_000).map(|draw| f64::from(draw) / 1_000.0).collect();
        let jackknife = [0.4, 0.5, 0.6];
        let plain = percentile_interval(0.5, &mut draws, 0.9);
        let bca = bca_interval(0.5, &mut draws, &jackknife, 0.9);
        assert!((plain.low - bca.low).abs() < 1e-12 && (plain.high - bca.high).abs() < 1e-12);
        assert!((plain.low - 0.05).abs() < 1e-12);
    }

    #[test]
    fn fewer_clusters_take_wider_percentiles() {
        // t(0.975, 9) = 2.262157, times sqrt(10 / 9) = 2.384533; 2 Phi(-2.384533) = 0.017101.
        assert!((expanded_level(0.95, 10) - (1.0 - 0.017_101)).abs() < 1e-5, "{}", expanded_level(0.95, 10));
        assert!((expanded_level(0.95, 1_000_000) - 0.95).abs() < 1e-5);
        assert_eq!(expanded_level(0.95, 1), 0.95);
        assert!((0.99..1.0).contains(&expanded_level(0.95, 3)) && expanded_level(0.95, 2) <= 1.0);
    }

    #[test]
    fn degenerate_draws_do_not_break_it() {
        let one_sided = bca_interval(2.0, &mut [1.0, 1.5, 1.7], &[1.0, 2.0], 0.95);
        assert_eq!(one_sided, percentile_interval(2.0, &mut [1.0, 1.5, 1.7], 0.95));
        let constant = bca_interval(1.0, &mut [1.0; 10], &[1.0; 5], 0.95);
        assert_eq!((constant.low, constant.high), (1.0, 1.0));
        assert!(bca_interval(1.0, &mut [], &[], 0.95).low.is_nan());
    }
}
