//! How many items, and texts for the probes, the next study needs, by the report of an earlier one.
//!
//!     cargo run --release --example plan_study -- --pilot out/demo/report.json --gain 0.1 --fall 0.4

mod common {
    pub mod exit;
}

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use common::exit::exit;
use probity::level::Planner;
use probity::report::Report;
use probity::{Error, Result};

/// Say how many items a study needs to show an effect, by how much a pilot varied. Level and margin are the pilot's unless
/// given. Name effects that would matter, not those that the pilot happened to show.
#[derive(Parser)]
struct Options {
    /// report.json of the pilot, or its folder.
    #[arg(long)]
    pilot: PathBuf,
    /// A true gain in behaviour over the control to be found, in the outcome's unit: 0.1 is ten points of accuracy.
    #[arg(long, default_value_t = 0.1)]
    gain: f64,
    /// A true fall of the level to be found beyond the margin, in class distances; default: twice the margin.
    #[arg(long)]
    fall: Option<f64>,
    /// Chance with which a true effect is to be found; default: the pilot's.
    #[arg(long)]
    power: Option<f64>,
    /// The largest change that counts as none, in class distances; default: the pilot's.
    #[arg(long)]
    margin: Option<f64>,
    /// Items of each group; default: as in the pilot.
    #[arg(long)]
    per_group: Option<f64>,
}

fn main() -> ExitCode {
    exit(run(&Options::parse()))
}

fn run(options: &Options) -> Result<()> {
    let path = if options.pilot.is_dir() { options.pilot.join("report.json") } else { options.pilot.clone() };
    let pilot = Report::load(path)?;
    let mut settings = pilot.analysis.settings;
    settings = options.power.map_or(settings, |power| settings.power(power));
    settings = options.margin.map_or(settings, |margin| settings.margin(margin));
    let fall = options.fall.unwrap_or(2.0 * settings.margin);
    if pilot.precision.is_empty() {
        return Err(Error::setting("--pilot", options.pilot.display(), "a report with an instruction and its control"));
    }
    println!(
        "To show it with {:.0} % power, at level {} and a margin of {} class distances:",
        100.0 * settings.power,
        settings.level,
        settings.margin
    );
    for precision in &pilot.precision {
        let mut planner = Planner::new(precision, settings)?;
        if let Some(items) = options.per_group {
            planner = planner.per_group(items);
        }
        println!("\n{}", precision.condition);
        if precision.gain.is_some() {
            println!("  a gain of {} in {}: {}", options.gain, pilot.outcome(), planner.for_gain(options.gain)?);
        }
        let Some(change) = &precision.change else {
            println!("  no probe was valid over the answers: better probes first");
            continue;
        };
        println!("  a fall of {fall}, beyond the margin: {}", planner.for_reduction(fall)?);
        println!("  no fall by the margin, where there is none: {}", planner.for_no_reduction()?);
        println!(
            "  (the pilot: {} items in {} groups, correlated by {:.2} within them; probes of {} groups of texts)",
            change.items, change.groups, change.intraclass_correlation, change.texts
        );
    }
    Ok(())
}
