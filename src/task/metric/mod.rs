//! What answers say about behaviour.
//!
//! A metric takes items, what was chosen, and the resamples of a [`ClusterBootstrap`] over the items' groups, so
//! that metrics of one study share their draws. Shares of items have the interval of [`ClusterBootstrap::share`], gains that
//! of [`ClusterBootstrap::gain`], other numbers that of the resamples. What was chosen is an option's index, or `None` where an answer
//! names no single option: [`AnsweredRound::scored`](super::AnsweredRound::scored) and
//! [`AnsweredRound::read`](super::AnsweredRound::read) give both kinds. [`Measurement`](super::Measurement) takes all of
//! them that apply over the rounds of a study.

mod abstention;
mod agreement;
mod bias;
mod convergence;
mod distinguish;
mod edit;
mod flow;
mod oracle;
mod position;
mod pronoun;
mod rank;
mod right_change;
mod risk_coverage;
mod toxicity;
mod vote;

pub use distinguish::{SelfDistinguish, Side, Trial};
pub use vote::majority_vote;

use super::ChoiceItem;
use crate::error::check_rows;
use crate::stats::{ClusterBootstrap, Interval, Resampled};
use crate::Result;

/// Makes [`Behaviour`](super::Behaviour) of the list below. An entry is a field with its documentation, what a row of it
/// holds, and the file whose function `rows` gives the rows, with the names that it exports.
macro_rules! metrics {
    (
        choices { $($(#[$doc_c:meta])* $choice:ident: $row_c:ident = $file_c:ident::{$($name_c:ident),*};)* }
        texts { $($(#[$doc_t:meta])* $text:ident: $row_t:ident = $file_t:ident::{$($name_t:ident),*};)* }
    ) => {
        $(pub use $file_c::{$($name_c),*};)*
        $(pub use $file_t::{$($name_t),*};)*

        pub(in crate::task) mod list {
            use serde::{Deserialize, Serialize};

            use super::*;
            use crate::task::behaviour::{BehaviourRow, Choices, Measured, Outcome, Texts};

            /// Behaviour by condition. A table is empty where its metric does not apply to the items.
            #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
            #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
            #[non_exhaustive]
            pub struct Behaviour {
                /// How good each single answer is: what verdicts and correlations over items go by.
                pub outcome: Outcome,
                /// Choices: shares of answers by condition of the items.
                pub rows: Vec<BehaviourRow>,
                $($(#[$doc_c])* pub $choice: Vec<Measured<$row_c>>,)*
                $($(#[$doc_t])* pub $text: Vec<Measured<$row_t>>,)*
            }

            impl Behaviour {
                /// Whether nothing was measured.
                pub fn is_empty(&self) -> bool {
                    self.outcome.series.is_empty()
                }

                /// Every metric of choices.
                pub(in crate::task) fn of_choices(study: &Choices<'_>) -> Result<Self> {
                    Ok(Behaviour {
                        outcome: study.outcome(),
                        rows: study.measures()?,
                        $($choice: $file_c::rows(study)?,)*
                        ..Behaviour::default()
                    })
                }

                /// Every metric of texts.
                pub(in crate::task) fn of_texts(study: &Texts<'_>) -> Result<Self> {
                    Ok(Behaviour { outcome: study.outcome(), $($text: $file_t::rows(study)?,)* ..Behaviour::default() })
                }
            }
        }
    };
}

metrics! {
    choices {
        /// Choices: how often each rule of scores finds best what the generated answer names.
        agreement: ScoreAgreement = agreement::{ScoreAgreement, RuleAgreement};
        /// Choices among items of a known condition: s_AMB and s_DIS, overall and by category.
        bias: BiasScores = bias::{BiasScores, BiasScore};
        /// Choices among items with an undetermined option: what becomes of it.
        abstention: Abstention = abstention::{Abstention};
        /// Choices: area under the risk-coverage curve, by the chosen option's probability.
        risk_coverage: Resampled = risk_coverage::{RiskCoverage};
        /// Choices: whether the place of an option decides.
        position: PositionBias = position::{PositionBias, Position};
        /// Choices: where the answers of round 0 are in the last round of each instruction.
        flows: AnswerFlow = flow::{AnswerFlow};
        /// Choices: gain in the last round by the right option's rank in round 0, against the control, overall and by category.
        ranks: GainByRank = rank::{GainByRank, RankContrast, RankGain, RightChange};
        /// Choices: the round from which answers stay, counted from `from`.
        convergence: Convergence = convergence::{Convergence};
        /// Choices: what stopping by an oracle would give.
        oracle: OracleStop = oracle::{OracleStop};
        /// Choices of pronouns for occupations, overall and by whom the pronoun refers to.
        pronouns: PronounScores = pronoun::{PronounScores, Correlation};
    }
    texts {
        /// Continuations: toxicity, overall and by category.
        toxicity: ToxicityScores = toxicity::{ToxicityScores};
        /// Continuations: what became of the text from one round to the next, and from the first instructed to the last.
        edits: Edits = edit::{Edits};
    }
}

/// [`ClusterBootstrap::share_where`] of what holds of each item and the option chosen for it.
fn share_of(
    items: &[ChoiceItem],
    chosen: &[Option<usize>],
    resamples: &ClusterBootstrap,
    holds: &dyn Fn(&ChoiceItem, Option<usize>) -> Option<bool>,
) -> Result<Option<Interval>> {
    let holds: Vec<Option<bool>> = items.iter().zip(chosen).map(|(item, &chosen)| holds(item, chosen)).collect();
    resamples.share_where(&holds)
}

/// 1 where it holds, 0 where not.
pub(super) fn indicator(holds: bool) -> f64 {
    f64::from(u8::from(holds))
}

fn right(item: &ChoiceItem, chosen: Option<usize>) -> bool {
    chosen == Some(item.label)
}

/// Whether the undetermined option was chosen.
fn abstained(item: &ChoiceItem, chosen: Option<usize>) -> bool {
    chosen.is_some() && chosen == item.unknown
}
