//! The forward pass, with one `tap` per site.

use tch::{Device, Kind, Tensor};

use super::attention::{capped, Attention, Surroundings};
use super::cache::KvCache;
use super::config::{DecoderConfig, Positions};
use super::mlp::Mlp;
use super::packing::{packed, tap, unpacked, Packing};
use super::parts::{wide, Linear, NormLayer};
use super::rotary::Rotation;
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
    /// `[context, d]`, where positions are learned.
    pub(crate) position_embedding: Option<Tensor>,
    pub(crate) layers: Vec<Layer>,
    pub(crate) final_norm: NormLayer,
    pub(crate) unembedding: Linear,
}

/// The weights of one layer. A family has norms before its parts, after them, or both.
#[derive(Debug)]
pub(crate) struct Layer {
    pub attn_norm: Option<NormLayer>,
    pub attention: Attention,
    pub mlp_norm: Option<NormLayer>,
    pub mlp: Mlp,
    pub mlp_post_norm: Option<NormLayer>,
}

/// What the layers of one pass share, on one device.
struct Pass {
    device: Device,
    packing: Option<Packing>,
    mask: Mask,
    /// For each width of window that a layer has and the batch outgrows.
    windowed_masks: Vec<(usize, Mask)>,
    rotation: Option<Rotation>,
    windowed_rotation: Option<Rotation>,
}

impl Pass {
    fn new(config: &DecoderConfig, batch: &TokenBatch, kind: Kind, device: Device) -> Result<Self> {
        let batch = &batch.on(device)?;
        let packing = Packing::of(batch, device)?;
        let mut windowed_masks: Vec<(usize, Mask)> = Vec::new();
        for &window in config.windows.iter().flatten() {
            if windowed_masks.iter().all(|(known, _)| *known != window) {
                if let Some(mask) = batch.windowed_mask(window)? {
                    windowed_masks.push((window, mask));
                }
            }
        }
        let (rotation, windowed_rotation) = match &config.positions {
            Positions::Learned => (None, None),
            Positions::Rotary { dimensions, frequencies, windowed } => {
                let table = |frequencies| -> Result<Rotation> {
                    Rotation::new(&batch.positions, frequencies, *dimensions, kind)?.packed(packing.as_ref())
                };
                (Some(table(frequencies)?), windowed.as_ref().map(table).transpose()?)
            }
        };
        Ok(Pass { device, packing, mask: batch.mask.on(device)?, windowed_masks, rotation, windowed_rotation })
    }

    fn surroundings<'s>(&'s self, config: &'s DecoderConfig, layer: usize) -> Surroundings<'s> {
        let window = config.windows.get(layer).copied().flatten();
        let mask = self.windowed_masks.iter().find(|(width, _)| Some(*width) == window).map_or(&self.mask, |(_, m)| m);
        let own = window.and(self.windowed_rotation.as_ref());
        Surroundings { config, layer, mask, packing: self.packing.as_ref(), rotation: own.or(self.rotation.as_ref()) }
    }
}

impl Decoder {
    /// Shape and parts.
    pub fn config(&self) -> &DecoderConfig {
        &self.config
    }

    /// Where the embedding lies, and with one device everything.
    pub fn device(&self) -> Device {
        self.embedding.device()
    }

    /// Precision of the weights.
    pub(super) fn kind(&self) -> Kind {
        self.embedding.kind()
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
        let batch = &batch.on(self.device())?;
        hooks.begin(&config.geometry())?;
        self.check(batch)?;
        let mut pass = Pass::new(config, batch, self.kind(), self.device())?;
        let mut residual =
            tap(pass.packing.as_ref(), hooks, (Site::Embed, 0), self.embed(batch, pass.packing.as_ref())?)?;
        let needed = match (logits, &cache) {
            (LogitsFor::None, None) => hooks.last_layer(&config.geometry()).map_or(0, |last| last + 1),
            _ => config.layers,
        };
        for (index, layer) in self.layers.iter().enumerate().take(needed) {
            let device = layer.mlp.down.weight.device();
            if device != pass.device {
                pass = Pass::new(config, batch, self.kind(), device)?;
                residual = residual.f_to_device(device)?;
            }
            let at = pass.surroundings(config, index);
            residual = layer.forward(&at, residual, cache.as_deref_mut(), hooks)?;
        }
        let result = self.finish(batch, pass, residual, hooks, logits)?;
        hooks.finish()?;
        Ok(result.filter(|_| logits != LogitsFor::None))
    }

