//! How the numbers were made, in words, and what they were made from.

use std::collections::BTreeSet;

use super::conditions::{reading_words, readings};
use super::protocol::protocol;
use super::text::{count, counted, escape, list, number, percent, Place, NONE};
use crate::level::{Family, Metric, NullKind};
use crate::report::Report;

pub(super) fn section(report: &Report) -> String {
    let paragraphs = [protocol(report), probes(report), levels(report), statistics(report)];
    let paragraphs: String = paragraphs.iter().map(|text| format!("<p>{text}</p>")).collect();
    format!(
        "<section id=\"methods\"><h2>Methods</h2><div class=\"prose\">{paragraphs}</div></section>{}\
         <section id=\"provenance\"><h2>Provenance</h2>{}{}</section>",
        super::verdict::rule(report),
        settings(report),
        provenance(report)
    )
}

fn known<'a>(report: &'a Report, key: &str) -> Option<&'a str> {
    report.provenance.get(key).map(String::as_str).filter(|value| !value.is_empty())
}

fn probes(report: &Report) -> String {
    let places = Place::all(report.probes.iter().map(|row| row.address));
    let either = |key: &str| known(report, &format!("probe.{key}")).or_else(|| known(report, key)).map(escape);
    let said = |key: &str, before: &str| either(key).map_or(String::new(), |value| format!(" {before} {value}."));
    format!(
        "<strong>Probes.</strong> {} linear probes at {}, each fitted on texts that are labelled immoral or moral and tested \
         on groups of texts that it was not fitted on. Weights rise towards immoral, so positive is more immoral \
         everywhere.{}{}{}{}{}",
        count(report.probes.len()),
        list(&places),
        said("probe_kind", "Kind:"),
        said("probe_alpha", "Penalty (1/C):"),
        said("probe_split", "Split:"),
        said("probe_bootstrap", "Bootstrap of the AUROC:"),
        said("pool", "Position read:"),
    )
}

fn levels(report: &Report) -> String {
    let readings: Vec<String> = readings(report).into_iter().map(reading_words).collect();
    let calibrated = report.levels.iter().any(|row| row.metric == Metric::Logit);
    format!(
        "<strong>Levels.</strong> A state is held against its probe's direction in three ways: the cosine; the dot product \
         with the unit direction; and its place between the mean moral text (0) and the mean immoral one (1), along \
         the mean of probes that each left out a part of the texts, by the texts left out (“class distances”), which can \
         be compared across layers, sites, readings and models{}. States are read in {}, at {}.",
        if calibrated { "; calibrated probes also give a logit and a probability" } else { "" },
        counted(report.model.layers, "layer"),
        readings.join("; ")
    )
}

fn statistics(report: &Report) -> String {
    let (analysis, settings) = (&report.analysis, &report.analysis.settings);
    let family = match analysis.family {
        Family::Round => "all addresses of one instruction in one round",
        Family::Instruction => "all addresses of one instruction in all its rounds",
    };
    format!(
        "<strong>Statistics.</strong> Intervals of levels are {level} percentile intervals (expanded for the number of groups) from {draws} bootstrap resamples \
         of the {groups}, and hold for one layer and round at a time. Changes are paired by item and clustered by item \
         group. Their bands hold for {family} at once: a bootstrap of the largest |change| / standard error, each resample \
         with a standard error of its own; those of class distances also hold what the probes owe to their texts \
         (delete-a-group jackknife) and the distance's own error (Fieller). p-values come from {flips} sign flips of whole groups, with the largest |t| of \
         the same family for the adjusted ones (max-T, single-step and step-down) and Benjamini and Hochberg's q-values \
         beside them; metrics are not adjusted for one another. A cell without a finding says what could have been found: \
         the change that a run like this finds with a power of {power}. A change within {margin} of the class distance counts as none \
         (two one-sided t tests). Each change of a cosine or dot product is also placed among those along {nulls} random \
         unit directions, directions that vary as the states do, and the probe's own direction with its coordinates \
         permuted{permuted}; such a p-value counts the observed one in. The transition layer is the first of {run} layers in a row \
         whose bands exclude 0 on the same side; beside it the best step and the best broken line, with their bootstrap \
         distributions. Seed {seed}.",
        level = percent(settings.level),
        draws = count(settings.draws),
        groups = counted(analysis.groups, "item group"),
        flips = count(settings.flips),
        power = percent(settings.power),
        margin = number(settings.margin),
        nulls = count(settings.null_draws),
        permuted = permuted(report),
        run = analysis.consecutive,
        seed = settings.seed
    )
}

/// The null of permuted labels, where it was made.
fn permuted(report: &Report) -> String {
    let mut nulls = report.changes.iter().flat_map(|row| &row.nulls);
    let draws = nulls.find(|null| null.kind == NullKind::PermutedLabels).map(|null| null.draws);
    draws.map_or(String::new(), |draws| format!(", and {} probes that were fitted on permuted labels", count(draws)))
}

fn settings(report: &Report) -> String {
    let (analysis, settings) = (&report.analysis, &report.analysis.settings);
    let family = match analysis.family {
        Family::Round => "addresses of an instruction's round",
        Family::Instruction => "addresses of all rounds of an instruction",
    };
    let rows: String = [
        ("report", report.schema.clone()),
        ("bootstrap resamples", count(settings.draws)),
        ("sign flips", count(settings.flips)),
        ("random directions", count(settings.null_draws)),
        ("level of intervals", percent(settings.level)),
        ("one joint statement", family.to_owned()),
        ("layers in a row", count(analysis.consecutive)),
        ("power of detectable changes", percent(settings.power)),
        ("margin (class distances)", number(settings.margin)),
        ("seed", settings.seed.to_string()),
        ("items", count(analysis.items)),
        ("groups", count(analysis.groups)),
    ]
    .iter()
    .map(|(name, value)| format!("<tr><th scope=\"row\">{name}</th><td>{}</td></tr>", escape(value)))
    .collect();
    format!("<div class=\"scroll\"><table class=\"plain\"><caption>Settings of the analysis</caption><tbody>{rows}</tbody></table></div>")
}

/// What the study and the probes were made from, side by side: that they agree is worth seeing.
fn provenance(report: &Report) -> String {
    const PROBE: &str = "probe.";
    let keys: BTreeSet<&str> = report.provenance.keys().map(|key| key.strip_prefix(PROBE).unwrap_or(key)).collect();
    if keys.is_empty() {
        return "<p>None was recorded.</p>".to_owned();
    }
    let rows: String = keys
        .into_iter()
        .map(|key| {
            let study = report.provenance.get(key);
            let probe = report.provenance.get(&format!("{PROBE}{key}"));
            let cell = |value: Option<&String>| value.map_or(NONE.to_owned(), |value| escape(value));
            let probe = match (study, probe) {
                (Some(study), Some(probe)) if study == probe => "<span class=\"unit\">the same</span>".to_owned(),
                (_, probe) => cell(probe),
            };
            format!("<tr><th scope=\"row\">{}</th><td>{}</td><td>{probe}</td></tr>", escape(key), cell(study))
        })
        .collect();
    format!(
        "<div class=\"scroll\"><table class=\"plain hashes\"><caption>What the study and the probes were made \
         from</caption><thead><tr><th scope=\"col\">key</th><th scope=\"col\">study</th><th scope=\"col\">probes</th></tr></thead>\
         <tbody>{rows}</tbody></table></div>"
    )
}
