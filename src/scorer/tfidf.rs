//! A scorer learnt from labelled texts: weighted words and logistic regression.

use std::path::Path;

use ndarray::{Array2, ShapeBuilder};
use serde::{Deserialize, Serialize};

use super::words::{SparseRow, Vocabulary};
use super::TextScorer;
use crate::error::{check_rows, Place};
use crate::solve::{Problem, Solution, Targets};
use crate::stats::logistic;
use crate::{file, Error, Provenance, Result};

/// How a [`TfidfScorer`] is learnt.
///
/// ```
/// use probity::scorer::{TextScorer, Tfidf};
/// let texts = ["you are kind", "kind words help", "you are vile", "vile words hurt"];
/// let scorer = Tfidf::default().train(&texts, &[false, false, true, true])?;
/// let scores = scorer.score(&["a vile thing", "a kind thing"])?;
/// assert!(scores[0] > 0.5 && scores[1] < 0.5);
/// # Ok::<(), probity::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[must_use]
pub struct Tfidf {
    max_features: usize,
    alpha: f64,
}

impl Default for Tfidf {
    fn default() -> Self {
        Tfidf { max_features: 5_000, alpha: 1.0 }
    }
}

impl Tfidf {
    /// Sets how many words to keep, the most frequent, default 5,000. Learning from n texts needs
    /// 8 n `max_features` bytes, since linfa's rows are dense: 160 MB for 4,000 texts.
    pub fn max_features(mut self, words: usize) -> Self {
        self.max_features = words;
        self
    }

    /// Sets the penalty's strength, 1/C of scikit-learn, default 1.
    pub fn alpha(mut self, alpha: f64) -> Self {
        self.alpha = alpha;
        self
    }

    /// Learns words and weights from texts, `[n]`, and labels, `[n]`, `true` = immoral.
    ///
    /// # Errors
    /// [`Error::Setting`]; [`Error::RowCount`]; [`Error::OneClass`]; [`Error::Fit`] if no text holds a word.
    pub fn train(&self, texts: &[impl AsRef<str>], labels: &[bool]) -> Result<TfidfScorer> {
        if self.max_features == 0 {
            return Err(Error::setting("max_features", 0, "at least 1"));
        }
        if !(self.alpha > 0.0 && self.alpha.is_finite()) {
            return Err(Error::setting("alpha", self.alpha, "above 0 and finite; it is 1/C of scikit-learn"));
        }
        check_rows("labels", labels.len(), texts.len())?;
        let immoral = labels.iter().filter(|&&label| label).count();
        if immoral == 0 || immoral == labels.len() {
            return Err(Error::OneClass { part: "training", label: u8::from(immoral > 0) });
        }
        let texts: Vec<&str> = texts.iter().map(AsRef::as_ref).collect();
        let vocabulary = Vocabulary::learn(&texts, self.max_features)?;
        let rows = vocabulary.weigh(&texts)?;
        let Solution { weights, intercept, objective, relative_gap, .. } =
            fit(&rows, vocabulary.words().len(), labels, self.alpha)?;
        let converged = relative_gap <= TOLERANCE;
        if !converged {
            tracing::warn!(gap = relative_gap, "a text scorer's fit did not converge");
        }
        let data = texts.iter().zip(labels).map(|(text, label)| format!("{}\t{text}\n", u8::from(*label)));
        let provenance = [
            ("scorer_max_features", self.max_features.to_string()),
            ("scorer_alpha", self.alpha.to_string()),
            ("scorer_texts", texts.len().to_string()),
            ("scorer_data_sha256", file::sha256(data.collect::<String>())),
        ];
        let provenance = provenance.map(|(key, value)| (key.to_owned(), value)).into();
        Ok(TfidfScorer { vocabulary, weights: weights.to_vec(), intercept, objective, converged, provenance })
    }
}

/// (objective - optimum) / objective to reach.
const TOLERANCE: f64 = 1e-8;

/// Minimises sum_i ln(1 + exp(-y_i (w.x_i + b))) + alpha/2 |w|^2. linfa takes dense rows only: this needs
/// 8 n `width` bytes, once.
fn fit(rows: &[SparseRow], width: usize, labels: &[bool], alpha: f64) -> Result<Solution> {
    let mut dense = Array2::zeros((rows.len(), width).f());
    for (mut dense, row) in dense.outer_iter_mut().zip(rows) {
        for &(column, value) in row {
            if let Some(cell) = dense.get_mut(column) {
                *cell = value;
            }
        }
    }
    let problem = Problem { alpha, max_iterations: 1_000, tolerance: TOLERANCE, first_runs: 1 };
    let failed = |problem: String| Error::fit("the text scorer", problem);
    match problem.solve_as_is(dense, &[Targets { labels, weights: None }]).pop() {
        Some(solution) => solution.map_err(|error| failed(error.to_string())),
        None => Err(failed("the solver gave no result".to_owned())),
    }
}

