//! What a test of this size could have seen.

use std::f64::consts::{LN_2, PI};

use super::distribution::ln_gamma;
use super::normal_cdf;

/// Chance that |t| exceeds `critical` where the true mean lies `effect` standard errors from 0: the tails of the
/// noncentral t distribution with these `degrees` of freedom (at least 1).
pub fn power_of_t(effect: f64, degrees: f64, critical: f64) -> f64 {
    if !(degrees >= 1.0 && critical.is_finite() && effect.is_finite()) {
        return if critical == f64::INFINITY { 0.0 } else { f64::NAN };
    }
    Spread::of(degrees).power(effect, critical)
}

/// The distance from 0, in standard errors, at which a two-sided test of |t| > `critical` has this `power`. Infinite
/// where the critical value is, not a number for a power outside 0 to 1.
pub fn minimum_detectable(degrees: f64, critical: f64, power: f64) -> f64 {
    if !(power > 0.0 && power < 1.0 && degrees >= 1.0) || critical.is_nan() {
        return f64::NAN;
    }
    if critical == f64::INFINITY {
        return f64::INFINITY;
    }
    let spread = Spread::of(degrees);
    let beyond = |effect: f64| spread.power(effect, critical) - power;
    let (mut low, mut high) = ((0.0, beyond(0.0)), (1.0, beyond(1.0)));
    if low.1 >= 0.0 {
        return 0.0;
    }
    while high.1 < 0.0 {
        low = high;
        high.0 *= 2.0;
        high.1 = beyond(high.0);
        if high.0 > 1e9 {
            return f64::NAN;
        }
    }
    // The straight line between both ends, where the end that stays counts half (the Illinois rule).
    let mut last = 0.0;
    for _ in 0..200 {
        let middle = low.0 + (high.0 - low.0) * (-low.1 / (high.1 - low.1)).clamp(0.0, 1.0);
        let found = beyond(middle);
        if found.abs() < 1e-13 || high.0 - low.0 <= 1e-10 * high.0 {
            return middle;
        }
        let (moved, kept) = if found < 0.0 { (&mut low, &mut high) } else { (&mut high, &mut low) };
        *moved = (middle, found);
        if last * found > 0.0 {
            kept.1 *= 0.5;
        }
        last = found;
    }
    0.5 * (low.0 + high.0)
}

/// How an estimated standard error spreads about the true one: values of S, S^2 = chi-squared / degrees, and weights that
/// make a sum over them the mean over S, by Simpson's rule.
struct Spread(Vec<[f64; 2]>);

impl Spread {
    fn of(degrees: f64) -> Self {
        if degrees > 1e7 {
            return Spread(vec![[1.0, 1.0]]);
        }
        let half = 0.5 * degrees;
        // ln Gamma by Stirling loses digits against half ln half only far beyond this.
        let constant = LN_2 + half * half.ln() - ln_gamma(half);
        let density = |s: f64| {
            if s > 0.0 {
                (constant + (degrees - 1.0) * s.ln() - half * s * s).exp()
            } else if degrees == 1.0 {
                (2.0 / PI).sqrt()
            } else {
                0.0
            }
        };
        let reach = 10.0 / (2.0 * degrees).sqrt();
        let (low, high) = ((1.0 - reach).max(0.0), 1.0 + reach);
        // Near 0, where few degrees reach, the tails change within 1 / critical.
        let steps = if degrees < 5.0 { 4_000 } else { 400 };
        let step = (high - low) / steps as f64;
        let at = |index: usize| {
            let s = low + index as f64 * step;
            let times = match index {
                0 => 1.0,
                index if index == steps => 1.0,
                index if index % 2 == 1 => 4.0,
                _ => 2.0,
            };
            [s, times * density(s) * step / 3.0]
        };
        Spread((0..=steps).map(at).collect())
    }

    /// t = (Z + effect) / S, so the chance is the mean over S of Phi(effect - critical S) + Phi(-effect - critical S).
    fn power(&self, effect: f64, critical: f64) -> f64 {
        let tails = |s: f64| normal_cdf(effect - critical * s) + normal_cdf(-effect - critical * s);
        self.0.iter().map(|&[s, weight]| weight * tails(s)).sum::<f64>().clamp(0.0, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::{normal_upper_quantile, student_upper_quantile};

    #[test]
    fn without_effect_power_is_the_level() {
        for degrees in [1.0, 3.0, 29.0, 400.0] {
            let power = power_of_t(0.0, degrees, student_upper_quantile(0.025, degrees));
            assert!((power - 0.05).abs() < 1e-8, "{degrees} {power}");
        }
        assert_eq!(power_of_t(3.0, 10.0, f64::INFINITY), 0.0);
        assert!(minimum_detectable(10.0, f64::INFINITY, 0.8).is_infinite());
        assert!(minimum_detectable(10.0, 2.0, 1.0).is_nan() && minimum_detectable(f64::NAN, 2.0, 0.8).is_nan());
    }

    #[test]
    fn many_degrees_are_the_normal_rule_of_thumb() {
        let z = normal_upper_quantile;
        let expected = z(0.025) + z(0.2);
        assert!((minimum_detectable(1e6, z(0.025), 0.8) / expected - 1.0).abs() < 1e-5);
    }
}
