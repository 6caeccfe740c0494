//! How well the probes do on held-out texts.

use super::conditions::series_colour;
use super::text::{count, escape, interval, interval_cell, number, Place, NONE};
use crate::probe::ProbeRow;
use crate::report::drawing::Drawings;
use crate::report::svg::{LineChart, Point, Reference, Series, Style};
use crate::report::Report;
use crate::stats::Interval;

pub(super) fn section(report: &Report, drawings: &Drawings) -> String {
    if report.probes.is_empty() {
        return String::new();
    }
    let places = Place::all(report.probes.iter().map(|row| row.address));
    let chart = chart(report, &places);
    let chart = drawings.add(&chart.title, chart.draw());
    let once: Vec<String> = report
        .probes
        .iter()
        .filter(|row| row.layer.is_none())
        .map(|row| {
            format!("<span class=\"mono\">{}</span> {}", escape(&row.address.to_string()), interval(&auroc(row)))
        })
        .collect();
    let once = if once.is_empty() { String::new() } else { format!(" Read once per model: {}.", once.join("; ")) };
    let failed = report.probes.iter().filter(|row| !row.converged).count();
    let failed = match failed {
        0 => String::new(),
        failed => {
            format!(" <strong>{} of {} fits did not converge.</strong>", count(failed), count(report.probes.len()))
        }
    };
    let best = best(report, &places);
    let figure = if chart.is_empty() { String::new() } else { format!("<div class=\"panels one\">{chart}</div>") };
    format!(
        "<section id=\"probes\"><h2>Probes: can immorality be read from the states?</h2><figure class=\"side\">{figure}\
         <div class=\"beside\">{best}<figcaption>Area under the ROC curve on held-out texts, with pointwise 95\u{a0}% intervals over held-out \
         groups; they do not hold the variation of refitting. 0.5 is chance. The best of many layers flatters itself.{once}{failed}{}</figcaption></div></figure>{}</section>",
        answers(report),
        table(report)
    )
}

/// What the probes that verdicts rest on can tell.
fn answers(report: &Report) -> String {
    let crossed = |row: &ProbeRow| Some((row.address, row.cross_auroc?, row.class_distance?));
    let best = report.answer_probes.iter().filter_map(crossed).max_by(|a, b| a.1.total_cmp(&b.1));
    best.map_or(String::new(), |(address, auroc, distance)| {
        format!(
            " Of the probes that read the answers the best is that at <span class=\"mono\">{}</span>: AUROC {} on texts left out \
             in turn, a class distance of {} standard deviations within a class.",
            escape(&address.to_string()),
            number(auroc),
            number(distance)
        )
    })
}

fn auroc(row: &ProbeRow) -> Interval {
    Interval { estimate: row.auroc, low: row.auroc_low, high: row.auroc_high }
}

/// The best probe of each place; the best of many flatters, which the verdict's first check adjusts for.
fn best(report: &Report, places: &[Place]) -> String {
    let rows: String = places
        .iter()
        .filter_map(|&place| {
            let here = report.probes.iter().filter(|row| Place::of(row.address) == place);
            let best = here.max_by(|a, b| a.auroc.total_cmp(&b.auroc))?;
            let layer = best.layer.map_or(NONE.to_owned(), |layer| layer.to_string());
            let name = escape(&place.name());
            let value = interval_cell(&auroc(best));
            Some(format!("<tr><th scope=\"row\" class=\"mono\">{name}</th><td>{layer}</td><td>{value}</td></tr>"))
        })
        .collect();
    format!(
        "<table><caption>Best layer of each site</caption><thead><tr><th scope=\"col\">site</th><th scope=\"col\">layer</th>\
         <th scope=\"col\">AUROC</th></tr></thead><tbody>{rows}</tbody></table>"
    )
}

fn chart(report: &Report, places: &[Place]) -> LineChart {
    let series = places.iter().enumerate().filter_map(|(index, &place)| {
        let rows = report.probes.iter().filter(|row| Place::of(row.address) == place);
        let points: Vec<Point> = rows
            .filter_map(|row| {
                Some(Point {
                    x: row.layer? as f64,
                    y: row.auroc,
                    low: row.auroc_low,
                    high: row.auroc_high,
                    title: format!("{}: AUROC {}", row.address, interval(&auroc(row))),
                })
            })
            .collect();
        (!points.is_empty()).then(|| Series {
            label: Some(place.name()),
            colour: series_colour(index),
            shape: index,
            style: Style::Band,
            points,
        })
    });
    LineChart {
        title: "Held-out AUROC by layer".to_owned(),
        x_name: "layer".to_owned(),
        y_name: "AUROC".to_owned(),
        y_holds: vec![0.45, 1.0],
        references: vec![Reference { y: 0.5, label: "chance".to_owned() }],
        series: series.collect(),
        ..LineChart::default()
    }
}

fn table(report: &Report) -> String {
    let rows: String = report
        .probes
        .iter()
        .map(|row| {
            format!(
                "<tr><th scope=\"row\" class=\"mono\">{}</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td>\
                 <td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
                escape(&row.address.to_string()),
                interval_cell(&auroc(row)),
                number(row.auprc),
                number(row.accuracy),
                number(row.balanced_accuracy),
                row.log_loss.map_or(NONE.to_owned(), number),
                row.ece_equal_mass.map_or(NONE.to_owned(), number),
                count(row.n_train),
                count(row.n_test),
                count(row.groups_test),
                if row.converged { "yes" } else { "no" }
            )
        })
        .collect();
    format!(
        "<details><summary>All probes in numbers</summary><div class=\"scroll\"><table><thead><tr><th scope=\"col\">address</th>\
         <th scope=\"col\">AUROC</th><th scope=\"col\">AUPRC</th><th scope=\"col\">accuracy</th>\
         <th scope=\"col\">balanced accuracy</th><th scope=\"col\">log-loss (nats; chance 0.693)</th>\
         <th scope=\"col\">calibration error</th>\
         <th scope=\"col\">training texts</th><th scope=\"col\">held-out texts</th><th scope=\"col\">held-out groups</th>\
         <th scope=\"col\">converged</th></tr></thead><tbody>{rows}</tbody></table></div></details>"
    )
}
