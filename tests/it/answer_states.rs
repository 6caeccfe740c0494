//! States over answers that a run reads while it generates them: those of another pass, without another pass.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

use common::made::Folder;
use common::scripted::TEMPLATE;
use common::{max_abs, max_difference, smollm};
use probity::capture::{Pool, Readout};
use probity::dialogue::{Instruction, Part, ReadStates, Reading, RoundKind, SelfCorrection, Study, Thinking};
use probity::generate::Decoding;
use probity::hook::{Geometry, Hooks, Selection, Site};
use probity::level::{Levels, ReadingLevels};
use probity::model::{KvCache, LogitsFor, Network};
use probity::probe::MeanDifferenceProbe;
use probity::task::{ChoiceItem, ChoiceTask, Item};
use probity::text::{ChatTemplate, LabelledText, Span, Text, TokenBatch, Tokenizer};
use probity::{Model, Result};
use tch::Tensor;

/// What is asked for: the answers' means.
const ANSWER: [Part; 1] = [Part::Answer];

fn task(items: usize) -> ChoiceTask {
    ChoiceTask::load(common::root().join("data/ambiguous_qa.jsonl")).unwrap().limit(items, 3)
}

fn named(name: &str) -> Instruction {
    Instruction::named(name).unwrap()
}

fn places() -> Selection {
    [Site::ResidPost.at(0), Site::AttnOut.at(1)].into_iter().collect()
}

fn protocol() -> SelfCorrection {
    SelfCorrection::new(task(3)).instructions(["L1", "neutral"].map(named)).rounds(2)
}

/// The study as if the run had not read its answers.
fn without_answers(study: &Study) -> Study {
    let mut plain = study.clone();
    plain.answer_states.clear();
    plain
}

fn read_again(study: &Study, model: &Model) -> Vec<ReadStates> {
    without_answers(study).read(model, places(), &ANSWER.map(Reading::of)).unwrap()
}

/// The run's own states of answers against those of another pass; how many rows there are.
fn agree(study: &Study, model: &Model, what: &str) -> usize {
    let again = read_again(study, model);
    let key = |states: &ReadStates| (states.condition.clone(), states.activations.ids().to_vec());
    let mut ours: Vec<&ReadStates> = study.answer_states.iter().collect();
    ours.sort_by_key(|states| key(states));
    assert_eq!(
        ours.iter().map(|states| key(states)).collect::<Vec<_>>(),
        again.iter().map(key).collect::<Vec<_>>(),
        "{what}"
    );
    for (ours, again) in ours.iter().zip(&again) {
        assert_eq!(ours.activations.provenance()["pool"], "mean");
        for address in again.activations.addresses() {
            let values =
                |states: &ReadStates| -> Vec<f32> { states.activations.at(address).unwrap().iter().copied().collect() };
            let (ours, again) = (values(ours), values(again));
            let error = max_difference(&ours, &again) / max_abs(&again);
            assert!(error < 1e-4, "{what}, {address}: {error:e}");
        }
    }
    again.iter().map(|states| states.activations.ids().len()).sum()
}

#[test]
fn answers_are_read_as_another_pass_reads_them() {
    let Some(model) = smollm() else { return };
    let short = || protocol().rounds(1);
    let sampled = || Decoding::new(9).temperature(0.9).top_k(10).seed(5);
    for (what, protocol) in [
        ("fresh", protocol()),
        ("revised", protocol().rounds(1).round_kind(RoundKind::Revise).re_elicit([named("negated")])),
        ("sampled", short().decoding(sampled())),
        ("ended by a string", short().decoding(Decoding::new(12).stop(["e"]))),
        ("after thinking", short().thinking(Thinking::new("Think.")).reasoning(Decoding::new(6))),
        ("one by one", short().batch(1)),
    ] {
        let plain = protocol.run(&model, places()).unwrap();
        let read = protocol.read_answers(true).run(&model, places()).unwrap();
        assert!(plain.answer_states.is_empty());
        assert!(read.conversations == plain.conversations, "{what}: other answers");
        assert!(agree(&read, &model, what) > read.items.len(), "{what}");
    }
}

/// A model that counts the tokens that it runs, and keeps what it has run as well as it is told to.
#[derive(Debug)]
struct Watched {
    inner: Model,
    ran: Arc<AtomicUsize>,
    caches: bool,
    holds_up_to: Option<usize>,
}

