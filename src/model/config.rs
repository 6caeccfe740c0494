//! What a decoder is made of, whatever its family: a [`DecoderConfig`] and its parts.

use serde::{Deserialize, Serialize};

use crate::hook::Geometry;

/// The shape and the parts of a decoder. A family's file fills it from the model's own configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
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
    /// The norm used throughout.
    pub norm: Norm,
    /// How positions enter.
    pub positions: Positions,
    /// The feed-forward part.
    pub feed_forward: FeedForward,
    /// Whether attention and feed-forward part read the same residual stream, the one before the layer.
    pub parallel: bool,
    /// Factor on token embeddings, usually 1.
    pub embedding_scale: f64,
    /// Factor on the products of queries and keys, usually `1/sqrt(e)`.
    pub attention_scale: f64,
    /// Soft cap on these products, `c tanh(x / c)` (arXiv 2408.00118).
    pub attention_cap: Option<f64>,
    /// Soft cap on the logits.
    pub logit_cap: Option<f64>,
    /// How many tokens back a token sees in each layer, itself included, `[l]`; `None` for all of them. Empty
    /// where no layer has a window.
    pub windows: Vec<Option<usize>>,
}

/// A normalisation; computed in f32 (f64 in an f64 model), whatever the weights' precision.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Norm {
    /// `x / sqrt(mean(x^2) + epsilon) * weight` (arXiv 1910.07467, eq. 4).
    Rms {
        /// Added to the mean square.
        epsilon: f64,
    },
    /// `(x - mean) / sqrt(variance + epsilon) * weight + bias` (arXiv 1607.06450).
    Layer {
        /// Added to the variance.
        epsilon: f64,
    },
}

/// How token positions enter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Positions {
    /// A learned vector per position is added to the token's embedding.
    Learned,
    /// Rotation of queries and keys (arXiv 2104.09864), the two halves of the rotated part paired.
    Rotary {
        /// Rotated dimensions of each head, from the first on.
        dimensions: usize,
        /// The frequencies.
        frequencies: Frequencies,
        /// The frequencies of layers with a window, where they have their own.
        windowed: Option<Frequencies>,
    },
}

/// The rotary frequencies `base^(-2i / dimensions)`, and how they are stretched.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Frequencies {
    /// Base.
    pub base: f64,
    /// Stretching to longer contexts.
    pub scaling: RopeScaling,
}

/// How rotary frequencies are stretched to contexts longer than those of the first training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum RopeScaling {
    /// Not at all.
    None,
    /// All divided by one factor (arXiv 2306.15595).
    Linear {
        /// The factor.
        factor: f64,
    },
    /// Low frequencies divided, high ones kept, those between blended (Llama 3.1, arXiv 2407.21783).
    Llama3 {
        /// Divisor of the low frequencies.
        factor: f64,
        /// Wavelengths above `original_context / low` are divided.
        low: f64,
        /// Wavelengths below `original_context / high` are kept.
        high: f64,
        /// Context of the first training.
        original_context: usize,
    },
    /// A divisor for each frequency, one set for short and one for long texts (arXiv 2402.13753).
    Long {
        /// Divisors for texts of up to `original_context` tokens.
        short: Vec<f64>,
        /// Divisors for longer texts.
        long: Vec<f64>,
        /// Context of the first training.
        original_context: usize,
        /// Factor on cosines and sines.
        attention_factor: f64,
    },
}

/// The feed-forward part of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum FeedForward {
    /// `down(activation(gate(x)) * up(x))` (arXiv 2002.05202).
    Gated(Activation),
    /// `down(activation(up(x)))`.
    Plain(Activation),
}

/// An activation function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Activation {
    /// `x * sigmoid(x)`.
    Silu,
    /// `x * Phi(x)`, with the normal distribution function (arXiv 1606.08415).
    Gelu,
    /// `x * Phi(x)` by the tanh approximation of Phi.
    GeluTanh,
    /// `max(x, 0)`.
    Relu,
}

impl DecoderConfig {
    /// What decides which addresses exist.
    pub fn geometry(&self) -> Geometry {
        Geometry { layers: self.layers, heads: self.heads, kv_heads: self.kv_heads }
    }

    /// The context of the first training, where texts longer than it are rotated otherwise than shorter ones:
    /// then a cache filled before this point does not hold for the text beyond it.
    pub fn rotation_changes_after(&self) -> Option<usize> {
        match &self.positions {
            Positions::Rotary {
                frequencies: Frequencies { scaling: RopeScaling::Long { original_context, .. }, .. },
                ..
            } => Some(*original_context),
            _ => None,
        }
    }
}
