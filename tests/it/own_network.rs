//! A network of one's own that attends, with a cache and without: the same states, answers and scores.

use probity::capture::{Pool, Readout, StoreWriter};
use probity::generate::{Decoding, Session};
use probity::hook::{Geometry, Hooks, Site};
use probity::model::{KvCache, LogitsFor, Network};
use probity::text::{Text, TokenBatch, Tokenizer};
use probity::{Error, Model, Result};
use tch::{Device, Kind, Tensor};

const WORDS: i64 = 12;
const WIDTH: i64 = 8;

/// Two layers of attention with one head, and nothing else.
#[derive(Debug)]
struct Attends {
    embedding: Tensor,
    /// Queries, keys, values of each layer, `[d, d]`.
    layers: Vec<[Tensor; 3]>,
    cached: bool,
}

impl Attends {
    fn new(cached: bool) -> Self {
        let number = |at: i64| ((at * 7919 + 104_729) % 1009) as f32 / 504.5 - 1.0;
        let matrix = |rows: i64, seed: i64| {
            let numbers: Vec<f32> = (0..rows * WIDTH).map(|at| number(at + 1000 * seed)).collect();
            Tensor::from_slice(&numbers).view([rows, WIDTH])
        };
        let layers = (0..2).map(|layer| [1, 2, 3].map(|part| matrix(WIDTH, 3 * layer + part))).collect();
        Attends { embedding: matrix(WORDS, 0), layers, cached }
    }
}

impl Network for Attends {
    fn geometry(&self) -> Geometry {
        Geometry { layers: 2, heads: 1, kv_heads: 1 }
    }

    fn context(&self) -> usize {
        32
    }

    fn vocabulary(&self) -> usize {
        WORDS as usize
    }

    fn uses_cache(&self) -> bool {
        self.cached
    }

    fn forward(
        &self,
        batch: &TokenBatch,
        mut cache: Option<&mut KvCache>,
        hooks: &mut Hooks<'_>,
        logits: LogitsFor,
    ) -> Result<Option<Tensor>> {
        hooks.begin(&self.geometry())?;
        let positions = batch.positions.f_to_kind(Kind::Float)?.f_unsqueeze(-1)?.f_mul_scalar(0.1)?.f_sin()?;
        let mut stream = Tensor::f_embedding(&self.embedding, &batch.ids, -1, false, false)?.f_add(&positions)?;
        let hidden = batch.seen()?.f_logical_not()?;
        for (layer, weights) in self.layers.iter().enumerate() {
            let part = |weight: &Tensor| -> Result<Tensor> { Ok(stream.f_matmul(weight)?.f_unsqueeze(1)?) };
            let [q, k, v] = [part(&weights[0])?, part(&weights[1])?, part(&weights[2])?];
            let (k, v) = match cache.as_deref_mut() {
                Some(cache) => cache.extend(layer, &k, &v, Kind::Float)?,
                None => (k, v),
            };
            let products = q.f_matmul(&k.f_transpose(-2, -1)?)?.f_masked_fill(&hidden, f64::NEG_INFINITY)?;
            let attended = products.f_softmax(-1, Kind::Float)?.f_matmul(&v)?.f_squeeze_dim(1)?;
            stream = hooks.tap(Site::ResidPost, layer, stream.f_add(&attended)?)?;
        }
        hooks.finish()?;
        let scores = stream.f_matmul(&self.embedding.f_transpose(0, 1)?)?;
        Ok(match logits {
            LogitsFor::None => None,
            LogitsFor::All => Some(scores),
            LogitsFor::Last => {
                let size = scores.size();
                let last = batch.last()?.f_view([size[0], 1, 1])?.f_expand([size[0], 1, size[2]], false)?;
                Some(scores.f_gather(1, &last, false)?)
            }
        })
    }
}

fn model(cached: bool) -> Model {
    let vocabulary: serde_json::Map<_, _> = (0..WORDS).map(|id| (format!("w{id}"), id.into())).collect();
    let tokenizer = serde_json::json!({
        "version": "1.0", "added_tokens": [], "truncation": null, "padding": null, "normalizer": null,
        "pre_tokenizer": { "type": "WhitespaceSplit" }, "post_processor": null, "decoder": null,
        "model": { "type": "WordLevel", "vocab": vocabulary, "unk_token": "w0" },
    });
    Model::new("attends", Attends::new(cached), Tokenizer::from_json(&tokenizer.to_string()).unwrap()).unwrap()
}

