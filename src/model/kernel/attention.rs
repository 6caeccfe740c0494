//! Attention of one query in each row.

use tch::{Device, Kind, Tensor};

use super::exp::exp;
use super::memory::{filled, numbers, usable, Parts};
use super::number::{Bf16, Number};
use super::registers::{Sums, COLUMNS, ROWS};
use super::tile::Tiled;
use super::{threads, widened};
use crate::Result;

/// Softmax attention of queries `[b, h, 1, e]` over keys and values `[b, k, s, e]`, which may be parts of larger tensors,
/// where `seen`, bool `[b, 1, 1, s]`, is true: `[b, h, 1, e]`, in the precision of the keys.
pub(crate) fn attend_once(
    queries: &Tensor,
    keys: &Tensor,
    values: &Tensor,
    seen: &Tensor,
    scale: f64,
) -> Result<Option<Tensor>> {
    if !usable() {
        return Ok(None);
    }
    match keys.kind() {
        Kind::Float => attended::<f32>(queries, keys, values, seen, scale),
        Kind::BFloat16 => attended::<Bf16>(queries, keys, values, seen, scale),
        _ => Ok(None),
    }
}

fn attended<N: Number>(
    queries: &Tensor,
    keys: &Tensor,
    values: &Tensor,
    seen: &Tensor,
    scale: f64,
) -> Result<Option<Tensor>> {
    let (&[batch, heads, 1, size], &[of_seen, 1, 1, slots]) = (queries.size().as_slice(), seen.size().as_slice())
    else {
        return Ok(None);
    };
    let (Some(keys), Some(values)) = (Rows::<N>::of(keys), Rows::<N>::of(values)) else { return Ok(None) };
    let expected = (batch as usize, slots as usize, size as usize);
    let fits = [&keys, &values].iter().all(|rows| (rows.batch, rows.slots, rows.size) == expected)
        && keys.heads == values.heads
        && keys.heads > 0
        && (heads as usize).is_multiple_of(keys.heads)
        && of_seen == batch
        && size > 0
        && seen.kind() == Kind::Bool
        && seen.device() == Device::Cpu;
    let queries = queries.f_to_kind(Kind::Float)?.f_contiguous()?;
    let Some(asked) = numbers::<f32>(&queries).filter(|_| fits) else { return Ok(None) };
    // One byte each, 0 or 1.
    let seen = Vec::<bool>::try_from(seen.f_reshape([-1])?)?;
    let visible: Vec<Vec<usize>> = seen
        .chunks_exact((slots as usize).max(1))
        .map(|row| (0..row.len()).filter(|&slot| row[slot]).collect())
        .collect();
    let (heads, size) = (heads as usize, size as usize);
    let group = heads / keys.heads;
    // Heads that share keys are done together, unless there are too few such groups to share out.
    let together = if batch as usize * keys.heads >= 4 { group } else { 1 };
    filled::<N>(&queries.size(), |made| {
        let made = Parts::new(made);
        threads::share(batch as usize * heads / together, &|part| {
            let first = part * together;
            let (row, head) = (first / heads, first % heads);
            let Some(visible) = visible.get(row) else { return };
            let (keys, values) = (keys.row(row, head / group), values.row(row, head / group));
            // SAFETY: every part has heads of its own.
            let made = unsafe { made.part(first * size, together * size) };
            attend(
                made,
                &asked[first * size..(first + together) * size],
                (keys, values),
                visible,
                (size, scale as f32),
            );
        });
    })
}

/// Keys or values `[b, k, s, e]` whose slots lie one after the other.
struct Rows<'t, N> {
    start: *const N,
    batch: usize,
    heads: usize,
    slots: usize,
    size: usize,
    by_batch: usize,
    by_head: usize,
    tensor: std::marker::PhantomData<&'t Tensor>,
}

// SAFETY: read only, and the tensor is borrowed.
unsafe impl<N: Sync> Sync for Rows<'_, N> {}

