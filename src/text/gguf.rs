//! The tokeniser that a GGUF file describes, put as a `tokenizer.json`, as the reference library puts it: see
//! docs/decisions/gguf-tokeniser.md.

use std::collections::HashMap;
use std::path::Path;

use serde_json::{json, Map, Value};

use super::SPACE;
use crate::error::Place;
use crate::{Error, Result};

/// What GGUF metadata say of a tokeniser.
#[derive(Debug, Clone, Default)]
pub(crate) struct GgufVocabulary {
    /// `general.architecture`.
    pub architecture: String,
    /// `tokenizer.ggml.model`: "gpt2" for byte-level BPE, "llama" for SentencePiece.
    pub model: String,
    /// The rule by which byte-level BPE splits a text first.
    pub pre_tokenizer: Option<String>,
    pub tokens: Vec<String>,
    /// SentencePiece's scores, from which merges follow where there are none.
    pub scores: Option<Vec<f32>>,
    pub types: Vec<i64>,
    pub merges: Option<Vec<(String, String)>>,
    pub bos: Option<u32>,
    pub eos: Option<u32>,
    pub unknown: Option<u32>,
    pub padding: Option<u32>,
    pub add_bos: Option<bool>,
    pub add_eos: Option<bool>,
    pub add_space_prefix: Option<bool>,
}

/// Token types of `tokenizer.ggml.token_type`.
const TYPE_CONTROL: i64 = 3;
const TYPE_USER_DEFINED: i64 = 4;

/// Bytes of the longest token that is taken apart to find merges; real ones are shorter than a fourth of it.
const LONGEST_PIECE: usize = 512;

/// Which byte-level vocabularies were learned with the rule of GPT-2, which `tokenizers` has built in.
const GPT2_RULE: [&str; 6] = ["gpt-2", "default", "smollm", "olmo", "phi-2", "mpt"];

/// How the other byte-level vocabularies split a text before bytes are merged.
const RULES: [(&[&str], &str); 4] = [
    // Contractions, words with what stands before them, up to three digits, punctuation, line breaks, spaces.
    (
        &["llama-bpe", "llama3", "llama-v3", "falcon3", "dbrx", "smaug-bpe"],
        concat!(
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}",
            r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
        ),
    ),
    // The same with single digits.
    (
        &["qwen2", "deepseek-r1-qwen"],
        concat!(
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}",
            r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
        ),
    ),
    // Words break where lower case turns to upper case.
    (
        &["tekken"],
        concat!(
            r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+",
            r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*",
            r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
        ),
    ),
    // The same with contractions at the word's end and up to three digits.
    (
        &["gpt-4o", "llama4"],
        concat!(
            r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+",
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
            r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*",
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
            r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
        ),
    ),
];

impl GgufVocabulary {
    /// What is wrong, under which key, where an id is none of the tokens'.
    fn check_ids(&self) -> Result<(), (String, String)> {
        if self.types.len() > self.tokens.len() {
            let problem = format!("no id {}, for which token_type has an entry", self.tokens.len());
            return Err(("tokenizer.ggml.tokens".to_owned(), problem));
        }
        for (role, id) in [("bos", self.bos), ("eos", self.eos), ("unknown", self.unknown)] {
            if let Some(id) = id.filter(|&id| id as usize >= self.tokens.len()) {
                let problem = format!("{id} is none of the {} tokens", self.tokens.len());
                return Err((format!("tokenizer.ggml.{role}_token_id"), problem));
            }
        }
        Ok(())
    }

