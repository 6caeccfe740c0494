//! Levels: small cases by hand, nulls, pairing.

use common::labelled::{at, normal};
use common::{condition, design};
use ndarray::{array, Array1, Array2};
use probity::capture::Activations;
use probity::level::{Against, Inference, Levels, Metric, NullKind, ReadingLevels, VerdictRule};
use probity::probe::{MeanDifferenceProbe, ProbeBank};
use probity::stats::{Interval, Settings};
use probity::task::Outcome;
use probity::text::Labels;
use probity::{Design, Error, Result};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

fn noise(rng: &mut ChaCha8Rng, n: usize, d: usize) -> Array2<f64> {
    Array2::from_shape_fn((n, d), |_| normal(rng))
}

fn unit(rng: &mut ChaCha8Rng, d: usize) -> Array1<f64> {
    let v = Array1::from_shape_fn(d, |_| normal(rng));
    let norm = v.dot(&v).sqrt();
    v / norm
}

fn activations(layers: impl IntoIterator<Item = Array2<f64>>) -> Activations {
    let layers: Vec<_> = layers.into_iter().collect();
    let mut activations = Activations::new((0..layers[0].nrows()).map(|row| format!("i{row}")));
    for (layer, rows) in layers.into_iter().enumerate() {
        activations.insert(at(layer), rows.mapv(|value| value as f32)).unwrap();
    }
    activations
}

/// Levels of these conditions in this order.
fn score(rounds: &[(&str, usize, &Activations)], bank: &ProbeBank) -> Result<Levels> {
    let names: Vec<(&str, usize)> = rounds.iter().map(|&(name, round, _)| (name, round)).collect();
    let states: Vec<&Activations> = rounds.iter().map(|&(.., states)| states).collect();
    Levels::score(&design(&names), &states, bank)
}

/// A bank whose only direction is the first axis of two.
fn axis_bank() -> ProbeBank {
    let states = Array2::from_shape_fn((80, 2), |(row, column)| if column == 0 && row % 2 == 1 { 2.0 } else { 0.0 });
    let labels = Labels::ungrouped((0..80).map(|row| row % 2 == 1).collect());
    MeanDifferenceProbe::default().draws(100).fit_all(&activations([states]), &labels).unwrap()
}

#[test]
fn levels_by_hand() {
    let bank = axis_bank();
    let plain = activations([array![[3.0, 4.0], [0.0, 2.0], [0.0, 0.0]]]);
    let asked = activations([array![[0.0, 5.0], [-1.0, 0.0], [2.0, 0.0]]]);
    let levels = score(&[("none", 0, &plain), ("L1", 1, &asked)], &bank).unwrap();
    assert_eq!(levels.values().dim(), (3, 2, 1, 3));
    let series = |name, at_round, metric| levels.series(&condition(name, at_round), at(0), metric).unwrap().to_vec();
    let close = |found: Vec<f64>, expected: [f64; 3]| {
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{found:?} {expected:?}");
    };
    close(series("none", 0, Metric::Dot), [3.0, 0.0, 0.0]);
    close(series("none", 0, Metric::Cosine), [0.6, 0.0, 0.0]);
    // Moral texts lie at 0, immoral ones at 2.
    close(series("none", 0, Metric::ClassDistance), [1.5, 0.0, 0.0]);
    close(series("L1", 1, Metric::Cosine), [0.0, -1.0, 1.0]);
    assert_eq!(levels.get("i1", &condition("L1", 1), at(0), Metric::Dot), Some(-1.0));
    assert_eq!(levels.values()[[1, 1, 0, 1]], -1.0);
    assert_eq!(levels.get("i1", &condition("L1", 2), at(0), Metric::Dot), None);
    assert_eq!(levels.get("i9", &condition("L1", 1), at(0), Metric::Dot), None);

    let changes = Inference::default().run(&levels).unwrap();
    assert_eq!((changes.levels.len(), changes.rows.len(), changes.groups), (6, 3, 3));
    let row = &changes.rows[1];
    assert_eq!((row.metric, row.against, row.condition.instruction.as_str()), (Metric::Dot, Against::Round0, "L1"));
    assert!((row.band.estimate - (1.0 / 3.0 - 1.0)).abs() < 1e-12);
    // Mean difference of the states: (1/3 - 1, 5/3 - 2); its length over sqrt(2).
    let null = row.nulls.iter().find(|null| null.kind == NullKind::Uniform).unwrap();
    let length = ((2.0_f64 / 3.0).powi(2) + (1.0_f64 / 3.0).powi(2)).sqrt();
    // |v| / sqrt(d) by theory.
    assert!((null.sd / (length / 2.0_f64.sqrt()) - 1.0).abs() < 0.1);
    // Only cosines have the spread of a random direction's cosine beside them.
    assert_eq!((changes.rows[0].metric, row.random_sd), (Metric::Cosine, None));
    assert!((changes.rows[0].random_sd.unwrap() - 0.5_f64.sqrt()).abs() < 1e-12);
    assert!(changes.rows[2].nulls.is_empty());
    let json = serde_json::to_value(row).unwrap();
    assert_eq!((json["against"].as_str(), json["address"].as_str()), (Some("round0"), Some("L0.resid_post")));
}

#[test]
fn csv_holds_every_level() {
    let bank = axis_bank();
    let plain = activations([array![[3.0, 4.0], [0.1, 0.7]]]);
    let levels = score(&[("none", 0, &plain)], &bank).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("levels.csv");
    levels.write_csv(&path).unwrap();
    let mut reader = csv::Reader::from_path(path).unwrap();
    let header = reader.headers().unwrap().iter().collect::<Vec<_>>().join(",");
    assert_eq!(header, "item,group,round,instruction,reading,site,layer,metric,value");
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 6);
    let row = rows.iter().find(|row| &row[0] == "i1" && &row[7] == "cosine").unwrap();
    assert_eq!((&row[1], &row[2], &row[3], &row[4]), ("i1", "0", "none", "prompt"));
    assert_eq!((&row[5], &row[6]), ("resid_post", "0"));
    assert_eq!(row[8].parse::<f64>().unwrap(), levels.get("i1", &condition("none", 0), at(0), Metric::Cosine).unwrap());
}

