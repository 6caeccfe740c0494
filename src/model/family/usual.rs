//! The layout that most families share: names of Hugging Face checkpoints, norms before or after the parts,
//! queries and keys normed or not, projections fused or apart.

use rayon::prelude::*;
use tch::Tensor;

use super::settings::Settings;
use crate::model::attention::Attention;
use crate::model::config::{FeedForward, Positions};
use crate::model::decoder::{Decoder, Layer};
use crate::model::mlp::Mlp;
use crate::model::parts::{Linear, NormLayer};
use crate::model::weights::Loader;
use crate::model::DecoderConfig;
use crate::Result;

/// Which norms queries and keys have.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum QkNorm {
    No,
    /// One for each head, with shared weights.
    Head,
    /// One over all heads together.
    Whole,
}

/// What tells families of this layout apart.
pub(super) struct Usual {
    pub qkv_bias: bool,
    pub o_bias: bool,
    pub mlp_bias: bool,
    pub qk_norm: QkNorm,
    /// Names of the norms before and after attention, before and after the feed-forward part.
    pub norms: [Option<&'static str>; 4],
    /// Added to the norms' weights.
    pub norm_offset: f64,
    /// Whether queries, keys and values are one tensor, and gate and up another.
    pub fused: bool,
    /// Whether embedding and unembedding are one where the configuration does not say.
    pub tied: bool,
}

/// A norm before each part, and nothing more: Llama's layout.
pub(super) const PLAIN: Usual = Usual {
    qkv_bias: false,
    o_bias: false,
    mlp_bias: false,
    qk_norm: QkNorm::No,
    norms: [Some("input_layernorm"), None, Some("post_attention_layernorm"), None],
    norm_offset: 0.0,
    fused: false,
    tied: false,
};

impl Usual {
    pub fn build(&self, loader: &Loader<'_>, config: DecoderConfig, settings: &Settings<'_>) -> Result<Decoder> {
        let d = config.d_model;
        let embedding = loader.tensor("model.embed_tokens.weight", &[config.vocabulary, d])?;
        let layer = |index| self.layer(loader, &config, index);
        let layers = (0..config.layers).into_par_iter().map(layer).collect::<Result<Vec<_>>>()?;
        let end = &loader.after_layers();
        Ok(Decoder {
            final_norm: self.norm(end, &config, "model.norm", d)?,
            unembedding: unembedding(end, &config, settings, &embedding, "lm_head", self.tied)?,
            embedding,
            position_embedding: None,
            layers,
            config,
        })
    }

    fn norm(&self, loader: &Loader<'_>, config: &DecoderConfig, prefix: &str, width: usize) -> Result<NormLayer> {
        let mut norm = loader.norm(prefix, config.norm, width)?;
        if self.norm_offset != 0.0 {
            norm.weight = norm.weight.f_add_scalar(self.norm_offset)?;
        }
        Ok(norm)
    }

    fn layer(&self, loader: &Loader<'_>, config: &DecoderConfig, index: usize) -> Result<Layer> {
        let loader = &loader.for_layer(index, config.layers);
        let (d, f, size) = (config.d_model, config.d_feed_forward, config.head_size);
        let (wide, narrow) = (config.heads * size, config.kv_heads * size);
        let at = |part: &str| format!("model.layers.{index}.{part}");
        let norm = |name: Option<&str>| name.map(|name| self.norm(loader, config, &at(name), d)).transpose();
        let [attn_norm, attn_post_norm, mlp_norm, mlp_post_norm] = self.norms;
        let [q, k, v] = if self.fused {
            let fused = loader.linear(&at("self_attn.qkv_proj"), wide + 2 * narrow, d, self.qkv_bias)?;
            split(&fused, [wide, narrow, narrow])?
        } else {
            let linear = |part: &str, output| loader.linear(&at(part), output, d, self.qkv_bias);
            [
                linear("self_attn.q_proj", wide)?,
                linear("self_attn.k_proj", narrow)?,
                linear("self_attn.v_proj", narrow)?,
            ]
        };
        let [gate, up] = if self.fused {
            split(&loader.linear(&at("mlp.gate_up_proj"), 2 * f, d, self.mlp_bias)?, [f, f])?
        } else {
            let linear = |part: &str| loader.linear(&at(part), f, d, self.mlp_bias);
            [linear("mlp.gate_proj")?, linear("mlp.up_proj")?]
        };
        let qk_norm = |part: &str, heads: usize| match self.qk_norm {
            QkNorm::No => Ok(None),
            QkNorm::Head => self.norm(loader, config, &at(part), size).map(Some),
            QkNorm::Whole => self.norm(loader, config, &at(part), heads * size).map(Some),
        };
        Ok(Layer {
            attn_norm: norm(attn_norm)?,
            attention: Attention {
                q: rotary_rows(loader, q, config, config.heads)?,
                k: rotary_rows(loader, k, config, config.kv_heads)?,
                v,
                o: loader.linear(&at("self_attn.o_proj"), d, wide, self.o_bias)?,
                q_norm: qk_norm("self_attn.q_norm", config.heads)?,
                k_norm: qk_norm("self_attn.k_norm", config.kv_heads)?,
                post_norm: norm(attn_post_norm)?,
            },
            mlp_norm: norm(mlp_norm)?,
            mlp: Mlp {
                gate: matches!(config.feed_forward, FeedForward::Gated(_)).then_some(gate),
                up,
                down: loader.linear(&at("mlp.down_proj"), d, f, self.mlp_bias)?,
            },
            mlp_post_norm: norm(mlp_post_norm)?,
        })
    }
}

/// The unembedding: a tensor of its own, or the embedding again.
pub(super) fn unembedding(
    loader: &Loader<'_>,
    config: &DecoderConfig,
    settings: &Settings<'_>,
    embedding: &Tensor,
    name: &str,
    tied: bool,
) -> Result<Linear> {
    let tied = settings.flag_or("tie_word_embeddings", tied)?;
    if tied && !loader.has(&format!("{name}.weight")) {
        return Ok(Linear { weight: loader.placed(embedding)?, bias: None });
    }
    loader.linear(name, config.vocabulary, config.d_model, false)
}

/// Parts of a fused projection, by rows; views of one tensor.
pub(super) fn split<const N: usize>(fused: &Linear, sizes: [usize; N]) -> Result<[Linear; N]> {
    let mut start = 0;
    let mut parts = Vec::with_capacity(N);
    for size in sizes {
        let rows = |tensor: &Tensor| tensor.f_narrow(0, start, size as i64);
        let bias = fused.bias.as_ref().map(rows).transpose()?;
        parts.push(Linear { weight: rows(&fused.weight)?, bias });
        start += size as i64;
    }
    let count = parts.len();
    parts.try_into().map_err(|_| crate::Error::row_count("fused parts", N, count))
}

/// Puts query or key rows into the order that pairs the two halves of a head, where the file has the order
/// that pairs neighbours.
fn rotary_rows(loader: &Loader<'_>, linear: Linear, config: &DecoderConfig, heads: usize) -> Result<Linear> {
    if !loader.source.interleaves_rotary_rows() || !matches!(config.positions, Positions::Rotary { .. }) {
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
