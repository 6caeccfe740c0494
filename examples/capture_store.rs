//! Captures many texts into a store of shard files, by one process or by several whose parts are merged.
//!
//!     cargo run --release --example capture_store -- --model M.gguf --texts texts.csv --out acts
//!
//! Killed and run again, it goes on after the last finished shard. Three processes:
//!
//!     capture_store --model M.gguf --texts texts.csv --shard 0/3 --out part-0     (and 1/3, 2/3)
//!     capture_store --merge part-0,part-1,part-2 --out acts
//!     capture_store --verify --out acts

mod common {
    pub mod bars;
    pub mod exit;
}

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use common::{
    bars::Bars,
    exit::{exit, told},
};
use probity::capture::{ActivationStore, Pool, Readout, Shard, StoreDtype, StoreWriter};
use probity::hook::Selection;
use probity::model::{LoadOptions, Precision};
use probity::tch::Device;
use probity::text::Text;
use probity::{Error, Result};

/// Store hidden states of many texts as sharded safetensors with a manifest; run again, it goes on.
#[derive(Parser)]
struct Options {
    /// GGUF file or Hugging Face directory.
    #[arg(long, required_unless_present_any = ["merge", "verify", "parquet"])]
    model: Option<PathBuf>,
    /// JSON lines {"id", "text", "group"?, "span"?: {"start", "end"} in bytes}, a .csv of such columns, or a .txt, one
    /// text a line.
    #[arg(long, required_unless_present_any = ["merge", "verify", "parquet"])]
    texts: Option<PathBuf>,
    /// Comma-separated sites, layers of sites, addresses and presets: resid_post, L4-7.mlp_out, L5.head_out.h3, residual.
    #[arg(long, default_value = "resid_post")]
    sites: Selection,
    /// Of sites without layers: "all", or comma-separated layers and ranges, such as 0,4-7.
    #[arg(long, default_value = "all")]
    layers: String,
    /// last: the last token; mean: over the tokens; none: every token.
    #[arg(long, default_value = "last")]
    pool: Pool,
    /// Precision of the weights and of the computation; `--dtype` is that of the files.
    #[arg(long, default_value = "f32")]
    precision: Precision,
    /// Comma-separated devices, each for a run of consecutive layers: cpu, cuda:0, cuda:1, mps.
    #[arg(long, default_value = "cpu")]
    devices: String,
    /// Number type of the stored states: f32, bf16 or f16.
    #[arg(long, default_value = "f32")]
    dtype: StoreDtype,
    /// Texts of a shard file.
    #[arg(long, default_value_t = 1024)]
    shard_texts: usize,
    /// Tokens in a batch, padding included.
    #[arg(long, default_value_t = 2048)]
    batch_tokens: usize,
    /// i/n: make only the shard files k with k mod n = i, in a folder of their own.
    #[arg(long, default_value = "0/1")]
    shard: Shard,
    /// Comma-separated folders of the parts, put together in --out.
    #[arg(long, value_delimiter = ',', conflicts_with_all = ["model", "texts", "verify"])]
    merge: Vec<PathBuf>,
    /// Read the whole store in --out and tell what is damaged or missing.
    #[arg(long, conflicts_with_all = ["model", "texts"])]
    verify: bool,
    /// Write the store in --out as a Parquet file too: id, address, vector (needs the feature `parquet`).
    #[arg(long)]
    parquet: Option<PathBuf>,
    /// The folder of the store.
    #[arg(long)]
    out: PathBuf,
}

fn main() -> ExitCode {
    exit(run(&Options::parse()))
}

fn run(options: &Options) -> Result<()> {
    let out = &options.out;
    let store = match (&options.model, &options.texts) {
        (Some(model), Some(texts)) => capture(options, model, texts)?,
        _ if !options.merge.is_empty() => ActivationStore::merge_with_progress(&options.merge, out, &Bars::default())?,
        _ => ActivationStore::open(out)?,
    };
    if options.verify {
        verify(&store)?;
    }
    if let Some(path) = &options.parquet {
        export(&store, path)?;
    }
    let (all, there) = store.shards();
    let (there, addresses) = (there.count(), store.addresses().count());
    println!("{}: {there} of {all} shards, {} texts at {addresses} addresses", out.display(), store.texts());
    Ok(())
}

fn capture(options: &Options, model: &PathBuf, texts: &PathBuf) -> Result<ActivationStore> {
    let selection = options.sites.clone().layers(&options.layers)?;
    let texts = Text::load(texts)?;
    let load = LoadOptions::default().precision(options.precision).devices(devices(&options.devices)?);
    let model = load.load(model)?;
    let readout = Readout::new(selection, options.pool).batch_tokens(options.batch_tokens);
    let writer = StoreWriter::new(readout).dtype(options.dtype).shard_texts(options.shard_texts).shard(options.shard);
    writer.write_with_progress(&model, &texts, &options.out, &Bars::default())
}

fn devices(names: &str) -> Result<Vec<Device>> {
    let device = |name: &str| match name.trim().split_once(':').unwrap_or((name.trim(), "0")) {
        ("cpu", "0") => Some(Device::Cpu),
        ("mps", "0") => Some(Device::Mps),
        ("cuda", number) => number.parse().ok().map(Device::Cuda),
        _ => None,
    };
    let wrong = |name: &str| Error::setting("--devices", name, "cpu, mps, or cuda:0 and so on");
    names.split(',').map(|name| device(name).ok_or_else(|| wrong(name))).collect()
}

/// Tells every fault, and ends with the last.
fn verify(store: &ActivationStore) -> Result<()> {
    let mut faults = store.verify_with_progress(&Bars::default());
    let last = faults.pop();
    faults.iter().for_each(|fault| eprintln!("fault: {}", told(fault)));
    last.map_or(Ok(()), Err)
}

#[cfg(feature = "parquet")]
fn export(store: &ActivationStore, path: &std::path::Path) -> Result<()> {
    store.write_parquet_with_progress(path, &Bars::default())
}

#[cfg(not(feature = "parquet"))]
fn export(_: &ActivationStore, path: &std::path::Path) -> Result<()> {
    Err(Error::setting("--parquet", path.display(), "build with `--features parquet` for it"))
}
