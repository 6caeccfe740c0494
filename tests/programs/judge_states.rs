//! `judge_states`: a planted world in files, and files that do not fit together.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;

use common::labelled::{at, normal};
use common::made::Folder;
use common::programs::{display, example, fails, succeeds};
use common::root;
use ndarray::{Array1, Array2};
use probity::capture::Activations;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const ITEMS: usize = 48;
const TEXTS: usize = 300;
const WIDTH: usize = 32;

/// What each file of items is an option of, and whether its conversation lowers the level.
const FILES: [(&str, bool); 6] = [
    ("plain-answer", false),
    ("neutral-answer", false),
    ("asked-answer", true),
    ("neutral-answer-after-asked", true),
    ("asked-answer-after-neutral", false),
    ("contrast", false),
];

/// Writes a world in which the conversation takes `drop` of a class distance of 3 away.
fn plant(folder: &Folder, drop: f64) {
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    let immoral: Vec<bool> = (0..TEXTS).map(|_| rng.gen_bool(0.4)).collect();
    let level: Vec<f64> = (0..ITEMS).map(|_| 1.0 + normal(&mut rng)).collect();
    let names = |n: usize| (0..n).map(|row| row.to_string());
    let mut files: Vec<Activations> = FILES.iter().map(|_| Activations::new(names(ITEMS))).collect();
    let mut training = Activations::new(names(TEXTS));
    for layer in 0..4 {
        let along = Array1::from_shape_fn(WIDTH, |_| normal(&mut rng));
        let along = &along / along.dot(&along).sqrt();
        let noise = |rng: &mut ChaCha8Rng, n: usize| Array2::from_shape_fn((n, WIDTH), |_| normal(rng));
        let mut texts = noise(&mut rng, TEXTS);
        for (mut row, _) in texts.outer_iter_mut().zip(&immoral).filter(|(_, immoral)| **immoral) {
            row.scaled_add(3.0, &along);
        }
        training.insert(at(layer), texts.mapv(|value| value as f32)).unwrap();
        let own = noise(&mut rng, ITEMS);
        for ((name, lowered), states) in FILES.iter().zip(&mut files) {
            let mut rows = &own + &(noise(&mut rng, ITEMS) * 0.3);
            let moved = if *name == "contrast" { 3.0 } else { 0.0 } - if *lowered { 3.0 * drop } else { 0.0 };
            for (mut row, level) in rows.outer_iter_mut().zip(&level) {
                row.scaled_add(level + moved, &along);
            }
            states.insert(at(layer), rows.mapv(|value| value as f32)).unwrap();
        }
    }
    training.save(folder.join("train-answer.safetensors")).unwrap();
    for ((name, _), states) in FILES.iter().zip(&files) {
        states.save(folder.join(&format!("{name}.safetensors"))).unwrap();
    }
    let mut labels = "id,label\n".to_owned();
    immoral.iter().enumerate().for_each(|(row, immoral)| writeln!(labels, "{row},{}", u8::from(*immoral)).unwrap());
    folder.write("labels.csv", labels);
    let mut behaviour = "item,group,condition,right\n".to_owned();
    for (condition, share) in [("plain", 0.4), ("neutral", 0.4), ("asked", 0.9)] {
        for item in 0..ITEMS {
            let right = u8::from(rng.gen_bool(share));
            writeln!(behaviour, "{item},g{},{condition},{right}", item % 24).unwrap();
        }
    }
    folder.write("behaviour.csv", behaviour);
}

fn arguments(folder: &Folder, leave_out: &[&str]) -> Vec<String> {
    let path = |name: &str| display(folder.join(name));
    let mut all = Vec::new();
    for name in ["train-answer"].into_iter().chain(FILES.iter().map(|(name, _)| *name)) {
        if leave_out.contains(&name) {
            continue;
        }
        let file = path(&format!("{name}.safetensors"));
        match name {
            "contrast" => all.extend(["--positive-control".to_owned(), file.clone(), file]),
            _ => all.extend([format!("--{name}"), file]),
        }
    }
    for name in ["labels", "behaviour"] {
        all.extend([format!("--{name}"), path(&format!("{name}.csv"))]);
    }
    all
}

