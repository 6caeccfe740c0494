//! probity
#![deny(missing_docs)]
#![deny(unsafe_code)]

mod error;
mod file;
mod progress;

pub mod capture;
pub mod dialogue;
pub mod generate;
pub mod hook;
pub mod level;
pub mod model;
pub mod probe;
pub mod report;
pub mod stats;
pub mod task;
pub mod text;

pub use error::{Error, Place, Result};
pub use model::Model;
pub use progress::Progress;
