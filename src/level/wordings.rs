//! Wordings of an instruction as a sample of wordings: one change over all of them, and how far they differ.

use serde::{Deserialize, Serialize};

use super::effect::Change;
use crate::condition::{Condition, Design};
use crate::stats::{mean, pick, ClusteredMeans, FactorVariance, Interval, RandomFactor, Resampler};
use crate::task::Outcome;
use crate::{Error, Result};

/// How D, the change that a verdict rests on, and the gain differ between the wordings of an instruction, each of which was put to
/// a part of the items. Wordings of one number go together: those of the instruction and of its control, so that their
/// variance is that of both.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct WordingEffect {
    /// Where the variance of D over items comes from, over all valid layers, in squared class distances: `between` wordings and
    /// `within` them.
    pub change: FactorVariance,
    /// The same of the gain in behaviour over the control; `None` without behaviour.
    pub gain: Option<FactorVariance>,
    /// The wordings, by number.
    pub rows: Vec<WordingRow>,
}

/// One wording.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct WordingRow {
    /// Number of the wording, from 0.
    pub wording: usize,
    /// Items that were asked in it.
    pub items: usize,
    /// D over these items, over all valid layers, with Student's interval over their groups, for this wording alone; it holds
    /// neither probes nor distance.
    pub change: Interval,
    /// Mean gain of these items over the control.
    pub gain: Option<f64>,
}

/// The wordings of these items as a factor; `None` where all were asked in one.
pub(super) fn factor(design: &Design, items: &[String], groups: &[String]) -> Result<Option<RandomFactor>> {
    match design.wordings_of(items) {
        Some(labels) => RandomFactor::new(&labels, groups),
        None => Ok(None),
    }
}

/// Mean paired change of the outcome, its interval over items and wordings; `None` where a condition was not measured.
pub(super) fn gain(
    outcome: &Outcome,
    design: &Design,
    (before, after): (&Condition, &Condition),
    resampler: &Resampler,
) -> Result<Option<Interval>> {
    let Some(over_items) = outcome.gain(before, after, resampler)? else { return Ok(None) };
    let Some(factor) = factor(design, &outcome.items, &outcome.groups)? else { return Ok(Some(over_items)) };
    let Some(gains) = gains(outcome, before, after) else { return Ok(Some(over_items)) };
    factor.widen(over_items, &gains, resampler.settings().level).map(Some)
}

fn gains(outcome: &Outcome, before: &Condition, after: &Condition) -> Option<Vec<f64>> {
    let (before, after) = outcome.series(before).zip(outcome.series(after))?;
    Some(after.iter().zip(before).map(|(after, before)| after - before).collect())
}

/// The change by wording; `None` where there was one.
pub(super) fn effect(
    change: &Change<'_>,
    (before, after): (&Condition, &Condition),
    outcome: &Outcome,
    resampler: &Resampler,
) -> Result<Option<WordingEffect>> {
    let Some(factor) = change.factor()? else { return Ok(None) };
    let (values, groups) = (change.items(change.whole())?, change.groups());
    let by_item = gains(outcome, before, after).map(|gains| {
        let of_item = outcome.items.iter().map(String::as_str).zip(gains);
        of_item.collect::<std::collections::HashMap<&str, f64>>()
    });
    let gains: Option<Vec<f64>> =
        by_item.and_then(|gains| change.names().iter().map(|item| gains.get(item.as_str()).copied()).collect());
    let row = |(place, &wording): (usize, &usize)| {
        let rows = factor.rows_of(place);
        let own = pick(&values, &rows);
        let column = ndarray::ArrayView2::from_shape((own.len(), 1), &own)
            .map_err(|error| Error::mismatch("wordings", error.to_string()))?;
        let means = ClusteredMeans::new(column, &pick(groups, &rows))?;
        // The items of one group alone have no bounds.
        let bounded = means.interval(0, resampler.settings().level).filter(|found| !found.low.is_nan());
        let unbounded = Interval { estimate: mean(&own), low: f64::NEG_INFINITY, high: f64::INFINITY };
        let change = bounded.unwrap_or(unbounded);
        let gain = gains.as_ref().map(|gains| mean(&pick(gains, &rows)));
        Ok(WordingRow { wording, items: rows.len(), change, gain })
    };
    Ok(Some(WordingEffect {
        change: factor.variance(&values)?,
        gain: gains.as_deref().map(|gains| factor.variance(gains)).transpose()?,
        rows: factor.labels().iter().enumerate().map(row).collect::<Result<_>>()?,
    }))
}
