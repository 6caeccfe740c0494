//! Gates of feed-forward parts.

use tch::{Kind, Tensor};

use super::exp::exp;
use super::memory::{by_rows, filled, numbers, usable};
use super::number::{Bf16, Number};
use super::widened;
use crate::model::config::Activation;
use crate::Result;

/// A gate that is made here: x times the logistic function of x itself for SiLU; of 2 sqrt(2 / pi) (x + 0.044715 x^3) for GELU
/// by tanh, since (1 + tanh(y)) / 2 is the logistic function of 2 y.
#[derive(Clone, Copy)]
pub(super) struct Gate {
    cubic: Option<f32>,
}

impl Gate {
    pub fn of(activation: Activation) -> Option<Gate> {
        match activation {
            Activation::Silu => Some(Gate { cubic: None }),
            Activation::GeluTanh => Some(Gate { cubic: Some(0.044_715) }),
            _ => None,
        }
    }

    /// Sets `made` to the gated numbers of `ups`; the others are at least as long.
    pub fn rows<N: Number>(self, made: &mut [N], gates: &[f32], ups: &[f32]) {
        rows(made, gates, ups, self.cubic);
    }
}

/// `activation(gate) * up` for gate and up in f32, in this precision.
pub(crate) fn gated(activation: Activation, gate: &Tensor, up: &Tensor, precision: Kind) -> Result<Option<Tensor>> {
    let Some(by) = Gate::of(activation).filter(|_| usable() && gate.size() == up.size()) else { return Ok(None) };
    match precision {
        Kind::Float => made::<f32>(by, gate, up),
        Kind::BFloat16 => made::<Bf16>(by, gate, up),
        _ => Ok(None),
    }
}

fn made<N: Number>(by: Gate, gate: &Tensor, up: &Tensor) -> Result<Option<Tensor>> {
    /// Numbers of a run.
    const RUN: usize = 1024;
    let (Some(gates), Some(ups)) = (numbers::<f32>(gate), numbers::<f32>(up)) else { return Ok(None) };
    let work = |first: usize, made: &mut [N]| by.rows(made, &gates[first * RUN..], &ups[first * RUN..]);
    filled::<N>(&gate.size(), |made| by_rows(made, RUN, work))
}

widened! {
    fn rows<N>(made: &mut [N], gates: &[f32], ups: &[f32], cubic: Option<f32>) = plain_rows
}

#[inline(always)]
fn plain_rows<N: Number>(made: &mut [N], gates: &[f32], ups: &[f32], cubic: Option<f32>) {
    const FACTOR: f32 = 2.0 * std::f32::consts::FRAC_2_SQRT_PI * std::f32::consts::FRAC_1_SQRT_2;
    match cubic {
        None => fill(made, gates, ups, |x| x),
        Some(cubic) => fill(made, gates, ups, |x| FACTOR * (x + cubic * x * x * x)),
    }
}

#[inline(always)]
fn fill<N: Number>(made: &mut [N], gates: &[f32], ups: &[f32], of: impl Fn(f32) -> f32) {
    for ((made, &gate), &up) in made.iter_mut().zip(gates).zip(ups) {
        *made = N::narrow(gate / (1.0 + exp(-of(gate))) * up);
    }
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    #[test]
    fn gates_are_those_of_libtorch() {
        tch::manual_seed(4);
        for precision in [Kind::Float, Kind::BFloat16] {
            for numbers in [1, 15, 1024, 40_000] {
                let random = || Tensor::randn([1, numbers], (Kind::Float, Device::Cpu)) * 4.0;
                let (gate, up) = (random(), random());
                let wide = |tensor: &Tensor| tensor.to_kind(Kind::Double);
                for activation in [Activation::Silu, Activation::GeluTanh] {
                    let expected = match activation {
                        Activation::Silu => wide(&gate).silu(),
                        _ => wide(&gate).gelu("tanh"),
                    } * wide(&up);
                    let Some(found) = gated(activation, &gate, &up, precision).unwrap() else { return };
                    let scale = expected.abs().max().double_value(&[]).max(1.0);
                    let error = (wide(&found) - expected).abs().max().double_value(&[]) / scale;
                    let tolerance = if precision == Kind::Float { 5e-7 } else { 4e-3 };
                    assert!(error < tolerance, "{activation:?} {precision:?} {numbers}: {error:e}");
                    assert_eq!((found.size(), found.kind()), (gate.size(), precision));
                }
                assert!(gated(Activation::Relu, &gate, &up, precision).unwrap().is_none());
            }
        }
    }
}
