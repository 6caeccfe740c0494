//! Writing a store of activations, reading rows of it by mapping, and verifying it: texts x addresses x width in the ids.
//! The states come from a network that only looks them up, so that the store is what takes the time.

use std::path::Path;

use criterion::{criterion_group, criterion_main, BenchmarkId, Criterion, Throughput};
use probity::capture::{ActivationStore, Pool, Readout, StoreDtype, StoreWriter};
use probity::hook::{Geometry, Hooks, Site};
use probity::model::{KvCache, LogitsFor, Network};
use probity::text::{Text, TokenBatch, Tokenizer};
use probity::{Error, Model, Result};
use tch::{Device, Kind, Tensor};

const TEXTS: usize = 1024;
const LAYERS: usize = 30;
const WIDTH: i64 = 576;

/// Shows each token's embedding in every layer.
#[derive(Debug)]
struct LookUp(Tensor);

impl Network for LookUp {
    fn geometry(&self) -> Geometry {
        Geometry { layers: LAYERS, heads: 1, kv_heads: 1 }
    }

    fn context(&self) -> usize {
        8
    }

    fn vocabulary(&self) -> usize {
        TEXTS
    }

    fn forward(
        &self,
        batch: &TokenBatch,
        _: Option<&mut KvCache>,
        hooks: &mut Hooks<'_>,
        _: LogitsFor,
    ) -> Result<Option<Tensor>> {
        hooks.begin(&self.geometry())?;
        let mut stream = Tensor::f_embedding(&self.0, &batch.ids, -1, false, false)?;
        for layer in 0..LAYERS {
            stream = hooks.tap(Site::ResidPost, layer, stream)?;
        }
        hooks.finish()?;
        Ok(None)
    }
}

fn model() -> Result<Model> {
    let vocabulary: serde_json::Map<_, _> = (0..TEXTS).map(|id| (format!("w{id}"), id.into())).collect();
    let tokenizer = serde_json::json!({
        "version": "1.0", "added_tokens": [], "truncation": null, "padding": null, "normalizer": null,
        "pre_tokenizer": {"type": "Whitespace"}, "post_processor": null, "decoder": null,
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "w0"},
    });
    tch::manual_seed(3);
    let network = LookUp(Tensor::f_randn([TEXTS as i64, WIDTH], (Kind::Float, Device::Cpu))?);
    Model::new("look up", network, Tokenizer::from_json(&tokenizer.to_string())?)
}

fn failed(error: Error) -> ! {
    panic!("{error}")
}

fn activation_store(criterion: &mut Criterion) {
    let model = model().unwrap_or_else(|error| failed(error));
    let texts: Vec<Text> = (0..TEXTS).map(|n| Text::new(n.to_string(), format!("w{n}"))).collect();
    let folder = std::env::temp_dir().join(format!("probity-bench-store-{}", std::process::id()));
    let mut group = criterion.benchmark_group("activation_store");
    group.sample_size(10);
    for dtype in [StoreDtype::F32, StoreDtype::Bf16] {
        let readout = Readout::new(Site::ResidPost.all_layers(), Pool::Last);
        let writer = StoreWriter::new(readout).dtype(dtype).shard_texts(TEXTS / 4);
        let size = format!("{TEXTS}x{LAYERS}x{WIDTH} {dtype:?}").to_lowercase();
        let write = |folder: &Path| {
            // A folder that is complete is left alone: what was there goes first.
            let _ = std::fs::remove_dir_all(folder);
            writer.write(&model, &texts, folder).unwrap_or_else(|error| failed(error))
        };
        let store = write(&folder);
        let bytes: u64 = std::fs::read_dir(&folder)
            .map(|entries| entries.flatten().filter_map(|entry| entry.metadata().ok()).map(|file| file.len()).sum())
            .unwrap_or(0);
        group.throughput(Throughput::Bytes(bytes));
        group.bench_function(BenchmarkId::new("write", &size), |bencher| bencher.iter(|| write(&folder)));
        group.bench_function(BenchmarkId::new("verify", &size), |bencher| {
            bencher.iter(|| assert!(store.verify().is_empty()));
        });
        let address = Site::ResidPost.at(LAYERS / 2);
        group.throughput(Throughput::Bytes(bytes / LAYERS as u64));
        group.bench_function(BenchmarkId::new("rows of one address", &size), |bencher| {
            bencher.iter(|| {
                let store = ActivationStore::open(&folder).unwrap_or_else(|error| failed(error));
                store.rows(address, 0..TEXTS).unwrap_or_else(|error| failed(error))
            });
        });
    }
    group.finish();
    let _ = std::fs::remove_dir_all(&folder);
}

criterion_group!(benches, activation_store);
criterion_main!(benches);
