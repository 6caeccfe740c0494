//! Answers to questions with options.

use rayon::prelude::*;

use super::measure::{self, Measure};
use super::{courses, parts, pick, AnsweredRound, Behaviour, Chosen, Course, Measured, Measurement, Outcome};
use crate::stats::ClusterBootstrap;
use crate::task::metric::{
    Abstention, AnswerFlow, BiasScores, Convergence, GainByRank, OracleStop, PositionBias, PronounScores, RiskCoverage,
};
use crate::task::{Answer, ChoiceItem, Winogender};
use crate::Result;

pub(super) fn measure(
    settings: &Measurement<'_>,
    items: &[ChoiceItem],
    rounds: &[AnsweredRound<'_>],
) -> Result<Behaviour> {
    let part = |(category, rows): (Option<String>, Vec<usize>)| Part::new(category, rows, items, settings);
    let parts: Vec<Part> =
        parts(items.iter().map(|item| item.category.as_str())).into_iter().map(part).collect::<Result<_>>()?;
    let Some(whole) = parts.first() else { return Ok(Behaviour::default()) };
    let answers: Vec<Answers<'_>> =
        Chosen::ALL.iter().flat_map(|&chosen| rounds.iter().map(move |round| Answers::new(*round, chosen))).collect();
    let scored = answers.get(..rounds.len()).unwrap_or_default();
    let courses = courses(rounds);
    let by_part: Vec<(&Part, &Answers<'_>)> =
        parts.iter().flat_map(|part| answers.iter().map(move |answers| (part, answers))).collect();
    let by_course: Vec<(&Course<'_, Answer>, Chosen)> =
        Chosen::ALL.iter().flat_map(|&chosen| courses.iter().map(move |course| (course, chosen))).collect();

    let (undetermined, conditioned) =
        (items.iter().any(|item| item.unknown.is_some()), items.iter().any(|item| item.condition.is_some()));
    Ok(Behaviour {
        outcome: outcome(items, rounds),
        rows: measure::rows(items, rounds, settings.draws, settings.seed)?,
        bias: each(if conditioned { &by_part } else { &[] }, |(part, answers)| {
            let chosen = pick(&answers.options, &part.rows);
            answers.row(part, BiasScores::of(&part.items, &chosen, &part.resamples))
        })?,
        abstention: each(if undetermined { &answers } else { &[] }, |answers| {
            answers.row(whole, Abstention::of(items, &answers.options, &whole.resamples))
        })?,
        risk_coverage: each(scored, |answers| {
            let curve = risk_coverage(items, answers.round.answers)?;
            answers.row(whole, curve.area(&whole.resamples))
        })?,
        position: each(&answers, |answers| {
            answers.row(whole, PositionBias::of(items, &answers.options, &whole.resamples))
        })?,
        flows: each(&by_course, |(course, chosen)| {
            let Some((plain, last)) = course.plain().zip(course.rounds.last()) else { return Ok(None) };
            let flow = AnswerFlow::of(items, &chosen.of(plain), &chosen.of(last), &whole.resamples)?;
            Ok(Some(course.row(*chosen, flow)))
        })?,
        ranks: each(&courses, |course| {
            let control = settings.controls.get(course.instruction);
            let control = control.and_then(|name| courses.iter().find(|course| course.instruction == name));
            gain_by_rank(items, course, control, &whole.resamples)
        })?,
        convergence: each(&by_course, |(course, chosen)| {
            let options = course.options(*chosen);
            if options.len() < 2 {
                return Ok(None);
            }
            Ok(Some(course.row(*chosen, Convergence::of(&options, whole.resamples.level())?)))
        })?,
        oracle: each(&by_course, |(course, chosen)| {
            let stop = OracleStop::of(items, &course.options(*chosen), &whole.resamples)?;
            Ok(Some(course.row(*chosen, stop)))
        })?,
        pronouns: match settings.winogender {
            Some(winogender) => each(&by_part, |(part, answers)| pronouns(winogender, part, answers))?,
            None => Vec::new(),
        },
        ..Behaviour::default()
    })
}

/// The rows that a table has for these entries, in their order.
fn each<T: Sync, R: Send>(
    entries: &[T],
    row: impl Fn(&T) -> Result<Option<Measured<R>>> + Send + Sync,
) -> Result<Vec<Measured<R>>> {
    let rows: Vec<Option<Measured<R>>> = entries.par_iter().map(row).collect::<Result<_>>()?;
    Ok(rows.into_iter().flatten().collect())
}

/// Some of the items, with resamples of their own.
struct Part {
    category: Option<String>,
    rows: Vec<usize>,
    items: Vec<ChoiceItem>,
    resamples: ClusterBootstrap,
}

impl Part {
    fn new(
        category: Option<String>,
        rows: Vec<usize>,
        items: &[ChoiceItem],
        settings: &Measurement<'_>,
    ) -> Result<Self> {
        let items = pick(items, &rows);
        let groups: Vec<&str> = items.iter().map(|item| item.group.as_str()).collect();
        let resamples = ClusterBootstrap::new(&groups, settings.draws, settings.seed)?;
        Ok(Part { category, rows, items, resamples })
    }
}

/// One round's answers as options.
struct Answers<'a> {
    round: AnsweredRound<'a>,
    chosen: Chosen,
    options: Vec<Option<usize>>,
}

impl<'a> Answers<'a> {
    fn new(round: AnsweredRound<'a>, chosen: Chosen) -> Self {
        Answers { options: chosen.of(&round), round, chosen }
    }

    fn row<T>(&self, part: &Part, result: Result<T>) -> Result<Option<Measured<T>>> {
        Ok(Some(Measured {
            instruction: self.round.instruction.to_owned(),
            round: self.round.round,
            from: None,
            category: part.category.clone(),
            chosen: Some(self.chosen),
            result: result?,
        }))
    }
}

impl Course<'_, Answer> {
    fn options(&self, chosen: Chosen) -> Vec<Vec<Option<usize>>> {
        self.rounds.iter().map(|round| chosen.of(round)).collect()
    }

    fn row<T>(&self, chosen: Chosen, result: T) -> Measured<T> {
        Measured {
            instruction: self.instruction.to_owned(),
            round: self.rounds.last().map_or(0, |round| round.round),
            from: self.rounds.first().map(|round| round.round),
            category: None,
            chosen: Some(chosen),
            result,
        }
    }
}

fn outcome(items: &[ChoiceItem], rounds: &[AnsweredRound<'_>]) -> Outcome {
    let series = |round: &AnsweredRound<'_>| Measured {
        instruction: round.instruction.to_owned(),
        round: round.round,
        from: None,
        category: None,
        chosen: Some(Chosen::Scored),
        result: items.iter().zip(round.answers).map(|(item, answer)| Measure::Accuracy.value(item, answer)).collect(),
    };
    Outcome {
        name: "accuracy".to_owned(),
        items: items.iter().map(|item| item.id.clone()).collect(),
        groups: items.iter().map(|item| item.group.clone()).collect(),
        series: rounds.iter().map(series).collect(),
    }
}

fn risk_coverage(items: &[ChoiceItem], answers: &[Answer]) -> Result<RiskCoverage> {
    let confidence: Vec<f64> =
        answers.iter().map(|answer| answer.probabilities.get(answer.scored).copied().unwrap_or(f64::NAN)).collect();
    let right: Vec<bool> = items.iter().zip(answers).map(|(item, answer)| answer.scored == item.label).collect();
    RiskCoverage::of(&confidence, &right)
}

/// In the last round of both.
fn gain_by_rank(
    items: &[ChoiceItem],
    course: &Course<'_, Answer>,
    control: Option<&Course<'_, Answer>>,
    resamples: &ClusterBootstrap,
) -> Result<Option<Measured<GainByRank>>> {
    let Some((plain, last)) = course.plain().zip(course.rounds.last()) else { return Ok(None) };
    let Some(neutral) = control.and_then(|control| control.rounds.iter().find(|round| round.round == last.round))
    else {
        return Ok(None);
    };
    let gains = GainByRank::of(items, plain.answers, last.answers, neutral.answers, resamples)?;
    Ok(Some(course.row(Chosen::Scored, gains)))
}

fn pronouns(winogender: &Winogender, part: &Part, answers: &Answers<'_>) -> Result<Option<Measured<PronounScores>>> {
    let (chosen, said) = (pick(&answers.options, &part.rows), pick(answers.round.answers, &part.rows));
    answers.row(part, PronounScores::of(winogender, &part.items, &chosen, &said, &part.resamples))
}
