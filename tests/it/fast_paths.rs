//! What is done fast gives what is done plainly: one text at a time, all layers, no cache, nothing shared.

use common::{bf16_sums_stay_wide, max_abs, max_difference, root, smollm, smollm_path, tiny};
use probity::capture::{Activations, Pool, Readout};
use probity::dialogue::{Instruction, SelfCorrection, Study};
use probity::generate::{Decoding, Session};
use probity::hook::{Hooks, Selection, Site};
use probity::model::{LoadOptions, LogitsFor, Precision};
use probity::task::ChoiceTask;
use probity::text::{PadSide, Span, Text, TokenBatch};
use probity::Model;
use tch::Kind;

/// Largest relative difference that f32 states may have.
const TOLERANCE: f64 = 5e-5;

fn everywhere() -> Selection {
    [Site::ResidPost, Site::AttnOut, Site::MlpOut].map(Site::all_layers).into_iter().collect()
}

/// The questions of the bundled data: many begin alike, no two are of one length.
fn texts() -> Vec<Text> {
    let task = ChoiceTask::load(root().join("data/ambiguous_qa.jsonl")).unwrap().limit(24, 3);
    let text = |(row, item): (usize, &probity::task::ChoiceItem)| {
        Text::new(item.id.clone(), format!("{} {}", item.context, item.question.repeat(1 + row % 3)))
    };
    task.items().iter().enumerate().map(text).collect()
}

fn assert_same(fast: &Activations, plain: &Activations) {
    let addresses: Vec<_> = fast.addresses().collect();
    assert!(!addresses.is_empty());
    for address in addresses {
        let (fast, plain) = (fast.at(address).unwrap(), plain.at(address).unwrap());
        assert_eq!(fast.dim(), plain.dim());
        for (row, (fast, plain)) in fast.outer_iter().zip(plain.outer_iter()).enumerate() {
            let (fast, plain) = (fast.to_vec(), plain.to_vec());
            let error = max_difference(&fast, &plain) / max_abs(&plain);
            assert!(error < TOLERANCE, "row {row} at {address}: {error:e}");
        }
    }
}

/// Texts one by one, each a batch of its own that shares nothing.
fn one_by_one(model: &Model, selection: Selection, texts: &[Text]) -> Activations {
    let readout = Readout::new(selection, Pool::Last).pad(PadSide::Left).batch_tokens(1);
    let mut whole: Option<Activations> = None;
    for text in texts {
        let alone = readout.capture(model, std::slice::from_ref(text)).unwrap();
        whole = Some(match whole {
            None => alone,
            Some(before) => {
                let mut both = Activations::new(before.ids().iter().chain(alone.ids()).cloned());
                for address in before.addresses().collect::<Vec<_>>() {
                    let (above, below) = (before.at(address).unwrap(), alone.at(address).unwrap());
                    let rows = ndarray::concatenate(ndarray::Axis(0), &[above.view(), below.view()]).unwrap();
                    both.insert(address, rows).unwrap();
                }
                both
            }
        });
    }
    whole.unwrap()
}

#[test]
fn batches_of_like_length_give_the_states_of_texts_alone() {
    let Some(model) = smollm() else { return };
    let texts = texts();
    let plain = one_by_one(&model, everywhere(), &texts);
    assert_same(&Readout::new(everywhere(), Pool::Last).capture(&model, &texts).unwrap(), &plain);
    let small = Readout::new(everywhere(), Pool::Last).batch_tokens(100);
    assert_same(&small.capture(&model, &texts).unwrap(), &plain);
}

#[test]
fn a_beginning_that_is_shared_is_run_once_and_changes_nothing() {
    let Some(model) = smollm() else { return };
    let begin = "The following notes were written by one neighbour about another, who had moved in during the spring. ";
    let texts: Vec<Text> =
        texts().into_iter().map(|text| Text::new(text.id.clone(), format!("{begin}{}", text.text))).collect();
    let plain = one_by_one(&model, everywhere(), &texts);
    assert_same(&Readout::new(everywhere(), Pool::Last).capture(&model, &texts).unwrap(), &plain);
}

