//! A session's cache is an economy, never a difference: cached = recomputed.

use std::cell::RefCell;

use common::{endless, max_abs, max_difference, smollm, tiny, tokens, values};
use ndarray::Array1;
use probity::causal::Intervention;
use probity::generate::{Decoding, End, Session};
use probity::hook::{Hooks, Site};
use probity::model::LogitsFor;
use probity::probe::Direction;
use probity::text::{PadSide, TokenBatch};
use probity::{Error, Model};
use tch::{Kind, Tensor};

const SITE: Site = Site::ResidPost;

/// Log-probabilities of the next token at every position of one text, run alone and without a cache.
fn recomputed(model: &Model, text: &[u32]) -> Tensor {
    let batch = TokenBatch::new(&[text], PadSide::Right).unwrap();
    let logits = model.network().forward(&batch, None, &mut Hooks::new(), LogitsFor::All).unwrap().unwrap();
    logits.squeeze_dim(0).log_softmax(-1, Kind::Float)
}

/// The last token's state in every layer, run alone and without a cache.
fn recomputed_states(model: &Model, text: &[u32]) -> Vec<f32> {
    let batch = TokenBatch::new(&[text], PadSide::Right).unwrap();
    let seen = RefCell::new(Vec::new());
    let mut hooks = Hooks::new();
    for layer in 0..model.geometry().layers {
        let seen = &seen;
        hooks.observe(SITE.at(layer), move |states| {
            seen.borrow_mut().extend(values(&states.select(1, states.size()[1] - 1)));
            Ok(())
        });
    }
    model.network().forward(&batch, None, &mut hooks, LogitsFor::None).unwrap();
    drop(hooks);
    seen.into_inner()
}

/// Reads texts in a session; the states of each text's last token in every layer, and the tokens run.
fn read(session: &mut Session<'_>, model: &Model, texts: &[&[u32]]) -> (Vec<Vec<f32>>, usize) {
    let seen = RefCell::new(vec![Vec::new(); texts.len()]);
    let mut run = 0;
    session
        .read_hooked(texts, |batch| {
            run = batch.rows.iter().map(|row| row.len()).sum();
            let ends: Vec<i64> = batch.rows.iter().map(|row| row.end as i64 - 1).collect();
            let mut hooks = Hooks::new();
            for layer in 0..model.geometry().layers {
                let (seen, ends) = (&seen, ends.clone());
                hooks.observe(SITE.at(layer), move |states| {
                    for (row, (&end, seen)) in ends.iter().zip(seen.borrow_mut().iter_mut()).enumerate() {
                        seen.extend(values(&states.select(0, row as i64).select(0, end)));
                    }
                    Ok(())
                });
            }
            hooks
        })
        .unwrap();
    (seen.into_inner(), run)
}

fn check_growth(model: &Model, turns: &[Vec<Vec<u32>>], expected_runs: &[usize]) {
    let mut session = Session::new(model);
    for (turn, (texts, &expected)) in turns.iter().zip(expected_runs).enumerate() {
        let texts: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
        let (states, run) = read(&mut session, model, &texts);
        assert_eq!(run, expected, "turn {turn}: tokens run");
        for (row, (text, ours)) in texts.iter().zip(&states).enumerate() {
            let alone = recomputed_states(model, text);
            let error = max_difference(ours, &alone) / max_abs(&alone);
            assert!(error < 5e-5, "turn {turn}, row {row}: relative error {error:e}");
        }
    }
}

#[test]
fn texts_that_grow_shrink_and_branch_read_as_if_alone() {
    let turns = [
        vec![vec![5, 6, 7, 8], vec![9, 10]],
        // Both grow, by unequal lengths.
        vec![vec![5, 6, 7, 8, 11], vec![9, 10, 12, 13, 14, 15]],
        // One branches off in the middle, one is taken back.
        vec![vec![5, 6, 20, 21, 22], vec![9, 10, 12]],
        // The same again: only the last token is run.
        vec![vec![5, 6, 20, 21, 22], vec![9, 10, 12]],
        // Quite other texts.
        vec![vec![30, 31, 32], vec![33]],
    ];
    for name in ["tied", "odd_heads"] {
        check_growth(&tiny(name), &turns, &[6, 1 + 4, 3 + 1, 2, 4]);
    }
}

#[test]
fn the_real_models_rounds_read_as_if_alone() {
    let Some(model) = smollm() else { return };
    let ids = |text: &str| model.tokenizer().encode(text).unwrap().ids;
    let (a, b) = (ids("The clerk counted the notes twice and said"), ids("Who was it?"));
    let grown = |text: &[u32], more: &str| [text, &ids(more)].concat();
    let turns = [
        vec![a.clone(), b.clone()],
        vec![grown(&a, " that one was missing, and then he looked at me."), grown(&b, " Nobody.")],
    ];
    let runs: Vec<usize> = vec![a.len() + b.len(), turns[1][0].len() - a.len() + turns[1][1].len() - b.len()];
    check_growth(&model, &turns, &runs);
}

