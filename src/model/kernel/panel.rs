//! Products of weights with many rows of states, in f32 with 512-bit vectors.
//!
//! The states are laid out in panels of 32 rows, element by element, so that one load holds the same element of 16 rows.
//! Each element of 12 rows of weights then multiplies 32 rows of states: 24 vectors of sums stay in registers over the
//! whole of `in`, and are turned round to rows of the result at the end.

use std::arch::x86_64::*;

use tch::{Device, Kind, Tensor};

use super::memory::{filled, numbers_mut, Parts};
use super::threads;
use super::tile::Level;
use crate::Result;

/// Rows of states in a panel.
const PANEL: usize = 32;
/// Numbers in a vector.
const LANES: usize = 16;
/// Rows of weights that share the loads of a panel.
const ROWS: usize = 12;
/// Rows of weights of one part of the work: they stay near while the panels go by.
const RUN: usize = 8 * ROWS;

/// `states weights^T + bias` of this size; `None` where the processor has not got the instructions. `n` is above 0 and
/// divides the lengths of `weights` and `states`; there are as many biases as rows of weights, or none.
pub(super) fn product(weights: &[f32], states: &[f32], bias: &[f32], n: usize, size: &[i64]) -> Result<Option<Tensor>> {
    if !matches!(Level::of_this_machine(), Some(Level::Avx512 | Level::Avx512Bf16)) {
        return Ok(None);
    }
    let room = (states.len() / n).div_ceil(PANEL) * PANEL * n;
    let mut room = Tensor::f_empty([room as i64], (Kind::Float, Device::Cpu))?;
    let Some(room) = numbers_mut::<f32>(&mut room) else { return Ok(None) };
    // SAFETY: the processor has the instructions.
    filled::<f32>(size, |made| unsafe { multiply(weights, states, bias, n, made, room) })
}

/// `made[row][out] = states[row] . weights[out] + bias[out]` for rows of `n` numbers; `room` holds the panels meanwhile.
///
/// # Safety
/// The processor has AVX-512 (F); `n` is above 0 and divides the lengths of `weights` and `states`, `made` holds one number
/// for each pair of rows, `bias` none or one for each row of weights, `room` whole panels of the states.
unsafe fn multiply(weights: &[f32], states: &[f32], bias: &[f32], n: usize, made: &mut [f32], room: &mut [f32]) {
    let (outs, rows) = (weights.len() / n, states.len() / n);
    let panels = rows.div_ceil(PANEL);
    let (made, room) = (Parts::new(made), Parts::new(room));
    threads::share(panels, &|panel| {
        let states = &states[panel * PANEL * n..];
        // SAFETY: panels do not overlap; the instructions are the caller's promise.
        unsafe { lay_out(&states[..states.len().min(PANEL * n)], n, room.part(panel * PANEL * n, PANEL * n)) };
    });
    threads::share(outs.div_ceil(RUN) * panels, &|part| {
        let (run, panel) = (part / panels, part % panels);
        let first = panel * PANEL;
        // SAFETY: the panel was filled above and is only read now.
        let states = unsafe { room.written(panel * PANEL * n, PANEL * n) };
        let (mut out, end) = (run * RUN, outs.min((run + 1) * RUN));
        while out < end {
            let tile = Tile { outs, rows: PANEL.min(rows - first), n };
            let bias = bias.get(out..).unwrap_or_default();
            // SAFETY: `start` and what `Tile` reaches from it lie in `made`, and no two parts write the same numbers:
            // they differ in the rows, or in the columns. The instructions are the caller's promise.
            unsafe {
                let start = made.part(first * outs + out, 1).as_mut_ptr();
                let weights = weights.as_ptr().add(out * n);
                match end - out {
                    ROWS.. => tile.fill::<ROWS>(weights, states, bias, start),
                    4.. => tile.fill::<4>(weights, states, bias, start),
                    _ => tile.fill::<1>(weights, states, bias, start),
                }
            }
            out += match end - out {
                ROWS.. => ROWS,
                4.. => 4,
                _ => 1,
            };
        }
    });
}

