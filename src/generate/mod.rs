//! Cached decoding and scoring of continuations.

mod session;

pub use session::{OptionScores, Session};
