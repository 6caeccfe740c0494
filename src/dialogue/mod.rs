//! Self-correction as conversation: instructions, transcripts that only grow, rounds.

mod instruction;
mod self_correction;
mod table;
mod transcript;

pub use instruction::Instruction;
pub use self_correction::{Conversation, Round, SelfCorrection, Study, NO_INSTRUCTION};
pub use transcript::Transcript;
