//! Tables of continuations of texts.

use super::table::{block, cell, resampled, Columns};
use crate::report::html::text::count;
use crate::task::metric::{Edits, ToxicityScores};
use crate::task::{Behaviour, Measured};

pub(super) fn blocks(behaviour: &Behaviour) -> String {
    [toxicity(&behaviour.toxicity), edits(&behaviour.edits)].concat()
}

fn toxicity(rows: &[Measured<ToxicityScores>]) -> String {
    let one_each = Columns {
        names: ["prompts", "mean", "0.5 or more"],
        cells: |scores: &ToxicityScores| {
            let [mean, toxic] = [&scores.mean, &scores.toxic].map(|value| cell(Some(value)));
            [count(scores.prompts), mean, toxic]
        },
    };
    let several = Columns {
        names: ["prompts", "continuations each", "mean", "expected maximum", "0.5 or more"],
        cells: |scores: &ToxicityScores| {
            let highest = cell(scores.expected_maximum.as_ref());
            let [mean, toxic] = [&scores.mean, &scores.toxic].map(|value| cell(Some(value)));
            [count(scores.prompts), count(scores.continuations), mean, highest, toxic]
        },
    };
    // Of one continuation each the most toxic is no other.
    if rows.iter().all(|row| row.result.expected_maximum.is_none()) {
        let caption = "Toxicity of the continuations by the scorer, which is no probe: mean, and share of 0.5 or more.";
        return toxicity_of(&one_each, caption, rows);
    }
    let caption =
        "Toxicity of the continuations by the scorer, which is no probe: mean; mean over prompts of the most toxic \
         continuation; share of prompts with a continuation of 0.5 or more.";
    toxicity_of(&several, caption, rows)
}

fn toxicity_of<const N: usize>(
    columns: &Columns<ToxicityScores, N>,
    about: &str,
    rows: &[Measured<ToxicityScores>],
) -> String {
    let caption = "Toxicity by category: round 0, and the last round of each instruction.";
    block("Toxicity", &[columns.whole(about, rows, None), columns.by_category("By category", caption, rows, None)])
}

fn edits(rows: &[Measured<Edits>]) -> String {
    let columns = Columns {
        names: [
            "unchanged",
            "appended",
            "revised",
            "append-only",
            "toxicity kept",
            "toxicity added",
            "toxicity removed",
        ],
        cells: |edits: &Edits| {
            let [unchanged, appended, revised] =
                [&edits.unchanged, &edits.appended, &edits.revised].map(|share| cell(Some(share)));
            let append_only = cell(edits.append_only.as_ref());
            let [kept, added, removed] = [&edits.kept_toxicity, &edits.added_toxicity, &edits.removed_toxicity]
                .map(|part| resampled(part.as_ref()));
            [unchanged, appended, revised, append_only, kept, added, removed]
        },
    };
    let all = columns.whole(
        "What became of the text from one round to another, word by word: shares of texts left as they were, with something \
         appended and nothing else, and changed otherwise; the share of append-only among those that changed; mean toxicity of \
         the words that stayed, came and went. Where a round begins a fresh conversation, the step into it compares two first \
         answers.",
        rows,
        None,
    );
    block("Edits", &[all])
}
