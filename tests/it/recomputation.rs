//! A second opinion: every number of a report that rests on levels, anew from `levels.csv` and `levels_by_fold.csv` by NumPy.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::{condition, design, scored_alike};
use ndarray::Array2;
use probity::capture::Activations;
use probity::dialogue::{Part, ReadStates, Reading, Round, Study};
use probity::experiment::Analysis;
use probity::generate::End;
use probity::hook::{Address, Site};
use probity::level::{ChangeTest, CheckKind, LeakBy, Levels, Metric, ReadingLevels};
use probity::probe::{LogisticProbe, ProbeBank};
use probity::report::Report;
use probity::stats::Settings;
use probity::task::{Answer, ChoiceItem, Extracted};
use probity::text::Labels;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

const ITEMS: usize = 66;
const WIDTH: usize = 6;
const CONDITIONS: [(&str, usize); 11] = [
    ("none", 0),
    ("neutral", 1),
    ("neutral", 2),
    ("L1", 1),
    ("L1", 2),
    ("negated", 1),
    ("negated", 2),
    ("L2", 1),
    ("L2", 2),
    ("L2/neutral", 1),
    ("L2/neutral", 2),
];

fn places() -> Vec<Address> {
    let layered = (0..8).map(|layer| Site::ResidPost.at(layer));
    layered.chain([Site::HeadOut.at(3).head(1), Address::EMBED]).collect()
}

/// What is read, and of which items.
#[derive(Clone, Copy, PartialEq)]
enum World {
    /// 11 groups of 1 to 11 items: more patterns of signs than are drawn. Without its first group, all are taken. Answers are
    /// read in their own conversations, by the probes of the prompts.
    Grouped,
    /// Groups of 1 to 3 items. Answers are read after each other's conversations too, by probes of their own.
    Crossed,
}

impl World {
    /// The group of an item; its items lie scattered.
    fn group(self, item: usize) -> usize {
        let place = item * 7 % ITEMS;
        match self {
            World::Grouped => (0..).find(|group| (group + 1) * (group + 2) / 2 > place).unwrap(),
            World::Crossed => place / 6 * 3 + [0, 1, 1, 2, 2, 2][place % 6],
        }
    }
}

fn noise(rng: &mut ChaCha8Rng) -> f32 {
    (0..6).map(|_| rng.gen::<f32>() - 0.5).sum()
}

fn bank(seed: u64) -> ProbeBank {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut activations = Activations::new((0..200).map(|row| format!("t{row}")));
    for place in places() {
        let state = |(row, column)| noise(&mut rng) + if column == 0 { 1.2 * (row % 2) as f32 } else { 0.0 };
        activations.insert(place, Array2::from_shape_fn((200, WIDTH), state)).unwrap();
    }
    let labels = Labels::ungrouped((0..200).map(|row| row % 2 == 1).collect());
    LogisticProbe::default().draws(100).fit_all(&activations, &labels).unwrap()
}

/// States that lie lower from layer 2 on by a `shift` of their own; the token that is read is the same for all items.
fn states(world: World, seed: usize, items: &[usize], shift: f32) -> Activations {
    let (mut own, mut of_groups) = (ChaCha8Rng::seed_from_u64(seed as u64), ChaCha8Rng::seed_from_u64(99));
    let in_common: Vec<f32> = (0..ITEMS).map(|_| noise(&mut of_groups)).collect();
    let mut activations = Activations::new(items.iter().map(|item| format!("i{item}")));
    for place in places() {
        let state = |(row, column): (usize, usize)| match (place.layer(), column) {
            (None, _) => 0.1 * column as f32 + 0.3 * f32::from(u8::from(seed == 0)),
            (Some(layer), 0) => {
                let item: usize = items[row];
                let deeper = if layer < 2 { 0.0 } else { shift * (1.0 + 0.4 * in_common[world.group(item)]) };
                0.6 + in_common[item] + 0.7 * noise(&mut own) - deeper
            }
            _ => noise(&mut own),
        };
        activations.insert(place, Array2::from_shape_fn((items.len(), WIDTH), state)).unwrap();
    }
    activations.with_groups(items.iter().map(|&item| format!("g{}", world.group(item))).collect()).unwrap()
}

fn shift(instruction: &str) -> f32 {
    match instruction {
        "L1" => 0.6,
        "L2" => 0.2,
        "negated" => 0.1,
        _ => 0.0,
    }
}