impl Network for Watched {
    fn geometry(&self) -> Geometry {
        self.inner.geometry()
    }

    fn context(&self) -> usize {
        self.inner.context()
    }

    fn vocabulary(&self) -> usize {
        self.inner.network().vocabulary()
    }

    fn forward(
        &self,
        batch: &TokenBatch,
        cache: Option<&mut KvCache>,
        hooks: &mut Hooks<'_>,
        logits: LogitsFor,
    ) -> Result<Option<Tensor>> {
        self.ran.fetch_add(batch.rows.iter().map(ExactSizeIterator::len).sum(), Ordering::Relaxed);
        self.inner.network().forward(batch, cache, hooks, logits)
    }

    fn uses_cache(&self) -> bool {
        self.caches
    }

    fn cache_holds_up_to(&self) -> Option<usize> {
        self.holds_up_to
    }
}

/// A tiny model of random weights, with room for whole conversations.
fn babbling(name: &str, template: &str) -> Model {
    let folder = roomy(name);
    Model::load(folder.path()).unwrap().with_template(ChatTemplate::new(template, &[]).unwrap())
}

fn roomy(name: &str) -> Folder {
    let folder = Folder::tiny(name);
    folder.set("config.json", "max_position_embeddings", 8192.into());
    folder
}

/// The first of them watched, and the count of the tokens that it runs.
fn watched(caches: bool, holds_up_to: Option<usize>) -> (Model, Arc<AtomicUsize>) {
    let (ran, folder) = (Arc::new(AtomicUsize::new(0)), roomy("tied"));
    let inner = Model::load(folder.path()).unwrap();
    let (tokenizer, stop) = (Tokenizer::load(folder.join("tokenizer.json")).unwrap(), inner.stop_tokens().to_vec());
    let network = Watched { inner, ran: ran.clone(), caches, holds_up_to };
    let model = Model::new("watched", network, tokenizer).unwrap().with_stop_tokens(stop);
    (model.with_template(ChatTemplate::new(TEMPLATE, &[]).unwrap()), ran)
}

/// Random models say what no tokeniser cuts the same way again, begin and end with spaces, or say nothing at all.
#[test]
fn what_is_cut_otherwise_when_it_is_read_again_is_read_as_later_rounds_see_it() {
    // Begins an answer with words that a finished one does not have.
    let longer = TEMPLATE.replace("[assistant]{%", "[assistant] well then, as follows: {%");
    let babble = |seed| protocol().decoding(Decoding::new(6).temperature(2.0).seed(seed)).read_answers(true);
    let mut rows = 0;
    for name in ["tied", "untied_sharded", "odd_heads"] {
        for template in [TEMPLATE, &longer] {
            let model = babbling(name, template);
            let study = babble(8).run(&model, places()).unwrap();
            rows += agree(&study, &model, name);
        }
    }
    assert!(rows > 80, "{rows}");
    // Without a cache every pass runs whole texts; with one that holds up to some length, the pass that outgrows it.
    let (model, _) = watched(false, None);
    agree(&babble(9).run(&model, places()).unwrap(), &model, "no cache");
    let prompt = babble(9).run(&model, places()).unwrap().conversations.last().unwrap().transcript.clone();
    let length = prompt.before_answer(2).unwrap().prompt(&model).unwrap().ids.len();
    for more in 0..6 {
        let (model, _) = watched(true, Some(length + more));
        agree(&babble(9).run(&model, places()).unwrap(), &model, "a cache up to some length");
    }
}

#[test]
fn a_beginning_of_several_texts_is_run_once() {
    let (model, ran) = watched(true, None);
    let begins = ["One neighbour wrote many notes about another, ", "Somebody found a coat beside the road at noon, "];
    let text = |begin: usize, end: usize| {
        let (begin, end) = (begins[begin].repeat(4), ["and kept it.", "and sang.", "as was said later on."][end]);
        let span = Span { start: begin.len(), end: begin.len() + end.len() };
        Text { span: Some(span), ..Text::new(format!("{begin}{end}"), format!("{begin}{end}")) }
    };
    let texts: Vec<Text> = (0..6).map(|number| text(number % 2, number / 2)).collect();
    let tokens = |text: &Text| model.tokenizer().encode(&text.text).unwrap().ids.len();
    let all: usize = texts.iter().map(tokens).sum();
    Readout::new(Site::ResidPost.all_layers(), Pool::Mean).capture(&model, &texts).unwrap();
    let ran = ran.swap(0, Ordering::Relaxed);
    assert!(2 * ran < all, "{ran} of {all} tokens");
}

