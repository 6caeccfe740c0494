//! One number against what it is compared with, small enough for a row of a table.

use super::axis::{decimals, number};
use super::scale::{padded, Scale};
use super::{Anchor, Canvas};
use crate::stats::Interval;

/// What a number is compared with.
#[derive(Debug, Clone, Copy)]
pub(in crate::report) enum Mark {
    /// A threshold that the interval should be clear of.
    Threshold(f64),
    /// A range that the interval should be within.
    Within(f64),
    /// The bounds are a null's: the number should be below them.
    Null,
}

/// A number, its bounds and their mark.
#[derive(Debug, Clone, Copy)]
pub(in crate::report) struct Strip {
    pub value: Interval,
    pub mark: Mark,
}

const WIDTH: f64 = 170.0;
const MIDDLE: f64 = 12.0;

impl Strip {
    /// The strip as SVG; an empty string for numbers that are not finite.
    pub(in crate::report) fn draw(&self) -> String {
        let Interval { estimate, low, high } = self.value;
        let held = match self.mark {
            Mark::Threshold(at) => [at, at],
            Mark::Within(margin) => [-margin, margin],
            Mark::Null => [0.0, 0.0],
        };
        if ![estimate, low, high, held[0], held[1]].iter().all(|value| value.is_finite()) {
            return String::new();
        }
        let range = padded([estimate, low, high].into_iter().chain(held));
        let x = Scale::new(range, (8.0, WIDTH - 8.0));
        let mut canvas = Canvas::new(WIDTH, 38.0);
        canvas.line((0.0, MIDDLE + 9.0), (WIDTH, MIDDLE + 9.0), "axis");
        let (top, tall) = (MIDDLE - 9.0, 18.0);
        let mut labels = vec![];
        match self.mark {
            Mark::Threshold(at) => {
                canvas.line((x.at(at), top), (x.at(at), top + tall), "reference");
                labels.push(at);
            }
            Mark::Within(margin) => {
                canvas.rect((x.at(-margin), top), (x.at(margin) - x.at(-margin), tall), "null", "");
                canvas.line((x.at(0.0), top), (x.at(0.0), top + tall), "reference");
                labels.extend([-margin, margin]);
            }
            Mark::Null => {
                canvas.rect((x.at(low), top), (x.at(high) - x.at(low), tall), "null", "");
                canvas.line((x.at(0.0), top), (x.at(0.0), top + tall), "reference");
                labels.push(0.0);
            }
        }
        if !matches!(self.mark, Mark::Null) {
            canvas.line((x.at(low), MIDDLE), (x.at(high), MIDDLE), "bar ink");
        }
        canvas.marker((x.at(estimate), MIDDLE), 3, "dot ink", "");
        let places = decimals(&labels);
        for label in labels {
            canvas.text((x.at(label).clamp(18.0, WIDTH - 18.0), 35.0), Anchor::Middle, "tick", &number(label, places));
        }
        canvas.finish("strip", &format!("{} between {} and {}", number(estimate, 3), number(low, 3), number(high, 3)))
    }
}
