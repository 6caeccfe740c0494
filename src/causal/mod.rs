//! What a direction has to do with the model: whether changing it matters, and where it comes from.
//!
//! Reading, steering and silencing are three properties. [`Intervention::add`] tests sufficiency (activation
//! addition), [`Intervention::remove`] necessity (projection ablation). Hold both against random directions
//! before you believe either: [`CausalRounds`] does, for the gain of self-correction. [`Attribution`] says which parts of the
//! model a projection is the sum of.

mod attribution;
mod by_round;
mod evidence;
mod fluency;
mod intervention;
mod manipulation;
mod rounds;

pub use crate::hook::Intervention;
pub use attribution::{Attribution, Component, ComponentRow, Contributions};
pub use by_round::RoundContribution;
pub use evidence::{Beyond, CausalEvidence, DirectionEffect, Matching};
pub use manipulation::Manipulation;
pub use rounds::CausalRounds;
