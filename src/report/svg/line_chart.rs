//! Lines over layers or rounds, with bands or bars for their intervals.

use super::axis::{horizontal, vertical, Frame};
use super::scale::{padded, Scale};
use super::{shorten, Anchor, Canvas, LETTER, WIDTH};

/// A value with its bounds.
#[derive(Debug, Clone)]
pub(in crate::report) struct Point {
    pub x: f64,
    pub y: f64,
    pub low: f64,
    pub high: f64,
    /// Shown on hovering.
    pub title: String,
}

impl Point {
    fn is_finite(&self) -> bool {
        [self.x, self.y, self.low, self.high].iter().all(|value| value.is_finite())
    }
}

/// How a line is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::report) enum Style {
    /// Line, markers, and a band.
    Band,
    /// Line, markers, and a bar at each point.
    Bars,
    /// A thin line alone.
    Thin,
}

/// One line.
#[derive(Debug, Clone)]
pub(in crate::report) struct Series {
    /// Its entry in the legend, if it has one.
    pub label: Option<String>,
    /// Class of its colour.
    pub colour: String,
    /// Shape of its markers.
    pub shape: usize,
    pub style: Style,
    pub points: Vec<Point>,
}

/// A shaded range that belongs to no line: `(x, low, high)`.
#[derive(Debug, Clone)]
pub(in crate::report) struct Area {
    pub label: String,
    pub bounds: Vec<(f64, f64, f64)>,
}

/// A dashed horizontal line.
#[derive(Debug, Clone)]
pub(in crate::report) struct Reference {
    pub y: f64,
    pub label: String,
}

/// A chart with whole numbers on the horizontal axis.
#[derive(Debug, Clone, Default)]
pub(in crate::report) struct LineChart {
    pub title: String,
    pub x_name: String,
    pub y_name: String,
    /// Fixed range of the vertical axis; otherwise it follows the data.
    pub y_range: Option<(f64, f64)>,
    /// A range shared by charts that are to be compared: the axis holds these values too.
    pub y_holds: Vec<f64>,
    pub references: Vec<Reference>,
    /// A value for comparison, drawn on both sides of 0 where the axis reaches it. It does not widen the axis.
    pub scale: Option<Reference>,
    pub areas: Vec<Area>,
    pub series: Vec<Series>,
}

const HEIGHT: f64 = 170.0;
const LEGEND_LINE: f64 = 17.0;

impl LineChart {
    /// The chart as SVG; an empty string if there is nothing to draw.
    pub(in crate::report) fn draw(&self) -> String {
        let points = || self.series.iter().flat_map(|series| &series.points).filter(|point| point.is_finite());
        if points().next().is_none() {
            return String::new();
        }
        let legend = self.legend();
        let lines = legend.iter().map(|entry| entry.line + 1).max().unwrap_or(0);
        let top = 44.0 + LEGEND_LINE * lines as f64;
        let frame = Frame { left: 44.0, right: WIDTH - 8.0, top, bottom: top + HEIGHT };
        let mut canvas = Canvas::new(WIDTH, frame.bottom + 38.0);
        canvas.text((0.0, 14.0), Anchor::Start, "head", &shorten(&self.title, 50));
        self.draw_legend(&mut canvas, &legend);
        canvas.text((0.0, top - 12.0), Anchor::Start, "name", &self.y_name);

        let xs = points().map(|point| point.x);
        let (first, last) = xs.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), x| (a.min(x), b.max(x)));
        let room = if last > first { 0.02 * (last - first) } else { 0.5 };
        let x = Scale::new((first - room, last + room), (frame.left, frame.right));
        let ys = points().filter(|_| self.y_range.is_none()).flat_map(|point| [point.low, point.y, point.high]);
        let areas = self.areas.iter().flat_map(|area| &area.bounds).flat_map(|&(_, low, high)| [low, high]);
        let others = self.references.iter().map(|reference| reference.y).chain(self.y_holds.iter().copied());
        let y_range = self.y_range.unwrap_or_else(|| padded(ys.chain(areas).chain(others)));
        let y = Scale::new(y_range, (frame.bottom, frame.top));

        vertical(&mut canvas, frame, &y);
        for area in &self.areas {
            draw_area(&mut canvas, area, &x, &y);
        }
        for reference in &self.references {
            let at = y.within(reference.y);
            canvas.line((frame.left, at), (frame.right, at), "reference");
            if !reference.label.is_empty() {
                canvas.text((frame.right, at + 14.0), Anchor::End, "hint", &reference.label);
            }
        }
        if let Some(scale) = &self.scale {
            draw_scale(&mut canvas, scale, frame, (y_range, &y));
        }
        // Bands first, so that no band lies over another's line.
        for series in &self.series {
            draw_interval(&mut canvas, series, &x, &y);
        }
        for series in &self.series {
            draw_line(&mut canvas, series, &x, &y);
        }
        horizontal(&mut canvas, frame, &x, &self.x_name);
        canvas.finish("chart", &format!("{}: {} by {}", self.title, self.y_name, self.x_name))
    }

    /// Entries from left to right, in as many lines as they need.
    fn legend(&self) -> Vec<Entry> {
        let lines = self.series.iter().filter_map(|series| Some((Some(series), series.label.as_ref()?)));
        let areas = self.areas.iter().map(|area| (None, &area.label));
        let (mut entries, mut x, mut line) = (Vec::new(), 0.0, 0);
        for (series, label) in lines.chain(areas) {
            let label = shorten(label, 52);
            let width = 34.0 + LETTER * label.chars().count() as f64;
            if x > 0.0 && x + width > WIDTH {
                (x, line) = (0.0, line + 1);
            }
            let colour = series.map(|series| (series.colour.clone(), series.shape));
            entries.push(Entry { label, colour, x, line });
            x += width + 8.0;
        }
        entries
    }

    fn draw_legend(&self, canvas: &mut Canvas, entries: &[Entry]) {
        for entry in entries {
            let y = 33.0 + LEGEND_LINE * entry.line as f64;
            match &entry.colour {
                Some((colour, shape)) => {
                    canvas.line((entry.x, y - 4.0), (entry.x + 22.0, y - 4.0), &format!("line {colour}"));
                    canvas.marker((entry.x + 11.0, y - 4.0), *shape, &format!("dot {colour}"), "");
                }
                None => canvas.rect((entry.x, y - 9.0), (22.0, 10.0), "null", ""),
            }
            canvas.text((entry.x + 28.0, y), Anchor::Start, "key", &entry.label);
        }
    }
}

