//! Self-correction as conversation: instructions, transcripts that only grow, rounds.

mod answer_states;
mod asking;
mod checkpoint;
mod feedback;
mod grid;
mod instruction;
mod layout;
mod part;
mod protocol;
mod re_elicitation;
mod read_states;
mod reading;
mod run;
mod self_correction;
mod side_by_side;
mod study;
mod table;
mod transcript;

pub use feedback::{Feedback, FixedFeedback, ModelFeedback, ScorerFeedback};
pub use grid::{FeedbackSource, PromptCell, PromptGrid, Specificity, Stance};
pub use instruction::{FeedbackWords, Instruction};
pub use part::{Part, Passage};
pub use protocol::{Overflow, RoundKind, Thinking};
pub(crate) use re_elicitation::{condition_of, re_elicited};
pub use read_states::ReadStates;
pub use reading::Reading;
pub use self_correction::SelfCorrection;
pub use study::{Conversation, Round, Study, NO_INSTRUCTION};
pub use transcript::{Placed, Prompt, Transcript};
