//! Which score decides between options, and how that is chosen.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Answer, OptionScore};
use crate::names::by_name;
use crate::Result;

/// Which score decides between options. Letter and text are scored as the prompt shows and asks for them, `(b) The clerk`;
/// bare text leaves the letter out. They differ in what they do to long options too: totals favour short ones, scores per
/// token those of common words; bytes do not depend on the tokeniser.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ScoreRule {
    /// [`OptionScore::total`]: the probability of the whole answer.
    #[default]
    Total,
    /// [`OptionScore::letter`].
    Letter,
    /// [`OptionScore::per_token`].
    PerToken,
    /// [`BareScore::total`](super::BareScore::total).
    BareTotal,
    /// [`BareScore::letter`](super::BareScore::letter).
    BareLetter,
    /// [`BareScore::per_token`](super::BareScore::per_token).
    BarePerToken,
    /// [`BareScore::per_byte`](super::BareScore::per_byte).
    BarePerByte,
}

by_name!(ScoreRule, "score_rule");

impl ScoreRule {
    /// Every rule; of rules that agree equally well with the answers the first is chosen.
    pub const ALL: [ScoreRule; 7] = [
        ScoreRule::Total,
        ScoreRule::Letter,
        ScoreRule::PerToken,
        ScoreRule::BareTotal,
        ScoreRule::BareLetter,
        ScoreRule::BarePerToken,
        ScoreRule::BarePerByte,
    ];

    /// The name in files and on command lines.
    pub fn name(self) -> &'static str {
        match self {
            ScoreRule::Total => "total",
            ScoreRule::Letter => "letter",
            ScoreRule::PerToken => "per_token",
            ScoreRule::BareTotal => "bare_total",
            ScoreRule::BareLetter => "bare_letter",
            ScoreRule::BarePerToken => "bare_per_token",
            ScoreRule::BarePerByte => "bare_per_byte",
        }
    }

    /// The rule in words.
    pub fn describe(self) -> &'static str {
        match self {
            ScoreRule::Total => "total of \"(b) text\"",
            ScoreRule::Letter => "\"(b)\" alone",
            ScoreRule::PerToken => "\"(b) text\" per token",
            ScoreRule::BareTotal => "total of the bare text",
            ScoreRule::BareLetter => "\"b\" alone",
            ScoreRule::BarePerToken => "bare text per token",
            ScoreRule::BarePerByte => "bare text per byte",
        }
    }

    pub(super) fn of(self, score: &OptionScore) -> Option<f64> {
        match self {
            ScoreRule::Total => Some(score.total),
            ScoreRule::Letter => Some(score.letter),
            ScoreRule::PerToken => Some(score.per_token),
            ScoreRule::BareTotal => Some(score.bare.total),
            ScoreRule::BareLetter => score.bare.letter,
            ScoreRule::BarePerToken => Some(score.bare.per_token),
            ScoreRule::BarePerByte => Some(score.bare.per_byte),
        }
    }
}

/// What a score rule was chosen by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RuleChosenBy {
    /// The protocol names it.
    Given,
    /// It agrees most often with the generated answers of round 0.
    Agreement,
    /// Fewer than [`RuleChoice::MIN_READ`] generated answers of round 0 name one option: [`ScoreRule::Total`].
    TooFewRead,
}

/// How often the best option by a rule is the one that the generated answer names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct RuleAgreed {
    /// The rule.
    pub rule: ScoreRule,
    /// Answers of round 0 that name one option, for which the rule finds the same one best.
    pub agreed: usize,
}

/// The score rule of a run, and how it was chosen: by round 0 alone, before any instruction, and by what the model answered
/// rather than by what is right, so that the choice favours no instruction and no accuracy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct RuleChoice {
    /// The rule, in every condition and round.
    pub rule: ScoreRule,
    /// What it was chosen by.
    pub by: RuleChosenBy,
    /// Answers of round 0.
    pub answers: usize,
    /// Those whose generated text names one option and no other.
    pub read: usize,
    /// Every rule that there are scores for, in the order of [`ScoreRule::ALL`].
    pub agreement: Vec<RuleAgreed>,
}

impl RuleChoice {
    /// Fewest answers of round 0 that must name one option for the rule to be chosen by them.
    pub const MIN_READ: usize = 10;

    /// Chooses by the answers of round 0, or takes the rule that is given. Of rules that agree equally often the first of
    /// [`ScoreRule::ALL`] is chosen.
    pub fn of(round_0: &[Answer], given: Option<ScoreRule>) -> RuleChoice {
        let read: Vec<(&Answer, usize)> =
            round_0.iter().filter_map(|answer| Some((answer, answer.read.option()?))).collect();
        let scored = |rule: &ScoreRule| round_0.iter().all(|answer| answer.best_by(*rule).is_some());
        let agreement: Vec<RuleAgreed> = ScoreRule::ALL
            .into_iter()
            .filter(scored)
            .map(|rule| {
                let agrees = |&&(answer, named): &&(&Answer, usize)| answer.best_by(rule) == Some(named);
                RuleAgreed { rule, agreed: read.iter().filter(agrees).count() }
            })
            .collect();
        let best = agreement.iter().rev().max_by_key(|found| found.agreed).map(|found| found.rule);
        let (rule, by) = match (given, best) {
            (Some(rule), _) => (rule, RuleChosenBy::Given),
            (None, Some(rule)) if read.len() >= RuleChoice::MIN_READ => (rule, RuleChosenBy::Agreement),
            (None, _) => (ScoreRule::default(), RuleChosenBy::TooFewRead),
        };
        RuleChoice { rule, by, answers: round_0.len(), read: read.len(), agreement }
    }

