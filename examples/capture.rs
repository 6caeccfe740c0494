//! Exports hidden states of texts to a safetensors file that other tools read.
//!
//!     cargo run --release --example capture -- --model M.gguf --texts texts.jsonl --out acts.safetensors

mod common {
    pub mod bars;
    pub mod exit;
    pub mod select;
}

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use common::{bars::Bars, exit::exit, select::select};
use probity::capture::{Pool, Readout};
use probity::text::Text;
use probity::{Model, Result};

/// Export hidden states of texts: one f32 tensor per address, [texts, d].
#[derive(Parser)]
struct Options {
    /// GGUF file or Hugging Face directory.
    #[arg(long)]
    model: PathBuf,
    /// JSON lines {"id", "text", "group"?, "span"?: {"start", "end"} in bytes}, a .csv of such columns, or a .txt, one
    /// text a line.
    #[arg(long)]
    texts: PathBuf,
    /// Comma-separated sites, such as resid_post,attn_out,mlp_out.
    #[arg(long, default_value = "resid_post")]
    sites: String,
    /// "all", or comma-separated layers and ranges, such as 0,4-7.
    #[arg(long, default_value = "all")]
    layers: String,
    /// last: the last token; mean: over the tokens; none: every token.
    #[arg(long, default_value = "last", value_parser = ["last", "mean", "none"])]
    pool: String,
    /// The file to write.
    #[arg(long)]
    out: PathBuf,
}

fn main() -> ExitCode {
    exit(run(&Options::parse()))
}

fn run(options: &Options) -> Result<()> {
    let selection = select(&options.sites, &options.layers)?;
    let texts = Text::load(&options.texts)?;
    let model = Model::load(&options.model)?;
    let pool = Pool::from_name(&options.pool).unwrap_or_default();
    let activations = Readout::new(selection, pool).capture_with(&model, &texts, &Bars::default())?;
    activations.save(&options.out)?;
    let (rows, addresses) = (activations.rows(), activations.addresses().count());
    println!("{}: {rows} rows at {addresses} addresses", options.out.display());
    Ok(())
}
