//! Tests, bands and power over many columns: against SciPy and enumeration, and by simulation.

use ndarray::Array2;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde_json::Value;

use super::{floats, json};
use crate::stats::power::power_of_t;
use crate::stats::{
    minimum_detectable, student_cdf, student_upper_quantile, ClusterBootstrap, ClusteredMeans, FalseDiscovery,
    SignFlips,
};

fn cases(name: &str) -> Vec<Value> {
    let cases = json("inference/tests.json")[name].as_array().unwrap().clone();
    assert!(!cases.is_empty());
    cases
}

fn close(found: &[f64], expected: &Value, tolerance: f64) {
    let expected = floats(expected);
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        assert!((found - expected).abs() <= tolerance * expected.abs().max(1.0), "{found} {expected}");
    }
}

#[test]
fn sign_flips_and_equivalence_are_scipys() {
    let mut with_scipy = 0;
    for case in cases("flips") {
        let rows: Vec<Vec<f64>> = case["values"].as_array().unwrap().iter().map(floats).collect();
        let values = Array2::from_shape_fn((rows.len(), 5), |(row, column)| rows[row][column]);
        let groups: Vec<&str> =
            case["groups"].as_array().unwrap().iter().map(|group| group.as_str().unwrap()).collect();
        let means = ClusteredMeans::new(values.view(), &groups).unwrap();
        close(means.means(), &case["means"], 1e-12);
        close(means.standard_errors(), &case["standard_errors"], 1e-12);
        close(&means.t(), &case["t"], 1e-12);
        let flips = SignFlips::new(means.clusters(), 2_000, 0).unwrap();
        assert!(flips.is_exact());
        let test = flips.test(&means).unwrap();
        close(&test.p, &case["p"], 1e-12);
        close(&test.single_step, &case["single_step"], 1e-12);
        close(&test.step_down, &case["step_down"], 1e-12);
        if case["scipy_p"].is_null() {
            continue;
        }
        with_scipy += 1;
        close(&test.p, &case["scipy_p"], 1e-12);
        close(&means.t(), &case["scipy_t"], 1e-12);
        let margin = case["tost"]["margin"].as_f64().unwrap();
        let found: Vec<_> = (0..5).map(|column| means.equivalence(column, margin).unwrap()).collect();
        let all = |of: fn(&crate::stats::Equivalence) -> f64| found.iter().map(of).collect::<Vec<_>>();
        close(&all(|e| e.p_no_reduction), &case["tost"]["p_no_reduction"], 1e-10);
        close(&all(|e| e.p_no_increase), &case["tost"]["p_no_increase"], 1e-10);
        close(&all(|e| e.p), &case["tost"]["p"], 1e-10);
        for (column, expected) in case["interval"].as_array().unwrap().iter().enumerate() {
            let interval = means.interval(column, 0.9).unwrap();
            close(&[interval.low, interval.high], expected, 1e-10);
        }
    }
    assert_eq!(with_scipy, 4);
}

#[test]
fn false_discovery_is_scipys() {
    for case in cases("discoveries") {
        let p = floats(&case["p"]);
        close(&FalseDiscovery::BenjaminiHochberg.adjust(&p), &case["bh"], 1e-13);
        close(&FalseDiscovery::BenjaminiYekutieli.adjust(&p), &case["by"], 1e-13);
    }
}

#[test]
fn power_and_student_are_scipys() {
    for case in cases("power") {
        let (degrees, critical) = (case["degrees"].as_f64().unwrap(), case["critical"].as_f64().unwrap());
        let power: Vec<f64> =
            floats(&case["effects"]).iter().map(|&effect| power_of_t(effect, degrees, critical)).collect();
        close(&power, &case["power"], 1e-8);
        let found = minimum_detectable(degrees, critical, 0.8);
        assert!((found / case["detectable"].as_f64().unwrap() - 1.0).abs() < 1e-7, "{found} {}", case["detectable"]);
    }
    for case in cases("cumulative") {
        let found = student_cdf(case["t"].as_f64().unwrap(), case["degrees"].as_f64().unwrap());
        assert!((found / case["p"].as_f64().unwrap() - 1.0).abs() < 1e-10, "{found} {}", case["p"]);
    }
}

