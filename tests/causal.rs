//! Interventions do just what they say, and reach what comes later.

mod common;

use std::cell::RefCell;

use common::{max_difference, tiny};
use ndarray::Array1;
use probity::causal::Intervention;
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
