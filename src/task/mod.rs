//! Benchmarks as items with options, and what the answers say about behaviour.

mod answer;
mod behaviour;
mod choice;
mod jigsaw;

pub use answer::{Answer, OptionScore, Reading, ScoreRule};
pub use behaviour::{AnsweredRound, Behaviour, BehaviourRow, Measure};
pub use choice::{ChoiceItem, ChoiceTask, Condition, Polarity};
pub use jigsaw::{Comments, Jigsaw};
