//! How many clusters a test of a mean needs.

use std::collections::BTreeMap;

use super::power::power_of_t;
use super::{normal_upper_quantile, student_upper_quantile};

/// What a mean over clusters is asked to show: that it lies beyond a mark, by a one-sided test.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Requirement {
    /// Variance of the mean times the number of clusters: what more clusters divide.
    pub variance: f64,
    /// Variance that more clusters leave as it is.
    pub fixed: f64,
    /// Degrees of freedom of that.
    pub fixed_degrees: f64,
    /// Distance of the true mean from the mark.
    pub distance: f64,
    /// Level of the one-sided test.
    pub tail: f64,
    /// Power.
    pub power: f64,
}

/// Clusters beyond which nobody will go.
const MOST: usize = 10_000_000;

impl Requirement {
    /// Chance that a study of so many clusters (2 or more) shows it: the noncentral t, with Satterthwaite's degrees of freedom
    /// for the sum of the two variances.
    pub fn power_of(&self, clusters: usize) -> f64 {
        let clusters = clusters as f64;
        let drawn = self.variance / clusters;
        let total = drawn + self.fixed;
        if total <= 0.0 {
            return if self.distance > 0.0 { 1.0 } else { 0.0 };
        }
        let share = |part: f64, degrees: f64| if part > 0.0 { part * part / degrees } else { 0.0 };
        let degrees = total * total / (share(drawn, clusters - 1.0) + share(self.fixed, self.fixed_degrees));
        let degrees = degrees.max(1.0);
        power_of_t(self.distance / total.sqrt(), degrees, student_upper_quantile(self.tail, degrees))
    }

    /// The fewest clusters, 2 or more, with the power asked for; `None` where no number has it.
    pub fn clusters(&self) -> Option<usize> {
        let enough = |clusters: usize| self.power_of(clusters) >= self.power;
        let finite = self.variance.is_finite() && self.fixed.is_finite();
        if !(self.distance > 0.0 && finite && enough(MOST)) {
            return None;
        }
        let (mut low, mut high) = (1, 2);
        while !enough(high) {
            (low, high) = (high, 2 * high);
        }
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if enough(middle) {
                high = middle;
            } else {
                low = middle;
            }
        }
        Some(high)
    }

    /// The variance of the mean at which the test has its power, by the normal distribution.
    pub fn allowed(&self) -> f64 {
        (self.distance / (normal_upper_quantile(self.tail) + normal_upper_quantile(1.0 - self.power))).powi(2)
    }
}

