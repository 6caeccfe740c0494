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
        Instruction { name: name.into(), meaning: String::new(), first, review, reasoning: None, feedback: None }
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
        tells(&self.first) || tells(&self.review)
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
