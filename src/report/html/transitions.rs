//! Where over the layers changes begin.

use super::conditions::{against_words, shown_against};
use super::text::{escape, number, percent, NONE};
use crate::dialogue::Reading;
use crate::hook::Address;
use crate::level::{Onset, Transition};
use crate::report::Report;

pub(super) fn section(report: &Report) -> String {
    let against = shown_against(report);
    let rows: Vec<&Transition> = report.transitions.iter().filter(|row| row.against == against).collect();
    if rows.is_empty() {
        return String::new();
    }
    let lines: String = rows
        .iter()
        .map(|row| {
            let site = row.addresses.first().map_or(String::new(), |address| address.site().to_string());
            format!(
                "<tr><th scope=\"row\">{}, round {}</th><td>{site}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
                escape(&row.condition.name()),
                row.condition.round,
                onset(&row.run) + &power(report, row),
                onset(&row.step),
                onset(&row.line)
            )
        })
        .collect();
    format!(
        "<section id=\"transitions\"><h2>Where over the layers the change begins</h2><div class=\"scroll\"><table class=\"plain\">\
         <caption>First layer of the change against {}, with the central 95\u{a0}% of its bootstrap distribution and the share \
         of the resamples without one. Run: the first of {} layers in a row whose simultaneous intervals exclude 0 on the same \
         side. Step and line: the best fit of two constants, and of a constant that turns into a line; a fit is always \
         somewhere, so read it only where there is a run.</caption>\
         <thead><tr><th scope=\"col\">condition</th><th scope=\"col\">site</th><th scope=\"col\">run</th><th scope=\"col\">step</th>\
         <th scope=\"col\">line</th></tr></thead><tbody>{lines}</tbody></table></div></section>",
        against_words(against),
        report.analysis.consecutive
    )
}

/// Where no run was found: the change that would have been, in the median layer of the site.
fn power(report: &Report, row: &Transition) -> String {
    if row.run.address.is_some() {
        return String::new();
    }
    let mut found: Vec<f64> = report
        .changes
        .iter()
        .filter(|change| change.condition == row.condition)
        .filter(|change| change.against == row.against && change.metric == row.metric)
        .filter(|change| change.reading == Reading::PROMPT && row.addresses.contains(&change.address))
        .filter_map(|change| change.detectable_in_family)
        .collect();
    found.sort_by(f64::total_cmp);
    let middle = found.get(found.len() / 2);
    middle.map_or(String::new(), |&middle| {
        format!(
            " <small>(a layer is found from {} sd on, {} power)</small>",
            number(middle),
            percent(report.analysis.settings.power)
        )
    })
}

fn onset(onset: &Onset) -> String {
    let layer = |address: Address| address.layer().map_or(NONE.to_owned(), |layer| layer.to_string());
    let bounds = onset.interval.map_or(String::new(), |[low, high]| format!(" [{}, {}]", layer(low), layer(high)));
    let none = if onset.none > 0.0 { format!(", none {}", percent(onset.none)) } else { String::new() };
    format!("{}<small>{bounds}{none}</small>", onset.address.map_or(NONE.to_owned(), layer))
}
