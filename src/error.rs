//! The one error type: what was wrong, where, and what to do.

use std::fmt;
use std::path::{Path, PathBuf};

/// Result of every fallible call of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The place inside a file that an error is about.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// The file as a whole.
    File,
    /// A line, counted from 1.
    Line(u64),
    /// A named field, key or tensor.
    Entry(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File => Ok(()),
            Place::Line(line) => write!(f, ":{line}"),
            Place::Entry(name) => write!(f, ", at {name:?}"),
        }
    }
}

/// Everything that can go wrong, with the values that a caller needs to mend it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be opened, read or written.
    #[error("{path}: {source}", path = .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A file is damaged or is not in the format that its use asks for.
    #[error("{path}{place}: {problem}", path = .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where in the file.
        place: Place,
        /// What is wrong there.
        problem: String,
    },
    /// A model file lacks a tensor that its configuration promises.
    #[error("{path}: tensor {tensor:?} is missing; nearest names: {}", list(.nearest), path = .path.display())]
    MissingTensor {
        /// The file or directory.
        path: PathBuf,
        /// The name looked for.
        tensor: String,
        /// The most similar names present.
        nearest: Vec<String>,
    },
    /// A tensor in a file, or one that a hook returned, has another shape than it must.
    #[error("tensor {tensor:?} has shape {found:?}, expected {expected:?}{}", of_file(.path))]
    TensorShape {
        /// The file, if the tensor comes from one.
        path: Option<PathBuf>,
        /// The tensor's name or address.
        tensor: String,
        /// The shape that was expected.
        expected: Vec<i64>,
        /// The shape that was found.
        found: Vec<i64>,
    },
    /// The model's family is not one that this crate implements.
    #[error("{path}: architecture {found:?} is not supported; supported: {}", list(.supported), path = .path.display())]
    UnsupportedArchitecture {
        /// The configuration file.
        path: PathBuf,
        /// What it names.
        found: String,
        /// What could be loaded.
        supported: Vec<String>,
    },
    /// A configuration value that the decoder does not implement; loading would give wrong states.
    #[error("{path}: {key} = {value} is not supported; supported: {supported}", path = .path.display())]
    UnsupportedSetting {
        /// The configuration file.
        path: PathBuf,
        /// The key.
        key: String,
        /// Its value.
        value: String,
        /// The values that are implemented.
        supported: String,
    },
    /// A text that is no address.
    #[error("{text:?} is no address: {problem} (examples: \"L12.resid_post\", \"L5.head_out.h3\", \"embed\")")]
    BadAddress {
        /// The text.
        text: String,
        /// What is wrong with it.
        problem: String,
    },
    /// An address that the model does not have.
    #[error("the model has no address {address:?}; nearest: {}", list(.nearest))]
    UnknownAddress {
        /// The address asked for.
        address: String,
        /// The nearest valid addresses.
        nearest: Vec<String>,
    },
    /// A hook's address exists but the forward pass did not reach it.
    #[error("the hook at {address:?} never fired; nearest addresses that were reached: {}", list(.nearest))]
    HookNeverFired {
        /// The address of the hook.
        address: String,
        /// The nearest addresses that the pass went through.
        nearest: Vec<String>,
    },
    /// A text has more tokens than the model's context, or none at all.
    #[error("{what} has {tokens} tokens; {}: shorten or split the text", takes(*.context))]
    TextLength {
        /// Which text, by its id.
        what: String,
        /// Its tokens.
        tokens: usize,
        /// The model's context length in tokens; `usize::MAX` where no model is at hand.
        context: usize,
    },
    /// The tokeniser refused.
    #[error("tokeniser: {0}")]
    Tokenizer(String),
    /// The chat template refused the messages.
    #[error("chat template: {0}")]
    Template(String),
    /// The model comes without a chat template, and the call needs one.
    #[error("the model has no chat template; use an instruction-tuned model, or set one with Model::with_template")]
    NoTemplate,
    /// A label file names an id that the activations do not have.
    #[error("{path}:{line}: id {id:?} is not in the activations", path = .path.display())]
    UnknownId {
        /// The label file.
        path: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// The id.
        id: String,
    },
    /// Two inputs that must describe the same rows do not.
    #[error("{what}: {found} rows, expected {expected}")]
    RowCount {
        /// Which input.
        what: String,
        /// The rows it must have.
        expected: usize,
        /// The rows it has.
        found: usize,
    },
    /// A probe needs both classes, in its training part and in its test part.
    #[error(
        "{part} part has only label {label}: give both moral (0) and immoral (1) examples, in at least two groups each"
    )]
    OneClass {
        /// "training" or "test" (or "whole").
        part: &'static str,
        /// The only label there is.
        label: u8,
    },
    /// The estimator gave no result.
    #[error("fitting {what}: {problem}")]
    Fit {
        /// The address or array.
        what: String,
        /// What the estimator said.
        problem: String,
    },
    /// A value is NaN or infinite.
    #[error("{what}, row {row} ({id}): not finite; the model overflowed or the file is damaged")]
    NotFinite {
        /// The address or array.
        what: String,
        /// The row, counted from 0.
        row: usize,
        /// The row's id.
        id: String,
    },
    /// A setting outside its range.
    #[error("{name} = {value}: {expected}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// The value given.
        value: String,
        /// What it must be.
        expected: String,
    },
    /// Results that do not belong together: another model, address or width.
    #[error("{what} does not fit: {problem}")]
    Mismatch {
        /// Which thing.
        what: String,
        /// Why it was refused.
        problem: String,
    },
    /// libtorch refused an operation.
    #[error("libtorch: {0}")]
    Torch(#[from] tch::TchError),
}

impl Error {
    /// A closure for `map_err` on I/O results about `path`.
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Error + '_ {
        move |source| Error::Io { path: path.to_owned(), source }
    }

    pub(crate) fn malformed(path: &Path, place: Place, problem: impl fmt::Display) -> Error {
        Error::Malformed { path: path.to_owned(), place, problem: problem.to_string() }
    }

    pub(crate) fn setting(name: &'static str, value: impl fmt::Display, expected: impl Into<String>) -> Error {
        Error::Setting { name, value: value.to_string(), expected: expected.into() }
    }
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}

fn takes(context: usize) -> String {
    match context {
        usize::MAX => "at least 1 is needed".to_owned(),
        context => format!("the model takes 1 to {context}"),
    }
}

fn of_file(path: &Option<PathBuf>) -> String {
    path.as_ref().map(|path| format!(" (in {})", path.display())).unwrap_or_default()
}

/// The up to three of `names` that are most similar to `wanted`, for error messages.
pub(crate) fn nearest(wanted: &str, names: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut ranked: Vec<(usize, String)> = names.into_iter().map(|name| (edit_distance(wanted, &name), name)).collect();
    ranked.sort();
    ranked.dedup();
    ranked.into_iter().take(3).map(|(_, name)| name).collect()
}

/// Levenshtein distance over bytes.
fn edit_distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
