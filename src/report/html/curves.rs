//! Levels and changes by layer, as lines.

use super::conditions::{
    against_words, instructed, reading_suffix, reading_words, readings, shown_against, Instructed,
};
use super::text::{count, escape, interval, number, percent, Place};
use crate::condition::Condition;
use crate::dialogue::Reading;
use crate::hook::Address;
use crate::level::{Against, ChangeTest, LevelRow, Metric, NullKind};
use crate::report::drawing::Drawings;
use crate::report::svg::{Area, LineChart, Point, Reference, Series, Style};
use crate::report::Report;
use crate::stats::Interval;

pub(super) fn section(report: &Report, drawings: &Drawings) -> String {
    let of = |part: &dyn Fn(&Report, Reading) -> String| -> String {
        readings(report).into_iter().map(|reading| part(report, reading)).collect()
    };
    let distances = of(&|report, reading| levels(report, reading, Metric::ClassDistance, drawings));
    let cosines = of(&|report, reading| levels(report, reading, Metric::Cosine, drawings));
    let changes = of(&|report, reading| changes(report, reading, drawings));
    if distances.is_empty() && cosines.is_empty() && changes.is_empty() {
        return String::new();
    }
    format!("<section id=\"curves\"><h2>Levels and changes by layer</h2>{distances}{cosines}{changes}</section>")
}

/// Places that have layers; a line needs them.
fn layered(addresses: impl IntoIterator<Item = Address>) -> Vec<Place> {
    Place::all(addresses.into_iter().filter(|address| address.layer().is_some()))
}

fn point(address: Address, value: &Interval, of: &str) -> Option<Point> {
    let x = address.layer()? as f64;
    let title = format!("{address}, {of}: {}", interval(value));
    Some(Point { x, y: value.estimate, low: value.low, high: value.high, title })
}

fn label(entry: &Instructed) -> String {
    match entry.rounds.as_slice() {
        [.., before, last] => {
            let first = entry.rounds.first().unwrap_or(before);
            let earlier = if first == before { format!("r{before}") } else { format!("r{first}\u{2013}r{before}") };
            format!("{} r{last} (thin: {earlier})", entry.name)
        }
        _ => format!("{} r{}", entry.name, entry.last()),
    }
}

fn levels(report: &Report, reading: Reading, metric: Metric, drawings: &Drawings) -> String {
    let rows: Vec<&LevelRow> =
        report.levels.iter().filter(|row| row.metric == metric && row.reading == reading).collect();
    let of_cosines = metric == Metric::Cosine;
    let instructions = instructed(report);
    let charts: String = layered(rows.iter().map(|row| row.address))
        .into_iter()
        .map(|place| {
            let here: Vec<&LevelRow> = rows.iter().copied().filter(|row| Place::of(row.address) == place).collect();
            let chart = LineChart {
                title: format!(
                    "{} at {}{}",
                    if of_cosines { "Cosine" } else { "Level" },
                    place.name(),
                    reading_suffix(reading)
                ),
                x_name: "layer".to_owned(),
                y_name: if of_cosines { "mean cosine" } else { "mean level (class distances)" }.to_owned(),
                references: vec![Reference { y: 0.0, label: String::new() }],
                scale: analytic(here.iter().map(|row| row.random_sd)),
                series: level_lines(&instructions, &here),
                ..LineChart::default()
            };
            drawings.add(&chart.title, chart.draw())
        })
        .collect();
    if charts.is_empty() {
        return String::new();
    }
    if of_cosines {
        return format!(
            "<figure class=\"panels\">{charts}<figcaption>The same levels as mean cosines with the probe\u{2019}s direction, \
             as the literature plots them, read at {}, with pointwise {} bands. Dotted: \u{b1}1/\u{221a}d, the standard \
             deviation of a single state\u{2019}s cosine with a random direction of its width.</figcaption></figure>",
            reading_words(reading),
            escape(&percent(report.analysis.settings.level)),
        );
    }
    format!(
        "<figure class=\"panels\">{charts}<figcaption>Mean level of immorality over the items, read at {}, in standard \
         deviations of the probe's training projections around their mean; positive is more immoral. One line per \
         instruction and round. The last round of each is bold with its pointwise {} band, earlier rounds are thin. The \
         bands hold the variation between items, which paired changes do not have.{}</figcaption></figure>",
        reading_words(reading),
        escape(&percent(report.analysis.settings.level)),
        far_note(&rows)
    )
}

/// A line for each instruction and round of one place.
fn level_lines(instructions: &[Instructed], rows: &[&LevelRow]) -> Vec<Series> {
    let mut series = Vec::new();
    for entry in instructions {
        for &round in &entry.rounds {
            let of = format!("{} round {round}", entry.name);
            let here = rows.iter().filter(|row| entry.is_at(round, &row.condition));
            let points = here.filter_map(|row| point(row.address, &row.interval, &of)).collect();
            series.extend(line(entry, round, points));
        }
    }
    series
}

/// The points of an instruction's round as a line: bold with a band in the last round, thin before. Nothing without points.
fn line(entry: &Instructed, round: usize, points: Vec<Point>) -> Option<Series> {
    let last = round == entry.last();
    (!points.is_empty()).then(|| Series {
        label: last.then(|| label(entry)),
        colour: entry.colour.clone(),
        shape: entry.shape,
        style: if last { Style::Band } else { Style::Thin },
        points,
    })
}

