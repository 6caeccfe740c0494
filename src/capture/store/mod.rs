//! Activations of many texts on disk: shard files and their manifest.
//!
//! `store.json` says what the store was made from and lists its shards with their hashes; each `shard-00000.safetensors`
//! is a file as [`Activations::save`] writes it, in the store's number type.

mod draft;
mod dtype;
mod manifest;
mod merge;
#[cfg(feature = "parquet")]
mod parquet;
mod shard;
mod shard_file;
mod writer;

pub use dtype::StoreDtype;
pub use shard::Shard;
pub use writer::StoreWriter;

use std::ops::Range;
use std::path::{Path, PathBuf};

use ndarray::Array2;

use self::manifest::{Entry, Manifest};
use self::shard_file::ShardFile;
use super::{Activations, Pool, TokenRows};
use crate::error::nearest;
use crate::hook::Address;
use crate::progress::Progress;
use crate::{Error, Provenance, Result};

/// Activations of n texts in a folder of shard files, made by a [`StoreWriter`].
///
/// Files are mapped while they are read and not before: reading some rows of one address reads those from the disk. What
/// spans all shards ([`ActivationStore::rows`], [`ActivationStore::load`], [`ActivationStore::ids`]) asks for a complete
/// store; [`ActivationStore::shard`] reads what a part has.
#[derive(Debug, Clone)]
pub struct ActivationStore {
    folder: PathBuf,
    manifest: Manifest,
}

