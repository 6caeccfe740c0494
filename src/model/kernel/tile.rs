//! Products of a few rows of weights with a few rows of states, in vector registers.

use std::sync::OnceLock;

use super::number::{Bf16, Number};
use super::registers::*;

/// The vector instructions of a processor, of those that are used here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    /// 8 numbers at a time.
    Avx2,
    /// 16 numbers at a time.
    Avx512,
    /// And products of bf16.
    Avx512Bf16,
}

impl Level {
    /// What this machine has; `None` for none of them.
    pub fn of_this_machine() -> Option<Level> {
        static FOUND: OnceLock<Option<Level>> = OnceLock::new();
        *FOUND.get_or_init(|| {
            #[cfg(target_arch = "x86_64")]
            {
                let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
                let avx512 = avx2
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl");
                match (avx2, avx512, avx512 && is_x86_feature_detected!("avx512bf16")) {
                    (_, _, true) => Some(Level::Avx512Bf16),
                    (_, true, _) => Some(Level::Avx512),
                    (true, ..) => Some(Level::Avx2),
                    _ => None,
                }
            }
            #[cfg(not(target_arch = "x86_64"))]
            None
        })
    }
}

/// Chooses the constants of a tile; `most` columns fit into the registers at once.
#[cfg(target_arch = "x86_64")]
macro_rules! chosen {
    ($tile:ident, $most:literal, $weights:ident, $rows:ident, $states:ident, $columns:ident, $n:ident, $sums:ident) => {{
        let mut first = 0;
        while first < $columns {
            let columns = ($columns - first).min($most);
            let states = $states.add(first * $n);
            match ($rows, columns) {
                (ROWS, 1) => $tile::<ROWS, 1>($weights, states, $n, $sums, first),
                (ROWS, 2) => $tile::<ROWS, 2>($weights, states, $n, $sums, first),
                (ROWS, 3) => $tile::<ROWS, 3>($weights, states, $n, $sums, first),
                (ROWS, 4) => $tile::<ROWS, 4>($weights, states, $n, $sums, first),
                (ROWS, 5) => $tile::<ROWS, 5>($weights, states, $n, $sums, first),
                (ROWS, _) => $tile::<ROWS, 6>($weights, states, $n, $sums, first),
                (_, 1) => $tile::<1, 1>($weights, states, $n, $sums, first),
                (_, 2) => $tile::<1, 2>($weights, states, $n, $sums, first),
                (_, 3) => $tile::<1, 3>($weights, states, $n, $sums, first),
                (_, 4) => $tile::<1, 4>($weights, states, $n, $sums, first),
                (_, 5) => $tile::<1, 5>($weights, states, $n, $sums, first),
                (_, _) => $tile::<1, 6>($weights, states, $n, $sums, first),
            }
            first += columns;
        }
    }};
}

/// A number type with products of tiles.
pub(super) trait Tiled: Number {
    /// Whether this machine has them.
    fn available() -> bool;

    /// Sets `sums` to those of the products of `rows` (`ROWS`, else 1) rows of `weights` with `columns` rows of `states`.
    ///
    /// # Safety
    /// [`Tiled::available`]; `weights` holds that many rows of n numbers, `states` `columns` of them, and `columns` is from
    /// 1 to `COLUMNS`.
    unsafe fn sums(weights: *const Self, rows: usize, states: *const Self, columns: usize, n: usize, sums: &mut Sums);
}

impl Tiled for f32 {
    fn available() -> bool {
        Level::of_this_machine().is_some()
    }

    #[cfg(target_arch = "x86_64")]
    unsafe fn sums(weights: *const f32, rows: usize, states: *const f32, columns: usize, n: usize, sums: &mut Sums) {
        // SAFETY: the caller's; of the instructions, the level.
        unsafe {
            match Level::of_this_machine() {
                Some(Level::Avx512 | Level::Avx512Bf16) => {
                    chosen!(f32_by_16, 6, weights, rows, states, columns, n, sums)
                }
                _ => chosen!(f32_by_8, 2, weights, rows, states, columns, n, sums),
            }
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    unsafe fn sums(_: *const f32, _: usize, _: *const f32, _: usize, _: usize, _: &mut Sums) {}
}

impl Tiled for Bf16 {
    fn available() -> bool {
        Level::of_this_machine() == Some(Level::Avx512Bf16)
    }

    #[cfg(target_arch = "x86_64")]
    unsafe fn sums(weights: *const Bf16, rows: usize, states: *const Bf16, columns: usize, n: usize, sums: &mut Sums) {
        // SAFETY: the caller's.
        unsafe { chosen!(bf16_by_32, 6, weights, rows, states, columns, n, sums) }
    }

    #[cfg(not(target_arch = "x86_64"))]
    unsafe fn sums(_: *const Bf16, _: usize, _: *const Bf16, _: usize, _: usize, _: &mut Sums) {}
}
