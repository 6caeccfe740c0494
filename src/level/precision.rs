//! How precise a run was, as far as a run of another size can be foretold from it.

use ndarray::ArrayView2;
use serde::{Deserialize, Serialize};

use super::effect::Columns;
use super::readings::ReadingLevels;
use super::sources::Owed;
use super::state_checks::Case;
use crate::condition::Condition;
use crate::dialogue::{Part, Reading};
use crate::hook::Address;
use crate::stats::{intraclass_correlation, student_cdf, ClusteredMeans, Resampler, Settings, Tail, PROBES};
use crate::task::Outcome;
use crate::{Error, Result};

/// How much gain and D vary from item to item and with the probes, in one run: what a [`Planner`](super::Planner) of the next
/// one needs. Every report holds it, so that every run is a pilot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Precision {
    /// The condition that was judged, against its control.
    #[serde(flatten)]
    pub condition: Condition,
    /// The gain in behaviour; `None` where it was not measured.
    pub gain: Option<GainPrecision>,
    /// D; `None` where no probe is valid over the answers.
    pub change: Option<ChangePrecision>,
}

/// How much the gain varies from item to item.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct GainPrecision {
    /// Items.
    pub items: usize,
    /// Groups of items.
    pub groups: usize,
    /// Mean gain.
    pub estimate: f64,
    /// Squared standard error of the mean times the groups.
    pub variance: f64,
    /// Correlation of two items of one group, 0 to 1.
    pub intraclass_correlation: f64,
}

/// How much D varies from item to item and with the probes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct ChangePrecision {
    /// Items.
    pub items: usize,
    /// Groups of items.
    pub groups: usize,
    /// Groups of the texts that the probes learnt from.
    pub texts: usize,
    /// Folds of the jackknife over these.
    pub folds: usize,
    /// Correlation of two items of one group over all layers, 0 to 1.
    pub intraclass_correlation: f64,
    /// All valid layers, then their parts.
    pub stretches: Vec<ColumnPrecision>,
    /// Each valid layer.
    pub layers: Vec<ColumnPrecision>,
    /// Independent stretches that would be as hard to bound at once as these.
    pub effective_stretches: f64,
    /// Independent columns, stretches and layers, that would be as likely to be all within a margin as these.
    pub effective_columns: f64,
}

/// D over one run of layers, in class distances.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct ColumnPrecision {
    /// First and last address.
    pub addresses: [Address; 2],
    /// D, the change that a verdict rests on.
    pub estimate: f64,
    /// The items' part of the squared standard error times the groups of items.
    pub variance: f64,
    /// Standard error that the probes' texts leave.
    pub probe_error: f64,
    /// Standard error of the class distance, as a share of it.
    pub distance_error: f64,
}

impl Precision {
    /// How precise a run was on a judged condition; `None` without a control.
    ///
    /// # Errors
    /// [`Error::Setting`] for settings out of range; [`Error::Mismatch`] where behaviour and levels do not belong together.
    pub fn of(
        condition: &Condition,
        levels: &ReadingLevels,
        outcome: &Outcome,
        settings: Settings,
    ) -> Result<Option<Precision>> {
        Precision::of_with(condition, levels, outcome, &Resampler::new(settings)?)
    }

    /// [`Precision::of`] with the resamples of a whole analysis.
    pub(crate) fn of_with(
        condition: &Condition,
        levels: &ReadingLevels,
        outcome: &Outcome,
        resampler: &Resampler,
    ) -> Result<Option<Precision>> {
        let design = levels.readings().first().map(|first| first.design());
        let Some(control) = design.and_then(|design| design.control(condition)) else { return Ok(None) };
        let answers = levels.get(Reading::of(Part::Answer)).filter(|answers| !answers.valid().is_empty());
        let change = answers.map(|answers| {
            change(&Case { all: levels, answers, outcome, condition, control, resampler }, answers.valid())
        });
        Ok(Some(Precision {
            condition: condition.clone(),
            gain: gain(outcome, condition, control)?,
            change: change.transpose()?.flatten(),
        }))
    }
}

fn gain(outcome: &Outcome, condition: &Condition, control: &Condition) -> Result<Option<GainPrecision>> {
    let Some((after, before)) = outcome.series(condition).zip(outcome.series(control)) else { return Ok(None) };
    let gains: Vec<f64> = after.iter().zip(before).map(|(after, before)| after - before).collect();
    let column = ArrayView2::from_shape((gains.len(), 1), &gains)
        .map_err(|error| Error::mismatch("outcome", error.to_string()))?;
    let means = ClusteredMeans::new(column, &outcome.groups)?;
    let found = means.means().first().zip(means.standard_errors().first());
    let measured = found.filter(|(_, error)| error.is_finite());
    Ok(measured.map(|(&estimate, &error)| GainPrecision {
        items: gains.len(),
        groups: means.clusters(),
        estimate,
        variance: error * error * means.clusters() as f64,
        intraclass_correlation: intraclass_correlation(&gains, &outcome.groups),
    }))
}

fn change(case: &Case<'_>, valid: &[Address]) -> Result<Option<ChangePrecision>> {
    let d = case.d()?;
    let Columns { columns, stretches, items, owed: Owed { deviations, distances } } = d.columns()?;
    let means = ClusteredMeans::new(items.view(), d.groups())?;
    let settings = case.resampler.settings();
    if means.clusters() < 2 {
        return Ok(None);
    }
    let groups = means.clusters() as f64;
    let column = |column: usize| {
        let (stretch, distance) = (columns.get(column)?, distances.get(column)?);
        let probes = deviations.column(column);
        Some(ColumnPrecision {
            addresses: [*valid.get(stretch.first)?, *valid.get(stretch.last)?],
            estimate: means.means().get(column)? / distance.mean,
            variance: (means.standard_errors().get(column)? / distance.mean).powi(2) * groups,
            probe_error: probes.dot(&probes).sqrt() / distance.mean,
            distance_error: distance.error / distance.mean,
        })
    };
    let Some(found) = (0..columns.len()).map(column).collect::<Option<Vec<_>>>() else { return Ok(None) };
    let drawn =
        case.resampler.of(d.groups())?.studentised(&means)?.with_source(deviations.view(), settings.seed, PROBES)?;
    // Of m independent columns all are below the quantile with the chance of one to the m.
    let effective = |last: usize, level: f64, tail: Tail| {
        let critical = drawn.critical(&(0..last).collect::<Vec<_>>(), level, tail);
        let one = student_cdf(critical, groups - 1.0);
        let count = level.ln() / one.ln();
        if count.is_finite() {
            count.clamp(1.0, last.max(1) as f64)
        } else {
            last.max(1) as f64
        }
    };
    let (of_stretches, of_layers) = found.split_at(stretches);
    let whole: Vec<f64> = items.column(0).to_vec();
    Ok(Some(ChangePrecision {
        items: items.nrows(),
        groups: means.clusters(),
        texts: case.answers.validity.groups,
        folds: deviations.nrows(),
        intraclass_correlation: intraclass_correlation(&whole, d.groups()),
        stretches: of_stretches.to_vec(),
        layers: of_layers.to_vec(),
        effective_stretches: effective(stretches, settings.level, Tail::Above),
        effective_columns: effective(columns.len(), settings.power, Tail::Below),
    }))
}
