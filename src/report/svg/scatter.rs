//! Points of items: one gain against another.

use super::axis::{decimals, number, vertical, Frame};
use super::scale::{padded, Scale};
use super::{shorten, Anchor, Canvas, WIDTH};

/// A cloud of points with lines at 0.
#[derive(Debug, Clone, Default)]
pub(in crate::report) struct Scatter {
    pub title: String,
    pub x_name: String,
    pub y_name: String,
    /// Class of the colour.
    pub colour: String,
    /// x, y, and what is shown on hovering.
    pub points: Vec<(f64, f64, String)>,
}

const HEIGHT: f64 = 230.0;

impl Scatter {
    /// The cloud as SVG; an empty string if there is nothing to draw.
    pub(in crate::report) fn draw(&self) -> String {
        let points: Vec<_> = self.points.iter().filter(|(x, y, _)| x.is_finite() && y.is_finite()).collect();
        if points.is_empty() {
            return String::new();
        }
        let frame = Frame { left: 44.0, right: WIDTH - 8.0, top: 44.0, bottom: 44.0 + HEIGHT };
        let mut canvas = Canvas::new(WIDTH, frame.bottom + 38.0);
        canvas.text((0.0, 14.0), Anchor::Start, "head", &shorten(&self.title, 50));
        canvas.text((0.0, frame.top - 12.0), Anchor::Start, "name", &self.y_name);
        let x = Scale::new(padded(points.iter().map(|(x, ..)| *x).chain([0.0])), (frame.left, frame.right));
        let y = Scale::new(padded(points.iter().map(|(_, y, _)| *y).chain([0.0])), (frame.bottom, frame.top));
        vertical(&mut canvas, frame, &y);
        canvas.line((frame.left, frame.bottom), (frame.right, frame.bottom), "axis");
        let ticks = x.ticks(5);
        for &tick in &ticks {
            let at = x.at(tick);
            canvas.line((at, frame.bottom), (at, frame.bottom + 4.0), "axis");
            canvas.text((at, frame.bottom + 16.0), Anchor::Middle, "tick", &number(tick, decimals(&ticks)));
        }
        canvas.text(((frame.left + frame.right) / 2.0, frame.bottom + 31.0), Anchor::Middle, "name", &self.x_name);
        canvas.line((x.within(0.0), frame.top), (x.within(0.0), frame.bottom), "reference");
        canvas.line((frame.left, y.within(0.0)), (frame.right, y.within(0.0)), "reference");
        for (at, value, title) in points {
            canvas.marker((x.at(*at), y.at(*value)), 0, &format!("cloud dot {}", self.colour), title);
        }
        canvas.finish("chart", &format!("{}: {} by {}", self.title, self.y_name, self.x_name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_finite_point_is_there() {
        let points = vec![(0.0, 1.0, "a".to_owned()), (f64::NAN, 1.0, "b".to_owned()), (-2.0, 0.5, "<c>".to_owned())];
        let drawn = Scatter { title: "t".into(), points, ..Scatter::default() }.draw();
        assert_eq!(drawn.matches("cloud dot").count(), 2);
        assert!(drawn.contains("&lt;c&gt;") && !drawn.contains("NaN"));
        assert_eq!(Scatter::default().draw(), "");
    }
}
