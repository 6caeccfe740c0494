//! Tokenisers as they come with models: SentencePiece in a GGUF file, and `tokenizer.json` of each kind. The ids of all
//! kinds of GGUF vocabularies are compared with the reference in `src/text/gguf.rs`.

use common::json;
use common::made::{Folder, Gguf, Meta};
use probity::capture::{Pool, Readout};
use probity::hook::Site;
use probity::text::{Span, Text, Tokenizer};
use probity::Model;
use serde_json::{json, Value};

fn read<T: serde::de::DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).unwrap()
}

/// The tiny model with the SentencePiece vocabulary of the fixture.
fn with_pieces(fixture: &Value) -> Gguf {
    let vocabulary = &fixture["vocabulary"];
    let tokens: Vec<String> = read(&vocabulary["tokens"]);
    let rows = tokens.len();
    let mut file = Gguf::tiny()
        .without("tokenizer.ggml.merges")
        .without("tokenizer.ggml.pre")
        .with("tokenizer.ggml.model", Meta::Text("llama".into()))
        .with("tokenizer.ggml.tokens", Meta::Texts(tokens))
        .with("tokenizer.ggml.scores", Meta::Floats(read(&vocabulary["scores"])))
        .with("tokenizer.ggml.token_type", Meta::Ints(read(&vocabulary["types"])))
        .with("tokenizer.ggml.bos_token_id", Meta::U32(read(&vocabulary["bos"])))
        .with("tokenizer.ggml.eos_token_id", Meta::U32(read(&vocabulary["eos"])))
        .with("tokenizer.ggml.unknown_token_id", Meta::U32(0));
    let embedding = file.tensor("token_embd.weight");
    let width = embedding.dimensions[0] as usize;
    embedding.dimensions[1] = rows as u64;
    embedding.values = (0..rows * width).map(|n| ((n * 37 % 101) as f32 - 50.0) / 100.0).collect();
    file
}

#[test]
fn a_gguf_file_with_a_sentencepiece_vocabulary_loads_with_the_ids_of_the_reference() {
    let fixture = json("tokenizers/spm.json");
    let folder = Folder::new();
    let load = |file: Gguf| Model::load(folder.write("m.gguf", file.bytes())).unwrap();
    let model = load(with_pieces(&fixture));
    let texts: Vec<String> = read(&fixture["texts"]);
    let ids: Vec<Vec<u32>> = read(&fixture["cases"][0]["ids"]);
    for (text, ids) in texts.iter().zip(&ids) {
        assert_eq!(&model.tokenizer().encode(text).unwrap().ids, ids, "{text:?}");
        assert_eq!(model.tokenizer().encode_rendered(text).unwrap(), ids[1..], "{text:?}");
    }
    let flag = |key: &str, value: bool| with_pieces(&fixture).with(&format!("tokenizer.ggml.{key}"), Meta::Bool(value));
    let plain = load(flag("add_bos_token", false)).tokenizer().encode("the river").unwrap().ids;
    assert_eq!(model.tokenizer().encode("the river").unwrap().ids[1..], plain);
    let ended = load(flag("add_eos_token", true)).tokenizer().encode("the river").unwrap();
    assert_eq!((ended.ids.last(), ended.bytes.last()), (Some(&2), Some(&(0, 0))));
}

#[test]
fn a_span_of_a_sentencepiece_text_reads_its_own_tokens() {
    let fixture = json("tokenizers/spm.json");
    let folder = Folder::new();
    let model = Model::load(folder.write("m.gguf", with_pieces(&fixture).bytes())).unwrap();
    let text = "Grüße 🙂, the  river runs\n\u{3000}past 42 mills";
    for word in ["Grüße", "🙂", "river", "runs", "past", "42", "mills"] {
        let start = text.find(word).unwrap();
        let span = Span { start, end: start + word.len() };
        let encoded = model.tokenizer().encode(text).unwrap();
        let decoded = model.tokenizer().decode(&encoded.ids[span.tokens(&encoded.bytes)]).unwrap();
        assert_eq!(decoded.trim(), word);
        let whole = Text { span: Some(span), ..Text::new("a", text) };
        let states = Readout::new(Site::Embed.all_layers(), Pool::Mean).capture(&model, &[whole]).unwrap();
        assert_eq!(states.rows(), 1);
    }
}

#[test]
fn tokenizer_json_of_every_kind_loads_and_gives_its_bytes_back() {
    let letters = |extra: &[&str]| -> Vec<String> {
        let plain = (b'a'..=b'z').map(|letter| char::from(letter).to_string());
        extra.iter().map(|&token| token.to_owned()).chain(plain).collect()
    };
    let ids = |tokens: Vec<String>| -> Value {
        tokens
            .into_iter()
            .zip(0..)
            .map(|(token, id): (_, u32)| (token, json!(id)))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    let bytes: Vec<String> = (0..256).map(|byte| format!("<0x{byte:02X}>")).collect();
    let pieces: Vec<String> = letters(&["<unk>", "\u{2581}"]).into_iter().chain(bytes.clone()).collect();
    let metaspace =
        json!({ "type": "Metaspace", "replacement": "\u{2581}", "prepend_scheme": "always", "split": true });
    let scored: Vec<Value> = pieces.iter().map(|piece| json!([piece, -1.0])).collect();
    let decoder = json!({ "type": "Sequence", "decoders": [
        { "type": "Replace", "pattern": { "String": "\u{2581}" }, "content": " " }, { "type": "ByteFallback" }, { "type": "Fuse" },
        { "type": "Strip", "content": " ", "start": 1, "stop": 0 } ] });
    let level = json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true });
    for (kind, model, pre, decoder) in [
        (
            "SentencePiece BPE",
            json!({ "type": "BPE", "vocab": ids(pieces.clone()), "merges": [["t", "h"]], "unk_token": "<unk>", "fuse_unk": true, "byte_fallback": true }),
            metaspace.clone(),
            decoder.clone(),
        ),
        (
            "Unigram",
            json!({ "type": "Unigram", "unk_id": 0, "vocab": scored, "byte_fallback": true }),
            metaspace,
            decoder,
        ),
        (
            "byte-level BPE",
            json!({ "type": "BPE", "vocab": ids(letters(&["Ġ", "Ã", "©"])), "merges": [] }),
            level.clone(),
            level,
        ),
    ] {
        let mut model = model;
        if kind == "SentencePiece BPE" {
            model["vocab"]["th"] = json!(1_000);
        }
        let content = json!({ "version": "1.0", "added_tokens": [], "normalizer": null, "pre_tokenizer": pre, "post_processor": null,
            "decoder": decoder, "model": model });
        let folder = Folder::new();
        let tokenizer = Tokenizer::load(folder.write("tokenizer.json", content.to_string())).unwrap();
        let text = "the caf\u{e9} at sea";
        let encoded = tokenizer.encode(text).unwrap();
        assert_eq!(tokenizer.decode(&encoded.ids).unwrap(), text, "{kind}");
        assert_eq!(encoded.bytes.last(), Some(&(text.len() - 1, text.len())), "{kind}: {:?}", encoded.bytes);
        assert_eq!(encoded.bytes[0].0, 0, "{kind}");
    }
}
