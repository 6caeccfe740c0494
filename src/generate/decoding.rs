//! How an answer is generated.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// How tokens are chosen, and when an answer ends. The default is greedy.
///
/// ```
/// use probity::generate::Decoding;
/// let paper = Decoding::new(8); // the most probable token, at most 8 times
/// let sampled = Decoding::new(125).temperature(0.8).top_p(0.95).seed(7).stop(["\n\n"]);
/// assert!(paper.validate().is_ok() && sampled.validate().is_ok());
/// assert!(Decoding::new(8).top_p(1.5).validate().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[must_use]
pub struct Decoding {
    pub(super) max_tokens: usize,
    pub(super) temperature: f64,
    pub(super) top_k: Option<usize>,
    pub(super) top_p: f64,
    pub(super) seed: u64,
    pub(super) stop: Vec<String>,
    pub(super) stop_tokens: Option<Vec<u32>>,
}

impl Decoding {
    /// Greedy decoding of at most `max_tokens` tokens, up to the model's own stop tokens.
    pub fn new(max_tokens: usize) -> Self {
        Decoding { max_tokens, temperature: 0.0, top_k: None, top_p: 1.0, seed: 0, stop: Vec::new(), stop_tokens: None }
    }

    /// Sets the temperature: logits are divided by it, then a token is drawn. Default 0: the most probable token, and
    /// of equals the one of lowest id.
    pub fn temperature(mut self, temperature: f64) -> Self {
        self.temperature = temperature;
        self
    }

    /// Draws from the k most probable tokens only. Default: all.
    pub fn top_k(mut self, k: usize) -> Self {
        self.top_k = Some(k);
        self
    }

    /// Draws from the fewest most probable tokens whose probabilities (after temperature and top k) sum to at least
    /// `p` only. Default 1: all.
    pub fn top_p(mut self, p: f64) -> Self {
        self.top_p = p;
        self
    }

    /// Sets the seed of the draws, default 0. A row's draws follow from the seed and the row's key, whatever stands
    /// beside it in the batch.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Ends an answer also where its text holds one of these strings; the string and what follows it are cut off.
    /// Default: none.
    pub fn stop<S: Into<String>>(mut self, strings: impl IntoIterator<Item = S>) -> Self {
        self.stop = strings.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the tokens that end an answer, default the model's own.
    pub fn stop_tokens(mut self, tokens: impl IntoIterator<Item = u32>) -> Self {
        self.stop_tokens = Some(tokens.into_iter().collect());
        self
    }

    /// The most tokens of an answer.
    pub fn max_tokens(&self) -> usize {
        self.max_tokens
    }

    /// Whether the most probable token is taken each time.
    pub fn is_greedy(&self) -> bool {
        self.temperature == 0.0
    }

    /// All settings in words, for provenance.
    pub fn describe(&self) -> String {
        let mut words = vec![match self.is_greedy() {
            true => "greedy".to_owned(),
            false => format!("drawn at temperature {}, seed {}", self.temperature, self.seed),
        }];
        words.extend(self.top_k.map(|k| format!("top k {k}")));
        words.extend((self.top_p < 1.0).then(|| format!("top p {}", self.top_p)));
        words.push(format!("at most {} tokens", self.max_tokens));
        words.extend((!self.stop.is_empty()).then(|| format!("stop at {:?}", self.stop)));
        words.extend(self.stop_tokens.as_ref().map(|tokens| format!("stop tokens {tokens:?}")));
        words.join(", ")
    }

    /// Refuses settings outside their range.
    ///
    /// # Errors
    /// [`Error::Setting`].
    pub fn validate(&self) -> Result<()> {
        if self.max_tokens == 0 {
            return Err(Error::setting("max_tokens", 0, "at least 1"));
        }
        if !(self.temperature >= 0.0 && self.temperature.is_finite()) {
            return Err(Error::setting("temperature", self.temperature, "0 (greedy) or above, and finite"));
        }
        if self.top_k == Some(0) {
            return Err(Error::setting("top_k", 0, "at least 1"));
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return Err(Error::setting("top_p", self.top_p, "above 0 and at most 1"));
        }
        if self.is_greedy() && (self.top_k.is_some() || self.top_p < 1.0) {
            return Err(Error::setting("temperature", 0, "above 0 where top_k or top_p is set: nothing is drawn at 0"));
        }
        if self.stop.iter().any(String::is_empty) {
            return Err(Error::setting("stop", "\"\"", "strings with at least one character"));
        }
        Ok(())
    }
}