#[test]
fn options_score_as_in_a_full_pass_and_leave_the_cache_as_it_was() {
    let model = tiny("tied");
    let texts: [&[u32]; 2] = [&[5, 6, 7, 8, 9], &[40, 41]];
    let options = vec![vec![vec![50], vec![51, 52, 53]], vec![vec![60, 61], vec![62, 63, 64]]];
    let mut session = Session::new(&model);
    read(&mut session, &model, &texts);
    let scores = session.score(&options).unwrap();
    for (row, text) in texts.iter().enumerate() {
        for (number, option) in options[row].iter().enumerate() {
            let logs = recomputed(&model, &[text, option.as_slice()].concat());
            let expected: f64 = option
                .iter()
                .enumerate()
                .map(|(at, &id)| logs.double_value(&[(text.len() + at) as i64 - 1, i64::from(id)]))
                .sum();
            let score = scores[row][number];
            assert_eq!(score.tokens, option.len());
            assert!((score.total - expected).abs() < 1e-4, "row {row}, option {number}: {} {expected}", score.total);
            assert!((score.mean() - score.total / option.len() as f64).abs() < 1e-12);
        }
    }
    assert_eq!(session.score(&options).unwrap(), scores, "scoring is no event in the conversation");
}

#[test]
fn cached_decoding_equals_recomputed_decoding() {
    for name in ["tied", "untied_sharded"] {
        let model = tiny(name);
        let texts: [&[u32]; 3] = [&[5, 6, 7, 8, 9], &[40, 41], &[100]];
        let mut session = Session::new(&model);
        read(&mut session, &model, &texts);
        let cached = tokens(session.generate(&endless(12)).unwrap());
        for (text, cached) in texts.iter().zip(&cached) {
            let mut grown = text.to_vec();
            for _ in 0..12 {
                let logs = recomputed(&model, &grown);
                grown.push(logs.select(0, -1).argmax(-1, false).int64_value(&[]) as u32);
            }
            assert_eq!(cached, &grown[text.len()..], "{name}");
        }
    }
}

#[test]
fn a_stop_token_ends_its_row_only() {
    let model = tiny("tied");
    let texts: [&[u32]; 2] = [&[5, 6, 7, 8, 9], &[40, 41]];
    let mut session = Session::new(&model);
    read(&mut session, &model, &texts);
    let free = tokens(session.generate(&endless(10)).unwrap());
    let stop = free[0][4];
    let expected: Vec<Vec<u32>> =
        free.iter().map(|row| row.iter().copied().take_while(|&id| id != stop).collect()).collect();
    assert_ne!(expected[0].len(), expected[1].len(), "the stop token tells the rows apart");
    read(&mut session, &model, &texts);
    assert_eq!(tokens(session.generate(&Decoding::new(10).stop_tokens([stop])).unwrap()), expected);
}

#[test]
fn wrong_use_is_an_error_and_the_session_stays_usable() {
    let model = tiny("tied");
    let mut session = Session::new(&model);
    assert!(matches!(session.generate(&Decoding::new(3)), Err(Error::Setting { .. })));
    assert!(matches!(session.score(&[vec![vec![1]]]), Err(Error::Setting { .. })));
    let long = vec![7; model.context() + 1];
    assert!(matches!(session.read(&[&[1], &long]), Err(Error::TextLength(at)) if at.tokens == 65));
    assert!(matches!(session.read(&[&[]]), Err(Error::TextLength(at)) if at.tokens == 0));
    session.read(&[&[1, 2]]).unwrap();
    assert!(matches!(session.score(&[vec![vec![]]]), Err(Error::Setting { .. })));
    assert!(matches!(session.score(&[]), Err(Error::RowCount(at)) if at.expected == 1 && at.found == 0));
    // The context is full before the answer is.
    let full = &long[..60];
    session.read(&[full]).unwrap();
    assert!(matches!(session.generate(&endless(10)), Err(Error::TextLength { .. })));
    // A hook that fails leaves no cache behind that claims tokens it never saw.
    let failing = |_: &TokenBatch| {
        let mut hooks = Hooks::new();
        hooks.observe(SITE.at(1), |_| Err(Error::NoTemplate));
        hooks
    };
    assert!(session.read_hooked(&[&[1, 2, 3]], failing).is_err());
    let (states, run) = read(&mut session, &model, &[&[1, 2, 3, 4]]);
    assert_eq!(run, 4);
    assert!(max_difference(&states[0], &recomputed_states(&model, &[1, 2, 3, 4])) < 1e-4);
}

