//! Pooled rows on their way from the hooks into [`Activations`].

use std::ops::Range;

use ndarray::Array2;
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

    /// Hooks that pool each batch row over its `columns` and put the results at the row numbers `targets`.
    pub fn hooks(&mut self, columns: Vec<Range<usize>>, targets: Vec<usize>) -> Hooks<'_> {
        let shared = std::rc::Rc::new((columns, targets));
        let pool = self.pool;
        let mut hooks = Hooks::new();
        for (&address, output) in self.addresses.iter().zip(&mut self.outputs) {
            let shared = shared.clone();
            hooks.observe(address, move |states| output.put(&shared.1, &pool.reduce(states, &shared.0)?));
        }
        hooks
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
        if self.values.is_empty() {
            self.width = values.len() / targets.len().max(1);
            self.values = vec![0.0; self.rows * self.width];
        }
        for (row, &target) in values.chunks_exact(self.width.max(1)).zip(targets) {
            let start = target * self.width;
            if let Some(cells) = self.values.get_mut(start..start + self.width) {
                cells.copy_from_slice(row);
            }
        }
        Ok(())
    }

    pub fn into_array(self) -> Result<Array2<f32>> {
        Array2::from_shape_vec((self.rows, self.width), self.values)
            .map_err(|error| Error::Mismatch { what: "captured rows".to_owned(), problem: error.to_string() })
    }
}
