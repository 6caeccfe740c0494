//! One shard of a store: a file of [`Activations`] whose states have the store's number type.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use ndarray::{Array2, ArrayView2};
use safetensors::tensor::{Metadata, View};
use safetensors::Dtype;

use super::manifest::{shard_file, Entry, Plan};
use super::StoreDtype;
use crate::capture::activations::{bad_header, Header, HEADER_FORMAT, HEADER_KEY};
use crate::capture::{Activations, TokenRows};
use crate::error::Place;
use crate::hook::Address;
use crate::{file, Error, Result};

const MEND_SHARD: &str = "delete the file and run the capture again, which makes just this one";

/// An array on its way into the file, encoded when it is asked for, so that only one is held twice.
enum Outgoing<'a> {
    States(ArrayView2<'a, f32>, StoreDtype, [usize; 2]),
    Integers(&'a [i64], [usize; 1]),
}

impl View for &Outgoing<'_> {
    fn dtype(&self) -> Dtype {
        match self {
            Outgoing::States(_, dtype, _) => dtype.in_file(),
            Outgoing::Integers(..) => Dtype::I64,
        }
    }

    fn shape(&self) -> &[usize] {
        match self {
            Outgoing::States(_, _, shape) => shape,
            Outgoing::Integers(_, shape) => shape,
        }
    }

    fn data(&self) -> Cow<'_, [u8]> {
        match self {
            Outgoing::States(states, dtype, _) => dtype.encode(*states).into(),
            Outgoing::Integers(values, _) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        }
    }

    fn data_len(&self) -> usize {
        match self {
            Outgoing::States(states, dtype, _) => states.len() * dtype.bytes(),
            Outgoing::Integers(values, _) => std::mem::size_of_val(*values),
        }
    }
}

/// The bytes of a shard's file. The SHA-256 of every tensor stands in its metadata, so that damage has a place.
///
/// # Errors
/// [`Error::Mismatch`] for a value that does not fit into `dtype`.
pub(super) fn encode(path: &Path, activations: &Activations, dtype: StoreDtype) -> Result<Vec<u8>> {
    let mut tensors: Vec<(String, Outgoing)> = Vec::new();
    for address in activations.addresses() {
        let states = activations.at(address)?;
        if let Some(row) = dtype.misfit(states) {
            let problem =
                format!("{address}, row {row} of {}: too large a value for {dtype}; take bf16 or f32", shown(path));
            return Err(Error::mismatch("number type", problem));
        }
        tensors.push((address.to_string(), Outgoing::States(states, dtype, [states.nrows(), states.ncols()])));
    }
    if let Some(rows) = activations.token_rows() {
        for (name, values) in [("offsets", &rows.offsets), ("tokens", &rows.tokens)] {
            tensors.push((name.to_owned(), Outgoing::Integers(values, [values.len()])));
        }
    }
    let hashes = tensors.iter().map(|(name, tensor)| (name.clone(), file::sha256(tensor.data()))).collect();
    let header = Header {
        format: HEADER_FORMAT,
        ids: activations.ids().to_vec(),
        groups: activations.groups().map(<[String]>::to_vec),
        provenance: activations.provenance().clone(),
        tensors_sha256: hashes,
    };
    let header = serde_json::to_string(&header).map_err(|error| Error::malformed(path, Place::File, error))?;
    let views = tensors.iter().map(|(name, tensor)| (name, tensor));
    safetensors::serialize(views, Some(HashMap::from([(HEADER_KEY.to_owned(), header)])))
        .map_err(|error| Error::malformed(path, Place::File, error))
}

