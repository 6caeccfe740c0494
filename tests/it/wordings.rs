//! An instruction in several wordings: each item in one of them, one verdict over all, and what they differ by.

use common::labelled::two_layers;
use common::made::Folder;
use common::scripted::scripted;
use common::{condition, design};
use probity::capture::Activations;
use probity::dialogue::{Instruction, Part, ReadStates, Reading, SelfCorrection};
use probity::hook::Site;
use probity::level::{CheckKind, Levels, ReadingLevels, VerdictRule};
use probity::probe::{MeanDifferenceProbe, ProbeBank};
use probity::stats::Settings;
use probity::task::{ChoiceItem, ChoiceTask, Outcome};
use probity::text::Labels;
use probity::{Design, Error};

// --- the run --------------------------------------------------------------------------------------------------

fn questions() -> ChoiceTask {
    let question = |id: &str| -> ChoiceItem {
        let item = serde_json::json!({
            "id": id, "group": if id < "r" { "one" } else { "two" }, "context": format!("{id} baker and clerk"),
            "question": "who ?", "options": ["baker", "clerk", "open"], "label": 2, "biased": 0, "unknown": 2,
        });
        serde_json::from_value(item).unwrap()
    };
    ChoiceTask::new("scripted", ["first", "second", "third", "fourth"].map(question).to_vec()).unwrap()
}

fn worded(name: &str) -> Instruction {
    let one = |number: usize| Instruction::new(format!("{name}/{number}"), format!("{name} words {number}"));
    Instruction { name: name.into(), ..one(0) }.or_worded([one(1)])
}

fn protocol() -> SelfCorrection {
    SelfCorrection::new(questions()).instructions([worded("fair"), worded("neutral")]).rounds(2).batch(3)
}

#[test]
fn every_item_is_asked_in_its_wording_and_the_files_say_which() {
    let said: &[&str] = &["baker <end>", "open <end>"];
    let model = scripted(&[("first", said), ("second", said), ("third", said), ("fourth", said)], 200);
    let folder = Folder::new();
    let kept = protocol().wordings_seed(3).checkpoints(folder.path().join("kept"));
    let study = kept.run(&model, Site::ResidPost.all_layers()).unwrap();
    let number = |item: &str| study.design.wording(item).unwrap();
    let used: Vec<usize> = study.items.iter().map(|item| number(&item.id)).collect();
    assert_eq!(used.iter().filter(|number| **number == 1).count(), 2, "{used:?}");
    assert_eq!(study.conversations.len(), 12);
    for talk in &study.conversations {
        let name = talk.condition.instruction.as_str();
        if name == "none" {
            assert_eq!(talk.wording, None);
            continue;
        }
        let own = number(&talk.item);
        let expected = if own == 0 { name.to_owned() } else { format!("{name}/{own}") };
        assert_eq!(talk.wording.as_deref(), Some(expected.as_str()));
        let turns: Vec<&str> = talk.transcript.messages().iter().map(|turn| turn.content.as_str()).collect();
        let words = format!("{name} words {own}");
        assert!(turns[0].contains(&words) && turns[2] == words, "{turns:?}");
    }
    let path = folder.path().join("answers.jsonl");
    study.write_answers(&path).unwrap();
    let lines: Vec<serde_json::Value> =
        std::fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 20);
    for line in &lines {
        let own = number(line["item"].as_str().unwrap());
        let name = line["instruction"].as_str().unwrap();
        let expected = match name {
            "none" => serde_json::Value::Null,
            name if own == 0 => name.into(),
            name => format!("{name}/{own}").into(),
        };
        assert_eq!(line["wording"], expected, "{line}");
    }
    let recorded = &study.protocol.wordings[0];
    assert_eq!((recorded.instruction.as_str(), recorded.texts.len()), ("fair", 2));
    assert_eq!(recorded.texts, ["fair words 0", "fair words 1"]);
    assert_eq!(study.provenance["wordings"], "2");

    // Taken up from what is kept, it is the same; dealt out otherwise, it is another run.
    let again = kept.run(&model, Site::ResidPost.all_layers()).unwrap();
    assert_eq!((&again.conversations, &again.design), (&study.conversations, &study.design));
    let other = kept.clone().wordings_seed(4).run(&model, Site::ResidPost.all_layers()).unwrap_err();
    assert!(matches!(other, Error::Mismatch { .. }) && other.to_string().contains("another run"), "{other}");
}

