//! What a kind of probe makes of texts that it did not learn from, and how much it owes to those that it did.

use ndarray::{Array1, Array2, ArrayView2, Axis};

use super::direction::{check_width, dot};
use super::fitted::gather;
use super::{Estimator, FitProtocol};
use crate::hook::Address;
use crate::stats::{ClusterBootstrap, Interval, Ranking};
use crate::text::Labels;
use crate::{Error, Result};

/// Rules that each left out one fold of the texts, and what they say of the texts left out.
///
/// The **class distance** at an address is the mean projection of immoral minus that of moral texts, each on the rule that
/// had not met the text: what a complete correction would come to there. It is the unit of
/// [`Metric::ClassDistance`](crate::level::Metric::ClassDistance), in which probes of other models, widths, sites and data
/// can be compared. A projection is `weights . state`, with the mean of the rules' weights for states of other texts.
///
/// That the rules differ tells how much a projection owes to the texts that were there to learn from: the delete-a-group
/// jackknife ([`CrossFit::deviations`]), whose variance is on average too large rather than too small (Efron and Stein 1981),
/// also where there are more dimensions than texts.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct CrossFit {
    /// Weights of the rule that left out each fold, `[folds, d]`, in raw space.
    pub weights: Array2<f64>,
    /// Mean of these weights, `[d]`.
    pub mean: Array1<f64>,
    /// Mean projection of the moral texts that were left out: 0 on the scale of class distances.
    pub moral: f64,
    /// Mean projection of immoral minus moral texts, the difference taken within each fold.
    pub distance: f64,
    /// Standard error of the distance, clustered by text group.
    pub distance_error: f64,
    /// Standard deviation of the left-out projections around the means of their class and fold.
    pub spread: f64,
    /// AUROC of the decisions on the texts left out, with its 95 % interval over text groups.
    pub auroc: Interval,
    /// Groups of texts.
    pub groups: usize,
}

impl CrossFit {
    /// Fits without each fold in turn; `None` where no fold has both classes, or a fit without one is not possible.
    pub(super) fn new(
        estimator: &impl Estimator,
        address: Address,
        states: ArrayView2<'_, f32>,
        labels: &Labels,
        folded: &Folded,
    ) -> Result<Option<CrossFit>> {
        let all: Vec<usize> = (0..labels.len()).collect();
        let training = gather(address, states, labels, &all)?;
        let rules = match estimator.fit_folds(&training, &folded.fold_of, folded.folds) {
            Ok(rules) => rules,
            // A part of the texts can be too few for a kind that all are enough for, such as one that calibrates.
            Err(error @ (Error::Fit(_) | Error::OneClass { .. })) => {
                tracing::warn!(%address, %error, "a fit without a fold failed: there is no class distance here");
                return Ok(None);
            }
            Err(other) => return Err(other),
        };
        let mut weights = Array2::zeros((rules.len(), states.ncols()));
        for (mut row, rule) in weights.outer_iter_mut().zip(&rules) {
            check_width(address, rule.weights.len(), states.ncols())?;
            row.assign(&rule.weights);
        }
        if weights.iter().chain(rules.iter().map(|rule| &rule.intercept)).any(|value| !value.is_finite()) {
            return Err(Error::fit(address.to_string(), "the weights of a fold are not finite"));
        }
        let intercepts: Vec<f64> = rules.iter().map(|rule| rule.intercept).collect();
        CrossFit::of_rules(weights, &intercepts, states, labels, folded)
    }

    /// Leave-one-out copies of a direction that no labelled text had a part in, `[k, d]`: all texts are left out of all.
    pub(super) fn of_copies(
        weights: Array2<f64>,
        states: ArrayView2<'_, f32>,
        labels: &Labels,
        protocol: &FitProtocol,
    ) -> Result<Option<CrossFit>> {
        let resamples = ClusterBootstrap::new(labels.groups(), protocol.draws, protocol.seed)?;
        let folded = Folded { folds: 1, fold_of: vec![0; labels.len()], resamples };
        let Some(mean) = weights.mean_axis(Axis(0)) else { return Ok(None) };
        let whole = CrossFit::of_rules(mean.insert_axis(Axis(0)), &[0.0], states, labels, &folded)?;
        Ok(whole.map(|whole| CrossFit { weights, ..whole }))
    }

    /// Projections of each text on the rule that left out its fold.
    fn of_rules(
        weights: Array2<f64>,
        intercepts: &[f64],
        states: ArrayView2<'_, f32>,
        labels: &Labels,
        folded: &Folded,
    ) -> Result<Option<CrossFit>> {
        let Folded { folds, fold_of, resamples } = folded;
        let projections: Vec<f64> =
            states.outer_iter().zip(fold_of).map(|(row, &fold)| dot(row, weights.row(fold))).collect();
        let shift = |fold: &usize| intercepts.get(*fold).copied().unwrap_or_default();
        let decisions: Vec<f64> = projections.iter().zip(fold_of).map(|(value, fold)| value + shift(fold)).collect();
        let Some(classes) = Classes::new(&projections, labels.labels(), fold_of, *folds) else { return Ok(None) };
        let (distance_error, spread) = classes.errors(labels.groups());
        let ranking = Ranking::new(&decisions, labels.labels());
        let Some(auroc) = ranking.and_then(|ranking| ranking.interval(resamples)) else { return Ok(None) };
        Ok(weights.mean_axis(Axis(0)).map(|mean| CrossFit {
            mean,
            weights,
            moral: classes.moral,
            distance: classes.distance,
            distance_error,
            spread,
            auroc: auroc.interval,
            groups: resamples.clusters(),
        }))
    }

