//! Protocols beyond the plain one: thoughts and feedback by instruction, texts to continue, interrupted runs.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::Arc;

use common::made::Folder;
use common::scripted::scripted;
use common::{condition, smollm};
use probity::dialogue::{
    FeedbackSource, FeedbackWords, FixedFeedback, Instruction, Part, PromptGrid, SelfCorrection, Study, Thinking,
    Transcript,
};
use probity::generate::{Decoding, End};
use probity::hook::{Selection, Site};
use probity::task::{ChoiceItem, ChoiceTask, Completion, CompletionTask, Item};
use probity::{Error, Model, Progress, Result};

fn question(id: &str) -> ChoiceItem {
    let item = serde_json::json!({
        "id": id, "group": id, "context": format!("{id} baker and clerk"), "question": "who ?",
        "options": ["baker", "clerk", "open"], "label": 2, "biased": 0, "unknown": 2,
    });
    serde_json::from_value(item).unwrap()
}

fn questions(ids: &[&str]) -> ChoiceTask {
    ChoiceTask::new("scripted", ids.iter().map(|id| question(id)).collect()).unwrap()
}

fn instruction(name: &str) -> Instruction {
    Instruction { meaning: "asks".into(), review: "again".into(), ..Instruction::new(name, "so") }
}

fn places() -> Selection {
    Site::ResidPost.all_layers()
}

fn talk<'s, I: Item>(study: &'s Study<I>, instruction: &str) -> &'s Transcript {
    &study.conversations.iter().find(|talk| talk.condition.instruction == instruction).unwrap().transcript
}

fn turns(talk: &Transcript) -> Vec<&str> {
    talk.messages().iter().map(|turn| turn.content.as_str()).collect()
}

// --- thoughts and feedback by instruction -------------------------------------------------------------------

#[test]
fn an_instruction_with_words_for_thoughts_thinks_and_no_other_does() {
    let model = scripted(&[("first", &["because so <end>", "open <end>", "maybe <end>", "baker <end>"])], 200);
    let thoughtful = Instruction {
        reasoning: Some(Thinking { request: "because ?".into(), conclude: Some("so ?".into()) }),
        ..instruction("thoughtful")
    };
    let study = SelfCorrection::new(questions(&["first"]))
        .instructions([thoughtful, instruction("plain")])
        .rounds(2)
        .reasoning(Decoding::new(5))
        .run(&model, places())
        .unwrap();
    let answer = |name: &str, round: usize| &study.round(&condition(name, round)).unwrap().answers[0];
    let (first, second) = (answer("thoughtful", 1), answer("thoughtful", 2));
    assert_eq!((first.rationale.as_deref(), first.text.as_str()), (Some("because so"), "open"));
    assert_eq!((second.rationale.as_deref(), second.text.as_str()), (Some("maybe"), "baker"));
    assert_eq!((answer("none", 0).rationale.as_deref(), answer("none", 0).text.as_str()), (None, "because so"));
    assert_eq!((answer("plain", 2).rationale.as_deref(), answer("plain", 2).text.as_str()), (None, "open"));
    let said = turns(talk(&study, "thoughtful"));
    assert!(said[0].ends_with("so\n\nbecause ?"), "{:?}", said[0]);
    assert_eq!(said[2], "so ? Reply with one of the options and nothing else.");
    assert_eq!(said[4], "again\n\nbecause ?");
    assert!(study.provenance["reasoning"].contains("at most 5 tokens"));
    assert!(!study.provenance.contains_key("thinking"));
}

#[test]
fn a_model_judges_itself_in_turns_of_its_own() {
    let model = scripted(&[("first", &["baker <end>", "no no <end>", "open <end>"])], 200);
    let words = FeedbackWords { request: Some("yes or no ?".into()), give: "so then".into() };
    let itself = Instruction { feedback: Some(words), ..instruction("itself") };
    let study = SelfCorrection::new(questions(&["first"]))
        .instructions([itself, instruction("plain")])
        .rounds(2)
        .reasoning(Decoding::new(5))
        .run(&model, places())
        .unwrap();
    let talk = talk(&study, "itself");
    assert_eq!(turns(talk)[1..], ["baker", "yes or no ?", "no no", "so then again", "open"]);
    let parts: Vec<(Part, usize)> = talk.passages()[4..].iter().map(|part| (part.part, part.round)).collect();
    let round_2 = [Part::FeedbackRequest, Part::Feedback, Part::Instruction, Part::Answer].map(|part| (part, 2));
    assert_eq!(parts, [[(Part::Answer, 1)].as_slice(), &round_2].concat());
    assert_eq!(study.round(&condition("plain", 2)).unwrap().answers[0].text, "no no", "its second answer");
}

