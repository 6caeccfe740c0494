//! A model as a whole: decoder, tokeniser, chat template, and what identifies them.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

#[cfg(feature = "gguf")]
use super::weights::gguf::Gguf;
use super::weights::huggingface::Checkpoint;
use super::{DecoderConfig, LoadOptions, Network, Precision};
use crate::error::Place;
use crate::hook::Geometry;
use crate::text::{ChatTemplate, Tokenizer};
use crate::{file, Error, Provenance, Result};

/// The configuration of a Hugging Face directory.
pub(super) const CONFIG: &str = "config.json";

/// A decoder with its tokeniser and chat template.
///
/// ```no_run
/// let model = probity::Model::load("SmolLM2-135M-Instruct.Q4_1.gguf")?;
/// println!("{} layers", model.geometry().layers);
/// # Ok::<(), probity::Error>(())
/// ```
#[derive(Debug)]
pub struct Model {
    network: Box<dyn Network>,
    tokenizer: Tokenizer,
    template: Option<ChatTemplate>,
    stop_tokens: Vec<u32>,
    provenance: Provenance,
}

impl Model {
    /// Loads a GGUF file, or a Hugging Face directory (`config.json`, `model.safetensors` or its shards,
    /// `tokenizer.json`, and the chat template if there is one), as f32 on the CPU.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Malformed`], [`Error::MissingTensor`], [`Error::TensorShape`],
    /// [`Error::UnsupportedArchitecture`], [`Error::UnsupportedSetting`].
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        LoadOptions::default().load(path)
    }

    #[cfg(feature = "gguf")]
    pub(super) fn from_gguf(path: &Path, mut file: Gguf, config: &Value, options: &LoadOptions) -> Result<Self> {
        let vocabulary = file.vocabulary()?;
        let named: Vec<(&str, String)> =
            [("bos_token", "bos"), ("eos_token", "eos"), ("unk_token", "unknown"), ("pad_token", "padding")]
                .into_iter()
                .filter_map(|(name, role)| {
                    let id = file.token_id(role).ok().flatten()? as usize;
                    Some((name, vocabulary.tokens.get(id)?.clone()))
                })
                .collect();
        let named: Vec<(&str, &str)> = named.iter().map(|(name, token)| (*name, token.as_str())).collect();
        let place = Place::Entry("tokenizer.chat_template".to_owned());
        let template = file.template()?.map(|source| compile(path, place, &source, &named)).transpose()?;
        let stop = file.token_id("eos")?.into_iter().chain(file.token_id("eot")?).collect();
        // Before the weights, so that what a tokeniser takes to be built is free again for them.
        let tokenizer = Tokenizer::from_gguf(path, vocabulary)?;
        file.forget_lists();
        let (sha256, decoder) = beside(|| file.sha256(), || options.build(&file, path, config));
        Model::assemble(path, decoder?, tokenizer, template, stop, (options.precision, sha256?))
    }

    pub(super) fn from_directory(
        path: &Path,
        checkpoint: &Checkpoint,
        config: &Value,
        options: &LoadOptions,
    ) -> Result<Self> {
        let config_path = path.join(CONFIG);
        let (sha256, decoder) = beside(|| checkpoint.sha256(), || options.build(checkpoint, &config_path, config));
        let tokenizer = Tokenizer::load(path.join("tokenizer.json"))?;
        let settings = path.join("tokenizer_config.json");
        let settings = if settings.is_file() { read_json(&settings)? } else { Value::Null };
        let template = read_template(path, &settings)?;
        let generation_path = path.join("generation_config.json");
        let generation = if generation_path.is_file() { read_json(&generation_path)? } else { Value::Null };
        let stop = match end_tokens(&generation_path, &generation)? {
            Some(stop) => stop,
            None => end_tokens(&config_path, config)?.unwrap_or_default(),
        };
        Model::assemble(path, decoder?, tokenizer, template, stop, (options.precision, sha256))
    }

    fn assemble(
        path: &Path,
        network: impl Network + 'static,
        tokenizer: Tokenizer,
        template: Option<ChatTemplate>,
        stop_tokens: Vec<u32>,
        (precision, sha256): (Precision, String),
    ) -> Result<Self> {
        if let Some(problem) = too_many_ids(&network, &tokenizer) {
            let own_file = path.join("tokenizer.json");
            return Err(Error::malformed(if own_file.is_file() { &own_file } else { path }, Place::File, problem));
        }
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let mut model = Model::new(name, network, tokenizer)?.with_stop_tokens(stop_tokens);
        model.provenance.insert("model_sha256".to_owned(), sha256);
        model.provenance.insert("precision".to_owned(), precision.name().to_owned());
        Ok(match template {
            Some(template) => model.with_template(template),
            None => model,
        })
    }

    /// A model around a network of your own. It has no chat template and no stop tokens until they are set.
    ///
    /// # Errors
    /// [`Error::Mismatch`] if the tokeniser has ids for which the network has no embedding.
    pub fn new(name: impl Into<String>, network: impl Network + 'static, tokenizer: Tokenizer) -> Result<Self> {
        if let Some(problem) = too_many_ids(&network, &tokenizer) {
            return Err(Error::mismatch("tokeniser", problem));
        }
        let provenance = Provenance::from([
            ("model".to_owned(), name.into()),
            ("tokenizer_sha256".to_owned(), tokenizer.sha256().to_owned()),
            ("probity".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        ]);
        Ok(Model { network: Box::new(network), tokenizer, template: None, stop_tokens: Vec::new(), provenance })
    }

    /// Sets the tokens that end an answer.
    pub fn with_stop_tokens(mut self, tokens: Vec<u32>) -> Self {
        self.stop_tokens = tokens;
        self
    }

    /// Replaces the chat template, or sets one where the model has none.
    pub fn with_template(mut self, template: ChatTemplate) -> Self {
        self.provenance.insert("template_sha256".to_owned(), template.sha256().to_owned());
        self.template = Some(template);
        self
    }

    /// The network.
    pub fn network(&self) -> &dyn Network {
        self.network.as_ref()
    }

    /// Layers and heads.
    pub fn geometry(&self) -> Geometry {
        self.network.geometry()
    }

    /// Longest text in tokens.
    pub fn context(&self) -> usize {
        self.network.context()
    }

    /// Shape and parts of the decoder; `None` for a network of your own.
    pub fn config(&self) -> Option<&DecoderConfig> {
        self.network.config()
    }

    /// The tokeniser.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The chat template.
    ///
    /// # Errors
    /// [`Error::NoTemplate`] if the model came without one.
    pub fn template(&self) -> Result<&ChatTemplate> {
        self.template.as_ref().ok_or(Error::NoTemplate)
    }

    /// Tokens that end an answer.
    pub fn stop_tokens(&self) -> &[u32] {
        &self.stop_tokens
    }

    /// File name and hashes of weights, tokeniser and template.
    pub fn provenance(&self) -> &Provenance {
        &self.provenance
    }
}

