//! Qwen2 (biases on queries, keys and values) and Qwen3 (queries and keys normed by head).

use super::settings::Settings;
use super::usual::{QkNorm, Usual, PLAIN};
use super::Family;
use crate::model::DecoderConfig;
use crate::Result;

pub(super) const QWEN2: Family = Family {
    name: "qwen2",
    config: |settings| config(settings, "qwen2"),
    build: |loader, config, settings| Usual { qkv_bias: true, ..PLAIN }.build(loader, config, settings),
};

pub(super) const QWEN3: Family = Family {
    name: "qwen3",
    config: |settings| config(settings, "qwen3"),
    build: |loader, config, settings| {
        let bias = settings.flag_or("attention_bias", false)?;
        Usual { qkv_bias: bias, o_bias: bias, qk_norm: QkNorm::Head, ..PLAIN }.build(loader, config, settings)
    },
};

fn config(settings: &Settings<'_>, family: &str) -> Result<DecoderConfig> {
    let mut config = settings.usual_whole(family)?;
    if settings.flag_or("use_sliding_window", false)? {
        let first = settings.size_or("max_window_layers", Some(config.layers))?;
        let window = settings.optional_size("sliding_window")?;
        config.windows = settings.windows(config.layers, window, |layer| layer >= first)?;
    }
    Ok(config)
}
