//! What the verdict owes to the choices that were made.

use super::text::{count, escape, number, percent};
use crate::condition::Condition;
use crate::level::{ChangeOf, SensitivityTable, Specification, VerdictKind};
use crate::report::drawing::Drawings;
use crate::report::svg::{Choice, SpecificationCurve, Specified};
use crate::report::Report;

pub(super) fn section(report: &Report, drawings: &Drawings) -> String {
    let Some(table) = &report.sensitivity else { return String::new() };
    let figures: String =
        table.conditions().into_iter().map(|condition| figure(table, condition, report, drawings)).collect();
    format!(
        "<section id=\"sensitivity\"><h2>Would other choices have given another verdict?</h2>\
         <p>The same run, judged by every combination of probe, penalty, seed of the probes' texts, layers, reading, margin and \
         score rule. The combinations share items and texts: how many agree is no p-value. All are in \
         <span class=\"mono\">sensitivity.csv</span>.</p>{figures}</section>"
    )
}

fn figure(table: &SensitivityTable, condition: &Condition, report: &Report, drawings: &Drawings) -> String {
    let rows: Vec<&Specification> = table.specifications.iter().filter(|row| row.condition == *condition).collect();
    let curve = curve(table, &rows, condition, report);
    let drawn = drawings.add(&curve.title, curve.draw());
    format!(
        "<figure><div class=\"scroll\">{drawn}</div><figcaption>D of {} by {} analyses, with its intervals, in the order of its size; \
         below, the choices of each. {} {} {}</figcaption></figure>",
        escape(&condition.to_string()),
        count(rows.len()),
        colours(report.analysis.settings.margin),
        ranges(&rows),
        verdicts(table, &rows, condition)
    )
}

/// What the colours mean.
fn colours(margin: f64) -> String {
    format!(
        "Colour: the verdict by a margin of {} and the first score rule, orange superficial, blue internal, green some change or \
         less harm than re-asking, grey none.",
        number(margin)
    )
}

fn colour(kind: Option<VerdictKind>) -> &'static str {
    match kind {
        Some(VerdictKind::Superficial) => "s1",
        Some(VerdictKind::Internal) => "s0",
        Some(VerdictKind::SomeChange | VerdictKind::LessHarm) => "s2",
        _ => "grey",
    }
}

/// A reading as the figure names it.
fn reading(of: ChangeOf) -> &'static str {
    match of {
        ChangeOf::Conversation => "conversation",
        ChangeOf::Words => "words",
        ChangeOf::Answer => "answer",
        ChangeOf::Prompt => "prompt",
    }
}

fn curve(
    table: &SensitivityTable,
    rows: &[&Specification],
    condition: &Condition,
    report: &Report,
) -> SpecificationCurve {
    let settings = &report.analysis.settings;
    let own = table.margins.iter().position(|&margin| margin == settings.margin).unwrap_or(0);
    type Told = fn(&Specification) -> String;
    let names: [(&str, Told); 5] = [
        ("reading", |row| reading(row.reading).to_owned()),
        ("probe", |row| row.probe.replace('_', " ")),
        ("penalty", |row| row.penalty.map_or("none".to_owned(), |penalty| format!("{penalty} widths"))),
        ("seed", |row| row.seed.to_string()),
        ("layers", |row| row.layers.trim_end_matches(".resid_post").to_owned()),
    ];
    let choices: Vec<Choice> = names
        .iter()
        .map(|(name, of)| {
            let mut options: Vec<String> = Vec::new();
            for option in rows.iter().map(|row| of(row)) {
                if !options.contains(&option) {
                    options.push(option);
                }
            }
            Choice { name: (*name).to_owned(), options }
        })
        .collect();
    let taken = |row: &Specification| -> Vec<usize> {
        let chosen = names.iter().zip(&choices);
        chosen.filter_map(|((_, of), choice)| choice.options.iter().position(|option| *option == of(row))).collect()
    };
    let analyses = rows.iter().filter_map(|row| {
        let kind = row.verdicts.get(own).and_then(|by_rule| by_rule.first()).copied();
        Some(Specified { value: row.change?, colour: colour(kind), options: taken(row) })
    });
    let as_run = report.verdicts.iter().find(|verdict| verdict.condition == *condition);
    let as_run =
        as_run.and_then(|verdict| verdict.decisive()).map(|change| (change.interval.estimate, "as run".to_owned()));
    SpecificationCurve {
        title: format!("Other analyses of {condition}"),
        y_name: "D (class distances)".to_owned(),
        marks: [(0.0, String::new()), (-settings.margin, "\u{2212}margin".to_owned())]
            .into_iter()
            .chain(as_run)
            .collect(),
        analyses: analyses.collect(),
        choices,
    }
}