/// The lines of a scale at +-`y`, where the axis reaches them, and what they are.
fn draw_scale(canvas: &mut Canvas, scale: &Reference, frame: Frame, (range, y): ((f64, f64), &Scale)) {
    if !(scale.y > 0.0 && scale.y.is_finite()) {
        return;
    }
    let reached = [scale.y, -scale.y].into_iter().filter(|value| (range.0..=range.1).contains(value));
    let mut lines = 0;
    for value in reached {
        canvas.line((frame.left, y.at(value)), (frame.right, y.at(value)), "scale");
        lines += 1;
    }
    let text = if lines > 0 { scale.label.clone() } else { format!("{} (off the axis)", scale.label) };
    canvas.text((frame.right, frame.top - 12.0), Anchor::End, "hint", &text);
}

struct Entry {
    label: String,
    colour: Option<(String, usize)>,
    x: f64,
    line: usize,
}

fn draw_area(canvas: &mut Canvas, area: &Area, x: &Scale, y: &Scale) {
    let bounds: Vec<_> =
        area.bounds.iter().filter(|(at, low, high)| [at, low, high].iter().all(|value| value.is_finite())).collect();
    if let [(at, low, high)] = bounds[..] {
        let (from, to) = (y.within(*high), y.within(*low));
        canvas.rect((x.at(*at) - 12.0, from), (24.0, to - from), "null", "");
        return;
    }
    let upper = bounds.iter().map(|(at, _, high)| (x.at(*at), y.within(*high)));
    let lower = bounds.iter().rev().map(|(at, low, _)| (x.at(*at), y.within(*low)));
    canvas.area(upper.chain(lower), "null");
}

fn draw_interval(canvas: &mut Canvas, series: &Series, x: &Scale, y: &Scale) {
    let points: Vec<&Point> = series.points.iter().filter(|point| point.is_finite()).collect();
    match series.style {
        Style::Thin => {}
        // A band needs two points.
        Style::Band if points.len() > 1 => {
            let upper = points.iter().map(|point| (x.at(point.x), y.within(point.high)));
            let lower = points.iter().rev().map(|point| (x.at(point.x), y.within(point.low)));
            canvas.area(upper.chain(lower), &format!("band {}", series.colour));
        }
        Style::Band | Style::Bars => {
            for point in points {
                let (at, low, high) = (x.at(point.x), y.within(point.low), y.within(point.high));
                canvas.line((at, low), (at, high), &format!("bar {}", series.colour));
            }
        }
    }
}

fn draw_line(canvas: &mut Canvas, series: &Series, x: &Scale, y: &Scale) {
    let points: Vec<&Point> = series.points.iter().filter(|point| point.is_finite()).collect();
    let thin = series.style == Style::Thin;
    let class = format!("{} {}", if thin { "thin" } else { "line" }, series.colour);
    if points.len() > 1 {
        canvas.path(points.iter().map(|point| (x.at(point.x), y.within(point.y))), &class);
    }
    if !thin || points.len() == 1 {
        let class = format!("{} {}", if points.len() > 40 { "small dot" } else { "dot" }, series.colour);
        for point in points {
            canvas.marker((x.at(point.x), y.within(point.y)), series.shape, &class, &point.title);
        }
    }
}
