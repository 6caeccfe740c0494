//! Judges other than the model itself, whose word goes before the next review.

use std::fmt;

use super::transcript::Transcript;
use crate::generate::{Decoding, Session};
use crate::scorer::TextScorer;
use crate::text::Role;
use crate::{Error, Model, Result};

/// A source of external feedback: what it says of each answer is put before the review instruction of the next round.
///
/// Any function of the conversations is one:
///
/// ```
/// use probity::dialogue::{Feedback, Transcript};
/// let strict = |talks: &[Transcript]| Ok(talks.iter().map(|_| "A reader called this answer unfair.".to_owned()).collect());
/// assert_eq!(strict.feedback(&[Transcript::new()])?.len(), 1);
/// # Ok::<(), probity::Error>(())
/// ```
pub trait Feedback {
    /// Name and settings, for provenance.
    fn describe(&self) -> String {
        "a function".to_owned()
    }

    /// What is said of the last turn of each conversation, `[b]`; an empty text says nothing.
    ///
    /// # Errors
    /// Whatever the source cannot do.
    fn feedback(&self, talks: &[Transcript]) -> Result<Vec<String>>;
}

impl<F: Fn(&[Transcript]) -> Result<Vec<String>>> Feedback for F {
    fn feedback(&self, talks: &[Transcript]) -> Result<Vec<String>> {
        self(talks)
    }
}

/// The same words after every answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FixedFeedback(pub String);

impl Feedback for FixedFeedback {
    fn describe(&self) -> String {
        format!("fixed: {:?}", self.0)
    }

    fn feedback(&self, talks: &[Transcript]) -> Result<Vec<String>> {
        Ok(vec![self.0.clone(); talks.len()])
    }
}

/// The verdict of a text scorer on the answer.
pub struct ScorerFeedback<S> {
    scorer: S,
    threshold: f64,
    above: String,
    below: String,
}

impl<S: TextScorer> ScorerFeedback<S> {
    /// Says `above` of an answer that scores at least `threshold`, and `below` of any other; `{score}` in either is
    /// replaced by the score with two decimals.
    pub fn new(scorer: S, threshold: f64, above: impl Into<String>, below: impl Into<String>) -> Self {
        ScorerFeedback { scorer, threshold, above: above.into(), below: below.into() }
    }
}

impl<S> fmt::Debug for ScorerFeedback<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScorerFeedback").field("threshold", &self.threshold).finish_non_exhaustive()
    }
}

impl<S: TextScorer> Feedback for ScorerFeedback<S> {
    fn describe(&self) -> String {
        let (name, threshold) = (self.scorer.name(), self.threshold);
        format!("scorer {name}, from {threshold} on {:?}, else {:?}", self.above, self.below)
    }

    fn feedback(&self, talks: &[Transcript]) -> Result<Vec<String>> {
        let answers: Vec<&str> =
            talks.iter().map(|talk| talk.messages().last().map_or("", |turn| turn.content.as_str())).collect();
        let scores = self.scorer.score(&answers)?;
        if scores.len() != answers.len() {
            let what = format!("scores of {}", self.scorer.name());
            return Err(Error::row_count(what, answers.len(), scores.len()));
        }
        let say = |score: f64| if score >= self.threshold { &self.above } else { &self.below };
        Ok(scores.into_iter().map(|score| say(score).replace("{score}", &format!("{score:.2}"))).collect())
    }
}

/// What another model says when it is asked about the conversation from outside.
#[derive(Debug)]
pub struct ModelFeedback {
    model: Model,
    question: String,
    decoding: Decoding,
}

impl ModelFeedback {
    /// Shows the model the last user's turn after `Question:` and the answer after `Answer:`, then asks `question`. For a model
    /// that judges itself within the conversation, give its instruction words for that
    /// ([`Instruction::feedback`](super::Instruction::feedback)).
    pub fn new(model: Model, question: impl Into<String>, decoding: Decoding) -> Self {
        ModelFeedback { model, question: question.into(), decoding }
    }
}

impl Feedback for ModelFeedback {
    fn describe(&self) -> String {
        let name = self.model.provenance().get("model").cloned().unwrap_or_default();
        format!("model {name}, asked {:?}", self.question)
    }

    fn feedback(&self, talks: &[Transcript]) -> Result<Vec<String>> {
        let prompts = talks
            .iter()
            .map(|talk| {
                let last = |role: Role| {
                    let turn = talk.messages().iter().rev().find(|turn| turn.role == role);
                    turn.map_or("", |turn| turn.content.as_str())
                };
                let (asked, answered) = (last(Role::User), last(Role::Assistant));
                let mut asking = Transcript::new();
                asking.say(Role::User, format!("Question:\n{asked}\n\nAnswer:\n{answered}\n\n{}", self.question));
                Ok(asking.prompt(&self.model)?.ids)
            })
            .collect::<Result<Vec<_>>>()?;
        let prompts: Vec<&[u32]> = prompts.iter().map(Vec::as_slice).collect();
        let mut session = Session::new(&self.model);
        session.read(&prompts)?;
        let said = session.generate(&self.decoding)?;
        Ok(said.into_iter().map(|said| said.text.trim().to_owned()).collect())
    }
}
