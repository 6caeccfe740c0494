//! Tiny random Llama models from Hugging Face directories against transformers, at every site.
//! `tests/reference/make_fixtures.py` makes them.

use std::cell::RefCell;
use std::collections::BTreeMap;

use common::{fixture, floats, integers, max_abs, max_difference, tiny, TINY};
use probity::hook::{Hooks, Site};
use probity::model::LogitsFor;
use probity::text::{PadSide, TokenBatch};
use probity::Model;
use safetensors::SafeTensors;
use tch::{Kind, Tensor};

/// The sites that the reference exposes.
const SITES: [Site; 15] = [
    Site::Embed,
    Site::ResidPre,
    Site::AttnNorm,
    Site::Q,
    Site::K,
    Site::V,
    Site::Z,
    Site::AttnOut,
    Site::ResidMid,
    Site::MlpNorm,
    Site::MlpAct,
    Site::MlpOut,
    Site::ResidPost,
    Site::FinalNorm,
    Site::Logits,
];

/// States of each text at every address, `[t, ...]` flattened, by "s{text}.{address}".
fn run(model: &Model, texts: &[Vec<u32>], side: PadSide) -> BTreeMap<String, Vec<f32>> {
    let rows: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
    let batch = TokenBatch::new(&rows, side).unwrap();
    let seen: RefCell<BTreeMap<String, Vec<f32>>> = RefCell::default();
    let spans = batch.rows.clone();
    let mut hooks = Hooks::new();
    for site in SITES {
        for address in site.all_layers().resolve(&model.geometry()).unwrap() {
            let (seen, spans) = (&seen, &spans);
            hooks.observe(address, move |tensor: &Tensor| {
                for (row, span) in spans.iter().enumerate() {
                    let part = tensor.select(0, row as i64).narrow(0, span.start as i64, span.len() as i64);
                    let values = Vec::<f32>::try_from(part.to_kind(Kind::Float).flatten(0, -1)).unwrap();
                    seen.borrow_mut().insert(format!("s{row}.{address}"), values);
                }
                Ok(())
            });
        }
    }
    model.network().forward(&batch, None, &mut hooks, LogitsFor::All).unwrap();
    drop(hooks);
    seen.into_inner()
}

#[test]
fn every_site_of_every_tiny_model_agrees_with_transformers() {
    for name in TINY {
        let model = tiny(name);
        let bytes = std::fs::read(fixture("tiny_llama").join(name).join("reference.safetensors")).unwrap();
        let reference = SafeTensors::deserialize(&bytes).unwrap();
        let texts: Vec<Vec<u32>> = (0..3)
            .map(|text| integers(&reference, &format!("s{text}.ids")).iter().map(|&id| id as u32).collect())
            .collect();
        let alone: BTreeMap<String, Vec<f32>> = texts
            .iter()
            .enumerate()
            .flat_map(|(number, text)| {
                let states = run(&model, std::slice::from_ref(text), PadSide::Right);
                states.into_iter().map(move |(key, values)| (key.replacen("s0", &format!("s{number}"), 1), values))
            })
            .collect();
        let right = run(&model, &texts, PadSide::Right);
        let left = run(&model, &texts, PadSide::Left);
        let mut compared = 0;
        for (how, states) in [("alone", &alone), ("right", &right), ("left", &left)] {
            for (key, ours) in states {
                let theirs = floats(&reference, key);
                let error = max_difference(ours, &theirs) / max_abs(&theirs);
                assert!(error <= 5e-5, "{name} {how} {key}: relative error {error:e}");
                compared += 1;
            }
        }
        assert_eq!(compared, 3 * 3 * (3 + 3 * 12), "{name}: all texts, sites and layers");
    }
}

#[test]
fn templates_and_tokenisers_of_directories_load() {
    let model = tiny("tied");
    use probity::text::{Message, Role};
    let text = model.template().unwrap().render(&[Message::new(Role::User, " hello ")], true).unwrap();
    assert_eq!(text, "<s>[user] hello\n[assistant]");
    let tokens = model.tokenizer().encode("the first market day").unwrap();
    assert_eq!(model.tokenizer().decode(&tokens.ids).unwrap(), "the first market day");
    assert_eq!(model.stop_tokens(), [1]);
}
