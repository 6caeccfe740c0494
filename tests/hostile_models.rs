//! Model files of every family that lie: cut short, with absurd sizes and offsets, with names twice or missing, of the wrong
//! type, nested without end. Each gives an error or a decoder, in bounded time and memory, and never a panic.

use std::path::{Path, PathBuf};

use common::fixture;
use common::made::{safetensors, Folder};
use probity::model::LoadOptions;
use serde_json::{json, Map, Value};

/// Each variant of each family, with its folder; none, visibly, where the fixtures were left out.
fn variants() -> Vec<PathBuf> {
    let root = fixture("families");
    if !root.is_dir() {
        eprintln!("SKIPPED: no fixtures of families (they are in the repository, not in the package)");
        return Vec::new();
    }
    let folders = |path: PathBuf| std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<PathBuf> = folders(root).flat_map(folders).collect();
    found.sort();
    found
}

/// A copy of a variant's configuration and weights.
fn copy(from: &Path) -> Folder {
    let folder = Folder::new();
    for name in ["config.json", "model.safetensors"] {
        folder.write(name, std::fs::read(from.join(name)).unwrap());
    }
    folder
}

/// Whether the decoder loads; an error must name the folder or one of its files.
fn loads(path: &Path, what: &str) -> bool {
    match std::panic::catch_unwind(|| LoadOptions::default().load_decoder(path).map(|_| ())) {
        Ok(Ok(())) => true,
        Ok(Err(error)) => {
            let place = path.parent().unwrap().display().to_string();
            assert!(error.to_string().contains(&place), "{what}: {error}");
            false
        }
        Err(_) => panic!("{what}: panicked"),
    }
}

fn refused(path: &Path, what: &str) {
    assert!(!loads(path, what), "{what}: loaded");
}

/// The most memory that this process ever held, in MB, where the system tells.
fn peak_megabytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? / 1024)
}

/// A safetensors file taken apart: header and data.
struct Parts {
    header: Map<String, Value>,
    data: Vec<u8>,
}

impl Parts {
    fn of(folder: &Folder) -> Self {
        let bytes = folder.read("model.safetensors");
        let length = u64::from_le_bytes(*bytes.first_chunk().unwrap()) as usize;
        let header = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
        Parts { header, data: bytes[8 + length..].to_vec() }
    }

    fn names(&self) -> Vec<String> {
        self.header.keys().filter(|name| *name != "__metadata__").cloned().collect()
    }

    fn write(&self, folder: &Folder) {
        folder.write("model.safetensors", safetensors(&json!(self.header).to_string(), &self.data));
    }
}

#[test]
fn weights_cut_short_anywhere_are_refused_in_every_family() {
    for variant in variants() {
        let folder = copy(&variant);
        let whole = folder.read("model.safetensors");
        let header = u64::from_le_bytes(*whole.first_chunk().unwrap()) as usize + 8;
        let parts = Parts::of(&folder);
        let ends = parts.names().into_iter().flat_map(|name| {
            let offsets = parts.header[&name]["data_offsets"].clone();
            [0, 1].map(|at| header + offsets[at].as_u64().unwrap() as usize)
        });
        let mut cuts: Vec<usize> = ends.flat_map(|end| [end - 1, end]).chain([0, 1, 7, 8, 9, header - 1]).collect();
        cuts.sort_unstable();
        cuts.dedup();
        for cut in cuts.into_iter().filter(|&cut| cut < whole.len()) {
            folder.write("model.safetensors", &whole[..cut]);
            refused(folder.path(), &format!("{}: {cut} bytes", variant.display()));
        }
    }
}

#[test]
fn tensors_that_are_missing_renamed_doubled_misshaped_or_of_another_type_are_refused_in_every_family() {
    for variant in variants() {
        let folder = copy(&variant);
        let whole = Parts::of(&folder);
        for name in whole.names() {
            let spoil = |what: &str, change: &dyn Fn(&mut Map<String, Value>)| {
                let mut parts = Parts { header: whole.header.clone(), data: whole.data.clone() };
                change(&mut parts.header);
                parts.write(&folder);
                refused(folder.path(), &format!("{}: {name}: {what}", variant.display()));
            };
            let entry = |key: &str, value: Value| {
                let name = name.clone();
                let key = key.to_owned();
                move |header: &mut Map<String, Value>| header[&name][&key] = value.clone()
            };
            spoil("renamed", &|header| {
                let value = header.remove(&name).unwrap();
                header.insert(format!("{name}x"), value);
            });
            let shape: Vec<u64> = serde_json::from_value(whole.header[&name]["shape"].clone()).unwrap();
            let turned: Vec<u64> = shape.iter().rev().copied().collect();
            let flat = vec![shape.iter().product::<u64>()];
            for other in [turned, flat, vec![], vec![u64::MAX, u64::MAX], vec![1 << 62, 4], vec![0]] {
                if other != shape {
                    spoil("misshaped", &entry("shape", json!(other)));
                }
            }
            for dtype in ["I32", "U32", "F99"] {
                spoil("of another type", &entry("dtype", json!(dtype)));
            }
            let [from, to] = [0, 1].map(|at| whole.header[&name]["data_offsets"][at].as_u64().unwrap());
            for offsets in
                [json!([from, u64::MAX]), json!([to, from]), json!([u64::MAX - 4, u64::MAX]), json!([-1, to])]
            {
                spoil("displaced", &entry("data_offsets", offsets));
            }
        }
        // A name twice: JSON that a map cannot hold.
        let text = json!(whole.header).to_string();
        let name = &whole.names()[0];
        let again = format!("{{{}:{},{}", json!(name), whole.header[name], &text[1..]);
        folder.write("model.safetensors", safetensors(&again, &whole.data));
        let error = LoadOptions::default().load_decoder(folder.path()).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains("two tensors"), "{error}");
    }
}

