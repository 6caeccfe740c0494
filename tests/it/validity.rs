//! Whether to believe a probe: every check by simulation, in worlds whose truth is known.

use ndarray::Array2;
use probity::capture::Activations;
use probity::hook::{Address, Site};
use probity::probe::validity::{DataSet, FindingOutcome, Transfer, Validity, ValidityRow, ValidityTable};
use probity::probe::{Estimator, GroupSplit, LogisticProbe, MeanDifferenceProbe};
use probity::text::Labels;
use probity::Error;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn normal(rng: &mut ChaCha8Rng) -> f64 {
    (-2.0 * (1.0 - rng.gen::<f64>()).ln()).sqrt() * (std::f64::consts::TAU * rng.gen::<f64>()).cos()
}

fn at(layer: usize) -> Address {
    Site::ResidPost.at(layer)
}

fn activations(rows: Array2<f32>) -> Activations {
    let mut activations = Activations::new((0..rows.nrows()).map(|row| format!("t{row}")));
    activations.insert(at(0), rows).unwrap();
    activations
}

/// Noise with `strength` along the first axis for immoral rows.
fn planted(labels: &[bool], d: usize, strength: f64, seed: u64) -> Array2<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    Array2::from_shape_fn((labels.len(), d), |(row, column)| {
        (normal(&mut rng) + if labels[row] && column == 0 { strength } else { 0.0 }) as f32
    })
}

fn coin(n: usize, seed: u64) -> Vec<bool> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..n).map(|_| rng.gen()).collect()
}

/// Only what a test is about.
fn nothing() -> Validity {
    Validity::default().control_tasks(0).permutations(0).refits(0).code(false)
}

fn logistic() -> LogisticProbe {
    LogisticProbe::default().draws(200)
}

fn outcome(row: &ValidityRow, check: &str) -> FindingOutcome {
    row.findings().into_iter().find(|finding| finding.check == check).unwrap().outcome
}

fn check(validity: Validity, estimator: &impl Estimator, states: Array2<f32>, labels: &Labels) -> ValidityTable {
    validity.check(estimator, &activations(states), labels, None).unwrap()
}

#[test]
fn permutation_p_values_are_uniform_where_there_is_no_signal() {
    let worlds = 300;
    let mut of_mixed = Vec::new();
    let mut of_pure = Vec::new();
    for world in 0..worlds {
        // 40 groups of 3 rows that share most of their noise, labelled within groups or group by group.
        let mut rng = ChaCha8Rng::seed_from_u64(1_000 + world);
        let shared: Vec<f64> = (0..40 * 4).map(|_| normal(&mut rng)).collect();
        let states = Array2::from_shape_fn((120, 4), |(row, column)| {
            (shared[row / 3 * 4 + column] + 0.3 * normal(&mut rng)) as f32
        });
        let groups: Vec<String> = (0..120).map(|row| (row / 3).to_string()).collect();
        let coins = coin(120, world);
        for (labels, found) in [
            ((0..120).map(|row| coins[row]).collect::<Vec<_>>(), &mut of_mixed),
            ((0..120).map(|row| coins[row / 3]).collect(), &mut of_pure),
        ] {
            let labels = Labels::new(labels, groups.clone()).unwrap();
            let validity = nothing().permutations(199).seed(world);
            let probe = MeanDifferenceProbe::default().draws(20);
            found.push(check(validity, &probe, states.clone(), &labels).rows[0].permutation_p.unwrap());
        }
    }
    for (what, mut found) in [("mixed", of_mixed), ("pure", of_pure)] {
        found.sort_by(f64::total_cmp);
        let n = found.len() as f64;
        let distance = found.iter().enumerate().map(|(rank, p)| (p - rank as f64 / n).max((rank + 1) as f64 / n - p));
        let distance = distance.fold(0.0, f64::max);
        // Kolmogorov and Smirnov at 1 %, and one step of 1/200.
        println!("{what}: KS distance {distance:.3}");
        assert!(distance < 1.63 / n.sqrt() + 0.005, "{what}: {distance}");
    }
}

#[test]
fn a_signal_has_a_small_p() {
    let labels = coin(200, 1);
    let states = planted(&labels, 5, 2.0, 2);
    let row = &check(nothing().permutations(999), &logistic(), states, &Labels::ungrouped(labels)).rows[0];
    assert_eq!(row.permutation_p, Some(0.001));
    assert_eq!((outcome(row, "permutation"), outcome(row, "auroc")), (FindingOutcome::Passed, FindingOutcome::Passed));
}

