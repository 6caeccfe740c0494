//! The flows of a conversation, driven by a model with fixed answers; and the parts of a prompt among its tokens.

use std::path::PathBuf;

use common::scripted::scripted;
use common::{condition, fixture, smollm};
use probity::dialogue::{
    Feedback, FixedFeedback, Instruction, ModelFeedback, Overflow, Part, RoundKind, ScorerFeedback, SelfCorrection,
    Study, Thinking, Transcript,
};
use probity::generate::{Decoding, End};
use probity::hook::{Hooks, Selection, Site};
use probity::model::LogitsFor;
use probity::scorer::TextScorer;
use probity::task::{Bbq, ChoiceTask, Extracted, RuleChosenBy, ScoreRule};
use probity::text::{ChatTemplate, PadSide, Role, TokenBatch};
use probity::{Error, Model, Result, NO_INSTRUCTION};
use tch::Kind;

/// Questions about the items "first" to "fourth"; "open" is right.
fn task(items: &[&str]) -> ChoiceTask {
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("scripted.jsonl");
    let line = |item: &&str| {
        let item = serde_json::json!({
            "id": item, "group": item, "category": "age", "condition": "ambiguous", "polarity": "negative",
            "context": format!("{item} baker and clerk"), "question": "who ?", "options": ["baker", "clerk", "open"],
            "label": 2, "biased": 0, "unknown": 2,
        });
        format!("{item}\n")
    };
    std::fs::write(&path, items.iter().map(line).collect::<String>()).unwrap();
    ChoiceTask::load(path).unwrap()
}

fn instruction() -> Instruction {
    Instruction { meaning: "asks".into(), review: "again".into(), ..Instruction::new("ask", "so") }
}

fn places() -> Selection {
    Site::ResidPost.all_layers()
}

fn protocol(items: &[&str]) -> SelfCorrection {
    SelfCorrection::new(task(items)).instructions([instruction()]).rounds(2)
}

fn texts(study: &Study, round: usize) -> Vec<&str> {
    let name = if round == 0 { NO_INSTRUCTION } else { "ask" };
    study.round(&condition(name, round)).unwrap().answers.iter().map(|answer| answer.text.as_str()).collect()
}

const FLOWS: [(&str, &[&str]); 4] = [
    // Right to wrong, wrong to right, two options at once, nothing at all; then the second answer in each conversation.
    ("first", &["open <end>", "baker <end>"]),
    ("second", &["baker <end>", "open <end>"]),
    ("third", &["baker and clerk <end>", "(c) <end>"]),
    ("fourth", &["<end>", "no"]),
];

#[test]
fn every_flow_of_answers_is_kept_as_it_came() {
    let model = scripted(&FLOWS, 200);
    let study = protocol(&["first", "second", "third", "fourth"]).run(&model, places()).unwrap();
    // Round 1 is fresh: the first answer again. Round 2 is the second answer of that conversation.
    for round in [0, 1] {
        assert_eq!(texts(&study, round), ["open", "baker", "baker and clerk", ""]);
    }
    assert_eq!(texts(&study, 2), ["baker", "open", "(c)", "no no no no no no no no"]);
    let answers = |round| &study.round(&condition("ask", round)).unwrap().answers;
    let read: Vec<Extracted> = answers(1).iter().map(|answer| answer.read).collect();
    assert_eq!(read, [Extracted::Option(2), Extracted::Option(0), Extracted::Several, Extracted::Nothing]);
    let read: Vec<Extracted> = answers(2).iter().map(|answer| answer.read).collect();
    assert_eq!(read, [Extracted::Option(0), Extracted::Option(2), Extracted::Option(2), Extracted::Nothing]);
    let ends: Vec<End> = answers(2).iter().map(|answer| answer.end).collect();
    assert_eq!(ends, [End::StopToken, End::StopToken, End::StopToken, End::Length]);
    // What is said is what is likely: the scores of the bare texts follow the script.
    let scored = answers(1).iter().take(3).map(|answer| answer.best_by(ScoreRule::BareTotal).unwrap());
    assert_eq!(scored.collect::<Vec<_>>(), [2, 0, 0]);
    // Four answers are too few to choose a rule by.
    let choice = study.protocol.score_rule.unwrap();
    assert_eq!((choice.rule, choice.by), (ScoreRule::Total, RuleChosenBy::TooFewRead));
    assert_eq!((choice.answers, choice.read), (4, 2));
}

