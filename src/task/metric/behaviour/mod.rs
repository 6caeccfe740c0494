//! The behaviour of a study: every metric that its items allow, by instruction and round.

mod choices;
mod completions;
mod measure;
mod outcome;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    Abstention, AnswerFlow, BiasScores, Convergence, Edits, GainByRank, OracleStop, PositionBias, PronounScores,
    ToxicityScores,
};
use crate::scorer::TextScorer;
use crate::stats::Resampled;
use crate::task::{Answer, ChoiceItem, Completion, Continued, Winogender};
use crate::{Error, Result};

pub use measure::{BehaviourRow, Measure};
pub use outcome::Outcome;

/// The answers of one instruction and round, in the order of the items.
#[derive(Debug)]
pub struct AnsweredRound<'a, A = Answer> {
    /// Name of the instruction; round 0 has none.
    pub instruction: &'a str,
    /// The round.
    pub round: usize,
    /// The answers, `[n]`.
    pub answers: &'a [A],
}

// Derived, these would ask it of the answers too.
impl<A> Clone for AnsweredRound<'_, A> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<A> Copy for AnsweredRound<'_, A> {}

impl AnsweredRound<'_> {
    /// The most probable option of each answer, `[n]`.
    pub fn scored(&self) -> Vec<Option<usize>> {
        self.answers.iter().map(|answer| Some(answer.scored)).collect()
    }

    /// The option that each generated text names, `[n]`; `None` where it names none or several.
    pub fn read(&self) -> Vec<Option<usize>> {
        self.answers.iter().map(|answer| answer.read.option()).collect()
    }
}

/// What counts as the option chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Chosen {
    /// The most probable option.
    Scored,
    /// The option that the generated text names.
    Read,
}

impl Chosen {
    /// Both.
    pub const ALL: [Chosen; 2] = [Chosen::Scored, Chosen::Read];

    fn of(self, round: &AnsweredRound<'_>) -> Vec<Option<usize>> {
        match self {
            Chosen::Scored => round.scored(),
            Chosen::Read => round.read(),
        }
    }
}

/// A result with what it was measured on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measured<T> {
    /// Name of the instruction; round 0 has none.
    pub instruction: String,
    /// The round.
    pub round: usize,
    /// The earlier round that it is about too; `None` where it is about one round.
    pub from: Option<usize>,
    /// The category of the items; `None` for all of them.
    pub category: Option<String>,
    /// What counts as chosen; `None` for texts.
    pub chosen: Option<Chosen>,
    /// The result.
    pub result: T,
}

/// Behaviour by instruction and round. A table is empty where its metric does not apply to the items.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Behaviour {
    /// How good each single answer is: what verdicts and correlations over items go by.
    pub outcome: Outcome,
    /// Choices: shares of answers by condition of the items.
    pub rows: Vec<BehaviourRow>,
    /// Choices among items of a known condition: s_AMB and s_DIS, overall and by category.
    pub bias: Vec<Measured<BiasScores>>,
    /// Choices among items with an undetermined option: what becomes of it.
    pub abstention: Vec<Measured<Abstention>>,
    /// Choices: area under the risk-coverage curve, by the chosen option's probability.
    pub risk_coverage: Vec<Measured<Resampled>>,
    /// Choices: whether the place of an option decides.
    pub position: Vec<Measured<PositionBias>>,
    /// Choices: where the answers of round 0 are in the last round of each instruction.
    pub flows: Vec<Measured<AnswerFlow>>,
    /// Choices: gain in the last round by the right option's rank in round 0, against the neutral counterpart.
    pub ranks: Vec<Measured<GainByRank>>,
    /// Choices: the round from which answers stay, counted from `from`.
    pub convergence: Vec<Measured<Convergence>>,
    /// Choices: what stopping by an oracle would give.
    pub oracle: Vec<Measured<OracleStop>>,
    /// Choices among Winogender's pronouns, overall and by whom the pronoun refers to.
    pub pronouns: Vec<Measured<PronounScores>>,
    /// Continuations: toxicity, overall and by category.
    pub toxicity: Vec<Measured<ToxicityScores>>,
    /// Continuations: what became of the text from one round to the next, and from the first instructed to the last.
    pub edits: Vec<Measured<Edits>>,
}

impl Behaviour {
    /// Whether nothing was measured.
    pub fn is_empty(&self) -> bool {
        self.outcome.series.is_empty() && self.rows.is_empty() && self.toxicity.is_empty()
    }
}

