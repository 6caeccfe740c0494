//! The study as one call: from a model, questions, instructions and statements to a report with a verdict.
//!
//! [`Experiment`] captures the statements as the model reads them, fits a bank of probes for each place where it will read,
//! runs the rounds, reads the answers while they are generated, scores every reading with the bank that learnt there,
//! measures behaviour, and judges. [`Findings`] holds the report and the parts that it is made of. [`Analysis`] is the last
//! step alone, for a study that was run by parts.

mod analysis;
mod call;
mod findings;

pub use analysis::Analysis;
pub use call::Experiment;
pub use findings::Findings;
