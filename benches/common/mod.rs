//! What the benches share.

use probity::Model;

/// The model named by PROBITY_BENCH_MODEL, or the small one that `make setup` fetches.
pub fn model() -> Model {
    let path = std::env::var("PROBITY_BENCH_MODEL")
        .unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/.models/SmolLM2-135M-Instruct.Q4_1.gguf").to_owned());
    Model::load(&path).unwrap_or_else(|error| panic!("{error}; `make setup` fetches a small model"))
}
