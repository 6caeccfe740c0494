//! The store of activations: what comes back, what is refused, and parts that are the whole byte for byte.

use std::collections::BTreeMap;
use std::path::Path;

use common::made::Folder;
use common::{max_difference, tiny};
use ndarray::s;
use probity::capture::{ActivationStore, Activations, Pool, Readout, Shard, StoreDtype, StoreWriter};
use probity::hook::{Address, Selection, Site};
use probity::text::{PadSide, Text};
use probity::{Model, Progress};
use serde_json::{json, Value};

/// Texts of unequal lengths, all different.
fn texts(count: usize) -> Vec<Text> {
    let words = ["we", "met", "again", "on", "market", "day"];
    let text = |n: usize| format!("{n} {}", words[..1 + n % 6].join(" "));
    (0..count).map(|n| Text { group: Some(format!("g{}", n / 2)), ..Text::new(format!("t{n}"), text(n)) }).collect()
}

fn selection() -> Selection {
    Site::ResidPost.all_layers().and(Site::Embed.all_layers()).and(Site::Z.at(1).head(2))
}

fn writer(pool: Pool) -> StoreWriter {
    StoreWriter::new(Readout::new(selection(), pool)).shard_texts(4)
}

/// 18 texts in five shards, pooled by the mean.
fn write(model: &Model, folder: &Path, shard: &str) -> ActivationStore {
    writer(Pool::Mean).shard(shard.parse().unwrap()).write(model, &texts(18), folder).unwrap()
}

/// Every file of a folder.
fn content(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let names = Folder::names_of(folder).into_iter();
    names.map(|name| (name.clone(), std::fs::read(folder.join(name)).unwrap())).collect()
}

#[track_caller]
fn same(a: &Path, b: &Path) {
    let (a, b) = (content(a), content(b));
    assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>());
    let different: Vec<&String> = a.keys().filter(|name| a[*name] != b[*name]).collect();
    assert!(different.is_empty(), "{different:?} differ");
}

#[track_caller]
fn refused<T>(result: probity::Result<T>, says: &[&str]) {
    let error = common::told(&result.err().expect("refused"));
    for part in says {
        assert!(error.contains(part), "{part:?} is not in: {error}");
    }
}

/// What the captures of each four texts give, together.
fn by_shard(model: &Model, pool: Pool, texts: &[Text]) -> Vec<Activations> {
    texts.chunks(4).map(|part| Readout::new(selection(), pool).capture(model, part).unwrap()).collect()
}

#[test]
fn states_come_back_within_half_a_step_of_each_number_type() {
    let model = tiny("untied_sharded");
    let texts = texts(18);
    for pool in [Pool::Last, Pool::Mean, Pool::EveryToken] {
        let expected = by_shard(&model, pool, &texts);
        for (dtype, relative, absolute) in [
            (StoreDtype::F32, 0.0, 0.0),
            (StoreDtype::Bf16, 2.0_f64.powi(-8), 0.0),
            (StoreDtype::F16, 2.0_f64.powi(-11), 2.0_f64.powi(-25)),
        ] {
            let folder = Folder::new();
            let store = writer(pool).dtype(dtype).write(&model, &texts, folder.path()).unwrap();
            assert_eq!(store.dtype(), dtype);
            let addresses: Vec<Address> = store.addresses().map(|(address, _)| address).collect();
            assert_eq!(addresses.len(), 5);
            let loaded = store.load(&addresses).unwrap();
            assert_eq!(loaded.ids(), store.ids().unwrap());
            assert!(loaded.ids().iter().zip(&texts).all(|(id, text)| *id == text.id));
            assert!(loaded
                .groups()
                .unwrap()
                .iter()
                .zip(&texts)
                .all(|(group, text)| Some(group) == text.group.as_ref()));
            let whole = Readout::new(selection(), pool).capture(&model, &texts).unwrap();
            assert_eq!(loaded.provenance(), whole.provenance());
            assert_eq!(loaded.token_rows(), whole.token_rows());
            for &address in &addresses {
                let expected =
                    expected.iter().flat_map(|part| part.at(address).unwrap().iter().copied().collect::<Vec<_>>());
                for (value, expected) in loaded.at(address).unwrap().iter().zip(expected) {
                    let (value, expected) = (f64::from(*value), f64::from(expected));
                    let tolerance = (relative * expected.abs()).max(absolute);
                    assert!((value - expected).abs() <= tolerance, "{dtype} {address}: {value} for {expected}");
                }
            }
            // A shard by itself is a file of activations.
            let first = Activations::load(folder.join("shard-00000.safetensors")).unwrap();
            assert_eq!(first, store.shard(0, &addresses).unwrap());
            assert!(store.verify().is_empty());
        }
    }
}

