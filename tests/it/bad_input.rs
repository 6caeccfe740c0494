//! Bad input through the library: each fault gives an error that names the file and the place, and no panic.

use std::path::Path;

use common::made::{safetensors, text, Folder, Gguf, Meta, Weights};
use common::{fixture, smollm, tiny};
use ndarray::Array2;
use probity::capture::{Activations, Pool, Readout, TokenRows};
use probity::dialogue::{Instruction, SelfCorrection};
use probity::generate::{Decoding, Session};
use probity::hook::{Address, Hooks, Selection, Site};
use probity::level::Levels;
use probity::model::{LoadOptions, LogitsFor};
use probity::probe::{LogisticProbe, ProbeBank};
use probity::task::ChoiceTask;
use probity::text::{ChatTemplate, LabelledText, Labels, Message, PadSide, Role, Span, Text, TokenBatch, Tokenizer};
use probity::{Design, Error, Model, Result};
use serde_json::json;

/// The message of an error; it must hold all of `says`.
#[track_caller]
fn refused<T>(result: Result<T>, says: &[&str]) -> String {
    let Err(error) = result else { panic!("was accepted; expected an error that says {says:?}") };
    let message = common::told(&error);
    for part in says {
        assert!(message.contains(part), "{part:?} is not in: {message}");
    }
    message
}

// --- GGUF ---------------------------------------------------------------------------------------------------

fn load_gguf(file: &Gguf) -> Result<Model> {
    let folder = Folder::new();
    Model::load(folder.write("m.gguf", file.bytes()))
}

#[track_caller]
fn gguf_refused(file: &Gguf, says: &[&str]) {
    let message = refused(load_gguf(file), says);
    assert!(message.contains("m.gguf"), "{message}");
}

#[test]
fn a_gguf_file_written_by_hand_gives_the_states_of_its_checkpoint() {
    let texts = [Text::new("a", "the first market day"), Text::new("b", "we met again")];
    let readout = Readout::new(Site::ResidPost.all_layers(), Pool::Mean);
    let ours = readout.capture(&load_gguf(&Gguf::tiny()).unwrap(), &texts).unwrap();
    let theirs = readout.capture(&tiny("tied"), &texts).unwrap();
    for address in ours.addresses() {
        let difference = (&ours.at(address).unwrap() - &theirs.at(address).unwrap()).mapv(f32::abs);
        assert!(difference.iter().all(|&value| value < 1e-5), "{address}");
    }
}

#[test]
fn a_missing_model_is_named() {
    for name in ["none.gguf", "none"] {
        let message = refused(Model::load(fixture(name)), &[name, "No such file"]);
        assert!(message.contains(&fixture("").display().to_string()), "{message}");
    }
}

#[test]
fn a_truncated_gguf_file_is_refused_wherever_it_ends() {
    let folder = Folder::new();
    let whole = Gguf::tiny().bytes();
    let ends = (0..64).chain((1..60).map(|part| part * whole.len() / 60)).chain([whole.len() - 40]);
    for end in ends {
        let path = folder.write("cut.gguf", &whole[..end]);
        let message = refused(Model::load(path), &["cut.gguf"]);
        let says = ["truncated", "empty"].iter().any(|word| message.contains(word));
        assert!(says, "{end} bytes: {message}");
    }
    let message =
        refused(Model::load(folder.write("cut.gguf", &whole[..whole.len() - 40])), &["at \"", "outside the file"]);
    assert!(message.contains(".weight"), "names the tensor: {message}");
}

#[test]
fn the_real_model_cut_short_is_refused() {
    if smollm().is_none() {
        return;
    }
    let folder = Folder::new();
    let mut start = Vec::new();
    let file = std::fs::File::open(common::smollm_path()).unwrap();
    std::io::Read::read_to_end(&mut std::io::Read::take(file, 4 << 20), &mut start).unwrap();
    refused(Model::load(folder.write("cut.gguf", &start)), &["cut.gguf", "at \"", "outside the file"]);
    refused(Model::load(folder.write("cut.gguf", &start[..100_000])), &["cut.gguf", "truncated"]);
}

#[test]
fn a_corrupt_gguf_header_is_refused() {
    let folder = Folder::new();
    let whole = Gguf::tiny().bytes();
    let with = |at: usize, bytes: &[u8]| {
        let mut broken = whole.clone();
        broken[at..at + bytes.len()].copy_from_slice(bytes);
        Model::load(folder.write("m.gguf", broken))
    };
    refused(with(0, b"GGML"), &["m.gguf", "magic"]);
    refused(with(4, &9_u32.to_le_bytes()), &["m.gguf", "version"]);
    // Counts of tensors, of metadata and of the first key's bytes.
    for at in [8, 16, 24] {
        for claim in [1_u64 << 29, 1 << 60, u64::MAX] {
            refused(with(at, &claim.to_le_bytes()), &["m.gguf", "no GGUF file"]);
        }
    }
    refused(Model::load(folder.write("m.gguf", "GGUF, or so they say")), &["m.gguf", "no GGUF file"]);
}

#[test]
fn a_gguf_header_that_claims_too_much_is_refused() {
    // Lists of 2^40 and 2^62 strings, and lists of lists.
    for (kind, count) in [(8_u32, 1_u64 << 40), (8, 1 << 62), (0, u64::MAX), (9, 1 << 20)] {
        let bytes = [&kind.to_le_bytes()[..], &count.to_le_bytes()].concat();
        gguf_refused(&Gguf::tiny().with("tokenizer.ggml.tokens", Meta::Raw(9, bytes)), &["no GGUF file"]);
    }
    // A string of 2^62 bytes.
    let long = Meta::Raw(8, (1_u64 << 62).to_le_bytes().to_vec());
    gguf_refused(&Gguf::tiny().with("general.name", long), &["no GGUF file"]);
    for dimensions in [vec![1 << 60], vec![1 << 40, 1 << 40], vec![u64::MAX, 2], vec![48, 1 << 33]] {
        let mut file = Gguf::tiny();
        file.tensor("output_norm.weight").dimensions = dimensions;
        gguf_refused(&file, &["output_norm.weight"]);
    }
    let mut file = Gguf::tiny();
    file.tensor("output_norm.weight").dimensions = vec![1, 1, 1, 1, 1];
    gguf_refused(&file, &["5 dimensions"]);
    for offset in [1 << 40, u64::MAX] {
        let mut file = Gguf::tiny();
        file.tensor("output_norm.weight").offset = Some(offset);
        gguf_refused(&file, &["output_norm.weight", "outside the file"]);
    }
}

#[test]
fn a_gguf_alignment_of_zero_is_refused() {
    gguf_refused(&Gguf::tiny().with("general.alignment", Meta::U32(0)), &["general.alignment is 0"]);
    load_gguf(&Gguf::tiny().with("general.alignment", Meta::U32(32))).unwrap();
}

#[test]
fn gguf_tensors_that_are_missing_misshapen_unused_or_doubled_are_named() {
    for name in ["token_embd.weight", "output_norm.weight", "blk.1.attn_q.weight", "blk.2.ffn_down.weight"] {
        let mut file = Gguf::tiny();
        file.tensors.retain(|tensor| tensor.name != name);
        gguf_refused(&file, &[&format!("tensor {name:?} is missing"), "nearest names: "]);
    }
    let mut file = Gguf::tiny();
    file.tensor("blk.1.attn_k.weight").dimensions.reverse();
    gguf_refused(&file, &["tensor \"blk.1.attn_k.weight\" has shape [48, 16], expected [16, 48]"]);

    let extra = Weights {
        name: "blk.0.attn_q_norm.weight".into(),
        dimensions: vec![8],
        kind: 0,
        offset: None,
        values: vec![1.0; 8],
    };
    let mut file = Gguf::tiny();
    file.tensors.push(extra);
    gguf_refused(&file, &["1 tensors that this family does not have: blk.0.attn_q_norm.weight"]);

    // Factors of the rotary frequencies: one set without the other, and too few of them.
    let factors = |name: &str, count: usize| Weights {
        name: name.into(),
        dimensions: vec![count as u64],
        kind: 0,
        offset: None,
        values: vec![2.0; count],
    };
    for (tensor, says) in [
        (factors("rope_factors_short.weight", 4), "\"rope_factors_long.weight\": is missing"),
        (factors("rope_factors_long.weight", 4), "\"rope_factors_short.weight\": is missing"),
        (factors("rope_freqs.weight", 3), "3 factors for 4 frequencies"),
    ] {
        let mut file = Gguf::tiny();
        file.tensors.push(tensor);
        gguf_refused(&file, &[says]);
    }

    let mut file = Gguf::tiny();
    let twice = file.tensor("output_norm.weight").clone();
    file.tensors.push(twice);
    gguf_refused(&file, &["same name"]);

    let mut file = Gguf::tiny();
    file.tensor("output_norm.weight").kind = 4;
    gguf_refused(&file, &["unknown dtype"]);
}

