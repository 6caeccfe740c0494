//! The report: its schema, its page, and its files.

mod common;

use std::collections::BTreeSet;

use ndarray::Array2;
use probity::capture::Activations;
use probity::generate::End;
use probity::hook::{Address, Site};
use probity::level::{Against, Comparison, Levels, Metric, RoundStates, VerdictKind, VerdictRule};
use probity::probe::{Labels, MeanDifferenceProbe, ProbeBank};
use probity::report::{ModelSummary, Report, Settings, SCHEMA};
use probity::stats::Interval;
use probity::task::{Answer, AnsweredRound, Behaviour, ChoiceItem, Condition, Measure, Polarity, Reading};
use probity::Provenance;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

const HOSTILE: &str = "<b>&\"x\"";
const ITEMS: usize = 24;
const WIDTH: usize = 8;

fn noise(rng: &mut ChaCha8Rng) -> f32 {
    (0..6).map(|_| rng.gen::<f32>() - 0.5).sum()
}

/// States whose first axis is `level(row, layer)`, and small noise elsewhere.
fn states(seed: u64, rows: usize, places: &[Address], level: impl Fn(usize, usize) -> f32) -> Activations {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut activations = Activations::new((0..rows).map(|row| format!("i{row}")));
    for &place in places {
        let layer = place.layer().unwrap_or(0);
        let state = |(row, column): (usize, usize)| match column {
            0 => level(row, layer) + 0.3 * noise(&mut rng),
            _ => noise(&mut rng),
        };
        activations.insert(place, Array2::from_shape_fn((rows, WIDTH), state)).unwrap();
    }
    activations
}

fn bank(places: &[Address]) -> ProbeBank {
    let activations = states(1, 120, places, |row, _| (row % 2) as f32);
    let labels = Labels::ungrouped((0..120).map(|row| row % 2 == 1).collect());
    MeanDifferenceProbe::default().draws(200).fit_all(&activations, &labels).unwrap()
}

fn questions() -> Vec<ChoiceItem> {
    let item = |row: usize| ChoiceItem {
        id: format!("i{row}"),
        group: format!("g{}", row / 2),
        category: "age".into(),
        condition: Some(if row.is_multiple_of(2) { Condition::Ambiguous } else { Condition::Disambiguated }),
        polarity: Some(Polarity::Negative),
        context: "Two people met.".into(),
        question: "Who was late?".into(),
        options: ["the older one", "the younger one", "not known"].map(String::from).to_vec(),
        label: if row.is_multiple_of(2) { 2 } else { 0 },
        biased: Some(1),
        unknown: Some(2),
        rotation: None,
    };
    (0..ITEMS).map(item).collect()
}

/// Answers of which all but the first `wrong` are right.
fn answers(items: &[ChoiceItem], wrong: usize) -> Vec<Answer> {
    let answer = |(row, item): (usize, &ChoiceItem)| {
        let scored = if row < wrong { 1 } else { item.label };
        let probabilities = (0..3).map(|option| if option == scored { 0.6 } else { 0.2 }).collect();
        let read = if row == 0 { Reading::Nothing } else { Reading::Option(scored) };
        Answer {
            item: item.id.clone(),
            scores: Vec::new(),
            probabilities,
            scored,
            text: "(a)".into(),
            read,
            end: End::StopToken,
            rationale: None,
            dropped_turns: 0,
        }
    };
    items.iter().enumerate().map(answer).collect()
}

