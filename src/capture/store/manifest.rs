//! What a store holds and from what it was made: the file `store.json`.

use std::collections::HashSet;
use std::ops::Range;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::StoreDtype;
use crate::capture::Pool;
use crate::error::Place;
use crate::hook::Address;
use crate::{file, Error, Provenance, Result};

pub(super) const MANIFEST_FILE: &str = "store.json";
const SCHEMA: &str = "probity.activation-store";
const VERSION: u32 = 1;

/// Everything that the bytes of a store follow from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Plan {
    pub dtype: StoreDtype,
    pub pool: Pool,
    pub batch_tokens: usize,
    pub pad: String,
    /// Texts of the whole store, and of a shard file (fewer in the last).
    pub texts: usize,
    pub shard_texts: usize,
    pub addresses: Vec<Address>,
    /// Provenance of the model, the tokeniser, the readout, this crate and all texts together.
    pub provenance: Provenance,
}

impl Plan {
    /// Shard files of the whole store.
    pub fn shards(&self) -> usize {
        self.texts.div_ceil(self.shard_texts.max(1))
    }

    /// The texts of a shard file.
    pub fn texts_of(&self, shard: usize) -> Range<usize> {
        let start = shard.saturating_mul(self.shard_texts).min(self.texts);
        start..start.saturating_add(self.shard_texts).min(self.texts)
    }

    /// In what another plan differs from this one, each as "dtype: f32, not bf16".
    fn differences(&self, other: &Plan) -> Vec<String> {
        let (ours, theirs) = (fields(self), fields(other));
        let names: Vec<&String> = ours.keys().chain(theirs.keys().filter(|name| !ours.contains_key(*name))).collect();
        let changed = names.into_iter().filter(|&name| ours.get(name) != theirs.get(name));
        changed.map(|name| format!("{name}: {}, not {}", shown(theirs.get(name)), shown(ours.get(name)))).collect()
    }

    /// Checks that the store in `folder`, made by `other`, is one of this plan.
    ///
    /// # Errors
    /// [`Error::Mismatch`] with every setting that differs.
    pub fn check_same(&self, other: &Plan, folder: &Path, do_instead: &str) -> Result<()> {
        let differences = self.differences(other);
        if differences.is_empty() {
            return Ok(());
        }
        let problem = format!("it was made with other settings ({}): {do_instead}", differences.join("; "));
        Err(Error::mismatch(format!("the store in {}", folder.display()), problem))
    }
}

/// The settings by name, provenance among them.
fn fields(plan: &Plan) -> Map<String, Value> {
    let Ok(Value::Object(mut fields)) = serde_json::to_value(plan) else { return Map::new() };
    if let Some(Value::Object(provenance)) = fields.remove("provenance") {
        for (name, value) in provenance {
            // `pool` is in both.
            fields.entry(name).or_insert(value);
        }
    }
    fields
}

fn shown(value: Option<&Value>) -> String {
    match value {
        None => "absent".to_owned(),
        Some(Value::String(text)) => text.chars().take(80).collect(),
        Some(Value::Array(list)) => {
            let names = list.iter().filter_map(Value::as_str).take(4).collect::<Vec<_>>().join(", ");
            format!("{} ({names}{})", list.len(), if list.len() > 4 { ", ..." } else { "" })
        }
        Some(other) => other.to_string(),
    }
}

/// A shard file as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub number: usize,
    pub file: String,
    pub texts: usize,
    /// Rows of every array: texts, or tokens where every token was kept.
    pub rows: usize,
    pub bytes: u64,
    pub sha256: String,
}

/// The file of a shard.
pub(super) fn shard_file(number: usize) -> String {
    format!("shard-{number:05}.safetensors")
}

/// The content of `store.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Manifest {
    schema: String,
    version: u32,
    pub plan: Plan,
    /// Width d of each of the plan's addresses; empty before the first shard.
    pub widths: Vec<usize>,
    /// By number.
    pub shards: Vec<Entry>,
}

impl Manifest {
    pub fn new(plan: Plan) -> Self {
        Manifest { schema: SCHEMA.to_owned(), version: VERSION, plan, widths: Vec::new(), shards: Vec::new() }
    }

