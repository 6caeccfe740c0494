//! How far the wordings of each instruction differ.

use super::text::{count, escape, interval_cell, number, percent, NONE};
use crate::level::{Verdict, WordingEffect};
use crate::report::Report;
use crate::stats::FactorVariance;

pub(super) fn section(report: &Report) -> String {
    let found = report.verdicts.iter().filter_map(|verdict| Some((verdict, verdict.wordings.as_ref()?)));
    let tables: String = found.map(|(verdict, effect)| table(verdict, effect, report)).collect();
    if tables.is_empty() {
        return String::new();
    }
    format!(
        "<section id=\"wordings\"><h2>Does it depend on how the instruction is put?</h2><p>Every item was asked in one wording. \
         The verdict is on the instruction over its wordings: they are a sample as items are, and its intervals hold both. \
         Wordings of one number belong together, the instruction\u{2019}s and its control\u{2019}s.</p>{tables}</section>"
    )
}

fn table(verdict: &Verdict, effect: &WordingEffect, report: &Report) -> String {
    let of_instruction = report.protocol.wordings.iter().find(|one| one.instruction == verdict.condition.instruction);
    let rows: String = effect
        .rows
        .iter()
        .map(|row| {
            let text =
                of_instruction.and_then(|one| one.texts.get(row.wording)).map_or(NONE.to_owned(), |text| escape(text));
            format!(
                "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{}</td><td>{text}</td></tr>",
                row.wording,
                count(row.items),
                interval_cell(&row.change),
                row.gain.map_or(NONE.to_owned(), number),
            )
        })
        .collect();
    let gain = effect
        .gain
        .as_ref()
        .map_or(String::new(), |gain| format!(" Of the gain in {}: {}.", escape(report.outcome()), variances(gain)));
    format!(
        "<div class=\"scroll\"><table class=\"plain\"><caption>{}, round {}: D by wording, in class distances, with intervals over \
         its own items alone, and the gain over the control. Variance of D: {}.{gain}</caption><thead><tr>\
         <th scope=\"col\">wording</th><th scope=\"col\">items</th><th scope=\"col\">D</th><th scope=\"col\">gain</th>\
         <th scope=\"col\">text</th></tr></thead><tbody>{rows}</tbody></table></div>",
        escape(&verdict.condition.name()),
        verdict.condition.round,
        variances(&effect.change),
    )
}

fn variances(found: &FactorVariance) -> String {
    format!(
        "between wordings {}, between items of one wording {}, so that {} of it is the wordings\u{2019}",
        number(found.between),
        number(found.within),
        percent(found.share)
    )
}
