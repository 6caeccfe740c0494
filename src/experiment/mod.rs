//! The study as one call: from a model, questions, instructions and statements to a report with a verdict.
//!
//! [`Experiment`] captures the statements as the model reads them, fits a bank of probes for each place where it will read,
//! runs the rounds, reads the answers while they are generated, scores every reading with the bank that learnt there,
//! measures behaviour, and judges. [`Findings`] holds the report and the parts that it is made of. [`Analysis`] is the last
//! step alone, for a study that was run by parts. A [`Plan`] says before a run what it will test,
//! [`Sensitivity`] after it what the verdict owes to the choices that were made.

mod analysis;
mod call;
mod findings;
mod levels;
mod plan;
mod sensitivity;

pub use analysis::Analysis;
pub use call::Experiment;
pub use findings::Findings;
pub use plan::{Plan, PlannedProbe, PlannedTask};
pub use sensitivity::{LayerChoice, ProbeChoice, Sensitivity};
