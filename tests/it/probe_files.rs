//! Hidden states from elsewhere in, probes out and in again, and what is refused.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use ndarray::Array2;
use probity::capture::Activations;
use probity::hook::{Address, Site};
use probity::level::Levels;
use probity::probe::{LogisticProbe, ProbeBank};
use probity::text::Labels;
use probity::{Error, Provenance};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

fn at(layer: usize) -> Address {
    Site::ResidPost.at(layer)
}

/// The matrix of the npy fixtures, exact in half precision.
fn matrix() -> Array2<f32> {
    Array2::from_shape_fn((4, 3), |(row, column)| ((row * 3 + column) as f32 - 5.0) / 8.0)
}

#[test]
fn npy_files_of_every_form_hold_the_same_matrix() {
    let mut read = 0;
    for entry in std::fs::read_dir(common::fixture("npy")).unwrap() {
        let path = entry.unwrap().path();
        let states = Activations::load_npy([(at(3), &path)]).unwrap();
        assert_eq!(states.at(at(3)).unwrap(), matrix(), "{}", path.display());
        assert_eq!(states.ids(), ["0", "1", "2", "3"]);
        read += 1;
    }
    assert_eq!(read, 14);
}

/// An npy file of format 1.
fn npy(folder: &Path, name: &str, header: &str, data: &[u8]) -> PathBuf {
    let path = folder.join(name);
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    std::fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn a_wrong_npy_file_is_refused_with_file_and_field() {
    let folder = tempfile::tempdir().unwrap();
    let header =
        |descr: &str, shape: &str| format!("{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n");
    let nan = f32::NAN.to_le_bytes();
    for (header, data, says) in [
        (header("'<f4'", "(2, 1)"), &[0_u8; 7][..], "does not go with 7 bytes"),
        (header("'<f4'", "(2, 1)"), &[0; 12], "does not go with 12 bytes"),
        (header("'<f4'", "(2,)"), &[0; 8], "(2,) is not that of a matrix"),
        (header("'<f4'", "(1, 2, 1)"), &[0; 8], "is not that of a matrix"),
        (header("'<f4'", "(-1, 2)"), &[0; 8], "is not that of a matrix"),
        (header("'<f4'", "(4611686018427387905, 4)"), &[0; 16], "does not go with 16 bytes"),
        (header("'<f4'", "(0, 4)"), &[], "holds no values"),
        (header("'<i8'", "(1, 1)"), &[0; 8], "\"<i8\" is no f16, f32 or f64"),
        (header("[('a', '<f4')]", "(1, 1)"), &[0; 4], "is no f16, f32 or f64"),
        (header("'<f4'", "(1, 1)"), &nan, "row 0 holds a value that is not finite"),
        ("{'descr': '<f4', 'shape': (1, 1)}".to_owned(), &[0; 4], "fortran_order"),
        ("{}".to_owned(), &[0; 4], "descr"),
    ] {
        let path = npy(folder.path(), "states.npy", &header, data);
        let error = common::told(&Activations::load_npy([(at(0), path)]).unwrap_err());
        assert!(error.contains(says) && error.contains("states.npy"), "{says:?}: {error}");
    }
    let path = folder.path().join("states.npy");
    for bytes in [&b"PK\x03\x04 an npz"[..], b"\x93NUMPY\x01\x00\xff\xff{", b"\x93NUMPY\x09\x00\x00\x00", b"\x93NUM"] {
        std::fs::write(&path, bytes).unwrap();
        let error = common::told(&Activations::load_npy([(at(0), &path)]).unwrap_err());
        assert!(error.contains("numpy.save"), "{error}");
    }
    assert!(matches!(Activations::load_npy([(at(0), folder.path().join("none.npy"))]), Err(Error::Io { .. })));
    assert!(matches!(Activations::load_npy(Vec::<(Address, PathBuf)>::new()), Err(Error::Setting { .. })));

    let four = common::fixture("npy/little_f4_C.npy");
    let two = npy(folder.path(), "two.npy", &header("'<f4'", "(2, 1)"), &[0; 8]);
    let error = common::told(&Activations::load_npy([(at(0), &four), (at(1), &two)]).unwrap_err());
    assert!(error.contains("two.npy") && error.contains("has 2 rows, the files before 4"), "{error}");
    assert!(matches!(Activations::load_npy([(at(0), &four), (at(0), &four)]), Err(Error::Setting { .. })));
}

#[test]
fn foreign_safetensors_of_every_precision_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("states.safetensors");
    let values: Vec<f32> = matrix().into_iter().collect();
    // Exact in eight bits of mantissa, so bf16 is the upper half; f16 from the fixture that numpy wrote.
    let half = std::fs::read(common::fixture("npy/little_f2_C.npy")).unwrap();
    let forms = [
        (Dtype::F64, values.iter().flat_map(|&value| f64::from(value).to_le_bytes()).collect::<Vec<u8>>()),
        (Dtype::F32, values.iter().flat_map(|value| value.to_le_bytes()).collect()),
        (Dtype::BF16, values.iter().flat_map(|value| value.to_le_bytes()[2..].to_vec()).collect()),
        (Dtype::F16, half[half.len() - 24..].to_vec()),
    ];
    let write = |name: &str, dtype: Dtype, shape: Vec<usize>, bytes: &[u8]| {
        let view = TensorView::new(dtype, shape, bytes).unwrap();
        std::fs::write(&path, safetensors::serialize([(name, view)], None::<HashMap<_, _>>).unwrap()).unwrap();
    };
    for (dtype, bytes) in &forms {
        write("L2.mlp_out", *dtype, vec![4, 3], bytes);
        let states = Activations::load(&path).unwrap();
        assert_eq!(states.at(Site::MlpOut.at(2)).unwrap(), matrix(), "{dtype:?}");
    }
    for (name, dtype, shape, bytes, says) in [
        ("layer 2", Dtype::F32, vec![4, 3], &forms[1].1[..], "is no address"),
        ("L2.mlp_out", Dtype::I32, vec![4, 3], &forms[1].1[..], "expected F32, F64, F16 or BF16"),
        ("L2.mlp_out", Dtype::F32, vec![12], &forms[1].1[..], "expected [rows, d]"),
        ("L2.mlp_out", Dtype::F64, vec![1, 1], &1e300_f64.to_le_bytes()[..], "not finite"),
    ] {
        write(name, dtype, shape, bytes);
        let error = common::told(&Activations::load(&path).unwrap_err());
        assert!(error.contains(says) && error.contains(name) && error.contains("states.safetensors"), "{error}");
    }
}

