//! What stands beside a verdict: several readings as one table, evidence, and the choice of an instruction.

use common::labelled::{at, two_layers};
use common::{condition, design};
use probity::capture::Activations;
use probity::dialogue::{Part, ReadStates, Reading};
use probity::level::{Check, CheckKind, Evidence, InstructionSelection, Levels, Metric, ReadingLevels, VerdictRule};
use probity::probe::{MeanDifferenceProbe, ProbeBank};
use probity::stats::Settings;
use probity::task::{Behaviour, Measured, Outcome};
use probity::text::Labels;

const ITEMS: usize = 40;
/// Folds that a probe leaves out in turn, where nothing else is asked for.
const FOLDS: usize = 10;

fn groups() -> Vec<String> {
    (0..ITEMS).map(|item| format!("g{}", item / 2)).collect()
}

fn of_items(seed: u64, level: impl Fn(usize) -> f64) -> Activations {
    two_layers(seed, ITEMS, level).with_groups(groups()).unwrap()
}

/// Texts at 0 and 2 along the first axis: a class distance of 2.
fn bank() -> ProbeBank {
    let labels = Labels::ungrouped((0..120).map(|row| row % 2 == 1).collect());
    MeanDifferenceProbe::default()
        .draws(200)
        .fit_all(&two_layers(1, 120, |row| 2.0 * (row % 2) as f64), &labels)
        .unwrap()
}

