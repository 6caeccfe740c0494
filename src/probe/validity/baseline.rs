//! What is reached without the model's states: from the texts' lengths and words, and from random features.

use std::collections::{BTreeMap, BTreeSet};

use ndarray::Array2;
use serde::{Deserialize, Serialize};

use super::{Case, Estimator};
use crate::probe::{dot, Linear, LogisticProbe, Training};
use crate::scorer::{SparseRow, Tfidf};
use crate::stats::{normals, pick, rng, ClusterBootstrap, Interval, Ranking};
use crate::Result;

/// A baseline's own result on the held-out rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Baseline {
    /// `length`: logistic regression on the logarithms of characters and words; `words`: [`Tfidf`] as it comes;
    /// `projection`: the estimator on a random projection of these weighted words to the states' width; `noise`: the
    /// estimator on Gaussian noise of the states' width.
    pub name: String,
    /// Width of its features, where that follows the states'.
    pub width: Option<usize>,
    /// Held-out AUROC with its clustered 95 % interval.
    pub auroc: Interval,
}

/// Decisions of every baseline on the held-out rows.
pub(super) struct Baselines {
    of_texts: BTreeMap<&'static str, Ranked>,
    by_width: BTreeMap<(&'static str, usize), Ranked>,
    labels: Vec<bool>,
}

struct Ranked {
    ranking: Ranking,
    auroc: Interval,
}

impl Baselines {
    pub fn new<E: Estimator>(case: &Case<'_, E>, texts: Option<&[&str]>, widths: &[usize]) -> Result<Self> {
        let labels = case.held_out.held_out_labels();
        let mut all = Baselines { of_texts: BTreeMap::new(), by_width: BTreeMap::new(), labels };
        let rank = |decisions: Vec<f64>, labels: &[bool]| {
            let ranking = Ranking::new(&decisions, labels)?;
            let auroc = case.held_out.resamples.statistic(|weights| ranking.weighted_auroc(weights))?.interval;
            Some(Ranked { ranking, auroc })
        };
        let mut words: Option<(Vec<SparseRow>, usize)> = None;
        if let Some(texts) = texts {
            let length = length_decisions(case, texts)?;
            all.of_texts.extend(rank(length, &all.labels).map(|ranked| ("length", ranked)));
            let (train, test) = (pick(texts, &case.split().train), pick(texts, &case.split().test));
            let scorer = Tfidf::default().train(&train, &pick(case.labels().labels(), &case.split().train))?;
            all.of_texts.extend(rank(scorer.decision(&test)?, &all.labels).map(|ranked| ("words", ranked)));
            words = Some((scorer.vocabulary().weigh(texts)?, scorer.vocabulary().words().len()));
        }
        for width in widths.iter().copied().collect::<BTreeSet<_>>() {
            let noise = noise(case.labels().len(), width, case.seed);
            let decisions = self::decisions(case, case.estimator, &noise)?;
            all.by_width.extend(rank(decisions, &all.labels).map(|ranked| (("noise", width), ranked)));
            if let Some((rows, features)) = &words {
                let projected = project(rows, *features, width, case.seed);
                let decisions = self::decisions(case, case.estimator, &projected)?;
                all.by_width.extend(rank(decisions, &all.labels).map(|ranked| (("projection", width), ranked)));
            }
        }
        Ok(all)
    }

    /// AUROC of these decisions minus that of each baseline, on the same resamples of held-out groups.
    pub fn against(&self, decisions: &[f64], width: usize, resamples: &ClusterBootstrap) -> BTreeMap<String, Interval> {
        let Some(probe) = Ranking::new(decisions, &self.labels) else { return BTreeMap::new() };
        let at_width =
            self.by_width.iter().filter(|((_, of), _)| *of == width).map(|((name, _), ranked)| (name, ranked));
        let difference = |(name, ranked): (&&'static str, &Ranked)| {
            let difference =
                |weights: &[f64]| Some(probe.weighted_auroc(weights)? - ranked.ranking.weighted_auroc(weights)?);
            Some(((*name).to_owned(), resamples.statistic(difference)?.interval))
        };
        self.of_texts.iter().chain(at_width).filter_map(difference).collect()
    }

    pub fn summaries(&self) -> Vec<Baseline> {
        let row = |name: &str, width, ranked: &Ranked| Baseline { name: name.to_owned(), width, auroc: ranked.auroc };
        let of_texts = self.of_texts.iter().map(|(name, ranked)| row(name, None, ranked));
        let by_width = self.by_width.iter().map(|((name, width), ranked)| row(name, Some(*width), ranked));
        of_texts.chain(by_width).collect()
    }
}

/// Held-out decisions of a rule that `estimator` learns from these features.
fn decisions<E: Estimator>(case: &Case<'_, E>, estimator: &impl Estimator, features: &Array2<f32>) -> Result<Vec<f64>> {
    let training = Training::gather("a baseline".into(), features.view(), case.labels().labels(), &case.split().train);
    let Linear { weights, intercept, .. } = estimator.fit(training)?;
    Ok(case.split().test.iter().map(|&row| dot(features.row(row), weights.view()) + intercept).collect())
}

fn length_decisions<E: Estimator>(case: &Case<'_, E>, texts: &[&str]) -> Result<Vec<f64>> {
    let features = Array2::from_shape_fn((texts.len(), 2), |(row, column)| {
        let text = texts.get(row).copied().unwrap_or_default();
        let count = if column == 0 { text.chars().count() } else { text.split_whitespace().count() };
        (count as f32).ln_1p()
    });
    decisions(case, &LogisticProbe::default(), &features)
}

fn noise(n: usize, width: usize, seed: u64) -> Array2<f32> {
    let mut values = vec![0.0; n * width];
    normals(&mut rng(seed, "noise features"), &mut values);
    Array2::from_shape_fn((n, width), |(row, column)| values.get(row * width + column).copied().unwrap_or(0.0) as f32)
}

/// Sparse rows times a Gaussian matrix, `[features, width]`.
fn project(rows: &[SparseRow], features: usize, width: usize, seed: u64) -> Array2<f32> {
    let directions = noise(features, width, seed ^ 1);
    let mut projected = Array2::zeros((rows.len(), width));
    for (mut out, row) in projected.outer_iter_mut().zip(rows) {
        for &(column, weight) in row.iter().filter(|(column, _)| *column < features) {
            out.scaled_add(weight as f32, &directions.row(column));
        }
    }
    projected
}
