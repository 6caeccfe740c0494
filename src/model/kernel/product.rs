//! Products of weights with states: which way they go.

use tch::{Device, Kind, Tensor};

use super::maps::{share, Map};
use super::memory::{lies_plain, numbers, numbers_mut, usable, Parts};
use super::number::{Bf16, Number};
#[cfg(target_arch = "x86_64")]
use super::panel;
use super::registers::{Sums, COLUMNS, ROWS};
use super::tile::Tiled;
use crate::Result;

/// Up to so many rows of states tiles, which take the weights as they lie, are ahead of libtorch.
const FEW: usize = 48;

/// A number type with both kinds of products.
#[cfg(target_arch = "x86_64")]
pub(super) trait Both: Tiled + panel::Paneled {
    /// Up to so many rows tiles are ahead of panels, which lay out the states first.
    const FEW: usize;
}
#[cfg(target_arch = "x86_64")]
impl Both for f32 {
    const FEW: usize = 20;
}
#[cfg(target_arch = "x86_64")]
impl Both for Bf16 {
    const FEW: usize = 12;
}

#[cfg(not(target_arch = "x86_64"))]
trait Both: Tiled {}
#[cfg(not(target_arch = "x86_64"))]
impl<N: Tiled> Both for N {}

/// `x W^T + b`, `[.., out]`, for x `[.., in]` and each W `[out, in]`: maps of the same states are shared out together. The
/// states are taken as W's number type, the results are f32.
///
/// Each element is a sum over `in` in an order that depends on whether there are few rows or many, not on their number.
pub(crate) fn linear<const M: usize>(
    input: &Tensor,
    maps: [(&Tensor, Option<&Tensor>); M],
) -> Result<Option<[Tensor; M]>> {
    if !usable() {
        return Ok(None);
    }
    if maps.iter().all(|(weight, _)| lies_plain::<f32>(weight)) {
        product::<f32, M>(input, maps)
    } else if maps.iter().all(|(weight, _)| lies_plain::<Bf16>(weight)) {
        product::<Bf16, M>(input, maps)
    } else {
        Ok(None)
    }
}

fn product<N: Both, const M: usize>(
    input: &Tensor,
    maps: [(&Tensor, Option<&Tensor>); M],
) -> Result<Option<[Tensor; M]>> {
    if !<N as Tiled>::available() {
        return Ok(None);
    }
    let mut size = input.size();
    let input = input.f_to_kind(N::KIND)?.f_contiguous()?;
    let Some((states, n)) = rows_of::<N>(&input) else { return Ok(None) };
    let (mut made, mut whole) = (Vec::with_capacity(M), Vec::with_capacity(M));
    for map in maps {
        let Some(map) = Map::<N>::of(map, n) else { return Ok(None) };
        if let Some(last) = size.last_mut() {
            *last = map.outs as i64;
        }
        let mut tensor = Tensor::f_empty(&size, (Kind::Float, Device::Cpu))?;
        let Some(place) = numbers_mut::<f32>(&mut tensor).map(Parts::new) else { return Ok(None) };
        whole.push((map, place));
        made.push(tensor);
    }
    #[cfg(target_arch = "x86_64")]
    if by_panels(whole.iter().map(|(map, _)| map), states, n) {
        return Ok(if panel::product(&whole, states, n)? { made.try_into().ok() } else { None });
    }
    if states.len() / n > FEW {
        return Ok(None);
    }
    multiply(&whole, states, n);
    Ok(made.try_into().ok())
}

/// The numbers of states, of which there are some, and how many a row has.
pub(super) fn rows_of<N: Number>(states: &Tensor) -> Option<(&[N], usize)> {
    let n = states.size().last().map(|&n| n as usize).filter(|&n| n > 0)?;
    numbers::<N>(states).filter(|states| !states.is_empty()).map(|states| (states, n))
}

/// Whether these maps of states in rows of `n` numbers go by panels.
#[cfg(target_arch = "x86_64")]
pub(super) fn by_panels<'m, N: Both>(mut maps: impl Iterator<Item = &'m Map<'m, N>>, states: &[N], n: usize) -> bool {
    let words = |map: &Map<'_, N>| map.weights.as_ptr().cast::<f32>().is_aligned();
    states.len() / n > N::FEW && panel::apply(states, n) && maps.all(words)
}

