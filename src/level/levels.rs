//! The table of levels: four labelled axes, and its file.

use std::path::Path;
use std::sync::Arc;

use ndarray::{Array1, Array2, Array4, ArrayView4, Axis};
use serde::Serialize;

use super::metric::Metric;
use super::probe_validity::ProbeValidity;
use super::window::Window;
use crate::condition::{Condition, Design};
use crate::dialogue::Reading;
use crate::hook::{Address, Site};
use crate::probe::{CrossFit, Probe, ProbeBank};
use crate::{file, Error, Provenance, Result};

/// Mean over the items of one condition's states at one address.
#[derive(Debug, Clone)]
pub(super) struct MeanState {
    /// Mean of the states, `[d]`.
    pub raw: Array1<f64>,
    /// Mean of the states divided by their lengths, `[d]`.
    pub unit: Array1<f64>,
}

/// What nulls need to know of the states that levels were made from.
#[derive(Debug, Clone)]
pub(super) struct LevelStates {
    /// Mean states by condition, then address.
    pub means: Vec<Vec<MeanState>>,
    /// States of some items in the first condition by address, `[rows, d]`: how states vary.
    pub samples: Vec<Array2<f32>>,
}

/// Levels of immorality by item, condition, address and metric, all of one [`Reading`].
#[derive(Debug, Clone)]
pub struct Levels {
    pub(super) reading: Reading,
    pub(super) items: Vec<String>,
    pub(super) groups: Vec<String>,
    pub(super) design: Design,
    pub(super) addresses: Vec<Address>,
    pub(super) metrics: Vec<Metric>,
    /// `[conditions, addresses, metrics, items]`, so that one series over the items is contiguous.
    pub(super) values: Array4<f64>,
    /// `None` for a part of the items.
    pub(super) states: Option<LevelStates>,
    /// How far the probes are shown to tell immoral from moral.
    pub(super) validity: ProbeValidity,
    /// The probes' unit directions by address, `[d]`.
    pub(super) directions: Vec<Array1<f64>>,
    /// The fits that class distances are from, by address; `None` where the texts left out are not told apart.
    pub(super) units: Vec<Option<Arc<CrossFit>>>,
    /// Standard deviation of each column of the probes' training states by address, `[d]`.
    pub(super) scales: Vec<Array1<f64>>,
    pub(super) provenance: Provenance,
}

#[derive(Serialize)]
pub(super) struct CsvRow<'a> {
    item: &'a str,
    group: &'a str,
    round: usize,
    instruction: String,
    reading: String,
    site: String,
    layer: Option<usize>,
    metric: &'a str,
    value: f64,
}

impl Levels {
    /// Which tokens the states stand for.
    pub fn reading(&self) -> Reading {
        self.reading
    }

    /// Ids of the items, `[n]`.
    pub fn items(&self) -> &[String] {
        &self.items
    }

    /// Group of each item, `[n]`: the unit of resampling. The item's own id where the activations name none.
    pub fn groups(&self) -> &[String] {
        &self.groups
    }

    /// The conditions, in the order given, and what each is compared with.
    pub fn design(&self) -> &Design {
        &self.design
    }

    /// The addresses, in order.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// The metrics: cosine and dot; class distance where some probe has a unit; logit and probability where every probe is
    /// calibrated.
    pub fn metrics(&self) -> &[Metric] {
        &self.metrics
    }

    /// What the levels were made from.
    pub fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    /// The site that is judged: `resid_post` unless [`Levels::judged_at`] says another.
    pub fn judged_site(&self) -> Site {
        self.validity.site
    }

    /// The addresses of the judged site whose probe has an AUROC above 0.5 on texts left out, by
    /// [`CheckKind::ProbeValid`](super::CheckKind::ProbeValid): over these, levels are averaged.
    pub fn valid(&self) -> &[Address] {
        &self.validity.addresses
    }

    /// These levels, with [`Levels::valid`] of a window that was declared before looking: verdicts then rest on those of its
    /// probes that are valid, adjusted for the number of its layers alone.
    ///
    /// # Errors
    /// [`Error::Setting`] for a window of another site than the judged one, and for one whose first or last layer was not read.
    pub fn within(self, window: Window) -> Result<Levels> {
        let wrong = || {
            let [first, last] = [self.validity.layers().min(), self.validity.layers().max()];
            let read = first.zip(last).map_or("none".to_owned(), |(first, last)| format!("{first} to {last}"));
            let expected = format!(
                "layers of {} whose first and last were read ({read}): verdicts rest on these",
                self.validity.site
            );
            Error::setting("window", window, expected)
        };
        let validity = self.validity.within(window).ok_or_else(wrong)?;
        Ok(Levels { validity, ..self })
    }

