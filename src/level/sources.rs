//! What makes changes in class distances unsure: items, the texts that the probes learnt from, the distance itself.

use ndarray::{s, Array1, Array2, ArrayView2};

use super::comparison::Pair;
use super::levels::Levels;
use crate::probe::CrossFit;
use crate::stats::{
    fieller_bound, ClusterBootstrap, ClusteredMeans, Interval, Measured, RandomFactor, Studentised, Tail, FACTOR,
    PROBES,
};
use crate::Result;

/// What the probes' texts leave open of changes, a column each.
#[derive(Debug)]
pub(super) struct Owed {
    /// The jackknife's deviations, `[folds, columns]`.
    pub deviations: Array2<f64>,
    /// The class distances, in the unit of the columns.
    pub distances: Vec<Measured>,
}

impl Owed {
    /// Nothing yet.
    pub fn none(folds: usize, columns: usize) -> Self {
        let distances = vec![Measured { mean: 0.0, error: 0.0 }; columns];
        Owed { deviations: Array2::zeros((folds, columns)), distances }
    }

    /// Adds to a column the change of the mean states at one address, `[d]`, whose projections count in `unit`. The error of
    /// several distances is their sum, as if it were one and the same at all addresses, which is the most that it can be.
    pub fn add(&mut self, column: usize, fits: &CrossFit, states: &Array1<f64>, unit: f64) {
        let of_folds = fits.deviations(states) / unit;
        self.deviations.slice_mut(s![..of_folds.len(), column]).scaled_add(1.0, &of_folds);
        self.distances[column].mean += fits.distance / unit;
        self.distances[column].error += fits.distance_error / unit;
    }

    /// That of changes in class distances, each at one address; `None` for levels of a part of the items, which lack the states.
    pub fn of_pairs(levels: &Levels, columns: &[(Pair, usize)]) -> Option<Self> {
        let means = &levels.states.as_ref()?.means;
        let fits = |index: usize| levels.units.get(index)?.as_deref();
        let folds = columns.iter().filter_map(|&(_, index)| Some(fits(index)?.weights.nrows())).max()?;
        let mut owed = Owed::none(folds, columns.len());
        for (column, &(pair, index)) in columns.iter().enumerate() {
            let mean = |condition: usize| Some(&means.get(condition)?.get(index)?.raw);
            let fits = fits(index)?;
            owed.add(column, fits, &(mean(pair.condition)? - mean(pair.base)?), fits.distance);
        }
        Some(owed)
    }
}

/// Changes in class distances, with all that makes them unsure: items are resampled by group, each resample with its own
/// standard error (bootstrap-t); the probes' part is the jackknife over the texts that they learnt from; the distance's own
/// error enters by Fieller's bounds. The wordings of an instruction that has several are a sample too ([`RandomFactor`]).
#[derive(Debug)]
pub(super) struct Sources {
    means: Vec<f64>,
    distances: Vec<Measured>,
    drawn: Studentised,
}

impl Sources {
    /// Puts the three together, column by column.
    pub fn new(items: &ClusteredMeans, resamples: &ClusterBootstrap, owed: Owed, seed: u64) -> Result<Self> {
        let drawn = resamples.studentised(items)?.with_source(owed.deviations.view(), seed, PROBES)?;
        Ok(Sources { means: items.means().to_vec(), distances: owed.distances, drawn })
    }

    /// Adds the wordings of the items, `[n, columns]`, that the columns are the means of.
    pub fn with_wordings(self, factor: &RandomFactor, items: ArrayView2<'_, f64>, seed: u64) -> Result<Self> {
        let drawn = self.drawn.with_source(factor.deviations(items).view(), seed, FACTOR)?;
        Ok(Sources { drawn, ..self })
    }

    /// Standard error of each column's mean, of all that was put together.
    pub fn standard_errors(&self) -> &[f64] {
        self.drawn.standard_errors()
    }

    /// How many standard errors a bound of that chance is away, for all these columns at once.
    pub fn critical(&self, columns: &[usize], level: f64, tail: Tail) -> f64 {
        self.drawn.critical(columns, level, tail)
    }

    /// The bound of a column's change that lies so many standard errors away, below 0 below it.
    pub fn bound(&self, column: usize, critical: f64) -> f64 {
        let numerator = Measured { mean: self.means[column], error: self.standard_errors()[column] };
        fieller_bound(numerator, self.distances[column], critical)
    }

    /// A column's change, with the bounds so many standard errors below and above.
    pub fn interval(&self, column: usize, below: f64, above: f64) -> Interval {
        Interval {
            estimate: self.means[column] / self.distances[column].mean,
            low: self.bound(column, -below),
            high: self.bound(column, above),
        }
    }
}
