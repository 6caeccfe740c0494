//! Padded batches: the one place where positions and attention masks are made.

use tch::{Device, Kind, Tensor};

use crate::{Error, Result};

/// On which side shorter rows are filled up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PadSide {
    /// After the text: real tokens never see the padding, so plain causal attention is exact.
    #[default]
    Right,
    /// Before the text: the padding is masked and takes no positions.
    Left,
}

/// What each query position may attend to.
#[derive(Debug)]
pub(crate) enum Mask {
    /// Every position sees itself and those before it; no mask tensor is needed.
    Causal,
    /// `true` where attended, `[b, 1, t, s]`.
    Explicit(Tensor),
}

impl Mask {
    /// `true` where attended, `[b, 1, t, s]`, or `[t, t]` for all rows of whole texts of `tokens` tokens.
    pub(crate) fn seen(&self, tokens: i64, device: Device) -> Result<Tensor> {
        match self {
            Mask::Causal => Ok(Tensor::f_ones([tokens, tokens], (Kind::Bool, device))?.f_tril(0)?),
            Mask::Explicit(mask) => Ok(mask.shallow_clone()),
        }
    }

    pub(crate) fn on(&self, device: Device) -> Result<Self> {
        match self {
            Mask::Causal => Ok(Mask::Causal),
            Mask::Explicit(mask) => Ok(Mask::Explicit(mask.f_to_device(device)?)),
        }
    }
}

/// A rectangular batch of token rows, b rows of t tokens.
#[derive(Debug)]
#[non_exhaustive]
pub struct TokenBatch {
    /// Token ids, `[b, t]`, i64; padding holds id 0.
    pub ids: Tensor,
    /// Logical position of each token in its own text, `[b, t]`, i64; 0 in padding.
    pub positions: Tensor,
    /// Which earlier tokens each token sees.
    pub(crate) mask: Mask,
    /// Logical position of each slot that can be attended to, `[b, s]`, i64, where a cache holds earlier ones;
    /// else they are `positions`.
    pub key_positions: Option<Tensor>,
    /// Where in the t dimension each row's real tokens lie, `[b]`.
    pub rows: Vec<std::ops::Range<usize>>,
    /// How many tokens of its text come before those of each row, `[b]`.
    pub starts: Vec<usize>,
    /// Which of the texts each row is, `[b]`: all of them in order, except that while a
    /// [`Session`](crate::generate::Session) generates, rows that have ended are gone and others in their places.
    pub texts: Vec<usize>,
}

impl TokenBatch {
    /// A batch of whole texts.
    ///
    /// # Errors
    /// [`Error::TextLength`] for an empty row (named by its number) or no rows.
    pub fn new(texts: &[&[u32]], side: PadSide) -> Result<Self> {
        Self::layout(texts, side, &mut SlotLedger::default())
    }

    fn layout(texts: &[&[u32]], side: PadSide, ledger: &mut SlotLedger) -> Result<Self> {
        if texts.is_empty() {
            return Err(Error::text_length("a batch without texts", 0, usize::MAX));
        }
        let width = texts.iter().map(|text| text.len()).max().unwrap_or(0);
        if let Some(row) = texts.iter().position(|text| text.is_empty()) {
            return Err(Error::text_length(format!("row {row} of a batch"), 0, usize::MAX));
        }
        let past = ledger.slots();
        ledger.rows.resize_with(ledger.rows.len().max(texts.len()), Vec::new);
        let (mut ids, mut positions, mut rows, mut starts) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (text, slots) in texts.iter().zip(&mut ledger.rows) {
            let lead = if side == PadSide::Left { width - text.len() } else { 0 };
            let known = slots.iter().flatten().count();
            for column in 0..width {
                let token = column.checked_sub(lead).and_then(|at| text.get(at)).copied();
                ids.push(token.map_or(0, i64::from));
                positions.push(token.map_or(0, |_| (known + column - lead) as i64));
                slots.push(token);
            }
            rows.push(lead..lead + text.len());
            starts.push(known);
        }
        ledger.rows.iter_mut().skip(texts.len()).for_each(|slots| slots.resize(past + width, None));
        let size = [texts.len() as i64, width as i64];
        let ragged = texts.iter().any(|text| text.len() != width);
        let plain = past == 0 && (side == PadSide::Right || !ragged);
        let mask = if plain { Mask::Causal } else { Mask::Explicit(ledger.mask(texts.len(), past, width)?) };
        let key_positions = (past > 0).then(|| ledger.positions(texts.len())).transpose()?;
        Ok(TokenBatch {
            ids: Tensor::f_from_slice(&ids)?.f_view(size)?,
            positions: Tensor::f_from_slice(&positions)?.f_view(size)?,
            mask,
            key_positions,
            rows,
            starts,
            texts: (0..texts.len()).collect(),
        })
    }

