//! Scoring of given continuations.

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::session::{lost, unread, Session};
use crate::hook::Hooks;
use crate::model::LogitsFor;
use crate::text::{PadSide, TokenBatch, TokenTree};
use crate::{Error, Result};

/// The score of one continuation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
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
        if options.len() as i64 != next.size()[0] {
            let (expected, found) = (next.size()[0] as usize, options.len());
            return Err(Error::row_count("options", expected, found));
        }
        if options.iter().flatten().any(Vec::is_empty) {
            return Err(Error::setting("option", "\"\"", "an option needs at least one token"));
        }
        let past: Vec<usize> = (0..options.len()).map(|row| self.cache.ledger().tokens(row).count()).collect();
        let longest = options.iter().zip(&past).flat_map(|(row, past)| row.iter().map(move |o| past + o.len()));
        self.check_length(longest)?;
        let totals = match self.must_rerun(self.cache.ledger(), &self.grown(options)) {
            true => self.totals_anew(&next, options)?,
            false => self.totals(&next, options)?,
        };
        let of_row = |(options, totals): (&Vec<Vec<u32>>, Vec<f64>)| {
            let scores = options.iter().zip(totals).map(|(ids, total)| OptionScores { total, tokens: ids.len() });
            scores.collect()
        };
        Ok(options.iter().zip(totals).map(of_row).collect())
    }

    /// Tokens of each row with its longest continuation, as far as that is read: its last token is predicted only.
    fn grown(&self, options: &[Vec<Vec<u32>>]) -> Vec<usize> {
        let longest = |options: &Vec<Vec<u32>>| options.iter().map(|option| option.len() - 1).max().unwrap_or(0);
        let held = |row: usize| self.cache.ledger().tokens(row).count();
        options.iter().enumerate().map(|(row, options)| held(row) + longest(options)).collect()
    }

    /// The sum of the log-probabilities of each continuation's tokens: the first is predicted by `next`, `[b, v]`, the others
    /// by all continuations run beside each other after what is cached. The cache is left as it was.
    fn totals(&mut self, next: &Tensor, options: &[Vec<Vec<u32>>]) -> Result<Vec<Vec<f64>>> {
        let mut totals: Vec<Vec<f64>> = options.iter().map(|options| vec![0.0; options.len()]).collect();
        let mut trees = vec![TokenTree::default(); options.len()];
        // The tokens that follow the first: the row and the node that predicts each, the token, the continuation.
        let (mut places, mut ids, mut of) = (Vec::new(), Vec::new(), Vec::new());
        for (row, (options, tree)) in options.iter().zip(&mut trees).enumerate() {
            for (number, option) in options.iter().enumerate() {
                let Some((&first, rest)) = option.split_first() else { continue };
                totals[row][number] = next.f_double_value(&[row as i64, i64::from(first)])?;
                for (node, &id) in tree.add(&option[..rest.len()]).into_iter().zip(rest) {
                    places.push((row, node));
                    ids.push(i64::from(id));
                    of.push((row, number));
                }
            }
        }
        if places.is_empty() {
            return Ok(totals);
        }
        let base = self.cache.ledger().slots();
        let batch = self.cache.branch(&trees)?;
        // Taken out for the pass, which the session's interventions are borrowed for.
        let mut cache = self.take_cache();
        let logits = self.pass(&batch, Some(&mut cache), Hooks::new(), LogitsFor::All);
        self.cache = cache;
        self.cache.truncate(base);
        for ((row, number), log) in of.into_iter().zip(log_probabilities(&logits?.ok_or_else(unread)?, &places, &ids)?)
        {
            totals[row][number] += log;
        }
        Ok(totals)
    }

    /// [`Session::totals`] where no cache serves: every continuation with its whole text.
    fn totals_anew(&self, next: &Tensor, options: &[Vec<Vec<u32>>]) -> Result<Vec<Vec<f64>>> {
        let ledger = self.cache.ledger();
        let total = |row: usize, option: &Vec<u32>| -> Result<f64> {
            if let &[only] = option.as_slice() {
                return Ok(next.f_double_value(&[row as i64, i64::from(only)])?);
            }
            if self.altered {
                return Err(lost());
            }
            let text: Vec<u32> = ledger.tokens(row).chain(option[..option.len() - 1].iter().copied()).collect();
            let batch = TokenBatch::new(&[&text], PadSide::Right)?;
            let logits = self.pass(&batch, None, Hooks::new(), LogitsFor::All)?;
            let before = text.len() - option.len();
            let places: Vec<(usize, usize)> = (before..text.len()).map(|column| (0, column)).collect();
            let ids: Vec<i64> = option.iter().map(|&id| i64::from(id)).collect();
            Ok(log_probabilities(&logits.ok_or_else(unread)?, &places, &ids)?.iter().sum())
        };
        let of_row =
            |(row, options): (usize, &Vec<Vec<u32>>)| options.iter().map(|option| total(row, option)).collect();
        options.iter().enumerate().map(of_row).collect()
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
            return Err(Error::mismatch("next tokens", problem));
        }
        let log = |row: i64, id: u32| Ok(next.f_double_value(&[row, i64::from(id)])?);
        (0..rows).map(|row| tokens.iter().map(|&id| log(row, id)).collect()).collect()
    }
}

/// Logarithms of the probabilities of `ids`, each at its place of `logits`, `[b, t, v]`.
fn log_probabilities(logits: &Tensor, places: &[(usize, usize)], ids: &[i64]) -> Result<Vec<f64>> {
    let (tokens, vocabulary) = (logits.size()[1], logits.size()[2]);
    let rows: Vec<i64> = places.iter().map(|&(row, token)| row as i64 * tokens + token as i64).collect();
    let rows = Tensor::f_from_slice(&rows)?.f_to_device(logits.device())?;
    let ids = Tensor::f_from_slice(ids)?.f_to_device(logits.device())?.f_unsqueeze(1)?;
    let logits = logits.f_reshape([-1, vocabulary])?.f_index_select(0, &rows)?.f_to_kind(Kind::Float)?;
    let logs = logits.f_gather(1, &ids, false)?.f_squeeze_dim(1)?.f_sub(&logits.f_logsumexp(&[1i64][..], false)?)?;
    Ok(Vec::<f64>::try_from(logs.f_to_kind(Kind::Double)?)?)
}
