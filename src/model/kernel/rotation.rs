//! Rotary positions.

use tch::Tensor;

use super::memory::{by_rows, filled, numbers, usable};
use super::widened;
use crate::Result;

/// Rotates the first numbers of each head of `[b, t, h, e]`, as many as the tables `[b, t, 1, dimensions]` of cosines and
/// sines are wide, in two halves; the rest stays. All in f32.
pub(crate) fn rotate(heads: &Tensor, cos: &Tensor, sin: &Tensor) -> Result<Option<Tensor>> {
    if !usable() {
        return Ok(None);
    }
    let (&[batch, tokens, count, size], &[of_batch, of_tokens, 1, dimensions]) =
        (heads.size().as_slice(), cos.size().as_slice())
    else {
        return Ok(None);
    };
    let fits = (batch, tokens) == (of_batch, of_tokens) && dimensions > 0 && dimensions <= size && dimensions % 2 == 0;
    let (Some(states), Some(cos), Some(sin)) = (numbers::<f32>(heads), numbers::<f32>(cos), numbers::<f32>(sin)) else {
        return Ok(None);
    };
    if !fits || count == 0 || sin.len() != cos.len() {
        return Ok(None);
    }
    let (width, size, dimensions) = ((count * size) as usize, size as usize, dimensions as usize);
    let work = |first: usize, made: &mut [f32]| {
        let table = first * dimensions;
        rows(made, &states[first * width..], (&cos[table..], &sin[table..]), width, (size, dimensions));
    };
    filled::<f32>(&heads.size(), |made| by_rows(made, width, work))
}

widened! {
    fn rows(
        made: &mut [f32],
        states: &[f32],
        tables: (&[f32], &[f32]),
        width: usize,
        size: (usize, usize),
    ) = plain_rows
}

#[inline(always)]
fn plain_rows(
    made: &mut [f32],
    states: &[f32],
    (cos, sin): (&[f32], &[f32]),
    width: usize,
    (size, dimensions): (usize, usize),
) {
    let half = dimensions / 2;
    let tables = cos.chunks_exact(dimensions).zip(sin.chunks_exact(dimensions));
    for ((made, states), (cos, sin)) in made.chunks_exact_mut(width).zip(states.chunks_exact(width)).zip(tables) {
        let ((cos_low, cos_high), (sin_low, sin_high)) = (cos.split_at(half), sin.split_at(half));
        for (made, states) in made.chunks_exact_mut(size).zip(states.chunks_exact(size)) {
            let (turned, kept) = made.split_at_mut(dimensions);
            kept.copy_from_slice(&states[dimensions..]);
            let (made_low, made_high) = turned.split_at_mut(half);
            let (low, high) = states[..dimensions].split_at(half);
            for at in 0..half {
                let (a, b) = (low[at], high[at]);
                made_low[at] = a * cos_low[at] - b * sin_low[at];
                made_high[at] = b * cos_high[at] + a * sin_high[at];
            }
        }
    }
}
