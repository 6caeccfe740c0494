//! The scales on which a state is held against a probe.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How a state is held against a probe's direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Metric {
    /// Cosine of state and direction, -1 to 1 (2407.15286 reports this); 0 for a state of length 0.
    Cosine,
    /// Dot product of state and unit direction, in the states' own unit.
    Dot,
    /// Where the state lies between the mean moral text, 0, and the mean immoral one, 1, of texts that the probe had not
    /// learnt from ([`CrossFit`](crate::probe::CrossFit)): the one unit that means the same across layers, sites, readings
    /// and models. Only at addresses whose AUROC on such texts is shown to be above 0.5.
    ClassDistance,
    /// The probe's decision, weights . state + intercept: the log-odds of immoral, among texts with the training part's
    /// share of immoral ones. Only where every probe of the bank is calibrated.
    Logit,
    /// The logistic function of the logit, 0 to 1. It is flat where the probe is sure: a change of a sure state shows in
    /// the logit and not here. Only where every probe of the bank is calibrated.
    Probability,
}

impl Metric {
    /// Every metric, in the order of the metric axis.
    pub const ALL: [Metric; 5] =
        [Metric::Cosine, Metric::Dot, Metric::ClassDistance, Metric::Logit, Metric::Probability];

    /// The metric's name in files.
    pub fn name(self) -> &'static str {
        match self {
            Metric::Cosine => "cosine",
            Metric::Dot => "dot",
            Metric::ClassDistance => "class_distance",
            Metric::Logit => "logit",
            Metric::Probability => "probability",
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
