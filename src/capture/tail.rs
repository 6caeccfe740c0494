//! States of the tokens that come after texts, kept pass by pass.

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;

use tch::{Kind, Tensor};

use super::Pool;
use crate::hook::{Address, Hooks};
use crate::text::TokenBatch;
use crate::{Error, Result};

/// The states of several addresses at the tokens of b texts from some token of each on. A token that is run again gives
/// its later states.
pub(crate) struct Tail {
    /// By address, `[b, room, d]`, f32, on the model's device; nothing before the first pass.
    held: Vec<(Address, RefCell<Option<Tensor>>)>,
    /// The first token of each text that is kept, `[b]`.
    first: Vec<usize>,
    /// How many tokens of each text were run from there on, `[b]`: passes leave no gaps.
    run: RefCell<Vec<usize>>,
    /// Tokens of each text to make room for.
    room: usize,
}

/// A token whose states are kept.
struct Kept {
    /// Row and column of the batch.
    from: (usize, usize),
    /// Text, and how many tokens after its first.
    to: (usize, usize),
}

impl Tail {
    /// Nothing yet, with room for so many tokens of each text; more are held where more come.
    pub fn new(addresses: &[Address], first: Vec<usize>, room: usize) -> Self {
        let held = addresses.iter().map(|&address| (address, RefCell::new(None))).collect();
        let run = RefCell::new(vec![0; first.len()]);
        Tail { held, first, run, room }
    }

    /// Whether the states of this token of a text would be kept.
    pub fn holds_from(&self, text: usize, token: usize) -> bool {
        self.first.get(text).is_some_and(|&first| first <= token)
    }

    /// Hooks that keep the states of what a pass runs.
    pub fn hooks(&self, batch: &TokenBatch) -> Hooks<'_> {
        let mut kept = Vec::new();
        for (row, (range, (&start, &text))) in batch.rows.iter().zip(batch.starts.iter().zip(&batch.texts)).enumerate()
        {
            let Some(&first) = self.first.get(text) else { continue };
            let tokens = range.clone().zip(start..).filter(|&(_, token)| token >= first);
            kept.extend(tokens.map(|(column, token)| Kept { from: (row, column), to: (text, token - first) }));
        }
        for Kept { to: (text, token), .. } in &kept {
            let run = &mut self.run.borrow_mut()[*text];
            *run = (*run).max(token + 1);
        }
        let (kept, mut hooks) = (Rc::new(kept), Hooks::new());
        for (address, held) in self.held.iter().filter(|_| !kept.is_empty()) {
            let kept = kept.clone();
            hooks.observe(*address, move |states| self.keep(&mut held.borrow_mut(), states, &kept));
        }
        hooks
    }

    fn keep(&self, held: &mut Option<Tensor>, states: &Tensor, kept: &[Kept]) -> Result<()> {
        let columns = states.size().get(1).copied().unwrap_or(0);
        let from: Vec<i64> = kept.iter().map(|kept| kept.from.0 as i64 * columns + kept.from.1 as i64).collect();
        let states = states.f_flatten(0, 1)?.f_flatten(1, -1)?;
        let index = |places: &[i64]| Tensor::f_from_slice(places)?.f_to_device(states.device());
        let states = states.f_index_select(0, &index(&from)?)?.f_to_kind(Kind::Float)?;
        let (texts, width) = (self.first.len() as i64, states.size()[1]);
        let needed = kept.iter().map(|kept| kept.to.1 as i64 + 1).max().unwrap_or(0);
        let room = match held.take() {
            Some(room) if room.size()[1] >= needed => room,
            Some(room) => room.f_constant_pad_nd([0, 0, 0, needed - room.size()[1]])?,
            None => Tensor::f_zeros([texts, needed.max(self.room as i64), width], (Kind::Float, states.device()))?,
        };
        let tokens = room.size()[1];
        let to: Vec<i64> = kept.iter().map(|kept| kept.to.0 as i64 * tokens + kept.to.1 as i64).collect();
        let _ = room.f_view([texts * tokens, width])?.f_index_copy_(0, &index(&to)?, &states)?;
        *held = Some(room);
        Ok(())
    }

    /// The mean states over tokens, each the number of a text and a range of its tokens: by address `[spans, d]`, f32.
    ///
    /// # Errors
    /// [`Error::Mismatch`] for tokens that no pass has run, or that come before the first that is kept.
    pub fn means(&self, spans: &[(usize, Range<usize>)]) -> Result<Vec<Tensor>> {
        let lost = || Error::mismatch("states of answers", "some token was not run");
        let offset = |(text, tokens): &(usize, Range<usize>)| {
            let start = tokens.start.checked_sub(*self.first.get(*text)?)?;
            let end = start + tokens.len();
            (end <= self.run.borrow()[*text]).then_some((*text, start..end))
        };
        let spans: Vec<_> = spans.iter().map(offset).collect::<Option<_>>().ok_or_else(lost)?;
        let mean = |(_, held): &(Address, RefCell<Option<Tensor>>)| {
            Pool::Mean.reduce(held.borrow().as_ref().ok_or_else(lost)?, &spans)
        };
        self.held.iter().map(mean).collect()
    }
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;
    use crate::hook::Site;
    use crate::text::PadSide;

    #[test]
    fn means_are_of_tokens_that_were_run_and_of_no_others() {
        let at = Site::ResidPost.at(0);
        let tail = Tail::new(&[at], vec![1, 0], 4);
        let batch = TokenBatch::new(&[&[5, 6, 7], &[8]], PadSide::Right).unwrap();
        let states = Tensor::arange(6, (Kind::Float, Device::Cpu)).view([2, 3, 1]);
        let _ = tail.hooks(&batch).tap(Site::ResidPost, 0, states).unwrap();
        let means = tail.means(&[(0, 1..3), (1, 0..1)]).unwrap();
        assert_eq!(Vec::<f32>::try_from(means[0].view([-1])).unwrap(), [1.5, 3.0]);
        for (text, tokens) in [(0, 0..2), (0, 1..4), (1, 0..2), (2, 0..1)] {
            assert!(tail.means(&[(text, tokens.clone())]).is_err(), "{text} {tokens:?}");
        }
    }
}
