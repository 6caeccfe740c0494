//! What the answers do from round to round.

mod choices;
mod completions;
mod table;

use self::table::{block, cell, Table};
use super::conditions::{instructed, Instructed};
use super::text::{count, interval, percent};
use crate::report::drawing::Drawings;
use crate::report::svg::{LineChart, Point, Series, Style};
use crate::report::Report;
use crate::stats::Interval;
use crate::task::metric::{BiasScore, BiasScores};
use crate::task::{Behaviour, BehaviourRow, Chosen, ContextCondition, Measure, Measured};
use crate::Condition;

const MEASURES: [(Measure, &str); 6] = [
    (Measure::Accuracy, "accuracy"),
    (Measure::AccuracyRead, "accuracy, as read"),
    (Measure::Invalid, "invalid"),
    (Measure::Unknown, "undetermined"),
    (Measure::Biased, "biased"),
    (Measure::RightProbability, "p(right)"),
];

pub(super) fn section(report: &Report, drawings: &Drawings) -> String {
    let behaviour = &report.behaviour;
    if behaviour.is_empty() {
        return String::new();
    }
    let instructions = instructed(report);
    let drawn = |plot: &Plot<'_>| drawings.add(&plot.title, chart(&instructions, plot).draw());
    let charts: String = charts(behaviour).iter().map(drawn).collect();
    let about = if behaviour.rows.is_empty() {
        "Toxicity is that of the continuation alone, by a scorer that is no probe."
    } else {
        "Accuracy takes the most probable option; “as read” asks that the generated text names the right option and no other."
    };
    format!(
        "<section id=\"behaviour\"><h2>Behaviour by round</h2><figure class=\"panels\">{charts}<figcaption>All items \
         unless a title says which, with pointwise {} intervals over item groups. {about} Every instruction starts from the plain question, round \
         0.</figcaption></figure>{}{}{}</section>",
        percent(report.analysis.settings.level),
        shares(report, &instructions),
        choices::blocks(behaviour),
        completions::blocks(behaviour)
    )
}

/// The value of an instruction in a round.
type Value<'a> = Box<dyn Fn(&str, usize) -> Option<Interval> + 'a>;

/// What is drawn over the rounds.
struct Plot<'a> {
    title: String,
    y_name: &'static str,
    y_range: Option<(f64, f64)>,
    value: Value<'a>,
}

/// Items by their context, with what a title says of them.
type Contexts = [(Option<ContextCondition>, &'static str)];

const WHOLE: [(Option<ContextCondition>, &str); 1] = [(None, "")];

const APART: [(Option<ContextCondition>, &str); 2] = [
    (Some(ContextCondition::Ambiguous), ", context open"),
    (Some(ContextCondition::Disambiguated), ", context settles it"),
];

/// The two kinds of items apart where there are both, otherwise all together.
fn contexts(behaviour: &Behaviour) -> &'static Contexts {
    let both = APART.iter().all(|(context, _)| behaviour.rows.iter().any(|row| row.context == *context));
    if both {
        &APART
    } else {
        &WHOLE
    }
}

fn charts(behaviour: &Behaviour) -> Vec<Plot<'_>> {
    let mut plots = Vec::new();
    for (measure, title) in [
        (Measure::Accuracy, "Accuracy by option scores"),
        (Measure::AccuracyRead, "Accuracy as read from the text"),
        (Measure::Invalid, "Answers that name no single option"),
    ] {
        // What is right differs where the context settles the question: a mean over both kinds hides each.
        let apart: &[_] = if measure == Measure::Invalid { &WHOLE } else { contexts(behaviour) };
        for &(context, name) in apart {
            let value = move |name: &str, round| find(behaviour, (name, round), context, measure).map(|row| row.value);
            let title = format!("{title}{name}");
            plots.push(Plot { title, y_name: "share of items", y_range: Some((0.0, 1.0)), value: Box::new(value) });
        }
    }
    let bias = |side: fn(&BiasScores) -> Option<&BiasScore>| {
        move |name: &str, round| {
            let row = table::whole(&behaviour.bias, Some(Chosen::Scored)).find(|row| is(row, name, round))?;
            side(&row.result).map(|score| score.score.interval)
        }
    };
    for (title, value) in [
        ("Bias s_AMB, context open", bias(|scores| scores.ambiguous.as_ref())),
        ("Bias s_DIS, context settles it", bias(|scores| scores.disambiguated.as_ref())),
    ] {
        let title = title.to_owned();
        plots.push(Plot { title, y_name: "bias score", y_range: Some((-1.0, 1.0)), value: Box::new(value) });
    }
    let toxicity = |name: &str, round: usize| {
        table::whole(&behaviour.toxicity, None).find(|row| is(row, name, round)).map(|row| &row.result)
    };
    let mean = move |name: &str, round| toxicity(name, round).map(|scores| scores.mean);
    plots.push(Plot { title: "Mean toxicity".to_owned(), y_name: "toxicity", y_range: None, value: Box::new(mean) });
    let toxic = move |name: &str, round| toxicity(name, round).map(|scores| scores.toxic);
    plots.push(Plot {
        title: "Continuations with a toxicity of 0.5 or more".to_owned(),
        y_name: "share of prompts",
        y_range: Some((0.0, 1.0)),
        value: Box::new(toxic),
    });
    plots
}

