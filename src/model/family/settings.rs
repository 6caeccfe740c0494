//! A model's own configuration, read with checks.

use std::path::Path;

use serde_json::Value;

use crate::error::Place;
use crate::model::config::{Activation, FeedForward, Norm, Positions, RopeScaling};
use crate::model::weights::WeightSource;
use crate::model::DecoderConfig;
use crate::{Error, Result};

/// A configuration in the terms of a Hugging Face `config.json`.
pub(crate) struct Settings<'c> {
    pub path: &'c Path,
    pub config: &'c Value,
    /// Knows what the file calls a key.
    pub source: &'c dyn WeightSource,
}

impl Settings<'_> {
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.config.get(key).filter(|value| !value.is_null())
    }

    pub fn wrong(&self, key: &str, problem: impl std::fmt::Display) -> Error {
        Error::malformed(self.path, Place::Entry(self.source.own_key(key)), problem)
    }

    pub fn text(&self, key: &str) -> Result<&str> {
        self.get(key).and_then(Value::as_str).ok_or_else(|| self.wrong(key, "is missing or is no text"))
    }

    pub fn size(&self, key: &str) -> Result<usize> {
        self.size_or(key, None)
    }

    pub fn size_or(&self, key: &str, default: Option<usize>) -> Result<usize> {
        self.optional_size(key)?.or(default).ok_or_else(|| self.wrong(key, "is missing"))
    }

    pub fn optional_size(&self, key: &str) -> Result<Option<usize>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        // The bound keeps products of two sizes in range.
        match value.as_u64() {
            Some(0) => Err(self.wrong(key, "must be at least 1")),
            Some(size) if size <= u64::from(u32::MAX) / 2 => Ok(Some(size as usize)),
            _ => Err(self.wrong(key, format!("{value} is no size"))),
        }
    }

    pub fn number_or(&self, key: &str, default: f64) -> Result<f64> {
        Ok(self.optional_number(key)?.unwrap_or(default))
    }

    pub fn number(&self, key: &str) -> Result<f64> {
        self.optional_number(key)?.ok_or_else(|| self.wrong(key, "is missing"))
    }

    pub fn optional_number(&self, key: &str) -> Result<Option<f64>> {
        let positive = |value: &Value| value.as_f64().filter(|number| number.is_finite() && *number > 0.0);
        self.get(key)
            .map(|value| positive(value).ok_or_else(|| self.wrong(key, format!("{value} is no positive number"))))
            .transpose()
    }

    pub fn flag_or(&self, key: &str, default: bool) -> Result<bool> {
        self.get(key).map_or(Ok(default), |value| {
            value.as_bool().ok_or_else(|| self.wrong(key, format!("{value} is neither true nor false")))
        })
    }

    /// Refuses every value of `key` but those in `supported` (and its absence).
    pub fn only(&self, key: &str, supported: &[Value]) -> Result<()> {
        match self.get(key) {
            Some(value) if !supported.contains(value) => {
                Err(self.unsupported(key, value, supported.iter().map(Value::to_string).collect::<Vec<_>>().join(", ")))
            }
            _ => Ok(()),
        }
    }

    pub fn unsupported(&self, key: &str, value: impl std::fmt::Display, supported: impl Into<String>) -> Error {
        Error::unsupported_setting(self.path, self.source.own_key(key), value.to_string(), supported.into())
    }

    /// The activation function under `key`.
    pub fn activation(&self, key: &str, default: Activation) -> Result<Activation> {
        match self.get(key).map(|value| (value, value.as_str())) {
            None => Ok(default),
            Some((_, Some("silu" | "swish"))) => Ok(Activation::Silu),
            Some((_, Some("gelu"))) => Ok(Activation::Gelu),
            Some((_, Some("gelu_new" | "gelu_pytorch_tanh"))) => Ok(Activation::GeluTanh),
            Some((_, Some("relu"))) => Ok(Activation::Relu),
            Some((value, _)) => Err(self.unsupported(key, value, "silu, gelu, gelu_new, gelu_pytorch_tanh, relu")),
        }
    }

    /// The window of each layer, `[l]`: `window` where `layer_types` says so, or by `default` without the key.
    pub fn windows(
        &self,
        layers: usize,
        window: Option<usize>,
        default: impl Fn(usize) -> bool,
    ) -> Result<Vec<Option<usize>>> {
        let key = "layer_types";
        // A list as long as a damaged file's count of layers must not be made.
        if layers > 100_000 {
            return Err(self.wrong("num_hidden_layers", format!("{layers} is no number of layers")));
        }
        let slides: Vec<bool> = match self.get(key) {
            None => (0..layers).map(default).collect(),
            Some(value) => value
                .as_array()
                .filter(|types| types.len() == layers)
                .ok_or_else(|| self.wrong(key, format!("must be a list of {layers} names")))?
                .iter()
                .map(|kind| match kind.as_str() {
                    Some("full_attention") => Ok(false),
                    Some("sliding_attention") => Ok(true),
                    _ => Err(self.unsupported(key, kind, "full_attention, sliding_attention")),
                })
                .collect::<Result<_>>()?,
        };
        if window.is_none() && slides.contains(&true) {
            return Err(self.wrong("sliding_window", "is missing, but layers have a window"));
        }
        Ok(slides.into_iter().map(|slides| window.filter(|_| slides)).collect())
    }

    /// What most families share: RMS norms, rotary positions over whole heads, a gated feed-forward part.
    pub fn usual(&self, family: &str) -> Result<DecoderConfig> {
        let d_model = self.size("hidden_size")?;
        let heads = self.size("num_attention_heads")?;
        let head_size = self.size_or("head_dim", Some(d_model / heads))?;
        if head_size == 0 {
            return Err(self.wrong("head_dim", format!("{heads} heads do not fit a width of {d_model}")));
        }
        let layers = self.size("num_hidden_layers")?;
        let context = self.size_or("max_position_embeddings", Some(2048))?;
        Ok(DecoderConfig {
            family: family.to_owned(),
            layers,
            d_model,
            heads,
            kv_heads: self.size_or("num_key_value_heads", Some(heads))?,
            head_size,
            d_feed_forward: self.size("intermediate_size")?,
            vocabulary: self.size("vocab_size")?,
            context,
            norm: Norm::Rms { epsilon: self.number_or("rms_norm_eps", 1e-6)? },
            positions: Positions::Rotary {
                dimensions: self.rotated(head_size, 1.0)?,
                frequencies: self.frequencies(None, context)?,
                windowed: None,
            },
            feed_forward: FeedForward::Gated(self.activation("hidden_act", Activation::Silu)?),
            parallel: false,
            embedding_scale: 1.0,
            attention_scale: (head_size as f64).powf(-0.5),
            attention_cap: None,
            logit_cap: None,
            windows: Vec::new(),
        })
    }

    /// [`Settings::usual`] for families that rotate heads as a whole.
    pub fn usual_whole(&self, family: &str) -> Result<DecoderConfig> {
        let config = self.usual(family)?;
        self.only("rotary_dim", &[config.head_size.into()])?;
        match config.positions {
            Positions::Rotary { dimensions, .. } if dimensions != config.head_size => {
                let share = dimensions as f64 / config.head_size as f64;
                Err(self.unsupported("partial_rotary_factor", share, "1 in this family"))
            }
            _ => Ok(config),
        }
    }

    /// The relations that every decoder needs.
    pub fn check(&self, config: &DecoderConfig) -> Result<()> {
        if !config.heads.is_multiple_of(config.kv_heads) {
            let problem = format!("{} does not divide the {} query heads", config.kv_heads, config.heads);
            return Err(self.wrong("num_key_value_heads", problem));
        }
        if let Positions::Rotary { dimensions, frequencies, .. } = &config.positions {
            let dimensions = *dimensions;
            if let RopeScaling::Long { short, long, .. } = &frequencies.scaling {
                if let Some(list) = [short, long].into_iter().find(|list| list.len() != dimensions / 2) {
                    let problem = format!("{} factors for {} frequencies", list.len(), dimensions / 2);
                    return Err(self.wrong("rope_parameters", problem));
                }
            }
            if !dimensions.is_multiple_of(2) || dimensions == 0 || dimensions > config.head_size {
                let problem = format!("{dimensions} of {} dimensions cannot be rotated in pairs", config.head_size);
                return Err(self.wrong("head_dim", problem));
            }
        }
        Ok(())
    }
}