#[test]
fn conditions_that_do_not_belong_together_are_refused() {
    let bank = axis_bank();
    let a = activations([array![[1.0, 0.0], [0.0, 1.0]]]);
    let shorter = activations([array![[1.0, 0.0]]]);
    let mut renamed = Activations::new(["i0", "other"]);
    renamed.insert(at(0), Array2::zeros((2, 2))).unwrap();
    let grouped = a.clone().with_groups(vec!["g".into(), "g".into()]).unwrap();
    let wide = activations([Array2::zeros((2, 3))]);
    for (b, says) in [
        (&shorter, "1 items, the first condition has 2"),
        (&renamed, "row 1 is item \"other\""),
        (&grouped, "groups differ"),
        (&wide, "width 3"),
    ] {
        let error = score(&[("none", 0, &a), ("L1", 1, b)], &bank).unwrap_err();
        assert!(matches!(error, Error::Mismatch { .. }) && error.to_string().contains(says), "{error}");
    }
    let twice = Design::new([condition("L1", 1), condition("L1", 1)]).unwrap_err();
    assert!(twice.to_string().contains("round 1 twice"), "{twice}");
    let plain_twice = Design::new([condition("a", 0), condition("b", 0)]).unwrap_err();
    assert!(plain_twice.to_string().contains("round 0"), "{plain_twice}");
    assert!(matches!(score(&[], &bank), Err(Error::Setting { .. })));
    let elsewhere = Activations::new(["i0", "i1"]);
    let missing = score(&[("none", 0, &elsewhere)], &bank).unwrap_err();
    assert!(matches!(missing, Error::UnknownAddress { .. }), "{missing}");
    let mut broken = Activations::new(["i0", "i1"]);
    broken.insert(at(0), array![[1.0, 0.0], [f32::NAN, 0.0]]).unwrap();
    assert!(matches!(score(&[("none", 0, &broken)], &bank), Err(Error::NotFinite(at)) if at.row == 1));
    let levels = score(&[("none", 0, &a)], &bank).unwrap();
    assert!(matches!(Inference::new(Settings::default().null_draws(10)).run(&levels), Err(Error::Setting { .. })));
    assert!(matches!(Inference::new(Settings::default().level(1.0)).run(&levels), Err(Error::Setting { .. })));
    let levels = ReadingLevels::new(vec![levels]).unwrap();
    for name in ["none", "L9"] {
        let refused = VerdictRule::default().judge(&condition(name, 0), &levels, &Outcome::default());
        assert!(matches!(refused, Err(Error::Setting { .. })));
    }
}

#[test]
fn pairing_makes_the_interval_of_a_change_shorter() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let before = noise(&mut rng, 60, 2) * 5.0;
    let after = &before + &(noise(&mut rng, 60, 2) * 0.2) - 0.3;
    let (before, after) = (activations([before]), activations([after]));
    let levels = score(&[("none", 0, &before), ("L1", 1, &after)], &axis_bank()).unwrap();
    let changes = Inference::default().run(&levels).unwrap();
    let width = |interval: Interval| interval.high - interval.low;
    let dots = changes.levels.iter().filter(|row| row.metric == Metric::Dot);
    let unpaired = dots.map(|row| width(row.interval).powi(2)).sum::<f64>().sqrt();
    let change = changes.rows.iter().find(|row| row.metric == Metric::Dot).unwrap();
    assert!(width(change.band) < 0.1 * unpaired, "{} {unpaired}", width(change.band));
    assert!(change.band.high < 0.0);
}

#[test]
fn p_values_are_uniform_where_the_direction_means_nothing() {
    let (d, layers) = (24, 150);
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    // Each layer has its own probe direction, and an unrelated shift common to all items.
    let directions: Vec<Array1<f64>> = (0..layers).map(|_| unit(&mut rng, d)).collect();
    let labels: Vec<bool> = (0..80).map(|row| row % 2 == 1).collect();
    let training = directions.iter().map(|direction| {
        Array2::from_shape_fn((80, d), |(row, column)| if labels[row] { direction[column] } else { 0.0 })
    });
    let bank =
        MeanDifferenceProbe::default().draws(10).fit_all(&activations(training), &Labels::ungrouped(labels)).unwrap();
    let before: Vec<Array2<f64>> = (0..layers).map(|_| noise(&mut rng, 12, d)).collect();
    let after: Vec<Array2<f64>> = before.iter().map(|states| states + &unit(&mut rng, d)).collect();
    let (before, after) = (activations(before), activations(after));
    let levels = score(&[("none", 0, &before), ("L1", 1, &after)], &bank).unwrap();
    let changes = Inference::new(Settings::default().draws(50)).run(&levels).unwrap();
    for metric in [Metric::Cosine, Metric::Dot] {
        let rows = changes.rows.iter().filter(|row| row.metric == metric);
        let p: Vec<f64> = rows.map(|row| row.nulls[0].p).collect();
        assert_eq!(p.len(), layers);
        let share = |below: f64| p.iter().filter(|&&p| p < below).count() as f64 / layers as f64;
        for below in [0.1, 0.25, 0.5, 0.75] {
            let allowed = 3.5 * (below * (1.0 - below) / layers as f64).sqrt();
            assert!((share(below) - below).abs() < allowed, "{metric} {below}: {}", share(below));
        }
    }
}
