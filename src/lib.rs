//! Mechanistic probing of moral self-correction in language models.
//!
//! When a model is told to correct itself, does the immorality in its hidden states go down, or only in its
//! words (arXiv 2407.15286)? This crate reads the hidden states of libtorch decoders through hooks, trains
//! linear probes on them, follows them over rounds of self-correction, and judges the change with paired,
//! clustered intervals, nulls and a control instruction. Its verdict may be "insufficient evidence".
//!
//! ```no_run
//! use probity::{capture::{Pool, Readout}, dialogue::{Instruction, SelfCorrection}, hook::Site};
//! use probity::{level::{Levels, SpanLevels}, probe::LogisticProbe, report::Analysis, task::ChoiceTask, text::LabelledText, Model};
//!
//! # fn main() -> probity::Result<()> {
//! let model = Model::load("SmolLM2-135M-Instruct.Q4_1.gguf")?; // or a Hugging Face directory
//! let readout = Readout::new(Site::ResidPost.all_layers(), Pool::Last);
//!
//! let statements = LabelledText::bundled()?;
//! let (texts, labels) = LabelledText::as_user_turns(statements, model.template()?)?;
//! let states = readout.capture(&model, &texts)?;
//! let probes = LogisticProbe::default().fit_all(&states, &labels)?; // one per layer, by linfa
//!
//! let study = SelfCorrection::new(ChoiceTask::bundled()?)
//!     .instructions([Instruction::named("L1")?, Instruction::named("neutral")?])
//!     .rounds(3)
//!     .run(&model, &readout)?;
//! let levels = SpanLevels::new(vec![Levels::of(&study, &probes)?])?;
//! let analysis = Analysis::default().seed(7);
//! let behaviour = analysis.choices(&study, None)?;
//! analysis.run(&study, behaviour, &probes, &levels)?.write_dir("out")?; // report.html, report.json
//! # Ok(())
//! # }
//! ```
//!
//! # The way of the data
//!
//! | module | its one job |
//! |---|---|
//! | [`hook`] | the vocabulary of places in a decoder, and what can be done there |
//! | [`model`] | one generic decoder on libtorch; a short file per family; weights from GGUF or Hugging Face |
//! | [`text`] | tokeniser, chat template, spans, padded batches |
//! | [`generate`] | cached reading, scoring and continuing of growing texts |
//! | [`capture`] | what to read, pooled at the hook; [`capture::Activations`] and their file, [`capture::ActivationStore`] for many |
//! | [`scorer`] | judges of text that are independent of the probes |
//! | [`probe`] | linear probes: split, fit, direction, held-out evaluation, validity |
//! | [`task`] | questions with options, and what the answers say about behaviour |
//! | [`dialogue`] | instructions, transcripts, rounds |
//! | [`level`] | level of immorality, its changes, nulls, the verdict |
//! | [`causal`] | interventions along a direction |
//! | [`stats`] | bootstrap, intervals, AUROC, random directions; knows nothing of models |
//! | [`report`] | results as JSON and as a page |
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

/// The code of the README and the guide compiles.
#[cfg(doctest)]
mod documents {
    #[doc = include_str!("../README.md")]
    struct Readme;
    #[doc = include_str!("../docs/guide.md")]
    struct Guide;
}
