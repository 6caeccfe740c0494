//! The logistic solver: hard data, threads, draws, class weights.

use ndarray::{Array1, Array2};
use probity::probe::{ClassWeight, Estimator, Linear, LogisticProbe, Training};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Noise with a shared factor; labels from a logistic model in the first column.
fn states(n: usize, d: usize, seed: u64) -> (Array2<f32>, Vec<bool>) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut x = Array2::from_shape_simple_fn((n, d), || rng.gen::<f32>() + rng.gen::<f32>() + rng.gen::<f32>() - 1.5);
    for mut row in x.rows_mut() {
        let shared = 4.0 * (rng.gen::<f32>() - 0.5);
        row.mapv_inplace(|value| value + shared);
    }
    let mean = |row: usize| x.row(row).sum() / d as f32;
    let chance = |row: usize| 1.0 / (1.0 + (-3.0 * (x[[row, 0]] - mean(row))).exp());
    let labels = (0..n).map(|row| rng.gen::<f32>() < chance(row)).collect();
    (x, labels)
}

fn fit(probe: LogisticProbe, x: &Array2<f32>, labels: &[bool]) -> Linear {
    probe.fit(Training::new("x", x.view(), labels.to_vec()).unwrap()).unwrap()
}

/// Objective in f64, computed here: rows standardised, each row's loss times its weight.
fn objective(x: &Array2<f32>, labels: &[bool], weights: &[f64], alpha: f64, rule: &Linear) -> f64 {
    let x = x.mapv(f64::from);
    let scale = x.std_axis(ndarray::Axis(0), 0.0);
    let standardised = &rule.weights * &scale;
    let scores = x.dot(&rule.weights) + rule.intercept;
    let loss = scores.iter().zip(labels).zip(weights).map(|((&z, &label), weight)| {
        let z = if label { -z } else { z };
        weight * (z.max(0.0) + (-z.abs()).exp().ln_1p())
    });
    loss.sum::<f64>() + 0.5 * alpha * standardised.dot(&standardised)
}

#[test]
fn wide_and_narrow_large_and_small_designs_reach_the_same_proven_optimum() {
    // Below and above the size where f32 and several threads begin, more rows than columns and fewer.
    for (n, d, alpha) in [(200, 30, 1.0), (60, 300, 0.1), (4_000, 300, 1.0), (600, 2_000, 1.0), (1_100, 1_000, 0.1)] {
        let (x, labels) = states(n, d, 1);
        let found = fit(LogisticProbe::default().alpha(alpha), &x, &labels);
        assert!(found.fit.converged && found.fit.solver_runs >= 1, "{n}x{d}: {:?}", found.fit);
        let own = objective(&x, &labels, &vec![1.0; n], alpha, &found);
        assert!((own / found.fit.objective.unwrap() - 1.0).abs() < 1e-5, "{n}x{d}: {own} {:?}", found.fit);
        // Any other point is above: the optimum is one.
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        for size in [1e-3, 1e-2] {
            let mut other = found.clone();
            other.weights.mapv_inplace(|weight| weight * (1.0 + size * (rng.gen::<f64>() - 0.5)));
            assert!(objective(&x, &labels, &vec![1.0; n], alpha, &other) > own * (1.0 - 2e-8));
        }
    }
}

#[test]
fn massive_activations_cost_nothing() {
    for (n, d) in [(400, 40), (3_000, 500)] {
        let (x, labels) = states(n, d, 3);
        let mut massive = x.clone();
        massive.column_mut(3).mapv_inplace(|value| value * 1000.0);
        massive.column_mut(7).mapv_inplace(|value| value + 300.0);
        let probe = LogisticProbe::default().alpha(10.0);
        let (plain, massive) = (fit(probe, &x, &labels), fit(probe, &massive, &labels));
        assert!(plain.fit.converged && massive.fit.converged, "{:?} {:?}", plain.fit, massive.fit);
        let ratio = massive.fit.objective.unwrap() / plain.fit.objective.unwrap();
        assert!((ratio - 1.0).abs() < 1e-5, "{ratio}");
        assert!((massive.weights[3] * 1000.0 / plain.weights[3] - 1.0).abs() < 1e-2);
    }
}

