//! Choosing among instructions by their level.

use super::text::{counted, escape, interval_cell, number, NONE};
use crate::report::drawing::Drawings;
use crate::report::svg::Scatter;
use crate::report::Report;

pub(super) fn section(report: &Report, drawings: &Drawings) -> String {
    let Some(found) = &report.selection else { return String::new() };
    let rows: String = found
        .candidates
        .iter()
        .map(|candidate| {
            format!(
                "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td></tr>",
                escape(&candidate.instruction),
                number(candidate.level),
                interval_cell(&candidate.gain)
            )
        })
        .collect();
    let scatter = Scatter {
        title: "Instructions: level against gain".to_owned(),
        x_name: "mean level (class distances)".to_owned(),
        y_name: format!("gain in {} over round 0", report.outcome()),
        colour: "s0".to_owned(),
        points: found
            .candidates
            .iter()
            .map(|candidate| (candidate.level, candidate.gain.estimate, candidate.instruction.clone()))
            .collect(),
    };
    let maybe = |value: Option<f64>| value.map_or(NONE.to_owned(), number);
    let left_out = found.leave_one_out.map_or(String::new(), |[low, high]| {
        format!(" (between {} and {} with one left out)", number(low), number(high))
    });
    format!(
        "<section id=\"selection\"><h2>Does the level choose the instruction?</h2><figure class=\"side\"><div class=\"panels one\">{}</div>\
         <div class=\"beside\"><div class=\"scroll\"><table class=\"plain\"><caption>By rising level in round {}: the first would be \
         picked.</caption><thead><tr><th scope=\"col\">instruction</th><th scope=\"col\">level</th><th scope=\"col\">gain</th></tr></thead>\
         <tbody>{rows}</tbody></table></div><figcaption>Levels of {}, gains on {} others. A lower level goes with a larger gain: \
         Spearman {}{left_out}, Kendall {}, permutation p {} ({}). Picking <em>{}</em> misses {} of the best gain; picking at random \
         misses {} on average, picking by level with one candidate left out {}.</figcaption></div></figure></section>",
        drawings.add(&scatter.title, scatter.draw()),
        found.round,
        counted(found.items_to_choose, "item"),
        found.items_to_gain,
        maybe(found.spearman),
        maybe(found.kendall),
        maybe(found.p),
        found.found_from.map_or("of so few candidates not even a perfect correlation is found at 5\u{a0}%".to_owned(), |from| {
            format!("of so many candidates a correlation is found at 5\u{a0}% from {} on", number(from))
        }),
        escape(&found.picked),
        interval_cell(&found.regret_interval),
        number(found.regret_at_random),
        number(found.regret_leave_one_out),
    )
}
