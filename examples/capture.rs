//! Exports hidden states of texts to a safetensors file that other tools read.
//!
//!     cargo run --release --example capture -- --model M.gguf --texts texts.jsonl --out acts.safetensors

mod common {
    pub mod bars;
    pub mod exit;
}

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use common::{bars::Bars, exit::exit};
use probity::capture::{Pool, Readout};
use probity::hook::Selection;
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
    /// Comma-separated sites, layers of sites, addresses and presets: resid_post, L4-7.mlp_out, L5.head_out.h3, residual.
    #[arg(long, default_value = "resid_post")]
    sites: Selection,
    /// Of sites without layers: "all", or comma-separated layers and ranges, such as 0,4-7.
    #[arg(long, default_value = "all")]
    layers: String,
    /// last: the last token; mean: over the tokens; none: every token.
    #[arg(long, default_value = "last")]
    pool: Pool,
    /// The file to write.
    #[arg(long)]
    out: PathBuf,
}

fn main() -> ExitCode {
    exit(run(&Options::parse()))
}

fn run(options: &Options) -> Result<()> {
    let selection = options.sites.clone().layers(&options.layers)?;
    let texts = Text::load(&options.texts)?;
    let model = Model::load(&options.model)?;
    let readout = Readout::new(selection, options.pool);
    let activations = readout.capture_with_progress(&model, &texts, &Bars::default())?;
    activations.save(&options.out)?;
    let (rows, addresses) = (activations.rows(), activations.addresses().count());
    println!("{}: {rows} rows at {addresses} addresses", options.out.display());
    Ok(())
}
