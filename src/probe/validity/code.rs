//! The online code: how many bits the labels cost, given the states.

use std::collections::BTreeMap;

use ndarray::ArrayView2;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use super::{Case, Estimator};
use crate::hook::Address;
use crate::probe::dot;
use crate::solve::softplus;
use crate::stats::{pick, rng};
use crate::Result;

/// Prequential (online) code of the training labels (Voita and Titov 2020, section 2.2).
///
/// Groups come in random order. The first block is sent at 1 bit a label; each later block with the probabilities
/// of a probe fitted on all earlier ones. Blocks end after 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.25, 12.5, 25, 50 and 100 %
/// of the rows, each moved to the end of its group; the first is longer where that is needed for two rows of
/// either label.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OnlineCode {
    /// Rows at which each block ends.
    pub block_ends: Vec<usize>,
    /// Length of the code in bits.
    pub bits: f64,
    /// Rows, which is the length at 1 bit a label, divided by the length: above 1, the states tell of the labels.
    pub compression: f64,
    /// The compression that the share of labels in the earlier blocks gives without any states (Laplace's rule,
    /// (k + 1) / (n + 2)): what a probe must beat.
    pub share_compression: f64,
    /// Fits that did not converge.
    pub unconverged: usize,
}

/// Shares of the rows after which the blocks end.
const BLOCK_ENDS: [f64; 11] = [0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.0625, 0.125, 0.25, 0.5, 1.0];

/// `None` where decisions are no log-odds, or one block takes all rows.
pub(super) fn online<E: Estimator>(
    case: &Case<'_, E>,
    address: Address,
    states: ArrayView2<'_, f32>,
) -> Result<Option<OnlineCode>> {
    if !case.estimator.is_calibrated() {
        return Ok(None);
    }
    let (rows, block_ends) = blocks(case);
    let labels = pick(case.labels().labels(), &rows);
    let Some(&first) = block_ends.first().filter(|&&first| first < rows.len()) else { return Ok(None) };
    let (mut bits, mut share_bits, mut unconverged) = (first as f64, first as f64, 0);
    for pair in block_ends.windows(2) {
        let &[known, end] = pair else { continue };
        let rule = case.fit(address, states, rows.get(..known).unwrap_or_default())?;
        unconverged += usize::from(!rule.fit.converged);
        let immoral = labels.iter().take(known).filter(|&&label| label).count() as f64;
        let share = (immoral + 1.0) / (known as f64 + 2.0);
        for (&row, &label) in rows.iter().zip(&labels).take(end).skip(known) {
            let z = dot(states.row(row), rule.weights.view()) + rule.intercept;
            let wrong = if label { -z } else { z };
            bits += softplus(wrong) / std::f64::consts::LN_2;
            share_bits -= if label { share } else { 1.0 - share }.log2();
        }
    }
    let n = rows.len() as f64;
    Ok(Some(OnlineCode { block_ends, bits, compression: n / bits, share_compression: n / share_bits, unconverged }))
}

/// The training rows, group by group in random order, and where the blocks end.
fn blocks<E: Estimator>(case: &Case<'_, E>) -> (Vec<usize>, Vec<usize>) {
    let mut by_name: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for &row in &case.split().train {
        by_name.entry(case.labels().groups().get(row).map_or("", String::as_str)).or_default().push(row);
    }
    let mut groups: Vec<Vec<usize>> = by_name.into_values().collect();
    groups.shuffle(&mut rng(case.seed, "online code"));
    let n = case.split().train.len();
    let (mut rows, mut ends, mut counts) = (Vec::with_capacity(n), Vec::new(), [0_usize; 2]);
    let mut shares = BLOCK_ENDS.iter().map(|share| share * n as f64).peekable();
    for group in groups {
        for label in pick(case.labels().labels(), &group) {
            counts[usize::from(label)] += 1;
        }
        rows.extend(group);
        let enough = counts.iter().all(|&count| count >= 2);
        if enough && shares.peek().is_some_and(|&share| rows.len() as f64 >= share - 1e-9) {
            ends.push(rows.len());
            while shares.next_if(|&share| rows.len() as f64 >= share - 1e-9).is_some() {}
        }
    }
    (rows, ends)
}