/// From where to where D goes, by reading.
fn ranges(rows: &[&Specification]) -> String {
    let told = [ChangeOf::Conversation, ChangeOf::Answer, ChangeOf::Prompt].into_iter().filter_map(|of| {
        let mut values: Vec<f64> =
            rows.iter().filter(|row| row.reading == of).filter_map(|row| Some(row.change?.estimate)).collect();
        values.sort_by(f64::total_cmp);
        let below = values.iter().filter(|&&value| value < 0.0).count();
        Some(format!(
            "{} {} to {}, median {}, below 0 in {} of {}",
            reading(of),
            number(*values.first()?),
            number(*values.last()?),
            number(crate::stats::quantile(&values, 0.5)),
            count(below),
            count(values.len())
        ))
    });
    let told: Vec<String> = told.collect();
    let without = rows.iter().filter(|row| row.change.is_none()).count();
    let without = match without {
        0 => String::new(),
        some => format!(" In {} no probe was valid.", count(some)),
    };
    format!("D by reading: {}.{without}", if told.is_empty() { "none".to_owned() } else { told.join("; ") })
}

/// The verdicts, counted, and what each margin and score rule does to them.
fn verdicts(table: &SensitivityTable, rows: &[&Specification], condition: &Condition) -> String {
    let counts = table.counts(condition);
    let all: usize = counts.iter().map(|count| count.analyses).sum();
    if all == 0 {
        return "No verdict rests on the prompt, and answers were not read.".to_owned();
    }
    let named = |kind: VerdictKind, some: usize, of: usize| {
        format!(
            "{} {} ({})",
            escape(&kind.to_string()),
            count(some),
            percent((1000.0 * some as f64 / of as f64).round() / 1000.0)
        )
    };
    let overall: Vec<String> = counts.iter().map(|count| named(count.kind, count.analyses, all)).collect();
    // The most frequent verdict that is one, by each option: where it hangs on the option it shows.
    let positive = counts.iter().find(|count| count.kind != VerdictKind::InsufficientEvidence);
    let by = positive.map_or(String::new(), |positive| {
        let share = |place: &dyn Fn(usize, usize) -> bool| {
            let (mut hits, mut of) = (0, 0);
            for row in rows {
                for (margin, by_rule) in row.verdicts.iter().enumerate() {
                    let here = by_rule.iter().enumerate().filter(|(rule, _)| place(margin, *rule));
                    let (some, all) = here
                        .fold((0, 0), |(some, all), (_, kind)| (some + usize::from(*kind == positive.kind), all + 1));
                    (hits, of) = (hits + some, of + all);
                }
            }
            format!("{} of {}", count(hits), count(of))
        };
        let margins: Vec<String> = table
            .margins
            .iter()
            .enumerate()
            .map(|(place, margin)| format!("{} by a margin of {}", share(&|at, _| at == place), number(*margin)))
            .collect();
        let rules: Vec<String> = table
            .score_rules
            .iter()
            .enumerate()
            .map(|(place, rule)| format!("{} by {}", share(&|_, at| at == place), escape(&rule.replace('_', " "))))
            .collect();
        format!(
            " \u{201c}{}\u{201d}: {}; {}.",
            escape(&positive.kind.to_string()),
            margins.join(", "),
            rules.join(", ")
        )
    });
    format!("<strong>Of {} verdicts: {}.</strong>{by}", count(all), overall.join(", "))
}