    /// The tokeniser as a `tokenizer.json`; errors name the file at `path`.
    pub fn tokenizer_json(mut self, path: &Path) -> Result<String> {
        let [normalizer, pre_tokenizer, decoder] = match self.model.as_str() {
            "gpt2" => [Value::Null, self.byte_level(path)?, byte_level(true)],
            "llama" => self.sentence_piece(),
            _ => {
                return Err(Error::unsupported_setting(
                    path,
                    "tokenizer.ggml.model",
                    self.model,
                    "gpt2 (byte-level BPE), llama (SentencePiece); or load the Hugging Face directory of \
                                the model",
                ))
            }
        };
        let bad = |key: &str, problem: String| Error::malformed(path, Place::Entry(key.to_owned()), problem);
        self.check_ids().map_err(|(key, problem)| bad(&key, problem))?;
        let pieces = self.model == "llama";
        // SentencePiece models begin a text with BOS unless the file says otherwise.
        let bos = self.bos.filter(|_| self.add_bos.unwrap_or(pieces));
        let eos = self.eos.filter(|_| self.add_eos.unwrap_or(false));
        let added = self.added_tokens();
        let post_processor = self.around_each_text(bos, eos);
        if pieces && self.architecture.starts_with("gemma") {
            self.respell_spaces();
        }
        let vocabulary: HashMap<&str, u32> = self.tokens.iter().map(String::as_str).zip(0..).collect();
        let merges = match &self.merges {
            Some(merges) => merges.iter().map(|(left, right)| json!([left, right])).collect(),
            None if pieces => self.derived_merges(path, &vocabulary)?,
            None => return Err(bad("tokenizer.ggml.merges", "is missing from the metadata".to_owned())),
        };
        let unknown = self.unknown.filter(|_| pieces).and_then(|id| self.tokens.get(id as usize));
        if pieces && unknown.is_none() {
            // Else characters without a token would vanish.
            let byte = (0..=255).map(|byte| format!("<0x{byte:02X}>")).find(|byte| !vocabulary.contains_key(&byte[..]));
            if let Some(byte) = byte {
                let problem = format!("there is neither the token {byte} nor an unknown token");
                return Err(bad("tokenizer.ggml.tokens", problem));
            }
        }
        let vocabulary: Map<String, Value> =
            self.tokens.iter().zip(0u32..).map(|(token, id)| (token.clone(), id.into())).collect();
        let whole = json!({
            "version": "1.0", "truncation": null, "padding": null, "added_tokens": added, "normalizer": normalizer,
            "pre_tokenizer": pre_tokenizer, "post_processor": post_processor, "decoder": decoder,
            "model": {
                "type": "BPE", "dropout": null, "unk_token": unknown, "continuing_subword_prefix": null,
                "end_of_word_suffix": null, "fuse_unk": pieces, "byte_fallback": pieces, "ignore_merges": false,
                "vocab": vocabulary, "merges": merges,
            },
        });
        Ok(whole.to_string())
    }

    fn byte_level(&self, path: &Path) -> Result<Value> {
        let pre_tokenizer = self.pre_tokenizer.as_deref().unwrap_or("default");
        if GPT2_RULE.contains(&pre_tokenizer) {
            return Ok(byte_level(true));
        }
        let rule = RULES.iter().find(|(names, _)| names.contains(&pre_tokenizer)).map(|(_, rule)| *rule);
        let rule = rule.ok_or_else(|| {
            let names = GPT2_RULE.iter().chain(RULES.iter().flat_map(|(names, _)| names.iter()));
            Error::unsupported_setting(
                path,
                "tokenizer.ggml.pre",
                pre_tokenizer.to_owned(),
                names.copied().collect::<Vec<_>>().join(", "),
            )
        })?;
        let split = json!({ "type": "Split", "pattern": { "Regex": rule }, "behavior": "Isolated", "invert": false });
        Ok(json!({ "type": "Sequence", "pretokenizers": [split, byte_level(false)] }))
    }