    /// What each token may attend to: `true` where it does, of a shape that goes with `[b, h, t, s]`. The s slots are those
    /// of [`KvCache::extend`](crate::model::KvCache::extend), or the batch's own tokens where there is no cache.
    ///
    /// # Errors
    /// [`Error::Torch`].
    pub fn seen(&self) -> Result<Tensor> {
        self.mask.seen(self.ids.size().get(1).copied().unwrap_or(0), self.ids.device())
    }

    /// The mask of layers in which a token sees only the last `window` tokens, itself included; `None` where
    /// no text is longer than that, so that `mask` serves.
    ///
    /// # Errors
    /// [`Error::Torch`].
    pub(crate) fn windowed_mask(&self, window: usize) -> Result<Option<Mask>> {
        let longest = self.positions.f_max()?.f_int64_value(&[])?;
        if longest < window as i64 {
            return Ok(None);
        }
        let keys = self.key_positions.as_ref().unwrap_or(&self.positions);
        let distances = self.positions.f_unsqueeze(-1)?.f_sub(&keys.f_unsqueeze(1)?)?;
        let near = distances.f_lt(window as i64)?.f_unsqueeze(1)?;
        let seen = match &self.mask {
            Mask::Explicit(seen) => seen.f_logical_and(&near)?,
            Mask::Causal => near.f_tril(0)?,
        };
        Ok(Some(Mask::Explicit(seen)))
    }

    /// Hides tokens from all others: of each row those in its `ranges` of the t dimension, `[b]`. They see what they saw,
    /// each other included.
    ///
    /// # Errors
    /// [`Error::RowCount`] unless there are ranges for every row; [`Error::Setting`] where a cache holds earlier tokens.
    pub(crate) fn hide(&mut self, ranges: &[Vec<std::ops::Range<usize>>]) -> Result<()> {
        if ranges.len() != self.rows.len() {
            let what = "rows to hide tokens of".to_owned();
            return Err(Error::row_count(what, self.rows.len(), ranges.len()));
        }
        if self.key_positions.is_some() {
            return Err(Error::setting("hidden", "after cached tokens", "tokens of a batch that begins its texts"));
        }
        if ranges.iter().all(Vec::is_empty) {
            return Ok(());
        }
        let width = self.ids.size().get(1).copied().unwrap_or(0);
        let mut hidden = Vec::with_capacity(ranges.len() * width as usize);
        for of_row in ranges {
            hidden.extend((0..width as usize).map(|column| of_row.iter().any(|range| range.contains(&column))));
        }
        let hidden = Tensor::f_from_slice(&hidden)?.f_view([ranges.len() as i64, 1, 1, width])?;
        let open = hidden.f_logical_not()?.f_logical_or(&hidden.f_transpose(2, 3)?)?;
        let seen = match &self.mask {
            Mask::Explicit(seen) => seen.f_logical_and(&open)?,
            Mask::Causal => open.f_tril(0)?,
        };
        self.mask = Mask::Explicit(seen);
        Ok(())
    }

    /// Index of each row's last real token in the t dimension, `[b]`, i64.
    ///
    /// # Errors
    /// [`Error::Torch`].
    pub fn last(&self) -> Result<Tensor> {
        let last: Vec<i64> = self.rows.iter().map(|row| row.end as i64 - 1).collect();
        Ok(Tensor::f_from_slice(&last)?)
    }

    /// The batch on a device; where it lies there already, nothing is copied.
    ///
    /// # Errors
    /// [`Error::Torch`].
    pub fn on(&self, device: Device) -> Result<Self> {
        let moved = |tensor: &Tensor| tensor.f_to_device(device);
        Ok(TokenBatch {
            ids: moved(&self.ids)?,
            positions: moved(&self.positions)?,
            mask: self.mask.on(device)?,
            key_positions: self.key_positions.as_ref().map(moved).transpose()?,
            rows: self.rows.clone(),
            starts: self.starts.clone(),
            texts: self.texts.clone(),
        })
    }
}

/// What each slot of a key/value cache holds, row by row.
///
/// All rows have the same number of slots; a slot is a token or a gap (padding, or a token that is no longer held).
/// Gaps are masked and take no positions, so rows of unequal lengths grow side by side.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SlotLedger {
    rows: Vec<Vec<Option<u32>>>,
}

impl PadSide {
    /// The side's name: "right" or "left".
    pub fn name(self) -> &'static str {
        match self {
            PadSide::Right => "right",
            PadSide::Left => "left",
        }
    }
}

impl SlotLedger {
    /// A ledger of so many rows that hold nothing.
    pub(super) fn empty(rows: usize) -> Self {
        SlotLedger { rows: vec![Vec::new(); rows] }
    }

