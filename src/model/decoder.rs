//! The forward pass, with one `tap` per site.

use tch::{Device, Kind, Tensor};

use super::cache::KvCache;
use super::config::{DecoderConfig, FeedForward, Positions};
use super::parts::{Linear, NormLayer, Rotation};
use crate::hook::{Hooks, Site};
use crate::text::{Mask, TokenBatch};
use crate::{Error, Result};

/// For which positions a pass computes next-token logits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogitsFor {
    /// None. Without a cache the pass then stops after the last layer that a hook needs.
    #[default]
    None,
    /// The last real token of each row: `[b, 1, v]`.
    Last,
    /// Every position: `[b, t, v]`.
    All,
}

/// A decoder-only transformer on libtorch, driven by a [`DecoderConfig`].
#[derive(Debug)]
pub struct Decoder {
    pub(crate) config: DecoderConfig,
    pub(crate) embedding: Tensor,
    pub(crate) layers: Vec<Layer>,
    pub(crate) final_norm: NormLayer,
    pub(crate) unembedding: Linear,
}

/// The weights of one layer.
#[derive(Debug)]
pub(crate) struct Layer {
    pub attn_norm: NormLayer,
    pub q: Linear,
    pub k: Linear,
    pub v: Linear,
    pub o: Linear,
    pub mlp_norm: NormLayer,
    pub gate: Linear,
    pub up: Linear,
    pub down: Linear,
}

/// What all layers of one pass share.
struct Pass<'p> {
    mask: &'p Mask,
    rotation: Rotation,
}

impl Decoder {
    /// Shape and parts.
    pub fn config(&self) -> &DecoderConfig {
        &self.config
    }

    /// Where the weights lie.
    pub fn device(&self) -> Device {
        self.embedding.device()
    }

    /// Runs a batch through the model.
    ///
    /// With a cache, the batch must be the one that [`KvCache::continue_with`] or [`KvCache::append`] just
    /// laid out. Hooks fire in the order of [`Site::ALL`] within a layer.
    ///
    /// # Errors
    /// [`Error::UnknownAddress`] and [`Error::HookNeverFired`] for hooks; [`Error::TextLength`] for a row
    /// longer than the context; [`Error::Mismatch`] for a token id that the embedding does not have;
    /// [`Error::Torch`].
    pub fn forward(
        &self,
        batch: &TokenBatch,
        mut cache: Option<&mut KvCache>,
        hooks: &mut Hooks<'_>,
        logits: LogitsFor,
    ) -> Result<Option<Tensor>> {
        let config = &self.config;
        hooks.begin(&config.geometry())?;
        let longest = batch.positions.f_max()?.f_int64_value(&[])? as usize + 1;
        if longest > config.context {
            let what = "the longest text of a batch".to_owned();
            return Err(Error::TextLength { what, tokens: longest, context: config.context });
        }
        // On a GPU an id outside the embedding would end the process.
        let largest = batch.ids.f_max()?.f_int64_value(&[])?;
        if largest >= config.vocabulary as i64 {
            let problem = format!("token id {largest}; the model has {} embeddings", config.vocabulary);
            return Err(Error::Mismatch { what: "a batch".into(), problem });
        }
        let Positions::Rotary { base, dimensions } = config.positions;
        let pass = Pass { mask: &batch.mask, rotation: Rotation::new(&batch.positions, base, dimensions)? };

        let embedded = Tensor::f_embedding(&self.embedding, &batch.ids, -1, false, false)?;
        let mut residual = hooks.tap(Site::Embed, 0, embedded)?;
        let needed = match (logits, &cache) {
            (LogitsFor::None, None) => hooks.last_layer(&config.geometry()).map_or(0, |last| last + 1),
            _ => config.layers,
        };
        for (index, layer) in self.layers.iter().enumerate().take(needed) {
            residual = self.layer(index, layer, residual, &pass, cache.as_deref_mut(), hooks)?;
        }
        let wants_norm = hooks.wants(Site::FinalNorm, 0);
        let wants_logits = hooks.wants(Site::Logits, 0);
        let mut result = None;
        if wants_norm || wants_logits || logits != LogitsFor::None {
            let all_logits = logits == LogitsFor::All || (logits == LogitsFor::None && wants_logits);
            if !all_logits && !wants_norm {
                residual = last_positions(&residual, batch)?;
            }
            let mut normed = hooks.tap(Site::FinalNorm, 0, self.final_norm.forward(&residual)?)?;
            if wants_logits || logits != LogitsFor::None {
                if !all_logits && wants_norm {
                    normed = last_positions(&normed, batch)?;
                }
                result = Some(hooks.tap(Site::Logits, 0, self.unembedding.forward(&normed)?)?);
            }
        }
        hooks.finish()?;
        Ok(result.filter(|_| logits != LogitsFor::None))
    }

