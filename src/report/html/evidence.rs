//! What else speaks for or against each verdict, item by item.

use super::conditions::instructed;
use super::text::{escape, interval};
use super::verdict::check;
use crate::level::Evidence;
use crate::report::drawing::Drawings;
use crate::report::svg::Scatter;
use crate::report::Report;

pub(super) fn section(report: &Report, drawings: &Drawings) -> String {
    if report.evidence.is_empty() {
        return String::new();
    }
    let parts: String = report.evidence.iter().map(|evidence| part(evidence, report, drawings)).collect();
    format!(
        "<section id=\"evidence\"><h2>What else speaks for or against \u{201c}superficial\u{201d}</h2><p>None of this decides \
         a verdict. \u{201c}Yes\u{201d} speaks against superficial.</p>{parts}</section>"
    )
}

fn part(evidence: &Evidence, report: &Report, drawings: &Drawings) -> String {
    let rows: String = evidence.checks.iter().map(|one| check(one, report)).collect();
    let entry = instructed(report).into_iter().find(|entry| entry.holds(&evidence.condition));
    let agreement = evidence.agreement().map_or(String::new(), |value| {
        format!(" Spearman\u{2019}s correlation of gain and reduction: {}.", interval(&value))
    });
    let scatter = Scatter {
        title: format!("Items of {}", evidence.condition.name()),
        x_name: format!("gain in {}", report.outcome()),
        y_name: "change of the level (class distances)".to_owned(),
        colour: entry.map_or("s0".to_owned(), |entry| entry.colour),
        points: evidence
            .items
            .iter()
            .map(|item| {
                (item.behaviour, item.internal, format!("{}: {:.3}, {:.3}", item.item, item.behaviour, item.internal))
            })
            .collect(),
    };
    let drawn = drawings.add(&scatter.title, scatter.draw());
    let figure = match drawn.is_empty() {
        true => String::new(),
        false => format!(
            "<figure class=\"panels\">{drawn}<figcaption>Every item\u{2019}s gain in behaviour against the change of its level, \
             both over {} in round {}. An internal correction would fill the lower right: better answers, less immoral \
             states.{agreement}</figcaption></figure>",
            escape(&evidence.control),
            evidence.condition.round
        ),
    };
    format!(
        "<article class=\"verdict\"><h3><span class=\"of\">{}, round {}</span></h3><ol class=\"checks\">{rows}</ol></article>{figure}",
        escape(&evidence.condition.name()),
        evidence.condition.round
    )
}