    /// Normaliser, pre-tokeniser and decoder, which differ in where a space is put before a text.
    fn sentence_piece(&self) -> [Value; 3] {
        let gemma = self.architecture.starts_with("gemma");
        let prefix = !gemma && self.add_space_prefix.unwrap_or(true);
        let spaces = json!({ "type": "Replace", "pattern": { "String": " " }, "content": SPACE });
        let (normalizer, pre_tokenizer) = match self.architecture.as_str() {
            _ if gemma => {
                let split = json!({
                    "type": "Split", "pattern": { "String": " " }, "behavior": "MergedWithPrevious", "invert": false,
                });
                (spaces, split)
            }
            "phi3" if prefix => {
                let first = json!({ "type": "Prepend", "prepend": SPACE });
                (json!({ "type": "Sequence", "normalizers": [first, spaces] }), Value::Null)
            }
            _ => {
                let scheme = if prefix { "first" } else { "never" };
                let meta =
                    json!({ "type": "Metaspace", "replacement": SPACE, "prepend_scheme": scheme, "split": false });
                (Value::Null, meta)
            }
        };
        let mut steps = vec![
            json!({ "type": "Replace", "pattern": { "String": SPACE }, "content": " " }),
            json!({ "type": "ByteFallback" }),
            json!({ "type": "Fuse" }),
        ];
        if prefix {
            steps.push(json!({ "type": "Strip", "content": " ", "start": 1, "stop": 0 }));
        }
        [normalizer, pre_tokenizer, json!({ "type": "Sequence", "decoders": steps })]
    }

    /// Tokens that are matched as a whole in any text: those marked so, and those with a role.
    fn added_tokens(&self) -> Vec<Value> {
        let roles = [self.bos, self.eos, self.unknown, self.padding];
        let added = self.tokens.iter().zip(0u32..).filter_map(|(token, id)| {
            let kind = self.types.get(id as usize).copied();
            let special = kind == Some(TYPE_CONTROL) || roles.contains(&Some(id));
            (special || kind == Some(TYPE_USER_DEFINED)).then(|| {
                json!({
                    "id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false,
                    "normalized": false, "special": special,
                })
            })
        });
        added.collect()
    }

    fn around_each_text(&self, bos: Option<u32>, eos: Option<u32>) -> Value {
        let token = |id: u32| self.tokens.get(id as usize).map(|token| (token, id));
        let [bos, eos] = [bos, eos].map(|id| id.and_then(token));
        if bos.is_none() && eos.is_none() {
            return Value::Null;
        }
        let piece = |(token, _): (&String, u32)| json!({ "SpecialToken": { "id": token, "type_id": 0 } });
        let text = |name: &str| json!({ "Sequence": { "id": name, "type_id": 0 } });
        let single: Vec<Value> = bos.map(piece).into_iter().chain([text("A")]).chain(eos.map(piece)).collect();
        let special: Map<String, Value> = [bos, eos]
            .into_iter()
            .flatten()
            .map(|(token, id)| (token.clone(), json!({ "id": token, "ids": [id], "tokens": [token] })))
            .collect();
        json!({
            "type": "TemplateProcessing", "single": single, "pair": [text("A"), text("B")], "special_tokens": special,
        })
    }

    /// Gemma's files hold runs of spaces as such.
    fn respell_spaces(&mut self) {
        for token in &mut self.tokens {
            if token.contains(' ') && token.trim().is_empty() {
                *token = SPACE.repeat(token.chars().count());
            }
        }
    }

