//! Generating what follows the texts of a session.

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::sampler::Sampler;
use super::session::{lost, unread, whole, Session};
use super::Decoding;
use crate::hook::Hooks;
use crate::model::{kernel, KvCache, LogitsFor};
use crate::text::{PadSide, TokenBatch};
use crate::{Error, Result};

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// The model gave a stop token.
    StopToken,
    /// A stop string came up.
    StopString,
    /// The most tokens that were allowed.
    Length,
}

/// What a row of a session was continued with.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Continuation {
    /// The tokens, without a stop token; with the tokens of a stop string.
    pub tokens: Vec<u32>,
    /// Their text, without special tokens, up to a stop string.
    pub text: String,
    /// Why it ended.
    pub end: End,
}

impl Continuation {
    /// A continuation that no session made, for tests of what reads one.
    pub fn new(tokens: Vec<u32>, text: impl Into<String>, end: End) -> Self {
        Continuation { tokens, text: text.into(), end }
    }
}

/// One row on its way.
struct Row {
    tokens: Vec<u32>,
    /// How many of them were run.
    run: usize,
    sampler: Sampler,
    /// The text and why it ended.
    ended: Option<(String, End)>,
}

impl Session<'_> {
    /// Continues what was read. Rows that have ended leave the batch; what is kept of them stays. Afterwards the
    /// session must [`Session::read`] again. Rows that are drawn have their numbers as keys: see [`Session::generate_hooked`].
    ///
    /// # Errors
    /// [`Error::Setting`] before anything was read, for decoding settings outside their range, and where the text must
    /// be run again so that what hooks replaced would be lost; [`Error::TextLength`] where a text would outgrow the
    /// context.
    pub fn generate(&mut self, decoding: &Decoding) -> Result<Vec<Continuation>> {
        self.generate_hooked(decoding, &[], |_| Hooks::new())
    }

    /// [`Session::generate`] with keys and hooks. What is drawn for a row follows from the seed and its key (its
    /// number where there are no keys), so that a row with the same key is continued alike in any batch. `hooks`
    /// makes the hooks of each step and is given the step's batch: one token of each row that has not ended, in any
    /// order, [`TokenBatch::texts`] says which. (The last token is chosen, not run.)
    ///
    /// # Errors
    /// Those of [`Session::generate`] and those of the hooks; [`Error::RowCount`] unless there are no keys or one a row.
    pub fn generate_hooked<'h>(
        &mut self,
        decoding: &Decoding,
        keys: &[String],
        hooks: impl FnMut(&TokenBatch) -> Hooks<'h>,
    ) -> Result<Vec<Continuation>> {
        self.generate_through(decoding, keys, false, hooks)
    }

    /// [`Session::generate_hooked`] that, if it goes `through`, also runs each row's last token, so that the hooks see every
    /// token that was chosen.
    ///
    /// # Errors
    /// Those of [`Session::generate_hooked`].
    pub(crate) fn generate_through<'h>(
        &mut self,
        decoding: &Decoding,
        keys: &[String],
        through: bool,
        mut hooks: impl FnMut(&TokenBatch) -> Hooks<'h>,
    ) -> Result<Vec<Continuation>> {
        decoding.validate()?;
        let stop = decoding.stop_tokens.as_deref().unwrap_or(self.model.stop_tokens());
        let count = self.next()?.size()[0] as usize;
        if !keys.is_empty() && keys.len() != count {
            return Err(Error::row_count("keys", count, keys.len()));
        }
        let row = |index: usize| {
            let key = keys.get(index).cloned().unwrap_or_else(|| index.to_string());
            Row { tokens: Vec::new(), run: 0, sampler: Sampler::new(decoding, &key), ended: None }
        };
        let mut rows: Vec<Row> = (0..count).map(row).collect();
        // Taken, as the cache is: after a failure neither may claim what was not run.
        let mut next = self.next.take().ok_or_else(unread)?;
        let mut running = Running::new(self.take_cache(), count);
        running.cache.reserve(decoding.max_tokens);
        loop {
            let chosen = choose(decoding, &next, &mut rows, running.numbers())?;
            for (&number, &id) in running.numbers().iter().zip(&chosen) {
                if rows[number].ended.is_none() {
                    self.take(&mut rows[number], id, decoding, stop)?;
                }
            }
            let goes_on = |row: &Row| row.ended.is_none() || (through && row.run < row.tokens.len());
            let chosen = running.keep(chosen, |number| goes_on(&rows[number]))?;
            if chosen.is_empty() {
                break;
            }
            next = self.step(&mut running, &chosen, &mut hooks)?;
            running.numbers().iter().for_each(|&number| rows[number].run = rows[number].tokens.len());
        }
        self.cache = running.finish()?;
        let finished = rows.into_iter().filter_map(|row| {
            let (text, end) = row.ended?;
            Some(Continuation { tokens: row.tokens, text, end })
        });
        Ok(finished.collect())
    }

    /// Runs one more token of each row that goes on; logits of the next, `[running, v]`.
    fn step<'h>(
        &mut self,
        running: &mut Running,
        chosen: &[u32],
        hooks: &mut impl FnMut(&TokenBatch) -> Hooks<'h>,
    ) -> Result<Tensor> {
        let fed: Vec<&[u32]> = chosen.chunks(1).collect();
        let ledger = running.cache.ledger();
        let grown = |row: usize| ledger.tokens(row).count() + usize::from(row < fed.len());
        self.check_length((0..fed.len()).map(grown))?;
        let lengths: Vec<usize> = (0..ledger.rows()).map(grown).collect();
        let rerun = self.must_rerun(ledger, &lengths);
        let mut batch = if !rerun {
            running.cache.append_first(&fed)?
        } else if self.model.network().uses_cache() {
            // Once in the life of a text: rows that have ended are run again with the others.
            let more: Vec<&[u32]> = (0..ledger.rows()).map(|row| fed.get(row).copied().unwrap_or_default()).collect();
            let texts = whole(ledger, &more);
            let texts: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
            running.cache = self.new_cache();
            running.cache.continue_with(&texts)?
        } else {
            let texts = whole(ledger, &fed);
            let texts: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
            running.cache.append_first(&fed)?;
            TokenBatch::new(&texts, PadSide::Right)?
        };
        batch.texts = running.order[..batch.rows.len()].to_vec();
        let hooks = hooks(&batch);
        let replaces = hooks.replaces();
        if rerun && self.altered && !replaces {
            return Err(lost());
        }
        let logits = self.run(&batch, &mut running.cache, hooks, LogitsFor::Last)?;
        self.altered |= replaces;
        let logits = logits.ok_or_else(unread)?.f_select(1, 0)?;
        Ok(logits.f_narrow(0, 0, fed.len() as i64)?)
    }

    /// Adds a token to a row, or ends it.
    fn take(&self, row: &mut Row, id: u32, decoding: &Decoding, stop: &[u32]) -> Result<()> {
        let tokenizer = self.model.tokenizer();
        if stop.contains(&id) {
            row.ended = Some((tokenizer.decode(&row.tokens)?, End::StopToken));
            return Ok(());
        }
        row.tokens.push(id);
        let full = row.tokens.len() == decoding.max_tokens;
        if full || !decoding.stop.is_empty() {
            let mut text = tokenizer.decode(&row.tokens)?;
            let cut = decoding.stop.iter().filter_map(|stop| text.find(stop.as_str())).min();
            if let Some(cut) = cut {
                text.truncate(cut);
                row.ended = Some((text, End::StopString));
            } else if full {
                row.ended = Some((text, End::Length));
            }
        }
        Ok(())
    }
}

