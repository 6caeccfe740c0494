//! Where does a model tell wrong from right? One probe per layer on labelled statements.
//!
//!     cargo run --release --example quickstart -- MODEL.gguf

use probity::capture::{Pool, Readout};
use probity::hook::Site;
use probity::probe::LogisticProbe;
use probity::text::LabelledText;
use probity::{Model, Result};

fn main() -> Result<()> {
    let path = std::env::args().nth(1).unwrap_or_else(|| ".models/SmolLM2-135M-Instruct.Q4_1.gguf".to_owned());
    if path.starts_with('-') {
        println!(
            "usage: quickstart [MODEL]   a GGUF file or a Hugging Face directory; default: the one of `make demo`"
        );
        return Ok(());
    }
    let model = Model::load(path)?;
    let (texts, labels) = LabelledText::as_texts(LabelledText::bundled()?);
    let states = Readout::new(Site::ResidPost.all_layers(), Pool::Last).capture(&model, &texts)?;
    let probes = LogisticProbe::default().fit_all(&states, &labels)?;
    for row in probes.rows() {
        let bar = "#".repeat((80.0 * (row.auroc - 0.5).max(0.0)) as usize);
        println!("{:<16} AUROC {:.2} [{:.2}, {:.2}] {bar}", row.address, row.auroc, row.auroc_low, row.auroc_high);
    }
    Ok(())
}
