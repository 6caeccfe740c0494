//! What a gain in behaviour has to do with a direction.

use serde::{Deserialize, Serialize};

use super::Manipulation;
use crate::condition::Condition;
use crate::hook::Address;
use crate::stats::{mean, ClusterBootstrap, Interval};
use crate::task::Outcome;
use crate::{Error, Result};

/// What happens to the gain of one instruction, in its last round, where all rounds are run again under one manipulation of the
/// probes' direction, and of random directions of equal effect on fluency.
///
/// Gains are mean paired changes of the outcome over the items, above 0 = better, with intervals over groups of items
/// ([`ClusterBootstrap::gain`]). Two questions are asked. *Does the gain go?* [`DirectionEffect::goes`], with the probes' direction
/// removed, or added where the model was instructed. *Does it come?* [`DirectionEffect::comes`], with the direction taken off
/// while the control is asked. Evidence beside a verdict, which it does not decide.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct CausalEvidence {
    /// The instruction, in its last round.
    #[serde(flatten)]
    pub condition: Condition,
    /// Name of the instruction that it is compared with.
    pub control: String,
    /// What was done along the direction.
    pub manipulation: Manipulation,
    /// Where, all at once.
    pub addresses: Vec<Address>,
    /// Gain over the control of the model as it is.
    pub gain: Interval,
    /// Gain over the plain question of round 0 of the model as it is.
    pub gain_over_round0: Option<Interval>,
    /// Answers of the control by which fluency was measured.
    pub fluency_answers: usize,
    /// Mean log-likelihood of their tokens, in nats a token, by the model as it is.
    pub fluency: f64,
    /// Along the probes' direction.
    pub probe: DirectionEffect,
    /// Share of the gain that goes with it: 1 where nothing is left, above 1 where the gain becomes a loss. `None` where the
    /// gain itself is not sure.
    pub share_gone: Option<Interval>,
    /// Along random directions.
    pub random: Vec<DirectionEffect>,
    /// Whether more of the gain goes than along random directions; `None` without any that can be compared.
    pub goes: Option<Beyond>,
    /// Whether more of it comes than along random directions.
    pub comes: Option<Beyond>,
}

/// How the strength of a manipulation along a random direction was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Matching {
    /// So that it costs as much fluency as the probes' direction, within 5 % of that.
    Fluency,
    /// As strong as along the probes' direction, which costs no fluency to speak of (below 0.005 nats a token), so that there is
    /// nothing to match.
    Strength,
    /// No strength that was tried costs as much; the nearest was run. Such a direction is not compared.
    OutOfReach,
}

/// Rounds under a manipulation along one direction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct DirectionEffect {
    /// Strength of the manipulation; the probes' own is 1.
    pub strength: f64,
    /// How the strength was chosen; `None` for the probes' direction.
    pub matching: Option<Matching>,
    /// What the control's answers lose in mean log-likelihood, in nats a token.
    pub fluency_loss: f64,
    /// Gain over the control, both under the manipulation.
    pub gain: Interval,
    /// Gain over round 0, both under it.
    pub gain_over_round0: Option<Interval>,
    /// The gain over the control without it minus that under it: above 0 where the gain goes.
    pub goes: Interval,
    /// The control's outcome under it minus without: above 0 where a gain comes.
    pub comes: Interval,
}

/// An effect along the probes' direction against those along random directions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Beyond {
    /// The effect minus the mean effect of the random directions, paired by items.
    pub difference: Interval,
    /// Random directions that were compared.
    pub among: usize,
    /// Those whose effect is as large or larger.
    pub as_large: usize,
    /// `(1 + as_large) / (1 + among)`: one-sided Monte-Carlo p-value (Phipson and Smyth 2010). 19 directions are the fewest
    /// with which it can be 0.05.
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0, max = 1.0)))]
    pub p: f64,
}

impl Beyond {
    /// Whether the effect is larger than chance directions make it: the difference is above 0, and p at most 1 - `level`.
    pub fn holds(&self, level: f64) -> bool {
        // A hair more, for 1 - level is no exact number.
        self.difference.low > 0.0 && self.p <= 1.0 - level + 1e-9
    }
}

/// Rounds along one direction: its outcome with what is known of how they were run.
pub(super) struct Rounds {
    pub outcome: Outcome,
    pub strength: f64,
    pub matching: Option<Matching>,
    pub fluency_loss: f64,
}

/// What all evidence of one manipulation shares.
pub(super) struct Manipulated<'a> {
    pub manipulation: Manipulation,
    pub addresses: &'a [Address],
    /// The model as it is.
    pub plain: &'a Outcome,
    pub fluency: f64,
    pub fluency_answers: usize,
    pub probe: &'a Rounds,
    pub random: &'a [Rounds],
    pub resamples: &'a ClusterBootstrap,
}

/// What an instruction is compared with.
pub(super) struct Sides<'a> {
    pub condition: &'a Condition,
    pub control: &'a Condition,
    pub round0: Option<&'a Condition>,
}

