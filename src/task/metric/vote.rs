//! A vote that costs as much as self-correction (arXiv 2310.01798).

use crate::{Error, Result};

/// The option that most of the first `budget` samples of each item chose, `[n]`: give self-correction's number
/// of answers as the budget. Samples are `[n][k]`, drawn independently of each other. Of equally frequent
/// options the one sampled first wins; samples that name no single option do not vote, and `None` is the result
/// where none does.
///
/// # Errors
/// [`Error::Setting`] for a budget of 0, [`Error::RowCount`] for an item with fewer samples.
pub fn majority_vote(samples: &[Vec<Option<usize>>], budget: usize) -> Result<Vec<Option<usize>>> {
    if budget == 0 {
        return Err(Error::setting("budget", 0, "at least one sample an item"));
    }
    let vote = |(row, samples): (usize, &Vec<Option<usize>>)| {
        let samples = samples
            .get(..budget)
            .ok_or_else(|| Error::row_count(format!("samples of item {row}"), budget, samples.len()))?;
        // Pairs of option and votes, in the order of their first vote.
        let mut votes: Vec<(usize, usize)> = Vec::new();
        for &option in samples.iter().flatten() {
            match votes.iter_mut().find(|(known, _)| *known == option) {
                Some((_, count)) => *count += 1,
                None => votes.push((option, 1)),
            }
        }
        let most = votes.iter().map(|&(_, count)| count).max();
        Ok(votes.iter().find(|&&(_, count)| Some(count) == most).map(|&(option, _)| option))
    };
    samples.iter().enumerate().map(vote).collect()
}