    fn layer(
        &self,
        index: usize,
        layer: &Layer,
        residual: Tensor,
        pass: &Pass<'_>,
        cache: Option<&mut KvCache>,
        hooks: &mut Hooks<'_>,
    ) -> Result<Tensor> {
        let residual = hooks.tap(Site::ResidPre, index, residual)?;
        let normed = hooks.tap(Site::AttnNorm, index, layer.attn_norm.forward(&residual)?)?;
        let attended = self.attention(index, layer, &normed, pass, cache, hooks)?;
        let attended = hooks.tap(Site::AttnOut, index, attended)?;
        let residual = hooks.tap(Site::ResidMid, index, residual.f_add(&attended)?)?;
        let normed = hooks.tap(Site::MlpNorm, index, layer.mlp_norm.forward(&residual)?)?;
        let FeedForward::Gated(activation) = self.config.feed_forward;
        let inner = activation.forward(layer.gate.forward(&normed)?)?.f_mul_(&layer.up.forward(&normed)?)?;
        let inner = hooks.tap(Site::MlpAct, index, inner)?;
        let out = hooks.tap(Site::MlpOut, index, layer.down.forward(&inner)?)?;
        hooks.tap(Site::ResidPost, index, residual.f_add(&out)?)
    }

    fn attention(
        &self,
        index: usize,
        layer: &Layer,
        normed: &Tensor,
        pass: &Pass<'_>,
        cache: Option<&mut KvCache>,
        hooks: &mut Hooks<'_>,
    ) -> Result<Tensor> {
        let config = &self.config;
        let (heads, kv_heads, size) = (config.heads as i64, config.kv_heads as i64, config.head_size as i64);
        let split = |tensor: Tensor, heads: i64| -> Result<Tensor> {
            let shape = tensor.size();
            Ok(tensor.f_view([shape[0], shape[1], heads, size])?)
        };
        let q = hooks.tap(Site::Q, index, split(layer.q.forward(normed)?, heads)?)?;
        let k = hooks.tap(Site::K, index, split(layer.k.forward(normed)?, kv_heads)?)?;
        let v = hooks.tap(Site::V, index, split(layer.v.forward(normed)?, kv_heads)?)?;
        let q = pass.rotation.apply(&q)?.f_transpose(1, 2)?;
        let k = pass.rotation.apply(&k)?.f_transpose(1, 2)?;
        let v = v.f_transpose(1, 2)?;
        let (k, v) = match cache {
            Some(cache) => cache.store(config, index, &k, &v)?,
            None => (k, v),
        };
        let z = if hooks.wants(Site::Pattern, index) {
            self.eager_attention(index, &q, &k, &v, pass.mask, hooks)?
        } else {
            let (mask, causal) = match pass.mask {
                Mask::Causal => (None, true),
                Mask::Explicit(mask) => (Some(mask), false),
            };
            let grouped = heads != kv_heads;
            Tensor::f_scaled_dot_product_attention(&q, &k, &v, mask, 0.0, causal, config.attention_scale, grouped)?
        };
        let z = hooks.tap(Site::Z, index, z.f_transpose(1, 2)?)?;
        if hooks.wants(Site::HeadOut, index) {
            let weight = layer.o.weight.f_view([config.d_model as i64, heads, size])?;
            let parts = Tensor::f_einsum("bthe,dhe->bthd", &[&z, &weight], None::<i64>)?;
            let before = parts.shallow_clone();
            let parts = hooks.tap(Site::HeadOut, index, parts)?;
            if parts.data_ptr() != before.data_ptr() {
                let sum = parts.f_sum_dim_intlist(&[2i64][..], false, parts.kind())?;
                return Ok(match &layer.o.bias {
                    Some(bias) => sum.f_add(bias)?,
                    None => sum,
                });
            }
        }
        let shape = z.size();
        layer.o.forward(&z.f_reshape([shape[0], shape[1], heads * size])?)
    }

    /// Attention by plain products, so that the pattern can be seen and replaced.
    fn eager_attention(
        &self,
        index: usize,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        mask: &Mask,
        hooks: &mut Hooks<'_>,
    ) -> Result<Tensor> {
        let groups = (self.config.heads / self.config.kv_heads) as i64;
        let k = k.f_repeat_interleave_self_int(groups, 1, None)?;
        let v = v.f_repeat_interleave_self_int(groups, 1, None)?;
        let products = q.f_matmul(&k.f_transpose(-2, -1)?)?.f_mul_scalar(self.config.attention_scale)?;
        let hidden = match mask {
            Mask::Explicit(seen) => seen.f_logical_not()?,
            Mask::Causal => {
                let size = products.size();
                let all = Tensor::f_ones(&size[2..], (Kind::Bool, products.device()))?;
                all.f_triu(1)?
            }
        };
        let products = products.f_to_kind(Kind::Float)?.f_masked_fill(&hidden, f64::NEG_INFINITY)?;
        let pattern = products.f_softmax(-1, Kind::Float)?.f_to_kind(q.kind())?;
        let pattern = hooks.tap(Site::Pattern, index, pattern)?;
        Ok(pattern.f_matmul(&v)?)
    }
}

/// The states at each row's last real token: `[b, t, d]` to `[b, 1, d]`.
fn last_positions(states: &Tensor, batch: &TokenBatch) -> Result<Tensor> {
    let size = states.size();
    let index = batch.last()?.f_to_device(states.device())?.f_view([size[0], 1, 1])?;
    Ok(states.f_gather(1, &index.f_expand([size[0], 1, size[2]], false)?, false)?)
}
