//! Where a projection comes from: the parts add up, in every family and in the real model.

use std::path::PathBuf;

use common::{fixture, smollm, tiny};
use ndarray::Array1;
use probity::capture::{Pool, Readout};
use probity::causal::{Attribution, Component};
use probity::dialogue::Transcript;
use probity::hook::{Address, Site};
use probity::model::{LoadOptions, Precision};
use probity::probe::Direction;
use probity::stats::ClusterBootstrap;
use probity::text::{Role, Text, Tokenizer};
use probity::{Error, Model};
use safetensors::SafeTensors;

fn direction(address: Address, d: usize) -> Direction {
    Direction::new(address, Array1::from_shape_fn(d, |i| (0.3 + i as f64 * 1.7).sin()))
}

fn width(model: &Model) -> usize {
    model.config().unwrap().d_model
}

fn texts() -> Vec<Text> {
    ["we met again", "the first market day", "a longer text than the others"]
        .iter()
        .enumerate()
        .map(|(n, text)| Text::new(format!("t{n}"), *text))
        .collect()
}

/// A tokeniser for models that came without: numbers below 64 are their own tokens.
fn numbers() -> Tokenizer {
    let words: serde_json::Map<_, _> = (0..64).map(|id| (id.to_string(), id.into())).collect();
    let tokenizer = serde_json::json!({
        "version": "1.0", "added_tokens": [], "truncation": null, "padding": null, "normalizer": null,
        "pre_tokenizer": { "type": "Whitespace" }, "post_processor": null, "decoder": null,
        "model": { "type": "WordLevel", "vocab": words, "unk_token": "0" },
    });
    Tokenizer::from_json(&tokenizer.to_string()).unwrap()
}

/// The parts add up at every kind of address; returns the largest share that attention adds beyond its heads.
fn adds_up(model: &Model, texts: &[Text]) -> f64 {
    let layers = model.geometry().layers;
    let mut beyond_heads = 0.0_f64;
    for address in [
        Site::ResidPre.at(0),
        Site::ResidPre.at(layers - 1),
        Site::ResidMid.at(layers / 2),
        Site::ResidPost.at(layers - 1),
        Address::FINAL_NORM,
    ] {
        let direction = direction(address, width(model));
        let found = Attribution::new(&direction).run(model, texts).unwrap();
        assert!(found.closure() < 1e-4, "{address}: {:e}", found.closure());
        // The totals are the states' own projections.
        let states = Readout::new(address, Pool::Last).capture(model, texts).unwrap();
        assert_eq!(found.totals(), direction.project(states.at(address).unwrap()).unwrap());
        let largest = found.totals().iter().fold(0.0_f64, |largest, total| largest.max(total.abs()));
        for (part, column) in found.components().iter().zip(found.values().columns()) {
            if matches!(part, Component::AttentionBias { .. }) {
                beyond_heads = column.iter().fold(beyond_heads, |most, value| most.max(value.abs() / largest));
            }
        }
    }
    beyond_heads
}

#[test]
fn the_parts_add_up_in_every_family() {
    if !fixture("families").is_dir() {
        eprintln!("SKIPPED: no fixtures of families (they are in the repository, not in the package)");
        return;
    }
    let inside = |path: PathBuf| std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    let mut variants: Vec<PathBuf> = inside(fixture("families")).flat_map(inside).collect();
    variants.sort();
    assert_eq!(variants.len(), 21);
    let mut with_bias = 0;
    for folder in variants {
        let decoder = LoadOptions::default().precision(Precision::F32).load_decoder(&folder).unwrap();
        // By the names of Llama's kind, GPT-2 and GPT-NeoX.
        let bytes = std::fs::read(folder.join("model.safetensors")).unwrap();
        let names = ["o_proj.bias", "attn.c_proj.bias", "attention.dense.bias"];
        let biased = SafeTensors::deserialize(&bytes)
            .unwrap()
            .names()
            .iter()
            .any(|there| names.iter().any(|name| there.ends_with(name)));
        let model = Model::new("tiny", decoder, numbers()).unwrap();
        let texts = ["5 9 31 7 7 44", "17 3", "60"].iter().enumerate();
        let texts: Vec<Text> = texts.map(|(n, text)| Text::new(format!("t{n}"), *text)).collect();
        let beyond_heads = adds_up(&model, &texts);
        assert_eq!(beyond_heads > 1e-4, biased, "{}: {beyond_heads:e}", folder.display());
        with_bias += usize::from(biased);
    }
    assert!(with_bias > 0);
}

