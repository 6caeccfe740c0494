//! What the answers do from round to round.

use super::conditions::{instructed, Instructed};
use super::text::{count, escape, interval, interval_cell, NONE};
use crate::report::svg::{LineChart, Point, Series, Style};
use crate::report::Report;
use crate::task::{BehaviourRow, Condition, Measure};

const MEASURES: [(Measure, &str); 6] = [
    (Measure::Accuracy, "accuracy"),
    (Measure::AccuracyRead, "accuracy, as read"),
    (Measure::Invalid, "invalid"),
    (Measure::Unknown, "undetermined"),
    (Measure::Biased, "biased"),
    (Measure::RightProbability, "p(right)"),
];

pub(super) fn section(report: &Report) -> String {
    if report.behaviour.is_empty() {
        return String::new();
    }
    let instructions = instructed(report);
    let charts: String = [
        (Measure::Accuracy, "Accuracy by option scores"),
        (Measure::AccuracyRead, "Accuracy as read from the text"),
        (Measure::Invalid, "Answers that name no single option"),
    ]
    .into_iter()
    .map(|(measure, title)| chart(report, &instructions, measure, title).draw())
    .collect();
    format!(
        "<section id=\"behaviour\"><h2>Behaviour by round</h2><figure class=\"panels\">{charts}<figcaption>All items, \
         with pointwise 95\u{a0}% intervals over item groups. Accuracy takes the most probable option; “as read” asks that \
         the generated text names the right option and no other. Every instruction starts from the plain question, round \
         0.</figcaption></figure>{}</section>",
        table(report, &instructions)
    )
}

fn find<'a>(
    report: &'a Report,
    (instruction, round): (&str, usize),
    condition: Option<Condition>,
    measure: Measure,
) -> Option<&'a BehaviourRow> {
    report.behaviour.iter().find(|row| {
        row.instruction == instruction && row.round == round && row.condition == condition && row.measure == measure
    })
}

fn chart(report: &Report, instructions: &[Instructed], measure: Measure, title: &str) -> LineChart {
    let plain = instructions.iter().find(|entry| entry.is_plain());
    let others = instructions.iter().filter(|entry| !entry.is_plain());
    let shown: Vec<&Instructed> = match plain {
        // The plain question comes last: its point lies on top of where the lines begin.
        Some(plain) => others.chain([plain]).collect(),
        None => others.collect(),
    };
    let lines = shown.iter().filter(|entry| !entry.is_plain()).count();
    let middle = lines.saturating_sub(1) as f64 / 2.0;
    let series = shown.iter().enumerate().filter_map(|(index, entry)| {
        let start = plain.filter(|_| !entry.is_plain()).map(|plain| (plain.name.as_str(), 0));
        let own = entry.rounds.iter().map(|&round| (entry.name.as_str(), round));
        let points: Vec<Point> = start
            .into_iter()
            .chain(own)
            .filter_map(|key| {
                let row = find(report, key, None, measure)?;
                // A little apart, so that bars of the same round do not cover each other.
                let shift = if key.1 == 0 { 0.0 } else { 0.06 * (index as f64 - middle) };
                let title = format!("{} round {}: {}", key.0, key.1, interval(&row.value));
                let [y, low, high] = [row.value.estimate, row.value.low, row.value.high];
                Some(Point { x: key.1 as f64 + shift, y, low, high, title })
            })
            .collect();
        (!points.is_empty()).then(|| Series {
            label: Some(entry.name.clone()),
            colour: entry.colour.clone(),
            shape: entry.shape,
            style: Style::Bars,
            points,
        })
    });
    LineChart {
        title: title.to_owned(),
        x_name: "round".to_owned(),
        y_name: "share of items".to_owned(),
        y_range: Some((0.0, 1.0)),
        series: series.collect(),
        ..LineChart::default()
    }
}

fn table(report: &Report, instructions: &[Instructed]) -> String {
    let mut rows = String::new();
    for (condition, name) in
        [(None, "all"), (Some(Condition::Ambiguous), "ambiguous"), (Some(Condition::Disambiguated), "disambiguated")]
    {
        let of_kind: Vec<&BehaviourRow> = report.behaviour.iter().filter(|row| row.condition == condition).collect();
        let Some(first) = of_kind.first() else { continue };
        rows.push_str(&format!(
            "<tr class=\"part\"><th scope=\"rowgroup\" colspan=\"{}\">{name} ({} items)</th></tr>",
            MEASURES.len() + 1,
            count(first.items)
        ));
        for entry in instructions {
            for &round in &entry.rounds {
                if !of_kind.iter().any(|row| row.instruction == entry.name && row.round == round) {
                    continue;
                }
                rows.push_str(&format!("<tr><th scope=\"row\">{} r{round}</th>", escape(&entry.name)));
                for (measure, _) in MEASURES {
                    let row = find(report, (&entry.name, round), condition, measure);
                    let value = row.map_or(NONE.to_owned(), |row| interval_cell(&row.value));
                    rows.push_str(&format!("<td>{value}</td>"));
                }
                rows.push_str("</tr>");
            }
        }
    }
    let head: String = MEASURES.iter().map(|(_, name)| format!("<th scope=\"col\">{name}</th>")).collect();
    format!(
        "<div class=\"scroll\"><table><caption>Shares of items with 95\u{a0}% intervals; p(right) is the mean probability of \
         the right option. Ambiguous: the context leaves the question open, and the undetermined option is \
         right.</caption><thead><tr><th scope=\"col\">condition</th>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )
}
