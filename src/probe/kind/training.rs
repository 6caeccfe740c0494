//! The rows that one rule is fitted on.

use std::collections::{BTreeMap, BTreeSet};

use ndarray::{Array2, ArrayView2, Axis, ShapeBuilder};

use crate::error::check_rows;
use crate::solve::{columns_of, Standardiser};
use crate::{Error, Result};

/// The training part at one address: states in f32, as they were captured, column after column.
#[derive(Debug, Clone)]
pub struct Training {
    pub(in crate::probe) what: String,
    pub(in crate::probe) states: Array2<f32>,
    pub(in crate::probe) labels: Vec<bool>,
    /// Number of each row's group, `[n]`.
    pub(in crate::probe) groups: Vec<usize>,
}

impl Training {
    /// States, `[n, d]`, kept as f32, and labels, `[n]`, `true` = immoral; `what` names them in errors. Each row is
    /// a group of its own.
    ///
    /// # Errors
    /// [`Error::RowCount`]; [`Error::OneClass`]; [`Error::NotFinite`], also for what f32 cannot hold.
    pub fn new<A: Copy + Into<f64> + Sync>(
        what: impl Into<String>,
        rows: ArrayView2<'_, A>,
        labels: Vec<bool>,
    ) -> Result<Self> {
        let chosen: Vec<usize> = (0..rows.nrows()).collect();
        let (states, groups) = (columns_of(rows, &chosen), (0..labels.len()).collect());
        let training = Training { what: what.into(), states, labels, groups };
        training.check_other(&training.labels)?;
        let values = training.states.as_slice_memory_order().unwrap_or_default();
        if let Some(at) = values.iter().position(|value| !value.is_finite()) {
            let row = at % training.states.nrows().max(1);
            return Err(Error::not_finite(training.what, row, row.to_string()));
        }
        Ok(training)
    }

    /// The rows `chosen` out of `states`, `[rows, d]`.
    pub(in crate::probe) fn gather(
        what: String,
        states: ArrayView2<'_, f32>,
        labels: &[bool],
        chosen: &[usize],
    ) -> Self {
        let labels: Vec<bool> = chosen.iter().filter_map(|&row| labels.get(row).copied()).collect();
        let groups = (0..labels.len()).collect();
        Training { what, states: columns_of(states, chosen), labels, groups }
    }

    /// Sets the group of each row, `[n]`: cross-validation inside the training part keeps groups together.
    ///
    /// # Errors
    /// [`Error::RowCount`] unless there is one group per row.
    pub fn grouped<G: Ord>(mut self, groups: &[G]) -> Result<Self> {
        check_rows(&format!("groups of {}", self.what), groups.len(), self.labels.len())?;
        // Numbered by the order of their names: the order of the rows does not matter.
        let names: BTreeSet<&G> = groups.iter().collect();
        let number: BTreeMap<&G, usize> = names.into_iter().zip(0..).collect();
        self.groups = groups.iter().filter_map(|name| number.get(name).copied()).collect();
        Ok(self)
    }

    /// The rows for which `keep`, `[n]`, holds, and the states of the others, `[rows, d]`.
    pub(in crate::probe) fn divided(&self, keep: impl Fn(usize) -> bool) -> (Training, Array2<f32>) {
        let (kept, others): (Vec<usize>, Vec<usize>) = (0..self.labels.len()).partition(|&row| keep(row));
        let pick = |rows: &[usize]| {
            let mut states = Array2::zeros((rows.len(), self.states.ncols()).f());
            for (mut to, from) in states.axis_iter_mut(Axis(1)).zip(self.states.axis_iter(Axis(1))) {
                to.iter_mut().zip(rows).for_each(|(to, &row)| *to = from.get(row).copied().unwrap_or_default());
            }
            states
        };
        let training = Training {
            what: self.what.clone(),
            states: pick(&kept),
            labels: kept.iter().filter_map(|&row| self.labels.get(row).copied()).collect(),
            groups: kept.iter().filter_map(|&row| self.groups.get(row).copied()).collect(),
        };
        (training, pick(&others))
    }

    /// Whether `labels`, `[n]`, can be labels of these rows.
    pub(in crate::probe) fn check_other(&self, labels: &[bool]) -> Result<()> {
        let n = self.states.nrows();
        check_rows(&format!("labels of {}", self.what), labels.len(), n)?;
        let immoral = labels.iter().filter(|&&label| label).count();
        if immoral == 0 || immoral == n {
            return Err(Error::OneClass { part: "training", label: u8::from(immoral != 0) });
        }
        Ok(())
    }

    /// These states with other labels, `[n]`.
    ///
    /// # Errors
    /// Those of [`Training::new`].
    pub fn relabelled(&self, labels: Vec<bool>) -> Result<Self> {
        self.check_other(&labels)?;
        Ok(Training { labels, ..self.clone() })
    }

    /// States, `[n, d]`.
    pub fn rows(&self) -> ArrayView2<'_, f32> {
        self.states.view()
    }

    /// States, `[n, d]`, standardised in f64 by themselves, column-major, with what takes a rule back to raw states,
    /// and the labels.
    pub(crate) fn standardised(self) -> (Standardiser, Array2<f64>, Vec<bool>) {
        let standardiser = Standardiser::fit(self.states.view());
        let mut rows = self.states.mapv(f64::from);
        standardiser.apply(&mut rows);
        (standardiser, rows, self.labels)
    }

    /// Labels, `[n]`, `true` = immoral.
    pub fn labels(&self) -> &[bool] {
        &self.labels
    }
}
