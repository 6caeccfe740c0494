//! Bars side by side, in groups, with their intervals.

use super::axis::{vertical, Frame};
use super::scale::{padded, Scale};
use super::{shorten, Anchor, Canvas, LETTER, WIDTH};
use crate::stats::Interval;

/// Bars in groups along the horizontal axis.
#[derive(Debug, Clone, Default)]
pub(in crate::report) struct Bars {
    pub title: String,
    pub x_name: String,
    pub y_name: String,
    /// The kinds of bars, each with the class of its colour.
    pub kinds: Vec<(String, String)>,
    /// Groups by name, a value for each kind.
    pub groups: Vec<(String, Vec<Option<Interval>>)>,
}

const HEIGHT: f64 = 170.0;

impl Bars {
    /// The chart as SVG; an empty string if there is nothing to draw.
    pub(in crate::report) fn draw(&self) -> String {
        let fine = |value: &Interval| [value.estimate, value.low, value.high].iter().all(|value| value.is_finite());
        let values = || self.groups.iter().flat_map(|(_, values)| values).flatten().filter(|value| fine(value));
        if values().next().is_none() {
            return String::new();
        }
        let frame = Frame { left: 48.0, right: WIDTH - 8.0, top: 66.0, bottom: 66.0 + HEIGHT };
        let mut canvas = Canvas::new(WIDTH, frame.bottom + 38.0);
        canvas.text((0.0, 14.0), Anchor::Start, "head", &shorten(&self.title, 50));
        let mut left = 0.0;
        for (name, colour) in &self.kinds {
            canvas.rect((left, 24.0), (14.0, 10.0), &format!("pillar {colour}"), "");
            canvas.text((left + 20.0, 33.0), Anchor::Start, "key", name);
            left += 36.0 + LETTER * name.chars().count() as f64;
        }
        canvas.text((0.0, frame.top - 12.0), Anchor::Start, "name", &self.y_name);
        let y = Scale::new(
            padded(values().flat_map(|value| [value.low, value.high, value.estimate]).chain([0.0])),
            (frame.bottom, frame.top),
        );
        vertical(&mut canvas, frame, &y);
        let (zero, room) = (y.within(0.0), (frame.right - frame.left) / self.groups.len() as f64);
        let width = (0.8 * room / self.kinds.len().max(1) as f64).min(26.0);
        // With many groups not every name has room.
        let longest = self.groups.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        let each = ((LETTER * longest as f64 + 8.0) / room).ceil().max(1.0) as usize;
        for (place, (name, values)) in self.groups.iter().enumerate() {
            let middle = frame.left + room * (place as f64 + 0.5);
            let left = middle - 0.5 * width * self.kinds.len() as f64;
            for ((kind, value), (of, colour)) in values.iter().enumerate().zip(&self.kinds) {
                let Some(value) = value.as_ref().filter(|value| fine(value)) else { continue };
                let (x, top) = (left + width * kind as f64, y.within(value.estimate));
                let title = super::escape(&format!("{of}, {name}: {:.4}", value.estimate));
                canvas.raw(&format!("<g><title>{title}</title>"));
                let size = (0.9 * width, (zero - top).abs());
                canvas.rect((x, top.min(zero)), size, &format!("pillar {colour}"), "");
                let centre = x + 0.45 * width;
                canvas.line((centre, y.within(value.low)), (centre, y.within(value.high)), "axis");
                canvas.raw("</g>");
            }
            if place % each == 0 {
                canvas.text((middle, frame.bottom + 16.0), Anchor::Middle, "tick", name);
            }
        }
        canvas.line((frame.left, zero), (frame.right, zero), "axis");
        canvas.text(((frame.left + frame.right) / 2.0, frame.bottom + 31.0), Anchor::Middle, "name", &self.x_name);
        canvas.finish("chart", &format!("{}: {} by {}", self.title, self.y_name, self.x_name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_for_every_value() {
        let value = |estimate| Some(Interval { estimate, low: estimate - 0.1, high: estimate + 0.1 });
        let bars = Bars {
            kinds: vec![("a".into(), "s0".into()), ("b".into(), "s1".into())],
            groups: vec![("1".into(), vec![value(0.5), None]), ("2".into(), vec![value(-0.5), value(f64::NAN)])],
            ..Bars::default()
        };
        let drawn = bars.draw();
        // Two keys and two values.
        assert_eq!(drawn.matches("class=\"pillar").count(), 4);
        assert!(!drawn.contains("NaN"));
        assert_eq!(Bars::default().draw(), "");
    }
}