fn provenance(entries: &[(&str, &str)]) -> Provenance {
    entries.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
}

const HASHES: [(&str, &str); 5] = [
    ("model_sha256", "m1"),
    ("tokenizer_sha256", "t1"),
    ("template_sha256", "c1"),
    ("pool", "last"),
    ("texts_form", "rendered"),
];

/// States of 80 texts with a planted label, and the labels.
fn planted(of: &[(&str, &str)], width: usize) -> (Activations, Labels) {
    let value = |row: usize, column: usize| {
        (row * 31 + column * 17) as f32 % 13.0 + if column == 1 { (row % 2) as f32 * 9.0 } else { 100.0 }
    };
    let mut states = Activations::new((0..80).map(|row| row.to_string())).with_provenance(provenance(of));
    for layer in [0, 7] {
        let rows = Array2::from_shape_fn((80, width), |(row, column)| value(row + layer, column));
        states.insert(at(layer), rows).unwrap();
    }
    (states, Labels::ungrouped((0..80).map(|row| row % 2 == 1).collect()))
}

#[test]
fn probes_of_another_model_tokeniser_template_pooling_width_or_address_are_refused() {
    let (states, labels) = planted(&HASHES, 5);
    let bank = LogisticProbe::default().draws(50).fit_all(&states, &labels).unwrap();
    bank.check_matches(&states).unwrap();
    let refused = |other: &Activations| {
        let error = bank.check_matches(other).unwrap_err();
        // What Levels does with it.
        let plain = common::design(&[("none", 0)]);
        assert_eq!(Levels::score(&plain, &[other], &bank).unwrap_err().to_string(), error.to_string());
        error.to_string()
    };
    for (key, other, says) in [
        ("model_sha256", "m2", "the model m1, the states come from m2"),
        ("tokenizer_sha256", "t2", "the tokeniser t1, the states come from t2"),
        ("template_sha256", "c2", "the chat template c1, the states come from c2"),
        ("pool", "mean", "the pooling last, the states come from mean"),
    ] {
        let changed = HASHES.map(|(of, value)| if of == key { (of, other) } else { (of, value) });
        let error = refused(&planted(&changed, 5).0);
        assert!(error.contains(says) && error.contains(key), "{error}");
    }
    let error = refused(&planted(&HASHES, 6).0);
    assert!(error.contains("width 6") && error.contains("has 5"), "{error}");
    let mut fewer = Activations::new((0..80).map(|row| row.to_string()));
    fewer.insert(at(0), states.at(at(0)).unwrap().to_owned()).unwrap();
    assert!(refused(&fewer).contains("L7.resid_post"));
    // What is not said is not held against anyone; a template counts only where texts were rendered.
    bank.check_matches(&planted(&[], 5).0).unwrap();
    let plain = |template| [("model_sha256", "m1"), ("template_sha256", template), ("texts_form", "plain")];
    let bank = LogisticProbe::default().draws(50).fit_all(&planted(&plain("c1"), 5).0, &labels).unwrap();
    bank.check_matches(&planted(&plain("c2"), 5).0).unwrap();
}

