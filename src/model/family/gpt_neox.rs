//! GPT-NeoX (Pythia): layer norms, attention and feed-forward part side by side, part of each head rotated,
//! queries, keys and values fused head by head.

use rayon::prelude::*;
use tch::Tensor;

use super::settings::Settings;
use super::usual::unembedding;
use super::Family;
use crate::model::attention::Attention;
use crate::model::config::{Activation, FeedForward, Norm, Positions};
use crate::model::decoder::{Decoder, Layer};
use crate::model::mlp::Mlp;
use crate::model::parts::Linear;
use crate::model::weights::Loader;
use crate::model::DecoderConfig;
use crate::Result;

pub(super) const FAMILY: Family = Family { name: "gpt_neox", config, build };

fn config(settings: &Settings<'_>) -> Result<DecoderConfig> {
    let mut config = settings.usual("gpt_neox")?;
    if !config.d_model.is_multiple_of(config.heads) {
        let problem = format!("{} does not divide hidden_size, {}", config.heads, config.d_model);
        return Err(settings.wrong("num_attention_heads", problem));
    }
    config.kv_heads = config.heads;
    config.norm = Norm::Layer { epsilon: settings.number_or("layer_norm_eps", 1e-5)? };
    config.feed_forward = FeedForward::Plain(settings.activation("hidden_act", Activation::Gelu)?);
    config.parallel = settings.flag_or("use_parallel_residual", true)?;
    if let Positions::Rotary { dimensions, .. } = &mut config.positions {
        *dimensions = settings.rotated(config.head_size, 0.25)?;
    }
    Ok(config)
}

fn build(loader: &Loader<'_>, config: DecoderConfig, settings: &Settings<'_>) -> Result<Decoder> {
    let (d, f) = (config.d_model, config.d_feed_forward);
    let attention_bias = settings.flag_or("attention_bias", true)?;
    let embedding = loader.tensor("gpt_neox.embed_in.weight", &[config.vocabulary, d])?;
    let layer = |index: usize| -> Result<Layer> {
        let loader = &loader.for_layer(index, config.layers);
        let at = |part: &str| format!("gpt_neox.layers.{index}.{part}");
        let fused = loader.linear(&at("attention.query_key_value"), 3 * d, d, attention_bias)?;
        let part = |which: i64| -> Result<Linear> {
            let rows = |tensor: &Tensor| -> Result<Tensor> {
                let mut by_head = vec![config.heads as i64, 3, config.head_size as i64];
                by_head.extend(tensor.size().get(1..).unwrap_or_default());
                let mut flat = tensor.size();
                if let Some(rows) = flat.first_mut() {
                    *rows = d as i64;
                }
                Ok(tensor.f_view(by_head.as_slice())?.f_select(1, which)?.f_reshape(flat.as_slice())?)
            };
            Ok(Linear { weight: rows(&fused.weight)?, bias: fused.bias.as_ref().map(rows).transpose()? })
        };
        Ok(Layer {
            attn_norm: Some(loader.norm(&at("input_layernorm"), config.norm, d)?),
            attention: Attention {
                q: part(0)?,
                k: part(1)?,
                v: part(2)?,
                o: loader.linear(&at("attention.dense"), d, d, attention_bias)?,
                q_norm: None,
                k_norm: None,
                post_norm: None,
            },
            mlp_norm: Some(loader.norm(&at("post_attention_layernorm"), config.norm, d)?),
            mlp: Mlp {
                gate: None,
                up: loader.linear(&at("mlp.dense_h_to_4h"), f, d, true)?,
                down: loader.linear(&at("mlp.dense_4h_to_h"), d, f, true)?,
            },
            mlp_post_norm: None,
        })
    };
    let layers = (0..config.layers).into_par_iter().map(layer).collect::<Result<Vec<_>>>()?;
    let end = &loader.after_layers();
    Ok(Decoder {
        final_norm: end.norm("gpt_neox.final_layer_norm", config.norm, d)?,
        unembedding: unembedding(end, &config, settings, &embedding, "embed_out", false)?,
        embedding,
        position_embedding: None,
        layers,
        config,
    })
}
