//! The one error type: what was wrong, where, and what to do.

use std::fmt;
use std::path::{Path, PathBuf};

mod held;

pub(crate) use crate::names::nearest;
pub use held::{
    BadAddress, Cause, Io, Malformed, MissingTensor, NoSuchAddress, NotFinite, Place, Problem, RowCount, Setting,
    TensorShape, TextLength, UnknownId, UnsupportedArchitecture, UnsupportedSetting,
};

/// Result of every fallible call of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong, with the values that a caller needs to mend it.
///
/// What a variant holds is one of the structs of this module, on the heap, so that a [`Result`] stays small. A cause, where
/// there is one, is told by [`source`](std::error::Error::source) and not by `Display` too: print the chain.
///
/// ```
/// use probity::{hook::Selection, Error};
/// match "resid_pots".parse::<Selection>() {
///     Err(Error::Setting(setting)) => assert_eq!((setting.name, setting.value.as_str()), ("sites", "resid_pots")),
///     other => panic!("{other:?}"),
/// }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be opened, read or written.
    #[error(transparent)]
    Io(Box<Io>),
    /// A file is damaged or is not in the format that its use asks for.
    #[error(transparent)]
    Malformed(Box<Malformed>),
    /// A model file lacks a tensor that its configuration promises.
    #[error("{path}: tensor {:?} is missing; nearest names: {}", .0.tensor, list(&.0.nearest), path = .0.path.display())]
    MissingTensor(Box<MissingTensor>),
    /// A tensor in a file, or one that a hook returned, has another shape than it must.
    #[error("tensor {:?} has shape {:?}, expected {:?}{}", .0.tensor, .0.found, .0.expected, of_file(&.0.path))]
    TensorShape(Box<TensorShape>),
    /// The model's family is not one that this crate implements.
    #[error(
        "{path}: architecture {:?} is not supported; supported: {}",
        .0.found, list(&.0.supported), path = .0.path.display()
    )]
    UnsupportedArchitecture(Box<UnsupportedArchitecture>),
    /// A configuration value that the decoder does not implement; loading would give wrong states.
    #[error(
        "{path}: {} = {} is not supported; supported: {}",
        .0.key, .0.value, .0.supported, path = .0.path.display()
    )]
    UnsupportedSetting(Box<UnsupportedSetting>),
    /// A text that is no address.
    #[error("{:?} is no address: {} (examples: \"L12.resid_post\", \"L5.head_out.h3\", \"embed\")", .0.text, .0.problem)]
    BadAddress(Box<BadAddress>),
    /// An address that the model does not have.
    #[error("the model has no address {:?}; nearest: {}", .0.address, list(&.0.nearest))]
    UnknownAddress(Box<NoSuchAddress>),
    /// A hook's address exists but the forward pass did not reach it.
    #[error(
        "the hook at {:?} never fired; nearest addresses that were reached: {}",
        .0.address, list(&.0.nearest)
    )]
    HookNeverFired(Box<NoSuchAddress>),
    /// A text has more tokens than the model's context, or none at all.
    #[error("{} has {} tokens; {}: shorten or split the text", .0.what, .0.tokens, takes(.0.context))]
    TextLength(Box<TextLength>),
    /// The tokeniser refused; what it said.
    #[error("tokeniser: {0}")]
    Tokenizer(Box<str>),
    /// The chat template refused the messages; what it said.
    #[error("chat template: {0}")]
    Template(Box<str>),
    /// The model comes without a chat template, and the call needs one.
    #[error("the model has no chat template; use an instruction-tuned model, or set one with Model::with_template")]
    NoTemplate,
    /// A label file names an id that the activations do not have.
    #[error("{path}:{}: id {:?} is not in the activations", .0.line, .0.id, path = .0.path.display())]
    UnknownId(Box<UnknownId>),
    /// Two inputs that must describe the same rows do not.
    #[error("{}: {} rows, expected {}", .0.what, .0.found, .0.expected)]
    RowCount(Box<RowCount>),
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
    #[error("fitting {}: {}", .0.what, .0.problem)]
    Fit(Box<Problem>),
    /// A value is NaN or infinite.
    #[error("{}, row {} ({}): not finite; the model overflowed or the file is damaged", .0.what, .0.row, .0.id)]
    NotFinite(Box<NotFinite>),
    /// A setting outside its range.
    #[error("{} = {}: {}", .0.name, .0.value, .0.expected)]
    Setting(Box<Setting>),
    /// Results that do not belong together: another model, address or width.
    #[error("{} does not fit: {}", .0.what, .0.problem)]
    Mismatch(Box<Problem>),
    /// libtorch refused an operation; the source says why.
    #[error("libtorch refused an operation")]
    Torch(#[source] Box<tch::TchError>),
}

impl Error {
    /// [`Error::Setting`], for networks and feedback of your own.
    pub fn setting(name: &'static str, value: impl fmt::Display, expected: impl Into<String>) -> Error {
        Error::Setting(Box::new(Setting { name, value: value.to_string(), expected: expected.into() }))
    }

    /// [`Error::Mismatch`], for networks and feedback of your own.
    pub fn mismatch(what: impl Into<String>, problem: impl Into<String>) -> Error {
        Error::Mismatch(Box::new(Problem { what: what.into(), problem: problem.into() }))
    }

    /// [`Error::Template`], for feedback of your own that a template does not take.
    pub fn template(problem: impl Into<Box<str>>) -> Error {
        Error::Template(problem.into())
    }

