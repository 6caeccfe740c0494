//! Several processes' stores as one.

use std::collections::BTreeMap;
use std::path::Path;

use super::draft::Draft;
use super::manifest::{Entry, Manifest};
use super::ActivationStore;
use crate::progress::Progress;
use crate::{Error, Result};

/// A shard and the store that has it.
type Source<'s> = (&'s ActivationStore, &'s Entry);

pub(super) fn merge(stores: &[ActivationStore], out: &Path, progress: &dyn Progress) -> Result<ActivationStore> {
    let first = stores.first().ok_or_else(|| Error::setting("stores to merge", "none", "at least one folder"))?;
    let plan = &first.manifest.plan;
    for store in stores {
        let instead = format!("only parts of one store merge, as {} is", first.folder.display());
        plan.check_same(&store.manifest.plan, &store.folder, &instead)?;
    }
    let sources = sources(stores)?;
    let mut whole = Manifest::new(plan.clone());
    sources.values().for_each(|(_, entry)| whole.insert((*entry).clone()));
    if !whole.is_complete() {
        let problem = format!("the folders lack {}; run the parts that make them, or name their folders", whole.lack());
        return Err(Error::mismatch("stores to merge", problem));
    }

    let mut draft = Draft::open(out, plan.clone())?;
    progress.begin("merging shards", sources.len() as u64);
    for (store, entry) in sources.into_values() {
        if draft.entry(entry.number) != Some(entry) {
            let shard = store.file(entry)?;
            shard.verify(entry, plan, &store.manifest.widths)?;
            draft.adopt(entry, &shard.path, shard.bytes(), &store.manifest.widths)?;
        }
        progress.advance(1);
    }
    draft.finish()?;
    ActivationStore::open(out)
}

/// Where each shard is, by number.
fn sources(stores: &[ActivationStore]) -> Result<BTreeMap<usize, Source<'_>>> {
    let mut sources: BTreeMap<usize, Source<'_>> = BTreeMap::new();
    for store in stores {
        for entry in &store.manifest.shards {
            match sources.get(&entry.number) {
                Some((other, known)) if *known != entry => {
                    let (here, there) = (store.folder.display(), other.folder.display());
                    let problem = format!("{} in {here} is not the same as in {there}: leave one out", entry.file);
                    return Err(Error::mismatch("stores to merge", problem));
                }
                Some(_) => {}
                None => drop(sources.insert(entry.number, (store, entry))),
            }
        }
    }
    Ok(sources)
}