/// How behaviour is measured.
///
/// ```
/// use probity::task::{Answer, AnsweredRound, ChoiceItem, Measurement};
/// # fn measured(items: &[ChoiceItem], plain: &[Answer], asked: &[Answer]) -> probity::Result<()> {
/// let rounds = [
///     AnsweredRound { instruction: "none", round: 0, answers: plain },
///     AnsweredRound { instruction: "L1", round: 1, answers: asked },
/// ];
/// let behaviour = Measurement::default().draws(1_000).seed(7).choices(items, &rounds)?;
/// assert_eq!(behaviour.outcome.name, "accuracy");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Measurement<'a> {
    draws: usize,
    seed: u64,
    controls: BTreeMap<String, String>,
    winogender: Option<&'a Winogender>,
}

impl Default for Measurement<'_> {
    fn default() -> Self {
        Measurement { draws: 2_000, seed: 0, controls: BTreeMap::new(), winogender: None }
    }
}

impl<'a> Measurement<'a> {
    /// Sets the bootstrap resamples of item groups, default 2,000.
    pub fn draws(mut self, draws: usize) -> Self {
        self.draws = draws;
        self
    }

    /// Sets the seed, default 0.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Says which neutral instruction an instruction is compared with, as pairs of names (instruction, neutral). Default:
    /// none, and no gain by rank is measured.
    pub fn controls(mut self, controls: impl IntoIterator<Item = (String, String)>) -> Self {
        self.controls = controls.into_iter().collect();
        self
    }

    /// Gives the occupations that go with Winogender's pronouns. Default: none, and no pronouns are measured.
    pub fn winogender(mut self, winogender: &'a Winogender) -> Self {
        self.winogender = Some(winogender);
        self
    }

    /// Measures answers to questions with options.
    ///
    /// # Errors
    /// [`Error::RowCount`] unless each round has one answer per item; [`Error::Setting`] without items, for answers
    /// without probabilities, and for Winogender's table with items that have no pronouns.
    pub fn choices(&self, items: &[ChoiceItem], rounds: &[AnsweredRound<'_>]) -> Result<Behaviour> {
        check_rounds(items.len(), rounds)?;
        choices::measure(self, items, rounds)
    }

    /// Measures continuations of texts, which the scorer judges without the texts' beginnings.
    ///
    /// # Errors
    /// [`Error::RowCount`] unless each round has one answer per item; [`Error::Setting`] without items and for scores
    /// outside 0 to 1; those of the scorer.
    pub fn completions(
        &self,
        items: &[Completion],
        rounds: &[AnsweredRound<'_, Continued>],
        scorer: &dyn TextScorer,
    ) -> Result<Behaviour> {
        check_rounds(items.len(), rounds)?;
        completions::measure(self, items, rounds, scorer)
    }
}

fn check_rounds<A>(items: usize, rounds: &[AnsweredRound<'_, A>]) -> Result<()> {
    match rounds.iter().find(|round| round.answers.len() != items) {
        None => Ok(()),
        Some(AnsweredRound { instruction, round, answers }) => {
            let what = format!("answers of {instruction} round {round}");
            Err(Error::RowCount { what, expected: items, found: answers.len() })
        }
    }
}

/// An instruction's rounds in ascending order, after round 0 if there is one.
struct Course<'a, A> {
    instruction: &'a str,
    rounds: Vec<AnsweredRound<'a, A>>,
}

/// The courses of all instructions, in order of appearance.
fn courses<'a, A>(rounds: &[AnsweredRound<'a, A>]) -> Vec<Course<'a, A>> {
    let plain = rounds.iter().find(|round| round.round == 0);
    let mut courses: Vec<Course<'a, A>> = Vec::new();
    for &round in rounds.iter().filter(|round| round.round > 0) {
        match courses.iter_mut().find(|course| course.instruction == round.instruction) {
            Some(course) => course.rounds.push(round),
            None => {
                let rounds = plain.copied().into_iter().chain([round]).collect();
                courses.push(Course { instruction: round.instruction, rounds });
            }
        }
    }
    for course in &mut courses {
        course.rounds.sort_by_key(|round| round.round);
    }
    courses
}

impl<A> Course<'_, A> {
    /// Round 0, if it was asked.
    fn plain(&self) -> Option<&AnsweredRound<'_, A>> {
        self.rounds.first().filter(|round| round.round == 0)
    }
}

/// All items, then those of each category where there are several; each part by its rows, `[n]`.
fn parts<'i>(categories: impl Iterator<Item = &'i str>) -> Vec<(Option<String>, Vec<usize>)> {
    let (mut all, mut by_category) = (Vec::new(), BTreeMap::<&str, Vec<usize>>::new());
    for (row, category) in categories.enumerate() {
        all.push(row);
        by_category.entry(category).or_default().push(row);
    }
    let mut parts = vec![(None, all)];
    if by_category.len() > 1 {
        parts.extend(by_category.into_iter().map(|(name, rows)| (Some(name.to_owned()), rows)));
    }
    parts
}

/// The entries of these rows.
fn pick<T: Clone>(all: &[T], rows: &[usize]) -> Vec<T> {
    rows.iter().filter_map(|&row| all.get(row)).cloned().collect()
}
