//! Text to token ids and back, through the `tokenizers` library.

use std::path::Path;

#[cfg(feature = "gguf")]
use tokenizers::models::bpe::BPE;
#[cfg(feature = "gguf")]
use tokenizers::normalizers::NFC;
#[cfg(feature = "gguf")]
use tokenizers::pre_tokenizers::{
    byte_level::ByteLevel,
    sequence::Sequence,
    split::{Split, SplitPattern},
    PreTokenizerWrapper,
};
#[cfg(feature = "gguf")]
use tokenizers::{AddedToken, SplitDelimiterBehavior};

use super::{check, Text};
use crate::error::Place;
use crate::{file, Error, Result};

/// A tokeniser: text to ids, with the byte range of each token, and back.
#[derive(Debug)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    bos: Option<u32>,
    sha256: String,
}

/// The tokens of one text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Encoded {
    /// Token ids, `[t]`.
    pub ids: Vec<u32>,
    /// Byte range of each token in the text; empty for tokens that were added, `[t]`.
    pub bytes: Vec<(usize, usize)>,
}

/// A byte-level BPE vocabulary as GGUF metadata holds it.
#[cfg(feature = "gguf")]
pub(crate) struct BpeVocabulary {
    pub tokens: Vec<String>,
    pub merges: Vec<(String, String)>,
    /// Tokens matched as a whole in any text: id, and whether they are control tokens.
    pub added: Vec<(u32, bool)>,
    pub pre_tokenizer: String,
    pub bos: Option<u32>,
}

/// How Qwen2 and Qwen3 split a text before byte pairs are merged: contractions, words with what stands before
/// them, single digits, punctuation, line breaks, spaces.
#[cfg(feature = "gguf")]
const QWEN2: &str = concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}",
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
);

