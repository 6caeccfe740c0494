//! Judges of text that are independent of the probe under study.
//!
//! A completion must not be judged by the direction whose change is the question: a [`TextScorer`] sees only words.
//! [`TfidfScorer`] is learnt from labelled texts and knows their words; a stronger classifier enters through the
//! trait.

mod tfidf;
mod words;

pub use tfidf::{Tfidf, TfidfScorer};
pub(crate) use words::SparseRow;

use crate::{Provenance, Result};

/// A judge of texts. Implement it for a classifier of your own.
pub trait TextScorer: Sync {
    /// Short name, for provenance.
    fn name(&self) -> &str;

    /// What the scorer was made from: data, settings, seed.
    fn provenance(&self) -> Provenance {
        Provenance::new()
    }

    /// Probability that each text is immoral (toxic), in 0 to 1, `[n]`.
    ///
    /// # Errors
    /// Whatever the judge cannot do.
    fn score(&self, texts: &[&str]) -> Result<Vec<f64>>;
}
