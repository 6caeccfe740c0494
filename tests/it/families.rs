//! Every family against transformers, on tiny random models made by `tests/reference/make_families.py`:
//! every site in f64 and f32, and the properties that hold in all of them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use common::{bf16_sums_stay_wide, endless, fixture, tokens};
use probity::capture::{Pool, Readout};
use probity::causal::Intervention;
use probity::generate::Session;
use probity::hook::{Address, Hooks, Site};
use probity::model::{Decoder, KvCache, LoadOptions, LogitsFor, Precision};
use probity::text::{PadSide, Text, TokenBatch, Tokenizer};
use probity::Model;
use safetensors::{Dtype, SafeTensors};
use tch::{Kind, Tensor};

/// Values `[t, ...]` of each text at each address, by "s{text}.{address}".
type States = BTreeMap<String, Vec<f64>>;

/// The fixtures; none, visibly, in the published package, which leaves them out for their size.
fn variants() -> Vec<PathBuf> {
    if !fixture("families").is_dir() {
        eprintln!("SKIPPED: no fixtures of families (they are in the repository, not in the package)");
        return Vec::new();
    }
    let folders = |path: PathBuf| {
        let mut entries: Vec<PathBuf> = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        entries
    };
    let found: Vec<PathBuf> = folders(fixture("families")).into_iter().flat_map(folders).collect();
    assert_eq!(found.len(), 21);
    found
}

fn load(folder: &Path, precision: Precision) -> Decoder {
    LoadOptions::default().precision(precision).load_decoder(folder).unwrap_or_else(|error| panic!("{error}"))
}

fn values(tensor: &Tensor) -> Vec<f64> {
    Vec::try_from(tensor.to_kind(Kind::Double).flatten(0, -1)).unwrap()
}

fn addresses(decoder: &Decoder, sites: &[Site]) -> Vec<Address> {
    let geometry = decoder.config().geometry();
    sites.iter().flat_map(|site| site.all_layers().resolve(&geometry).unwrap()).collect()
}

fn run_batch(decoder: &Decoder, batch: &TokenBatch, cache: Option<&mut KvCache>, sites: &[Site]) -> States {
    let seen: RefCell<States> = RefCell::default();
    let mut hooks = Hooks::new();
    for address in addresses(decoder, sites) {
        let (seen, rows) = (&seen, &batch.rows);
        hooks.observe(address, move |tensor| {
            for (row, span) in rows.iter().enumerate() {
                let within = |part: Tensor, axis| part.narrow(axis, span.start as i64, span.len() as i64);
                let part = tensor.select(0, row as i64);
                let part = match address.site() {
                    Site::Pattern => within(within(part, 1), 2),
                    _ => within(part, 0),
                };
                seen.borrow_mut().insert(format!("s{row}.{address}"), values(&part));
            }
            Ok(())
        });
    }
    decoder.forward(batch, cache, &mut hooks, LogitsFor::All).unwrap();
    drop(hooks);
    seen.into_inner()
}

fn run(decoder: &Decoder, texts: &[Vec<u32>], side: PadSide, sites: &[Site]) -> States {
    let rows: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
    run_batch(decoder, &TokenBatch::new(&rows, side).unwrap(), None, sites)
}

/// Each text in a pass of its own.
fn alone(decoder: &Decoder, texts: &[Vec<u32>], sites: &[Site]) -> States {
    let mut states = States::new();
    for (number, text) in texts.iter().enumerate() {
        let own = run(decoder, std::slice::from_ref(text), PadSide::Right, sites);
        states.extend(own.into_iter().map(|(key, values)| (key.replacen("s0", &format!("s{number}"), 1), values)));
    }
    states
}

/// max |difference| / max |reference|.
fn relative(ours: &[f64], theirs: &[f64]) -> f64 {
    assert_eq!(ours.len(), theirs.len());
    let largest = theirs.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
    let worst = ours.iter().zip(theirs).map(|(a, b)| (a - b).abs()).fold(0.0_f64, |worst, value| worst.max(value));
    assert!(ours.iter().all(|value| value.is_finite()));
    worst / largest
}

fn worst(ours: &States, theirs: &States) -> (f64, String) {
    assert_eq!(ours.len(), theirs.len());
    theirs
        .iter()
        .map(|(key, theirs)| (relative(&ours[key], theirs), key.clone()))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .unwrap()
}

