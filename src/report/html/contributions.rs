//! What attention and feed-forward parts add to the change, round by round and layer by layer.

use super::text::{escape, percent};
use crate::causal::RoundContribution;
use crate::condition::Condition;
use crate::report::drawing::Drawings;
use crate::report::svg::Bars;
use crate::report::Report;
use crate::stats::Interval;

const KINDS: [(&str, &str, &str); 4] = [
    ("attention", "attention", "s0"),
    ("feed_forward", "feed-forward", "s1"),
    ("embed", "embedding", "s2"),
    ("total", "total", "ink"),
];

pub(super) fn section(report: &Report, drawings: &Drawings) -> String {
    let Some(first) = report.contributions.first() else { return String::new() };
    let mut courses: Vec<&Condition> = Vec::new();
    for row in &report.contributions {
        if !courses.iter().any(|known| known.same_course(&row.condition)) {
            courses.push(&row.condition);
        }
    }
    let charts: String = courses.iter().map(|course| of_instruction(report, course, drawings)).collect();
    format!(
        "<section id=\"contributions\"><h2>Which parts of the model the change comes from</h2><figure class=\"panels\">{charts}\
         <figcaption>The change of the projection at <span class=\"mono\">{}</span> at the prompt\u{2019}s last token, \
         instruction minus neutral, as the sum of what the embedding, all attention heads and all feed-forward parts add to \
         the residual stream; below 0 is less immoral, in the states\u{2019} own unit. Bars with {} intervals over item groups. \
         By layer: the last round. A part that adds to the projection need not cause it.</figcaption></figure></section>",
        first.address,
        escape(&percent(report.analysis.settings.level))
    )
}

fn of_instruction(report: &Report, course: &Condition, drawings: &Drawings) -> String {
    let name = course.name();
    let rows: Vec<&RoundContribution> =
        report.contributions.iter().filter(|row| row.condition.same_course(course)).collect();
    let value = |round: usize, part: &str, layer: Option<usize>| -> Option<Interval> {
        rows.iter()
            .find(|row| row.condition.round == round && row.part == part && row.layer == layer)
            .map(|row| row.mean)
    };
    let mut rounds: Vec<usize> = rows.iter().map(|row| row.condition.round).collect();
    rounds.sort_unstable();
    rounds.dedup();
    let mut layers: Vec<usize> = rows.iter().filter_map(|row| row.layer).collect();
    layers.sort_unstable();
    layers.dedup();
    let kinds = |of: &[(&str, &str, &str)]| {
        of.iter().map(|(_, name, colour)| ((*name).to_owned(), (*colour).to_owned())).collect()
    };
    let by_round = Bars {
        title: format!("{name}: parts by round"),
        x_name: "round".to_owned(),
        y_name: "change of the projection".to_owned(),
        kinds: kinds(&KINDS),
        groups: rounds
            .iter()
            .map(|&round| (round.to_string(), KINDS.iter().map(|(part, ..)| value(round, part, None)).collect()))
            .collect(),
    };
    let last = rounds.last().copied().unwrap_or(0);
    let by_layer = Bars {
        title: format!("{name}: parts by layer, round {last}"),
        x_name: "layer".to_owned(),
        y_name: "change of the projection".to_owned(),
        kinds: kinds(&KINDS[..2]),
        groups: layers
            .iter()
            .map(|&layer| {
                (layer.to_string(), KINDS[..2].iter().map(|(part, ..)| value(last, part, Some(layer))).collect())
            })
            .collect(),
    };
    drawings.add(&by_round.title, by_round.draw()) + &drawings.add(&by_layer.title, by_layer.draw())
}
