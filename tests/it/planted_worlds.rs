//! Verdicts, bands and transition layers in worlds whose truth is known; `cargo run --release --example planted_worlds`
//! draws many more, whose shares stand in docs/results/operating-characteristics.md.

use common::worlds::{Size, Truth, World, SIZES};
use probity::level::{Inference, Metric, Transitions, VerdictKind, VerdictRule};
use probity::{stats::Settings, Condition};
use rayon::prelude::*;

const DRAWS: u64 = 24;

/// Small worlds, so that the test takes seconds.
const SIZE: Size = Size { d: 128, layers: 12, items: 60, groups: 40 };

struct Seen {
    named: &'static str,
    /// Layers between the true onset and the run's, where there is a run.
    off: Option<i64>,
    covered: bool,
    claimed: bool,
}

fn look(truth: Truth, size: Size, seed: u64) -> Seen {
    let world = World::draw(truth, size, seed).unwrap();
    let rule = VerdictRule::new(Settings::default().seed(seed));
    let asked = Condition::new("L2", 1);
    let verdict = rule.judge(&asked, &world.levels, Some(&world.masked), Some(world.behaviour)).unwrap();
    let named = match (verdict.kind, verdict.leak.is_some_and(|leak| leak.is_leak())) {
        (VerdictKind::Internal, _) => "internal",
        (VerdictKind::Superficial, true) => "leak",
        (VerdictKind::Superficial, false) => "superficial",
        (VerdictKind::InsufficientEvidence, _) => "insufficient evidence",
    };
    let settings = Settings::default().draws(1_000).flips(1_000).seed(seed);
    let tests = Inference::new(settings).run(&world.levels).unwrap();
    let rows: Vec<_> = tests.rows.iter().filter(|row| row.metric == Metric::Standardised).collect();
    let found = Transitions::default().find(&world.levels, settings, Metric::Standardised).unwrap();
    let onset = found[0].run.address.and_then(|address| address.layer());
    Seen {
        named,
        off: onset.map(|layer| layer as i64 - world.onset as i64),
        covered: rows.iter().zip(&world.change).all(|(row, truth)| row.band.low <= *truth && *truth <= row.band.high),
        claimed: rows.iter().any(|row| row.p_max_t <= 0.05),
    }
}

fn draw(truth: Truth, size: Size, draws: u64) -> Vec<Seen> {
    (0..draws).into_par_iter().map(|draw| look(truth, size, 1_000 + 4 * draw + truth as u64)).collect()
}

fn count(seen: &[Seen], is: impl Fn(&Seen) -> bool) -> usize {
    seen.iter().filter(|seen| is(seen)).count()
}

#[test]
fn worlds_are_named_by_their_truth() {
    for (truth, name) in [
        (Truth::Superficial, "superficial"),
        (Truth::Internal, "internal"),
        (Truth::Leak, "leak"),
        (Truth::Null, "insufficient evidence"),
    ] {
        let seen = draw(truth, SIZE, DRAWS);
        let right = count(&seen, |seen| seen.named == name);
        assert!(10 * right as u64 >= 9 * DRAWS, "{name}: {right} of {DRAWS}");
        // 95 %: fewer than 19 of 24 are seen once in 1,000 tests.
        let covered = count(&seen, |seen| seen.covered);
        assert!(covered >= 19, "{name}: {covered} of {DRAWS}");
        match truth {
            Truth::Internal | Truth::Leak => {
                let near = count(&seen, |seen| seen.off.is_some_and(|off| off.abs() <= 1));
                assert!(10 * near as u64 >= 9 * DRAWS, "{name}: {near} of {DRAWS}");
            }
            // 5 %: more than 5 of 24 are seen once in 1,000 tests.
            Truth::Null => assert!(count(&seen, |seen| seen.claimed) <= 5),
            Truth::Superficial => {}
        }
    }
}

#[test]
fn a_wide_model_is_named_right_too() {
    let size = Size { d: 2_048, items: 50, groups: 50, ..SIZES[2] };
    for (truth, name) in [(Truth::Superficial, "superficial"), (Truth::Internal, "internal"), (Truth::Leak, "leak")] {
        let seen = draw(truth, size, 3);
        assert_eq!(count(&seen, |seen| seen.named == name), 3, "{name}");
    }
}
