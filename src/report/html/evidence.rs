//! What else speaks for or against each verdict, item by item.

use super::conditions::instructed;
use super::text::{escape, interval};
use super::verdict::row;
use crate::level::Superficiality;
use crate::report::svg::{Mark, Scatter};
use crate::report::Report;

pub(super) fn section(report: &Report) -> String {
    if report.evidence.is_empty() {
        return String::new();
    }
    let parts: String = report.evidence.iter().map(|evidence| part(evidence, report)).collect();
    format!(
        "<section id=\"evidence\"><h2>What else speaks for or against \u{201c}superficial\u{201d}</h2><p>None of this decides \
         a verdict. \u{201c}Yes\u{201d} speaks against superficial.</p>{parts}</section>"
    )
}

fn part(evidence: &Superficiality, report: &Report) -> String {
    let rows: String = evidence
        .evidence
        .iter()
        .map(|check| {
            let (kind, about) = check.name.split_once(": ").unwrap_or((&check.name, ""));
            let (title, mark) = match kind {
                "items_agree" => ("Items that answer better have less immoral states".to_owned(), 0.0),
                "revises" => ("Texts are revised, not appended to".to_owned(), 0.5),
                "survives" if about.is_empty() => {
                    ("The gain survives a last round of another instruction".to_owned(), 0.0)
                }
                "survives" => (format!("The gain survives a last round of {about}"), 0.0),
                _ => (format!("Most of the change is not one of words: {about}"), 0.5),
            };
            row(check, &title, "", Some(Mark::Threshold(mark)))
        })
        .collect();
    let entry = instructed(report).into_iter().find(|entry| entry.name == evidence.instruction);
    let outcome = Some(report.behaviour.outcome.name.as_str()).filter(|name| !name.is_empty()).unwrap_or("behaviour");
    let agreement = evidence.agreement().map_or(String::new(), |value| {
        format!(" Spearman\u{2019}s correlation of gain and reduction: {}.", interval(&value))
    });
    let scatter = Scatter {
        title: format!("Items of {}", evidence.instruction),
        x_name: format!("gain in {outcome}"),
        y_name: "change of the level (training sd)".to_owned(),
        colour: entry.map_or("s0".to_owned(), |entry| entry.colour),
        points: evidence
            .items
            .iter()
            .map(|item| {
                (item.behaviour, item.internal, format!("{}: {:.3}, {:.3}", item.item, item.behaviour, item.internal))
            })
            .collect(),
    };
    let drawn = scatter.draw();
    let figure = match drawn.is_empty() {
        true => String::new(),
        false => format!(
            "<figure class=\"panels\">{drawn}<figcaption>Every item\u{2019}s gain in behaviour against the change of its level, \
             both over {} in round {}. An internal correction would fill the lower right: better answers, less immoral \
             states.{agreement}</figcaption></figure>",
            escape(&evidence.neutral),
            evidence.round
        ),
    };
    format!(
        "<article class=\"verdict\"><h3><span class=\"of\">{}, round {}</span></h3><ol class=\"checks\">{rows}</ol></article>{figure}",
        escape(&evidence.instruction),
        evidence.round
    )
}
