//! The model's own chat template, rendered as the reference renders it.

use hf_chat_template as hf;
use serde::{Deserialize, Serialize};

use crate::{file, Error, Result};

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Role {
    /// Sets the frame of the conversation.
    System,
    /// Asks.
    User,
    /// The model.
    Assistant,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Role::System => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
        }
    }
}

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: String,
}

impl Message {
    /// A turn.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Message { role, content: content.into() }
    }
}

/// A Jinja chat template, as model files carry it.
#[derive(Debug)]
pub struct ChatTemplate {
    template: hf::ChatTemplate,
    sha256: String,
}

impl ChatTemplate {
    /// Compiles a template; `special_tokens` are the variables that it may use, such as
    /// `("eos_token", "</s>")`.
    ///
    /// # Errors
    /// [`Error::Template`] if the template is no valid Jinja.
    pub fn new(source: &str, special_tokens: &[(&str, &str)]) -> Result<Self> {
        let entries = special_tokens.iter().map(|&(name, token)| (name.to_owned(), token.into())).collect();
        let config = serde_json::from_value(serde_json::Value::Object(entries)).map_err(failed)?;
        let template = hf::ChatTemplate::from_template_and_config(source, &config).map_err(failed)?;
        Ok(ChatTemplate { template, sha256: file::sha256(source) })
    }

    /// Renders a conversation; with `generation_prompt` it ends where the model's answer begins.
    ///
    /// # Errors
    /// [`Error::Template`] if the template refuses the conversation.
    pub fn render(&self, messages: &[Message], generation_prompt: bool) -> Result<String> {
        let messages: Vec<hf::Message> =
            messages.iter().map(|message| hf::Message::new(message.role.name(), message.content.clone())).collect();
        self.template.render_messages(&messages, generation_prompt).map_err(failed)
    }

    /// SHA-256 of the template's source.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::Template(error.to_string())
}
