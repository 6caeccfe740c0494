//! The example programs as processes.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output};
use std::time::SystemTime;

use crate::made::Folder;
use crate::root;

/// An example program. A plain `cargo test` builds them all first; `cargo test --test programs` builds none.
pub fn example(name: &str) -> Command {
    let tests = std::env::current_exe().unwrap();
    let programs = tests.parent().and_then(Path::parent).unwrap().join("examples");
    let program = programs.join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    let built = program.metadata().and_then(|built| built.modified());
    let (file, folder) = (format!("examples/{name}.rs"), format!("examples/{name}"));
    let own = if root().join(&folder).is_dir() { folder } else { file };
    let parts = ["src", "examples/common", own.as_str()];
    let sources = parts.iter().filter_map(|part| newest(&root().join(part))).max();
    let fresh = built.is_ok_and(|built| Some(built) >= sources);
    assert!(fresh, "{} is missing or older than its sources: run `cargo build --examples`", program.display());
    Command::new(program)
}

/// When a Rust file there was last written.
fn newest(path: &Path) -> Option<SystemTime> {
    if path.is_dir() {
        return std::fs::read_dir(path).unwrap().filter_map(|entry| newest(&entry.unwrap().path())).max();
    }
    let written = || path.metadata().unwrap().modified().unwrap();
    path.extension().is_some_and(|extension| extension == "rs").then(written)
}

pub fn run(name: &str, arguments: &[&str]) -> Output {
    example(name).args(arguments).current_dir(root()).output().unwrap()
}

#[track_caller]
pub fn succeeds(name: &str, arguments: &[&str]) -> String {
    let output = run(name, arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name} {arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a program that must fail with a message that holds all of `says`, and without a trace in `folder`:
/// neither `out` nor a temporary file.
#[track_caller]
pub fn fails(name: &str, arguments: &[&str], folder: &Folder, says: &[&str]) {
    let before = folder.names();
    let output = run(name, arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    // 2 for a value that is no value of its option, 1 for what the run found wrong.
    let code = if errors.contains("error: invalid value") { 2 } else { 1 };
    assert_eq!(output.status.code(), Some(code), "{name} {arguments:?}: {errors}");
    assert!(!errors.contains("panicked"), "{errors}");
    assert!(errors.lines().any(|line| line.starts_with("error: ")), "{errors}");
    for part in says {
        assert!(errors.contains(part), "{part:?} is not in: {errors}");
    }
    assert_eq!(folder.names(), before, "{name} {arguments:?} left something behind");
}

pub fn display(path: PathBuf) -> String {
    path.display().to_string()
}

/// The end of a program that makes a text: written into a file, or printed where there is none.
pub fn end(made: probity::Result<String>, out: Option<&Path>) -> ExitCode {
    let written = made.and_then(|text| match out {
        Some(path) => std::fs::write(path, text).map_err(probity::Error::io("write", path)),
        None => {
            print!("{text}");
            Ok(())
        }
    });
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