#[test]
fn texts_that_begin_alike_are_one_row_that_branches_and_nothing_changes() {
    let Some(model) = smollm() else { return };
    let tails = ["He said that he did not know.", "He said no.", "Nobody asked them, and so nobody was told at all."];
    let end = |text: &Text, tail: usize| {
        let (start, whole) = (text.text.len() + 1, format!("{} {}", text.text, tails[tail]));
        let (start, id) = (start + [0, 8, 0][tail], format!("{}-{tail}", text.id));
        Text { span: Some(Span { start, end: whole.len() }), ..Text::new(id, whole) }
    };
    let questions = texts();
    let mut texts: Vec<Text> = questions.iter().flat_map(|text| (0..3).map(|tail| end(text, tail))).collect();
    // One of them as it is too: the beginning of others, and read there.
    texts.insert(5, questions[0].clone());
    let plain = one_by_one(&model, everywhere(), &texts);
    assert_same(&Readout::new(everywhere(), Pool::Last).capture(&model, &texts).unwrap(), &plain);
    let means = |side| Readout::new(everywhere(), Pool::Mean).pad(side).batch_tokens(300).capture(&model, &texts);
    assert_same(&means(PadSide::Right).unwrap(), &means(PadSide::Left).unwrap());
}

#[test]
fn stopping_after_the_last_wanted_layer_changes_nothing() {
    let Some(model) = smollm() else { return };
    let texts = texts();
    let all = Readout::new(everywhere(), Pool::Mean).capture(&model, &texts).unwrap();
    let some: Selection = [Site::ResidPost.at(3), Site::MlpOut.at(7)].into_iter().collect();
    assert_same(&Readout::new(some, Pool::Mean).capture(&model, &texts).unwrap(), &all);
}

#[test]
fn pooled_states_in_bf16_point_where_those_in_f32_do() {
    let Some(model) = smollm() else { return };
    let half = LoadOptions::default().precision(Precision::Bf16).load(smollm_path()).unwrap();
    let texts = texts();
    let readout = Readout::new(everywhere(), Pool::Last);
    let (wide, narrow) = (readout.capture(&model, &texts).unwrap(), readout.capture(&half, &texts).unwrap());
    let mut cosines = Vec::new();
    for address in wide.addresses() {
        let least = match address.site() {
            _ if !bf16_sums_stay_wide() => 0.999,
            Site::AttnOut => 0.9992,
            Site::MlpOut => 0.9996,
            _ => 0.9999,
        };
        let (wide, narrow) = (wide.at(address).unwrap(), narrow.at(address).unwrap());
        for (a, b) in wide.outer_iter().zip(narrow.outer_iter()) {
            let dot = |x: ndarray::ArrayView1<'_, f32>, y: ndarray::ArrayView1<'_, f32>| f64::from(x.dot(&y));
            let cosine = dot(a, b) / (dot(a, a) * dot(b, b)).sqrt();
            assert!(cosine >= least, "{address}: {cosine}");
            cosines.push(cosine);
        }
    }
    // Single states depend on chance: a text may stand between two ways of being read.
    cosines.sort_by(f64::total_cmp);
    let median = cosines[cosines.len() / 2];
    assert!(median >= if bf16_sums_stay_wide() { 0.99996 } else { 0.9999 }, "{median}");
}

/// Log-probability of `option` after `text`, from one pass over both.
fn plainly(model: &Model, text: &[u32], option: &[u32]) -> f64 {
    let whole = [text, option].concat();
    let batch = TokenBatch::new(&[&whole], PadSide::Right).unwrap();
    let logits = model.network().forward(&batch, None, &mut Hooks::new(), LogitsFor::All).unwrap().unwrap();
    let logs = logits.squeeze_dim(0).log_softmax(-1, Kind::Double);
    let log = |(at, &id): (usize, &u32)| logs.double_value(&[(text.len() + at - 1) as i64, i64::from(id)]);
    option.iter().enumerate().map(log).sum()
}

fn check_options(model: &Model, texts: &[Vec<u32>], options: &[Vec<Vec<u32>>], tolerance: f64) {
    let mut session = Session::new(model);
    let whole: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
    session.read(&whole).unwrap();
    let scores = session.score(options).unwrap();
    for (row, (text, options)) in texts.iter().zip(options).enumerate() {
        assert_eq!(scores[row].len(), options.len());
        for (option, score) in options.iter().zip(&scores[row]) {
            let expected = plainly(model, text, option);
            assert!((score.total - expected).abs() < tolerance, "row {row}: {} {expected}", score.total);
            assert_eq!(score.tokens, option.len());
        }
    }
    // The branches are gone: what follows is what would have followed without them.
    let mut fresh = Session::new(model);
    fresh.read(&whole).unwrap();
    let answers = Decoding::new(4);
    assert_eq!(session.generate(&answers).unwrap(), fresh.generate(&answers).unwrap());
}