// --- simulation ---------------------------------------------------------------------------------------------------

fn normal(rng: &mut ChaCha8Rng) -> f64 {
    (-2.0 * (1.0 - rng.gen::<f64>()).ln()).sqrt() * (std::f64::consts::TAU * rng.gen::<f64>()).cos()
}

/// Changes of the kind that layers give: neighbouring columns correlate, rows of a group share half of their variance,
/// spreads differ by column, one row in twenty is three times as large; symmetric around `mean` of each column.
struct Design {
    groups: usize,
    rows_each: usize,
    columns: usize,
}

impl Design {
    fn draw(&self, rng: &mut ChaCha8Rng, mean: impl Fn(usize) -> f64) -> (Array2<f64>, Vec<String>) {
        let walk = |rng: &mut ChaCha8Rng| {
            let mut value = normal(rng);
            let mut next = || {
                value = 0.9 * value + (1.0_f64 - 0.81).sqrt() * normal(rng);
                value
            };
            (0..self.columns).map(|_| next()).collect::<Vec<_>>()
        };
        let (mut values, mut groups) = (Vec::new(), Vec::new());
        for group in 0..self.groups {
            let shared = walk(rng);
            // Groups of unequal size: 1 to 2 rows_each - 1.
            let rows = if self.rows_each == 1 { 1 } else { 1 + group % (2 * self.rows_each - 1) };
            for _ in 0..rows {
                let size = if rng.gen_bool(0.05) { 3.0 } else { 1.0 };
                let own = walk(rng);
                let row = shared.iter().zip(own).enumerate();
                values.extend(row.map(|(column, (shared, own))| {
                    mean(column) + (shared + size * own) * (1.0 + column as f64 / self.columns as f64)
                }));
                groups.push(group.to_string());
            }
        }
        (Array2::from_shape_vec((groups.len(), self.columns), values).unwrap(), groups)
    }
}

/// Largest distance between the shares of these p-values and uniform ones (Kolmogorov).
fn distance_from_uniform(mut p: Vec<f64>) -> f64 {
    p.sort_by(f64::total_cmp);
    let n = p.len() as f64;
    p.iter().enumerate().map(|(i, p)| (p - i as f64 / n).max((i + 1) as f64 / n - p)).fold(0.0, f64::max)
}

#[test]
fn without_change_p_values_are_uniform_and_claims_rare() {
    for (design, worlds) in [
        (Design { groups: 30, rows_each: 1, columns: 24 }, 1_500),
        (Design { groups: 40, rows_each: 4, columns: 36 }, 1_000),
    ] {
        let flips = SignFlips::new(design.groups, 499, 3).unwrap();
        let found: Vec<_> = (0..worlds)
            .into_par_iter()
            .map(|world| {
                let (values, groups) = design.draw(&mut ChaCha8Rng::seed_from_u64(world), |_| 0.0);
                let test = flips.test(&ClusteredMeans::new(values.view(), &groups).unwrap()).unwrap();
                let least = |p: &[f64]| p.iter().copied().fold(1.0, f64::min);
                (test.p[5], least(&test.single_step), least(&test.step_down))
            })
            .collect();
        let n = worlds as f64;
        // Kolmogorov's 1 % bound, and a step of the Monte-Carlo p-values.
        let bound = 1.63 / n.sqrt() + 1.0 / 500.0;
        let alone = distance_from_uniform(found.iter().map(|f| f.0).collect());
        let joint = distance_from_uniform(found.iter().map(|f| f.1).collect());
        assert!(alone < bound && joint < bound, "{alone} {joint} {bound}");
        let claims = found.iter().filter(|f| f.1 <= 0.05).count() as f64 / n;
        assert!((claims - 0.05).abs() < 0.02, "{claims}");
        // The least step-down value is the least single-step one.
        assert!(found.iter().all(|f| f.1 == f.2));
    }
}

