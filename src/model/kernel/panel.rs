//! Products of weights with many rows of states, with 512-bit vectors.
//!
//! The states are laid out in panels of 32 rows, word by word of 32 bits (one number of f32, two of bf16), so that one load
//! holds the same word of 16 rows. Each word of 12 rows of weights then multiplies 32 rows of states: 24 vectors of sums stay
//! in registers over the whole of `in`, and are turned round to rows of the result at the end.

use std::arch::x86_64::*;
use std::ops::Range;

use tch::{Device, Kind, Tensor};

use super::gate::Gate;
use super::maps::{share, Map};
use super::memory::{numbers_mut, Parts};
use super::number::{Bf16, Number};
use super::threads;
use super::tile::Level;
use crate::Result;

/// Rows of states in a panel.
const PANEL: usize = 32;
/// Numbers in a vector.
const LANES: usize = 16;
/// Rows of weights that share the loads of a panel.
const ROWS: usize = 12;
/// Bytes of weights that stay near beside a panel, in the second cache of a core.
const NEAR: usize = 192 * 1024;
/// Words of a panel that are laid out at a time.
const STRETCH: usize = 48;

/// A number type with products of panels.
pub(super) trait Paneled: Number {
    /// Numbers in a word of 32 bits.
    const IN_A_WORD: usize;

    /// Whether this machine has them.
    fn available() -> bool;

    /// The products of R rows of weights with all rows of a panel, with the biases of these rows if there are any.
    ///
    /// # Safety
    /// [`Paneled::available`]; `weights` points to R rows of `tile.n` words, `panel` holds 32 for each of these; from `made` on, R numbers may be written every
    /// `tile.outs`, `tile.rows` times.
    unsafe fn fill<const R: usize>(tile: &Tile, weights: *const f32, panel: &[f32], bias: &[Self], made: *mut f32);
}

/// Whether the processor has the instructions, rows of `n` numbers are whole words, and not many of them are long: then
/// libtorch is ahead, which cuts long rows into pieces.
pub(super) fn apply<N: Paneled>(states: &[N], n: usize) -> bool {
    const MANY: usize = 256;
    const LONG: usize = 768;
    let short = n / N::IN_A_WORD <= LONG || states.len() / n <= MANY;
    short && N::available() && n.is_multiple_of(N::IN_A_WORD) && states.as_ptr().cast::<f32>().is_aligned()
}

