//! The vocabulary of places in a decoder, and what can be done there.
//!
//! A [`Site`] is a kind of place, an [`Address`] one exact place, a [`Selection`] a choice of places made
//! before the model is known. [`Hooks`] observe or replace the tensor at an address;
//! an [`Intervention`] is a replacement that can be kept, compared and written down.

mod address;
mod hooks;
mod intervention;
mod selection;
mod site;

pub use address::{Address, Geometry};
pub use hooks::Hooks;
pub use intervention::Intervention;
pub use selection::Selection;
pub use site::Site;
