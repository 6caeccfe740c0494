//! The levels by the rule that left out each fold, and their file: what the probes' texts leave open, without the states.

use std::path::Path;

use serde::Serialize;

use super::levels::{site_and_head, Levels};
use super::readings::ReadingLevels;
use crate::hook::Address;
use crate::{file, Result};

#[derive(Serialize)]
struct FoldRow {
    round: usize,
    instruction: String,
    reading: String,
    site: String,
    layer: Option<usize>,
    fold: usize,
    level: f64,
    class_distance: f64,
    class_distance_error: f64,
}

impl ReadingLevels {
    /// Writes the columns round, instruction, reading, site, layer, fold, level, class_distance, class_distance_error: a row for
    /// each rule of [`CrossFit`](crate::probe::CrossFit), at the addresses that have a class distance.
    ///
    /// - `level`, in class distances: the mean over the reading's items of the level by the rule that left out this fold of the
    ///   probe's texts. The mean over the folds is the mean of `class_distance` in the file of
    ///   [`Levels::write_csv`]; how the folds differ is the jackknife over the probe's texts.
    /// - `class_distance`, in standard deviations within a class (d'), with its standard error: those of the probe that reads
    ///   here.
    ///
    /// With the file of all levels that is everything that bounds of changes in class distances rest on. Levels of a part of
    /// the items have no rows.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io); the file appears whole or not at all.
    pub fn write_csv_by_fold(&self, path: impl AsRef<Path>) -> Result<()> {
        file::write_csv(path.as_ref(), self.readings().iter().flat_map(Levels::fold_rows))
    }
}

impl Levels {
    fn fold_rows(&self) -> impl Iterator<Item = FoldRow> + '_ {
        let conditions = self.states.iter().flat_map(|states| self.design.conditions().zip(&states.means));
        conditions.flat_map(move |(condition, means)| {
            let places = self.addresses.iter().zip(&self.units).zip(means);
            places.filter_map(|((&address, fits), mean)| Some((address, fits.as_deref()?, mean))).flat_map(
                move |(address, fits, mean): (Address, _, _)| {
                    fits.weights.dot(&mean.raw).into_iter().enumerate().map(move |(fold, projection)| FoldRow {
                        round: condition.round,
                        instruction: condition.name(),
                        reading: self.reading.to_string(),
                        site: site_and_head(address),
                        layer: address.layer(),
                        fold,
                        level: (projection - fits.moral) / fits.distance,
                        class_distance: fits.distance / fits.spread,
                        class_distance_error: fits.distance_error / fits.spread,
                    })
                },
            )
        })
    }
}
