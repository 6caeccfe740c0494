//! Conversations that end in another instruction, and what the parts of the model add to each round's change.

use std::collections::BTreeMap;

use common::{condition, max_abs, max_difference, smollm};
use probity::causal::Attribution;
use probity::dialogue::{Instruction, SelfCorrection};
use probity::hook::Site;
use probity::probe::Direction;
use probity::stats::Settings;
use probity::task::ChoiceTask;

#[test]
fn a_last_round_of_another_instruction_and_what_adds_to_it() {
    let Some(model) = smollm() else { return };
    let task = || ChoiceTask::load(common::root().join("data/ambiguous_qa.jsonl")).unwrap().limit(3, 1);
    let named = |name: &str| Instruction::named(name).unwrap();
    let (at, folder) = (Site::ResidPost.at(11), tempfile::tempdir().unwrap());
    let study = |re_elicit: bool| {
        let study = SelfCorrection::new(task()).instructions([named("L1"), named("neutral")]).rounds(2).batch(4);
        let study = if re_elicit { study.re_elicit([named("negated")]) } else { study };
        study.checkpoints(folder.path().join(re_elicit.to_string())).run(&model, at).unwrap()
    };
    let (plain, ended) = (study(false), study(true));

    // All rounds of before, as they were, and one more for each instruction.
    let conditions = |study: &probity::dialogue::Study| {
        study.rounds.iter().map(|round| (round.condition.name(), round.condition.round)).collect::<Vec<_>>()
    };
    let more: Vec<(String, usize)> =
        conditions(&ended).into_iter().filter(|condition| !conditions(&plain).contains(condition)).collect();
    assert_eq!(more, [("L1, then negated".to_owned(), 3), ("neutral, then negated".to_owned(), 3)]);
    for round in &plain.rounds {
        let same = ended.round(&round.condition).unwrap();
        let texts = |round: &probity::dialogue::Round| {
            round.answers.iter().map(|answer| answer.text.clone()).collect::<Vec<_>>()
        };
        assert_eq!(texts(same), texts(round), "{}", round.condition);
        let rows =
            |round: &probity::dialogue::Round| round.activations.at(at).unwrap().iter().copied().collect::<Vec<f32>>();
        assert!(max_difference(&rows(same), &rows(round)) < 1e-4 * max_abs(&rows(round)));
    }
    // The new conversation is the old one, then a review with the other instruction's words.
    for talk in ended.conversations.iter().filter(|talk| talk.condition.name() == "L1, then negated") {
        let before =
            plain.conversations.iter().find(|old| old.condition.name() == "L1" && old.item == talk.item).unwrap();
        let (old, new) = (before.transcript.messages().to_vec(), talk.transcript.messages().to_vec());
        assert_eq!(new.len(), old.len() + 2);
        assert_eq!(new[..old.len()], old);
        assert!(new[old.len()].content.contains(&named("negated").review));
    }
    // From its batches a run comes back as it was.
    let again = study(true);
    assert_eq!(conditions(&again), conditions(&ended));
    for (a, b) in again.rounds.iter().zip(&ended.rounds) {
        assert_eq!(a.activations.at(at).unwrap(), b.activations.at(at).unwrap());
    }

    // Parts of each change add up to it, and it is that of the states that were read.
    let d = model.config().unwrap().d_model;
    let direction = Direction::new(at, ndarray::Array1::from_shape_fn(d, |i| (0.3 + i as f64 * 1.7).sin()));
    let rows = Attribution::new(&direction).by_round(&model, &ended, Settings::default().draws(200)).unwrap();
    let mut by_change: BTreeMap<(String, usize, String), Vec<_>> = BTreeMap::new();
    for row in &rows {
        let control = ended.design.control(&row.condition).unwrap();
        assert_eq!(row.control, control.instruction);
        by_change.entry((row.condition.name(), row.condition.round, control.name())).or_default().push(row);
    }
    let expected = [("L1", 1, "neutral"), ("L1", 2, "neutral"), ("L1, then negated", 3, "neutral, then negated")];
    let expected = expected.map(|(name, round, neutral)| (name.to_owned(), round, neutral.to_owned()));
    assert_eq!(by_change.keys().cloned().collect::<Vec<_>>(), expected);
    for ((name, round, neutral), rows) in by_change {
        let sum = |part: &str, of_layers: bool| -> f64 {
            let chosen = rows.iter().filter(|row| row.part == part && row.layer.is_some() == of_layers);
            chosen.map(|row| row.mean.estimate).sum()
        };
        let total = sum("total", false);
        let scale = rows.iter().map(|row| row.mean.estimate.abs()).fold(0.0, f64::max);
        for part in ["attention", "feed_forward"] {
            assert!((sum(part, true) - sum(part, false)).abs() < 1e-9 * scale, "{name} {round} {part}");
            assert_eq!(rows.iter().filter(|row| row.part == part && row.layer.is_some()).count(), 12);
        }
        let parts = sum("embed", false) + sum("attention", false) + sum("feed_forward", false) + sum("other", false);
        assert!((parts - total).abs() < 1e-4 * scale, "{name} {round}: {parts} {total}");
        let projection = |name: &str| {
            let states = ended.round(&condition(name, round)).unwrap().activations.at(at).unwrap().mapv(f64::from);
            states.dot(&direction.unit()).mean().unwrap()
        };
        let change = projection(&name) - projection(&neutral);
        assert!((change - total).abs() < 1e-4 * scale, "{name} {round}: {change} {total}");
    }
}
