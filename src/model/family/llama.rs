//! Llama (also SmolLM, SmolLM2, TinyLlama) and Mistral (also Zephyr), which adds a window.

use super::settings::Settings;
use super::usual::{Usual, PLAIN};
use super::Family;

pub(super) const LLAMA: Family = Family {
    name: "llama",
    config: |settings| {
        whole_heads(settings)?;
        settings.usual("llama")
    },
    build: |loader, config, settings| {
        let attention_bias = settings.flag_or("attention_bias", false)?;
        let mlp_bias = settings.flag_or("mlp_bias", false)?;
        Usual { qkv_bias: attention_bias, o_bias: attention_bias, mlp_bias, ..PLAIN }.build(loader, config, settings)
    },
};

pub(super) const MISTRAL: Family = Family {
    name: "mistral",
    config: |settings| {
        whole_heads(settings)?;
        let mut config = settings.usual("mistral")?;
        config.windows = vec![settings.optional_size("sliding_window")?; config.layers];
        Ok(config)
    },
    build: |loader, config, settings| PLAIN.build(loader, config, settings),
};

/// These families rotate heads as a whole.
pub(super) fn whole_heads(settings: &Settings<'_>) -> crate::Result<()> {
    settings.only("partial_rotary_factor", &[1.0.into(), 1.into()])
}
