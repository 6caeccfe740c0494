//! One estimate by many analyses in the order of its size, above the choices that each made.

use super::axis::{vertical, Frame};
use super::scale::{padded, Scale};
use super::{shorten, Anchor, Canvas, LETTER};
use crate::stats::Interval;

/// A specification curve (Simonsohn, Simmons and Nelson 2020).
#[derive(Debug, Clone, Default)]
pub(in crate::report) struct SpecificationCurve {
    pub title: String,
    pub y_name: String,
    /// Values with a line across, and what they are called.
    pub marks: Vec<(f64, String)>,
    /// What was chosen from, from above to below.
    pub choices: Vec<Choice>,
    /// The analyses, in any order.
    pub analyses: Vec<Specified>,
}

/// What one choice is about, with its options.
#[derive(Debug, Clone)]
pub(in crate::report) struct Choice {
    pub name: String,
    pub options: Vec<String>,
}

/// One analysis.
#[derive(Debug, Clone)]
pub(in crate::report) struct Specified {
    pub value: Interval,
    /// Class of the colour.
    pub colour: &'static str,
    /// The option taken of each choice.
    pub options: Vec<usize>,
}

const WIDE: f64 = 820.0;
const HEIGHT: f64 = 190.0;
const ROW: f64 = 14.0;
const GAP: f64 = 8.0;
/// Room for the names of the marks.
const BESIDE: f64 = 60.0;

impl SpecificationCurve {
    /// The curve as SVG; an empty string if there is nothing to draw.
    pub(in crate::report) fn draw(&self) -> String {
        let finite = |one: &&Specified| one.value.estimate.is_finite();
        let mut analyses: Vec<&Specified> = self.analyses.iter().filter(finite).collect();
        if analyses.is_empty() {
            return String::new();
        }
        // Ties in the order of the options, so that the same analyses give the same drawing.
        analyses.sort_by(|a, b| a.value.estimate.total_cmp(&b.value.estimate).then_with(|| a.options.cmp(&b.options)));
        let labels = self.choices.iter().flat_map(|choice| &choice.options);
        let letters = labels.map(|label| label.chars().count()).max().unwrap_or(0).min(24);
        let left = (LETTER * letters as f64 + 14.0).max(52.0);
        let frame = Frame { left, right: WIDE - BESIDE, top: 46.0, bottom: 46.0 + HEIGHT };
        let rows: f64 = self.choices.iter().map(|choice| ROW * (choice.options.len() + 1) as f64 + GAP).sum();
        let mut canvas = Canvas::new(WIDE, frame.bottom + 12.0 + rows);
        canvas.text((0.0, 14.0), Anchor::Start, "head", &shorten(&self.title, 90));
        canvas.text((0.0, frame.top - 12.0), Anchor::Start, "name", &self.y_name);
        // A few endless intervals must not flatten the rest: those in the outer twentieths are cut.
        let [low, high] = self.reach(&analyses);
        let marks = self.marks.iter().map(|(at, _)| *at);
        let y = Scale::new(padded([low, high].into_iter().chain(marks)), (frame.bottom, frame.top));
        vertical(&mut canvas, frame, &y);
        for (at, _) in &self.marks {
            canvas.line((frame.left, y.within(*at)), (frame.right, y.within(*at)), "reference");
        }
        self.name_marks(&mut canvas, frame, &y);
        let step = (frame.right - frame.left) / analyses.len() as f64;
        let x = |place: usize| frame.left + (place as f64 + 0.5) * step;
        let bar = |value: f64, open: f64| y.within(if value.is_finite() { value } else { open });
        for (place, one) in analyses.iter().enumerate() {
            let (from, to) = (bar(one.value.low, f64::MIN), bar(one.value.high, f64::MAX));
            canvas.line((x(place), from), (x(place), to), &format!("spread {}", one.colour));
        }
        for (place, one) in analyses.iter().enumerate() {
            canvas.marker((x(place), y.within(one.value.estimate)), 0, &format!("small dot plain {}", one.colour), "");
        }
        let mut top = frame.bottom + 12.0;
        for (number, choice) in self.choices.iter().enumerate() {
            canvas.text((0.0, top + ROW - 3.0), Anchor::Start, "hint strong", &choice.name);
            for (option, label) in choice.options.iter().enumerate() {
                let row = top + ROW * (option + 1) as f64;
                canvas.text((frame.left - 6.0, row + ROW - 3.5), Anchor::End, "tick", &shorten(label, 24));
                canvas.line((frame.left, row + ROW / 2.0), (frame.right, row + ROW / 2.0), "grid");
                for (place, one) in
                    analyses.iter().enumerate().filter(|(_, one)| one.options.get(number) == Some(&option))
                {
                    let size = (step.clamp(1.0, 8.0), ROW - 6.0);
                    canvas.rect((x(place) - size.0 / 2.0, row + 3.0), size, &format!("dot plain {}", one.colour), "");
                }
            }
            top += ROW * (choice.options.len() + 1) as f64 + GAP;
        }
        canvas.finish("chart wide", &format!("{}: {} of {} analyses", self.title, self.y_name, analyses.len()))
    }

    /// The names of the marks beside their lines, moved apart where they would touch.
    fn name_marks(&self, canvas: &mut Canvas, frame: Frame, y: &Scale) {
        let mut named: Vec<(f64, &str)> = self.marks.iter().map(|(at, name)| (y.within(*at), name.as_str())).collect();
        named.retain(|(_, name)| !name.is_empty());
        named.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut free = frame.top;
        for (at, name) in named {
            let at = (at + 4.0).max(free);
            canvas.text((frame.right + 5.0, at), Anchor::Start, "hint", name);
            free = at + 13.0;
        }
    }

    /// From the lowest to the highest that is drawn.
    fn reach(&self, analyses: &[&Specified]) -> [f64; 2] {
        let end = |of: fn(&Interval) -> f64, share: f64| {
            let mut ends: Vec<f64> = analyses.iter().map(|one| of(&one.value)).filter(|end| end.is_finite()).collect();
            ends.sort_by(f64::total_cmp);
            crate::stats::quantile(&ends, share)
        };
        let lowest = end(|value| value.low, 0.05).min(end(|value| value.estimate, 0.0));
        let highest = end(|value| value.high, 0.95).max(end(|value| value.estimate, 1.0));
        [lowest, highest]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_analysis_has_a_mark_for_each_choice() {
        let analysis = |estimate: f64, option: usize| Specified {
            value: Interval { estimate, low: f64::NEG_INFINITY, high: estimate + 0.1 },
            colour: "s0",
            options: vec![option, 0],
        };
        let choice = |name: &str, options: &[&str]| Choice {
            name: name.to_owned(),
            options: options.iter().map(|&option| option.to_owned()).collect(),
        };
        let curve = SpecificationCurve {
            choices: vec![choice("probe", &["ridge", "<mean>"]), choice("layers", &["all"])],
            analyses: vec![analysis(0.2, 0), analysis(-0.1, 1), analysis(f64::NAN, 0)],
            ..SpecificationCurve::default()
        };
        let drawn = curve.draw();
        assert_eq!(drawn.matches("small dot plain").count(), 2);
        assert_eq!(drawn.matches("\"dot plain").count(), 4);
        assert!(drawn.contains("&lt;mean&gt;") && !drawn.contains("NaN") && !drawn.contains("inf"));
        // The lower estimate, of the second option, comes first.
        let first = drawn.find("small dot").unwrap();
        assert!(drawn[..first].rfind("M").is_some());
        assert_eq!(SpecificationCurve::default().draw(), "");
    }
}