#[test]
fn wordings_that_cannot_be_compared_are_refused() {
    let refused = |protocol: SelfCorrection, says: &str| {
        let error = protocol.check().unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    };
    let three = worded("fair").or_worded([Instruction::new("fair/2", "more")]);
    refused(SelfCorrection::new(questions()).instructions([three.clone(), worded("neutral")]), "as many wordings");
    refused(SelfCorrection::new(questions()).instructions([three]), "at most half as many as there are items, 4");
    let twice = worded("fair").or_worded([Instruction::new("fair/1", "more")]);
    refused(SelfCorrection::new(questions()).instructions([twice]), "\"fair/1\"");
    let thinks = Instruction::new("fair", "so").or_worded([Instruction::named("L1/cot").unwrap()]);
    refused(SelfCorrection::new(questions()).instructions([thinks]), "asks for thoughts or feedback otherwise");
    assert!(Instruction::named_in("L1", 11).unwrap_err().to_string().contains("no such paraphrase"));
    assert!(Instruction::named_in("L1", 0).is_err());
}

// --- the verdict ----------------------------------------------------------------------------------------------

const ITEMS: usize = 120;
const WORDINGS: usize = 10;
/// What each wording does to the level, in class distances; -0.52 in the mean.
const EFFECTS: [f64; WORDINGS] = [-2.2, -1.8, -1.2, -0.6, -0.6, -0.4, 0.0, 0.2, 0.6, 0.8];

fn wording(item: usize) -> usize {
    (item + item / 10) % WORDINGS
}

fn groups() -> Vec<String> {
    (0..ITEMS).map(|item| format!("g{}", item / 2)).collect()
}

/// Texts at 0 and 2 along the first axis: a class distance of 2.
fn bank() -> ProbeBank {
    let labels = Labels::ungrouped((0..120).map(|row| row % 2 == 1).collect());
    MeanDifferenceProbe::default()
        .draws(200)
        .fit_all(&two_layers(1, 120, |row| 2.0 * (row % 2) as f64), &labels)
        .unwrap()
}

fn levels(bank: &ProbeBank, design: &Design) -> ReadingLevels {
    let level = |seed: u64, moved: bool| {
        let by = move |item: usize| if moved { EFFECTS[wording(item)] } else { 0.0 };
        two_layers(seed, ITEMS, move |item| 2.0 * (0.5 + by(item))).with_groups(groups()).unwrap()
    };
    let (plain, neutral, fair) = (condition("none", 0), condition("neutral", 1), condition("L1", 1));
    let rounds = [level(2, false), level(3, false), level(4, true)];
    let at_prompt = Levels::score(design, &rounds.iter().collect::<Vec<_>>(), bank).unwrap();
    let read = |reading: Reading, of: Vec<(&probity::Condition, Activations)>| {
        let states: Vec<ReadStates> =
            of.into_iter().map(|(condition, states)| ReadStates::new(condition.clone(), reading, states)).collect();
        Levels::from_reading(design, &states, reading, bank).unwrap()
    };
    let own = vec![(&plain, level(5, false)), (&neutral, level(6, false)), (&fair, level(7, true))];
    ReadingLevels::new(vec![
        at_prompt,
        read(Reading::of(Part::Answer), own),
        read(Reading::CONTROL_ANSWER, vec![(&fair, level(8, true))]),
        read(Reading::AFTER_CONTROL, vec![(&fair, level(9, false))]),
    ])
    .unwrap()
}