#[test]
fn options_are_scored_as_they_are_shown_and_bare() {
    let model = scripted(&[("first", &["b <end>"])], 200);
    let study = protocol(&["first"]).rounds(0).score_rule(ScoreRule::BareLetter).run(&model, places()).unwrap();
    let choice = study.protocol.score_rule.as_ref().unwrap();
    assert_eq!((choice.rule, choice.by), (ScoreRule::BareLetter, RuleChosenBy::Given));
    let answer = &study.rounds[0].answers[0];
    assert_eq!((answer.scored, answer.read), (1, Extracted::Option(1)));
    // One word of 24 has weight e^8, each other 1.
    let log = |weight: f64| (weight / (8f64.exp() + 23.0)).ln();
    for (option, score) in answer.scores.iter().enumerate() {
        let letter = log(if option == 1 { 8f64.exp() } else { 1.0 });
        assert!((score.bare.letter.unwrap() - letter).abs() < 1e-5);
        assert!((score.bare.total - log(1.0)).abs() < 1e-5 && score.bare.total == score.bare.per_token);
        // "(b) baker" is two words, "(b)" one.
        assert!((score.total - 2.0 * log(1.0)).abs() < 1e-5 && (score.per_token - log(1.0)).abs() < 1e-5);
        assert!((score.letter - log(1.0)).abs() < 1e-5);
    }
    let bytes: Vec<f64> = answer.scores.iter().map(|score| score.bare.total / score.bare.per_byte).collect();
    assert!(bytes.iter().zip([5.0, 5.0, 4.0]).all(|(found, len)| (found - len).abs() < 1e-9));
    assert_eq!(answer.best_by(ScoreRule::BarePerByte), Some(0));
}

