//! How immoral the states of each self-correction round are, whether that changes, and what may be concluded.
//!
//! [`Levels`] scores states by item, condition (instruction and round), address and [`Metric`];
//! [`Inference`] gives paired, clustered, simultaneous statements about the changes and their place among other directions;
//! [`VerdictRule`] says superficial, internal, or that the evidence does not suffice. Positive = more immoral.
//!
//! ```
//! use ndarray::Array2;
//! use probity::capture::Activations;
//! use probity::hook::Site;
//! use probity::level::{Inference, Levels, Metric, RoundStates, VerdictKind, VerdictRule};
//! use probity::probe::MeanDifferenceProbe;
//! use probity::text::Labels;
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
//! let levels = Levels::score(
//!     &[
//!         RoundStates { instruction: "none", round: 0, activations: &plain },
//!         RoundStates { instruction: "neutral", round: 1, activations: &neutral },
//!         RoundStates { instruction: "L1", round: 1, activations: &asked },
//!     ],
//!     &bank,
//! )?;
//! let tests = Inference::default().run(&levels)?;
//! assert!(tests.rows.iter().any(|row| row.metric == Metric::Standardised && row.band.high < -0.5));
//! // Without a behavioural gain nothing is concluded.
//! let verdict = VerdictRule::default().judge(&levels, &bank, "L1", None)?;
//! assert_eq!(verdict.kind, VerdictKind::InsufficientEvidence);
//! # Ok::<(), probity::Error>(())
//! ```

mod checks;
mod inference;
mod leak;
mod levels;
mod mean_level;
mod null_places;
mod pair;
mod rotation_null;
mod score;
mod selection;
mod spans;
mod superficiality;
mod transition;
mod verdict;
mod window;

pub use checks::Check;
pub use inference::{ChangeTest, ChangeTests, Family, Inference};
pub use leak::LeakScore;
pub use levels::{Condition, Levels, Metric};
pub use mean_level::LevelRow;
pub use null_places::{NullKind, NullPlace, PermutedProbes};
pub use pair::Against;
pub use score::RoundStates;
pub use selection::{Candidate, InstructionSelection, Selected};
pub use spans::SpanLevels;
pub use superficiality::{ItemGain, Leak, Superficiality};
pub use transition::{Onset, Transition, Transitions};
pub use verdict::{Verdict, VerdictKind, VerdictRule};
pub use window::{Contrast, Found, Halves, Window, WindowTest};

use crate::dialogue::PromptCell;

/// Name of the plainest instruction that controls for being asked again: as long, without a moral word. An instruction
/// is compared with the nearest of that kind: [`Levels::neutral_of`].
pub const NEUTRAL: &str = "neutral";

impl Levels {
    /// The neutral instruction that an instruction is compared with in a round: the nearest by
    /// [`PromptCell::neutral`] that has this round. `None` for one that is neutral itself, or where there is none.
    pub fn neutral_of(&self, instruction: &str, round: usize) -> Option<&str> {
        let near = PromptCell::neutral(instruction)?;
        let found = near.iter().find_map(|name| self.condition(name, round))?;
        self.conditions.get(found).map(|condition| condition.instruction.as_str())
    }
}
