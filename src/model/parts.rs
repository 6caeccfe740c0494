//! What the parts of a layer are made of: linear maps, norms, activations.

use tch::{Device, Kind, Tensor};

use super::config::{Activation, Norm};
use super::kernel;
use crate::Result;

/// The precision of norms, softmax and rotary tables in a model of this precision.
pub(crate) fn wide(kind: Kind) -> Kind {
    match kind {
        Kind::Double => Kind::Double,
        _ => Kind::Float,
    }
}

/// The precision in which products with these weights leave their sums. On a CPU those of bf16 are summed in f32: rounded
/// anew at every step between two products, states would lose more than bf16 weights cost them.
pub(crate) fn summed(weight: &Tensor) -> Kind {
    match (weight.kind(), weight.device()) {
        (Kind::BFloat16, Device::Cpu) => Kind::Float,
        (kind, _) => kind,
    }
}

/// `x W^T + b` with W `[out, in]`; x is taken in the precision of W, the result is as it is [`summed`].
#[derive(Debug)]
pub(crate) struct Linear {
    pub weight: Tensor,
    pub bias: Option<Tensor>,
}

impl Linear {
    pub fn forward(&self, input: &Tensor) -> Result<Tensor> {
        let [made] = Linear::together([self], input);
        made
    }

    /// Several maps of the same input.
    pub fn together<const M: usize>(maps: [&Linear; M], input: &Tensor) -> [Result<Tensor>; M] {
        match kernel::linear(input, maps.map(Linear::parts)) {
            Ok(Some(made)) => made.map(Ok),
            Ok(None) | Err(_) => maps.map(|map| map.by_libtorch(input)),
        }
    }

    /// Weights and bias.
    pub fn parts(&self) -> (&Tensor, Option<&Tensor>) {
        (&self.weight, self.bias.as_ref())
    }

    fn by_libtorch(&self, input: &Tensor) -> Result<Tensor> {
        let made = input.f_to_kind(self.weight.kind())?.f_linear(&self.weight, self.bias.as_ref())?;
        Ok(made.f_to_kind(summed(&self.weight))?)
    }
}

/// A norm with its weight and bias, `[d]`, in wide precision.
#[derive(Debug)]
pub(crate) struct NormLayer {
    pub kind: Norm,
    pub weight: Tensor,
    pub bias: Option<Tensor>,
}

impl NormLayer {
    /// The norm in the precision of the input.
    pub fn forward(&self, input: &Tensor) -> Result<Tensor> {
        self.forward_as(input, input.kind())
    }

    /// The norm in this precision.
    pub fn forward_as(&self, input: &Tensor, precision: Kind) -> Result<Tensor> {
        if let Norm::Rms { epsilon } = self.kind {
            if let Some(normed) = kernel::rms_norm(input, &self.weight, epsilon, precision)? {
                return Ok(normed);
            }
        }
        let kind = wide(input.kind());
        let x = input.f_to_kind(kind)?;
        let normed = match self.kind {
            Norm::Rms { epsilon } => {
                let mean_square = x.f_square()?.f_mean_dim(&[-1i64][..], true, kind)?;
                x.f_mul(&mean_square.f_add_scalar(epsilon)?.f_rsqrt()?)?.f_mul_(&self.weight)?
            }
            Norm::Layer { epsilon } => {
                x.f_layer_norm(self.weight.size(), Some(&self.weight), self.bias.as_ref(), epsilon, false)?
            }
        };
        Ok(normed.f_to_kind(precision)?)
    }

    /// What `part` of `whole` becomes when the norm's scale is that of `whole`: the norm of a sum is the sum of
    /// its parts so normed, but for the norm's bias.
    pub fn forward_part(&self, part: &Tensor, whole: &Tensor) -> Result<Tensor> {
        let kind = wide(part.kind());
        let (part_wide, whole) = (part.f_to_kind(kind)?, whole.f_to_kind(kind)?);
        let mean = |x: &Tensor| x.f_mean_dim(&[-1i64][..], true, kind);
        let (centred, spread, epsilon) = match self.kind {
            Norm::Rms { epsilon } => (part_wide.shallow_clone(), mean(&whole.f_square()?)?, epsilon),
            Norm::Layer { epsilon } => {
                let spread = mean(&whole.f_sub(&mean(&whole)?)?.f_square()?)?;
                (part_wide.f_sub(&mean(&part_wide)?)?, spread, epsilon)
            }
        };
        let scaled = centred.f_mul(&spread.f_add_scalar(epsilon)?.f_rsqrt()?)?.f_mul_(&self.weight)?;
        Ok(scaled.f_to_kind(part.kind())?)
    }
}

impl Activation {
    /// Applies the function; `input` may be overwritten.
    pub(crate) fn forward(self, mut input: Tensor) -> Result<Tensor> {
        match self {
            Activation::Silu => Ok(input.f_silu_()?),
            Activation::Gelu => Ok(input.f_gelu_("none")?),
            Activation::GeluTanh => Ok(input.f_gelu_("tanh")?),
            Activation::Relu => Ok(input.f_relu_()?),
        }
    }
}
