//! Gates of feed-forward parts.

use tch::Tensor;

use super::exp::exp;
use super::memory::{by_rows, lies_plain, numbers, numbers_mut, usable};
use super::number::{Bf16, Number};
use super::widened;
use crate::model::config::Activation;

/// `activation(gate) * up`, put in the place of `gate`, which nobody else may hold; whether it was done.
pub(crate) fn gated(activation: Activation, gate: &mut Tensor, up: &Tensor) -> bool {
    let cubic = match activation {
        Activation::Silu => None,
        Activation::GeluTanh => Some(0.044_715),
        _ => return false,
    };
    if !usable() || gate.size() != up.size() {
        return false;
    }
    if lies_plain::<f32>(gate) {
        filled::<f32>(cubic, gate, up)
    } else if lies_plain::<Bf16>(gate) {
        filled::<Bf16>(cubic, gate, up)
    } else {
        false
    }
}

fn filled<N: Number>(cubic: Option<f32>, gate: &mut Tensor, up: &Tensor) -> bool {
    /// Numbers of a run.
    const RUN: usize = 1024;
    let (Some(gates), Some(ups)) = (numbers_mut::<N>(gate), numbers::<N>(up)) else { return false };
    by_rows(gates, RUN, |first, gates| rows(gates, &ups[first * RUN..], cubic));
    true
}

widened! {
    fn rows<N>(gates: &mut [N], ups: &[N], cubic: Option<f32>) = plain_rows
}

/// x times the logistic function: of x itself for SiLU; of 2 sqrt(2 / pi) (x + 0.044715 x^3) for GELU by tanh, since
/// (1 + tanh(y)) / 2 is the logistic function of 2 y.
#[inline(always)]
fn plain_rows<N: Number>(gates: &mut [N], ups: &[N], cubic: Option<f32>) {
    const FACTOR: f32 = 2.0 * std::f32::consts::FRAC_2_SQRT_PI * std::f32::consts::FRAC_1_SQRT_2;
    match cubic {
        None => fill(gates, ups, |x| x),
        Some(cubic) => fill(gates, ups, |x| FACTOR * (x + cubic * x * x * x)),
    }
}

#[inline(always)]
fn fill<N: Number>(gates: &mut [N], ups: &[N], of: impl Fn(f32) -> f32) {
    for (gate, up) in gates.iter_mut().zip(ups) {
        let x = gate.wide();
        *gate = N::narrow(x / (1.0 + exp(-of(x))) * up.wide());
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    #[test]
    fn gates_are_those_of_libtorch() {
        tch::manual_seed(4);
        for kind in [Kind::Float, Kind::BFloat16] {
            for numbers in [1, 15, 1024, 40_000] {
                let random = || (Tensor::randn([1, numbers], (Kind::Float, Device::Cpu)) * 4.0).to_kind(kind);
                let (gate, up) = (random(), random());
                let wide = |tensor: &Tensor| tensor.to_kind(Kind::Double);
                for activation in [Activation::Silu, Activation::GeluTanh] {
                    let expected = match activation {
                        Activation::Silu => wide(&gate).silu(),
                        _ => wide(&gate).gelu("tanh"),
                    } * wide(&up);
                    let mut found = gate.copy();
                    if !gated(activation, &mut found, &up) {
                        return;
                    }
                    let scale = expected.abs().max().double_value(&[]).max(1.0);
                    let error = (wide(&found) - expected).abs().max().double_value(&[]) / scale;
                    let tolerance = if kind == Kind::Float { 5e-7 } else { 4e-3 };
                    assert!(error < tolerance, "{activation:?} {kind:?} {numbers}: {error:e}");
                }
                let mut same = gate.copy();
                assert!(!gated(Activation::Relu, &mut same, &up) && same.equal(&gate));
            }
        }
    }
}