#[test]
fn no_token_is_run_twice_for_the_answers() {
    let (model, ran) = watched(true, None);
    let count = || ran.swap(0, Ordering::Relaxed);
    let plain = protocol().run(&model, places()).unwrap();
    let without = count();
    let read = protocol().read_answers(true).run(&model, places()).unwrap();
    let with = count();
    assert!(read.conversations == plain.conversations, "other answers");
    // At worst every answer is cut otherwise when it is read again, and no later round sees it. Another pass would run
    // whole conversations.
    let answers: usize = plain.rounds.iter().map(|round| round.answers.len()).sum();
    assert!(with <= without + answers * (ChoiceItem::ANSWER_TOKENS + 1), "{with} tokens with, {without} without");
    assert!(without > 100 * answers, "{without}");
    let parts = read.read(&model, Site::ResidPost.at(0), &ANSWER.map(Reading::of)).unwrap();
    assert_eq!(count(), 0, "what the run has read is not read again");
    assert_eq!(parts.len(), read.answer_states.len());
    assert!(parts.iter().all(|states| states.activations.addresses().eq([Site::ResidPost.at(0)])));
    let elsewhere = read.read(&model, Site::ResidPost.at(2), &ANSWER.map(Reading::of)).unwrap();
    assert!(count() > 0 && elsewhere.len() == parts.len(), "other addresses are another pass");
}

#[test]
fn a_run_that_goes_on_from_its_batches_has_the_same_states() {
    let folder = tempfile::tempdir().unwrap();
    let model = babbling("tied", TEMPLATE);
    let whole = protocol().batch(2).read_answers(true).checkpoints(folder.path());
    let first = whole.run(&model, places()).unwrap();
    std::fs::remove_file(folder.path().join("00001.json")).unwrap();
    let again = whole.run(&model, places()).unwrap();
    assert_eq!(first.answer_states.len(), again.answer_states.len());
    assert!(!first.answer_states.is_empty());
    for (a, b) in first.answer_states.iter().zip(&again.answer_states) {
        assert_eq!(a.activations.ids(), b.activations.ids());
        for address in a.activations.addresses() {
            assert_eq!(a.activations.at(address).unwrap(), b.activations.at(address).unwrap());
        }
    }
    let other = whole.read_answers(false).run(&model, places()).unwrap_err().to_string();
    assert!(other.contains("another run"), "{other}");
}

#[test]
fn levels_of_answers_stand_beside_those_of_prompts_after_a_re_elicitation() {
    let model = babbling("tied", TEMPLATE);
    let study = protocol().re_elicit([named("negated")]).read_answers(true).run(&model, places()).unwrap();
    let mut statements = LabelledText::load(common::root().join("data/moral_acts.jsonl")).unwrap();
    statements.truncate(60);
    let (texts, labels) = LabelledText::as_user_turns(statements, model.template().unwrap()).unwrap();
    let bank = |pool| {
        let states = Readout::new(Site::ResidPost.at(0), pool).capture(&model, &texts).unwrap();
        MeanDifferenceProbe::default().draws(50).fit_all(&states, &labels).unwrap()
    };
    let masked = Reading::PROMPT.masked();
    for study in [study.clone(), without_answers(&study)] {
        let answer = Reading::of(Part::Answer);
        let read = study.read(&model, Site::ResidPost.at(0), &[masked, answer]).unwrap();
        let levels = ReadingLevels::new(vec![
            Levels::from_study(&study, &bank(Pool::Last)).unwrap(),
            Levels::from_reading(&study.design, &read, answer, &bank(Pool::Mean)).unwrap(),
            Levels::from_reading(&study.design, &read, masked, &bank(Pool::Last)).unwrap(),
        ])
        .unwrap();
        assert_eq!(levels.readings()[0].design().conditions().len(), study.rounds.len());
    }
}
