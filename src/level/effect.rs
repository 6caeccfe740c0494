//! A change of the level in class distances, with all that makes it unsure: items, probes, and the distance itself.

use ndarray::{Array1, Array2, ArrayView1};

use super::levels::{LevelStates, Levels};
use super::metric::Metric;
use super::rotation_null::rotation_null;
use super::sources::{Owed, Sources};
use super::wordings;
use crate::condition::Condition;
use crate::hook::Address;
use crate::probe::CrossFit;
use crate::stats::{ClusteredMeans, Interval, RandomFactor, Resampler, Tail};
use crate::{Error, Result};

/// One condition of some levels, and what its level counts in the change.
#[derive(Debug, Clone, Copy)]
pub(super) struct Side<'a> {
    pub factor: f64,
    pub levels: &'a Levels,
    pub condition: &'a Condition,
}

/// A sum of conditions whose factors add up to 0, of the same items.
#[derive(Debug, Clone)]
pub(super) struct Change<'a> {
    sides: Vec<Side<'a>>,
    addresses: Vec<Address>,
}

/// One address of a change.
struct At<'a> {
    unit: &'a CrossFit,
    /// Change of each item in standard deviations within a class, `[n]`.
    items: Vec<f64>,
    /// Mean change of the states, `[d]`.
    states: Array1<f64>,
    /// Scale of the columns, `[d]`.
    scale: &'a Array1<f64>,
}

/// A change over a run of layers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Stretch {
    /// Places of its first and last address among those of the change.
    pub first: usize,
    pub last: usize,
}

/// What is known of the change over one stretch, in class distances.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Bounded {
    pub stretch: Stretch,
    /// The interval of the settings' level, for this stretch alone.
    pub interval: Interval,
    /// Upper bound at the level of a one-sided test, for all stretches at once.
    pub above: f64,
    /// Lower bound at the level of a one-sided test, for this stretch alone.
    pub below: f64,
}

/// A change over all addresses, over parts of them, and at each of them.
#[derive(Debug, Clone)]
pub(super) struct Effect {
    /// All addresses, then their parts.
    pub stretches: Vec<Bounded>,
    /// Each address.
    pub addresses: Vec<Bounded>,
}

/// A change by stretches and by addresses, in standard deviations within a class.
pub(super) struct Columns {
    /// The stretches, then each address.
    pub columns: Vec<Stretch>,
    /// How many are stretches: all addresses and their parts.
    pub stretches: usize,
    /// Change of each item, `[n, columns]`.
    pub items: Array2<f64>,
    /// What the probes' texts leave open.
    pub owed: Owed,
}

/// Addresses from which on a change is looked for in parts too: quarters, or halves where there are fewer layers.
const QUARTERS_FROM: usize = 8;

impl<'a> Change<'a> {
    /// The change at these addresses.
    ///
    /// # Errors
    /// [`Error::Mismatch`] where the sides are of other items.
    pub fn new(sides: impl IntoIterator<Item = Side<'a>>, addresses: &[Address]) -> Result<Self> {
        let sides: Vec<Side<'a>> = sides.into_iter().collect();
        if let Some((first, rest)) = sides.split_first() {
            if let Some(other) = rest.iter().find(|side| side.levels.items() != first.levels.items()) {
                let [one, two] = [first.levels, other.levels].map(Levels::reading);
                let problem = format!("{one} is of other items than {two}; read both of the same");
                return Err(Error::mismatch("levels", problem));
            }
        }
        Ok(Change { sides, addresses: addresses.to_vec() })
    }

    /// One condition minus another.
    pub fn between(levels: &'a Levels, after: &'a Condition, before: &'a Condition, addresses: &[Address]) -> Self {
        let side = |factor, condition| Side { factor, levels, condition };
        Change { sides: vec![side(1.0, after), side(-1.0, before)], addresses: addresses.to_vec() }
    }

