//! Model families: each file maps one family's configuration and weight names onto the generic decoder.

mod gemma;
mod gpt2;
mod gpt_neox;
mod llama;
mod olmo2;
mod phi3;
mod qwen;
mod rope;
mod settings;
mod usual;

use std::path::Path;

use serde_json::Value;

use super::weights::Loader;
use super::{Decoder, DecoderConfig};
use crate::{Error, Result};
use settings::Settings;

/// How a family's files are read.
pub(crate) struct Family {
    /// `model_type` of its Hugging Face configuration.
    pub name: &'static str,
    config: fn(&Settings<'_>) -> Result<DecoderConfig>,
    build: fn(&Loader<'_>, DecoderConfig, &Settings<'_>) -> Result<Decoder>,
}

const FAMILIES: [Family; 10] = [
    gpt2::FAMILY,
    gpt_neox::FAMILY,
    llama::LLAMA,
    llama::MISTRAL,
    qwen::QWEN2,
    qwen::QWEN3,
    gemma::GEMMA2,
    gemma::GEMMA3,
    phi3::FAMILY,
    olmo2::FAMILY,
];

/// Builds the decoder that `config` (in the terms of a Hugging Face `config.json`, read from `path`) describes.
pub(crate) fn build(loader: Loader<'_>, path: &Path, config: &Value) -> Result<Decoder> {
    let settings = Settings { path, config, source: loader.source };
    let name = settings.text("model_type")?;
    let family = FAMILIES.iter().find(|family| family.name == name).ok_or_else(|| {
        Error::unsupported_architecture(
            path,
            name.to_owned(),
            FAMILIES.iter().map(|family| family.name.to_owned()).collect(),
        )
    })?;
    settings.only("quantization_config", &[])?;
    let config = (family.config)(&settings)?;
    settings.check(&config)?;
    let decoder = (family.build)(&loader, config, &settings)?;
    loader.finish(is_derived)?;
    Ok(decoder)
}

/// Tensors that older checkpoints hold although they follow from the configuration: rotary frequencies, causal
/// masks.
fn is_derived(name: &str) -> bool {
    [".rotary_emb.inv_freq", ".attn.bias", ".attn.masked_bias", ".attention.bias", ".attention.masked_bias"]
        .iter()
        .any(|end| name.ends_with(end))
}