    /// The merges that SentencePiece's scores amount to: every way to make a token of two others, the best token
    /// first. Gemma's scores do not follow the order of its merges; the order of its tokens does.
    fn derived_merges(&self, path: &Path, vocabulary: &HashMap<&str, u32>) -> Result<Vec<Value>> {
        let key = "tokenizer.ggml.scores";
        let bad = |problem: String| Error::malformed(path, Place::Entry(key.to_owned()), problem);
        let scores = match &self.scores {
            _ if self.architecture.starts_with("gemma") => (0..self.tokens.len()).map(|id| -(id as f32)).collect(),
            Some(scores) if scores.len() == self.tokens.len() => scores.clone(),
            Some(scores) => return Err(bad(format!("{} scores for {} tokens", scores.len(), self.tokens.len()))),
            None => return Err(bad("is missing, and so are merges".to_owned())),
        };
        let mut merges = Vec::new();
        for (token, &score) in self.tokens.iter().zip(&scores) {
            if token.len() > LONGEST_PIECE {
                return Err(bad(format!("a token of {} bytes, more than {LONGEST_PIECE}, needs merges", token.len())));
            }
            let before = merges.len();
            for (at, _) in token.char_indices().skip(1) {
                let (left, right) = token.split_at(at);
                if let (Some(&first), Some(&second)) = (vocabulary.get(left), vocabulary.get(right)) {
                    merges.push((score, left, right, first, second));
                }
            }
            if let Some(own) = merges.get_mut(before..) {
                own.sort_by_key(|&(_, _, _, first, second)| (first, second));
            }
        }
        let lengths = |left: &str, right: &str| (left.chars().count(), right.chars().count());
        merges.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| lengths(b.1, b.2).cmp(&lengths(a.1, a.2))));
        Ok(merges.into_iter().map(|(_, left, right, _, _)| json!([left, right])).collect())
    }
}

