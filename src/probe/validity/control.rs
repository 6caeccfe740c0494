//! Control tasks: what the same probe learns of labels that mean nothing.

use std::collections::{HashMap, HashSet};

use ndarray::ArrayView2;
use serde::{Deserialize, Serialize};

use super::{both, Case, Estimator};
use crate::hook::Address;
use crate::probe::{dot, GroupSplit, Linear, Split};
use crate::stats::{auroc, mean, pick};
use crate::text::Labels;
use crate::{file, Result};

/// AUROC on the task against AUROC on control tasks (Hewitt and Liang 2019, section 2).
///
/// A control task gives every *type* of input a label by a hash, as often `true` as the real labels are; it can be
/// learnt only by heart, and only where types recur between training and test rows. Types are, in this order, what
/// [`Validity::control_types`](super::Validity::control_types) names; each text's last word; or its group. Labels
/// hashed from a group cannot be told for a held-out group, so with groups as types task and control are both
/// measured on a split by row, where each group lies on both sides. Either way both are measured on the same test
/// rows: those whose type occurs among the training rows.
///
/// A probe that knows its labels by heart does as well on control tasks: selectivity near 0.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Selectivity {
    /// AUROC on the real labels of the rows described above; `None` where no type recurs.
    pub task: Option<f64>,
    /// AUROC of each control task on the same rows, `[draws]`; empty where no type recurs.
    pub controls: Vec<f64>,
    /// Task minus mean of the controls.
    pub selectivity: Option<f64>,
    /// Standard deviation of the controls (divisor draws - 1).
    pub spread: Option<f64>,
    /// (k + 1) / (draws + 1), k = controls at least as high as the task: the real labels' place among meaningless ones.
    pub p: Option<f64>,
    /// Test rows whose type occurs among the training rows.
    pub rows: usize,
    /// AUROC on the *training* rows of the real labels.
    pub train_task: f64,
    /// Mean AUROC on the training rows of the control labels: near 1, the probe has room to learn anything by
    /// heart, and its training AUROC means nothing.
    pub capacity: f64,
    /// Control fits that did not converge.
    pub unconverged: usize,
}

/// Control labels, and the rows to learn and to test them on.
pub(super) struct ControlTask {
    pub name: &'static str,
    split: Split,
    /// Test rows whose type is known from training.
    test: Vec<usize>,
    /// Labels of the training and of the test rows, by draw.
    draws: Vec<(Vec<bool>, Vec<bool>)>,
}

/// Fewer test rows than this say nothing.
const FEWEST_TEST_ROWS: usize = 20;
/// Hashes tried per control task before the types are held to be too few.
const HASHES_PER_TASK: usize = 100;

impl ControlTask {
    pub fn new<E: Estimator>(
        case: &Case<'_, E>,
        types: Option<&[String]>,
        texts: Option<&[&str]>,
        draws: usize,
    ) -> Result<ControlTask> {
        let labels = case.labels().labels();
        let by_row = |seed: GroupSplit| seed.split(&Labels::ungrouped(labels.to_vec()));
        let whole = case.split().clone();
        let (name, types, split) = match (types, texts) {
            (Some(types), _) => ("given types", types.to_vec(), whole),
            (None, Some(texts)) => ("last word of the text", texts.iter().map(|text| last_word(text)).collect(), whole),
            (None, None) => {
                let groups: HashSet<&String> = case.labels().groups().iter().collect();
                match groups.len() < labels.len() {
                    true => {
                        ("group, rows split", case.labels().groups().to_vec(), by_row(case.estimator.protocol().split)?)
                    }
                    false => ("the row itself: capacity only", case.labels().groups().to_vec(), whole),
                }
            }
        };
        let known: HashSet<String> = pick(&types, &split.train).into_iter().collect();
        let mut test = split.test.clone();
        test.retain(|&row| types.get(row).is_some_and(|of_row| known.contains(of_row)));
        if test.len() < FEWEST_TEST_ROWS || !both(pick(labels, &test)) {
            test.clear();
        }
        let share = labels.iter().filter(|&&label| label).count() as f64 / labels.len().max(1) as f64;
        let mut found = Vec::with_capacity(draws);
        for attempt in 0..draws * HASHES_PER_TASK {
            if found.len() == draws {
                break;
            }
            let mut of_type: HashMap<&String, bool> = HashMap::new();
            let mut label = |rows: &[usize]| -> Vec<bool> {
                let types = rows.iter().filter_map(|&row| types.get(row));
                let label =
                    |of_row| *of_type.entry(of_row).or_insert_with(|| hashed(case.seed, attempt, of_row) < share);
                types.map(label).collect()
            };
            let (train, test) = (label(&split.train), label(&test));
            if both(train.iter().copied()) && (test.is_empty() || both(test.iter().copied())) {
                found.push((train, test));
            }
        }
        if found.len() < draws {
            // Types so few that no hash gives both labels: nothing to learn by heart.
            found.clear();
        }
        Ok(ControlTask { name, split, test, draws: found })
    }

