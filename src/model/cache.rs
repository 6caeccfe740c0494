//! Keys and values of a batch of conversations, kept between passes.

use tch::{Kind, Tensor};

use super::Network;
use crate::text::{SlotLedger, TokenBatch, TokenTree};
use crate::{Error, Result};

/// More layers than any network has: a larger number is a mistake.
const MAX_LAYERS: usize = 100_000;

/// Keys and values of b rows, per layer `[b, k, slots, e]`, and the tokens they stand for.
///
/// A batch is laid out by [`KvCache::continue_with`] or [`KvCache::append`]; the pass over it hands each layer's new keys and
/// values to [`KvCache::extend`] and attends to what that returns. It works for any [`Network`]: layers and shapes are those
/// of the first pass.
///
/// There is room for what was reserved; without a reservation it grows by half, so that appending does not copy what is there
/// each time.
#[derive(Debug, Default)]
pub struct KvCache {
    layers: Vec<Option<(Tensor, Tensor)>>,
    ledger: SlotLedger,
    reserved: usize,
    limit: Option<usize>,
    /// The longest text of the network, where it is known: no room is made beyond it.
    context: Option<usize>,
    /// Bytes that a token takes in all layers, where the network says.
    bytes_per_token: Option<usize>,
}

impl KvCache {
    /// An empty cache; it takes the shape of the first batch that is run with it.
    pub fn new() -> Self {
        KvCache::default()
    }

    /// An empty cache for a network, which may take at most so many bytes.
    pub(crate) fn for_network(network: &dyn Network, limit: Option<usize>) -> Self {
        let (context, bytes_per_token) = (Some(network.context()), network.cache_bytes_per_token());
        KvCache { limit, context, bytes_per_token, ..KvCache::default() }
    }

    /// Announces that so many slots will follow those that are there: the next time that room is made, it is made for these.
    pub(crate) fn reserve(&mut self, slots: usize) {
        self.reserved = self.ledger.slots() + slots;
    }

    /// What each slot holds.
    pub(crate) fn ledger(&self) -> &SlotLedger {
        &self.ledger
    }

    /// Keeps what the cached rows and `texts` have in common from the start, and lays out the remaining
    /// tokens as a batch. Run that batch with this cache next.
    ///
    /// # Errors
    /// [`Error::TextLength`] for an empty row; [`Error::RowCount`] for another number of rows than are cached.
    pub fn continue_with(&mut self, texts: &[&[u32]]) -> Result<TokenBatch> {
        let kept = self.ledger.keep_common_prefix(texts);
        let rest: Vec<&[u32]> =
            texts.iter().zip(kept).map(|(text, kept)| text.get(kept..).unwrap_or_default()).collect();
        self.append(&rest)
    }

    /// Lays out tokens that follow what is cached. Run that batch with this cache next.
    ///
    /// # Errors
    /// [`Error::TextLength`] for an empty row; [`Error::RowCount`] for another number of rows than are cached.
    pub fn append(&mut self, texts: &[&[u32]]) -> Result<TokenBatch> {
        self.ledger.append(texts)
    }

    /// [`KvCache::append`] for the first rows only, as many as `texts`: the other rows do not take part in the
    /// pass.
    ///
    /// # Errors
    /// Those of [`KvCache::append`].
    pub(crate) fn append_first(&mut self, texts: &[&[u32]]) -> Result<TokenBatch> {
        self.ledger.append_first(texts)
    }

    /// Lays out branches that follow what is cached. Run that batch with this cache next, then
    /// [`KvCache::truncate`] it to the slots that it had.
    ///
    /// # Errors
    /// [`Error::RowCount`] for another number of rows.
    pub(crate) fn branch(&mut self, trees: &[TokenTree]) -> Result<TokenBatch> {
        self.ledger.branch(trees)
    }

