//! Benchmarks as items with options or texts to continue, and what the answers say about behaviour.
//!
//! An [`Item`] is what is asked, a [`Task`] a set of items. The loaders ([`Bbq`], [`Winogender`],
//! [`RealToxicityPrompts`], [`Ethics`]) read the official files; a benchmark of one's own is a file for
//! [`ChoiceTask::load`] or items for [`ChoiceTask::new`]. [`metric`] measures the answers.

mod answer;
mod behaviour;
mod benchmark;
mod choice;
mod completion;
mod item;
pub mod metric;
mod score_rule;
mod set;

pub use answer::{Answer, BareScore, Extracted, OptionScore, Said};
pub use behaviour::{
    AnswerForm, AnsweredRound, BehaviourRow, Chosen, FormFault, Measure, Measured, Measurement, Outcome,
};
pub use benchmark::{Bbq, Comments, Ethics, Jigsaw, Occupation, RealToxicityPrompts, Winogender};
pub use choice::{ChoiceItem, ChoiceTask, ContextCondition, Polarity, Rotation};
pub use completion::{Completion, CompletionTask, Continued};
pub use item::Item;
pub use metric::list::Behaviour;
pub use score_rule::{RuleAgreed, RuleChoice, RuleChosenBy, ScoreRule};
pub use set::Task;
