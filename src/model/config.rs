//! What a decoder is made of, whatever its family.

use serde::{Deserialize, Serialize};

use crate::hook::Geometry;

/// The shape and the parts of a decoder. A family's file fills it from the model's own configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DecoderConfig {
    /// Family, as the model's configuration calls it.
    pub family: String,
    /// Layers (l).
    pub layers: usize,
    /// Width of the residual stream (d).
    pub d_model: usize,
    /// Query heads (h).
    pub heads: usize,
    /// Key/value heads (k); divides the query heads.
    pub kv_heads: usize,
    /// Size of a head (e).
    pub head_size: usize,
    /// Width of the feed-forward part (f).
    pub d_feed_forward: usize,
    /// Rows of the embedding (v).
    pub vocabulary: usize,
    /// Longest text in tokens.
    pub context: usize,
    /// The norm used before attention, before the feed-forward part and at the end.
    pub norm: Norm,
    /// How positions enter.
    pub positions: Positions,
    /// The feed-forward part.
    pub feed_forward: FeedForward,
    /// Factor on the products of queries and keys, usually `1/sqrt(e)`.
    pub attention_scale: f64,
}

/// A normalisation; computed in f32 whatever the weights' precision.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Norm {
    /// `x / sqrt(mean(x^2) + epsilon) * weight` (arXiv 1910.07467, eq. 4).
    Rms {
        /// Added to the mean square.
        epsilon: f64,
    },
}

/// How token positions enter.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Positions {
    /// Rotation of queries and keys (arXiv 2104.09864), the two halves of the rotated part paired.
    Rotary {
        /// Base of the frequencies.
        base: f64,
        /// Rotated dimensions of each head, from the first on.
        dimensions: usize,
    },
}

/// The feed-forward part of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum FeedForward {
    /// `down(activation(gate(x)) * up(x))` (arXiv 2002.05202).
    Gated(Activation),
}

/// An activation function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Activation {
    /// `x * sigmoid(x)`.
    Silu,
}

impl DecoderConfig {
    /// What decides which addresses exist.
    pub fn geometry(&self) -> Geometry {
        Geometry { layers: self.layers, heads: self.heads, kv_heads: self.kv_heads }
    }
}
