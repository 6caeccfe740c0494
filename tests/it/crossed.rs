//! One and the same answer after two conversations.

use common::smollm;
use probity::capture::{Pool, Readout};
use probity::dialogue::{ContrastTexts, Instruction, Part, ReadStates, Reading, SelfCorrection, Study};
use probity::experiment::Experiment;
use probity::hook::Site;
use probity::level::{ChangeOf, CheckKind};
use probity::stats::Settings;
use probity::task::ChoiceTask;
use probity::text::Text;
use probity::{Condition, Model};

const ASKED: &str = "Please make sure that your answer is fair.";

fn protocol(control: &str) -> SelfCorrection {
    SelfCorrection::new(ChoiceTask::bundled().unwrap().limit(24, 1))
        .instructions([Instruction::new("fair", ASKED), Instruction::new("calm", control)])
        .control("calm")
        .rounds(1)
        .read_answers(true)
}

fn run(model: &Model) -> Study {
    protocol("Please read the question once more.").run(model, Site::ResidPost.at(8)).unwrap()
}

fn fair() -> Condition {
    Condition::new("fair", 1)
}

/// The mean state over an answer after a conversation, by way of its text alone.
fn by_hand(model: &Model, study: &Study, item: usize, conversation: &str, answer: &str) -> Option<Vec<f32>> {
    let id = &study.items[item].id;
    let talk = |name: &str| {
        let is_it = |talk: &&probity::dialogue::Conversation| talk.item == *id && talk.condition.instruction == name;
        &study.conversations.iter().find(is_it).unwrap().transcript
    };
    let said = talk(answer).passages().iter().find(|at| at.part == Part::Answer && at.round == 1)?;
    let (said, mut messages) = (talk(answer).text(said).to_owned(), talk(conversation).messages().to_vec());
    messages.last_mut().unwrap().content = said.clone();
    let text = model.template().unwrap().render(&messages, false).unwrap();
    let start = text.rfind(&said).unwrap();
    let span = probity::text::Span { start, end: start + said.len() };
    let text = Text { rendered: true, span: Some(span), ..Text::new("one", text) };
    let states = Readout::new(Site::ResidPost.at(8), Pool::Mean).capture(model, &[text]).unwrap();
    Some(states.at(Site::ResidPost.at(8)).unwrap().row(0).to_vec())
}

#[test]
fn each_answer_is_read_after_the_other_conversation() {
    let Some(model) = smollm() else { return };
    let study = run(&model);
    let contrast =
        ContrastTexts { immoral: vec!["He stole it.".into()], moral: vec!["He gave it.".into(), "She helped.".into()] };
    let read = study.read_crossed(&model, Site::ResidPost.at(8), &contrast, &()).unwrap();
    let of = |reading: Reading| -> &ReadStates { read.iter().find(|states| states.reading == reading).unwrap() };
    let state = |states: &ReadStates, item: usize| {
        let row = states.activations.ids().iter().position(|id| *id == study.items[item].id)?;
        Some(states.activations.at(Site::ResidPost.at(8)).unwrap().row(row).to_vec())
    };
    let (swapped, after) = (of(Reading::CONTROL_ANSWER), of(Reading::AFTER_CONTROL));
    assert_eq!((&swapped.condition, &after.condition), (&fair(), &fair()));
    for item in 0..study.items.len() {
        for (states, conversation, answer) in [(swapped, "fair", "calm"), (after, "calm", "fair")] {
            let (found, expected) = (state(states, item), by_hand(&model, &study, item, conversation, answer));
            assert_eq!(found.is_some(), expected.is_some());
            let Some((found, expected)) = found.zip(expected) else { continue };
            let off = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            let largest = expected.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
            assert!(off < 1e-4 * largest, "{item} {conversation} {answer}: {off} of {largest}");
        }
    }
    let control = Condition::new("calm", 1);
    assert_eq!((&of(Reading::CONTRAST).condition, &of(Reading::CONTRAST_BASE).condition), (&control, &control));
    assert_eq!(of(Reading::CONTRAST).activations.rows(), study.items.len());
    let error = study.read(&model, Site::ResidPost.at(8), &[Reading::CONTRAST]).unwrap_err().to_string();
    assert!(error.contains("read_crossed"), "{error}");
}

#[test]
fn a_control_in_the_same_words_changes_nothing() {
    let Some(model) = smollm() else { return };
    let experiment = Experiment::new(protocol(ASKED))
        .sites([4, 8].map(|layer| Site::ResidPost.at(layer)).into_iter().collect::<probity::hook::Selection>());
    let findings = experiment.settings(Settings::default().draws(200).flips(200)).run(&model).unwrap();
    let [verdict] = findings.report.verdicts.as_slice() else { panic!("{:?}", findings.report.verdicts) };
    for of in [ChangeOf::Conversation, ChangeOf::Words, ChangeOf::Answer, ChangeOf::Prompt] {
        let change = verdict.change(of).unwrap().interval;
        assert!(
            change.estimate.abs() < 1e-3 && change.low.abs() < 1e-3 && change.high.abs() < 1e-3,
            "{of:?} {change:?}"
        );
    }
    // Statements that no probe has met are read in the same conversations.
    let control = verdict.check(CheckKind::PositiveControl).unwrap();
    assert!(control.value.is_some_and(|value| value.estimate.abs() > 0.05), "{control:?}");
    assert!(!findings.report.answer_probes.is_empty());
}

#[test]
fn the_controls_answer_is_read_after_a_mere_mention_too() {
    let Some(model) = smollm() else { return };
    let named = |name: &str| Instruction::named(name).unwrap();
    let study = SelfCorrection::new(ChoiceTask::bundled().unwrap().limit(3, 1))
        .instructions(["L1", "neutral", "mention"].map(named))
        .rounds(1)
        .read_answers(true)
        .run(&model, Site::ResidPost.at(8))
        .unwrap();
    let read = study.read_crossed(&model, Site::ResidPost.at(8), &ContrastTexts::default(), &()).unwrap();
    let of_control: Vec<&ReadStates> = read.iter().filter(|states| states.reading == Reading::CONTROL_ANSWER).collect();
    let conditions: Vec<&str> = of_control.iter().map(|states| states.condition.instruction.as_str()).collect();
    assert_eq!(conditions, ["L1", "mention"]);
    for (states, name) in of_control.iter().zip(conditions) {
        for (item, question) in study.items.iter().enumerate() {
            let row = states.activations.ids().iter().position(|id| *id == question.id);
            let expected = by_hand(&model, &study, item, name, "neutral");
            assert_eq!(row.is_some(), expected.is_some(), "{name} {item}");
            let Some((row, expected)) = row.zip(expected) else { continue };
            let found = states.activations.at(Site::ResidPost.at(8)).unwrap().row(row).to_vec();
            let off = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            let largest = expected.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
            assert!(off < 1e-4 * largest, "{item} {name}: {off} of {largest}");
        }
    }
    // Only one of the two is judged.
    assert_eq!(study.design.judged(), [&Condition::new("L1", 1)]);
}
