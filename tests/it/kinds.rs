//! Kinds of probes: against scikit-learn, and on planted directions.

use common::json;
use common::labelled::{activations, at, cosine, normal, planted};
use ndarray::Array2;
use probity::capture::Activations;
use probity::probe::{
    Calibrated, CalibrationMethod, Estimator, FitProtocol, LayerEnsemble, LogisticProbe, MassMeanProbe,
    MeanDifferenceProbe, OneVsRest, Preset, ProbeBank, RidgeProbe, StatementDirection, Training,
};
use probity::text::{LabelledText, Labels};
use probity::Error;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

fn every_kind(check: impl Fn(&str, &dyn Fn(&Activations, &Labels) -> probity::Result<ProbeBank>)) {
    check("logistic", &|a, l| LogisticProbe::default().alpha(10.0).draws(50).fit_all(a, l));
    check("mean difference", &|a, l| MeanDifferenceProbe::default().draws(50).fit_all(a, l));
    check("mass mean", &|a, l| MassMeanProbe::default().draws(50).fit_all(a, l));
    check("discriminant", &|a, l| MassMeanProbe::discriminant().draws(50).fit_all(a, l));
    check("ridge", &|a, l| RidgeProbe::default().draws(50).fit_all(a, l));
    let platt = |a: &Activations, l: &Labels| {
        Calibrated::new(RidgeProbe::default().draws(50), CalibrationMethod::Platt).fit_all(a, l)
    };
    check("calibrated ridge", &platt);
}

#[test]
fn every_kind_finds_a_planted_direction_at_any_balance_and_scale() {
    for share in [0.1, 0.5, 0.9] {
        let (rows, labels, truth) = planted(4_000, 12, share, 3.0, 1);
        let mut warped = rows.clone();
        warped.column_mut(3).mapv_inplace(|value| value * 1000.0);
        warped.column_mut(7).mapv_inplace(|value| value + 300.0);
        let labels = Labels::ungrouped(labels);
        every_kind(|kind, fit| {
            let plain = fit(&activations(rows.clone()), &labels).unwrap();
            let massive = fit(&activations(warped.clone()), &labels).unwrap();
            let (plain, massive) = (plain.get(at(0)).unwrap(), massive.get(at(0)).unwrap());
            let found = cosine(&plain.weights, &truth);
            assert!(found > 0.99, "{kind} {share}: {found}");
            assert!(plain.fit.converged && massive.fit.converged);
            assert!(plain.evaluation.auroc.low > 0.95, "{kind} {share}: {:?}", plain.evaluation);
            let mut rescaled = massive.weights.clone();
            if kind == "mean difference" {
                // A difference of raw means grows with the feature; the others divide by its spread.
                rescaled[3] /= 1000.0;
                assert!(massive.evaluation.auroc.estimate > 0.5, "{kind} {share}: {:?}", massive.evaluation);
            } else {
                rescaled[3] *= 1000.0;
                let (a, b) = (plain.evaluation.auroc.estimate, massive.evaluation.auroc.estimate);
                assert!((a - b).abs() < 1e-3, "{kind} {share}: {a} {b}");
            }
            let found = cosine(&rescaled, &truth);
            assert!(found > 0.99, "{kind} {share}, massive: {found}");
        });
    }
}

#[test]
fn constant_states_give_every_kind_a_null_direction() {
    let rows = Array2::from_shape_fn((60, 4), |(_, column)| 0.1 + column as f32 * 0.7);
    let labels = Labels::ungrouped((0..60).map(|row| row % 3 == 0).collect());
    every_kind(|kind, fit| {
        let bank = fit(&activations(rows.clone()), &labels).unwrap();
        let probe = bank.get(at(0)).unwrap();
        assert!(probe.direction.is_null(), "{kind}");
        assert_eq!(probe.evaluation.auroc.estimate, 0.5, "{kind}");
    });
}

#[test]
fn a_feature_that_tells_the_classes_apart_without_error_is_used() {
    // Exactly 0 or 1 by label, beside noise, with more dimensions than rows.
    let (mut rows, labels, _) = planted(40, 60, 0.5, 0.0, 2);
    rows.column_mut(5).iter_mut().zip(&labels).for_each(|(value, &label)| *value = f32::from(u8::from(label)));
    let labels = Labels::ungrouped(labels);
    for bank in [
        MassMeanProbe::default().fit_all(&activations(rows.clone()), &labels).unwrap(),
        MassMeanProbe::discriminant().fit_all(&activations(rows), &labels).unwrap(),
    ] {
        assert_eq!(bank.get(at(0)).unwrap().evaluation.auroc.estimate, 1.0);
    }
}