/// Share of worlds in which the band covers the true mean of every column.
fn covered(worlds: u64, means: &[f64], draw: impl Fn(&mut ChaCha8Rng) -> (Array2<f64>, Vec<String>) + Sync) -> f64 {
    let columns: Vec<usize> = (0..means.len()).collect();
    let covers = |world: &u64| {
        let (values, groups) = draw(&mut ChaCha8Rng::seed_from_u64(10_000 + world));
        let found = ClusteredMeans::new(values.view(), &groups).unwrap();
        let resamples = ClusterBootstrap::new(&groups, 600, *world).unwrap();
        let bands = resamples.studentised(&found).unwrap().bands(&columns, 0.95).unwrap();
        bands.intervals.iter().zip(means).all(|(interval, mean)| interval.low <= *mean && *mean <= interval.high)
    };
    (0..worlds).into_par_iter().filter(covers).count() as f64 / worlds as f64
}

#[test]
fn bands_cover_all_columns_at_once() {
    for design in [Design { groups: 50, rows_each: 1, columns: 24 }, Design { groups: 60, rows_each: 4, columns: 12 }] {
        let means: Vec<f64> = (0..design.columns).map(|column| 0.1 * column as f64).collect();
        let covered = covered(1_000, &means, |rng| design.draw(rng, |column| means[column]));
        assert!((covered - 0.95).abs() <= 0.02, "{covered}");
    }
}

#[test]
fn bands_cover_skewed_changes() {
    let design = Design { groups: 50, rows_each: 1, columns: 12 };
    let skewed = |rng: &mut ChaCha8Rng| {
        let (values, groups) = design.draw(rng, |_| 0.0);
        (values.mapv(|value| (0.25 * value).exp()), groups)
    };
    // The means of that by simulation: no closed form for outliers in the exponent.
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut means = vec![0.0; 12];
    for _ in 0..4_000 {
        let (values, _) = skewed(&mut rng);
        means
            .iter_mut()
            .zip(values.mean_axis(ndarray::Axis(0)).unwrap())
            .for_each(|(sum, mean)| *sum += mean / 4_000.0);
    }
    let covered = covered(1_000, &means, skewed);
    assert!((0.92..=0.98).contains(&covered), "{covered}");
}

#[test]
fn equivalence_claims_no_more_than_its_level_at_the_margin() {
    let design = Design { groups: 40, rows_each: 3, columns: 1 };
    let share = |mean: f64| {
        let claims = (0..3_000_u64).into_par_iter().filter(|&world| {
            let (values, groups) = design.draw(&mut ChaCha8Rng::seed_from_u64(30_000 + world), |_| mean);
            let means = ClusteredMeans::new(values.view(), &groups).unwrap();
            means.equivalence(0, 1.0).unwrap().p_no_reduction <= 0.05
        });
        claims.count() as f64 / 3_000.0
    };
    let at_margin = share(-1.0);
    assert!((at_margin - 0.05).abs() < 0.015, "{at_margin}");
    assert!(share(0.0) > 0.9);
}

#[test]
fn the_detectable_change_is_found_with_the_power_promised() {
    let design = Design { groups: 30, rows_each: 2, columns: 1 };
    let groups = design.draw(&mut ChaCha8Rng::seed_from_u64(0), |_| 0.0).1;
    let critical = student_upper_quantile(0.025, 29.0);
    let draw = |world: u64, mean: f64| {
        let (values, _) = design.draw(&mut ChaCha8Rng::seed_from_u64(50_000 + world), |_| mean);
        ClusteredMeans::new(values.view(), &groups).unwrap()
    };
    // The true standard error by simulation; a single run knows it only with noise.
    let worlds = 3_000_u64;
    let means: Vec<f64> = (0..worlds).into_par_iter().map(|world| draw(world, 0.0).means()[0]).collect();
    let truth = (means.iter().map(|mean| mean * mean).sum::<f64>() / worlds as f64).sqrt();
    let distance = minimum_detectable(29.0, critical, 0.8);
    let change = distance * truth;
    let found =
        (0..worlds).into_par_iter().filter(|&world| draw(worlds + world, change).t()[0].abs() > critical).count();
    let power = found as f64 / worlds as f64;
    assert!((power - 0.8).abs() < 0.03, "{power}");
    // What single runs print lies around it.
    let mut printed: Vec<f64> =
        (0..400).map(|world| distance * draw(world, 0.0).standard_errors()[0] / change).collect();
    printed.sort_by(f64::total_cmp);
    assert!((printed[200] - 1.0).abs() < 0.1, "{}", printed[200]);
}
