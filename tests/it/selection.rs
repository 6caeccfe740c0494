//! Choosing strengths and layers: folds, curves, the held-out part.

use ndarray::Array2;
use probity::capture::Activations;
use probity::hook::{Address, Site};
use probity::probe::select::{HeldOut, ProbeSelection};
use probity::probe::{
    Estimator, GroupFolds, GroupSplit, LogisticProbe, MeanDifferenceProbe, ProbeBank, Strengths, Training,
};
use probity::text::Labels;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn at(layer: usize) -> Address {
    Site::ResidPost.at(layer)
}

/// Layers of noise; in layer 1 the first column carries the label.
fn data(n: usize, d: usize, signal: f32, seed: u64) -> (Activations, Labels) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let labels: Vec<bool> = (0..n).map(|_| rng.gen_bool(0.4)).collect();
    let mut activations = Activations::new((0..n).map(|row| row.to_string()));
    for layer in 0..3 {
        let mut x = Array2::from_shape_simple_fn((n, d), || rng.gen::<f32>() + rng.gen::<f32>() - 1.0);
        for (row, &label) in labels.iter().enumerate().filter(|_| layer == 1) {
            x[[row, 0]] += if label { signal } else { 0.0 };
        }
        activations.insert(at(layer), x).unwrap();
    }
    let groups = (0..n).map(|row| format!("g{}", row / 2)).collect();
    (activations, Labels::new(labels, groups).unwrap())
}

#[test]
fn folds_keep_groups_together_and_labels_even() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let n = 600;
    let labels: Vec<bool> = (0..n).map(|_| rng.gen_bool(0.2)).collect();
    let groups: Vec<String> = (0..n).map(|_| format!("g{}", rng.gen_range(0..90_u32))).collect();
    let labels = Labels::new(labels, groups.clone()).unwrap();
    let folds = GroupFolds::default().seed(3);
    let fold_of = folds.assign(&labels).unwrap();
    assert_eq!(fold_of, folds.assign(&labels).unwrap());
    assert_ne!(fold_of, GroupFolds::default().seed(4).assign(&labels).unwrap());
    for (row, other) in (0..n).zip(1..n) {
        assert!(groups[row] != groups[other] || fold_of[row] == fold_of[other]);
    }
    for fold in 0..5 {
        let rows: Vec<usize> = (0..n).filter(|&row| fold_of[row] == fold).collect();
        assert!((110..=130).contains(&rows.len()), "{}", rows.len());
        let share = rows.iter().filter(|&&row| labels.labels()[row]).count() as f64 / rows.len() as f64;
        assert!((0.15..0.25).contains(&share), "{share}");
    }
    let few = Labels::new(vec![true, false, true, false], ["a", "a", "b", "b"].map(String::from).into()).unwrap();
    assert!(GroupFolds::default().assign(&few).is_err());
    assert!(GroupFolds::default().folds(2).assign(&few).is_ok());
    assert!(GroupFolds::default().folds(1).assign(&few).is_err());
}

#[test]
fn the_strengths_scores_are_those_of_fits_without_the_fold() {
    // Also above the size where all folds share f32 products.
    for (n, d) in [(160, 12), (1_500, 800)] {
        let (activations, labels) = data(n, d, 0.6, 2);
        let strengths = Strengths::default().range(0.01, 10.0).count(3);
        let training = Training::new("x", activations.at(at(1)).unwrap(), labels.labels().to_vec()).unwrap();
        let training = training.grouped(labels.groups()).unwrap();
        let (rule, curve) = LogisticProbe::default().strengths(strengths).fit_selected(training).unwrap();
        let curve = curve.unwrap();
        let fold_of = GroupFolds::default().assign(&labels).unwrap();
        let x = activations.at(at(1)).unwrap();
        for tried in &curve.tried {
            assert!(tried.converged);
            let mut loss = 0.0;
            for fold in 0..5 {
                let part = |inside: bool| (0..n).filter(|&row| (fold_of[row] == fold) == inside).collect::<Vec<_>>();
                let (train, test) = (part(false), part(true));
                let of = |rows: &[usize]| rows.iter().map(|&row| labels.labels()[row]).collect::<Vec<bool>>();
                let rows = x.select(ndarray::Axis(0), &train);
                let fitted = LogisticProbe::default().alpha(tried.alpha);
                let fitted = fitted.fit(Training::new("x", rows.view(), of(&train)).unwrap()).unwrap();
                let z = x.select(ndarray::Axis(0), &test).mapv(f64::from).dot(&fitted.weights) + fitted.intercept;
                for (z, label) in z.iter().zip(of(&test)) {
                    loss += (1.0 + if label { -z } else { *z }.exp()).ln();
                }
            }
            assert!((loss / n as f64 / tried.log_loss - 1.0).abs() < 1e-4, "{n}x{d}: {loss} {tried:?}");
        }
        let best = curve.tried.iter().map(|tried| tried.log_loss).fold(f64::INFINITY, f64::min);
        assert_eq!(curve.best().unwrap().log_loss, best);
        assert!(rule.fit.converged);
    }
}

