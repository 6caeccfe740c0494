//! The part of the rows that choosing may see, and the part that is looked at once.

use super::SelectedProbe;
use crate::capture::Activations;
use crate::probe::held_out_case::{divide, HeldOutCase};
use crate::probe::{GroupSplit, Probe, Split};
use crate::stats::pick;
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
    split: Split,
}

impl<'a> HeldOut<'a> {
    /// Divides the rows by `split`. Groups are those of the labels; where each text is a group of its own there, those
    /// of the activations, if they have any.
    ///
    /// # Errors
    /// Those of [`ProbeBank::fit`](crate::probe::ProbeBank::fit), except those of fitting.
    pub fn reserve(activations: &'a Activations, labels: &Labels, split: &GroupSplit) -> Result<(Open<'a>, Self)> {
        let (labels, split) = divide(activations, labels, split)?;
        let open = Open { activations, labels: labels.clone(), rows: split.train.clone() };
        Ok((open, HeldOut { activations, labels, split }))
    }

    /// Rows held out.
    pub fn rows(&self) -> usize {
        self.split.test.len()
    }

    /// Evaluates what was chosen. The held-out part is used up by it. The probe has no class distances: a fit without each fold
    /// would meet the texts that it was chosen on.
    ///
    /// # Errors
    /// [`Error::UnknownAddress`](crate::Error::UnknownAddress) and [`Error::Mismatch`](crate::Error::Mismatch) for what
    /// was chosen on other activations.
    pub fn evaluate(self, selected: SelectedProbe) -> Result<Probe> {
        let states = self.activations.at(selected.address())?;
        let case = HeldOutCase::of_split(self.labels, self.split, &selected.protocol)?;
        selected.fitted.judge(states, &case, selected.calibrated, None)
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
        pick(self.labels.labels(), rows)
    }

    /// Labels and groups of the open rows.
    pub(super) fn labels_of_rows(&self) -> Result<Labels> {
        Labels::new(self.labels_at(&self.rows), pick(self.labels.groups(), &self.rows))
    }
}
