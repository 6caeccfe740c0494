//! A decoder on libtorch with its tokeniser and chat template.
//!
//! One generic [`Decoder`] is driven by a [`DecoderConfig`]; each family has one short file that maps its
//! configuration and weight names onto it. Weights come from a GGUF file (feature `gguf`) or a Hugging Face
//! directory.

mod attention;
mod cache;
pub mod config;
mod decoder;
mod family;
pub(crate) mod kernel;
mod load;
mod mlp;
mod network;
mod options;
mod packing;
mod parts;
mod rotary;
mod weights;

pub use cache::KvCache;
pub use config::DecoderConfig;
pub use decoder::{Decoder, LogitsFor};
pub use load::Model;
pub use network::Network;
pub use options::{LoadOptions, Precision};
