//! Cached reading, scoring of given continuations, and generation.

mod continuation;
mod decoding;
mod sampler;
mod score;
mod session;

pub use continuation::{Continuation, End};
pub use decoding::Decoding;
pub use score::OptionScores;
pub use session::Session;
