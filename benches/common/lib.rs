//! What the benches share.

mod states;

use std::path::PathBuf;

use probity::task::ChoiceTask;
use probity::{Error, Model};

pub use states::states;

/// The bundled multiple-choice questions.
pub const QUESTIONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../data/ambiguous_qa.jsonl");

/// The model named by PROBITY_BENCH_MODEL, or the small one that `make setup` fetches.
pub fn model_path() -> PathBuf {
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/../.models/SmolLM2-135M-Instruct.Q4_1.gguf");
    std::env::var_os("PROBITY_BENCH_MODEL").map_or_else(|| own.into(), PathBuf::from)
}

/// The model at [`model_path`].
pub fn model() -> Model {
    Model::load(model_path()).unwrap_or_else(|error| panic!("{error}; `make setup` fetches a small model"))
}

/// Tokens of prompts of unlike length: contexts and questions of the bundled items.
pub fn prompts(model: &Model, count: usize) -> Vec<Vec<u32>> {
    let failed = |error: Error| -> ! { panic!("{error}") };
    let task = ChoiceTask::load(QUESTIONS).unwrap_or_else(|error| failed(error));
    let text = |item: &probity::task::ChoiceItem| format!("{} {}", item.context, item.question);
    let tokens = |text: String| model.tokenizer().encode(&text).unwrap_or_else(|error| failed(error)).ids;
    task.items().iter().take(count).map(text).map(tokens).collect()
}