impl<'t, N: Number> Rows<'t, N> {
    fn of(tensor: &'t Tensor) -> Option<Self> {
        let (size, stride) = (tensor.size(), tensor.stride());
        let (&[batch, heads, slots, width], &[by_batch, by_head, by_slot, by_number]) =
            (size.as_slice(), stride.as_slice())
        else {
            return None;
        };
        let plain = tensor.kind() == N::KIND
            && tensor.device() == Device::Cpu
            && (by_slot == width || slots == 1)
            && (by_number == 1 || width == 1)
            && tensor.numel() > 0
            && tensor.data_ptr().cast::<N>().is_aligned()
            && by_batch >= 0
            && by_head >= 0;
        plain.then(|| Rows {
            start: tensor.data_ptr().cast::<N>().cast_const(),
            batch: batch as usize,
            heads: heads as usize,
            slots: slots as usize,
            size: width as usize,
            by_batch: by_batch as usize,
            by_head: by_head as usize,
            tensor: std::marker::PhantomData,
        })
    }

    /// The slots of one head, `[s, e]`.
    fn row(&self, batch: usize, head: usize) -> &'t [N] {
        let (batch, head) = (batch.min(self.batch - 1), head.min(self.heads - 1));
        // SAFETY: within the tensor by its sizes and strides, of which the last two were seen to be plain.
        unsafe {
            let start = self.start.add(batch * self.by_batch + head * self.by_head);
            std::slice::from_raw_parts(start, self.slots * self.size)
        }
    }
}

widened! {
    /// Attention of heads that share keys, `[heads, e]`.
    fn attend<N>(
        made: &mut [N],
        queries: &[f32],
        past: (&[N], &[N]),
        visible: &[usize],
        size: (usize, f32),
    ) = plain_attend
}

#[inline(always)]
fn plain_attend<N: Number>(
    made: &mut [N],
    queries: &[f32],
    (keys, values): (&[N], &[N]),
    visible: &[usize],
    (size, scale): (usize, f32),
) {
    let heads = queries.len() / size;
    let mut weights = vec![0.0f32; visible.len() * heads];
    let mut sums = vec![0.0f32; queries.len()];
    let mut room = vec![0.0f32; ROWS * size];
    // Made wide once for all heads.
    for (place, slots) in (0..).step_by(ROWS).zip(visible.chunks(ROWS)) {
        for (wide, &slot) in room.chunks_exact_mut(size).zip(slots) {
            widen(wide, &keys[slot * size..(slot + 1) * size]);
        }
        for first in (0..heads).step_by(COLUMNS) {
            let (width, mut dots) = (COLUMNS.min(heads - first), Sums::default());
            // SAFETY: `room` holds `ROWS` rows and `queries` `width` from `first` on, of `size` numbers; that the processor has
            // the instructions was seen by whoever calls.
            unsafe { f32::sums(room.as_ptr(), ROWS, queries[first * size..].as_ptr(), width, size, &mut dots) };
            for (dots, slot) in dots.iter().zip(place..visible.len()) {
                for (head, dot) in (first..).zip(dots).take(width) {
                    weights[head * visible.len() + slot] = dot * scale;
                }
            }
        }
    }
    for weights in weights.chunks_exact_mut(visible.len().max(1)) {
        let top = by_lanes(weights, f32::NEG_INFINITY, |a, b| if b > a { b } else { a });
        weights.iter_mut().for_each(|weight| *weight = exp(*weight - top));
        let total = by_lanes(weights, 0.0, |a, b| a + b);
        weights.iter_mut().for_each(|weight| *weight /= total);
    }
    for (place, slots) in (0..).step_by(ROWS).zip(visible.chunks(ROWS)) {
        // Slots that fill up the last four have no weight.
        room.fill(0.0);
        for (wide, &slot) in room.chunks_exact_mut(size).zip(slots) {
            widen(wide, &values[slot * size..(slot + 1) * size]);
        }
        let ((first, second), (third, fourth)) = {
            let (low, high) = room.split_at(2 * size);
            (low.split_at(size), high.split_at(size))
        };
        for (sum, weights) in sums.chunks_exact_mut(size).zip(weights.chunks_exact(visible.len().max(1))) {
            let mut four = [0.0; ROWS];
            four.iter_mut().zip(&weights[place..]).for_each(|(four, &weight)| *four = weight);
            let [a, b, c, d] = four;
            for ((((sum, first), second), third), fourth) in
                sum.iter_mut().zip(first).zip(second).zip(third).zip(fourth)
            {
                *sum += (a * first + b * second) + (c * third + d * fourth);
            }
        }
    }
    made.iter_mut().zip(&sums).for_each(|(made, &sum)| *made = N::narrow(sum));
}

