//! Intervals in tables.

use probity::stats::Interval;

/// An interval in a table.
pub fn interval(value: &Interval) -> String {
    format!("{:.2} [{:.2}, {:.2}]", value.estimate, value.low, value.high)
}
