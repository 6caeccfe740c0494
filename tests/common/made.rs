//! Files made to be bad: copies of the tiny models that can be edited, and GGUF files written by hand.

use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use serde_json::Value;

use crate::{fixture, floats};

/// A temporary folder.
pub struct Folder(tempfile::TempDir);

impl Default for Folder {
    fn default() -> Self {
        Folder(tempfile::tempdir().unwrap())
    }
}

impl Folder {
    pub fn new() -> Self {
        Folder::default()
    }

    /// A copy of one of the tiny models.
    pub fn tiny(name: &str) -> Self {
        let folder = Folder::new();
        for entry in std::fs::read_dir(fixture("tiny_llama").join(name)).unwrap() {
            let from = entry.unwrap().path();
            if from.file_name().unwrap() != "reference.safetensors" {
                std::fs::copy(&from, folder.path().join(from.file_name().unwrap())).unwrap();
            }
        }
        folder
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        std::fs::write(self.join(name), content).unwrap();
        self.join(name)
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.join(name)).unwrap()
    }

    pub fn remove(&self, name: &str) {
        std::fs::remove_file(self.join(name)).unwrap();
    }

    /// Sets a key of a JSON file; null removes it.
    pub fn set(&self, name: &str, key: &str, value: Value) {
        let mut content: Value = serde_json::from_slice(&self.read(name)).unwrap();
        match value {
            Value::Null => drop(content.as_object_mut().unwrap().remove(key)),
            value => content[key] = value,
        }
        self.write(name, content.to_string());
    }

    /// Names of the files in it.
    pub fn names(&self) -> Vec<String> {
        Folder::names_of(self.path())
    }

    /// Names of the files in a folder.
    pub fn names_of(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// Bytes of a safetensors file with this header, whatever it says.
pub fn safetensors(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

/// A value of GGUF metadata.
#[derive(Clone)]
pub enum Meta {
    U32(u32),
    I32(i32),
    F32(f32),
    Bool(bool),
    Text(String),
    Texts(Vec<String>),
    Ints(Vec<i32>),
    Floats(Vec<f32>),
    /// Type number and bytes as they are.
    Raw(u32, Vec<u8>),
}

pub fn text(text: &str) -> Meta {
    Meta::Text(text.to_owned())
}

/// A tensor of a GGUF file.
#[derive(Clone)]
pub struct Weights {
    pub name: String,
    /// As written: the innermost dimension first.
    pub dimensions: Vec<u64>,
    pub kind: u32,
    /// Where its data is said to lie; after the tensor before it if `None`.
    pub offset: Option<u64>,
    pub values: Vec<f32>,
}

/// A GGUF file.
#[derive(Clone)]
pub struct Gguf {
    pub metadata: Vec<(String, Meta)>,
    pub tensors: Vec<Weights>,
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

impl Meta {
    fn put(&self, out: &mut Vec<u8>) {
        let head = |out: &mut Vec<u8>, numbers: &[u32]| numbers.iter().for_each(|n| out.extend(n.to_le_bytes()));
        match self {
            Meta::U32(x) => head(out, &[4, *x]),
            Meta::I32(x) => head(out, &[5, *x as u32]),
            Meta::F32(x) => head(out, &[6, x.to_bits()]),
            Meta::Bool(x) => {
                head(out, &[7]);
                out.push(u8::from(*x));
            }
            Meta::Text(x) => {
                head(out, &[8]);
                put_text(out, x);
            }
            Meta::Texts(all) => {
                head(out, &[9, 8]);
                out.extend((all.len() as u64).to_le_bytes());
                all.iter().for_each(|x| put_text(out, x));
            }
            Meta::Ints(all) => {
                head(out, &[9, 5]);
                out.extend((all.len() as u64).to_le_bytes());
                all.iter().for_each(|x| out.extend(x.to_le_bytes()));
            }
            Meta::Floats(all) => {
                head(out, &[9, 6]);
                out.extend((all.len() as u64).to_le_bytes());
                all.iter().for_each(|x| out.extend(x.to_le_bytes()));
            }
            Meta::Raw(kind, bytes) => {
                head(out, &[*kind]);
                out.extend(bytes);
            }
        }
    }
}

impl Gguf {
    /// The tiny model "tied" with its tokeniser and template.
    pub fn tiny() -> Self {
        let folder = fixture("tiny_llama/tied");
        let json =
            |name: &str| -> Value { serde_json::from_slice(&std::fs::read(folder.join(name)).unwrap()).unwrap() };
        let (config, tokenizer) = (json("config.json"), json("tokenizer.json"));
        let number = |key: &str| config[key].as_u64().unwrap() as u32;

        let mut tokens = vec![String::new(); number("vocab_size") as usize];
        for (number, token) in tokens.iter_mut().enumerate() {
            *token = format!("[unused {number}]");
        }
        for (token, id) in tokenizer["model"]["vocab"].as_object().unwrap() {
            tokens[id.as_u64().unwrap() as usize] = token.clone();
        }
        let mut types = vec![1; tokens.len()];
        for added in tokenizer["added_tokens"].as_array().unwrap() {
            let id = added["id"].as_u64().unwrap() as usize;
            tokens[id] = added["content"].as_str().unwrap().to_owned();
            types[id] = 3;
        }
        let merges = tokenizer["model"]["merges"].as_array().unwrap().iter();
        let merges = merges.map(|merge| match merge.as_str() {
            Some(line) => line.to_owned(),
            None => format!("{} {}", merge[0].as_str().unwrap(), merge[1].as_str().unwrap()),
        });
        let template = std::fs::read_to_string(folder.join("chat_template.jinja")).unwrap();
        let metadata = [
            ("general.architecture", text("llama")),
            ("llama.block_count", Meta::U32(number("num_hidden_layers"))),
            ("llama.embedding_length", Meta::U32(number("hidden_size"))),
            ("llama.feed_forward_length", Meta::U32(number("intermediate_size"))),
            ("llama.context_length", Meta::U32(number("max_position_embeddings"))),
            ("llama.attention.head_count", Meta::U32(number("num_attention_heads"))),
            ("llama.attention.head_count_kv", Meta::U32(number("num_key_value_heads"))),
            ("llama.attention.key_length", Meta::U32(number("head_dim"))),
            ("llama.attention.layer_norm_rms_epsilon", Meta::F32(config["rms_norm_eps"].as_f64().unwrap() as f32)),
            ("llama.rope.freq_base", Meta::F32(10_000.0)),
            ("llama.rope.dimension_count", Meta::U32(number("head_dim"))),
            ("tokenizer.ggml.model", text("gpt2")),
            ("tokenizer.ggml.pre", text("gpt-2")),
            ("tokenizer.ggml.tokens", Meta::Texts(tokens)),
            ("tokenizer.ggml.token_type", Meta::Ints(types)),
            ("tokenizer.ggml.merges", Meta::Texts(merges.collect())),
            ("tokenizer.ggml.bos_token_id", Meta::U32(0)),
            ("tokenizer.ggml.eos_token_id", Meta::U32(1)),
            ("tokenizer.chat_template", Meta::Text(template)),
        ];
        let bytes = std::fs::read(folder.join("model.safetensors")).unwrap();
        let checkpoint = SafeTensors::deserialize(&bytes).unwrap();
        let mut names = checkpoint.names();
        names.sort_unstable();
        let tensors = names.into_iter().map(|name| {
            let values = floats(&checkpoint, name);
            let shape = checkpoint.tensor(name).unwrap().shape().to_vec();
            let heads = if name.contains("q_proj") {
                number("num_attention_heads")
            } else if name.contains("k_proj") {
                number("num_key_value_heads")
            } else {
                0
            };
            let values = if heads > 0 { interleaved(&values, shape[0], shape[1], heads as usize) } else { values };
            let dimensions = shape.iter().rev().map(|&size| size as u64).collect();
            Weights { name: gguf_name(name), dimensions, kind: 0, offset: None, values }
        });
        Gguf {
            metadata: metadata.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
            tensors: tensors.collect(),
        }
    }

    /// With another value of a key.
    pub fn with(mut self, key: &str, value: Meta) -> Self {
        self = self.without(key);
        self.metadata.push((key.to_owned(), value));
        self
    }

    pub fn without(mut self, key: &str) -> Self {
        self.metadata.retain(|(name, _)| name != key);
        self
    }

    pub fn tensor(&mut self, name: &str) -> &mut Weights {
        self.tensors.iter_mut().find(|tensor| tensor.name == name).unwrap()
    }

    /// The strings of a list.
    pub fn texts(&self, key: &str) -> Vec<String> {
        match self.metadata.iter().find(|(name, _)| name == key) {
            Some((_, Meta::Texts(all))) => all.clone(),
            _ => panic!("no list {key}"),
        }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::from(*b"GGUF");
        out.extend(3_u32.to_le_bytes());
        out.extend((self.tensors.len() as u64).to_le_bytes());
        out.extend((self.metadata.len() as u64).to_le_bytes());
        for (key, value) in &self.metadata {
            put_text(&mut out, key);
            value.put(&mut out);
        }
        let mut data: Vec<u8> = Vec::new();
        for tensor in &self.tensors {
            put_text(&mut out, &tensor.name);
            out.extend((tensor.dimensions.len() as u32).to_le_bytes());
            tensor.dimensions.iter().for_each(|size| out.extend(size.to_le_bytes()));
            out.extend(tensor.kind.to_le_bytes());
            out.extend(tensor.offset.unwrap_or(data.len() as u64).to_le_bytes());
            data.extend(tensor.values.iter().flat_map(|value| value.to_le_bytes()));
            data.resize(data.len().next_multiple_of(32), 0);
        }
        out.resize(out.len().next_multiple_of(32), 0);
        out.extend(data);
        out
    }
}

/// Rows of `[rows, columns]` as llama.cpp's converter orders those of queries and keys.
fn interleaved(values: &[f32], rows: usize, columns: usize, heads: usize) -> Vec<f32> {
    let (size, mut out) = (rows / heads, Vec::with_capacity(values.len()));
    for row in 0..rows {
        let (head, within) = (row / size, row % size);
        let from = head * size + (within % 2) * (size / 2) + within / 2;
        out.extend(&values[from * columns..(from + 1) * columns]);
    }
    out
}

fn gguf_name(name: &str) -> String {
    [
        ("model.layers.", "blk."),
        ("model.embed_tokens", "token_embd"),
        ("model.norm", "output_norm"),
        ("lm_head", "output"),
        ("post_attention_layernorm", "ffn_norm"),
        ("input_layernorm", "attn_norm"),
        ("self_attn.o_proj", "attn_output"),
        ("self_attn.", "attn_"),
        ("mlp.", "ffn_"),
        ("_proj", ""),
    ]
    .iter()
    .fold(name.to_owned(), |name, (from, to)| name.replace(from, to))
}
