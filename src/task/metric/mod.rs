//! What answers say about behaviour.
//!
//! A metric takes items, what was chosen, and the resamples of a [`ClusterBootstrap`] over the items' groups, so
//! that metrics of one study share their draws. What was chosen is an option's index, or `None` where an answer
//! names no single option: [`AnsweredRound::scored`] and [`AnsweredRound::read`] give both kinds. [`Measurement`]
//! takes all of them that apply over the rounds of a study.

mod abstention;
mod behaviour;
mod bias;
mod convergence;
mod distinguish;
mod edit;
mod flow;
mod position;
mod pronoun;
mod rank;
mod risk_coverage;
mod toxicity;
mod vote;

pub use abstention::Abstention;
pub use behaviour::{AnsweredRound, Behaviour, BehaviourRow, Chosen, Measure, Measured, Measurement, Outcome};
pub use bias::{BiasScore, BiasScores};
pub use convergence::Convergence;
pub use distinguish::{SelfDistinguish, Side, Trial};
pub use edit::{Edit, EditKind, Edits};
pub use flow::{AnswerFlow, State};
pub use position::{Position, PositionBias};
pub use pronoun::{Correlation, PronounScores};
pub use rank::{GainByRank, RankGain};
pub use risk_coverage::RiskCoverage;
pub use toxicity::ToxicityScores;
pub use vote::{majority_vote, oracle_stop, OracleStop};

use super::ChoiceItem;
use crate::stats::{ClusterBootstrap, Resampled};
use crate::{Error, Result};

/// Fails unless there are as many rows as expected.
fn check_rows(what: &str, found: usize, expected: usize) -> Result<()> {
    match found == expected {
        true => Ok(()),
        false => Err(Error::RowCount { what: what.to_owned(), expected, found }),
    }
}

/// Mean of the values that are there; draws without any are counted as undefined. `None` where there are none.
fn mean_where(values: &[Option<f64>], resamples: &ClusterBootstrap) -> Option<Resampled> {
    resamples.statistic(|weights| {
        let (mut sum, mut total) = (0.0, 0.0);
        for (value, weight) in values.iter().zip(weights) {
            if let Some(value) = value {
                sum += weight * value;
                total += weight;
            }
        }
        (total > 0.0).then(|| sum / total)
    })
}

/// [`mean_where`] of a value of each item and the option chosen for it.
fn mean_of(
    items: &[ChoiceItem],
    chosen: &[Option<usize>],
    resamples: &ClusterBootstrap,
    value: &dyn Fn(&ChoiceItem, Option<usize>) -> Option<f64>,
) -> Option<Resampled> {
    let values: Vec<Option<f64>> = items.iter().zip(chosen).map(|(item, &chosen)| value(item, chosen)).collect();
    mean_where(&values, resamples)
}

/// 1 where it holds, 0 where not.
fn indicator(holds: bool) -> f64 {
    f64::from(u8::from(holds))
}

fn right(item: &ChoiceItem, chosen: Option<usize>) -> bool {
    chosen == Some(item.label)
}

/// Whether the undetermined option was chosen.
fn abstained(item: &ChoiceItem, chosen: Option<usize>) -> bool {
    chosen.is_some() && chosen == item.unknown
}