#[test]
fn an_intervention_needs_a_fresh_session_and_leaves_no_trace_in_the_next_read() {
    let model = tiny("tied");
    let width = model.config().unwrap().d_model;
    let direction = Direction::new(Site::ResidPost.at(0), Array1::from_shape_fn(width, |i| (i as f64).cos()));
    let push = Intervention::add(&direction, 20.0);
    let steered = |_: &TokenBatch| {
        let mut hooks = Hooks::new();
        push.attach(&mut hooks);
        hooks
    };
    let text: &[u32] = &[5, 6, 7, 8, 9];
    let option = [vec![vec![50, 51]]];
    let score = |session: &mut Session<'_>| session.score(&option).unwrap()[0][0].total;

    let mut session = Session::new(&model);
    session.read(&[text]).unwrap();
    let clean = score(&mut session);
    assert!(session.read_hooked(&[text], steered).unwrap_err().to_string().contains("read nothing yet"));

    let mut session = Session::new(&model);
    session.read_hooked(&[text], steered).unwrap();
    assert!((score(&mut session) - clean).abs() > 0.1, "the intervention matters");
    session.read(&[text]).unwrap();
    assert!((score(&mut session) - clean).abs() < 1e-4, "and is gone");
}

#[test]
fn a_row_that_has_ended_does_not_outgrow_the_context() {
    let model = tiny("tied");
    let long: Vec<u32> = (0..64).map(|at| 3 + at % 200).collect();
    let mut session = Session::new(&model);
    session.read(&[&long]).unwrap();
    let stop = tokens(session.generate(&endless(1)).unwrap())[0][0];
    let short: &[u32] = &[40, 41];
    session.read(&[short]).unwrap();
    let alone = tokens(session.generate(&Decoding::new(6).stop_tokens([stop])).unwrap()).remove(0);
    assert!(!alone.is_empty());
    session.read(&[&long, short]).unwrap();
    assert_eq!(tokens(session.generate(&Decoding::new(6).stop_tokens([stop])).unwrap()), [vec![], alone]);
}

#[test]
fn drawn_answers_do_not_depend_on_the_batch() {
    let Some(model) = smollm() else { return };
    let prompts: Vec<Vec<u32>> = ["The best part of the day is", "Nobody had told him that", "One"]
        .map(|text| model.tokenizer().encode(text).unwrap().ids)
        .into();
    let decoding = Decoding::new(24).temperature(0.9).top_p(0.95).seed(5);
    let draw = |rows: &[usize], decoding: &Decoding| {
        let texts: Vec<&[u32]> = rows.iter().map(|&row| prompts[row].as_slice()).collect();
        let keys: Vec<String> = rows.iter().map(|row| format!("prompt {row}")).collect();
        let mut session = Session::new(&model);
        session.read(&texts).unwrap();
        session.generate_hooked(decoding, &keys, |_| Hooks::new()).unwrap()
    };
    let together = draw(&[0, 1, 2], &decoding);
    for (row, answer) in together.iter().enumerate() {
        assert_eq!(draw(&[row], &decoding), std::slice::from_ref(answer));
    }
    assert_eq!(draw(&[2, 0], &decoding), [together[2].clone(), together[0].clone()]);
    assert_ne!(draw(&[0], &decoding.clone().seed(6)), together[..1]);
    // One token to draw from is the most probable one.
    assert_eq!(draw(&[0, 1], &decoding.top_k(1)), draw(&[0, 1], &Decoding::new(24)));
}

#[test]
fn answers_say_why_they_ended() {
    let model = tiny("tied");
    let text: &[u32] = &[5, 6, 7, 8, 9];
    let mut session = Session::new(&model);
    let mut generate = |decoding: Decoding| {
        session.read(&[text]).unwrap();
        session.generate(&decoding).unwrap().remove(0)
    };
    let free = generate(endless(10));
    assert_eq!((free.tokens.len(), free.end), (10, End::Length));
    assert_eq!(free.text, model.tokenizer().decode(&free.tokens).unwrap());
    let stopped = generate(Decoding::new(10).stop_tokens([free.tokens[4]]));
    assert_eq!((stopped.tokens.as_slice(), stopped.end), (&free.tokens[..4], End::StopToken));
    // Cut before the string, wherever it lies in a token.
    let middle = free.text.char_indices().nth(free.text.chars().count() / 2).unwrap().0;
    let stop: String = free.text[middle..].chars().take(2).collect();
    let cut = generate(endless(10).stop([stop.clone()]));
    assert_eq!((cut.text.as_str(), cut.end), (&free.text[..free.text.find(&stop).unwrap()], End::StopString));
    assert!(cut.tokens.len() <= 10 && free.tokens.starts_with(&cut.tokens));
}

#[test]
fn next_tokens_have_the_logarithms_of_a_pass_alone() {
    let model = tiny("tied");
    let texts: [&[u32]; 2] = [&[5, 6, 7, 8, 9], &[40, 41]];
    let mut session = Session::new(&model);
    assert!(session.next_tokens(&[1]).is_err());
    read(&mut session, &model, &texts);
    let found = session.next_tokens(&[3, 77]).unwrap();
    for (text, found) in texts.iter().zip(&found) {
        let logs = recomputed(&model, text);
        for (&id, found) in [3_i64, 77].iter().zip(found) {
            assert!((logs.double_value(&[text.len() as i64 - 1, id]) - found).abs() < 1e-4);
        }
    }
    assert!(session.next_tokens(&[1 << 20]).is_err());
}
