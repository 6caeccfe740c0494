//! The distributions that intervals and tests refer to, to machine precision or close to it.

use std::f64::consts::{LN_2, PI, SQRT_2};

/// Chance that a standard normal value is at most `z`.
pub fn normal_cdf(z: f64) -> f64 {
    let tail = 0.5 * complementary_error(z.abs() / SQRT_2);
    if z < 0.0 {
        tail
    } else {
        1.0 - tail
    }
}

/// The z that a standard normal value does not exceed with probability `p`; infinite at 0 and 1.
pub fn normal_quantile(p: f64) -> f64 {
    match p {
        p if p.is_nan() => f64::NAN,
        p if p <= 0.0 => f64::NEG_INFINITY,
        p if p >= 1.0 => f64::INFINITY,
        p if p < 0.5 => -normal_upper_quantile(p),
        p => normal_upper_quantile(1.0 - p),
    }
}

/// The z that a standard normal value exceeds with probability `tail` (0 < tail <= 0.5): a rational
/// approximation (Abramowitz and Stegun 26.2.23) and Newton's method from there.
pub fn normal_upper_quantile(tail: f64) -> f64 {
    let tail = tail.clamp(f64::MIN_POSITIVE, 0.5);
    let t = (-2.0 * tail.ln()).sqrt();
    let numerator = 2.515517 + t * (0.802853 + t * 0.010328);
    let denominator = 1.0 + t * (1.432788 + t * (0.189269 + t * 0.001308));
    let mut z = t - numerator / denominator;
    for _ in 0..3 {
        let density = (-0.5 * z * z).exp() / (2.0 * PI).sqrt();
        z += (0.5 * complementary_error(z / SQRT_2) - tail) / density;
    }
    z
}

/// The t that a value of Student's distribution exceeds with probability `tail` (0 < tail <= 0.5), for any
/// `degrees` of freedom above 0, whole or not.
pub fn student_upper_quantile(tail: f64, degrees: f64) -> f64 {
    if degrees > 1e7 {
        return normal_upper_quantile(tail);
    }
    let tail = tail.clamp(f64::MIN_POSITIVE, 0.5);
    let upper = |t: f64| 0.5 * incomplete_beta(degrees / (degrees + t * t), 0.5 * degrees, 0.5);
    let (mut low, mut high) = (0.0, 1.0);
    while upper(high) > tail && high < 1e150 {
        (low, high) = (high, 2.0 * high);
    }
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if high - low <= 1e-15 * high {
            break;
        }
        if upper(middle) > tail {
            low = middle;
        } else {
            high = middle;
        }
    }
    0.5 * (low + high)
}

/// Chance that a value of Student's distribution is at most `t`, for any `degrees` of freedom above 0.
pub fn student_cdf(t: f64, degrees: f64) -> f64 {
    if t.is_nan() || degrees.is_nan() {
        return f64::NAN;
    }
    if degrees > 1e7 || t.is_infinite() {
        return normal_cdf(t);
    }
    let tail = 0.5 * incomplete_beta(degrees / (degrees + t * t), 0.5 * degrees, 0.5);
    if t < 0.0 {
        tail
    } else {
        1.0 - tail
    }
}

/// The value that chi-squared with these `degrees` of freedom (above 0) stays below with probability `p` (0 < p < 1).
pub fn chi_squared_quantile(p: f64, degrees: f64) -> f64 {
    if !(p > 0.0 && p < 1.0 && degrees > 0.0) {
        return f64::NAN;
    }
    let (mut low, mut high) = (0.0, degrees.max(1.0));
    while incomplete_gamma(0.5 * degrees, 0.5 * high) < p && high < 1e150 {
        (low, high) = (high, 2.0 * high);
    }
    while high - low > 1e-14 * high {
        let middle = 0.5 * (low + high);
        if middle <= low || middle >= high {
            break;
        }
        if incomplete_gamma(0.5 * degrees, 0.5 * middle) < p {
            low = middle;
        } else {
            high = middle;
        }
    }
    0.5 * (low + high)
}

/// The regularised lower incomplete gamma function P(a, x): its series (Abramowitz and Stegun 6.5.29) below a + 1, the
/// continued fraction (6.5.31) above.
fn incomplete_gamma(a: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    let front = (a * x.ln() - x - ln_gamma(a)).exp();
    if x < a + 1.0 {
        let (mut term, mut sum, mut n) = (1.0 / a, 1.0 / a, a);
        while term > 1e-17 * sum {
            n += 1.0;
            term *= x / n;
            sum += term;
        }
        return (front * sum).min(1.0);
    }
    // From the inside out, deeper than the square root of a, over which it converges.
    let depth = 80 + (8.0 * a.sqrt().min(5_000.0)) as i32;
    let fraction = (1..=depth).rev().fold(x + 1.0 - a + 2.0 * f64::from(depth), |rest, k| {
        let k = f64::from(k);
        x + 2.0 * (k - 1.0) + 1.0 - a - k * (k - a) / rest
    });
    (1.0 - front / fraction).max(0.0)
}