/// What is wrong if the tokeniser knows an id that the network does not.
fn too_many_ids(network: &impl Network, tokenizer: &Tokenizer) -> Option<String> {
    let rows = network.vocabulary();
    let (token, id) = tokenizer.largest_id().filter(|&(_, id)| id as usize >= rows)?;
    Some(format!("the tokeniser has id {id} ({token:?}), the embedding only {rows} rows"))
}

pub(super) fn read_json(path: &Path) -> Result<Value> {
    serde_json::from_str(&file::read_text(path)?).map_err(|error| Error::json(path, error))
}

fn end_tokens(path: &Path, config: &Value) -> Result<Option<Vec<u32>>> {
    /// One end token or several.
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Ends {
        One(u32),
        Many(Vec<u32>),
    }
    let key = "eos_token_id";
    let Some(value) = config.get(key).filter(|value| !value.is_null()) else { return Ok(None) };
    match serde_json::from_value(value.clone()) {
        Ok(Ends::One(id)) => Ok(Some(vec![id])),
        Ok(Ends::Many(ids)) => Ok(Some(ids)),
        Err(_) => Err(Error::malformed(path, Place::Entry(key.into()), format!("{value} is no token id, nor several"))),
    }
}

/// A chat template, with errors that name the file.
fn compile(path: &Path, place: Place, source: &str, tokens: &[(&str, &str)]) -> Result<ChatTemplate> {
    ChatTemplate::new(source, tokens).map_err(|error| match error {
        Error::Template(problem) => Error::malformed(path, place, format!("no valid chat template: {problem}")),
        other => other,
    })
}

/// Both results; the first on a thread of its own.
fn beside<A: Send, B>(first: impl FnOnce() -> A + Send, second: impl FnOnce() -> B) -> (A, B) {
    std::thread::scope(|scope| {
        let first = scope.spawn(first);
        let second = second();
        (first.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), second)
    })
}

/// `chat_template.jinja`, or `chat_template` of `tokenizer_config.json` (there also as a list of named ones).
fn read_template(directory: &Path, settings: &Value) -> Result<Option<ChatTemplate>> {
    let own_file = directory.join("chat_template.jinja");
    let field = &settings["chat_template"];
    let named_default = || {
        let entries = field.as_array()?;
        let default = entries.iter().find(|entry| entry["name"] == "default")?;
        default["template"].as_str()
    };
    let config = directory.join("tokenizer_config.json");
    let (path, place, source) = if own_file.is_file() {
        let source = file::read_text(&own_file)?;
        (own_file, Place::File, Some(source))
    } else {
        let place = Place::Entry("chat_template".to_owned());
        if !(field.is_null() || field.is_string() || field.is_array()) {
            return Err(Error::malformed(&config, place, format!("{field} is no chat template, nor several")));
        }
        (config, place, field.as_str().or_else(named_default).map(str::to_owned))
    };
    let tokens: Vec<(&str, &str)> = ["bos_token", "eos_token", "unk_token", "pad_token"]
        .into_iter()
        .filter_map(|name| {
            let token = &settings[name];
            Some((name, token.as_str().or_else(|| token["content"].as_str())?))
        })
        .collect();
    source.map(|source| compile(&path, place, &source, &tokens)).transpose()
}
