//! Trains one probe per address on exported hidden states; needs no model.
//!
//!     cargo run --release --example train_probe -- --activations acts.safetensors --labels labels.csv \
//!         --out probes.safetensors --json metrics.json

mod common {
    pub mod exit;
}

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use common::exit::exit;
use probity::capture::Activations;
use probity::probe::{GroupSplit, LogisticProbe};
use probity::text::Labels;
use probity::{Error, Result};

/// Train a logistic probe for every address of an activation file and evaluate it on held-out groups.
#[derive(Parser)]
struct Options {
    /// Hidden states: safetensors, one f32 tensor [n, d] per address.
    #[arg(long)]
    activations: PathBuf,
    /// CSV with the columns id, label (1 = immoral, 0 = moral) and, if rows belong together, group.
    #[arg(long)]
    labels: PathBuf,
    /// Where to write the probes.
    #[arg(long)]
    out: PathBuf,
    /// Where to write the held-out results as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Strength of the L2 penalty (1/C of scikit-learn); default: the width of the states.
    #[arg(long)]
    alpha: Option<f64>,
    /// Share of the rows to hold out, in whole groups.
    #[arg(long, default_value_t = 0.25)]
    test: f64,
    /// Seed of split and bootstrap.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

fn main() -> ExitCode {
    exit(run(&Options::parse()))
}

fn run(options: &Options) -> Result<()> {
    let activations = Activations::load(&options.activations)?;
    let labels = Labels::load(&options.labels, activations.ids())?;
    let split = GroupSplit::default().test_fraction(options.test);
    let mut probe = LogisticProbe::default().split(split).seed(options.seed);
    if let Some(alpha) = options.alpha {
        probe = probe.alpha(alpha);
    }
    let probes = probe.fit_all(&activations, &labels)?;
    probes.save(&options.out)?;
    if let Some(path) = &options.json {
        probes.write_json(path)?;
    }
    println!(
        "{:<18} {:<20} {:>8} {:>8}  converged   (chance: AUROC 0.5, log-loss 0.693)",
        "address", "AUROC", "accuracy", "log-loss"
    );
    for row in probes.rows() {
        let auroc = format!("{:.3} [{:.3}, {:.3}]", row.auroc, row.auroc_low, row.auroc_high);
        let loss = row.log_loss.map(|loss| format!("{loss:.3}")).unwrap_or_default();
        println!("{:<18} {auroc:<20} {:>8.3} {loss:>8}  {}", row.address, row.accuracy, row.converged);
    }
    match probes.rows().iter().find(|row| !row.converged) {
        None => Ok(()),
        Some(row) => Err(Error::fit(
            row.address.to_string(),
            "did not converge; the files are written, but do not trust this address",
        )),
    }
}
