//! What any network must do to be read, probed and talked to.

use std::fmt;

use tch::Tensor;

use super::{Decoder, DecoderConfig, KvCache, LogitsFor};
use crate::hook::{Geometry, Hooks};
use crate::text::TokenBatch;
use crate::Result;

/// A causal language model over libtorch. [`Decoder`] is one; implement it for an architecture of your own and
/// give it to [`Model::new`](super::Model::new): capture, probes, sessions and rounds then work on it.
///
/// `forward` calls [`Hooks::begin`] first, then [`Hooks::tap`] once at each site that it has, going on with
/// what that returns, and [`Hooks::finish`] at the end. A site that it does not have is an error for whoever
/// hooks it, never silence. `examples/own_model.rs` shows one.
pub trait Network: Send + fmt::Debug {
    /// Layers and heads: which addresses exist.
    fn geometry(&self) -> Geometry;

    /// Longest text in tokens.
    fn context(&self) -> usize;

    /// Rows of the embedding: token ids are below it.
    fn vocabulary(&self) -> usize;

    /// Runs a batch: logits `[b, 1, v]` or `[b, t, v]` as asked, `None` for [`LogitsFor::None`].
    ///
    /// # Errors
    /// Those of the hooks, and the network's own.
    fn forward(
        &self,
        batch: &TokenBatch,
        cache: Option<&mut KvCache>,
        hooks: &mut Hooks<'_>,
        logits: LogitsFor,
    ) -> Result<Option<Tensor>>;

    /// Whether `forward` uses a cache. One that does not is never given one, and always whole texts.
    fn uses_cache(&self) -> bool {
        false
    }

    /// The length in tokens after which a text's earlier states change, so that a cache filled before no longer
    /// holds.
    fn cache_holds_up_to(&self) -> Option<usize> {
        None
    }

    /// Bytes of keys and values that a cached token takes; `None` for a network that does not say.
    fn cache_bytes_per_token(&self) -> Option<usize> {
        None
    }

    /// What `part`, `[n, d]`, of the last residual stream `whole`, `[n, d]`, becomes behind the final norm, whose scale is
    /// that of `whole`: the parts of a sum add up to its norm, less the norm's bias. `None` for a network that does
    /// not say.
    ///
    /// # Errors
    /// For tensors of another width.
    fn final_norm_of_part(&self, part: &Tensor, whole: &Tensor) -> Result<Option<Tensor>> {
        let _ = (part, whole);
        Ok(None)
    }

    /// The configuration, if the network is this crate's [`Decoder`].
    fn config(&self) -> Option<&DecoderConfig> {
        None
    }
}

impl Network for Decoder {
    fn geometry(&self) -> Geometry {
        Decoder::config(self).geometry()
    }

    fn context(&self) -> usize {
        Decoder::config(self).context
    }

    fn vocabulary(&self) -> usize {
        Decoder::config(self).vocabulary
    }

    fn forward(
        &self,
        batch: &TokenBatch,
        cache: Option<&mut KvCache>,
        hooks: &mut Hooks<'_>,
        logits: LogitsFor,
    ) -> Result<Option<Tensor>> {
        Decoder::forward(self, batch, cache, hooks, logits)
    }

    fn uses_cache(&self) -> bool {
        true
    }

    fn cache_holds_up_to(&self) -> Option<usize> {
        Decoder::config(self).rotation_changes_after()
    }

    fn cache_bytes_per_token(&self) -> Option<usize> {
        let config = Decoder::config(self);
        let numbers = 2 * config.layers * config.kv_heads * config.head_size;
        Some(numbers * self.kind().elt_size_in_bytes())
    }

    fn final_norm_of_part(&self, part: &Tensor, whole: &Tensor) -> Result<Option<Tensor>> {
        self.final_norm.forward_part(part, whole).map(Some)
    }

    fn config(&self) -> Option<&DecoderConfig> {
        Some(Decoder::config(self))
    }
}
