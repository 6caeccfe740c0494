//! Rotary positions as configurations say them: in `rope_parameters`, or in the older `rope_theta` and
//! `rope_scaling`.

use serde_json::Value;

use super::settings::Settings;
use crate::model::config::{Frequencies, RopeScaling};
use crate::Result;

impl Settings<'_> {
    /// The object that holds the rotary settings, for layers of one type where it tells types apart.
    fn rope(&self, layer_type: Option<&str>) -> Result<Option<Settings<'_>>> {
        // The older key wins, as in the reference.
        for key in ["rope_scaling", "rope_parameters"] {
            let Some(entry) = self.get(key) else { continue };
            let entry = layer_type.and_then(|name| entry.get(name)).unwrap_or(entry);
            if !entry.is_object() {
                return Err(self.wrong(key, format!("{entry} is no object")));
            }
            return Ok(Some(Settings { config: entry, ..*self }));
        }
        Ok(None)
    }

    /// How many dimensions of a head are rotated; `default` is their share where the configuration says none.
    pub fn rotated(&self, head_size: usize, default: f64) -> Result<usize> {
        let mut share = self.number_or("rotary_pct", default)?;
        share = self.number_or("partial_rotary_factor", share)?;
        if let Some(inner) = self.rope(None)? {
            share = inner.number_or("partial_rotary_factor", share)?;
        }
        let dimensions = (head_size as f64 * share) as usize;
        self.size_or("rotary_dim", Some(dimensions.max(1)))
    }

    /// The frequencies, for layers of one type where the configuration tells types apart. `context` is the
    /// longest text.
    pub fn frequencies(&self, layer_type: Option<&str>, context: usize) -> Result<Frequencies> {
        let base = self.number_or("rotary_emb_base", 10_000.0)?;
        let base = self.number_or("rope_theta", base)?;
        let newer =
            self.get("rope_parameters").and_then(|entry| layer_type.map_or(Some(entry), |name| entry.get(name)));
        let base = match newer {
            Some(entry) if entry.is_object() => Settings { config: entry, ..*self }.number_or("rope_theta", base)?,
            _ => base,
        };
        let Some(inner) = self.rope(layer_type)? else { return Ok(Frequencies { base, scaling: RopeScaling::None }) };
        let base = inner.number_or("rope_theta", base)?;
        let key = if inner.get("rope_type").is_some() { "rope_type" } else { "type" };
        let scaling = match inner.get(key).map_or(Some("default"), Value::as_str) {
            Some("default") => RopeScaling::None,
            Some("linear") => RopeScaling::Linear { factor: inner.number("factor")? },
            Some("llama3") => RopeScaling::Llama3 {
                factor: inner.number("factor")?,
                low: inner.number("low_freq_factor")?,
                high: inner.number("high_freq_factor")?,
                original_context: inner.size("original_max_position_embeddings")?,
            },
            Some("longrope" | "su") => self.long(&inner, context)?,
            _ => {
                let value = inner.get(key).unwrap_or(&Value::Null);
                return Err(inner.unsupported(key, value, "default, linear, llama3, longrope"));
            }
        };
        if let RopeScaling::Llama3 { low, high, .. } = scaling {
            if low >= high {
                return Err(inner.wrong("high_freq_factor", format!("{high} must be above low_freq_factor, {low}")));
            }
        }
        Ok(Frequencies { base, scaling })
    }

    fn long(&self, inner: &Settings<'_>, context: usize) -> Result<RopeScaling> {
        let key = "original_max_position_embeddings";
        let original_context = match self.optional_size(key)? {
            Some(size) => size,
            None => inner.size(key)?,
        };
        let list = |key: &str| -> Result<Vec<f64>> {
            let numbers = inner.get(key).and_then(Value::as_array).map(|list| list.iter().map(Value::as_f64).collect());
            let positive = |list: &Vec<f64>| list.iter().all(|number| number.is_finite() && *number > 0.0);
            numbers.flatten().filter(positive).ok_or_else(|| inner.wrong(key, "must be a list of positive numbers"))
        };
        let factor = inner.number_or("factor", context as f64 / original_context as f64)?;
        // arXiv 2402.13753; 1 where the context was not stretched.
        let by_length = if factor <= 1.0 { 1.0 } else { (1.0 + factor.ln() / (original_context as f64).ln()).sqrt() };
        let attention_factor = inner.number_or("attention_factor", by_length)?;
        Ok(RopeScaling::Long {
            short: list("short_factor")?,
            long: list("long_factor")?,
            original_context,
            attention_factor,
        })
    }
}
