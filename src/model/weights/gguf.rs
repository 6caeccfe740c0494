//! A GGUF file: weights of every quantisation that candle-core reads, dequantised to f32, and the metadata
//! translated to the terms of a Hugging Face configuration, so that a family is described once.

use std::fs::File;
use std::io::{BufReader, Error as IoError, ErrorKind, Read, Result as IoResult, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use candle_core::quantized::gguf_file::{Content, TensorInfo, Value};
use candle_core::{Device, Shape};
use serde_json::{json, Map};
use tch::{Kind, Tensor};

use super::gguf_names::{Names, CONFIG_KEYS};
use super::WeightSource;
use crate::error::{nearest, Place};
use crate::text::GgufVocabulary;
use crate::{file, Error, Result};

/// A GGUF file with its parsed header. It is read, not mapped: every weight is dequantised, so that a map would only
/// hold the file in memory beside them.
pub(crate) struct Gguf {
    path: PathBuf,
    file: Mutex<File>,
    content: Content,
    architecture: String,
    names: Names,
}

/// Divisors of rotary frequencies: for texts of every length, for short and for long ones. They are settings in
/// the form of tensors.
const ROTARY_FACTORS: [&str; 3] = ["rope_freqs.weight", "rope_factors_short.weight", "rope_factors_long.weight"];

/// Elements that are dequantised at a time.
const CHUNK_ELEMENTS: usize = 1 << 16;

impl Gguf {
    /// Opens the file and reads its header.
    pub fn open(path: &Path) -> Result<Self> {
        let mut file = File::open(path).map_err(Error::io("read", path))?;
        let len = file.metadata().map_err(Error::io("read", path))?.len();
        let bad = |problem: String| Error::malformed(path, Place::File, problem);
        if len == 0 {
            return Err(bad("the file is empty".to_owned()));
        }
        let mut start = Vec::new();
        (&mut file).take(16).read_to_end(&mut start).map_err(Error::io("read", path))?;
        file.rewind().map_err(Error::io("read", path))?;
        let mut reader = HeaderReader { inner: BufReader::new(file), past_key: None };
        let content = Content::read(&mut reader)
            .map_err(|error| bad(format!("no GGUF file, or a truncated or damaged one: {error}")))?;
        if tensor_count(&start) != Some(content.tensor_infos.len() as u64) {
            return Err(bad("two tensors have the same name".to_owned()));
        }
        for (name, info) in &content.tensor_infos {
            let entry = |problem: &str| Error::malformed(path, Place::Entry(name.clone()), problem);
            let elements = info.shape.dims().iter().try_fold(1usize, |all, &size| all.checked_mul(size));
            let blocks = elements.ok_or_else(|| entry("its size overflows"))?.div_ceil(info.ggml_dtype.block_size());
            let end = blocks
                .checked_mul(info.ggml_dtype.type_size())
                .and_then(|bytes| (bytes as u64).checked_add(info.offset))
                .and_then(|bytes| bytes.checked_add(content.tensor_data_offset));
            if end.is_none_or(|end| end > len) {
                return Err(entry("lies outside the file, which is truncated or damaged"));
            }
        }
        let architecture = content.metadata.get("general.architecture").and_then(text).unwrap_or_default();
        let names = Names::of(&architecture);
        let file = Mutex::new(reader.inner.into_inner());
        Ok(Gguf { path: path.to_owned(), file, content, architecture, names })
    }

    /// SHA-256 of the file.
    pub fn sha256(&self) -> Result<String> {
        file::sha256_of(&self.path)
    }

    /// `elements` of a tensor from its start on, as f32.
    fn dequantised(&self, info: &TensorInfo, from: usize, elements: usize) -> candle_core::Result<Vec<f32>> {
        let kind = info.ggml_dtype;
        let before = (from / kind.block_size() * kind.type_size()) as u64;
        let part =
            TensorInfo { ggml_dtype: kind, shape: Shape::from(elements), offset: info.offset.saturating_add(before) };
        let blocks = {
            let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
            part.read(&mut *file, self.content.tensor_data_offset, &Device::Cpu)?
        };
        blocks.dequantize(&Device::Cpu)?.to_vec1()
    }

    fn bad(&self, key: &str, problem: impl std::fmt::Display) -> Error {
        Error::malformed(&self.path, Place::Entry(key.to_owned()), problem)
    }

    fn get<T>(&self, key: &str, read: impl Fn(&Value) -> Option<T>) -> Result<Option<T>> {
        self.content
            .metadata
            .get(key)
            .map(|value| {
                let problem =
                    || self.bad(key, format!("has the wrong type, {:?}, or no usable value", value.value_type()));
                read(value).ok_or_else(problem)
            })
            .transpose()
    }

    fn need<T>(&self, key: &str, read: impl Fn(&Value) -> Option<T>) -> Result<T> {
        self.get(key, read)?.ok_or_else(|| self.bad(key, "is missing from the metadata"))
    }

    /// The metadata as a `config.json` would say it.
    pub fn config(&self) -> Result<serde_json::Value> {
        self.need("general.architecture", text)?;
        let architecture = self.architecture.as_str();
        let mut config = Map::new();
        for (key, name) in CONFIG_KEYS {
            let value = self.get(&format!("{architecture}.{key}"), number)?;
            // Converters write a window of 0 where there is none.
            if let Some(value) = value.filter(|value| name != "sliding_window" || value.as_u64() != Some(0)) {
                config.insert(name.to_owned(), value);
            }
        }
        if let Some(kind) = self.get(&format!("{architecture}.rope.scaling.type"), text)?.filter(|kind| kind != "none")
        {
            let factor = self.get(&format!("{architecture}.rope.scaling.factor"), number)?;
            config.insert("rope_scaling".to_owned(), json!({ "rope_type": kind, "factor": factor }));
        }
        // As old converters wrote a linear scaling.
        if let Some(factor) = self.get(&format!("{architecture}.rope.scale_linear"), number)? {
            config.insert("rope_scaling".to_owned(), json!({ "rope_type": "linear", "factor": factor }));
        }
        let embedding = "model.embed_tokens.weight";
        let shape = self.shape(embedding).ok_or_else(|| {
            let tensor = self.names.own(embedding);
            let nearest = nearest(&tensor, self.content.tensor_infos.keys().cloned());
            Error::missing_tensor(&self.path, tensor, nearest)
        })?;
        config.insert("vocab_size".to_owned(), json!(shape.first()));
        config.insert("tie_word_embeddings".to_owned(), json!(self.shape("lm_head.weight").is_none()));
        config.insert("attention_bias".to_owned(), json!(self.shape("model.layers.0.self_attn.q_proj.bias").is_some()));
        if let Some(factors) = self.long_factors(&config)? {
            config.insert("rope_scaling".to_owned(), factors);
        }
        // The largest gemmas scale attention by their width, which the file does not say.
        if matches!(
            (architecture, config.get("num_hidden_layers").and_then(|n| n.as_u64())),
            ("gemma2", Some(46)) | ("gemma3", Some(62))
        ) {
            let number = |key: &str| config.get(key).and_then(serde_json::Value::as_f64);
            let scalar = number("hidden_size").zip(number("num_attention_heads")).map(|(d, heads)| d / heads);
            config.insert("query_pre_attn_scalar".to_owned(), json!(scalar));
        }
        let family = if architecture == "gemma3" { "gemma3_text" } else { architecture };
        config.insert("model_type".to_owned(), json!(family));
        Ok(config.into())
    }

    /// Divisors of the rotary frequencies, which GGUF holds as tensors, as a rotary scaling.
    fn long_factors(&self, config: &Map<String, serde_json::Value>) -> Result<Option<serde_json::Value>> {
        let [all, short, long] = ROTARY_FACTORS;
        let list = |name: &str| -> Result<Option<Vec<f32>>> {
            self.shape(name).map(|_| Ok(Vec::try_from(self.read(name)?.f_flatten(0, -1)?)?)).transpose()
        };
        if let Some(factors) = list(all)? {
            // One set for texts of every length (Llama 3).
            let context = config.get("max_position_embeddings");
            return Ok(Some(json!({
                "rope_type": "longrope", "short_factor": factors, "long_factor": factors, "attention_factor": 1.0,
                "original_max_position_embeddings": context,
            })));
        }
        let (short, long) = match (list(short)?, list(long)?) {
            (Some(short), Some(long)) => (short, long),
            (None, None) => return Ok(None),
            (None, _) => return Err(self.bad(short, "is missing, beside the factors for long texts")),
            (_, None) => return Err(self.bad(long, "is missing, beside the factors for short texts")),
        };
        let factor = self.get(&format!("{}.rope.scaling.attn_factor", self.architecture), number)?;
        Ok(Some(json!({
            "rope_type": "longrope", "short_factor": short, "long_factor": long, "attention_factor": factor,
        })))
    }

    /// The tokeniser's vocabulary.
    pub fn vocabulary(&self) -> Result<GgufVocabulary> {
        let flag = |key: &str| self.get(&format!("tokenizer.ggml.{key}"), |value| value.to_bool().ok());
        let merges = self.get("tokenizer.ggml.merges", |value| list(value, text))?;
        let pair = |merge: String| match merge.split_once(' ') {
            Some((left, right)) => Ok((left.to_owned(), right.to_owned())),
            None => Err(self.bad("tokenizer.ggml.merges", format!("{merge:?} is no pair"))),
        };
        Ok(GgufVocabulary {
            architecture: self.architecture.clone(),
            model: self.need("tokenizer.ggml.model", text)?,
            pre_tokenizer: self.get("tokenizer.ggml.pre", text)?,
            tokens: self.need("tokenizer.ggml.tokens", |value| list(value, text))?,
            scores: self.get("tokenizer.ggml.scores", |value| list(value, |score| score.to_f32().ok()))?,
            types: self.get("tokenizer.ggml.token_type", |value| list(value, integer))?.unwrap_or_default(),
            merges: merges.map(|merges| merges.into_iter().map(pair).collect()).transpose()?,
            bos: self.token_id("bos")?,
            eos: self.token_id("eos")?,
            unknown: self.token_id("unknown")?,
            padding: self.token_id("padding")?,
            add_bos: flag("add_bos_token")?,
            add_eos: flag("add_eos_token")?,
            add_space_prefix: flag("add_space_prefix")?,
        })
    }

    /// Lets go of the metadata's lists, most of which are the vocabulary, once they have been read.
    pub fn forget_lists(&mut self) {
        self.content.metadata.retain(|_, value| !matches!(value, Value::Array(_)));
    }

    /// The chat template, if the file has one.
    pub fn template(&self) -> Result<Option<String>> {
        self.get("tokenizer.chat_template", text)
    }

    /// Id of the special token of this role, such as "eos".
    pub fn token_id(&self, role: &str) -> Result<Option<u32>> {
        let id = self.get(&format!("tokenizer.ggml.{role}_token_id"), integer)?;
        Ok(id.and_then(|id| u32::try_from(id).ok()))
    }
}

impl WeightSource for Gguf {
    fn path(&self) -> &Path {
        &self.path
    }

    fn names(&self) -> Vec<String> {
        let weights = self.content.tensor_infos.keys().filter(|name| !ROTARY_FACTORS.contains(&name.as_str()));
        weights.map(|name| self.names.checkpoint(name)).collect()
    }

    fn own_name(&self, name: &str) -> String {
        self.names.own(name)
    }

    fn own_key(&self, key: &str) -> String {
        let architecture = &self.architecture;
        match CONFIG_KEYS.iter().find(|(_, name)| *name == key) {
            Some((own, _)) => format!("{architecture}.{own}"),
            None if key == "model_type" => "general.architecture".to_owned(),
            None => key.to_owned(),
        }
    }

    fn shape(&self, name: &str) -> Option<Vec<i64>> {
        let info = self.content.tensor_infos.get(&self.names.own(name))?;
        Some(info.shape.dims().iter().map(|&size| size as i64).collect())
    }

    fn read(&self, name: &str) -> Result<Tensor> {
        let name = self.names.own(name);
        let missing = || self.bad(&name, "there is no such tensor");
        let info = self.content.tensor_infos.get(&name).ok_or_else(missing)?;
        let elements = info.shape.elem_count();
        let shape: Vec<i64> = info.shape.dims().iter().map(|&size| size as i64).collect();
        let tensor = Tensor::f_empty([elements as i64], (Kind::Float, tch::Device::Cpu))?;
        // Piece by piece, so that beside the tensor no second one is held. A piece is a whole number of blocks.
        for from in (0..elements).step_by(CHUNK_ELEMENTS) {
            let count = CHUNK_ELEMENTS.min(elements - from);
            let values = self.dequantised(info, from, count).map_err(|error| self.bad(&name, error))?;
            tensor.f_narrow(0, from as i64, count as i64)?.f_copy_(&Tensor::f_from_slice(&values)?)?;
        }
        let tensor = tensor.f_view(shape.as_slice())?;
        // Converters add the 1 that gemma's norms add.
        let shifted = self.architecture.starts_with("gemma") && name.ends_with("norm.weight");
        Ok(if shifted { tensor.f_sub_scalar(1.0)? } else { tensor })
    }

    fn interleaves_rotary_rows(&self) -> bool {
        self.architecture == "llama"
    }
}

/// Reads a header for candle and refuses an alignment of 0, by which candle would divide.
struct HeaderReader<R> {
    inner: R,
    /// Reads since the key: its type comes first, then its value.
    past_key: Option<u8>,
}

impl<R: Read> Read for HeaderReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> IoResult<usize> {
        let count = self.inner.read(buffer)?;
        let bytes = buffer.get(..count).unwrap_or_default();
        self.past_key = match self.past_key {
            None => (bytes == b"general.alignment").then_some(0),
            Some(0) => Some(1),
            Some(_) if bytes.iter().all(|&byte| byte == 0) => {
                return Err(IoError::new(ErrorKind::InvalidData, "general.alignment is 0"));
            }
            Some(_) => None,
        };
        Ok(count)
    }
}

