//! Probes: planted directions, signs, the optimum, leaks, errors, files.

use std::path::PathBuf;

use common::labelled::{activations, at, cosine, planted};
use ndarray::{Array1, Array2};
use probity::capture::{Activations, TokenRows};
use probity::hook::Site;
use probity::probe::{Estimator, GroupSplit, LogisticProbe, MeanDifferenceProbe, ProbeBank, Training};
use probity::text::Labels;
use probity::Error;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

#[test]
fn a_planted_direction_is_found_with_the_right_sign_at_any_class_balance() {
    for share in [0.1, 0.5, 0.9] {
        let (rows, labels, truth) = planted(4_000, 12, share, 3.0, 1);
        let (activations, labels) = (activations(rows), Labels::ungrouped(labels));
        // A strong penalty: with unpenalised separation the norm grows and the direction gets noisier.
        let logistic = LogisticProbe::default().alpha(10.0).fit_all(&activations, &labels).unwrap();
        let difference = MeanDifferenceProbe::default().fit_all(&activations, &labels).unwrap();
        for bank in [logistic, difference] {
            let probe = bank.get(at(0)).unwrap();
            let found = cosine(&probe.weights, &truth);
            assert!(found > 0.99, "{share}: {} {found}", bank.provenance()["probe_kind"]);
            assert!(probe.evaluation.auroc.low > 0.95 && probe.evaluation.auroc.high <= 1.0);
            assert!(probe.fit.converged);
            assert!((probe.direction.unit().dot(&probe.direction.unit()) - 1.0).abs() < 1e-12);
        }
    }
}

#[test]
fn scale_and_offset_of_a_feature_do_not_matter() {
    let (rows, labels, truth) = planted(4_000, 12, 0.3, 3.0, 2);
    let mut warped = rows.clone();
    warped.column_mut(3).mapv_inplace(|value| value * 1000.0);
    warped.column_mut(7).mapv_inplace(|value| value + 300.0);
    let labels = Labels::ungrouped(labels);
    let probe = LogisticProbe::default().alpha(10.0);
    let plain = probe.fit_all(&activations(rows), &labels).unwrap();
    let warped = probe.fit_all(&activations(warped), &labels).unwrap();
    let (plain, warped) = (plain.get(at(0)).unwrap(), warped.get(at(0)).unwrap());
    // Raw weights of the scaled feature are a thousandth: compared per standard deviation of the feature.
    let mut rescaled = warped.weights.clone();
    rescaled[3] *= 1000.0;
    assert!(cosine(&rescaled, &truth) > 0.99);
    assert!(cosine(&rescaled, &plain.weights) > 1.0 - 1e-6);
    assert!((plain.evaluation.auroc.estimate - warped.evaluation.auroc.estimate).abs() < 1e-3);
    assert!(warped.fit.converged);
}

fn fixture(name: &str) -> Option<PathBuf> {
    let path = common::fixture("logistic").join(name);
    if !path.exists() {
        eprintln!("SKIPPED: {} is not there", path.display());
    }
    path.exists().then_some(path)
}

fn f64s(view: &safetensors::tensor::TensorView<'_>) -> Vec<f64> {
    view.data().chunks_exact(8).map(|bytes| f64::from_le_bytes(bytes.try_into().unwrap())).collect()
}

#[test]
fn the_objective_is_scikit_learns_optimum() {
    for name in ["balanced", "rare", "common"] {
        let Some(path) = fixture(&format!("logistic_{name}.safetensors")) else { continue };
        let bytes = std::fs::read(path).unwrap();
        let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let x = tensors.tensor("x").unwrap();
        let rows = Array2::from_shape_vec((x.shape()[0], x.shape()[1]), f64s(&x)).unwrap();
        let y = tensors.tensor("y").unwrap();
        let labels: Vec<bool> =
            y.data().chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap()) == 1).collect();
        let objective = f64s(&tensors.tensor("objective").unwrap())[0];
        let coef = Array1::from_vec(f64s(&tensors.tensor("coef").unwrap()));
        let intercept = f64s(&tensors.tensor("intercept").unwrap())[0];

        let fitted =
            LogisticProbe::default().alpha(1.0).fit(Training::new(name, rows.view(), labels).unwrap()).unwrap();
        let found = fitted.fit.objective.unwrap();
        assert!(fitted.fit.converged, "{name}: {:?}", fitted.fit);
        assert!((found / objective - 1.0).abs() < 1e-6, "{name}: {found} against {objective}");
        let distance = (&fitted.weights - &coef).mapv(|v| v * v).sum().sqrt() / coef.dot(&coef).sqrt();
        assert!(distance < 1e-3, "{name}: weights differ by {distance}");
        assert!((fitted.intercept - intercept).abs() < 1e-3, "{name}: {} {intercept}", fitted.intercept);
    }
}