fn question(world: World, item: usize) -> ChoiceItem {
    let options = ["he", "she"].map(String::from).to_vec();
    ChoiceItem {
        group: format!("g{}", world.group(item)),
        ..ChoiceItem::new(format!("i{item}"), "Who was late?", options, 0)
    }
}

fn answer(item: usize, right: bool) -> Answer {
    let scored = usize::from(!right);
    let probabilities: Vec<f64> = if right { vec![0.7, 0.3] } else { vec![0.4, 0.6] };
    Answer {
        item: format!("i{item}"),
        scores: probabilities.iter().map(|p| scored_alike(p.ln())).collect(),
        probabilities,
        scored,
        text: "(a)".into(),
        read: Extracted::Option(scored),
        end: End::StopToken,
        rationale: None,
        dropped_turns: 0,
    }
}

fn study(world: World) -> (Study, Vec<ReadStates>) {
    let all: Vec<usize> = (0..ITEMS).collect();
    // An empty answer has no states: of the group of one, and of some others.
    let answered: Vec<usize> = all.iter().copied().filter(|&item| world.group(item) > 0 && item != 20).collect();
    let rounds = CONDITIONS.iter().enumerate().map(|(number, &(instruction, round))| {
        let right = |item: usize| (item * 5 + number) % 9 > 4 || shift(instruction) > 0.5;
        let answers = all.iter().map(|&item| answer(item, right(item))).collect();
        Round::new(condition(instruction, round), states(world, number, &all, shift(instruction)), answers)
    });
    let mut seed = 50;
    let mut read = Vec::new();
    for &(instruction, round) in &CONDITIONS {
        let shift = shift(instruction);
        let mut readings = vec![(Reading::of(Part::Answer), 0.7 * shift)];
        match instruction {
            _ if world == World::Grouped => {}
            "neutral" | "L2/neutral" => readings.extend([(Reading::CONTRAST, -0.8), (Reading::CONTRAST_BASE, 0.1)]),
            "L1" | "L2" | "negated" => {
                readings.extend([(Reading::CONTROL_ANSWER, 0.4 * shift), (Reading::AFTER_CONTROL, 0.3 * shift)]);
            }
            _ => {}
        }
        for (reading, shift) in readings {
            let items = if seed == 53 { &answered } else { &all };
            let states = states(world, seed, items, shift);
            read.push(ReadStates::new(condition(instruction, round), reading, states));
            seed += 1;
        }
    }
    let items = all.iter().map(|&item| question(world, item)).collect();
    (Study::new(items, design(&CONDITIONS), rounds.collect()), read)
}

/// Writes `levels.csv`, `levels_by_fold.csv` and `report.json`.
fn write(world: World, folder: &Path) -> Report {
    let (study, read) = study(world);
    let [prompts, answers] = [bank(1), bank(2)];
    let of_answers = if world == World::Crossed { &answers } else { &prompts };
    let mut readings = vec![Levels::from_study(&study, &prompts).unwrap()];
    for states in &read {
        if readings.iter().all(|levels| levels.reading() != states.reading) {
            readings.push(Levels::from_reading(&study.design, &read, states.reading, of_answers).unwrap());
        }
    }
    let levels = ReadingLevels::new(readings).unwrap();
    let analysis = Analysis::new(Settings::default().draws(600).seed(0x1234_5678_9ABC_DEF0));
    let behaviour = analysis.measure(&study, None).unwrap();
    let report = analysis.run(&study, behaviour, &prompts, &levels).unwrap();
    let rows = if world == World::Crossed { answers.rows() } else { Vec::new() };
    let report = report.with_answer_probes(rows);
    levels.write_csv(folder.join("levels.csv")).unwrap();
    levels.write_csv_by_fold(folder.join("levels_by_fold.csv")).unwrap();
    std::fs::write(folder.join("report.json"), serde_json::to_string(&report).unwrap()).unwrap();
    report
}

/// A Python with numpy and scipy: PROBITY_PYTHON, or python3.
fn python() -> Option<PathBuf> {
    let python: PathBuf = std::env::var_os("PROBITY_PYTHON").unwrap_or_else(|| "python3".into()).into();
    let works = Command::new(&python).args(["-c", "import numpy, scipy.stats"]).output();
    if works.is_ok_and(|output| output.status.success()) {
        return Some(python);
    }
    eprintln!("SKIPPED: {} has no numpy and scipy (set PROBITY_PYTHON)", python.display());
    None
}

fn recompute(python: &Path, folder: &Path) -> Output {
    let script = common::root().join("tests/reference/recompute_levels.py");
    // -B: leave no bytecode beside the scripts.
    Command::new(python).arg("-B").arg(script).arg(folder).output().unwrap()
}

