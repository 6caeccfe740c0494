//! Several continuations of a text, run beside each other in one pass.

use std::ops::Range;

use tch::{Kind, Tensor};

use super::batch::{Mask, SlotLedger, TokenBatch};
use crate::{Error, Result};

/// Continuations of one text as a tree: what some of them begin with in common is there once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TokenTree {
    tokens: Vec<u32>,
    /// The node before each node; `None` for those that follow the text itself. A node comes after the one before it.
    before: Vec<Option<usize>>,
}

impl TokenTree {
    /// Adds a continuation; the nodes of its tokens.
    pub fn add(&mut self, branch: &[u32]) -> Vec<usize> {
        let mut last = None;
        let mut nodes = Vec::with_capacity(branch.len());
        for &token in branch {
            let known = (0..self.tokens.len()).find(|&node| self.tokens[node] == token && self.before[node] == last);
            let node = known.unwrap_or_else(|| {
                self.tokens.push(token);
                self.before.push(last);
                self.tokens.len() - 1
            });
            nodes.push(node);
            last = Some(node);
        }
        nodes
    }

    /// Adds tokens one after the other behind a node, or behind the text itself, whatever is there already; their nodes.
    pub fn grow(&mut self, after: Option<usize>, tokens: &[u32]) -> Range<usize> {
        let first = self.len();
        self.before.extend((0..tokens.len()).map(|step| step.checked_sub(1).map_or(after, |last| Some(first + last))));
        self.tokens.extend(tokens);
        first..self.len()
    }

    /// Number of nodes.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Tokens from the text to each node, itself not counted.
    fn depths(&self) -> Vec<usize> {
        let mut depths: Vec<usize> = Vec::with_capacity(self.len());
        for before in &self.before {
            depths.push(before.map_or(0, |before| depths[before] + 1));
        }
        depths
    }

    /// By node, which of `width` nodes it sees: itself and those on the way to it. What fills up the row sees itself, so that
    /// no row of the softmax is empty.
    fn seen(&self, width: usize) -> Vec<Vec<bool>> {
        let mut seen: Vec<Vec<bool>> = Vec::with_capacity(width);
        for node in 0..width {
            let before = self.before.get(node).copied().flatten();
            let mut of_node = before.map_or_else(|| vec![false; width], |before| seen[before].clone());
            of_node[node] = true;
            seen.push(of_node);
        }
        seen
    }
}

impl SlotLedger {
    /// A batch of trees that follow what the rows hold, one a row; a row may have none. Their nodes are entered in the
    /// ledger as slots, which must be taken back before anything else follows: branches are no one text.
    ///
    /// # Errors
    /// [`Error::RowCount`] for another number of rows.
    pub(crate) fn branch(&mut self, trees: &[TokenTree]) -> Result<TokenBatch> {
        let (rows, past) = (self.rows(), self.slots());
        if rows != trees.len() {
            let what = "branches to append to a cache".to_owned();
            return Err(Error::row_count(what, rows, trees.len()));
        }
        let width = trees.iter().map(TokenTree::len).max().unwrap_or(0);
        let slots = past + width;
        let (mut ids, mut positions, mut key_positions) = (Vec::new(), Vec::new(), Vec::new());
        let (mut seen, mut starts) = (Vec::with_capacity(rows * width * slots), Vec::with_capacity(rows));
        for (row, tree) in trees.iter().enumerate() {
            let known = self.tokens(row).count();
            starts.push(known);
            let of_nodes = tree.depths().into_iter().map(|depth| (known + depth) as i64);
            let of_nodes: Vec<i64> = of_nodes.chain(std::iter::repeat(0)).take(width).collect();
            ids.extend((0..width).map(|node| tree.tokens.get(node).map_or(0, |&token| i64::from(token))));
            key_positions.extend(self.positions_of(row));
            key_positions.extend(&of_nodes);
            positions.extend(of_nodes);
            for of_node in tree.seen(width) {
                seen.extend(self.held(row));
                seen.extend(of_node);
            }
        }
        for (row, tree) in trees.iter().enumerate() {
            self.enter(row, (0..width).map(|node| tree.tokens.get(node).copied()));
        }
        let seen: Vec<u8> = seen.into_iter().map(u8::from).collect();
        let (rows_size, width_size, slots_size) = (rows as i64, width as i64, slots as i64);
        let seen = Tensor::f_from_slice(&seen)?.f_view([rows_size, 1, width_size, slots_size])?;
        Ok(TokenBatch {
            ids: Tensor::f_from_slice(&ids)?.f_view([rows_size, width_size])?,
            positions: Tensor::f_from_slice(&positions)?.f_view([rows_size, width_size])?,
            mask: Mask::Explicit(seen.f_to_kind(Kind::Bool)?),
            key_positions: Some(Tensor::f_from_slice(&key_positions)?.f_view([rows_size, slots_size])?),
            rows: trees.iter().map(|tree| 0..tree.len()).collect(),
            starts,
            texts: (0..rows).collect(),
        })
    }
}

