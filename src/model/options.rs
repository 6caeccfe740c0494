//! How a model is loaded: precision and device.

use std::path::Path;

use serde_json::Value;
use tch::{Device, Kind};

use super::load::read_json;
#[cfg(feature = "gguf")]
use super::weights::gguf::Gguf;
use super::weights::huggingface::Checkpoint;
use super::weights::{Loader, WeightSource};
use super::{family, Decoder, Model};
#[cfg(not(feature = "gguf"))]
use crate::error::Place;
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
    fn kind(self) -> Kind {
        match self {
            Precision::F32 => Kind::Float,
            Precision::Bf16 => Kind::BFloat16,
            Precision::F64 => Kind::Double,
        }
    }

    /// The name used in provenance.
    pub fn name(self) -> &'static str {
        match self {
            Precision::F32 => "f32",
            Precision::Bf16 => "bf16",
            Precision::F64 => "f64",
        }
    }
}

/// How a model is loaded.
///
/// ```no_run
/// use probity::model::{LoadOptions, Precision};
/// let model = LoadOptions::default().precision(Precision::Bf16).model("path/to/model")?;
/// # Ok::<(), probity::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
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
    /// As [`Model::load`]; [`Error::Torch`] for a device that is not there; [`Error::NotFinite`] for a weight.
    pub fn model(&self, path: impl AsRef<Path>) -> Result<Model> {
        let path = path.as_ref();
        tracing::debug!(path = %path.display(), precision = self.precision.name(), "loading a model");
        let kind = std::fs::metadata(path).map_err(Error::io("read", path))?;
        if kind.is_dir() {
            return Model::from_directory(path, self);
        }
        #[cfg(feature = "gguf")]
        return Model::from_gguf(path, self);
        #[cfg(not(feature = "gguf"))]
        Err(Error::malformed(path, Place::File, "is a file: to read GGUF, build probity with the feature `gguf`"))
    }

    /// Loads only the decoder, of a GGUF file or a Hugging Face directory; no tokeniser is needed.
    ///
    /// # Errors
    /// As [`Model::load`].
    pub fn decoder(&self, path: impl AsRef<Path>) -> Result<Decoder> {
        let directory = path.as_ref();
        #[cfg(feature = "gguf")]
        if directory.is_file() {
            let file = Gguf::open(directory)?;
            return self.build(&file, directory, &file.config()?);
        }
        let config_path = directory.join("config.json");
        let config = read_json(&config_path)?;
        self.build(&Checkpoint::open(directory)?, &config_path, &config)
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
