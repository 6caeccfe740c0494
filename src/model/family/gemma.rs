//! Gemma 2 (soft caps, alternating windows) and the text part of Gemma 3 (queries and keys normed, rotation of
//! its own in windowed layers). Both scale embeddings, norm before and after each part, and store norm weights
//! less 1.

use super::settings::Settings;
use super::usual::{QkNorm, Usual, PLAIN};
use super::Family;
use crate::model::config::{Activation, FeedForward, Frequencies, Positions, RopeScaling};
use crate::model::DecoderConfig;
use crate::Result;

const LAYOUT: Usual = Usual {
    norms: [
        Some("input_layernorm"),
        Some("post_attention_layernorm"),
        Some("pre_feedforward_layernorm"),
        Some("post_feedforward_layernorm"),
    ],
    norm_offset: 1.0,
    tied: true,
    ..PLAIN
};

pub(super) const GEMMA2: Family = Family {
    name: "gemma2",
    config: |settings| {
        let mut config = config(settings, "gemma2")?;
        let window = Some(settings.size_or("sliding_window", Some(4096))?);
        config.windows = settings.windows(config.layers, window, |layer| layer % 2 == 0)?;
        Ok(config)
    },
    build: |loader, config, settings| {
        let bias = settings.flag_or("attention_bias", false)?;
        Usual { qkv_bias: bias, o_bias: bias, ..LAYOUT }.build(loader, config, settings)
    },
};

pub(super) const GEMMA3: Family = Family {
    name: "gemma3_text",
    config: |settings| {
        let mut config = config(settings, "gemma3_text")?;
        let period = settings.size_or("sliding_window_pattern", Some(6))?;
        let window = Some(settings.size_or("sliding_window", Some(4096))?);
        config.windows = settings.windows(config.layers, window, |layer| !(layer + 1).is_multiple_of(period))?;
        let by_type = settings.get("rope_parameters").is_some_and(|entry| entry.get("full_attention").is_some());
        let local = if by_type {
            settings.frequencies(Some("sliding_attention"), config.context)?
        } else {
            Frequencies { base: settings.number_or("rope_local_base_freq", 10_000.0)?, scaling: RopeScaling::None }
        };
        if let Positions::Rotary { frequencies, windowed, .. } = &mut config.positions {
            *frequencies = settings.frequencies(by_type.then_some("full_attention"), config.context)?;
            *windowed = Some(local);
        }
        Ok(config)
    },
    build: |loader, config, settings| {
        let bias = settings.flag_or("attention_bias", false)?;
        let layout = Usual { qkv_bias: bias, o_bias: bias, qk_norm: QkNorm::Head, ..LAYOUT };
        layout.build(loader, config, settings)
    },
};

fn config(settings: &Settings<'_>, family: &str) -> Result<DecoderConfig> {
    settings.only("use_bidirectional_attention", &[false.into()])?;
    let mut config = settings.usual_whole(family)?;
    config.feed_forward = FeedForward::Gated(settings.activation("hidden_activation", Activation::GeluTanh)?);
    config.attention_cap = settings.optional_number("attn_logit_softcapping")?;
    config.logit_cap = settings.optional_number("final_logit_softcapping")?;
    config.embedding_scale = (config.d_model as f64).sqrt();
    config.attention_scale = settings.number_or("query_pre_attn_scalar", config.head_size as f64)?.powf(-0.5);
    Ok(config)
}
