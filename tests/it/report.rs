//! The report: its page, and its files.

use std::collections::BTreeSet;

use common::made::Folder;
use common::scripted::scripted;
use common::{condition, design, scored_alike};
use ndarray::Array2;
use probity::capture::Activations;
use probity::causal::CausalEvidence;
use probity::dialogue::{
    FeedbackWords, FixedFeedback, Instruction, Overflow, Part, PromptCell, ReadStates, Reading, Round, RoundKind,
    SelfCorrection, Study, Thinking,
};
use probity::experiment::Analysis;
use probity::generate::{Decoding, End};
use probity::hook::{Address, Site};
use probity::level::{
    Against, Evidence, Levels, Metric, NullKind, PermutedProbes, ReadingLevels, SensitivityTable, VerdictKind,
    VerdictRule,
};
use probity::probe::{MeanDifferenceProbe, ProbeBank};
use probity::report::Report;
use probity::scorer::TextScorer;
use probity::stats::{Interval, Settings};
use probity::task::{
    Answer, AnsweredRound, Behaviour, ChoiceItem, ChoiceTask, Completion, ContextCondition, Continued, Extracted, Item,
    Measurement, Occupation, Polarity,
};
use probity::text::Labels;
use probity::{Condition, Error, Provenance, Result};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::json;

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
        group: format!("g{row}"),
        category: if row < 12 { "age" } else { "sex" }.into(),
        condition: Some(if row.is_multiple_of(2) {
            ContextCondition::Ambiguous
        } else {
            ContextCondition::Disambiguated
        }),
        polarity: Some(Polarity::Negative),
        context: "Two people met.".into(),
        question: "Who was late?".into(),
        options: ["his older one", "her younger one", "their own"].map(String::from).to_vec(),
        label: if row.is_multiple_of(2) { 2 } else { 0 },
        biased: Some(1),
        unknown: Some(2),
        rotation: None,
        occupation: None,
    };
    (0..ITEMS).map(item).collect()
}

