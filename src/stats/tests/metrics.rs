//! Metrics, intervals and tests: against SciPy and scikit-learn, and by simulation.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde_json::Value;

use super::{floats, json};
use crate::stats::{
    auroc, auroc_permutation_p, balanced_accuracy, bca_interval, brier, expected_calibration_error, fisher_interval,
    log_loss, mcnemar_exact, normal_quantile, wilson, AurocDifference, Binning, Calibration, ClusterBootstrap,
    IntervalMethod, Ranking,
};

fn fixture(name: &str) -> Value {
    json(&format!("statistics/{name}"))
}

fn cases(name: &str) -> Vec<Value> {
    let cases = fixture(name)["cases"].as_array().unwrap().clone();
    assert!(!cases.is_empty());
    cases
}

fn bools(value: &Value) -> Vec<bool> {
    floats(value).iter().map(|&value| value == 1.0).collect()
}

fn close(found: f64, expected: &Value, tolerance: f64) {
    let expected = expected.as_f64().unwrap();
    assert!((found - expected).abs() <= tolerance * expected.abs().max(1.0), "{found} {expected}");
}

#[test]
fn metrics_are_scikit_learns() {
    for case in cases("metrics.json") {
        let (labels, scores) = (bools(&case["labels"]), floats(&case["scores"]));
        let (p, weights) = (floats(&case["probabilities"]), floats(&case["weights"]));
        let ranking = Ranking::new(&scores, &labels).unwrap();
        close(ranking.auroc().unwrap(), &case["auroc"], 1e-12);
        close(ranking.weighted_auroc(&weights).unwrap(), &case["weighted_auroc"], 1e-12);
        close(ranking.average_precision().unwrap(), &case["average_precision"], 1e-12);
        close(ranking.weighted_average_precision(&weights).unwrap(), &case["weighted_average_precision"], 1e-12);
        let predicted: Vec<bool> = scores.iter().map(|&score| score > 0.0).collect();
        close(balanced_accuracy(&predicted, &labels).unwrap(), &case["balanced_accuracy"], 1e-12);
        close(brier(&p, &labels).unwrap(), &case["brier"], 1e-12);
        for (bins, expected) in case["ece"].as_object().unwrap() {
            let bins = bins.parse().unwrap();
            let ece = |binning| expected_calibration_error(&p, &labels, bins, binning).unwrap();
            close(ece(Binning::EqualWidth), &expected[0], 1e-12);
            close(ece(Binning::EqualMass), &expected[1], 1e-12);
        }
    }
}

#[test]
fn bca_is_scipys() {
    for case in cases("intervals.json") {
        let (mut draws, level) = (floats(&case["draws"]), case["level"].as_f64().unwrap());
        let estimate = case["estimate"].as_f64().unwrap();
        let found = bca_interval(estimate, &mut draws, &floats(&case["jackknife"]), level);
        close(found.low, &case["interval"][0], 1e-10);
        close(found.high, &case["interval"][1], 1e-10);
    }
    // From the data, with resamples of our own: many on both sides, so only their noise is left.
    let case = &fixture("intervals.json")["mean"];
    let data = floats(&case["data"]);
    let rows: Vec<String> = (0..data.len()).map(|row| row.to_string()).collect();
    let resamples = ClusterBootstrap::new(&rows, 100_000, 1).unwrap().with_method(IntervalMethod::Bca);
    let by_sums = resamples.mean(&data).unwrap();
    let by_weights = resamples.statistic(|weights| {
        Some(weights.iter().zip(&data).map(|(w, x)| w * x).sum::<f64>() / weights.iter().sum::<f64>())
    });
    let by_weights = by_weights.unwrap().interval;
    assert!((by_sums.low - by_weights.low).abs() < 1e-9 && (by_sums.high - by_weights.high).abs() < 1e-9);
    close(by_sums.low, &case["interval"][0], 0.01);
    close(by_sums.high, &case["interval"][1], 0.01);
}

