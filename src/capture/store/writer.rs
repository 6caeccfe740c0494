//! Capturing many texts into a store.

use std::collections::HashSet;
use std::path::Path;

use super::draft::Draft;
use super::manifest::Plan;
use super::{ActivationStore, Shard, StoreDtype};
use crate::capture::readout::of_texts;
use crate::capture::Readout;
use crate::progress::Progress;
use crate::text::Text;
use crate::{Error, Model, Result};

/// Captures many texts into an [`ActivationStore`], a shard of them at a time: no more than one is held in memory.
///
/// ```no_run
/// use probity::{capture::{Pool, Readout, StoreDtype, StoreWriter}, hook::Site, text::Text, Model};
/// let model = Model::load("SmolLM2-135M-Instruct.Q4_1.gguf")?;
/// let texts = Text::load("texts.jsonl")?;
/// let readout = Readout::new(Site::ResidPost.all_layers(), Pool::Last);
/// let store = StoreWriter::new(readout).dtype(StoreDtype::Bf16).write(&model, &texts, "acts")?;
/// let states = store.rows(Site::ResidPost.at(7), 0..100)?; // [100, d]
/// # Ok::<(), probity::Error>(())
/// ```
///
/// Killed at any moment and run again, it goes on after the last finished shard, to the same bytes: the batches of a
/// shard follow from the shard's texts alone. (The same bytes on the same machine with as many threads: libtorch's
/// products promise no more.)
#[derive(Debug, Clone)]
#[must_use]
pub struct StoreWriter {
    readout: Readout,
    dtype: StoreDtype,
    shard_texts: usize,
    shard: Shard,
}

impl StoreWriter {
    /// Stores what this readout reads.
    pub fn new(readout: Readout) -> Self {
        StoreWriter { readout, dtype: StoreDtype::F32, shard_texts: 1024, shard: Shard::default() }
    }

    /// The number type of the stored states. Default f32, which is exact.
    pub fn dtype(mut self, dtype: StoreDtype) -> Self {
        self.dtype = dtype;
        self
    }

    /// Texts of a shard file. Default 1024. A shard is held in memory while it is made, for each row and value 4 bytes
    /// and those of its number type, and is what an interruption loses.
    pub fn shard_texts(mut self, texts: usize) -> Self {
        self.shard_texts = texts;
        self
    }

    /// Makes only the shard files of one of several processes, in a folder of its own;
    /// [`ActivationStore::merge`] puts the folders together. Default all files.
    pub fn shard(mut self, shard: Shard) -> Self {
        self.shard = shard;
        self
    }

    /// Captures the texts into `folder`, or what is still missing there. Text t is in the shard file t / `shard_texts`.
    ///
    /// # Errors
    /// [`Error::Mismatch`] where the folder holds a store of other texts or settings, which is left alone, and for a
    /// value too large for the number type; [`Error::Setting`] for no texts, a repeated id or `shard_texts` of 0; those
    /// of [`Readout::capture`], of all texts that are to be read before the first is; [`Error::Io`].
    pub fn write(&self, model: &Model, texts: &[Text], folder: impl AsRef<Path>) -> Result<ActivationStore> {
        self.write_with_progress(model, texts, folder, &())
    }

    /// [`StoreWriter::write`] with progress, counted in texts.
    ///
    /// # Errors
    /// Those of [`StoreWriter::write`].
    pub fn write_with_progress(
        &self,
        model: &Model,
        texts: &[Text],
        folder: impl AsRef<Path>,
        progress: &dyn Progress,
    ) -> Result<ActivationStore> {
        let folder = folder.as_ref();
        let plan = self.plan(model, texts)?;
        let of = |shard: usize| texts.get(plan.texts_of(shard)).unwrap_or_default();
        let mut draft = Draft::open(folder, plan.clone())?;
        let mine = || (0..plan.shards()).filter(|&shard| self.shard.has(shard));
        let (done, missing): (Vec<usize>, Vec<usize>) = mine().partition(|&shard| draft.entry(shard).is_some());
        // A text that is too long must not show after a day's work: mending it makes another store.
        missing.iter().try_for_each(|&shard| self.readout.check(model, of(shard)))?;

        let count = |shards: &[usize]| shards.iter().map(|&shard| of(shard).len() as u64).sum::<u64>();
        progress.begin("storing hidden states", count(&done) + count(&missing));
        progress.advance(count(&done));
        for shard in missing {
            tracing::debug!(shard, "capturing a shard");
            draft.put(shard, &self.readout.capture_with_progress(model, of(shard), &Within(progress))?)?;
        }
        draft.finish()?;
        ActivationStore::open(folder)
    }

    /// The one validator, and everything that the bytes follow from.
    fn plan(&self, model: &Model, texts: &[Text]) -> Result<Plan> {
        if texts.is_empty() {
            return Err(Error::setting("texts", "none", "at least one text"));
        }
        if self.shard_texts == 0 {
            return Err(Error::setting("shard_texts", 0, "at least 1"));
        }
        let mut seen = HashSet::with_capacity(texts.len());
        if let Some(twice) = texts.iter().find(|text| !seen.insert(text.id.as_str())) {
            return Err(Error::setting("id", &twice.id, "ids must be unique"));
        }
        let (batch_tokens, pad) = self.readout.batching();
        let mut provenance = model.provenance().clone();
        provenance.extend(self.readout.provenance());
        provenance.extend(of_texts(texts)?);
        Ok(Plan {
            dtype: self.dtype,
            pool: self.readout.pool(),
            batch_tokens,
            pad: pad.name().to_owned(),
            texts: texts.len(),
            shard_texts: self.shard_texts,
            addresses: self.readout.addresses(model)?,
            provenance,
        })
    }
}

/// Progress of a shard as part of the whole.
struct Within<'p>(&'p dyn Progress);

impl Progress for Within<'_> {
    fn begin(&self, _: &str, _: u64) {}

    fn advance(&self, steps: u64) {
        self.0.advance(steps);
    }
}