/// One panel: element by element the numbers of its rows, zeros for rows that are not there.
#[target_feature(enable = "avx512f")]
fn lay_out(states: &[f32], n: usize, panel: &mut [f32]) {
    let rows = states.len() / n;
    for at in (0..n).step_by(LANES) {
        let width = LANES.min(n - at);
        for half in 0..PANEL / LANES {
            let mut block = [_mm512_setzero_ps(); LANES];
            for (lane, vector) in block.iter_mut().enumerate() {
                let row = half * LANES + lane;
                if row < rows {
                    // SAFETY: `width` numbers of the row from `at` on are read, the others masked.
                    *vector = unsafe { _mm512_maskz_loadu_ps(first(width), states.as_ptr().add(row * n + at)) };
                }
            }
            transpose(&mut block);
            for (element, vector) in block.iter().enumerate().take(width) {
                let start = (at + element) * PANEL + half * LANES;
                if let Some(place) = panel.get_mut(start..start + LANES) {
                    // SAFETY: 16 numbers.
                    unsafe { _mm512_storeu_ps(place.as_mut_ptr(), *vector) };
                }
            }
        }
    }
}

/// Where the results of some rows of weights and a panel go.
struct Tile {
    /// Numbers in a row of the result.
    outs: usize,
    /// Rows of the panel that are there.
    rows: usize,
    /// Numbers in a row of weights.
    n: usize,
}

impl Tile {
    /// The products of R rows of weights with all rows of the panel.
    ///
    /// # Safety
    /// `weights` points to R rows of n numbers; from `made` on, R numbers may be written every `outs`, `rows` times.
    #[target_feature(enable = "avx512f")]
    #[allow(clippy::needless_range_loop)]
    unsafe fn fill<const R: usize>(&self, weights: *const f32, panel: &[f32], bias: &[f32], made: *mut f32) {
        let mut sums = [[_mm512_setzero_ps(); PANEL / LANES]; R];
        for (row, sums) in sums.iter_mut().enumerate() {
            *sums = [_mm512_set1_ps(bias.get(row).copied().unwrap_or(0.0)); PANEL / LANES];
        }
        for (at, element) in panel.as_chunks::<PANEL>().0.iter().enumerate().take(self.n) {
            // SAFETY: 32 numbers; and the caller's promise for the weights, for `at` is below n.
            unsafe {
                let (low, high) = (_mm512_loadu_ps(element.as_ptr()), _mm512_loadu_ps(element.as_ptr().add(LANES)));
                for row in 0..R {
                    let weight = _mm512_set1_ps(*weights.add(row * self.n + at));
                    sums[row][0] = _mm512_fmadd_ps(weight, low, sums[row][0]);
                    sums[row][1] = _mm512_fmadd_ps(weight, high, sums[row][1]);
                }
            }
        }
        for half in 0..PANEL / LANES {
            let mut block = [_mm512_setzero_ps(); LANES];
            for row in 0..R {
                block[row] = sums[row][half];
            }
            transpose(&mut block);
            for (lane, vector) in block.iter().enumerate() {
                let row = half * LANES + lane;
                if row < self.rows {
                    // SAFETY: R numbers of one row; the caller's promise.
                    unsafe { _mm512_mask_storeu_ps(made.add(row * self.outs), first(R), *vector) };
                }
            }
        }
    }
}

/// A mask of the first numbers of a vector.
fn first(count: usize) -> __mmask16 {
    ((1u32 << count) - 1) as __mmask16
}

/// Turns rows into columns: pairs, then fours, then eights, then all sixteen.
#[inline]
#[target_feature(enable = "avx512f")]
fn transpose(block: &mut [__m512; LANES]) {
    let mut other = [_mm512_setzero_ps(); LANES];
    for pair in 0..8 {
        other[2 * pair] = _mm512_unpacklo_ps(block[2 * pair], block[2 * pair + 1]);
        other[2 * pair + 1] = _mm512_unpackhi_ps(block[2 * pair], block[2 * pair + 1]);
    }
    for four in 0..4 {
        for half in 0..2 {
            let (a, b) = (_mm512_castps_pd(other[4 * four + half]), _mm512_castps_pd(other[4 * four + 2 + half]));
            block[4 * four + 2 * half] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
            block[4 * four + 2 * half + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
        }
    }
    for eight in 0..2 {
        for at in 0..4 {
            let (a, b) = (block[8 * eight + at], block[8 * eight + 4 + at]);
            other[8 * eight + at] = _mm512_shuffle_f32x4::<0x88>(a, b);
            other[8 * eight + 4 + at] = _mm512_shuffle_f32x4::<0xdd>(a, b);
        }
    }
    for at in 0..8 {
        block[at] = _mm512_shuffle_f32x4::<0x88>(other[at], other[8 + at]);
        block[8 + at] = _mm512_shuffle_f32x4::<0xdd>(other[at], other[8 + at]);
    }
}
