//! A batch of texts that grow together over one key/value cache.

use tch::{Kind, Tensor};

use crate::hook::Hooks;
use crate::model::{KvCache, LogitsFor};
use crate::text::{PadSide, SlotLedger, TokenBatch};
use crate::{Error, Model, Result};

/// A batch of b growing texts (such as conversations) with their keys and values.
///
/// The result of every call depends on the texts and on that call's hooks only, never on what the cache happened
/// to hold: what a row and its new text have in common is reused, the rest is run.
///
/// Hooks that replace change the keys and values that are kept. A read with such hooks must be the session's
/// first, and the read after it starts anew; scores and answers that follow it continue from the changed states.
/// [`Session::greedy_with`] has hooks on the answer's own tokens.
///
/// ```no_run
/// use probity::{generate::Session, hook::Hooks, Model};
/// let model = Model::load("SmolLM2-135M-Instruct.Q4_1.gguf")?;
/// let prompt = model.tokenizer().encode("The capital of France is")?.ids;
/// let mut session = Session::new(&model);
/// session.read(&[&prompt], |_| Hooks::new())?;
/// let answer = session.greedy(8)?;
/// println!("{}", model.tokenizer().decode(&answer[0])?);
/// # Ok::<(), probity::Error>(())
/// ```
#[derive(Debug)]
pub struct Session<'m> {
    model: &'m Model,
    cache: KvCache,
    /// Natural logarithms of the next token's probabilities after what was read, `[b, v]`.
    next: Option<Tensor>,
    /// Whether the cache holds states that a hook has changed.
    altered: bool,
}

/// The score of one continuation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OptionScores {
    /// Sum of its tokens' log-probabilities, in nats.
    pub total: f64,
    /// Its number of tokens.
    pub tokens: usize,
}

impl OptionScores {
    /// Mean log-probability of a token, in nats.
    pub fn mean(self) -> f64 {
        self.total / self.tokens as f64
    }
}

impl<'m> Session<'m> {
    /// An empty session.
    pub fn new(model: &'m Model) -> Self {
        Session { model, cache: KvCache::new(), next: None, altered: false }
    }

