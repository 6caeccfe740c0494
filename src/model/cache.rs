//! Keys and values of a batch of conversations, kept between passes.

use tch::{Kind, Tensor};

use super::DecoderConfig;
use crate::text::{SlotLedger, TokenBatch, TokenTree};
use crate::{Error, Result};

/// Keys and values of b rows, per layer `[b, k, slots, e]`, and the tokens they stand for.
///
/// There is room for what was reserved; without a reservation it grows by half, so that appending does not copy what is there
/// each time.
#[derive(Debug, Default)]
pub struct KvCache {
    layers: Vec<Option<(Tensor, Tensor)>>,
    ledger: SlotLedger,
    reserved: usize,
    limit: Option<usize>,
}

impl KvCache {
    /// An empty cache; it takes the shape of the first batch that is run with it.
    pub fn new() -> Self {
        KvCache::default()
    }

    /// An empty cache that may take at most so many bytes.
    pub(crate) fn within(limit: Option<usize>) -> Self {
        KvCache { limit, ..KvCache::default() }
    }

    /// Announces that so many slots will follow those that are there: the next time that room is made, it is made for these.
    pub(crate) fn reserve(&mut self, slots: usize) {
        self.reserved = self.ledger.slots() + slots;
    }

    /// What each slot holds.
    pub fn ledger(&self) -> &SlotLedger {
        &self.ledger
    }

    /// Keeps what the cached rows and `texts` have in common from the start, and lays out the remaining
    /// tokens as a batch. Run that batch with this cache next.
    ///
    /// # Errors
    /// Those of [`SlotLedger::append`].
    pub fn continue_with(&mut self, texts: &[&[u32]]) -> Result<TokenBatch> {
        let kept = self.ledger.keep_common_prefix(texts);
        let rest: Vec<&[u32]> =
            texts.iter().zip(kept).map(|(text, kept)| text.get(kept..).unwrap_or_default()).collect();
        self.append(&rest)
    }

    /// Lays out tokens that follow what is cached. Run that batch with this cache next.
    ///
    /// # Errors
    /// Those of [`SlotLedger::append`].
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
    /// [`Error::RowCount`](crate::Error::RowCount) for another number of rows.
    pub(crate) fn branch(&mut self, trees: &[TokenTree]) -> Result<TokenBatch> {
        self.ledger.branch(trees)
    }

    /// Exchanges two rows.
    ///
    /// # Errors
    /// [`Error::Torch`](crate::Error::Torch).
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
    /// [`Error::RowCount`](crate::Error::RowCount) unless this cache has one row.
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
        })
    }

    /// Bytes that the keys and values take.
    pub fn bytes(&self) -> usize {
        let size = |tensor: &Tensor| tensor.numel() * tensor.kind().elt_size_in_bytes();
        self.layers.iter().flatten().map(|(keys, values)| size(keys) + size(values)).sum()
    }

    /// Stores new keys and values `[b, k, t, e]` of a layer in the last slots, in this precision, and returns all of them,
    /// `[b, k, slots, e]`.
    pub(crate) fn store(
        &mut self,
        config: &DecoderConfig,
        layer: usize,
        (keys, values): (&Tensor, &Tensor),
        precision: Kind,
    ) -> Result<(Tensor, Tensor)> {
        self.layers.resize_with(config.layers, || None);
        let slots = self.ledger.slots() as i64;
        let &[batch, heads, new, size] = keys.size().as_slice() else {
            return Ok((keys.shallow_clone(), values.shallow_clone()));
        };
        let past = slots - new;
        let rows = self.ledger.rows() as i64;
        let held = self.layers[layer].take().filter(|(keys, _)| keys.size()[0] == rows);
        let room = held.as_ref().map_or(0, |(keys, _)| keys.size()[2]);
        let (all_keys, all_values) = match held {
            Some(pair) if room >= slots => pair,
            held => {
                let capacity = self.capacity(config, room, (rows as usize, precision))?;
                let grown = |old: Option<&Tensor>| -> Result<Tensor> {
                    let fresh = Tensor::f_empty([rows, heads, capacity, size], (precision, keys.device()))?;
                    let old = old.filter(|_| past > 0);
                    if let Some(old) = old {
                        fresh.f_narrow(2, 0, past)?.f_copy_(&old.f_narrow(2, 0, past)?)?;
                    }
                    // Zeros, since slots that a row skips may be read, with no weight.
                    let kept = if old.is_some() { past } else { 0 };
                    let _ = fresh.f_narrow(2, kept, capacity - kept)?.f_zero_()?;
                    Ok(fresh)
                };
                (grown(held.as_ref().map(|pair| &pair.0))?, grown(held.as_ref().map(|pair| &pair.1))?)
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

    /// For how many slots room is made, where there is room for `room`.
    fn capacity(&self, config: &DecoderConfig, room: i64, (rows, kind): (usize, Kind)) -> Result<i64> {
        let slots = self.ledger.slots() as i64;
        let wanted = (self.reserved as i64).max(room + room / 2).min(config.context as i64).max(slots);
        let Some(limit) = self.limit else { return Ok(wanted) };
        let slot = 2 * config.layers * config.kv_heads * config.head_size * rows * kind.elt_size_in_bytes();
        let most = (limit / slot.max(1)) as i64;
        if slots > most {
            let expected = format!(
                "at least {} for {rows} conversations of {slots} tokens, or fewer side by side",
                slot as i64 * slots
            );
            return Err(Error::setting("cache_budget", limit, expected));
        }
        Ok(wanted.min(most))
    }
}
