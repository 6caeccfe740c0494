//! Levels: small cases by hand, nulls, pairing, planted worlds.

use common::labelled::{at, normal};
use common::{condition, design};
use ndarray::{array, Array1, Array2};
use probity::capture::Activations;
use probity::level::{Against, Check, Inference, Levels, Metric, NullKind, Verdict, VerdictKind, VerdictRule};
use probity::probe::{LogisticProbe, MeanDifferenceProbe, ProbeBank};
use probity::stats::{Interval, Settings};
use probity::text::Labels;
use probity::{Design, Error, Result};
use rand::{Rng, SeedableRng};
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
    // Half of the training projections are 0, half are 2: centre 1, sd 1.
    close(series("none", 0, Metric::Standardised), [2.0, -1.0, -1.0]);
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
    assert!(VerdictRule::default().judge(&condition("none", 0), &levels, None, None).is_err());
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

/// A world of 6 layers, d = 64, 60 items, with a plain round and two rounds each of "neutral" and "L2".
struct World {
    levels: Levels,
}

impl World {
    /// The verdict on an instruction in round 2, with or without levels that cannot hold its words.
    fn judge(&self, name: &str, masked: Option<&World>, gain: Option<Interval>) -> Result<Verdict> {
        VerdictRule::default().judge(&condition(name, 2), &self.levels, masked.map(|world| &world.levels), gain)
    }
}

/// `drop` is how far L2 moves the states along the true direction, against a spread of about 1.8 in the
/// training projections; every instruction also moves all states along directions of its own.
fn world(seed: u64, drop: f64, item_noise: f64, labels_mean_something: bool) -> World {
    world_of("neutral", seed, drop, item_noise, labels_mean_something)
}

/// A world in which the neutral instruction has this name.
fn world_of(neutral_name: &str, seed: u64, drop: f64, item_noise: f64, labels_mean_something: bool) -> World {
    let (layers, d, items, texts) = (6, 64, 60, 300);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let truth: Vec<Array1<f64>> = (0..layers).map(|_| unit(&mut rng, d)).collect();
    let immoral: Vec<bool> = (0..texts).map(|_| rng.gen_bool(0.4)).collect();
    let training: Vec<Array2<f64>> = truth
        .iter()
        .map(|u| {
            let mut rows = noise(&mut rng, texts, d);
            for (mut row, _) in rows.outer_iter_mut().zip(&immoral).filter(|(_, &immoral)| immoral) {
                row.scaled_add(3.0, u);
            }
            rows
        })
        .collect();
    let labels = if labels_mean_something { immoral } else { (0..texts).map(|_| rng.gen_bool(0.4)).collect() };
    let bank = LogisticProbe::default().draws(500).fit_all(&activations(training), &Labels::ungrouped(labels)).unwrap();

    let plain: Vec<Array2<f64>> = truth
        .iter()
        .map(|u| {
            let mut rows = noise(&mut rng, items, d);
            rows.outer_iter_mut().for_each(|mut row| row.scaled_add(1.5, u));
            rows
        })
        .collect();
    let mut instructed = |along_truth: f64| {
        let moved = plain.iter().zip(&truth).map(|(states, u)| {
            // Orthogonal to the truth, so that `drop` is all that changes along it.
            let mut shift = unit(&mut rng, d);
            let along = shift.dot(u);
            shift.scaled_add(-along, u);
            states + &(noise(&mut rng, items, d) * item_noise) + &shift - &(u * along_truth)
        });
        activations(moved.collect::<Vec<_>>())
    };
    let neutral = [instructed(0.0), instructed(0.0)];
    let l2 = [instructed(drop / 2.0), instructed(drop)];
    let plain = activations(plain.clone());
    let rounds = [
        ("none", 0, &plain),
        (neutral_name, 1, &neutral[0]),
        (neutral_name, 2, &neutral[1]),
        ("L2", 1, &l2[0]),
        ("L2", 2, &l2[1]),
    ];
    World { levels: score(&rounds, &bank).unwrap() }
}

fn interval(low: f64, high: f64) -> Interval {
    Interval { estimate: 0.5 * (low + high), low, high }
}

fn passed(world: &World, behaviour: Option<Interval>) -> (VerdictKind, Vec<Option<bool>>) {
    let verdict = world.judge("L2", None, behaviour).unwrap();
    assert_eq!((verdict.condition.round, verdict.checks.len()), (2, 7));
    (verdict.kind, verdict.checks.iter().map(|check| check.passed).collect())
}