#[test]
fn decisions_are_scikit_learns() {
    let fixture = json("statistics/kinds.json");
    let floats = |value: &Value| value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect::<Vec<_>>();
    for case in fixture["cases"].as_array().unwrap() {
        let x: Vec<Vec<f64>> = case["x"].as_array().unwrap().iter().map(floats).collect();
        let x = Array2::from_shape_fn((x.len(), x[0].len()), |(i, j)| x[i][j]);
        let labels: Vec<bool> = floats(&case["labels"]).iter().map(|&label| label == 1.0).collect();
        let training = || Training::new("x", x.view(), labels.clone()).unwrap();
        let check = |estimator: &dyn Estimator, expected: &[f64], what: &str| {
            let fitted = estimator.fit(training()).unwrap();
            let found = x.dot(&fitted.weights) + fitted.intercept;
            let size = expected.iter().fold(0.0_f64, |size, value| size.max(value.abs()));
            let worst = found.iter().zip(expected).fold(0.0_f64, |worst, (a, b)| worst.max((a - b).abs()));
            assert!(worst < 1e-8 * size, "{} {what}: {worst} of {size}", case["name"]);
        };
        for (alpha, expected) in case["ridge"].as_object().unwrap() {
            let probe = RidgeProbe::default().alpha(alpha.parse().unwrap());
            check(&probe, &floats(expected), "ridge");
            let fitted = probe.fit(training()).unwrap();
            assert!(fitted.fit.converged && fitted.fit.relative_gap.unwrap() < 1e-12, "{:?}", fitted.fit);
        }
        check(&RidgeProbe::default(), &floats(&case["ridge"][&format!("{:.1}", x.ncols() as f64)]), "default ridge");
        let log_odds = case["log_prior_odds"].as_f64().unwrap();
        for (shrinkage, expected) in case["discriminant"].as_object().unwrap() {
            let (mut discriminant, mut mass_mean) = (MassMeanProbe::discriminant(), MassMeanProbe::default());
            if let Ok(shrinkage) = shrinkage.parse() {
                (discriminant, mass_mean) = (discriminant.shrinkage(shrinkage), mass_mean.shrinkage(shrinkage));
            }
            let expected = floats(expected);
            check(&discriminant, &expected, shrinkage);
            check(&mass_mean, &expected.iter().map(|value| value - log_odds).collect::<Vec<_>>(), shrinkage);
        }
    }
}

#[test]
fn shared_work_changes_no_result() {
    let (rows, labels, _) = planted(90, 150, 0.4, 1.0, 3);
    let training = Training::new("x", rows.view(), labels.clone()).unwrap();
    let draws: Vec<Vec<bool>> = (1..6).map(|k| (0..90).map(|row| labels[(row * 7 + k) % 90]).collect()).collect();
    let together = RidgeProbe::default().fit_draws(&training, &draws).unwrap();
    for (draw, fitted) in draws.iter().zip(together) {
        let alone = RidgeProbe::default().fit(training.relabelled(draw.clone()).unwrap()).unwrap();
        assert!((&alone.weights - &fitted.weights).iter().all(|difference| difference.abs() < 1e-12));
    }
    let error = RidgeProbe::default().fit_draws(&training, &[vec![true; 90]]).unwrap_err();
    assert!(matches!(error, Error::OneClass { .. }));
    // Large enough for several threads, which must not show.
    let (rows, labels, _) = planted(1_100, 1_000, 0.4, 1.0, 4);
    let fit = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let training = Training::new("x", rows.view(), labels.clone()).unwrap();
        pool.install(|| MassMeanProbe::discriminant().fit(training).unwrap())
    };
    assert_eq!(fit(1), fit(3));
}

#[test]
fn settings_out_of_range_are_refused() {
    let (rows, labels, _) = planted(40, 60, 0.5, 1.0, 5);
    let (states, labels) = (activations(rows), Labels::ungrouped(labels));
    for bad in [-0.1, 1.1, f64::NAN] {
        assert!(matches!(
            MassMeanProbe::default().shrinkage(bad).fit_all(&states, &labels),
            Err(Error::Setting { .. })
        ));
        assert!(matches!(
            MassMeanProbe::discriminant().shrinkage(bad).fit_all(&states, &labels),
            Err(Error::Setting { .. })
        ));
    }
    for bad in [0.0, -1.0, f64::INFINITY] {
        assert!(matches!(RidgeProbe::default().alpha(bad).fit_all(&states, &labels), Err(Error::Setting { .. })));
    }
    let error = MassMeanProbe::discriminant().shrinkage(0.0).fit_all(&states, &labels).unwrap_err();
    assert!(matches!(&error, Error::Fit { .. }) && error.to_string().contains("shrink more"), "{error}");
}