#[test]
fn a_fit_cut_short_says_so() {
    let (rows, labels, _) = planted(300, 40, 0.4, 1.0, 3);
    let bank =
        LogisticProbe::default().max_iterations(1).fit_all(&activations(rows), &Labels::ungrouped(labels)).unwrap();
    let fit = bank.get(at(0)).unwrap().fit;
    assert!(!fit.converged && fit.solver_runs > 1 && fit.relative_gap.unwrap() > 1e-8, "{fit:?}");
}

#[test]
fn a_run_that_stops_early_is_continued_to_the_same_optimum() {
    let (rows, labels, _) = planted(300, 40, 0.4, 1.0, 3);
    let rows = rows.mapv(f64::from);
    let fit = |max| {
        let training = Training::new("x", rows.view(), labels.clone()).unwrap();
        LogisticProbe::default().alpha(1.0).max_iterations(max).fit(training).unwrap()
    };
    let (whole, pieces) = (fit(1_000), fit(5));
    assert!(pieces.fit.solver_runs > 1 && pieces.fit.converged, "{:?}", pieces.fit);
    assert!((whole.fit.objective.unwrap() / pieces.fit.objective.unwrap() - 1.0).abs() < 1e-8);
}

#[test]
fn no_group_is_in_both_parts() {
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    for seed in 0..50 {
        let n = 60 + 5 * seed as usize;
        let groups: Vec<String> = (0..n).map(|_| format!("g{}", rng.gen_range(0..12_u32).pow(2) / 5)).collect();
        let labels: Vec<bool> = (0..n).map(|_| rng.gen_bool(0.3)).collect();
        let labels = Labels::new(labels, groups.clone()).unwrap();
        let split = GroupSplit::default().seed(seed).split(&labels).unwrap();
        assert_eq!(split, GroupSplit::default().seed(seed).split(&labels).unwrap());
        assert_eq!(split.train.len() + split.test.len(), n);
        for part in [&split.train, &split.test] {
            assert!(part.iter().any(|&row| labels.labels()[row]) && part.iter().any(|&row| !labels.labels()[row]));
        }
        assert!(split.train.iter().all(|&a| split.test.iter().all(|&b| groups[a] != groups[b])));
    }
    let labels = Labels::ungrouped((0..400).map(|row| row % 10 == 0).collect());
    let split = GroupSplit::default().split(&labels).unwrap();
    assert_eq!(split.test.iter().filter(|&&row| labels.labels()[row]).count(), 10);
    assert_eq!(split.test.len(), 100);
    assert_ne!(split, GroupSplit::default().seed(1).split(&labels).unwrap());
}

#[test]
fn groups_of_the_activations_are_kept_together() {
    // Each text occurs twice, with the same states and label: a split by row would test on what it trained on.
    let (half, labels, _) = planted(60, 6, 0.5, 0.0, 8);
    let rows = ndarray::concatenate(ndarray::Axis(0), &[half.view(), half.view()]).unwrap();
    let labels = [labels.clone(), labels].concat();
    let pairs: Vec<String> = (0..120).map(|row| format!("pair{}", row % 60)).collect();
    let grouped = activations(rows).with_groups(pairs.clone()).unwrap();
    let bank = MeanDifferenceProbe::default().fit_all(&grouped, &Labels::ungrouped(labels.clone())).unwrap();
    let evaluation = bank.get(at(0)).unwrap().evaluation;
    assert_eq!(2 * evaluation.groups_test, evaluation.n_test);
    // Coarser groups in the labels are fine, groups that cut across are not.
    let coarser = (0..120).map(|row| format!("{}", (row % 60) / 3)).collect();
    let fit = |groups| MeanDifferenceProbe::default().fit_all(&grouped, &Labels::new(labels.clone(), groups).unwrap());
    assert_eq!(fit(coarser).unwrap().get(at(0)).unwrap().evaluation.n_test % 6, 0);
    let across = (0..120).map(|row| format!("{}", row / 30)).collect();
    assert!(matches!(fit(across), Err(Error::Mismatch { .. })));
}

#[test]
fn few_groups_are_enough_if_they_can_be() {
    let groups = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<Vec<_>>();
    // Two pure groups of each label, and two mixed groups.
    for (labels, names) in [
        (vec![true, true, false, false], groups(&["a", "b", "c", "d"])),
        (vec![true, false, true, false], groups(&["a", "a", "b", "b"])),
    ] {
        let split = GroupSplit::default().split(&Labels::new(labels, names).unwrap()).unwrap();
        assert_eq!(split.test.len(), 2);
    }
    let labels = Labels::new(vec![true, true, false, false], groups(&["a", "a", "b", "c"])).unwrap();
    assert!(matches!(GroupSplit::default().split(&labels), Err(Error::OneClass { .. })));
}

