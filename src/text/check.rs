//! What the `tokenizers` library takes for granted in a tokeniser file and would panic on.

use std::collections::HashMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use crate::error::Place;
use crate::{Error, Result};

/// The parts of a `tokenizer.json` that are looked at.
#[derive(Deserialize)]
struct Parts {
    #[serde(default)]
    model: Option<Model>,
    #[serde(default)]
    post_processor: Value,
}

#[derive(Deserialize)]
struct Model {
    #[serde(default)]
    vocab: Value,
    #[serde(default)]
    merges: Vec<Merge>,
    #[serde(default)]
    continuing_subword_prefix: Option<String>,
}

/// A merge in the new form or in the old one.
#[derive(Deserialize)]
#[serde(untagged)]
enum Merge {
    Pair(String, String),
    Line(String),
}

/// Refuses a `tokenizer.json` whose merges or templates name tokens that it does not define.
pub(super) fn tokenizer_json(path: &Path, text: &str) -> Result<()> {
    let bad = |key: &str, problem: String| Error::malformed(path, Place::Entry(key.to_owned()), problem);
    let parts: Parts = serde_json::from_str(text)
        .map_err(|error| Error::unparsed(path, Place::Line(error.line() as u64), "no tokeniser", error))?;
    if let Some(Model { vocab: Value::Object(vocab), merges, continuing_subword_prefix: prefix }) = parts.model {
        let pairs: Vec<(String, String)> = merges
            .into_iter()
            .filter_map(|merge| match merge {
                Merge::Pair(left, right) => Some((left, right)),
                Merge::Line(line) if line.starts_with("#version") => None,
                // What is no pair, the library refuses.
                Merge::Line(line) => line.split_once(' ').map(|(left, right)| (left.to_owned(), right.to_owned())),
            })
            .collect();
        let known = |token: &str| vocab.contains_key(token);
        merges_in(&pairs, prefix.as_deref().unwrap_or_default(), known).map_err(|problem| bad("merges", problem))?;
    }
    processor(&parts.post_processor, 8).map_err(|problem| bad("post_processor", problem))
}

/// Whether both parts of each merge and what they make are tokens; the right part begins with `prefix`, which
/// the merged token loses.
pub(super) fn merges_in(
    merges: &[(String, String)],
    prefix: &str,
    known: impl Fn(&str) -> bool,
) -> std::result::Result<(), String> {
    for (number, (left, right)) in merges.iter().enumerate() {
        let rest = right.strip_prefix(prefix).ok_or_else(|| format!("merge {number}: {right:?} lacks {prefix:?}"))?;
        let merged = format!("{left}{rest}");
        for token in [left, right, &merged] {
            if !known(token) {
                return Err(format!("merge {number} ({left:?}, {right:?}): {token:?} is no token"));
            }
        }
    }
    Ok(())
}

/// Whether a post-processor's templates name only special tokens that it defines, and one text only.
fn processor(value: &Value, depth: usize) -> std::result::Result<(), String> {
    #[derive(Deserialize)]
    struct Special {
        ids: Vec<u32>,
        tokens: Vec<String>,
    }
    let inner = value["processors"].as_array().map(Vec::as_slice).unwrap_or_default();
    if depth == 0 && !inner.is_empty() {
        return Err("is nested too deeply".to_owned());
    }
    inner.iter().try_for_each(|inner| processor(inner, depth - 1))?;
    if value["type"] != "TemplateProcessing" {
        return Ok(());
    }
    let special: HashMap<String, Special> =
        serde_json::from_value(value["special_tokens"].clone()).map_err(|error| format!("special_tokens: {error}"))?;
    if let Some((name, _)) = special.iter().find(|(_, special)| special.ids.len() != special.tokens.len()) {
        return Err(format!("special token {name:?} has not as many ids as tokens"));
    }
    for piece in value["single"].as_array().into_iter().flatten() {
        let token = piece["SpecialToken"]["id"].as_str();
        if let Some(token) = token.filter(|token| !special.contains_key(*token)) {
            return Err(format!("the template names {token:?}, which special_tokens does not define"));
        }
        if piece["Sequence"]["id"] == "B" {
            return Err("the template of a single text names a second one".to_owned());
        }
    }
    Ok(())
}
