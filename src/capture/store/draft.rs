//! A store that grows: shard file, then manifest, each written under a temporary name, synced and renamed.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::manifest::{shard_file, Entry, Manifest, Plan, MANIFEST_FILE};
use super::shard_file;
use crate::capture::Activations;
use crate::{file, Error, Result};

/// How the temporary names in a store's folder begin, so that a killed process's leavings are known from others' files.
const PARTIAL_PREFIX: &str = ".partial-store-";

/// A store in the making. Killed at any moment, its folder holds whole shards, the manifest of some of them, and
/// perhaps leavings; taken up again it ends with the same files.
pub(super) struct Draft {
    folder: PathBuf,
    manifest: Manifest,
    /// Whether the manifest is on disk as it is here.
    written: bool,
}

impl Draft {
    /// The store of this plan in this folder, begun already or about to be.
    ///
    /// # Errors
    /// [`Error::Mismatch`] where the folder holds a store of another plan, which is left alone.
    pub fn open(folder: &Path, plan: Plan) -> Result<Self> {
        let found = Manifest::find(folder)?;
        if let Some(found) = &found {
            plan.check_same(&found.plan, folder, "choose another folder, or delete that one")?;
        }
        let written = found.is_some();
        Ok(Draft { folder: folder.to_owned(), manifest: found.unwrap_or_else(|| Manifest::new(plan)), written })
    }

    /// The entry of a shard whose file is there, as long as it was written.
    pub fn entry(&self, shard: usize) -> Option<&Entry> {
        let entry = self.manifest.entry(shard)?;
        let length = self.folder.join(&entry.file).metadata().map(|file| file.len());
        length.is_ok_and(|length| length == entry.bytes).then_some(entry)
    }

    /// Appends the states of a shard's texts.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Mismatch`] for a value too large for the number type, for other widths than before, and
    /// where another process writes into the folder.
    pub fn put(&mut self, shard: usize, activations: &Activations) -> Result<()> {
        let path = self.folder.join(shard_file(shard));
        let states = self.manifest.plan.addresses.iter().map(|&address| Ok(activations.at(address)?.ncols()));
        self.set_widths(states.collect::<Result<_>>()?)?;
        let bytes = shard_file::encode(&path, activations, self.manifest.plan.dtype)?;
        let entry = Entry {
            number: shard,
            file: shard_file(shard),
            texts: activations.ids().len(),
            rows: activations.rows(),
            bytes: bytes.len() as u64,
            sha256: file::sha256(&bytes),
        };
        file::write_atomic_under(&path, PARTIAL_PREFIX, |file| file.write_all(&bytes))?;
        self.record(entry)
    }

    /// Appends a shard file of another folder. A second name of the same file costs no space; where the file system
    /// gives none it is copied.
    pub fn adopt(&mut self, entry: &Entry, from: &Path, bytes: &[u8], widths: &[usize]) -> Result<()> {
        self.set_widths(widths.to_vec())?;
        let path = self.folder.join(&entry.file);
        std::fs::create_dir_all(&self.folder).map_err(Error::io("create", &self.folder))?;
        if path.exists() {
            std::fs::remove_file(&path).map_err(Error::io("remove", &path))?;
        }
        if std::fs::hard_link(from, &path).is_err() {
            file::write_atomic_under(&path, PARTIAL_PREFIX, |file| file.write_all(bytes))?;
        }
        self.record(entry.clone())
    }

    fn set_widths(&mut self, widths: Vec<usize>) -> Result<()> {
        if !self.manifest.widths.is_empty() && self.manifest.widths != widths {
            let problem = format!("widths are {widths:?}, those of the shards before {:?}", self.manifest.widths);
            return Err(Error::mismatch(format!("the store in {}", self.folder.display()), problem));
        }
        self.manifest.widths = widths;
        Ok(())
    }

    fn record(&mut self, entry: Entry) -> Result<()> {
        let mut next = self.manifest.clone();
        next.insert(entry);
        self.write(next)
    }

    /// Replaces the manifest, if nobody else did.
    fn write(&mut self, next: Manifest) -> Result<()> {
        let found = Manifest::find(&self.folder)?;
        // The widths of the first shard are here before they are there.
        let known = self.written.then_some(&self.manifest.shards);
        if found.as_ref().map(|found| &found.shards) != known {
            let what = format!("the store in {}", self.folder.display());
            let problem = "another process writes into it: give each process a folder of its own, then merge them";
            return Err(Error::mismatch(what, problem.to_owned()));
        }
        file::write_atomic_under(&self.folder.join(MANIFEST_FILE), PARTIAL_PREFIX, |file| {
            serde_json::to_writer_pretty(&mut *file, &next)?;
            file.write_all(b"\n")
        })?;
        (self.manifest, self.written) = (next, true);
        Ok(())
    }

    /// Writes the manifest of a store without shards, and removes what killed processes left. Not before the work is
    /// done: a process that should not be there is then told by the manifest, not by its files' disappearance.
    pub fn finish(mut self) -> Result<()> {
        if !self.written {
            self.write(self.manifest.clone())?;
        }
        for entry in std::fs::read_dir(&self.folder).map_err(Error::io("list", &self.folder))? {
            let path = entry.map_err(Error::io("list", &self.folder))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with(PARTIAL_PREFIX) {
                std::fs::remove_file(&path).map_err(Error::io("remove", &path))?;
            }
        }
        Ok(())
    }
}
