//! The answers of a study of questions with options, as metrics of choices look at them.

use std::borrow::Cow;
use std::sync::Arc;

use rayon::prelude::*;

use super::course::{parts, Course};
use super::measure::{self, Measure};
use super::{AnswerForm, AnsweredRound, BehaviourRow, Chosen, Measured, Measurement, Outcome};
use crate::stats::{pick, ClusterBootstrap};
use crate::task::{Answer, ChoiceItem, Item};
use crate::{Condition, Result};

/// The rounds of a study with their items. A metric asks for its rows by part of the items, by round or by course.
pub(in crate::task) struct Choices<'a> {
    pub items: &'a [ChoiceItem],
    rounds: &'a [AnsweredRound<'a>],
    by: &'a Measurement<'a>,
    /// All items, then those of each category.
    parts: Vec<Part>,
    /// Every round by option scores, then as read.
    answers: Vec<(AnsweredRound<'a>, Chosen, Vec<Option<usize>>)>,
    courses: Vec<Course<'a, Answer>>,
}

/// Groups that a category needs for rows of a whole course of its own.
const MIN_GROUPS: usize = 10;

/// Some of the items, with resamples of their own.
pub(in crate::task) struct Part {
    category: Option<String>,
    rows: Vec<usize>,
    pub items: Vec<ChoiceItem>,
    pub resamples: Arc<ClusterBootstrap>,
}

impl Part {
    /// Those of the answers to all items that are to these.
    pub fn answers<'a>(&self, all: &'a [Answer]) -> Cow<'a, [Answer]> {
        match self.category {
            None => Cow::Borrowed(all),
            Some(_) => Cow::Owned(pick(all, &self.rows)),
        }
    }
}

/// The answers of one round to a part of the items.
pub(in crate::task) struct PartAnswers<'s> {
    pub items: &'s [ChoiceItem],
    /// What counts as chosen.
    pub by: Chosen,
    /// The options chosen, `[n]`.
    pub chosen: Cow<'s, [Option<usize>]>,
    pub resamples: &'s ClusterBootstrap,
    all: &'s [Answer],
    part: &'s Part,
}