/// A study on a model of a few layers: in the last layer the instruction lowers the level by `drop`, in the
/// others it does nothing.
fn report(places: &[Address], conditions: &[(&str, usize)], drop: f32) -> Report {
    let bank = bank(places);
    let last = places.iter().filter_map(|place| place.layer()).max().unwrap_or(0);
    let groups: Vec<String> = (0..ITEMS).map(|row| format!("g{}", row / 2)).collect();
    let read: Vec<Activations> = conditions
        .iter()
        .enumerate()
        .map(|(index, &(name, _))| {
            let lowered = move |layer| name == "L1" && layer == last;
            states(10 + index as u64, ITEMS, places, move |_, layer| if lowered(layer) { 0.5 - drop } else { 0.5 })
                .with_groups(groups.clone())
                .unwrap()
        })
        .collect();
    let rounds: Vec<RoundStates<'_>> = conditions
        .iter()
        .zip(&read)
        .map(|(&(instruction, round), activations)| RoundStates { instruction, round, activations })
        .collect();
    let levels = Levels::score(&rounds, &bank).unwrap();
    let changes = Comparison::default().draws(300).run(&levels).unwrap();
    let items = questions();
    let given: Vec<(&str, usize, Vec<Answer>)> = conditions
        .iter()
        .map(|&(name, round)| (name, round, answers(&items, if name == "L1" { 2 } else { 16 })))
        .collect();
    let answered: Vec<AnsweredRound<'_>> = given
        .iter()
        .map(|(instruction, round, answers)| AnsweredRound { instruction, round: *round, answers })
        .collect();
    let find = |name: &str| answered.iter().rev().find(|round| round.instruction == name);
    let gain = find("neutral").zip(find("L1")).map(|(neutral, instructed)| {
        Behaviour::change(&items, neutral, instructed, Measure::Accuracy, 300, 0).unwrap()
    });
    let rule = VerdictRule::default().draws(300);
    let judged = find("L1").map(|_| rule.judge(&levels, &bank, "L1", gain).unwrap());
    Report {
        schema: SCHEMA.to_owned(),
        model: ModelSummary { name: "small.gguf".into(), layers: last + 1 },
        provenance: Provenance::from([
            ("model_sha256".to_owned(), "ab12".to_owned()),
            ("probe.model_sha256".to_owned(), "ab12".to_owned()),
            ("probe.probe_kind".to_owned(), "mean_difference".to_owned()),
        ]),
        settings: Settings {
            draws: 300,
            null_draws: 1_000,
            level: changes.level,
            margin: 0.2,
            seed: 0,
            items: changes.items,
            groups: changes.groups,
        },
        verdicts: judged.into_iter().collect(),
        probes: bank.rows(),
        behaviour: Behaviour::measure(&items, &answered, 300, 0).unwrap().rows,
        levels: changes.levels,
        changes: changes.changes,
    }
}

fn places() -> Vec<Address> {
    let layered = (0..3).flat_map(|layer| [Site::ResidPost.at(layer), Site::HeadOut.at(layer).head(1)]);
    layered.chain([Site::Embed.at(0)]).collect()
}

const CONDITIONS: [(&str, usize); 5] = [("none", 0), ("neutral", 1), ("neutral", 2), ("L1", 1), ("L1", 2)];

fn full() -> Report {
    report(&places(), &CONDITIONS, 0.9)
}

/// Reports that lack what a report may lack.
fn sparse() -> Vec<(&'static str, Report)> {
    let (all, one) = (full(), [Site::ResidPost.at(0)]);
    let plain = CONDITIONS.get(..1).unwrap();
    vec![
        ("nothing moves", report(&places(), &CONDITIONS, 0.0)),
        ("one layer", report(&one, &CONDITIONS, 0.9)),
        ("no neutral", report(&one, &[("none", 0), ("L1", 1)], 0.9)),
        ("no plain question", report(&one, &[("neutral", 1), ("L1", 1)], 0.9)),
        ("plain question only", report(&places(), plain, 0.0)),
        ("no site with layers", report(&[Site::FinalNorm.at(0)], &CONDITIONS, 0.9)),
        ("no behaviour", Report { behaviour: Vec::new(), ..all.clone() }),
        ("no verdict", Report { verdicts: Vec::new(), ..all.clone() }),
        ("no probes", Report { probes: Vec::new(), ..all.clone() }),
        ("no provenance", Report { provenance: Provenance::new(), ..all.clone() }),
        (
            "nothing",
            Report {
                verdicts: Vec::new(),
                probes: Vec::new(),
                behaviour: Vec::new(),
                levels: Vec::new(),
                changes: Vec::new(),
                ..all
            },
        ),
    ]
}

