//! Verdicts, bands and transition layers in worlds whose truth is known; `cargo run --release --example planted_worlds`
//! draws many more, whose shares stand in docs/results/operating-characteristics.md.

use common::worlds::{asked, grid, Plan, Truth, Where, World};
use probity::level::{ChangeOf, CheckKind, Metric, Transitions, Verdict, VerdictKind};
use probity::stats::Settings;
use rayon::prelude::*;

const DRAWS: u64 = 12;

/// Small worlds, so that the test takes seconds.
fn small(plan: Plan) -> Plan {
    Plan { d: plan.d.min(128), ..plan }
}

fn plan(name: &str) -> Plan {
    small(grid().into_iter().find(|plan| plan.name == name).unwrap())
}

fn draw(plan: Plan) -> Vec<(World, Verdict)> {
    let one = |draw: u64| {
        let world = World::draw(plan, 1_000 + draw).unwrap();
        let verdict = world.verdict(Settings::default().draws(500).seed(draw)).unwrap();
        (world, verdict)
    };
    (0..DRAWS).into_par_iter().map(one).collect()
}

fn count(found: &[(World, Verdict)], kind: VerdictKind) -> usize {
    found.iter().filter(|(_, verdict)| verdict.kind == kind).count()
}

#[test]
fn what_is_true_is_named() {
    // 80 % and more are seen 9 times or less of 12 in one of 12 tests; here nearly all are right.
    for (name, kind) in [
        ("superficial", VerdictKind::Superficial),
        ("leak", VerdictKind::Superficial),
        ("superficial, two massive dimensions", VerdictKind::Superficial),
        ("internal", VerdictKind::Internal),
        ("internal in the last quarter, AUROC 0.72", VerdictKind::Internal),
        ("H5: two massive dimensions", VerdictKind::Internal),
        ("the words raise it, the conversation lowers it", VerdictKind::Internal),
        ("nothing changes", VerdictKind::InsufficientEvidence),
    ] {
        let found = draw(plan(name));
        let right = count(&found, kind);
        assert!(right >= 9, "{name}: {right} of {DRAWS}");
    }
}

#[test]
fn what_is_not_true_is_not_named() {
    // 5 % and less are seen 3 times or more of 12 once in 50 tests.
    for plan in grid().into_iter().map(small).filter(|plan| plan.items <= 60) {
        let found = draw(plan);
        let (internal, superficial) = (count(&found, VerdictKind::Internal), count(&found, VerdictKind::Superficial));
        let (is_internal, is_superficial) =
            (matches!(plan.truth, Truth::Internal | Truth::Part), plan.truth == Truth::Superficial);
        assert!(is_internal || internal <= 2, "{}: internal {internal} of {DRAWS}", plan.name);
        assert!(is_superficial || superficial <= 2, "{}: superficial {superficial} of {DRAWS}", plan.name);
    }
}

#[test]
fn intervals_hold_the_truth_and_words_are_told_from_conversation() {
    let plan = Plan { words: 0.3, ..plan("internal, AUROC 0.72") };
    let found = draw(plan);
    let covered = |of: ChangeOf, truth: f64| {
        let holds = |(_, verdict): &&(World, Verdict)| {
            let change = verdict.change(of).unwrap();
            change.interval.low <= truth && truth <= change.interval.high
        };
        found.iter().filter(holds).count()
    };
    for (of, truth) in
        [(ChangeOf::Conversation, -0.5), (ChangeOf::Words, -0.3), (ChangeOf::Answer, -0.8), (ChangeOf::Prompt, -0.5)]
    {
        // 95 %: fewer than 9 of 12 are seen once in 400 tests.
        assert!(covered(of, truth) >= 9, "{of:?}: {} of {DRAWS}", covered(of, truth));
    }
}

#[test]
fn the_onset_is_found() {
    let plan = plan("internal");
    let near = |(world, _): &&(World, Verdict)| {
        let found = Transitions::default().find(world.prompts(), Settings::default().draws(500), Metric::ClassDistance);
        let onset = found.unwrap()[0].run.address.and_then(|address| address.layer());
        onset.is_some_and(|layer| layer.abs_diff(world.onset) <= 1)
    };
    let found = draw(plan);
    let right = found.iter().filter(near).count();
    assert!(plan.place == Where::FromMiddle && right >= 10, "{right} of {DRAWS}");
}

#[test]
fn nothing_is_concluded_from_what_was_not_read() {
    let world = World::draw(plan("superficial"), 3).unwrap();
    let settings = Settings::default().draws(500);
    let judge = |keep: &dyn Fn(&str) -> bool| {
        let kept = world.levels.readings().iter().filter(|levels| keep(&levels.reading().to_string())).cloned();
        let levels = probity::level::ReadingLevels::new(kept.collect()).unwrap();
        probity::level::VerdictRule::new(settings).judge(&asked(), &levels, &world.outcome).unwrap()
    };
    assert_eq!(judge(&|_| true).kind, VerdictKind::Superficial);
    // Without crossed readings the answers are judged as they are, and nothing is internal.
    let whole = judge(&|name| !name.contains("control"));
    assert_eq!(whole.kind, VerdictKind::Superficial);
    assert_eq!(whole.check(CheckKind::InternalReduction).unwrap().passed, None);
    let blind = judge(&|name| name != "answer-contrast");
    assert_eq!(blind.kind, VerdictKind::InsufficientEvidence);
    assert!(blind.missing().unwrap().contains("nothing shows"), "{:?}", blind.missing());
    let prompt = judge(&|name| name == "prompt");
    assert_eq!(prompt.kind, VerdictKind::InsufficientEvidence);
    assert_eq!(prompt.check(CheckKind::ProbeValid).unwrap().detail, "answers were not read");
}
