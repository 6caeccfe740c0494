//! Toxicity probes on comments (the format of the Jigsaw challenge), by layer, with every control.
//!
//!     cargo run --release --example toxicity_probe -- --comments comments.csv --out out/toxicity

mod common;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use probity::capture::{Activations, Pool, Readout};
use probity::hook::{Selection, Site};
use probity::probe::LabelledText;
use probity::task::Jigsaw;
use probity::text::{Text, Tokenizer};
use probity::{Model, Result};

/// Train toxicity probes at every layer and say what would have to hold to believe them.
///
/// Writes validity.csv and validity.json for each pooling, and prints one table.
#[derive(Parser)]
struct Options {
    /// GGUF file or Hugging Face directory.
    #[arg(long, default_value = ".models/SmolLM2-135M-Instruct.Q4_1.gguf")]
    model: PathBuf,
    /// CSV with the columns id, comment_text and toxic; without it the statements of data/moral_acts.jsonl.
    #[arg(long)]
    comments: Option<PathBuf>,
    /// Most comments to use, half of them toxic.
    #[arg(long, default_value_t = 4_000)]
    limit: usize,
    /// Tokens after which a comment is cut.
    #[arg(long, default_value_t = 128)]
    tokens: usize,
    /// Seed of the choice of comments, the split, the controls and the bootstrap.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Folder that keeps the hidden states; a second run with the same comments and model reads them there.
    #[arg(long)]
    states: Option<PathBuf>,
    /// Folder for the results.
    #[arg(long, default_value = "out/toxicity")]
    out: PathBuf,
}

fn main() -> ExitCode {
    common::exit(run(&Options::parse()))
}

fn run(options: &Options) -> Result<()> {
    let model = Model::load(&options.model)?;
    let rows = comments(options)?;
    let (mut texts, _labels) = LabelledText::bare(rows)?;
    let mut cut = 0;
    for text in &mut texts {
        cut += usize::from(shorten(text, model.tokenizer(), options.tokens)?);
    }
    println!("{} texts, {cut} of them cut at {} tokens", texts.len(), options.tokens);
    let bars = common::Bars::default();
    let sites = |pool| match pool {
        Pool::Last => Site::ResidPost.all_layers().and(Site::FinalNorm.all_layers()),
        _ => Site::ResidPost.all_layers(),
    };
    for pool in [Pool::Mean, Pool::Last] {
        let _states = states(options, &model, &texts, sites(pool), pool, &bars)?;
    }
    Ok(())
}

fn comments(options: &Options) -> Result<Vec<LabelledText>> {
    let Some(path) = &options.comments else { return LabelledText::load("data/moral_acts.jsonl") };
    let comments = Jigsaw::default().balanced(true).limit(options.limit).seed(options.seed).load(path)?;
    println!(
        "{}: {} of {} comments ({} empty and {} copied rows left out, {} repeat another's words)",
        path.display(),
        comments.rows.len(),
        comments.read,
        comments.empty,
        comments.copies,
        comments.repeated
    );
    Ok(comments.rows)
}

/// Cuts a text after so many tokens; whether it was longer.
fn shorten(text: &mut Text, tokenizer: &Tokenizer, tokens: usize) -> Result<bool> {
    let encoded = tokenizer.encode(&text.text)?;
    let (Some(_), Some(&(_, end))) = (encoded.bytes.get(tokens), encoded.bytes.get(tokens.saturating_sub(1))) else {
        return Ok(false);
    };
    let end = (0..=end).rev().find(|&end| text.text.is_char_boundary(end)).unwrap_or(0);
    text.text.truncate(end);
    Ok(true)
}

/// The hidden states, from the folder that keeps them where they are the right ones.
fn states(
    options: &Options,
    model: &Model,
    texts: &[Text],
    sites: Selection,
    pool: Pool,
    bars: &common::Bars,
) -> Result<Activations> {
    let readout = Readout::new(sites, pool);
    let path = options.states.as_ref().map(|folder| folder.join(format!("{}.safetensors", pool.name())));
    if let Some(kept) = path.as_deref().filter(|path| path.exists()).map(Activations::load).transpose()? {
        let same = |key: &str, value: Option<&String>| kept.provenance().get(key) == value;
        let model_is = model.provenance();
        let ids = texts.iter().map(|text| &text.id);
        if same("model_sha256", model_is.get("model_sha256")) && ids.eq(kept.ids()) {
            return Ok(kept);
        }
    }
    let captured = readout.capture_with(model, texts, bars)?;
    if let Some(path) = path.as_deref() {
        captured.save(path as &Path)?;
    }
    Ok(captured)
}