#[test]
fn words_around_feedback_take_what_the_judge_says() {
    let model = scripted(&[("first", &["baker <end>", "open <end>"])], 200);
    let words = FeedbackWords { request: None, give: "They say: {feedback}".into() };
    let told = Instruction { feedback: Some(words), ..instruction("told") };
    let protocol =
        || SelfCorrection::new(questions(&["first"])).instructions([told.clone(), instruction("plain")]).rounds(2);
    let study = protocol().feedback(FixedFeedback("unfair.".into())).run(&model, places()).unwrap();
    assert_eq!(turns(talk(&study, "told"))[2], "They say: unfair.\n\nagain");
    assert_eq!(turns(talk(&study, "plain"))[2], "again", "an instruction without words for it gets no feedback");
    let silent = protocol().feedback(FixedFeedback(" ".into())).run(&model, places()).unwrap();
    assert_eq!(turns(talk(&silent, "told"))[2], "again");
    let error = protocol().run(&model, places()).unwrap_err().to_string();
    assert!(error.contains("told") && error.contains("SelfCorrection::feedback"), "{error}");
}

#[test]
fn every_kind_of_cell_of_the_bundled_grid_runs() {
    let model = scripted(&[("first", &["baker <end>", "open <end>", "maybe <end>", "clerk <end>", "so <end>"])], 2_000);
    let grid = PromptGrid::bundled().unwrap();
    let cells: Vec<_> =
        grid.cells().into_iter().filter(|cell| cell.benchmark == "bbq" && cell.paraphrase == 3).collect();
    assert_eq!(cells.len(), 4 * 4 * 2 * 3);
    let instructions: Vec<Instruction> = cells.iter().map(|cell| grid.get(cell).unwrap()).collect();
    let study = SelfCorrection::new(questions(&["first"]))
        .instructions(instructions)
        .rounds(2)
        .feedback(FixedFeedback("maybe".into()))
        .reasoning(Decoding::new(3))
        .run(&model, places())
        .unwrap();
    for cell in cells {
        let parts: Vec<Part> = talk(&study, &cell.to_string()).passages().iter().map(|part| part.part).collect();
        let there = |part: Part| parts.contains(&part);
        assert_eq!(there(Part::Rationale), cell.chain_of_thought, "{cell}");
        assert_eq!(there(Part::FeedbackRequest), cell.feedback == FeedbackSource::Intrinsic, "{cell}");
        assert_eq!(there(Part::Feedback), cell.feedback != FeedbackSource::None, "{cell}");
    }
}

// --- texts to continue --------------------------------------------------------------------------------------

