//! What to read from a model and how to reduce it; captured hidden states.
//!
//! A [`Readout`] reads texts; states are pooled at the hook, so memory follows what was asked for.
//! [`Activations`] are plain arrays: whoever has some from elsewhere enters there and needs no model. An
//! [`ActivationStore`] keeps on disk what does not fit into memory, shard by shard, made by one process or many.

mod activations;
mod collector;
mod npy;
mod pool;
mod readout;
mod rows;
mod store;
mod tail;

pub use activations::{Activations, TokenRows};
pub(crate) use collector::Collector;
pub use pool::Pool;
pub use readout::Readout;
pub use store::{ActivationStore, Shard, StoreDtype, StoreWriter};
pub(crate) use tail::Tail;
