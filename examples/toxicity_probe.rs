//! Toxicity probes on comments (the format of the Jigsaw challenge), by layer, with every control.
//!
//!     cargo run --release --example toxicity_probe -- --comments comments.csv --out out/toxicity

mod common {
    pub mod bars;
    pub mod exit;
    pub mod interval;
}

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use common::{bars::Bars, exit::exit, interval::interval};
use probity::capture::{Activations, Pool, Readout};
use probity::hook::{Address, Hooks, Selection, Site};
use probity::model::LogitsFor;
use probity::probe::validity::{FindingOutcome, Validity, ValidityRow, ValidityTable};
use probity::probe::{Direction, LogisticProbe, Preset};
use probity::task::Jigsaw;
use probity::text::{LabelledText, PadSide, Text, TokenBatch, Tokenizer};
use probity::{Model, Result};
use tch::Tensor;

/// Train toxicity probes at every layer and say what would have to hold to believe them.
///
/// Reads the mean over all tokens and the last token, and adds the two published recipes at their places. Writes
/// validity_*.csv, validity_*.json and probes_*.safetensors for each, and prints the tables.
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
    /// Control tasks, at least 20; 0 leaves them out.
    #[arg(long, default_value_t = 20)]
    draws: usize,
    /// Refits of each direction on other splits and on resamples; 0 leaves them out.
    #[arg(long, default_value_t = 5)]
    refits: usize,
    /// Tokens to list that each recipe's direction, and ours at its place, raise most through the unembedding. With
    /// toxicity probes expect offensive words.
    #[arg(long, default_value_t = 0)]
    top_tokens: usize,
    /// Folder for the results.
    #[arg(long, default_value = "out/toxicity")]
    out: PathBuf,
}

fn main() -> ExitCode {
    exit(run(&Options::parse()))
}

fn run(options: &Options) -> Result<()> {
    let model = Model::load(&options.model)?;
    let rows = comments(options)?;
    let (mut texts, labels) = LabelledText::as_texts(rows);
    let mut cut = 0;
    for text in &mut texts {
        cut += usize::from(shorten(text, model.tokenizer(), options.tokens)?);
    }
    println!("{} texts, {cut} of them cut after {} tokens", texts.len(), options.tokens);
    let words: Vec<&str> = texts.iter().map(|text| text.text.as_str()).collect();
    let estimator = LogisticProbe::default().seed(options.seed);
    let validity = Validity::default().control_tasks(options.draws).refits(options.refits).seed(options.seed);
    for pool in [Pool::Mean, Pool::Last] {
        let bars = Bars::default();
        let sites = match pool {
            Pool::Last => Site::ResidPost.all_layers().and(Site::FinalNorm.all_layers()),
            _ => Site::ResidPost.all_layers(),
        };
        let states = states(options, &model, &texts, sites, pool, &bars)?;
        let table = validity.check_with_progress(&estimator, &states, &labels, Some(&words), &bars)?;
        // The place of the recipe that reads with this pooling; the comments are balanced already.
        let (preset, place) = match pool {
            Pool::Last => (Preset::Liu2024, Address::FINAL_NORM),
            _ => (Preset::Lee2024, Site::ResidPost.at(model.geometry().layers.saturating_sub(1))),
        };
        let mut only = Activations::new(states.ids()).with_provenance(states.provenance().clone());
        only.insert(place, states.at(place)?.to_owned())?;
        let of_preset = validity.check(&preset.estimator(options.seed), &only, &labels, Some(&words))?;
        drop(bars);
        write(options, pool.name(), &table)?;
        write(options, preset.name(), &of_preset)?;
        show(&format!("{} over tokens; logistic probe, penalty = width, 75:25", pool.name()), &table);
        show(&format!("recipe {preset}: logistic probe, penalty 1, 90:10"), &of_preset);
        let ours = &table.probes.get(place)?.direction;
        let theirs = &of_preset.probes.get(place)?.direction;
        println!("cosine of ours and {preset} at {place}: {:.2}", ours.cosine(theirs)?);
        if options.top_tokens > 0 {
            for (name, direction) in [("ours", ours), (preset.name(), theirs)] {
                println!("{place}, {name}, raises {}", top_tokens(&model, direction, options.top_tokens)?.join(" "));
            }
        }
    }
    Ok(())
}

