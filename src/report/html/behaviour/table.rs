//! A table of results by condition.

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

/// What a table shows of each result: the names of its columns, and the cells of a row, which are markup.
pub(super) struct Columns<T, const N: usize> {
    pub names: [&'static str; N],
    pub cells: fn(&T) -> [String; N],
}

impl<T, const N: usize> Columns<T, N> {
    /// A row for each result over all items in which this is what counts as chosen.
    pub fn whole(&self, caption: &str, rows: &[Measured<T>], chosen: Option<Chosen>) -> String {
        self.part(caption, rows, None, chosen)
    }

    /// A row for each result over the items of a category in which this is what counts as chosen.
    pub fn part(&self, caption: &str, rows: &[Measured<T>], category: Option<&str>, chosen: Option<Chosen>) -> String {
        let mut table = Table::new(caption, self.names);
        of_part(rows, category, chosen).for_each(|row| table.row(&condition(row), (self.cells)(&row.result)));
        table.draw()
    }

    /// [`Columns::whole`] by option scores, and as read from the text, folded.
    pub fn twice(&self, caption: &str, rows: &[Measured<T>]) -> String {
        twice(|chosen| self.whole(caption, rows, Some(chosen)))
    }

    /// A part for each category, with round 0 and the last round of each instruction; folded.
    pub fn by_category(&self, summary: &str, caption: &str, rows: &[Measured<T>], chosen: Option<Chosen>) -> String {
        let mut table = Table::new(caption, self.names);
        for (category, rows) in by_category(rows, chosen) {
            table.part(if category.is_empty() { "without category" } else { category });
            rows.iter().for_each(|row| table.row(&condition(row), (self.cells)(&row.result)));
        }
        folded(summary, &table.draw())
    }
}

/// What stands over a table of answers as they are read from the generated text.
pub(super) const READ: &str = "The same by what is read from the generated text";

/// A table by option scores, and one as read from the text, folded.
pub(super) fn twice(table: impl Fn(Chosen) -> String) -> String {
    format!("{}{}", table(Chosen::Scored), folded(READ, &table(Chosen::Read)))
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
    of_part(rows, None, chosen)
}

/// The rows over the items of a category, or over all of them, in which this is what counts as chosen.
fn of_part<'r, T>(
    rows: &'r [Measured<T>],
    category: Option<&'r str>,
    chosen: Option<Chosen>,
) -> impl Iterator<Item = &'r Measured<T>> {
    rows.iter().filter(move |row| row.category.as_deref() == category && row.chosen == chosen)
}

/// The rows of each category: round 0, and the last round of each instruction.
fn by_category<T>(rows: &[Measured<T>], chosen: Option<Chosen>) -> Vec<(&str, Vec<&Measured<T>>)> {
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