    /// Exchanges two rows.
    ///
    /// # Errors
    /// [`Error::Torch`].
    pub(crate) fn swap(&mut self, a: usize, b: usize) -> Result<()> {
        if a == b {
            return Ok(());
        }
        let slots = self.ledger.slots() as i64;
        for (keys, values) in self.layers.iter().flatten() {
            for tensor in [keys, values] {
                let used = tensor.f_narrow(2, 0, slots.min(tensor.size()[2]))?;
                let (mut a, mut b) = (used.f_select(0, a as i64)?, used.f_select(0, b as i64)?);
                let mut kept = a.f_empty_like()?;
                kept.f_copy_(&a)?;
                a.f_copy_(&b)?;
                b.f_copy_(&kept)?;
            }
        }
        self.ledger.swap(a, b);
        Ok(())
    }

    /// Takes back all slots from `slots` on, as after scoring a branch.
    pub fn truncate(&mut self, slots: usize) {
        self.ledger.truncate(slots);
    }

    /// A cache of `rows` rows that all hold what this one's only row holds.
    ///
    /// # Errors
    /// [`Error::RowCount`] unless this cache has one row.
    pub fn repeated(&self, rows: usize) -> Result<KvCache> {
        let ledger = self.ledger.repeated(rows)?;
        let slots = ledger.slots() as i64;
        // Views: no slot is free in them, so that the first append copies.
        let view = |tensor: &Tensor| -> Result<Tensor> {
            let size = tensor.size();
            Ok(tensor.f_narrow(2, 0, slots)?.f_expand([rows as i64, size[1], slots, size[3]], false)?)
        };
        let repeat = |pair: &Option<(Tensor, Tensor)>| -> Result<_> {
            pair.as_ref().map(|(keys, values)| Ok((view(keys)?, view(values)?))).transpose()
        };
        Ok(KvCache {
            layers: self.layers.iter().map(repeat).collect::<Result<_>>()?,
            ledger,
            reserved: 0,
            limit: self.limit,
            context: self.context,
            bytes_per_token: self.bytes_per_token,
        })
    }

    /// Bytes that the keys and values take.
    pub fn bytes(&self) -> usize {
        let size = |tensor: &Tensor| tensor.numel() * tensor.kind().elt_size_in_bytes();
        self.layers.iter().flatten().map(|(keys, values)| size(keys) + size(values)).sum()
    }

    /// Keeps the keys and values `[b, k, t, e]` of the tokens that a pass runs in one layer, counted from 0, after those
    /// that are cached, and returns all of the layer's, `[b, k, slots, e]`: what the queries of the pass attend to, as
    /// [`TokenBatch::seen`] says. A pass calls this once in each layer that attends, for the batch that
    /// [`KvCache::continue_with`] or [`KvCache::append`] has just laid out. They are kept in the precision `kind`.
    ///
    /// # Errors
    /// [`Error::Mismatch`] for keys or values of another shape than the batch asks for; [`Error::Setting`] where the
    /// session's limit does not allow for them; [`Error::Torch`].
    pub fn extend(&mut self, layer: usize, keys: &Tensor, values: &Tensor, kind: Kind) -> Result<(Tensor, Tensor)> {
        let (rows, slots) = (self.ledger.rows() as i64, self.ledger.slots() as i64);
        let (&[batch, _, new, _], &[value_batch, _, value_new, _]) = (keys.size().as_slice(), values.size().as_slice())
        else {
            return Err(unfit(keys));
        };
        if batch > rows || new > slots || (value_batch, value_new) != (batch, new) || layer >= MAX_LAYERS {
            return Err(unfit(keys));
        }
        if self.layers.len() <= layer {
            self.layers.resize_with(layer + 1, || None);
        }
        let past = slots - new;
        let held = self.layers[layer].take().filter(|(keys, _)| keys.size()[0] == rows);
        // Copying would spread a single head over all.
        let alike = |held: &Tensor, given: &Tensor| {
            let (held, given) = (held.size(), given.size());
            (held.get(1), held.get(3)) == (given.get(1), given.get(3))
        };
        if held.as_ref().is_some_and(|(old_keys, old_values)| !alike(old_keys, keys) || !alike(old_values, values)) {
            return Err(unfit(keys));
        }
        let room = held.as_ref().map_or(0, |(keys, _)| keys.size()[2]);
        let (all_keys, all_values) = match held {
            Some(pair) if room >= slots => pair,
            held => {
                let capacity = self.capacity(room, slot_bytes(keys, values, kind))?;
                let (old_keys, old_values) = held.unzip();
                let grown = |old: Option<Tensor>, new: &Tensor| grown(old, new, [rows, past, capacity], kind);
                (grown(old_keys, keys)?, grown(old_values, values)?)
            }
        };
        let first = |all: &Tensor| all.f_narrow(0, 0, batch);
        let (running_keys, running_values) = (first(&all_keys)?, first(&all_values)?);
        running_keys.f_narrow(2, past, new)?.f_copy_(keys)?;
        running_values.f_narrow(2, past, new)?.f_copy_(values)?;
        let view = (running_keys.f_narrow(2, 0, slots)?, running_values.f_narrow(2, 0, slots)?);
        self.layers[layer] = Some((all_keys, all_values));
        Ok(view)
    }

