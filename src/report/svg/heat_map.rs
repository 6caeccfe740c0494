//! Cells by layer and round on a diverging scale.

use super::axis::{decimals, number};
use super::{coordinate, escape, shorten, Anchor, Canvas, LETTER};

/// Columns that belong together, left to right.
#[derive(Debug, Clone)]
pub(in crate::report) struct Group {
    pub label: String,
    pub columns: Vec<String>,
}

/// One cell; rows and columns count from 0, columns over all groups.
#[derive(Debug, Clone)]
pub(in crate::report) struct Cell {
    pub row: usize,
    pub column: usize,
    pub estimate: f64,
    /// Whether the interval leaves the sign open.
    pub uncertain: bool,
    /// Shown on hovering.
    pub title: String,
}

/// A heat map. Cells that are not given stay empty.
#[derive(Debug, Clone)]
pub(in crate::report) struct HeatMap {
    /// Tells the hatching of this map from that of others on the page.
    pub index: usize,
    pub title: String,
    /// Labels of the rows, from below.
    pub rows: Vec<String>,
    pub row_name: String,
    pub groups: Vec<Group>,
    pub cells: Vec<Cell>,
    /// The value with the strongest colour.
    pub bound: f64,
}

const LEFT: f64 = 38.0;
const TOP: f64 = 58.0;
const GAP: f64 = 8.0;

impl HeatMap {
    pub(in crate::report) fn draw(&self) -> String {
        let height = match self.rows.len() {
            0..=16 => 20.0,
            17..=34 => 13.0,
            _ => 9.0,
        };
        // A column holds its own label and its share of the group's.
        let needed = self.groups.iter().map(|group| {
            let label = LETTER * group.label.chars().count().min(14) as f64 + 4.0;
            let column = group.columns.iter().map(|column| column.chars().count()).max().unwrap_or(0);
            (label / group.columns.len().max(1) as f64).max(LETTER * column as f64 + 6.0)
        });
        let width = needed.fold(32.0, f64::max);
        let bottom = TOP + height * self.rows.len() as f64;
        let lefts = self.lefts(width);
        let end = lefts.last().map_or(LEFT, |left| left + width);
        let full = end.max(LETTER * 1.3 * self.title.chars().count().min(30) as f64) + 4.0;
        let mut canvas = Canvas::new(full, bottom + 8.0);
        let hatch = format!("hatch-{}", self.index);
        canvas.raw(&format!(
            "<defs><pattern id=\"{hatch}\" width=\"5\" height=\"5\" patternUnits=\"userSpaceOnUse\" \
             patternTransform=\"rotate(45)\"><line x1=\"0\" y1=\"0\" x2=\"0\" y2=\"5\" class=\"stroke\"/></pattern></defs>"
        ));
        canvas.text((0.0, 14.0), Anchor::Start, "head", &shorten(&self.title, 30));
        self.draw_labels(&mut canvas, &lefts, width, height, bottom);
        for cell in &self.cells {
            let (Some(left), true) = (lefts.get(cell.column), cell.row < self.rows.len()) else { continue };
            let corner = (*left, bottom - height * (cell.row + 1) as f64);
            let size = (width - 1.0, height - 1.0);
            let class = if cell.uncertain { "cell open" } else { "cell" };
            canvas.raw(&format!("<g class=\"{class}\"><title>{}</title>", escape(&cell.title)));
            canvas.rect(corner, size, "mid", "");
            let colour = if cell.estimate < 0.0 { "less" } else { "more" };
            let strength = (cell.estimate.abs() / self.bound).clamp(0.0, 1.0);
            let strength = if strength.is_finite() { strength } else { 0.0 };
            canvas.rect(corner, size, colour, &format!(" fill-opacity=\"{strength:.3}\""));
            if cell.uncertain {
                canvas.rect(corner, size, "hatch", &format!(" fill=\"url(#{hatch})\""));
            }
            canvas.raw("</g>");
        }
        canvas.finish("map", &format!("{}: change by {} and round", self.title, self.row_name))
    }

    /// Left edge of each column.
    fn lefts(&self, width: f64) -> Vec<f64> {
        let (mut x, mut lefts) = (LEFT, Vec::new());
        for group in &self.groups {
            for _ in &group.columns {
                lefts.push(x);
                x += width;
            }
            x += GAP;
        }
        lefts
    }

    fn draw_labels(&self, canvas: &mut Canvas, lefts: &[f64], width: f64, height: f64, bottom: f64) {
        canvas.text((LEFT - 6.0, TOP - 6.0), Anchor::End, "name", &shorten(&self.row_name, 5));
        let mut columns = lefts.iter();
        for group in &self.groups {
            let mut first = None;
            for label in &group.columns {
                let Some(&left) = columns.next() else { break };
                first.get_or_insert(left);
                canvas.text((left + width / 2.0, TOP - 6.0), Anchor::Middle, "tick", label);
            }
            let span = width * group.columns.len() as f64;
            if let Some(left) = first {
                canvas.text((left + span / 2.0, TOP - 23.0), Anchor::Middle, "key", &shorten(&group.label, 14));
                canvas.line((left, TOP - 18.5), (left + span - 1.0, TOP - 18.5), "axis");
            }
        }
        let every = [1, 2, 5, 10, 20, 50].into_iter().find(|every| height * *every as f64 >= 14.0).unwrap_or(100);
        for (row, label) in self.rows.iter().enumerate().filter(|(row, _)| row % every == 0) {
            let middle = bottom - height * (row as f64 + 0.5);
            canvas.text((LEFT - 6.0, middle + 4.0), Anchor::End, "tick", label);
        }
    }
}

/// The legend of the shared scale, from `-bound` to `bound`.
pub(in crate::report) fn colour_bar(bound: f64, unit: &str) -> String {
    let (left, width, top, height) = (0.5, 319.0, 22.0, 14.0);
    let mut canvas = Canvas::new(320.0, 58.0);
    canvas.raw(
        "<defs><linearGradient id=\"scale\"><stop offset=\"0\" class=\"stop-less\"/>\
         <stop offset=\"0.5\" class=\"stop-less\" stop-opacity=\"0\"/>\
         <stop offset=\"0.5\" class=\"stop-more\" stop-opacity=\"0\"/>\
         <stop offset=\"1\" class=\"stop-more\"/></linearGradient>\
         <pattern id=\"hatch-key\" width=\"5\" height=\"5\" patternUnits=\"userSpaceOnUse\" \
         patternTransform=\"rotate(45)\"><line x1=\"0\" y1=\"0\" x2=\"0\" y2=\"5\" class=\"stroke\"/></pattern></defs>",
    );
    canvas.text((left, top - 7.0), Anchor::Start, "name", "less immoral");
    canvas.text((left + width, top - 7.0), Anchor::End, "name", "more immoral");
    canvas.rect((left, top), (width, height), "mid", "");
    canvas.rect((left, top), (width, height), "scale", " fill=\"url(#scale)\"");
    let ticks = [-bound, -bound / 2.0, 0.0, bound / 2.0, bound];
    let places = decimals(&ticks);
    for (index, tick) in ticks.into_iter().enumerate() {
        let x = left + width * index as f64 / 4.0;
        canvas.line((x, top + height), (x, top + height + 3.0), "axis");
        let (anchor, x) = match index {
            0 => (Anchor::Start, 0.0),
            4 => (Anchor::End, 320.0),
            _ => (Anchor::Middle, x),
        };
        canvas.text((x, top + height + 16.0), anchor, "tick", &number(tick, places));
    }
    let label = format!("colour scale, {unit}, from minus to plus {}", coordinate(bound));
    canvas.finish("map", &label)
}
