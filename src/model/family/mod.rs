//! Model families: each file maps one family's configuration and weight names onto the generic decoder.

mod llama;

use std::path::Path;

use serde_json::Value;

use super::weights::{Loader, WeightSource};
use super::{Decoder, DecoderConfig};
use crate::error::Place;
use crate::{Error, Result};

/// How a family's files are read.
pub(crate) struct Family {
    /// `model_type` of its Hugging Face configuration, and its GGUF architecture.
    pub name: &'static str,
    config: fn(&Settings<'_>) -> Result<DecoderConfig>,
    build: fn(&Loader<'_>, DecoderConfig, &Settings<'_>) -> Result<Decoder>,
    /// Tensors that checkpoints may hold without meaning of their own.
    derived: fn(&str) -> bool,
}

const FAMILIES: [Family; 1] = [llama::FAMILY];

/// Builds the decoder that `config` (in the terms of a Hugging Face `config.json`, read from `path`) describes.
pub(crate) fn build(loader: Loader<'_>, path: &Path, config: &Value) -> Result<Decoder> {
    let settings = Settings { path, config, source: loader.source };
    let name = settings.text("model_type")?;
    let family = FAMILIES.iter().find(|family| family.name == name).ok_or_else(|| Error::UnsupportedArchitecture {
        path: path.to_owned(),
        found: name.to_owned(),
        supported: FAMILIES.iter().map(|family| family.name.to_owned()).collect(),
    })?;
    let config = (family.config)(&settings)?;
    settings.check(&config)?;
    let decoder = (family.build)(&loader, config, &settings)?;
    loader.finish(family.derived)?;
    Ok(decoder)
}

/// A model's own configuration, read with checks.
pub(crate) struct Settings<'c> {
    path: &'c Path,
    config: &'c Value,
    /// Knows what the file calls a key.
    source: &'c dyn WeightSource,
}

impl Settings<'_> {
    fn get(&self, key: &str) -> Option<&Value> {
        self.config.get(key).filter(|value| !value.is_null())
    }

    fn wrong(&self, key: &str, problem: impl std::fmt::Display) -> Error {
        Error::malformed(self.path, Place::Entry(self.source.own_key(key)), problem)
    }

    fn text(&self, key: &str) -> Result<&str> {
        self.get(key).and_then(Value::as_str).ok_or_else(|| self.wrong(key, "is missing or is no text"))
    }

    fn size(&self, key: &str) -> Result<usize> {
        self.size_or(key, None)
    }

    fn size_or(&self, key: &str, default: Option<usize>) -> Result<usize> {
        let value = match self.get(key) {
            None => default.ok_or_else(|| self.wrong(key, "is missing"))?,
            // The bound keeps products of two sizes in range.
            Some(value) => value
                .as_u64()
                .filter(|&size| size <= u64::from(u32::MAX) / 2)
                .map(|size| size as usize)
                .ok_or_else(|| self.wrong(key, format!("{value} is no size")))?,
        };
        if value == 0 {
            return Err(self.wrong(key, "must be at least 1"));
        }
        Ok(value)
    }

    fn number_or(&self, key: &str, default: f64) -> Result<f64> {
        self.get(key).map_or(Ok(default), |value| {
            value
                .as_f64()
                .filter(|number| number.is_finite() && *number > 0.0)
                .ok_or_else(|| self.wrong(key, format!("{value} is no positive number")))
        })
    }

    fn flag_or(&self, key: &str, default: bool) -> Result<bool> {
        self.get(key).map_or(Ok(default), |value| {
            value.as_bool().ok_or_else(|| self.wrong(key, format!("{value} is neither true nor false")))
        })
    }

    /// Refuses every value of `key` but those in `supported` (and its absence).
    fn only(&self, key: &str, supported: &[Value]) -> Result<()> {
        match self.get(key) {
            Some(value) if !supported.contains(value) => Err(Error::UnsupportedSetting {
                path: self.path.to_owned(),
                key: self.source.own_key(key),
                value: value.to_string(),
                supported: supported.iter().map(Value::to_string).collect::<Vec<_>>().join(", "),
            }),
            _ => Ok(()),
        }
    }

    /// Base of the rotary frequencies; any scaling of them is refused.
    fn plain_rotary_base(&self) -> Result<f64> {
        let mut base = self.number_or("rope_theta", 10_000.0)?;
        for key in ["rope_scaling", "rope_parameters"] {
            let Some(entry) = self.get(key) else { continue };
            if !entry.is_object() {
                return Err(self.wrong(key, format!("{entry} is no object")));
            }
            let inner = Settings { config: entry, ..*self };
            base = inner.number_or("rope_theta", base)?;
            inner.only("rope_type", &["default".into()])?;
            inner.only("type", &["default".into()])?;
            inner.only("partial_rotary_factor", &[1.0.into(), 1.into()])?;
        }
        Ok(base)
    }

    /// The relations that every decoder needs.
    fn check(&self, config: &DecoderConfig) -> Result<()> {
        if !config.heads.is_multiple_of(config.kv_heads) {
            let problem = format!("{} does not divide the {} query heads", config.kv_heads, config.heads);
            return Err(self.wrong("num_key_value_heads", problem));
        }
        if !config.head_size.is_multiple_of(2) {
            return Err(self.wrong("head_dim", format!("{} is odd: no rotation in pairs", config.head_size)));
        }
        Ok(())
    }
}