/// States at both layers of what a session's passes run, with what it answers and scores.
fn talk(model: &Model) -> (Vec<Vec<u32>>, Vec<f64>, Vec<f64>) {
    let mut session = Session::new(model);
    let mut next = Vec::new();
    for texts in [[&[1, 2, 3][..], &[4]], [&[1, 2, 3, 5, 6], &[4, 7]], [&[1, 2, 8], &[4, 7, 9, 10]]] {
        session.read(&texts).unwrap();
        next.extend(session.next_tokens(&[0, 3, 11]).unwrap().concat());
    }
    let options = vec![vec![vec![1, 2, 3], vec![1, 4]], vec![vec![5], vec![6, 6, 6, 6]]];
    let scores = session.score(&options).unwrap().into_iter().flatten().map(|score| score.total).collect();
    let answers = session.generate(&Decoding::new(9).stop_tokens([2])).unwrap();
    (answers.into_iter().map(|answer| answer.tokens).collect(), scores, next)
}

fn close(a: &[f64], b: &[f64]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-4)
}

#[test]
fn a_cached_pass_equals_one_without_a_cache() {
    let (cached, plain) = (talk(&model(true)), talk(&model(false)));
    assert_eq!(cached.0, plain.0);
    assert!(close(&cached.1, &plain.1), "{:?} {:?}", cached.1, plain.1);
    assert!(close(&cached.2, &plain.2), "{:?} {:?}", cached.2, plain.2);

    // Texts that begin alike: their beginning is run once, into a cache.
    let shared = "w1 w2 w3 w4 w5 w6 w7 w8 w9";
    let texts: Vec<Text> = (0..5).map(|n| Text::new(n.to_string(), format!("{shared} w{n} w{}", n + 3))).collect();
    let readout = Readout::new(Site::ResidPost.all_layers(), Pool::Last);
    let [cached, plain] = [true, false].map(|cached| readout.capture(&model(cached), &texts).unwrap());
    for address in plain.addresses() {
        let difference = &cached.at(address).unwrap() - &plain.at(address).unwrap();
        assert!(difference.iter().all(|value| value.abs() < 1e-5), "{address}");
    }
}

#[test]
fn a_cache_holds_a_limit_and_refuses_what_was_not_laid_out() {
    let model = model(true);
    let texts: [&[u32]; 2] = [&[1, 2, 3], &[4]];
    // Two rows, three slots, two layers, keys and values of eight numbers each.
    let needed = 2 * 3 * 2 * 2 * 8 * 4;
    let mut session = Session::new(&model).cache_limit(needed);
    session.read(&texts).unwrap();
    assert_eq!(session.cache_bytes(), needed);
    let mut session = Session::new(&model).cache_limit(needed - 1);
    assert!(matches!(session.read(&texts), Err(Error::Setting(at)) if at.name == "cache_budget"));

    let mut cache = KvCache::new();
    cache.append(&[&[1, 2]]).unwrap();
    let two = Tensor::zeros([1, 1, 2, 4], (Kind::Float, Device::Cpu));
    assert_eq!(cache.extend(3, &two, &two, Kind::Float).unwrap().0.size(), [1, 1, 2, 4]);
    for size in [&[1, 1, 3, 4][..], &[2, 1, 2, 4], &[1, 2, 4]] {
        let wrong = Tensor::zeros(size, (Kind::Float, Device::Cpu));
        assert!(matches!(cache.extend(0, &wrong, &wrong, Kind::Float), Err(Error::Mismatch(_))), "{size:?}");
    }
    assert!(cache.extend(0, &two, &two.narrow(2, 0, 1), Kind::Float).is_err());
}

#[test]
fn what_moves_to_another_thread_does() {
    fn sent<T: Send>() {}
    fn shared<T: Sync>() {}
    sent::<Model>();
    sent::<KvCache>();
    sent::<Readout>();
    sent::<StoreWriter>();
    sent::<Error>();
    shared::<Readout>();
    shared::<StoreWriter>();
    shared::<Error>();
}