    /// Fits the real and the control labels at one address, in one go.
    pub fn run<E: Estimator>(
        &self,
        case: &Case<'_, E>,
        address: Address,
        states: ArrayView2<'_, f32>,
    ) -> Result<Selectivity> {
        let real = |rows: &[usize]| pick(case.labels().labels(), rows);
        let training = case.training(address, states, &self.split.train)?;
        let mut fits: Vec<Vec<bool>> = vec![real(&self.split.train)];
        fits.extend(self.draws.iter().map(|(train, _)| train.clone()));
        let rules = case.estimator.fit_draws(&training, &fits)?;
        let area = |rule: &Linear, rows: &[usize], labels: &[bool]| {
            let decisions: Vec<f64> = rows.iter().map(|&row| dot(states.row(row), rule.weights.view())).collect();
            auroc(&decisions, labels)
        };
        let mut rules = rules.iter();
        let task_rule = rules.next();
        let task = task_rule.and_then(|rule| area(rule, &self.test, &real(&self.test)));
        let train_task = task_rule.and_then(|rule| area(rule, &self.split.train, &real(&self.split.train)));
        let (mut controls, mut capacity, mut unconverged) = (Vec::new(), Vec::new(), 0);
        for (rule, (train, test)) in rules.zip(&self.draws) {
            capacity.extend(area(rule, &self.split.train, train));
            controls.extend(area(rule, &self.test, test));
            unconverged += usize::from(!rule.fit.converged);
        }
        let summary = task.filter(|_| controls.len() > 1).map(|task| {
            let centre = mean(&controls);
            let squares: f64 = controls.iter().map(|control| (control - centre).powi(2)).sum();
            let as_high = controls.iter().filter(|&&control| control >= task).count();
            let p = (1 + as_high) as f64 / (1 + controls.len()) as f64;
            (task - centre, (squares / (controls.len() - 1) as f64).sqrt(), p)
        });
        Ok(Selectivity {
            task,
            selectivity: summary.map(|(selectivity, _, _)| selectivity),
            spread: summary.map(|(_, spread, _)| spread),
            p: summary.map(|(_, _, p)| p),
            rows: self.test.len(),
            train_task: train_task.unwrap_or(f64::NAN),
            capacity: if capacity.is_empty() { f64::NAN } else { mean(&capacity) },
            controls,
            unconverged,
        })
    }
}

/// A number in 0 to 1 that a type has in one attempt.
fn hashed(seed: u64, attempt: usize, of_row: &str) -> f64 {
    let hash = file::sha256(format!("control\t{seed}\t{attempt}\t{of_row}"));
    let bits = hash.get(..16).and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or_default();
    bits as f64 / 2.0_f64.powi(64)
}

/// The last word, in lower case; the text itself where it has none.
fn last_word(text: &str) -> String {
    let mut words = text.rsplit(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.next().unwrap_or(text).to_lowercase()
}
