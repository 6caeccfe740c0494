//! The program `capture_store` killed at any moment, in parts, and refusing.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::made::Folder;
use common::programs::{display, example, fails, succeeds};
use common::{fixture, root};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const KILLS: u64 = 50;
const SHARDS: usize = 24;

/// A table of texts for so many shards of three.
fn texts(folder: &Folder) -> String {
    let row = |n: usize| format!("t{n},we met again on day {n}{},g{}\n", " again".repeat(n % 8), n / 2);
    let rows: String = (0..SHARDS * 3 - 1).map(row).collect();
    display(folder.write("texts.csv", format!("id,text,group\n{rows}")))
}

fn arguments(texts: &str, out: &Path) -> Vec<String> {
    let model = display(fixture("tiny_llama/tied"));
    let files = ["--model", &model, "--texts", texts, "--out", &display(out.to_owned())].map(str::to_owned);
    let options = ["--sites", "resid_post,z,mlp_act", "--dtype", "bf16", "--shard-texts", "3"].map(str::to_owned);
    [files, options].concat()
}

/// The program on one thread: on busy machines the threads of tiny products wait for each other most of the time.
fn program(arguments: &[String]) -> Command {
    let mut program = example("capture_store");
    program.args(arguments).current_dir(root()).env("OMP_NUM_THREADS", "1");
    program
}

