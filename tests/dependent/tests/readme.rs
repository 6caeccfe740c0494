//! The program of the README's "As a dependency": it stands there to the letter, and it runs.

use std::path::Path;
use std::process::Command;

const MODEL: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

#[test]
fn the_readme_shows_this_program() {
    let (program, readme) = (read("tests/dependent/src/main.rs"), read("README.md"));
    let blocks = readme.split("```rust").skip(1).filter_map(|after| after.split_once('\n')?.1.split_once("```"));
    assert!(blocks.map(|(code, _)| code).any(|code| code == program), "README.md does not hold src/main.rs");
    assert_eq!(read("tests/dependent/build.rs"), read("build.rs"), "the README says to copy it");
}

#[cfg(unix)]
#[test]
fn the_program_runs_on_a_real_model() {
    let model = root().join(".models").join(MODEL);
    if !model.exists() {
        assert!(std::env::var_os("PROBITY_REQUIRE_MODEL").is_none(), "{MODEL} is missing: run `make setup`");
        return eprintln!("SKIPPED: no model at {} (`make setup` fetches it)", model.display());
    }
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(&model, folder.path().join(MODEL)).unwrap();
    // Where it starts there is nothing but the model, as with a dependant.
    let run = Command::new(env!("CARGO_BIN_EXE_probity-dependent")).current_dir(folder.path()).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    assert!(folder.path().join("out/report.json").is_file());
}