/// Three of four answers are right after an even wording, one of four after an odd one; one of four without instruction.
fn outcome() -> Outcome {
    let right = |of_four: usize, item: usize| f64::from(u8::from(item % 4 < of_four));
    let asked = |item: usize| right(if wording(item).is_multiple_of(2) { 3 } else { 1 }, item / 10);
    let names = (0..ITEMS).map(|item| format!("i{item}")).collect();
    let before = |item: usize| right(1, item / 10);
    Outcome::new("accuracy", names, groups())
        .with_series(condition("none", 0), (0..ITEMS).map(before).collect())
        .and_then(|outcome| outcome.with_series(condition("neutral", 1), (0..ITEMS).map(before).collect()))
        .and_then(|outcome| outcome.with_series(condition("L1", 1), (0..ITEMS).map(asked).collect()))
        .unwrap()
}

#[test]
fn a_verdict_over_wordings_holds_what_they_differ_by() {
    let bank = bank();
    let one_wording = design(&[("none", 0), ("neutral", 1), ("L1", 1)]);
    let worded = one_wording.clone().with_wordings((0..ITEMS).map(|item| (format!("i{item}"), wording(item))));
    let judge = |design: &Design| {
        let rule = VerdictRule::new(Settings::default().draws(1_000));
        rule.judge(&condition("L1", 1), &levels(&bank, design), &outcome()).unwrap()
    };
    let (ignoring, found) = (judge(&one_wording), judge(&worded));
    assert!(ignoring.wordings.is_none());
    let effect = found.wordings.as_ref().unwrap();

    // By wording: D is what was planted, and its variance is theirs.
    assert_eq!(effect.rows.len(), WORDINGS);
    for (row, planted) in effect.rows.iter().zip(EFFECTS) {
        assert_eq!(row.items, ITEMS / WORDINGS);
        assert!((row.change.estimate - planted).abs() < 0.15, "{row:?}, planted {planted}");
        assert!(row.change.low < row.change.estimate && row.change.estimate < row.change.high);
        let expected = if row.wording.is_multiple_of(2) { 0.5 } else { 0.0 };
        assert!((row.gain.unwrap() - expected).abs() < 0.26, "{row:?}");
    }
    let mean = EFFECTS.iter().sum::<f64>() / WORDINGS as f64;
    let planted = EFFECTS.iter().map(|effect| (effect - mean).powi(2)).sum::<f64>() / (WORDINGS as f64 - 1.0);
    assert!((effect.change.between / planted - 1.0).abs() < 0.1, "{:?}, planted {planted}", effect.change);
    assert!(effect.change.share > 0.9 && effect.gain.unwrap().between > 0.0);

    // The same estimate, with an interval of ten wordings: 2.26 times their standard error either way.
    let change = |verdict: &probity::level::Verdict| verdict.decisive().unwrap().interval;
    let (alone, both) = (change(&ignoring), change(&found));
    assert_eq!(alone.estimate, both.estimate);
    let expected = 2.26 * (planted / WORDINGS as f64).sqrt();
    let half = 0.5 * (both.high - both.low);
    assert!((half / expected - 1.0).abs() < 0.2, "{half}, expected {expected}");
    assert!(half > 2.0 * 0.5 * (alone.high - alone.low), "{alone:?} {both:?}");
    // What holds for these wordings is not shown of the instruction.
    let passed = |verdict: &probity::level::Verdict, kind| verdict.check(kind).unwrap().passed;
    assert_eq!(passed(&ignoring, CheckKind::InternalReduction), Some(true));
    assert_eq!(passed(&found, CheckKind::InternalReduction), Some(false));
    let gain = |verdict: &probity::level::Verdict| verdict.value(CheckKind::BehaviouralGain).unwrap();
    assert_eq!(gain(&ignoring).estimate, gain(&found).estimate);
    assert!(gain(&found).low < gain(&ignoring).low && gain(&found).high > gain(&ignoring).high);

    // As data and back.
    let json = serde_json::to_value(&found).unwrap();
    assert_eq!(json["wordings"]["rows"][3]["wording"], 3);
    assert_eq!(serde_json::from_value::<probity::level::Verdict>(json).unwrap(), found);
}