    /// `weights . state` of each of `rows`, `[n, d]`, in class distances: 0 is the mean moral text, 1 the mean immoral one.
    ///
    /// # Errors
    /// [`Error::Mismatch`] for another width.
    pub fn levels(&self, address: Address, rows: ArrayView2<'_, f32>) -> Result<Vec<f64>> {
        check_width(address, self.mean.len(), rows.ncols())?;
        Ok(rows.outer_iter().map(|row| (dot(row, self.mean.view()) - self.moral) / self.distance).collect())
    }

    /// How far the projection of a difference of states, `[d]`, on each rule, times sqrt((k - 1) / k) for k rules, is from
    /// their mean, `[folds]`: the sum of squares is the jackknife's variance of that projection.
    pub fn deviations(&self, difference: &Array1<f64>) -> Array1<f64> {
        let projections = self.weights.dot(difference);
        let folds = projections.len() as f64;
        let mean = projections.sum() / folds;
        projections.mapv(|projection| (projection - mean) * ((folds - 1.0) / folds).sqrt())
    }

    /// Whether the texts left out are told apart: the AUROC's interval lies above 0.5. Where it does not, a class distance
    /// means nothing.
    pub fn is_told_apart(&self) -> bool {
        self.auroc.low > 0.5 && self.distance > 0.0
    }
}

/// The two classes' projections by fold.
struct Classes {
    moral: f64,
    distance: f64,
    /// What each row adds to the distance beyond its mean, `[n]`.
    influence: Vec<f64>,
    /// Sum of squared residuals, and what is left of the rows after the means.
    squares: f64,
    degrees: f64,
}

impl Classes {
    /// `None` where no fold has both classes.
    fn new(projections: &[f64], labels: &[bool], fold_of: &[usize], folds: usize) -> Option<Classes> {
        // By fold and class: rows and sum.
        let mut sums = vec![[[0.0_f64; 2]; 2]; folds];
        let rows = || projections.iter().zip(labels).zip(fold_of);
        for ((projection, &label), &fold) in rows() {
            let [count, sum] = sums.get_mut(fold)?.get_mut(usize::from(label))?;
            (*count, *sum) = (*count + 1.0, *sum + projection);
        }
        let weight = |[[moral, _], [immoral, _]]: &[[f64; 2]; 2]| match moral + immoral > 0.0 {
            true => moral * immoral / (moral + immoral),
            false => 0.0,
        };
        let total: f64 = sums.iter().map(weight).sum();
        if total <= 0.0 {
            return None;
        }
        let both = sums.iter().filter(|fold| weight(fold) > 0.0);
        let distance =
            both.map(|fold| weight(fold) * (fold[1][1] / fold[1][0] - fold[0][1] / fold[0][0])).sum::<f64>() / total;
        let (morals, moral) = sums.iter().fold((0.0, 0.0), |(n, sum), fold| (n + fold[0][0], sum + fold[0][1]));
        let mut squares = 0.0;
        let influence = rows()
            .map(|((projection, &label), &fold)| {
                let [count, sum] = sums[fold][usize::from(label)];
                let residual = projection - sum / count;
                squares += residual * residual;
                let sign = if label { 1.0 } else { -1.0 };
                sign * residual * weight(&sums[fold]) / (total * count)
            })
            .collect();
        let cells = sums.iter().flatten().filter(|[count, _]| *count > 0.0).count() as f64;
        Some(Classes { moral: moral / morals, distance, influence, squares, degrees: projections.len() as f64 - cells })
    }

    /// Standard error of the distance by text group, and the residuals' standard deviation. Residuals are widened by what
    /// their means took.
    fn errors(&self, groups: &[String]) -> (f64, f64) {
        let mut by_group: std::collections::HashMap<&str, f64> = std::collections::HashMap::new();
        for (group, influence) in groups.iter().zip(&self.influence) {
            *by_group.entry(group).or_default() += influence;
        }
        let clusters = by_group.len() as f64;
        // Summed in the order of size, whatever that of the map.
        let mut squares: Vec<f64> = by_group.values().map(|sum| sum * sum).collect();
        squares.sort_by(f64::total_cmp);
        let n = self.influence.len() as f64;
        let degrees = self.degrees.max(1.0);
        let variance = squares.iter().sum::<f64>() * clusters / (clusters - 1.0) * n / degrees;
        (variance.sqrt(), (self.squares / degrees).sqrt())
    }
}

/// The folds of a bank's texts: every address divides them alike.
#[derive(Debug)]
pub(super) struct Folded {
    folds: usize,
    /// Fold of each row, `[n]`.
    fold_of: Vec<usize>,
    /// Resamples of the groups of all rows.
    resamples: ClusterBootstrap,
}

impl Folded {
    /// Divides the rows by the protocol; `None` where it asks for no folds, and where the rows cannot be divided so: fewer
    /// groups than folds, or a class of which all is in one.
    pub fn new(protocol: &FitProtocol, labels: &Labels) -> Result<Option<Folded>> {
        let Some(folds) = protocol.cross_fit else { return Ok(None) };
        let fold_of = match folds.assign(labels) {
            Ok(fold_of) => fold_of,
            Err(Error::Setting { .. } | Error::OneClass { .. }) => return Ok(None),
            Err(other) => return Err(other),
        };
        let resamples = ClusterBootstrap::new(labels.groups(), protocol.draws, protocol.seed)?;
        let folds = fold_of.iter().max().map_or(0, |last| last + 1);
        Ok(Some(Folded { folds, fold_of, resamples }))
    }
}
