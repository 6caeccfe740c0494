//! Llama (also SmolLM, SmolLM2, TinyLlama): RMS norm, rotary positions, grouped queries, gated SiLU.

use rayon::prelude::*;
use tch::Tensor;

use super::{Family, Settings};
use crate::model::config::{Activation, FeedForward, Norm, Positions};
use crate::model::decoder::{Decoder, Layer};
use crate::model::parts::Linear;
use crate::model::weights::Loader;
use crate::model::DecoderConfig;
use crate::Result;

pub(super) const FAMILY: Family = Family {
    name: "llama",
    config,
    build,
    // Older checkpoints store the rotary frequencies, which follow from the configuration.
    derived: |name| name.ends_with(".rotary_emb.inv_freq"),
};

fn config(settings: &Settings<'_>) -> Result<DecoderConfig> {
    settings.only("hidden_act", &["silu".into()])?;
    settings.only("quantization_config", &[])?;
    settings.only("partial_rotary_factor", &[1.0.into(), 1.into()])?;
    let d_model = settings.size("hidden_size")?;
    let heads = settings.size("num_attention_heads")?;
    let head_size = settings.size_or("head_dim", Some(d_model / heads))?;
    settings.only("rotary_dim", &[head_size.into()])?;
    Ok(DecoderConfig {
        family: FAMILY.name.to_owned(),
        layers: settings.size("num_hidden_layers")?,
        d_model,
        heads,
        kv_heads: settings.size_or("num_key_value_heads", Some(heads))?,
        head_size,
        d_feed_forward: settings.size("intermediate_size")?,
        vocabulary: settings.size("vocab_size")?,
        context: settings.size_or("max_position_embeddings", Some(2048))?,
        norm: Norm::Rms { epsilon: settings.number_or("rms_norm_eps", 1e-6)? },
        positions: Positions::Rotary { base: settings.plain_rotary_base()?, dimensions: head_size },
        feed_forward: FeedForward::Gated(Activation::Silu),
        attention_scale: (head_size as f64).powf(-0.5),
    })
}

fn build(loader: &Loader<'_>, config: DecoderConfig, settings: &Settings<'_>) -> Result<Decoder> {
    let (d, f) = (config.d_model, config.d_feed_forward);
    let (q, kv) = (config.heads * config.head_size, config.kv_heads * config.head_size);
    let attention_bias = settings.flag_or("attention_bias", false)?;
    let mlp_bias = settings.flag_or("mlp_bias", false)?;
    let embedding = loader.tensor("model.embed_tokens.weight", &[config.vocabulary, d])?;
    let layer = |index: usize| -> Result<Layer> {
        let at = |part: &str| format!("model.layers.{index}.{part}");
        let attention = |part: &str, output, input| loader.linear(&at(part), output, input, attention_bias);
        let mlp = |part: &str, output, input| loader.linear(&at(part), output, input, mlp_bias);
        Ok(Layer {
            attn_norm: loader.norm(&at("input_layernorm"), config.norm, d)?,
            q: rotary_rows(loader, attention("self_attn.q_proj", q, d)?, config.heads)?,
            k: rotary_rows(loader, attention("self_attn.k_proj", kv, d)?, config.kv_heads)?,
            v: attention("self_attn.v_proj", kv, d)?,
            o: attention("self_attn.o_proj", d, q)?,
            mlp_norm: loader.norm(&at("post_attention_layernorm"), config.norm, d)?,
            gate: mlp("mlp.gate_proj", f, d)?,
            up: mlp("mlp.up_proj", f, d)?,
            down: mlp("mlp.down_proj", d, f)?,
        })
    };
    let layers = (0..config.layers).into_par_iter().map(layer).collect::<Result<Vec<_>>>()?;
    let tied = settings.flag_or("tie_word_embeddings", false)?;
    let unembedding = match tied && !loader.has("lm_head.weight") {
        true => embedding.shallow_clone(),
        false => loader.tensor("lm_head.weight", &[config.vocabulary, d])?,
    };
    Ok(Decoder {
        final_norm: loader.norm("model.norm", config.norm, d)?,
        unembedding: Linear { weight: unembedding, bias: None },
        embedding,
        layers,
        config,
    })
}

/// Puts query or key rows into the order that pairs the two halves of a head, where the file has the order
/// that pairs neighbours.
fn rotary_rows(loader: &Loader<'_>, linear: Linear, heads: usize) -> Result<Linear> {
    if !loader.source.interleaves_rotary_rows() {
        return Ok(linear);
    }
    let reorder = |tensor: &Tensor| -> Result<Tensor> {
        let size = tensor.size();
        let rows = size.first().copied().unwrap_or(0);
        let mut split = vec![heads as i64, rows / heads as i64 / 2, 2];
        split.extend(&size[1..]);
        Ok(tensor.f_view(split.as_slice())?.f_transpose(1, 2)?.f_reshape(size.as_slice())?)
    };
    Ok(Linear { weight: reorder(&linear.weight)?, bias: linear.bias.as_ref().map(reorder).transpose()? })
}
