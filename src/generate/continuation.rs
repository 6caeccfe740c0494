//! Generating what follows the texts of a session.

use serde::{Deserialize, Serialize};

use super::sampler::Sampler;
use super::session::{lost, unread, whole, Session};
use super::Decoding;
use crate::hook::Hooks;
use crate::model::{KvCache, LogitsFor};
use crate::text::TokenBatch;
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
pub struct Continuation {
    /// The tokens, without a stop token; with the tokens of a stop string.
    pub tokens: Vec<u32>,
    /// Their text, without special tokens, up to a stop string.
    pub text: String,
    /// Why it ended.
    pub end: End,
}

/// One row on its way.
struct Row {
    tokens: Vec<u32>,
    sampler: Sampler,
    /// The text and why it ended.
    ended: Option<(String, End)>,
}

impl Session<'_> {
    /// Continues what was read with the most probable tokens, at most `max_tokens` each, up to the model's stop
    /// tokens: [`Session::generate`] with [`Decoding::new`].
    ///
    /// # Errors
    /// As [`Session::generate`].
    pub fn greedy(&mut self, max_tokens: usize) -> Result<Vec<Vec<u32>>> {
        let answers = self.generate(&Decoding::new(max_tokens))?;
        Ok(answers.into_iter().map(|answer| answer.tokens).collect())
    }

    /// Continues what was read. Rows that have ended wait for the others. Afterwards the session must
    /// [`Session::read`] again. Rows that are drawn have their numbers as keys: see [`Session::generate_with`].
    ///
    /// # Errors
    /// [`Error::Setting`] before anything was read, for decoding settings outside their range, and where the text must
    /// be run again so that what hooks replaced would be lost; [`Error::TextLength`] where a text would outgrow the
    /// context.
    pub fn generate(&mut self, decoding: &Decoding) -> Result<Vec<Continuation>> {
        self.generate_with(decoding, &[], |_| Hooks::new())
    }

    /// [`Session::generate`] with keys and hooks. What is drawn for a row follows from the seed and its key (its
    /// number where there are no keys), so that a row with the same key is continued alike in any batch. `hooks`
    /// makes the hooks of each step and is given the step's batch, one token a row. (The last token is chosen, not
    /// run. A row that has ended is still in the batch.)
    ///
    /// # Errors
    /// As [`Session::generate`], and those of the hooks; [`Error::RowCount`] unless there are no keys or one a row.
    pub fn generate_with<'h>(
        &mut self,
        decoding: &Decoding,
        keys: &[String],
        mut hooks: impl FnMut(&TokenBatch) -> Hooks<'h>,
    ) -> Result<Vec<Continuation>> {
        decoding.validate()?;
        let stop = decoding.stop_tokens.as_deref().unwrap_or(self.model.stop_tokens());
        let count = self.next()?.size()[0] as usize;
        if !keys.is_empty() && keys.len() != count {
            return Err(Error::RowCount { what: "keys".into(), expected: count, found: keys.len() });
        }
        let row = |index: usize| {
            let key = keys.get(index).cloned().unwrap_or_else(|| index.to_string());
            Row { tokens: Vec::new(), sampler: Sampler::new(decoding, &key), ended: None }
        };
        let mut rows: Vec<Row> = (0..count).map(row).collect();
        // Taken, and the cache below too: after a failure neither may claim what was not run.
        let mut next = self.next.take().ok_or_else(unread)?;
        loop {
            let chosen = choose(decoding, &next, &mut rows)?;
            for (row, &id) in rows.iter_mut().zip(&chosen).filter(|(row, _)| row.ended.is_none()) {
                self.take(row, id, decoding, stop)?;
            }
            if rows.iter().all(|row| row.ended.is_some()) {
                break;
            }
            let ledger = self.cache.ledger();
            let open = || (0..rows.len()).filter(|&row| rows[row].ended.is_none());
            self.check_length(open().map(|row| ledger.tokens(row).count() + 1))?;
            // A row that has ended is fed on and on, always in the place of its last token, so that it does not
            // grow; what it makes of it is not used.
            let fed: Vec<[u32; 1]> = chosen.iter().map(|&id| [id]).collect();
            let fed: Vec<&[u32]> = fed.iter().map(|id| id.as_slice()).collect();
            let mut cache = std::mem::take(&mut self.cache);
            (0..rows.len()).filter(|&row| rows[row].ended.is_some()).for_each(|row| cache.take_back(row));
            let grown: Vec<usize> = (0..rows.len()).map(|row| cache.ledger().tokens(row).count() + 1).collect();
            let rerun = self.must_rerun(cache.ledger(), &grown);
            let batch = if rerun {
                let texts = whole(cache.ledger(), &fed);
                let texts: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
                cache = KvCache::new();
                cache.continue_with(&texts)?
            } else {
                cache.append(&fed)?
            };
            let mut hooks = hooks(&batch);
            if rerun && self.altered && !hooks.replaces() {
                return Err(lost());
            }
            let logits = self.run(&batch, &mut cache, &mut hooks, LogitsFor::Last)?;
            self.altered = self.altered || hooks.replaces();
            self.cache = cache;
            next = logits.ok_or_else(unread)?.f_select(1, 0)?;
        }
        let finished = rows.into_iter().filter_map(|row| {
            let (text, end) = row.ended?;
            Some(Continuation { tokens: row.tokens, text, end })
        });
        Ok(finished.collect())
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

/// The next token of each row from `next`, `[b, v]`; of a row that has ended, some token.
fn choose(decoding: &Decoding, next: &tch::Tensor, rows: &mut [Row]) -> Result<Vec<u32>> {
    if decoding.is_greedy() {
        let ids = Vec::<i64>::try_from(next.f_argmax(-1, false)?)?;
        return Ok(ids.into_iter().map(|id| id as u32).collect());
    }
    rows.iter_mut()
        .enumerate()
        .map(|(number, row)| match row.ended {
            Some(_) => Ok(0),
            None => {
                let logs = next.f_select(0, number as i64)?.f_to_kind(tch::Kind::Float)?;
                Ok(row.sampler.draw(decoding, &Vec::<f32>::try_from(logs)?))
            }
        })
        .collect()
}
