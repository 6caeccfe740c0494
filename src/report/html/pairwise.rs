//! Which of two instructions works better: by the levels of their prompts, and by their words.

use super::text::{count, counted, escape, interval, interval_cell, NONE};
use crate::level::{AddressPairs, PairsOfKind};
use crate::report::drawing::Drawings;
use crate::report::svg::{LineChart, Point, Series, Style};
use crate::report::Report;
use crate::stats::Interval;

pub(super) fn section(report: &Report, drawings: &Drawings) -> String {
    let Some(found) = &report.pairwise else { return String::new() };
    let Some(all) = found.kinds.first() else { return String::new() };
    let chart = chart(all);
    format!(
        "<section id=\"pairwise\"><h2>Does the level tell which of two instructions works better?</h2><figure class=\"panels one\">{}\
         <figcaption>Share of cases in which the instruction with the lower level after its prompt (round {}, before anything is \
         generated) gives the better answer: {} of {} instructions with {}; a case is a pair and an item that it answers better \
         with one of the two. 0.5 is chance; intervals hold for all layers and sites at once, over {}.</figcaption></figure>{}</section>",
        drawings.add(&chart.title, chart.draw()),
        found.round,
        counted(all.pairs, "pair"),
        count(found.instructions.len()),
        counted(all.cases, "case"),
        counted(all.groups, "item group"),
        table(&found.kinds)
    )
}

fn chart(all: &PairsOfKind) -> LineChart {
    let mut series: Vec<Series> = Vec::new();
    for own in &all.addresses {
        let Some(layer) = own.address.layer().filter(|_| own.address.head_index().is_none()) else { continue };
        let label = own.address.site().to_string();
        let Interval { estimate, low, high } = own.share;
        let title = format!("{}: {}", own.address, interval(&own.share));
        let point = Point { x: layer as f64, y: estimate, low, high, title };
        match series.iter_mut().find(|series| series.label.as_deref() == Some(label.as_str())) {
            Some(series) => series.points.push(point),
            None => {
                let shape = series.len();
                let colour = format!("s{}", shape % 6);
                series.push(Series { label: Some(label), colour, shape, style: Style::Bars, points: vec![point] });
            }
        }
    }
    LineChart {
        title: "Concordant pairs by layer".to_owned(),
        x_name: "layer".to_owned(),
        y_name: "share of cases".to_owned(),
        y_range: Some((0.0, 1.0)),
        series,
        ..LineChart::default()
    }
}

fn table(kinds: &[PairsOfKind]) -> String {
    let rows: String = kinds
        .iter()
        .map(|kind| {
            let best = kind.addresses.iter().max_by(|a, b| a.share.low.total_cmp(&b.share.low));
            let cell = |of: &dyn Fn(&AddressPairs) -> Option<Interval>| {
                best.and_then(of).map_or(NONE.to_owned(), |found| interval_cell(&found))
            };
            let words: String = kind
                .words
                .iter()
                .map(|words| format!("{}: {}", escape(words.predictor.name()), interval_cell(&words.share)))
                .collect::<Vec<_>>()
                .join("; ");
            format!(
                "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
                escape(kind.kind.name()),
                count(kind.pairs),
                count(kind.cases),
                best.map_or(NONE.to_owned(), |best| best.address.to_string()),
                cell(&|best| Some(best.share)),
                if words.is_empty() { NONE.to_owned() } else { words },
                cell(&|best| best.beyond_words),
            )
        })
        .collect();
    let head: String = [
        "pairs of instructions",
        "pairs",
        "cases",
        "best address",
        "by its level",
        "by words alone",
        "level minus words",
    ]
    .map(|name| format!("<th scope=\"col\">{name}</th>"))
    .concat();
    format!(
        "<div class=\"scroll\"><table><caption>The address with the highest lower bound, beside what the instructions\u{2019} words foretell \
         without a model. The last column subtracts the words that do best, in whichever direction: where it holds 0, the states \
         need tell no more than the words.</caption><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )
}