/// The texts of a fixture and its reference states.
fn reference(folder: &Path) -> (Vec<Vec<u32>>, States) {
    let bytes = std::fs::read(folder.join("reference.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let (mut texts, mut states) = (Vec::new(), States::new());
    for number in 0..3 {
        let view = file.tensor(&format!("s{number}.ids")).unwrap();
        texts.push(view.data().as_chunks::<8>().0.iter().map(|id| i64::from_le_bytes(*id) as u32).collect());
    }
    for (name, view) in file.tensors().into_iter().filter(|(name, _)| !name.ends_with(".ids")) {
        assert_eq!(view.dtype(), Dtype::F64, "{name}");
        let values = view.data().as_chunks::<8>().0.iter().map(|value| f64::from_le_bytes(*value)).collect();
        states.insert(name, values);
    }
    (texts, states)
}

/// The sites that a reference has, as a list for `run`.
fn sites_of(reference: &States) -> Vec<Site> {
    let has = |site: &Site| reference.keys().any(|key| key.rsplit('.').next() == Some(site.name()));
    Site::ALL.into_iter().filter(has).collect()
}

/// For each site the largest error, or for bf16 the least cosine.
type BySite = BTreeMap<Site, f64>;

fn site_of(key: &str) -> Site {
    let name = key.rsplit('.').next().unwrap();
    Site::ALL.into_iter().find(|site| site.name() == name).unwrap()
}

#[test]
fn every_site_of_every_family_agrees_with_transformers_in_every_precision() {
    let mut measured: Vec<(String, [BySite; 3])> = Vec::new();
    for folder in variants() {
        let (texts, theirs) = reference(&folder);
        let name = folder.strip_prefix(fixture("families")).unwrap().display().to_string();
        let (patterns, states): (States, States) =
            theirs.into_iter().partition(|(key, _)| site_of(key) == Site::Pattern);
        let sites = sites_of(&states);
        assert!(sites.len() >= 13 && !patterns.is_empty(), "{name}: {sites:?}");
        let errors = [(Precision::F64, 1e-10), (Precision::F32, 5e-5)].map(|(precision, bound)| {
            let decoder = load(&folder, precision);
            let mut errors = BySite::new();
            // Whoever asks for patterns gets attention by plain products: both ways are held to the reference.
            let (fused, eager) = (sites.as_slice(), &[&[Site::Pattern], sites.as_slice()].concat()[..]);
            for sites in [fused, eager] {
                for ours in [
                    alone(&decoder, &texts, sites),
                    run(&decoder, &texts, PadSide::Right, sites),
                    run(&decoder, &texts, PadSide::Left, sites),
                ] {
                    for (key, ours) in &ours {
                        let error = relative(ours, states.get(key).unwrap_or_else(|| &patterns[key]));
                        assert!(error <= bound, "{name} {}: {error:e} at {key}", precision.name());
                        let worst = errors.entry(site_of(key)).or_default();
                        *worst = error.max(*worst);
                    }
                }
            }
            assert_eq!(errors.len(), sites.len() + 1);
            errors
        });
        let cosines = least_cosines(&folder, &texts);
        for (site, cosine) in &cosines {
            let least = if bf16_sums_stay_wide() { 0.9995 } else { 0.999 };
            assert!(*cosine >= least, "{name}: {cosine} at {}", site.name());
        }
        let [double, single] = errors;
        measured.push((name, [double, single, cosines]));
    }
    // `make fidelity` keeps the tables.
    if let Some(path) = std::env::var_os("PROBITY_FIDELITY_TABLE") {
        let path = common::root().join(path);
        let page = std::fs::read_to_string(&path).unwrap();
        let (kept, _) = page.split_once(TABLES).unwrap_or_else(|| panic!("no line {TABLES:?} in the page"));
        std::fs::write(path, format!("{kept}{TABLES}{}", tables(&measured))).unwrap();
    }
}

const TABLES: &str = "<!-- `make fidelity` writes what follows -->\n";

/// One table for each precision: models down, sites across.
fn tables(measured: &[(String, [BySite; 3])]) -> String {
    let folder = variants().swap_remove(0);
    let bytes = std::fs::read(folder.join("reference.safetensors")).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let versions = header.metadata().clone().unwrap();
    let mut page = format!(
        "\nReference: transformers {}, torch {}. Ours: probity {}, tch 0.26 on libtorch 2.13.\n",
        versions["transformers"],
        versions["torch"],
        env!("CARGO_PKG_VERSION"),
    );
    for (which, title) in ["f64: largest relative error", "f32: largest relative error", "bf16: least cosine with f32"]
        .into_iter()
        .enumerate()
    {
        let names: Vec<&str> = Site::ALL.iter().map(|site| site.name()).collect();
        page += &format!("\n### {title}\n\n| model | {} |\n|---{}|\n", names.join(" | "), "|---".repeat(names.len()));
        for (name, numbers) in measured {
            let cells = Site::ALL.iter().map(|site| match numbers[which].get(site) {
                Some(cosine) if which == 2 => format!("{cosine:.5}"),
                Some(error) => format!("{error:.0e}"),
                None => String::new(),
            });
            page += &format!("| {name} | {} |\n", cells.collect::<Vec<_>>().join(" | "));
        }
    }
    page
}

/// The least cosine between bf16 and f32 states at each site.
fn least_cosines(folder: &Path, texts: &[Vec<u32>]) -> BySite {
    let full = alone(&load(folder, Precision::F32), texts, &Site::ALL);
    let half = alone(&load(folder, Precision::Bf16), texts, &Site::ALL);
    let mut least = BySite::new();
    for (key, full) in &full {
        let half = &half[key];
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let cosine = dot(full, half) / (dot(full, full) * dot(half, half)).sqrt();
        let worst = least.entry(site_of(key)).or_insert(1.0);
        *worst = cosine.min(*worst);
    }
    least
}

const STREAM: [Site; 7] =
    [Site::Embed, Site::ResidPre, Site::ResidMid, Site::ResidPost, Site::AttnOut, Site::MlpOut, Site::HeadOut];

#[test]
fn additive_identities_hold_in_every_family() {
    let mut biased = 0;
    for folder in variants() {
        let decoder = load(&folder, Precision::F64);
        let (texts, _) = reference(&folder);
        let states = run(&decoder, &texts, PadSide::Right, &STREAM);
        let (config, text) = (decoder.config(), 2);
        let at = |site: Site, layer: usize| &states[&format!("s{text}.{}", site.at(layer))];
        let sum = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a + b).collect::<Vec<f64>>();
        let close = |what: &str, layer, ours: &[f64], theirs: &[f64]| {
            let error = relative(ours, theirs);
            assert!(error < 1e-12, "{}, layer {layer}: {what}: {error:e}", folder.display());
        };
        close("embed = resid_pre", 0, &states[&format!("s{text}.embed")], at(Site::ResidPre, 0));
        for layer in 0..config.layers {
            let middle = sum(at(Site::ResidPre, layer), at(Site::AttnOut, layer));
            close("resid_pre + attn_out = resid_mid", layer, &middle, at(Site::ResidMid, layer));
            let after = sum(at(Site::ResidMid, layer), at(Site::MlpOut, layer));
            close("resid_mid + mlp_out = resid_post", layer, &after, at(Site::ResidPost, layer));
            // What the heads leave over is the output bias, the same at every token, or nothing.
            let (d, heads) = (config.d_model, at(Site::HeadOut, layer));
            let left: Vec<f64> = at(Site::AttnOut, layer)
                .iter()
                .enumerate()
                .map(|(i, whole)| {
                    let (token, j) = (i / d, i % d);
                    whole - (0..config.heads).map(|head| heads[(token * config.heads + head) * d + j]).sum::<f64>()
                })
                .collect();
            let bias: Vec<f64> = left.iter().take(d).copied().collect();
            biased += usize::from(bias.iter().any(|value| value.abs() > 1e-3));
            for token in left.chunks(d) {
                assert!(token.iter().zip(&bias).all(|(a, b)| (a - b).abs() < 1e-10), "{}", folder.display());
            }
        }
    }
    assert_eq!(
        biased,
        if variants().is_empty() { 0 } else { 2 + 3 + 2 + 2 },
        "layers of gpt2, gpt_neox with biases, and qwen3 with them"
    );
}

/// Every site whose rows are tokens.
fn token_sites() -> Vec<Site> {
    Site::ALL.into_iter().filter(|&site| site != Site::Pattern).collect()
}

#[test]
fn a_cache_in_chunks_gives_what_one_pass_gives_and_hooks_fire_the_same() {
    for folder in variants() {
        let decoder = load(&folder, Precision::F64);
        let (texts, _) = reference(&folder);
        let text = &texts[2];
        let whole = run(&decoder, std::slice::from_ref(text), PadSide::Right, &token_sites());
        // Where rotation changes with length, a cache holds on one side of the change only.
        let start = decoder.config().rotation_changes_after().unwrap_or(0);
        for cuts in [vec![start.max(4), text.len()], (start + 1..=text.len()).collect()] {
            let (mut cache, mut states, mut at) = (KvCache::new(), States::new(), 0);
            for cut in cuts {
                let batch = cache.continue_with(&[&text[..cut]]).unwrap();
                if cut <= start {
                    cache = KvCache::new();
                    continue;
                }
                let chunk = run_batch(&decoder, &batch, Some(&mut cache), &token_sites());
                for (key, values) in chunk {
                    states.entry(key).or_default().extend(values);
                }
                at = cut;
            }
            assert_eq!(at, text.len());
            let (error, key) = worst(&states, &whole);
            assert!(error < 1e-11, "{}: {error:e} at {key}", folder.display());
        }
    }
}

/// Logits of each text's last token, `[texts, v]`, where what is at `site` is bent in every layer.
fn bent(decoder: &Decoder, texts: &[Vec<u32>], side: PadSide, site: Site) -> Tensor {
    let rows: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
    let batch = TokenBatch::new(&rows, side).unwrap();
    let mut hooks = Hooks::new();
    for address in addresses(decoder, &[site]) {
        hooks.replace(address, |states| Ok(states.f_tanh()?.f_mul_scalar(0.7)?.f_add(&states.f_mul_scalar(0.5)?)?));
    }
    decoder.forward(&batch, None, &mut hooks, LogitsFor::Last).unwrap().unwrap().squeeze_dim(1)
}

#[test]
fn replacements_beside_longer_texts_are_those_alone() {
    let sites = [Site::Embed, Site::AttnNorm, Site::Q, Site::K, Site::V, Site::Z, Site::HeadOut, Site::AttnOut];
    let sites = sites.into_iter().chain([Site::ResidMid, Site::MlpAct, Site::MlpOut, Site::ResidPost, Site::FinalNorm]);
    for folder in variants() {
        let decoder = load(&folder, Precision::F64);
        let (texts, _) = reference(&folder);
        let lengths: Vec<usize> = texts.iter().map(Vec::len).collect();
        assert!(lengths.iter().max() > lengths.iter().min(), "nothing is padded");
        for site in sites.clone() {
            let alone: Vec<Tensor> =
                texts.iter().map(|text| bent(&decoder, std::slice::from_ref(text), PadSide::Right, site)).collect();
            let alone = values(&Tensor::cat(&alone, 0));
            for side in [PadSide::Right, PadSide::Left] {
                let error = relative(&values(&bent(&decoder, &texts, side, site)), &alone);
                assert!(error < 1e-12, "{} {side:?} {site}: {error:e}", folder.display());
            }
        }
    }
}

#[test]
fn permuting_a_batch_permutes_the_result() {
    for folder in variants() {
        // In f64: in f32 the rounding of a product, 1e-6 after all layers, depends on which row is done beside which.
        let decoder = load(&folder, Precision::F64);
        let (texts, _) = reference(&folder);
        let turned = [texts[2].clone(), texts[0].clone(), texts[1].clone()];
        let sites = [Site::ResidPost, Site::Z, Site::Logits];
        for side in [PadSide::Right, PadSide::Left] {
            let (a, b) = (run(&decoder, &texts, side, &sites), run(&decoder, &turned, side, &sites));
            for (number, place) in [(0, 1), (1, 2), (2, 0)] {
                for address in addresses(&decoder, &sites) {
                    let (ours, theirs) = (&b[&format!("s{place}.{address}")], &a[&format!("s{number}.{address}")]);
                    let error = relative(ours, theirs);
                    assert!(error < 1e-12, "{} {side:?} {number} {address}: {error:e}", folder.display());
                }
            }
        }
    }
}

#[test]
fn sessions_cross_the_length_at_which_rotation_changes() {
    if variants().is_empty() {
        return;
    }
    // A family fixture has no tokeniser; any that has no more ids will do.
    let words: serde_json::Map<_, _> = (0..70).map(|id| (format!("w{id}"), id.into())).collect();
    let tokenizer = serde_json::json!({
        "version": "1.0", "added_tokens": [], "truncation": null, "padding": null, "normalizer": null,
        "pre_tokenizer": { "type": "Whitespace" }, "post_processor": null, "decoder": null,
        "model": { "type": "WordLevel", "vocab": words, "unk_token": "w0" },
    });
    let decoder = load(&fixture("families/phi3/longrope"), Precision::F64);
    assert_eq!(decoder.config().rotation_changes_after(), Some(8));
    let model = Model::new("longrope", decoder, Tokenizer::from_json(&tokenizer.to_string()).unwrap()).unwrap();
    let logs = |text: &[u32]| {
        let batch = TokenBatch::new(&[text], PadSide::Right).unwrap();
        let logits = model.network().forward(&batch, None, &mut Hooks::new(), LogitsFor::All).unwrap().unwrap();
        logits.squeeze_dim(0).log_softmax(-1, Kind::Double)
    };
    let texts: [&[u32]; 2] = [&[5, 6, 7, 8, 9, 10], &[40, 41, 42]];
    let mut session = Session::new(&model);
    session.read(&texts).unwrap();
    let options = vec![vec![vec![20, 21, 22, 23, 24]], vec![vec![30, 31]]];
    for (row, scores) in session.score(&options).unwrap().iter().enumerate() {
        let (text, option) = (texts[row], &options[row][0]);
        // As far as the branch is run: its last token is predicted, not read.
        let read = logs(&[text, &option[..option.len() - 1]].concat());
        let expected: f64 =
            (text.len() - 1..).zip(option).map(|(at, &id)| read.double_value(&[at as i64, i64::from(id)])).sum();
        assert!((scores[0].total - expected).abs() < 1e-5, "row {row}: {} {expected}", scores[0].total);
    }
    // Nor do texts share the run of a beginning that is read otherwise in them.
    let begin: Vec<String> = (5..13).map(|id| format!("w{id}")).collect();
    let long = ["w20 w21 w22 w23", "w30 w31"].map(|end| Text::new(end, format!("{} {end}", begin.join(" "))));
    let readout = |side| Readout::new(Site::ResidPost.all_layers(), Pool::Last).pad(side).capture(&model, &long);
    let (right, left) = (readout(PadSide::Right).unwrap(), readout(PadSide::Left).unwrap());
    for address in right.addresses() {
        let (right, left) = (right.at(address).unwrap(), left.at(address).unwrap());
        assert!(right.iter().zip(left).all(|(a, b)| (a - b).abs() < 1e-5), "{address}");
    }
    // What a hook replaced would be lost when the whole text is run again: an error, not another answer.
    let mut altered = Session::new(&model);
    let silence = Intervention::scale(Site::AttnOut.at(0), 0.0);
    let silenced = |_: &TokenBatch| {
        let mut hooks = Hooks::new();
        silence.attach(&mut hooks);
        hooks
    };
    altered.read_hooked(&texts, silenced).unwrap();
    assert!(altered.score(&options).unwrap_err().to_string().contains("would be lost"));
    assert!(altered.generate(&endless(8)).unwrap_err().to_string().contains("would be lost"));
    altered.read_hooked(&texts, silenced).unwrap();
    assert_eq!(altered.generate_hooked(&endless(8), &[], silenced).unwrap()[0].tokens.len(), 8);
    for (text, generated) in texts.iter().zip(tokens(session.generate(&endless(8)).unwrap())) {
        let mut grown = text.to_vec();
        for _ in 0..8 {
            grown.push(logs(&grown).select(0, -1).argmax(-1, false).int64_value(&[]) as u32);
        }
        assert_eq!(generated, &grown[text.len()..]);
    }
}

#[test]
fn gguf_files_give_the_states_of_their_checkpoints() {
    let mut compared = 0;
    for folder in variants().iter().filter(|folder| folder.join("model.gguf").exists()) {
        let (texts, theirs) = reference(folder);
        let decoder = load(&folder.join("model.gguf"), Precision::F64);
        let states = alone(&decoder, &texts, &sites_of(&theirs));
        let (error, key) = worst(&states, &theirs);
        // Rotary factors, epsilons and norms less 1 are f32 in the file.
        eprintln!("{} {error:e}", folder.display());
        assert!(error < 2e-6, "{}: {error:e} at {key}", folder.display());
        compared += 1;
    }
    assert_eq!(compared, if variants().is_empty() { 0 } else { 7 });
}