/// The cache while rows end: those that go on stand in its first places, so that only they are run.
struct Running {
    cache: KvCache,
    /// Number of the row in each place.
    order: Vec<usize>,
    /// Rows that go on.
    count: usize,
}

impl Running {
    fn new(cache: KvCache, rows: usize) -> Self {
        Running { cache, order: (0..rows).collect(), count: rows }
    }

    /// Numbers of the rows that go on, in the order in which they are run.
    fn numbers(&self) -> &[usize] {
        &self.order[..self.count]
    }

    /// Lets only some rows go on; `tokens` has one for each that went on so far, the result for each that still does.
    fn keep(&mut self, mut tokens: Vec<u32>, goes_on: impl Fn(usize) -> bool) -> Result<Vec<u32>> {
        for place in (0..self.count).rev().filter(|&place| !goes_on(self.order[place])).collect::<Vec<_>>() {
            self.count -= 1;
            self.swap(place, self.count)?;
            tokens.swap_remove(place);
        }
        Ok(tokens)
    }

    fn swap(&mut self, a: usize, b: usize) -> Result<()> {
        self.cache.swap(a, b)?;
        self.order.swap(a, b);
        Ok(())
    }

    /// The cache with all rows in their own places again.
    fn finish(mut self) -> Result<KvCache> {
        for place in 0..self.order.len() {
            while self.order[place] != place {
                self.swap(place, self.order[place])?;
            }
        }
        Ok(self.cache)
    }
}

/// The next token of each row that goes on, `numbers`, from `next`, `[running, v]`.
fn choose(decoding: &Decoding, next: &Tensor, rows: &mut [Row], numbers: &[usize]) -> Result<Vec<u32>> {
    if decoding.is_greedy() {
        let ids = match kernel::argmax(next) {
            Some(ids) => ids,
            None => Vec::<i64>::try_from(next.f_argmax(-1, false)?)?,
        };
        return Ok(ids.into_iter().map(|id| id as u32).collect());
    }
    let draw = |(place, &number): (usize, &usize)| {
        let logs = next.f_select(0, place as i64)?.f_to_kind(Kind::Float)?;
        Ok(rows[number].sampler.draw(decoding, &Vec::<f32>::try_from(logs)?))
    };
    numbers.iter().enumerate().map(draw).collect()
}
