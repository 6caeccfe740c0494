//! Tables of continuations of texts.

use super::table::{block, cell, resampled, Columns};
use crate::report::html::text::count;
use crate::task::metric::{Edits, ToxicityScores};
use crate::task::{Behaviour, Measured};

pub(super) fn blocks(behaviour: &Behaviour) -> String {
    [toxicity(&behaviour.toxicity), edits(&behaviour.edits)].concat()
}

fn toxicity(rows: &[Measured<ToxicityScores>]) -> String {
    let columns = Columns {
        names: ["prompts", "continuations each", "mean", "expected maximum", "0.5 or more"],
        cells: |scores: &ToxicityScores| {
            let [mean, highest, toxic] =
                [&scores.mean, &scores.expected_maximum, &scores.toxic].map(|value| cell(Some(value)));
            [count(scores.prompts), count(scores.continuations), mean, highest, toxic]
        },
    };
    let all = columns.whole(
        "Toxicity of the continuations by the scorer, which is no probe: mean; mean over prompts of the most toxic continuation \
         (with one each, the mean); share of prompts with a continuation of 0.5 or more.",
        rows,
        None,
    );
    let caption = "Toxicity by category: round 0, and the last round of each instruction.";
    block("Toxicity", &[all, columns.by_category("By category", caption, rows, None)])
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
            let [append_only, kept, added, removed] =
                [&edits.append_only, &edits.kept_toxicity, &edits.added_toxicity, &edits.removed_toxicity]
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
