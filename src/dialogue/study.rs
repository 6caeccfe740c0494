//! What a run of self-correction gives.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{ReadStates, Transcript};
use crate::capture::Activations;
use crate::task::{Answer, ChoiceItem, Item};
use crate::{file, Provenance, Result};

/// Name of the condition of round 0, in which no instruction is given.
pub const NO_INSTRUCTION: &str = "none";

/// The answers and hidden states of one instruction and round, for all items.
#[derive(Debug, Clone)]
pub struct Round<A = Answer> {
    /// Name of the instruction; [`NO_INSTRUCTION`] in round 0.
    pub instruction: String,
    /// The round.
    pub round: usize,
    /// States at the last token of the round's prompt, where the answer begins; rows are the items.
    pub activations: Activations,
    /// The answers, `[n]`.
    pub answers: Vec<A>,
}

/// One finished conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conversation {
    /// The item's id.
    pub item: String,
    /// Name of the instruction; [`NO_INSTRUCTION`] for round 0 alone.
    pub instruction: String,
    /// The turns.
    #[serde(flatten)]
    pub transcript: Transcript,
}

/// What a run of [`SelfCorrection`](super::SelfCorrection) gives.
#[derive(Debug, Clone)]
pub struct Study<I: Item = ChoiceItem> {
    /// The items, `[n]`.
    pub items: Vec<I>,
    /// Round 0, then rounds 1 to r of each instruction.
    pub rounds: Vec<Round<I::Answer>>,
    /// Every conversation, by item.
    pub conversations: Vec<Conversation>,
    /// The mean states over the answers of each round, where the run was to read them
    /// ([`SelfCorrection::read_answers`](super::SelfCorrection::read_answers)).
    pub answer_states: Vec<ReadStates>,
    /// Model, data and protocol.
    pub provenance: Provenance,
}

#[derive(Serialize)]
struct AnswerLine<'a, A> {
    instruction: &'a str,
    round: usize,
    #[serde(flatten)]
    answer: &'a A,
}

impl<I: Item> Study<I> {
    /// The round of this instruction and number, if it was run.
    pub fn round(&self, instruction: &str, round: usize) -> Option<&Round<I::Answer>> {
        self.rounds.iter().find(|entry| entry.instruction == instruction && entry.round == round)
    }

    /// Writes the conversations as JSON lines.
    ///
    /// # Errors
    /// [`crate::Error::Io`]; the file appears whole or not at all.
    pub fn write_transcripts(&self, path: impl AsRef<Path>) -> Result<()> {
        file::write_json_lines(path.as_ref(), &self.conversations)
    }

    /// Writes the answers with their scores as JSON lines, each with its instruction and round.
    ///
    /// # Errors
    /// [`crate::Error::Io`]; the file appears whole or not at all.
    pub fn write_answers(&self, path: impl AsRef<Path>) -> Result<()> {
        let lines = self.rounds.iter().flat_map(|Round { instruction, round, answers, .. }| {
            answers.iter().map(|answer| AnswerLine { instruction, round: *round, answer })
        });
        file::write_json_lines(path.as_ref(), lines)
    }
}
