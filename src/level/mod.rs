//! How immoral the states of each self-correction round are, whether that changes, and what may be concluded.
//!
//! [`Levels`] scores states by item, [`Condition`](crate::Condition), address and [`Metric`];
//! [`Inference`] gives paired, clustered, simultaneous statements about the changes and their place among other directions;
//! [`VerdictRule`] says superficial, internal, something between, or that the evidence does not suffice. Positive = more immoral.
//!
//! ```
//! use ndarray::Array2;
//! use probity::capture::Activations;
//! use probity::hook::Site;
//! use probity::level::{Inference, Levels, Metric, ReadingLevels, VerdictKind, VerdictRule};
//! use probity::{probe::MeanDifferenceProbe, task::Outcome, text::Labels, Condition, Design};
//!
//! // States of 80 texts: the immoral ones lie further along the first axis.
//! let states = |shift: f32| -> probity::Result<Activations> {
//!     let mut activations = Activations::new((0..80).map(|i| i.to_string()));
//!     let value = |i, j| if j == 0 { (i % 2) as f32 - shift } else { (i * (j + 2) % 7) as f32 };
//!     activations.insert(Site::ResidPost.at(0), Array2::from_shape_fn((80, 3), |(i, j)| value(i, j)))?;
//!     Ok(activations)
//! };
//! let labels = Labels::ungrouped((0..80).map(|i| i % 2 == 1).collect());
//! let bank = MeanDifferenceProbe::default().fit_all(&states(0.0)?, &labels)?;
//!
//! let (plain, neutral, asked) = (states(0.0)?, states(0.0)?, states(0.4)?);
//! let design = Design::new([Condition::plain(), Condition::new("neutral", 1), Condition::new("L1", 1)])?
//!     .with_control("neutral")?;
//! let levels = Levels::score(&design, &[&plain, &neutral, &asked], &bank)?;
//! let tests = Inference::default().run(&levels)?;
//! // Four tenths of the way from immoral to moral texts.
//! assert!(tests.rows.iter().any(|row| row.metric == Metric::ClassDistance && row.band.high < -0.2));
//! // Without answers, neither read nor judged, nothing is concluded.
//! let levels = ReadingLevels::new(vec![levels])?;
//! let verdict = VerdictRule::default().judge(&Condition::new("L1", 1), &levels, &Outcome::default())?;
//! assert_eq!(verdict.kind, VerdictKind::InsufficientEvidence);
//! # Ok::<(), probity::Error>(())
//! ```

mod behaviour_checks;
mod by_fold;
mod check;
mod comparison;
mod declared;
mod effect;
mod evidence;
mod inference;
mod judge;
mod leak;
mod levels;
mod mean_level;
mod metric;
mod null_places;
mod pairwise;
mod planner;
mod precision;
mod probe_validity;
mod ranking;
mod readings;
mod rotation_null;
mod score;
mod sources;
mod specification;
mod state_checks;
mod transition;
mod verdict;
pub mod window;
mod wordings;
mod words;

pub(crate) use check::Mark;
pub use check::{Check, CheckKind};
pub use comparison::Against;
pub(crate) use declared::declared_windows;
pub use declared::{LayerWindow, WindowRow};
pub use evidence::{Evidence, ItemGain, Leak, LeakBy};
pub use inference::{ChangeTest, ChangeTests, Family, Inference};
pub(crate) use judge::judge_all;
pub use judge::VerdictRule;
pub use leak::LeakScore;
pub use levels::Levels;
pub use mean_level::LevelRow;
pub use metric::Metric;
pub use null_places::{NullKind, NullPlace, PermutedProbes};
pub use pairwise::{AddressPairs, PairKind, PairsOfKind, PairwiseEffectiveness, WordsPairs};
pub use planner::{ItemsNeeded, Planner, StudySize};
pub use precision::{ChangePrecision, ColumnPrecision, GainPrecision, Precision};
pub use ranking::{Candidate, InstructionRanking, InstructionSelection};
pub use readings::ReadingLevels;
pub(crate) use specification::specify;
pub use specification::{SensitivityTable, Specification, VerdictCount};
pub use transition::{Onset, Transition, Transitions};
pub use verdict::{ChangeOf, LevelChange, Verdict, VerdictKind};
pub use wordings::{WordingEffect, WordingRow};
pub use words::WordsPredictor;
