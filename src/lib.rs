//! Mechanistic probing of moral self-correction in language models.
//!
//! When a model is told to correct itself, does the immorality in its hidden states go down, or only in its
//! words (arXiv 2407.15286)? This crate reads the hidden states of libtorch decoders through hooks, trains
//! linear probes on them, follows them over rounds of self-correction, and judges the change with paired,
//! clustered intervals, nulls and a control instruction. Its verdict may be "insufficient evidence".
//!
//! ```no_run
//! use probity::prelude::*;
//!
//! fn main() -> probity::Result<()> {
//!     let model = Model::load("SmolLM2-135M-Instruct.Q4_1.gguf")?; // or a Hugging Face directory
//!     let instructions = [Instruction::named("L1")?, Instruction::named("neutral")?];
//!     let questions = ChoiceTask::bundled()?.limit(32, 7); // of 96
//!     let protocol = SelfCorrection::new(questions).instructions(instructions).rounds(3);
//!     let findings = Experiment::new(protocol).seed(7).run(&model)?;
//!     for verdict in &findings.report.verdicts {
//!         println!("{}: {}", verdict.condition, verdict.kind);
//!     }
//!     findings.write_dir("out") // report.html, report.json, levels.csv, probes, transcripts
//! }
//! ```
//!
//! The [`guide`] shows everything else, one topic a page. [`prelude`] brings what most programs need.
//!
//! # The house
//!
//! One room a job. Nothing earlier in this list knows what is later.
//!
//! | module | its one job |
//! |---|---|
//! | [`error`], `names` | what was wrong, where, and what to do; choosing by name |
//! | [`Progress`], [`Provenance`] | how far long work is; what a result was made from |
//! | [`Condition`], [`Design`] | which instruction in which round, and what it is compared with |
//! | `file` | files that appear whole or not at all, hashes, JSON lines |
//! | [`stats`] | bootstrap, tests, intervals, AUROC, nulls, and the settings of all; knows nothing of models |
//! | `solve` | penalised logistic regression with a proven optimum |
//! | [`hook`] | the vocabulary of places in a decoder, and what can be done there |
//! | [`text`] | texts and their labels, tokeniser, chat template, spans, padded batches |
//! | [`model`] | one generic decoder on libtorch; a short file per family; weights from GGUF or Hugging Face |
//! | [`generate`] | cached reading, scoring and continuing of growing texts |
//! | [`capture`] | what to read, pooled at the hook; states in memory, in files, in stores |
//! | [`scorer`] | judges of text that are independent of the probes |
//! | [`probe`] | linear probes: split, fit, direction, held-out evaluation, validity |
//! | [`task`] | questions and texts to continue, answers, and what these say about behaviour |
//! | [`dialogue`] | instructions, transcripts, rounds, and the states read on the way |
//! | [`level`] | level of immorality, its changes, nulls, the checks and the verdict |
//! | [`causal`] | interventions along a direction; what each part of the model adds to a projection |
//! | [`report`] | results as data, as JSON and as a page |
//! | [`experiment`] | the call: from model, questions and instructions to a report |
//!
//! Positive means *more immoral* in every direction, score and plot. Everything random takes a seed. Nothing is
//! printed: [`Progress`] observes long work. Every failure is an [`Error`] that says what was wrong, where, and
//! what to do.
//!
//! # Features
//!
//! - `gguf`: read GGUF files (brings candle-core).
//! - `parquet`: write stores of activations as Parquet files too.
//! - `schema`: the JSON schema of a report, `report::Report::json_schema` (brings schemars).
//! - `download-libtorch`: let torch-sys fetch libtorch at build time.
//! - `doc-only`: build the documentation without libtorch.

// docs.rs builds with nightly: what needs a feature then says so.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![deny(missing_docs)]
// `file` maps model files, `model::kernel` uses vector instructions; each says why. Nothing else may.
#![deny(unsafe_code)]

mod condition;
mod file;
mod names;
mod progress;
mod provenance;
mod solve;

pub mod capture;
pub mod causal;
pub mod dialogue;
pub mod error;
pub mod experiment;
pub mod generate;
pub mod guide;
pub mod hook;
pub mod level;
pub mod model;
pub mod prelude;
pub mod probe;
pub mod report;
pub mod scorer;
pub mod stats;
pub mod task;
pub mod text;

pub use condition::{Arm, Condition, Design, Role, NO_INSTRUCTION};
pub use error::{Error, Place, Result};
pub use model::Model;
pub use progress::Progress;
pub use provenance::Provenance;

/// The libraries whose types stand in public signatures, in the versions that fit.
pub use {ndarray, tch};

/// The code of the README compiles; that of the guide is documentation of [`guide`].
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