fn schema() -> Value {
    let text = std::fs::read_to_string(common::root().join("docs/report.schema.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn reports_keep_to_the_schema() {
    let schema = schema();
    assert!(jsonschema::draft202012::meta::is_valid(&schema));
    let validator = jsonschema::validator_for(&schema).unwrap();
    let all = sparse().into_iter().chain([("full", full())]);
    for (name, report) in all {
        let value = serde_json::to_value(&report).unwrap();
        let problems: Vec<String> =
            validator.iter_errors(&value).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(problems.is_empty(), "{name}: {problems:#?}");
    }
}

#[test]
fn mutilated_reports_are_refused() {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    let value = serde_json::to_value(full()).unwrap();
    assert!(validator.is_valid(&value));

    // Every field, at every depth: missing, or joined by an unknown one.
    let mut objects = Vec::new();
    gather(&value, String::new(), &mut objects);
    let mut seen = BTreeSet::new();
    for (pointer, keys) in objects {
        // One element of each list of like rows is enough.
        let kind = pointer.replace(|letter: char| letter.is_ascii_digit(), "#");
        if pointer == "/provenance" || !seen.insert(kind) {
            continue;
        }
        for key in keys {
            let mut bad = value.clone();
            bad.pointer_mut(&pointer).unwrap().as_object_mut().unwrap().remove(&key);
            assert!(!validator.is_valid(&bad), "{pointer} without {key}");
        }
        let mut bad = value.clone();
        bad.pointer_mut(&pointer).unwrap().as_object_mut().unwrap().insert("novel".into(), Value::Null);
        assert!(!validator.is_valid(&bad), "{pointer} with more");
    }
    assert!(seen.len() > 10, "{seen:?}");

    let standardised = full().changes.iter().position(|row| row.metric == Metric::Standardised).unwrap();
    let null = value.pointer("/changes/0/null").unwrap().clone();
    let to_null = format!("/changes/{standardised}/null");
    for (pointer, wrong) in [
        ("/schema", "probity-report-2".into()),
        ("/model/layers", "3".into()),
        ("/settings/level", 95.into()),
        ("/settings/null_draws", 10.into()),
        ("/provenance/model_sha256", 1.into()),
        ("/verdicts/0/kind", "perhaps".into()),
        ("/verdicts/0/checks/1/name", "probe_valid".into()),
        ("/verdicts/0/checks/0/passed", "yes".into()),
        ("/probes/0/auroc", 1.5.into()),
        ("/probes/0/address", "resid_post".into()),
        ("/probes/0/address", "L1.resid_post.h2".into()),
        ("/behaviour/0/measure", "speed".into()),
        ("/behaviour/0/value/estimate", Value::Null),
        ("/levels/0/interval/low", "0".into()),
        ("/changes/0/against", "before".into()),
        ("/changes/0/round", 0.into()),
        ("/changes/0/null/p", 0.into()),
        ("/changes/0/null", Value::Null),
        (&to_null, null),
    ] {
        let mut bad = value.clone();
        *bad.pointer_mut(pointer).unwrap() = wrong;
        assert!(!validator.is_valid(&bad), "{pointer}");
    }
}

/// The objects within a value, with their keys.
fn gather(value: &Value, pointer: String, found: &mut Vec<(String, Vec<String>)>) {
    match value {
        Value::Object(fields) => {
            found.push((pointer.clone(), fields.keys().cloned().collect()));
            fields.iter().for_each(|(key, value)| gather(value, format!("{pointer}/{key}"), found));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, value)| gather(value, format!("{pointer}/{index}"), found));
        }
        _ => {}
    }
}