fn write(options: &Options, name: &str, table: &ValidityTable) -> Result<()> {
    table.write_csv(options.out.join(format!("validity_{name}.csv")))?;
    table.write_json(options.out.join(format!("validity_{name}.json")))?;
    table.probes.save(options.out.join(format!("probes_{name}.safetensors")))
}

fn show(title: &str, table: &ValidityTable) {
    println!("\n{title}; held-out results");
    for baseline in &table.baselines {
        let width = baseline.width.map(|width| format!(" ({width} features)")).unwrap_or_default();
        println!("baseline {}{width}: AUROC {}", baseline.name, interval(&baseline.auroc));
    }
    println!("| address | AUROC | p | selectivity (controls) | compression (share) | minus words | minus projection | cosine: splits, bootstraps, recipes | failed |");
    println!("|---|---|---|---|---|---|---|---|---|");
    for row in &table.rows {
        let selectivity =
            row.selectivity.as_ref().and_then(|s| Some((s.selectivity?, s.task? - s.selectivity?, s.spread?)));
        let selectivity =
            selectivity.map(|(value, controls, spread)| format!("{value:.2} ({controls:.2} ± {spread:.2})"));
        let code = row.code.as_ref().map(|code| format!("{:.2} ({:.2})", code.compression, code.share_compression));
        let over = |name: &str| row.baselines.get(name).map(interval).unwrap_or_default();
        let cosines = row.stability.as_ref().map(|s| format!("{:.2}, {:.2}, {:.2}", s.splits, s.bootstraps, s.recipes));
        println!(
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            row.address,
            interval(&row.auroc),
            row.permutation_p.map(|p| format!("{p:.3}")).unwrap_or_default(),
            selectivity.unwrap_or_default(),
            code.unwrap_or_default(),
            over("words"),
            over("projection"),
            cosines.unwrap_or_default(),
            failed(row),
        );
    }
}

/// Names of the checks that failed.
fn failed(row: &ValidityRow) -> String {
    let findings = row.findings();
    let failed = findings.iter().filter(|finding| finding.outcome == FindingOutcome::Failed);
    failed.map(|finding| finding.check).collect::<Vec<_>>().join(", ")
}

/// The tokens whose logits a direction raises most: it stands in for the last norm's output, so that the norm's own
/// gain plays no part.
fn top_tokens(model: &Model, direction: &Direction, tokens: usize) -> Result<Vec<String>> {
    let unit: Vec<f32> = direction.unit().iter().map(|&value| value as f32).collect();
    let batch = TokenBatch::new(&[&model.tokenizer().encode("a")?.ids], PadSide::Right)?;
    let mut hooks = Hooks::new();
    hooks.replace(Address::FINAL_NORM, |states| {
        let direction = Tensor::f_from_slice(&unit)?.f_to_device(states.device())?.f_to_kind(states.kind())?;
        Ok(states.f_zeros_like()?.f_add(&direction)?)
    });
    let Some(logits) = model.network().forward(&batch, None, &mut hooks, LogitsFor::Last)? else {
        return Ok(Vec::new());
    };
    let (_, ids) = logits.f_flatten(0, -1)?.f_topk(tokens as i64, -1, true, true)?;
    let ids: Vec<i64> = Vec::try_from(&ids)?;
    ids.into_iter().map(|id| Ok(format!("{:?}", model.tokenizer().decode(&[id as u32])?))).collect()
}

fn comments(options: &Options) -> Result<Vec<LabelledText>> {
    let Some(path) = &options.comments else { return LabelledText::bundled() };
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
    bars: &Bars,
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
    let captured = readout.capture_with_progress(model, texts, bars)?;
    if let Some(path) = path.as_deref() {
        captured.save(path)?;
    }
    Ok(captured)
}