#[test]
fn reading_some_rows_of_one_address_reads_nothing_else() {
    let (folder, model) = (Folder::new(), tiny("tied"));
    let store = write(&model, folder.path(), "0/1");
    let address = Site::ResidPost.at(1);
    let whole = store.load(&[address]).unwrap();
    for (start, end) in [(0, 18), (0, 1), (3, 5), (4, 8), (5, 17), (17, 18), (7, 7), (18, 18)] {
        let rows = store.rows(address, start..end).unwrap();
        assert_eq!(rows, whole.at(address).unwrap().slice(s![start..end, ..]), "{start}..{end}");
    }
    refused(store.rows(address, 0..19), &["rows = 0..19", "18 rows"]);
    refused(store.rows(Site::Z.at(1).head(0), 0..1), &["L1.z.h0", "nearest: L1.z.h2"]);
    refused(store.shard(9, &[]), &["shard = 9"]);

    // Other shards gone, and other tensors damaged: these rows are still there.
    folder.remove("shard-00000.safetensors");
    let path = folder.join("shard-00001.safetensors");
    let mut bytes = std::fs::read(&path).unwrap();
    let end = bytes.len();
    bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    std::fs::write(&path, &bytes).unwrap();
    assert_eq!(store.rows(address, 4..8).unwrap(), whole.at(address).unwrap().slice(s![4..8, ..]));
    refused(store.rows(address, 2..6), &["shard-00000.safetensors", "No such file"]);
    let damaged = store.addresses().map(|(at, _)| at).filter(|&at| store.rows(at, 4..8).is_err()).collect::<Vec<_>>();
    assert_eq!(damaged.len(), 1, "{damaged:?}");
    refused(store.rows(damaged[0], 4..8), &["shard-00001.safetensors", &damaged[0].to_string(), "not finite"]);
}

#[test]
fn the_size_of_shards_changes_states_by_rounding_only() {
    let model = tiny("tied");
    let texts = texts(18);
    let whole = Readout::new(selection(), Pool::Last).capture(&model, &texts).unwrap();
    let addresses: Vec<Address> = whole.addresses().collect();
    for size in [1, 2, 5, 18, 1000] {
        let folder = Folder::new();
        let store = writer(Pool::Last).shard_texts(size).write(&model, &texts, folder.path()).unwrap();
        let loaded = store.load(&addresses).unwrap();
        for &address in &addresses {
            let values = |of: &Activations| of.at(address).unwrap().iter().copied().collect::<Vec<_>>();
            let difference = max_difference(&values(&loaded), &values(&whole));
            assert!(difference < 2e-5, "{size} texts a shard, {address}: {difference:e}");
        }
    }
}

