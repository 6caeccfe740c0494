//! Sites mean the additive thing: the identities of the residual stream at every layer.

use std::cell::RefCell;
use std::collections::BTreeMap;

use common::{fixture, floats, max_abs, max_difference, smollm, tiny, values, TINY};
use probity::hook::{Address, Hooks, Site};
use probity::model::LogitsFor;
use probity::text::{PadSide, TokenBatch};
use probity::Model;
use safetensors::SafeTensors;
use tch::{Kind, Tensor};

const SITES: [Site; 7] =
    [Site::Embed, Site::ResidPre, Site::ResidMid, Site::ResidPost, Site::AttnOut, Site::MlpOut, Site::HeadOut];

/// The tensors of `SITES` for two texts of unequal length.
fn states(model: &Model, texts: &[&[u32]]) -> BTreeMap<Address, Tensor> {
    let batch = TokenBatch::new(texts, PadSide::Right).unwrap();
    let seen: RefCell<BTreeMap<Address, Tensor>> = RefCell::default();
    let mut hooks = Hooks::new();
    for site in SITES {
        for address in site.all_layers().resolve(&model.geometry()).unwrap() {
            let seen = &seen;
            hooks.observe(address, move |tensor| {
                seen.borrow_mut().insert(address, tensor.copy());
                Ok(())
            });
        }
    }
    model.network().forward(&batch, None, &mut hooks, LogitsFor::None).unwrap();
    drop(hooks);
    seen.into_inner()
}

/// Relative difference, as everywhere: max |difference| / max |reference|.
fn close(what: &str, left: &Tensor, right: &Tensor, tolerance: f64) {
    let (left, right) = (values(left), values(right));
    let error = max_difference(&left, &right) / max_abs(&right);
    assert!(error <= tolerance, "{what}: relative difference {error:e}");
}

fn check(name: &str, model: &Model, texts: &[&[u32]], output_bias: impl Fn(usize) -> Option<Tensor>) {
    let seen = states(model, texts);
    let at = |site: Site, layer: usize| &seen[&site.at(layer)];
    close(name, &seen[&Address::EMBED], at(Site::ResidPre, 0), 0.0);
    for layer in 0..model.geometry().layers {
        let what = |identity: &str| format!("{name}, layer {layer}: {identity}");
        let after_attention = at(Site::ResidPre, layer) + at(Site::AttnOut, layer);
        close(&what("resid_pre + attn_out = resid_mid"), &after_attention, at(Site::ResidMid, layer), 1e-6);
        let after_mlp = at(Site::ResidMid, layer) + at(Site::MlpOut, layer);
        close(&what("resid_mid + mlp_out = resid_post"), &after_mlp, at(Site::ResidPost, layer), 1e-6);
        if layer > 0 {
            close(
                &what("resid_pre = the resid_post before"),
                at(Site::ResidPost, layer - 1),
                at(Site::ResidPre, layer),
                0.0,
            );
        }
        let mut heads = at(Site::HeadOut, layer).sum_dim_intlist(&[2i64][..], false, Kind::Float);
        if let Some(bias) = output_bias(layer) {
            heads += bias;
        }
        close(&what("sum of head_out + bias = attn_out"), &heads, at(Site::AttnOut, layer), 2e-5);
        // The sites differ from each other, so that none stands in for another.
        assert!(max_difference(&values(at(Site::ResidMid, layer)), &values(at(Site::ResidPost, layer))) > 0.0);
        assert!(max_difference(&values(at(Site::AttnOut, layer)), &values(at(Site::MlpOut, layer))) > 0.0);
    }
}

#[test]
fn additive_identities_hold_in_every_layer_of_the_tiny_models() {
    let mut biases = 0;
    for name in TINY {
        let model = tiny(name);
        let weights = fixture("tiny_llama").join(name).join("model.safetensors");
        let bytes = std::fs::read(weights).unwrap_or_default();
        let file = (!bytes.is_empty()).then(|| SafeTensors::deserialize(&bytes).unwrap());
        let mut count = 0;
        let bias = |layer: usize| {
            let key = format!("model.layers.{layer}.self_attn.o_proj.bias");
            let file = file.as_ref()?;
            file.tensor(&key).ok()?;
            Some(Tensor::from_slice(&floats(file, &key)))
        };
        count += (0..model.geometry().layers).filter(|&layer| bias(layer).is_some()).count();
        check(name, &model, &[&[5, 9, 200, 31, 7, 7, 44], &[17, 3]], bias);
        biases += count;
    }
    assert_eq!(biases, 3, "one fixture has output biases in its three layers");
}

#[test]
fn additive_identities_hold_in_every_layer_of_the_real_model() {
    let Some(model) = smollm() else { return };
    let long = model.tokenizer().encode("She said nothing and handed the letter back, unread, at noon.").unwrap().ids;
    let short = model.tokenizer().encode("Nobody asked.").unwrap().ids;
    check("SmolLM2", &model, &[&long, &short], |_| None);
}