    /// Reads b whole texts; only what the cache does not hold yet is run. `hooks` makes the hooks of this
    /// pass; it is given the batch that is run, which always includes each text's last token.
    ///
    /// # Errors
    /// [`Error::TextLength`] for an empty text or one longer than the context; [`Error::Setting`] for hooks that
    /// replace, where some of the texts was read without them; those of
    /// [`Network::forward`](crate::model::Network::forward). The session is then empty.
    pub fn read<'h>(&mut self, texts: &[&[u32]], hooks: impl FnOnce(&TokenBatch) -> Hooks<'h>) -> Result<()> {
        self.check_length(texts.iter().map(|text| text.len()))?;
        self.next = None;
        // Taken out, so that a failed pass leaves no cache that claims tokens it never saw.
        let mut cache = std::mem::take(&mut self.cache);
        let lengths: Vec<usize> = texts.iter().map(|text| text.len()).collect();
        if std::mem::take(&mut self.altered) || self.must_rerun(cache.ledger(), &lengths) {
            cache = KvCache::new();
        }
        let batch = cache.continue_with(texts)?;
        let mut hooks = hooks(&batch);
        let kept = lengths.iter().zip(&batch.rows).any(|(&length, row)| row.len() < length);
        if hooks.replaces() && kept {
            let expected = "hooks that replace need a session that has read nothing yet";
            return Err(Error::setting("hooks", "replacing", expected));
        }
        let logits = self.run(&batch, &mut cache, &mut hooks, LogitsFor::Last)?;
        self.altered = hooks.replaces();
        self.cache = cache;
        self.next = logits.map(|logits| logits.f_select(1, 0)?.f_log_softmax(-1, Kind::Float)).transpose()?;
        Ok(())
    }

    /// Scores continuations of what was read: `options[row][option]` are token ids. The cache is left as it
    /// was.
    ///
    /// # Errors
    /// [`Error::Setting`] before anything was read, for an empty option, and where the text must be run again so
    /// that what hooks replaced would be lost; [`Error::RowCount`]; [`Error::TextLength`].
    pub fn score(&mut self, options: &[Vec<Vec<u32>>]) -> Result<Vec<Vec<OptionScores>>> {
        let next = self.next()?.shallow_clone();
        let count = options.iter().map(Vec::len).max().unwrap_or(0);
        if options.len() as i64 != next.size()[0] {
            let (expected, found) = (next.size()[0] as usize, options.len());
            return Err(Error::RowCount { what: "options".to_owned(), expected, found });
        }
        if options.iter().flatten().any(Vec::is_empty) {
            return Err(Error::setting("option", "\"\"", "an option needs at least one token"));
        }
        let past: Vec<usize> = (0..options.len()).map(|row| self.cache.ledger().tokens(row).count()).collect();
        let longest = options.iter().zip(&past).flat_map(|(row, past)| row.iter().map(move |o| past + o.len()));
        self.check_length(longest)?;
        let mut scores = vec![Vec::with_capacity(count); options.len()];
        for option in 0..count {
            // A row with fewer options stands in with a token that is not scored.
            let tokens: Vec<&[u32]> =
                options.iter().map(|row| row.get(option).map_or(&[0][..], Vec::as_slice)).collect();
            // The last token of an option is predicted, not read; a one-token row still needs some token.
            let read: Vec<&[u32]> = tokens.iter().map(|ids| &ids[..(ids.len() - 1).max(1)]).collect();
            let needed = tokens.iter().any(|ids| ids.len() > 1);
            let following = needed.then(|| self.branch(&read)).transpose()?;
            for (row, (ids, scores)) in tokens.iter().zip(&mut scores).enumerate() {
                if option >= options[row].len() {
                    continue;
                }
                let mut total = 0.0;
                for (at, &id) in ids.iter().enumerate() {
                    // Column that predicts this token, where the branch has one.
                    let column = |whole: bool| if whole { Some(past[row] + at - 1) } else { at.checked_sub(1) };
                    let (row, id) = (row as i64, i64::from(id));
                    let found = following.as_ref().and_then(|(logs, whole)| column(*whole).map(|at| (logs, at as i64)));
                    total += match found {
                        Some((logs, column)) => logs.f_double_value(&[row, column, id])?,
                        None => next.f_double_value(&[row, id])?,
                    };
                }
                scores.push(OptionScores { total, tokens: ids.len() });
            }
        }
        Ok(scores)
    }

    /// Log-probabilities after each token of a branch, `[b, t, v]`, and whether t counts the whole texts (else
    /// the branch's tokens only). The cache is left as it was.
    fn branch(&mut self, tokens: &[&[u32]]) -> Result<(Tensor, bool)> {
        let network = self.model.network();
        let logs = |logits: Result<Option<Tensor>>| -> Result<Tensor> {
            Ok(logits?.ok_or_else(unread)?.f_log_softmax(-1, Kind::Float)?)
        };
        let ledger = self.cache.ledger();
        let grown: Vec<usize> =
            tokens.iter().enumerate().map(|(row, more)| ledger.tokens(row).count() + more.len()).collect();
        if self.must_rerun(ledger, &grown) {
            if self.altered {
                return Err(lost());
            }
            let texts = whole(ledger, tokens);
            let texts: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
            let batch = TokenBatch::new(&texts, PadSide::Right)?;
            return Ok((logs(network.forward(&batch, None, &mut Hooks::new(), LogitsFor::All))?, true));
        }
        let base = ledger.slots();
        let batch = self.cache.append(tokens)?;
        let logits = network.forward(&batch, Some(&mut self.cache), &mut Hooks::new(), LogitsFor::All);
        self.cache.truncate(base);
        Ok((logs(logits)?, false))
    }

    /// Continues what was read with the most probable tokens, at most `max_tokens` each, up to and without a
    /// stop token. Rows that have ended wait for the others. Of equal logits the lowest id wins. Afterwards
    /// the session must [`Session::read`] again.
    ///
    /// # Errors
    /// [`Error::Setting`] before anything was read, and where the text must be run again so that what hooks
    /// replaced would be lost; [`Error::TextLength`] where a text would outgrow the context.
    pub fn greedy(&mut self, max_tokens: usize) -> Result<Vec<Vec<u32>>> {
        self.greedy_until(max_tokens, self.model.stop_tokens())
    }

    /// [`Session::greedy`] with stop tokens of the caller's choice.
    ///
    /// # Errors
    /// As [`Session::greedy`].
    pub fn greedy_until(&mut self, max_tokens: usize, stop: &[u32]) -> Result<Vec<Vec<u32>>> {
        self.greedy_with(max_tokens, stop, |_| Hooks::new())
    }

    /// [`Session::greedy_until`] with hooks on the tokens that are generated: `hooks` makes those of each step and
    /// is given the step's batch, one token a row. (The last token is chosen, not run. A row that has ended is
    /// still in the batch.)
    ///
    /// # Errors
    /// As [`Session::greedy`], and those of the hooks.
    pub fn greedy_with<'h>(
        &mut self,
        max_tokens: usize,
        stop: &[u32],
        mut hooks: impl FnMut(&TokenBatch) -> Hooks<'h>,
    ) -> Result<Vec<Vec<u32>>> {
        // Taken, and the cache below too: after a failure neither may claim what was not run.
        let mut next = self.next.take().ok_or_else(unread)?;
        let rows = next.size()[0] as usize;
        let mut answers: Vec<Vec<u32>> = vec![Vec::new(); rows];
        let mut open = vec![true; rows];
        for step in 0..max_tokens {
            let chosen = Vec::<i64>::try_from(next.f_argmax(-1, false)?)?;
            for ((answer, open), &id) in answers.iter_mut().zip(&mut open).zip(&chosen) {
                let id = id as u32;
                *open = *open && !stop.contains(&id);
                if *open {
                    answer.push(id);
                }
            }
            if step + 1 == max_tokens || !open.contains(&true) {
                break;
            }
            let ledger = self.cache.ledger();
            self.check_length((0..rows).filter(|&row| open[row]).map(|row| ledger.tokens(row).count() + 1))?;
            // A row that has ended is fed on and on, always in the place of its last token, so that it does not
            // grow; what it makes of it is not used.
            let fed: Vec<[u32; 1]> = chosen.iter().map(|&id| [id as u32]).collect();
            let fed: Vec<&[u32]> = fed.iter().map(|id| id.as_slice()).collect();
            let mut cache = std::mem::take(&mut self.cache);
            (0..rows).filter(|&row| !open[row]).for_each(|row| cache.take_back(row));
            let grown: Vec<usize> = (0..rows).map(|row| cache.ledger().tokens(row).count() + 1).collect();
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
        Ok(answers)
    }

    /// Bytes that keys and values take.
    pub fn cache_bytes(&self) -> usize {
        self.cache.bytes()
    }

    fn next(&self) -> Result<&Tensor> {
        self.next.as_ref().ok_or_else(unread)
    }

    /// A pass over a batch that `cache` has just laid out.
    fn run(
        &self,
        batch: &TokenBatch,
        cache: &mut KvCache,
        hooks: &mut Hooks<'_>,
        logits: LogitsFor,
    ) -> Result<Option<Tensor>> {
        let network = self.model.network();
        network.forward(batch, network.uses_cache().then_some(cache), hooks, logits)
    }

    /// Whether what is cached does not serve for rows that grow to these lengths: because the network uses no
    /// cache, or because it treats the whole text otherwise from some length on.
    fn must_rerun(&self, ledger: &SlotLedger, lengths: &[usize]) -> bool {
        if !self.model.network().uses_cache() {
            return true;
        }
        let Some(limit) = self.model.network().cache_holds_up_to() else { return false };
        let held = |row: usize| ledger.tokens(row).count();
        lengths.iter().enumerate().any(|(row, &length)| held(row) > 0 && (held(row) <= limit) != (length <= limit))
    }

    fn check_length(&self, lengths: impl Iterator<Item = usize>) -> Result<()> {
        let context = self.model.context();
        for (row, tokens) in lengths.enumerate() {
            if tokens == 0 || tokens > context {
                return Err(Error::TextLength { what: format!("text {row} of a session"), tokens, context });
            }
        }
        Ok(())
    }
}

/// The texts that the rows of a ledger hold, each with more tokens after it.
fn whole(ledger: &SlotLedger, more: &[&[u32]]) -> Vec<Vec<u32>> {
    more.iter().enumerate().map(|(row, more)| ledger.tokens(row).chain(more.iter().copied()).collect()).collect()
}

fn lost() -> Error {
    let expected = "the whole text must be run again, so that what hooks replaced would be lost: replace here too";
    Error::setting("hooks", "none", expected)
}

fn unread() -> Error {
    Error::setting("session", "empty", "call Session::read before scoring or generating")
}