#[test]
fn an_interrupted_store_goes_on_and_keeps_what_it_has() {
    let (folder, model) = (Folder::new(), tiny("tied"));
    let (whole, part) = (folder.join("whole"), folder.join("part"));
    write(&model, &whole, "0/1");
    let partial = write(&model, &part, "1/2");
    assert!(!partial.is_complete());
    let (all, there) = partial.shards();
    assert_eq!((all, there.collect::<Vec<_>>()), (5, vec![1, 3]));
    refused(partial.ids(), &["lacks 3 of 5 shards", "shard-00000.safetensors", "shard-00004.safetensors"]);

    let kept = part.join("shard-00003.safetensors");
    let written = kept.metadata().unwrap().modified().unwrap();
    // What a killed process leaves, and a shard that it renamed but did not list.
    std::fs::write(part.join(".partial-store-x1"), "half a file").unwrap();
    std::fs::write(part.join("shard-00002.safetensors"), "never listed").unwrap();
    assert!(write(&model, &part, "0/1").is_complete());
    same(&part, &whole);
    assert_eq!(kept.metadata().unwrap().modified().unwrap(), written, "a finished shard is not made again");

    // Lost and cut files are made again.
    std::fs::remove_file(part.join("shard-00000.safetensors")).unwrap();
    let cut = std::fs::read(&kept).unwrap();
    std::fs::write(&kept, &cut[..cut.len() / 2]).unwrap();
    write(&model, &part, "0/1");
    same(&part, &whole);
    // Another process in the same folder after all: its shards are there already.
    write(&model, &part, "2/7");
    same(&part, &whole);
}

#[test]
fn a_store_of_other_settings_is_refused_and_left_alone() {
    let (folder, model) = (Folder::new(), tiny("tied"));
    write(&model, folder.path(), "0/2");
    let before = content(folder.path());
    let (own, readout) = (texts(18), || Readout::new(selection(), Pool::Mean));
    let mut other_text = texts(18);
    other_text[17].text += "!";
    let other = |readout: Readout| StoreWriter::new(readout).shard_texts(4);
    let embed = Readout::new(Site::Embed.all_layers(), Pool::Mean);
    for (writer, model, texts, says) in [
        (other(readout()).dtype(StoreDtype::Bf16), &model, &own, "dtype: f32, not bf16"),
        (other(readout()).shard_texts(5), &model, &own, "shard_texts: 4, not 5"),
        (other(readout().batch_tokens(7)), &model, &own, "batch_tokens: 2048, not 7"),
        (other(readout().pad(PadSide::Left)), &model, &own, "pad: right, not left"),
        (other(Readout::new(selection(), Pool::Last)), &model, &own, "pool: mean, not last"),
        (
            other(embed),
            &model,
            &own,
            "addresses: 5 (L0.resid_post, L1.resid_post, L2.resid_post, embed, ...), not 1 (embed)",
        ),
        (other(readout()), &model, &texts(17), "texts: 18, not 17"),
        (other(readout()), &model, &other_text, "texts_sha256: "),
        (other(readout()), &tiny("untied_sharded"), &own, "model_sha256: "),
    ] {
        let refusal = writer.write(model, texts, folder.path());
        refused(refusal, &[&folder.path().display().to_string(), "other settings", says, "another folder"]);
        assert!(content(folder.path()) == before, "{says}: the store was touched");
    }
    let fresh = Folder::new();
    let refuse = |texts: &[Text], says: &[&str]| {
        refused(writer(Pool::Last).write(&model, texts, fresh.path()), says);
        assert!(fresh.names().is_empty(), "{says:?}");
    };
    refuse(&[], &["texts = none"]);
    let twice = [texts(6), vec![Text::new("t1", "again")]].concat();
    refuse(&twice, &["id = t1", "unique"]);
    let long = [texts(6), vec![Text::new("long", "word ".repeat(200))]].concat();
    refuse(&long, &["\"long\"", "the model takes 1 to 64"]);
    refused(writer(Pool::Last).shard_texts(0).write(&model, &own, fresh.path()), &["shard_texts = 0"]);
}