#[test]
fn a_bank_keeps_what_was_tried() {
    let (activations, labels) = data(120, 8, 1.0, 3);
    let probe = LogisticProbe::default().strengths(Strengths::default());
    let bank = probe.fit_all(&activations, &labels).unwrap();
    let curve = bank.get(at(1)).unwrap().strengths.clone().unwrap();
    assert_eq!(curve.tried.len(), 7);
    assert_eq!(bank.provenance()["probe_alpha_L1.resid_post"], curve.best().unwrap().alpha.to_string());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bank.safetensors");
    bank.save(&path).unwrap();
    let loaded = ProbeBank::load(&path).unwrap();
    assert_eq!(loaded.get(at(1)).unwrap().strengths.as_ref().unwrap().chosen, curve.chosen);
    for bad in [
        Strengths::default().count(0),
        Strengths::default().range(1.0, 0.1),
        Strengths::default().range(0.0, 1.0),
        Strengths::default().folds(GroupFolds::default().folds(1)),
    ] {
        assert!(LogisticProbe::default().strengths(bad).fit_all(&activations, &labels).is_err());
    }
}

#[test]
fn the_layer_is_chosen_on_the_open_part_and_judged_once() {
    let (activations, labels) = data(160, 6, 1.2, 4);
    let (open, held_out) = HeldOut::reserve(&activations, &labels, &GroupSplit::default()).unwrap();
    assert_eq!(open.rows().len() + held_out.rows(), 160);
    let selection = ProbeSelection::new(MeanDifferenceProbe::default());
    let nested = selection.nested(&open, GroupFolds::default().seed(9)).unwrap();
    assert!(nested.folds.iter().all(|fold| fold.address == at(1)) && nested.auroc > 0.8, "{nested:?}");
    let selected = selection.run(&open).unwrap();
    assert_eq!(selected.address(), at(1));
    assert_eq!(selected.scores().len(), 3);
    // The same rule and the same evaluation as a bank on the same split.
    let bank = MeanDifferenceProbe::default().fit_all(&activations, &labels).unwrap();
    let mut expected = bank.get(at(1)).unwrap().clone();
    // What chose a probe has met all open texts: there is no fit that left some out.
    assert!(expected.cross_fit.take().is_some());
    assert_eq!(held_out.evaluate(selected).unwrap(), expected);
}

#[test]
fn choosing_among_noise_does_not_flatter_the_held_out_part() {
    let mut mean = 0.0;
    for seed in 0..20 {
        let (activations, labels) = data(120, 6, 0.0, 100 + seed);
        let (open, held_out) = HeldOut::reserve(&activations, &labels, &GroupSplit::default().seed(seed)).unwrap();
        let selected = ProbeSelection::new(MeanDifferenceProbe::default()).run(&open).unwrap();
        mean += held_out.evaluate(selected).unwrap().evaluation.auroc.estimate / 20.0;
    }
    assert!((0.44..0.56).contains(&mean), "{mean}");
}

#[test]
fn class_distances_are_those_of_new_texts() {
    // Few rows in many columns: the rules tell the texts that they learnt from apart better than new ones.
    let distance = |fits: &probity::probe::CrossFit, activations: &Activations, labels: &Labels| {
        let levels = fits.levels(at(1), activations.at(at(1)).unwrap()).unwrap();
        let mean = |immoral: bool| {
            let of = levels.iter().zip(labels.labels()).filter(|(_, &label)| label == immoral);
            let of: Vec<f64> = of.map(|(level, _)| *level).collect();
            of.iter().sum::<f64>() / of.len() as f64
        };
        mean(true) - mean(false)
    };
    let (mut learnt, mut new) = (0.0, 0.0);
    for seed in 0..20 {
        let (activations, labels) = data(160, 60, 0.8, 200 + seed);
        let bank = MeanDifferenceProbe::default().fit_all(&activations, &labels).unwrap();
        let fits = bank.get(at(1)).unwrap().cross_fit.clone().unwrap();
        learnt += distance(&fits, &activations, &labels) / 20.0;
        let (others, of_others) = data(2_000, 60, 0.8, 900 + seed);
        new += distance(&fits, &others, &of_others) / 20.0;
        // The jackknife's deviations of a difference add up to none.
        let deviations = fits.deviations(&ndarray::Array1::ones(60));
        assert!(deviations.sum().abs() < 1e-9 && deviations.len() == 10);
    }
    assert!((new - 1.0).abs() < 0.12 && learnt > 1.3, "{learnt} {new}");
}