impl Tokenizer {
    /// Reads a `tokenizer.json`.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Malformed`].
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Tokenizer::parse(path, &file::read_text(path)?)
    }

    /// Reads a tokeniser from the text of a `tokenizer.json`.
    ///
    /// # Errors
    /// [`Error::Malformed`].
    pub fn from_json(text: &str) -> Result<Self> {
        Tokenizer::parse(Path::new("tokeniser"), text)
    }

    fn parse(path: &Path, text: &str) -> Result<Self> {
        check::tokenizer_json(path, text)?;
        let mut inner = text
            .parse::<tokenizers::Tokenizer>()
            .map_err(|error| Error::malformed(path, Place::File, format!("no tokeniser: {error}")))?;
        // Some files ask for texts of one length; here every text is read as it is.
        inner.with_padding(None);
        inner.with_truncation(None).map_err(failed)?;
        Ok(Tokenizer { inner, bos: None, sha256: file::sha256(text) })
    }

    /// Builds the tokeniser of a GGUF file. `bos` is put before each text that is encoded with
    /// [`Tokenizer::encode`].
    #[cfg(feature = "gguf")]
    pub(crate) fn from_bpe(path: &Path, vocabulary: BpeVocabulary) -> Result<Self> {
        let bad = |key: &str, problem: String| Error::malformed(path, Place::Entry(key.to_owned()), problem);
        let BpeVocabulary { tokens, merges, added, pre_tokenizer, bos } = vocabulary;
        let byte_level = ByteLevel::default().add_prefix_space(false);
        // The first three as the reference library reads them from GGUF: see docs/decisions/gguf-tokeniser.md.
        let pre: PreTokenizerWrapper = match pre_tokenizer.as_str() {
            "gpt-2" | "default" | "smollm" => byte_level.into(),
            "qwen2" => {
                let split = Split::new(SplitPattern::Regex(QWEN2.into()), SplitDelimiterBehavior::Isolated, false);
                Sequence::new(vec![split.map_err(failed)?.into(), byte_level.use_regex(false).into()]).into()
            }
            _ => {
                return Err(Error::UnsupportedSetting {
                    path: path.to_owned(),
                    key: "tokenizer.ggml.pre".into(),
                    value: pre_tokenizer,
                    supported: "gpt-2, default, smollm, qwen2".into(),
                })
            }
        };
        let special = added
            .iter()
            .map(|&(id, control)| {
                let token =
                    tokens.get(id as usize).ok_or_else(|| bad("tokenizer.ggml.tokens", format!("no id {id}")))?;
                Ok((AddedToken::from(token.clone(), control).normalized(false), control))
            })
            .collect::<Result<Vec<_>>>()?;
        let vocabulary: tokenizers::models::bpe::Vocab = tokens.into_iter().zip(0u32..).collect();
        check::merges_in(&merges, "", |token| vocabulary.contains_key(token))
            .map_err(|problem| bad("tokenizer.ggml.merges", problem))?;
        let model = BPE::builder()
            .vocab_and_merges::<tokenizers::models::bpe::Vocab>(vocabulary, merges)
            .build()
            .map_err(|error| bad("tokenizer.ggml.merges", error.to_string()))?;
        let mut inner = tokenizers::Tokenizer::new(model);
        inner.with_pre_tokenizer(Some(pre)).with_decoder(Some(byte_level));
        if pre_tokenizer == "qwen2" {
            inner.with_normalizer(Some(NFC)).map_err(failed)?;
        }
        for (token, control) in special {
            let known = if control { inner.add_special_tokens([token]) } else { inner.add_tokens([token]) };
            known.map_err(|error| bad("tokenizer.ggml.tokens", error.to_string()))?;
        }
        let text = inner.to_string(false).map_err(failed)?;
        Ok(Tokenizer { sha256: file::sha256(text), inner, bos })
    }

    /// Encodes a plain text, with the tokens that the model expects around every text (such as BOS).
    ///
    /// # Errors
    /// [`Error::Tokenizer`].
    pub fn encode(&self, text: &str) -> Result<Encoded> {
        let mut encoded = self.encoded(text, true)?;
        if let Some(bos) = self.bos {
            encoded.ids.insert(0, bos);
            encoded.bytes.insert(0, (0, 0));
        }
        Ok(encoded)
    }

    fn encoded(&self, text: &str, add_special: bool) -> Result<Encoded> {
        let encoding = self.inner.encode(text, add_special).map_err(failed)?;
        Ok(Encoded { ids: encoding.get_ids().to_vec(), bytes: encoding.get_offsets().to_vec() })
    }

    /// Encodes a text that already holds its special tokens, such as a rendered conversation; adds none.
    ///
    /// # Errors
    /// [`Error::Tokenizer`].
    pub fn encode_rendered(&self, text: &str) -> Result<Vec<u32>> {
        Ok(self.encoded(text, false)?.ids)
    }

    /// Encodes a text in whichever of the two forms it is.
    pub(crate) fn encode_text(&self, text: &Text) -> Result<Encoded> {
        if text.rendered {
            self.encoded(&text.text, false)
        } else {
            self.encode(&text.text)
        }
    }

    /// Text of token ids, without special tokens.
    ///
    /// # Errors
    /// [`Error::Tokenizer`].
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        self.inner.decode(ids, true).map_err(failed)
    }

    /// The id of a token given by its text.
    pub fn token_id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// The token with the largest id, added tokens included.
    pub(crate) fn largest_id(&self) -> Option<(String, u32)> {
        self.inner.get_vocab(true).into_iter().max_by(|a, b| (a.1, &a.0).cmp(&(b.1, &b.0)))
    }

    /// SHA-256 of `tokenizer.json`, or of a GGUF file's tokeniser in that form.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }
}

fn failed(error: tokenizers::Error) -> Error {
    Error::Tokenizer(error.to_string())
}

#[cfg(all(test, feature = "gguf"))]
mod tests {
    use super::*;

    #[test]
    fn the_named_pre_tokeniser_decides_what_may_merge() {
        let tokenizer = |pre: &str| {
            let tokens = ["1", "2", "12", "(", "a", "(a", "\u{e9}"].map(str::to_owned);
            let vocabulary = BpeVocabulary {
                tokens: tokens.iter().cloned().chain(["\u{c3}", "\u{a9}", "\u{c3}\u{a9}"].map(str::to_owned)).collect(),
                merges: [("1", "2"), ("(", "a"), ("\u{c3}", "\u{a9}")]
                    .map(|(a, b)| (a.to_owned(), b.to_owned()))
                    .into(),
                added: Vec::new(),
                pre_tokenizer: pre.to_owned(),
                bos: None,
            };
            Tokenizer::from_bpe(Path::new("x.gguf"), vocabulary)
        };
        let ids = |pre: &str, text: &str| tokenizer(pre).unwrap().encode_rendered(text).unwrap();
        assert_eq!((ids("gpt-2", "12"), ids("qwen2", "12")), (vec![2], vec![0, 1]));
        assert_eq!((ids("gpt-2", "(a"), ids("qwen2", "(a")), (vec![3, 4], vec![5]));
        // Composed first: e and an acute accent are one letter.
        assert_eq!(ids("qwen2", "e\u{301}"), [9]);
        assert!(tokenizer("llama-bpe").unwrap_err().to_string().contains("supported: gpt-2"));
    }
}