fn is_confirmed(python: &Path, folder: &Path) {
    let output = recompute(python, folder);
    let says = String::from_utf8_lossy(&output.stdout);
    println!("{says}");
    assert!(output.status.success(), "{says}{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_report_can_be_recomputed_from_its_levels() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let report = write(World::Grouped, folder.path());
    // What is worth a second opinion is there: five metrics at every address, 16 comparisons.
    let series = 5 * places().len();
    assert_eq!(
        (report.analysis.settings.flips, report.analysis.groups, report.changes.len()),
        (2_000, 11, 2 * series * 16)
    );
    let answers = report.levels.iter().filter(|row| row.reading == Reading::of(Part::Answer)).count();
    assert_eq!((report.levels.len(), answers), (2 * series * 11, series * 11));
    // Of fewer groups, every pattern of signs.
    let mut of_answers = report.changes.iter().filter(|row| row.reading == Reading::of(Part::Answer));
    assert!(of_answers.all(|row| (row.p * 1_024.0).fract() == 0.0));
    assert!(report.verdicts.len() == 3 && report.verdicts.iter().all(|verdict| verdict.leak.is_some()));
    assert!(report
        .evidence
        .iter()
        .any(|beside| beside.leaks.iter().any(|leak| leak.by == LeakBy::Opposite("negated".to_owned()))));
    assert!(report.transitions.iter().any(|found| found.step.shares.iter().filter(|&&share| share > 0.0).count() > 1));
    is_confirmed(&python, folder.path());
}

#[test]
fn a_verdict_on_crossed_answers_can_be_recomputed() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let report = write(World::Crossed, folder.path());
    for verdict in &report.verdicts {
        // All four changes over all layers and over their quarters, and checks that have an answer.
        assert_eq!((verdict.addresses.len(), verdict.changes.len()), (8, 4 * 5), "{}", verdict.condition);
        for kind in RECOMPUTED {
            assert!(verdict.check(kind).unwrap().passed.is_some(), "{kind} of {}", verdict.condition);
        }
    }
    is_confirmed(&python, folder.path());
}

/// The checks of the states that do not rest on directions turned at random.
const RECOMPUTED: [CheckKind; 5] = [
    CheckKind::PositiveControl,
    CheckKind::InternalReduction,
    CheckKind::BelowRound0,
    CheckKind::NoReduction,
    CheckKind::NoPartReduced,
];

/// The line of the script's output that says how far a kind of number is off.
fn says_off(says: &str, name: &str) -> bool {
    says.lines().any(|line| line.strip_prefix(name).is_some_and(|off| off.trim() == "1e-06"))
}

#[test]
fn a_report_that_was_changed_is_found_out() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let report = write(World::Crossed, folder.path());
    let value = serde_json::to_value(&report).unwrap();
    let is_judged = |row: &ChangeTest| row.metric == Metric::ClassDistance && row.reading == Reading::of(Part::Answer);
    let judged = report.changes.iter().position(is_judged).unwrap();
    let mut first = vec![
        ("band", "/changes/100/band/low".to_owned()),
        ("changes", "/verdicts/0/changes/1/interval/high".to_owned()),
        ("transitions: line", "/transitions/3/line/shares/1".to_owned()),
    ];
    for kind in RECOMPUTED {
        let place = CheckKind::VERDICT.iter().position(|known| *known == kind).unwrap();
        first.push((kind.name(), format!("/verdicts/0/checks/{place}/value/low")));
    }
    let second = vec![
        ("band", format!("/changes/{judged}/band/high")),
        ("standard_error", format!("/changes/{judged}/standard_error")),
        ("changes", "/verdicts/0/changes/6/above".to_owned()),
    ];
    let third = vec![("changes", "/verdicts/1/changes/19/below".to_owned())];
    // One number of each name at a time.
    for pointers in [first, second, third] {
        let mut changed = value.clone();
        for (_, pointer) in &pointers {
            let number = changed.pointer_mut(pointer).unwrap();
            *number = Value::from(number.as_f64().unwrap() + 1e-6);
        }
        std::fs::write(folder.path().join("report.json"), changed.to_string()).unwrap();
        let output = recompute(&python, folder.path());
        let says = String::from_utf8_lossy(&output.stdout);
        for (name, pointer) in &pointers {
            assert!(!output.status.success() && says_off(&says, name), "{pointer}: {says}");
        }
    }
}
