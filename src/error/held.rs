//! What the variants of [`Error`](super::Error) hold.

use std::fmt;
use std::path::PathBuf;

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

/// What a parser said of a file.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// What [`crate::Error::Io`] holds.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[error("cannot {action} {path}", path = .path.display())]
pub struct Io {
    /// The file or folder.
    pub path: PathBuf,
    /// What was to be done with it: "read", "write", "list" and so on.
    pub action: &'static str,
    /// What the operating system said.
    pub source: std::io::Error,
}

/// What [`crate::Error::Malformed`] holds.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[error("{path}{place}: {problem}", path = .path.display())]
pub struct Malformed {
    /// The file.
    pub path: PathBuf,
    /// Where in the file.
    pub place: Place,
    /// What is wrong there.
    pub problem: String,
    /// What a parser said, where one refused.
    pub source: Option<Cause>,
}

/// What [`crate::Error::MissingTensor`] holds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MissingTensor {
    /// The file or directory.
    pub path: PathBuf,
    /// The name looked for.
    pub tensor: String,
    /// The most similar names present.
    pub nearest: Vec<String>,
}

/// What [`crate::Error::TensorShape`] holds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TensorShape {
    /// The file, if the tensor comes from one.
    pub path: Option<PathBuf>,
    /// The tensor's name or address.
    pub tensor: String,
    /// The shape that was expected.
    pub expected: Vec<i64>,
    /// The shape that was found.
    pub found: Vec<i64>,
}

/// What [`crate::Error::UnsupportedArchitecture`] holds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnsupportedArchitecture {
    /// The configuration file.
    pub path: PathBuf,
    /// What it names.
    pub found: String,
    /// What could be loaded.
    pub supported: Vec<String>,
}

/// What [`crate::Error::UnsupportedSetting`] holds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnsupportedSetting {
    /// The configuration file.
    pub path: PathBuf,
    /// The key.
    pub key: String,
    /// Its value.
    pub value: String,
    /// The values that are implemented.
    pub supported: String,
}

/// What [`crate::Error::BadAddress`] holds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BadAddress {
    /// The text.
    pub text: String,
    /// What is wrong with it.
    pub problem: String,
}

/// What [`crate::Error::UnknownAddress`] and [`crate::Error::HookNeverFired`] hold.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NoSuchAddress {
    /// The address asked for.
    pub address: String,
    /// The nearest addresses that are there, or were reached.
    pub nearest: Vec<String>,
}

/// What [`crate::Error::TextLength`] holds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TextLength {
    /// Which text, by its id.
    pub what: String,
    /// Its tokens.
    pub tokens: usize,
    /// The model's context length in tokens; `usize::MAX` where no model is at hand.
    pub context: usize,
}

/// What [`crate::Error::UnknownId`] holds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnknownId {
    /// The label file.
    pub path: PathBuf,
    /// The line, counted from 1.
    pub line: u64,
    /// The id.
    pub id: String,
}

/// What [`crate::Error::RowCount`] holds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RowCount {
    /// Which input.
    pub what: String,
    /// The rows it must have.
    pub expected: usize,
    /// The rows it has.
    pub found: usize,
}

/// What [`crate::Error::NotFinite`] holds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NotFinite {
    /// The address or array.
    pub what: String,
    /// The row, counted from 0.
    pub row: usize,
    /// The row's id.
    pub id: String,
}

/// What [`crate::Error::Setting`] holds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Setting {
    /// The setting.
    pub name: &'static str,
    /// The value given.
    pub value: String,
    /// What it must be.
    pub expected: String,
}

/// What [`crate::Error::Mismatch`] and [`crate::Error::Fit`] hold.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// Which thing: an input, an address, an array.
    pub what: String,
    /// Why it was refused.
    pub problem: String,
}