    /// The window that the verdict's layers were declared as, if it was ([`Levels::within`]).
    pub fn declared(&self) -> Option<Window> {
        self.validity.declared
    }

    /// Every level, `[items, conditions, addresses, metrics]`, with the axes of the accessors above; not a number for class
    /// distances at an address that has none.
    pub fn values(&self) -> ArrayView4<'_, f64> {
        self.values.view().permuted_axes([3, 0, 1, 2])
    }

    /// The levels of all items, `[n]`, in one condition; `None` for a label that is not there, and for class distances at an
    /// address that has none.
    pub fn series(&self, condition: &Condition, address: Address, metric: Metric) -> Option<&[f64]> {
        let condition = self.design.position(condition)?;
        let address = self.addresses.iter().position(|&a| a == address)?;
        self.at(condition, address, metric)
    }

    /// One level; `None` for a label that is not there.
    pub fn get(&self, item: &str, condition: &Condition, address: Address, metric: Metric) -> Option<f64> {
        let item = self.items.iter().position(|id| id == item)?;
        self.series(condition, address, metric)?.get(item).copied()
    }

    /// Writes the columns item, group, round, instruction, reading, site, layer, metric, value, one level a row. The layer is
    /// empty for sites that exist once per model; a head is part of the site, as in `head_out.h3`.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io); the file appears whole or not at all.
    pub fn write_csv(&self, path: impl AsRef<Path>) -> Result<()> {
        file::write_csv(path.as_ref(), self.csv_rows())
    }

    pub(super) fn csv_rows(&self) -> impl Iterator<Item = CsvRow<'_>> {
        self.design.conditions().enumerate().flat_map(move |(c, condition)| {
            self.addresses.iter().enumerate().flat_map(move |(a, address)| {
                self.metrics.iter().flat_map(move |&metric| {
                    let values = self.at(c, a, metric).unwrap_or_default();
                    self.items.iter().zip(&self.groups).zip(values).map(move |((item, group), &value)| CsvRow {
                        item,
                        group,
                        round: condition.round,
                        instruction: condition.name(),
                        reading: self.reading.to_string(),
                        site: site_and_head(*address),
                        layer: address.layer(),
                        metric: metric.name(),
                        value,
                    })
                })
            })
        })
    }

    /// Whether these probes' directions are those that the levels are along.
    pub(crate) fn is_scored_by(&self, probes: &ProbeBank) -> bool {
        let same = |(direction, probe): (&Array1<f64>, &Probe)| {
            let unit = probe.direction.unit();
            direction.len() == unit.len() && direction.iter().zip(unit).all(|(a, b)| (a - b).abs() < 1e-9)
        };
        self.addresses.iter().copied().eq(probes.iter().map(Probe::address))
            && self.directions.iter().zip(probes.iter()).all(same)
    }

    /// Width d of the states at an address, by index.
    pub(super) fn width(&self, address: usize) -> Option<usize> {
        self.directions.get(address).map(Array1::len)
    }

    /// The levels of these items, `[rows]`, by index, without what nulls need.
    pub(super) fn part(&self, rows: &[usize]) -> Levels {
        let of = |names: &[String]| rows.iter().filter_map(|&row| names.get(row).cloned()).collect();
        Levels {
            reading: self.reading,
            items: of(&self.items),
            groups: of(&self.groups),
            design: self.design.clone(),
            addresses: self.addresses.clone(),
            metrics: self.metrics.clone(),
            // Selecting along the last axis leaves another layout, of which no series is a slice.
            values: self.values.select(Axis(3), rows).as_standard_layout().into_owned(),
            states: None,
            validity: self.validity.clone(),
            directions: self.directions.clone(),
            units: self.units.clone(),
            scales: self.scales.clone(),
            provenance: self.provenance.clone(),
        }
    }

    /// The series at these indices.
    pub(super) fn at(&self, condition: usize, address: usize, metric: Metric) -> Option<&[f64]> {
        let n = self.items.len();
        if metric == Metric::ClassDistance {
            self.units.get(address)?.as_ref()?;
        }
        let metric = self.metrics.iter().position(|&of_axis| of_axis == metric)?;
        let series = (condition * self.addresses.len() + address) * self.metrics.len() + metric;
        self.values.as_slice()?.get(series * n..(series + 1) * n)
    }
}

/// How files name the site.
pub(super) fn site_and_head(address: Address) -> String {
    match address.head_index() {
        Some(head) => format!("{}.h{head}", address.site()),
        None => address.site().to_string(),
    }
}
