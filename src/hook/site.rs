//! The named kinds of place in a decoder.

use serde::{Deserialize, Serialize};

use super::{Address, Selection};
use crate::names::by_name;

/// A kind of place in a decoder where a tensor can be observed or replaced.
///
/// `attn_out` and `mlp_out` are what is *added* to the residual stream (after biases, post-norms and
/// multipliers), so in every family `resid_pre + attn_out = resid_mid` and
/// `resid_mid + mlp_out = resid_post`.
///
/// Shapes use b batch, t tokens, s keys, h heads, k key/value heads, e head size, d model, f feed-forward,
/// v vocabulary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Site {
    /// Token embeddings as they enter the first layer, `[b, t, d]`.
    Embed,
    /// Residual stream before a layer, `[b, t, d]`.
    ResidPre,
    /// Output of the norm before attention, `[b, t, d]`.
    AttnNorm,
    /// Queries before rotation, `[b, t, h, e]`.
    Q,
    /// Keys before rotation, `[b, t, k, e]`.
    K,
    /// Values, `[b, t, k, e]`.
    V,
    /// Attention probabilities, `[b, h, t, s]`. Asking for them turns fused attention off in that layer.
    Pattern,
    /// Attended values per head, before the output projection, `[b, t, h, e]`.
    Z,
    /// What each head adds to `attn_out`, without the bias, `[b, t, h, d]`; where attention's output is normed,
    /// as it stands after that norm, with the scale of the whole.
    HeadOut,
    /// What attention adds to the residual stream, `[b, t, d]`.
    AttnOut,
    /// Residual stream between attention and feed-forward, `[b, t, d]`.
    ResidMid,
    /// Output of the norm before the feed-forward part, `[b, t, d]`.
    MlpNorm,
    /// Input of the feed-forward output projection, `[b, t, f]`.
    MlpAct,
    /// What the feed-forward part adds to the residual stream, `[b, t, d]`.
    MlpOut,
    /// Residual stream after a layer, before the final norm also in the last layer, `[b, t, d]`.
    ResidPost,
    /// Output of the final norm, `[b, t, d]`.
    FinalNorm,
    /// Next-token logits, `[b, t, v]`; `[b, 1, v]` where a pass computes only the last position's.
    Logits,
}

impl Site {
    /// Every site, in the order in which a forward pass meets them.
    pub const ALL: [Site; 17] = [
        Site::Embed,
        Site::ResidPre,
        Site::AttnNorm,
        Site::Q,
        Site::K,
        Site::V,
        Site::Pattern,
        Site::Z,
        Site::HeadOut,
        Site::AttnOut,
        Site::ResidMid,
        Site::MlpNorm,
        Site::MlpAct,
        Site::MlpOut,
        Site::ResidPost,
        Site::FinalNorm,
        Site::Logits,
    ];

    /// The site's name in addresses, files and plots.
    pub fn name(self) -> &'static str {
        match self {
            Site::Embed => "embed",
            Site::ResidPre => "resid_pre",
            Site::AttnNorm => "attn_norm",
            Site::Q => "q",
            Site::K => "k",
            Site::V => "v",
            Site::Pattern => "pattern",
            Site::Z => "z",
            Site::HeadOut => "head_out",
            Site::AttnOut => "attn_out",
            Site::ResidMid => "resid_mid",
            Site::MlpNorm => "mlp_norm",
            Site::MlpAct => "mlp_act",
            Site::MlpOut => "mlp_out",
            Site::ResidPost => "resid_post",
            Site::FinalNorm => "final_norm",
            Site::Logits => "logits",
        }
    }

    /// Whether the site exists once per layer (else once per model).
    pub fn is_per_layer(self) -> bool {
        !matches!(self, Site::Embed | Site::FinalNorm | Site::Logits)
    }

    /// The dimension of the site's tensor that counts heads, if it has one.
    pub fn head_dim(self) -> Option<i64> {
        match self {
            Site::Q | Site::K | Site::V | Site::Z | Site::HeadOut => Some(2),
            Site::Pattern => Some(1),
            _ => None,
        }
    }

    /// This site in one layer, counted from 0. The sites that exist once per model are [`Address::EMBED`],
    /// [`Address::FINAL_NORM`] and [`Address::LOGITS`]: no model has them in a layer, and a pass refuses such an address.
    pub fn at(self, layer: usize) -> Address {
        Address::new(self, Some(layer), None)
    }

    /// This site in every layer of whichever model is asked.
    pub fn all_layers(self) -> Selection {
        Selection::all_layers(self)
    }

    pub(crate) fn bit(self) -> u32 {
        1 << self as u32
    }
}

by_name!(Site, "site");
