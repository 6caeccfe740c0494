//! The real tokens of a ragged batch side by side, so that no product is spent on padding.

use tch::{Device, Tensor};

use crate::hook::{Hooks, Site};
use crate::text::TokenBatch;
use crate::Result;

/// Where at least one place in so many is padding, packing costs less than it saves.
const PLACES_PER_PADDED: usize = 8;

/// Where the n real tokens of a batch `[b, t]` lie. Packed states are `[1, n, ..]`.
pub(crate) struct Packing {
    /// Place of each real token among the b·t, `[n]`.
    places: Tensor,
    /// Token of each place, `[b·t]`; padding has the token of its row that is nearest.
    tokens: Tensor,
    /// Each row's last token, `[b]`.
    last: Tensor,
    batch: i64,
    width: i64,
}

impl Packing {
    /// `None` where there is too little padding for it to pay.
    pub fn of(batch: &TokenBatch, device: Device) -> Result<Option<Self>> {
        let &[rows, width] = batch.ids.size().as_slice() else { return Ok(None) };
        let (all, real) = ((rows * width) as usize, batch.rows.iter().map(ExactSizeIterator::len).sum::<usize>());
        let whole = batch.rows.len() == rows as usize && batch.rows.iter().all(|row| !row.is_empty());
        if !whole || (all - real.min(all)) * PLACES_PER_PADDED < all {
            return Ok(None);
        }
        let (mut places, mut tokens, mut last) = (Vec::with_capacity(real), Vec::with_capacity(all), Vec::new());
        for (number, row) in batch.rows.iter().enumerate() {
            let first = places.len() as i64;
            let count = row.len() as i64;
            tokens.extend((0..width).map(|column| first + (column - row.start as i64).clamp(0, count - 1)));
            places.extend(row.clone().map(|column| number as i64 * width + column as i64));
            last.push(first + count - 1);
        }
        let on = |index: &[i64]| -> Result<Tensor> { Ok(Tensor::f_from_slice(index)?.f_to_device(device)?) };
        Ok(Some(Packing { places: on(&places)?, tokens: on(&tokens)?, last: on(&last)?, batch: rows, width }))
    }

    /// `[b, t, ..]` to `[1, n, ..]`.
    pub fn pack(&self, padded: &Tensor) -> Result<Tensor> {
        Ok(padded.f_flatten(0, 1)?.f_index_select(0, &self.places)?.f_unsqueeze(0)?)
    }

    /// `[1, n, ..]` to `[b, t, ..]`. Padding holds the states of a token beside it.
    pub fn unpack(&self, packed: &Tensor) -> Result<Tensor> {
        let spread = packed.f_squeeze_dim(0)?.f_index_select(0, &self.tokens)?;
        Ok(spread.f_unflatten(0, [self.batch, self.width])?)
    }

    /// The states at each row's last real token, `[1, n, d]` to `[b, 1, d]`.
    pub fn last(&self, packed: &Tensor) -> Result<Tensor> {
        Ok(packed.f_index_select(1, &self.last)?.f_transpose(0, 1)?)
    }
}

/// [`Packing::pack`], where there is one.
pub(crate) fn packed(packing: Option<&Packing>, padded: Tensor) -> Result<Tensor> {
    packing.map_or(Ok(padded.shallow_clone()), |packing| packing.pack(&padded))
}

/// [`Packing::unpack`], where there is one.
pub(crate) fn unpacked(packing: Option<&Packing>, states: Tensor) -> Result<Tensor> {
    packing.map_or(Ok(states.shallow_clone()), |packing| packing.unpack(&states))
}

/// A site of tensors that begin with `[b, t]`, for states that may be packed: hooks see them unpacked.
pub(crate) fn tap(
    packing: Option<&Packing>,
    hooks: &mut Hooks<'_>,
    (site, layer): (Site, usize),
    states: Tensor,
) -> Result<Tensor> {
    let Some(packing) = packing.filter(|_| hooks.wants(site, layer)) else { return hooks.tap(site, layer, states) };
    let after = hooks.tap(site, layer, packing.unpack(&states)?)?;
    if hooks.replaces() {
        packing.pack(&after)
    } else {
        Ok(states)
    }
}