/// Correlation of two values of one cluster, by the analysis of variance (Donner and Koval 1980), 0 to 1; 0 where no cluster
/// has two.
pub(crate) fn intraclass_correlation(values: &[f64], groups: &[impl AsRef<str>]) -> f64 {
    let mut by_group: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for (group, value) in groups.iter().zip(values) {
        by_group.entry(group.as_ref()).or_default().push(*value);
    }
    let (n, g) = (values.len() as f64, by_group.len() as f64);
    if n <= g || g < 2.0 {
        return 0.0;
    }
    let mean = super::mean(values);
    let (mut between, mut within, mut squares) = (0.0, 0.0, 0.0);
    for values in by_group.values() {
        let (size, own) = (values.len() as f64, super::mean(values));
        between += size * (own - mean).powi(2);
        within += values.iter().map(|value| (value - own).powi(2)).sum::<f64>();
        squares += size * size;
    }
    let (between, within) = (between / (g - 1.0), within / (n - g));
    let size = (n - squares / n) / (g - 1.0);
    let correlation = (between - within) / (between + (size - 1.0) * within);
    if correlation.is_finite() {
        correlation.clamp(0.0, 1.0)
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::{fieller_bound, normals, rng, ClusterBootstrap, ClusteredMeans, Measured, Tail, PROBES};

    #[test]
    fn values_that_are_alike_in_their_groups_correlate() {
        let groups = ["a", "a", "b", "b", "c", "c"];
        assert_eq!(intraclass_correlation(&[1.0, 1.0, 2.0, 2.0, 5.0, 5.0], &groups), 1.0);
        assert_eq!(intraclass_correlation(&[1.0, -1.0, 1.0, -1.0, 1.0, -1.0], &groups), 0.0);
        // Means 1, 3 and 5.5 around 19/6; within each group 2.
        let found = intraclass_correlation(&[0.0, 2.0, 2.0, 4.0, 4.5, 6.5], &["a", "a", "b", "b", "c", "c"]);
        let (between, within) =
            (2.0 * ((13.0_f64 / 6.0).powi(2) + (1.0_f64 / 6.0).powi(2) + (7.0_f64 / 3.0).powi(2)) / 2.0, 2.0);
        assert!((found - (between - within) / (between + within)).abs() < 1e-12, "{found}");
        assert_eq!(intraclass_correlation(&[1.0, 2.0], &["a", "b"]), 0.0);
    }

    #[test]
    fn what_clusters_do_not_divide_can_be_too_much() {
        let asked =
            Requirement { variance: 1.0, fixed: 0.0, fixed_degrees: 9.0, distance: 0.2, tail: 0.05, power: 0.8 };
        let enough = asked.clusters().unwrap();
        assert!(asked.power_of(enough) >= 0.8 && asked.power_of(enough - 1) < 0.8);
        // (1.645 + 0.842)^2 / 0.04 = 154.6, and a little for t.
        assert!((155..160).contains(&enough), "{enough}");
        let unsure = Requirement { fixed: asked.allowed(), ..asked };
        assert_eq!(unsure.clusters(), None);
        assert!(Requirement { fixed: 0.3 * asked.allowed(), ..asked }.clusters().unwrap() > enough);
        assert_eq!(Requirement { distance: 0.0, ..asked }.clusters(), None);
    }

    /// Groups of two items with a correlation of 0.5, moved by `effect`.
    fn drawn(clusters: usize, effect: f64, run: usize) -> (Vec<f64>, Vec<String>) {
        let mut noise = vec![0.0; 3 * clusters + 12];
        normals(&mut rng(7, &format!("run {run}")), &mut noise);
        let value = |row: usize| effect + 0.5_f64.sqrt() * (noise[row / 2] + noise[clusters + row]);
        ((0..2 * clusters).map(value).collect(), (0..2 * clusters).map(|row| (row / 2).to_string()).collect())
    }

    const RUNS: usize = 400;

    #[test]
    fn a_gain_is_found_as_often_as_promised() {
        // Mean of two: variance (1 + 0.5) / 2.
        let asked =
            Requirement { variance: 0.75, fixed: 0.0, fixed_degrees: 1.0, distance: 0.4, tail: 0.025, power: 0.8 };
        let clusters = asked.clusters().unwrap();
        let found = (0..RUNS).filter(|&run| {
            let (values, groups) = drawn(clusters, 0.4, run);
            let bootstrap = ClusterBootstrap::new(&groups, 400, 0).unwrap().with_flips(400);
            bootstrap.gain(&values).unwrap().low > 0.0
        });
        let share = found.count() as f64 / RUNS as f64;
        // Three standard errors of a share of 400: 0.06.
        assert!((share - asked.power_of(clusters)).abs() < 0.06, "{share} with {clusters}");
    }

    #[test]
    fn a_change_is_found_as_often_as_promised_with_the_probes_own_error() {
        let (fixed, folds, margin, distance_error) = (0.01_f64, 10_usize, 0.2, 0.1);
        let asked = Requirement {
            variance: 0.75,
            fixed: fixed + (margin * distance_error) * (margin * distance_error),
            fixed_degrees: folds as f64 - 1.0,
            distance: 0.4,
            tail: 0.05,
            power: 0.8,
        };
        let clusters = asked.clusters().unwrap();
        assert!(clusters > Requirement { fixed: 0.0, ..asked }.clusters().unwrap());
        let found = (0..RUNS).filter(|&run| {
            let mut noise = vec![0.0; folds + 2];
            normals(&mut rng(8, &format!("probes {run}")), &mut noise);
            let (values, groups) = drawn(clusters, -0.6 + fixed.sqrt() * noise[0], run);
            let column = ndarray::ArrayView2::from_shape((values.len(), 1), &values).unwrap();
            let means = ClusteredMeans::new(column, &groups).unwrap();
            let bootstrap = ClusterBootstrap::new(&groups, 400, 0).unwrap();
            // A jackknife's deviations: their squares sum to a chi-squared of folds - 1 degrees around the truth.
            let of_folds = &noise[2..];
            let middle = of_folds.iter().sum::<f64>() / folds as f64;
            let deviations = ndarray::Array2::from_shape_fn((folds, 1), |(fold, _)| {
                (of_folds[fold] - middle) * (fixed / (folds as f64 - 1.0)).sqrt()
            });
            let studentised = bootstrap.studentised(&means).unwrap().with_source(deviations.view(), 0, PROBES).unwrap();
            let measured = Measured { mean: means.means()[0], error: studentised.standard_errors()[0] };
            let distance = Measured { mean: 1.0 + distance_error * noise[1], error: distance_error };
            fieller_bound(measured, distance, studentised.critical(&[0], 0.95, Tail::Above)) < -margin
        });
        let share = found.count() as f64 / RUNS as f64;
        assert!((share - asked.power_of(clusters)).abs() < 0.06, "{share} with {clusters}");
    }
}