#[test]
fn unusable_input_is_a_clear_error() {
    let (rows, labels, _) = planted(80, 6, 0.5, 1.0, 5);
    let probe = LogisticProbe::default();
    let good = Labels::ungrouped(labels.clone());

    let one_class = probe.fit_all(&activations(rows.clone()), &Labels::ungrouped(vec![true; 80])).unwrap_err();
    assert!(matches!(one_class, Error::OneClass { part: "whole", label: 1 }), "{one_class}");

    let mut broken = rows.clone();
    broken[[11, 2]] = f32::NAN;
    let error = probe.fit_all(&activations(broken), &good).unwrap_err();
    assert!(matches!(&error, Error::NotFinite(at) if at.row == 11 && at.id == "t11"), "{error}");

    let error = probe.fit_all(&activations(rows.clone()), &Labels::ungrouped(vec![true, false])).unwrap_err();
    assert!(matches!(&error, Error::RowCount(at) if at.expected == 80 && at.found == 2), "{error}");
    assert!(Labels::new(vec![true], Vec::new()).is_err());

    let mut tokens =
        Activations::new(["a"]).with_token_rows(TokenRows { offsets: vec![0, 80], tokens: vec![1; 80] }).unwrap();
    tokens.insert(at(0), rows.clone()).unwrap();
    let error = probe.fit_all(&tokens, &good).unwrap_err().to_string();
    assert!(error.contains("row per token"), "{error}");

    assert!(probe.fit_all(&Activations::new((0..80).map(|i| i.to_string())), &good).is_err());
    for bad in [probe.alpha(0.0), probe.alpha(f64::NAN), probe.tolerance(0.0), probe.max_iterations(0), probe.draws(0)]
    {
        assert!(matches!(bad.fit_all(&activations(rows.clone()), &good), Err(Error::Setting { .. })));
    }
    let bad_split = probe.split(GroupSplit::default().test_fraction(1.0));
    assert!(matches!(bad_split.fit_all(&activations(rows.clone()), &good), Err(Error::Setting { .. })));

    let bank = probe.fit_all(&activations(rows), &good).unwrap();
    assert!(matches!(bank.get(at(0)).unwrap().decision(Array2::zeros((1, 5)).view()), Err(Error::Mismatch { .. })));
    assert!(matches!(bank.get(at(1)), Err(Error::UnknownAddress { .. })));
}

#[test]
fn label_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("labels.csv");
    let ids: Vec<String> = ["a", "b", "c"].map(String::from).into();
    let load = |text: &str| {
        std::fs::write(&path, text).unwrap();
        Labels::load(&path, &ids)
    };
    let labels = load("note,group,label,id\nx,g1,1,c\ny,,0,a\n\"z, z\",g1,1,b\n").unwrap();
    assert_eq!(labels.labels(), [false, true, true]);
    assert_eq!(labels.groups(), ["a", "g1", "g1"]);
    assert_eq!(load("id,label\nb,0\na,1\nc,0\n").unwrap().groups(), ["a", "b", "c"]);

    for (text, says) in [
        ("id,label\na,1\nb,2\nc,0\n", ":3: label \"2\" is neither 0"),
        ("id,label\na,1\nb,0\na,0\n", ":4: id \"a\" has a label already, on line 2"),
        ("id,label\na,1\nq,0\n", ":3: id \"q\" is not in the activations"),
        ("id,label\na,1\nb,0\n", "no label for id \"c\"; 1 of 3 ids have none"),
        ("id,lable\na,1\n", ":1: no column \"label\""),
        ("id,label\na,1,9\n", ":2: "),
        ("", "no column \"id\""),
    ] {
        let error = load(text).unwrap_err().to_string();
        assert!(error.contains(says) && error.contains("labels.csv"), "{text:?}: {error}");
    }
    assert!(matches!(load("id,label\nq,1\n"), Err(Error::UnknownId(at)) if at.line == 2));
    let twice = ["a", "a"].map(String::from);
    assert!(matches!(Labels::load(&path, &twice), Err(Error::Mismatch { .. })));
    assert!(matches!(Labels::load(folder.path().join("none.csv"), &ids), Err(Error::Io { .. })));
}

fn small_bank() -> (ProbeBank, Array2<f32>) {
    let (rows, labels, _) = planted(120, 6, 0.4, 1.5, 6);
    let mut activations = activations(rows.clone());
    activations.insert(Site::MlpOut.at(3), rows.mapv(|value| value * 2.0 + 1.0)).unwrap();
    let activations = activations.with_provenance([("model_sha256".to_owned(), "abc".to_owned())].into());
    (LogisticProbe::default().fit_all(&activations, &Labels::ungrouped(labels)).unwrap(), rows)
}

