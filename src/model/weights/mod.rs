//! Where weights come from: one interface over the file formats, and the checks that hold for all.

#[cfg(feature = "gguf")]
pub(crate) mod gguf;
#[cfg(feature = "gguf")]
mod gguf_names;
pub(crate) mod huggingface;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};

use tch::{Device, Kind, Tensor};

use super::config::Norm;
use super::parts::{wide, Linear, NormLayer};
use crate::error::{nearest, Place};
use crate::{Error, Result};

/// A set of named tensors, under the names of the Hugging Face checkpoints.
pub(crate) trait WeightSource: Sync {
    /// The file or directory, for error messages.
    fn path(&self) -> &Path;
    /// Names of all tensors.
    fn names(&self) -> Vec<String>;
    /// What the file itself calls a tensor, for error messages.
    fn own_name(&self, name: &str) -> String {
        name.to_owned()
    }
    /// What the file itself calls a configuration key, for error messages.
    fn own_key(&self, key: &str) -> String {
        key.to_owned()
    }
    /// The tensor's shape, if there is such a tensor.
    fn shape(&self, name: &str) -> Option<Vec<i64>>;
    /// The tensor, in the precision of the file (quantised ones as f32).
    fn read(&self, name: &str) -> Result<Tensor>;
    /// Whether query and key rows are ordered for rotation of neighbouring pairs, as llama.cpp's converter
    /// leaves them.
    fn interleaves_rotary_rows(&self) -> bool {
        false
    }
}

/// Reads weights with their shapes checked, and remembers which were used.
pub(crate) struct Loader<'s> {
    pub source: &'s dyn WeightSource,
    kind: Kind,
    devices: &'s [Device],
    device: Device,
    check_finite: bool,
    used: Arc<Mutex<BTreeSet<String>>>,
}

impl<'s> Loader<'s> {
    /// Reads onto the first of `devices`; without any, onto the CPU.
    pub fn new(source: &'s dyn WeightSource, kind: Kind, devices: &'s [Device]) -> Self {
        let device = devices.first().copied().unwrap_or(Device::Cpu);
        Loader { source, kind, devices, device, check_finite: false, used: Arc::default() }
    }

    /// The loader of one layer of several: the devices share them out in runs of consecutive layers.
    pub fn for_layer(&self, index: usize, layers: usize) -> Self {
        let device = self.devices.get(index * self.devices.len() / layers.max(1)).copied().unwrap_or(self.device);
        Loader { device, used: self.used.clone(), ..*self }
    }

    /// The loader of what follows the layers.
    pub fn after_layers(&self) -> Self {
        Loader { device: self.devices.last().copied().unwrap_or(self.device), used: self.used.clone(), ..*self }
    }

    /// A tensor that was read before, where this loader puts its own.
    pub fn placed(&self, tensor: &Tensor) -> Result<Tensor> {
        Ok(tensor.f_to_device(self.device)?)
    }

    /// Sets whether weights are checked to be finite.
    pub fn check_finite(mut self, check: bool) -> Self {
        self.check_finite = check;
        self
    }

    fn own_names(&self) -> impl Iterator<Item = String> + '_ {
        self.source.names().into_iter().map(|name| self.source.own_name(&name))
    }

    pub fn has(&self, name: &str) -> bool {
        self.source.shape(name).is_some()
    }

    /// A tensor in the model's precision.
    pub fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        self.tensor_as(name, shape, self.kind)
    }

    fn tensor_as(&self, name: &str, shape: &[usize], kind: Kind) -> Result<Tensor> {
        let expected: Vec<i64> = shape.iter().map(|&size| size as i64).collect();
        let path = self.source.path();
        let own_name = self.source.own_name(name);
        let found = self
            .source
            .shape(name)
            .ok_or_else(|| Error::missing_tensor(path, own_name.clone(), nearest(&own_name, self.own_names())))?;
        if found != expected {
            return Err(Error::tensor_shape(Some(path), own_name, expected, found));
        }
        if let Ok(mut used) = self.used.lock() {
            used.insert(name.to_owned());
        }
        let tensor = self.source.read(name)?.f_to_device(self.device)?.f_to_kind(kind)?;
        if self.check_finite {
            let finite = Vec::<bool>::try_from(tensor.f_isfinite()?.f_flatten(0, -1)?)?;
            if let Some(at) = finite.iter().position(|finite| !finite) {
                let width = shape.last().copied().unwrap_or(1).max(1);
                let (row, id) = (at / width, format!("column {}", at % width));
                return Err(Error::not_finite(format!("{}: {own_name}", path.display()), row, id));
            }
        }
        Ok(tensor)
    }

    /// `prefix.weight` `[output, input]`, with `prefix.bias` `[output]` if `bias`.
    pub fn linear(&self, prefix: &str, output: usize, input: usize, bias: bool) -> Result<Linear> {
        let weight = self.tensor(&format!("{prefix}.weight"), &[output, input])?;
        let bias = bias.then(|| self.tensor(&format!("{prefix}.bias"), &[output])).transpose()?;
        Ok(Linear { weight, bias })
    }

    /// A norm with its weights in wide precision.
    pub fn norm(&self, prefix: &str, kind: Norm, width: usize) -> Result<NormLayer> {
        let vector = |part: &str| self.tensor_as(&format!("{prefix}.{part}"), &[width], wide(self.kind));
        let bias = matches!(kind, Norm::Layer { .. }).then(|| vector("bias")).transpose()?;
        Ok(NormLayer { kind, weight: vector("weight")?, bias })
    }

    /// Fails if the file holds tensors that the decoder did not use, for then the states would not be the
    /// model's; `derived` says which hold nothing of their own.
    pub fn finish(self, derived: impl Fn(&str) -> bool) -> Result<()> {
        let used = self.used.lock().map(|used| used.clone()).unwrap_or_default();
        let unused = self.source.names().into_iter().filter(|name| !used.contains(name) && !derived(name));
        let mut unused: Vec<String> = unused.map(|name| self.source.own_name(&name)).collect();
        unused.sort();
        if unused.is_empty() {
            return Ok(());
        }
        let problem = format!("{} tensors that this family does not have: {}", unused.len(), unused.join(", "));
        Err(Error::malformed(self.source.path(), Place::File, problem))
    }
}