const GAIN: Interval = Interval { estimate: 0.2, low: 0.1, high: 0.3 };

#[test]
fn the_worlds_are_told_apart() {
    for seed in 0..5 {
        let internal = world(seed, 1.2, 0.3, true);
        let (kind, checks) = passed(&internal, Some(GAIN));
        // Without levels that cannot hold the instruction's words, nothing is called internal.
        assert_eq!(kind, VerdictKind::InsufficientEvidence, "{seed}: {checks:?}");
        assert_eq!(checks, [Some(true), Some(true), Some(true), Some(true), Some(false), Some(false), None]);
        let judge = |rest: &World| internal.judge("L2", Some(rest), Some(GAIN)).unwrap();
        let masked = judge(&internal);
        assert_eq!((masked.kind, masked.checks[6].passed), (VerdictKind::Internal, Some(true)));
        assert!(masked.leak.is_some_and(|leak| !leak.is_leak()));
        // The change is gone where the instruction's words cannot be.
        let leak = judge(&world(seed, 0.0, 0.3, true));
        assert_eq!((leak.kind, leak.checks[6].passed), (VerdictKind::Superficial, Some(false)), "{:?}", leak.checks);
        assert!(leak.leak.is_some_and(|leak| leak.is_leak()));

        let superficial = world(100 + seed, 0.0, 0.3, true);
        let (kind, checks) = passed(&superficial, Some(GAIN));
        assert_eq!(kind, VerdictKind::Superficial, "{seed}: {checks:?}");
        assert_eq!(checks[4], Some(true));
    }
}

#[test]
fn nothing_is_claimed_without_evidence() {
    let still = world(200, 0.0, 0.3, true);
    // Nothing changes, neither behaviour nor states.
    assert_eq!(passed(&still, Some(interval(-0.1, 0.1))).0, VerdictKind::InsufficientEvidence);
    // Behaviour was not measured, or came out as not a number.
    assert_eq!(passed(&still, None), (VerdictKind::InsufficientEvidence, passed(&still, None).1));
    assert_eq!(passed(&still, Some(interval(f64::NAN, 1.0))).1[1], None);
    // States change, behaviour does not.
    assert_eq!(passed(&world(201, 1.2, 0.3, true), Some(interval(-0.1, 0.1))).0, VerdictKind::InsufficientEvidence);
    // The probes mean nothing: the internal checks are not run at all.
    let (kind, checks) = passed(&world(202, 0.0, 0.3, false), Some(GAIN));
    assert_eq!((kind, &checks[2..]), (VerdictKind::InsufficientEvidence, &[None; 5][..]));
    // Too noisy to say either.
    let noisy = world(203, 0.3, 25.0, true);
    let (kind, checks) = passed(&noisy, Some(GAIN));
    assert_eq!((kind, checks[4]), (VerdictKind::InsufficientEvidence, Some(false)));
    // And what would have been seen: half the 95 % interval, times (1.960 + 0.842) / 1.960, and for 90 % of 1.645.
    let verdict = noisy.judge("L2", None, Some(GAIN)).unwrap();
    for (at, factor) in [(1, 1.4294), (2, 1.4294), (4, 1.5117), (5, 1.5117)] {
        let Check { detectable, value, .. } = &verdict.checks[at];
        let value = value.unwrap();
        assert!((detectable.unwrap() / (0.5 * (value.high - value.low)) - factor).abs() < 1e-4, "{at}");
    }
    let judge = |name| still.judge(name, None, None);
    assert!(matches!(judge("neutral"), Err(Error::Setting { .. })));
    assert!(matches!(judge("L9"), Err(Error::Setting { .. })));
    let no_neutral = world_of("N", 200, 0.0, 0.3, true).judge("L2", None, Some(GAIN)).unwrap();
    assert_eq!(no_neutral.kind, VerdictKind::InsufficientEvidence);
    assert!(no_neutral.checks[2].detail.contains("no control has a round 2"), "{:?}", no_neutral.checks[2]);
}

#[test]
fn equal_seeds_give_equal_verdicts() {
    let (a, b) = (world(300, 0.5, 0.3, true), world(300, 0.5, 0.3, true));
    let judge = |world: &World| world.judge("L2", None, Some(GAIN)).unwrap();
    assert_eq!(serde_json::to_string(&judge(&a)).unwrap(), serde_json::to_string(&judge(&b)).unwrap());
    let run = |world: &World| serde_json::to_string(&Inference::default().run(&world.levels).unwrap()).unwrap();
    assert_eq!(run(&a), run(&b));
}
