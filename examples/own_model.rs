//! A network of your own: one trait, one `tap` per site, and capture, probes and sessions work on it.
//!
//!     cargo run --release --example own_model

use probity::capture::{Pool, Readout};
use probity::generate::{Decoding, Session};
use probity::hook::{Geometry, Hooks, Site};
use probity::model::{KvCache, LogitsFor, Network};
use probity::probe::MeanDifferenceProbe;
use probity::text::{Labels, Text, TokenBatch, Tokenizer};
use probity::{Model, Result};
use tch::{Device, Kind, Tensor};

const WORDS: [&str; 8] = ["i", "kept", "returned", "the", "purse", "coat", "ring", "?"];
const WIDTH: i64 = 16;

/// Each token sees the mean of the embeddings up to itself; a linear map of it is added to the stream.
#[derive(Debug)]
struct MeanOfPast {
    embedding: Tensor,
    mixing: Tensor,
}

impl Network for MeanOfPast {
    fn geometry(&self) -> Geometry {
        Geometry { layers: 1, heads: 1, kv_heads: 1 }
    }

    fn context(&self) -> usize {
        64
    }

    fn vocabulary(&self) -> usize {
        WORDS.len()
    }

    fn forward(
        &self,
        batch: &TokenBatch,
        _: Option<&mut KvCache>,
        hooks: &mut Hooks<'_>,
        logits: LogitsFor,
    ) -> Result<Option<Tensor>> {
        hooks.begin(&self.geometry())?;
        let stream = Tensor::f_embedding(&self.embedding, &batch.ids, -1, false, false)?;
        let stream = hooks.tap(Site::ResidPre, 0, stream)?;
        let counts = Tensor::f_arange_start(1, stream.size()[1] + 1, (Kind::Float, Device::Cpu))?.f_unsqueeze(-1)?;
        let past = stream.f_cumsum(1, Kind::Float)?.f_div(&counts)?;
        let added = hooks.tap(Site::MlpOut, 0, past.f_matmul(&self.mixing)?)?;
        let stream = hooks.tap(Site::ResidPost, 0, stream.f_add(&added)?)?;
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

fn model() -> Result<Model> {
    let vocabulary: serde_json::Map<_, _> = WORDS.iter().zip(0..).map(|(&word, id)| (word.into(), id.into())).collect();
    let tokenizer = serde_json::json!({
        "version": "1.0", "added_tokens": [], "truncation": null, "padding": null, "normalizer": {"type": "Lowercase"},
        "pre_tokenizer": {"type": "Whitespace"}, "post_processor": null, "decoder": null,
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "?"},
    });
    tch::manual_seed(3);
    let random = |size: [i64; 2]| Tensor::f_randn(size, (Kind::Float, Device::Cpu));
    let network = MeanOfPast { embedding: random([WORDS.len() as i64, WIDTH])?, mixing: random([WIDTH, WIDTH])? };
    Model::new("mean of the past", network, Tokenizer::from_json(&tokenizer.to_string())?)
}

fn main() -> Result<()> {
    let model = model()?;
    let verbs = ["kept", "returned"];
    let things = ["purse", "coat", "ring"];
    let texts: Vec<Text> = (0..48)
        .map(|n| Text::new(n.to_string(), format!("{}I {} the {}", "the ".repeat(n / 6), verbs[n % 2], things[n % 3])))
        .collect();
    let labels = Labels::ungrouped((0..48).map(|n| n % 2 == 0).collect());

    let states = Readout::new(Site::ResidPost.all_layers(), Pool::Last).capture(&model, &texts)?;
    let probes = MeanDifferenceProbe::default().fit_all(&states, &labels)?;
    for row in probes.rows() {
        println!("{} AUROC {:.2} [{:.2}, {:.2}]", row.address, row.auroc, row.auroc_low, row.auroc_high);
    }

    let prompt = model.tokenizer().encode("I returned")?.ids;
    let mut session = Session::new(&model);
    session.read(&[&prompt])?;
    println!("I returned ... {}", session.generate(&Decoding::new(3))?[0].text);
    Ok(())
}
