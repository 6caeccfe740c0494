//! Rows that end leave the batch, and nothing else changes: not what the others are, nor what is kept.

use std::cell::RefCell;

use common::{endless, max_abs, max_difference, smollm, tiny, values};
use probity::generate::{Continuation, Decoding, End, Session};
use probity::hook::{Hooks, Site};
use probity::model::LogitsFor;
use probity::text::{PadSide, TokenBatch};
use probity::Model;

const TEXTS: [&[u32]; 5] = [&[5, 6, 7, 8, 9], &[40, 41], &[100], &[7, 7, 7, 7, 7, 7, 7, 7], &[33, 34, 35]];

/// The last token's state after the last layer, of one text run alone and without a cache.
fn alone(model: &Model, text: &[u32]) -> Vec<f32> {
    let seen = RefCell::new(Vec::new());
    let mut hooks = Hooks::new();
    hooks.observe(Site::ResidPost.at(model.geometry().layers - 1), |states| {
        *seen.borrow_mut() = values(&states.select(1, -1));
        Ok(())
    });
    let batch = TokenBatch::new(&[text], PadSide::Right).unwrap();
    model.network().forward(&batch, None, &mut hooks, LogitsFor::None).unwrap();
    drop(hooks);
    seen.into_inner()
}

/// Stop tokens that end the rows of [`TEXTS`] at different lengths, and these lengths.
fn stops(model: &Model) -> (Vec<u32>, Vec<usize>) {
    let mut session = Session::new(model);
    session.read(&TEXTS).unwrap();
    let free = session.generate(&endless(10)).unwrap();
    let stops = vec![free[0].tokens[2], free[2].tokens[6], free[3].tokens[0]];
    let length = |row: &Continuation| row.tokens.iter().position(|id| stops.contains(id)).unwrap_or(10);
    let lengths: Vec<usize> = free.iter().map(length).collect();
    let mut unlike = lengths.clone();
    unlike.sort_unstable();
    unlike.dedup();
    assert!(unlike.len() >= 3, "{lengths:?}: the rows end at different times");
    (stops, lengths)
}

#[test]
fn rows_that_end_leave_the_batch_and_hooks_are_told_which_rows_are_in_it() {
    for name in ["tied", "odd_heads"] {
        let model = tiny(name);
        let (stops, lengths) = stops(&model);
        let mut session = Session::new(&model);
        session.read(&TEXTS).unwrap();
        let (steps, seen) = (RefCell::new(Vec::new()), RefCell::new(vec![Vec::new(); TEXTS.len()]));
        let last = Site::ResidPost.at(model.geometry().layers - 1);
        let found = session
            .generate_hooked(&Decoding::new(10).stop_tokens(stops), &[], |batch| {
                steps.borrow_mut().push(batch.texts.len());
                let (texts, seen) = (batch.texts.clone(), &seen);
                let mut hooks = Hooks::new();
                hooks.observe(last, move |states| {
                    assert_eq!(states.size()[..2], [texts.len() as i64, 1]);
                    for (place, &text) in texts.iter().enumerate() {
                        seen.borrow_mut()[text].push(values(&states.select(0, place as i64)));
                    }
                    Ok(())
                });
                hooks
            })
            .unwrap();
        let longest = lengths.iter().max().unwrap();
        let going_on = |step: usize| lengths.iter().filter(|&&length| length > step && step + 1 < 10).count();
        let expected: Vec<usize> = (0..*longest).map(going_on).filter(|&rows| rows > 0).collect();
        assert_eq!(steps.into_inner(), expected, "{name}: rows of each step");
        for ((text, row), states) in TEXTS.iter().zip(&found).zip(seen.into_inner()) {
            for (step, states) in states.iter().enumerate() {
                let reference = alone(&model, &[text, &row.tokens[..=step]].concat());
                let error = max_difference(states, &reference) / max_abs(&reference);
                assert!(error < 5e-5, "{name}, text {text:?}, step {step}: relative error {error:e}");
            }
        }
        for (row, length) in found.iter().zip(&lengths) {
            assert_eq!((row.tokens.len(), row.end == End::Length), (*length, *length == 10), "{name}");
        }
    }
}

#[test]
fn the_read_after_an_answer_reuses_it_in_every_row() {
    let model = tiny("tied");
    let (stops, lengths) = stops(&model);
    let mut session = Session::new(&model);
    session.read(&TEXTS).unwrap();
    let mut texts: Vec<Vec<u32>> = TEXTS.iter().map(|text| text.to_vec()).collect();
    for round in 0..2 {
        let decoding = Decoding::new(10).stop_tokens(stops.clone());
        let answers = session.generate(&decoding).unwrap();
        for (row, (text, answer)) in texts.iter_mut().zip(&answers).enumerate() {
            assert!(round > 0 || answer.tokens.len() == lengths[row]);
            text.extend(&answer.tokens);
            text.extend([3, 4, 5 + row as u32]);
        }
        let views: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
        let (mut run, seen) = (Vec::new(), RefCell::new(Vec::new()));
        let last = Site::ResidPost.at(model.geometry().layers - 1);
        session
            .read_hooked(&views, |batch| {
                run = batch.rows.iter().map(|row| row.len()).collect();
                let (rows, seen) = (batch.rows.clone(), &seen);
                let mut hooks = Hooks::new();
                hooks.observe(last, move |states| {
                    let state = |(row, at): (usize, &std::ops::Range<usize>)| {
                        values(&states.select(0, row as i64).select(0, at.end as i64 - 1))
                    };
                    *seen.borrow_mut() = rows.iter().enumerate().map(state).collect();
                    Ok(())
                });
                hooks
            })
            .unwrap();
        // Three new tokens, and the last of an answer that was not stopped: it was chosen, not run.
        let expected: Vec<usize> = answers.iter().map(|answer| 3 + usize::from(answer.end == End::Length)).collect();
        assert_eq!(run, expected, "round {round}");
        for (text, state) in texts.iter().zip(seen.into_inner()) {
            let reference = alone(&model, text);
            let error = max_difference(&state, &reference) / max_abs(&reference);
            assert!(error < 5e-5, "round {round}: relative error {error:e}");
        }
    }
}

#[test]
fn drawn_rows_keep_their_own_numbers_when_others_leave() {
    let Some(model) = smollm() else { return };
    let prompts = ["The best part of the day is", "Nobody had told him that", "One", "She asked: who", "1, 2, 3,"];
    let prompts = prompts.map(|text| model.tokenizer().encode(text).unwrap().ids);
    let full_stop = model.tokenizer().encode_rendered(".").unwrap();
    let decoding = Decoding::new(20).temperature(0.9).top_k(50).seed(4).stop_tokens(full_stop);
    let draw = |rows: &[usize]| {
        let texts: Vec<&[u32]> = rows.iter().map(|&row| prompts[row].as_slice()).collect();
        let keys: Vec<String> = rows.iter().map(|row| row.to_string()).collect();
        let mut session = Session::new(&model);
        session.read(&texts).unwrap();
        session.generate_hooked(&decoding, &keys, |_| Hooks::new()).unwrap()
    };
    let together = draw(&[0, 1, 2, 3, 4]);
    let mut lengths: Vec<usize> = together.iter().map(|row| row.tokens.len()).collect();
    for (row, answer) in together.iter().enumerate() {
        assert_eq!(draw(&[row]), std::slice::from_ref(answer), "row {row}");
    }
    lengths.sort_unstable();
    lengths.dedup();
    assert!(lengths.len() >= 3, "{lengths:?}: the rows end at different times");
}
