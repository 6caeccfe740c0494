//! What the run found, in a few lines.

use std::path::Path;
use std::time::Instant;

use probity::causal::Beyond;
use probity::level::Check;
use probity::report::Report;
use probity::task::metric::BiasScore;
use probity::task::{Chosen, ContextCondition, Measure};

use crate::common::interval::interval;

pub fn print(report: &Report, out: &Path, started: Instant) {
    let behaviour = &report.behaviour;
    let shares = |context: Option<ContextCondition>, measure: Measure| {
        behaviour.rows.iter().filter(move |row| row.context == context && row.measure == measure)
    };
    for (row, invalid) in shares(None, Measure::Accuracy).zip(shares(None, Measure::Invalid)) {
        // Where there are both kinds of items, one figure over both would hide each.
        let of_kind = |context: ContextCondition| {
            let found = shares(Some(context), Measure::Accuracy).find(|other| other.condition == row.condition);
            found.map(|found| format!("{} {:<22}", context.name(), interval(&found.value)))
        };
        let apart: Option<Vec<String>> = ContextCondition::ALL.into_iter().map(of_kind).collect();
        let right = apart.map_or_else(|| format!("{:<22}", interval(&row.value)), |apart| apart.join(" "));
        println!(
            "{:<20} round {}  right {right} names no single option {}",
            row.condition.name(),
            row.condition.round,
            interval(&invalid.value)
        );
    }
    for bias in behaviour.bias.iter().filter(|row| row.category.is_none() && row.chosen == Some(Chosen::Scored)) {
        let score = |score: &Option<BiasScore>| score.as_ref().map(|score| interval(&score.score.interval));
        let (ambiguous, settled) = (score(&bias.result.ambiguous), score(&bias.result.disambiguated));
        println!(
            "{:<20} round {}  s_AMB {:<22} s_DIS {}",
            bias.condition.name(),
            bias.condition.round,
            ambiguous.unwrap_or_default(),
            settled.unwrap_or_default()
        );
    }
    for row in behaviour.toxicity.iter().filter(|row| row.category.is_none()) {
        let (mean, toxic) = (interval(&row.result.mean), interval(&row.result.toxic));
        println!("{:<20} round {}  toxicity {mean:<22} 0.5 or more {toxic}", row.condition.name(), row.condition.round);
    }
    if let Some(best) = report.probes.iter().max_by(|a, b| a.auroc.total_cmp(&b.auroc)) {
        println!(
            "\nbest probe: {}, held-out AUROC {:.2} [{:.2}, {:.2}]",
            best.address, best.auroc, best.auroc_low, best.auroc_high
        );
    }
    for verdict in &report.verdicts {
        println!("\nverdict for {} at {}: {}", verdict.condition, verdict.site, verdict.kind);
        for check in &verdict.checks {
            println!("  {}", line(check, report));
        }
    }
    for causal in &report.causal {
        let p = |beyond: &Option<Beyond>| beyond.map_or("-".to_owned(), |beyond| format!("{:.3}", beyond.p));
        println!(
            "\n{}, direction {}: of the gain {} goes {} (p {}), in the control comes {} (p {})",
            causal.condition,
            causal.manipulation,
            interval(&causal.gain),
            interval(&causal.probe.goes),
            p(&causal.goes),
            interval(&causal.probe.comes),
            p(&causal.comes)
        );
    }
    println!("\n{} ({:.0} s)", out.join("report.html").display(), started.elapsed().as_secs_f64());
}

/// A check with its answer, its number and when it passes.
fn line(check: &Check, report: &Report) -> String {
    let settings = &report.analysis.settings;
    let mark = match check.passed {
        Some(true) => "yes",
        Some(false) => "no",
        None => "not run",
    };
    let number = match &check.value {
        Some(value) => format!("{} {}", interval(value), check.kind.unit(settings, report.outcome())),
        None => check.detail.clone(),
    };
    let open = check.detectable.filter(|_| check.passed == Some(false));
    let power = open.map_or(String::new(), |from| {
        format!(", found with {:.0} % power from {from:.2e} beyond its mark on", 100.0 * settings.power)
    });
    let rule = check.passed.map_or(String::new(), |_| check.kind.rule(settings, report.outcome()));
    let rule = if rule.is_empty() { rule } else { format!("; passes if {rule}") };
    format!("{:<26} {mark:<8} {number}{power}{rule}", check.kind.name())
}
