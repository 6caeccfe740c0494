//! Root mean square norms.

use tch::{Kind, Tensor};

use super::memory::{by_rows, filled, numbers, usable};
use super::number::{Bf16, Number};
use super::widened;
use crate::Result;

/// `x / sqrt(mean(x^2) + epsilon) * weight` over the last dimension, for x `[.., d]` and weight `[d]` in f32, in this
/// precision.
pub(crate) fn rms_norm(input: &Tensor, weight: &Tensor, epsilon: f64, precision: Kind) -> Result<Option<Tensor>> {
    if !usable() {
        return Ok(None);
    }
    match precision {
        Kind::Float => normed::<f32>(input, weight, epsilon),
        Kind::BFloat16 => normed::<Bf16>(input, weight, epsilon),
        _ => Ok(None),
    }
}

fn normed<M: Number>(input: &Tensor, weight: &Tensor, epsilon: f64) -> Result<Option<Tensor>> {
    let (Some(states), Some(weights)) = (numbers::<f32>(input), numbers::<f32>(weight)) else { return Ok(None) };
    let width = weights.len();
    if width == 0 || input.size().last() != Some(&(width as i64)) {
        return Ok(None);
    }
    let work = |first: usize, made: &mut [M]| rows(made, &states[first * width..], weights, epsilon as f32);
    filled::<M>(&input.size(), |made| by_rows(made, width, work))
}

widened! {
    fn rows<M>(made: &mut [M], states: &[f32], weights: &[f32], epsilon: f32) = plain_rows
}

#[inline(always)]
fn plain_rows<M: Number>(made: &mut [M], states: &[f32], weights: &[f32], epsilon: f32) {
    let width = weights.len();
    for (made, states) in made.chunks_exact_mut(width).zip(states.chunks_exact(width)) {
        let scale = 1.0 / (sum_of_squares(states) / width as f32 + epsilon).sqrt();
        for ((made, &state), &weight) in made.iter_mut().zip(states).zip(weights) {
            *made = M::narrow(state * scale * weight);
        }
    }
}

/// In lanes, so that it can be done in vectors.
#[inline(always)]
fn sum_of_squares(states: &[f32]) -> f32 {
    let mut lanes = [0.0f32; 32];
    let (chunks, rest) = states.as_chunks::<32>();
    for chunk in chunks {
        for (lane, &state) in lanes.iter_mut().zip(chunk) {
            *lane += state * state;
        }
    }
    lanes.iter().sum::<f32>() + rest.iter().map(|state| state * state).sum::<f32>()
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    #[test]
    fn norms_are_those_of_plain_sums() {
        tch::manual_seed(3);
        for precision in [Kind::Float, Kind::BFloat16] {
            for (rows, width) in [(1, 1), (3, 33), (5, 576), (700, 64)] {
                let x = Tensor::randn([rows, width], (Kind::Float, Device::Cpu)) * 3.0;
                let weight = Tensor::randn([width], (Kind::Float, Device::Cpu));
                let Some(found) = rms_norm(&x, &weight, 1e-5, precision).unwrap() else { return };
                let wide = x.to_kind(Kind::Double);
                let mean = wide.square().mean_dim(&[-1i64][..], true, Kind::Double);
                let expected = &wide * (mean + 1e-5).rsqrt() * weight.to_kind(Kind::Double);
                let scale = expected.abs().max().double_value(&[]);
                let error = (found.to_kind(Kind::Double) - expected).abs().max().double_value(&[]) / scale;
                let tolerance = if precision == Kind::Float { 1e-6 } else { 5e-3 };
                assert!(error < tolerance && found.kind() == precision, "{precision:?} {rows}x{width}: {error:e}");
            }
        }
    }
}
