//! Levels of several readings as one table.

use std::collections::HashMap;
use std::path::Path;

use ndarray::Array5;
use serde::Serialize;

use super::{Condition, Levels, Metric};
use crate::dialogue::Reading;
use crate::hook::Address;
use crate::{file, Error, Result};

/// Levels by item, condition, address, metric and span (which tokens were read).
///
/// Each span's [`Levels`] are of the items that have it; here they stand side by side, and what an item lacks is not a
/// number.
#[derive(Debug, Clone)]
pub struct SpanLevels {
    spans: Vec<Levels>,
}

/// The table as JSON: axes with their labels, and the values in the order of the axes.
#[derive(Serialize)]
struct Json<'a> {
    schema: &'static str,
    axes: [&'static str; 5],
    items: Vec<&'a str>,
    groups: Vec<&'a str>,
    conditions: &'a [Condition],
    addresses: &'a [Address],
    metrics: Vec<Metric>,
    spans: Vec<Reading>,
    /// JSON's null where an item lacks a span.
    values: Vec<Option<f64>>,
}

impl SpanLevels {
    /// Of these levels, the widest first: its items, conditions and addresses are the axes.
    ///
    /// # Errors
    /// [`Error::Setting`] without levels; [`Error::Mismatch`] where a span occurs twice or has an item, a condition or an
    /// address that the first lacks.
    pub fn new(spans: Vec<Levels>) -> Result<Self> {
        let Some(first) = spans.first() else {
            return Err(Error::setting("spans", "none", "the levels of at least one"));
        };
        let items = numbered(first.items());
        for (number, levels) in spans.iter().enumerate() {
            let bad = |what: String| {
                let problem = format!("the first span lacks {what} of {}", levels.span());
                Err(Error::Mismatch { what: "spans".into(), problem })
            };
            if spans[..number].iter().any(|earlier| earlier.span() == levels.span()) {
                let problem = format!("{} occurs twice", levels.span());
                return Err(Error::Mismatch { what: "spans".into(), problem });
            }
            if let Some(item) = levels.items().iter().find(|item| !items.contains_key(item.as_str())) {
                return bad(format!("item {item:?}"));
            }
            if let Some(condition) = levels.conditions().iter().find(|at| !first.conditions().contains(at)) {
                return bad(format!("round {} of {:?}", condition.round, condition.instruction));
            }
            if let Some(address) = levels.addresses().iter().find(|at| !first.addresses().contains(at)) {
                return bad(address.to_string());
            }
        }
        Ok(SpanLevels { spans })
    }

    /// The levels of each span.
    pub fn spans(&self) -> &[Levels] {
        &self.spans
    }

    /// The levels of one span.
    pub fn get(&self, span: Reading) -> Option<&Levels> {
        self.spans.iter().find(|levels| levels.span() == span)
    }

    /// Every level, `[items, conditions, addresses, metrics, spans]`, with the axes of the first span's accessors and the
    /// metrics of [`SpanLevels::metrics`]; not a number where an item lacks the span.
    pub fn values(&self) -> Array5<f64> {
        let Some(first) = self.spans.first() else { return Array5::zeros((0, 0, 0, 0, 0)) };
        let (metrics, items) = (self.metrics(), numbered(first.items()));
        let (n, c, a) = (first.items().len(), first.conditions().len(), first.addresses().len());
        let mut values = Array5::from_elem((n, c, a, metrics.len(), self.spans.len()), f64::NAN);
        for (s, levels) in self.spans.iter().enumerate() {
            let rows: Vec<Option<usize>> =
                levels.items().iter().map(|item| items.get(item.as_str()).copied()).collect();
            for (c, condition) in first.conditions().iter().enumerate() {
                for (a, &address) in first.addresses().iter().enumerate() {
                    for (m, &metric) in metrics.iter().enumerate() {
                        let series = levels.series(&condition.instruction, condition.round, address, metric);
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

    /// The metrics of any span, in order.
    pub fn metrics(&self) -> Vec<Metric> {
        let has = |metric: &Metric| self.spans.iter().any(|levels| levels.metrics().contains(metric));
        Metric::ALL.into_iter().filter(has).collect()
    }

    /// Writes all levels in the columns of [`Levels::write_csv`], one span after the other.
    ///
    /// # Errors
    /// [`Error::Io`]; the file appears whole or not at all.
    pub fn write_csv(&self, path: impl AsRef<Path>) -> Result<()> {
        file::write_csv(path.as_ref(), self.spans.iter().flat_map(Levels::csv_rows))
    }

    /// Writes axes and values as JSON, null where an item lacks a span.
    ///
    /// # Errors
    /// [`Error::Io`]; the file appears whole or not at all.
    pub fn write_json(&self, path: impl AsRef<Path>) -> Result<()> {
        let Some(first) = self.spans.first() else { return Ok(()) };
        let values = self.values();
        let json = Json {
            schema: "probity-levels-1",
            axes: ["items", "conditions", "addresses", "metrics", "spans"],
            items: first.items().iter().map(String::as_str).collect(),
            groups: first.groups().iter().map(String::as_str).collect(),
            conditions: first.conditions(),
            addresses: first.addresses(),
            metrics: self.metrics(),
            spans: self.spans.iter().map(Levels::span).collect(),
            values: values.iter().map(|&value| Some(value).filter(|value| value.is_finite())).collect(),
        };
        file::write_json(path.as_ref(), &json)
    }
}

fn numbered(items: &[String]) -> HashMap<&str, usize> {
    items.iter().map(String::as_str).zip(0..).collect()
}
