//! Llama (also SmolLM, SmolLM2, TinyLlama) and Mistral (also Zephyr), which adds a window.

use super::usual::{Usual, PLAIN};
use super::Family;

pub(super) const LLAMA: Family = Family {
    name: "llama",
    config: |settings| settings.usual_whole("llama"),
    build: |loader, config, settings| {
        let attention_bias = settings.flag_or("attention_bias", false)?;
        let mlp_bias = settings.flag_or("mlp_bias", false)?;
        Usual { qkv_bias: attention_bias, o_bias: attention_bias, mlp_bias, ..PLAIN }.build(loader, config, settings)
    },
};

pub(super) const MISTRAL: Family = Family {
    name: "mistral",
    config: |settings| {
        let mut config = settings.usual_whole("mistral")?;
        let window = settings.optional_size("sliding_window")?;
        config.windows = settings.windows(config.layers, window, |_| window.is_some())?;
        Ok(config)
    },
    build: |loader, config, settings| PLAIN.build(loader, config, settings),
};