impl<'a> Choices<'a> {
    pub fn new(items: &'a [ChoiceItem], rounds: &'a [AnsweredRound<'a>], by: &'a Measurement<'a>) -> Result<Self> {
        let part = |(category, rows): (Option<String>, Vec<usize>)| {
            let items = pick(items, &rows);
            let groups: Vec<&str> = items.iter().map(|item| item.group.as_str()).collect();
            Ok(Part { category, rows, resamples: by.resamples(&groups)?, items })
        };
        let parts = parts(items.iter().map(|item| item.category.as_str()));
        Ok(Choices {
            items,
            rounds,
            by,
            parts: parts.into_iter().map(part).collect::<Result<_>>()?,
            answers: Chosen::ALL
                .iter()
                .flat_map(|&chosen| rounds.iter().map(move |round| (*round, chosen, chosen.of(round))))
                .collect(),
            courses: Course::all(rounds),
        })
    }

    /// Whether each answer is right, as numbers.
    pub fn outcome(&self) -> Outcome {
        let of = |part: fn(&ChoiceItem) -> &String| self.items.iter().map(|item| part(item).clone()).collect();
        let mut outcome = Outcome::new(ChoiceItem::OUTCOME, of(|item| &item.id), of(|item| &item.group));
        outcome.series.extend(self.rounds.iter().map(|round| {
            let pairs = self.items.iter().zip(round.answers);
            let right = pairs.map(|(item, answer)| Measure::Accuracy.value(item, answer)).collect();
            Measured { chosen: Some(Chosen::Scored), ..Measured::new(round.condition, right) }
        }));
        outcome.forms.extend(self.rounds.iter().map(|round| {
            let form = |answer: &Answer| AnswerForm::of_choice(&answer.text, answer.read.option().is_some());
            Measured::new(round.condition, round.answers.iter().map(form).collect())
        }));
        outcome
    }

    /// Every measure of every round.
    pub fn measures(&self) -> Result<Vec<BehaviourRow>> {
        measure::rows(self.items, self.rounds, self.by.resampler())
    }

    /// A row for all items and each category, by each round.
    pub fn by_part<R: Send>(
        &self,
        result: impl Fn(&PartAnswers<'_>) -> Result<Option<R>> + Sync,
    ) -> Result<Vec<Measured<R>>> {
        self.rows_of(&self.parts, result)
    }

    /// A row for all items, by each round.
    pub fn by_round<R: Send>(
        &self,
        result: impl Fn(&PartAnswers<'_>) -> Result<Option<R>> + Sync,
    ) -> Result<Vec<Measured<R>>> {
        self.rows_of(self.parts.get(..1).unwrap_or_default(), result)
    }

    fn rows_of<R: Send>(
        &self,
        parts: &[Part],
        result: impl Fn(&PartAnswers<'_>) -> Result<Option<R>> + Sync,
    ) -> Result<Vec<Measured<R>>> {
        let entries: Vec<_> =
            parts.iter().flat_map(|part| self.answers.iter().map(move |answers| (part, answers))).collect();
        each(&entries, |&(part, (round, by, options))| {
            let chosen = match part.category {
                None => Cow::Borrowed(options.as_slice()),
                Some(_) => Cow::Owned(pick(options, &part.rows)),
            };
            let resamples = part.resamples.as_ref();
            let answers = PartAnswers { items: &part.items, by: *by, chosen, resamples, all: round.answers, part };
            let row = |result| Measured {
                category: part.category.clone(),
                chosen: Some(*by),
                ..Measured::new(round.condition, result)
            };
            Ok(result(&answers)?.map(row))
        })
    }

    /// A row for all items, by each course of rounds, named after its last.
    pub fn by_course<R: Send>(
        &self,
        result: impl Fn(&Course<'_, Answer>, Chosen, &ClusterBootstrap) -> Result<Option<R>> + Sync,
    ) -> Result<Vec<Measured<R>>> {
        let Some(whole) = self.parts.first() else { return Ok(Vec::new()) };
        let entries: Vec<_> =
            Chosen::ALL.iter().flat_map(|&by| self.courses.iter().map(move |course| (course, by))).collect();
        each(&entries, |&(course, by)| {
            let Some((first, last)) = course.rounds.first().zip(course.rounds.last()) else { return Ok(None) };
            let from = Some(first.condition.round);
            let row = |result| Measured { from, chosen: Some(by), ..Measured::new(last.condition, result) };
            Ok(result(course, by, &whole.resamples)?.map(row))
        })
    }

    /// A row for all items and each category of 10 groups or more, by each course of rounds, named after its last; by option
    /// scores.
    pub fn by_course_and_part<R: Send>(
        &self,
        result: impl Fn(&Course<'_, Answer>, &Part) -> Result<Option<R>> + Sync,
    ) -> Result<Vec<Measured<R>>> {
        let enough = |part: &&Part| part.category.is_none() || part.resamples.clusters() >= MIN_GROUPS;
        let parts = self.parts.iter().filter(enough);
        let entries: Vec<_> = parts.flat_map(|part| self.courses.iter().map(move |course| (course, part))).collect();
        each(&entries, |&(course, part)| {
            let Some((first, last)) = course.rounds.first().zip(course.rounds.last()) else { return Ok(None) };
            let row = |result| Measured {
                from: Some(first.condition.round),
                category: part.category.clone(),
                chosen: Some(Chosen::Scored),
                ..Measured::new(last.condition, result)
            };
            Ok(result(course, part)?.map(row))
        })
    }

    /// The answers of the condition that this one is compared with.
    pub fn control(&self, condition: &Condition) -> Option<&[Answer]> {
        let control = self.by.design().control(condition)?;
        self.rounds.iter().find(|round| round.condition == control).map(|round| round.answers)
    }
}

impl PartAnswers<'_> {
    /// The whole answers, `[n]`.
    pub fn answers(&self) -> Cow<'_, [Answer]> {
        self.part.answers(self.all)
    }
}

impl Course<'_, Answer> {
    /// The options chosen in each round, `[r][n]`.
    pub fn options(&self, by: Chosen) -> Vec<Vec<Option<usize>>> {
        self.rounds.iter().map(|round| by.of(round)).collect()
    }
}

/// The rows that there are for these entries, in their order.
fn each<T: Sync, R: Send>(
    entries: &[T],
    row: impl Fn(&T) -> Result<Option<Measured<R>>> + Sync,
) -> Result<Vec<Measured<R>>> {
    let rows: Vec<Option<Measured<R>>> = entries.par_iter().map(&row).collect::<Result<_>>()?;
    Ok(rows.into_iter().flatten().collect())
}