    /// A closure for `map_err` that makes [`Error::Io`]: what was to be done with `path`, in one word, such as "read".
    pub fn io<'p>(action: &'static str, path: &'p Path) -> impl FnOnce(std::io::Error) -> Error + 'p {
        move |source| Error::Io(Box::new(Io { path: path.to_owned(), action, source }))
    }

    /// A closure for `map_err` on arrays of `what` that do not fit together.
    pub(crate) fn misshapen(what: impl fmt::Display) -> impl FnOnce(ndarray::ShapeError) -> Error {
        move |error| Error::mismatch(what.to_string(), error.to_string())
    }

    pub(crate) fn malformed(path: &Path, place: Place, problem: impl fmt::Display) -> Error {
        let problem = problem.to_string();
        Error::Malformed(Box::new(Malformed { path: path.to_owned(), place, problem, source: None }))
    }

    /// [`Error::malformed`] with what a parser said as the source.
    pub(crate) fn unparsed(
        path: &Path,
        place: Place,
        problem: impl fmt::Display,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> Error {
        let (problem, source) = (problem.to_string(), Some(Box::new(source) as Cause));
        Error::Malformed(Box::new(Malformed { path: path.to_owned(), place, problem, source }))
    }

    /// [`Error::unparsed`] for a JSON file, with the line that the parser names.
    pub(crate) fn json(path: &Path, source: serde_json::Error) -> Error {
        Error::unparsed(path, Place::Line(source.line() as u64), "is not the JSON that belongs here", source)
    }

    pub(crate) fn missing_tensor(path: &Path, tensor: impl Into<String>, nearest: Vec<String>) -> Error {
        Error::MissingTensor(Box::new(MissingTensor { path: path.to_owned(), tensor: tensor.into(), nearest }))
    }

    pub(crate) fn tensor_shape(
        path: Option<&Path>,
        tensor: impl Into<String>,
        expected: Vec<i64>,
        found: Vec<i64>,
    ) -> Error {
        let path = path.map(Path::to_owned);
        Error::TensorShape(Box::new(TensorShape { path, tensor: tensor.into(), expected, found }))
    }

    pub(crate) fn unsupported_architecture(path: &Path, found: impl Into<String>, supported: Vec<String>) -> Error {
        let path = path.to_owned();
        Error::UnsupportedArchitecture(Box::new(UnsupportedArchitecture { path, found: found.into(), supported }))
    }

    pub(crate) fn unsupported_setting(
        path: &Path,
        key: impl Into<String>,
        value: impl Into<String>,
        supported: impl Into<String>,
    ) -> Error {
        let (path, key, value, supported) = (path.to_owned(), key.into(), value.into(), supported.into());
        Error::UnsupportedSetting(Box::new(UnsupportedSetting { path, key, value, supported }))
    }

    pub(crate) fn bad_address(text: impl Into<String>, problem: impl Into<String>) -> Error {
        Error::BadAddress(Box::new(BadAddress { text: text.into(), problem: problem.into() }))
    }

    pub(crate) fn unknown_address(address: impl Into<String>, nearest: Vec<String>) -> Error {
        Error::UnknownAddress(Box::new(NoSuchAddress { address: address.into(), nearest }))
    }

    pub(crate) fn hook_never_fired(address: impl Into<String>, nearest: Vec<String>) -> Error {
        Error::HookNeverFired(Box::new(NoSuchAddress { address: address.into(), nearest }))
    }

    pub(crate) fn text_length(what: impl Into<String>, tokens: usize, context: usize) -> Error {
        Error::TextLength(Box::new(TextLength { what: what.into(), tokens, context }))
    }

    pub(crate) fn unknown_id(path: &Path, line: u64, id: impl Into<String>) -> Error {
        Error::UnknownId(Box::new(UnknownId { path: path.to_owned(), line, id: id.into() }))
    }

    pub(crate) fn row_count(what: impl Into<String>, expected: usize, found: usize) -> Error {
        Error::RowCount(Box::new(RowCount { what: what.into(), expected, found }))
    }

    /// [`Error::Fit`], for kinds of probe of your own.
    pub fn fit(what: impl Into<String>, problem: impl Into<String>) -> Error {
        Error::Fit(Box::new(Problem { what: what.into(), problem: problem.into() }))
    }

    pub(crate) fn not_finite(what: impl Into<String>, row: usize, id: impl Into<String>) -> Error {
        Error::NotFinite(Box::new(NotFinite { what: what.into(), row, id: id.into() }))
    }
}

impl From<tch::TchError> for Error {
    fn from(error: tch::TchError) -> Error {
        Error::Torch(Box::new(error))
    }
}

/// Fails unless there are as many rows of `what` as expected.
pub(crate) fn check_rows(what: &str, found: usize, expected: usize) -> Result<()> {
    match found == expected {
        true => Ok(()),
        false => Err(Error::row_count(what, expected, found)),
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

#[cfg(test)]
mod tests {
    use super::Error;

    #[test]
    fn an_error_is_small_and_told_once() {
        assert!(std::mem::size_of::<Error>() <= 24, "{}", std::mem::size_of::<Error>());
        let source = std::io::Error::other("the disk is gone");
        let error = Error::io("read", std::path::Path::new("a/b"))(source);
        assert_eq!(error.to_string(), "cannot read a/b");
        assert_eq!(std::error::Error::source(&error).map(ToString::to_string), Some("the disk is gone".to_owned()));
    }
}