/// Computes, for each map, `made[column][row] = weights[row] . states[column] + bias[row]`, rows of `n` numbers.
fn multiply<N: Tiled>(maps: &[(Map<'_, N>, Parts<f32>)], states: &[N], n: usize) {
    /// Bytes of weights that a thread takes at a time: much of them is long enough a run for the memory, and there are
    /// parts enough to share out.
    const RUN: usize = 64 * 1024;
    let columns = states.len() / n;
    let rows_at_once = (RUN / (n * size_of::<N>())).clamp(ROWS, 512) / ROWS * ROWS;
    let some_rows = |(map, made): &(Map<'_, N>, Parts<f32>), part: usize| {
        let rows = map.outs;
        let (mut row, end) = (part * rows_at_once, ((part + 1) * rows_at_once).min(rows));
        let mut sums = Sums::default();
        while row < end {
            let count = if row + ROWS <= end { ROWS } else { 1 };
            for first in (0..columns).step_by(COLUMNS) {
                let width = COLUMNS.min(columns - first);
                // SAFETY: `count` rows of weights from `row` on and `width` of states from `first` on lie in the slices;
                // whoever calls has seen that the processor has the instructions.
                unsafe {
                    let (weights, states) = (map.weights.as_ptr().add(row * n), states.as_ptr().add(first * n));
                    N::sums(weights, count, states, width, n, &mut sums);
                }
                for (at, sums) in sums.iter().enumerate().take(count) {
                    let bias = map.bias.get(row + at).map_or(0.0, |bias| bias.wide());
                    for (column, sum) in sums.iter().enumerate().take(width) {
                        // SAFETY: rows of weights are one part's own, and so are the columns of the result.
                        let place = unsafe { made.part((first + column) * rows + row + at, 1) };
                        place[0] = sum + bias;
                    }
                }
            }
            row += count;
        }
    };
    share(maps, |(map, _)| map.outs.div_ceil(rows_at_once), &some_rows);
}

#[cfg(test)]
mod tests {
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
        for kind in [Kind::Float, Kind::BFloat16] {
            for (out, n) in [(1, 1), (3, 7), (4, 16), (37, 33), (64, 576), (130, 100), (2, 1536)] {
                for rows in [1, 2, 5, 6, 7, 12, 13, 31, 48, 49, 70, 300] {
                    let (x, w, b) =
                        (random([rows, n], kind), random([out, n], kind), random([1, out], kind).view([-1]));
                    for bias in [None, Some(&b)] {
                        let Some([found]) = linear(&x, [(&w, bias)]).unwrap() else {
                            let narrow = kind == Kind::BFloat16 && (!<Bf16 as Tiled>::available() || rows > 48);
                            let long = rows > 256 && n > 768;
                            assert!(narrow || long || Level::of_this_machine() == Some(Level::Avx2) && rows > 48);
                            continue;
                        };
                        let wide = |tensor: &Tensor| tensor.to_kind(Kind::Double);
                        let expected = wide(&x).linear(&wide(&w), bias.map(wide).as_ref());
                        let scale = expected.abs().max().double_value(&[]).max(1.0);
                        let error = (wide(&found) - expected).abs().max().double_value(&[]) / scale;
                        assert!(error < 2e-6, "{kind:?} {out}x{n}, {rows} rows: {error:e}");
                        assert_eq!((found.size(), found.kind()), (vec![rows, out], Kind::Float));
                    }
                }
            }
        }
    }

    #[test]
    fn a_row_does_not_depend_on_those_beside_it() {
        tch::manual_seed(2);
        let (x, w) = (random([11, 200], Kind::Float), random([30, 200], Kind::Float));
        let Some([together]) = linear(&x, [(&w, None)]).unwrap() else { return };
        for row in 0..11 {
            let [alone] = linear(&x.narrow(0, row, 1), [(&w, None)]).unwrap().unwrap();
            assert!(alone.equal(&together.narrow(0, row, 1)), "{row}");
        }
    }

    #[test]
    fn maps_together_are_maps_alone() {
        tch::manual_seed(3);
        for kind in [Kind::Float, Kind::BFloat16] {
            for rows in [1, 5, 33] {
                let (x, a, b) = (random([rows, 64], kind), random([30, 64], kind), random([101, 64], kind));
                let bias = random([1, 101], kind).view([-1]);
                let Some([of_a, of_b]) = linear(&x, [(&a, None), (&b, Some(&bias))]).unwrap() else { continue };
                let [a_alone] = linear(&x, [(&a, None)]).unwrap().unwrap();
                let [b_alone] = linear(&x, [(&b, Some(&bias))]).unwrap().unwrap();
                assert!(of_a.equal(&a_alone) && of_b.equal(&b_alone), "{kind:?}, {rows} rows");
            }
        }
        let (x, a, wider) = (random([2, 8], Kind::Float), random([3, 8], Kind::Float), random([3, 9], Kind::Float));
        assert!(linear(&x, [(&a, None), (&wider, None)]).unwrap().is_none(), "another width");
    }

    #[test]
    fn states_are_taken_as_the_type_of_the_weights() {
        tch::manual_seed(4);
        for (kind, other) in [(Kind::Float, Kind::BFloat16), (Kind::BFloat16, Kind::Float)] {
            let (x, w) = (random([5, 64], other), random([30, 64], kind));
            let Some([found]) = linear(&x, [(&w, None)]).unwrap() else { continue };
            let [expected] = linear(&x.to_kind(kind), [(&w, None)]).unwrap().unwrap();
            assert!(found.equal(&expected), "{kind:?}");
        }
    }

    #[test]
    fn what_does_not_apply_is_left_to_libtorch() {
        let x = random([2, 8], Kind::Float);
        let none = |x: &Tensor, w: &Tensor| linear(x, [(w, None)]).unwrap().is_none();
        assert!(none(&x.to_kind(Kind::Double), &random([3, 8], Kind::Double)));
        assert!(none(&x, &random([3, 9], Kind::Float)), "another width");
        assert!(none(&x.to_kind(Kind::Double), &random([3, 8], Kind::Half)), "another type");
        assert!(none(&random([300, 800], Kind::Float), &random([3, 800], Kind::Float)), "many long rows");
        assert!(none(&random([0, 8], Kind::Float), &random([3, 8], Kind::Float)), "no rows");
        assert!(none(&x, &random([8, 3], Kind::Float).tr()), "not in order of rows");
    }
}
