//! Probes trained in one place and tested in another: data sets, layers, sites.

use std::path::Path;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{Estimator, HeldOutCase};
use crate::capture::Activations;
use crate::hook::Address;
use crate::probe::{Probe, ProbeBank};
use crate::stats::{Interval, Ranking};
use crate::text::Labels;
use crate::{file, Error, Result};

/// A data set to train on and to test on.
#[derive(Debug, Clone, Copy)]
pub struct DataSet<'a> {
    /// Its name in the matrix.
    pub name: &'a str,
    /// Its states.
    pub activations: &'a Activations,
    /// Its labels.
    pub labels: &'a Labels,
}

/// A probe of one place on the held-out rows of another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TransferCell {
    /// Data set of the training part.
    pub train_set: String,
    /// Address of the training states.
    pub train_address: Address,
    /// Data set of the held-out rows.
    pub test_set: String,
    /// Address of their states.
    pub test_address: Address,
    /// AUROC there.
    pub auroc: f64,
    /// Bounds of its clustered 95 % interval, for probes of the same address on another data set. To believe that a
    /// probe reads the property and not its data set, the lower bound must be above 0.5.
    pub low: Option<f64>,
    /// See [`TransferCell::low`].
    pub high: Option<f64>,
    /// Cosine of the two places' own directions.
    pub cosine: f64,
}

/// AUROC and cosine for every pair of places whose states have the same width.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Transfer {
    /// One cell per pair, trained places slowest.
    pub cells: Vec<TransferCell>,
}

impl Transfer {
    /// Fits `estimator` at every address of every data set, and tests each probe on the held-out part of every place
    /// of the same width. Data sets must not share texts, unless their labels and groups are the same row by row:
    /// then they are split alike.
    ///
    /// # Errors
    /// Those of [`ProbeBank::fit`]; [`Error::Setting`] for a name given twice.
    pub fn between(estimator: &impl Estimator, sets: &[DataSet<'_>]) -> Result<Transfer> {
        for (row, set) in sets.iter().enumerate() {
            if sets.iter().take(row).any(|other| other.name == set.name) {
                return Err(Error::setting("data set", set.name, "names must differ"));
            }
        }
        estimator.validate()?;
        let mut fitted = Vec::with_capacity(sets.len());
        for set in sets {
            let case = HeldOutCase::new(estimator.protocol(), set.activations, set.labels)?;
            fitted.push((ProbeBank::fit_case(estimator, set.activations, &case)?, case));
        }
        let trained = sets.iter().zip(&fitted).map(|(set, (bank, case))| {
            let DataSet { name, activations, .. } = *set;
            Trained { name, activations, case, bank }
        });
        between(&trained.collect::<Vec<_>>())
    }

    /// Writes the cells as CSV.
    ///
    /// # Errors
    /// [`Error::Io`]; the file appears whole or not at all.
    pub fn write_csv(&self, path: impl AsRef<Path>) -> Result<()> {
        file::write_csv(path.as_ref(), &self.cells)
    }
}

/// A data set with its probes and held-out rows.
pub(super) struct Trained<'a> {
    pub name: &'a str,
    pub activations: &'a Activations,
    pub case: &'a HeldOutCase,
    pub bank: &'a ProbeBank,
}

pub(super) fn between(sets: &[Trained<'_>]) -> Result<Transfer> {
    let mut cells = Vec::new();
    for tested in sets {
        let own: Vec<&Probe> = tested.bank.iter().collect();
        let labels = tested.case.held_out_labels();
        let measured: Vec<Result<Vec<TransferCell>>> =
            own.par_iter().map(|own| tested_at(own, tested, &labels, sets)).collect();
        for measured in measured {
            cells.extend(measured?);
        }
    }
    let place = |set: &str| sets.iter().position(|trained| trained.name == set);
    cells.sort_by_key(|cell| (place(&cell.train_set), cell.train_address, place(&cell.test_set), cell.test_address));
    Ok(Transfer { cells })
}

/// Every probe of the same width on the held-out rows, with these labels, at the address of `own`.
fn tested_at(own: &Probe, tested: &Trained<'_>, labels: &[bool], sets: &[Trained<'_>]) -> Result<Vec<TransferCell>> {
    let HeldOutCase { split, resamples, .. } = tested.case;
    let states = tested.activations.at(own.address())?.select(ndarray::Axis(0), &split.test);
    let mut cells = Vec::new();
    for trained in sets {
        for probe in trained.bank.iter().filter(|probe| probe.weights.len() == states.ncols()) {
            let decisions = probe.decision(states.view())?;
            let Some(ranking) = Ranking::new(&decisions, labels) else { continue };
            let Some(auroc) = ranking.auroc() else { continue };
            let elsewhere = trained.name != tested.name && probe.address() == own.address();
            let interval: Option<Interval> = match elsewhere {
                true => resamples.statistic(|weights| ranking.weighted_auroc(weights)).map(|found| found.interval),
                false => None,
            };
            cells.push(TransferCell {
                train_set: trained.name.to_owned(),
                train_address: probe.address(),
                test_set: tested.name.to_owned(),
                test_address: own.address(),
                auroc,
                low: interval.map(|interval| interval.low),
                high: interval.map(|interval| interval.high),
                cosine: probe.direction.cosine(&own.direction)?,
            });
        }
    }
    Ok(cells)
}
