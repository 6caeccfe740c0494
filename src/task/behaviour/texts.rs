//! The continuations of a study of texts, as metrics of texts look at them.

use std::sync::Arc;

use super::course::{parts, Course};
use super::{AnswerForm, AnsweredRound, Measured, Measurement, Outcome};
use crate::error::check_rows;
use crate::scorer::TextScorer;
use crate::stats::{pick, ClusterBootstrap};
use crate::task::{Completion, Continued, Item};
use crate::Result;

/// The rounds of a study with their items, scored once. A metric asks for its rows by part of the items or by step.
pub(in crate::task) struct Texts<'a> {
    items: &'a [Completion],
    /// With the scores of each item's continuations, `[n][k]`, the one that the conversation goes on from first.
    rounds: Vec<(AnsweredRound<'a, Continued>, Vec<Vec<f64>>)>,
    courses: Vec<Course<'a, Continued>>,
    /// All items, then those of each category: resamples, category, rows.
    parts: Vec<(Arc<ClusterBootstrap>, Option<String>, Vec<usize>)>,
    scorer: &'a dyn TextScorer,
}

/// The texts of a round before and of one after, `[n]` each.
pub(in crate::task) struct Step<'s> {
    pub before: Vec<&'s str>,
    pub after: Vec<&'s str>,
    pub scorer: &'s dyn TextScorer,
    pub resamples: &'s ClusterBootstrap,
}

impl<'a> Texts<'a> {
    pub fn new(
        items: &'a [Completion],
        rounds: &[AnsweredRound<'a, Continued>],
        by: &'a Measurement<'a>,
    ) -> Result<Self> {
        let scorer = by.judge()?;
        let groups: Vec<&str> = items.iter().map(|item| item.group.as_str()).collect();
        let parts = parts(items.iter().map(|item| item.category.as_str()));
        let parts = parts
            .into_iter()
            .map(|(category, rows)| Ok((by.resamples(&pick(&groups, &rows))?, category, rows)))
            .collect::<Result<_>>()?;
        let scored = |round: &AnsweredRound<'a, Continued>| {
            let all = |answer: &'a Continued| std::iter::once(&answer.text).chain(&answer.others);
            let texts: Vec<&str> = round.answers.iter().flat_map(all).map(String::as_str).collect();
            let scores = scorer.score(&texts)?;
            check_rows(&format!("scores of {}", scorer.name()), scores.len(), texts.len())?;
            let mut scores = scores.into_iter();
            let of_item = |answer: &Continued| scores.by_ref().take(1 + answer.others.len()).collect();
            Ok((*round, round.answers.iter().map(of_item).collect()))
        };
        let (courses, rounds) = (Course::all(rounds), rounds.iter().map(scored).collect::<Result<_>>()?);
        Ok(Texts { items, rounds, courses, parts, scorer })
    }

    /// Minus the toxicity of each continuation, of several the first: the one whose states are read.
    pub fn outcome(&self) -> Outcome {
        let of = |part: fn(&Completion) -> &String| self.items.iter().map(|item| part(item).clone()).collect();
        let mut outcome = Outcome::new(Completion::OUTCOME, of(|item| &item.id), of(|item| &item.group));
        outcome.series.extend(self.rounds.iter().map(|(round, scores)| {
            let first = scores.iter().map(|scores| 0.0 - scores.first().copied().unwrap_or(f64::NAN));
            Measured::new(round.condition, first.collect())
        }));
        outcome.forms.extend(self.rounds.iter().map(|(round, _)| {
            Measured::new(round.condition, texts(round).into_iter().map(AnswerForm::of_text).collect())
        }));
        outcome
    }

    /// A row for all items and each category, by each round, from the scores of its continuations, `[n][k]`.
    pub fn by_part<R>(&self, result: impl Fn(&[Vec<f64>], &ClusterBootstrap) -> Result<R>) -> Result<Vec<Measured<R>>> {
        let mut found = Vec::new();
        for (resamples, category, rows) in &self.parts {
            for (round, scores) in &self.rounds {
                let result = result(&pick(scores, rows), resamples)?;
                found.push(Measured { category: category.clone(), ..Measured::new(round.condition, result) });
            }
        }
        Ok(found)
    }

    /// A row for each round after another, and for the last after the first that was instructed.
    pub fn by_step<R>(&self, result: impl Fn(&Step<'_>) -> Result<R>) -> Result<Vec<Measured<R>>> {
        let Some((resamples, ..)) = self.parts.first() else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        for course in &self.courses {
            let mut steps: Vec<_> =
                course.rounds.windows(2).filter_map(|pair| Some((pair.first()?, pair.last()?))).collect();
            let mut instructed = course.rounds.iter().filter(|round| !round.condition.is_plain());
            let ends = instructed.next().zip(instructed.next_back());
            // Where there are but two instructed rounds, their step is there already.
            steps.extend(ends.filter(|(first, last)| last.condition.round > first.condition.round + 1));
            for (before, after) in steps {
                let step = Step { before: texts(before), after: texts(after), scorer: self.scorer, resamples };
                let from = Some(before.condition.round);
                found.push(Measured { from, ..Measured::new(after.condition, result(&step)?) });
            }
        }
        Ok(found)
    }
}

fn texts<'a>(round: &AnsweredRound<'a, Continued>) -> Vec<&'a str> {
    round.answers.iter().map(|answer| answer.text.as_str()).collect()
}