fn shown(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// A shard's file, mapped: reading one address touches that address's pages.
pub(super) struct ShardFile {
    pub path: PathBuf,
    map: Mmap,
    metadata: Metadata,
    data: usize,
    rows: usize,
}

impl ShardFile {
    /// Maps the shard and checks that its file is as long as it was written.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Malformed`] for a file of another length and for a broken header.
    pub fn open(folder: &Path, entry: &Entry) -> Result<Self> {
        let path = folder.join(shard_file(entry.number));
        let map = file::map(&path)?;
        if map.len() as u64 != entry.bytes {
            let problem = format!("has {} bytes, was written with {}: {MEND_SHARD}", map.len(), entry.bytes);
            return Err(Error::malformed(&path, Place::File, problem));
        }
        let (metadata, data) = file::safetensors_header(&path, &map)?;
        Ok(ShardFile { path, map, metadata, data, rows: entry.rows })
    }

    /// The whole file.
    pub fn bytes(&self) -> &[u8] {
        &self.map
    }

    fn bad(&self, name: &str, problem: impl std::fmt::Display) -> Error {
        Error::malformed(&self.path, Place::Entry(name.to_owned()), format!("{problem}: {MEND_SHARD}"))
    }

    /// The bytes of a tensor, after its type and shape are checked.
    fn tensor(&self, name: &str, dtype: Dtype, shape: &[usize]) -> Result<&[u8]> {
        let info = self.metadata.info(name).ok_or_else(|| self.bad(name, "there is no such tensor"))?;
        if info.dtype != dtype || info.shape != shape {
            let problem = format!("is {:?} {:?}, expected {dtype:?} {shape:?}", info.dtype, info.shape);
            return Err(self.bad(name, problem));
        }
        let (start, end) = info.data_offsets;
        let bytes = self.map.get(self.data.saturating_add(start)..self.data.saturating_add(end));
        bytes.ok_or_else(|| self.bad(name, "lies outside of the file"))
    }

    /// Rows of the states at an address, `[rows, width]`. The range lies within the shard.
    pub fn states(&self, address: Address, width: usize, dtype: StoreDtype, rows: Range<usize>) -> Result<Array2<f32>> {
        let name = address.to_string();
        let bytes = self.tensor(&name, dtype.in_file(), &[self.rows, width])?;
        let row = width * dtype.bytes();
        let values = dtype.decode(bytes.get(rows.start * row..rows.end * row).unwrap_or_default());
        if let Some(bad) = values.iter().position(|value| !value.is_finite()) {
            return Err(self.bad(&name, format!("row {} holds a value that is not finite", rows.start + bad / width)));
        }
        Array2::from_shape_vec((rows.len(), width), values).map_err(|error| self.bad(&name, error))
    }

    /// What the metadata says: ids, groups, provenance, hashes.
    pub fn header(&self, texts: usize) -> Result<Header> {
        let text = self.metadata.metadata().as_ref().and_then(|entries| entries.get(HEADER_KEY));
        let text = text.ok_or_else(|| self.bad(HEADER_KEY, "is not in the metadata"))?;
        let header: Header = serde_json::from_str(text).map_err(|error| bad_header(&self.path, error))?;
        if header.ids.len() != texts || header.groups.as_ref().is_some_and(|groups| groups.len() != texts) {
            return Err(self.bad(HEADER_KEY, format!("does not name {texts} texts")));
        }
        Ok(header)
    }

    /// Which rows belong to which text, where every token was kept.
    pub fn token_rows(&self, texts: usize) -> Result<TokenRows> {
        let integers = |name: &str, count: usize| -> Result<Vec<i64>> {
            let bytes = self.tensor(name, Dtype::I64, &[count])?;
            Ok(bytes.as_chunks::<8>().0.iter().map(|&bytes| i64::from_le_bytes(bytes)).collect())
        };
        Ok(TokenRows { offsets: integers("offsets", texts.saturating_add(1))?, tokens: integers("tokens", self.rows)? })
    }

    /// Checks every byte against the entry, and against the hashes of the tensors where they differ, to say which.
    ///
    /// # Errors
    /// [`Error::Malformed`] with the damaged tensor, or with the file where its header is damaged.
    pub fn verify(&self, entry: &Entry, plan: &Plan, widths: &[usize]) -> Result<()> {
        let hashes = || -> Result<BTreeMap<String, String>> { Ok(self.header(entry.texts)?.tensors_sha256) };
        if file::sha256(&self.map) != entry.sha256 {
            let known = hashes()?;
            let mut names: Vec<&String> = known.keys().collect();
            names.sort_by_key(|name| self.metadata.info(name).map(|info| info.data_offsets));
            for name in names {
                let Some(info) = self.metadata.info(name) else {
                    return Err(self.bad(name, "there is no such tensor"));
                };
                let bytes = self.tensor(name, info.dtype, &info.shape)?;
                if known.get(name) != Some(&file::sha256(bytes)) {
                    return Err(self.bad(name, "is damaged: its SHA-256 is not the one it was written with"));
                }
            }
            let problem = format!("its header is damaged: the file's SHA-256 is not {}: {MEND_SHARD}", entry.sha256);
            return Err(Error::malformed(&self.path, Place::File, problem));
        }
        for (&address, &width) in plan.addresses.iter().zip(widths) {
            self.tensor(&address.to_string(), plan.dtype.in_file(), &[entry.rows, width])?;
        }
        self.header(entry.texts).map(drop)
    }
}
