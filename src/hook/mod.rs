//! The vocabulary of places in a decoder, and what can be done there.
//!
//! A [`Site`] is a kind of place, an [`Address`] one exact place, a [`Selection`] a choice of places made
//! before the model is known. [`Hooks`] observe or replace the tensor at an address.

mod address;
mod hooks;
mod selection;
mod site;

pub use address::{Address, Geometry};
pub use hooks::Hooks;
pub use selection::Selection;
pub use site::Site;
