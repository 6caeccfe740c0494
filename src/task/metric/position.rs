//! Whether the place of an option decides.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::{check_rows, right, share_of};
use crate::stats::{ClusterBootstrap, Interval};
use crate::task::behaviour::{Choices, Measured};
use crate::task::choice::complete_rotations;
use crate::task::ChoiceItem;
use crate::Result;

pub(super) fn rows(study: &Choices<'_>) -> Result<Vec<Measured<PositionBias>>> {
    study.by_round(|part| PositionBias::of(part.items, &part.chosen, part.resamples).map(Some))
}

/// The answers at one place among the options.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Position {
    /// The place, from 0.
    pub position: usize,
    /// Answers that name one option, to items with an option at this place.
    pub answers: usize,
    /// Share of the answers that name the option at this place; `None` without answers.
    pub share: Option<Interval>,
    /// What that share is without position bias, if each option stands in each place equally often: the mean of
    /// 1/k over those items with k options.
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0, max = 1.0)))]
    pub expected: Option<f64>,
    /// Items whose right option stands here.
    pub right_here: usize,
    /// Share of right answers to items whose right option stands here; `None` without such items.
    pub accuracy: Option<Interval>,
}

/// Position bias; shares are over groups ([`ClusterBootstrap::share`]). Ask every item in every order ([`ChoiceTask::rotations`](crate::task::ChoiceTask::rotations)): else
/// the place is mixed up with what stands there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct PositionBias {
    /// Every place that some item has an option at.
    pub positions: Vec<Position>,
    /// Items that were asked in all their orders.
    pub rotated: usize,
    /// Share of items asked in all their orders for which the same option is chosen in every order. Chance by places alone is 0, and a model
    /// that knows what it wants has 1. `None` without such items.
    pub consistent: Option<Interval>,
}

impl PositionBias {
    /// Counts the options chosen for items, `[n]`, by place; an answer that names no single option is at no place, wrong, and
    /// not consistent.
    ///
    /// # Errors
    /// [`crate::Error::RowCount`] unless all describe the same rows.
    pub fn of(items: &[ChoiceItem], chosen: &[Option<usize>], resamples: &ClusterBootstrap) -> Result<Self> {
        check_rows("chosen options", chosen.len(), items.len())?;
        check_rows("resampled items", resamples.rows(), items.len())?;
        let share =
            |holds: &dyn Fn(&ChoiceItem, Option<usize>) -> Option<bool>| share_of(items, chosen, resamples, holds);
        let places = items.iter().map(|item| item.options.len()).max().unwrap_or(0);
        let positions = (0..places).map(|position| {
            let there = |item: &ChoiceItem| position < item.options.len();
            let answered: Vec<&ChoiceItem> = items
                .iter()
                .zip(chosen)
                .filter(|(item, chosen)| there(item) && chosen.is_some())
                .map(|(item, _)| item)
                .collect();
            let expected: f64 = answered.iter().map(|item| 1.0 / item.options.len() as f64).sum();
            Ok(Position {
                position,
                answers: answered.len(),
                share: share(&|item, chosen| chosen.filter(|_| there(item)).map(|chosen| chosen == position))?,
                expected: (!answered.is_empty()).then(|| expected / answered.len() as f64),
                right_here: items.iter().filter(|item| item.label == position).count(),
                accuracy: share(&|item, chosen| (item.label == position).then(|| right(item, chosen)))?,
            })
        });
        let copies = complete_rotations(items);
        let same = |rows: &Vec<usize>| {
            let mut meant = rows.iter().map(|&row| {
                let option = chosen.get(row).copied().flatten()?;
                items.get(row).map(|item| item.original(option))
            });
            let first = meant.next().flatten();
            first.is_some() && meant.all(|option| option == first)
        };
        // The copies share their group: one row can stand for all of them.
        let consistent: HashMap<usize, bool> =
            copies.iter().filter_map(|rows| Some((*rows.first()?, same(rows)))).collect();
        let consistent: Vec<Option<bool>> = (0..items.len()).map(|row| consistent.get(&row).copied()).collect();
        Ok(PositionBias {
            positions: positions.collect::<Result<_>>()?,
            rotated: copies.len(),
            consistent: resamples.share_where(&consistent)?,
        })
    }
}
