//! Numbers and names as a reader sees them.

use crate::hook::{Address, Site};
use crate::report::svg;
use crate::stats::Interval;

pub(super) use super::super::svg::escape;

/// What stands for a number that is not there.
pub(super) const NONE: &str = "\u{2013}";

/// Two to three figures, with a true minus sign.
pub(super) fn number(value: f64) -> String {
    with_decimals(value, decimals(value.abs()))
}

/// `estimate [low, high]`, all with the same decimals.
pub(super) fn interval(value: &Interval) -> String {
    let [estimate, low, high] = parts(value);
    format!("{estimate} [{low}, {high}]")
}

/// `estimate [low, high]` for a table, with the bounds set small.
pub(super) fn interval_cell(value: &Interval) -> String {
    let [estimate, low, high] = parts(value);
    format!("{estimate} <small>[{low}, {high}]</small>")
}

/// Estimate and bounds, all with the same decimals.
pub(super) fn parts(value: &Interval) -> [String; 3] {
    let values = [value.estimate, value.low, value.high];
    let largest =
        values.into_iter().filter(|value| value.is_finite()).fold(0.0, |most: f64, value| most.max(value.abs()));
    values.map(|value| with_decimals(value, decimals(largest)))
}

fn decimals(size: f64) -> usize {
    match size {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 0.1 || size == 0.0 => 2,
        size if size >= 0.01 => 3,
        size if size >= 0.001 => 4,
        _ => 6,
    }
}

fn with_decimals(value: f64, decimals: usize) -> String {
    if !value.is_finite() {
        return NONE.to_owned();
    }
    if value.abs() >= 1e9 {
        return format!("{value:.2e}").replace('-', "\u{2212}");
    }
    svg::number(value, decimals)
}

/// A whole number with thin spaces between thousands.
pub(super) fn count(value: usize) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) && digits.len() > 4 {
            text.push('\u{2009}');
        }
        text.push(digit);
    }
    text
}

/// A share as per cent: 0.95 is "95 %".
pub(super) fn percent(share: f64) -> String {
    if !share.is_finite() {
        return NONE.to_owned();
    }
    let text = format!("{:.1}", 100.0 * share);
    format!("{}\u{a0}%", text.strip_suffix(".0").unwrap_or(&text))
}

/// "1 item", "2 items".
pub(super) fn counted(value: usize, noun: &str) -> String {
    format!("{} {noun}{}", count(value), if value == 1 { "" } else { "s" })
}

/// A kind of place over all layers: the site, and the head if one was named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub site: Site,
    pub head: Option<usize>,
}

impl Place {
    pub fn of(address: Address) -> Self {
        Place { site: address.site(), head: address.head_index() }
    }

    pub fn name(self) -> String {
        match self.head {
            Some(head) => format!("{}.h{head}", self.site),
            None => self.site.to_string(),
        }
    }

    /// Every place once: `resid_post`, which the verdict reads, then in the order of a forward pass.
    pub fn all(addresses: impl IntoIterator<Item = Address>) -> Vec<Place> {
        let mut places: Vec<Place> = Vec::new();
        for place in addresses.into_iter().map(Place::of) {
            if !places.contains(&place) {
                places.push(place);
            }
        }
        places.sort_by_key(|place| (place.site != Site::ResidPost, place.site, place.head));
        places
    }
}

/// Places as a list in a sentence.
pub(super) fn list(places: &[Place]) -> String {
    let names: Vec<String> =
        places.iter().map(|place| format!("<span class=\"mono\">{}</span>", place.name())).collect();
    match names.as_slice() {
        [] => "no place".to_owned(),
        [one] => one.clone(),
        [before @ .., last] => format!("{} and {last}", before.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_finite() {
        for (value, expected) in [
            (0.1234, "0.12"),
            (-0.0123, "\u{2212}0.012"),
            (-0.0000001, "0.000000"),
            (0.0, "0.00"),
            (-0.0, "0.00"),
            (123.4, "123"),
            (f64::NAN, NONE),
            (f64::NEG_INFINITY, NONE),
            (-2e300, "\u{2212}2.00e300"),
        ] {
            assert_eq!(number(value), expected);
        }
        let value = Interval { estimate: -0.004, low: -0.2, high: 0.1 };
        assert_eq!(interval(&value), "0.00 [\u{2212}0.20, 0.10]");
        assert_eq!((count(2000), count(12345), percent(0.95), percent(0.999)).0, "2000");
        assert_eq!(count(1234567), "1\u{2009}234\u{2009}567");
        assert_eq!(percent(0.999), "99.9\u{a0}%");
    }

    #[test]
    fn places_begin_with_the_residual_stream() {
        let addresses = [Address::EMBED, Site::HeadOut.at(0).head(1), Site::ResidPost.at(0), Site::ResidPost.at(1)];
        let names: Vec<String> = Place::all(addresses).into_iter().map(Place::name).collect();
        assert_eq!(names, ["resid_post", "embed", "head_out.h1"]);
    }
}
