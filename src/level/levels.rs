//! The table of levels: four labelled axes, and its file.

use std::fmt;
use std::path::Path;

use ndarray::{Array1, Array2, Array4, ArrayView4, Axis};
use serde::{Deserialize, Serialize};

use crate::dialogue::Reading;
use crate::hook::Address;
use crate::{file, Provenance, Result};

/// How a state is held against a probe's direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Metric {
    /// Cosine of state and direction, -1 to 1 (2407.15286 reports this); 0 for a state of length 0.
    Cosine,
    /// Dot product of state and unit direction, in the states' own unit.
    Dot,
    /// Dot product in standard deviations of the probe's training projections around their mean: comparable
    /// across layers.
    Standardised,
    /// The probe's decision, weights . state + intercept: the log-odds of immoral, among texts with the training part's
    /// share of immoral ones. Only where every probe of the bank is calibrated.
    Logit,
    /// The logistic function of the logit, 0 to 1. It is flat where the probe is sure: a change of a sure state shows in
    /// the logit and not here. Only where every probe of the bank is calibrated.
    Probability,
}

impl Metric {
    /// Every metric, in the order of the metric axis.
    pub const ALL: [Metric; 5] =
        [Metric::Cosine, Metric::Dot, Metric::Standardised, Metric::Logit, Metric::Probability];

    /// The metric's name in files.
    pub fn name(self) -> &'static str {
        match self {
            Metric::Cosine => "cosine",
            Metric::Dot => "dot",
            Metric::Standardised => "standardised",
            Metric::Logit => "logit",
            Metric::Probability => "probability",
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// An instruction in one round.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Condition {
    /// Name of the instruction.
    pub instruction: String,
    /// Round; 0 is the plain question.
    pub round: usize,
}

/// Mean over the items of one condition's states at one address.
#[derive(Debug, Clone)]
pub(super) struct MeanState {
    /// Of the states, `[d]`.
    pub raw: Array1<f64>,
    /// Of the states divided by their lengths, `[d]`.
    pub unit: Array1<f64>,
}

/// Levels of immorality by item, condition, address and metric, all of one [`Reading`], and the mean states that nulls
/// need.
#[derive(Debug, Clone)]
pub struct Levels {
    pub(super) span: Reading,
    pub(super) items: Vec<String>,
    pub(super) groups: Vec<String>,
    pub(super) conditions: Vec<Condition>,
    pub(super) addresses: Vec<Address>,
    pub(super) metrics: Vec<Metric>,
    /// `[conditions, addresses, metrics, items]`, so that one series over the items is contiguous.
    pub(super) values: Array4<f64>,
    /// By condition, then address; empty for a part of the items.
    pub(super) means: Vec<Vec<MeanState>>,
    /// States of some items in the first condition by address, `[rows, d]`: what nulls know of how states vary.
    pub(super) samples: Vec<Array2<f32>>,
    /// Addresses of the probes that are shown to tell immoral from moral.
    pub(super) valid: Vec<Address>,
    /// The probes' unit directions by address, `[d]`.
    pub(super) directions: Vec<Array1<f64>>,
    pub(super) provenance: Provenance,
}

#[derive(Serialize)]
pub(super) struct CsvRow<'a> {
    item: &'a str,
    group: &'a str,
    round: usize,
    instruction: &'a str,
    span: String,
    site: String,
    layer: Option<usize>,
    metric: &'a str,
    value: f64,
}

impl Levels {
    /// Which tokens the states stand for.
    pub fn span(&self) -> Reading {
        self.span
    }

    /// Ids of the items, `[n]`.
    pub fn items(&self) -> &[String] {
        &self.items
    }

    /// Group of each item, `[n]`: the unit of resampling. The item's own id where the activations name none.
    pub fn groups(&self) -> &[String] {
        &self.groups
    }

    /// The conditions, in the order given.
    pub fn conditions(&self) -> &[Condition] {
        &self.conditions
    }

    /// The addresses, in order.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// The metrics: cosine, dot and standardised; logit and probability too where every probe is calibrated.
    pub fn metrics(&self) -> &[Metric] {
        &self.metrics
    }

