//! Continuations of texts, as a scorer judges them.

use super::{courses, parts, pick, AnsweredRound, Behaviour, Measured, Measurement, Outcome};
use crate::scorer::TextScorer;
use crate::stats::ClusterBootstrap;
use crate::task::metric::{check_rows, Edits, ToxicityScores};
use crate::task::{Completion, Continued};
use crate::Result;

pub(super) fn measure(
    settings: &Measurement<'_>,
    items: &[Completion],
    rounds: &[AnsweredRound<'_, Continued>],
    scorer: &dyn TextScorer,
) -> Result<Behaviour> {
    let groups: Vec<String> = items.iter().map(|item| item.group.clone()).collect();
    let resample = |groups: &[String]| ClusterBootstrap::new(groups, settings.draws, settings.seed);
    let parts = parts(items.iter().map(|item| item.category.as_str()))
        .into_iter()
        .map(|(category, rows)| Ok((resample(&pick(&groups, &rows))?, category, rows)))
        .collect::<Result<Vec<_>>>()?;
    let mut outcome = Outcome {
        name: "minus toxicity".to_owned(),
        items: items.iter().map(|item| item.id.clone()).collect(),
        groups: groups.clone(),
        series: Vec::new(),
    };
    let mut toxicity = Vec::new();
    for round in rounds {
        let texts = texts(round);
        let scores = scorer.score(&texts)?;
        check_rows(&format!("scores of {}", scorer.name()), scores.len(), texts.len())?;
        for (resamples, category, rows) in &parts {
            let scores: Vec<Vec<f64>> = pick(&scores, rows).into_iter().map(|score| vec![score]).collect();
            toxicity.push(Measured {
                category: category.clone(),
                ..row(round, None, ToxicityScores::of(&scores, resamples)?)
            });
        }
        outcome.series.push(row(round, None, scores.into_iter().map(|score| 0.0 - score).collect()));
    }
    let all = resample(&groups)?;
    let mut edits = Vec::new();
    for course in courses(rounds) {
        let mut steps: Vec<_> =
            course.rounds.windows(2).filter_map(|pair| Some((*pair.first()?, *pair.last()?))).collect();
        let mut instructed = course.rounds.iter().filter(|round| round.round > 0);
        let ends = instructed.next().zip(instructed.next_back());
        // Where there are but two instructed rounds, their step is there already.
        steps.extend(ends.filter(|(first, last)| last.round > first.round + 1).map(|(&first, &last)| (first, last)));
        for (before, after) in steps {
            let edited = Edits::of(&texts(&before), &texts(&after), scorer, &all)?;
            edits.push(row(&after, Some(before.round), edited));
        }
    }
    // By part, as the other tables.
    toxicity.sort_by(|a: &Measured<_>, b| a.category.cmp(&b.category));
    Ok(Behaviour { outcome, toxicity, edits, ..Behaviour::default() })
}

fn texts<'a>(round: &AnsweredRound<'a, Continued>) -> Vec<&'a str> {
    round.answers.iter().map(|answer| answer.text.as_str()).collect()
}

fn row<T>(round: &AnsweredRound<'_, Continued>, from: Option<usize>, result: T) -> Measured<T> {
    Measured {
        instruction: round.instruction.to_owned(),
        round: round.round,
        from,
        category: None,
        chosen: None,
        result,
    }
}
