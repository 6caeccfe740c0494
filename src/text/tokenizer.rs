//! Text to token ids and back, through the `tokenizers` library.

use std::path::Path;

#[cfg(feature = "gguf")]
use super::gguf::GgufVocabulary;
use super::{check, Text, SPACE};
use crate::error::Place;
use crate::{file, Error, Result};

/// A tokeniser: text to ids, with the byte range of each token, and back.
#[derive(Debug)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    sha256: String,
}

/// The tokens of one text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Encoded {
    /// Token ids, `[t]`.
    pub ids: Vec<u32>,
    /// Byte range of each token in the text; empty for tokens that were added, `[t]`.
    pub bytes: Vec<(usize, usize)>,
}

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
        Ok(Tokenizer { inner, sha256: file::sha256(text) })
    }

    /// Builds the tokeniser of the GGUF file at `path`.
    #[cfg(feature = "gguf")]
    pub(crate) fn from_gguf(path: &Path, vocabulary: GgufVocabulary) -> Result<Self> {
        Tokenizer::parse(path, &vocabulary.tokenizer_json(path)?)
    }

    /// Encodes a plain text, with the tokens that the model expects around every text (such as BOS).
    ///
    /// # Errors
    /// [`Error::Tokenizer`].
    pub fn encode(&self, text: &str) -> Result<Encoded> {
        self.encoded(text, true)
    }

    fn encoded(&self, text: &str, add_special: bool) -> Result<Encoded> {
        let encoding = self.inner.encode(text, add_special).map_err(failed)?;
        let mut bytes = encoding.get_offsets().to_vec();
        // The space that SentencePiece puts before a text is none of the text's, where it is a token of its own:
        // the library gives it the bytes of the token after it.
        for at in 1..bytes.len() {
            if let (Some(SPACE), Some(&[(start, end), (next, next_end)])) =
                (encoding.get_tokens().get(at - 1).map(String::as_str), bytes.get(at - 1..=at))
            {
                if start == next && start < end && next < next_end {
                    bytes[at - 1] = (start, start);
                }
            }
        }
        Ok(Encoded { ids: encoding.get_ids().to_vec(), bytes })
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

    /// The text of a token, as the vocabulary spells it.
    #[cfg(all(test, feature = "gguf"))]
    pub(crate) fn token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
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
    Error::Tokenizer(error.to_string().into())
}
