//! Pooled rows on their way from the hooks into [`Activations`].

use std::ops::Range;

use ndarray::{s, Array2};
use tch::Tensor;

use super::pool::Pool;
use super::Activations;
use crate::hook::{Address, Hooks};
use crate::{Error, Result};

/// Collects the pooled states of several addresses over many batches.
pub(crate) struct Collector {
    addresses: Vec<Address>,
    pool: Pool,
    outputs: Vec<Rows>,
}

impl Collector {
    /// For results of `rows` rows at each address.
    pub fn new(addresses: Vec<Address>, pool: Pool, rows: usize) -> Self {
        let outputs = addresses.iter().map(|_| Rows::new(rows)).collect();
        Collector { addresses, pool, outputs }
    }

    /// Hooks that pool over spans, each the number of a batch row and a range of its columns, and put the results at the
    /// row numbers `targets`.
    pub fn hooks(&mut self, spans: Vec<(usize, Range<usize>)>, targets: Vec<usize>) -> Hooks<'_> {
        let shared = std::rc::Rc::new((spans, targets));
        let pool = self.pool;
        let mut hooks = Hooks::new();
        for (&address, output) in self.addresses.iter().zip(&mut self.outputs) {
            let shared = shared.clone();
            hooks.observe(address, move |states| output.put(&shared.1, &pool.reduce(states, &shared.0)?));
        }
        hooks
    }

    /// Where the states are of.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// Puts states that are pooled already, by address f32 `[m, d]`, at the row numbers `targets`.
    pub fn put(&mut self, targets: &[usize], pooled: &[Tensor]) -> Result<()> {
        self.outputs.iter_mut().zip(pooled).try_for_each(|(output, pooled)| output.put(targets, pooled))
    }

    /// The rows `targets` of every collector, one collector after the other, by address. All have the same addresses.
    pub fn rows(collectors: &[Collector], targets: &[usize]) -> Result<Vec<(Address, Array2<f32>)>> {
        let addresses = collectors.first().map(|first| first.addresses.as_slice()).unwrap_or_default();
        let mut found = Vec::with_capacity(addresses.len());
        for (place, &address) in addresses.iter().enumerate() {
            let outputs = || collectors.iter().filter_map(|collector| collector.outputs.get(place));
            let width = outputs().map(|output| output.width).max().unwrap_or(0);
            let rows = outputs().flat_map(|output| targets.iter().flat_map(move |&row| output.row(row, width)));
            let array = Array2::from_shape_vec((collectors.len() * targets.len(), width), rows.collect());
            found.push((address, array.map_err(Error::misshapen("captured rows"))?));
        }
        Ok(found)
    }

    /// Puts back what [`Collector::rows`] gave.
    ///
    /// # Errors
    /// [`Error::UnknownAddress`] where `rows` lacks one of the addresses; [`Error::RowCount`].
    pub fn restore(collectors: &mut [Collector], targets: &[usize], rows: &Activations) -> Result<()> {
        let (expected, found) = (collectors.len() * targets.len(), rows.rows());
        if found != expected {
            return Err(Error::row_count("rows of a batch", expected, found));
        }
        for (number, collector) in collectors.iter_mut().enumerate() {
            for (&address, output) in collector.addresses.iter().zip(&mut collector.outputs) {
                let start = number * targets.len();
                let states = rows.at(address)?;
                if output.width != 0 && output.width != states.ncols() {
                    let (expected, found) = (output.width, states.ncols());
                    return Err(Error::row_count(format!("values of a row of {address}"), expected, found));
                }
                let of_turn = states.slice(s![start..start + targets.len(), ..]);
                output.put_values(targets, of_turn.ncols(), of_turn.iter().copied().collect());
            }
        }
        Ok(())
    }

    /// The collected states, added to `activations`.
    pub fn finish(self, mut activations: Activations) -> Result<Activations> {
        for (address, output) in self.addresses.into_iter().zip(self.outputs) {
            activations.insert(address, output.into_array()?)?;
        }
        Ok(activations)
    }
}

/// One address's result, filled batch by batch.
struct Rows {
    rows: usize,
    width: usize,
    values: Vec<f32>,
}

impl Rows {
    pub fn new(rows: usize) -> Self {
        Rows { rows, width: 0, values: Vec::new() }
    }

    /// Puts the rows of `pooled`, f32 `[m, d]`, at the `m` row numbers of `targets`.
    pub fn put(&mut self, targets: &[usize], pooled: &Tensor) -> Result<()> {
        let values = Vec::<f32>::try_from(pooled.f_flatten(0, -1)?)?;
        self.put_values(targets, values.len() / targets.len().max(1), values);
        Ok(())
    }

    fn put_values(&mut self, targets: &[usize], width: usize, values: Vec<f32>) {
        if self.values.is_empty() {
            self.width = width;
            self.values = vec![0.0; self.rows * self.width];
        }
        for (row, &target) in values.chunks_exact(self.width.max(1)).zip(targets) {
            let start = target * self.width;
            if let Some(cells) = self.values.get_mut(start..start + self.width) {
                cells.copy_from_slice(row);
            }
        }
    }

    /// A row, zeros where nothing was put yet.
    fn row(&self, row: usize, width: usize) -> impl Iterator<Item = f32> + '_ {
        let held = self.values.get(row * self.width..(row + 1) * self.width).unwrap_or_default();
        held.iter().copied().chain(std::iter::repeat(0.0)).take(width)
    }

    pub fn into_array(self) -> Result<Array2<f32>> {
        Array2::from_shape_vec((self.rows, self.width), self.values).map_err(Error::misshapen("captured rows"))
    }
}