#[test]
fn options_run_beside_each_other_have_the_scores_of_options_run_alone() {
    let Some(model) = smollm() else { return };
    let encode = |text: &str| model.tokenizer().encode_rendered(text).unwrap();
    let texts = ["Who was late? Answer:", "The nurse said that", "A retiree met a trainee in the lift. Who fell?"];
    let options = [
        vec!["The retiree", "The trainee from the second floor", "The trainee", "Nobody knows", "T"],
        vec![],
        vec!["The retiree", "It cannot be known from this"],
    ];
    let texts: Vec<Vec<u32>> = texts.iter().map(|text| encode(text)).collect();
    let options: Vec<Vec<Vec<u32>>> =
        options.iter().map(|row| row.iter().map(|option| encode(option)).collect()).collect();
    check_options(&model, &texts, &options, 2e-3);
    // Of one token each: nothing has to be run.
    let short: Vec<Vec<Vec<u32>>> = vec![vec![vec![5], vec![6]]; 3];
    check_options(&model, &texts, &short, 2e-3);
}

#[test]
fn branches_respect_windows() {
    for name in ["tied", "odd_heads"] {
        let model = tiny(name);
        let texts = vec![vec![5, 6, 7, 8, 9, 10, 11], vec![40, 41]];
        let options = vec![vec![vec![20, 21, 22, 23], vec![20, 21, 30], vec![9]], vec![vec![30, 31], vec![30, 32, 33]]];
        check_options(&model, &texts, &options, 1e-4);
    }
}

#[test]
fn generation_side_by_side_gives_the_tokens_of_each_text_alone_without_a_cache() {
    let Some(model) = smollm() else { return };
    let texts: Vec<Vec<u32>> =
        texts().iter().take(5).map(|text| model.tokenizer().encode(&text.text).unwrap().ids).collect();
    let whole: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
    let mut session = Session::new(&model);
    session.reserve(3);
    session.read(&whole).unwrap();
    let together = session.generate(&Decoding::new(12).stop_tokens([])).unwrap();
    for (text, together) in texts.iter().zip(together) {
        let mut grown = text.clone();
        for _ in 0..12 {
            let batch = TokenBatch::new(&[&grown], PadSide::Right).unwrap();
            let logits = model.network().forward(&batch, None, &mut Hooks::new(), LogitsFor::Last).unwrap().unwrap();
            grown.push(logits.flatten(0, -1).argmax(-1, false).int64_value(&[]) as u32);
        }
        assert_eq!(together.tokens, grown[text.len()..]);
    }
}

fn study(model: &Model, change: impl Fn(SelfCorrection) -> SelfCorrection) -> Study {
    let task = ChoiceTask::load(root().join("data/ambiguous_qa.jsonl")).unwrap().limit(5, 3);
    let protocol = SelfCorrection::new(task).instructions([Instruction::named("L1").unwrap()]).rounds(2);
    change(protocol).run(model, everywhere()).unwrap()
}

#[test]
fn conversations_side_by_side_are_conversations_alone() {
    let Some(model) = smollm() else { return };
    let (together, alone) = (study(&model, |protocol| protocol), study(&model, |protocol| protocol.batch(1)));
    for (fast, plain) in together.rounds.iter().zip(&alone.rounds) {
        assert_same(&fast.activations, &plain.activations);
        for (fast, plain) in fast.answers.iter().zip(&plain.answers) {
            assert_eq!((&fast.text, fast.scored), (&plain.text, plain.scored));
            for (fast, plain) in fast.scores.iter().zip(&plain.scores) {
                assert!((fast.total - plain.total).abs() < 2e-3, "{} {}", fast.total, plain.total);
            }
        }
    }
    assert_eq!(together.conversations, alone.conversations);
}

#[test]
fn keys_and_values_stay_within_their_budget() {
    let Some(model) = smollm() else { return };
    let bytes = |study: &Study| study.provenance["cache_bytes"].parse::<usize>().unwrap();
    let wide = study(&model, |protocol| protocol);
    let budget = bytes(&wide) / 2;
    let narrow = study(&model, |protocol| protocol.cache_budget(budget));
    assert!(bytes(&narrow) <= budget && bytes(&narrow) > 0, "{} of {budget}", bytes(&narrow));
    assert_eq!(wide.conversations, narrow.conversations);

    let mut session = Session::new(&model).cache_limit(1 << 20);
    let long: Vec<u32> = (100..200).collect();
    let message = session.read(&[&long]).unwrap_err().to_string();
    assert!(message.contains("cache_budget") && message.contains("fewer side by side"), "{message}");
    session.read(&[&long[..10]]).unwrap();
    assert!(session.peak_cache_bytes() <= 1 << 20);
}
