//! GPT-2: layer norms, learned positions, projections stored transposed, queries, keys and values fused.

use rayon::prelude::*;

use super::settings::Settings;
use super::usual::{split, unembedding};
use super::Family;
use crate::model::attention::Attention;
use crate::model::config::{Activation, FeedForward, Norm, Positions};
use crate::model::decoder::{Decoder, Layer};
use crate::model::mlp::Mlp;
use crate::model::parts::Linear;
use crate::model::weights::Loader;
use crate::model::DecoderConfig;
use crate::Result;

pub(super) const FAMILY: Family = Family { name: "gpt2", config, build };

fn config(settings: &Settings<'_>) -> Result<DecoderConfig> {
    settings.only("scale_attn_weights", &[true.into()])?;
    settings.only("scale_attn_by_inverse_layer_idx", &[false.into()])?;
    settings.only("add_cross_attention", &[false.into()])?;
    let (d_model, heads, layers) = (settings.size("n_embd")?, settings.size("n_head")?, settings.size("n_layer")?);
    if !d_model.is_multiple_of(heads) {
        return Err(settings.wrong("n_head", format!("{heads} does not divide n_embd, {d_model}")));
    }
    Ok(DecoderConfig {
        family: "gpt2".to_owned(),
        layers,
        d_model,
        heads,
        kv_heads: heads,
        head_size: d_model / heads,
        d_feed_forward: settings.size_or("n_inner", Some(4 * d_model))?,
        vocabulary: settings.size("vocab_size")?,
        context: settings.size_or("n_positions", Some(1024))?,
        norm: Norm::Layer { epsilon: settings.number_or("layer_norm_epsilon", 1e-5)? },
        positions: Positions::Learned,
        feed_forward: FeedForward::Plain(settings.activation("activation_function", Activation::GeluTanh)?),
        parallel: false,
        embedding_scale: 1.0,
        attention_scale: ((d_model / heads) as f64).powf(-0.5),
        attention_cap: None,
        logit_cap: None,
        windows: Vec::new(),
    })
}

fn build(loader: &Loader<'_>, config: DecoderConfig, settings: &Settings<'_>) -> Result<Decoder> {
    let (d, f) = (config.d_model, config.d_feed_forward);
    // Checkpoints of the bare model have no prefix.
    let prefix = if loader.has("transformer.wte.weight") { "transformer." } else { "" };
    let at = |name: &str| format!("{prefix}{name}");
    let embedding = loader.tensor(&at("wte.weight"), &[config.vocabulary, d])?;
    let layer = |index: usize| -> Result<Layer> {
        let loader = &loader.for_layer(index, config.layers);
        let at = |part: &str| at(&format!("h.{index}.{part}"));
        let linear = |part: &str, output: usize, input: usize| -> Result<Linear> {
            let weight = loader.tensor(&at(&format!("{part}.weight")), &[input, output])?;
            let bias = loader.tensor(&at(&format!("{part}.bias")), &[output])?;
            Ok(Linear { weight: weight.f_transpose(0, 1)?.f_contiguous()?, bias: Some(bias) })
        };
        let [q, k, v] = split(&linear("attn.c_attn", 3 * d, d)?, [d, d, d])?;
        Ok(Layer {
            attn_norm: Some(loader.norm(&at("ln_1"), config.norm, d)?),
            attention: Attention {
                q,
                k,
                v,
                o: linear("attn.c_proj", d, d)?,
                q_norm: None,
                k_norm: None,
                post_norm: None,
            },
            mlp_norm: Some(loader.norm(&at("ln_2"), config.norm, d)?),
            mlp: Mlp { gate: None, up: linear("mlp.c_fc", f, d)?, down: linear("mlp.c_proj", d, f)? },
            mlp_post_norm: None,
        })
    };
    let layers = (0..config.layers).into_par_iter().map(layer).collect::<Result<Vec<_>>>()?;
    let end = &loader.after_layers();
    Ok(Decoder {
        final_norm: end.norm(&at("ln_f"), config.norm, d)?,
        unembedding: unembedding(end, &config, settings, &embedding, "lm_head", true)?,
        embedding,
        position_embedding: Some(loader.tensor(&at("wpe.weight"), &[config.context, d])?),
        layers,
        config,
    })
}