#[test]
fn texts_are_continued_and_revised() {
    let text = |id: &str| Completion {
        id: id.into(),
        group: id.into(),
        category: String::new(),
        text: format!("{id} baker"),
        toxicity: None,
        challenging: false,
    };
    let task = CompletionTask::new("texts", vec![text("first"), text("second")]).unwrap();
    let flows: [(&str, &[&str]); 2] =
        [("first", &["no no <end>", "yes <end>"]), ("second", &["because", "because so <end>"])];
    let model = scripted(&flows, 600);
    let study = SelfCorrection::new(task).instructions([instruction("ask")]).rounds(2).run(&model, places()).unwrap();
    let said = |round: usize| {
        let name = if round == 0 { "none" } else { "ask" };
        study
            .round(&condition(name, round))
            .unwrap()
            .answers
            .iter()
            .map(|answer| answer.text.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(said(0), said(1));
    assert_eq!(said(0)[0], "no no");
    assert_eq!(said(0)[1].split(' ').count(), 125, "as long as in the paper");
    assert_eq!(study.rounds[0].answers[1].end, End::Length);
    assert_eq!(said(2), ["yes", "because so"]);
    assert!(turns(talk(&study, "ask"))[0].contains("first baker\n\n"));
    assert_eq!(study.rounds[2].activations.ids(), ["first", "second"]);
}

#[test]
fn several_continuations_are_drawn_and_the_first_goes_on() {
    let text = |id: &str| -> Completion {
        serde_json::from_value(serde_json::json!({ "id": id, "group": id, "text": format!("{id} baker") })).unwrap()
    };
    let model = scripted(&[("first", &["no no <end>", "yes <end>"]), ("second", &["because so <end>", "so"])], 600);
    let task = || CompletionTask::new("texts", vec![text("first"), text("second")]).unwrap();
    let drawn = Decoding::new(6).temperature(4.0).seed(5);
    let protocol = |k: usize| {
        let asked = SelfCorrection::new(task()).instructions([instruction("ask")]).rounds(2);
        asked.decoding(drawn.clone()).continuations(k)
    };
    let run = |k: usize, batch: usize| protocol(k).batch(batch).run(&model, places()).unwrap();
    let (one, three) = (run(1, 2), run(3, 2));
    // The first is that of a run with one, in every round, and what later rounds see.
    assert_eq!(one.conversations, three.conversations);
    let mut different = 0;
    for (single, round) in one.rounds.iter().zip(&three.rounds) {
        for (single, answer) in single.answers.iter().zip(&round.answers) {
            assert_eq!((&single.text, single.others.len(), answer.others.len()), (&answer.text, 0, 2));
            let all: BTreeSet<&String> = std::iter::once(&answer.text).chain(&answer.others).collect();
            different += usize::from(all.len() == 3);
        }
    }
    assert!(different >= 5, "{different} of 6 answers have three different continuations");
    // What is drawn does not depend on what stands beside it.
    let answers =
        |study: &Study<Completion>| study.rounds.iter().flat_map(|round| round.answers.clone()).collect::<Vec<_>>();
    assert_eq!(answers(&run(3, 1)), answers(&three));
    assert_eq!((three.protocol.continuations, three.provenance["continuations"].as_str()), (3, "3"));

    // Kept with the batch, taken up again, and written.
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("kept");
    let first = protocol(3).batch(1).checkpoints(&kept).run(&model, places()).unwrap();
    std::fs::remove_file(kept.join("00001.json")).unwrap();
    let again = protocol(3).batch(1).checkpoints(&kept).run(&model, places()).unwrap();
    assert_eq!(files(&again, folder.path()), files(&first, folder.path()));
    let lines = std::fs::read_to_string(folder.path().join("answers.jsonl")).unwrap();
    let line: serde_json::Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!(line["others"].as_array().unwrap().len(), 2);
    let other = protocol(2).batch(1).checkpoints(&kept).run(&model, places()).unwrap_err();
    assert!(matches!(other, Error::Mismatch { .. }), "{other}");

    let refused = |error: Error, says: &str| assert!(error.to_string().contains(says), "{error}");
    refused(protocol(0).check().unwrap_err(), "at least 1");
    refused(protocol(2).decoding(Decoding::new(6)).check().unwrap_err(), "temperature above 0");
    let asked = SelfCorrection::new(questions(&["first"])).decoding(drawn.clone()).continuations(2);
    refused(asked.check().unwrap_err(), "items with options");
}

// --- interrupted runs ---------------------------------------------------------------------------------------

/// Files of a finished run, to the byte.
fn files(study: &Study<impl Item>, folder: &Path) -> Vec<Vec<u8>> {
    study.write_transcripts(folder.join("transcripts.jsonl")).unwrap();
    study.write_answers(folder.join("answers.jsonl")).unwrap();
    let mut names = vec!["transcripts.jsonl".to_owned(), "answers.jsonl".to_owned()];
    for (number, round) in study.rounds.iter().enumerate() {
        let name = format!("{number}.safetensors");
        round.activations.save(folder.join(&name)).unwrap();
        names.push(name);
    }
    names.iter().map(|name| std::fs::read(folder.join(name)).unwrap()).collect()
}

#[derive(Default)]
struct Steps(AtomicU64);

impl Progress for Steps {
    fn begin(&self, _: &str, _: u64) {}

    fn advance(&self, steps: u64) {
        self.0.fetch_add(steps, Ordering::Relaxed);
    }
}

/// Interrupts a run at every batch in turn, resumes it, and compares with a run in one go.
fn resumed_equals_uninterrupted(model: &Model, ids: &[&str], batch: usize) {
    let protocol = || {
        SelfCorrection::new(questions(ids))
            .instructions([instruction("ask")])
            .rounds(2)
            .decoding(Decoding::new(4).temperature(1.0).seed(5))
            .batch(batch)
    };
    let folder = tempfile::tempdir().unwrap();
    let quiet = move |_: &[Transcript]| Ok(vec![String::new(); batch]);
    let whole = files(&protocol().feedback(quiet).run(model, places()).unwrap(), folder.path());
    for good in 0..ids.len() / batch {
        let kept = folder.path().join(format!("kept-{good}"));
        let calls = Cell::new(0);
        let failing = move |_: &[Transcript]| -> Result<Vec<String>> {
            calls.set(calls.get() + 1);
            match calls.get() > good {
                true => Err(Error::Template("the power went off".into())),
                false => Ok(vec![String::new(); batch]),
            }
        };
        protocol().feedback(failing).checkpoints(&kept).run(model, places()).unwrap_err();
        let written = std::fs::read_dir(&kept).map_or(0, Iterator::count);
        assert_eq!(written, if good == 0 { 0 } else { 1 + 2 * good }, "two files a finished batch");
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = {
            let calls = calls.clone();
            move |_: &[Transcript]| {
                calls.fetch_add(1, Ordering::Relaxed);
                Ok(vec![String::new(); batch])
            }
        };
        let steps = Steps::default();
        let study = protocol().feedback(counted).checkpoints(&kept).run_with_progress(model, places(), &steps).unwrap();
        assert_eq!(calls.load(Ordering::Relaxed), ids.len() / batch - good, "finished batches are not run again");
        assert_eq!(steps.0.into_inner(), 3 * ids.len() as u64);
        assert!(files(&study, folder.path()) == whole, "interrupted after {good} batches");
    }
}

#[test]
fn an_interrupted_run_goes_on_where_it_was() {
    let flows: [(&str, &[&str]); 2] = [("first", &["open <end>", "baker <end>"]), ("second", &["maybe", "yes <end>"])];
    resumed_equals_uninterrupted(&scripted(&flows, 300), &["first", "second", "third", "fourth"], 1);
    resumed_equals_uninterrupted(&scripted(&flows, 300), &["first", "second", "third", "fourth"], 2);
}

#[test]
fn an_interrupted_run_of_a_real_model_goes_on_to_the_same_bytes() {
    let Some(model) = smollm() else { return };
    resumed_equals_uninterrupted(&model, &["one", "two", "three", "four"], 2);
}

#[test]
fn checkpoints_of_another_run_or_damaged_ones_are_refused() {
    let model = scripted(&[("first", &["open <end>"])], 300);
    let folder = tempfile::tempdir().unwrap();
    let protocol = || SelfCorrection::new(questions(&["first", "second"])).batch(1).checkpoints(folder.path());
    protocol().run(&model, places()).unwrap();
    let other = protocol().rounds(1).instructions([instruction("ask")]).run(&model, places()).unwrap_err();
    assert!(matches!(other, Error::Mismatch { .. }), "{other}");
    assert!(other.to_string().contains("another run") && other.to_string().contains("another folder"), "{other}");
    let other = protocol().decoding(Decoding::new(9)).run(&model, places()).unwrap_err();
    assert!(matches!(other, Error::Mismatch { .. }), "{other}");

    let said = folder.path().join("00001.json");
    let text = std::fs::read_to_string(&said).unwrap();
    std::fs::write(&said, &text[..text.len() / 2]).unwrap();
    let error = common::told(&protocol().run(&model, places()).unwrap_err());
    assert!(error.contains("00001.json") && error.contains("line"), "{error}");
    std::fs::write(&said, text.replacen('[', "[[],", 1)).unwrap();
    assert!(protocol().run(&model, places()).is_err());
    std::fs::write(&said, &text).unwrap();
    std::fs::copy(folder.path().join("00000.safetensors"), folder.path().join("00001.safetensors")).unwrap();
    let error = protocol().run(&model, places()).unwrap_err().to_string();
    assert!(error.contains("other items"), "{error}");
    std::fs::remove_file(&said).unwrap();
    protocol().run(&model, places()).unwrap();
}

#[test]
fn only_what_runs_kept_is_removed() {
    let model = scripted(&[("first", &["open <end>"])], 300);
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("kept");
    let protocol = || SelfCorrection::new(questions(&["first", "second"])).batch(1).checkpoints(&kept);
    protocol().remove_checkpoints().unwrap();
    protocol().run(&model, places()).unwrap();
    assert!(std::fs::read_dir(&kept).unwrap().count() > 4);
    let mine = ["12.json", "mine.safetensors", "notes.txt", "report.json"];
    for name in mine {
        std::fs::write(kept.join(name), name).unwrap();
    }
    protocol().remove_checkpoints().unwrap();
    assert_eq!(Folder::names_of(&kept), mine);
    assert!(mine.iter().all(|name| std::fs::read_to_string(kept.join(name)).unwrap() == *name));
    for name in mine {
        std::fs::remove_file(kept.join(name)).unwrap();
    }
    protocol().run(&model, places()).unwrap();
    protocol().remove_checkpoints().unwrap();
    assert!(!kept.exists(), "a folder of nothing else goes too");
    SelfCorrection::new(questions(&["first"])).remove_checkpoints().unwrap();
}