#[test]
fn settings_of_every_family_may_be_anything() {
    let before = peak_megabytes();
    let deep = (0..60).fold(json!(1), |inner, _| json!([inner]));
    let values = [
        json!(null),
        json!(true),
        json!(-1),
        json!(0),
        json!(1),
        json!(3),
        json!(0.5),
        json!(-0.0),
        json!(1e308),
        json!(1e-320),
        json!(2_000_000_000),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(""),
        json!("x".repeat(1 << 20)),
        json!([]),
        json!([1, 2, 3]),
        json!({}),
        json!({ "rope_type": "yarn" }),
        deep,
    ];
    let (mut good, mut bad) = (0, 0);
    for variant in variants() {
        let folder = copy(&variant);
        let config: Map<String, Value> = serde_json::from_slice(&folder.read("config.json")).unwrap();
        let nested = config.iter().filter_map(|(key, value)| Some((key.clone(), value.as_object()?.clone())));
        let mut changed: Vec<(String, Map<String, Value>)> = Vec::new();
        for (key, inner) in nested {
            for (inner_key, value) in inner.keys().flat_map(|inner| values.iter().map(move |value| (inner, value))) {
                let mut other = config.clone();
                other[&key][inner_key] = value.clone();
                changed.push((format!("{key}.{inner_key} = {value:.60}"), other));
            }
        }
        for (key, value) in config.keys().flat_map(|key| values.iter().map(move |value| (key, value))) {
            let mut other = config.clone();
            other[key] = value.clone();
            changed.push((format!("{key} = {value:.60}"), other));
        }
        for (what, other) in changed {
            folder.write("config.json", json!(other).to_string());
            match loads(folder.path(), &format!("{}: {what}", variant.display())) {
                true => good += 1,
                false => bad += 1,
            }
        }
    }
    eprintln!("{good} loaded, {bad} refused");
    assert!(bad > good || variants().is_empty());
    if let (Some(before), Some(after)) = (before, peak_megabytes()) {
        assert!(after < before + 500, "{before} MB before, {after} MB after");
    }
}

#[test]
fn json_without_end_is_refused() {
    let Some(variant) = variants().into_iter().next() else { return };
    let folder = copy(&variant);
    let config = folder.read("config.json");
    for text in ["[".repeat(5_000_000), "{\"a\":".repeat(1_000_000), format!("\"{}", "a".repeat(20_000_000))] {
        folder.write("config.json", &text);
        refused(folder.path(), "a configuration without end");
        folder.write("config.json", &config);
        let whole = folder.read("model.safetensors");
        folder.write("model.safetensors.index.json", &text);
        refused(folder.path(), "an index without end");
        folder.remove("model.safetensors.index.json");
        folder.write("model.safetensors", safetensors(&text, &[]));
        refused(folder.path(), "a safetensors header without end");
        folder.write("model.safetensors", &whole);
    }
    assert!(loads(folder.path(), "the whole"));
}

#[test]
fn gguf_headers_of_every_family_may_be_anything() {
    let before = peak_megabytes();
    let (mut good, mut bad) = (0, 0);
    for variant in variants().iter().filter(|folder| folder.join("model.gguf").exists()) {
        let whole = std::fs::read(variant.join("model.gguf")).unwrap();
        let folder = Folder::new();
        // A fixed sequence (multiplier of Knuth's MMIX) of places in the header, each set to extremes.
        let mut state = 1_u64;
        for round in 0..600 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let at = (state >> 33) as usize % (whole.len() / 2);
            let mut bytes = whole.clone();
            let width = [1, 4, 8][round % 3];
            let fill = [0x00, 0xff, 0x7f, 0x80, 0x01][round % 5];
            bytes[at..at + width].fill(fill);
            let path = folder.write("model.gguf", bytes);
            match loads(&path, &format!("{} byte {at}", variant.display())) {
                true => good += 1,
                false => bad += 1,
            }
        }
        for cut in (0..whole.len()).step_by(whole.len() / 150) {
            refused(&folder.write("model.gguf", &whole[..cut]), "a file cut short");
        }
    }
    eprintln!("{good} loaded, {bad} refused");
    if let (Some(before), Some(after)) = (before, peak_megabytes()) {
        assert!(after < before + 500, "{before} MB before, {after} MB after");
    }
}
