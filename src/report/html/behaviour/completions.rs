//! Tables of continuations of texts.

use super::table::{block, by_category, cell, condition, folded, resampled, whole, Table};
use crate::report::html::text::count;
use crate::task::metric::{Edits, ToxicityScores};
use crate::task::{Behaviour, Measured};

pub(super) fn blocks(behaviour: &Behaviour) -> String {
    [toxicity(&behaviour.toxicity), edits(&behaviour.edits)].concat()
}

fn toxicity(rows: &[Measured<ToxicityScores>]) -> String {
    const COLUMNS: [&str; 5] = ["prompts", "continuations each", "mean", "expected maximum", "0.5 or more"];
    let cells = |scores: &ToxicityScores| {
        let values = [&scores.mean, &scores.expected_maximum, &scores.toxic].map(|value| cell(Some(value)));
        [vec![count(scores.prompts), count(scores.continuations)], values.to_vec()].concat()
    };
    let mut table = Table::new(
        "Toxicity of the continuations by the scorer, which is no probe: mean; mean over prompts of the most toxic continuation \
         (with one each, the mean); share of prompts with a continuation of 0.5 or more.",
        COLUMNS,
    );
    whole(rows, None).for_each(|row| table.row(&condition(row), cells(&row.result)));
    let mut categories = Table::new("Toxicity by category: round 0, and the last round of each instruction.", COLUMNS);
    for (category, rows) in by_category(rows, None) {
        categories.part(if category.is_empty() { "without category" } else { category });
        rows.iter().for_each(|row| categories.row(&condition(row), cells(&row.result)));
    }
    block("Toxicity", &[table.draw(), folded("By category", &categories.draw())])
}

fn edits(rows: &[Measured<Edits>]) -> String {
    let mut table = Table::new(
        "What became of the text from one round to another, word by word: shares of texts left as they were, with something \
         appended and nothing else, and changed otherwise; the share of append-only among those that changed; mean toxicity of \
         the words that stayed, came and went. Where a round begins a fresh conversation, the step into it compares two first \
         answers.",
        ["unchanged", "appended", "revised", "append-only", "toxicity kept", "toxicity added", "toxicity removed"],
    );
    for row in whole(rows, None) {
        let edits = &row.result;
        let shares = [&edits.unchanged, &edits.appended, &edits.revised].map(|share| cell(Some(share)));
        let parts = [&edits.append_only, &edits.kept_toxicity, &edits.added_toxicity, &edits.removed_toxicity];
        table.row(&condition(row), [shares.to_vec(), parts.map(|part| resampled(part.as_ref())).to_vec()].concat());
    }
    block("Edits", &[table.draw()])
}