fn score(bank: &ProbeBank, rounds: &[(&'static str, usize, Activations)]) -> Levels {
    let states: Vec<&Activations> = rounds.iter().map(|(.., states)| states).collect();
    Levels::score(&design(&names(rounds)), &states, bank).unwrap()
}

fn names<T>(rounds: &[(&'static str, usize, T)]) -> Vec<(&'static str, usize)> {
    rounds.iter().map(|&(name, round, _)| (name, round)).collect()
}

/// Levels of another reading, of the named conditions.
fn read(bank: &ProbeBank, reading: Reading, rounds: &[(&'static str, usize, Activations)]) -> Levels {
    let states: Vec<ReadStates> = rounds
        .iter()
        .map(|(name, round, activations)| ReadStates::new(condition(name, *round), reading, activations.clone()))
        .collect();
    Levels::from_reading(&design(&names(rounds)), &states, reading, bank).unwrap()
}

fn outcome(series: &[(&str, usize, Vec<f64>)]) -> Outcome {
    let mut outcome = Outcome::new("accuracy", (0..ITEMS).map(|item| format!("i{item}")).collect(), groups());
    let measured = series.iter().map(|(name, round, values)| Measured::new(&condition(name, *round), values.clone()));
    outcome.series.extend(measured);
    outcome
}

/// Behaviour of which nothing but this is known.
fn only(outcome: Outcome) -> Behaviour {
    let mut behaviour = Behaviour::default();
    behaviour.outcome = outcome;
    behaviour
}

fn few() -> Settings {
    Settings::default().draws(500)
}

/// The size of each item's own gain, 0 to 1.
fn gain(item: usize) -> f64 {
    (item % 5) as f64 / 4.0
}

#[test]
fn readings_stand_side_by_side() {
    let bank = bank();
    let all = score(&bank, &[("none", 0, of_items(2, |_| 1.0)), ("L1", 1, of_items(3, |_| 0.5))]);
    let answer = Reading::of(Part::Answer);
    let kept: Vec<String> = (0..ITEMS).filter(|item| item % 4 != 1).map(|item| format!("i{item}")).collect();
    let some = of_items(4, |_| 0.2).of_items(&kept.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
    let answers = read(&bank, answer, &[("L1", 1, some)]);
    let readings = ReadingLevels::new(vec![all.clone(), answers.clone()]).unwrap();
    assert_eq!(readings.get(answer).unwrap().items().len(), 30);
    assert!(readings.get(answer.masked()).is_none());
    let values = readings.values();
    assert_eq!(values.dim(), (ITEMS, 2, 2, 3, 2));
    for (item, id) in all.items().iter().enumerate() {
        let of = |levels: &Levels, name, round| levels.get(id, &condition(name, round), at(1), Metric::Dot);
        assert_eq!(Some(values[[item, 1, 1, 1, 0]]), of(&all, "L1", 1));
        match of(&answers, "L1", 1) {
            Some(value) => assert_eq!(values[[item, 1, 1, 1, 1]], value),
            None => assert!(item % 4 == 1 && values[[item, 1, 1, 1, 1]].is_nan()),
        }
        assert!(values[[item, 0, 1, 1, 1]].is_nan(), "round 0 was not read so");
    }

    let folder = tempfile::tempdir().unwrap();
    let (csv, json) = (folder.path().join("levels.csv"), folder.path().join("levels.json"));
    readings.write_csv(&csv).unwrap();
    readings.write_json(&json).unwrap();
    let rows = csv::Reader::from_path(csv).unwrap().into_records().map(Result::unwrap).collect::<Vec<_>>();
    assert_eq!(rows.len(), ITEMS * 2 * 2 * 3 + 30 * 2 * 3);
    assert_eq!(rows.iter().filter(|row| &row[4] == "answer").count(), 30 * 2 * 3);
    let json: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap();
    assert_eq!(json["readings"], serde_json::json!(["prompt", "answer"]));
    let flat = json["values"].as_array().unwrap();
    assert!(flat.iter().zip(&values).all(|(json, value)| json.as_f64() == Some(*value).filter(|v| !v.is_nan())));

    // By fold there are means, and the mean over the folds is that of the items.
    let csv = folder.path().join("levels_by_fold.csv");
    readings.write_csv_by_fold(&csv).unwrap();
    let rows = csv::Reader::from_path(csv).unwrap().into_records().map(Result::unwrap).collect::<Vec<_>>();
    assert_eq!(rows.len(), (2 + 1) * 2 * FOLDS);
    for levels in readings.readings() {
        for condition in levels.design().conditions() {
            let is_here = |row: &&csv::StringRecord| {
                row[0] == *condition.round.to_string() && row[2] == *levels.reading().to_string() && &row[4] == "1"
            };
            let of_folds: Vec<f64> = rows.iter().filter(is_here).map(|row| row[6].parse().unwrap()).collect();
            let of_items = levels.series(condition, at(1), Metric::ClassDistance).unwrap();
            let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
            assert!(of_folds.len() == FOLDS && (mean(&of_folds) - mean(of_items)).abs() < 1e-9);
            assert!(of_folds.iter().any(|level| (level - of_folds[0]).abs() > 1e-6), "no rule differs");
        }
    }

    for (bad, says) in [
        (vec![], "at least one"),
        (vec![all.clone(), all.clone()], "occurs twice"),
        (vec![answers.clone(), all], "lacks"),
    ] {
        let error = ReadingLevels::new(bad).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}

/// A study in which items gain as much in their states as in their answers.
fn corrected() -> (ReadingLevels, Behaviour) {
    let bank = bank();
    let level = |seed: u64, share: f64| of_items(seed, move |item| 1.0 - share * gain(item));
    let levels = score(
        &bank,
        &[
            ("none", 0, level(2, 0.0)),
            ("neutral", 1, level(3, 0.0)),
            ("L1", 1, level(4, 1.0)),
            ("L1/negated", 1, level(5, 0.5)),
        ],
    );
    let answers = read(
        &bank,
        Reading::of(Part::Answer),
        &[("neutral", 1, level(6, 0.0)), ("L1", 1, level(7, 0.75)), ("L1/negated", 1, level(8, 0.0))],
    );
    let values = |share: f64| (0..ITEMS).map(|item| 0.2 + share * gain(item)).collect::<Vec<f64>>();
    let outcome = outcome(&[
        ("none", 0, values(0.0)),
        ("neutral", 1, values(0.0)),
        ("L1", 1, values(0.8)),
        ("L1/negated", 1, values(-0.2)),
    ]);
    (ReadingLevels::new(vec![levels, answers]).unwrap(), only(outcome))
}

#[test]
fn evidence_is_what_was_planted() {
    let (levels, behaviour) = corrected();
    let verdict = VerdictRule::new(few()).judge(&condition("L1", 1), &levels, &behaviour.outcome).unwrap();
    let gather = |behaviour: &Behaviour| Evidence::gather(&verdict, &levels, behaviour, few());
    let answers = levels.get(Reading::of(Part::Answer)).unwrap();
    let answers_bank = bank();
    let found = gather(&behaviour).unwrap().unwrap();
    assert_eq!((&found.condition, found.control.as_str()), (&condition("L1", 1), "neutral"));
    assert_eq!(found.items.len(), ITEMS);
    for (row, item) in found.items.iter().enumerate() {
        assert_eq!(item.item, format!("i{row}"));
        assert!((item.behaviour - 0.8 * self::gain(row)).abs() < 1e-12);
        let of = |name| {
            let series = |layer| answers.series(&condition(name, 1), at(layer), Metric::ClassDistance).unwrap()[row];
            [series(0), series(1)]
        };
        // Layers count by how far they tell the classes apart.
        let apart =
            |layer| answers_bank.get(at(layer)).unwrap().cross_fit.as_ref().map(|fits| fits.distance / fits.spread);
        let weights = [0, 1].map(|layer| apart(layer).unwrap());
        let sum = (0..2).map(|layer| weights[layer] * (of("L1")[layer] - of("neutral")[layer])).sum::<f64>();
        assert!((item.internal - sum / (weights[0] + weights[1])).abs() < 1e-12);
    }
    let check = |kind| found.checks.iter().find(|check| check.kind == kind).unwrap();
    let leak = |about: &str| {
        let is_this = |check: &&Check| check.kind == CheckKind::Leak && check.about.as_deref() == Some(about);
        found.checks.iter().find(is_this).unwrap()
    };
    assert!(found.agreement().unwrap().low > 0.3 && check(CheckKind::ItemsAgree).passed == Some(true));
    // Three quarters are there over the answer; the opposite instruction does half as much, so a quarter is in the meaning.
    let share = |about: &str| leak(about).value.unwrap().estimate;
    assert!((share("answer") - 0.25).abs() < 0.2, "{:?}", leak("answer"));
    assert_eq!(leak("answer").passed, Some(true));
    assert!((share("L1/negated") - 0.75).abs() < 0.2, "{:?}", leak("L1/negated"));
    assert_eq!(leak("L1/negated").passed, Some(false));
    assert_eq!((check(CheckKind::Survives).passed, check(CheckKind::Revises).passed), (None, None));
    assert_eq!(found.leaks.len(), 2);

    // Behaviour that goes its own way does not agree; that of other items is refused; without any, nothing is said.
    let mut other = behaviour.clone();
    let last = other.outcome.series.iter_mut().find(|series| series.condition.instruction == "L1").unwrap();
    last.result.reverse();
    last.result.rotate_left(7);
    let found = gather(&other).unwrap().unwrap();
    assert_ne!(found.checks[0].passed, Some(true), "{:?}", found.checks[0]);
    // One item that differs is no correlation.
    let last = other.outcome.series.iter_mut().find(|series| series.condition.instruction == "L1").unwrap();
    last.result.fill(0.2);
    last.result[3] = 1.0;
    let found = gather(&other).unwrap().unwrap();
    assert!(found.checks[0].passed.is_none() && found.checks[0].detail.contains("1 of 40 items"));
    other.outcome.items[0] = "of another study".to_owned();
    assert!(gather(&other).is_err());
    let silent = gather(&Behaviour::default()).unwrap().unwrap();
    assert!(silent.items.is_empty() && silent.checks[0].passed.is_none() && silent.agreement().is_none());
}

#[test]
fn a_gain_that_another_round_undoes_does_not_survive() {
    let bank = bank();
    let level = |seed: u64, by: f64| of_items(seed, move |_| 1.0 - by);
    let conditions: [(&str, usize, f64, f64); 5] = [
        ("none", 0, 0.0, 0.0),
        ("neutral", 1, 0.0, 0.0),
        ("L1", 1, 1.0, 0.5),
        ("neutral, then negated", 2, 0.0, 0.0),
        ("L1, then negated", 2, 0.0, 0.0),
    ];
    let states: Vec<_> = conditions.iter().zip(10..).map(|(c, seed)| (c.0, c.1, level(seed, c.2))).collect();
    let levels = ReadingLevels::new(vec![read(&bank, Reading::of(Part::Answer), &states)]).unwrap();
    let noisy = |by: f64| (0..ITEMS).map(|item| 0.3 + by + 0.1 * ((item * 7) % 5) as f64).collect::<Vec<f64>>();
    let run = |left: f64| {
        let series: Vec<_> =
            conditions.iter().map(|c| (c.0, c.1, noisy(if c.0 == "L1, then negated" { left } else { c.3 }))).collect();
        let behaviour = only(outcome(&series));
        let verdict = VerdictRule::new(few()).judge(&condition("L1", 1), &levels, &behaviour.outcome).unwrap();
        let found = Evidence::gather(&verdict, &levels, &behaviour, few()).unwrap().unwrap();
        let survives = |check: &Check| check.kind == CheckKind::Survives && check.about.as_deref() == Some("negated");
        found.checks.into_iter().find(survives).unwrap()
    };
    let (undone, kept) = (run(0.0), run(0.4));
    assert_eq!((undone.passed, kept.passed), (Some(false), Some(true)), "{undone:?} {kept:?}");
    assert!((kept.value.unwrap().estimate - 0.4).abs() < 1e-12 && undone.detail.contains("\"neutral, then negated\""));
}

#[test]
fn what_a_mere_mention_does_as_well_is_no_effect_of_following() {
    let bank = bank();
    let level = |seed: u64, by: f64| of_items(seed, move |_| 1.0 - by);
    let run = |mentioned: f64, read_mention: bool| {
        let own = [("none", 0, 0.0), ("neutral", 1, 0.0), ("mention", 1, mentioned), ("L1", 1, 0.8)];
        let states =
            |first: u64| own.iter().zip(first..).map(|(c, seed)| (c.0, c.1, level(seed, c.2))).collect::<Vec<_>>();
        let whole = design(&names(&states(10)));
        let from = |reading: Reading, rounds: Vec<(&'static str, usize, Activations)>| {
            let states: Vec<ReadStates> = rounds
                .into_iter()
                .map(|(name, round, states)| ReadStates::new(condition(name, round), reading, states))
                .collect();
            Levels::from_reading(&whole, &states, reading, &bank).unwrap()
        };
        let mut crossed = vec![("L1", 1, level(31, 0.8))];
        if read_mention {
            crossed.push(("mention", 1, level(32, mentioned)));
        }
        let levels = ReadingLevels::new(vec![
            score(&bank, &states(10)),
            from(Reading::of(Part::Answer), states(20)),
            from(Reading::CONTROL_ANSWER, crossed),
            from(Reading::AFTER_CONTROL, vec![("L1", 1, level(33, 0.0))]),
        ])
        .unwrap();
        let values = |right: f64| (0..ITEMS).map(|item| right + 0.1 * (item % 3) as f64).collect::<Vec<f64>>();
        let series: Vec<_> = own.iter().map(|c| (c.0, c.1, values(if c.0 == "L1" { 0.6 } else { 0.1 }))).collect();
        let behaviour = only(outcome(&series));
        let verdict = VerdictRule::new(few()).judge(&condition("L1", 1), &levels, &behaviour.outcome).unwrap();
        // D itself holds the control against it, whatever a mention does.
        assert_eq!(verdict.check(CheckKind::InternalReduction).unwrap().passed, Some(true));
        let found = Evidence::gather(&verdict, &levels, &behaviour, few()).unwrap().unwrap();
        let over = |check: &Check| check.kind == CheckKind::OverMention && check.about.as_deref() == Some("mention");
        found.checks.into_iter().find(over).unwrap()
    };
    let (alike, apart) = (run(0.8, true), run(0.0, true));
    assert_eq!((alike.passed, apart.passed), (Some(false), Some(true)), "{alike:?} {apart:?}");
    // 0.8 of 2 along the axis, less what the mention does.
    assert!(alike.value.unwrap().estimate.abs() < 0.1, "{alike:?}");
    assert!((apart.value.unwrap().estimate + 0.4).abs() < 0.1, "{apart:?}");
    let unread = run(0.0, false);
    assert!(unread.passed.is_none() && unread.detail.contains("not read"), "{unread:?}");
}

#[test]
fn the_instruction_of_the_lowest_level_is_picked() {
    let bank = bank();
    let names = ["L0", "L1", "L2", "L3"];
    let lowered = [0.1, 0.9, 0.5, 0.7];
    let mut rounds = vec![("none", 0, of_items(30, |_| 1.0)), ("neutral", 1, of_items(31, |_| 0.2))];
    rounds.extend(names.iter().zip(lowered).zip(32..).map(|((&n, by), s)| (n, 1, of_items(s, move |_| 1.0 - by))));
    let levels = score(&bank, &rounds);
    let run = |gains: [f64; 4], items: usize| {
        let mut series = vec![("none", 0, vec![0.1; ITEMS]), ("neutral", 1, vec![0.9; ITEMS])];
        series.extend(names.iter().zip(gains).map(|(&name, gain)| (name, 1, vec![0.1 + gain; ITEMS])));
        InstructionSelection::default().items(items).settings(few()).run(&levels, &outcome(&series), 1)
    };
    let found = run([0.0, 0.4, 0.2, 0.3], 10).unwrap();
    let order: Vec<&str> = found.candidates.iter().map(|candidate| candidate.instruction.as_str()).collect();
    assert_eq!(order, ["L1", "L3", "L2", "L0"], "the neutral one is no candidate");
    assert_eq!((found.picked.as_str(), found.items_to_choose, found.items_to_gain), ("L1", 10, 30));
    assert_eq!((found.spearman, found.kendall, found.leave_one_out), (Some(1.0), Some(1.0), Some([1.0, 1.0])));
    assert!(found.regret.abs() < 1e-12 && (found.regret_at_random - 0.175).abs() < 1e-12);
    let regret = found.regret_interval;
    assert!([regret.estimate, regret.low, regret.high].iter().all(|bound| bound.abs() < 1e-9), "{regret:?}");
    // 2 of the 24 orders are as far.
    assert!((found.p.unwrap() - 2.0 / 24.0).abs() < 0.04, "{:?}", found.p);

    // So that of four candidates no correlation is found at 5 %; of six, a perfect one and a few below it.
    assert_eq!(found.found_from, None);

    let wrong = run([0.4, 0.0, 0.3, 0.2], 10).unwrap();
    assert_eq!((wrong.spearman, wrong.picked.as_str()), (Some(-1.0), "L1"));
    assert!((wrong.regret - 0.4).abs() < 1e-12);
    // All items gain alike, whatever is resampled.
    assert!((wrong.regret_interval.low - 0.4).abs() < 1e-9 && (wrong.regret_interval.high - 0.4).abs() < 1e-9);
    let flat = run([0.2; 4], 10).unwrap();
    assert_eq!((flat.spearman, flat.kendall, flat.p), (None, None, None));

    let six: Vec<_> = (0..6)
        .map(|n| (["L0", "L1", "L2", "L3", "L4", "L5"][n], 1, of_items(40 + n as u64, move |_| 1.0 - 0.2 * n as f64)))
        .collect();
    let six: Vec<_> = rounds[..2].iter().cloned().chain(six).collect();
    let series: Vec<_> =
        six.iter().enumerate().map(|(n, (name, round, _))| (*name, *round, vec![0.1 * n as f64; ITEMS])).collect();
    let found = InstructionSelection::default().items(10).run(&score(&bank, &six), &outcome(&series), 1);
    // The table of Spearman's test: 0.886 for 6 pairs at 5 %, two-sided.
    assert!((found.unwrap().found_from.unwrap() - 0.886).abs() < 0.03);

    let says = |error: probity::Error, what: &str| assert!(error.to_string().contains(what), "{error}");
    says(run([0.0; 4], ITEMS).unwrap_err(), "items");
    says(run([0.0; 4], 0).unwrap_err(), "items");
    let few = score(&bank, &rounds[..4]);
    let series: Vec<_> = rounds[..4].iter().map(|(name, round, _)| (*name, *round, vec![0.5; ITEMS])).collect();
    let error = InstructionSelection::default().items(10).run(&few, &outcome(&series), 1).unwrap_err();
    says(error, "at least 3 instructions");
    let error = InstructionSelection::default().items(10).run(&few, &outcome(&series[1..]), 1).unwrap_err();
    says(error, "round 0");
}
