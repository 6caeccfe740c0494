//! Maps of the same states, whose work is shared out together.

use tch::Tensor;

use super::memory::numbers;
use super::number::Number;
use super::threads;

/// A map `x W^T + b` with W `[outs, n]`.
pub(super) struct Map<'w, N> {
    pub weights: &'w [N],
    /// One for each of `outs`, or none.
    pub bias: &'w [N],
    pub outs: usize,
}

impl<'w, N: Number> Map<'w, N> {
    /// `None` unless weights and bias lie one number after the other as this type, and rows of weights have `n` numbers.
    pub fn of((weight, bias): (&'w Tensor, Option<&'w Tensor>), n: usize) -> Option<Self> {
        let &[outs, width] = weight.size().as_slice() else { return None };
        let weights = numbers::<N>(weight)?;
        let bias = bias.map_or(Some(&[][..]), numbers::<N>)?;
        let fits = width as usize == n && (bias.is_empty() || bias.len() as i64 == outs);
        fits.then_some(Map { weights, bias, outs: outs as usize })
    }
}

/// Shares out the parts of all items, of which each has `parts`.
pub(super) fn share<T: Sync>(items: &[T], parts: impl Fn(&T) -> usize + Sync, work: &(dyn Fn(&T, usize) + Sync)) {
    threads::share(items.iter().map(&parts).sum(), &|part| {
        let mut part = part;
        for item in items {
            let own = parts(item);
            if part < own {
                return work(item, part);
            }
            part -= own;
        }
    });
}
