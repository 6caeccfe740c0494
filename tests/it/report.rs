//! The report: its schema, its page, and its files.

use std::collections::BTreeSet;

use ndarray::Array2;
use probity::capture::Activations;
use probity::causal::RoundContribution;
use probity::dialogue::{Part, PromptCell, ReadStates, Reading as Span, Round, Study};
use probity::generate::End;
use probity::hook::{Address, Site};
use probity::level::{
    Against, Candidate, Family, Inference, Leak, LeakScore, Levels, Metric, NullKind, PermutedProbes, RoundStates,
    Selected, SpanLevels, Superficiality, Transitions, VerdictKind, VerdictRule,
};
use probity::probe::{MeanDifferenceProbe, ProbeBank};
use probity::report::{Analysis, ModelSummary, Report, Settings, SCHEMA};
use probity::scorer::TextScorer;
use probity::stats::Interval;
use probity::task::{
    Answer, AnsweredRound, Behaviour, ChoiceItem, ChoiceTask, Completion, Condition, Continued, Item, Measurement,
    Occupation, Polarity, Reading, Winogender,
};
use probity::text::Labels;
use probity::{Error, Provenance, Result};
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
        category: if row < 12 { "age" } else { "sex" }.into(),
        condition: Some(if row.is_multiple_of(2) { Condition::Ambiguous } else { Condition::Disambiguated }),
        polarity: Some(Polarity::Negative),
        context: "Two people met.".into(),
        question: "Who was late?".into(),
        options: ["his older one", "her younger one", "their own"].map(String::from).to_vec(),
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

fn measurement() -> Measurement<'static> {
    Measurement::default().draws(300).controls([("L1".to_owned(), "neutral".to_owned())])
}

/// What the answers say, which are better under "L1".
fn choices(items: &[ChoiceItem], conditions: &[(&str, usize)]) -> Behaviour {
    let given = conditions.iter().map(|&(name, _)| answers(items, if name == "L1" { 2 } else { 16 }));
    let given: Vec<Vec<Answer>> = given.collect();
    let answered: Vec<AnsweredRound<'_>> = conditions
        .iter()
        .zip(&given)
        .map(|(&(instruction, round), answers)| AnsweredRound { instruction, round, answers })
        .collect();
    let occupations = (0..ITEMS / 2).map(|group| {
        let share = 3.0 * group as f64;
        (format!("g{group}"), Occupation { bergsma: share, bls: 100.0 - share })
    });
    let empty = ChoiceTask::new("none", Vec::new()).unwrap();
    let winogender = Winogender { pronouns: empty.clone(), coreference: empty, occupations: occupations.collect() };
    measurement().winogender(&winogender).choices(items, &answered).unwrap()
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
        group: format!("g{}", row / 2),
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
                end: End::Length,
                rationale: None,
                dropped_turns: 0,
            };
            (0..ITEMS).map(continued).collect()
        })
        .collect();
    let rounds: Vec<AnsweredRound<'_, Continued>> = conditions
        .iter()
        .zip(&rounds)
        .map(|(&(instruction, round), answers)| AnsweredRound { instruction, round, answers })
        .collect();
    measurement().completions(&items, &rounds, &Length).unwrap()
}

/// Every table that there is, which no single kind of item fills.
fn everything() -> Report {
    let mut report = full();
    let texts = completions(&CONDITIONS);
    (report.behaviour.toxicity, report.behaviour.edits) = (texts.toxicity, texts.edits);
    let interval = |estimate: f64| Interval { estimate, low: estimate - 0.1, high: estimate + 0.1 };
    let (whole, masked) = (interval(-0.6), interval(-0.3));
    for (by, share) in [("answer", None), ("L1/negated", Some(interval(0.5)))] {
        let leak = Leak { by: by.to_owned(), score: LeakScore { share, whole, masked } };
        report.evidence[0].leaks.push(leak);
    }
    let parts =
        [("embed", None), ("attention", Some(0)), ("feed_forward", Some(0)), ("attention", None), ("total", None)];
    report.contributions = parts
        .into_iter()
        .map(|(part, layer)| RoundContribution {
            instruction: "L1".to_owned(),
            round: 1,
            neutral: "neutral".to_owned(),
            address: Site::ResidPost.at(2),
            part: part.to_owned(),
            layer,
            mean: interval(-0.2),
        })
        .collect();
    let candidate =
        |(name, level): (&str, f64)| Candidate { instruction: name.to_owned(), level, gain: interval(-level) };
    report.selection = Some(Selected {
        candidates: [("L2", -0.2), ("L1", 0.0), ("L0", 0.3)].map(candidate).into(),
        round: 1,
        items_to_choose: 8,
        items_to_gain: 16,
        spearman: Some(1.0),
        kendall: Some(1.0),
        p: Some(1.0 / 3.0),
        found_from: None,
        leave_one_out: Some([1.0, 1.0]),
        picked: "L2".to_owned(),
        regret: 0.0,
        regret_at_random: 0.25,
        regret_leave_one_out: 0.1,
    });
    report
}

