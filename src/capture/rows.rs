//! Which texts are run side by side, and which of them as one row that branches.

use std::collections::hash_map::Entry;
use std::collections::HashMap;
use std::ops::Range;

use crate::text::{Encoded, TokenTree};

/// Fewer tokens than these are not worth a mask of their own.
const LEAST_BRANCHED_TOKENS: usize = 32;

/// Texts that are run as one row: the tokens of the first, then what each of the others does not share with it.
pub(super) struct Row {
    pub members: Vec<Member>,
    /// Tokens.
    length: usize,
}

/// Texts with the same tokens in a row.
pub(super) struct Member {
    /// Their numbers, at least one.
    pub texts: Vec<usize>,
    /// Tokens that the first member of the row has for them.
    shared: usize,
    /// Where in the row their own tokens begin.
    start: usize,
}

impl Member {
    /// Where in the row a token of theirs lies that they do not share, of a row without its first `skipped` tokens; 0 for
    /// these.
    pub fn column(&self, token: usize, skipped: usize) -> usize {
        (self.start + token).saturating_sub(self.shared + skipped)
    }
}

impl Row {
    fn of(texts: Vec<usize>, encoded: &[Encoded]) -> Self {
        let length = encoded[texts[0]].ids.len();
        Row { members: vec![Member { texts, shared: 0, start: 0 }], length }
    }

    /// The text whose tokens come first.
    pub fn first(&self) -> usize {
        self.members[0].texts[0]
    }

    /// Whether several texts share their beginning here.
    pub fn branches(&self) -> bool {
        self.members.len() > 1
    }

    /// The tokens without the first `skipped`.
    pub fn tree(&self, encoded: &[Encoded], skipped: usize) -> TokenTree {
        let mut tree = TokenTree::default();
        for member in &self.members {
            let own = &encoded[member.texts[0]].ids[member.shared.max(skipped)..];
            tree.grow(member.shared.checked_sub(skipped + 1), own);
        }
        tree
    }
}

/// Texts with the same tokens, the same of them hidden, together; where `reads` says which token of a text is read first,
/// texts that share more than half of their tokens before it share a row of at most `budget` tokens.
pub(super) fn rows(
    encoded: &[Encoded],
    hidden: &[Vec<Range<usize>>],
    reads: Option<&dyn Fn(usize) -> usize>,
    budget: usize,
) -> Vec<Row> {
    let mut distinct = distinct(encoded, hidden);
    let ids = |texts: &[usize]| encoded[texts[0]].ids.as_slice();
    let Some(reads) = reads else {
        return distinct.into_iter().map(|texts| Row::of(texts, encoded)).collect();
    };
    // Neighbours in this order begin alike.
    distinct.sort_by(|a, b| ids(a).cmp(ids(b)));
    let mut rows: Vec<Row> = Vec::new();
    for texts in distinct {
        let own = ids(&texts);
        let read = texts.iter().map(|&text| reads(text)).min().unwrap_or(0);
        let common = |row: &Row| encoded[row.first()].ids.iter().zip(own).take_while(|(a, b)| a == b).count().min(read);
        match rows.last_mut().map(|row| (common(row), row)) {
            Some((shared, row))
                if shared >= LEAST_BRANCHED_TOKENS
                    && 2 * shared > own.len()
                    && row.length + own.len() - shared <= budget =>
            {
                row.members.push(Member { texts, shared, start: row.length });
                row.length += own.len() - shared;
            }
            _ => rows.push(Row::of(texts, encoded)),
        }
    }
    rows.sort_by_key(Row::first);
    rows
}

/// Numbers of texts with the same tokens, the same of them hidden, together.
fn distinct(encoded: &[Encoded], hidden: &[Vec<Range<usize>>]) -> Vec<Vec<usize>> {
    let mut places: HashMap<(&[u32], &[Range<usize>]), usize> = HashMap::new();
    let mut distinct: Vec<Vec<usize>> = Vec::new();
    for (text, (tokens, hidden)) in encoded.iter().zip(hidden).enumerate() {
        match places.entry((&tokens.ids, hidden)) {
            Entry::Occupied(place) => distinct[*place.get()].push(text),
            Entry::Vacant(place) => {
                place.insert(distinct.len());
                distinct.push(vec![text]);
            }
        }
    }
    distinct
}

/// Rows of like length together, so that little is padded; longest batch first.
pub(super) fn batches(rows: &[Row], budget: usize) -> Vec<Vec<&Row>> {
    let mut order: Vec<&Row> = rows.iter().collect();
    order.sort_by_key(|row| std::cmp::Reverse(row.length));
    let mut batches: Vec<Vec<&Row>> = Vec::new();
    let mut widest = 0;
    for row in order {
        match batches.last_mut() {
            Some(batch) if (batch.len() + 1) * widest <= budget => batch.push(row),
            _ => {
                widest = row.length;
                batches.push(vec![row]);
            }
        }
    }
    batches
}