    /// Settles a study's answers, round by round from round 0, by the rule that these choose.
    ///
    /// # Errors
    /// As [`Answer::decide_by`].
    pub(super) fn settle(rounds: &mut [Vec<Answer>], given: Option<ScoreRule>) -> Result<Option<RuleChoice>> {
        let Some(round_0) = rounds.first() else { return Ok(None) };
        let choice = RuleChoice::of(round_0, given);
        for answer in rounds.iter_mut().flatten() {
            answer.decide_by(choice.rule)?;
        }
        Ok(Some(choice))
    }
}

impl fmt::Display for RuleChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let agreed = self.agreement.iter().find(|found| found.rule == self.rule).map_or(0, |found| found.agreed);
        write!(f, "{} ({}), ", self.rule, self.rule.describe())?;
        match self.by {
            RuleChosenBy::Given => {
                write!(f, "as given; it names what {agreed} of {} readable answers of round 0 name", self.read)
            }
            RuleChosenBy::Agreement => {
                write!(f, "chosen by round 0: it names what {agreed} of {} readable answers name", self.read)
            }
            RuleChosenBy::TooFewRead => write!(
                f,
                "the fallback: {} of {} answers of round 0 name one option, {} are needed to choose by",
                self.read,
                self.answers,
                RuleChoice::MIN_READ
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{BareScore, Extracted};
    use super::*;
    use crate::generate::End;

    /// An answer that names `read`; option 0 is best by total, 1 by letter, 2 by the bare total and all that is left.
    fn answer(read: Extracted, bare_letter: bool) -> Answer {
        let best = |option: usize, wanted: usize| if option == wanted { -1.0 } else { -2.0 };
        let score = |option| OptionScore {
            total: best(option, 0),
            per_token: best(option, 2),
            letter: best(option, 1),
            bare: BareScore {
                total: best(option, 2),
                per_token: best(option, 2),
                per_byte: best(option, 2),
                letter: bare_letter.then(|| best(option, 2)),
            },
        };
        Answer {
            item: "i".to_owned(),
            scores: (0..3).map(score).collect(),
            probabilities: vec![1.0 / 3.0; 3],
            scored: 0,
            text: String::new(),
            read,
            end: End::StopToken,
            rationale: None,
            dropped_turns: 0,
        }
    }

    fn answers(named: [usize; 3], nothing: usize) -> Vec<Answer> {
        let of = |(option, &count): (usize, &usize)| vec![answer(Extracted::Option(option), true); count];
        let mut answers: Vec<Answer> = named.iter().enumerate().flat_map(of).collect();
        answers.extend(vec![answer(Extracted::Nothing, true); nothing]);
        answers
    }

    #[test]
    fn the_rule_that_names_what_the_model_says_is_chosen_by_round_0() {
        let choice = RuleChoice::of(&answers([3, 6, 5], 20), None);
        assert_eq!((choice.rule, choice.by), (ScoreRule::Letter, RuleChosenBy::Agreement));
        assert_eq!((choice.answers, choice.read), (34, 14));
        let agreed: Vec<usize> = choice.agreement.iter().map(|found| found.agreed).collect();
        assert_eq!(agreed, [3, 6, 5, 5, 5, 5, 5]);
        assert!(choice.to_string().contains("6 of 14"), "{choice}");
        // Of equals the first: total before letter before per_token.
        assert_eq!(RuleChoice::of(&answers([5, 5, 5], 0), None).rule, ScoreRule::Total);
        assert_eq!(RuleChoice::of(&answers([4, 5, 5], 0), None).rule, ScoreRule::Letter);
        assert_eq!(RuleChoice::of(&answers([4, 4, 5], 0), None).rule, ScoreRule::PerToken);
    }

    #[test]
    fn too_few_readable_answers_choose_nothing_and_a_given_rule_stands() {
        let few = RuleChoice::of(&answers([0, 0, 9], 90), None);
        assert_eq!((few.rule, few.by), (ScoreRule::Total, RuleChosenBy::TooFewRead));
        assert_eq!(RuleChoice::of(&answers([0, 0, 10], 90), None).rule, ScoreRule::PerToken);
        let given = RuleChoice::of(&answers([0, 0, 30], 0), Some(ScoreRule::Letter));
        assert_eq!((given.rule, given.by), (ScoreRule::Letter, RuleChosenBy::Given));
    }

    #[test]
    fn later_rounds_follow_round_0_and_choose_nothing() {
        let mut rounds = vec![answers([0, 0, 12], 0), answers([12, 0, 0], 0)];
        let choice = RuleChoice::settle(&mut rounds, None).unwrap().unwrap();
        assert_eq!(choice.rule, ScoreRule::PerToken);
        assert!(rounds.iter().flatten().all(|answer| answer.scored == 2 && answer.probabilities[2] > 0.5));
    }

    #[test]
    fn a_rule_without_scores_is_no_candidate() {
        let mut round_0 = answers([0, 0, 12], 0);
        round_0.push(answer(Extracted::Nothing, false));
        let choice = RuleChoice::of(&round_0, None);
        assert!(choice.agreement.iter().all(|found| found.rule != ScoreRule::BareLetter));
        assert!(RuleChoice::settle(&mut [round_0], Some(ScoreRule::BareLetter)).is_err());
    }
}