    /// Slots of each row, gaps included.
    pub fn slots(&self) -> usize {
        self.rows.first().map_or(0, Vec::len)
    }

    /// Rows.
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// Tokens that a row holds, in order.
    pub fn tokens(&self, row: usize) -> impl Iterator<Item = u32> + '_ {
        self.rows.get(row).into_iter().flatten().flatten().copied()
    }

    /// Makes each row hold just a prefix of its new text and returns how long that prefix is. At least the
    /// last token of each text is left to be run, since its state is what the caller is after.
    ///
    /// A ledger of other rows than `texts` is emptied first.
    pub fn keep_common_prefix(&mut self, texts: &[&[u32]]) -> Vec<usize> {
        if self.rows.len() != texts.len() {
            self.rows = vec![Vec::new(); texts.len()];
        }
        let mut kept = Vec::with_capacity(texts.len());
        for (slots, text) in self.rows.iter_mut().zip(texts) {
            let mut agreed = 0;
            let limit = text.len().saturating_sub(1);
            let mut same = true;
            for slot in slots.iter_mut().filter(|slot| slot.is_some()) {
                same = same && agreed < limit && *slot == text.get(agreed).copied();
                if same {
                    agreed += 1;
                } else {
                    *slot = None;
                }
            }
            kept.push(agreed);
        }
        // Slots at the end that are gaps in every row need not stay.
        while self.slots() > 0 && self.rows.iter().all(|slots| matches!(slots.last(), Some(None))) {
            self.truncate(self.slots() - 1);
        }
        kept
    }

    /// A ledger of `rows` rows that all hold what this one's only row holds.
    ///
    /// # Errors
    /// [`Error::RowCount`] unless this ledger has one row.
    pub fn repeated(&self, rows: usize) -> Result<SlotLedger> {
        let [only] = self.rows.as_slice() else {
            let what = "a ledger to repeat".to_owned();
            return Err(Error::row_count(what, 1, self.rows.len()));
        };
        Ok(SlotLedger { rows: vec![only.clone(); rows] })
    }

    /// Exchanges two rows.
    pub(crate) fn swap(&mut self, a: usize, b: usize) {
        if a.max(b) < self.rows.len() {
            self.rows.swap(a, b);
        }
    }

    /// Drops all slots from `slots` on.
    pub fn truncate(&mut self, slots: usize) {
        self.rows.iter_mut().for_each(|row| row.truncate(slots));
    }

    /// A batch of tokens that follow what the rows hold; they are entered in the ledger.
    ///
    /// # Errors
    /// [`Error::TextLength`] for an empty row; [`Error::RowCount`] for another number of rows.
    pub fn append(&mut self, texts: &[&[u32]]) -> Result<TokenBatch> {
        if !self.rows.is_empty() && self.rows.len() != texts.len() {
            let what = "tokens to append to a cache".to_owned();
            return Err(Error::row_count(what, self.rows.len(), texts.len()));
        }
        TokenBatch::layout(texts, PadSide::Right, self)
    }

    /// [`SlotLedger::append`] for the first rows only, as many as `texts`; the others get gaps.
    ///
    /// # Errors
    /// Those of [`SlotLedger::append`]; [`Error::RowCount`] for more rows than the ledger has.
    pub(crate) fn append_first(&mut self, texts: &[&[u32]]) -> Result<TokenBatch> {
        if texts.len() > self.rows.len() {
            let what = "tokens to append to the first rows of a cache".to_owned();
            return Err(Error::row_count(what, self.rows.len(), texts.len()));
        }
        TokenBatch::layout(texts, PadSide::Right, self)
    }

    /// Logical position of each slot of the first rows, `[b, s]`; gaps have that of the token before them.
    fn positions(&self, rows: usize) -> Result<Tensor> {
        let cells: Vec<i64> = (0..rows).flat_map(|row| self.positions_of(row)).collect();
        Ok(Tensor::f_from_slice(&cells)?.f_view([rows as i64, self.slots() as i64])?)
    }

    /// Logical position of each slot of a row.
    pub(super) fn positions_of(&self, row: usize) -> impl Iterator<Item = i64> + '_ {
        let mut tokens = 0i64;
        self.rows.get(row).into_iter().flatten().map(move |slot| {
            tokens += i64::from(slot.is_some());
            (tokens - 1).max(0)
        })
    }

    /// Which slots of a row hold a token.
    pub(super) fn held(&self, row: usize) -> impl Iterator<Item = bool> + '_ {
        self.rows.get(row).into_iter().flatten().map(Option::is_some)
    }

    /// Adds slots to a row; all rows must get as many.
    pub(super) fn enter(&mut self, row: usize, slots: impl Iterator<Item = Option<u32>>) {
        if let Some(row) = self.rows.get_mut(row) {
            row.extend(slots);
        }
    }

    /// `[b, 1, t, s]`: each of the last `width` slots sees the tokens up to itself. Padding sees itself, so
    /// that no row of the softmax is empty. Of the first rows.
    fn mask(&self, rows: usize, past: usize, width: usize) -> Result<Tensor> {
        let slots = past + width;
        let mut cells = Vec::with_capacity(rows * width * slots);
        for row in self.rows.iter().take(rows) {
            for query in past..slots {
                cells.extend(
                    row.iter()
                        .enumerate()
                        .map(|(key, token)| u8::from(key == query || (key < query && token.is_some()))),
                );
            }
        }
        let size = [rows as i64, 1, width as i64, slots as i64];
        Ok(Tensor::f_from_slice(&cells)?.f_view(size)?.f_to_kind(Kind::Bool)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_tokens_are_seen_by_each_other_only() {
        let mut batch = TokenBatch::new(&[&[1, 2, 3, 4], &[5, 6]], PadSide::Right).unwrap();
        batch.hide(&[vec![1..3; 1], vec![]]).unwrap();
        let seen = |mask: &Mask| match mask {
            Mask::Explicit(mask) => {
                Vec::<bool>::try_from(mask.view([-1])).unwrap().iter().map(|&s| u8::from(s)).collect()
            }
            Mask::Causal => Vec::new(),
        };
        assert_eq!(seen(&batch.mask)[..16], [1, 0, 0, 0, 1, 1, 0, 0, 1, 1, 1, 0, 1, 0, 0, 1]);
        assert_eq!(seen(&batch.mask)[16..], [1, 0, 0, 0, 1, 1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 1]);
        let windowed = batch.windowed_mask(2).unwrap().unwrap();
        assert_eq!(seen(&windowed)[..16], [1, 0, 0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 1]);
        assert_eq!(positions(&batch)[..4], [0, 1, 2, 3]);
        assert!(batch.hide(&[vec![]]).is_err());
        let mut ledger = SlotLedger::default();
        ledger.append(&[&[1]]).unwrap();
        assert!(ledger.append(&[&[2]]).unwrap().hide(&[vec![0..1; 1]]).is_err());
    }

    fn positions(batch: &TokenBatch) -> Vec<i64> {
        Vec::try_from(batch.positions.view([-1])).unwrap()
    }

    #[test]
    fn positions_count_real_tokens_only() {
        let texts: [&[u32]; 2] = [&[5, 6, 7], &[8]];
        let right = TokenBatch::new(&texts, PadSide::Right).unwrap();
        assert_eq!(positions(&right), [0, 1, 2, 0, 0, 0]);
        assert!(matches!(right.mask, Mask::Causal));
        let left = TokenBatch::new(&texts, PadSide::Left).unwrap();
        assert_eq!(positions(&left), [0, 1, 2, 0, 0, 0]);
        assert_eq!(left.rows, [0..3, 2..3]);
        let Mask::Explicit(mask) = &left.mask else { panic!("left padding needs a mask") };
        let cells: Vec<bool> = Vec::try_from(mask.view([-1])).unwrap();
        assert_eq!(cells[9..], [true, false, false, false, true, false, false, false, true]);
    }

    #[test]
    fn a_ledger_reuses_the_common_prefix() {
        let mut ledger = SlotLedger::default();
        ledger.append(&[&[1, 2, 3], &[4]]).unwrap();
        let next: [&[u32]; 2] = [&[1, 2, 9, 9], &[4, 5]];
        assert_eq!(ledger.keep_common_prefix(&next), [2, 1]);
        assert_eq!(ledger.slots(), 2, "a slot that is a gap in every row goes");
        let batch = ledger.append(&[&[9, 9], &[5]]).unwrap();
        assert_eq!(positions(&batch), [2, 3, 1, 0]);
        assert_eq!(ledger.tokens(1).collect::<Vec<_>>(), [4, 5]);
    }

    #[test]
    fn the_last_token_is_always_run_again() {
        let mut ledger = SlotLedger::default();
        ledger.append(&[&[1, 2, 3]]).unwrap();
        assert_eq!(ledger.keep_common_prefix(&[&[1, 2, 3]]), [2]);
        assert_eq!(ledger.keep_common_prefix(&[&[1]]), [0]);
    }

    #[test]
    fn empty_rows_are_refused() {
        assert!(matches!(TokenBatch::new(&[&[]], PadSide::Right), Err(Error::TextLength { .. })));
        let message = TokenBatch::new(&[], PadSide::Right).unwrap_err().to_string();
        assert!(message.contains("at least 1 is needed"), "{message}");
    }
}
