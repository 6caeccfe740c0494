//! Heat maps of the change in the level of immorality.

use super::conditions::{
    against_words, instructed, reading_suffix, reading_words, readings, shown_against, Instructed,
};
use super::text::{escape, interval, number, percent, Place, NONE};
use crate::condition::Condition;
use crate::dialogue::Reading;
use crate::level::{ChangeTest, Metric};
use crate::report::drawing::Drawings;
use crate::report::svg::{colour_bar, nice_bound, Cell, Group, HeatMap};
use crate::report::Report;

pub(super) fn section(report: &Report, drawings: &Drawings) -> String {
    let maps: String = readings(report)
        .into_iter()
        .enumerate()
        .map(|(at, reading)| of_reading(report, at, reading, drawings))
        .collect();
    if maps.is_empty() {
        return String::new();
    }
    format!("<section id=\"levels\"><h2>Where the level of immorality changes</h2>{maps}</section>")
}

fn of_reading(report: &Report, at: usize, reading: Reading, drawings: &Drawings) -> String {
    let against = shown_against(report);
    let rows: Vec<&ChangeTest> = report
        .changes
        .iter()
        .filter(|row| row.reading == reading)
        .filter(|row| row.metric == Metric::ClassDistance && row.against == against && row.band.estimate.is_finite())
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    let bound = nice_bound(rows.iter().map(|row| row.band.estimate));
    let instructions: Vec<Instructed> =
        instructed(report).into_iter().filter(|entry| rows.iter().any(|row| entry.holds(&row.condition))).collect();
    let maps: String = Place::all(rows.iter().map(|row| row.address))
        .into_iter()
        .enumerate()
        .map(|(index, place)| {
            let map = map(report, 100 * at + index, (place, reading), &rows, &instructions, bound);
            drawings.add(&map.title, map.draw())
        })
        .collect();
    let open = rows.iter().filter(|row| is_open(row)).count();
    format!(
        "<h3>Read at: {}</h3><figure class=\"side\"><div class=\"panels maps\">{maps}</div>\
         <div class=\"beside\"><div class=\"scroll colours\"><p class=\"unit\">change in class distances; hatched: sign open</p>{}</div>\
         <figcaption>Mean change against {}, in standard deviations of each probe's training projections, by layer \
         (upwards) and round; all maps share one scale. Hatched: the {} band includes 0, the sign is open ({open} of {} cells). \
         The band holds for all cells of an instruction\u{2019}s round at once.</figcaption>{}</div></figure>",
        reading_words(reading),
        colour_bar(bound, "class distances"),
        against_words(against),
        escape(&percent(report.analysis.settings.level)),
        rows.len(),
        power(report, &rows, &instructions),
    )
}

/// What the hatched cells leave open: the changes that would have been found.
fn power(report: &Report, rows: &[&ChangeTest], instructions: &[Instructed]) -> String {
    let of = |entry: &Instructed, place: Place| {
        let here = rows.iter().filter(|row| entry.holds(&row.condition) && Place::of(row.address) == place);
        let (all, open): (usize, Vec<&&ChangeTest>) = (here.clone().count(), here.filter(|row| is_open(row)).collect());
        let mut found: Vec<f64> = open.iter().filter_map(|row| row.detectable_in_family).map(rounded).collect();
        found.sort_by(f64::total_cmp);
        let range = match (found.first(), found.get(found.len() / 2), found.last()) {
            (Some(&least), Some(&middle), Some(&most)) => {
                format!("{} <small>[{}, {}]</small>", number(middle), number(least), number(most))
            }
            _ => NONE.to_owned(),
        };
        (!open.is_empty()).then(|| {
            format!(
                "<tr><th scope=\"row\">{}</th><td>{}</td><td>{} of {all}</td><td>{range}</td></tr>",
                escape(&entry.name),
                escape(&place.name()),
                open.len()
            )
        })
    };
    let places = Place::all(rows.iter().map(|row| row.address));
    let lines: String =
        instructions.iter().flat_map(|entry| places.iter().filter_map(move |&place| of(entry, place))).collect();
    if lines.is_empty() {
        return String::new();
    }
    format!(
        "<div class=\"scroll\"><table class=\"plain\"><caption>What hatched cells leave open: the smallest change (class distances) \
         that a run like this finds with a power of {}, by max-T over the round; median of the hatched cells and their \
         range.</caption><thead><tr><th scope=\"col\">instruction</th><th scope=\"col\">site</th><th scope=\"col\">hatched</th>\
         <th scope=\"col\">found from</th></tr></thead><tbody>{lines}</tbody></table></div>",
        escape(&percent(report.analysis.settings.power))
    )
}

/// Where states do not differ but by rounding, 0.
fn rounded(value: f64) -> f64 {
    if value.abs() < 5e-7 {
        0.0
    } else {
        value
    }
}

/// Whether the interval leaves the sign open; one that is not finite does.
fn is_open(row: &ChangeTest) -> bool {
    !(row.band.low > 0.0 || row.band.high < 0.0)
}

fn map(
    report: &Report,
    index: usize,
    (place, reading): (Place, Reading),
    rows: &[&ChangeTest],
    instructions: &[Instructed],
    bound: f64,
) -> HeatMap {
    let here: Vec<&ChangeTest> = rows.iter().copied().filter(|row| Place::of(row.address) == place).collect();
    let mut layers: Vec<Option<usize>> = here.iter().map(|row| row.address.layer()).collect();
    layers.sort_unstable();
    layers.dedup();
    let groups: Vec<(&Instructed, Vec<usize>)> = instructions
        .iter()
        .map(|entry| {
            let has = |round: &usize| here.iter().any(|row| entry.is_at(*round, &row.condition));
            (entry, entry.rounds.iter().copied().filter(has).collect())
        })
        .collect();
    let columns: Vec<Condition> =
        groups.iter().flat_map(|(entry, rounds)| rounds.iter().map(|&round| entry.at(round))).collect();
    let cells = here.iter().filter_map(|row| {
        Some(Cell {
            row: layers.iter().position(|layer| *layer == row.address.layer())?,
            column: columns.iter().position(|column| *column == row.condition)?,
            estimate: row.band.estimate,
            uncertain: is_open(row),
            title: format!(
                "{}, {}: {} class distances{}",
                row.address,
                row.condition,
                interval(&row.band),
                row.detectable_in_family.filter(|_| is_open(row)).map_or(String::new(), |from| {
                    format!("; {} power from {} on", percent(report.analysis.settings.power), number(from))
                })
            ),
        })
    });
    let once = layers == [None];
    HeatMap {
        index,
        title: place.name() + &reading_suffix(reading),
        cells: cells.collect(),
        rows: layers.iter().map(|layer| layer.map_or(String::new(), |layer| layer.to_string())).collect(),
        row_name: if once { String::new() } else { "layer".to_owned() },
        groups: groups
            .into_iter()
            .map(|(entry, rounds)| Group {
                label: entry.name.clone(),
                columns: rounds.iter().map(|round| format!("r{round}")).collect(),
            })
            .collect(),
        bound,
    }
}