#[test]
fn delong_and_obuchowski_are_their_definitions() {
    for case in cases("comparisons.json") {
        let (first, second, labels) = (floats(&case["first"]), floats(&case["second"]), bools(&case["labels"]));
        let groups: Vec<&str> =
            case["groups"].as_array().unwrap().iter().map(|group| group.as_str().unwrap()).collect();
        let clustered = AurocDifference::clustered(&first, &second, &labels, &groups).unwrap();
        let mut tests = vec![clustered];
        if !case["clustered"].as_bool().unwrap() {
            tests.push(AurocDifference::delong(&first, &second, &labels).unwrap());
        }
        for test in tests {
            close(test.first, &case["areas"][0], 1e-12);
            close(test.second, &case["areas"][1], 1e-12);
            close(test.standard_error, &case["standard_error"], 1e-12);
            close(test.p, &case["p"], 1e-10);
        }
    }
}

#[test]
fn scalings_are_those_of_greatest_likelihood() {
    for case in cases("calibration.json") {
        let (decisions, labels) = (floats(&case["decisions"]), bools(&case["labels"]));
        let platt = Calibration::platt(&decisions, &labels).unwrap();
        // scikit-learn stops at a gradient of about 1e-6.
        for (key, tolerance) in [("platt", 1e-6), ("scikit", 1e-5)] {
            let relative = |found: f64, expected: &Value| (found / expected.as_f64().unwrap() - 1.0).abs();
            assert!(relative(platt.slope, &case[key][0]) < tolerance, "{key} {platt:?} {}", case[key]);
            assert!(relative(platt.intercept, &case[key][1]) < tolerance, "{key} {platt:?} {}", case[key]);
        }
        let temperature = Calibration::temperature(&decisions, &labels).unwrap();
        close(1.0 / temperature.slope, &case["temperature"], 1e-6);
        assert_eq!(temperature.intercept, 0.0);
    }
}

// --- simulation ---------------------------------------------------------------------------------------------------

fn normal(rng: &mut ChaCha8Rng) -> f64 {
    (-2.0 * (1.0 - rng.gen::<f64>()).ln()).sqrt() * (std::f64::consts::TAU * rng.gen::<f64>()).cos()
}

/// Rows in clusters of about `size` that share `shared` of their variance.
struct World {
    groups: Vec<String>,
    labels: Vec<bool>,
    /// Standard normal noise, the same share of it common to a cluster.
    noise: Vec<f64>,
}

#[derive(Clone, Copy)]
struct Design {
    n: usize,
    size: usize,
    /// Whether a cluster has one label.
    pure: bool,
    positives: f64,
}

impl Design {
    fn world(&self, rng: &mut ChaCha8Rng) -> World {
        let shared: f64 = 0.6;
        let mut world = World { groups: Vec::new(), labels: Vec::new(), noise: Vec::new() };
        let mut cluster = 0;
        while world.groups.len() < self.n {
            let rows = if self.size == 1 { 1 } else { rng.gen_range(1..2 * self.size) };
            let (common, label) = (normal(rng), rng.gen_bool(self.positives));
            for _ in 0..rows.min(self.n - world.groups.len()) {
                world.groups.push(cluster.to_string());
                world.labels.push(if self.pure { label } else { rng.gen_bool(self.positives) });
                world.noise.push(shared * common + (1.0 - shared * shared).sqrt() * normal(rng));
            }
            cluster += 1;
        }
        world
    }
}

/// Shares of worlds whose interval holds the truth.
fn share(worlds: u64, covered: impl Fn(u64) -> bool + Sync) -> f64 {
    (0..worlds).into_par_iter().filter(|&world| covered(world)).count() as f64 / worlds as f64
}

