//! The table: numbers by address, and what each would have to be.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Baseline, OnlineCode, Selectivity, Stability, Transfer};
use crate::hook::Address;
use crate::probe::ProbeBank;
use crate::stats::Interval;
use crate::{file, Provenance, Result};

/// Whether a number is what it would have to be to believe the probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingOutcome {
    /// It is.
    Passed,
    /// It is not.
    Failed,
    /// It was not measured, or could not be.
    NotRun,
}

/// One number at one address, with what it would have to be.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// Name of the check, as in the table of [`Validity`](super::Validity).
    pub check: &'static str,
    /// The number.
    pub value: Option<f64>,
    /// Lower bound of its 95 % interval, where it has one.
    pub low: Option<f64>,
    /// Upper bound.
    pub high: Option<f64>,
    /// What to believe the probe takes.
    pub must_be: &'static str,
    /// Whether it is so.
    pub outcome: FindingOutcome,
}

/// What was measured at one address.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ValidityRow {
    /// Address.
    pub address: Address,
    /// Layer, if the site has one.
    pub layer: Option<usize>,
    /// Held-out AUROC with its clustered 95 % interval.
    pub auroc: Interval,
    /// Whether the probe's own fit converged.
    pub converged: bool,
    /// One-sided p of that AUROC among permuted held-out labels.
    pub permutation_p: Option<f64>,
    /// Control tasks.
    pub selectivity: Option<Selectivity>,
    /// The online code.
    pub code: Option<OnlineCode>,
    /// AUROC minus that of each baseline, by name, with paired clustered 95 % intervals.
    pub baselines: BTreeMap<String, Interval>,
    /// Cosines of refitted directions.
    pub stability: Option<Stability>,
}

/// Level of the p-values.
const PASSING_P: f64 = 0.05;
/// Square root of one half: cosine at which two directions share half of their squared length.
const HALF_SHARED_COSINE: f64 = std::f64::consts::FRAC_1_SQRT_2;

impl ValidityRow {
    /// Each number with what it would have to be, in a fixed order.
    pub fn findings(&self) -> Vec<Finding> {
        let outcome = |passed: Option<bool>| match passed {
            Some(true) => FindingOutcome::Passed,
            Some(false) => FindingOutcome::Failed,
            None => FindingOutcome::NotRun,
        };
        let plain = |check, value: Option<f64>, passed: Option<bool>, must_be| Finding {
            check,
            value,
            low: None,
            high: None,
            must_be,
            outcome: outcome(passed.filter(|_| value.is_some())),
        };
        let interval = |check, interval: Option<&Interval>, above: f64, must_be| Finding {
            check,
            value: interval.map(|interval| interval.estimate),
            low: interval.map(|interval| interval.low),
            high: interval.map(|interval| interval.high),
            must_be,
            outcome: outcome(interval.map(|interval| interval.low > above)),
        };
        let (selectivity, code) = (self.selectivity.as_ref(), self.code.as_ref());
        let stability = self.stability.as_ref();
        let cosine = |check, value: Option<f64>| {
            plain(
                check,
                value,
                value.map(|value| value >= HALF_SHARED_COSINE),
                "at least 0.71: half of the squared length is shared",
            )
        };
        let over = |check, name: &str| interval(check, self.baselines.get(name), 0.0, "whole interval above 0");
        vec![
            interval("auroc", Some(&self.auroc), 0.5, "whole interval above 0.5"),
            plain("permutation", self.permutation_p, self.permutation_p.map(|p| p <= PASSING_P), "p at most 0.05"),
            plain(
                "selectivity",
                selectivity.and_then(|controlled| controlled.selectivity),
                selectivity.and_then(|controlled| controlled.p).map(|p| p <= PASSING_P),
                "p among the control tasks at most 0.05: of 20, above all",
            ),
            plain(
                "compression",
                code.map(|code| code.compression),
                code.map(|code| code.compression > code.share_compression.max(1.0)),
                "above 1 and above what the share of labels gives",
            ),
            over("over_length", "length"),
            over("over_words", "words"),
            over("over_projection", "projection"),
            over("over_noise", "noise"),
            cosine("stable_splits", stability.map(|stability| stability.splits)),
            cosine("stable_bootstraps", stability.map(|stability| stability.bootstraps)),
            cosine("stable_recipes", stability.map(|stability| stability.recipes)),
        ]
    }
}

/// Everything that [`Validity::check`](super::Validity::check) measured.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ValidityTable {
    /// One row per address, in order.
    pub rows: Vec<ValidityRow>,
    /// The baselines' own results.
    pub baselines: Vec<Baseline>,
    /// Probes of each address on the states of each other.
    pub transfer: Transfer,
    /// The probes.
    pub probes: ProbeBank,
    /// What the probes were made from, and the settings.
    pub provenance: Provenance,
}

#[derive(Serialize)]
struct CsvRow {
    address: Address,
    layer: Option<usize>,
    check: &'static str,
    value: Option<f64>,
    low: Option<f64>,
    high: Option<f64>,
    must_be: &'static str,
    outcome: FindingOutcome,
}

impl ValidityTable {
    /// Writes rows with their findings, baselines, transfer and provenance as JSON.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io); the file appears whole or not at all.
    pub fn write_json(&self, path: impl AsRef<Path>) -> Result<()> {
        let row = |row: &ValidityRow| serde_json::json!({ "measured": row, "findings": row.findings() });
        let value = serde_json::json!({
            "provenance": self.provenance,
            "rows": self.rows.iter().map(row).collect::<Vec<_>>(),
            "baselines": self.baselines,
            "transfer": self.transfer.cells,
        });
        file::write_json(path.as_ref(), &value)
    }

    /// Writes one line per address and check: address, layer, check, value, low, high, must_be, outcome.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io); the file appears whole or not at all.
    pub fn write_csv(&self, path: impl AsRef<Path>) -> Result<()> {
        let lines = self.rows.iter().flat_map(|row| {
            row.findings().into_iter().map(|finding| CsvRow {
                address: row.address,
                layer: row.layer,
                check: finding.check,
                value: finding.value,
                low: finding.low,
                high: finding.high,
                must_be: finding.must_be,
                outcome: finding.outcome,
            })
        });
        file::write_csv(path.as_ref(), lines)
    }
}
