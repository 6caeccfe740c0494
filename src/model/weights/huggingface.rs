//! A Hugging Face checkpoint directory: one or several safetensors files, mapped.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use safetensors::tensor::{Dtype, TensorInfo};
use serde::Deserialize;
use tch::{Kind, Tensor};

use super::WeightSource;
use crate::error::Place;
use crate::{file, Error, Result};

/// The safetensors files of a directory.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    path: PathBuf,
    shards: Vec<Shard>,
    /// Tensor name to shard and description.
    tensors: BTreeMap<String, (usize, TensorInfo)>,
}

#[derive(Debug)]
struct Shard {
    path: PathBuf,
    map: Mmap,
    /// Byte at which tensor data begins.
    data: usize,
}

/// `model.safetensors.index.json`.
#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl Checkpoint {
    /// Maps `model.safetensors`, or the files that `model.safetensors.index.json` names.
    pub fn open(directory: &Path) -> Result<Self> {
        let index_path = directory.join("model.safetensors.index.json");
        let mut files = vec!["model.safetensors".to_owned()];
        let mut promised = BTreeMap::new();
        if index_path.is_file() {
            let index: Index = serde_json::from_str(&file::read_text(&index_path)?)
                .map_err(|error| Error::json(&index_path, error))?;
            files = index.weight_map.values().cloned().collect();
            files.sort();
            files.dedup();
            if let Some(name) = files.iter().find(|name| Path::new(name).file_name() != Some(name.as_ref())) {
                let problem = format!("file name {name:?} leads out of the directory");
                return Err(Error::malformed(&index_path, Place::Entry("weight_map".into()), problem));
            }
            promised = index.weight_map;
        }
        let mut checkpoint = Checkpoint { path: directory.to_owned(), shards: Vec::new(), tensors: BTreeMap::new() };
        for name in files {
            checkpoint.add(directory.join(name))?;
        }
        if let Some((tensor, shard)) = promised.iter().find(|(name, _)| !checkpoint.tensors.contains_key(*name)) {
            let problem = format!("the index promises it in {shard}, which does not hold it");
            return Err(Error::malformed(&index_path, Place::Entry(tensor.clone()), problem));
        }
        Ok(checkpoint)
    }

    fn add(&mut self, path: PathBuf) -> Result<()> {
        let map = file::map(&path)?;
        let (metadata, data) = file::safetensors_header(&path, &map)?;
        for (name, info) in metadata.tensors() {
            if self.tensors.insert(name.clone(), (self.shards.len(), info.clone())).is_some() {
                let problem = "another file of the directory holds a tensor of this name";
                return Err(Error::malformed(&path, Place::Entry(name), problem));
            }
        }
        self.shards.push(Shard { path, map, data });
        Ok(())
    }

    /// SHA-256 over the files' hashes.
    pub fn sha256(&self) -> String {
        let hashes: Vec<String> = self.shards.iter().map(|shard| file::sha256(&shard.map)).collect();
        if let [one] = hashes.as_slice() {
            return one.clone();
        }
        file::sha256(hashes.join("\n"))
    }
}

impl WeightSource for Checkpoint {
    fn path(&self) -> &Path {
        &self.path
    }

    fn names(&self) -> Vec<String> {
        self.tensors.keys().cloned().collect()
    }

    fn shape(&self, name: &str) -> Option<Vec<i64>> {
        self.tensors.get(name).map(|(_, info)| info.shape.iter().map(|&size| size as i64).collect())
    }

    fn read(&self, name: &str) -> Result<Tensor> {
        let bad = |path: &Path, problem: String| Error::malformed(path, Place::Entry(name.to_owned()), problem);
        let (shard, info) =
            self.tensors.get(name).ok_or_else(|| bad(&self.path, "there is no such tensor".to_owned()))?;
        let Shard { path, map, data } = &self.shards[*shard];
        let kind = match info.dtype {
            Dtype::F32 => Kind::Float,
            Dtype::BF16 => Kind::BFloat16,
            Dtype::F16 => Kind::Half,
            Dtype::F64 => Kind::Double,
            other => {
                return Err(bad(path, format!("dtype {other:?} is not supported; supported: F64, F32, F16, BF16")))
            }
        };
        let (start, end) = info.data_offsets;
        let bytes = map.get(data + start..data + end).ok_or_else(|| bad(path, "lies outside the file".to_owned()))?;
        let shape: Vec<i64> = info.shape.iter().map(|&size| size as i64).collect();
        Ok(Tensor::f_from_data_size(bytes, &shape, kind)?)
    }
}