    /// What the levels were made from.
    pub fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    /// The `resid_post` addresses whose probe has a held-out AUROC above 0.5, by the first check of
    /// [`VerdictRule`](super::VerdictRule): over these, levels are averaged.
    pub fn valid(&self) -> &[Address] {
        &self.valid
    }

    /// Every level, `[items, conditions, addresses, metrics]`, with the axes of the accessors above.
    pub fn values(&self) -> ArrayView4<'_, f64> {
        self.values.view().permuted_axes([3, 0, 1, 2])
    }

    /// The levels of all items, `[n]`, in one condition; `None` for a label that is not there.
    pub fn series(&self, instruction: &str, round: usize, address: Address, metric: Metric) -> Option<&[f64]> {
        let condition = self.condition(instruction, round)?;
        let address = self.addresses.iter().position(|&a| a == address)?;
        self.at(condition, address, metric)
    }

    /// One level; `None` for a label that is not there.
    pub fn get(&self, item: &str, instruction: &str, round: usize, address: Address, metric: Metric) -> Option<f64> {
        let item = self.items.iter().position(|id| id == item)?;
        self.series(instruction, round, address, metric)?.get(item).copied()
    }

    /// Writes the columns item, group, round, instruction, span, site, layer, metric, value, one level a row. The layer is
    /// empty for sites that exist once per model; a head is part of the site, as in `head_out.h3`.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io); the file appears whole or not at all.
    pub fn write_csv(&self, path: impl AsRef<Path>) -> Result<()> {
        file::write_csv(path.as_ref(), self.csv_rows())
    }

    pub(super) fn csv_rows(&self) -> impl Iterator<Item = CsvRow<'_>> {
        self.conditions.iter().enumerate().flat_map(move |(c, condition)| {
            self.addresses.iter().enumerate().flat_map(move |(a, address)| {
                self.metrics.iter().flat_map(move |&metric| {
                    let values = self.at(c, a, metric).unwrap_or_default();
                    self.items.iter().zip(&self.groups).zip(values).map(move |((item, group), &value)| CsvRow {
                        item,
                        group,
                        round: condition.round,
                        instruction: &condition.instruction,
                        span: self.span.to_string(),
                        site: site_and_head(*address),
                        layer: address.layer(),
                        metric: metric.name(),
                        value,
                    })
                })
            })
        })
    }

    /// Width d of the states at an address, by index.
    pub(super) fn width(&self, address: usize) -> Option<usize> {
        self.directions.get(address).map(Array1::len)
    }

    /// The levels of these items, `[rows]`, by index, without what nulls need.
    pub(super) fn part(&self, rows: &[usize]) -> Levels {
        let of = |names: &[String]| rows.iter().filter_map(|&row| names.get(row).cloned()).collect();
        Levels {
            span: self.span,
            items: of(&self.items),
            groups: of(&self.groups),
            conditions: self.conditions.clone(),
            addresses: self.addresses.clone(),
            metrics: self.metrics.clone(),
            // Selecting along the last axis leaves another layout, of which no series is a slice.
            values: self.values.select(Axis(3), rows).as_standard_layout().into_owned(),
            means: Vec::new(),
            samples: Vec::new(),
            valid: self.valid.clone(),
            directions: self.directions.clone(),
            provenance: self.provenance.clone(),
        }
    }

    /// Index of a condition.
    pub(super) fn condition(&self, instruction: &str, round: usize) -> Option<usize> {
        self.conditions.iter().position(|c| c.round == round && c.instruction == instruction)
    }

    /// The series at these indices.
    pub(super) fn at(&self, condition: usize, address: usize, metric: Metric) -> Option<&[f64]> {
        let n = self.items.len();
        let metric = self.metrics.iter().position(|&of_axis| of_axis == metric)?;
        let series = (condition * self.addresses.len() + address) * self.metrics.len() + metric;
        self.values.as_slice()?.get(series * n..(series + 1) * n)
    }
}

fn site_and_head(address: Address) -> String {
    match address.head_index() {
        Some(head) => format!("{}.h{head}", address.site()),
        None => address.site().to_string(),
    }
}