/// The same states as if they had been read over the answers.
fn over_answers(rounds: &[RoundStates<'_>], bank: &ProbeBank) -> Levels {
    let answer = Span::of(Part::Answer);
    let states: Vec<ReadStates> = rounds
        .iter()
        .map(|round| ReadStates {
            reading: answer,
            instruction: round.instruction.to_owned(),
            round: round.round,
            activations: round.activations.clone(),
        })
        .collect();
    Levels::of_reading(&states, answer, bank).unwrap()
}

/// Levels of a study at the prompt's last token and, all the same, over the answers.
fn both_spans<I: Item>(study: &Study<I>, bank: &ProbeBank) -> SpanLevels {
    let rounds: Vec<RoundStates<'_>> = study
        .rounds
        .iter()
        .map(|round| RoundStates {
            instruction: &round.instruction,
            round: round.round,
            activations: &round.activations,
        })
        .collect();
    SpanLevels::new(vec![Levels::of(study, bank).unwrap(), over_answers(&rounds, bank)]).unwrap()
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
    // The states over the answers are taken to be the same: nothing leaks.
    let answered = over_answers(&rounds, &bank);
    let inference = Inference::default().draws(300).flips(300);
    let changes = inference.run(&levels).unwrap();
    let behaviour = choices(&questions(), conditions);
    let round = conditions.iter().filter(|(name, _)| *name == "L1").map(|&(_, round)| round).max();
    let rule = VerdictRule::default().draws(300);
    let judged = round.map(|round| {
        let gain = behaviour.outcome.gain(("neutral", round), ("L1", round), 300, 0).unwrap();
        rule.judge_masked(&levels, &answered, &bank, "L1", gain).unwrap()
    });
    let transitions = Transitions::default().find(&levels, &inference, Metric::Standardised).unwrap();
    let evidence = judged.iter().filter_map(|verdict| {
        Superficiality::of(verdict, &levels, std::slice::from_ref(&levels), &behaviour, 300, 0).unwrap()
    });
    Report {
        transitions,
        evidence: evidence.collect(),
        contributions: Vec::new(),
        selection: None,
        schema: SCHEMA.to_owned(),
        model: ModelSummary { name: "small.gguf".into(), layers: last + 1 },
        provenance: Provenance::from([
            ("model_sha256".to_owned(), "ab12".to_owned()),
            ("probe.model_sha256".to_owned(), "ab12".to_owned()),
            ("probe.probe_kind".to_owned(), "mean_difference".to_owned()),
        ]),
        settings: Settings {
            draws: 300,
            flips: changes.flips,
            null_draws: 1_000,
            family: Family::Round,
            power: changes.power,
            consecutive: 3,
            level: changes.level,
            margin: 0.2,
            seed: 0,
            items: changes.items,
            groups: changes.groups,
        },
        verdicts: judged.into_iter().collect(),
        probes: bank.rows(),
        behaviour,
        levels: changes.levels,
        changes: changes.rows,
    }
}

fn places() -> Vec<Address> {
    let layered = (0..3).flat_map(|layer| [Site::ResidPost.at(layer), Site::HeadOut.at(layer).head(1)]);
    layered.chain([Address::EMBED]).collect()
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
        ("no site with layers", report(&[Address::FINAL_NORM], &CONDITIONS, 0.9)),
        ("no behaviour", Report { behaviour: Behaviour::default(), ..all.clone() }),
        ("texts", Report { behaviour: completions(&CONDITIONS), ..all.clone() }),
        ("no verdict", Report { verdicts: Vec::new(), ..all.clone() }),
        ("no probes", Report { probes: Vec::new(), ..all.clone() }),
        ("no provenance", Report { provenance: Provenance::new(), ..all.clone() }),
        (
            "nothing",
            Report {
                verdicts: Vec::new(),
                probes: Vec::new(),
                behaviour: Behaviour::default(),
                levels: Vec::new(),
                changes: Vec::new(),
                transitions: Vec::new(),
                evidence: Vec::new(),
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
    let all = sparse().into_iter().chain([("full", full()), ("everything", everything())]);
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
    let value = serde_json::to_value(everything()).unwrap();
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
    let nulls = value.pointer("/changes/0/nulls").unwrap().clone();
    let to_null = format!("/changes/{standardised}/nulls");
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
        ("/behaviour/rows/0/measure", "speed".into()),
        ("/behaviour/rows/0/value/estimate", Value::Null),
        ("/behaviour/outcome/series/0/result/0", "1".into()),
        ("/behaviour/bias/0/chosen", "guessed".into()),
        ("/behaviour/bias/0/chosen", Value::Null),
        ("/behaviour/bias/0/result/ambiguous/score/interval/estimate", (-2).into()),
        ("/behaviour/flows/0/from", Value::Null),
        ("/behaviour/flows/0/result/counts/0", Value::Array(vec![1.into()])),
        ("/behaviour/flows/0/result/mcnemar_p", 2.into()),
        ("/behaviour/edits/0/chosen", "read".into()),
        ("/levels/0/interval/low", "0".into()),
        ("/changes/0/against", "before".into()),
        ("/changes/0/round", 0.into()),
        ("/changes/0/nulls/0/p", 0.into()),
        ("/changes/0/nulls", Value::Null),
        (&to_null, nulls),
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
    gather(&serde_json::to_value(everything()).unwrap(), String::new(), &mut objects);
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
    let mut report = everything();
    HOSTILE.clone_into(&mut report.model.name);
    report.provenance.insert(HOSTILE.into(), HOSTILE.into());
    let hostile = |name: &mut String| *name = name.replace("L1", HOSTILE);
    report.levels.iter_mut().for_each(|row| hostile(&mut row.instruction));
    report.changes.iter_mut().for_each(|row| hostile(&mut row.instruction));
    report.behaviour.rows.iter_mut().for_each(|row| hostile(&mut row.instruction));
    report.behaviour.outcome.series.iter_mut().for_each(|row| hostile(&mut row.instruction));
    report.behaviour.outcome.name.push_str(HOSTILE);
    for row in &mut report.behaviour.bias {
        hostile(&mut row.instruction);
        row.category = Some(HOSTILE.into());
    }
    report.behaviour.flows.iter_mut().for_each(|row| hostile(&mut row.instruction));
    report.behaviour.ranks.iter_mut().for_each(|row| hostile(&mut row.instruction));
    report.behaviour.toxicity.iter_mut().for_each(|row| hostile(&mut row.instruction));
    report.behaviour.edits.iter_mut().for_each(|row| hostile(&mut row.instruction));
    for verdict in &mut report.verdicts {
        hostile(&mut verdict.instruction);
        verdict.neutral = Some(HOSTILE.into());
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
        let beside = report.evidence.iter().flat_map(|evidence| &evidence.evidence);
        let negative: Vec<_> = checks.chain(beside).filter(negative).collect();
        assert!(!negative.is_empty());
        for check in &negative {
            assert!(check.detectable.is_some_and(|from| from > 0.0), "{}", check.name);
        }
        assert_eq!(page.matches("power: ").count(), negative.len());
        // Every hatched cell, on the page and in the table beneath its map.
        let open = |row: &&probity::level::ChangeTest| {
            row.metric == Metric::Standardised
                && row.against == Against::Neutral
                && !(row.band.low > 0.0 || row.band.high < 0.0)
        };
        let open: Vec<_> = report.changes.iter().filter(open).collect();
        assert!(open.iter().all(|row| row.detectable_in_family.is_some()));
        assert_eq!(page.matches("power from ").count() - page.matches("change of cosine: ").count(), open.len());
        assert!(page.contains("What hatched cells leave open"));
        let without_run = report.transitions.iter().filter(|row| row.against == Against::Neutral);
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
        Round {
            instruction: name.to_owned(),
            round,
            activations: states(70 + seed as u64, ITEMS, &places, level).with_groups(groups.clone()).unwrap(),
            answers: answers(&items, wrong),
        }
    };
    let rounds = conditions.enumerate().map(round).collect();
    (
        Study { items, rounds, conversations: Vec::new(), answer_states: Vec::new(), provenance: Provenance::new() },
        bank(&places),
    )
}

#[test]
fn an_analysis_compares_each_instruction_with_its_own_control() {
    let (study, bank) = study(&["L1", "L2/cot/p3", "winogender/L2", "neutral", "L2/neutral/cot/p3"]);
    let levels = both_spans(&study, &bank);
    let analysis = Analysis::default().draws(300);
    let behaviour = analysis.choices(&study, None).unwrap();
    let report = analysis.run(&study, behaviour.clone(), &bank, &levels).unwrap();
    let compared: Vec<(&str, Option<&str>)> =
        report.verdicts.iter().map(|verdict| (verdict.instruction.as_str(), verdict.neutral.as_deref())).collect();
    let expected =
        [("L1", Some("neutral")), ("L2/cot/p3", Some("L2/neutral/cot/p3")), ("winogender/L2", Some("neutral"))];
    assert_eq!(compared, expected, "neutral ones are not judged");
    for verdict in &report.verdicts {
        let neutral = verdict.neutral.as_deref().unwrap();
        let gain = behaviour.outcome.gain((neutral, 2), (&verdict.instruction, 2), 300, 0).unwrap();
        assert_eq!(verdict.checks[1].value, gain, "{}", verdict.instruction);
        assert!(verdict.checks[2].detail.contains(&format!("{neutral:?}")));
        assert_eq!(verdict.kind, VerdictKind::Internal);
        // The change in the levels is against the same control.
        let level = |name: &str| {
            let series = levels.spans()[0].series(name, 2, Site::ResidPost.at(0), Metric::Dot).unwrap();
            series.iter().sum::<f64>() / ITEMS as f64
        };
        let change = report.changes.iter().find(|row| {
            (row.instruction.as_str(), row.round, row.metric, row.against)
                == (verdict.instruction.as_str(), 2, Metric::Dot, Against::Neutral)
        });
        let difference = level(&verdict.instruction) - level(neutral);
        assert!((change.unwrap().band.estimate - difference).abs() < 1e-9);
    }
    let neutral_changes =
        report.changes.iter().filter(|row| row.instruction.contains("neutral") && row.against == Against::Neutral);
    assert_eq!(neutral_changes.count(), 0);
    assert_eq!(report.behaviour.ranks.len(), 3);
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
        assert_eq!(found.map(|null| null.draws), (row.span == Span::PROMPT).then_some(40));
    }
    assert!(more.to_html().contains("and 40 probes that were fitted on permuted labels"));
    assert!(!page.contains("permuted labels"));

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
        let words = if name == "L1" || row > 19 { "a fine day" } else { "some very vile words that hurt them" };
        Continued {
            item: format!("i{row}"),
            text: words.to_owned(),
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
    let rounds = choices.rounds.iter().map(|round| Round {
        instruction: round.instruction.clone(),
        round: round.round,
        activations: round.activations.clone(),
        answers: (0..ITEMS).map(|row| said(&round.instruction, row)).collect(),
    });
    let study: Study<Completion> = Study {
        items: items.collect(),
        rounds: rounds.collect(),
        conversations: Vec::new(),
        answer_states: Vec::new(),
        provenance: Provenance::new(),
    };
    assert_eq!(study.rounds.len(), 5);
    let levels = both_spans(&study, &bank);
    let analysis = Analysis::default().draws(300);
    let behaviour = analysis.completions(&study, &Length).unwrap();
    let report = analysis.run(&study, behaviour, &bank, &levels).unwrap();
    let gain = report.verdicts[0].checks[1].value.unwrap();
    // 20 of 24 texts lose 0.6: seven words of more than three letters against one.
    assert!((gain.estimate - 20.0 / 24.0 * 0.6).abs() < 1e-12, "{gain:?}");
    assert_eq!(report.verdicts[0].kind, VerdictKind::Internal);
    let page = report.to_html();
    elements(&page);
    assert!(page.contains("minus toxicity changes by") && page.contains("Mean toxicity"));
    assert!(!page.contains("Bias scores of BBQ") && !page.contains("Accuracy by option scores"));
}