#[test]
fn degenerate_data_are_right_or_say_so() {
    let (mut x, labels) = states(80, 6, 4);
    // Constant columns, and every row twice.
    x.column_mut(2).fill(0.1);
    let twice = ndarray::concatenate(ndarray::Axis(0), &[x.view(), x.view()]).unwrap();
    let one = fit(LogisticProbe::default().alpha(1.0), &x, &labels);
    let both = fit(LogisticProbe::default().alpha(2.0), &twice, &[labels.clone(), labels.clone()].concat());
    assert_eq!(one.weights[2], 0.0);
    assert!((both.fit.objective.unwrap() / one.fit.objective.unwrap() / 2.0 - 1.0).abs() < 1e-7);

    // Two rows.
    let two = Array2::from_shape_vec((2, 2), vec![0.0_f32, 1.0, 1.0, 1.0]).unwrap();
    let found = fit(LogisticProbe::default(), &two, &[false, true]);
    assert!(found.fit.converged && found.weights[0] > 0.0 && found.weights[1] == 0.0, "{found:?}");

    // Separable with next to no penalty: proven, or not called converged.
    let separable = Array2::from_shape_fn((100, 3), |(row, column)| if column == 0 { row as f32 } else { 0.3 });
    let labels: Vec<bool> = (0..100).map(|row| row >= 50).collect();
    let found = fit(LogisticProbe::default().alpha(1e-9), &separable, &labels);
    assert_eq!(found.fit.converged, found.fit.relative_gap.unwrap() <= 1e-8);
    assert!(found.weights[0] > 0.0 && found.weights.iter().all(|weight| weight.is_finite()));
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    for (n, d) in [(300, 50), (1_500, 800), (500, 2_200)] {
        let (x, labels) = states(n, d, 5);
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| fit(LogisticProbe::default().alpha(2.0), &x, &labels))
        };
        assert_eq!(with(1), with(3));
    }
}

#[test]
fn draws_together_are_draws_one_by_one() {
    for (n, d) in [(150, 20), (1_300, 900)] {
        let (x, labels) = states(n, d, 6);
        let draws: Vec<Vec<bool>> =
            (1..4).map(|by| labels.iter().cycle().skip(31 * by).take(n).copied().collect()).collect();
        let training = Training::new("x", x.view(), labels).unwrap();
        let probe = LogisticProbe::default();
        let together = probe.fit_draws(&training, &draws).unwrap();
        for (draw, together) in draws.iter().zip(together) {
            let alone = fit(probe, &x, draw);
            assert!(together.fit.converged && alone.fit.converged);
            // Draws are held to 1e-6 of the optimum, a fit alone to 1e-8.
            let above = together.fit.objective.unwrap() / alone.fit.objective.unwrap() - 1.0;
            assert!((-1e-8..1e-6).contains(&above), "{n}x{d}: {above:e}");
            let length = |weights: &Array1<f64>| weights.dot(weights).sqrt();
            let cosine = together.weights.dot(&alone.weights) / (length(&together.weights) * length(&alone.weights));
            assert!(cosine > 0.99999, "{n}x{d}: {cosine}");
        }
        assert!(probe.fit_draws(&training, &[vec![true; n]]).is_err());
        assert!(probe.fit_draws(&training, &[vec![true, false]]).is_err());
    }
}

#[test]
fn balanced_weights_reach_the_weighted_optimum() {
    let (x, _) = states(40, 4, 7);
    let mirrored = ndarray::concatenate(ndarray::Axis(0), &[x.view(), (-&x).view()]).unwrap();
    let labels: Vec<bool> = (0..80).map(|row| row % 40 < 10).collect();
    let balanced = fit(LogisticProbe::default().alpha(3.0).class_weight(ClassWeight::Balanced), &mirrored, &labels);
    assert!(balanced.fit.converged, "{:?}", balanced.fit);
    let weights: Vec<f64> = labels.iter().map(|&label| 80.0 / if label { 40.0 } else { 120.0 }).collect();
    let own = objective(&mirrored, &labels, &weights, 3.0, &balanced);
    assert!((own / balanced.fit.objective.unwrap() - 1.0).abs() < 1e-6);
    // Stationary: moving any parameter changes the weighted objective in second order only.
    for column in 0..4 {
        for step in [1e-4, -1e-4] {
            let mut moved = balanced.clone();
            moved.weights[column] += step;
            let change = objective(&mirrored, &labels, &weights, 3.0, &moved) - own;
            assert!((-1e-9..1e-4 * 1e-2).contains(&change), "{column}: {change}");
        }
    }
    assert!(!LogisticProbe::default().class_weight(ClassWeight::Balanced).is_calibrated());
}
