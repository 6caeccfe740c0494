//! Attention of one layer, with its sites.

use tch::Tensor;

use super::cache::KvCache;
use super::config::DecoderConfig;
use super::kernel;
use super::packing::{packed, tap, unpacked, Packing};
use super::parts::{summed, wide, Linear, NormLayer};
use super::rotary::Rotation;
use crate::hook::{Hooks, Site};
use crate::text::Mask;
use crate::Result;

/// The attention weights of a layer. The norms of queries and keys are as wide as a head, or as all heads.
#[derive(Debug)]
pub(crate) struct Attention {
    pub q: Linear,
    pub k: Linear,
    pub v: Linear,
    pub o: Linear,
    pub q_norm: Option<NormLayer>,
    pub k_norm: Option<NormLayer>,
    /// The norm of what attention adds, in families that have one.
    pub post_norm: Option<NormLayer>,
}

/// What attention needs to know of the pass.
pub(crate) struct Surroundings<'p> {
    pub config: &'p DecoderConfig,
    pub layer: usize,
    pub mask: &'p Mask,
    /// How the states of the pass lie, but for those that attention mixes and [`Site::Pattern`].
    pub packing: Option<&'p Packing>,
    pub rotation: Option<&'p Rotation>,
}

impl Surroundings<'_> {
    /// What goes on at a site of this layer.
    pub fn tap(&self, hooks: &mut Hooks<'_>, site: Site, states: Tensor) -> Result<Tensor> {
        tap(self.packing, hooks, (site, self.layer), states)
    }
}

impl Attention {
    /// `[b, t, d]` to `[b, t, d]`, or packed.
    pub fn forward(
        &self,
        at: &Surroundings<'_>,
        input: &Tensor,
        cache: Option<&mut KvCache>,
        hooks: &mut Hooks<'_>,
    ) -> Result<Tensor> {
        let (config, layer) = (at.config, at.layer);
        let (heads, kv_heads, size) = (config.heads as i64, config.kv_heads as i64, config.head_size as i64);
        // What enters a product is in the precision of its weights, all between as it is summed.
        let (precision, between) = (self.o.weight.kind(), summed(&self.o.weight));
        let [q, k, v] = Linear::together([&self.q, &self.k, &self.v], input);
        let by_heads = |mut states: Tensor, norm: Option<&NormLayer>, heads: i64| -> Result<Tensor> {
            let whole = norm.filter(|norm| norm.weight.size() == [heads * size]);
            if let Some(norm) = whole {
                states = norm.forward(&states)?;
            }
            let shape = states.size();
            let split = states.f_view([shape[0], shape[1], heads, size])?;
            norm.filter(|_| whole.is_none()).map_or(Ok(split.shallow_clone()), |norm| norm.forward(&split))
        };
        let q = at.tap(hooks, Site::Q, by_heads(q?, self.q_norm.as_ref(), heads)?)?.f_to_kind(between)?;
        let k = at.tap(hooks, Site::K, by_heads(k?, self.k_norm.as_ref(), kv_heads)?)?.f_to_kind(between)?;
        let v = at.tap(hooks, Site::V, by_heads(v?, None, kv_heads)?)?.f_to_kind(between)?;
        let turned = |states: Tensor| -> Result<Tensor> {
            let rotated = at.rotation.map_or(Ok(states.shallow_clone()), |rotation| rotation.apply(&states))?;
            Ok(unpacked(at.packing, rotated)?.f_transpose(1, 2)?)
        };
        let (q, k, v) = (turned(q)?, turned(k)?, unpacked(at.packing, v)?.f_transpose(1, 2)?);
        let (k, v) = match cache {
            Some(cache) => cache.extend(layer, &k, &v, precision)?,
            None => (k, v),
        };
        let z = if hooks.wants(Site::Pattern, layer) || config.attention_cap.is_some() {
            eager(at, &q, &k, &v, hooks)?
        } else {
            fused(at, &q, &k, &v)?
        };
        let z = z.f_to_kind(precision)?.f_transpose(1, 2)?;
        let z = at.tap(hooks, Site::Z, packed(at.packing, z)?)?.f_to_kind(precision)?;
        let shape = z.size();
        let mixed = self.o.forward(&z.f_reshape([shape[0], shape[1], heads * size])?)?;
        if hooks.wants(Site::HeadOut, layer) {
            let weight = self.o.weight.f_view([config.d_model as i64, heads, size])?.f_to_kind(between)?;
            let parts = Tensor::f_einsum("bthe,dhe->bthd", &[&z.f_to_kind(between)?, &weight], None::<i64>)?;
            let parts = self.normed_part(parts, &mixed.f_unsqueeze(2)?)?;
            let before = parts.shallow_clone();
            let parts = at.tap(hooks, Site::HeadOut, parts)?;
            if parts.data_ptr() != before.data_ptr() {
                let sum = parts.f_sum_dim_intlist(&[2i64][..], false, parts.kind())?;
                return Ok(match &self.o.bias {
                    Some(bias) => sum.f_add(&self.normed_part(bias.f_expand_as(&mixed)?, &mixed)?)?,
                    None => sum,
                });
            }
        }
        self.post_norm.as_ref().map_or(Ok(mixed.shallow_clone()), |norm| norm.forward(&mixed))
    }

