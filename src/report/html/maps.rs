//! Heat maps of the change in the level of immorality.

use super::conditions::{against_words, instructed, shown_against, Instructed};
use super::text::{escape, interval, percent, Place};
use crate::level::{ChangeRow, Metric};
use crate::report::svg::{colour_bar, nice_bound, Cell, Group, HeatMap};
use crate::report::Report;

pub(super) fn section(report: &Report) -> String {
    let against = shown_against(report);
    let rows: Vec<&ChangeRow> = report
        .changes
        .iter()
        .filter(|row| row.metric == Metric::Standardised && row.against == against && row.interval.estimate.is_finite())
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    let bound = nice_bound(rows.iter().map(|row| row.interval.estimate));
    let instructions: Vec<Instructed> =
        instructed(report).into_iter().filter(|entry| rows.iter().any(|row| row.instruction == entry.name)).collect();
    let maps: String = Place::all(rows.iter().map(|row| row.address))
        .into_iter()
        .enumerate()
        .map(|(index, place)| map(index, place, &rows, &instructions, bound).draw())
        .collect();
    let open = rows.iter().filter(|row| is_open(row)).count();
    format!(
        "<section id=\"levels\"><h2>Where the level of immorality changes</h2><figure class=\"side\"><div class=\"panels maps\">{maps}</div>\
         <div class=\"beside\"><div class=\"scroll colours\"><p class=\"unit\">change in training sd; hatched: sign open</p>{}</div>\
         <figcaption>Mean change against {}, in standard deviations of each probe's training projections, by layer \
         (upwards) and round; all maps share one scale. Hatched: the {} interval of the cell includes 0, its sign is open \
         ({open} of {} cells). The intervals are pointwise, not simultaneous: among this many cells some exclude 0 by \
         chance.</figcaption></div></figure></section>",
        colour_bar(bound, "training sd"),
        against_words(against),
        escape(&percent(report.settings.level)),
        rows.len(),
    )
}

/// Whether the interval leaves the sign open; one that is not finite does.
fn is_open(row: &ChangeRow) -> bool {
    !(row.interval.low > 0.0 || row.interval.high < 0.0)
}

fn map(index: usize, place: Place, rows: &[&ChangeRow], instructions: &[Instructed], bound: f64) -> HeatMap {
    let here: Vec<&ChangeRow> = rows.iter().copied().filter(|row| Place::of(row.address) == place).collect();
    let mut layers: Vec<Option<usize>> = here.iter().map(|row| row.address.layer()).collect();
    layers.sort_unstable();
    layers.dedup();
    let groups: Vec<(&str, Vec<usize>)> = instructions
        .iter()
        .map(|entry| {
            let has = |round: &usize| here.iter().any(|row| row.instruction == entry.name && row.round == *round);
            (entry.name.as_str(), entry.rounds.iter().copied().filter(has).collect())
        })
        .collect();
    let columns: Vec<(&str, usize)> =
        groups.iter().flat_map(|(name, rounds)| rounds.iter().map(move |round| (*name, *round))).collect();
    let cells = here.iter().filter_map(|row| {
        Some(Cell {
            row: layers.iter().position(|layer| *layer == row.address.layer())?,
            column: columns.iter().position(|column| *column == (row.instruction.as_str(), row.round))?,
            estimate: row.interval.estimate,
            uncertain: is_open(row),
            title: format!(
                "{}, {} round {}: {} training sd",
                row.address,
                row.instruction,
                row.round,
                interval(&row.interval)
            ),
        })
    });
    let once = layers == [None];
    HeatMap {
        index,
        title: place.name(),
        cells: cells.collect(),
        rows: layers.iter().map(|layer| layer.map_or(String::new(), |layer| layer.to_string())).collect(),
        row_name: if once { String::new() } else { "layer".to_owned() },
        groups: groups
            .into_iter()
            .map(|(name, rounds)| Group {
                label: name.to_owned(),
                columns: rounds.iter().map(|round| format!("r{round}")).collect(),
            })
            .collect(),
        bound,
    }
}
