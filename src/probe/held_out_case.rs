//! Which rows are held out, and their resamples: made once for everything that is measured on them.

use super::{FitProtocol, GroupSplit, Split};
use crate::capture::Activations;
use crate::error::check_rows;
use crate::stats::{pick, ClusterBootstrap};
use crate::text::Labels;
use crate::{Error, Result};

/// Labels of all rows, the held-out rows among them, and resamples of the held-out groups.
#[derive(Debug)]
pub(super) struct HeldOutCase {
    /// Labels whose groups tear no group of the activations apart.
    pub labels: Labels,
    pub split: Split,
    /// Resamples of the groups of `split.test`.
    pub resamples: ClusterBootstrap,
}

impl HeldOutCase {
    /// Divides pooled activations by the protocol. Groups are those of the labels; where each text is a group of its own
    /// there, those of the activations, if they have any.
    pub fn new(protocol: &FitProtocol, activations: &Activations, labels: &Labels) -> Result<Self> {
        let (labels, split) = divide(activations, labels, &protocol.split)?;
        HeldOutCase::of_split(labels, split, protocol)
    }

    /// All rows held out, for rules that were not fitted on any.
    pub fn whole(protocol: &FitProtocol, activations: &Activations, labels: &Labels) -> Result<Self> {
        let labels = labels.respecting(activations.groups())?.into_owned();
        let split = Split { train: Vec::new(), test: (0..labels.len()).collect() };
        HeldOutCase::of_split(labels, split, protocol)
    }

    pub fn of_split(labels: Labels, split: Split, protocol: &FitProtocol) -> Result<Self> {
        let groups = pick(labels.groups(), &split.test);
        let resamples = ClusterBootstrap::new(&groups, protocol.draws, protocol.seed)?;
        Ok(HeldOutCase { labels, split, resamples })
    }

    /// Labels of the held-out rows.
    pub fn held_out_labels(&self) -> Vec<bool> {
        pick(self.labels.labels(), &self.split.test)
    }
}

/// Labels with groups that tear no group of the activations apart, and their split.
pub(super) fn divide(activations: &Activations, labels: &Labels, split: &GroupSplit) -> Result<(Labels, Split)> {
    check_pooled(activations, labels)?;
    let labels = labels.respecting(activations.groups())?.into_owned();
    let split = split.split(&labels)?;
    Ok((labels, split))
}

/// Refuses activations that no probe can be fitted on with these labels.
fn check_pooled(activations: &Activations, labels: &Labels) -> Result<()> {
    if activations.token_rows().is_some() {
        let problem = "they have one row per token, a probe needs one per text: capture with a pool".to_owned();
        return Err(Error::mismatch("activations", problem));
    }
    check_rows("labels", labels.len(), activations.rows())?;
    if activations.addresses().next().is_none() {
        return Err(Error::setting("activations", "empty", "capture at least one address"));
    }
    activations.check_finite()
}