fn begin(arguments: &[String]) -> Child {
    program(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn finish(arguments: &[String]) {
    let output = program(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Names and bytes of all files of a folder.
fn content(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let names = Folder::names_of(folder).into_iter();
    names.map(|name| (name.clone(), std::fs::read(folder.join(name)).unwrap())).collect()
}

/// How many shards a folder has.
fn shards(out: &Path) -> usize {
    match out.is_dir() {
        true => Folder::names_of(out).iter().filter(|name| name.starts_with("shard-")).count(),
        false => 0,
    }
}

#[test]
fn killed_fifty_times_and_run_again_it_writes_the_same_bytes() {
    let folder = Folder::new();
    let texts = texts(&folder);
    let whole = folder.join("whole");
    let begun = Instant::now();
    finish(&arguments(&texts, &whole));
    let takes = begun.elapsed();
    let expected = content(&whole);
    assert_eq!(expected.len(), SHARDS + 1);

    let (mut interrupted, mut leavings) = (0, 0);
    for seed in 0..KILLS {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let out = folder.join(&format!("killed-{seed}"));
        let arguments = arguments(&texts, &out);
        let mut program = begin(&arguments);
        // Loading takes most of the time: every fifth at a moment of it all, the others in the midst of the shards.
        if seed % 5 == 0 {
            std::thread::sleep(takes.mul_f64(random.gen()));
        } else {
            let wanted = random.gen_range(0..SHARDS);
            while shards(&out) < wanted && program.try_wait().unwrap().is_none() {
                std::thread::sleep(Duration::from_micros(50));
            }
            std::thread::sleep(Duration::from_micros(random.gen_range(0..4_000)));
        }
        program.kill().unwrap();
        program.wait().unwrap();
        let there = shards(&out);
        interrupted += usize::from(there > 0 && there < SHARDS);
        leavings +=
            usize::from(out.is_dir() && Folder::names_of(&out).iter().any(|name| name.starts_with(".partial-")));
        finish(&arguments);
        assert!(content(&out) == expected, "kill {seed}, after {there} shards");
        std::fs::remove_dir_all(&out).unwrap();
    }
    println!("{interrupted} of {KILLS} kills among the shards, {leavings} within a file; a run takes {takes:?}");
    assert!(interrupted >= 20, "only {interrupted} kills hit the work itself");
}

#[test]
fn parts_of_three_processes_merge_to_one_process_even_when_the_merge_is_killed() {
    let folder = Folder::new();
    let texts = texts(&folder);
    let whole = folder.join("whole");
    finish(&arguments(&texts, &whole));
    let parts: Vec<PathBuf> = (0..3).map(|part| folder.join(&format!("part-{part}"))).collect();
    let mut processes: Vec<Child> = Vec::new();
    for (part, out) in parts.iter().enumerate() {
        let shard = ["--shard".to_owned(), format!("{part}/3")];
        processes.push(begin(&[&arguments(&texts, out)[..], &shard].concat()));
    }
    assert!(processes.iter_mut().all(|process| process.wait().unwrap().success()));
    let list = parts.iter().map(|part| part.display().to_string()).collect::<Vec<_>>().join(",");
    for seed in 0..5 {
        let out = folder.join(&format!("merged-{seed}"));
        let merge = ["--merge", &list, "--out", &display(out.clone())].map(str::to_owned);
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut program = begin(&merge);
        let wanted = random.gen_range(0..SHARDS);
        while shards(&out) < wanted && program.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        program.kill().unwrap();
        program.wait().unwrap();
        finish(&merge);
        assert!(content(&out) == content(&whole), "merge {seed}");
        let told = succeeds("capture_store", &["--verify", "--out", &display(out)]);
        assert!(told.contains(&format!("{SHARDS} of {SHARDS} shards")), "{told}");
    }
}

/// A bash script with these variables.
fn bash(arguments: &[&str], variables: &[(&str, String)]) {
    let mut bash = Command::new("bash");
    let output = bash.args(arguments).envs(variables.iter().cloned()).env("OMP_NUM_THREADS", "1").output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[cfg(unix)]
#[test]
fn the_recipes_make_the_same_store() {
    let folder = Folder::new();
    let texts = texts(&folder);
    let model = display(fixture("tiny_llama/tied"));
    let whole = folder.join("whole");
    let plain = ["--model", &model, "--texts", &texts, "--dtype", "bf16", "--out", &display(whole.clone())];
    finish(&plain.map(str::to_owned));

    let script = display(root().join("recipes/slurm-array.sh"));
    let program = display(example("capture_store").get_program().into());
    let own = |name: &'static str, value: &str| {
        let out = display(folder.join("slurm"));
        let shared = [("PROGRAM", program.clone()), ("MODEL", model.clone()), ("TEXTS", texts.clone()), ("OUT", out)];
        let small = ("OPTIONS", "--dtype bf16".to_owned());
        let task = [(name, value.to_owned()), ("SLURM_ARRAY_TASK_COUNT", "3".to_owned()), small];
        [&shared[..], &task].concat()
    };
    for task in ["0", "1", "2"] {
        bash(&[&script], &own("SLURM_ARRAY_TASK_ID", task));
    }
    bash(&[&script], &own("JOB", "merge"));
    assert!(content(&folder.join("slurm")) == content(&whole));

    // What the pods run, with other paths: the blocks after "- |".
    let recipe = std::fs::read_to_string(root().join("recipes/kubernetes-indexed-job.yaml")).unwrap();
    let block = |after: &str| {
        let first = after.lines().nth(1).unwrap();
        let indent = &first[..first.len() - first.trim_start().len()];
        let text = after.lines().skip(1).map_while(|line| line.strip_prefix(indent)).collect::<Vec<_>>().join("\n");
        let text = text.replace("/store/model", &model).replace("/store", &display(folder.path().to_owned()));
        text.replace("capture_store --", &format!("{program} --"))
    };
    let blocks: Vec<String> = recipe.split("- |").skip(1).map(block).collect();
    let [capture, merge] = blocks.as_slice() else { panic!("{blocks:?}") };
    for pod in 0..16 {
        bash(&["-euc", capture], &[("JOB_COMPLETION_INDEX", pod.to_string())]);
    }
    bash(&["-euc", merge], &[]);
    assert!(content(&folder.join("acts")) == content(&whole));
}

#[test]
fn it_refuses_what_it_cannot_do() {
    let folder = Folder::new();
    let texts = texts(&folder);
    let out = folder.join("out");
    let store = display(out.clone());
    let fail = |more: &[&str], says: &[&str]| {
        let all = arguments(&texts, &out);
        let all: Vec<&str> = all.iter().map(String::as_str).chain(more.iter().copied()).collect();
        fails("capture_store", &all, &folder, says);
    };
    fail(&["--shard", "3/3"], &["shard = 3/3", "0/4"]);
    fail(&["--devices", "cpu,tpu:0"], &["--devices = tpu:0", "cuda:0"]);
    fail(&["--parquet", "acts.parquet", "--devices", "gpu"], &["--devices = gpu"]);
    let others = Folder::new();
    let none = display(others.join("none"));
    fails("capture_store", &["--verify", "--out", &none], &folder, &["store.json", "No such file"]);
    fails("capture_store", &["--merge", &none, "--out", &store], &folder, &["none", "store.json"]);

    finish(&arguments(&texts, &out));
    let before = content(&out);
    let mut other = arguments(&texts, &out);
    let place = other.iter().position(|argument| argument == "bf16").unwrap();
    other[place] = "f16".to_owned();
    let other: Vec<&str> = other.iter().map(String::as_str).collect();
    fails("capture_store", &other, &folder, &["other settings (dtype: bf16, not f16)"]);
    other_dtype(&folder, &texts);
    assert!(content(&out) == before, "a refused store is left alone");

    let name = "shard-00003.safetensors";
    let mut bytes = folder.read(&format!("out/{name}"));
    let end = bytes.len();
    bytes[end - 1] ^= 4;
    std::fs::write(out.join(name), bytes).unwrap();
    std::fs::remove_file(out.join("shard-00005.safetensors")).unwrap();
    let says = ["shard-00005.safetensors: No such file", name, "damaged"];
    fails("capture_store", &["--verify", "--out", &store], &folder, &says);
}

fn other_dtype(folder: &Folder, texts: &str) {
    let model = display(fixture("tiny_llama/tied"));
    let new = display(folder.join("new"));
    let arguments = ["--model", &model, "--texts", texts, "--out", &new, "--dtype", "f64"];
    fails("capture_store", &arguments, folder, &["dtype = f64", "f32, bf16, f16"]);
}
