//! The inner loops of tiles, one for each kind of vector register of x86-64.

/// Rows of weights in a tile.
pub(super) const ROWS: usize = 4;
/// Most rows of states in a tile.
pub(super) const COLUMNS: usize = 6;

/// Sums of products of `ROWS` or 1 rows of weights with 1 to `COLUMNS` rows of states.
pub(super) type Sums = [[f32; COLUMNS]; ROWS];

#[cfg(target_arch = "x86_64")]
pub(super) use x86_64::{bf16_by_32, f32_by_16, f32_by_8};

#[cfg(target_arch = "x86_64")]
mod x86_64 {
    use std::arch::x86_64::*;

    use super::Sums;
    use crate::model::kernel::number::{Bf16, Number};

    /// Defines a tile: R rows of weights times C rows of states, with the next rows of weights on their way from memory
    /// meanwhile.
    macro_rules! tile {
        ($name:ident, $features:literal, $number:ty, $step:literal, $zero:ident, $load:ident, $fma:ident, $sum:ident) => {
            /// Adds nothing to `sums`: sets those of the columns from `first` on.
            ///
            /// # Safety
            /// The processor has the instructions; `weights` holds R rows of n numbers, `states` C rows, and first + C is at
            /// most `COLUMNS`.
            #[target_feature(enable = $features)]
            #[allow(clippy::needless_range_loop)]
            pub(in crate::model::kernel) unsafe fn $name<const R: usize, const C: usize>(
                weights: *const $number,
                states: *const $number,
                n: usize,
                sums: &mut Sums,
                first: usize,
            ) {
                // SAFETY: the caller's, and at + step <= n.
                unsafe {
                    let mut totals = [[$zero(); C]; R];
                    let mut at = 0;
                    while at + $step <= n {
                        let mut of_weights = [$load(weights.add(at)); R];
                        for row in 0..R {
                            of_weights[row] = $load(weights.add(row * n + at));
                            // A hint: no access, wherever it points.
                            _mm_prefetch::<_MM_HINT_T0>(weights.wrapping_add((row + R) * n + at).cast());
                        }
                        for column in 0..C {
                            let of_states = $load(states.add(column * n + at));
                            for row in 0..R {
                                totals[row][column] = $fma(totals[row][column], of_weights[row], of_states);
                            }
                        }
                        at += $step;
                    }
                    for row in 0..R {
                        for column in 0..C {
                            let mut sum = $sum(totals[row][column]);
                            for rest in at..n {
                                sum += (*weights.add(row * n + rest)).wide() * (*states.add(column * n + rest)).wide();
                            }
                            sums[row][first + column] = sum;
                        }
                    }
                }
            }
        };
    }

    tile!(f32_by_16, "avx512f", f32, 16, _mm512_setzero_ps, load_16, fma_16, _mm512_reduce_add_ps);
    tile!(f32_by_8, "avx2,fma", f32, 8, _mm256_setzero_ps, load_8, fma_8, sum_8);
    tile!(bf16_by_32, "avx512f,avx512bf16", Bf16, 32, _mm512_setzero_ps, load_32, fma_32, _mm512_reduce_add_ps);

    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn load_16(at: *const f32) -> __m512 {
        // SAFETY: the caller's.
        unsafe { _mm512_loadu_ps(at) }
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn fma_16(total: __m512, weight: __m512, state: __m512) -> __m512 {
        _mm512_fmadd_ps(weight, state, total)
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn load_8(at: *const f32) -> __m256 {
        // SAFETY: the caller's.
        unsafe { _mm256_loadu_ps(at) }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn fma_8(total: __m256, weight: __m256, state: __m256) -> __m256 {
        _mm256_fmadd_ps(weight, state, total)
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn sum_8(total: __m256) -> f32 {
        let four = _mm_add_ps(_mm256_castps256_ps128(total), _mm256_extractf128_ps::<1>(total));
        let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
        _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bf16")]
    unsafe fn load_32(at: *const Bf16) -> __m512bh {
        // SAFETY: the caller's; the two types are the same 512 bits.
        unsafe { std::mem::transmute(_mm512_loadu_si512(at.cast())) }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bf16")]
    fn fma_32(total: __m512, weight: __m512bh, state: __m512bh) -> __m512 {
        _mm512_dpbf16_ps(total, weight, state)
    }
}
