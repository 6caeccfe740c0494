//! Texts as weighted words: linfa-preprocessing splits and counts, the weights are scikit-learn's TF-IDF.

use linfa_preprocessing::CountVectorizer;
use ndarray::ArrayView1;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The words of a text that are in the vocabulary, ascending, with their weights.
pub(crate) type SparseRow = Vec<(usize, f64)>;

/// Words and their inverse document frequencies, `[v]`.
///
/// A word is two or more letters, digits or underscores in a row, in lower case. Weight of a word in a text =
/// count * idf, divided by the text's Euclidean length, with idf = ln((1 + n) / (1 + texts with the word)) + 1:
/// scikit-learn's `TfidfVectorizer` as it comes.
///
/// Only the counts are linfa-preprocessing's. Its own TF-IDF takes the document frequencies from the texts that are
/// weighted and not from those it learnt on, so that a text's weights would hang on its neighbours.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Vocabulary {
    words: Vec<String>,
    idf: Vec<f64>,
}

impl Vocabulary {
    /// Keeps the `max_features` words that occur most often in `texts`, ties in alphabetical order.
    pub fn learn(texts: &[&str], max_features: usize) -> Result<Self> {
        let vectoriser = settings().fit(&ArrayView1::from(texts)).map_err(refused)?;
        let counts = vectoriser.transform(&ArrayView1::from(texts)).map_err(refused)?;
        let mut words: Vec<(usize, usize, &String)> = vectoriser.vocabulary().iter().map(|word| (0, 0, word)).collect();
        for text in counts.outer_iterator() {
            for (column, &count) in text.iter() {
                if let Some((in_all, in_texts, _)) = words.get_mut(column) {
                    *in_all += count;
                    *in_texts += 1;
                }
            }
        }
        // linfa's own order of words is that of a hash map, which differs from run to run.
        words.sort_unstable_by(|a, b| b.0.cmp(&a.0).then_with(|| a.2.cmp(b.2)));
        words.truncate(max_features);
        words.sort_unstable_by_key(|&(_, _, word)| word);
        if words.is_empty() {
            let problem = "no text holds a word of two or more letters".to_owned();
            return Err(Error::fit("the words of the texts", problem));
        }
        let idf = |in_texts: usize| ((1.0 + texts.len() as f64) / (1.0 + in_texts as f64)).ln() + 1.0;
        let idf = words.iter().map(|&(_, in_texts, _)| idf(in_texts)).collect();
        Ok(Vocabulary { words: words.into_iter().map(|(_, _, word)| word.clone()).collect(), idf })
    }

    /// The words, in alphabetical order.
    pub fn words(&self) -> &[String] {
        &self.words
    }

    pub fn idf(&self) -> &[f64] {
        &self.idf
    }

    /// From a file: words that rise, and one positive idf each.
    pub fn from_parts(words: Vec<String>, idf: Vec<f64>) -> Option<Self> {
        let rises = words.windows(2).all(|pair| pair[0] < pair[1]);
        let fits = words.len() == idf.len() && idf.iter().all(|&idf| idf.is_finite() && idf > 0.0);
        (rises && fits && !words.is_empty()).then_some(Vocabulary { words, idf })
    }

    /// The weights of each text's words, of Euclidean length 1, or 0 where no word is known.
    pub fn weigh(&self, texts: &[&str]) -> Result<Vec<SparseRow>> {
        let vectoriser = settings().fit_vocabulary(&self.words).map_err(refused)?;
        let counts = vectoriser.transform(&ArrayView1::from(texts)).map_err(refused)?;
        // linfa numbers even a given vocabulary in the order of a hash map: each column's word says which it is.
        let ours = |word: &String| self.words.binary_search(word).ok();
        let column_of: Vec<Option<usize>> = vectoriser.vocabulary().iter().map(ours).collect();
        let rows = counts.outer_iterator().map(|text| {
            let weight = |(column, &count): (usize, &usize)| {
                let column = (*column_of.get(column)?)?;
                Some((column, count as f64 * self.idf.get(column)?))
            };
            let mut row: SparseRow = text.iter().filter_map(weight).collect();
            row.sort_unstable_by_key(|&(column, _)| column);
            let length = row.iter().map(|(_, weight)| weight * weight).sum::<f64>().sqrt();
            row.iter_mut().for_each(|(_, weight)| *weight /= length);
            row
        });
        Ok(rows.collect())
    }
}

fn settings() -> linfa_preprocessing::CountVectorizerParams {
    // Words as they are written: accents are part of a word.
    CountVectorizer::params().normalize(false)
}

fn refused(error: linfa_preprocessing::PreprocessingError) -> Error {
    Error::fit("the words of the texts", error.to_string())
}