impl ActivationStore {
    /// Opens the store in this folder, complete or not. Reads only the manifest.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Malformed`] for a manifest of another format, or one that contradicts itself.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref();
        Ok(ActivationStore { folder: folder.to_owned(), manifest: Manifest::load(folder)? })
    }

    /// Puts the stores of several processes together in `out`: the same bytes as one process would have written. Each
    /// shard is verified on its way. Where the file system allows, a shard gets a second name and no second copy. `out` may
    /// be a merge that was interrupted, or one of the folders.
    ///
    /// # Errors
    /// [`Error::Mismatch`] for stores made with different settings, which are named, for a shard that no folder has, or that
    /// differs between two, and where `out` holds another store; [`Error::Malformed`] for a damaged shard;
    /// [`Error::Io`]. Nothing is written before all shards are found.
    pub fn merge<P: AsRef<Path>>(folders: impl IntoIterator<Item = P>, out: impl AsRef<Path>) -> Result<Self> {
        ActivationStore::merge_with_progress(folders, out, &())
    }

    /// [`ActivationStore::merge`] with progress, counted in shards.
    ///
    /// # Errors
    /// Those of [`ActivationStore::merge`].
    pub fn merge_with_progress<P: AsRef<Path>>(
        folders: impl IntoIterator<Item = P>,
        out: impl AsRef<Path>,
        progress: &dyn Progress,
    ) -> Result<Self> {
        let stores = folders.into_iter().map(ActivationStore::open).collect::<Result<Vec<_>>>()?;
        merge::merge(&stores, out.as_ref(), progress)
    }

    /// Reads every shard and compares it with what was written: all faults, none for a store as it should be. A missing
    /// shard is a fault too.
    ///
    /// Each is an [`Error::Malformed`] that names the file and, where it can be told, the tensor, or an [`Error::Io`];
    /// missing shards are one [`Error::Mismatch`]. A fault is mended by deleting the file and capturing again.
    pub fn verify(&self) -> Vec<Error> {
        self.verify_with_progress(&())
    }

    /// [`ActivationStore::verify`] with progress, counted in shards.
    pub fn verify_with_progress(&self, progress: &dyn Progress) -> Vec<Error> {
        progress.begin("verifying shards", self.manifest.shards.len() as u64);
        let check = |entry: &Entry| self.file(entry)?.verify(entry, &self.manifest.plan, &self.manifest.widths);
        let checked = self.manifest.shards.iter().filter_map(|entry| {
            let result = check(entry);
            progress.advance(1);
            result.err()
        });
        let faults: Vec<Error> = checked.collect();
        faults.into_iter().chain(self.complete().err()).collect()
    }

    /// Whether every shard is there.
    pub fn is_complete(&self) -> bool {
        self.manifest.is_complete()
    }

    /// Texts of the whole store, n.
    pub fn texts(&self) -> usize {
        self.manifest.plan.texts
    }

    /// Shard files of the whole store, and which of them are there.
    pub fn shards(&self) -> (usize, impl Iterator<Item = usize> + '_) {
        (self.manifest.plan.shards(), self.manifest.shards.iter().map(|entry| entry.number))
    }

    /// The addresses, with the width d of each; widths are 0 in a part without shards.
    pub fn addresses(&self) -> impl Iterator<Item = (Address, usize)> + '_ {
        let widths = self.manifest.widths.iter().copied().chain(std::iter::repeat(0));
        self.manifest.plan.addresses.iter().copied().zip(widths)
    }

    /// The number type of the files.
    pub fn dtype(&self) -> StoreDtype {
        self.manifest.plan.dtype
    }

    /// The pooling: with [`Pool::EveryToken`] rows are tokens.
    pub fn pool(&self) -> Pool {
        self.manifest.plan.pool
    }

    /// What the states were made from: model, tokeniser, readout, and the hash of all texts.
    pub fn provenance(&self) -> &Provenance {
        &self.manifest.plan.provenance
    }

    /// Rows of every address: texts, or tokens where every token was kept.
    ///
    /// # Errors
    /// [`Error::Mismatch`] for a store that is not complete.
    pub fn total_rows(&self) -> Result<usize> {
        self.complete()?;
        // Saturating here and below, since a damaged manifest may claim any number of rows; the files then contradict it.
        Ok(self.manifest.shards.iter().fold(0, |rows: usize, entry| rows.saturating_add(entry.rows)))
    }

    /// The ids of all texts, `[n]`, from the shards' headers.
    ///
    /// # Errors
    /// [`Error::Mismatch`] for a store that is not complete; [`Error::Io`] and [`Error::Malformed`] for a shard that is
    /// gone or cut.
    pub fn ids(&self) -> Result<Vec<String>> {
        self.complete()?;
        let mut ids = Vec::new();
        for entry in &self.manifest.shards {
            ids.extend(self.file(entry)?.header(entry.texts)?.ids);
        }
        Ok(ids)
    }

    /// Some rows of one address, `[rows, d]`, in the order of the texts.
    ///
    /// # Errors
    /// Those of [`ActivationStore::ids`]; [`Error::UnknownAddress`]; [`Error::Setting`] for rows that there are not.
    pub fn rows(&self, address: Address, rows: Range<usize>) -> Result<Array2<f32>> {
        let (total, width) = (self.total_rows()?, self.width(address)?);
        if rows.start > rows.end || rows.end > total {
            let expected = format!("a range of the store's {total} rows");
            return Err(Error::setting("rows", format!("{}..{}", rows.start, rows.end), expected));
        }
        let mut values = Vec::new();
        let mut first = 0;
        for entry in &self.manifest.shards {
            let (start, end) = (rows.start.max(first), rows.end.min(first.saturating_add(entry.rows)));
            if start < end {
                let part = self.file(entry)?.states(address, width, self.dtype(), start - first..end - first)?;
                values.extend(part.iter());
            }
            first = first.saturating_add(entry.rows);
        }
        Array2::from_shape_vec((rows.len(), width), values).map_err(Error::misshapen(address))
    }

    /// One shard's states at these addresses, with ids and groups: what a program holds that goes through a large store.
    ///
    /// # Errors
    /// [`Error::Setting`] for a shard that is not there; [`Error::UnknownAddress`]; [`Error::Io`] and
    /// [`Error::Malformed`] for a file that is gone, cut or does not fit the manifest.
    pub fn shard(&self, number: usize, addresses: &[Address]) -> Result<Activations> {
        let entry = self.manifest.entry(number).ok_or_else(|| {
            let expected = format!("a shard of {}; it lacks {}", self.folder.display(), self.manifest.lack());
            Error::setting("shard", number, expected)
        })?;
        let file = self.file(entry)?;
        let header = file.header(entry.texts)?;
        let mut part = Activations::new(header.ids).with_provenance(header.provenance);
        if let Some(groups) = header.groups {
            part = part.with_groups(groups)?;
        }
        if self.pool() == Pool::EveryToken {
            part = part.with_token_rows(file.token_rows(entry.texts)?)?;
        }
        for &address in addresses {
            part.insert(address, file.states(address, self.width(address)?, self.dtype(), 0..entry.rows)?)?;
        }
        Ok(part)
    }

    /// All texts' states at these addresses as [`Activations`], to fit probes on. Groups come where all texts have one.
    ///
    /// # Errors
    /// Those of [`ActivationStore::ids`] and [`ActivationStore::shard`].
    pub fn load(&self, addresses: &[Address]) -> Result<Activations> {
        self.complete()?;
        let mut states = vec![Vec::new(); addresses.len()];
        let mut rows = TokenRows { offsets: vec![0], tokens: Vec::new() };
        let (mut ids, mut groups) = (Vec::new(), Some(Vec::new()));
        for entry in &self.manifest.shards {
            let part = self.shard(entry.number, addresses)?;
            for (&address, whole) in addresses.iter().zip(&mut states) {
                whole.extend(part.at(address)?.iter());
            }
            ids.extend_from_slice(part.ids());
            groups = groups.zip(part.groups()).map(|(mut all, more)| {
                all.extend_from_slice(more);
                all
            });
            if let Some(TokenRows { offsets, tokens }) = part.token_rows() {
                let first = rows.tokens.len() as i64;
                rows.offsets.extend(offsets.iter().skip(1).map(|at| at + first));
                rows.tokens.extend_from_slice(tokens);
            }
        }
        let mut whole = Activations::new(ids).with_provenance(self.provenance().clone());
        if let Some(groups) = groups {
            whole = whole.with_groups(groups)?;
        }
        if self.pool() == Pool::EveryToken {
            whole = whole.with_token_rows(rows)?;
        }
        for (&address, values) in addresses.iter().zip(states) {
            let array = Array2::from_shape_vec((whole.rows(), self.width(address)?), values);
            whole.insert(address, array.map_err(Error::misshapen(address))?)?;
        }
        Ok(whole)
    }

    fn file(&self, entry: &Entry) -> Result<ShardFile> {
        ShardFile::open(&self.folder, entry)
    }

    fn width(&self, address: Address) -> Result<usize> {
        let width = self.addresses().find(|(known, _)| *known == address).map(|(_, width)| width);
        width.ok_or_else(|| {
            let name = address.to_string();
            let nearest = nearest(&name, self.addresses().map(|(address, _)| address.to_string()));
            Error::unknown_address(name, nearest)
        })
    }

    fn complete(&self) -> Result<()> {
        if self.is_complete() {
            return Ok(());
        }
        let problem = format!("it lacks {}; run the capture again, or merge the other parts", self.manifest.lack());
        Err(Error::mismatch(format!("the store in {}", self.folder.display()), problem))
    }
}
