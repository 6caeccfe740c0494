//! The model's own chat template, rendered as the reference renders it.

mod bounds;
mod date;
mod engine;

use minijinja::Environment;
use serde::{Deserialize, Serialize};
use serde_json::{json, Map, Value};

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
    /// What a tool gave back.
    Tool,
}

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: String,
    /// Calls of tools by the model, in the form that its template reads (commonly
    /// `{"type": "function", "function": {"name", "arguments"}}`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<Value>,
}

impl Message {
    /// A turn.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Message { role, content: content.into(), tool_calls: Vec::new() }
    }

    /// With calls of tools; none by default.
    pub fn with_tool_calls(mut self, calls: Vec<Value>) -> Self {
        self.tool_calls = calls;
        self
    }
}

/// A Jinja chat template, as model files carry it.
///
/// A template is a program from a downloaded file, so it runs within bounds: 4 million instructions, 256 MiB of text
/// made, lists 64 deep, 10 seconds. It reads no files and no other templates.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    special_tokens: Map<String, Value>,
    tools: Option<Vec<Value>>,
    sha256: String,
}

impl ChatTemplate {
    /// Compiles a template; `special_tokens` are the variables that it may use, such as
    /// `("eos_token", "</s>")`.
    ///
    /// # Errors
    /// [`Error::Template`] if the template is no valid Jinja, or longer than 256 KiB.
    pub fn new(source: &str, special_tokens: &[(&str, &str)]) -> Result<Self> {
        let special_tokens = special_tokens.iter().map(|&(name, token)| (name.to_owned(), token.into())).collect();
        let environment = engine::compile(source).map_err(failed)?;
        Ok(ChatTemplate { environment, special_tokens, tools: None, sha256: file::sha256(source) })
    }

    /// With tools for the template to list, each a JSON schema of a function as in transformers'
    /// `apply_chat_template(tools=...)`; none by default.
    pub fn with_tools(mut self, tools: Vec<Value>) -> Self {
        self.tools = Some(tools);
        self
    }

    /// Renders a conversation; with `generation_prompt` it ends where the model's answer begins.
    ///
    /// # Errors
    /// [`Error::Template`] if the template refuses the conversation, fails, or goes beyond its bounds.
    pub fn render(&self, messages: &[Message], generation_prompt: bool) -> Result<String> {
        let mut context = self.special_tokens.clone();
        context.insert("messages".to_owned(), json!(messages));
        context.insert("tools".to_owned(), json!(self.tools));
        context.insert("documents".to_owned(), Value::Null);
        context.insert("add_generation_prompt".to_owned(), json!(generation_prompt));
        engine::render(&self.environment, context).map_err(failed)
    }

    /// SHA-256 of the template's source.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }
}

fn failed(error: minijinja::Error) -> Error {
    Error::template(error.to_string())
}
