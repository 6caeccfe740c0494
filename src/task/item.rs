//! What a conversation and a draw need to know of an item, whatever its benchmark.

use std::fmt::Debug;

use serde::de::DeserializeOwned;
use serde::Serialize;

use super::{AnsweredRound, Behaviour, Measurement, Outcome, RuleChoice, Said, ScoreRule};
use crate::Result;

/// One item of a benchmark. Implement it for a kind of item of your own; [`ChoiceItem`](super::ChoiceItem) and
/// [`Completion`](super::Completion) serve most.
pub trait Item: Clone + Debug {
    /// What becomes of what the model said: [`Answer`](super::Answer) to a question with options,
    /// [`Continued`](super::Continued) for a text.
    type Answer: Clone + Debug + Serialize + DeserializeOwned;

    /// Most tokens of an answer, where a run does not say: 8, as in arXiv 2407.15286 for multiple choice.
    const ANSWER_TOKENS: usize = 8;

    /// What [`Behaviour::outcome`] holds of such items, as a plan names it.
    const OUTCOME: &'static str = "behaviour";

    /// Its id, unique in its task.
    fn id(&self) -> &str;

    /// Items of one group (template, occupation, page) are resampled together.
    fn group(&self) -> &str;

    /// Its category; empty where the benchmark has none.
    fn category(&self) -> &str;

    /// What [`Task::limit`](super::Task::limit) keeps in proportion, from coarse to fine.
    fn strata(&self) -> Vec<String> {
        vec![self.category().to_owned()]
    }

    /// What is told before the question; may be empty.
    fn context(&self) -> &str;

    /// What is asked.
    fn question(&self) -> &str;

    /// How the answer is to be given: the end of a turn that asks for the answer itself.
    fn reply(&self) -> &str;

    /// The answers on offer; none where the answer is free text.
    fn options(&self) -> &[String] {
        &[]
    }

    /// Reads what the model said.
    ///
    /// # Errors
    /// For what cannot be read, such as a score rule without its scores.
    fn answer(&self, said: Said) -> Result<Self::Answer>;

    /// The text that stands for a placeholder of an instruction, such as `answer` for `{answer}`.
    fn slot(&self, _name: &str) -> Option<&str> {
        None
    }

    /// What is wrong with the item, if anything is.
    fn problem(&self) -> Option<String> {
        None
    }

    /// Names an item that came without an id after its line in the file.
    fn number(&mut self, _line: u64) {}

    /// Settles, once every round is answered, which score decides between options in all of them: `given`, or what round 0
    /// chooses. `rounds[0]` is round 0. Nothing is settled unless it is implemented.
    ///
    /// # Errors
    /// For a rule without its scores.
    fn settle(_rounds: &mut [Vec<Self::Answer>], _given: Option<ScoreRule>) -> Result<Option<RuleChoice>> {
        Ok(None)
    }

    /// What answers to items of this kind say about behaviour; each round holds one answer per item. Nothing unless it is
    /// implemented: no verdict goes beyond "insufficient evidence" without [`Behaviour::outcome`].
    ///
    /// # Errors
    /// For what cannot be measured, such as texts without a scorer.
    fn measure(_items: &[Self], _rounds: &[AnsweredRound<'_, Self::Answer>], _by: &Measurement<'_>) -> Result<Behaviour>
    where
        Self: Sized,
    {
        Ok(Behaviour::default())
    }

    /// [`Behaviour::outcome`] as it would be by another score rule, without asking the model again; `None` where answers have
    /// no such scores.
    fn outcome_by(_items: &[Self], _rounds: &[AnsweredRound<'_, Self::Answer>], _rule: ScoreRule) -> Option<Outcome> {
        None
    }
}
