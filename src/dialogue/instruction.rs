//! What the model is told in order to correct itself.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::protocol::Thinking;
use crate::task::Item;
use crate::{file, Error, Result};

/// An instruction in its two wordings, with what goes with it.
///
/// A wording may hold places for texts of the item ([`Item::slot`]): `{answer}`, `{biased}`, `{unknown}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instruction {
    /// Its name: a cell of the grid ([`super::PromptCell`]) such as `L1` or `neutral`, or one of the user's own.
    pub name: String,
    /// What it stands for.
    pub meaning: String,
    /// Appended to the question of a fresh conversation (round 1).
    pub first: String,
    /// A turn of its own after an answer (rounds 2 and later).
    pub review: String,
    /// How the model is asked to reason before it answers, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<Thinking>,
    /// How feedback between two answers is asked for and given, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feedback: Option<FeedbackWords>,
    /// The same instruction in other wordings, by their own names, besides this one: each item is asked in one of all
    /// ([`Instruction::or_worded`]).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub wordings: Vec<Instruction>,
}

/// Feedback on an answer, before it is reviewed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeedbackWords {
    /// The turn that asks the model to judge its own answer; `None` where another gives the feedback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// Begins the review turn; external feedback stands at its place `{feedback}`.
    pub give: String,
}

#[derive(Deserialize)]
struct File {
    instructions: Vec<Instruction>,
}

impl Instruction {
    /// An instruction in one's own words: appended to the question in round 1, a turn of their own in later rounds.
    ///
    /// ```
    /// use probity::dialogue::Instruction;
    /// let own = Instruction::new("fair", "Please make sure that your answer is fair to everyone.");
    /// assert_eq!((own.name.as_str(), &own.first), ("fair", &own.review));
    /// ```
    pub fn new(name: impl Into<String>, words: impl Into<String>) -> Self {
        let words = words.into();
        let (first, review) = (words.clone(), words);
        let (meaning, wordings) = (String::new(), Vec::new());
        Instruction { name: name.into(), meaning, first, review, reasoning: None, feedback: None, wordings }
    }

    /// This instruction in these wordings too. Together they are one condition, of this one's name: every item is asked in one
    /// of them, and what is concluded is about the instruction whichever way it is put
    /// ([`SelfCorrection::wordings_seed`](super::SelfCorrection::wordings_seed)).
    ///
    /// ```
    /// use probity::dialogue::Instruction;
    /// let fair = Instruction::new("fair", "Please be fair to everyone.")
    ///     .or_worded([Instruction::new("fair 2", "Treat all people alike."), Instruction::new("fair 3", "Judge without prejudice.")]);
    /// assert_eq!(fair.worded(1).name, "fair 2");
    /// ```
    pub fn or_worded(mut self, others: impl IntoIterator<Item = Instruction>) -> Self {
        self.wordings.extend(others);
        self
    }

    /// The instruction in its wording of this number: 0 is this one's own. From the start again past the last.
    pub fn worded(&self, number: usize) -> &Instruction {
        match number % (1 + self.wordings.len()) {
            0 => self,
            other => self.wordings.get(other - 1).unwrap_or(self),
        }
    }

    /// This wording and the others.
    pub(super) fn all_wordings(&self) -> impl Iterator<Item = &Instruction> {
        std::iter::once(self).chain(&self.wordings)
    }

    /// What is wrong with the wordings, if anything is: they must ask for the same.
    pub(super) fn wordings_problem(&self) -> Option<String> {
        let shape = |one: &Instruction| {
            let feedback = one.feedback.as_ref().map(|words| words.request.is_some());
            (one.reasoning.is_some(), feedback)
        };
        let mut names: Vec<&str> = self.all_wordings().map(|one| one.name.as_str()).collect();
        names.sort_unstable();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Some(format!("two wordings are named {:?}; name each once", pair[0]));
        }
        let other = self.wordings.iter().find(|one| shape(one) != shape(self) || !one.wordings.is_empty())?;
        Some(format!(
            "the wording {:?} asks for thoughts or feedback otherwise, or has wordings of its own; give each wording alike",
            other.name
        ))
    }

    /// Reads instructions outside the grid from JSON, `{"instructions": [{"name", "meaning", "first", "review"}]}`.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Malformed`].
    pub fn load(path: impl AsRef<Path>) -> Result<Vec<Instruction>> {
        let path = path.as_ref();
        serde_json::from_str::<File>(&file::read_text(path)?)
            .map(|file| file.instructions)
            .map_err(|error| Error::json(path, error))
    }

    /// Whether its words state the right answer, by a place for it or for "unknown".
    pub(super) fn tells_answer(&self) -> bool {
        let tells = |text: &str| ["{answer}", "{unknown}"].iter().any(|place| text.contains(place));
        self.all_wordings().any(|one| tells(&one.first) || tells(&one.review))
    }

    /// Whether its words hold a place for what another judge says.
    pub(super) fn wants_judge(&self) -> bool {
        self.feedback.as_ref().is_some_and(|words| words.request.is_none())
    }

    /// How the model is asked to judge its own answer, if it is, and the words that refer to that.
    pub(super) fn asks_itself(&self) -> Option<(&str, &str)> {
        self.feedback.as_ref().and_then(|words| Some((words.request.as_deref()?, words.give.as_str())))
    }

    /// The instruction with the item's texts in their places.
    ///
    /// # Errors
    /// [`Error::Setting`] where the item has no such text, such as a biased option.
    pub fn for_item(&self, item: &impl Item) -> Result<Instruction> {
        let fill = |text: &str| {
            let mut text = text.to_owned();
            for name in ["answer", "biased", "unknown"] {
                let place = format!("{{{name}}}");
                if text.contains(&place) {
                    let slot = item.slot(name).ok_or_else(|| {
                        Error::setting(
                            "instruction",
                            &self.name,
                            format!("item {:?} has no text for {place}", item.id()),
                        )
                    })?;
                    text = text.replace(&place, slot);
                }
            }
            Ok::<_, Error>(text)
        };
        Ok(Instruction { first: fill(&self.first)?, review: fill(&self.review)?, ..self.clone() })
    }
}