#[test]
fn verification_names_the_file_and_the_tensor() {
    let (folder, model) = (Folder::new(), tiny("tied"));
    let store = write(&model, folder.path(), "0/1");
    let name = "shard-00002.safetensors";
    let whole = folder.read(name);
    let faults = || store.verify().iter().map(|fault| common::told(fault)).collect::<Vec<_>>();
    assert!(faults().is_empty());
    let (header, metadata) = safetensors::SafeTensors::read_metadata(&whole).unwrap();
    for (tensor, info) in metadata.tensors() {
        let (start, end) = info.data_offsets;
        for place in [start, (start + end) / 2, end - 1] {
            let mut bytes = whole.clone();
            bytes[8 + header + place] ^= 1;
            folder.write(name, bytes);
            let faults = faults();
            let [fault] = faults.as_slice() else { panic!("{faults:?}") };
            assert!(
                [name, &format!("{tensor:?}"), "damaged", "delete"].iter().all(|part| fault.contains(part)),
                "{fault}"
            );
        }
    }
    let text = String::from_utf8(whole[8..8 + header].to_vec()).unwrap();
    let mut changed = whole.clone();
    let at = 8 + text.find("t9").unwrap();
    changed[at + 1] = b'7';
    for (bytes, says) in [
        (changed, "its header is damaged"),
        (whole[..whole.len() - 3].to_vec(), "was written with"),
        (Vec::new(), "is empty"),
        (vec![7; whole.len()], "no safetensors file"),
    ] {
        folder.write(name, bytes);
        let faults = faults();
        let [fault] = faults.as_slice() else { panic!("{faults:?}") };
        assert!(fault.contains(name) && fault.contains(says), "{says:?} is not in: {fault}");
    }
    folder.remove(name);
    folder.write("shard-00004.safetensors", "short");
    let faults = faults();
    assert!(faults.len() == 2 && faults[0].contains(name) && faults[1].contains("shard-00004"), "{faults:?}");

    // Deleting what is damaged and capturing again mends the store.
    write(&model, folder.path(), "0/1");
    assert!(store.verify().is_empty() && folder.read(name) == whole);
    let part = folder.join("part");
    let faults = write(&model, &part, "0/2").verify();
    assert!(faults.len() == 1 && faults[0].to_string().contains("lacks 2 of 5 shards"), "{faults:?}");
}

#[test]
fn parts_merge_to_what_one_process_writes() {
    let (folder, model) = (Folder::new(), tiny("tied"));
    let whole = folder.join("whole");
    write(&model, &whole, "0/1");
    for count in [1, 3, 7] {
        let parts: Vec<_> = (0..count).map(|part| folder.join(&format!("part-{part}-{count}"))).collect();
        for (part, folder) in parts.iter().enumerate() {
            write(&model, folder, &Shard::new(part, count).unwrap().to_string());
        }
        let out = folder.join(&format!("merged-{count}"));
        let merged = ActivationStore::merge(parts.iter().rev(), &out).unwrap();
        assert!(merged.is_complete() && merged.verify().is_empty());
        same(&out, &whole);
        // Again, after an interruption, and into one of the parts.
        ActivationStore::merge(&parts, &out).unwrap();
        same(&out, &whole);
        std::fs::remove_file(out.join("shard-00001.safetensors")).unwrap();
        // Removed first: it may be the part's file under a second name.
        std::fs::remove_file(out.join("shard-00003.safetensors")).unwrap();
        std::fs::write(out.join("shard-00003.safetensors"), "cut").unwrap();
        ActivationStore::merge(&parts, &out).unwrap();
        same(&out, &whole);
        ActivationStore::merge(&parts, &parts[0]).unwrap();
        same(&parts[0], &whole);
    }
}