#[test]
fn the_parts_add_up_in_the_real_model_and_so_does_their_change() {
    let Some(model) = smollm() else { return };
    let prompt = |words: &str| {
        let mut talk = Transcript::new();
        talk.say(Role::User, words);
        Text { rendered: true, ..Text::new("p", talk.prompt(&model).unwrap().text) }
    };
    let plain = [prompt("She found a purse. Who keeps it?")];
    let asked = [prompt("She found a purse. Who keeps it? Please be fair.")];
    let beyond_heads = adds_up(&model, &plain);
    assert!(beyond_heads < 1e-5, "no bias, so nothing but rounding: {beyond_heads:e}");

    let direction = direction(Site::ResidPost.at(20), width(&model));
    let attribution = Attribution::new(&direction);
    let (before, after) = (attribution.run(&model, &plain).unwrap(), attribution.run(&model, &asked).unwrap());
    let change = after.minus(&before).unwrap();
    assert!((change.totals()[0] - (after.totals()[0] - before.totals()[0])).abs() < 1e-12);
    assert!((change.values().sum() - change.totals()[0]).abs() < 1e-4 * after.totals()[0].abs());
    assert_eq!(change.components().len(), 1 + 21 * (9 + 1 + 1));

    let rows = change.rows(&ClusterBootstrap::new(change.ids(), 10, 0).unwrap()).unwrap();
    let of = |name: &str| rows.iter().find(|row| row.component == name).unwrap().mean.estimate;
    let parts = of("embed") + of("attention") + of("feed_forward");
    assert!((parts - of("total")).abs() < 1e-4 * after.totals()[0].abs(), "{parts} {}", of("total"));
    let heads: f64 = (0..9).map(|head| of(&format!("L7.head_out.h{head}"))).sum();
    let whole = Readout::new(Site::AttnOut.at(7), Pool::Last);
    let of_layer = |texts: &[Text]| {
        let states = whole.capture(&model, texts).unwrap();
        let here = Direction::new(Site::AttnOut.at(7), direction.unit().to_owned());
        here.project(states.at(Site::AttnOut.at(7)).unwrap()).unwrap()[0]
    };
    assert!((heads - (of_layer(&asked) - of_layer(&plain))).abs() < 1e-5);
}

#[test]
fn a_mean_over_tokens_is_a_sum_too_and_files_hold_all() {
    let model = tiny("tied");
    let direction = direction(Site::ResidPost.at(1), width(&model));
    let found = Attribution::new(&direction).pool(Pool::Mean).run(&model, &texts()).unwrap();
    assert!(found.closure() < 1e-5);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("attribution.csv");
    found.write_csv(&path).unwrap();
    let mut lines = csv::Reader::from_path(path).unwrap();
    let rows: Vec<(String, String, Option<usize>, f64)> = lines.deserialize().map(|row| row.unwrap()).collect();
    assert_eq!(rows.len(), 3 * (found.components().len() + 1));
    let mut sum = 0.0;
    for (id, component, _, value) in rows.iter().filter(|(id, ..)| id == "t1") {
        if component == "total" {
            assert!((sum - value).abs() < 1e-5 * value.abs(), "{id}");
        }
        sum += value;
    }
    assert!(rows.iter().any(|row| row.1 == "L1.head_out.h0" && row.2 == Some(1)));
}

#[test]
fn what_does_not_add_up_is_refused() {
    let model = tiny("tied");
    let d = width(&model);
    let run = |address: Address, pool: Pool, texts: &[Text]| {
        let direction = direction(address, d);
        Attribution::new(&direction).pool(pool).run(&model, texts).unwrap_err().to_string()
    };
    let post = Site::ResidPost.at(1);
    assert!(run(Site::MlpOut.at(1), Pool::Last, &texts()).contains("resid_post or final_norm"));
    assert!(run(Address::FINAL_NORM, Pool::Mean, &texts()).contains("before the final norm"));
    assert!(run(post, Pool::EveryToken, &texts()).contains("pool = none"));
    assert!(run(post, Pool::Last, &[]).contains("at least one text"));
    assert!(run(Site::ResidPost.at(9), Pool::Last, &texts()).contains("L9.resid_post"));
    let narrow = direction(post, d - 1);
    let error = Attribution::new(&narrow).run(&model, &texts()).unwrap_err();
    assert!(matches!(error, Error::Mismatch { .. }), "{error}");
    let (some, other) = (direction(post, d), direction(Site::ResidPost.at(0), d));
    let of = |direction: &Direction| Attribution::new(direction).run(&model, &texts()).unwrap();
    assert!(of(&some).minus(&of(&other)).unwrap_err().to_string().contains("another address"));
}