#[test]
fn gguf_settings_that_are_missing_or_wrong_are_named() {
    for key in [
        "general.architecture",
        "llama.block_count",
        "llama.embedding_length",
        "llama.feed_forward_length",
        "llama.attention.head_count",
        "tokenizer.ggml.model",
        "tokenizer.ggml.tokens",
        "tokenizer.ggml.merges",
    ] {
        gguf_refused(&Gguf::tiny().without(key), &[&format!("at {key:?}"), "is missing"]);
        gguf_refused(&Gguf::tiny().with(key, Meta::Bool(true)), &[key]);
    }
    for (key, value, says) in [
        ("llama.block_count", Meta::U32(0), "must be at least 1"),
        ("llama.block_count", Meta::I32(-3), "is no size"),
        ("llama.block_count", Meta::U32(u32::MAX), "is no size"),
        ("llama.attention.head_count", Meta::U32(0), "must be at least 1"),
        ("llama.attention.head_count_kv", Meta::U32(0), "must be at least 1"),
        ("llama.attention.head_count_kv", Meta::U32(4), "does not divide"),
        ("llama.attention.head_count", text("six"), "has the wrong type"),
        ("llama.attention.layer_norm_rms_epsilon", Meta::F32(f32::NAN), "no usable value"),
        ("llama.attention.layer_norm_rms_epsilon", Meta::F32(f32::INFINITY), "no usable value"),
        ("llama.attention.layer_norm_rms_epsilon", Meta::F32(-1.0), "is no positive number"),
        ("llama.rope.freq_base", Meta::F32(0.0), "is no positive number"),
        ("llama.rope.dimension_count", Meta::U32(4), "is not supported"),
        ("llama.context_length", Meta::U32(0), "must be at least 1"),
    ] {
        gguf_refused(&Gguf::tiny().with(key, value), &[key, says]);
    }
    let odd = Gguf::tiny().without("llama.rope.dimension_count").with("llama.attention.key_length", Meta::U32(7));
    gguf_refused(&odd, &["llama.attention.key_length", "cannot be rotated in pairs"]);
    // Sizes that the file does not bear out: a layer that it lacks, or a tensor of another shape.
    gguf_refused(&Gguf::tiny().with("llama.block_count", Meta::U32(2_000_000_000)), &["is missing", "blk."]);
    gguf_refused(&Gguf::tiny().with("llama.block_count", Meta::U32(2)), &["9 tensors", "blk.2."]);
    gguf_refused(&Gguf::tiny().with("llama.embedding_length", Meta::U32(2_000_000_000)), &["token_embd.weight"]);
    gguf_refused(&Gguf::tiny().with("llama.attention.head_count", Meta::U32(2_000_000_000)), &[".weight"]);
}

#[test]
fn a_gguf_architecture_that_is_unknown_is_named_with_those_that_are_known() {
    gguf_refused(
        &Gguf::tiny().with("general.architecture", text("bert")),
        &["architecture \"bert\" is not supported", "supported: gpt2"],
    );
    gguf_refused(
        &Gguf::tiny().with("llama.rope.scaling.type", text("yarn")),
        &["rope_type = \"yarn\" is not supported"],
    );
}

#[test]
fn a_gguf_tokeniser_that_does_not_hold_together_is_refused() {
    let file = Gguf::tiny();
    let key = "tokenizer.ggml.tokens";
    let many: Vec<String> = (0..400).map(|id| format!("t{id}")).collect();
    let none = Meta::Texts(Vec::new());
    gguf_refused(
        &file.clone().with(key, Meta::Texts(many)).with("tokenizer.ggml.merges", none.clone()),
        &["the tokeniser has id 399 (\"t399\"), the embedding only 288 rows"],
    );
    // Merges of tokens, or into tokens, that are not there; the latter longer than every token.
    let short: Vec<String> = file.texts(key).into_iter().map(|token| token.chars().take(1).collect()).collect();
    for (tokens, merges) in [
        (short, file.texts("tokenizer.ggml.merges")),
        (file.texts(key), vec!["zz q".to_owned()]),
        (["a", "bc"].map(str::to_owned).to_vec(), vec!["a bc".to_owned()]),
    ] {
        let broken = file.clone().with(key, Meta::Texts(tokens)).with("tokenizer.ggml.merges", Meta::Texts(merges));
        gguf_refused(&broken.with("tokenizer.ggml.token_type", Meta::Ints(Vec::new())), &["merges", "is no token"]);
    }
    let pairless = Meta::Texts(vec!["ab".to_owned()]);
    gguf_refused(
        &file.clone().with("tokenizer.ggml.merges", pairless),
        &["tokenizer.ggml.merges", "\"ab\" is no pair"],
    );
    gguf_refused(&file.clone().with("tokenizer.ggml.token_type", Meta::Ints(vec![3; 300])), &["no id 288"]);
    gguf_refused(
        &file.clone().with("tokenizer.ggml.model", text("t5")),
        &["tokenizer.ggml.model = t5 is not supported", "Hugging Face directory"],
    );
    gguf_refused(&file.clone().with("tokenizer.ggml.pre", text("chameleon")), &["tokenizer.ggml.pre = chameleon"]);
    gguf_refused(
        &file
            .clone()
            .with("tokenizer.ggml.add_bos_token", Meta::Bool(true))
            .with("tokenizer.ggml.bos_token_id", Meta::U32(288)),
        &["tokenizer.ggml.bos_token_id", "288 is none of the 288 tokens"],
    );
    gguf_refused(
        &file.with("tokenizer.chat_template", text("{% for m in messages %}")),
        &["tokenizer.chat_template", "no valid chat template", "syntax error"],
    );
}

// --- Hugging Face directories -------------------------------------------------------------------------------

#[track_caller]
fn tiny_refused(spoil: impl FnOnce(&Folder), says: &[&str]) {
    spoil_and_load("tied", spoil, says);
}

#[track_caller]
fn spoil_and_load(name: &str, spoil: impl FnOnce(&Folder), says: &[&str]) {
    let folder = Folder::tiny(name);
    spoil(&folder);
    let message = refused(Model::load(folder.path()), says);
    assert!(message.contains(&folder.path().display().to_string()), "{message}");
}

#[test]
fn files_that_a_model_directory_lacks_are_named() {
    for name in ["config.json", "tokenizer.json", "model.safetensors"] {
        tiny_refused(|folder| folder.remove(name), &[name, "No such file"]);
        tiny_refused(|folder| drop(folder.write(name, "")), &[name]);
    }
    spoil_and_load(
        "untied_sharded",
        |folder| folder.remove("model-00003-of-00006.safetensors"),
        &["model-00003-of-00006"],
    );
}