impl<R: Seek> Seek for HeaderReader<R> {
    fn seek(&mut self, to: SeekFrom) -> IoResult<u64> {
        self.inner.seek(to)
    }
}

/// The number of tensors that a header declares; version 1 counts in 32 bits.
fn tensor_count(file: &[u8]) -> Option<u64> {
    match file.get(4..8)? {
        [1, 0, 0, 0] => Some(u64::from(u32::from_le_bytes(*file.get(8..)?.first_chunk()?))),
        _ => Some(u64::from_le_bytes(*file.get(8..)?.first_chunk()?)),
    }
}

fn text(value: &Value) -> Option<String> {
    value.to_string().ok().cloned()
}

fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::I8(x) => Some(i64::from(*x)),
        Value::I16(x) => Some(i64::from(*x)),
        Value::I32(x) => Some(i64::from(*x)),
        Value::I64(x) => Some(*x),
        Value::Bool(_) => None,
        other => other.to_u64().ok().and_then(|x| i64::try_from(x).ok()),
    }
}

fn number(value: &Value) -> Option<serde_json::Value> {
    match value {
        // Through the shortest decimal form: 1e-5 in f32 means the decimal number, not its binary neighbour.
        Value::F32(x) => x.to_string().parse::<f64>().ok().filter(|x| x.is_finite()).map(Into::into),
        Value::F64(x) => Some(*x).filter(|x| x.is_finite()).map(Into::into),
        other => integer(other).map(Into::into),
    }
}

fn list<T>(value: &Value, read: impl Fn(&Value) -> Option<T>) -> Option<Vec<T>> {
    value.to_vec().ok()?.iter().map(read).collect()
}
