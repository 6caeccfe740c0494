//! From values to pixels, and round numbers for axes.

/// A linear map from values to pixels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    from: (f64, f64),
    to: (f64, f64),
}

impl Scale {
    /// `from` is widened where it has no width, and replaced where it is not finite.
    pub(super) fn new(from: (f64, f64), to: (f64, f64)) -> Self {
        Scale { from: usable(from), to }
    }

    /// The pixel of a value.
    pub(super) fn at(&self, value: f64) -> f64 {
        let share = (value - self.from.0) / (self.from.1 - self.from.0);
        self.to.0 + share * (self.to.1 - self.to.0)
    }

    /// The pixel of a value, kept on the scale.
    pub(super) fn within(&self, value: f64) -> f64 {
        self.at(value.clamp(self.from.0, self.from.1))
    }

    /// Round values on the scale, about `count` of them.
    pub(super) fn ticks(&self, count: usize) -> Vec<f64> {
        ticks_by(self.from, step(self.from.1 - self.from.0, count))
    }

    /// Round values on the scale, about `count` of them, whole numbers only.
    pub(super) fn whole_ticks(&self, count: usize) -> Vec<f64> {
        ticks_by(self.from, step(self.from.1 - self.from.0, count).max(1.0))
    }
}

fn usable((low, high): (f64, f64)) -> (f64, f64) {
    let width = high - low;
    if !(low.is_finite() && high.is_finite() && width.is_finite()) || low.abs().max(high.abs()) > 1e15 {
        return (-1.0, 1.0);
    }
    if width > 1e-9 * low.abs().max(high.abs()) {
        return (low, high);
    }
    let margin = if low == 0.0 { 0.5 } else { low.abs() * 0.5 };
    (low - margin, high + margin)
}

fn ticks_by((low, high): (f64, f64), step: f64) -> Vec<f64> {
    let first = (low / step - 1e-6).ceil() as i64;
    let last = (high / step + 1e-6).floor() as i64;
    (first..=last).take(50).map(|index| index as f64 * step).collect()
}

/// 1, 2 or 5 times a power of ten, so that `width` holds about `count` of it.
fn step(width: f64, count: usize) -> f64 {
    let rough = width / count.max(1) as f64;
    let power = 10f64.powf(rough.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= rough * 0.999).unwrap_or(10.0);
    factor * power
}

/// The values' range with a little room, round 0 if that is near.
pub(super) fn padded(values: impl IntoIterator<Item = f64>) -> (f64, f64) {
    let (low, high) = values
        .into_iter()
        .filter(|value| value.is_finite())
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    let (low, high) = usable((low, high));
    let room = 0.05 * (high - low);
    (low - room, high + room)
}

/// The least of 1, 1.5, 2, 3, 4, 5, 6 and 8 times a power of ten that is not below any of the values'
/// magnitudes; 1 without values.
pub(in crate::report) fn nice_bound(values: impl IntoIterator<Item = f64>) -> f64 {
    let largest =
        values.into_iter().filter(|value| value.is_finite()).fold(0.0, |most: f64, value| most.max(value.abs()));
    if !(1e-12..1e15).contains(&largest) {
        return 1.0;
    }
    let power = 10f64.powf(largest.log10().floor());
    let factors = [1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0];
    factors.into_iter().find(|factor| factor * power >= largest * 0.999_999).unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_on_the_scale() {
        let close = |found: Vec<f64>, expected: &[f64]| {
            assert_eq!(found.len(), expected.len(), "{found:?}");
            assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-9), "{found:?}");
        };
        close(Scale::new((0.0, 1.0), (0.0, 100.0)).ticks(5), &[0.0, 0.2, 0.4, 0.6, 0.8, 1.0]);
        close(Scale::new((-0.013, 0.004), (0.0, 100.0)).ticks(4), &[-0.01, -0.005, 0.0]);
        close(Scale::new((0.0, 2.0), (0.0, 100.0)).whole_ticks(10), &[0.0, 1.0, 2.0]);
    }

    #[test]
    fn no_range_is_too_odd() {
        for range in [(f64::NAN, 1.0), (f64::NEG_INFINITY, f64::INFINITY), (3.0, 3.0), (-1e308, 1e308), (0.0, 0.0)] {
            let scale = Scale::new(range, (0.0, 10.0));
            assert!(scale.at(range.1.clamp(-1e15, 1e15)).is_finite(), "{range:?}");
            assert!(scale.ticks(5).len() < 51);
        }
        let (low, high) = padded([]);
        assert!(low < high);
        assert_eq!(nice_bound([0.1, -0.32]), 0.4);
        assert_eq!(nice_bound([0.0, f64::NAN]), 1.0);
    }
}
