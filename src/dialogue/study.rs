//! What a run of self-correction gives.

use std::collections::HashMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::interventions::Interventions;
use super::protocol::ProtocolRecord;
use super::read_states::ReadStates;
use super::transcript::Transcript;
use crate::capture::Activations;
use crate::condition::{Condition, Design};
use crate::task::{Answer, AnsweredRound, ChoiceItem, Item};
use crate::{file, Provenance, Result};

/// The answers and hidden states of one condition, for all items.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Round<A = Answer> {
    /// Instruction and round.
    pub condition: Condition,
    /// States at the last token of the round's prompt, where the answer begins; rows are the items.
    pub activations: Activations,
    /// The answers, `[n]`.
    pub answers: Vec<A>,
}

impl<A> Round<A> {
    /// A round that was run elsewhere: the states at the last token of its prompts, whose rows are the items, and the
    /// answers, `[n]`.
    pub fn new(condition: Condition, activations: Activations, answers: Vec<A>) -> Self {
        Round { condition, activations, answers }
    }

    /// The answers with their condition, as metrics of behaviour take them.
    pub fn answered(&self) -> AnsweredRound<'_, A> {
        AnsweredRound { condition: &self.condition, answers: &self.answers }
    }
}

/// One finished conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Conversation {
    /// The item's id.
    pub item: String,
    /// The instruction, in the conversation's last round.
    #[serde(flatten)]
    pub condition: Condition,
    /// Name of the instruction's wording that the item was asked in, where there were several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wording: Option<String>,
    /// The turns.
    #[serde(flatten)]
    pub transcript: Transcript,
}

/// What a run of [`SelfCorrection`](super::SelfCorrection) gives.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Study<I: Item = ChoiceItem> {
    /// The items, `[n]`.
    pub items: Vec<I>,
    /// The conditions, and what each is compared with, as the protocol planned them.
    pub design: Design,
    /// Round 0, then rounds 1 to r of each instruction, in the order of the design.
    pub rounds: Vec<Round<I::Answer>>,
    /// Every conversation, by item.
    pub conversations: Vec<Conversation>,
    /// The mean states over the answers of each round, where the run was to read them
    /// ([`SelfCorrection::read_answers`](super::SelfCorrection::read_answers)).
    pub answer_states: Vec<ReadStates>,
    /// How the rounds were run.
    pub protocol: ProtocolRecord,
    /// What the rounds were run under, and with it every state that is read of them.
    pub interventions: Interventions,
    /// Model, data and protocol, with their hashes.
    pub provenance: Provenance,
}

#[derive(Serialize)]
struct AnswerLine<'a, A> {
    #[serde(flatten)]
    condition: &'a Condition,
    #[serde(skip_serializing_if = "Option::is_none")]
    wording: Option<&'a str>,
    #[serde(flatten)]
    answer: &'a A,
}

impl<I: Item> Study<I> {
    /// A study of rounds that were run elsewhere, in the order of the design, as yet without conversations, states over
    /// answers, protocol and provenance.
    pub fn new(items: Vec<I>, design: Design, rounds: Vec<Round<I::Answer>>) -> Self {
        Study {
            items,
            design,
            rounds,
            conversations: Vec::new(),
            answer_states: Vec::new(),
            protocol: ProtocolRecord::default(),
            interventions: Interventions::default(),
            provenance: Provenance::new(),
        }
    }

    /// The round of this condition, if it was run.
    pub fn round(&self, condition: &Condition) -> Option<&Round<I::Answer>> {
        self.rounds.iter().find(|round| round.condition == *condition)
    }

    /// Writes the conversations as JSON lines.
    ///
    /// # Errors
    /// [`crate::Error::Io`]; the file appears whole or not at all.
    pub fn write_transcripts(&self, path: impl AsRef<Path>) -> Result<()> {
        file::write_json_lines(path.as_ref(), &self.conversations)
    }

    /// Writes the answers with their scores as JSON lines, each with its instruction and round, and with the name of its wording
    /// where there were several.
    ///
    /// # Errors
    /// [`crate::Error::Io`]; the file appears whole or not at all.
    pub fn write_answers(&self, path: impl AsRef<Path>) -> Result<()> {
        let mut wordings: HashMap<(&str, &str), &str> = HashMap::new();
        for talk in &self.conversations {
            let wording = talk.wording.as_deref();
            wordings
                .extend(wording.map(|wording| ((talk.condition.instruction.as_str(), talk.item.as_str()), wording)));
        }
        let wording = |condition: &Condition, item: &I| {
            wordings.get(&(condition.instruction.as_str(), item.id())).copied().filter(|_| !condition.is_plain())
        };
        let lines = self.rounds.iter().flat_map(|Round { condition, answers, .. }| {
            let of_item = |(item, answer)| AnswerLine { condition, wording: wording(condition, item), answer };
            self.items.iter().zip(answers).map(of_item)
        });
        file::write_json_lines(path.as_ref(), lines)
    }
}