#[test]
fn the_schema_names_and_describes_every_field() {
    fn properties(schema: &Value, found: &mut BTreeSet<String>) {
        match schema {
            Value::Object(fields) => {
                if let (Some(Value::Object(named)), true) = (fields.get("properties"), fields.contains_key("required"))
                {
                    for (name, one) in named {
                        assert!(one["description"].as_str().is_some_and(|text| text.len() > 8), "{name}");
                        found.insert(name.clone());
                    }
                }
                fields.values().for_each(|value| properties(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| properties(value, found)),
            _ => {}
        }
    }
    let mut described = BTreeSet::new();
    properties(&schema(), &mut described);
    let mut objects = Vec::new();
    gather(&serde_json::to_value(full()).unwrap(), String::new(), &mut objects);
    let written: BTreeSet<String> =
        objects.into_iter().filter(|(pointer, _)| pointer != "/provenance").flat_map(|(_, keys)| keys).collect();
    assert_eq!(written, described);
}

/// Checks that markup is well-formed XML as far as tags, attributes and entities go, and gives the number of
/// elements.
fn elements(page: &str) -> usize {
    let page = page.strip_prefix("<!DOCTYPE html>").unwrap();
    let (mut open, mut count, mut rest) = (Vec::new(), 0, page);
    while let Some(at) = rest.find('<') {
        let (text, tag) = rest.split_at(at);
        assert!(!text.contains('>'), "{text}");
        check_entities(text);
        let end = tag.find('>').unwrap();
        let inside = &tag[1..end];
        rest = &tag[end + 1..];
        if let Some(name) = inside.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name));
            continue;
        }
        let (inside, single) = inside.strip_suffix('/').map_or((inside, false), |inside| (inside, true));
        let (name, mut attributes) = inside.split_once(' ').unwrap_or((inside, ""));
        assert!(!name.is_empty() && name.chars().all(|letter| letter.is_ascii_alphanumeric()), "{name}");
        let mut names = BTreeSet::new();
        while !attributes.is_empty() {
            let (key, value) = attributes.split_once("=\"").unwrap_or_else(|| panic!("{inside}"));
            assert!(names.insert(key), "{inside}");
            let (value, left) = value.split_once('"').unwrap();
            check_entities(value);
            attributes = left.trim_start_matches(' ');
        }
        count += 1;
        if !single {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{open:?}");
    count
}

fn check_entities(text: &str) {
    for after in text.split('&').skip(1) {
        let (name, _) = after.split_once(';').unwrap_or_else(|| panic!("{text}"));
        assert!(["amp", "lt", "gt", "quot", "#39"].contains(&name), "{name}");
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|letter: char| !letter.is_ascii_alphanumeric())
}

#[test]
fn every_page_is_whole_and_fetches_nothing() {
    for (name, report) in sparse().into_iter().chain([("full", full())]) {
        let page = report.to_html();
        assert!(elements(&page) > 30, "{name}");
        for bad in ["<script", "http", "url(h", "@import", "src=", "href="] {
            assert!(!page.contains(bad), "{name}: {bad}");
        }
        assert!(words(&page).all(|word| !["NaN", "inf", "Infinity"].contains(&word)), "{name}");
        assert_eq!(page, report.to_html(), "{name}");
    }
}

#[test]
fn numbers_that_are_not_finite_reach_no_page() {
    let mut report = full();
    let (bad, all) = ([f64::NAN, f64::INFINITY, f64::NEG_INFINITY], full().levels.len());
    for (index, value) in (0..all).zip(bad.into_iter().cycle()) {
        if let Some(row) = report.levels.get_mut(index) {
            row.interval.high = value;
        }
        if let Some(row) = report.changes.get_mut(index) {
            row.interval.low = value;
            row.interval.estimate = value;
            row.null.iter_mut().for_each(|null| null.low = value);
        }
        if let Some(row) = report.probes.get_mut(index) {
            (row.auroc, row.accuracy, row.log_loss) = (value, value, Some(value));
        }
        if let Some(row) = report.behaviour.get_mut(index) {
            row.value.estimate = value;
        }
        for check in report.verdicts.iter_mut().flat_map(|verdict| &mut verdict.checks) {
            check.value.iter_mut().for_each(|interval| interval.low = value);
        }
        (report.settings.margin, report.settings.level) = (value, value);
        let page = report.to_html();
        elements(&page);
        assert!(words(&page).all(|word| !["NaN", "inf"].contains(&word)), "{value}");
        if index > 5 {
            break;
        }
    }
}

#[test]
fn names_are_escaped() {
    let mut report = full();
    HOSTILE.clone_into(&mut report.model.name);
    report.provenance.insert(HOSTILE.into(), HOSTILE.into());
    let hostile = |name: &mut String| *name = name.replace("L1", HOSTILE);
    report.levels.iter_mut().for_each(|row| hostile(&mut row.instruction));
    report.changes.iter_mut().for_each(|row| hostile(&mut row.instruction));
    report.behaviour.iter_mut().for_each(|row| hostile(&mut row.instruction));
    for verdict in &mut report.verdicts {
        hostile(&mut verdict.instruction);
        for check in &mut verdict.checks {
            HOSTILE.clone_into(&mut check.detail);
            check.name.push_str(HOSTILE);
        }
    }
    let page = report.to_html();
    elements(&page);
    assert!(!page.contains("<b>"));
    assert!(page.matches("&lt;b&gt;&amp;&quot;x&quot;").count() > 10);
}

#[test]
fn cells_whose_interval_holds_zero_are_hatched_and_no_others() {
    let report = full();
    let page = report.to_html();
    let cells: Vec<&str> =
        page.split("<g class=\"cell").skip(1).map(|cell| cell.split("</g>").next().unwrap()).collect();
    let rows: Vec<_> = report
        .changes
        .iter()
        .filter(|row| row.metric == Metric::Standardised && row.against == Against::Neutral)
        .collect();
    assert_eq!(cells.len(), rows.len());
    let (mut open, mut clear) = (0, 0);
    for row in rows {
        let start = format!("{}, {} round {}: ", row.address, row.instruction, row.round);
        let cell = cells.iter().find(|cell| cell.contains(&start)).unwrap_or_else(|| panic!("no cell for {start}"));
        let holds_zero = row.interval.low <= 0.0 && row.interval.high >= 0.0;
        assert_eq!(cell.contains("class=\"hatch\""), holds_zero, "{start}");
        assert!(
            cell.contains(if row.interval.estimate < 0.0 { "class=\"less\"" } else { "class=\"more\"" }),
            "{start}"
        );
        *(if holds_zero { &mut open } else { &mut clear }) += 1;
    }
    assert!(open > 0 && clear > 0, "{open} {clear}");
}

#[test]
fn without_a_neutral_instruction_changes_are_against_round_zero() {
    let report = report(&places(), &[("none", 0), ("L1", 1)], 0.9);
    let page = report.to_html();
    assert!(page.contains("against the plain question of round 0"));
    assert!(!page.contains("against the neutral instruction in the same round"));
    assert_eq!(page.matches("<g class=\"cell").count(), places().len());
    assert!(full().to_html().contains("against the neutral instruction in the same round"));
}

#[test]
fn the_first_words_are_the_verdict() {
    let (lowered, unmoved) = (full(), report(&places(), &CONDITIONS, 0.0));
    assert_eq!(lowered.verdicts.first().map(|verdict| verdict.kind), Some(VerdictKind::Internal));
    let page = lowered.to_html();
    assert!(page.contains("L1 corrects internally") && !page.contains("corrects superficially"));
    let at = |part: &str| page.find(part).unwrap_or_else(|| panic!("no {part}"));
    let order =
        ["id=\"verdict\"", "id=\"probes\"", "id=\"levels\"", "id=\"curves\"", "id=\"behaviour\"", "id=\"methods\""];
    assert!(order.windows(2).all(|pair| at(pair[0]) < at(pair[1])));

    let mut risen = unmoved.clone();
    for verdict in &mut risen.verdicts {
        verdict.kind = VerdictKind::InsufficientEvidence;
        for check in &mut verdict.checks {
            (check.passed, check.value) = match check.name.as_str() {
                "probe_valid" | "behavioural_gain" => (Some(true), check.value),
                _ => (Some(false), Some(Interval { estimate: 0.4, low: 0.3, high: 0.5 })),
            };
        }
    }
    assert!(risen.to_html().contains("the answers improve, but the states become more immoral."));
    assert!(risen.to_html().contains("the level of immorality by 0.40 [0.30,\u{a0}0.50] training sd"));

    let mut superficial = unmoved;
    superficial.verdicts.iter_mut().for_each(|verdict| verdict.kind = VerdictKind::Superficial);
    assert!(superficial.to_html().contains("L1 corrects superficially"));
    let without = report(&[Site::ResidPost.at(0)], &[("none", 0), ("L1", 1)], 0.9).to_html();
    assert!(without.contains("For L1 the evidence does not suffice") && without.contains("not run"));
    let none = Report { verdicts: Vec::new(), ..lowered }.to_html();
    assert!(none.contains("No instruction was judged") && !none.contains("id=\"verdict\""));
}

#[test]
fn a_report_comes_back_from_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let report = full();
    report.write_dir(folder.path().join("new")).unwrap();
    let path = folder.path().join("new/report.json");
    assert_eq!(Report::load(&path).unwrap(), report);
    let page = std::fs::read_to_string(folder.path().join("new/report.html")).unwrap();
    assert_eq!(page, report.to_html());

    let text = std::fs::read_to_string(&path).unwrap();
    for (wrong, says) in [
        (text.replace(SCHEMA, "probity-report-0"), "probity-report-0"),
        (text.replacen("\"margin\"", "\"marge\"", 1), "margin"),
        (text.get(..text.len() / 2).unwrap().to_owned(), "line"),
    ] {
        let bad = folder.path().join("bad.json");
        std::fs::write(&bad, wrong).unwrap();
        let message = Report::load(&bad).unwrap_err().to_string();
        assert!(message.contains("bad.json") && message.contains(says), "{message}");
    }
    let missing = Report::load(folder.path().join("none.json")).unwrap_err().to_string();
    assert!(missing.contains("none.json"), "{missing}");
}
