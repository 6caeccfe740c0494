//! Bounds of a ratio of two means.

/// Mean of one quantity with its standard error.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Measured {
    pub mean: f64,
    pub error: f64,
}

/// The bound of `numerator / denominator`, two independent means, that lies `critical` standard errors away: the value q at
/// which numerator - q denominator is so far from 0 (Fieller 1954). `critical` below 0 asks for the lower bound, above 0 for
/// the upper one, for a denominator above 0. Infinite where the denominator itself is not told from 0.
pub(crate) fn fieller_bound(numerator: Measured, denominator: Measured, critical: f64) -> f64 {
    let reach = critical * critical;
    let sure = denominator.mean.powi(2) - reach * denominator.error.powi(2);
    if denominator.mean <= 0.0 || sure <= 0.0 || !sure.is_finite() || !critical.is_finite() {
        return if critical < 0.0 { f64::NEG_INFINITY } else { f64::INFINITY };
    }
    let variance = numerator.error.powi(2) * sure + (denominator.error * numerator.mean).powi(2);
    (numerator.mean * denominator.mean + critical * variance.sqrt()) / sure
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_is_where_the_difference_is_so_far_from_none() {
        let (numerator, denominator) = (Measured { mean: -0.4, error: 0.1 }, Measured { mean: 0.8, error: 0.15 });
        for critical in [-2.0, -0.5, 1.0, 2.5] {
            let q = fieller_bound(numerator, denominator, critical);
            let error = (0.01_f64 + (q * 0.15).powi(2)).sqrt();
            assert!(((q * 0.8 + 0.4) / error - critical).abs() < 1e-12, "{critical} {q}");
        }
        // A sure denominator is a unit.
        let sure = Measured { mean: 2.0, error: 0.0 };
        assert!((fieller_bound(numerator, sure, 2.0) - -0.1).abs() < 1e-15);
        assert_eq!(fieller_bound(numerator, Measured { mean: 0.2, error: 0.15 }, -2.0), f64::NEG_INFINITY);
        assert_eq!(fieller_bound(numerator, Measured { mean: -1.0, error: 0.1 }, 2.0), f64::INFINITY);
    }
}