    /// Reads the manifest of a store.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Malformed`] for another format and for entries that do not fit together.
    pub fn load(folder: &Path) -> Result<Self> {
        let path = folder.join(MANIFEST_FILE);
        let text = file::read_text(&path)?;
        let bad = |name: &str, problem: String| Error::malformed(&path, Place::Entry(name.to_owned()), problem);
        let not_json = |error: serde_json::Error| Error::json(&path, error);
        // Of another version not even the fields are known.
        let header: Header = serde_json::from_str(&text).map_err(not_json)?;
        if header.schema != SCHEMA {
            return Err(bad("schema", format!("is {:?}, expected {SCHEMA:?}", header.schema)));
        }
        if header.version != VERSION {
            return Err(bad("version", format!("{} is not {VERSION}: update probity", header.version)));
        }
        let manifest: Manifest = serde_json::from_str(&text).map_err(not_json)?;
        manifest.check().map_err(|(name, problem)| bad(name, problem))?;
        Ok(manifest)
    }

    /// The manifest of a store, if there is one.
    pub fn find(folder: &Path) -> Result<Option<Self>> {
        match folder.join(MANIFEST_FILE).exists() {
            true => Manifest::load(folder).map(Some),
            false => Ok(None),
        }
    }

    fn check(&self) -> Result<(), (&'static str, String)> {
        let plan = &self.plan;
        if plan.texts == 0 || plan.shard_texts == 0 {
            return Err(("texts", "a store and its shards have at least one text".to_owned()));
        }
        let mut seen = HashSet::new();
        if let Some(twice) = plan.addresses.iter().find(|address| !seen.insert(**address)) {
            return Err(("addresses", format!("{twice} is there twice")));
        }
        if plan.addresses.is_empty() {
            return Err(("addresses", "there are none".to_owned()));
        }
        let known = !self.widths.is_empty() || !self.shards.is_empty();
        if known && (self.widths.len() != plan.addresses.len() || self.widths.contains(&0)) {
            return Err(("widths", format!("must be {} numbers above 0", plan.addresses.len())));
        }
        if !self.shards.windows(2).all(|pair| matches!(pair, [a, b] if a.number < b.number)) {
            return Err(("shards", "their numbers must rise".to_owned()));
        }
        for entry in &self.shards {
            let (number, texts) = (entry.number, plan.texts_of(entry.number).len());
            if number >= plan.shards() || entry.file != shard_file(number) || entry.texts != texts {
                let problem = format!("shard {number} ({:?}, {} texts) does not fit the plan", entry.file, entry.texts);
                return Err(("shards", problem));
            }
            if entry.rows < texts || (plan.pool != Pool::EveryToken && entry.rows != texts) {
                return Err(("shards", format!("shard {number} has {} rows for {texts} texts", entry.rows)));
            }
        }
        Ok(())
    }

    pub fn entry(&self, shard: usize) -> Option<&Entry> {
        let place = self.shards.binary_search_by_key(&shard, |entry| entry.number).ok()?;
        self.shards.get(place)
    }

    /// Puts an entry in its place.
    pub fn insert(&mut self, entry: Entry) {
        match self.shards.binary_search_by_key(&entry.number, |known| known.number) {
            Ok(place) => self.shards[place] = entry,
            Err(place) => self.shards.insert(place, entry),
        }
    }

    /// Numbers of the shards that are not there. An iterator, since a file may claim any number of texts.
    pub fn missing(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.plan.shards()).filter(|&number| self.entry(number).is_none())
    }

    /// Whether every shard is there.
    pub fn is_complete(&self) -> bool {
        self.shards.len() == self.plan.shards()
    }

    /// The missing shards in words, such as "2 of 8 shards: shard-00003.safetensors, shard-00006.safetensors".
    pub fn lack(&self) -> String {
        let first: Vec<String> = self.missing().take(4).map(shard_file).collect();
        let (lacking, all) = (self.plan.shards().saturating_sub(self.shards.len()), self.plan.shards());
        format!("{lacking} of {all} shards: {}{}", first.join(", "), if lacking > first.len() { ", ..." } else { "" })
    }
}

/// What every version of the manifest has.
#[derive(Deserialize)]
struct Header {
    schema: String,
    version: u32,
}