/// Rows of `types`, each with a vector of its own and a little noise; `strength` along the first axis by label.
fn coded(types: &[usize], labels: &[bool], d: usize, strength: f64, seed: u64) -> Array2<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let codes = Array2::from_shape_fn((types.iter().max().unwrap() + 1, d), |_| normal(&mut rng));
    Array2::from_shape_fn((types.len(), d), |(row, column)| {
        let along = if column == 0 && labels[row] { strength } else { 0.0 };
        (codes[(types[row], column)] + 0.3 * normal(&mut rng) + along) as f32
    })
}

#[test]
fn a_memorising_probe_has_no_selectivity() {
    let probe = logistic().alpha(1.0);
    let mut passed = 0;
    for world in 0..10 {
        // 30 groups of 10 rows. The label means nothing: a coin for each group, learnt by heart.
        let types: Vec<usize> = (0..300).map(|row| row / 10).collect();
        let coins = coin(30, world);
        let by_heart: Vec<bool> = types.iter().map(|&of_row| coins[of_row]).collect();
        let groups: Vec<String> = types.iter().map(|of_row| of_row.to_string()).collect();
        let labels = Labels::new(by_heart.clone(), groups).unwrap();
        let states = coded(&types, &by_heart, 40, 0.0, 50 + world);
        let row = &check(nothing().control_tasks(20).seed(world), &probe, states, &labels).rows[0];
        let controlled = row.selectivity.as_ref().unwrap();
        // Learnt as well as any control; on groups never seen it is worth nothing.
        assert!(controlled.task.unwrap() > 0.95 && controlled.capacity > 0.99, "{controlled:?}");
        assert!(controlled.selectivity.unwrap().abs() < 0.05, "{controlled:?}");
        assert!(row.auroc.estimate < 0.95, "{:?}", row.auroc);
        passed += usize::from(outcome(row, "selectivity") == FindingOutcome::Passed);
    }
    assert!(passed <= 2, "{passed} of 10 worlds");
}

