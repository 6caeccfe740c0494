//! A direction in the space of hidden states.

use ndarray::{Array1, ArrayView1, ArrayView2};

use crate::hook::Address;
use crate::stats::sum_of_products;
use crate::{Error, Result};

/// A unit vector in the raw space of one address, `[d]`, that points towards "more immoral".
///
/// It is all zeros where the training states carry no linear difference (such as a site whose states are
/// constant); then every projection is 0, and [`Direction::is_null`] says so.
#[derive(Debug, Clone, PartialEq)]
pub struct Direction {
    address: Address,
    unit: Array1<f64>,
}

impl Direction {
    /// The direction of `weights`, `[d]`, at `address`.
    pub fn new(address: Address, weights: Array1<f64>) -> Self {
        // Divided by the largest value first, so that the squares neither overflow nor vanish.
        let largest = weights.iter().fold(0.0_f64, |largest, weight| largest.max(weight.abs()));
        let mut unit = if largest > 0.0 { weights / largest } else { weights };
        let norm = unit.dot(&unit).sqrt();
        if norm > 0.0 {
            unit /= norm;
        }
        Direction { address, unit }
    }

    /// Where it lives.
    pub fn address(&self) -> Address {
        self.address
    }

    /// The unit vector, `[d]`.
    pub fn unit(&self) -> ArrayView1<'_, f64> {
        self.unit.view()
    }

    /// Whether it is all zeros.
    pub fn is_null(&self) -> bool {
        self.unit.iter().all(|&value| value == 0.0)
    }

    /// Cosine with another direction of the same width, for comparing seeds, data sets and recipes.
    ///
    /// # Errors
    /// [`Error::Mismatch`] for another width.
    pub fn cosine(&self, other: &Direction) -> Result<f64> {
        check_width(self.address, self.unit.len(), other.unit.len())?;
        Ok(self.unit.dot(&other.unit))
    }

    /// Dot product of each of `rows`, `[n, d]`, with the direction, in the states' own unit.
    ///
    /// # Errors
    /// [`Error::Mismatch`] for another width.
    pub fn project(&self, rows: ArrayView2<'_, f32>) -> Result<Vec<f64>> {
        check_width(self.address, self.unit.len(), rows.ncols())?;
        Ok(rows.outer_iter().map(|row| dot(row, self.unit.view())).collect())
    }
}

pub(crate) fn check_width(address: Address, expected: usize, found: usize) -> Result<()> {
    if expected == found {
        return Ok(());
    }
    let problem = format!("its states have width {found}, the probe has {expected}; they come from different models");
    Err(Error::mismatch(address.to_string(), problem))
}

/// Dot product in f64 of f32 states with f64 weights of the same length.
pub(crate) fn dot(row: ArrayView1<'_, f32>, weights: ArrayView1<'_, f64>) -> f64 {
    match (row.as_slice(), weights.as_slice()) {
        (Some(row), Some(weights)) => sum_of_products(row, weights),
        _ => row.iter().zip(weights).map(|(&value, weight)| f64::from(value) * weight).sum(),
    }
}
