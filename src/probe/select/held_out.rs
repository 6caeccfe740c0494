//! The part of the rows that choosing may see, and the part that is looked at once.

use super::Selected;
use crate::capture::Activations;
use crate::probe::bank::check_pooled;
use crate::probe::{GroupSplit, Probe};
use crate::stats::ClusterBootstrap;
use crate::text::Labels;
use crate::Result;

/// The rows that fitting and choosing may see.
#[derive(Debug)]
pub struct Open<'a> {
    activations: &'a Activations,
    labels: Labels,
    rows: Vec<usize>,
}

/// The rows held out. It cannot be copied, and [`HeldOut::evaluate`] consumes it.
#[derive(Debug)]
pub struct HeldOut<'a> {
    activations: &'a Activations,
    labels: Labels,
    rows: Vec<usize>,
}

impl<'a> HeldOut<'a> {
    /// Divides the rows by `split`. Groups are those of the labels; where each text is a group of its own there, those
    /// of the activations, if they have any.
    ///
    /// # Errors
    /// As [`ProbeBank::fit`](crate::probe::ProbeBank::fit), but for fitting.
    pub fn reserve(activations: &'a Activations, labels: &Labels, split: &GroupSplit) -> Result<(Open<'a>, Self)> {
        check_pooled(activations, labels)?;
        let labels = labels.respecting(activations.groups())?.into_owned();
        let parts = split.split(&labels)?;
        let open = Open { activations, labels: labels.clone(), rows: parts.train };
        Ok((open, HeldOut { activations, labels, rows: parts.test }))
    }

    /// Rows held out.
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// Evaluates what was chosen. The held-out part is used up by it.
    ///
    /// # Errors
    /// [`Error::UnknownAddress`](crate::Error::UnknownAddress) and [`Error::Mismatch`](crate::Error::Mismatch) for what
    /// was chosen on other activations.
    pub fn evaluate(self, selected: Selected) -> Result<Probe> {
        let states = self.activations.at(selected.address())?;
        let groups: Vec<&String> = self.rows.iter().filter_map(|&row| self.labels.groups().get(row)).collect();
        let resamples = ClusterBootstrap::new(&groups, selected.protocol.draws, selected.protocol.seed)?;
        selected.fitted.judge(states, &self.labels, &self.rows, selected.calibrated, &resamples)
    }
}

impl Open<'_> {
    /// Numbers of the open rows in the activations.
    pub fn rows(&self) -> &[usize] {
        &self.rows
    }

    pub(super) fn activations(&self) -> &Activations {
        self.activations
    }

    /// Labels of all rows.
    pub(super) fn labels(&self) -> &Labels {
        &self.labels
    }

    pub(super) fn labels_at(&self, rows: &[usize]) -> Vec<bool> {
        rows.iter().filter_map(|&row| self.labels.labels().get(row).copied()).collect()
    }

    /// Labels and groups of the open rows.
    pub(super) fn labels_of_rows(&self) -> Result<Labels> {
        let groups = self.rows.iter().filter_map(|&row| self.labels.groups().get(row).cloned()).collect();
        Labels::new(self.labels_at(&self.rows), groups)
    }
}