#[inline(always)]
fn widen<N: Number>(wide: &mut [f32], numbers: &[N]) {
    wide.iter_mut().zip(numbers).for_each(|(wide, number)| *wide = number.wide());
}

/// All numbers in one, by an operation that may take them in any order.
#[inline(always)]
fn by_lanes(numbers: &[f32], start: f32, both: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [start; 16];
    let (whole, rest) = numbers.as_chunks::<16>();
    for numbers in whole {
        lanes.iter_mut().zip(numbers).for_each(|(lane, &number)| *lane = both(*lane, number));
    }
    lanes.iter_mut().zip(rest).for_each(|(lane, &number)| *lane = both(*lane, number));
    halved(lanes, both)
}

/// By halves: as vectors too.
#[inline(always)]
fn halved(mut lanes: [f32; 16], both: impl Fn(f32, f32) -> f32) -> f32 {
    for half in [8, 4, 2, 1] {
        let (low, high) = lanes.split_at_mut(half);
        low.iter_mut().zip(high).for_each(|(low, &mut high)| *low = both(*low, high));
    }
    lanes[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attention_is_that_of_libtorch() {
        tch::manual_seed(5);
        for (kind, tolerance) in [(Kind::Float, 2e-6), (Kind::BFloat16, 1e-2)] {
            for (batch, heads, groups, slots, size) in
                [(1, 9, 3, 70, 64), (5, 4, 4, 33, 16), (3, 4, 2, 1, 20), (2, 8, 1, 9, 7)]
            {
                let random = |size: [i64; 4]| Tensor::randn(size, (Kind::Float, Device::Cpu)).to_kind(kind);
                let queries = Tensor::randn([batch, heads, 1, size], (Kind::Float, Device::Cpu));
                // More slots than are used, as in a cache with room.
                let (keys, values) =
                    (random([batch, groups, slots + 5, size]), random([batch, groups, slots + 5, size]));
                let (keys, values) = (keys.narrow(2, 0, slots), values.narrow(2, 0, slots));
                let seen = Tensor::rand([batch, 1, 1, slots], (Kind::Float, Device::Cpu)).ge(0.4);
                let _ = seen.select(3, slots - 1).fill_(1);
                let Some(found) = attend_once(&queries, &keys, &values, &seen, 0.3).unwrap() else { return };
                let wide = |tensor: &Tensor| tensor.to_kind(Kind::Double).contiguous();
                let expected = Tensor::scaled_dot_product_attention(
                    &wide(&queries),
                    &wide(&keys),
                    &wide(&values),
                    Some(&seen),
                    0.0,
                    false,
                    0.3,
                    heads != groups,
                );
                let error = (wide(&found) - &expected).abs().max().double_value(&[]);
                let scale = expected.abs().max().double_value(&[]);
                assert!(error / scale < tolerance, "{kind:?} {heads} heads, {slots} slots: {:e}", error / scale);
                assert_eq!((found.size(), found.kind()), (queries.size(), kind));
            }
        }
    }
}
