//! Rotary positions: frequencies, and the cosines and sines of a batch.

use tch::{Kind, Tensor};

use super::config::{Frequencies, RopeScaling};
use super::kernel;
use super::packing::{self, Packing};
use super::parts::wide;
use crate::Result;

/// Cosines and sines of one batch's positions, `[b, t, 1, dimensions]` or packed, in wide precision.
pub(crate) struct Rotation {
    cos: Tensor,
    sin: Tensor,
    dimensions: i64,
}

impl Rotation {
    /// For `positions` `[b, t]`; `kind` is the model's precision. Each row is rotated as its own length asks,
    /// whatever stands beside it.
    pub fn new(positions: &Tensor, frequencies: &Frequencies, dimensions: usize, kind: Kind) -> Result<Self> {
        let (kind, device, dimensions) = (wide(kind), positions.device(), dimensions as i64);
        let exponents = Tensor::f_arange_start_step(0, dimensions, 2, (kind, device))?.f_div_scalar(dimensions)?;
        let plain = Tensor::f_full([1], frequencies.base, (kind, device))?.f_pow(&exponents)?.f_reciprocal()?;
        // [frequencies], or [b, 1, frequencies] where rows differ.
        let (scaled, factor) = match &frequencies.scaling {
            RopeScaling::None => (plain, 1.0),
            RopeScaling::Linear { factor } => (plain.f_div_scalar(*factor)?, 1.0),
            RopeScaling::Llama3 { factor, low, high, original_context } => {
                (blended(&plain, *factor, *low, *high, *original_context as f64)?, 1.0)
            }
            RopeScaling::Long { short, long, original_context, attention_factor } => {
                let divided = |by: &[f64]| -> Result<Tensor> {
                    Ok(plain.f_div(&Tensor::f_from_slice(by)?.f_to_device(device)?.f_to_kind(kind)?)?)
                };
                let is_long = positions.f_amax(&[1i64][..], true)?.f_ge(*original_context as i64)?.f_unsqueeze(-1)?;
                (divided(long)?.f_where_self(&is_long, &divided(short)?)?, *attention_factor)
            }
        };
        let angles = positions.f_to_kind(kind)?.f_unsqueeze(-1)?.f_mul(&scaled)?;
        let angles = Tensor::f_cat(&[&angles, &angles], -1)?.f_unsqueeze(2)?;
        let table = |values: Tensor| -> Result<Tensor> {
            Ok(if factor == 1.0 { values } else { values.f_mul_scalar(factor)? })
        };
        Ok(Rotation { cos: table(angles.f_cos()?)?, sin: table(angles.f_sin()?)?, dimensions })
    }

    /// This rotation for packed states.
    pub fn packed(self, packing: Option<&Packing>) -> Result<Self> {
        let Rotation { cos, sin, dimensions } = self;
        Ok(Rotation { cos: packing::packed(packing, cos)?, sin: packing::packed(packing, sin)?, dimensions })
    }

    /// Rotates the first `dimensions` of each head of `[b, t, h, e]`.
    pub fn apply(&self, heads: &Tensor) -> Result<Tensor> {
        if let Some(rotated) = kernel::rotate(heads, &self.cos, &self.sin)? {
            return Ok(rotated);
        }
        let size = heads.size().last().copied().unwrap_or(0);
        if size == self.dimensions {
            return self.rotate(heads);
        }
        let rotated = self.rotate(&heads.f_narrow(-1, 0, self.dimensions)?)?;
        let rest = heads.f_narrow(-1, self.dimensions, size - self.dimensions)?;
        Ok(Tensor::f_cat(&[rotated, rest], -1)?)
    }

    fn rotate(&self, x: &Tensor) -> Result<Tensor> {
        let half = self.dimensions / 2;
        let turned = Tensor::f_cat(&[x.f_narrow(-1, half, half)?.f_neg()?, x.f_narrow(-1, 0, half)?], -1)?;
        let kind = x.kind();
        let rotated = x.f_mul(&self.cos)?.f_add(&turned.f_mul(&self.sin)?)?;
        Ok(rotated.f_to_kind(kind)?)
    }
}

/// Llama 3's frequencies: by wavelength divided, kept, or blended between.
fn blended(plain: &Tensor, factor: f64, low: f64, high: f64, original: f64) -> Result<Tensor> {
    let wavelengths = plain.f_reciprocal()?.f_mul_scalar(2.0 * std::f64::consts::PI)?;
    let divided = plain.f_div_scalar(factor)?;
    // 1 where kept, 0 where divided.
    let kept = wavelengths.f_reciprocal()?.f_mul_scalar(original)?.f_sub_scalar(low)?.f_div_scalar(high - low)?;
    let kept = kept.f_clamp(0.0, 1.0)?;
    let blend = plain.f_mul(&kept)?.f_add(&divided.f_mul(&kept.f_neg()?.f_add_scalar(1.0)?)?)?;
    Ok(blend)
}
