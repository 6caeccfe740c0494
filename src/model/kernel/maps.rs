//! Maps of the same states, whose work is shared out together.

use super::memory::Parts;
use super::number::Number;
use super::threads;

/// A map `x W^T + b` with W `[outs, n]`, and where its results go.
pub(super) struct Map<'w, N> {
    pub weights: &'w [N],
    /// One for each of `outs`, or none.
    pub bias: &'w [N],
    pub outs: usize,
    /// `[rows, outs]`: sums as they are, in f32 for every number type.
    pub made: Parts<f32>,
}

/// Shares out the parts of all maps, of which each has `parts`.
pub(super) fn share<N: Number>(
    maps: &[Map<'_, N>],
    parts: impl Fn(&Map<'_, N>) -> usize + Sync,
    work: &(dyn Fn(&Map<'_, N>, usize) + Sync),
) {
    threads::share(maps.iter().map(&parts).sum(), &|part| {
        let mut part = part;
        for map in maps {
            let own = parts(map);
            if part < own {
                return work(map, part);
            }
            part -= own;
        }
    });
}