impl Manipulated<'_> {
    /// The evidence for one instruction.
    pub fn evidence(&self, sides: &Sides<'_>) -> Result<CausalEvidence> {
        let own = self.effects(sides, self.probe)?;
        let random = self.random.iter().map(|rounds| self.effects(sides, rounds)).collect::<Result<Vec<_>>>()?;
        let compared = || random.iter().filter(|effects| effects.shown.matching != Some(Matching::OutOfReach));
        let beyond = |of: fn(&Effects) -> &Vec<f64>| {
            let others: Vec<&Vec<f64>> = compared().map(of).collect();
            self.beyond(of(&own), &others)
        };
        let gain = difference(self.plain, sides.control, sides.condition)?;
        let over_round0 = sides.round0.map(|round0| difference(self.plain, round0, sides.condition)).transpose()?;
        Ok(CausalEvidence {
            condition: sides.condition.clone(),
            control: sides.control.instruction.clone(),
            manipulation: self.manipulation,
            addresses: self.addresses.to_vec(),
            share_gone: self.share_gone(&gain, &own.goes)?,
            gain: self.resamples.gain(&gain)?,
            gain_over_round0: over_round0.map(|gain| self.resamples.gain(&gain)).transpose()?,
            fluency_answers: self.fluency_answers,
            fluency: self.fluency,
            goes: beyond(|effects| &effects.goes)?,
            comes: beyond(|effects| &effects.comes)?,
            probe: own.shown,
            random: random.into_iter().map(|effects| effects.shown).collect(),
        })
    }

    fn effects(&self, sides: &Sides<'_>, rounds: &Rounds) -> Result<Effects> {
        let Rounds { outcome, strength, matching, fluency_loss } = rounds;
        let before = difference(self.plain, sides.control, sides.condition)?;
        let under = difference(outcome, sides.control, sides.condition)?;
        let goes: Vec<f64> = before.iter().zip(&under).map(|(before, under)| before - under).collect();
        let (with, without) = (series(outcome, sides.control)?, series(self.plain, sides.control)?);
        let comes: Vec<f64> = with.iter().zip(without).map(|(with, without)| with - without).collect();
        let over_round0 = sides.round0.map(|round0| difference(outcome, round0, sides.condition)).transpose()?;
        let shown = DirectionEffect {
            strength: *strength,
            matching: *matching,
            fluency_loss: *fluency_loss,
            gain: self.resamples.gain(&under)?,
            gain_over_round0: over_round0.map(|gain| self.resamples.gain(&gain)).transpose()?,
            goes: self.resamples.gain(&goes)?,
            comes: self.resamples.gain(&comes)?,
        };
        Ok(Effects { shown, goes, comes })
    }

    fn beyond(&self, own: &[f64], others: &[&Vec<f64>]) -> Result<Option<Beyond>> {
        if others.is_empty() {
            return Ok(None);
        }
        let among = others.len() as f64;
        let less_mean =
            |(item, own): (usize, &f64)| own - others.iter().filter_map(|other| other.get(item)).sum::<f64>() / among;
        let differences: Vec<f64> = own.iter().enumerate().map(less_mean).collect();
        // Sums of whole answers, but for rounding.
        let as_large = others.iter().filter(|other| mean(other) >= mean(own) - 1e-12).count();
        Ok(Some(Beyond {
            difference: self.resamples.gain(&differences)?,
            among: others.len(),
            as_large,
            p: (1 + as_large) as f64 / (1 + others.len()) as f64,
        }))
    }

    /// Share of the gain that goes, `mean(goes) / mean(gain)`, resampled together.
    fn share_gone(&self, gain: &[f64], goes: &[f64]) -> Result<Option<Interval>> {
        let sure = self.resamples.gain(gain)?;
        if sure.low <= 0.0 && sure.high >= 0.0 {
            return Ok(None);
        }
        let both = self.resamples.means(goes)?.into_iter().zip(self.resamples.means(gain)?);
        let mut shares: Vec<f64> = both.map(|(goes, gain)| goes / gain).filter(|share| share.is_finite()).collect();
        Ok(Some(self.resamples.percentiles(mean(goes) / mean(gain), &mut shares, self.resamples.level())))
    }
}

/// The effects of each item, `[n]`, with their means.
struct Effects {
    shown: DirectionEffect,
    goes: Vec<f64>,
    comes: Vec<f64>,
}

fn series<'a>(outcome: &'a Outcome, condition: &Condition) -> Result<&'a [f64]> {
    let missing = || Error::mismatch("behaviour", format!("{condition} was not measured"));
    outcome.series(condition).ok_or_else(missing)
}

/// `after - before` of each item, `[n]`.
fn difference(outcome: &Outcome, before: &Condition, after: &Condition) -> Result<Vec<f64>> {
    let (before, after) = (series(outcome, before)?, series(outcome, after)?);
    Ok(after.iter().zip(before).map(|(after, before)| after - before).collect())
}
