//! Interventions do just what they say, and reach what comes later.

use std::cell::RefCell;

use common::{endless, keep, max_difference, tiny, tokens};
use ndarray::Array1;
use probity::causal::Intervention;
use probity::generate::Session;
use probity::hook::{Hooks, Site};
use probity::model::LogitsFor;
use probity::probe::Direction;
use probity::text::{PadSide, TokenBatch};
use probity::{Error, Model};
use tch::{Kind, Tensor};

/// Projections on `direction` at its address, and the last layer's states.
fn run(model: &Model, direction: &Direction, intervention: Option<&Intervention>) -> (Vec<f64>, Vec<f32>) {
    let batch = TokenBatch::new(&[&[5, 9, 200], &[31]], PadSide::Right).unwrap();
    let (projections, last) = (RefCell::new(Vec::new()), RefCell::new(Vec::new()));
    let unit = Tensor::from_slice(&direction.unit().to_vec());
    let mut hooks = Hooks::new();
    if let Some(intervention) = intervention {
        intervention.attach(&mut hooks);
    }
    hooks
        .observe(direction.address(), |states| {
            *projections.borrow_mut() = Vec::try_from(states.to_kind(Kind::Double).matmul(&unit).flatten(0, -1))?;
            Ok(())
        })
        .observe(Site::ResidPost.at(2), |states| {
            *last.borrow_mut() = Vec::try_from(states.flatten(0, -1))?;
            Ok(())
        });
    model.network().forward(&batch, None, &mut hooks, LogitsFor::None).unwrap();
    drop(hooks);
    (projections.into_inner(), last.into_inner())
}

#[test]
fn adding_shifts_the_projection_by_the_amount() {
    let model = tiny("tied");
    let weights = Array1::from_shape_fn(model.config().unwrap().d_model, |i| (i as f64 * 0.7).sin());
    let direction = Direction::new(Site::ResidMid.at(1), weights);
    let (plain, before) = run(&model, &direction, None);
    let (shifted, after) = run(&model, &direction, Some(&Intervention::add(&direction, -2.5)));
    assert_eq!(plain.len(), 6);
    assert!(plain.iter().zip(&shifted).all(|(plain, shifted)| (shifted - plain + 2.5).abs() < 1e-5));
    assert!(max_difference(&before, &after) > 0.1, "later layers feel it");
}

#[test]
fn removing_leaves_no_projection() {
    let model = tiny("odd_heads");
    let weights = Array1::from_shape_fn(model.config().unwrap().d_model, |i| (i as f64 * 0.3).cos());
    let direction = Direction::new(Site::MlpOut.at(0), weights);
    let (plain, _) = run(&model, &direction, None);
    let (removed, _) = run(&model, &direction, Some(&Intervention::remove(&direction)));
    assert!(plain.iter().any(|value| value.abs() > 1e-3));
    assert!(removed.iter().all(|value| value.abs() < 1e-5));
}

#[test]
fn a_direction_of_another_model_is_refused() {
    let model = tiny("tied");
    let direction = Direction::new(Site::ResidMid.at(1), Array1::ones(7));
    let intervention = Intervention::add(&direction, 1.0);
    let mut hooks = Hooks::new();
    intervention.attach(&mut hooks);
    let batch = TokenBatch::new(&[&[5, 9]], PadSide::Right).unwrap();
    let error = model.network().forward(&batch, None, &mut hooks, LogitsFor::All).unwrap_err();
    assert!(matches!(error, Error::Mismatch { .. }));
    assert!(error.to_string().contains("L1.resid_mid") && error.to_string().contains("width 7"), "{error}");
}

#[test]
fn steering_a_cached_answer_is_steering_the_whole_text() {
    let model = tiny("tied");
    let weights = Array1::from_shape_fn(model.config().unwrap().d_model, |i| (i as f64 * 0.7).sin());
    let push = Intervention::add(&Direction::new(Site::ResidMid.at(1), weights), 4.0);
    let steer = |_: &TokenBatch| {
        let mut hooks = Hooks::new();
        push.attach(&mut hooks);
        hooks
    };
    let texts: [&[u32]; 2] = [&[5, 9, 200, 31], &[44, 7]];
    let mut session = Session::new(&model);
    session.read_hooked(&texts, steer).unwrap();
    let steered = tokens(session.generate_hooked(&endless(10), &[], steer).unwrap());
    for (text, steered) in texts.iter().zip(&steered) {
        let mut grown = text.to_vec();
        for _ in 0..10 {
            let batch = TokenBatch::new(&[&grown], PadSide::Right).unwrap();
            let logits = model.network().forward(&batch, None, &mut steer(&batch), LogitsFor::Last).unwrap().unwrap();
            grown.push(logits.argmax(-1, false).int64_value(&[0, 0]) as u32);
        }
        assert_eq!(steered, &grown[text.len()..]);
    }
    session.read(&texts).unwrap();
    assert_ne!(tokens(session.generate(&endless(10)).unwrap()), steered, "and the next read is the model's own again");
}

#[test]
fn chosen_positions_and_heads_change_and_no_others() {
    let model = tiny("odd_heads");
    let address = Site::Z.at(1).head(2);
    let run = |at: Option<Vec<std::ops::Range<usize>>>| {
        let batch = TokenBatch::new(&[&[5, 9, 200], &[31, 8]], PadSide::Right).unwrap();
        let seen = RefCell::new(Vec::new());
        let double = Intervention::scale(address, 2.0);
        let mut hooks = Hooks::new();
        if let Some(columns) = at {
            double.attach_at(&mut hooks, columns);
        }
        hooks.observe(Site::Z.at(1), keep(&seen));
        let done = model.network().forward(&batch, None, &mut hooks, LogitsFor::None);
        drop(hooks);
        done.map(|_| seen.into_inner())
    };
    let (plain, changed) = (run(None).unwrap(), run(Some(vec![1..3, 0..1])).unwrap());
    let (heads, size) = (model.geometry().heads, model.config().unwrap().head_size);
    for (number, (plain, changed)) in plain.chunks(size).zip(changed.chunks(size)).enumerate() {
        let (token, head) = (number / heads, number % heads);
        let chosen = head == 2 && [1, 2, 3].contains(&token);
        let factor = if chosen { 2.0 } else { 1.0 };
        assert!(plain.iter().zip(changed).all(|(a, b)| (a * factor - b).abs() < 1e-6), "token {token}, head {head}");
    }
    assert!(matches!(run(Some(vec![0..1; 3])), Err(Error::RowCount(at)) if at.expected == 2 && at.found == 3));
}
