//! Plots as inline SVG. Colours are classes of the page's style sheet, so one drawing serves light, dark and
//! paper; the unit is a pixel at natural size, and text is 12 of them high.

mod axis;
mod bars;
mod heat_map;
mod line_chart;
mod scale;
mod scatter;
mod specification_curve;
mod strip;

pub(super) use axis::number;
pub(super) use bars::Bars;
pub(super) use heat_map::{colour_bar, Cell, Group, HeatMap};
pub(super) use line_chart::{Area, LineChart, Point, Reference, Series, Style};
pub(super) use scale::nice_bound;
pub(super) use scatter::Scatter;
pub(super) use specification_curve::{Choice, SpecificationCurve, Specified};
pub(super) use strip::{Mark, Strip};

/// Width of a plot that fits a phone with text of 11 pixels or more.
pub(super) const WIDTH: f64 = 380.0;

/// Rough width of a letter; text cannot be measured here.
pub(super) const LETTER: f64 = 6.4;

/// Text for HTML and XML, in elements and in attributes. Characters that XML forbids are replaced.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\n' | '\t' => escaped.push(letter),
            '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            letter if letter.is_control() => escaped.push('\u{fffd}'),
            letter => escaped.push(letter),
        }
    }
    escaped
}

/// At most `letters` letters, the last of them an ellipsis where some were left out.
pub(super) fn shorten(text: &str, letters: usize) -> String {
    if text.chars().count() <= letters {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(letters.saturating_sub(1)).collect();
    short.push('\u{2026}');
    short
}

/// A coordinate: a tenth of a pixel, and a number whatever comes in.
pub(super) fn coordinate(value: f64) -> String {
    let value = if value.is_finite() { value.clamp(-99_999.0, 99_999.0) } else { 0.0 };
    let text = format!("{value:.1}");
    match text.strip_suffix(".0") {
        Some("-0") => "0".to_owned(),
        Some(whole) => whole.to_owned(),
        None => text,
    }
}

/// Where a text is anchored.
#[derive(Debug, Clone, Copy)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// A drawing that grows by elements.
#[derive(Debug)]
pub(super) struct Canvas {
    width: f64,
    height: f64,
    body: String,
}

impl Canvas {
    pub(super) fn new(width: f64, height: f64) -> Self {
        Canvas { width, height, body: String::new() }
    }

    /// Ready markup.
    pub(super) fn raw(&mut self, markup: &str) {
        self.body.push_str(markup);
    }

    pub(super) fn line(&mut self, from: (f64, f64), to: (f64, f64), class: &str) {
        let [x1, y1, x2, y2] = [from.0, from.1, to.0, to.1].map(coordinate);
        self.raw(&format!("<line x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" y2=\"{y2}\" class=\"{class}\"/>"));
    }

    /// A rectangle; `more` is further attributes with a leading space, or nothing.
    pub(super) fn rect(&mut self, corner: (f64, f64), size: (f64, f64), class: &str, more: &str) {
        let [x, y, w, h] = [corner.0, corner.1, size.0.max(0.0), size.1.max(0.0)].map(coordinate);
        self.raw(&format!("<rect x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\" class=\"{class}\"{more}/>"));
    }

    pub(super) fn text(&mut self, at: (f64, f64), anchor: Anchor, class: &str, text: &str) {
        let [x, y] = [at.0, at.1].map(coordinate);
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let text = escape(text);
        self.raw(&format!("<text x=\"{x}\" y=\"{y}\" text-anchor=\"{anchor}\" class=\"{class}\">{text}</text>"));
    }

    /// An open path through the points.
    pub(super) fn path(&mut self, points: impl IntoIterator<Item = (f64, f64)>, class: &str) {
        self.outline(points, class, "");
    }

    /// A closed path through the points.
    pub(super) fn area(&mut self, points: impl IntoIterator<Item = (f64, f64)>, class: &str) {
        self.outline(points, class, "Z");
    }

    fn outline(&mut self, points: impl IntoIterator<Item = (f64, f64)>, class: &str, end: &str) {
        let steps: Vec<String> =
            points.into_iter().map(|(x, y)| format!("{} {}", coordinate(x), coordinate(y))).collect();
        if !steps.is_empty() {
            self.raw(&format!("<path d=\"M{}{end}\" class=\"{class}\"/>", steps.join("L")));
        }
    }

    /// A marker whose shape goes with its colour, so that neither is needed alone; `title` appears on hovering.
    pub(super) fn marker(&mut self, (x, y): (f64, f64), shape: usize, class: &str, title: &str) {
        let r = if class.starts_with("small") {
            1.6
        } else if class.starts_with("cloud") {
            2.0
        } else {
            2.6
        };
        let corners: &[(f64, f64)] = match shape % 4 {
            0 => &[
                (-0.4, -1.0),
                (0.4, -1.0),
                (1.0, -0.4),
                (1.0, 0.4),
                (0.4, 1.0),
                (-0.4, 1.0),
                (-1.0, 0.4),
                (-1.0, -0.4),
            ],
            1 => &[(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
            2 => &[(0.0, -1.2), (1.1, 0.9), (-1.1, 0.9)],
            _ => &[(0.0, -1.3), (1.3, 0.0), (0.0, 1.3), (-1.3, 0.0)],
        };
        let steps: Vec<String> =
            corners.iter().map(|(dx, dy)| format!("{} {}", coordinate(x + r * dx), coordinate(y + r * dy))).collect();
        let title = if title.is_empty() { String::new() } else { format!("<title>{}</title>", escape(title)) };
        self.raw(&format!("<path d=\"M{}Z\" class=\"{class}\">{title}</path>", steps.join("L")));
    }

    /// The element, described for those who do not see it.
    pub(super) fn finish(self, class: &str, label: &str) -> String {
        let [width, height] = [self.width, self.height].map(coordinate);
        format!(
            "<svg class=\"{class}\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
             role=\"img\" aria-label=\"{}\">{}</svg>",
            escape(label),
            self.body
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coordinates_are_always_numbers() {
        for (value, expected) in
            [(1.26, "1.3"), (-0.01, "0"), (7.0, "7"), (f64::NAN, "0"), (f64::INFINITY, "0"), (1e300, "99999")]
        {
            assert_eq!(coordinate(value), expected);
        }
    }

    #[test]
    fn nothing_escapes_escaping() {
        assert_eq!(escape("<b>&\"x\"'\u{1}"), "&lt;b&gt;&amp;&quot;x&quot;&#39;\u{fffd}");
        assert_eq!(shorten("abcdef", 4), "abc\u{2026}");
        assert_eq!(shorten("abcd", 4), "abcd");
    }
}