    /// A part of what attention adds, as it stands after the norm of the whole.
    fn normed_part(&self, part: Tensor, whole: &Tensor) -> Result<Tensor> {
        self.post_norm.as_ref().map_or(Ok(part.shallow_clone()), |norm| norm.forward_part(&part, whole))
    }
}

/// Attention in one go. Keys and values may be narrower than queries, as a cache holds them.
fn fused(at: &Surroundings<'_>, q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor> {
    let scale = at.config.attention_scale;
    let (mask, causal) = match at.mask {
        Mask::Causal => (None, true),
        Mask::Explicit(mask) => match kernel::attend_once(q, k, v, mask, scale)? {
            Some(z) => return Ok(z),
            None => (Some(mask), false),
        },
    };
    let grouped = at.config.heads != at.config.kv_heads;
    let (k, v) = (k.f_to_kind(q.kind())?, v.f_to_kind(q.kind())?);
    Ok(Tensor::f_scaled_dot_product_attention(q, &k, &v, mask, 0.0, causal, scale, grouped)?)
}

/// Attention by plain products: the pattern can be seen and replaced, the products capped.
fn eager(at: &Surroundings<'_>, q: &Tensor, k: &Tensor, v: &Tensor, hooks: &mut Hooks<'_>) -> Result<Tensor> {
    let config = at.config;
    let groups = (config.heads / config.kv_heads) as i64;
    let k = k.f_to_kind(q.kind())?.f_repeat_interleave_self_int(groups, 1, None)?;
    let v = v.f_to_kind(q.kind())?.f_repeat_interleave_self_int(groups, 1, None)?;
    let mut products = q.f_matmul(&k.f_transpose(-2, -1)?)?.f_mul_scalar(config.attention_scale)?;
    if let Some(cap) = config.attention_cap {
        products = capped(&products, cap)?;
    }
    let hidden = at.mask.seen(q.size()[2], q.device())?.f_logical_not()?;
    let kind = wide(q.kind());
    let products = products.f_to_kind(kind)?.f_masked_fill(&hidden, f64::NEG_INFINITY)?;
    let pattern = products.f_softmax(-1, kind)?.f_to_kind(q.kind())?;
    let pattern = hooks.tap(Site::Pattern, at.layer, pattern)?;
    Ok(pattern.f_to_kind(v.kind())?.f_matmul(&v)?)
}

/// `cap tanh(x / cap)`.
pub(crate) fn capped(x: &Tensor, cap: f64) -> Result<Tensor> {
    Ok(x.f_div_scalar(cap)?.f_tanh()?.f_mul_scalar(cap)?)
}