#[test]
fn parts_that_do_not_make_a_whole_are_refused() {
    let (folder, model) = (Folder::new(), tiny("tied"));
    let part = |number: usize| folder.join(&format!("part-{number}"));
    (0..3).for_each(|number| drop(write(&model, &part(number), &format!("{number}/3"))));
    let out = folder.join("out");
    let merge = |parts: &[usize]| ActivationStore::merge(parts.iter().map(|&number| part(number)), &out);
    refused(merge(&[0, 2]), &["lack 2 of 5 shards: shard-00001.safetensors, shard-00004.safetensors"]);
    refused(merge(&[]), &["at least one folder"]);
    refused(merge(&[0, 1, 8]), &["part-8", "store.json", "No such file"]);
    writer(Pool::Mean).dtype(StoreDtype::F16).write(&model, &texts(18), part(4)).unwrap();
    refused(merge(&[0, 1, 4]), &["part-4", "dtype: f16, not f32", "part-0"]);
    assert!(!out.exists(), "nothing is written before all shards are found");

    // The damage of a part does not get into the whole.
    let path = part(1).join("shard-00004.safetensors");
    let good = std::fs::read(&path).unwrap();
    let mut bytes = good.clone();
    let end = bytes.len();
    bytes[end - 1] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    refused(merge(&[0, 1, 2]), &["part-1", "shard-00004.safetensors", "damaged"]);
    std::fs::write(&path, good).unwrap();
    assert!(merge(&[0, 1, 2]).unwrap().is_complete());
    // Two that say they have the same shard, but not the same one.
    let manifest = part(2).join("store.json");
    let mut content: Value = serde_json::from_slice(&std::fs::read(&manifest).unwrap()).unwrap();
    content["shards"][0]["sha256"] = json!("0");
    std::fs::write(&manifest, content.to_string()).unwrap();
    refused(
        ActivationStore::merge([part(2), out.clone()], folder.join("other")),
        &["shard-00002.safetensors", "part-2", "out", "not the same"],
    );
}

/// Puts another process's manifest into the folder in the middle of the work.
struct Intruder<'f>(&'f Folder, Vec<u8>);

impl Progress for Intruder<'_> {
    fn begin(&self, _: &str, _: u64) {}

    fn advance(&self, steps: u64) {
        if steps > 0 {
            self.0.write("store.json", &self.1);
        }
    }
}

#[test]
fn two_processes_in_one_folder_are_noticed() {
    let (folder, other, model) = (Folder::new(), Folder::new(), tiny("tied"));
    write(&model, other.path(), "2/5");
    let intruder = Intruder(&folder, other.read("store.json"));
    let written = writer(Pool::Mean).write_with_progress(&model, &texts(18), folder.path(), &intruder);
    refused(written, &["another process", "a folder of its own"]);
}

#[test]
fn manifests_that_contradict_themselves_are_refused() {
    let (folder, model) = (Folder::new(), tiny("tied"));
    write(&model, folder.path(), "0/1");
    let good: Value = serde_json::from_slice(&folder.read("store.json")).unwrap();
    let refuse = |path: &str, value: Value, says: &str| {
        let mut content = good.clone();
        *content.pointer_mut(path).unwrap() = value;
        folder.write("store.json", content.to_string());
        refused(ActivationStore::open(folder.path()), &["store.json", says]);
    };
    refuse("/schema", json!("other"), "expected \"probity.activation-store\"");
    refuse("/version", json!(2), "update probity");
    refuse("/plan/texts", json!(0), "at least one text");
    refuse("/plan/shard_texts", json!(0), "at least one text");
    refuse("/plan/shard_texts", json!(u64::MAX), "does not fit the plan");
    refuse("/plan/texts", json!(19), "does not fit the plan");
    refuse("/plan/dtype", json!("f64"), "f64");
    refuse("/plan/addresses", json!([]), "there are none");
    refuse("/plan/addresses/1", json!("embed"), "embed is there twice");
    refuse("/plan/addresses/0", json!("L0.nowhere"), "nowhere");
    refuse("/widths", json!([]), "must be 5 numbers");
    refuse("/widths/2", json!(0), "must be 5 numbers");
    refuse("/shards/1/number", json!(0), "must rise");
    refuse("/shards/4/number", json!(u64::MAX), "does not fit the plan");
    refuse("/shards/1/file", json!("../elsewhere"), "does not fit the plan");
    refuse("/shards/1/texts", json!(3), "does not fit the plan");
    refuse("/shards/1/rows", json!(u64::MAX), "rows for 4 texts");
    folder.write("store.json", "{\n\"schema\": ");
    refused(ActivationStore::open(folder.path()), &["store.json:2"]);

    // True to itself but not to the files.
    let mut content = good.clone();
    content["widths"][1] = json!(u64::MAX / 2);
    folder.write("store.json", content.to_string());
    let store = ActivationStore::open(folder.path()).unwrap();
    let (address, _) = store.addresses().nth(1).unwrap();
    refused(store.rows(address, 0..1), &["shard-00000.safetensors", &address.to_string(), "expected F32"]);
    refused(store.load(&[address]), &["shard-00000.safetensors", &address.to_string(), "expected F32"]);
    assert_eq!(store.verify().len(), 5);
    let mut content = good.clone();
    content["plan"]["texts"] = json!(u64::MAX);
    content["shards"] = json!([]);
    folder.write("store.json", content.to_string());
    let store = ActivationStore::open(folder.path()).unwrap();
    refused(store.ids(), &["lacks 4611686018427387904 of 4611686018427387904 shards"]);
}