/// Computes, for each map, `made[row][out] = states[row] . weights[out] + bias[out]` for rows of `n` numbers, which is above 0. The caller
/// has seen that panels [`apply`], and that weights are aligned as f32 is. `false` where nothing was done.
pub(super) fn product<N: Paneled>(maps: &[(Map<'_, N>, Parts<f32>)], states: &[N], n: usize) -> Result<bool> {
    let mut room = Panels::room(states, n)?;
    let Some(panels) = Panels::of(states, n, &mut room) else { return Ok(false) };
    let run = panels.run();
    share(maps, |(map, _)| map.outs.div_ceil(run) * panels.count(), &|(map, made), part| {
        let (number, panel) = (part / panels.count(), part % panels.count());
        let outs = number * run..map.outs.min((number + 1) * run);
        // SAFETY: the block lies in `made`, and no two parts write the same numbers: they differ in the map, in the rows, or
        // in the columns. The instructions are the caller's promise.
        unsafe {
            let start = made.part(panel * PANEL * map.outs + outs.start, 1).as_mut_ptr();
            panels.block(map, outs, panel, start, map.outs);
        }
    });
    Ok(true)
}

/// `made[row][out]`: gate and up of the same states, gated where they are made, so that they need no memory of their own. Both
/// maps have as many `outs`; else as [`product`].
pub(super) fn gated<N: Paneled, M: Number>(
    [gate, up]: [&Map<'_, N>; 2],
    by: Gate,
    (states, n): (&[N], usize),
    made: &mut [M],
) -> Result<bool> {
    let mut room = Panels::room(states, n)?;
    let Some(panels) = Panels::of(states, n, &mut room) else { return Ok(false) };
    // Weights of both stay near.
    let run = (panels.run() / 2).next_multiple_of(ROWS);
    let (outs, made) = (gate.outs, Parts::new(made));
    threads::share(outs.div_ceil(run) * panels.count(), &|part| {
        let (number, panel) = (part / panels.count(), part % panels.count());
        let some = number * run..outs.min((number + 1) * run);
        let width = some.len();
        let (mut gates, mut ups) = (vec![0.0; PANEL * width], vec![0.0; PANEL * width]);
        // SAFETY: blocks of a panel's rows, and so many columns. The instructions are the caller's promise.
        unsafe {
            panels.block(gate, some.clone(), panel, gates.as_mut_ptr(), width);
            panels.block(up, some.clone(), panel, ups.as_mut_ptr(), width);
        }
        // All at once: rows may be shorter than vectors.
        let mut block = vec![M::default(); PANEL * width];
        by.rows(&mut block, &gates, &ups);
        for (row, numbers) in (panel * PANEL..panels.rows).zip(block.chunks_exact(width)) {
            // SAFETY: parts differ in the rows or in the columns.
            unsafe { made.part(row * outs + some.start, width) }.copy_from_slice(numbers);
        }
    });
    Ok(true)
}

/// States laid out in panels.
struct Panels<'r> {
    words: &'r [f32],
    /// Rows of states.
    rows: usize,
    /// Words in a row.
    n: usize,
}

impl<'r> Panels<'r> {
    /// Memory for panels of states in rows of `n` numbers.
    fn room<N: Paneled>(states: &[N], n: usize) -> Result<Tensor> {
        let rows = (states.len() / n).next_multiple_of(PANEL);
        Ok(Tensor::f_empty([(rows * (n / N::IN_A_WORD)) as i64], (Kind::Float, Device::Cpu))?)
    }

    /// Lays out the states; the caller has seen that panels [`apply`].
    fn of<N: Paneled>(states: &[N], n: usize, room: &'r mut Tensor) -> Option<Self> {
        let (states, n) = (words(states), n / N::IN_A_WORD);
        let rows = states.len() / n;
        let room = numbers_mut::<f32>(room)?;
        let (places, stretches) = (Parts::new(room), n.div_ceil(STRETCH));
        threads::share(rows.div_ceil(PANEL) * stretches, &|part| {
            let (panel, at) = (part / stretches, part % stretches * STRETCH);
            let states = &states[panel * PANEL * n..];
            let words = at..n.min(at + STRETCH);
            // SAFETY: stretches of panels do not overlap; the instructions are the caller's promise.
            unsafe {
                let place = places.part((panel * n + at) * PANEL, words.len() * PANEL);
                lay_out(&states[..states.len().min(PANEL * n)], n, words, place);
            }
        });
        Some(Panels { words: room, rows, n })
    }

    fn count(&self) -> usize {
        self.rows.div_ceil(PANEL)
    }

    /// Rows of weights of one part of the work: they stay near while the panels go by.
    fn run(&self) -> usize {
        match self.count() {
            ..=2 => 2 * ROWS,
            _ => (NEAR / (self.n * size_of::<f32>()) / ROWS).clamp(1, 16) * ROWS,
        }
    }

    /// Some outs of a map for the rows of one panel, the first at `made`, each row `stride` numbers after the one before.
    ///
    /// # Safety
    /// The processor has the instructions; these rows of `outs` numbers may be written.
    unsafe fn block<N: Paneled>(
        &self,
        map: &Map<'_, N>,
        outs: Range<usize>,
        panel: usize,
        made: *mut f32,
        stride: usize,
    ) {
        let tile = Tile { outs: stride, rows: PANEL.min(self.rows - panel * PANEL), n: self.n };
        let states = &self.words[panel * PANEL * self.n..];
        let mut out = outs.start;
        while out < outs.end {
            let bias = map.bias.get(out..).unwrap_or_default();
            let left = outs.end - out;
            // SAFETY: `left` rows of weights and columns of the block; the rest is the caller's promise.
            unsafe {
                let weights = words(map.weights).as_ptr().add(out * self.n);
                let made = made.add(out - outs.start);
                match left {
                    ROWS.. => N::fill::<ROWS>(&tile, weights, states, bias, made),
                    4.. => N::fill::<4>(&tile, weights, states, bias, made),
                    _ => N::fill::<1>(&tile, weights, states, bias, made),
                }
            }
            out += match left {
                ROWS.. => ROWS,
                4.. => 4,
                _ => 1,
            };
        }
    }
}

/// Numbers as words of 32 bits, which are only moved. What is left at the end is cut off.
fn words<N: Paneled>(numbers: &[N]) -> &[f32] {
    debug_assert_eq!(size_of::<N>() * N::IN_A_WORD, size_of::<f32>());
    // SAFETY: as many bits, and all bits are an f32; the caller of `product` has seen that they are aligned as f32 is.
    unsafe { std::slice::from_raw_parts(numbers.as_ptr().cast::<f32>(), numbers.len() / N::IN_A_WORD) }
}

/// Some words of a panel, one after the other: those of its rows, zeros for rows that are not there.
#[target_feature(enable = "avx512f")]
fn lay_out(states: &[f32], n: usize, words: std::ops::Range<usize>, panel: &mut [f32]) {
    let rows = states.len() / n;
    for at in words.clone().step_by(LANES) {
        let width = LANES.min(words.end - at);
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
                let start = (at - words.start + element) * PANEL + half * LANES;
                if let Some(place) = panel.get_mut(start..start + LANES) {
                    // SAFETY: 16 numbers.
                    unsafe { _mm512_storeu_ps(place.as_mut_ptr(), *vector) };
                }
            }
        }
    }
}