#[test]
fn truncated_and_corrupt_files_of_a_model_directory_are_named() {
    for name in
        ["config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json", "model.safetensors"]
    {
        for part in [1, 5, 9] {
            tiny_refused(
                |folder| {
                    let whole = folder.read(name);
                    folder.write(name, &whole[..whole.len() * part / 10]);
                },
                &[name],
            );
        }
        tiny_refused(
            |folder| drop(folder.write(name, [0xff, 0xfe, 0x00, 0x80, 0x01, 0x02, 0x03, 0x04, 0x05])),
            &[name],
        );
    }
    tiny_refused(|folder| drop(folder.write("config.json", "{\n \"model_type\": \n}")), &["config.json:3"]);
    tiny_refused(|folder| drop(folder.write("tokenizer.json", "{\n\n\"model\": ]")), &["tokenizer.json:3"]);
    tiny_refused(|folder| drop(folder.write("tokenizer.json", "{}")), &["tokenizer.json", "no tokeniser"]);
    tiny_refused(|folder| drop(folder.write("config.json", "[]")), &["config.json", "model_type"]);
}

#[test]
fn safetensors_headers_that_claim_too_much_are_refused() {
    let entry = |shape: &str, end: u64| format!(r#"{{"a":{{"dtype":"U8","shape":{shape},"data_offsets":[0,{end}]}}}}"#);
    for content in [
        (1_u64 << 60).to_le_bytes().to_vec(),
        u64::MAX.to_le_bytes().to_vec(),
        b"{}".to_vec(),
        safetensors("{", &[]),
        safetensors(&entry("[1152921504606846976]", 1 << 60), &[0; 8]),
        safetensors(&entry("[4294967296, 4294967296]", 8), &[0; 8]),
        safetensors(&entry("[8]", 8), &[0; 7]),
        safetensors(&entry("[8]", 8), &[0; 9]),
        safetensors(r#"{"a":{"dtype":"U8","shape":[2],"data_offsets":[3,1]}}"#, &[0; 2]),
        safetensors(r#"{"a":{"dtype":"Q9","shape":[2],"data_offsets":[0,2]}}"#, &[0; 2]),
    ] {
        tiny_refused(
            |folder| drop(folder.write("model.safetensors", &content)),
            &["model.safetensors", "safetensors file"],
        );
        let folder = Folder::new();
        let path = folder.write("acts.safetensors", &content);
        refused(Activations::load(&path), &["acts.safetensors", "safetensors file"]);
        refused(ProbeBank::load(&path), &["acts.safetensors", "safetensors file"]);
    }
}

#[test]
fn checkpoint_tensors_that_are_missing_misshapen_or_unused_are_named() {
    let rename = |from: &'static str, to: &'static str| {
        move |folder: &Folder| {
            let whole = folder.read("model.safetensors");
            let header = 8 + u64::from_le_bytes(*whole.first_chunk().unwrap()) as usize;
            let text = std::str::from_utf8(&whole[8..header]).unwrap().replace(from, to);
            folder.write("model.safetensors", safetensors(&text, &whole[header..]));
        }
    };
    let q = "model.layers.1.self_attn.q_proj.weight";
    tiny_refused(
        rename(q, "model.layers.1.self_attn.qq_proj.weight"),
        &[&format!("tensor {q:?} is missing"), "nearest names: model."],
    );
    tiny_refused(rename("[16,48]", "[48,16]"), &["k_proj.weight\" has shape [48, 16], expected [16, 48]"]);
    tiny_refused(
        |folder| folder.set("config.json", "num_hidden_layers", json!(2)),
        &["tensors that this family does not have", "model.layers.2."],
    );
    tiny_refused(
        |folder| folder.set("config.json", "num_hidden_layers", json!(4)),
        &["tensor \"model.layers.3.", "is missing"],
    );
    tiny_refused(
        |folder| folder.set("config.json", "tie_word_embeddings", json!(false)),
        &["tensor \"lm_head.weight\" is missing"],
    );
    // A checkpoint of integers: the shape fits, the type does not.
    tiny_refused(rename("\"F32\"", "\"I32\""), &["model.safetensors", "at \"model.", "dtype I32 is not supported"]);
}

#[test]
fn an_index_that_does_not_fit_its_files_is_refused() {
    let index = "model.safetensors.index.json";
    let with = |map: serde_json::Value| {
        move |folder: &Folder| drop(folder.write(index, json!({ "weight_map": map }).to_string()))
    };
    spoil_and_load("untied_sharded", |folder| drop(folder.write(index, "{\"weight_map\":\n3}")), &[index, ":2"]);
    spoil_and_load(
        "untied_sharded",
        with(json!({ "a": "../evil.safetensors" })),
        &[index, "leads out of the directory"],
    );
    spoil_and_load(
        "untied_sharded",
        with(json!({ "a": "model-00001-of-00006.safetensors" })),
        &[index, "at \"a\"", "promises"],
    );
    spoil_and_load("untied_sharded", with(json!({})), &["is missing"]);
}

#[test]
fn configurations_that_are_not_supported_are_refused_by_key_and_value() {
    for (key, value, says) in [
        ("model_type", json!("bloom"), "architecture \"bloom\" is not supported; supported: gpt2"),
        ("model_type", json!(7), "at \"model_type\""),
        ("hidden_act", json!("mish"), "hidden_act = \"mish\" is not supported; supported: silu, gelu"),
        ("rope_scaling", json!({ "rope_type": "yarn", "factor": 8.0 }), "rope_type = \"yarn\" is not supported"),
        ("rope_scaling", json!({ "type": "dynamic", "factor": 2.0 }), "type = \"dynamic\" is not supported"),
        ("rope_scaling", json!("linear"), "at \"rope_scaling\""),
        ("rope_parameters", json!({ "rope_theta": -1 }), "at \"rope_theta\""),
        ("rope_parameters", json!({ "partial_rotary_factor": 0.5 }), "partial_rotary_factor = 0.5"),
        ("partial_rotary_factor", json!(0.25), "partial_rotary_factor = 0.25"),
        ("quantization_config", json!({ "bits": 4 }), "quantization_config"),
        ("attention_bias", json!("no"), "at \"attention_bias\""),
        ("rms_norm_eps", json!(0), "at \"rms_norm_eps\""),
        ("head_dim", json!(0), "at \"head_dim\""),
        ("head_dim", json!(7), "at \"head_dim\""),
        ("num_attention_heads", json!(0), "at \"num_attention_heads\""),
        ("num_attention_heads", json!(-6), "at \"num_attention_heads\""),
        ("num_attention_heads", json!(1_u64 << 60), "at \"num_attention_heads\""),
        ("num_key_value_heads", json!(0), "at \"num_key_value_heads\""),
        ("num_key_value_heads", json!(4), "does not divide"),
        ("num_hidden_layers", json!(0), "at \"num_hidden_layers\""),
        ("num_hidden_layers", json!(2.5), "at \"num_hidden_layers\""),
        ("hidden_size", json!(0), "at \"hidden_size\""),
        ("vocab_size", json!(1_u64 << 40), "at \"vocab_size\""),
        ("max_position_embeddings", json!(0), "at \"max_position_embeddings\""),
        ("intermediate_size", json!("wide"), "at \"intermediate_size\""),
    ] {
        tiny_refused(|folder| folder.set("config.json", key, value), &["config.json", says]);
    }
    for key in ["model_type", "hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size"] {
        let place = format!("at {key:?}: is missing");
        tiny_refused(|folder| folder.set("config.json", key, json!(null)), &["config.json", &place]);
    }
    // Without `head_dim`, more heads than dimensions leave none to a head.
    tiny_refused(
        |folder| {
            folder.set("config.json", "head_dim", json!(null));
            folder.set("config.json", "num_attention_heads", json!(96));
        },
        &["config.json", "at \"head_dim\""],
    );
    tiny_refused(
        |folder| folder.set("generation_config.json", "eos_token_id", json!("</s>")),
        &["generation_config.json", "at \"eos_token_id\""],
    );
}

#[test]
fn a_tokeniser_with_more_ids_than_the_embedding_has_rows_is_refused() {
    let add = |id: u32| {
        move |folder: &Folder| {
            let mut content: serde_json::Value = serde_json::from_slice(&folder.read("tokenizer.json")).unwrap();
            content["model"]["vocab"]["zebra"] = json!(id);
            folder.write("tokenizer.json", content.to_string());
        }
    };
    tiny_refused(add(288), &["tokenizer.json", "id 288 (\"zebra\")", "only 288 rows"]);
    // Few ids, one of them large.
    tiny_refused(add(4_000_000_000), &["tokenizer.json", "id 4000000000 (\"zebra\")"]);
}

#[test]
fn a_tokeniser_that_names_what_it_does_not_define_is_refused() {
    let edit = |at: &'static str, value: serde_json::Value| {
        move |folder: &Folder| {
            let mut content: serde_json::Value = serde_json::from_slice(&folder.read("tokenizer.json")).unwrap();
            *content.pointer_mut(at).unwrap() = value;
            folder.write("tokenizer.json", content.to_string());
        }
    };
    for merges in [json!([["zebra", "he"]]), json!([["Ġthe", "Ġthe"]]), json!(["#version: 0.2", "Ġthe Ġthe"])] {
        tiny_refused(edit("/model/merges", merges), &["tokenizer.json", "at \"merges\"", "is no token"]);
    }
    tiny_refused(
        edit("/model/continuing_subword_prefix", json!("####################")),
        &["tokenizer.json", "at \"merges\""],
    );
    let begin =
        json!([{ "SpecialToken": { "id": "[CLS]", "type_id": 0 } }, { "Sequence": { "id": "A", "type_id": 0 } }]);
    tiny_refused(edit("/post_processor/single", begin.clone()), &["tokenizer.json", "at \"post_processor\"", "[CLS]"]);
    tiny_refused(
        edit(
            "/post_processor",
            json!({ "type": "Sequence", "processors": [
            { "type": "TemplateProcessing", "single": begin, "pair": [], "special_tokens": {} }] }),
        ),
        &["tokenizer.json", "at \"post_processor\"", "[CLS]"],
    );
    tiny_refused(
        edit("/post_processor/single", json!([{ "Sequence": { "id": "B", "type_id": 0 } }])),
        &["tokenizer.json", "at \"post_processor\"", "second"],
    );
    tiny_refused(edit("/model/type", json!("Trigram")), &["tokenizer.json", "no tokeniser"]);
}

#[test]
fn tokeniser_files_that_are_deep_huge_or_of_other_types_are_refused() {
    let deep = |opening: &str, closing: &str| opening.repeat(200_000) + &closing.repeat(200_000);
    for content in [
        deep("[", "]"),
        deep("{\"model\":", "}"),
        format!("{{\"pre_tokenizer\": {}}}", deep("{\"type\":\"Sequence\",\"pretokenizers\":[", "]}")),
        format!("{{\"post_processor\": {}}}", deep("{\"type\":\"Sequence\",\"processors\":[", "]}")),
        format!("{{\"model\": \"{}\"}}", "x".repeat(20_000_000)),
        "{\"model\": 3}".to_owned(),
        "null".to_owned(),
    ] {
        tiny_refused(|folder| drop(folder.write("tokenizer.json", &content)), &["tokenizer.json", "no tokeniser"]);
    }
    let whole: serde_json::Value = serde_json::from_slice(&Folder::tiny("tied").read("tokenizer.json")).unwrap();
    let wrong = [json!(3), json!("x"), json!([[]]), json!({ "a": {} }), json!(-1), json!(1e300)];
    for key in ["/added_tokens", "/normalizer", "/pre_tokenizer", "/decoder", "/post_processor", "/model"] {
        for value in &wrong {
            let mut content = whole.clone();
            *content.pointer_mut(key).unwrap() = value.clone();
            if let Err(error) = Tokenizer::from_json(&content.to_string()) {
                assert!(error.to_string().len() < 1_000, "{key} = {value}: {error}");
            }
        }
    }
    for key in ["/model/vocab", "/model/merges"] {
        for value in &wrong {
            let mut content = whole.clone();
            *content.pointer_mut(key).unwrap() = value.clone();
            assert!(Tokenizer::from_json(&content.to_string()).is_err(), "{key} = {value}");
        }
    }
}

#[test]
fn truncation_and_padding_of_a_tokeniser_file_do_not_touch_texts() {
    let folder = Folder::tiny("tied");
    let truncation = json!({ "direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0 });
    let padding = json!({ "strategy": { "Fixed": 20 }, "direction": "Right", "pad_to_multiple_of": 0,
        "pad_id": 2, "pad_type_id": 0, "pad_token": "<pad>" });
    folder.set("tokenizer.json", "truncation", truncation);
    folder.set("tokenizer.json", "padding", padding);
    let plain = tiny("tied").tokenizer().encode("the first market day").unwrap();
    assert!(plain.ids.len() > 3);
    assert_eq!(Tokenizer::load(folder.join("tokenizer.json")).unwrap().encode("the first market day").unwrap(), plain);
}

#[test]
fn a_malformed_chat_template_is_refused_with_its_file() {
    tiny_refused(
        |folder| drop(folder.write("chat_template.jinja", "line one\n{% for m in messages %}")),
        &["chat_template.jinja", "no valid chat template", "syntax error"],
    );
    tiny_refused(
        |folder| {
            folder.remove("chat_template.jinja");
            folder.set("tokenizer_config.json", "chat_template", json!("{{ messages["));
        },
        &["tokenizer_config.json", "at \"chat_template\"", "syntax error"],
    );
    tiny_refused(
        |folder| {
            folder.remove("chat_template.jinja");
            folder.set("tokenizer_config.json", "chat_template", json!(3));
        },
        &["tokenizer_config.json", "at \"chat_template\""],
    );
    let hello = [Message::new(Role::User, "hello")];
    for (source, says) in [
        ("{{ raise_exception('roles must alternate') }}", "roles must alternate"),
        ("{{ messages[0].content.no_such_method() }}", "method"),
        ("{% macro again(x) %}{{ again(x) }}{% endmacro %}{{ again(1) }}", "recursion"),
    ] {
        refused(ChatTemplate::new(source, &[]).unwrap().render(&hello, true), &["chat template", says]);
    }
    refused(ChatTemplate::new(&"{% if true %}".repeat(10_000), &[]).map(|_| ()), &["chat template"]);
}

#[test]
fn rounds_need_a_chat_template() {
    let folder = Folder::tiny("tied");
    folder.remove("chat_template.jinja");
    let model = Model::load(folder.path()).unwrap();
    let places = Site::ResidPost.all_layers();
    let study = SelfCorrection::new(ChoiceTask::load(task_file(&folder)).unwrap());
    refused(study.run(&model, places.clone()), &["no chat template", "Model::with_template"]);
    let bare = Gguf::tiny().without("tokenizer.chat_template");
    refused(study.run(&load_gguf(&bare).unwrap(), places), &["no chat template"]);
}

// --- texts, labels, tasks -----------------------------------------------------------------------------------

const ITEM: &str = r#"{"id":"q1","group":"g","category":"age","condition":"ambiguous","polarity":"negative","context":"A man met a boy.","question":"Who was late?","options":["The man","The boy","Unknown"],"label":2,"biased":0,"unknown":2}"#;

fn task_file(folder: &Folder) -> std::path::PathBuf {
    folder.write("task.jsonl", ITEM)
}

/// Writes a file of two good lines (the second with another id), a blank one and this fourth one, and loads it.
#[track_caller]
fn line_refused<T>(load: impl Fn(&Path) -> Result<T>, good: &str, fourth: &str, says: &[&str]) {
    let folder = Folder::new();
    let second = good.replace("\"id\":\"", "\"id\":\"second ");
    let path = folder.write("rows.jsonl", format!("{good}\n{second}\n\n{fourth}\n"));
    let message = refused(load(&path), says);
    assert!(message.contains("rows.jsonl:4: "), "{message}");
    assert!(!message.contains("at line 1"), "one line number is enough: {message}");
}

#[test]
fn bad_lines_of_texts_are_named() {
    let good = r#"{"id":"a","text":"hello"}"#;
    let refuse = |line: &str, says: &[&str]| line_refused(|path| Text::load(path), good, line, says);
    refuse(r#"{"id":"b","text":"cut"#, &["EOF", "column"]);
    refuse("not json", &["column 2"]);
    refuse(r#"{"id":"b"}"#, &["missing field `text`"]);
    refuse(r#"{"id":3,"text":"x"}"#, &["invalid type: integer `3`"]);
    refuse(r#"{"id":"b","text":""}"#, &["text \"b\" is empty"]);
    refuse(good, &["id \"a\" appears a second time"]);
    refuse(r#"{"id":"b","text":"x","span":{"start":-1,"end":2}}"#, &["invalid value: integer `-1`"]);
    let folder = Folder::new();
    refused(Text::load(folder.join("none.jsonl")), &["none.jsonl", "No such file"]);
    refused(Text::load(folder.write("texts.jsonl", "\n \n")), &["texts.jsonl", "holds no rows"]);
    refused(Text::load(folder.write("texts.txt", "")), &["texts.txt", "holds no texts"]);
    refused(Text::load(folder.write("texts.txt", "\n \n")), &["texts.txt", "holds no texts"]);
    let ids: Vec<String> =
        Text::load(folder.write("texts.txt", "one\n\nthree\n")).unwrap().into_iter().map(|text| text.id).collect();
    assert_eq!(ids, ["1", "3"], "empty lines are left out");
    refused(Text::load(folder.write("texts.txt", b"one\ntwo \xff\n")), &["texts.txt:2", "not UTF-8"]);
}

#[test]
fn bad_lines_of_labelled_texts_are_named() {
    let good = r#"{"id":"a","text":"hello","label":1,"group":"g"}"#;
    let refuse = |line: &str, says: &[&str]| line_refused(|path| LabelledText::load(path), good, line, says);
    refuse(&good[..30], &["EOF"]);
    refuse(r#"{"id":"b","text":"x","label":2,"group":"g"}"#, &["label 2 is neither 0 (moral) nor 1 (immoral)"]);
    refuse(r#"{"id":"b","text":"x","label":300,"group":"g"}"#, &["300"]);
    refuse(r#"{"id":"b","text":"x","label":"1","group":"g"}"#, &["invalid type: string"]);
    refuse(r#"{"id":"b","text":"x","label":1}"#, &["missing field `group`"]);
    refuse(r#"{"id":"b","text":"","label":1,"group":"g"}"#, &["text \"b\" is empty"]);
    refuse(good, &["id \"a\" appears a second time"]);
    let folder = Folder::new();
    refused(LabelledText::load(folder.join("none.jsonl")), &["none.jsonl", "No such file"]);
}

#[test]
fn bad_lines_of_task_items_are_named() {
    let refuse = |line: &str, says: &[&str]| line_refused(|path| ChoiceTask::load(path), ITEM, line, says);
    let other = ITEM.replace("q1", "q4");
    refuse(&ITEM[..60], &["EOF"]);
    refuse(ITEM, &["id \"q1\" appears a second time"]);
    refuse(&other.replace("\"label\":2", "\"label\":3"), &["label = 3 is outside the 3 options"]);
    refuse(&other.replace("\"biased\":0", "\"biased\":99"), &["biased = 99"]);
    refuse(&other.replace("\"label\":2", "\"label\":-1"), &["-1"]);
    refuse(&other.replace("ambiguous", "vague"), &["unknown variant `vague`"]);
    refuse(&other.replace("\"The man\",\"The boy\",\"Unknown\"", "\"The man\""), &["1 options"]);
    refuse(&other.replace("\"The boy\"", "\"The man\""), &["two options are the same"]);
    refuse(&other.replace("\"The boy\"", "\" \""), &["option 1 is empty"]);
    let folder = Folder::new();
    refused(ChoiceTask::load(folder.join("none.jsonl")), &["none.jsonl", "No such file"]);
    refused(Instruction::load(folder.write("i.json", "{\"instructions\":\n[{}]}")), &["i.json:2"]);
}

#[test]
fn bad_labels_are_named_by_line() {
    let folder = Folder::new();
    let ids = ["a".to_owned(), "b".to_owned()];
    for (content, says) in [
        ("", "no column \"id\""),
        ("id,lable\na,1\n", "no column \"label\""),
        ("id,label\na,1\nc,0\n", "labels.csv:3: id \"c\" is not in the activations"),
        ("id,label\na,1\nb,2\n", "labels.csv:3: label \"2\" is neither"),
        ("id,label\na,1\nb,\n", "labels.csv:3: label \"\" is neither"),
        ("id,label\na,1\na,1\n", "labels.csv:3: id \"a\" has a label already, on line 2"),
        ("id,label\na,1\nb\n", "labels.csv:3"),
        ("id,label\na,1\n", "no label for id \"b\"; 1 of 2"),
        ("id,label\n", "no label for id \"a\"; 2 of 2"),
        ("id,label\na,1\n\"b,0\n", "labels.csv:3"),
    ] {
        refused(Labels::load(folder.write("labels.csv", content), &ids), &["labels.csv", says]);
    }
    refused(Labels::load(folder.write("labels.csv", b"id,label\na,\xff\n"), &ids), &["labels.csv:2", "not UTF-8"]);
    refused(Labels::load(folder.join("none.csv"), &ids), &["none.csv", "No such file"]);
    let twice = ["a".to_owned(), "a".to_owned()];
    refused(Labels::load(folder.write("labels.csv", "id,label\na,1\n"), &twice), &["id \"a\" occurs twice"]);
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_text() {
    let folder = Folder::new();
    let texts = Text::load(folder.write("texts.txt", "\u{feff}one\r\ntwo\r\n")).unwrap();
    assert_eq!(texts, [Text::new("1", "one"), Text::new("2", "two")]);
    let line = "\u{feff}{\"id\":\"a\",\"text\":\"x\"}\n";
    assert_eq!(Text::load(folder.write("texts.jsonl", line)).unwrap(), [Text::new("a", "x")]);
    let labels = Labels::load(folder.write("labels.csv", "\u{feff}id,label\r\na,1\r\n"), &["a".to_owned()]);
    assert_eq!(labels.unwrap().labels(), [true]);
}

// --- activations and probes ---------------------------------------------------------------------------------

/// n texts with two addresses of width 3; the first column tells odd from even.
fn activations(n: usize) -> Activations {
    let mut activations = Activations::new((0..n).map(|row| format!("t{row}")));
    for layer in 0..2 {
        let value = |(row, column): (usize, usize)| match column {
            0 => (row % 2) as f32 + 0.1 * (row % 3) as f32,
            _ => ((row * (column + layer + 3)) % 7) as f32,
        };
        activations.insert(Site::ResidPost.at(layer), Array2::from_shape_fn((n, 3), value)).unwrap();
    }
    activations
}

fn alternating(n: usize) -> Labels {
    Labels::ungrouped((0..n).map(|row| row % 2 == 1).collect())
}

/// The bytes of a file of activations with its header changed.
fn saved(activations: &Activations, edit: impl Fn(String) -> String) -> Vec<u8> {
    let folder = Folder::new();
    activations.save(folder.join("a")).unwrap();
    edited(&folder.read("a"), edit)
}

fn edited(whole: &[u8], edit: impl Fn(String) -> String) -> Vec<u8> {
    let data = 8 + u64::from_le_bytes(*whole.first_chunk().unwrap()) as usize;
    safetensors(&edit(String::from_utf8(whole[8..data].to_vec()).unwrap()), &whole[data..])
}

#[track_caller]
fn activations_refused(content: impl AsRef<[u8]>, says: &[&str]) {
    let folder = Folder::new();
    let message = refused(Activations::load(folder.write("acts.safetensors", content)), says);
    assert!(message.contains("acts.safetensors"), "{message}");
}

#[test]
fn activation_files_that_are_missing_or_broken_are_named() {
    let folder = Folder::new();
    refused(Activations::load(folder.join("none.safetensors")), &["none.safetensors", "No such file"]);
    let whole = saved(&activations(4), |header| header);
    for end in [0, 3, 8, 40, whole.len() - 1] {
        activations_refused(&whole[..end], &[]);
    }
    activations_refused(&whole[..whole.len() - 1], &["truncated"]);
    let change = |from: &'static str, to: &'static str| {
        saved(&activations(4), move |header| {
            assert!(header.contains(from), "{from} is not in {header}");
            header.replace(from, to)
        })
    };
    activations_refused(change("L1.resid_post", "L1.resid_pots"), &["at \"L1.resid_pots\"", "nearest: resid_post"]);
    activations_refused(change("L1.resid_post", "L01.resid_post"), &["at \"L01.resid_post\""]);
    activations_refused(change("[4,3]", "[12]"), &["at \"L", "has shape [12], expected [rows, d]"]);
    activations_refused(change("[4,3]", "[6,2]"), &["at \"L0.resid_post\"", "6 rows, expected 4"]);
    activations_refused(change("F32", "I32"), &["is I32, expected F32"]);
    activations_refused(change("\\\"t1\\\"", "\\\"t0\\\""), &["at \"probity\"", "id \"t0\" occurs twice"]);
    activations_refused(change("\\\"t1\\\",", ""), &["at \"L0.resid_post\"", "4 rows, expected 3"]);
    activations_refused(change("\\\"format\\\":1", "\\\"format\\\":3"), &["at \"probity\"", "update probity"]);
    activations_refused(change("\\\"ids\\\"", "\\\"idz\\\""), &["at \"probity\"", "missing field `ids`"]);
    activations_refused(safetensors("{}", &[]), &["holds no activations"]);
}

#[test]
fn tensors_without_values_claim_no_rows() {
    for shape in ["[1152921504606846976,0]", "[0,1152921504606846976]", "[0,0]"] {
        let header = format!(r#"{{"L0.resid_post":{{"dtype":"F32","shape":{shape},"data_offsets":[0,0]}}}}"#);
        activations_refused(safetensors(&header, &[]), &["at \"L0.resid_post\"", "holds no values"]);
    }
}

#[test]
fn token_rows_that_do_not_fit_are_named() {
    let rows = |offsets: &[i64]| {
        let whole = {
            let rows = TokenRows { offsets: vec![0, 1, 4], tokens: vec![7, 8, 9, 7] };
            let mut activations = Activations::new(["a", "b"]).with_token_rows(rows).unwrap();
            activations.insert(Address::EMBED, Array2::ones((4, 2))).unwrap();
            saved(&activations, |header| header)
        };
        let old: Vec<u8> = [0_i64, 1, 4].iter().flat_map(|at| at.to_le_bytes()).collect();
        let at = whole.windows(old.len()).position(|window| window == old).unwrap();
        let mut broken = whole;
        broken[at..at + old.len()]
            .copy_from_slice(&offsets.iter().flat_map(|at| at.to_le_bytes()).collect::<Vec<u8>>());
        broken
    };
    for offsets in [[0, 5, 4], [1, 1, 4], [0, 1, 9], [0, -1, 4], [0, 1, i64::MAX], [i64::MIN, 1, 4]] {
        activations_refused(rows(&offsets), &["at \"offsets\"", "rise from 0"]);
    }
    activations_refused(
        edited(&rows(&[0, 1, 4]), |header| header.replace("\"tokens\"", "\"L0.z\"")),
        &["come together"],
    );
}

#[test]
fn values_that_are_not_finite_are_named_by_address_row_and_id() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut activations = activations(40);
        let mut states = activations.at(Site::ResidPost.at(1)).unwrap().to_owned();
        states[[7, 2]] = bad;
        activations.insert(Site::ResidPost.at(1), states).unwrap();
        let fit = LogisticProbe::default().fit_all(&activations, &alternating(40));
        refused(fit.map(|_| ()), &["L1.resid_post", "row 7", "t7", "not finite"]);
        activations_refused(
            saved(&activations, |header| header),
            &["at \"L1.resid_post\"", "row 7", "\"t7\"", "not finite"],
        );
    }
}

#[test]
fn one_class_only_is_refused() {
    for (label, says) in [(true, "only label 1"), (false, "only label 0")] {
        let labels = Labels::ungrouped(vec![label; 40]);
        refused(LogisticProbe::default().fit_all(&activations(40), &labels).map(|_| ()), &["whole part", says]);
    }
    // Both labels, but one of them in a single group: it cannot be in both parts.
    let labels =
        Labels::new((0..40).map(|row| row == 3).collect(), (0..40).map(|row| row.to_string()).collect()).unwrap();
    refused(LogisticProbe::default().fit_all(&activations(40), &labels).map(|_| ()), &["part has only label 0"]);
}

#[test]
fn probes_are_not_fitted_on_what_does_not_fit() {
    let fit =
        |activations: &Activations, labels: &Labels| LogisticProbe::default().fit_all(activations, labels).map(|_| ());
    refused(fit(&activations(40), &alternating(39)), &["labels: 39 rows, expected 40"]);
    refused(fit(&Activations::new(["a"; 0]), &alternating(0)), &["activations"]);
    refused(fit(&activations(0), &alternating(0)), &["only label"]);
    let mut flat = Activations::new((0..40).map(|row| row.to_string()));
    flat.insert(Address::EMBED, Array2::zeros((40, 0))).unwrap();
    refused(fit(&flat, &alternating(40)), &["embed", "width 0"]);
    for (name, probe) in [
        ("alpha", LogisticProbe::default().alpha(f64::NAN)),
        ("alpha", LogisticProbe::default().alpha(0.0)),
        ("tolerance", LogisticProbe::default().tolerance(2.0)),
        ("max_iterations", LogisticProbe::default().max_iterations(0)),
        ("draws", LogisticProbe::default().draws(0)),
        ("draws", LogisticProbe::default().draws(usize::MAX)),
    ] {
        refused(probe.fit_all(&activations(40), &alternating(40)).map(|_| ()), &[name]);
    }
    // Extreme but finite: a result or an error, no panic.
    for scale in [1e-44_f32, 1e38] {
        let mut extreme = Activations::new((0..40).map(|row| row.to_string()));
        let states = activations(40).at(Site::ResidPost.at(0)).unwrap().mapv(|value| value / 8.0 * scale);
        extreme.insert(Address::EMBED, states).unwrap();
        for alpha in [1e-300, 1.0, 1e300] {
            let _ = LogisticProbe::default().alpha(alpha).fit_all(&extreme, &alternating(40));
        }
    }
}

#[test]
fn probe_files_that_are_missing_or_broken_are_named() {
    let folder = Folder::new();
    refused(ProbeBank::load(folder.join("none.safetensors")), &["none.safetensors", "No such file"]);
    let bank = LogisticProbe::default().draws(100).fit_all(&activations(40), &alternating(40)).unwrap();
    bank.save(folder.join("probes.safetensors")).unwrap();
    let whole = folder.read("probes.safetensors");
    assert_eq!(ProbeBank::load(folder.join("probes.safetensors")).unwrap(), bank);
    for end in [0, 5, 100, whole.len() - 1] {
        refused(ProbeBank::load(folder.write("probes.safetensors", &whole[..end])), &["probes.safetensors"]);
    }
    let change = |from: &'static str, to: &'static str, says: &[&str]| {
        let broken = edited(&whole, |header| {
            assert!(header.contains(from), "{from} is not in {header}");
            header.replace(from, to)
        });
        let message = refused(ProbeBank::load(folder.write("probes.safetensors", broken)), says);
        assert!(message.contains("probes.safetensors"), "{message}");
    };
    change("probe_bank", "level_bank", &["at \"probity\"", "no probe bank"]);
    change("\\\"format\\\":3", "\\\"format\\\":9", &["at \"probity\"", "update probity"]);
    change("\"L1.resid_post.weights\"", "\"L1.resid_post.weighty\"", &["at \"L1.resid_post.weights\""]);
    change("\\\"L1.resid_post\\\"", "\\\"L1.resid_past\\\"", &["at \"probity\"", "resid_past"]);
    change("\\\"L1.resid_post\\\"", "\\\"L0.resid_post\\\"", &["12 tensors for 1 probes"]);
    change("\"probity\"", "\"liberty\"", &["no probe bank"]);
    change("F64", "I64", &["expected F64"]);
    let not_finite = {
        let mut broken = whole.clone();
        let end = broken.len();
        broken[end - 8..].copy_from_slice(&f64::NAN.to_le_bytes());
        broken
    };
    refused(ProbeBank::load(folder.write("probes.safetensors", not_finite)), &["at \"L", "not finite"]);
    let acts = saved(&activations(4), |header| header);
    refused(ProbeBank::load(folder.write("acts.safetensors", acts)), &["acts.safetensors", "no probe bank"]);
    refused(Activations::load(folder.write("probes.safetensors", &whole)).map(|_| ()), &["probes.safetensors"]);
    refused(bank.get("L9.resid_post".parse::<Address>().unwrap()).map(|_| ()), &["L9.resid_post", "nearest: L"]);
    refused(Levels::score(&Design::default(), &[], &bank).map(|_| ()), &["states", "one condition"]);
}

// --- reading a model ----------------------------------------------------------------------------------------

#[test]
fn texts_that_cannot_be_read_are_named_by_id() {
    let model = tiny("tied");
    let readout = Readout::new(Site::ResidPost.all_layers(), Pool::Last);
    let capture = |texts: &[Text]| readout.capture(&model, texts).map(|_| ());
    let good = || Text::new("good", "hello");
    refused(capture(&[good(), Text::new("long", "x ".repeat(100))]), &["text \"long\" has", "the model takes 1 to 64"]);
    refused(capture(&[good(), Text::new("blank", "")]), &["text \"blank\" has 0 tokens"]);
    refused(capture(&[good(), good()]), &["id = good", "unique"]);
    for (start, end) in [(3, 3), (4, 2), (0, 6), (usize::MAX, usize::MAX), (0, usize::MAX)] {
        let text = Text { span: Some(Span { start, end }), ..good() };
        refused(capture(&[text]), &[&format!("span = {start}..{end}"), "text \"good\"", "5 bytes"]);
    }
    // A span that cuts a character in two reads the tokens that it touches.
    let text = Text { span: Some(Span { start: 1, end: 2 }), ..Text::new("accent", "é!") };
    capture(&[text]).unwrap();
    assert_eq!(readout.capture(&model, &[]).unwrap().rows(), 0);
}

#[test]
fn places_that_the_model_lacks_are_named_with_the_nearest() {
    let model = tiny("tied");
    let read =
        |selection: Selection| Readout::new(selection, Pool::Last).capture(&model, &[Text::new("a", "hi")]).map(|_| ());
    refused(read(Site::ResidPost.at(3).into()), &["no address \"L3.resid_post\"", "nearest: L2.resid_post"]);
    refused(read(Site::ResidPost.at(usize::MAX).into()), &["no address", "nearest: L2.resid_post"]);
    refused(read(Site::Z.at(1).head(6).into()), &["no address \"L1.z.h6\"", "nearest: L1.z.h5"]);
    refused(read(Site::K.at(1).head(2).into()), &["no address \"L1.k.h2\"", "nearest: L1.k.h1"]);
    refused(read(Site::Pattern.all_layers()), &["attention patterns"]);
    refused(read(Selection::default()), &["select at least one site"]);
    refused("L1.resid_pots".parse::<Address>(), &["L1.resid_pots", "nearest: resid_post"]);
}

#[test]
fn token_ids_that_the_embedding_lacks_are_refused() {
    let model = tiny("tied");
    let batch = TokenBatch::new(&[&[5, 288]], PadSide::Right).unwrap();
    let pass = model.network().forward(&batch, None, &mut Hooks::new(), LogitsFor::Last);
    refused(pass.map(|_| ()), &["token id 288", "288 embeddings"]);
    refused(TokenBatch::new(&[], PadSide::Left).map(|_| ()), &["without texts"]);
    refused(TokenBatch::new(&[&[1], &[]], PadSide::Left).map(|_| ()), &["row 1 of a batch has 0 tokens"]);
    // Decoding of ids that no token has gives a text or an error.
    let _ = model.tokenizer().decode(&[5, 288, u32::MAX]);
}

#[test]
fn sessions_refuse_what_they_cannot_read_and_stay_usable() {
    let model = tiny("tied");
    let mut session = Session::new(&model);
    refused(session.generate(&Decoding::new(3)).map(|_| ()), &["Session::read"]);
    refused(session.score(&[vec![vec![1]]]).map(|_| ()), &["Session::read"]);
    refused(session.read(&[&[1; 65]]), &["text 0 of a session has 65 tokens", "1 to 64"]);
    refused(session.read(&[&[1], &[]]), &["text 1 of a session has 0 tokens"]);
    refused(session.read(&[]), &["without texts"]);
    session.read(&[&[1, 2, 3]]).unwrap();
    refused(session.score(&[]).map(|_| ()), &["options: 0 rows, expected 1"]);
    refused(session.score(&[vec![vec![]]]).map(|_| ()), &["option"]);
    refused(session.score(&[vec![vec![5; 62]]]).map(|_| ()), &["has 65 tokens"]);
    refused(session.score(&[vec![vec![5, 288, 6]]]).map(|_| ()), &["token id 288"]);
    refused(session.score(&[vec![vec![288]]]).map(|_| ()), &[]);
    let before = session.score(&[vec![vec![5, 6]]]).unwrap();
    let nothing: &[u32] = &[];
    refused(session.generate(&Decoding::new(100).stop_tokens(nothing.iter().copied())).map(|_| ()), &["has 65 tokens"]);
    refused(session.score(&[vec![vec![5, 6]]]).map(|_| ()), &["Session::read"]);
    session.read(&[&[1, 2, 3]]).unwrap();
    let after = session.score(&[vec![vec![5, 6]]]).unwrap();
    assert!((before[0][0].total - after[0][0].total).abs() < 1e-5, "{before:?} {after:?}");
}

#[test]
fn a_model_whose_weights_are_not_finite_gives_no_states() {
    let mut file = Gguf::tiny();
    file.tensor("blk.1.ffn_down.weight").values[5] = f32::NAN;
    let model = load_gguf(&file).unwrap();
    let readout = Readout::new(Site::ResidPost.all_layers(), Pool::Mean);
    refused(readout.capture(&model, &[Text::new("a", "hi")]).map(|_| ()), &["L1.resid_post, row 0 (a)", "not finite"]);
    // On request already when it is loaded.
    let folder = Folder::new();
    let path = folder.write("m.gguf", file.bytes());
    let checked = LoadOptions::default().check_finite(true).load(path);
    refused(checked.map(|_| ()), &["m.gguf: blk.1.ffn_down.weight, row 0 (column 5)", "not finite"]);
    assert!(LoadOptions::default().check_finite(true).load(fixture("tiny_llama/tied")).is_ok());
}

#[test]
fn conversations_that_outgrow_the_context_are_named_by_item() {
    let folder = Folder::new();
    let task = ChoiceTask::load(task_file(&folder)).unwrap();
    let run = |model: &Model, study: &SelfCorrection| study.run(model, Site::ResidPost.all_layers()).map(|_| ());
    let study = SelfCorrection::new(task.clone());
    refused(run(&tiny("tied"), &study), &["item \"q1\" with the answer to turn 1 has", "the model takes 1 to 64"]);
    refused(run(&tiny("tied"), &SelfCorrection::new(task.clone().limit(0, 0))), &["items = 0"]);
    refused(run(&tiny("tied"), &study.clone().batch(0)), &["at least 1"]);
    refused(Instruction::named("L9").map(|_| ()), &["L9", "nearest: L"]);
    let twice = study.clone().instructions([Instruction::named("L1").unwrap(), Instruction::named("L1").unwrap()]);
    refused(run(&tiny("tied"), &twice), &["L1", "each name once"]);
}

#[test]
fn a_file_that_cannot_be_written_leaves_nothing_behind() {
    let folder = Folder::new();
    // The name is taken by a folder that is not empty, and the parent is a file.
    std::fs::create_dir_all(folder.join("acts.safetensors/inner")).unwrap();
    folder.write("file", "");
    refused(activations(4).save(folder.join("acts.safetensors")), &["acts.safetensors"]);
    refused(activations(4).save(folder.join("file/acts.safetensors")), &["file"]);
    assert_eq!(folder.names(), ["acts.safetensors", "file"]);
}

// --- mutations ----------------------------------------------------------------------------------------------

/// A small generator, so that the mutations are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n.max(1) as u64) as usize
    }

    /// One to four bytes flipped, a number replaced, or the end cut off, mostly in the first `head` bytes.
    fn mutate(&mut self, whole: &[u8], head: usize) -> Vec<u8> {
        let mut bytes = whole.to_vec();
        let limit = if self.below(8) == 0 { whole.len() } else { head.min(whole.len()) };
        match self.below(6) {
            0 => bytes.truncate(self.below(limit)),
            1 => {
                let at = self.below(limit);
                let claims = [0, 1, 0x7f, 1 << 31, 1 << 40, 1 << 60, u64::MAX >> 1, u64::MAX];
                let claim = claims[self.below(claims.len())].to_le_bytes();
                let width = [1, 4, 8][self.below(3)];
                bytes.iter_mut().skip(at).zip(&claim[..width]).for_each(|(byte, new)| *byte = *new);
            }
            2 => {
                // A piece of the file copied to another place.
                let (from, to, size) = (self.below(limit), self.below(limit), 1 + self.below(24));
                let piece = bytes[from..(from + size).min(bytes.len())].to_vec();
                bytes.splice(to..to, piece);
            }
            3 => {
                // A digit, quote or bracket replaced: what text formats hang on.
                let at = self.below(limit);
                bytes[at] = *b"0987-.\",:{}[]\\\n"[..].get(self.below(15)).unwrap();
            }
            _ => {
                for _ in 0..=self.below(4) {
                    let at = self.below(limit);
                    bytes[at] ^= 1 << self.below(8);
                }
            }
        }
        bytes
    }
}

/// Loads mutations of a file; each must give a result or an error with a message that names the file.
fn survives<T>(name: &str, whole: &[u8], head: usize, times: usize, load: impl Fn(&Path) -> Result<T>) {
    let folder = Folder::new();
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15 ^ whole.len() as u64);
    let mut refusals = 0;
    for round in 0..times {
        let path = folder.write(name, numbers.mutate(whole, head));
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| load(&path).map(|_| ())));
        match outcome {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                let message = error.to_string();
                let is_about_reading = matches!(
                    error,
                    Error::Tokenizer(_)
                        | Error::NotFinite { .. }
                        | Error::Template(_)
                        | Error::TextLength { .. }
                        | Error::OneClass { .. }
                );
                let place = std::env::temp_dir().display().to_string();
                let named = message.contains(name) || message.contains(&place);
                assert!(named || is_about_reading, "round {round}: {message}");
                refusals += 1;
            }
            Err(_) => {
                let kept = std::env::temp_dir().join(format!("probity-{name}"));
                std::fs::copy(&path, &kept).unwrap();
                panic!("round {round} panicked; the file is kept as {}", kept.display());
            }
        }
    }
    assert!(refusals > times / 10, "{name}: only {refusals} of {times} were refused");
}

#[test]
fn mutated_model_files_never_panic() {
    let use_it = |model: Model| -> Result<()> {
        let texts = [Text::new("a", "the first market day, été 42")];
        let states = Readout::new(Site::ResidPost.all_layers(), Pool::Last).capture(&model, &texts)?;
        model.tokenizer().decode(&[3, 50, 280, 287, 288])?;
        if let Ok(template) = model.template() {
            template.render(&[Message::new(Role::User, "hi"), Message::new(Role::Assistant, "ho")], true)?;
        }
        assert_eq!(states.rows(), 1);
        Ok(())
    };
    let whole = Gguf::tiny().bytes();
    let header = whole.len() - Gguf::tiny().tensors.iter().map(|t| 4 * t.values.len()).sum::<usize>();
    survives("m.gguf", &whole, header, 1_500, |path| use_it(Model::load(path)?));

    let folder = Folder::tiny("tied");
    for (name, head, times) in [
        ("model.safetensors", 3_000, 500),
        ("tokenizer.json", 20_000, 1_000),
        ("config.json", 2_000, 400),
        ("tokenizer_config.json", 2_000, 100),
        ("chat_template.jinja", 2_000, 300),
    ] {
        let whole = folder.read(name);
        survives(name, &whole, head, times, |path| {
            std::fs::copy(path, folder.join(name)).unwrap();
            use_it(Model::load(folder.path())?)
        });
        folder.write(name, &whole);
    }
}

#[test]
fn mutated_data_files_never_panic() {
    let lines = |good: &str| {
        (0..6).map(|n| good.replace("\"id\":\"", &format!("\"id\":\"{n}")) + "\n").collect::<String>().into_bytes()
    };
    let texts = lines(r#"{"id":"a","text":"hello there","group":"g","span":{"start":2,"end":5}}"#);
    let model = tiny("tied");
    let readout = Readout::new(Site::Embed.all_layers(), Pool::Mean);
    survives("texts.jsonl", &texts, usize::MAX, 500, |path| {
        let texts = Text::load(path)?;
        // Spans and ids may be off by now; only panics count here.
        let _ = readout.capture(&model, &texts);
        Ok(())
    });
    survives("rows.jsonl", &lines(r#"{"id":"a","text":"hello","label":1,"group":"g"}"#), usize::MAX, 500, |path| {
        LabelledText::load(path)
    });
    survives("task.jsonl", &lines(ITEM), usize::MAX, 500, |path| Ok(ChoiceTask::load(path)?.limit(3, 1)));
    let ids: Vec<String> = (0..9).map(|row| format!("t{row}")).collect();
    let labels: String = ids.iter().enumerate().map(|(n, id)| format!("{id},{},\"g {n}\"\n", n % 2)).collect();
    survives("labels.csv", format!("id,label,group\n{labels}").as_bytes(), usize::MAX, 700, |path| {
        Labels::load(path, &ids)
    });

    let whole = saved(&activations(40).with_groups((0..40).map(|row| (row / 2).to_string()).collect()).unwrap(), |h| h);
    let labels = alternating(40);
    let mean_difference = probity::probe::MeanDifferenceProbe::default().draws(20);
    survives("acts.safetensors", &whole, 1_000, 700, |path| {
        let activations = Activations::load(path)?;
        let _ = mean_difference.fit_all(&activations, &labels);
        Ok(())
    });
    let folder = Folder::new();
    let bank = LogisticProbe::default().draws(20).fit_all(&activations(40), &labels).unwrap();
    bank.save(folder.join("probes")).unwrap();
    let states = activations(40);
    survives("probes.safetensors", &folder.read("probes"), 3_000, 700, |path| {
        for probe in ProbeBank::load(path)?.iter() {
            if let Ok(rows) = states.at(probe.address()) {
                let _ = (probe.decision(rows), probe.standardised(rows));
            }
        }
        Ok(())
    });
}