#[test]
fn auroc_intervals_cover_95_percent_of_clustered_worlds() {
    let mut wrong = Vec::new();
    for (n, size, pure, positives, auroc, worlds) in [
        (200, 4, false, 0.5, 0.5, 2_000),
        (200, 4, false, 0.3, 0.8, 2_000),
        (200, 4, false, 0.15, 0.95, 2_000),
        (200, 4, true, 0.5, 0.8, 2_000),
        (200, 4, true, 0.15, 0.5, 2_000),
        (200, 4, true, 0.15, 0.95, 2_000),
        (200, 8, false, 0.15, 0.95, 2_000),
        (1_000, 4, false, 0.5, 0.5, 1_000),
        (1_000, 4, true, 0.3, 0.8, 1_000),
        (1_000, 8, false, 0.15, 0.95, 1_000),
    ] {
        let design = Design { n, size, pure, positives };
        let gain = normal_quantile(auroc) * 2.0_f64.sqrt();
        let found = share(worlds, |seed| {
            let world = design.world(&mut ChaCha8Rng::seed_from_u64(1_000 + seed));
            let gained = world.labels.iter().map(|&label| if label { gain } else { 0.0 });
            let scores: Vec<f64> = world.noise.iter().zip(gained).map(|(noise, gain)| noise + gain).collect();
            let resamples = ClusterBootstrap::new(&world.groups, 200, seed).unwrap();
            let ranking = Ranking::new(&scores, &world.labels).unwrap();
            let interval = ranking.interval(&resamples).unwrap().interval;
            interval.low <= auroc && auroc <= interval.high
        });
        println!("n {n}, clusters of {size}, pure {pure}, positives {positives}, AUROC {auroc}: {found:.4}");
        if !(0.93..=0.97).contains(&found) {
            wrong.push((n, size, pure, positives, auroc, found));
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn mean_intervals_cover_95_percent_of_clustered_worlds() {
    for (n, worlds) in [(200, 4_000), (1_000, 2_000)] {
        for method in [IntervalMethod::Percentile, IntervalMethod::Bca] {
            let design = Design { n, size: 4, pure: false, positives: 0.5 };
            let found = share(worlds, |seed| {
                let world = design.world(&mut ChaCha8Rng::seed_from_u64(seed));
                let resamples = ClusterBootstrap::new(&world.groups, 500, seed).unwrap().with_method(method);
                let interval = resamples.mean(&world.noise).unwrap();
                interval.low <= 0.0 && 0.0 <= interval.high
            });
            println!("mean, n {n}, {method:?}: {found:.4}");
            assert!((0.93..=0.97).contains(&found), "{n} {method:?}: {found}");
        }
    }
}

#[test]
fn intervals_of_few_groups_keep_their_level() {
    for groups in [10, 20, 40] {
        let names: Vec<String> = (0..groups).map(|group| group.to_string()).collect();
        let found = share(4_000, |seed| {
            let rng = &mut ChaCha8Rng::seed_from_u64(seed);
            let values: Vec<f64> = (0..groups).map(|_| normal(rng)).collect();
            let interval = ClusterBootstrap::new(&names, 1_000, seed).unwrap().mean(&values).unwrap();
            interval.low <= 0.0 && 0.0 <= interval.high
        });
        // Plain percentiles cover 90.0, 92.9 and 93.9 %.
        println!("{groups} groups: {found:.4}");
        assert!((found - 0.95).abs() < 0.015, "{groups}: {found}");
    }
}

/// Largest distance of the empirical distribution from the uniform one, times sqrt(n): above 1.63 in 1 of 100.
fn kolmogorov_smirnov(mut p: Vec<f64>) -> f64 {
    p.sort_by(f64::total_cmp);
    let n = p.len() as f64;
    let distance = p.iter().enumerate().map(|(i, &p)| (p - i as f64 / n).abs().max(((i + 1) as f64 / n - p).abs()));
    distance.fold(0.0, f64::max) * n.sqrt()
}

#[test]
fn p_values_of_comparisons_are_uniform_without_a_difference() {
    let two = |design: Design, seed: u64| {
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let world = design.world(rng);
        // Both scorers see the label equally well through noise of their own.
        let mut scorer = || -> Vec<f64> {
            let gain = |label: bool| if label { 1.0 } else { 0.0 };
            world.noise.iter().zip(&world.labels).map(|(noise, &label)| noise + gain(label) + normal(rng)).collect()
        };
        let scores = [scorer(), scorer()];
        (world, scores)
    };
    let p_values =
        |p: &(dyn Fn(u64) -> f64 + Sync), worlds| -> Vec<f64> { (0..worlds).into_par_iter().map(p).collect() };
    let rows = Design { n: 200, size: 1, pure: false, positives: 0.4 };
    let clusters = Design { n: 200, size: 4, pure: false, positives: 0.4 };
    let delong = p_values(
        &|seed| {
            let (world, [first, second]) = two(rows, seed);
            AurocDifference::delong(&first, &second, &world.labels).unwrap().p
        },
        2_000,
    );
    let clustered = p_values(
        &|seed| {
            let (world, [first, second]) = two(clusters, seed);
            AurocDifference::clustered(&first, &second, &world.labels, &world.groups).unwrap().p
        },
        2_000,
    );
    let permuted = p_values(
        &|seed| {
            let (world, [first, second]) = two(clusters, seed);
            auroc_permutation_p([&first, &second], &world.labels, &world.groups, 199, seed).unwrap()
        },
        1_000,
    );
    for (name, p) in [("DeLong", delong), ("clustered", clustered), ("permutation", permuted)] {
        let below = p.iter().filter(|&&p| p <= 0.05).count() as f64 / p.len() as f64;
        let distance = kolmogorov_smirnov(p);
        println!("{name}: sqrt(n) D = {distance:.3}, {below:.4} at or below 0.05");
        assert!(distance < 1.63, "{name}: {distance}");
    }
}

#[test]
fn a_real_difference_is_found() {
    let design = Design { n: 400, size: 4, pure: false, positives: 0.5 };
    let rng = &mut ChaCha8Rng::seed_from_u64(3);
    let world = design.world(rng);
    let first: Vec<f64> =
        world.noise.iter().zip(&world.labels).map(|(noise, &label)| noise + 2.0 * f64::from(u8::from(label))).collect();
    let test = AurocDifference::clustered(&first, &world.noise, &world.labels, &world.groups).unwrap();
    assert!(test.p < 1e-6 && test.difference.low > 0.2, "{test:?}");
    let p = auroc_permutation_p([&first, &world.noise], &world.labels, &world.groups, 499, 0).unwrap();
    assert_eq!(p, 1.0 / 500.0);
}

#[test]
fn areas_and_losses_are_scikit_learns() {
    let json = json("logistic/auroc.json");
    let cases = json["cases"].as_array().unwrap();
    assert!(!cases.is_empty());
    for case in cases {
        let labels = bools(&case["labels"]);
        close(auroc(&floats(&case["scores"]), &labels).unwrap(), &case["auroc"], 1e-12);
        close(log_loss(&floats(&case["probabilities"]), &labels).unwrap(), &case["log_loss"], 1e-12);
    }
}

#[test]
fn clustered_shares_are_those_of_numpy_and_scipy() {
    for case in cases("shares.json") {
        let groups: Vec<&str> =
            case["groups"].as_array().unwrap().iter().map(|group| group.as_str().unwrap()).collect();
        let bootstrap = ClusterBootstrap::new(&groups, 1, 0).unwrap();
        let bootstrap = bootstrap.with_level(case["level"].as_f64().unwrap()).unwrap();
        let found = bootstrap.share(&bools(&case["holds"])).unwrap();
        close(found.estimate, &case["share"], 1e-14);
        close(found.low, &case["interval"][0], 1e-9);
        close(found.high, &case["interval"][1], 1e-9);
    }
}

#[test]
fn shares_and_changes_are_those_of_scipy_and_statsmodels() {
    let reference = json("benchmarks.json");
    for row in reference["wilson"].as_array().unwrap() {
        let [k, n] = [0, 1].map(|at| row[at].as_f64().unwrap() as usize);
        let found = wilson(k, n, 0.95).unwrap();
        close(found.low, &row[2], 1e-12);
        close(found.high, &row[3], 1e-12);
    }
    for row in reference["mcnemar"].as_array().unwrap() {
        let [b, c] = [0, 1].map(|at| row[at].as_f64().unwrap() as usize);
        close(mcnemar_exact(b, c), &row[2], 1e-12);
    }
    assert!(fisher_interval(0.5, 3, 0.95).is_none());
}
