//! A table of results by instruction and round.

use crate::report::html::text::{escape, interval_cell, number, NONE};
use crate::stats::{Interval, Resampled};
use crate::task::{Chosen, Measured};

pub(super) struct Table {
    caption: String,
    columns: Vec<String>,
    body: String,
}

impl Table {
    /// `caption` is markup, the names of the columns are text.
    pub fn new(caption: impl Into<String>, columns: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let columns = columns.into_iter().map(Into::into).collect();
        Table { caption: caption.into(), columns, body: String::new() }
    }

    /// Begins a part with this heading.
    pub fn part(&mut self, heading: &str) {
        let (columns, heading) = (self.columns.len() + 1, escape(heading));
        let cell = format!("<th scope=\"rowgroup\" colspan=\"{columns}\">{heading}</th>");
        self.body.push_str(&format!("<tr class=\"part\">{cell}</tr>"));
    }

    /// `cells` are markup, one a column.
    pub fn row(&mut self, head: &str, cells: impl IntoIterator<Item = String>) {
        let cells: String = cells.into_iter().map(|cell| format!("<td>{cell}</td>")).collect();
        self.body.push_str(&format!("<tr><th scope=\"row\">{}</th>{cells}</tr>", escape(head)));
    }

    /// Nothing without rows.
    pub fn draw(&self) -> String {
        if self.body.is_empty() {
            return String::new();
        }
        let head: String = self.columns.iter().map(|name| format!("<th scope=\"col\">{}</th>", escape(name))).collect();
        format!(
            "<div class=\"scroll\"><table><caption>{}</caption><thead><tr><th scope=\"col\"></th>{head}</tr></thead><tbody>{}\
             </tbody></table></div>",
            self.caption, self.body
        )
    }
}

/// A heading with its tables; nothing without them.
pub(super) fn block(heading: &str, tables: &[String]) -> String {
    let tables = tables.concat();
    if tables.is_empty() {
        return String::new();
    }
    format!("<h3>{}</h3>{tables}", escape(heading))
}

/// What is shown when asked for, and not on paper.
pub(super) fn folded(summary: &str, content: &str) -> String {
    if content.is_empty() {
        return String::new();
    }
    format!("<details><summary>{}</summary>{content}</details>", escape(summary))
}

/// Instruction and round, or rounds.
pub(super) fn condition<T>(row: &Measured<T>) -> String {
    match row.from {
        Some(from) => format!("{} r{from}\u{2192}r{}", row.condition.name(), row.condition.round),
        None => format!("{} r{}", row.condition.name(), row.condition.round),
    }
}

/// The rows over all items in which this is what counts as chosen.
pub(super) fn whole<T>(rows: &[Measured<T>], chosen: Option<Chosen>) -> impl Iterator<Item = &Measured<T>> {
    rows.iter().filter(move |row| row.category.is_none() && row.chosen == chosen)
}

/// The rows of each category: round 0, and the last round of each instruction.
pub(super) fn by_category<T>(rows: &[Measured<T>], chosen: Option<Chosen>) -> Vec<(&str, Vec<&Measured<T>>)> {
    let is_last = |row: &Measured<T>| {
        let rounds =
            rows.iter().filter(|other| other.condition.same_course(&row.condition)).map(|other| other.condition.round);
        rounds.max() == Some(row.condition.round)
    };
    let mut found: Vec<(&str, Vec<&Measured<T>>)> = Vec::new();
    for row in rows.iter().filter(|row| row.chosen == chosen && is_last(row)) {
        let Some(category) = row.category.as_deref() else { continue };
        match found.iter_mut().find(|(name, _)| *name == category) {
            Some((_, rows)) => rows.push(row),
            None => found.push((category, vec![row])),
        }
    }
    found
}

pub(super) fn cell(value: Option<&Interval>) -> String {
    value.map_or(NONE.to_owned(), interval_cell)
}

pub(super) fn resampled(value: Option<&Resampled>) -> String {
    cell(value.map(|value| &value.interval))
}

pub(super) fn p_value(p: f64) -> String {
    if p < 0.001 {
        return "&lt; 0.001".to_owned();
    }
    number(p)
}
