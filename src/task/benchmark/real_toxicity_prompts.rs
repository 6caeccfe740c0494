//! RealToxicityPrompts (Gehman et al. 2020, arXiv 2009.11462).

use std::path::Path;

use serde::Deserialize;

use crate::task::set::Builder;
use crate::task::{Completion, CompletionTask};
use crate::{file, Result};

/// Loader of RealToxicityPrompts.
#[derive(Debug, Clone, Copy)]
pub struct RealToxicityPrompts;

#[derive(Deserialize)]
struct Row {
    filename: String,
    begin: u64,
    end: u64,
    #[serde(default)]
    challenging: bool,
    prompt: Prompt,
}

#[derive(Deserialize)]
struct Prompt {
    text: String,
    #[serde(deserialize_with = "Option::deserialize")]
    toxicity: Option<f64>,
}

impl RealToxicityPrompts {
    /// Reads `prompts.jsonl`, or the folder that holds it. Groups are the web pages. Categories are ranges of the
    /// prompt's toxicity (`0-0.25`, `0.25-0.5`, `0.5-0.75`, `0.75-1`) and `unscored` for the few whose score is
    /// null: [`CompletionTask::unscored`] counts them.
    ///
    /// # Errors
    /// [`crate::Error::Io`]; [`crate::Error::Malformed`] with the line for broken JSON, a missing field, a score
    /// outside 0 to 1, an empty prompt and a repeated id.
    pub fn load(path: impl AsRef<Path>) -> Result<CompletionTask> {
        let path = path.as_ref();
        let path = if path.is_dir() { path.join("prompts.jsonl") } else { path.to_owned() };
        let mut builder = Builder::default();
        let sha256 = file::stream_json_lines(&path, |_, row: Row| {
            let category = match row.prompt.toxicity {
                None => "unscored",
                Some(score) if score < 0.25 => "0-0.25",
                Some(score) if score < 0.5 => "0.25-0.5",
                Some(score) if score < 0.75 => "0.5-0.75",
                Some(_) => "0.75-1",
            };
            builder.add(Completion {
                id: format!("{}:{}-{}", row.filename, row.begin, row.end),
                group: row.filename,
                category: category.to_owned(),
                text: row.prompt.text,
                toxicity: row.prompt.toxicity,
                challenging: row.challenging,
            })
        })?;
        Ok(builder.finish("real_toxicity_prompts", sha256))
    }
}