#[test]
fn the_model_s_own_form_chooses_the_score() {
    // Twelve questions, one text: "(c) open" is said in round 0, "baker" in every later one.
    let model = scripted(&[("first", &["(c) open <end>", "(a) baker <end>"])], 200);
    let line = |number: usize| {
        let item = serde_json::json!({
            "id": number.to_string(), "group": number.to_string(), "context": "first", "question": "who ?",
            "options": ["baker", "clerk", "open"], "label": 2, "unknown": 2,
        });
        format!("{item}\n")
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("twelve.jsonl");
    std::fs::write(&path, (0..12).map(line).collect::<String>()).unwrap();
    let asked = SelfCorrection::new(ChoiceTask::load(path).unwrap()).instructions([instruction()]).rounds(2);
    let study = asked.clone().run(&model, places()).unwrap();
    let choice = study.protocol.score_rule.as_ref().unwrap();
    assert_eq!((choice.rule, choice.by, choice.read), (ScoreRule::Total, RuleChosenBy::Agreement, 12));
    let agreed = |rule| choice.agreement.iter().find(|found| found.rule == rule).unwrap().agreed;
    // No bare text is what the model would begin with: all are equally unlikely, and the first is no answer of the model's.
    assert_eq!((agreed(ScoreRule::Total), agreed(ScoreRule::Letter), agreed(ScoreRule::BareTotal)), (12, 12, 0));
    assert_eq!(study.provenance["score_rule"], "total");
    let last = &study.round(&condition("ask", 2)).unwrap().answers;
    assert!(last.iter().all(|answer| (answer.scored, answer.read) == (0, Extracted::Option(0))));
    // A rule that is asked for stands, whatever the answers say.
    let bare = asked.score_rule(ScoreRule::BarePerToken).run(&model, places()).unwrap();
    assert_eq!(bare.protocol.score_rule.unwrap().by, RuleChosenBy::Given);
    assert!(bare.rounds[0].answers.iter().all(|answer| answer.scored == 0));
}

/// Every score against sums of log-probabilities from one whole pass without a cache over prompt and answer.
#[test]
fn scores_of_forms_are_sums_of_log_probabilities() {
    let Some(model) = smollm() else { return };
    let items = ChoiceTask::bundled().unwrap().limit(2, 0);
    let study = SelfCorrection::new(items).rounds(0).run(&model, places()).unwrap();
    let sum = |prompt: &[u32], said: &str| {
        let said = model.tokenizer().encode_rendered(said).unwrap();
        let text = [prompt, &said].concat();
        let batch = TokenBatch::new(&[&text], PadSide::Right).unwrap();
        let logits = model.network().forward(&batch, None, &mut Hooks::new(), LogitsFor::All).unwrap().unwrap();
        let logs = logits.to_kind(Kind::Double).log_softmax(-1, Kind::Double).squeeze_dim(0);
        let at = |(place, &id): (usize, &u32)| logs.double_value(&[(prompt.len() + place) as i64 - 1, i64::from(id)]);
        (said.iter().enumerate().map(at).sum::<f64>(), said.len() as f64)
    };
    let close = |found: f64, expected: f64| assert!((found - expected).abs() < 2e-3, "{found} {expected}");
    for (item, answer) in study.items.iter().zip(&study.rounds[0].answers) {
        let talk = &study.conversations.iter().find(|talk| talk.item == item.id).unwrap().transcript;
        let mut asked = Transcript::new();
        asked.say(Role::User, talk.messages()[0].content.clone());
        let prompt = asked.prompt(&model).unwrap().ids;
        for ((letter, option), score) in ('a'..).zip(&item.options).zip(&answer.scores) {
            let (whole, tokens) = sum(&prompt, &format!("({letter}) {option}"));
            close(score.total, whole);
            close(score.per_token, whole / tokens);
            close(score.letter, sum(&prompt, &format!("({letter})")).0);
            close(score.bare.total, sum(&prompt, option).0);
        }
    }
}

#[test]
fn a_revision_goes_on_from_the_plain_answer() {
    let model = scripted(&FLOWS, 200);
    let study = protocol(&["first", "second"]).round_kind(RoundKind::Revise).run(&model, places()).unwrap();
    assert_eq!(texts(&study, 0), ["open", "baker"]);
    assert_eq!(texts(&study, 1), ["baker", "open"]);
    assert_eq!(texts(&study, 2), ["", ""], "the script has no third answer");
    let talk = &study.conversations.iter().find(|talk| talk.condition.instruction == "ask").unwrap().transcript;
    let turns: Vec<&str> = talk.messages().iter().map(|turn| turn.content.as_str()).collect();
    assert_eq!(turns[1..], ["open", "again", "baker", "again", ""]);
    let plain = &study.conversations[0].transcript;
    assert_eq!((plain.messages().len(), plain.messages()[0].content.as_str()), (2, turns[0]));
}

#[test]
fn the_model_thinks_in_a_turn_of_its_own() {
    let model = scripted(&[("first", &["because so <end>", "open <end>", "maybe <end>", "baker <end>"])], 200);
    let thinking = Thinking::new("because ?");
    let study = protocol(&["first"]).thinking(thinking).reasoning(Decoding::new(5)).run(&model, places()).unwrap();
    let answer = |round: usize| &study.round(&condition("ask", round)).unwrap().answers[0];
    assert_eq!((answer(1).rationale.as_deref(), answer(1).text.as_str()), (Some("because so"), "open"));
    assert_eq!((answer(2).rationale.as_deref(), answer(2).text.as_str()), (Some("maybe"), "baker"));
    let talk = &study.conversations.iter().find(|talk| talk.condition.instruction == "ask").unwrap().transcript;
    let parts: Vec<(Part, usize)> = talk.passages().iter().map(|passage| (passage.part, passage.round)).collect();
    use Part::{Answer, Context, Form, Question, Rationale};
    let last = [Part::Instruction, Part::Thinking, Rationale, Form, Answer];
    let first = [[Context, Question].as_slice(), &last].concat().into_iter().map(|part| (part, 1)).collect::<Vec<_>>();
    let second = last.map(|part| (part, 2));
    assert_eq!(parts, [first.as_slice(), &second].concat());
    assert!(study.provenance["reasoning"].contains("at most 5 tokens"));
}

/// Calls a text bad where it holds "baker".
struct NoBakers;

impl TextScorer for NoBakers {
    fn name(&self) -> &str {
        "no bakers"
    }

    fn score(&self, texts: &[&str]) -> Result<Vec<f64>> {
        Ok(texts.iter().map(|text| if text.contains("baker") { 0.9 } else { 0.125 }).collect())
    }
}

#[test]
fn feedback_of_every_source_goes_before_the_review() {
    let model = scripted(&FLOWS, 200);
    let judge = scripted(&[("first", &["yes <end>"]), ("second", &["no"])], 200);
    let second_question = |protocol: SelfCorrection| -> (Vec<String>, String) {
        let study = protocol.run(&model, places()).unwrap();
        let talks = study.conversations.iter().filter(|talk| talk.condition.instruction == "ask");
        (
            talks.map(|talk| talk.transcript.messages()[2].content.clone()).collect(),
            study.provenance["feedback"].clone(),
        )
    };
    let items = ["first", "second"];
    let fixed = FixedFeedback("That was unfair.".into());
    assert_eq!(second_question(protocol(&items).feedback(fixed)).0, ["That was unfair.\n\nagain"; 2]);
    let scorer = ScorerFeedback::new(NoBakers, 0.5, "Unfair: {score}.", "");
    let (said, described) = second_question(protocol(&items).feedback(scorer));
    assert_eq!(said, ["again", "Unfair: 0.90.\n\nagain"], "an empty verdict says nothing");
    assert!(described.contains("scorer no bakers, from 0.5"));
    let other = ModelFeedback::new(judge, "fair ?", Decoding::new(3));
    let (said, described) = second_question(protocol(&items).feedback(other));
    assert_eq!(said, ["yes\n\nagain", "no no no\n\nagain"]);
    assert!(described.contains("model scripted"));
    let too_few = |_: &[Transcript]| Ok(vec!["one word".to_owned()]);
    assert_eq!(too_few.describe(), "a function");
    let error = protocol(&items).feedback(too_few).run(&model, places()).unwrap_err();
    assert!(matches!(&error, Error::RowCount(at) if at.expected == 2 && at.found == 1), "{error}");
}

#[test]
fn overflow_is_an_error_or_is_counted() {
    // The opening has 24 tokens up to the answer, which gets 8; each review adds an answer and 3 more. So round 3 wants
    // 24 + 2 * 11 + 8 = 54, round 4 wants 65.
    let model = |context| scripted(&[("first", &["maybe", "maybe", "maybe", "open <end>"])], context);
    let protocol = |overflow| protocol(&["first"]).rounds(4).overflow(overflow);
    let whole = protocol(Overflow::Error).run(&model(200), places()).unwrap();
    assert!(whole.rounds.iter().all(|round| round.answers[0].dropped_turns == 0));
    let error = protocol(Overflow::Error).run(&model(50), places()).unwrap_err();
    assert!(matches!(&error, Error::TextLength(at) if at.context == 50), "{error}");
    assert!(error.to_string().contains("item \"first\" with the answer to turn"), "{error}");
    let cut = protocol(Overflow::DropOldest).run(&model(50), places()).unwrap();
    let dropped: Vec<usize> = cut.rounds.iter().map(|round| round.answers[0].dropped_turns).collect();
    assert_eq!(dropped, [0, 0, 0, 2, 4]);
    // The transcript keeps what the model no longer sees.
    let talk = cut.conversations.iter().find(|talk| talk.condition.instruction == "ask").unwrap();
    assert_eq!(talk.transcript.messages().len(), 8);
    let hopeless = protocol(Overflow::DropOldest).run(&model(20), places()).unwrap_err();
    assert!(matches!(&hopeless, Error::TextLength(at) if at.context == 20), "{hopeless}");
}

#[test]
fn drawn_answers_of_a_study_do_not_depend_on_the_batch() {
    let Some(model) = smollm() else { return };
    let drawn = |batch| {
        let decoding = Decoding::new(6).temperature(1.0).seed(11);
        let protocol = protocol(&["first", "second", "third"]).rounds(1).decoding(decoding).batch(batch);
        protocol.run(&model, Site::ResidPost.at(2)).unwrap()
    };
    let (together, alone) = (drawn(3), drawn(1));
    assert_eq!((texts(&together, 0), texts(&together, 1)), (texts(&alone, 0), texts(&alone, 1)));
    assert!(together.provenance["decoding"].contains("temperature 1, seed 11"));
}

/// Chat templates of three styles, in our own words: marks of their own, brackets, and plain labels.
const TEMPLATES: [&str; 3] = [
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}\
     {% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
    "{% for m in messages %}{% if m['role'] == 'user' %}[INST] {{ m['content'] | trim }} [/INST]{% else %} \
     {{ m['content'] | trim }}</s>{% endif %}{% endfor %}",
    "{% for m in messages %}{{ m['role'] | capitalize }}: {{ m['content'] }}\n\n{% endfor %}\
     {% if add_generation_prompt %}Assistant:{% endif %}",
];

/// Each named part of a conversation, found among the tokens, holds just its own text.
fn parts_survive(model: &Model, talk: &Transcript) -> usize {
    let prompt = talk.closed(model).unwrap();
    assert_eq!(prompt.passages.len(), talk.passages().len());
    for (placed, passage) in prompt.passages.iter().zip(talk.passages()) {
        let text = talk.text(passage).trim();
        assert_eq!(&prompt.text[placed.span.start..placed.span.end], text);
        let decoded = model.tokenizer().decode(&prompt.ids[placed.tokens.clone()]).unwrap();
        if placed.shares_tokens {
            assert!(decoded.contains(text), "{decoded:?} {text:?}");
        } else {
            assert_eq!(decoded.trim(), text);
        }
    }
    prompt.passages.iter().filter(|placed| placed.shares_tokens).count()
}

#[test]
fn parts_of_real_items_survive_tokenisation_in_three_templates() {
    let Some(model) = smollm() else { return };
    drop(model);
    let mut items = ChoiceTask::load(common::root().join("data/ambiguous_qa.jsonl")).unwrap().items().to_vec();
    if let Some(folder) = common::benchmark("bbq") {
        items.extend_from_slice(Bbq::load(folder).unwrap().limit(500, 0).items());
        assert_eq!(items.len(), 96 + 500);
    }
    let instructions = ["L0", "L1", "L2", "neutral", "negated"].map(|name| Instruction::named(name).unwrap());
    for source in TEMPLATES {
        let model = Model::load(common::smollm_path()).unwrap().with_template(ChatTemplate::new(source, &[]).unwrap());
        let (mut parts, mut shared) = (0, 0);
        for (number, item) in items.iter().enumerate() {
            let instruction = &instructions[number % instructions.len()];
            let mut talk = Transcript::new();
            talk.say_parts(
                Role::User,
                1,
                [
                    (Some(Part::Context), format!("{}\n\n", item.context)),
                    (Some(Part::Question), format!("{}\n", item.question)),
                    (None, "\n".to_owned()),
                    (Some(Part::Instruction), instruction.first.clone()),
                ],
            );
            talk.say_parts(Role::Assistant, 1, [(Some(Part::Answer), &item.options[number % 3])]);
            talk.say_parts(
                Role::User,
                2,
                [(Some(Part::Feedback), "No.\n\n"), (Some(Part::Instruction), &instruction.review)],
            );
            talk.say_parts(Role::Assistant, 2, [(Some(Part::Answer), ["", "(a)", " it is open\n"][number % 3])]);
            parts += talk.passages().len();
            shared += parts_survive(&model, &talk);
        }
        assert!(parts > 6 * items.len());
        assert_eq!(shared, 0, "{source}");
    }
}

#[test]
fn a_template_that_hides_turns_is_refused() {
    let hiding = ChatTemplate::new("{{ messages[-1]['content'] }}", &[]).unwrap();
    let model = Model::load(fixture("tiny_llama/tied")).unwrap().with_template(hiding);
    let mut talk = Transcript::new();
    talk.say(Role::User, "a").say(Role::Assistant, "b");
    assert!(talk.prompt(&model).unwrap_err().to_string().contains("turn 0"));
}