#[test]
fn a_probe_file_holds_what_it_takes_to_score() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("probes.safetensors");
    let (states, labels) = planted(&HASHES, 5);
    let bank = LogisticProbe::default().draws(50).fit_all(&states, &labels).unwrap();
    bank.save(&path).unwrap();
    let loaded = ProbeBank::load(&path).unwrap();
    for (ours, again) in bank.iter().zip(loaded.iter()) {
        assert_eq!((&ours.mean, &ours.scale), (&again.mean, &again.scale));
        assert_eq!(ours.weights, again.weights);
    }
    // The standardiser is that of the training rows: their states have mean 0 and deviation 1 under it.
    let probe = bank.get(at(7)).unwrap();
    assert_eq!(probe.mean.len(), 5);
    assert!((probe.mean[0] - 106.0).abs() < 1.0 && probe.scale.iter().all(|&scale| scale > 1.0), "{probe:?}");

    let bytes = std::fs::read(&path).unwrap();
    let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
    let header: serde_json::Value = serde_json::from_str(&metadata.metadata().as_ref().unwrap()["probity"]).unwrap();
    assert_eq!(header["format"], 3);
    assert!(header["sign"].as_str().unwrap().contains("positive = more immoral"));
    for key in ["model_sha256", "tokenizer_sha256", "template_sha256", "probe_split_sha256", "probe_labels_sha256"] {
        assert!(header["provenance"][key].is_string(), "{key}");
    }
    assert!(header["probes"]["L7.resid_post"]["evaluation"]["auroc"]["estimate"].as_f64().unwrap() > 0.9);
    // By hand, from the tensors alone.
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let tensor = |name: &str| -> Vec<f64> {
        let view = tensors.tensor(&format!("L7.resid_post.{name}")).unwrap();
        view.data().as_chunks::<8>().0.iter().map(|&bytes| f64::from_le_bytes(bytes)).collect()
    };
    let (weights, affine) = (tensor("weights"), tensor("affine"));
    let rows = states.at(at(7)).unwrap();
    for (row, decision) in rows.outer_iter().zip(probe.decision(rows).unwrap()) {
        let by_hand = row.iter().zip(&weights).map(|(&x, w)| f64::from(x) * w).sum::<f64>() + affine[0];
        assert!((by_hand - decision).abs() < 1e-9);
    }
    let swapped = String::from_utf8_lossy(&bytes[8..]).find("L7.resid_post.scale").unwrap() + 8;
    let mut changed = bytes.clone();
    changed[swapped + 15] = b'z';
    std::fs::write(&path, changed).unwrap();
    assert!(ProbeBank::load(&path).unwrap_err().to_string().contains("L7.resid_post.scale"));
}

/// A Python with numpy and safetensors: PROBITY_PYTHON, or python3.
fn python() -> Option<PathBuf> {
    let python: PathBuf = std::env::var_os("PROBITY_PYTHON").unwrap_or_else(|| "python3".into()).into();
    let works = Command::new(&python).args(["-c", "import numpy, safetensors.numpy"]).output();
    if works.is_ok_and(|output| output.status.success()) {
        return Some(python);
    }
    eprintln!("SKIPPED: {} has no numpy and safetensors (set PROBITY_PYTHON)", python.display());
    None
}

#[test]
fn the_guides_python_scores_the_same() {
    let guide = std::fs::read_to_string(common::root().join("docs/guide/probes.md")).unwrap();
    let blocks = guide.split("```python\n").skip(1).filter_map(|rest| rest.split("```").next());
    let snippet = blocks.filter(|block| block.contains("probes.safetensors")).collect::<Vec<_>>();
    let [snippet] = snippet[..] else { panic!("the guide has {} such snippets", snippet.len()) };
    let Some(python) = python() else { return };

    let folder = tempfile::tempdir().unwrap();
    let (states, labels) = planted(&HASHES, 5);
    let bank = LogisticProbe::default().draws(50).fit_all(&states, &labels).unwrap();
    states.save(folder.path().join("acts.safetensors")).unwrap();
    bank.save(folder.path().join("probes.safetensors")).unwrap();
    let script = format!("{snippet}\nprint(json.dumps([decision.tolist(), standardised.tolist()]))\n");
    let output = Command::new(python).args(["-c", &script]).current_dir(folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found: [Vec<f64>; 2] = serde_json::from_slice(&output.stdout).unwrap();
    let (probe, rows) = (bank.get(at(7)).unwrap(), states.at(at(7)).unwrap());
    for (theirs, ours) in found.iter().zip([probe.decision(rows).unwrap(), probe.standardised(rows).unwrap()]) {
        let furthest = theirs.iter().zip(&ours).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        println!("furthest: {furthest:e}");
        assert!(theirs.len() == 80 && furthest < 1e-6, "{furthest}");
    }
}