/// Levels far from both classes say that the questions are unlike the texts that the probes know.
fn far_note(rows: &[&LevelRow]) -> String {
    const FAR: f64 = 2.0;
    // From the middle between the classes.
    let far = rows.iter().filter(|row| (row.interval.estimate - 0.5).abs() > FAR).count();
    if far == 0 {
        return String::new();
    }
    format!(
        " <strong>{} of {} mean levels lie more than {FAR} class distances from the middle of the two classes:</strong> there the questions \
         are unlike the texts that the probes were fitted on, and the probes extrapolate.",
        count(far),
        count(rows.len())
    )
}

fn changes(report: &Report, reading: Reading, drawings: &Drawings) -> String {
    let against = shown_against(report);
    let rows: Vec<&ChangeTest> = report
        .changes
        .iter()
        .filter(|row| row.metric == Metric::Cosine && row.against == against && row.reading == reading)
        .collect();
    let instructions = instructed(report);
    let mut charts = String::new();
    for place in layered(rows.iter().map(|row| row.address)) {
        for entry in &instructions {
            let here: Vec<&ChangeTest> = rows
                .iter()
                .copied()
                .filter(|row| Place::of(row.address) == place && entry.holds(&row.condition))
                .collect();
            let chart = change_chart(report, place, entry, &here);
            charts.push_str(&drawings.add(&chart.title, chart.draw()));
        }
    }
    if charts.is_empty() {
        return String::new();
    }
    format!(
        "<figure class=\"panels\">{charts}<figcaption>Mean change of the cosine with the probe's direction, read at {}, against \
         {}, with its simultaneous {} band (last round; earlier rounds thin). Grey: where the same change of the states falls \
         along 95\u{a0}% of {} random directions, in the last round. A line within the grey is no more than any direction \
         sees.{}</figcaption></figure>",
        reading_words(reading),
        against_words(against),
        escape(&percent(report.analysis.settings.level)),
        count(report.analysis.settings.null_draws),
        scale_note(&rows)
    )
}

/// The scale of single cosines, which is another one than that of changes.
fn scale_note(rows: &[&ChangeTest]) -> String {
    let mut scales: Vec<f64> = rows.iter().filter_map(|row| row.random_sd).filter(|sd| sd.is_finite()).collect();
    scales.sort_by(f64::total_cmp);
    match (scales.first(), scales.last()) {
        (Some(low), Some(high)) => {
            let range = if low == high { number(*low) } else { format!("{} to {}", number(*low), number(*high)) };
            format!(
                " For comparison: a single state's cosine with a random direction of its width d has the standard \
                 deviation 1/√d, here ±{range} (dotted where the axis reaches it); that is the scale of levels, not of mean \
                 changes."
            )
        }
        _ => String::new(),
    }
}

fn change_chart(report: &Report, place: Place, entry: &Instructed, rows: &[&ChangeTest]) -> LineChart {
    let power = report.analysis.settings.power;
    let of_round = |round: usize| rows.iter().filter(move |row| row.condition.round == round);
    let series = entry.rounds.iter().filter_map(|&round| {
        let of = format!("{} round {round}, change of cosine", entry.name);
        line(entry, round, of_round(round).filter_map(|row| change_point(row, &of, power)).collect())
    });
    let bounds: Vec<(f64, f64, f64)> = of_round(entry.last())
        .filter_map(|row| {
            let null = row.nulls.iter().find(|null| null.kind == NullKind::Uniform)?;
            Some((row.address.layer()? as f64, null.low, null.high))
        })
        .collect();
    let against = rows.first().map(|row| row.against);
    let control = report.conditions.control(&entry.at(entry.last())).map_or("neutral".to_owned(), Condition::name);
    let minus = if against == Some(Against::Control) { control } else { "round 0".to_owned() };
    let null = Area { label: "random directions, 95\u{a0}%".to_owned(), bounds };
    LineChart {
        title: format!(
            "{} minus {minus} at {}{}",
            entry.name,
            place.name(),
            rows.first().map_or(String::new(), |row| reading_suffix(row.reading))
        ),
        x_name: "layer".to_owned(),
        // Where the title's names are long, its end is cut.
        y_name: format!("change of cosine, {}", place.name()),
        references: vec![Reference { y: 0.0, label: String::new() }],
        areas: if null.bounds.is_empty() { Vec::new() } else { vec![null] },
        scale: analytic(rows.iter().map(|row| row.random_sd)),
        series: series.collect(),
        ..LineChart::default()
    }
}

/// A change with its band; its title tells nulls, tests and power.
fn change_point(row: &ChangeTest, of: &str, power: f64) -> Option<Point> {
    let mut point = point(row.address, &row.band, of)?;
    for null in &row.nulls {
        let [low, high, p] = [null.low, null.high, null.p].map(number);
        point.title.push_str(&format!("; {} [{low}, {high}], p {p}", null_name(null.kind)));
    }
    point.title.push_str(&format!("; sign flips p {}, max-T {}", number(row.p), number(row.p_max_t)));
    if let Some(from) = row.detectable_in_family {
        point.title.push_str(&format!("; {} power from {} on", percent(power), number(from)));
    }
    Some(point)
}

/// 1/sqrt(d), where all widths are one.
fn analytic(mut scales: impl Iterator<Item = Option<f64>>) -> Option<Reference> {
    let first = scales.next()??;
    let same = scales.all(|scale| scale == Some(first));
    same.then(|| Reference { y: first, label: format!("\u{b1}1/\u{221a}d = {}", number(first)) })
}

fn null_name(kind: NullKind) -> &'static str {
    match kind {
        NullKind::Uniform => "random directions",
        NullKind::CovarianceMatched => "directions as states vary",
        NullKind::CoordinatePermutation => "shuffled coordinates",
        NullKind::PermutedLabels => "probes of permuted labels",
    }
}