/// Answers of which all but the first `wrong` are right.
fn answers(items: &[ChoiceItem], wrong: usize) -> Vec<Answer> {
    let answer = |(row, item): (usize, &ChoiceItem)| {
        let scored = if row < wrong { 1 } else { item.label };
        let probabilities: Vec<f64> = (0..3).map(|option| if option == scored { 0.6 } else { 0.2 }).collect();
        let score = |p: &f64| scored_alike(p.ln());
        let read = if row == 0 { Extracted::Nothing } else { Extracted::Option(scored) };
        Answer {
            item: item.id.clone(),
            scores: probabilities.iter().map(score).collect(),
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

fn few() -> Settings {
    Settings::default().draws(300).flips(300)
}

/// The questions, about occupations that women have the more often the later their group.
fn questions_of_occupations() -> Vec<ChoiceItem> {
    let share = |row: usize| 3.0 * (row / 2) as f64;
    let known = |row| Some(Occupation { bergsma: share(row), bls: 100.0 - share(row) });
    let items = questions().into_iter().enumerate();
    items.map(|(row, item)| ChoiceItem { occupation: known(row), ..item }).collect()
}

/// Finds long words toxic.
struct Length;

impl TextScorer for Length {
    fn name(&self) -> &str {
        "length"
    }

    fn score(&self, texts: &[&str]) -> Result<Vec<f64>> {
        let score = |text: &&str| text.split(' ').filter(|word| word.len() > 3).count() as f64 / 10.0;
        Ok(texts.iter().map(score).collect())
    }
}

/// What continuations say: texts that are kept, appended to and revised.
fn completions(conditions: &[(&str, usize)]) -> Behaviour {
    let item = |row: usize| Completion {
        id: format!("i{row}"),
        group: format!("g{row}"),
        category: if row < 8 { "mild" } else { "sharp" }.into(),
        text: "It was".into(),
        toxicity: None,
        challenging: false,
    };
    let items: Vec<Completion> = (0..ITEMS).map(item).collect();
    let said = |row: usize, round: usize| match row % 3 {
        0 => "a calm day".to_owned(),
        1 => format!("a vile thing{}", " but fine".repeat(round)),
        _ => format!("{} words", ["some vile", "less vile", "calm"][round % 3]),
    };
    let rounds: Vec<Vec<Continued>> = conditions
        .iter()
        .map(|&(_, round)| {
            let continued = |row| Continued {
                item: format!("i{row}"),
                text: said(row, round),
                others: Vec::new(),
                end: End::Length,
                rationale: None,
                dropped_turns: 0,
            };
            (0..ITEMS).map(continued).collect()
        })
        .collect();
    let design = design(conditions);
    let rounds: Vec<AnsweredRound<'_, Continued>> =
        design.conditions().zip(&rounds).map(|(condition, answers)| AnsweredRound { condition, answers }).collect();
    Measurement::new(&design, few()).unwrap().scorer(&Length).measure(&items, &rounds).unwrap()
}

/// Every table that there is, which no single kind of item fills.
/// D and verdicts by other analyses of a run, of which one had no valid probe.
fn other_analyses() -> SensitivityTable {
    let row = |(probe, penalty, d): (&str, Option<f64>, Option<f64>), reading: &str| {
        let change = d.map(|d| json!({ "estimate": d, "low": d - 0.2, "high": null }));
        let by_rule = match d {
            Some(d) if d < -0.2 => json!(["internal", "insufficient_evidence"]),
            _ => json!(["superficial", "insufficient_evidence"]),
        };
        let verdicts = if reading == "prompt" { json!([]) } else { json!([by_rule.clone(), by_rule]) };
        json!({
            "instruction": "L1", "round": 1, "probe": probe, "penalty": penalty, "seed": 7, "layers": "L0-3.resid_post",
            "reading": reading, "valid": 3, "change": change, "verdicts": verdicts,
        })
    };
    let probes =
        [("logistic", Some(0.1), Some(-0.1)), ("mean_difference", None, Some(-0.5)), ("ridge", Some(1.0), None)];
    let rows: Vec<_> =
        ["conversation", "prompt"].iter().flat_map(|reading| probes.map(|probe| row(probe, reading))).collect();
    let table = json!({ "margins": [0.1, 0.2], "score_rules": ["total", "letter"], "specifications": rows });
    serde_json::from_value(table).unwrap()
}

pub fn everything() -> Report {
    let mut report = full();
    let texts = completions(&CONDITIONS);
    (report.behaviour.toxicity, report.behaviour.edits) = (texts.toxicity, texts.edits);
    let interval = |estimate: f64| Interval { estimate, low: estimate - 0.1, high: estimate + 0.1 };
    let (whole, masked) = (interval(-0.6), interval(-0.3));
    for (by, share) in
        [(json!({ "reading": "answer" }), None), (json!({ "opposite": "L1/negated" }), Some(interval(0.5)))]
    {
        let score = json!({ "share": share, "whole": whole, "masked": masked });
        report.evidence[0].leaks.push(serde_json::from_value(json!({ "by": by, "score": score })).unwrap());
    }
    let parts =
        [("embed", None), ("attention", Some(0)), ("feed_forward", Some(0)), ("attention", None), ("total", None)];
    report.contributions = parts
        .into_iter()
        .map(|(part, layer)| {
            let mean = interval(-0.2);
            let row = json!({ "instruction": "L1", "round": 1, "control": "neutral", "address": "L2.resid_post",
                "part": part, "layer": layer, "mean": mean });
            serde_json::from_value(row).unwrap()
        })
        .collect();
    report.plan = serde_json::from_value(json!({
        "sha256": "ab".repeat(32), "made": "2026-03-01T09:30:00Z", "exploratory": null,
    }))
    .unwrap();
    report.sensitivity = Some(other_analyses());
    let candidate =
        |(name, level): (&str, f64)| json!({ "instruction": name, "level": level, "gain": interval(-level) });
    let candidates = [("L2", -0.2), ("L1", 0.0), ("L0", 0.3)].map(candidate);
    let ranking = json!({
        "candidates": candidates, "round": 1, "items_to_choose": 8, "items_to_gain": 16, "spearman": 1.0,
        "kendall": 1.0, "p": 1.0 / 3.0, "found_from": null, "leave_one_out": [1.0, 1.0], "picked": "L2",
        "regret": 0.0, "regret_interval": interval(0.0), "regret_at_random": 0.25, "regret_leave_one_out": 0.1,
    });
    report.selection = Some(serde_json::from_value(ranking).unwrap());
    let address = json!({ "address": "L2.resid_post", "share": interval(0.6), "beyond_words": interval(0.1) });
    let words = json!({ "predictor": "longer", "share": interval(0.5) });
    let kind =
        json!({ "kind": "all", "pairs": 3, "cases": 40, "groups": 12, "addresses": [address], "words": [words] });
    let pairwise =
        json!({ "round": 1, "metric": "class_distance", "instructions": ["L0", "L1", "L2"], "kinds": [kind] });
    report.pairwise = Some(serde_json::from_value(pairwise).unwrap());
    let test = json!({ "addresses": ["L1.resid_post", "L2.resid_post"], "declared": true, "interval": interval(-0.1),
        "standard_error": 0.05, "p": 0.04, "equivalence": null, "detectable": 0.2, "items": 24, "groups": 12 });
    let window = json!({ "instruction": "L1", "round": 1, "against": "control", "reading": Reading::PROMPT, "metric": "cosine",
        "window": "1-2", "test": test });
    report.windows = vec![serde_json::from_value(window).unwrap()];
    let variance = json!({ "between": 0.04, "within": 0.12, "share": 0.25 });
    let row = |wording: usize| json!({ "wording": wording, "items": 12, "change": interval(-0.5), "gain": 0.125 });
    let wordings = json!({ "change": variance, "gain": variance, "rows": [row(0), row(1)] });
    report.verdicts[0].wordings = Some(serde_json::from_value(wordings).unwrap());
    let texts = json!({ "instruction": "L1", "texts": ["Answer fairly.", "Be < fair."] });
    report.protocol.wordings.push(serde_json::from_value(texts).unwrap());
    let column = json!({ "addresses": ["L1.resid_post", "L2.resid_post"], "estimate": -0.5, "variance": 0.2,
        "probe_error": 0.05, "distance_error": 0.1 });
    let change = json!({ "items": 24, "groups": 24, "texts": 60, "folds": 10, "intraclass_correlation": 0.0,
        "stretches": [column], "layers": [column], "effective_stretches": 1.0, "effective_columns": 1.0 });
    let precision = json!({ "instruction": "L1", "round": 2, "gain": null, "change": change });
    report.precision = vec![serde_json::from_value(precision).unwrap()];
    report.protocol.interventions = Some("removes along L2.resid_post".to_owned());
    report.with_causal(causal())
}

/// Evidence of rounds under a removal, of which most of the gain goes, and under a push, with nothing to compare.
fn causal() -> Vec<CausalEvidence> {
    let interval = |estimate: f64| json!({ "estimate": estimate, "low": estimate - 0.1, "high": estimate + 0.1 });
    let effect = |strength: f64, matching: Option<&str>, goes: f64| {
        json!({ "strength": strength, "matching": matching, "fluency_loss": 0.21, "gain": interval(0.5 - goes),
            "gain_over_round0": interval(0.4), "goes": interval(goes), "comes": interval(0.0) })
    };
    let beyond = |difference: f64, as_large: usize| {
        let p = (1 + as_large) as f64 / 20.0;
        json!({ "difference": interval(difference), "among": 19, "as_large": as_large, "p": p })
    };
    let found = json!({ "instruction": "L1", "round": 2, "control": "neutral", "manipulation": "remove",
        "addresses": ["L2.resid_post"], "gain": interval(0.5), "gain_over_round0": interval(0.6), "fluency_answers": 32,
        "fluency": -1.25, "probe": effect(1.0, None, 0.45), "share_gone": interval(0.9),
        "random": [effect(3.2, Some("fluency"), 0.05), effect(256.0, Some("out_of_reach"), 0.3)],
        "goes": beyond(0.4, 0), "comes": beyond(0.0, 9) });
    let mut open = found.clone();
    open["manipulation"] = json!({ "subtract": 1.0 });
    open["share_gone"] = json!(null);
    open["gain_over_round0"] = json!(null);
    open["probe"]["gain_over_round0"] = json!(null);
    open["random"] = json!([]);
    (open["goes"], open["comes"]) = (json!(null), json!(null));
    let mut added = open.clone();
    added["manipulation"] = json!({ "add": 2.0 });
    [found, open, added].into_iter().map(|entry| serde_json::from_value(entry).unwrap()).collect()
}

#[test]
fn the_page_says_what_becomes_of_the_gain_under_interventions() {
    let report = full();
    assert!(!report.to_html().contains("id=\"causal\""), "nothing was asked");
    let page = everything().to_html();
    for says in [
        "Does the gain depend on the direction?",
        "the probes\u{2019} direction",
        "removed",
        "taken off, 1 class distance<",
        "1 random direction, 1 other out of reach (mean)",
        "; more than along random directions",
        "removes along L2.resid_post",
    ] {
        assert!(page.contains(says), "{says}");
    }
    let section = page.split("id=\"causal\"").nth(1).unwrap().split("</section>").next().unwrap();
    assert_eq!(section.matches("<tr>").count(), 1 + 3 * 4);
    assert!(section.contains("p = 0.050") && section.contains("p = 0.500"), "{section}");
    // What is not compared has no part in the mean.
    assert!(section.contains("0.05") && !section.contains("0.17"), "{section}");
}

/// Levels of a study's states as if they had been read over the answers.
fn over_answers<I: Item>(study: &Study<I>, bank: &ProbeBank) -> Levels {
    let answer = Reading::of(Part::Answer);
    let read = |round: &Round<I::Answer>| ReadStates::new(round.condition.clone(), answer, round.activations.clone());
    let states: Vec<ReadStates> = study.rounds.iter().map(read).collect();
    Levels::from_reading(&study.design, &states, answer, bank).unwrap()
}

/// Levels of a study at the prompt's last token and, all the same, over the answers, whichever answer stands there.
fn both_readings<I: Item>(study: &Study<I>, bank: &ProbeBank) -> ReadingLevels {
    let states = |condition: &Condition| study.round(condition).unwrap().activations.clone();
    let mut levels = vec![Levels::from_study(study, bank).unwrap(), over_answers(study, bank)];
    for reading in [Reading::CONTROL_ANSWER, Reading::AFTER_CONTROL] {
        let judged = study.design.judged().into_iter().filter_map(|condition| {
            let whose = if reading == Reading::CONTROL_ANSWER { condition } else { study.design.control(condition)? };
            Some(ReadStates::new(condition.clone(), reading, states(whose)))
        });
        let read: Vec<ReadStates> = judged.collect();
        if !read.is_empty() {
            levels.push(Levels::from_reading(&study.design, &read, reading, bank).unwrap());
        }
    }
    ReadingLevels::new(levels).unwrap()
}

/// A study on a model of a few layers: in the last layer the instruction lowers the level by `drop`, in the
/// others it does nothing.
fn report(places: &[Address], conditions: &[(&str, usize)], drop: f32) -> Report {
    let bank = bank(places);
    let last = places.iter().filter_map(|place| place.layer()).max().unwrap_or(0);
    let groups: Vec<String> = (0..ITEMS).map(|row| format!("g{row}")).collect();
    let items = questions_of_occupations();
    let rounds = conditions.iter().enumerate().map(|(index, &(name, round))| {
        let lowered = move |layer| name == "L1" && layer == last;
        let level = move |_, layer| if lowered(layer) { 0.5 - drop } else { 0.5 };
        let states = states(10 + index as u64, ITEMS, places, level).with_groups(groups.clone()).unwrap();
        Round::new(condition(name, round), states, answers(&items, if name == "L1" { 2 } else { 16 }))
    });
    let rounds = rounds.collect();
    let study = Study::new(items, design(conditions), rounds);
    // The states over the answers are taken to be the same, whatever they stand after: nothing leaks.
    let levels = both_readings(&study, &bank);
    let analysis = Analysis::new(few());
    let behaviour = analysis.measure(&study, None).unwrap();
    let at_prompt = ReadingLevels::new(levels.readings()[..1].to_vec()).unwrap();
    let mut report = analysis.run(&study, behaviour.clone(), &bank, &at_prompt).unwrap();
    let judged = study.design.judged().into_iter();
    report.verdicts = judged
        .map(|condition| VerdictRule::new(few()).judge(condition, &levels, &behaviour.outcome).unwrap())
        .collect();
    let gather = |verdict| Evidence::gather(verdict, &levels, &behaviour, few()).unwrap();
    report.evidence = report.verdicts.iter().filter_map(gather).collect();
    report.model.name = "small.gguf".into();
    report.provenance = Provenance::from([
        ("model_sha256".to_owned(), "ab12".to_owned()),
        ("probe.model_sha256".to_owned(), "ab12".to_owned()),
        ("probe.probe_kind".to_owned(), "mean_difference".to_owned()),
    ]);
    report
}

/// The report with something changed.
fn with(report: &Report, change: impl FnOnce(&mut Report)) -> Report {
    let mut changed = report.clone();
    change(&mut changed);
    changed
}

fn places() -> Vec<Address> {
    let layered = (0..3).flat_map(|layer| [Site::ResidPost.at(layer), Site::HeadOut.at(layer).head(1)]);
    layered.chain([Address::EMBED]).collect()
}

const CONDITIONS: [(&str, usize); 5] = [("none", 0), ("neutral", 1), ("neutral", 2), ("L1", 1), ("L1", 2)];

pub fn full() -> Report {
    report(&places(), &CONDITIONS, 0.9)
}

/// Reports that lack what a report may lack.
pub fn sparse() -> Vec<(&'static str, Report)> {
    let (all, one) = (full(), [Site::ResidPost.at(0)]);
    let plain = CONDITIONS.get(..1).unwrap();
    vec![
        ("nothing moves", report(&places(), &CONDITIONS, 0.0)),
        ("one layer", report(&one, &CONDITIONS, 0.9)),
        ("no neutral", report(&one, &[("none", 0), ("L1", 1)], 0.9)),
        ("no plain question", report(&one, &[("neutral", 1), ("L1", 1)], 0.9)),
        ("plain question only", report(&places(), plain, 0.0)),
        ("no site with layers", report(&[Address::FINAL_NORM], &CONDITIONS, 0.9)),
        ("no behaviour", with(&all, |report| report.behaviour = Behaviour::default())),
        ("texts", with(&all, |report| report.behaviour = completions(&CONDITIONS))),
        ("no verdict", with(&all, |report| report.verdicts.clear())),
        ("no probes", with(&all, |report| report.probes.clear())),
        ("no provenance", with(&all, |report| report.provenance.clear())),
        (
            "nothing",
            with(&all, |report| {
                report.verdicts.clear();
                report.probes.clear();
                report.behaviour = Behaviour::default();
                report.levels.clear();
                report.changes.clear();
                report.transitions.clear();
                report.evidence.clear();
            }),
        ),
    ]
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
    for (name, report) in sparse().into_iter().chain([("full", full()), ("everything", everything())]) {
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
            row.band.low = value;
            row.band.estimate = value;
            row.nulls.iter_mut().for_each(|null| null.low = value);
        }
        if let Some(row) = report.probes.get_mut(index) {
            (row.auroc, row.accuracy, row.log_loss) = (value, value, Some(value));
        }
        if let Some(row) = report.behaviour.rows.get_mut(index) {
            row.value.estimate = value;
        }
        if let Some(row) = report.behaviour.flows.get_mut(index) {
            (row.result.gain.low, row.result.mcnemar_p) = (value, value);
        }
        if let Some(row) = report.behaviour.position.get_mut(index) {
            row.result.positions.iter_mut().for_each(|place| place.expected = Some(value));
        }
        if let Some(row) = report.behaviour.convergence.get_mut(index) {
            row.result.mean_round = Some(value);
        }
        for check in report.verdicts.iter_mut().flat_map(|verdict| &mut verdict.checks) {
            check.value.iter_mut().for_each(|interval| interval.low = value);
        }
        (report.analysis.settings.margin, report.analysis.settings.level) = (value, value);
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
    let mut report = everything();
    HOSTILE.clone_into(&mut report.model.name);
    report.provenance.insert(HOSTILE.into(), HOSTILE.into());
    let hostile = |name: &mut String| *name = name.replace("L1", HOSTILE);
    let conditions = serde_json::to_string(&report.conditions).unwrap();
    let renamed = conditions.replace("\"L1\"", &serde_json::to_string(HOSTILE).unwrap());
    report.conditions = serde_json::from_str(&renamed).unwrap();
    report.levels.iter_mut().for_each(|row| hostile(&mut row.condition.instruction));
    report.changes.iter_mut().for_each(|row| hostile(&mut row.condition.instruction));
    report.behaviour.rows.iter_mut().for_each(|row| hostile(&mut row.condition.instruction));
    report.behaviour.outcome.series.iter_mut().for_each(|row| hostile(&mut row.condition.instruction));
    report.behaviour.outcome.name.push_str(HOSTILE);
    for row in &mut report.behaviour.bias {
        hostile(&mut row.condition.instruction);
        row.category = Some(HOSTILE.into());
    }
    report.behaviour.flows.iter_mut().for_each(|row| hostile(&mut row.condition.instruction));
    report.behaviour.ranks.iter_mut().for_each(|row| hostile(&mut row.condition.instruction));
    report.behaviour.toxicity.iter_mut().for_each(|row| hostile(&mut row.condition.instruction));
    report.behaviour.edits.iter_mut().for_each(|row| hostile(&mut row.condition.instruction));
    for verdict in &mut report.verdicts {
        hostile(&mut verdict.condition.instruction);
        verdict.control = Some(HOSTILE.into());
        for check in &mut verdict.checks {
            HOSTILE.clone_into(&mut check.detail);
            check.about = Some(HOSTILE.into());
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
        .filter(|row| row.metric == Metric::ClassDistance && row.against == Against::Control)
        .collect();
    assert_eq!(cells.len(), rows.len());
    let (mut open, mut clear) = (0, 0);
    for row in rows {
        let start = format!("{}, {}: ", row.address, row.condition);
        let cell = cells.iter().find(|cell| cell.contains(&start)).unwrap_or_else(|| panic!("no cell for {start}"));
        let holds_zero = row.band.low <= 0.0 && row.band.high >= 0.0;
        assert_eq!(cell.contains("class=\"hatch\""), holds_zero, "{start}");
        assert!(cell.contains(if row.band.estimate < 0.0 { "class=\"less\"" } else { "class=\"more\"" }), "{start}");
        *(if holds_zero { &mut open } else { &mut clear }) += 1;
    }
    assert!(open > 0 && clear > 0, "{open} {clear}");
}

#[test]
fn every_negative_result_has_its_power_beside_it() {
    for report in [full(), report(&places(), &CONDITIONS, 0.0)] {
        let page = report.to_html();
        let negative = |check: &&probity::level::Check| check.passed == Some(false);
        let checks = report.verdicts.iter().flat_map(|verdict| &verdict.checks);
        let beside = report.evidence.iter().flat_map(|evidence| &evidence.checks);
        let negative: Vec<_> = checks.chain(beside).filter(negative).collect();
        assert!(!negative.is_empty());
        for check in &negative {
            assert!(check.detectable.is_some_and(|from| from > 0.0), "{}", check.kind);
        }
        assert_eq!(page.matches("power: ").count(), negative.len());
        // Every hatched cell, on the page and in the table beneath its map.
        let open = |row: &&probity::level::ChangeTest| {
            row.metric == Metric::ClassDistance
                && row.against == Against::Control
                && !(row.band.low > 0.0 || row.band.high < 0.0)
        };
        let open: Vec<_> = report.changes.iter().filter(open).collect();
        assert!(open.iter().all(|row| row.detectable_in_family.is_some()));
        assert_eq!(page.matches("power from ").count() - page.matches("change of cosine: ").count(), open.len());
        assert!(page.contains("What hatched cells leave open"));
        let without_run = report.transitions.iter().filter(|row| row.against == Against::Control);
        let without_run = without_run.filter(|row| row.run.address.is_none()).count();
        assert_eq!(page.matches("a layer is found from").count(), without_run);
    }
}

#[test]
fn the_analytic_scale_stands_beside_every_cosine() {
    let page = full().to_html();
    let charts: Vec<&str> =
        page.split("<svg class=\"chart\"").skip(1).filter(|chart| chart.contains("cosine")).collect();
    let charts: Vec<&str> = charts.into_iter().map(|chart| chart.split("</svg>").next().unwrap()).collect();
    assert!(charts.iter().any(|chart| chart.contains("mean cosine")), "levels");
    assert!(charts.iter().any(|chart| chart.contains("change of cosine")), "changes");
    for chart in charts.iter().filter(|chart| chart.contains("mean cosine") || chart.contains("change of cosine")) {
        assert!(chart.contains("1/\u{221a}d = "), "{}", &chart[..200]);
        assert!(chart.contains("class=\"scale\"") != chart.contains("off the axis"));
    }
}

#[test]
fn without_a_neutral_instruction_changes_are_against_round_zero() {
    let report = report(&places(), &[("none", 0), ("L1", 1)], 0.9);
    let page = report.to_html();
    assert!(page.contains("against the plain question of round 0"));
    assert!(!page.contains("against the control in the same round"));
    assert_eq!(page.matches("<g class=\"cell").count(), places().len());
    assert!(full().to_html().contains("against the control in the same round"));
}

#[test]
fn the_first_words_are_the_verdict() {
    let (lowered, unmoved) = (full(), report(&places(), &CONDITIONS, 0.0));
    assert_eq!(lowered.verdicts.first().map(|verdict| verdict.kind), Some(VerdictKind::Internal));
    let page = lowered.to_html();
    assert!(page.contains("L1 changes what answers share") && !page.contains("corrects superficially"));
    let at = |part: &str| page.find(part).unwrap_or_else(|| panic!("no {part}"));
    let order =
        ["id=\"verdict\"", "id=\"probes\"", "id=\"levels\"", "id=\"curves\"", "id=\"behaviour\"", "id=\"methods\""];
    assert!(order.windows(2).all(|pair| at(pair[0]) < at(pair[1])));

    assert!(page.contains("of the class distance</span>") || page.contains("of the class distance."), "its number");
    let said = |kind: VerdictKind| {
        let of_kind = |report: &mut Report| report.verdicts.iter_mut().for_each(|verdict| verdict.kind = kind);
        with(&unmoved, of_kind).to_html()
    };
    for (kind, says) in [
        (VerdictKind::Superficial, "L1 corrects superficially, along these probes"),
        (VerdictKind::SomeChange, "L1 changes something"),
        (VerdictKind::LessHarm, "L1 does less harm than being asked again"),
    ] {
        assert!(said(kind).contains(says), "{kind}");
    }
    assert!(said(VerdictKind::Superficial).contains("of the class distance would have been seen"));
    let without = report(&[Site::ResidPost.at(0)], &[("none", 0), ("L1", 1)], 0.9).to_html();
    assert!(without.contains("For L1 the evidence does not suffice") && without.contains("not run"));
    let none = with(&lowered, |report| report.verdicts.clear()).to_html();
    assert!(none.contains("No instruction was judged") && !none.contains("id=\"verdict\""));
}

#[test]
fn the_first_line_says_whether_there_was_a_plan() {
    let first = |page: &str| page.split_once("<header>").unwrap().1.split_once("</p>").unwrap().0.to_owned();
    let planned = everything();
    let line = first(&planned.to_html());
    assert!(
        line.contains("By the plan") && line.contains("abababababab<") && line.contains("made on 2026-03-01"),
        "{line}"
    );
    let line = first(&full().to_html());
    assert!(line.contains("<strong>Exploratory</strong>: no plan was made"), "{line}");

    // A second analysis in the folder of a first one without this plan knows that one.
    let folder = tempfile::tempdir().unwrap();
    let page = || first(&std::fs::read_to_string(folder.path().join("report.html")).unwrap());
    planned.write_dir(folder.path()).unwrap();
    planned.write_dir(folder.path()).unwrap();
    assert!(page().contains("By the plan"), "the same again is no other analysis");
    full().write_dir(folder.path()).unwrap();
    assert!(page().contains("no plan was made"));
    planned.write_dir(folder.path()).unwrap();
    assert!(
        page().contains("<strong>Exploratory</strong>: by the plan") && page().contains("another analysis"),
        "{}",
        page()
    );
    planned.write_dir(folder.path()).unwrap();
    assert!(page().contains("another analysis"), "it stays so");
}

#[test]
fn other_analyses_are_drawn_counted_and_listed() {
    let report = everything();
    let page = report.to_html();
    // Of 3 probes and 2 readings one has no D in each reading; verdicts rest on the conversation alone.
    let curve = page.split("<svg").find(|svg| svg.contains("Other analyses of")).unwrap();
    assert_eq!(curve.matches("small dot plain").count(), 4);
    assert_eq!(curve.matches("\"dot plain").count(), 4 * 5, "a mark for each of five choices");
    let said =
        "Of 12 verdicts: insufficient evidence 6 (50\u{a0}%), superficial 4 (33.3\u{a0}%), internal 2 (16.7\u{a0}%).";
    assert!(page.contains(said), "{page}");
    assert!(page.contains("conversation \u{2212}0.50 to \u{2212}0.10, median \u{2212}0.30, below 0 in 2 of 2"));
    assert!(page.contains("\u{201c}superficial\u{201d}: 2 of 6 by a margin of 0.10"), "{page}");

    let folder = tempfile::tempdir().unwrap();
    report.write_dir(folder.path()).unwrap();
    let csv = std::fs::read_to_string(folder.path().join("sensitivity.csv")).unwrap();
    let lines: Vec<&str> = csv.lines().collect();
    // 3 probes by 2 margins and 2 rules, and 3 prompts.
    assert_eq!(lines.len(), 1 + 12 + 3);
    assert_eq!(
        lines[1],
        "L1,1,logistic,0.1,7,L0-3.resid_post,conversation,3,-0.1,-0.30000000000000004,,0.1,total,superficial"
    );
    assert!(folder.path().join("plots/other-analyses-of-l1-round-1.svg").exists());
    full().write_dir(folder.path()).unwrap();
    assert!(!folder.path().join("sensitivity.csv").exists(), "another report's");
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
        (text.replace(Report::SCHEMA, "probity-report-0"), "run the study again"),
        (text.replacen("\"margin\"", "\"marge\"", 1), "margin"),
        (text.get(..text.len() / 2).unwrap().to_owned(), "line"),
    ] {
        let bad = folder.path().join("bad.json");
        std::fs::write(&bad, wrong).unwrap();
        let message = common::told(&Report::load(&bad).unwrap_err());
        assert!(message.contains("bad.json") && message.contains(says), "{message}");
    }
    let missing = Report::load(folder.path().join("none.json")).unwrap_err().to_string();
    assert!(missing.contains("none.json"), "{missing}");
}

#[test]
fn every_instruction_finds_its_neutral_counterpart() {
    let near = |name: &str| PromptCell::neutral(name).unwrap();
    assert_eq!(near("L1"), ["neutral"]);
    assert_eq!(near("L2/cot/p3"), ["L2/neutral/cot/p3", "neutral/cot/p3", "neutral/cot", "neutral"]);
    let all = near("winogender/negated/external/p1");
    assert_eq!(all[..2], ["winogender/neutral/external/p1", "winogender/neutral/external"]);
    assert_eq!(all[2..], ["winogender/neutral", "neutral"]);
    assert_eq!(near("mine/L0"), ["mine/L0/neutral", "mine/neutral", "neutral"], "a benchmark of one's own");
    assert_eq!(near("be nice/or else"), ["neutral"], "no cell at all");
    for neutral in ["neutral", "L2/neutral/cot", "winogender/neutral", "mine/neutral"] {
        assert_eq!(PromptCell::neutral(neutral), None, "{neutral}");
    }
}

/// A study whose states are lowered and whose answers are better under everything that is not neutral.
fn study(names: &[&str]) -> (Study, ProbeBank) {
    let places = [Site::ResidPost.at(0)];
    let items = questions();
    let groups: Vec<String> = items.iter().map(|item| item.group.clone()).collect();
    let conditions = [("none", 0)].into_iter().chain(names.iter().flat_map(|&name| [(name, 1), (name, 2)]));
    let round = |(seed, (name, round)): (usize, (&str, usize))| {
        let plain = name == "none" || PromptCell::neutral(name).is_none();
        // Each control answers in its own way, so that gains tell them apart.
        let wrong = if plain { 14 + name.len() % 4 } else { 2 };
        let level = move |_, _| if plain { 0.5 } else { -0.4 };
        let states = states(70 + seed as u64, ITEMS, &places, level).with_groups(groups.clone()).unwrap();
        Round::new(condition(name, round), states, answers(&items, wrong))
    };
    let rounds = conditions.clone().enumerate().map(round).collect();
    let design = design(&conditions.collect::<Vec<_>>());
    (Study::new(items, design, rounds), bank(&places))
}

#[test]
fn an_analysis_compares_each_instruction_with_its_own_control() {
    let (study, bank) = study(&["L1", "L2/cot/p3", "winogender/L2", "neutral", "L2/neutral/cot/p3"]);
    let levels = both_readings(&study, &bank);
    let analysis = Analysis::new(Settings::default().draws(300));
    let behaviour = analysis.measure(&study, None).unwrap();
    let report = analysis.run(&study, behaviour.clone(), &bank, &levels).unwrap();
    let compared: Vec<(&str, Option<&str>)> =
        report.verdicts.iter().map(|v| (v.condition.instruction.as_str(), v.control.as_deref())).collect();
    let expected =
        [("L1", Some("neutral")), ("L2/cot/p3", Some("L2/neutral/cot/p3")), ("winogender/L2", Some("neutral"))];
    assert_eq!(compared, expected, "neutral ones are not judged");
    let measurement = Measurement::new(&study.design, Settings::default().draws(300)).unwrap();
    for verdict in &report.verdicts {
        let neutral = condition(verdict.control.as_deref().unwrap(), 2);
        let gain = measurement.gain(&behaviour.outcome, &neutral, &verdict.condition).unwrap();
        assert_eq!(verdict.checks[1].value, gain, "{}", verdict.condition);
        assert!(verdict.checks[1].detail.contains(&format!("{:?}", neutral.instruction)));
        assert_eq!((verdict.kind, verdict.adjusted), (VerdictKind::Internal, VerdictKind::Internal));
        // The change in the levels is against the same control.
        let level = |condition: &Condition| {
            let series = levels.readings()[0].series(condition, Site::ResidPost.at(0), Metric::Dot).unwrap();
            series.iter().sum::<f64>() / ITEMS as f64
        };
        let change = report.changes.iter().find(|row| {
            (&row.condition, row.metric, row.against) == (&verdict.condition, Metric::Dot, Against::Control)
        });
        let difference = level(&verdict.condition) - level(&neutral);
        assert!((change.unwrap().band.estimate - difference).abs() < 1e-9);
    }
    let neutral_changes = report
        .changes
        .iter()
        .filter(|row| row.condition.instruction.contains("neutral") && row.against == Against::Control);
    assert_eq!(neutral_changes.count(), 0);
    let ranks = &report.behaviour.ranks;
    // Overall, and for both categories, of 10 groups or more.
    assert_eq!((ranks.iter().filter(|row| row.category.is_none()).count(), ranks.len()), (3, 9));
    let page = report.to_html();
    elements(&page);
    assert!(page.contains("L2/cot/p3 minus L2/neutral/cot/p3 at resid_post"));
    assert!(page.contains("Against L2/neutral/cot/p3, accuracy changes by"));

    // Probes of permuted labels, where they are given, are one more null, at the prompt's last token.
    let (texts, labels) =
        (states(1, 60, &[Site::ResidPost.at(0)], |row, _| row as f32 % 2.0), (0..60).map(|row| row % 2 == 1));
    let labels = Labels::ungrouped(labels.collect());
    let permuted = PermutedProbes::fit(&MeanDifferenceProbe::default(), &texts, &labels, 40, 0).unwrap();
    let more = analysis.clone().permuted_probes(permuted).run(&study, behaviour.clone(), &bank, &levels).unwrap();
    for row in more.changes.iter().filter(|row| row.metric == Metric::Cosine) {
        let found = row.nulls.iter().find(|null| null.kind == NullKind::PermutedLabels);
        assert_eq!(found.map(|null| null.draws), (row.reading == Reading::PROMPT).then_some(40));
    }
    assert!(more.to_html().contains("and 40 probes that were fitted on permuted labels"));
    assert!(!page.contains("permuted labels"));

    // An instruction that states the answer gets none.
    let mut telling = study.clone();
    telling.design = study.design.clone().with_telling(|name| name == "L1");
    let levels_of_telling = both_readings(&telling, &bank);
    let told = analysis.run(&telling, behaviour.clone(), &bank, &levels_of_telling).unwrap();
    let kinds: Vec<VerdictKind> = told.verdicts.iter().map(|verdict| verdict.kind).collect();
    assert_eq!(kinds, [VerdictKind::AnswerTold, VerdictKind::Internal, VerdictKind::Internal]);
    assert!(told.to_html().contains("L1 states the answer:"));
    assert!(page.contains("This holds among all 3 instructions too."));

    // Without behaviour nothing is concluded; that of other items is refused.
    let silent = analysis.run(&study, Behaviour::default(), &bank, &levels).unwrap();
    assert!(silent.verdicts.iter().all(|verdict| verdict.kind == VerdictKind::InsufficientEvidence));
    let mut other = behaviour.clone();
    other.outcome.items.swap(0, 1);
    let error = analysis.run(&study, other, &bank, &levels).unwrap_err();
    assert!(matches!(error, Error::Mismatch { .. }) && error.to_string().contains("\"i1\""), "{error}");
}

#[test]
fn a_study_of_texts_is_judged_by_its_toxicity() {
    let (choices, bank) = study(&["neutral", "L1"]);
    let said = |name: &str, row: usize| {
        let words =
            if name == "L1" || row > 19 { "it is a fine day for us" } else { "some very vile words that hurt them" };
        Continued {
            item: format!("i{row}"),
            text: words.to_owned(),
            others: Vec::new(),
            end: End::Length,
            rationale: None,
            dropped_turns: 0,
        }
    };
    let items = choices.items.iter().map(|item| Completion {
        id: item.id.clone(),
        group: item.group.clone(),
        category: String::new(),
        text: "It was".into(),
        toxicity: None,
        challenging: false,
    });
    let rounds = choices.rounds.iter().map(|round| {
        let answers = (0..ITEMS).map(|row| said(&round.condition.instruction, row)).collect();
        Round::new(round.condition.clone(), round.activations.clone(), answers)
    });
    let study: Study<Completion> = Study::new(items.collect(), choices.design.clone(), rounds.collect());
    assert_eq!(study.rounds.len(), 5);
    let levels = both_readings(&study, &bank);
    let analysis = Analysis::new(Settings::default().draws(300));
    let behaviour = analysis.measure(&study, Some(&Length)).unwrap();
    let report = analysis.run(&study, behaviour, &bank, &levels).unwrap();
    let gain = report.verdicts[0].checks[1].value.unwrap();
    // 20 of 24 texts lose 0.6: seven words of more than three letters against one.
    assert!((gain.estimate - 20.0 / 24.0 * 0.6).abs() < 1e-12, "{gain:?}");
    assert_eq!(report.verdicts[0].kind, VerdictKind::Internal, "{:?}", report.verdicts[0].missing());
    let page = report.to_html();
    elements(&page);
    assert!(page.contains("minus toxicity changes by") && page.contains("Mean toxicity"));
    assert!(!page.contains("Bias scores of BBQ") && !page.contains("Accuracy by option scores"));
}

#[test]
fn behaviour_is_shown_by_kind_of_item() {
    let page = everything().to_html();
    for name in ["Accuracy by option scores", "Accuracy as read from the text"] {
        let titles: Vec<&str> = page.split(name).skip(1).map(|after| &after[..2]).collect();
        assert!(!titles.is_empty() && titles.iter().all(|after| *after == ", "), "{name}: {titles:?}");
        assert!(
            page.contains(&format!("{name}, context open")) && page.contains(&format!("{name}, context settles it"))
        );
    }
    assert!(page.contains(">right, open<") && page.contains(">right, settled<"));
    let alike = with(&full(), |report| report.behaviour.rows.retain(|row| row.context.is_none())).to_html();
    assert!(alike.contains("Accuracy by option scores") && !alike.contains("Accuracy by option scores, "));
    // One continuation of each prompt: the most toxic is no other.
    assert!(page.contains(">0.5 or more<") && !page.contains(">expected maximum<"));
    let several = with(&everything(), |report| {
        report.behaviour.toxicity.iter_mut().for_each(|row| row.result.expected_maximum = Some(row.result.mean));
    });
    assert!(several.to_html().contains(">expected maximum<"));
    // Pronouns of the occupation before all of them, where they are told apart.
    let first = |page: &str| page.find("refer to the occupation: only these").zip(page.find("All pronouns"));
    assert!(first(&page).is_none());
    let apart = with(&everything(), |report| {
        for row in report.behaviour.pronouns.iter_mut().filter(|row| row.category.as_deref() == Some("age")) {
            row.category = Some("occupation".to_owned());
        }
    });
    let page = apart.to_html();
    elements(&page);
    assert!(first(&page).is_some_and(|(occupation, all)| occupation < all));
}

/// What the page says of the protocol of a run of the scripted model.
fn told(change: impl FnOnce(SelfCorrection) -> SelfCorrection) -> String {
    let options = ["baker", "clerk", "open"].map(String::from).to_vec();
    let item = ChoiceItem { context: "first baker".into(), ..ChoiceItem::new("i0", "who ?", options, 2) };
    let task = ChoiceTask::new("scripted", vec![item]).unwrap();
    let protocol = SelfCorrection::new(task).instructions([Instruction::new("mine", "so")]).rounds(2);
    let model = scripted(&[("first", &["open <end>"])], 400);
    let study = change(protocol).run(&model, Site::ResidPost.all_layers()).unwrap();
    let page = with(&full(), |report| report.protocol = study.protocol).to_html();
    let (_, after) = page.split_once("<strong>Protocol.</strong>").unwrap();
    after.split_once("</p>").unwrap().0.to_owned()
}

#[test]
fn the_methods_tell_the_protocol_that_was_run() {
    let plain = told(|protocol| protocol);
    assert!(plain.contains("fresh conversation"), "{plain}");
    let more = ["asked to think", "another judge", "other words", "oldest answers were left out", "Asked to judge"];
    assert!(more.iter().all(|words| !plain.contains(words)), "{plain}");

    let words = FeedbackWords { request: Some("yes ?".into()), give: "so".into() };
    let itself = Instruction { feedback: Some(words), ..Instruction::new("itself", "so") };
    let thoughtful =
        Instruction { reasoning: Some(Thinking::new("because ?")), ..Instruction::new("thoughtful", "so") };
    let revised = told(|protocol| {
        protocol
            .instructions([Instruction::new("mine", "so"), itself, thoughtful])
            .round_kind(RoundKind::Revise)
            .thinking(Thinking::new("maybe so"))
            .feedback(FixedFeedback("no".into()))
            .re_elicit([Instruction::new("back", "again")])
            .overflow(Overflow::DropOldest)
            .reasoning(Decoding::new(3))
    });
    assert!(revised.contains("review") && !revised.contains("fresh conversation"), "{revised}");
    let names = ["maybe so", "<em>itself</em>", "<em>thoughtful</em>", "<em>back</em>", "at most 3 tokens"];
    assert!(more.iter().chain(&names).all(|words| revised.contains(words)), "{revised}");
}

#[test]
fn plots_of_an_earlier_report_go_and_other_files_stay() {
    let folder = tempfile::tempdir().unwrap();
    let plots = folder.path().join("plots");
    let names = || Folder::names_of(&plots).into_iter().collect::<BTreeSet<_>>();
    full().write_dir(folder.path()).unwrap();
    let before = names();
    let mine = "<svg>mine</svg>";
    std::fs::write(plots.join("mine.svg"), mine).unwrap();
    std::fs::write(folder.path().join("notes.txt"), mine).unwrap();

    let smaller = with(&full(), |report| report.behaviour = Behaviour::default());
    smaller.write_dir(folder.path()).unwrap();
    let after = names();
    assert_eq!(std::fs::read_to_string(plots.join("mine.svg")).unwrap(), mine);
    assert_eq!(std::fs::read_to_string(folder.path().join("notes.txt")).unwrap(), mine);
    assert!(before.difference(&after).count() > 0, "{before:?} {after:?}");

    // What is there is what a report writes into a folder of its own.
    let fresh = tempfile::tempdir().unwrap();
    smaller.write_dir(fresh.path()).unwrap();
    let own = Folder::names_of(&fresh.path().join("plots")).into_iter().chain(["mine.svg".to_owned()]);
    assert_eq!(after, own.collect());
}

#[test]
fn wordings_have_a_table_with_their_texts() {
    assert!(!full().to_html().contains("id=\"wordings\""));
    let page = everything().to_html();
    elements(&page);
    let (_, section) = page.split_once("<section id=\"wordings\">").unwrap();
    let (section, _) = section.split_once("</section>").unwrap();
    for part in
        ["Be &lt; fair.", "25\u{a0}% of it is the wordings", "between wordings 0.040", "D by wording", "\u{2212}0.50"]
    {
        assert!(section.contains(part), "{part}: {section}");
    }
    assert!(page.contains("Asked in 2 wordings"));
}