/// Where the results of some rows of weights and a panel go.
pub(super) struct Tile {
    /// Numbers in a row of the result.
    outs: usize,
    /// Rows of the panel that are there.
    rows: usize,
    /// Words in a row of weights.
    n: usize,
}

// Macros, not functions: through a function call the compiler loses sight of registers of pairs, and spills them.
macro_rules! add_f32 {
    ($sum:expr, $weight:expr, $states:expr) => {
        _mm512_fmadd_ps($weight, $states, $sum)
    };
}
macro_rules! add_bf16 {
    ($sum:expr, $weights:expr, $states:expr) => {
        // The two types are the same 512 bits.
        _mm512_dpbf16_ps(
            $sum,
            std::mem::transmute::<__m512, __m512bh>($weights),
            std::mem::transmute::<__m512, __m512bh>($states),
        )
    };
}

/// Implements [`Paneled`].
macro_rules! paneled {
    ($number:ty, $words:literal, $available:expr, $features:literal, $add:ident) => {
        impl Paneled for $number {
            const IN_A_WORD: usize = $words;

            fn available() -> bool {
                $available
            }

            unsafe fn fill<const R: usize>(
                tile: &Tile,
                weights: *const f32,
                panel: &[f32],
                bias: &[$number],
                made: *mut f32,
            ) {
                #[target_feature(enable = $features)]
                #[allow(clippy::needless_range_loop)]
                unsafe fn fill<const R: usize>(
                    tile: &Tile,
                    weights: *const f32,
                    panel: &[f32],
                    bias: &[$number],
                    made: *mut f32,
                ) {
                    debug_assert!(panel.len() >= tile.n * PANEL);
                    // Two arrays, and no iterator over them: so the compiler keeps all of them in registers.
                    let (mut lows, mut highs) = ([_mm512_setzero_ps(); R], [_mm512_setzero_ps(); R]);
                    for start in (0..tile.n).step_by(LANES) {
                        // The rows that follow, on their way from memory meanwhile. A hint: no access, wherever it points.
                        for row in R..2 * R {
                            _mm_prefetch::<_MM_HINT_T0>(weights.wrapping_add(row * tile.n + start).cast());
                        }
                        for at in start..tile.n.min(start + LANES) {
                            // SAFETY: `at` is below n: 32 words of the panel, and the caller's promise for the weights.
                            unsafe {
                                let word = panel.as_ptr().add(at * PANEL);
                                let (low, high) = (_mm512_loadu_ps(word), _mm512_loadu_ps(word.add(LANES)));
                                for row in 0..R {
                                    let weight = _mm512_set1_ps(*weights.add(row * tile.n + at));
                                    lows[row] = $add!(lows[row], weight, low);
                                    highs[row] = $add!(highs[row], weight, high);
                                }
                            }
                        }
                    }
                    for (half, sums) in [lows, highs].into_iter().enumerate() {
                        let mut block = [_mm512_setzero_ps(); LANES];
                        for row in 0..R {
                            let bias = _mm512_set1_ps(bias.get(row).map_or(0.0, |bias| bias.wide()));
                            block[row] = _mm512_add_ps(sums[row], bias);
                        }
                        transpose(&mut block);
                        for (lane, vector) in block.iter().enumerate() {
                            let row = half * LANES + lane;
                            if row < tile.rows {
                                // SAFETY: R numbers of one row; the caller's promise.
                                unsafe { _mm512_mask_storeu_ps(made.add(row * tile.outs), first(R), *vector) };
                            }
                        }
                    }
                }
                // SAFETY: the caller's.
                unsafe { fill::<R>(tile, weights, panel, bias, made) }
            }
        }
    };
}

paneled!(f32, 1, matches!(Level::of_this_machine(), Some(Level::Avx512 | Level::Avx512Bf16)), "avx512f", add_f32);
paneled!(Bf16, 2, Level::of_this_machine() == Some(Level::Avx512Bf16), "avx512f,avx512bf16", add_bf16);

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
