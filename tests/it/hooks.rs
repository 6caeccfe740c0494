//! Hooks observe, replace, compose, and never fail silently.

use std::cell::RefCell;

use common::{fixture, keep, max_abs, max_difference, smollm, tiny, values};
use probity::hook::{Address, Hooks, Site};
use probity::model::{LoadOptions, LogitsFor, Precision};
use probity::text::{PadSide, TokenBatch};
use probity::{Error, Model};
use tch::{Kind, Tensor};

const TEXT: &[u32] = &[5, 9, 200, 31, 7, 44];

fn logits(model: &Model, hooks: &mut Hooks<'_>) -> probity::Result<Vec<f32>> {
    let batch = TokenBatch::new(&[TEXT], PadSide::Right)?;
    let logits = model.network().forward(&batch, None, hooks, LogitsFor::All)?;
    Ok(values(&logits.unwrap()))
}

#[test]
fn a_replacement_changes_what_follows_and_nothing_before() {
    let model = tiny("tied");
    let plain = logits(&model, &mut Hooks::new()).unwrap();
    let (before, after) = (RefCell::new(Vec::new()), RefCell::new(Vec::new()));
    let mut hooks = Hooks::new();
    hooks
        .observe(Site::ResidMid.at(1), keep(&before))
        .replace(Site::MlpOut.at(1), |tensor| Ok(tensor.f_zeros_like()?))
        .observe(Site::ResidPost.at(1), keep(&after));
    let changed = logits(&model, &mut hooks).unwrap();
    drop(hooks);
    assert_eq!(before.into_inner(), after.into_inner(), "without its feed-forward part the layer adds nothing");
    assert!(max_difference(&changed, &plain) > 1e-3);
}

#[test]
fn hooks_at_one_address_run_in_the_order_of_their_adding() {
    let model = tiny("tied");
    let (first, second) = (RefCell::default(), RefCell::default());
    let mut hooks = Hooks::new();
    hooks
        .observe(Site::AttnOut.at(0), keep(&first))
        .replace(Site::AttnOut.at(0), |tensor| Ok(tensor.f_mul_scalar(3.0)?))
        .observe(Site::AttnOut.at(0), keep(&second));
    logits(&model, &mut hooks).unwrap();
    drop(hooks);
    let tripled: Vec<f32> = first.into_inner().into_iter().map(|value| 3.0 * value).collect();
    assert!(!tripled.is_empty());
    assert_eq!(second.into_inner(), tripled);
}

#[test]
fn a_replacement_may_be_of_another_precision() {
    for precision in [Precision::F32, Precision::Bf16] {
        let model = LoadOptions::default().precision(precision).load(fixture("tiny_llama/odd_heads")).unwrap();
        let plain = logits(&model, &mut Hooks::new()).unwrap();
        for site in Site::ALL {
            let mut hooks = Hooks::new();
            let address = if site.is_per_layer() { site.at(1) } else { site.name().parse().unwrap() };
            hooks.replace(address, |tensor| {
                let other = if tensor.kind() == Kind::Float { Kind::BFloat16 } else { Kind::Float };
                Ok(tensor.f_to_kind(other)?)
            });
            let found =
                logits(&model, &mut hooks).unwrap_or_else(|error| panic!("{} {site}: {error}", precision.name()));
            let error = max_difference(&found, &plain) / max_abs(&plain);
            assert!(error < 0.02, "{} {site}: {error:e}", precision.name());
        }
    }
}

#[test]
fn one_head_is_seen_and_replaced_alone() {
    let model = tiny("odd_heads");
    let (whole, head, after) = (RefCell::default(), RefCell::default(), RefCell::default());
    let mut hooks = Hooks::new();
    hooks
        .observe(Site::Z.at(2), keep(&whole))
        .observe(Site::Z.at(2).head(3), keep(&head))
        .replace(Site::Z.at(2).head(3), |tensor| Ok(tensor.f_zeros_like()?))
        .observe(Site::Z.at(2), keep(&after));
    logits(&model, &mut hooks).unwrap();
    drop(hooks);
    let (heads, width) = (model.geometry().heads, model.config().unwrap().head_size);
    let third: Vec<f32> = whole.into_inner().chunks(width).skip(3).step_by(heads).flatten().copied().collect();
    assert_eq!(third, head.into_inner());
    let zero = |values: &[f32]| values.iter().all(|&value| value == 0.0);
    for (number, part) in after.into_inner().chunks(width).enumerate() {
        assert_eq!(zero(part), number % heads == 3, "head {}", number % heads);
    }
}

