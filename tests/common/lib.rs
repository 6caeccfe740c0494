//! What several tests need: the small real model, fixtures, comparisons.

pub mod in_model;
pub mod labelled;
pub mod made;
pub mod programs;
pub mod scripted;
pub mod worlds;

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, MutexGuard};

use probity::dialogue::PromptCell;
use probity::generate::{Continuation, Decoding};
use probity::task::{BareScore, OptionScore};
use probity::{Condition, Design, Model};
use safetensors::SafeTensors;
use tch::{Kind, Tensor};

static SMOLLM: LazyLock<Option<Mutex<Model>>> = LazyLock::new(|| {
    let path = smollm_path();
    if path.exists() {
        return Some(Mutex::new(Model::load(&path).unwrap()));
    }
    assert!(std::env::var_os("PROBITY_REQUIRE_MODEL").is_none(), "{} is missing: run `make setup`", path.display());
    None
});

/// An error and what caused it, as programs show it.
pub fn told(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |told, cause| format!("{told}: {cause}"))
}

pub fn smollm_path() -> PathBuf {
    root().join(".models/SmolLM2-135M-Instruct.Q4_1.gguf")
}

/// The small real model; where it is absent the test says so and passes.
pub fn smollm() -> Option<MutexGuard<'static, Model>> {
    match &*SMOLLM {
        Some(model) => Some(model.lock().unwrap_or_else(|poisoned| poisoned.into_inner())),
        None => {
            eprintln!("SKIPPED: no model at {} (`make setup` fetches it)", smollm_path().display());
            None
        }
    }
}

/// An option's scores where they are the same by every rule, without a bare letter.
pub fn scored_alike(log: f64) -> OptionScore {
    let bare = BareScore { total: log, per_token: log, per_byte: log, letter: None };
    OptionScore { total: log, per_token: log, letter: log, bare }
}

/// The root of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

pub fn json(name: &str) -> serde_json::Value {
    serde_json::from_str(&std::fs::read_to_string(fixture(name)).unwrap()).unwrap()
}

/// Whether products of bf16 leave their sums in f32 on this machine; elsewhere libtorch rounds them.
pub fn bf16_sums_stay_wide() -> bool {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    return is_x86_feature_detected!("avx512bf16");
    #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
    false
}

pub const TINY: [&str; 4] = ["tied", "untied_sharded", "odd_heads", "bf16"];

pub fn tiny(name: &str) -> Model {
    Model::load(fixture("tiny_llama").join(name)).unwrap()
}

/// A condition by its name in tables: "none" in round 0 is the plain question, "L1, then negated" ends in other words.
pub fn condition(name: &str, round: usize) -> Condition {
    match name.split_once(", then ") {
        Some((first, then)) => Condition::new(first, round).then(then),
        None => Condition::new(name, round),
    }
}

/// These conditions, each compared with the nearest neutral instruction, as in a study.
pub fn design(conditions: &[(&str, usize)]) -> Design {
    let design = Design::new(conditions.iter().map(|&(name, round)| condition(name, round))).unwrap();
    design
        .with_controls(PromptCell::neutral)
        .with_opposites(PromptCell::are_opposite)
        .with_mentions(PromptCell::mentions)
}

/// Values of an f32 tensor.
pub fn floats(file: &SafeTensors<'_>, name: &str) -> Vec<f32> {
    let view = file.tensor(name).unwrap_or_else(|_| panic!("no tensor {name}"));
    assert_eq!(view.dtype(), safetensors::Dtype::F32, "{name}");
    view.data().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

/// Values of an i64 tensor.
pub fn integers(file: &SafeTensors<'_>, name: &str) -> Vec<i64> {
    let view = file.tensor(name).unwrap();
    assert_eq!(view.dtype(), safetensors::Dtype::I64, "{name}");
    view.data().as_chunks::<8>().0.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect()
}

/// Values of a tensor in one row.
pub fn values(tensor: &Tensor) -> Vec<f32> {
    Vec::try_from(tensor.to_kind(Kind::Float).flatten(0, -1)).unwrap()
}

/// A hook that keeps the values of what it sees last.
pub fn keep(into: &RefCell<Vec<f32>>) -> impl FnMut(&Tensor) -> probity::Result<()> + '_ {
    move |tensor| {
        *into.borrow_mut() = values(tensor);
        Ok(())
    }
}

pub fn max_abs(values: &[f32]) -> f64 {
    values.iter().map(|value| f64::from(value.abs())).fold(0.0, f64::max)
}

/// Largest |difference|.
pub fn max_difference(ours: &[f32], theirs: &[f32]) -> f64 {
    assert_eq!(ours.len(), theirs.len());
    assert!(ours.iter().all(|value| value.is_finite()));
    ours.iter().zip(theirs).map(|(a, b)| f64::from((a - b).abs())).fold(0.0, f64::max)
}

pub fn ids(value: &serde_json::Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

/// Greedy decoding that no token stops.
pub fn endless(max_tokens: usize) -> Decoding {
    Decoding::new(max_tokens).stop_tokens([])
}

pub fn tokens(answers: Vec<Continuation>) -> Vec<Vec<u32>> {
    answers.into_iter().map(|answer| answer.tokens).collect()
}

/// A folder of the public benchmarks (`../shared/data`, or where `PROBITY_BENCHMARKS` says); where it is absent the
/// test says so and passes.
pub fn benchmark(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("PROBITY_BENCHMARKS").map_or_else(|| root().join("../shared/data"), PathBuf::from);
    let path = folder.join(name);
    if !path.exists() {
        eprintln!("SKIPPED: no benchmark at {}", path.display());
        return None;
    }
    Some(path)
}