#[test]
fn a_probe_of_a_real_property_is_selective() {
    // The last word tells nothing of the label; 60 words recur, and the states hardly tell them apart.
    let labels = coin(400, 3);
    let types: Vec<usize> = (0..400).map(|row| row * 7919 % 60).collect();
    let mut states = planted(&labels, 10, 3.0, 4);
    states.zip_mut_with(&coded(&types, &labels, 10, 0.0, 5), |state, code| *state += 0.1 * code);
    let texts: Vec<String> = types.iter().map(|of_row| format!("any words, then Word{of_row}!")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let validity = nothing().control_tasks(20);
    let table =
        validity.check(&logistic(), &activations(states.clone()), &Labels::ungrouped(labels.clone()), Some(&texts));
    let table = table.unwrap();
    let controlled = table.rows[0].selectivity.as_ref().unwrap();
    assert_eq!(table.provenance["validity_control_task"], "last word of the text");
    assert!(controlled.selectivity.unwrap() > 0.3 && controlled.p == Some(1.0 / 21.0), "{controlled:?}");
    assert_eq!(outcome(&table.rows[0], "selectivity"), FindingOutcome::Passed);

    // The same words given as types.
    let types = types.iter().map(|of_row| format!("word{of_row}")).collect();
    let given = check(validity.control_types(types), &logistic(), states, &Labels::ungrouped(labels));
    assert_eq!(given.rows[0].selectivity, table.rows[0].selectivity);
}

#[test]
fn without_recurring_types_there_is_capacity_only() {
    let labels = coin(120, 6);
    let states = planted(&labels, 200, 1.0, 7);
    let row = &check(nothing().control_tasks(20), &logistic().alpha(1.0), states, &Labels::ungrouped(labels)).rows[0];
    let controlled = row.selectivity.as_ref().unwrap();
    assert_eq!((controlled.selectivity, controlled.rows), (None, 0));
    assert!(controlled.capacity > 0.999, "more dimensions than rows: any labels can be learnt");
    assert_eq!(outcome(row, "selectivity"), FindingOutcome::NotRun);
}

#[test]
fn the_online_code_is_short_where_states_tell_the_labels() {
    let labels = coin(800, 8);
    let measure = |strength, labels: &[bool], seed| {
        let states = planted(labels, 5, strength, seed);
        check(nothing().code(true), &logistic(), states, &Labels::ungrouped(labels.to_vec()))
    };
    let table = measure(4.0, &labels, 9);
    let code = table.rows[0].code.as_ref().unwrap();
    assert!(code.compression > 3.0 && code.share_compression < 1.02, "{code:?}");
    assert_eq!(*code.block_ends.last().unwrap(), 600);
    assert!(code.block_ends.windows(2).all(|pair| pair[0] < pair[1]));
    assert!((code.compression - 600.0 / code.bits).abs() < 1e-12);
    assert_eq!(outcome(&table.rows[0], "compression"), FindingOutcome::Passed);

    // Nothing to tell: no more than the share of labels does, and a rare label alone makes a short code.
    let rare: Vec<bool> = (0..800).map(|row| row * 7919 % 10 == 0).collect();
    for (labels, least) in [(&labels, 0.0), (&rare, 1.5)] {
        let table = measure(0.0, labels, 10);
        let code = table.rows[0].code.as_ref().unwrap();
        assert!(code.compression < code.share_compression && code.share_compression > least, "{code:?}");
        assert_eq!(outcome(&table.rows[0], "compression"), FindingOutcome::Failed);
    }

    let table = check(
        nothing().code(true),
        &MeanDifferenceProbe::default(),
        planted(&labels, 5, 4.0, 9),
        &Labels::ungrouped(labels),
    );
    assert_eq!(outcome(&table.rows[0], "compression"), FindingOutcome::NotRun);
}

#[test]
fn the_code_of_whole_groups_ends_blocks_with_groups() {
    let labels: Vec<bool> = (0..400).map(|row| row % 2 == 0).collect();
    let groups: Vec<String> = (0..400).map(|row| (row / 8).to_string()).collect();
    let states = planted(&labels, 5, 2.0, 11);
    let table = check(nothing().code(true), &logistic(), states, &Labels::new(labels, groups).unwrap());
    assert!(table.rows[0].code.as_ref().unwrap().block_ends.iter().all(|end| end % 8 == 0));
}

#[test]
fn words_and_length_that_tell_the_labels_are_not_beaten() {
    let labels = coin(300, 12);
    let validity = nothing();
    // Words of 20 kinds at random, and one that tells the label; lengths do not.
    let mut rng = ChaCha8Rng::seed_from_u64(13);
    let mut text = |label: bool, tells: [&str; 2]| {
        let mut words: Vec<String> = (0..12).map(|_| format!("word{}", rng.gen_range(0..20))).collect();
        words.push(tells[usize::from(label)].to_owned());
        words.join(" ")
    };
    let telling: Vec<String> = labels.iter().map(|&label| text(label, ["fine", "vile"])).collect();
    let silent: Vec<String> = labels.iter().map(|&label| text(label, ["same", "same"])).collect();
    let long: Vec<String> = labels.iter().map(|&label| text(label, ["", &"same ".repeat(9)])).collect();
    let run = |states: &Array2<f32>, texts: &[String]| {
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let labels = Labels::ungrouped(labels.clone());
        validity.check(&logistic(), &activations(states.clone()), &labels, Some(&texts)).unwrap()
    };
    let of = |table: &ValidityTable, name: &str| {
        table.baselines.iter().find(|baseline| baseline.name == name).unwrap().auroc.estimate
    };
    let states = planted(&labels, 8, 3.0, 14);
    let table = run(&states, &telling);
    assert!(of(&table, "words") > 0.99 && of(&table, "length") < 0.7, "{:?}", table.baselines);
    assert_eq!(outcome(&table.rows[0], "over_words"), FindingOutcome::Failed);
    assert_eq!(outcome(&table.rows[0], "over_noise"), FindingOutcome::Passed);
    let table = run(&states, &silent);
    assert!(of(&table, "words") < 0.7, "{:?}", table.baselines);
    for check in ["over_words", "over_length", "over_projection", "over_noise"] {
        assert_eq!(outcome(&table.rows[0], check), FindingOutcome::Passed, "{check}");
    }
    let table = run(&states, &long);
    assert!(of(&table, "length") > 0.99);
    assert_eq!(outcome(&table.rows[0], "over_length"), FindingOutcome::Failed);
    // The difference is the difference.
    let row = &table.rows[0];
    let difference = row.auroc.estimate - of(&table, "length");
    assert!((row.baselines["length"].estimate - difference).abs() < 1e-12);
    // States that are noise beat nothing.
    let noise = run(&planted(&labels, 8, 0.0, 15), &silent);
    assert_eq!(outcome(&noise.rows[0], "over_noise"), FindingOutcome::Failed);
}

#[test]
fn a_strong_direction_is_stable_and_noise_is_not() {
    let labels = coin(600, 16);
    let measure = |strength| {
        let states = planted(&labels, 20, strength, 17);
        check(nothing().refits(4), &logistic(), states, &Labels::ungrouped(labels.clone()))
    };
    let strong = measure(6.0);
    let stability = strong.rows[0].stability.as_ref().unwrap();
    assert!(stability.splits > 0.95 && stability.bootstraps > 0.9 && stability.recipes > 0.9, "{stability:?}");
    let noise = measure(0.0);
    let of_noise = noise.rows[0].stability.as_ref().unwrap();
    assert!(of_noise.bootstraps < 0.8 && of_noise.bootstraps_least <= of_noise.bootstraps, "{of_noise:?}");
    assert!(of_noise.splits < stability.splits);
}

#[test]
fn probes_transfer_where_directions_agree() {
    let labels: Vec<Labels> = (0..3).map(|set| Labels::ungrouped(coin(300, 20 + set))).collect();
    let states: Vec<Activations> = labels
        .iter()
        .zip([4.0, 4.0, -4.0])
        .zip(20..)
        .map(|((labels, strength), seed)| activations(planted(labels.labels(), 6, strength, seed)))
        .collect();
    let sets: Vec<DataSet<'_>> = ["a", "b", "turned"]
        .iter()
        .zip(states.iter().zip(&labels))
        .map(|(name, (activations, labels))| DataSet { name, activations, labels })
        .collect();
    let transfer = Transfer::between(&logistic(), &sets).unwrap();
    assert_eq!(transfer.cells.len(), 9);
    let cell = |train: &str, test: &str| {
        transfer.cells.iter().find(|cell| cell.train_set == train && cell.test_set == test).unwrap()
    };
    assert!(cell("a", "b").low.unwrap() > 0.9 && cell("a", "b").cosine > 0.9);
    assert!(cell("a", "turned").high.unwrap() < 0.1 && cell("a", "turned").cosine < -0.9);
    let own = logistic().fit_all(&states[0], &labels[0]).unwrap();
    assert_eq!(cell("a", "a").auroc, own.get(at(0)).unwrap().evaluation.auroc.estimate);
    assert!((cell("b", "b").cosine - 1.0).abs() < 1e-12);
    assert!(matches!(Transfer::between(&logistic(), &[sets[0], sets[0]]), Err(Error::Setting { .. })));
}

fn whole_table(threads: usize) -> ValidityTable {
    let labels = coin(160, 30);
    let mut states = activations(planted(&labels, 6, 1.0, 31));
    states.insert(at(1), planted(&labels, 6, 2.0, 32)).unwrap();
    states.insert(Site::MlpOut.at(0), planted(&labels, 9, 2.0, 33)).unwrap();
    let texts: Vec<String> = (0..160).map(|row| format!("text {row} ends with word{}", row % 11)).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let labels = Labels::ungrouped(labels);
    let run =
        || Validity::default().refits(2).permutations(99).check(&logistic(), &states, &labels, Some(&texts)).unwrap();
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(run)
}

#[test]
fn the_table_is_the_same_on_any_number_of_threads_and_goes_to_files() {
    let (one, four) = (whole_table(1), whole_table(4));
    assert_eq!(one, four);
    // By address; widths 6 and 9 do not meet in the transfer matrix.
    assert_eq!(one.rows.len(), 3);
    assert_eq!(one.transfer.cells.len(), 5);
    assert!(one.rows.iter().all(|row| row.findings().iter().all(|finding| finding.outcome != FindingOutcome::NotRun)));

    let folder = tempfile::tempdir().unwrap();
    let [csv, json] = ["v.csv", "v.json"].map(|name| folder.path().join(name));
    one.write_csv(&csv).unwrap();
    one.write_json(&json).unwrap();
    let csv = std::fs::read_to_string(csv).unwrap();
    assert!(csv.starts_with("address,layer,check,value,low,high,must_be,outcome\n"), "{csv}");
    assert_eq!(csv.lines().count(), 1 + 3 * 11);
    let json: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap();
    assert_eq!(json["rows"][0]["findings"].as_array().unwrap().len(), 11);
    assert_eq!(json["provenance"]["validity_control_draws"], "20");
}

#[test]
fn unusable_settings_are_a_clear_error() {
    let labels = coin(80, 40);
    let states = activations(planted(&labels, 3, 1.0, 41));
    let labels = Labels::ungrouped(labels);
    for bad in
        [Validity::default().control_tasks(5), Validity::default().permutations(5), Validity::default().refits(1)]
    {
        assert!(matches!(bad.check(&logistic(), &states, &labels, None), Err(Error::Setting { .. })));
    }
    let short = Validity::default().check(&logistic(), &states, &labels, Some(&["one text"]));
    assert!(matches!(&short, Err(Error::RowCount(at)) if at.expected == 80 && at.found == 1));
    let short = Validity::default().control_types(vec!["a".into()]).check(&logistic(), &states, &labels, None);
    assert!(matches!(&short, Err(Error::RowCount(at)) if at.expected == 80 && at.found == 1));
    // One type for all rows: no control labels with both classes.
    let one = Validity::default().control_types(vec!["a".into(); 80]);
    let table = one.check(&logistic().split(GroupSplit::default()), &states, &labels, None).unwrap();
    assert_eq!(outcome(&table.rows[0], "selectivity"), FindingOutcome::NotRun);
}
