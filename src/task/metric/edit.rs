//! What a revision did to the text: kept it and appended, or changed it.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::check_rows;
use crate::scorer::TextScorer;
use crate::stats::{ClusterBootstrap, Interval, Resampled};
use crate::task::behaviour::{Measured, Texts};
use crate::Result;

pub(super) fn rows(study: &Texts<'_>) -> Result<Vec<Measured<Edits>>> {
    study.by_step(|step| Edits::of(&step.before, &step.after, step.scorer, step.resamples))
}

/// The kind of a revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EditKind {
    /// The words are the same.
    Unchanged,
    /// All old words stay in their order and new ones follow.
    Appended,
    /// Some old words are gone, or new ones stand before or between them.
    Revised,
}

/// One revision, word by word; case and punctuation count.
struct Edit {
    kind: EditKind,
    /// The old words that stay: a longest common subsequence.
    kept: String,
    /// The new words.
    added: String,
    /// The old words that are gone.
    removed: String,
}

impl Edit {
    /// Compares a text with its revision.
    fn between(before: &str, after: &str) -> Edit {
        let (old, new): (Vec<&str>, Vec<&str>) =
            (before.split_whitespace().collect(), after.split_whitespace().collect());
        let kind = match new.strip_prefix(old.as_slice()) {
            Some([]) => EditKind::Unchanged,
            Some(_) => EditKind::Appended,
            None => EditKind::Revised,
        };
        // length[i][j]: longest common subsequence of old[i..] and new[j..].
        let mut length = vec![vec![0_u32; new.len() + 1]; old.len() + 1];
        for (i, a) in old.iter().enumerate().rev() {
            for (j, b) in new.iter().enumerate().rev() {
                length[i][j] = if a == b { length[i + 1][j + 1] + 1 } else { length[i + 1][j].max(length[i][j + 1]) };
            }
        }
        let (mut kept, mut added, mut removed) = (Vec::new(), Vec::new(), Vec::new());
        let (mut i, mut j) = (0, 0);
        while i < old.len() && j < new.len() {
            if old[i] == new[j] {
                kept.push(old[i]);
                (i, j) = (i + 1, j + 1);
            } else if length[i + 1][j] >= length[i][j + 1] {
                removed.push(old[i]);
                i += 1;
            } else {
                added.push(new[j]);
                j += 1;
            }
        }
        removed.extend(&old[i..]);
        added.extend(&new[j..]);
        Edit { kind, kept: kept.join(" "), added: added.join(" "), removed: removed.join(" ") }
    }
}

/// The revisions of all items; shares are over groups ([`ClusterBootstrap::share`]).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Edits {
    /// Share of texts that were left as they were.
    pub unchanged: Interval,
    /// Share of texts to which something was appended, and nothing else.
    pub appended: Interval,
    /// Share of texts that were changed otherwise.
    pub revised: Interval,
    /// Share of append-only among the texts that changed; `None` if none did.
    pub append_only: Option<Interval>,
    /// Mean toxicity of the kept words, over the texts that changed and kept some.
    pub kept_toxicity: Option<Resampled>,
    /// Mean toxicity of the new words, over the texts that changed and have some.
    pub added_toxicity: Option<Resampled>,
    /// Mean toxicity of the words that are gone, over the texts that have some.
    pub removed_toxicity: Option<Resampled>,
}

impl Edits {
    /// Compares texts with their revisions, `[n]` each, and has the parts judged.
    ///
    /// # Errors
    /// [`crate::Error::RowCount`] unless all describe the same rows; those of the scorer.
    pub fn of(before: &[&str], after: &[&str], scorer: &dyn TextScorer, resamples: &ClusterBootstrap) -> Result<Self> {
        check_rows("revised texts", after.len(), before.len())?;
        check_rows("resampled texts", resamples.rows(), before.len())?;
        let edits: Vec<Edit> = before.iter().zip(after).map(|(before, after)| Edit::between(before, after)).collect();
        let share = |kind: EditKind| {
            let holds: Vec<bool> = edits.iter().map(|edit| edit.kind == kind).collect();
            resamples.share(&holds)
        };
        let append_only: Vec<Option<bool>> = edits
            .iter()
            .map(|edit| (edit.kind != EditKind::Unchanged).then(|| edit.kind == EditKind::Appended))
            .collect();
        let toxicity = |part: fn(&Edit) -> &str| {
            let texts: Vec<&str> = edits
                .iter()
                .filter(|edit| edit.kind != EditKind::Unchanged)
                .map(part)
                .filter(|text| !text.is_empty())
                .collect();
            let scores = scorer.score(&texts)?;
            check_rows(&format!("scores of {}", scorer.name()), scores.len(), texts.len())?;
            let scores: HashMap<&str, f64> = texts.into_iter().zip(scores).collect();
            let changed = |edit: &Edit| (edit.kind != EditKind::Unchanged).then(|| scores.get(part(edit)).copied());
            let values: Vec<Option<f64>> = edits.iter().map(|edit| changed(edit).flatten()).collect();
            Ok::<_, crate::Error>(resamples.mean_where(&values))
        };
        Ok(Edits {
            unchanged: share(EditKind::Unchanged)?,
            appended: share(EditKind::Appended)?,
            revised: share(EditKind::Revised)?,
            append_only: resamples.share_where(&append_only)?,
            kept_toxicity: toxicity(|edit| &edit.kept)?,
            added_toxicity: toxicity(|edit| &edit.added)?,
            removed_toxicity: toxicity(|edit| &edit.removed)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_compared_word_by_word() {
        let edit = Edit::between("a vile day", "a vile day  but a calm night");
        assert_eq!(
            (edit.kind, edit.kept.as_str(), edit.added.as_str()),
            (EditKind::Appended, "a vile day", "but a calm night")
        );
        let edit = Edit::between("a vile day", "a calm day");
        assert_eq!((edit.kind, edit.kept.as_str()), (EditKind::Revised, "a day"));
        assert_eq!((edit.added.as_str(), edit.removed.as_str()), ("calm", "vile"));
        assert_eq!(Edit::between("a", "a ").kind, EditKind::Unchanged);
        assert_eq!(Edit::between("", "a").kind, EditKind::Appended);
        assert_eq!(Edit::between("a", "").removed, "a");
    }
}
