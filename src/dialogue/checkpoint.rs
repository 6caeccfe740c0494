//! Finished batches of a run on disk, so that an interrupted run goes on where it was.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::interventions::Interventions;
use super::study::Conversation;
use crate::capture::{Activations, Collector};
use crate::error::Place;
use crate::{file, Error, Result};

/// What a batch of items said, in the order of the batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Finished<A> {
    /// By turn of the schedule.
    pub answers: Vec<Vec<A>>,
    /// All conversations of one instruction, then those of the next.
    pub conversations: Vec<Conversation>,
    /// Most bytes that keys and values took.
    #[serde(default)]
    pub cache_bytes: usize,
}

/// Some items of a run, which go through it side by side.
pub(super) struct Batch<'a> {
    /// Number of the batch.
    pub number: usize,
    /// Ids of its items.
    pub ids: &'a [&'a str],
    /// Numbers of its items in the task.
    pub rows: &'a [usize],
}

/// A folder of batches of one run: `run.json` says of which; `00007.safetensors` and `00007.json` are a batch.
pub(super) struct Checkpoints {
    folder: PathBuf,
    owner: Owner,
}

const OWNER: &str = "run.json";

/// The run whose batches a folder holds.
#[derive(PartialEq, Eq, Serialize, Deserialize)]
struct Owner {
    version: String,
    run_sha256: String,
    /// Hash of what the rounds were run under; `None` for the model as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    interventions_sha256: Option<String>,
}

impl Checkpoints {
    /// The batches of the run that `what` describes, kept in this folder or about to be.
    ///
    /// # Errors
    /// [`Error::Mismatch`] where the folder belongs to another run.
    pub fn open(folder: &Path, what: &impl Serialize, under: &Interventions) -> Result<Self> {
        let path = folder.join(OWNER);
        let bad = |error: serde_json::Error| Error::json(&path, error);
        let ours = Owner {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            run_sha256: file::sha256(serde_json::to_string(what).map_err(bad)?),
            interventions_sha256: (!under.is_empty()).then(|| under.sha256()),
        };
        if path.exists() {
            let known: Owner = serde_json::from_str(&file::read_text(&path)?).map_err(bad)?;
            if known != ours {
                let what = format!("checkpoints in {}", folder.display());
                let differs = match known.interventions_sha256 == ours.interventions_sha256 {
                    true => "they are of another run (model, items, protocol, addresses or version differ)",
                    false => "their rounds were run under other interventions (SelfCorrection::under)",
                };
                return Err(Error::mismatch(what, format!("{differs}: choose another folder, or delete this one")));
            }
        }
        Ok(Checkpoints { folder: folder.to_owned(), owner: ours })
    }

    /// When the first batch in this folder was kept; `None` where there is none.
    pub fn begun(folder: &Path) -> Option<std::time::SystemTime> {
        std::fs::metadata(folder.join(OWNER)).ok()?.modified().ok()
    }

    /// Keeps a batch: the states of its rows in every turn, then what was said, which completes it.
    pub fn save<A: Serialize>(
        &self,
        batch: &Batch<'_>,
        collectors: &[Collector],
        finished: &Finished<A>,
    ) -> Result<()> {
        // Nothing is written before there is something to keep.
        let owner = self.folder.join(OWNER);
        if !owner.exists() {
            file::write_json(&owner, &self.owner)?;
        }
        let (states, said) = self.paths(batch.number);
        let mut rows = Activations::new(state_ids(batch.ids, collectors.len()));
        for (address, array) in Collector::rows(collectors, batch.rows)? {
            rows.insert(address, array)?;
        }
        rows.save(states)?;
        file::write_json(&said, finished)
    }

    /// Takes up a batch, if it is there: its states go to the collectors.
    ///
    /// # Errors
    /// [`Error::Malformed`] for a batch that is not what this run would have written.
    pub fn load<A: DeserializeOwned>(
        &self,
        batch: &Batch<'_>,
        turns: usize,
        collectors: &mut [Collector],
    ) -> Result<Option<Finished<A>>> {
        let (states, said) = self.paths(batch.number);
        if !said.exists() {
            return Ok(None);
        }
        let finished: Finished<A> =
            serde_json::from_str(&file::read_text(&said)?).map_err(|error| Error::json(&said, error))?;
        let whole =
            finished.answers.len() == turns && finished.answers.iter().all(|turn| turn.len() == batch.ids.len());
        if !whole {
            return Err(Error::malformed(&said, Place::File, "lacks answers: delete it, and the batch is run again"));
        }
        let rows = Activations::load(&states)?;
        if rows.ids() != state_ids(batch.ids, collectors.len()) {
            let problem = "holds the states of other items: delete it, and the batch is run again";
            return Err(Error::malformed(&states, Place::File, problem));
        }
        Collector::restore(collectors, batch.rows, &rows)?;
        Ok(Some(finished))
    }

    /// Removes what a run wrote into a folder, and the folder if nothing else is in it.
    pub fn remove(folder: &Path) -> Result<()> {
        // Without our own mark the folder is somebody else's.
        let owner = folder.join(OWNER);
        if !owner.exists() || serde_json::from_str::<Owner>(&file::read_text(&owner)?).is_err() {
            return Ok(());
        }
        for entry in std::fs::read_dir(folder).map_err(Error::io("list", folder))? {
            let path = entry.map_err(Error::io("list", folder))?.path();
            if is_ours(&path) {
                std::fs::remove_file(&path).map_err(Error::io("remove", &path))?;
            }
        }
        // A folder that holds something else stays.
        let _ = std::fs::remove_dir(folder);
        Ok(())
    }

    fn paths(&self, number: usize) -> (PathBuf, PathBuf) {
        let path = |ending: &str| self.folder.join(format!("{number:05}.{ending}"));
        (path("safetensors"), path("json"))
    }
}

/// Whether a file has a name that only checkpoints have.
fn is_ours(path: &Path) -> bool {
    let ends = path.extension().is_some_and(|ending| ending == "json" || ending == "safetensors");
    let is_batch = |name: &str| name.len() == 5 && name.bytes().all(|byte| byte.is_ascii_digit());
    let of_batch = path.file_stem().and_then(|name| name.to_str()).is_some_and(is_batch);
    (ends && of_batch) || path.file_name().is_some_and(|name| name == OWNER)
}

/// Names the rows of a batch's states: collector by collector, each item.
fn state_ids(ids: &[&str], collectors: usize) -> Vec<String> {
    (0..collectors).flat_map(|number| ids.iter().map(move |id| format!("{number} {id}"))).collect()
}
