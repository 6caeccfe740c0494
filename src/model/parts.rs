//! The parts of a layer with their weights: linear maps, norms, rotation.

use tch::{Kind, Tensor};

use super::config::{Activation, Norm};
use crate::Result;

/// `x W^T + b` with W `[out, in]`.
#[derive(Debug)]
pub(crate) struct Linear {
    pub weight: Tensor,
    pub bias: Option<Tensor>,
}

impl Linear {
    pub fn forward(&self, input: &Tensor) -> Result<Tensor> {
        Ok(input.f_linear(&self.weight, self.bias.as_ref())?)
    }
}

/// A norm with its weight `[d]`.
#[derive(Debug)]
pub(crate) struct NormLayer {
    pub kind: Norm,
    pub weight: Tensor,
}

impl NormLayer {
    pub fn forward(&self, input: &Tensor) -> Result<Tensor> {
        match self.kind {
            Norm::Rms { epsilon } => {
                let x = input.f_to_kind(Kind::Float)?;
                let mean_square = x.f_square()?.f_mean_dim(&[-1i64][..], true, Kind::Float)?;
                let normed = x.f_mul(&mean_square.f_add_scalar(epsilon)?.f_rsqrt()?)?;
                Ok(normed.f_to_kind(input.kind())?.f_mul(&self.weight)?)
            }
        }
    }
}

impl Activation {
    /// Applies the function; `input` may be overwritten.
    pub(crate) fn forward(self, mut input: Tensor) -> Result<Tensor> {
        match self {
            Activation::Silu => Ok(input.f_silu_()?),
        }
    }
}

/// Cosines and sines of one batch's positions, `[b, t, 1, dimensions]`, f32.
pub(crate) struct Rotation {
    cos: Tensor,
    sin: Tensor,
    dimensions: i64,
}

impl Rotation {
    pub fn new(positions: &Tensor, base: f64, dimensions: usize) -> Result<Self> {
        let device = positions.device();
        let dimensions = dimensions as i64;
        let exponents =
            Tensor::f_arange_start_step(0, dimensions, 2, (Kind::Float, device))?.f_div_scalar(dimensions)?;
        let frequencies = Tensor::f_full([1], base, (Kind::Float, device))?.f_pow(&exponents)?.f_reciprocal()?;
        let angles = positions.f_to_kind(Kind::Float)?.f_unsqueeze(-1)?.f_mul(&frequencies)?;
        let angles = Tensor::f_cat(&[&angles, &angles], -1)?.f_unsqueeze(2)?;
        Ok(Rotation { cos: angles.f_cos()?, sin: angles.f_sin()?, dimensions })
    }

    /// Rotates the first `dimensions` of each head of `[b, t, h, e]`.
    pub fn apply(&self, heads: &Tensor) -> Result<Tensor> {
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