#[test]
fn a_bank_round_trips_and_equal_seeds_give_equal_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let [a, b] = ["a.safetensors", "b.safetensors"].map(|name| folder.path().join(name));
    let (bank, rows) = small_bank();
    bank.save(&a).unwrap();
    small_bank().0.save(&b).unwrap();
    assert_eq!(std::fs::read(&a).unwrap(), std::fs::read(&b).unwrap());

    let loaded = ProbeBank::load(&a).unwrap();
    assert_eq!(loaded.provenance(), bank.provenance());
    assert_eq!(loaded.provenance()["model_sha256"], "abc");
    assert_eq!(loaded.provenance()["probe_alpha"], "width of the states");
    assert_eq!(loaded.len(), 2);
    for (old, new) in bank.iter().zip(loaded.iter()) {
        assert_eq!(old.direction, new.direction);
        assert_eq!((old.centre, old.spread), (new.centre, new.spread));
        assert_eq!(old.decision(rows.view()).unwrap(), new.decision(rows.view()).unwrap());
        // serde_json may miss the last bit of a float.
        assert!((old.evaluation.auroc.low - new.evaluation.auroc.low).abs() < 1e-12);
        assert_eq!(old.evaluation.n_test, new.evaluation.n_test);
        assert_eq!(old.fit.n_train, new.fit.n_train);
    }
    let csv = folder.path().join("probes.csv");
    bank.write_csv(&csv).unwrap();
    let text = std::fs::read_to_string(csv).unwrap();
    assert!(text.starts_with("address,layer,auroc,") && text.contains("\nL0.resid_post,0,"), "{text}");
}

#[test]
fn a_wrong_bank_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.safetensors");
    let says = |expected: &str| {
        let error = ProbeBank::load(&path).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    activations(Array2::zeros((3, 2))).save(&path).unwrap();
    says("no probe bank");
    std::fs::write(&path, b"not a safetensors file").unwrap();
    says("x.safetensors");

    let (bank, _) = small_bank();
    bank.save(&path).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let swap = |from: &str, to: &str| {
        let text = String::from_utf8_lossy(&bytes[8..]).into_owned();
        let at = 8 + text.find(from).unwrap();
        let mut changed = bytes.clone();
        changed[at..at + from.len()].copy_from_slice(to.as_bytes());
        std::fs::write(&path, changed).unwrap();
    };
    swap("\\\"format\\\":3", "\\\"format\\\":9");
    says("format 9 is not 3: update probity");
    swap("\\\"format\\\":3", "\\\"format\\\":1");
    says("format 1 is not 3: fit the probes again");
    swap("L0.resid_post.affine", "L0.resid_post.affime");
    says("L0.resid_post.affine");
    std::fs::write(&path, &bytes[..bytes.len() - 8]).unwrap();
    says("x.safetensors");
    let mut infinite = bytes.clone();
    let end = infinite.len();
    infinite[end - 8..].copy_from_slice(&f64::INFINITY.to_le_bytes());
    std::fs::write(&path, infinite).unwrap();
    says("not finite");
}

#[test]
fn null_data_give_an_interval_around_one_half() {
    let (mut covered, worlds) = (0, 20);
    for seed in 0..worlds {
        let (rows, labels, _) = planted(160, 10, 0.5, 0.0, 100 + seed);
        // Labels follow a fixed pattern of row numbers, states are pure noise.
        let bank = LogisticProbe::default().draws(300).fit_all(&activations(rows), &Labels::ungrouped(labels)).unwrap();
        let auroc = bank.get(at(0)).unwrap().evaluation.auroc;
        covered += usize::from(auroc.low <= 0.5 && 0.5 <= auroc.high);
    }
    assert!(covered >= 16, "{covered} of {worlds}");
}

#[test]
fn constant_states_give_a_null_direction_not_a_random_one() {
    // As at the last token of a chat template: the same embedding in every text.
    let rows = Array2::from_shape_fn((60, 4), |(_, column)| 0.1 + column as f32 * 0.7);
    let labels = Labels::ungrouped((0..60).map(|row| row % 3 == 0).collect());
    for bank in [
        LogisticProbe::default().fit_all(&activations(rows.clone()), &labels).unwrap(),
        MeanDifferenceProbe::default().fit_all(&activations(rows.clone()), &labels).unwrap(),
    ] {
        let probe = bank.get(at(0)).unwrap();
        assert!(probe.direction.is_null());
        assert_eq!(probe.evaluation.auroc.estimate, 0.5);
        assert_eq!(probe.spread, 1.0);
    }
}
