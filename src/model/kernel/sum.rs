//! What a part adds to the residual stream of a bf16 model.

use tch::Tensor;

use super::memory::{by_rows, filled, lies_plain, numbers, usable};
use super::number::{Bf16, Number};
use super::widened;
use crate::Result;

/// `stream + part` in f32, for a stream of f32 and a part of bf16 of the same size: libtorch would copy the part first.
pub(crate) fn added(stream: &Tensor, part: &Tensor) -> Result<Option<Tensor>> {
    /// Numbers of a run.
    const RUN: usize = 1024;
    if !usable() || stream.size() != part.size() || !lies_plain::<Bf16>(part) {
        return Ok(None);
    }
    let (Some(stream), Some(part), size) = (numbers::<f32>(stream), numbers::<Bf16>(part), stream.size()) else {
        return Ok(None);
    };
    let work = |first: usize, made: &mut [f32]| rows(made, &stream[first * RUN..], &part[first * RUN..]);
    filled::<f32>(&size, |made| by_rows(made, RUN, work))
}

widened! {
    fn rows<N>(made: &mut [f32], stream: &[f32], part: &[N]) = plain_rows
}

#[inline(always)]
fn plain_rows<N: Number>(made: &mut [f32], stream: &[f32], part: &[N]) {
    made.iter_mut().zip(stream).zip(part).for_each(|((made, stream), part)| *made = stream + part.wide());
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    #[test]
    fn sums_are_those_of_libtorch() {
        tch::manual_seed(4);
        for size in [[1, 1, 7], [3, 5, 64], [2, 40, 576]] {
            let stream = Tensor::randn(size, (Kind::Float, Device::Cpu));
            let part = Tensor::randn(size, (Kind::Float, Device::Cpu)).to_kind(Kind::BFloat16);
            let Some(sum) = added(&stream, &part).unwrap() else { return };
            assert!(sum.equal(&(&stream + &part)) && sum.kind() == Kind::Float);
            assert!(added(&part, &stream).unwrap().is_none() && added(&stream, &stream).unwrap().is_none());
        }
    }
}