    /// From the residual stream behind the last layer to the logits, as far as they are asked for or hooked.
    fn finish(
        &self,
        batch: &TokenBatch,
        mut pass: Pass,
        mut residual: Tensor,
        hooks: &mut Hooks<'_>,
        logits: LogitsFor,
    ) -> Result<Option<Tensor>> {
        let wants_norm = hooks.wants(Site::FinalNorm, 0);
        let wants_logits = hooks.wants(Site::Logits, 0);
        if !wants_norm && !wants_logits && logits == LogitsFor::None {
            return Ok(None);
        }
        let device = self.final_norm.weight.device();
        if device != pass.device {
            pass = Pass::new(&self.config, batch, self.kind(), device)?;
            residual = residual.f_to_device(device)?;
        }
        let packing = pass.packing.as_ref();
        let last = |states: &Tensor| packing.map_or_else(|| last_positions(states, batch), |all| all.last(states));
        let all_logits = logits == LogitsFor::All || (logits == LogitsFor::None && wants_logits);
        let mut normed = if all_logits || wants_norm {
            let normed = self.final_norm.forward_as(&residual, self.kind())?;
            tap(packing, hooks, (Site::FinalNorm, 0), normed)?
        } else {
            self.final_norm.forward_as(&last(&residual)?, self.kind())?
        };
        if !wants_logits && logits == LogitsFor::None {
            return Ok(None);
        }
        normed = match (all_logits, wants_norm) {
            (true, _) => unpacked(packing, normed)?,
            (false, true) => last(&normed)?,
            (false, false) => normed,
        };
        Ok(Some(hooks.tap(Site::Logits, 0, self.unembed(&normed)?)?))
    }

    /// Refuses texts longer than the context and tokens that the embedding does not have.
    fn check(&self, batch: &TokenBatch) -> Result<()> {
        let config = &self.config;
        let longest = batch.positions.f_max()?.f_int64_value(&[])? as usize + 1;
        if longest > config.context {
            let what = "the longest text of a batch".to_owned();
            return Err(Error::text_length(what, longest, config.context));
        }
        // On a GPU an id outside the embedding would end the process.
        let largest = batch.ids.f_max()?.f_int64_value(&[])?;
        if largest >= config.vocabulary as i64 {
            let problem = format!("token id {largest}; the model has {} embeddings", config.vocabulary);
            return Err(Error::mismatch("a batch", problem));
        }
        Ok(())
    }

    /// The residual stream is f32 in a bf16 model too: what many layers add to it would else be rounded to 3 digits each time.
    fn embed(&self, batch: &TokenBatch, packing: Option<&Packing>) -> Result<Tensor> {
        let ids = packed(packing, batch.ids.shallow_clone())?;
        let embedded = Tensor::f_embedding(&self.embedding, &ids, -1, false, false)?;
        let mut embedded = embedded.f_to_kind(wide(self.kind()))?;
        if self.config.embedding_scale != 1.0 {
            embedded = embedded.f_mul_scalar(self.config.embedding_scale)?;
        }
        match &self.position_embedding {
            Some(table) => {
                let positions = packed(packing, batch.positions.shallow_clone())?;
                Ok(embedded.f_add(&Tensor::f_embedding(table, &positions, -1, false, false)?)?)
            }
            None => Ok(embedded),
        }
    }

    fn unembed(&self, normed: &Tensor) -> Result<Tensor> {
        let logits = self.unembedding.forward(normed)?;
        self.config.logit_cap.map_or(Ok(logits.shallow_clone()), |cap| capped(&logits, cap))
    }
}

impl Layer {
    fn forward(
        &self,
        at: &Surroundings<'_>,
        residual: Tensor,
        cache: Option<&mut KvCache>,
        hooks: &mut Hooks<'_>,
    ) -> Result<Tensor> {
        let precision = self.mlp.down.weight.kind();
        let before = at.tap(hooks, Site::ResidPre, residual)?;
        let input = at.tap(hooks, Site::AttnNorm, normed(&self.attn_norm, &before, precision)?)?;
        let attended = self.attention.forward(at, &input, cache, hooks)?;
        let attended = at.tap(hooks, Site::AttnOut, attended)?;
        let middle = at.tap(hooks, Site::ResidMid, before.f_add(&attended)?)?;
        let read = if at.config.parallel { &before } else { &middle };
        let input = at.tap(hooks, Site::MlpNorm, normed(&self.mlp_norm, read, precision)?)?;
        let out = self.mlp.forward(at, &input, hooks)?;
        let out = at.tap(hooks, Site::MlpOut, normed(&self.mlp_post_norm, &out, out.kind())?)?;
        at.tap(hooks, Site::ResidPost, middle.f_add(&out)?)
    }
}

fn normed(norm: &Option<NormLayer>, states: &Tensor, precision: Kind) -> Result<Tensor> {
    match norm {
        Some(norm) => norm.forward_as(states, precision),
        None => Ok(states.f_to_kind(precision)?),
    }
}

/// The states at each row's last real token: `[b, t, d]` to `[b, 1, d]`.
fn last_positions(states: &Tensor, batch: &TokenBatch) -> Result<Tensor> {
    let size = states.size();
    let index = batch.last()?.f_to_device(states.device())?.f_view([size[0], 1, 1])?;
    Ok(states.f_gather(1, &index.f_expand([size[0], 1, size[2]], false)?, false)?)
}
