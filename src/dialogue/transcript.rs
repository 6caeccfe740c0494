//! A conversation that only grows.

use serde::{Deserialize, Serialize};

use crate::text::{Message, Role};
use crate::{Model, Result};

/// The turns of one conversation. Turns can be added, never changed or removed: what a round saw stays what
/// later rounds see.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Transcript {
    messages: Vec<Message>,
}

impl Transcript {
    /// A conversation without turns.
    pub fn new() -> Self {
        Transcript::default()
    }

    /// Adds a turn.
    pub fn say(&mut self, role: Role, content: impl Into<String>) -> &mut Self {
        self.messages.push(Message::new(role, content));
        self
    }

    /// The turns so far.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// Token ids up to where the model's next answer begins, by the model's own chat template.
    ///
    /// # Errors
    /// [`crate::Error::NoTemplate`], [`crate::Error::Template`], [`crate::Error::Tokenizer`].
    pub fn prompt(&self, model: &Model) -> Result<Vec<u32>> {
        let text = model.template()?.render(&self.messages, true)?;
        model.tokenizer().encode_rendered(&text)
    }
}
