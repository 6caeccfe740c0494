//! A conversation that only grows, and where its parts lie among the tokens.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::layout;
use super::part::{Part, Passage};
use crate::text::{Message, Role, Span, Text};
use crate::{Model, Result};

/// The turns of one conversation. Turns can be added, never changed or removed: what a round saw stays what
/// later rounds see.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Transcript {
    messages: Vec<Message>,
    /// The named parts of the turns, in order.
    #[serde(default)]
    passages: Vec<Passage>,
}

/// A conversation as the model reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Prompt {
    /// The conversation by the model's chat template, up to where the next answer begins.
    pub text: String,
    /// Its tokens, `[t]`.
    pub ids: Vec<u32>,
    /// Its named parts.
    pub passages: Vec<Placed>,
}

/// A named part of a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Placed {
    /// What it is.
    pub part: Part,
    /// The round in which it came up.
    pub round: usize,
    /// Its bytes in the prompt's text.
    pub span: Span,
    /// Its tokens: all that overlap these bytes.
    pub tokens: Range<usize>,
    /// Whether a token at its border also holds bytes of what stands beside it, other than spaces.
    pub shares_tokens: bool,
}

impl Transcript {
    /// A conversation without turns.
    pub fn new() -> Self {
        Transcript::default()
    }

    /// Adds a turn without named parts.
    pub fn say(&mut self, role: Role, content: impl Into<String>) -> &mut Self {
        self.messages.push(Message::new(role, content));
        self
    }

    /// Adds a turn made of parts, one after the other; text between parts has no name.
    ///
    /// ```
    /// use probity::{dialogue::{Part, Transcript}, text::Role};
    /// let mut talk = Transcript::new();
    /// let parts = [(Some(Part::Context), "Two people waited."), (None, "\n\n"), (Some(Part::Question), "Who was late?")];
    /// talk.say_parts(Role::User, 0, parts);
    /// assert_eq!(talk.messages()[0].content, "Two people waited.\n\nWho was late?");
    /// assert_eq!(talk.passages().len(), 2);
    /// ```
    pub fn say_parts<S: AsRef<str>>(
        &mut self,
        role: Role,
        round: usize,
        parts: impl IntoIterator<Item = (Option<Part>, S)>,
    ) -> &mut Self {
        let (turn, mut content) = (self.messages.len(), String::new());
        for (part, text) in parts {
            let start = content.len();
            content.push_str(text.as_ref());
            // What trimmed nothing is left of is no part.
            if let Some(part) = part.filter(|_| !text.as_ref().trim().is_empty()) {
                let span = Span { start, end: content.len() };
                self.passages.push(Passage { part, round, turn, span });
            }
        }
        self.say(role, content)
    }

    /// The turns so far.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// The named parts so far.
    pub fn passages(&self) -> &[Passage] {
        &self.passages
    }

    /// Text of a part.
    pub fn text(&self, passage: &Passage) -> &str {
        let message = self.messages.get(passage.turn);
        message.and_then(|message| message.content.get(passage.span.start..passage.span.end)).unwrap_or_default()
    }

    /// The conversation up to where the answer of `round` begins; `None` where no turn of the user is of that round.
    pub fn before_answer(&self, round: usize) -> Option<Transcript> {
        let asked = |passage: &&Passage| {
            passage.round == round && self.messages.get(passage.turn).is_some_and(|turn| turn.role == Role::User)
        };
        let last = self.passages.iter().filter(asked).map(|passage| passage.turn).max()?;
        let passages = self.passages.iter().filter(|passage| passage.turn <= last).cloned().collect();
        Some(Transcript { messages: self.messages.get(..=last)?.to_vec(), passages })
    }

    /// The conversation as the model reads it, by its own chat template, up to where its next answer begins, and
    /// where each named part lies among the tokens.
    ///
    /// # Errors
    /// [`crate::Error::NoTemplate`], [`crate::Error::Template`] (also for a template that does not show a turn as it
    /// is), [`crate::Error::Tokenizer`].
    pub fn prompt(&self, model: &Model) -> Result<Prompt> {
        self.rendered(model, true)
    }

    /// The conversation as the model reads it, with nothing after the last turn but what the template puts there.
    ///
    /// # Errors
    /// As [`Transcript::prompt`].
    pub fn closed(&self, model: &Model) -> Result<Prompt> {
        self.rendered(model, false)
    }

    /// The conversation without the two turns after its first question, an answer and what was said to it; `None`
    /// where that would leave nothing to answer.
    pub(super) fn without_oldest_answer(&self) -> Option<Transcript> {
        let first = self.messages.iter().position(|turn| turn.role == Role::Assistant)?;
        if first + 2 >= self.messages.len() {
            return None;
        }
        let mut shorter = self.clone();
        shorter.messages.drain(first..first + 2);
        shorter.passages.retain(|passage| !(first..first + 2).contains(&passage.turn));
        shorter.passages.iter_mut().filter(|passage| passage.turn > first).for_each(|passage| passage.turn -= 2);
        Some(shorter)
    }

    fn rendered(&self, model: &Model, generation_prompt: bool) -> Result<Prompt> {
        let template = model.template()?;
        let text = template.render(&self.messages, generation_prompt)?;
        let turns = layout::turns(template, &self.messages, generation_prompt, &text)?;
        let rendered = Text { rendered: true, ..Text::new("prompt", text) };
        let (encoded, text) = (model.tokenizer().encode_text(&rendered)?, rendered.text);
        let passages = self.passages.iter().filter_map(|passage| {
            let span = layout::placed(&self.messages, &turns, passage)?;
            let tokens = span.tokens(&encoded.bytes);
            let shares_tokens = encoded.bytes.get(tokens.clone()).is_some_and(|covered| {
                let outside = |range: Range<usize>| text.get(range).is_some_and(|text| !text.trim().is_empty());
                let start = covered.first().map_or(span.start, |bytes| bytes.0);
                let end = covered.last().map_or(span.end, |bytes| bytes.1);
                outside(start..span.start) || outside(span.end..end)
            });
            Some(Placed { part: passage.part, round: passage.round, span, tokens, shares_tokens })
        });
        let passages = passages.collect();
        Ok(Prompt { text, ids: encoded.ids, passages })
    }
}

impl Prompt {
    /// The parts of this kind that came up in this round.
    pub fn of(&self, part: Part, round: usize) -> impl Iterator<Item = &Placed> {
        self.passages.iter().filter(move |placed| placed.part == part && placed.round == round)
    }
}
