//! What a report says of the plan that it was made by.

use serde::{Deserialize, Serialize};

/// The plan of a run ([`experiment::Plan`](crate::experiment::Plan)): what was to be tested, written down before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct PlanRecord {
    /// SHA-256 of the plan's file.
    pub sha256: String,
    /// When the plan says that it was made, UTC. The library cannot prove it.
    pub made: String,
    /// What was known when the plan was made or the run analysed, so that it is exploratory in spite of its plan.
    pub exploratory: Option<String>,
}

impl PlanRecord {
    pub(crate) fn new(sha256: String, made: String, exploratory: Option<String>) -> Self {
        PlanRecord { sha256, made, exploratory }
    }
}