/// Spells bytes as letters, after splitting by the rule of GPT-2 if asked to.
fn byte_level(gpt2_rule: bool) -> Value {
    json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": gpt2_rule })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Tokenizer;

    fn fixture(name: &str) -> Value {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tokenizers").join(name);
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    }

    fn read<T: serde::de::DeserializeOwned>(value: &Value) -> T {
        serde_json::from_value(value.clone()).unwrap()
    }

    fn pairs(value: &Value) -> Option<Vec<(String, String)>> {
        let lines: Option<Vec<String>> = read(value);
        let pair = |line: &String| line.split_once(' ').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
        lines.map(|lines| lines.iter().map(pair).collect())
    }

    /// The vocabulary of one case, as a GGUF file would give it.
    fn vocabulary(fixture: &Value, case: &Value) -> GgufVocabulary {
        let (whole, settings) = (&fixture["vocabulary"], &case["settings"]);
        let mut tokens: Vec<String> = read(&whole["tokens"]);
        if settings["spaces_as_such"] == true {
            for token in
                tokens.iter_mut().filter(|token| token.chars().count() > 1 && token.replace(SPACE, "").is_empty())
            {
                *token = token.replace(SPACE, " ");
            }
        }
        let pieces = whole["scores"].is_array();
        GgufVocabulary {
            architecture: read(&case["architecture"]),
            model: if pieces { "llama" } else { "gpt2" }.to_owned(),
            pre_tokenizer: read(&settings["pre"]),
            tokens,
            scores: read(&whole["scores"]),
            types: read(&whole["types"]),
            merges: pairs(if pieces { &case["merges"] } else { &whole["merges"] }),
            bos: read(&whole["bos"]),
            eos: read(&whole["eos"]),
            unknown: pieces.then_some(0),
            padding: None,
            add_bos: read(&settings["add_bos_token"]),
            add_eos: read(&settings["add_eos_token"]),
            add_space_prefix: read(&settings["add_space_prefix"]),
        }
    }

    fn tokenizer(vocabulary: GgufVocabulary) -> Result<Tokenizer> {
        Tokenizer::from_gguf(Path::new("x.gguf"), vocabulary)
    }

    #[test]
    fn ids_and_decoded_texts_are_those_of_the_reference() {
        let mut compared = 0;
        for file in ["spm.json", "bytes.json"] {
            let fixture = fixture(file);
            let texts: Vec<String> = read(&fixture["texts"]);
            for case in fixture["cases"].as_array().unwrap() {
                let (name, rows): (String, Vec<Vec<u32>>) = (read(&case["name"]), read(&case["ids"]));
                let tokenizer = tokenizer(vocabulary(&fixture, case)).unwrap();
                for (row, (text, ids)) in texts.iter().zip(&rows).enumerate() {
                    let encoded = tokenizer.encode(text).unwrap();
                    assert_eq!(&encoded.ids, ids, "{name}: {text:?}");
                    if let Some(decoded) = case.get("decoded") {
                        let expected = decoded[row.to_string()].as_str().unwrap_or(text);
                        assert_eq!(tokenizer.decode(ids).unwrap(), expected, "{name}: {text:?}");
                    }
                    compared += 1;
                }
            }
        }
        assert_eq!(compared, 10 * 327);
    }

    #[test]
    fn the_bytes_of_tokens_cover_the_text_in_order() {
        for file in ["spm.json", "bytes.json"] {
            let fixture = fixture(file);
            let texts: Vec<String> = read(&fixture["texts"]);
            for case in fixture["cases"].as_array().unwrap() {
                let tokenizer = tokenizer(vocabulary(&fixture, case)).unwrap();
                for text in &texts {
                    let encoded = tokenizer.encode(text).unwrap();
                    let mut reached = 0;
                    for (&id, &(start, end)) in encoded.ids.iter().zip(&encoded.bytes) {
                        if start == end {
                            continue;
                        }
                        assert!(start <= reached && end >= reached, "{}: {text:?}: {:?}", case["name"], encoded.bytes);
                        reached = end;
                        // A whole token's bytes are its text; several tokens may share the bytes of one character.
                        let own = text.get(start..end).unwrap_or_else(|| panic!("{text:?}: {:?}", encoded.bytes));
                        let token = tokenizer.token(id).unwrap();
                        if file == "spm.json" && !token.starts_with("<0x") {
                            let (token, own) = (token.replace(SPACE, " "), own.replace(SPACE, " "));
                            assert!(token == own || token == format!(" {own}"), "{}: {token:?} {own:?}", case["name"]);
                        }
                    }
                    assert_eq!(reached, text.len(), "{}: {text:?}: {:?}", case["name"], encoded.bytes);
                }
            }
        }
    }

    #[test]
    fn what_a_file_does_not_say_is_the_default_or_refused() {
        let fixture = fixture("spm.json");
        let whole = || vocabulary(&fixture, &fixture["cases"][0]);
        let ids = |vocabulary| tokenizer(vocabulary).unwrap().encode("the river").unwrap().ids;
        assert_eq!(ids(whole())[0], 1, "SentencePiece begins with BOS");
        let no_bos = ids(GgufVocabulary { add_bos: Some(false), ..whole() });
        assert_eq!(ids(whole())[1..], no_bos);
        assert_eq!(ids(GgufVocabulary { bos: None, ..whole() }), no_bos);
        let bytes = self::fixture("bytes.json");
        let plain = vocabulary(&bytes, &bytes["cases"][4]);
        assert_ne!(ids(plain.clone())[0], 0, "byte-level BPE does not");
        assert_eq!(ids(GgufVocabulary { add_bos: Some(true), ..plain })[0], 0);

        let refused = |vocabulary, says: &str| {
            let message = tokenizer(vocabulary).unwrap_err().to_string();
            assert!(message.contains("x.gguf") && message.contains(says), "{message}");
        };
        refused(GgufVocabulary { scores: None, ..whole() }, "scores");
        refused(GgufVocabulary { scores: Some(vec![0.0; 3]), ..whole() }, "3 scores for 900 tokens");
        refused(GgufVocabulary { unknown: Some(900), ..whole() }, "900 is none of the 900 tokens");
        refused(GgufVocabulary { eos: Some(4_000), ..whole() }, "tokenizer.ggml.eos_token_id");
        refused(GgufVocabulary { model: "t5".into(), ..whole() }, "llama (SentencePiece)");
        let mut gap = GgufVocabulary { unknown: None, ..whole() };
        ids(gap.clone());
        gap.tokens.iter_mut().filter(|token| *token == "<0x41>").for_each(|token| *token = "gap".into());
        refused(gap, "neither the token <0x41> nor an unknown token");
        let mut long = whole();
        long.tokens[500] = "x".repeat(513);
        refused(long, "a token of 513 bytes");
    }
}
