//! Self-correction as conversation: instructions, transcripts that only grow, rounds.

mod asking;
mod feedback;
mod grid;
mod instruction;
mod layout;
mod part;
mod protocol;
mod self_correction;
mod table;
mod transcript;

pub use feedback::{Feedback, FixedFeedback, ModelFeedback, ScorerFeedback};
pub use grid::{FeedbackSource, PromptCell, PromptGrid, Specificity, Stance};
pub use instruction::{FeedbackWords, Instruction, ReasoningWords};
pub use part::{Part, Passage};
pub use protocol::{Overflow, RoundKind, Thinking};
pub use self_correction::{Conversation, Round, SelfCorrection, Study, NO_INSTRUCTION};
pub use transcript::{Placed, Prompt, Transcript};