    /// For how many slots room is made, where there is room for `room`; a slot of one row takes `slot` bytes in this layer.
    fn capacity(&self, room: i64, slot: usize) -> Result<i64> {
        let (rows, slots) = (self.ledger.rows(), self.ledger.slots() as i64);
        let wanted =
            (self.reserved as i64).max(room + room / 2).min(self.context.map_or(i64::MAX, |context| context as i64));
        let Some(limit) = self.limit else { return Ok(wanted.max(slots)) };
        // A network that does not say what a token takes gets no more room than it needs.
        let (token, taken, wanted) = match self.bytes_per_token {
            Some(token) => (token, 0, wanted.max(slots)),
            None => (slot, self.bytes(), slots),
        };
        let most = (limit.saturating_sub(taken) / (token * rows).max(1)) as i64;
        if slots > most {
            let needed = taken + token * rows * slots as usize;
            let expected =
                format!("at least {needed} for {rows} conversations of {slots} tokens, or fewer side by side");
            return Err(Error::setting("cache_budget", limit, expected));
        }
        Ok(wanted.min(most))
    }
}

/// Bytes of a slot of one row, in one layer.
fn slot_bytes(keys: &Tensor, values: &Tensor, kind: Kind) -> usize {
    let numbers = |tensor: &Tensor| tensor.size().iter().skip(1).step_by(2).product::<i64>() as usize;
    (numbers(keys) + numbers(values)) * kind.elt_size_in_bytes()
}

/// Room for `capacity` slots in each of `rows` rows like `new`, `[b, k, t, e]`, beginning with `past` slots of `old`.
fn grown(old: Option<Tensor>, new: &Tensor, [rows, past, capacity]: [i64; 3], kind: Kind) -> Result<Tensor> {
    let size = new.size();
    let fresh = Tensor::f_empty([rows, size[1], capacity, size[3]], (kind, new.device()))?;
    let old = old.filter(|_| past > 0);
    if let Some(old) = &old {
        fresh.f_narrow(2, 0, past)?.f_copy_(&old.f_narrow(2, 0, past)?)?;
    }
    // Zeros, since slots that a row skips may be read, with no weight.
    let kept = if old.is_some() { past } else { 0 };
    let _ = fresh.f_narrow(2, kept, capacity - kept)?.f_zero_()?;
    Ok(fresh)
}

fn unfit(keys: &Tensor) -> Error {
    let problem = format!("{:?} are not [b, k, t, e] of the batch that was laid out last", keys.size());
    Error::mismatch("keys and values for a cache", problem)
}