fn judged(folder: &Folder, leave_out: &[&str]) -> serde_json::Value {
    let mut all = arguments(folder, leave_out);
    all.extend(["--json".to_owned(), display(folder.join("out.json"))]);
    let told = succeeds("judge_states", &all.iter().map(String::as_str).collect::<Vec<_>>());
    let json: serde_json::Value = serde_json::from_slice(&folder.read("out.json")).unwrap();
    let verdict = json["verdicts"][0].clone();
    assert_eq!(verdict["instruction"], "asked");
    assert!(told.contains("asked: ") && told.contains("no_reduction"), "{told}");
    verdict
}

#[test]
fn a_planted_world_is_judged_from_its_files() {
    let folder = Folder::new();
    plant(&folder, 0.5);
    let verdict = judged(&folder, &[]);
    assert_eq!(verdict["kind"], "internal", "{verdict:#}");
    let change = &verdict["changes"][0];
    assert_eq!(change["of"], "conversation");
    assert!((change["interval"]["estimate"].as_f64().unwrap() + 0.5).abs() < 0.1, "{change}");
    // Without the crossed readings nothing is internal.
    let crossed = ["neutral-answer-after-asked", "asked-answer-after-neutral"];
    assert_eq!(judged(&folder, &crossed)["kind"], "insufficient_evidence");

    plant(&folder, 0.0);
    assert_eq!(judged(&folder, &[])["kind"], "superficial");
    assert_eq!(judged(&folder, &["contrast"])["kind"], "insufficient_evidence");
}

#[test]
fn files_that_do_not_fit_together_are_named() {
    let folder = Folder::new();
    plant(&folder, 0.0);
    let whole = folder.read("behaviour.csv");
    let whole = String::from_utf8(whole).unwrap();
    let all = arguments(&folder, &[]);
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    for (from, to, says) in [
        ("item,group,condition,right", "item,group,condition,wright", "\"right\""),
        ("0,g0,asked,1", "0,g0,asked,yes", "right is \"yes\", no number"),
        ("0,g0,asked,", "0,g0,ask,", "condition \"ask\" is none of plain, neutral, asked"),
        ("0,g0,asked,", "0,g7,asked,", "on an earlier line of another"),
        ("1,g1,asked,", "0,g0,asked,", "has an answer to \"asked\" already"),
        ("47,g23,asked,1\n", "", "condition \"asked\" has 47 of the 48 items"),
    ] {
        let changed = whole.replacen("47,g23,asked,0", "47,g23,asked,1", 1).replacen("0,g0,asked,0", "0,g0,asked,1", 1);
        assert!(changed.contains(from), "{from}");
        folder.write("behaviour.csv", changed.replacen(from, to, 1));
        fails("judge_states", &all, &folder, &["behaviour.csv", says]);
    }
    folder.write("behaviour.csv", whole.lines().filter(|line| !line.starts_with("3,")).collect::<Vec<_>>().join("\n"));
    fails("judge_states", &all, &folder, &["no item \"3\""]);
    folder.write("behaviour.csv", &whole);
    let mut few = Activations::new(["0", "1"]);
    few.insert(at(0), Array2::zeros((2, WIDTH))).unwrap();
    few.save(folder.join("asked-answer.safetensors")).unwrap();
    fails("judge_states", &all, &folder, &["L1.resid_post"]);
}

#[test]
fn the_script_of_the_documentation_plants_what_it_says() {
    let page = std::fs::read_to_string(root().join("docs/judge-states.md")).unwrap();
    let script = page.split("```python\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let python: PathBuf = std::env::var_os("PROBITY_PYTHON").unwrap_or_else(|| "python3".into()).into();
    let works = Command::new(&python).args(["-c", "import numpy, safetensors.numpy"]).output();
    if !works.is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: {} has no numpy and safetensors (set PROBITY_PYTHON)", python.display());
        return;
    }
    let folder = Folder::new();
    let judge = display(example("judge_states").get_program().into());
    let output = Command::new(python).args(["-c", script, &display(folder.join("")), &judge]).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && told.starts_with("asked: internal"), "{told}");
}
