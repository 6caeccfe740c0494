//! What the next study needs, by how precise this one was.

use super::text::{escape, number, percent, NONE};
use crate::level::{ItemsNeeded, Planner, Precision};
use crate::report::Report;
use crate::Result;

/// A gain that would matter, as a share of the outcome's whole range.
const GAIN: f64 = 0.1;

pub(super) fn section(report: &Report) -> String {
    let settings = &report.analysis.settings;
    let fall = 2.0 * settings.margin;
    let rows: String = report.precision.iter().map(|precision| rows(precision, report, fall)).collect();
    if rows.is_empty() {
        return String::new();
    }
    format!(
        "<details><summary>What the next study needs</summary><div class=\"scroll\"><table class=\"plain\"><caption>Items with which a \
         study like this shows the effect with {} power, by how much this run varied; in brackets by the upper bound of that. \
         More items do not divide what the probes owe to their texts: where that is too much, the texts that they need stand \
         first. The effects are set, not those that were found.</caption><thead><tr><th scope=\"col\">instruction</th>\
         <th scope=\"col\">to show</th><th scope=\"col\">needs</th></tr></thead><tbody>{rows}</tbody></table></div></details>",
        escape(&percent(settings.power))
    )
}

fn rows(precision: &Precision, report: &Report, fall: f64) -> String {
    let Ok(planner) = Planner::new(precision, report.analysis.settings) else { return String::new() };
    let row = |what: String, needed: Result<ItemsNeeded>| {
        let needs = needed.map_or(NONE.to_owned(), |needed| told(&needed));
        format!(
            "<tr><th scope=\"row\">{}</th><td>{what}</td><td>{needs}</td></tr>",
            escape(&precision.condition.to_string())
        )
    };
    let mut rows = String::new();
    if precision.gain.is_some() {
        let what = format!("a gain of {} in {}", number(GAIN), escape(report.outcome()));
        rows += &row(what, planner.for_gain(GAIN));
    }
    if precision.change.is_some() {
        let what = format!("a fall of {} beyond the margin", number(fall));
        rows += &row(what, planner.for_reduction(fall));
        rows += &row("no fall by the margin, where there is none".to_owned(), planner.for_no_reduction());
    }
    rows
}

fn told(needed: &ItemsNeeded) -> String {
    let texts = needed.texts.map_or(String::new(), |texts| format!("{texts} groups of texts, then "));
    format!("{texts}{} ({})", escape(&needed.estimate.to_string()), escape(&needed.upper.to_string()))
}