/// 2/sqrt(pi) times the integral of exp(-t^2) from `x` to infinity, for x >= 0: the power series of its
/// complement (Abramowitz and Stegun 7.1.6) near 0, the continued fraction (7.1.14) further out.
fn complementary_error(x: f64) -> f64 {
    if x < 2.0 {
        let mut term = 2.0 * x / PI.sqrt() * (-x * x).exp();
        let mut sum = term;
        for k in 1..100 {
            term *= 2.0 * x * x / f64::from(2 * k + 1);
            sum += term;
        }
        return 1.0 - sum;
    }
    let fraction = (1..=80).rev().fold(x, |rest, k| x + 0.5 * f64::from(k) / rest);
    (-x * x).exp() / (PI.sqrt() * fraction)
}

/// The regularised incomplete beta function I_x(a, b), by its continued fraction (Abramowitz and Stegun
/// 26.5.8) on the side where that converges fast.
fn incomplete_beta(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return x.clamp(0.0, 1.0);
    }
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - incomplete_beta(1.0 - x, b, a);
    }
    let front = (a * x.ln() + b * (-x).ln_1p() + ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b)).exp() / a;
    // From the inside out: convergents far beyond the needed depth cost nothing here.
    let term = |k: i32| {
        let m = f64::from(k / 2);
        if k % 2 == 0 {
            m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m))
        } else {
            -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0))
        }
    };
    let depth = 60 + (4.0 * a.sqrt().min(500.0)) as i32;
    front / (1..=depth).rev().fold(1.0, |rest, k| 1.0 + term(k) / rest)
}

/// ln Gamma(x) for x > 0: Stirling's series (Abramowitz and Stegun 6.1.41), after steps up to where it holds.
pub(super) fn ln_gamma(x: f64) -> f64 {
    let (mut x, mut product) = (x, 1.0);
    while x < 15.0 {
        product *= x;
        x += 1.0;
    }
    let square = 1.0 / (x * x);
    let series = (1.0 / 12.0 - square * (1.0 / 360.0 - square * (1.0 / 1260.0 - square / 1680.0))) / x;
    (x - 0.5) * x.ln() - x + 0.5 * (LN_2 + PI.ln()) + series - f64::ln(product)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, expected: f64) {
        assert!((found / expected - 1.0).abs() < 1e-11, "{found} {expected}");
    }

    // Values by SciPy 1.17.
    #[test]
    fn normal() {
        for (z, p) in [(-8.0, 6.22096057427174e-16), (-1.959963984540054, 0.025), (0.5, 0.6914624612740131)] {
            close(normal_cdf(z), p);
            close(normal_quantile(p), z);
        }
        close(normal_cdf(3.0), 0.9986501019683699);
        close(normal_upper_quantile(0.00001), 4.264890793922825);
        assert_eq!(normal_cdf(0.0), 0.5);
        assert!(normal_upper_quantile(0.5).abs() < 1e-15);
        assert_eq!(normal_quantile(1.0), f64::INFINITY);
    }

    #[test]
    fn student() {
        for (tail, degrees, t) in STUDENT {
            close(student_upper_quantile(tail, degrees), t);
        }
    }

    #[test]
    fn chi_squared() {
        for (p, degrees, expected) in CHI_SQUARED {
            close(chi_squared_quantile(p, degrees), expected);
        }
        assert!(chi_squared_quantile(1.0, 3.0).is_nan() && chi_squared_quantile(0.5, 0.0).is_nan());
    }

    const CHI_SQUARED: [(f64, f64, f64); 6] = [
        (0.2, 1.0, 0.0641847546673016),
        (0.2, 9.0, 5.380053211773292),
        (0.05, 19.0, 10.117013063859044),
        (0.975, 2.5, 8.392295266912964),
        (0.2, 400.0, 376.0218308231443),
        (0.01, 60.0, 37.484851529803784),
    ];

    const STUDENT: [(f64, f64, f64); 6] = [
        (0.025, 1.0, 12.706204736174705),
        (0.025, 2.5, 3.5746548420036834),
        (0.025, 7.0, 2.3646242515927844),
        (0.005, 49.0, 2.6799519736315522),
        (0.025, 400.0, 1.965912343229463),
        (1e-06, 12.3, 8.36713816961198),
    ];
}