    pub fn groups(&self) -> &'a [String] {
        self.sides.first().map_or(&[], |side| side.levels.groups())
    }

    /// Ids of the items, `[n]`.
    pub fn names(&self) -> &'a [String] {
        self.sides.first().map_or(&[], |side| side.levels.items())
    }

    /// The wordings that the items were asked in, where there were several.
    pub fn factor(&self) -> Result<Option<RandomFactor>> {
        self.sides
            .first()
            .map_or(Ok(None), |side| wordings::factor(side.levels.design(), side.levels.items(), side.levels.groups()))
    }

    /// The change of each item, `[n]`, over the addresses from `first` to `last`, in class distances.
    pub fn items(&self, stretch: Stretch) -> Result<Vec<f64>> {
        let mut sum = vec![0.0; self.groups().len()];
        let mut distance = 0.0;
        for &address in self.addresses.get(stretch.first..=stretch.last).unwrap_or_default() {
            let at = self.at(address)?;
            distance += at.unit.distance / at.unit.spread;
            sum.iter_mut().zip(&at.items).for_each(|(sum, item)| *sum += item);
        }
        Ok(sum.into_iter().map(|value| value / distance).collect())
    }

    /// All addresses.
    pub fn whole(&self) -> Stretch {
        Stretch { first: 0, last: self.addresses.len().saturating_sub(1) }
    }

    /// All addresses, and their parts.
    fn stretches(&self) -> Vec<Stretch> {
        let l = self.addresses.len();
        let parts = if l >= QUARTERS_FROM { 4 } else { 2.min(l) };
        let part = |part: usize| Stretch { first: part * l / parts, last: ((part + 1) * l / parts).max(1) - 1 };
        let parts = if parts > 1 { (0..parts).map(part).collect() } else { Vec::new() };
        std::iter::once(self.whole()).chain(parts).collect()
    }

    /// The change at one address.
    fn at(&self, address: Address) -> Result<At<'a>> {
        let missing = || Error::mismatch("levels", format!("they have no class distance at {address}"));
        let mut found: Option<At<'a>> = None;
        for side in &self.sides {
            let levels = side.levels;
            let index = levels.addresses().iter().position(|&known| known == address).ok_or_else(missing)?;
            let condition = levels.design().position(side.condition).ok_or_else(|| {
                Error::mismatch("levels", format!("{} was not read under {}", levels.reading(), side.condition))
            })?;
            let series = levels.at(condition, index, Metric::ClassDistance).ok_or_else(missing)?;
            let unit = levels.units.get(index).and_then(Option::as_deref).ok_or_else(missing)?;
            let scale = levels.scales.get(index).ok_or_else(missing)?;
            let LevelStates { means, .. } = levels.states.as_ref().ok_or_else(|| {
                Error::mismatch("levels", "they are a part of the items, without the states that a verdict needs")
            })?;
            let mean = &means.get(condition).and_then(|means| means.get(index)).ok_or_else(missing)?.raw;
            let at = found.get_or_insert_with(|| At {
                unit,
                items: vec![0.0; series.len()],
                states: Array1::zeros(mean.len()),
                scale,
            });
            let factor = side.factor * unit.distance / unit.spread;
            at.items.iter_mut().zip(series).for_each(|(sum, level)| *sum += factor * level);
            at.states.scaled_add(side.factor, mean);
        }
        found.ok_or_else(missing)
    }

    /// What is measured, column by column: the stretches, then each address.
    pub fn columns(&self) -> Result<Columns> {
        let at: Vec<At<'a>> = self.addresses.iter().map(|&address| self.at(address)).collect::<Result<_>>()?;
        let stretches = self.stretches();
        let single = (0..at.len()).map(|place| Stretch { first: place, last: place });
        let columns: Vec<Stretch> = stretches.iter().copied().chain(single).collect();
        let folds = at.iter().map(|at| at.unit.weights.nrows()).max().unwrap_or(0);
        let mut items = Array2::zeros((self.groups().len(), columns.len()));
        let mut owed = Owed::none(folds, columns.len());
        for (place, At { unit, items: of_items, states, .. }) in at.iter().enumerate() {
            let of_items = ArrayView1::from(of_items);
            let inside = |stretch: &Stretch| (stretch.first..=stretch.last).contains(&place);
            for (column, _) in columns.iter().enumerate().filter(|(_, stretch)| inside(stretch)) {
                items.column_mut(column).scaled_add(1.0, &of_items);
                owed.add(column, unit, states, unit.spread);
            }
        }
        Ok(Columns { columns, stretches: stretches.len(), items, owed })
    }

    /// Measures the change: over all addresses, over their parts, at each, with the bounds of [`Sources`].
    ///
    /// A level over several addresses is the sum of the projections, each in standard deviations within a class, over the sum
    /// of the class distances in the same unit: addresses count by how far they tell the classes apart.
    pub fn measure(&self, resampler: &Resampler) -> Result<Effect> {
        let Columns { columns, stretches, items, owed } = self.columns()?;
        let means = ClusteredMeans::new(items.view(), self.groups())?;
        let seed = resampler.settings().seed;
        let sources = Sources::new(&means, &*resampler.of(self.groups())?, owed, seed)?;
        let sources = match self.factor()? {
            Some(factor) => sources.with_wordings(&factor, items.view(), seed)?,
            None => sources,
        };
        let level = resampler.settings().level;
        let joint: Vec<usize> = (0..stretches).collect();
        let above = sources.critical(&joint, level, Tail::Above);
        let bounded = |column: usize| {
            let alone = |level, tail| sources.critical(&[column], level, tail);
            let half = 0.5 * (1.0 + level);
            let above = if column < stretches { above } else { alone(level, Tail::Above) };
            Bounded {
                stretch: columns[column],
                interval: sources.interval(column, alone(half, Tail::Below), alone(half, Tail::Above)),
                above: sources.bound(column, above),
                below: sources.bound(column, -alone(level, Tail::Below)),
            }
        };
        let all: Vec<Bounded> = (0..columns.len()).map(bounded).collect();
        let (of_stretches, of_addresses) = all.split_at(stretches);
        Ok(Effect { stretches: of_stretches.to_vec(), addresses: of_addresses.to_vec() })
    }

    /// The change over a stretch along directions turned at random, in class distances: what it would be along directions
    /// that mean nothing, of the length of the probes' own on columns standardised like theirs. So no column counts by the
    /// size of its numbers, and a change of states is held against changes in the metric of the level.
    pub fn rotated(&self, stretch: Stretch, draws: usize, seed: u64) -> Result<Vec<f64>> {
        let at: Vec<At<'a>> = self
            .addresses
            .get(stretch.first..=stretch.last)
            .unwrap_or_default()
            .iter()
            .map(|&address| self.at(address))
            .collect::<Result<_>>()?;
        let d = at.iter().map(|at| at.states.len()).max().unwrap_or(0);
        let (mut directions, mut differences) = (Array2::zeros((at.len(), d)), Array2::zeros((at.len(), d)));
        let mut distance = 0.0;
        for (row, at) in at.iter().enumerate() {
            let weights = &at.unit.mean * at.scale;
            let length = weights.dot(&weights).sqrt();
            let d = weights.len();
            directions.slice_mut(ndarray::s![row, ..d]).assign(&(weights / length));
            differences.slice_mut(ndarray::s![row, ..d]).assign(&(&at.states / at.scale * (length / at.unit.spread)));
            distance += at.unit.distance / at.unit.spread;
        }
        let null = rotation_null(&directions, &differences, draws, seed);
        Ok(null.into_iter().map(|value| value * at.len() as f64 / distance).collect())
    }
}