#[test]
fn removing_a_heads_output_is_removing_its_values() {
    let model = tiny("odd_heads");
    let run = |site: Site| {
        let mut hooks = Hooks::new();
        hooks.replace(site.at(1).head(2), |tensor| Ok(tensor.f_zeros_like()?));
        logits(&model, &mut hooks).unwrap()
    };
    let (by_output, by_values) = (run(Site::HeadOut), run(Site::Z));
    assert!(max_difference(&by_output, &by_values) / max_abs(&by_values) < 1e-5);
}

#[test]
fn an_unknown_address_is_refused_with_the_nearest() {
    let model = tiny("tied");
    let mut hooks = Hooks::new();
    hooks.observe(Site::ResidPost.at(17), |_| Ok(()));
    let error = logits(&model, &mut hooks).unwrap_err();
    assert!(matches!(&error, Error::UnknownAddress { .. }));
    assert!(error.to_string().contains("L17.resid_post") && error.to_string().contains("L2.resid_post"), "{error}");
}

#[test]
fn a_hook_that_never_fires_is_an_error() {
    let model = tiny("tied");
    let batch = TokenBatch::new(&[TEXT], PadSide::Right).unwrap();
    let mut hooks = Hooks::new();
    // Nobody asked for logits but the hook: that is enough for it to fire.
    hooks.observe(Address::LOGITS, |_| Ok(()));
    assert!(model.network().forward(&batch, None, &mut hooks, LogitsFor::None).unwrap().is_none());

    // A model of one's own that forgets a site.
    let mut hooks = Hooks::new();
    hooks.observe(Site::MlpOut.at(1), |_| Ok(())).observe(Site::MlpOut.at(0), |_| Ok(()));
    hooks.begin(&model.geometry()).unwrap();
    let _ = hooks.tap(Site::MlpOut, 0, Tensor::zeros([1, 1, 4], (Kind::Float, tch::Device::Cpu))).unwrap();
    let error = hooks.finish().unwrap_err();
    assert!(matches!(&error, Error::HookNeverFired(at) if at.address == "L1.mlp_out"));
    assert!(error.to_string().contains("L0.mlp_out"), "{error}");
}

#[test]
fn a_replacement_of_another_shape_is_refused() {
    let model = tiny("tied");
    let mut hooks = Hooks::new();
    hooks.replace(Site::MlpOut.at(0), |tensor| Ok(tensor.f_narrow(1, 0, 2)?));
    let error = logits(&model, &mut hooks).unwrap_err();
    assert!(matches!(&error, Error::TensorShape(at) if at.tensor == "L0.mlp_out"), "{error}");
}

#[test]
fn an_error_of_a_hook_ends_the_pass() {
    let model = tiny("tied");
    let mut hooks = Hooks::new();
    hooks.observe(Site::ResidPost.at(0), |_| Err(Error::NoTemplate));
    assert!(matches!(logits(&model, &mut hooks), Err(Error::NoTemplate)));
}

#[test]
fn a_pass_without_hooks_needs_no_layers_unless_logits_are_asked() {
    let model = tiny("tied");
    let batch = TokenBatch::new(&[TEXT], PadSide::Right).unwrap();
    assert!(model.network().forward(&batch, None, &mut Hooks::new(), LogitsFor::None).unwrap().is_none());
}

#[test]
fn asking_for_the_pattern_changes_no_state() {
    let Some(model) = smollm() else { return };
    let ids = model.tokenizer().encode("Two of the boxes were empty when we came back.").unwrap().ids;
    let texts: [&[u32]; 2] = [&ids, &ids[..3]];
    let run = |with_pattern: bool| {
        let batch = TokenBatch::new(&texts, PadSide::Left).unwrap();
        let (states, rows) = (RefCell::new(Vec::new()), RefCell::new(Vec::new()));
        let mut hooks = Hooks::new();
        hooks.observe(Site::ResidPost.at(29), |tensor| keep(&states)(&tensor.select(0, 0)));
        if with_pattern {
            for layer in 0..30 {
                let rows = &rows;
                hooks.observe(Site::Pattern.at(layer), move |tensor| {
                    rows.borrow_mut().extend(values(&tensor.select(0, 0).sum_dim_intlist(
                        &[-1i64][..],
                        false,
                        Kind::Float,
                    )));
                    Ok(())
                });
            }
        }
        model.network().forward(&batch, None, &mut hooks, LogitsFor::None).unwrap();
        drop(hooks);
        (states.into_inner(), rows.into_inner())
    };
    let ((fused, _), (eager, sums)) = (run(false), run(true));
    assert!(max_difference(&eager, &fused) / max_abs(&fused) < 2e-5);
    assert_eq!(sums.len(), 30 * 9 * ids.len());
    assert!(sums.iter().all(|sum| (sum - 1.0).abs() < 1e-5));
}
