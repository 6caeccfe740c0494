//! Levels of several readings as one table.

use std::collections::HashMap;
use std::path::Path;

use ndarray::Array5;
use serde::Serialize;

use super::levels::Levels;
use super::metric::Metric;
use crate::condition::Condition;
use crate::dialogue::Reading;
use crate::hook::Address;
use crate::{file, Error, Result};

/// Levels by item, condition, address, metric and [`Reading`].
///
/// Each reading's [`Levels`] are of the items that have it; here they stand side by side, and what an item lacks is not a
/// number.
#[derive(Debug, Clone)]
pub struct ReadingLevels {
    readings: Vec<Levels>,
}

/// The table as JSON: axes with their labels, and the values in the order of the axes.
#[derive(Serialize)]
struct Json<'a> {
    schema: &'static str,
    axes: [&'static str; 5],
    items: Vec<&'a str>,
    groups: Vec<&'a str>,
    conditions: Vec<&'a Condition>,
    addresses: &'a [Address],
    metrics: Vec<Metric>,
    readings: Vec<Reading>,
    /// JSON's null where an item lacks a reading.
    values: Vec<Option<f64>>,
}

impl ReadingLevels {
    /// Puts levels together, the widest first: its items, conditions and addresses are the axes.
    ///
    /// # Errors
    /// [`Error::Setting`] without levels; [`Error::Mismatch`] where a reading occurs twice, is judged at another site, or has an
    /// item, a condition or an address that the first lacks.
    pub fn new(readings: Vec<Levels>) -> Result<Self> {
        let Some(first) = readings.first() else {
            return Err(Error::setting("readings", "none", "the levels of at least one"));
        };
        let items = numbered(first.items());
        for (number, levels) in readings.iter().enumerate() {
            let bad = |what: String| {
                let problem = format!("the first reading lacks {what} of {}", levels.reading());
                Err(Error::mismatch("readings", problem))
            };
            if readings[..number].iter().any(|earlier| earlier.reading() == levels.reading()) {
                let problem = format!("{} occurs twice", levels.reading());
                return Err(Error::mismatch("readings", problem));
            }
            if levels.judged_site() != first.judged_site() {
                let [one, other] = [first, levels].map(Levels::judged_site);
                let problem = format!("{} is judged at {other}, the first reading at {one}", levels.reading());
                return Err(Error::mismatch("readings", problem));
            }
            if let Some(item) = levels.items().iter().find(|item| !items.contains_key(item.as_str())) {
                return bad(format!("item {item:?}"));
            }
            if let Some(condition) = levels.design().conditions().find(|at| first.design().position(at).is_none()) {
                return bad(condition.to_string());
            }
            if let Some(address) = levels.addresses().iter().find(|at| !first.addresses().contains(at)) {
                return bad(address.to_string());
            }
        }
        Ok(ReadingLevels { readings })
    }

    /// The levels of each reading.
    pub fn readings(&self) -> &[Levels] {
        &self.readings
    }

    /// The levels of one reading.
    pub fn get(&self, reading: Reading) -> Option<&Levels> {
        self.readings.iter().find(|levels| levels.reading() == reading)
    }

    /// Every level, `[items, conditions, addresses, metrics, readings]`, with the axes of the first reading's accessors and the
    /// metrics of [`ReadingLevels::metrics`]; not a number where an item lacks the reading.
    pub fn values(&self) -> Array5<f64> {
        let Some(first) = self.readings.first() else { return Array5::zeros((0, 0, 0, 0, 0)) };
        let (metrics, items) = (self.metrics(), numbered(first.items()));
        let (n, c, a) = (first.items().len(), first.design().arms().len(), first.addresses().len());
        let mut values = Array5::from_elem((n, c, a, metrics.len(), self.readings.len()), f64::NAN);
        for (s, levels) in self.readings.iter().enumerate() {
            let rows: Vec<Option<usize>> =
                levels.items().iter().map(|item| items.get(item.as_str()).copied()).collect();
            for (c, condition) in first.design().conditions().enumerate() {
                for (a, &address) in first.addresses().iter().enumerate() {
                    for (m, &metric) in metrics.iter().enumerate() {
                        let series = levels.series(condition, address, metric);
                        for (row, &value) in rows.iter().zip(series.unwrap_or_default()) {
                            if let Some(row) = row {
                                values[[*row, c, a, m, s]] = value;
                            }
                        }
                    }
                }
            }
        }
        values
    }

    /// The metrics of any reading, in order.
    pub fn metrics(&self) -> Vec<Metric> {
        let has = |metric: &Metric| self.readings.iter().any(|levels| levels.metrics().contains(metric));
        Metric::ALL.into_iter().filter(has).collect()
    }

    /// Writes all levels in the columns of [`Levels::write_csv`], one reading after the other.
    ///
    /// # Errors
    /// [`Error::Io`]; the file appears whole or not at all.
    pub fn write_csv(&self, path: impl AsRef<Path>) -> Result<()> {
        file::write_csv(path.as_ref(), self.readings.iter().flat_map(Levels::csv_rows))
    }

    /// Writes axes and values as JSON, null where an item lacks a reading.
    ///
    /// # Errors
    /// [`Error::Io`]; the file appears whole or not at all.
    pub fn write_json(&self, path: impl AsRef<Path>) -> Result<()> {
        let Some(first) = self.readings.first() else { return Ok(()) };
        let values = self.values();
        let json = Json {
            schema: "probity-levels-2",
            axes: ["items", "conditions", "addresses", "metrics", "readings"],
            items: first.items().iter().map(String::as_str).collect(),
            groups: first.groups().iter().map(String::as_str).collect(),
            conditions: first.design().conditions().collect(),
            addresses: first.addresses(),
            metrics: self.metrics(),
            readings: self.readings.iter().map(Levels::reading).collect(),
            values: values.iter().map(|&value| Some(value).filter(|value| value.is_finite())).collect(),
        };
        file::write_json(path.as_ref(), &json)
    }
}

fn numbered(items: &[String]) -> HashMap<&str, usize> {
    items.iter().map(String::as_str).zip(0..).collect()
}