impl TokenBatch {
    /// A batch of whole texts, of which those that begin alike are one row that branches.
    ///
    /// # Errors
    /// [`Error::Torch`].
    pub(crate) fn branching(trees: &[TokenTree]) -> Result<Self> {
        let batch = SlotLedger::empty(trees.len()).branch(trees)?;
        Ok(TokenBatch { key_positions: None, ..batch })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_begin_alike_are_one_row() {
        let mut tree = TokenTree::default();
        assert_eq!(tree.grow(None, &[7, 8, 9]), 0..3);
        assert_eq!(tree.grow(Some(1), &[5, 9]), 3..5);
        let mut other = TokenTree::default();
        other.grow(None, &[4]);
        let batch = TokenBatch::branching(&[tree, other]).unwrap();
        let whole = |tensor: &Tensor| Vec::<i64>::try_from(tensor.view([-1])).unwrap();
        assert_eq!(whole(&batch.positions), [0, 1, 2, 2, 3, 0, 0, 0, 0, 0]);
        assert!(batch.key_positions.is_none() && batch.rows == [0..5, 0..1]);
        let Mask::Explicit(seen) = &batch.mask else { panic!("branches need a mask") };
        let seen: Vec<u8> = Vec::<bool>::try_from(seen.view([-1])).unwrap().into_iter().map(u8::from).collect();
        let first = [[1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [1, 1, 0, 1, 0], [1, 1, 0, 1, 1]];
        assert_eq!(seen[..25], first.concat());
        assert_eq!(seen[25..35], [1, 0, 0, 0, 0, 0, 1, 0, 0, 0]);
    }

    #[test]
    fn common_beginnings_are_run_once_and_branches_do_not_see_each_other() {
        let mut tree = TokenTree::default();
        assert_eq!(tree.add(&[7, 8, 9]), [0, 1, 2]);
        assert_eq!(tree.add(&[7, 8, 5]), [0, 1, 3]);
        assert_eq!(tree.add(&[8]), [4], "the same token elsewhere is another node");
        assert_eq!(tree.add(&[7]), [0]);
        assert_eq!(tree.depths(), [0, 1, 2, 2, 0]);

        let mut ledger = SlotLedger::default();
        ledger.append(&[&[1, 2], &[3]]).unwrap();
        let batch = ledger.branch(&[tree, TokenTree::default()]).unwrap();
        let whole = |tensor: &Tensor| Vec::<i64>::try_from(tensor.view([-1])).unwrap();
        assert_eq!(whole(&batch.ids), [7, 8, 9, 5, 8, 0, 0, 0, 0, 0]);
        assert_eq!(whole(&batch.positions), [2, 3, 4, 4, 2, 0, 0, 0, 0, 0]);
        let keys = batch.key_positions.as_ref().unwrap();
        assert_eq!(whole(keys)[..7], [0, 1, 2, 3, 4, 4, 2]);
        let Mask::Explicit(seen) = &batch.mask else { panic!("branches need a mask") };
        assert_eq!(seen.size(), [2, 1, 5, 7]);
        let seen: Vec<u8> = Vec::<bool>::try_from(seen.view([-1])).unwrap().into_iter().map(u8::from).collect();
        let of_first = [
            [1, 1, 1, 0, 0, 0, 0],
            [1, 1, 1, 1, 0, 0, 0],
            [1, 1, 1, 1, 1, 0, 0],
            [1, 1, 1, 1, 0, 1, 0],
            [1, 1, 0, 0, 0, 0, 1],
        ];
        assert_eq!(seen[..35], of_first.concat());
        // One token and a gap, then what fills up.
        assert_eq!(seen[35..42], [1, 0, 1, 0, 0, 0, 0]);
        assert_eq!(ledger.slots(), 7);
        assert!(ledger.branch(&[TokenTree::default()]).is_err());
    }
}
