//! Every family against transformers, on tiny random models made by `tests/reference/make_families.py`:
//! every site in f64 and f32, and the properties that hold in all of them.

mod common;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;

use common::fixture;
use probity::hook::{Address, Hooks, Site};
use probity::model::{Decoder, KvCache, LoadOptions, LogitsFor, Precision};
use probity::text::{PadSide, TokenBatch};
use safetensors::{Dtype, SafeTensors};
use tch::{Kind, Tensor};

/// Values `[t, ...]` of each text at each address, by "s{text}.{address}".
type States = BTreeMap<String, Vec<f64>>;

fn variants() -> Vec<PathBuf> {
    let folders = |path: PathBuf| {
        let mut entries: Vec<PathBuf> = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        entries
    };
    let found: Vec<PathBuf> = folders(fixture("families")).into_iter().flat_map(folders).collect();
    assert_eq!(found.len(), 20);
    found
}

fn load(folder: &PathBuf, precision: Precision) -> Decoder {
    LoadOptions::default().precision(precision).decoder(folder).unwrap_or_else(|error| panic!("{error}"))
}

fn values(tensor: &Tensor) -> Vec<f64> {
    Vec::try_from(tensor.to_kind(Kind::Double).flatten(0, -1)).unwrap()
}

/// Every site but the pattern, whose shape depends on the batch.
fn addresses(decoder: &Decoder, sites: &[Site]) -> Vec<Address> {
    let geometry = decoder.config().geometry();
    sites.iter().flat_map(|site| site.all_layers().resolve(&geometry).unwrap()).collect()
}

fn run_batch(decoder: &Decoder, batch: &TokenBatch, cache: Option<&mut KvCache>, sites: &[Site]) -> States {
    let seen: RefCell<States> = RefCell::default();
    let mut hooks = Hooks::new();
    for address in addresses(decoder, sites) {
        let (seen, rows) = (&seen, &batch.rows);
        hooks.observe(address, move |tensor| {
            for (row, span) in rows.iter().enumerate() {
                let part = tensor.select(0, row as i64).narrow(0, span.start as i64, span.len() as i64);
                seen.borrow_mut().insert(format!("s{row}.{address}"), values(&part));
            }
            Ok(())
        });
    }
    decoder.forward(batch, cache, &mut hooks, LogitsFor::All).unwrap();
    drop(hooks);
    seen.into_inner()
}

fn run(decoder: &Decoder, texts: &[Vec<u32>], side: PadSide, sites: &[Site]) -> States {
    let rows: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
    run_batch(decoder, &TokenBatch::new(&rows, side).unwrap(), None, sites)
}

/// Each text in a pass of its own.
fn alone(decoder: &Decoder, texts: &[Vec<u32>], sites: &[Site]) -> States {
    let mut states = States::new();
    for (number, text) in texts.iter().enumerate() {
        let own = run(decoder, std::slice::from_ref(text), PadSide::Right, sites);
        states.extend(own.into_iter().map(|(key, values)| (key.replacen("s0", &format!("s{number}"), 1), values)));
    }
    states
}

/// max |difference| / max |reference|.
fn relative(ours: &[f64], theirs: &[f64]) -> f64 {
    assert_eq!(ours.len(), theirs.len());
    let largest = theirs.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
    let worst = ours.iter().zip(theirs).map(|(a, b)| (a - b).abs()).fold(0.0_f64, |worst, value| worst.max(value));
    assert!(ours.iter().all(|value| value.is_finite()));
    worst / largest
}

fn worst(ours: &States, theirs: &States) -> (f64, String) {
    assert_eq!(ours.len(), theirs.len());
    theirs
        .iter()
        .map(|(key, theirs)| (relative(&ours[key], theirs), key.clone()))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .unwrap()
}

/// The texts of a fixture and its reference states.
fn reference(folder: &PathBuf) -> (Vec<Vec<u32>>, States) {
    let bytes = std::fs::read(folder.join("reference.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let (mut texts, mut states) = (Vec::new(), States::new());
    for number in 0..3 {
        let view = file.tensor(&format!("s{number}.ids")).unwrap();
        texts.push(view.data().as_chunks::<8>().0.iter().map(|id| i64::from_le_bytes(*id) as u32).collect());
    }
    for (name, view) in file.tensors().into_iter().filter(|(name, _)| !name.ends_with(".ids")) {
        assert_eq!(view.dtype(), Dtype::F64, "{name}");
        let values = view.data().as_chunks::<8>().0.iter().map(|value| f64::from_le_bytes(*value)).collect();
        states.insert(name, values);
    }
    (texts, states)
}

/// The sites that a reference has, as a list for `run`.
fn sites_of(reference: &States) -> Vec<Site> {
    let has = |site: &Site| reference.keys().any(|key| key.rsplit('.').next() == Some(site.name()));
    Site::ALL.into_iter().filter(has).collect()
}

#[test]
fn every_site_of_every_family_agrees_with_transformers() {
    for folder in variants() {
        let (texts, theirs) = reference(&folder);
        let sites = sites_of(&theirs);
        assert!(sites.len() >= 12, "{}: {sites:?}", folder.display());
        for (precision, bound) in [(Precision::F64, 1e-10), (Precision::F32, 5e-5)] {
            let decoder = load(&folder, precision);
            let mut found = (0.0, String::new());
            for states in [
                alone(&decoder, &texts, &sites),
                run(&decoder, &texts, PadSide::Right, &sites),
                run(&decoder, &texts, PadSide::Left, &sites),
            ] {
                let (error, key) = worst(&states, &theirs);
                found = if error > found.0 { (error, key) } else { found };
            }
            let name = folder.strip_prefix(fixture("families")).unwrap().display().to_string();
            eprintln!("{name:<24} {:<4} {:.1e} at {}", precision.name(), found.0, found.1);
            assert!(found.0 <= bound, "{name} {}: {:e} at {}", precision.name(), found.0, found.1);
        }
    }
}