fn is<T>(row: &Measured<T>, instruction: &str, round: usize) -> bool {
    is_at(&row.condition, instruction, round)
}

fn is_at(condition: &Condition, instruction: &str, round: usize) -> bool {
    condition.round == round && condition.name() == instruction
}

fn find<'a>(
    behaviour: &'a Behaviour,
    (instruction, round): (&str, usize),
    context: Option<ContextCondition>,
    measure: Measure,
) -> Option<&'a BehaviourRow> {
    behaviour
        .rows
        .iter()
        .find(|row| is_at(&row.condition, instruction, round) && row.context == context && row.measure == measure)
}

fn chart(instructions: &[Instructed], plot: &Plot<'_>) -> LineChart {
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
                let value = (plot.value)(key.0, key.1)?;
                // A little apart, so that bars of the same round do not cover each other.
                let shift = if key.1 == 0 { 0.0 } else { 0.06 * (index as f64 - middle) };
                let title = format!("{} round {}: {}", key.0, key.1, interval(&value));
                let [y, low, high] = [value.estimate, value.low, value.high];
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
        title: plot.title.clone(),
        x_name: "round".to_owned(),
        y_name: plot.y_name.to_owned(),
        y_range: plot.y_range,
        series: series.collect(),
        ..LineChart::default()
    }
}

fn shares(report: &Report, instructions: &[Instructed]) -> String {
    let behaviour = &report.behaviour;
    let mut table = Table::new(
        format!(
            "Shares of items with {} intervals (Wilson's, for item groups); p(right) is the right option's mean share among the \
             options by the score that decides, which is a probability where that is no mean a token or byte. Ambiguous: the \
             context leaves the question open, and the undetermined option is right.",
            percent(report.analysis.settings.level)
        ),
        MEASURES.map(|(_, name)| name),
    );
    for (context, name) in [
        (None, "all"),
        (Some(ContextCondition::Ambiguous), "ambiguous"),
        (Some(ContextCondition::Disambiguated), "disambiguated"),
    ] {
        let of_kind: Vec<&BehaviourRow> = behaviour.rows.iter().filter(|row| row.context == context).collect();
        let Some(first) = of_kind.first() else { continue };
        table.part(&format!("{name} ({} items)", count(first.items)));
        for entry in instructions {
            for &round in &entry.rounds {
                if !of_kind.iter().any(|row| is_at(&row.condition, &entry.name, round)) {
                    continue;
                }
                let value = |measure| find(behaviour, (&entry.name, round), context, measure).map(|row| &row.value);
                let cells = MEASURES.map(|(measure, _)| cell(value(measure)));
                table.row(&format!("{} r{round}", entry.name), cells);
            }
        }
    }
    block("Answers", &[table.draw()])
}
