//! Products of weights with states: which way they go.

use tch::Tensor;

use super::memory::{filled, lies_plain, numbers, usable, Parts};
use super::number::Bf16;
#[cfg(target_arch = "x86_64")]
use super::panel;
use super::registers::{Sums, COLUMNS, ROWS};
use super::threads;
use super::tile::Tiled;
use crate::Result;

/// Up to so many rows of states the weights are taken as they lie. With more it is worth the while to lay out the states
/// first, as libtorch does.
const FEW: usize = 48;
/// The same for panels of f32, which are ahead of libtorch from there on.
const FEW_F32: usize = 20;
/// For panels of bf16: from the one to the other number of rows.
const SOME_BF16: std::ops::RangeInclusive<usize> = 13..=256;

/// A number type with both kinds of products.
#[cfg(target_arch = "x86_64")]
trait Both: Tiled + panel::Paneled {}
#[cfg(not(target_arch = "x86_64"))]
trait Both: Tiled {}
impl Both for f32 {}
impl Both for Bf16 {}

/// `x W^T + b`, `[.., out]`, for x `[.., in]` and W `[out, in]`.
///
/// Each element is a sum over `in` in an order that depends on whether there are few rows or many, not on their number.
pub(crate) fn linear(input: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Option<Tensor>> {
    if !usable() {
        return Ok(None);
    }
    if lies_plain::<f32>(weight) {
        product::<f32>(input, weight, bias, |rows| rows > FEW_F32)
    } else if lies_plain::<Bf16>(weight) {
        product::<Bf16>(input, weight, bias, |rows| SOME_BF16.contains(&rows))
    } else {
        Ok(None)
    }
}

fn product<N: Both>(
    input: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    by_panels: impl Fn(usize) -> bool,
) -> Result<Option<Tensor>> {
    if !<N as Tiled>::available() {
        return Ok(None);
    }
    let mut size = input.size();
    let input = input.f_contiguous()?;
    let (Some(states), Some(weights)) = (numbers::<N>(&input), numbers::<N>(weight)) else { return Ok(None) };
    let bias = match bias {
        Some(bias) => match numbers::<N>(bias) {
            Some(bias) => bias,
            None => return Ok(None),
        },
        None => &[],
    };
    let (&[out, n], Some(last)) = (weight.size().as_slice(), size.last_mut()) else { return Ok(None) };
    let fits = *last == n && n > 0 && !states.is_empty() && (bias.is_empty() || bias.len() as i64 == out);
    if !fits {
        return Ok(None);
    }
    *last = out;
    let (n, rows) = (n as usize, states.len() / n as usize);
    #[cfg(target_arch = "x86_64")]
    if by_panels(rows) {
        if let Some(made) = panel::product(weights, states, bias, n, &size)? {
            return Ok(Some(made));
        }
    }
    if rows > FEW {
        return Ok(None);
    }
    filled::<N>(&size, |made| multiply(weights, states, bias, n, made))
}

/// `made[column][row] = weights[row] . states[column] + bias[row]`, rows of `n` numbers.
fn multiply<N: Tiled>(weights: &[N], states: &[N], bias: &[N], n: usize, made: &mut [N]) {
    /// Bytes of weights that a thread takes at a time: much of them is long enough a run for the memory, and there are
    /// parts enough to share out.
    const RUN: usize = 64 * 1024;
    let (rows, columns) = (weights.len() / n, states.len() / n);
    let rows_at_once = (RUN / (n * size_of::<N>())).clamp(ROWS, 512) / ROWS * ROWS;
    let made = Parts::new(made);
    let some_rows = |part: usize| {
        let (mut row, end) = (part * rows_at_once, ((part + 1) * rows_at_once).min(rows));
        let mut sums = Sums::default();
        while row < end {
            let count = if row + ROWS <= end { ROWS } else { 1 };
            for first in (0..columns).step_by(COLUMNS) {
                let width = COLUMNS.min(columns - first);
                // SAFETY: `count` rows of weights from `row` on and `width` of states from `first` on lie in the slices;
                // whoever calls has seen that the processor has the instructions.
                unsafe {
                    let (weights, states) = (weights.as_ptr().add(row * n), states.as_ptr().add(first * n));
                    N::sums(weights, count, states, width, n, &mut sums);
                }
                for (at, sums) in sums.iter().enumerate().take(count) {
                    let bias = bias.get(row + at).map_or(0.0, |bias| bias.wide());
                    for (column, sum) in sums.iter().enumerate().take(width) {
                        // SAFETY: rows of weights are one part's own, and so are the columns of the result.
                        let place = unsafe { made.part((first + column) * rows + row + at, 1) };
                        place[0] = N::narrow(sum + bias);
                    }
                }
            }
            row += count;
        }
    };
    threads::share(rows.div_ceil(rows_at_once), &some_rows);
}

#[cfg(test)]
mod tests {
    use tch::Kind;

    use super::super::tile::Level;
    use super::*;

    fn random(size: [i64; 2], kind: Kind) -> Tensor {
        Tensor::randn(size, (Kind::Float, tch::Device::Cpu)).to_kind(kind)
    }

    #[test]
    fn products_are_those_of_libtorch() {
        if !usable() {
            return;
        }
        tch::manual_seed(1);
        for (kind, tolerance) in [(Kind::Float, 2e-6), (Kind::BFloat16, 8e-3)] {
            for (out, n) in [(1, 1), (3, 7), (4, 16), (37, 33), (64, 576), (130, 100), (2, 1536)] {
                for rows in [1, 2, 5, 6, 7, 12, 13, 31, 48, 49, 70, 300] {
                    let (x, w, b) =
                        (random([rows, n], kind), random([out, n], kind), random([1, out], kind).view([-1]));
                    for bias in [None, Some(&b)] {
                        let Some(found) = linear(&x, &w, bias).unwrap() else {
                            let narrow = kind == Kind::BFloat16 && (!<Bf16 as Tiled>::available() || rows > 48);
                            assert!(narrow || Level::of_this_machine() == Some(Level::Avx2) && rows > 48);
                            continue;
                        };
                        let wide = |tensor: &Tensor| tensor.to_kind(Kind::Double);
                        let expected = wide(&x).linear(&wide(&w), bias.map(wide).as_ref());
                        let scale = expected.abs().max().double_value(&[]).max(1.0);
                        let error = (wide(&found) - expected).abs().max().double_value(&[]) / scale;
                        assert!(error < tolerance, "{kind:?} {out}x{n}, {rows} rows: {error:e}");
                        assert_eq!(found.size(), [rows, out]);
                    }
                }
            }
        }
    }

    #[test]
    fn a_row_does_not_depend_on_those_beside_it() {
        tch::manual_seed(2);
        let (x, w) = (random([11, 200], Kind::Float), random([30, 200], Kind::Float));
        let Some(together) = linear(&x, &w, None).unwrap() else { return };
        for row in 0..11 {
            let alone = linear(&x.narrow(0, row, 1), &w, None).unwrap().unwrap();
            assert!(alone.equal(&together.narrow(0, row, 1)), "{row}");
        }
    }

    #[test]
    fn what_does_not_apply_is_left_to_libtorch() {
        let x = random([2, 8], Kind::Float);
        let none = |x: &Tensor, w: &Tensor| linear(x, w, None).unwrap().is_none();
        assert!(none(&x.to_kind(Kind::Double), &random([3, 8], Kind::Double)));
        assert!(none(&x, &random([3, 9], Kind::Float)), "another width");
        assert!(none(&x, &random([3, 8], Kind::BFloat16)), "another type");
        assert!(none(&random([300, 8], Kind::BFloat16), &random([3, 8], Kind::BFloat16)), "many rows");
        assert!(none(&random([0, 8], Kind::Float), &random([3, 8], Kind::Float)), "no rows");
        assert!(none(&x, &random([8, 3], Kind::Float).tr()), "not in order of rows");
    }
}
