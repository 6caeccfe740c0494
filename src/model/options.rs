//! How a model is loaded: precision and device.

use std::path::Path;

use serde_json::Value;
use tch::{Device, Kind};

use super::load::{read_json, CONFIG};
#[cfg(feature = "gguf")]
use super::weights::gguf::Gguf;
use super::weights::huggingface::Checkpoint;
use super::weights::{Loader, WeightSource};
use super::{family, Decoder, Model};
#[cfg(not(feature = "gguf"))]
use crate::error::Place;
use crate::names::by_name;
use crate::{Error, Result};

/// The precision of weights and states. Norms, softmax and rotary tables are never below f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Precision {
    /// 32 bits.
    #[default]
    F32,
    /// bfloat16: half the memory, faster where the hardware has it, states to some 3 digits. The residual stream is f32,
    /// and on a CPU whatever leaves a product: hooks see either there.
    Bf16,
    /// 64 bits, to tell rounding from a defect.
    F64,
}

impl Precision {
    const ALL: [Precision; 3] = [Precision::F32, Precision::Bf16, Precision::F64];

    fn kind(self) -> Kind {
        match self {
            Precision::F32 => Kind::Float,
            Precision::Bf16 => Kind::BFloat16,
            Precision::F64 => Kind::Double,
        }
    }

    /// The name used in options and provenance.
    pub fn name(self) -> &'static str {
        match self {
            Precision::F32 => "f32",
            Precision::Bf16 => "bf16",
            Precision::F64 => "f64",
        }
    }
}

by_name!(Precision, "precision");

/// How a model is loaded.
///
/// ```no_run
/// use probity::model::{LoadOptions, Precision};
/// let model = LoadOptions::default().precision(Precision::Bf16).load("path/to/model")?;
/// # Ok::<(), probity::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct LoadOptions {
    pub(super) precision: Precision,
    devices: Vec<Device>,
    check_finite: bool,
}

impl LoadOptions {
    /// Sets the precision, default f32.
    pub fn precision(mut self, precision: Precision) -> Self {
        self.precision = precision;
        self
    }

    /// Sets the device, default the CPU.
    pub fn device(self, device: Device) -> Self {
        self.devices([device])
    }

    /// Spreads the layers over several devices, each with a run of consecutive layers, all runs as long as each
    /// other (to one layer). A device named twice gets a run twice as long. The embedding lies with the first
    /// layer, the unembedding with the last; a hook is given the states where its layer lies.
    pub fn devices(mut self, devices: impl IntoIterator<Item = Device>) -> Self {
        self.devices = devices.into_iter().collect();
        self
    }

    /// Sets whether every weight is checked to be finite, default no: it reads all of them once more.
    pub fn check_finite(mut self, check: bool) -> Self {
        self.check_finite = check;
        self
    }

    /// Loads a model; see [`Model::load`].
    ///
    /// # Errors
    /// Those of [`Model::load`]; [`Error::Torch`] for a device that is not there; [`Error::NotFinite`] for a weight.
    pub fn load(&self, path: impl AsRef<Path>) -> Result<Model> {
        let path = path.as_ref();
        tracing::debug!(path = %path.display(), precision = self.precision.name(), "loading a model");
        match ModelFile::open(path)? {
            #[cfg(feature = "gguf")]
            ModelFile::Gguf(file, config) => Model::from_gguf(path, file, &config, self),
            ModelFile::Directory(weights, config) => Model::from_directory(path, &weights, &config, self),
        }
    }

    /// Loads only the decoder, of a GGUF file or a Hugging Face directory; no tokeniser is needed.
    ///
    /// # Errors
    /// Those of [`LoadOptions::load`].
    pub fn load_decoder(&self, path: impl AsRef<Path>) -> Result<Decoder> {
        let path = path.as_ref();
        match ModelFile::open(path)? {
            #[cfg(feature = "gguf")]
            ModelFile::Gguf(file, config) => self.build(&file, path, &config),
            ModelFile::Directory(weights, config) => self.build(&weights, &path.join(CONFIG), &config),
        }
    }

    pub(super) fn build(&self, source: &dyn WeightSource, path: &Path, config: &Value) -> Result<Decoder> {
        let build = || {
            let loader = Loader::new(source, self.precision.kind(), &self.devices).check_finite(self.check_finite);
            family::build(loader, path, config)
        };
        // Layers are read side by side, on threads that end with that. libtorch gives every thread that asks it for much
        // work a team of threads; with more teams than processors all of them sleep between any two products, which costs
        // decoding a tenth of its time as long as they live.
        match rayon::ThreadPoolBuilder::new().num_threads(rayon::current_num_threads()).build() {
            Ok(pool) => pool.install(build),
            Err(_) => build(),
        }
    }
}

/// Weights and configuration of a model, as they lie on disk.
enum ModelFile {
    #[cfg(feature = "gguf")]
    Gguf(Gguf, Value),
    Directory(Checkpoint, Value),
}

impl ModelFile {
    fn open(path: &Path) -> Result<Self> {
        if std::fs::metadata(path).map_err(Error::io("read", path))?.is_dir() {
            let config = read_json(&path.join(CONFIG))?;
            return Ok(ModelFile::Directory(Checkpoint::open(path)?, config));
        }
        #[cfg(feature = "gguf")]
        {
            let file = Gguf::open(path)?;
            let config = file.config()?;
            Ok(ModelFile::Gguf(file, config))
        }
        #[cfg(not(feature = "gguf"))]
        Err(Error::malformed(path, Place::File, "is a file: to read GGUF, build probity with the feature `gguf`"))
    }
}