#[test]
fn calibration_makes_log_odds_of_decisions() {
    let (rows, labels, _) = planted(4_000, 10, 0.3, 1.5, 6);
    let (states, labels) = (activations(rows.clone()), Labels::ungrouped(labels));
    let plain = RidgeProbe::default().draws(50);
    let before = plain.fit_all(&states, &labels).unwrap();
    assert!(before.rows()[0].log_loss.is_none() && before.rows()[0].brier.is_none());
    // What is best possible: the probe that is fitted for the log-loss.
    let best = LogisticProbe::default().draws(50).fit_all(&states, &labels).unwrap().rows()[0].log_loss.unwrap();
    let row = Calibrated::new(plain, CalibrationMethod::Platt).fit_all(&states, &labels).unwrap().rows().remove(0);
    assert!((row.log_loss.unwrap() - best).abs() < 0.01, "{row:?} {best}");
    assert!(row.ece_equal_width.unwrap() < 0.05 && row.ece_equal_mass.unwrap() < 0.05, "{row:?}");
    // A discriminant ten times too sure is called back by its temperature.
    let sharp = activations(rows.mapv(|value| value * 10.0));
    let scaled =
        Calibrated::new(MassMeanProbe::default().draws(50), CalibrationMethod::Temperature).fit_all(&sharp, &labels);
    assert!(scaled.unwrap().rows()[0].log_loss.unwrap() < 0.69);
    // No signal: no direction is made up.
    let (noise, of_noise, _) = planted(60, 40, 0.5, 0.0, 9);
    for seed in 0..10 {
        let split = probity::probe::GroupSplit::default().seed(seed);
        let probe = Calibrated::new(RidgeProbe::default().draws(20), CalibrationMethod::Platt).calibration_split(split);
        let bank = probe.fit_all(&activations(noise.clone()), &Labels::ungrouped(of_noise.clone())).unwrap();
        assert!(bank.rows()[0].log_loss.unwrap() < 1.5);
    }
}

#[test]
fn classes_are_told_apart_one_by_one() {
    let (n, d) = (600, 8);
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let names = ["care", "fairness", "loyalty"];
    let classes: Vec<&str> = (0..n).map(|row| names[row % 3]).collect();
    let rows = Array2::from_shape_fn((n, d), |(row, column)| {
        (normal(&mut rng) + if column == row % 3 { 4.0 } else { 0.0 }) as f32
    });
    let states = activations(rows.clone());
    let groups: Vec<String> = (0..n).map(|row| row.to_string()).collect();
    let probe = MassMeanProbe::discriminant().draws(50);
    let found = OneVsRest::fit_classes(&probe, &states, &classes, &groups).unwrap();
    assert_eq!(found.names().collect::<Vec<_>>(), names);
    let aurocs: Vec<f64> = found.banks().map(|(_, bank)| bank.rows()[0].auroc).collect();
    let mean = aurocs.iter().sum::<f64>() / 3.0;
    assert!((found.macro_auroc(at(0)).unwrap() - mean).abs() < 1e-15 && mean > 0.98);
    let right = found.classify(at(0), rows.view()).unwrap().iter().zip(&classes).filter(|(a, b)| a == b).count();
    assert!(right > 570, "{right}");
    for (index, name) in names.iter().enumerate() {
        let weights = &found.get(name).unwrap().get(at(0)).unwrap().weights;
        assert!(weights.iter().all(|&weight| weight <= weights[index]), "{name}: {weights}");
    }
    // Two theories of the same texts may overlap.
    let theories = ["a", "b"]
        .map(|name| (name, Labels::ungrouped((0..n).map(|row| row % 3 != 0 || name == "b" && row % 2 == 0).collect())));
    assert_eq!(
        OneVsRest::fit(&probe, &states, theories.clone()).unwrap().decisions(at(0), rows.view()).unwrap().dim(),
        (n, 2)
    );
    let twice = [theories[0].clone(), theories[0].clone()];
    assert!(matches!(OneVsRest::fit(&probe, &states, twice), Err(Error::Setting { .. })));
    assert!(found.get("cares").unwrap_err().to_string().contains("care"));
}

