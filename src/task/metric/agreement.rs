//! Whether the option that scores best is the one that the model says.

use serde::{Deserialize, Serialize};

use crate::stats::Interval;
use crate::task::behaviour::{Choices, Chosen, Measured};
use crate::task::{Answer, ScoreRule};
use crate::Result;

pub(super) fn rows(study: &Choices<'_>) -> Result<Vec<Measured<ScoreAgreement>>> {
    study.by_round(|part| match part.by {
        Chosen::Scored => ScoreAgreement::of(&part.answers(), part.resamples).map(Some),
        Chosen::Read => Ok(None),
    })
}

/// How often one rule names what the model says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct RuleAgreement {
    /// The rule.
    pub rule: ScoreRule,
    /// Share of the readable answers that name the option which the rule finds best, over groups
    /// ([`ClusterBootstrap::share`](crate::stats::ClusterBootstrap::share)).
    pub share: Interval,
}

/// Agreement of every rule of scores with the generated answers of a round.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct ScoreAgreement {
    /// Answers whose generated text names one option and no other; the others do not count.
    pub read: usize,
    /// The rules that there are scores for, in the order of [`ScoreRule::ALL`]; none without a readable answer.
    pub rules: Vec<RuleAgreement>,
}

impl ScoreAgreement {
    /// Compares the answers to items, `[n]`, with their scores.
    ///
    /// # Errors
    /// [`crate::Error::RowCount`] for another number of answers than of resampled items.
    pub fn of(answers: &[Answer], resamples: &crate::stats::ClusterBootstrap) -> Result<Self> {
        let mut rules = Vec::new();
        for rule in ScoreRule::ALL {
            if answers.iter().any(|answer| answer.best_by(rule).is_none()) {
                continue;
            }
            let agrees = |answer: &Answer| answer.read.option().map(|named| answer.best_by(rule) == Some(named));
            let agrees: Vec<Option<bool>> = answers.iter().map(agrees).collect();
            rules.extend(resamples.share_where(&agrees)?.map(|share| RuleAgreement { rule, share }));
        }
        let read = answers.iter().filter(|answer| answer.read.option().is_some()).count();
        Ok(ScoreAgreement { read, rules })
    }
}
