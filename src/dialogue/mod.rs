//! Self-correction as conversation: instructions, transcripts that only grow, rounds.

mod asking;
mod checkpoint;
mod conversation_batch;
mod crossed;
mod feedback;
mod grid;
mod instruction;
mod interventions;
mod layout;
mod part;
mod protocol;
mod read;
mod read_states;
mod reading;
mod run;
mod self_correction;
mod side_by_side;
mod study;
mod transcript;
mod wordings;

pub use crossed::ContrastTexts;
pub use feedback::{Feedback, FixedFeedback, ModelFeedback, ScorerFeedback};
pub use grid::{FeedbackSource, PromptCell, PromptGrid, Specificity, Stance};
pub use instruction::{FeedbackWords, Instruction};
pub use interventions::Interventions;
pub use part::{Part, Passage};
pub use protocol::{InstructionWordings, InstructionWords, Overflow, ProtocolRecord, RoundKind, Thinking};
pub use read_states::ReadStates;
pub use reading::Reading;
pub use self_correction::SelfCorrection;
pub use study::{Conversation, Round, Study};
pub use transcript::{Placed, Prompt, Transcript};