#[test]
fn texts_come_from_csv_too() {
    let folder = Folder::new();
    let load = |content: &str| Text::load(folder.write("texts.csv", content));
    let texts = load("group,text,id,note\ng,\"we met, again\",a,x\n,\"two\nlines\",b,\n").unwrap();
    assert_eq!(texts[0], Text { group: Some("g".to_owned()), ..Text::new("a", "we met, again") });
    assert_eq!(texts[1], Text::new("b", "two\nlines"));
    refused(load("id,words\na,we\n"), &["texts.csv:2", "text"]);
    refused(load("id,text\na,we\nb\n"), &["texts.csv:3"]);
    refused(load("id,text\na,we\na,us\n"), &["texts.csv:3", "second time"]);
    refused(load("id,text\na,\n"), &["texts.csv:2", "is empty"]);
    refused(load("id,text\n"), &["texts.csv", "holds no texts"]);
}

#[cfg(feature = "parquet")]
#[test]
fn a_parquet_file_has_a_row_for_each_text_and_address() {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::RowAccessor;

    let (folder, model) = (Folder::new(), tiny("tied"));
    let store = write(&model, &folder.join("store"), "0/1");
    let path = folder.join("acts.parquet");
    store.write_parquet(&path).unwrap();
    let states = store.load(&store.addresses().map(|(address, _)| address).collect::<Vec<_>>()).unwrap();
    let reader = SerializedFileReader::new(std::fs::File::open(&path).unwrap()).unwrap();
    let (mut rows, mut seen) = (0, std::collections::HashSet::new());
    for row in reader.get_row_iter(None).unwrap() {
        let row = row.unwrap();
        let (id, address) = (row.get_string(0).unwrap().clone(), row.get_string(1).unwrap().clone());
        let place = states.ids().iter().position(|known| *known == id).unwrap();
        let list = row.get_list(2).unwrap();
        let values: Vec<f32> = list.elements().iter().map(|field| field.to_string().parse().unwrap()).collect();
        assert_eq!(values, states.at(address.parse().unwrap()).unwrap().row(place).to_vec());
        rows += 1;
        assert!(seen.insert((id, address)));
    }
    assert_eq!(rows, 18 * 5);
    let metadata = reader.metadata().file_metadata().key_value_metadata().unwrap();
    let provenance = metadata.iter().find(|entry| entry.key == "probity").unwrap().value.clone().unwrap();
    assert!(provenance.contains(&store.provenance()["texts_sha256"]));
    let tokens = folder.join("tokens");
    let tokens = writer(Pool::EveryToken).write(&model, &texts(5), tokens).unwrap();
    refused(tokens.write_parquet(folder.join("no.parquet")), &["pool = none"]);
}