#[test]
fn layers_together_beat_each_alone() {
    let (n, d, layers) = (800, 6, 8);
    let labels: Vec<bool> = (0..n).map(|row| row % 2 == 0).collect();
    let mut states = Activations::new((0..n).map(|row| row.to_string()));
    for layer in 0..layers {
        let mut rng = ChaCha8Rng::seed_from_u64(layer as u64);
        let rows = Array2::from_shape_fn((n, d), |(row, column)| {
            (normal(&mut rng) + if labels[row] && column == 1 { 0.8 } else { 0.0 }) as f32
        });
        states.insert(at(layer), rows).unwrap();
    }
    let labels = Labels::ungrouped(labels);
    let probe = MeanDifferenceProbe::default().draws(100);
    let ensemble = LayerEnsemble::fit(&probe, &states, &labels, &[]).unwrap();
    let best = ensemble.bank().rows().iter().map(|row| row.auroc).fold(0.0, f64::max);
    let auroc = ensemble.evaluation().auroc;
    assert!(auroc.estimate > best + 0.05, "{auroc:?} {best}");
    assert_eq!(ensemble.evaluation().n_test, ensemble.bank().rows()[0].n_test);
    // One layer alone is that layer's probe.
    let one = LayerEnsemble::fit(&probe, &states, &labels, &[at(2)]).unwrap();
    assert!((one.evaluation().auroc.estimate - one.bank().get(at(2)).unwrap().evaluation.auroc.estimate).abs() < 1e-12);
    assert!(matches!(LayerEnsemble::fit(&probe, &states, &labels, &[at(99)]), Err(Error::UnknownAddress { .. })));
}

#[test]
fn statements_give_their_mean_as_a_direction() {
    let rows = ndarray::arr2(&[[3.0_f32, 0.0, 0.0], [0.0, 4.0, 0.0]]);
    let found = StatementDirection::of(&activations(rows.clone())).unwrap().remove(0);
    assert_eq!(found.statements, 2);
    assert!(found.agreement.unwrap().abs() < 1e-12);
    assert!((&found.direction.unit() - &ndarray::arr1(&[0.6, 0.8, 0.0])).iter().all(|value| value.abs() < 1e-12));
    assert!(StatementDirection::of(&Activations::new(Vec::<String>::new())).is_err());

    let (states, labels, truth) = planted(200, 3, 0.5, 3.0, 8);
    let statements = activations(truth.mapv(|value| 5.0 * value as f32).insert_axis(ndarray::Axis(0)));
    let bank = StatementDirection::bank(
        &statements,
        &activations(states),
        &Labels::ungrouped(labels),
        &FitProtocol::default(),
    )
    .unwrap();
    let probe = bank.get(at(0)).unwrap();
    assert!(cosine(&probe.weights, &truth) > 1.0 - 1e-9);
    assert_eq!((probe.evaluation.n_test, probe.fit.n_train), (200, 1));
    assert!(probe.evaluation.auroc.low > 0.9 && probe.evaluation.balanced_accuracy > 0.85);
}

#[test]
fn presets_fix_what_they_say() {
    let text = |index: usize, immoral| LabelledText {
        id: index.to_string(),
        text: "t".to_owned(),
        immoral,
        group: index.to_string(),
    };
    let rows: Vec<LabelledText> = (0..100).map(|index| text(index, index % 10 == 0)).collect();
    assert_eq!(Preset::Lee2024.texts(rows.clone(), 0), rows);
    let drawn = Preset::Liu2024.texts(rows.clone(), 0);
    assert_eq!(drawn.len(), 20);
    assert_eq!(drawn.iter().filter(|row| row.immoral).count(), 10);
    assert_eq!(drawn, Preset::Liu2024.texts(rows.clone(), 0));
    assert_ne!(drawn, Preset::Liu2024.texts(rows, 1));
    for preset in Preset::ALL {
        assert_eq!(preset.to_string().parse::<Preset>().unwrap(), preset);
        let (states, labels, truth) = planted(400, 5, 0.5, 3.0, 1);
        let bank = preset.estimator(0).fit_all(&activations(states), &Labels::ungrouped(labels)).unwrap();
        let probe = bank.get(at(0)).unwrap();
        assert_eq!(probe.evaluation.n_test, 40);
        assert!(cosine(&probe.weights, &truth) > 0.9);
    }
    assert!(matches!("lee2025".parse::<Preset>(), Err(Error::Setting { .. })));
}
