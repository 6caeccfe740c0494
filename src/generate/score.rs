//! Scoring of given continuations.

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::session::{lost, unread, whole, Session};
use crate::hook::Hooks;
use crate::model::LogitsFor;
use crate::text::{PadSide, TokenBatch};
use crate::{Error, Result};

/// The score of one continuation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
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

impl Session<'_> {
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

    /// Logarithms of the probabilities, in nats, that the next token after what was read is each of `tokens`, row by
    /// row, `[b, tokens]`.
    ///
    /// # Errors
    /// [`Error::Setting`] before anything was read; [`Error::Mismatch`] for an id that the model does not have.
    pub fn next_tokens(&self, tokens: &[u32]) -> Result<Vec<Vec<f64>>> {
        let next = self.next()?;
        let (rows, vocabulary) = (next.size()[0], next.size()[1]);
        if let Some(id) = tokens.iter().find(|&&id| i64::from(id) >= vocabulary) {
            let problem = format!("id {id}; the model has {vocabulary}");
            return Err(Error::Mismatch { what: "next tokens".into(), problem });
        }
        let log = |row: i64, id: u32| Ok(next.f_double_value(&[row, i64::from(id)])?);
        (0..rows).map(|row| tokens.iter().map(|&id| log(row, id)).collect()).collect()
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
}
