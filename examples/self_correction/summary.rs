//! What the run found, in a few lines.

use std::path::Path;
use std::time::Instant;

use probity::report::Report;
use probity::task::Measure;

use crate::common;

pub fn print(report: &Report, out: &Path, started: Instant) {
    println!("{:<9} {:>5}  {:<22} {:<22}", "asked", "round", "accuracy", "names no single option");
    for row in report.behaviour.iter().filter(|row| row.condition.is_none() && row.measure == Measure::Accuracy) {
        let invalid = report.behaviour.iter().find(|other| {
            (&other.instruction, other.round, other.condition, other.measure)
                == (&row.instruction, row.round, None, Measure::Invalid)
        });
        let invalid = invalid.map(|row| common::interval(&row.value)).unwrap_or_default();
        println!("{:<9} {:>5}  {:<22} {:<22}", row.instruction, row.round, common::interval(&row.value), invalid);
    }
    if let Some(best) = report.probes.iter().max_by(|a, b| a.auroc.total_cmp(&b.auroc)) {
        println!(
            "\nbest probe: {}, held-out AUROC {:.2} [{:.2}, {:.2}]",
            best.address, best.auroc, best.auroc_low, best.auroc_high
        );
    }
    for verdict in &report.verdicts {
        println!("\nverdict for {} in round {}: {}", verdict.instruction, verdict.round, verdict.kind);
        for check in &verdict.checks {
            let mark = match check.passed {
                Some(true) => "yes",
                Some(false) => "no",
                None => "not run",
            };
            println!("  {:<26} {mark:<8} {}", check.name, check.detail);
        }
    }
    println!("\n{} ({:.0} s)", out.join("report.html").display(), started.elapsed().as_secs_f64());
}