/// w.x + b of a sparse row.
fn decision(row: &SparseRow, weights: &[f64], intercept: f64) -> f64 {
    row.iter().filter_map(|&(column, value)| Some(value * weights.get(column)?)).sum::<f64>() + intercept
}

/// Scores texts by their words: TF-IDF weights (scikit-learn's `TfidfVectorizer` as it comes, with the words
/// counted by linfa-preprocessing) and linfa's logistic regression. Order and negation of words escape it, so
/// hold it against a stronger judge before leaning on it.
#[derive(Debug, Clone, PartialEq)]
pub struct TfidfScorer {
    vocabulary: Vocabulary,
    weights: Vec<f64>,
    intercept: f64,
    objective: f64,
    converged: bool,
    provenance: Provenance,
}

const KIND: &str = "tfidf_scorer";
const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Saved {
    kind: String,
    format: u32,
    words: Vec<String>,
    idf: Vec<f64>,
    weights: Vec<f64>,
    intercept: f64,
    objective: f64,
    converged: bool,
    provenance: Provenance,
}

impl TfidfScorer {
    pub(crate) fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// The words, in alphabetical order, with their weights in the decision: above 0 for immoral.
    pub fn words(&self) -> impl Iterator<Item = (&str, f64)> {
        self.vocabulary.words().iter().map(String::as_str).zip(self.weights.iter().copied())
    }

    /// Log-odds of each text being immoral, `[n]`; that of no known word is the intercept.
    ///
    /// # Errors
    /// [`Error::Fit`] if the words cannot be counted.
    pub fn decision(&self, texts: &[&str]) -> Result<Vec<f64>> {
        let rows = self.vocabulary.weigh(texts)?;
        Ok(rows.iter().map(|row| decision(row, &self.weights, self.intercept)).collect())
    }

    /// Value of the objective where the fit ended: the sum of log-losses in nats plus alpha/2 |w|^2.
    pub fn objective(&self) -> f64 {
        self.objective
    }

    /// Whether the objective is within 1e-8 of its optimum, relatively, by a proven bound.
    pub fn converged(&self) -> bool {
        self.converged
    }

    /// Writes everything as one JSON file.
    ///
    /// # Errors
    /// [`Error::Io`]; the file appears whole or not at all.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let saved = Saved {
            kind: KIND.to_owned(),
            format: FORMAT,
            words: self.vocabulary.words().to_vec(),
            idf: self.vocabulary.idf().to_vec(),
            weights: self.weights.clone(),
            intercept: self.intercept,
            objective: self.objective,
            converged: self.converged,
            provenance: self.provenance.clone(),
        };
        file::write_json(path.as_ref(), &saved)
    }

    /// Reads a file written by [`TfidfScorer::save`].
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Malformed`] for another kind of file, lists of unequal length, words out of order,
    /// and numbers that are not finite.
    pub fn load(path: impl AsRef<Path>) -> Result<TfidfScorer> {
        let path = path.as_ref();
        let bad = |place: &str, problem: String| {
            let place = if place.is_empty() { Place::File } else { Place::Entry(place.to_owned()) };
            Error::malformed(path, place, problem)
        };
        let saved: Saved = serde_json::from_str(&file::read_text(path)?)
            .map_err(|error| bad("", format!("no text scorer: {error}")))?;
        if saved.kind != KIND || saved.format != FORMAT {
            let problem =
                format!("is {:?} of format {}, expected {KIND:?} of format {FORMAT}", saved.kind, saved.format);
            return Err(bad("kind", problem));
        }
        let words = saved.words.len();
        if saved.weights.len() != words || !saved.weights.iter().chain([&saved.intercept]).all(|w| w.is_finite()) {
            return Err(bad("weights", format!("expected {words} finite weights and a finite intercept")));
        }
        let vocabulary = Vocabulary::from_parts(saved.words, saved.idf)
            .ok_or_else(|| bad("words", "expected words in ascending order with one idf above 0 each".to_owned()))?;
        Ok(TfidfScorer {
            vocabulary,
            weights: saved.weights,
            intercept: saved.intercept,
            objective: saved.objective,
            converged: saved.converged,
            provenance: saved.provenance,
        })
    }
}

impl TextScorer for TfidfScorer {
    fn name(&self) -> &str {
        "tfidf"
    }

    fn provenance(&self) -> Provenance {
        self.provenance.clone()
    }

    fn score(&self, texts: &[&str]) -> Result<Vec<f64>> {
        Ok(self.decision(texts)?.into_iter().map(logistic).collect())
    }
}
