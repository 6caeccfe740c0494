//! Rounds under interventions are what the same hooks make by hand, in every pass and in no other round.

use common::made::Folder;
use common::scripted::TEMPLATE;
use common::{condition, max_abs, max_difference, smollm, values};
use ndarray::Array1;
use probity::causal::{Attribution, Intervention};
use probity::dialogue::{Instruction, Interventions, Part, Reading, RoundKind, SelfCorrection, Study};
use probity::generate::{Decoding, Session};
use probity::hook::{Hooks, Selection, Site};
use probity::model::LogitsFor;
use probity::probe::Direction;
use probity::stats::Settings;
use probity::task::{Answer, ChoiceTask};
use probity::text::{ChatTemplate, PadSide, TokenBatch};
use probity::{Error, Model, NO_INSTRUCTION};
use serde_json::json;

fn named(name: &str) -> Instruction {
    Instruction::named(name).unwrap()
}

fn protocol(items: usize) -> SelfCorrection {
    let task = ChoiceTask::load(common::root().join("data/ambiguous_qa.jsonl")).unwrap().limit(items, 3);
    SelfCorrection::new(task).instructions(["L1", "neutral"].map(named)).rounds(2)
}

/// A tiny random model with room for conversations.
pub fn babbling() -> Model {
    let folder = Folder::tiny("tied");
    folder.set("config.json", "max_position_embeddings", json!(4096));
    Model::load(folder.path()).unwrap().with_template(ChatTemplate::new(TEMPLATE, &[]).unwrap())
}

fn direction(model: &Model, layer: usize) -> Direction {
    let width = model.config().unwrap().d_model;
    Direction::new(Site::ResidPost.at(layer), Array1::from_shape_fn(width, |i| (i as f64 * 0.7).sin()))
}

/// A removal in one layer and a push in a later one.
fn changes(model: &Model, push: f64) -> Vec<Intervention> {
    let last = model.geometry().layers - 1;
    vec![Intervention::remove(&direction(model, 1)), Intervention::add(&direction(model, last), push)]
}

fn hooks(changes: &[Intervention]) -> Hooks<'_> {
    let mut hooks = Hooks::new();
    changes.iter().for_each(|change| change.attach(&mut hooks));
    hooks
}

fn states(study: &Study, name: &str, round: usize) -> Vec<f32> {
    let round = study.round(&condition(name, round)).unwrap();
    round
        .activations
        .addresses()
        .flat_map(|at| round.activations.at(at).unwrap().into_iter().copied().collect::<Vec<_>>())
        .collect()
}

fn answers(study: &Study) -> Vec<&Answer> {
    study.rounds.iter().flat_map(|round| &round.answers).collect()
}

/// The states at the last token of a text, and the log-probabilities of its tokens from `from` on, by one pass over it whole.
fn by_hand(model: &Model, ids: &[u32], from: usize, changes: &[Intervention], places: &Selection) -> (Vec<f32>, f64) {
    let addresses = places.resolve(&model.geometry()).unwrap();
    let batch = TokenBatch::new(&[ids], PadSide::Right).unwrap();
    let seen = std::cell::RefCell::new(Vec::new());
    let mut hooks = hooks(changes);
    for &address in &addresses {
        let seen = &seen;
        hooks.observe(address, move |states| {
            seen.borrow_mut().push((address, values(&states.select(1, from as i64 - 1).flatten(0, -1))));
            Ok(())
        });
    }
    let logits = model.network().forward(&batch, None, &mut hooks, LogitsFor::All).unwrap().unwrap();
    drop(hooks);
    let logs = logits.log_softmax(-1, tch::Kind::Double);
    let total = (from..ids.len()).map(|at| logs.double_value(&[0, at as i64 - 1, i64::from(ids[at])])).sum();
    let mut seen = seen.into_inner();
    seen.sort_by_key(|(address, _)| addresses.iter().position(|known| known == address));
    (seen.into_iter().flat_map(|(_, states)| states).collect(), total)
}

/// Every prompt state, option score and answer of a study against passes with the same hooks, without a cache.
fn equals_by_hand(model: &Model, study: &Study, places: &Selection, tokens: usize) {
    for talk in &study.conversations {
        for round in study.rounds.iter().filter(|round| round.condition.same_course(&talk.condition)) {
            let Some(before) = talk.transcript.before_answer(round.condition.round) else { continue };
            let under = study.interventions.of(&round.condition);
            let row = study.items.iter().position(|item| item.id == talk.item).unwrap();
            let prompt = before.prompt(model).unwrap().ids;
            let (expected, _) = by_hand(model, &prompt, prompt.len(), &under, places);
            let found: Vec<f32> = round
                .activations
                .addresses()
                .flat_map(|at| round.activations.at(at).unwrap().row(row).to_vec())
                .collect();
            let error = max_difference(&found, &expected) / max_abs(&expected);
            assert!(error < 2e-4, "{} {}: states differ by {error:e}", talk.item, round.condition);
            let answer = &round.answers[row];
            for (option, score) in study.items[row].options.iter().zip(&answer.scores) {
                let option = model.tokenizer().encode_rendered(option).unwrap();
                let (_, total) = by_hand(model, &[prompt.clone(), option].concat(), prompt.len(), &under, places);
                assert!(
                    (total - score.bare.total).abs() < 2e-3,
                    "{} {}: {total} {}",
                    talk.item,
                    round.condition,
                    score.bare.total
                );
            }
            let mut session = Session::new(model);
            session.read_hooked(&[&prompt], |_| hooks(&under)).unwrap();
            let said = session.generate_hooked(&Decoding::new(tokens), &[], |_| hooks(&under)).unwrap();
            assert_eq!(said[0].text.trim(), answer.text.trim(), "{} {}", talk.item, round.condition);
        }
    }
}

#[test]
fn intervened_rounds_are_those_of_the_same_hooks_by_hand() {
    let Some(model) = smollm() else { return };
    let places: Selection = [Site::ResidPost.at(4), Site::ResidPost.at(29)].into_iter().collect();
    let tokens = 6;
    let protocol = protocol(2).decoding(Decoding::new(tokens));
    let plain = protocol.run(&model, places.clone()).unwrap();
    // In all rounds; and in those of one instruction, between which the session must forget.
    for under in [Interventions::new(changes(&model, 20.0)), Interventions::new(changes(&model, 20.0)).during(["L1"])] {
        let study = protocol.clone().under(under).run(&model, places.clone()).unwrap();
        equals_by_hand(&model, &study, &places, tokens);
        assert!(max_difference(&states(&study, "L1", 2), &states(&plain, "L1", 2)) > 1.0);
    }
    let study =
        protocol.clone().under(Interventions::new(changes(&model, 20.0)).during(["L1"])).run(&model, places).unwrap();
    for (name, round) in [(NO_INSTRUCTION, 0), ("neutral", 1), ("neutral", 2)] {
        let expected = states(&plain, name, round);
        assert!(max_difference(&states(&study, name, round), &expected) < 2e-4 * max_abs(&expected), "{name} {round}");
    }
}

#[test]
fn batches_single_runs_and_answers_read_again_agree_under_interventions() {
    let model = babbling();
    let places: Selection = [Site::ResidPost.at(0), Site::ResidPost.at(2)].into_iter().collect();
    for kind in [RoundKind::FreshInstructed, RoundKind::Revise] {
        for under in [
            Interventions::new(changes(&model, 3.0)),
            Interventions::new(changes(&model, 3.0)).during(["L1"]),
            Interventions::new(changes(&model, 3.0)).during([NO_INSTRUCTION]).and(changes(&model, -1.0).into()),
        ] {
            let protocol = protocol(4).round_kind(kind).decoding(Decoding::new(5)).read_answers(true).under(under);
            let study = protocol.run(&model, places.clone()).unwrap();
            let single = protocol.clone().batch(1).run(&model, places.clone()).unwrap();
            for (a, b) in answers(&study).into_iter().zip(answers(&single)) {
                assert_eq!((&a.item, &a.text, a.scored), (&b.item, &b.text, b.scored));
            }
            for round in &study.rounds {
                let (name, number) = (round.condition.name(), round.condition.round);
                let (all, one) = (states(&study, &name, number), states(&single, &name, number));
                assert!(max_difference(&all, &one) < 1e-4 * max_abs(&one), "{name} {number}");
            }
            equals_by_hand(&model, &study, &places, 5);
            // What the rounds read of their answers is what another pass reads, under the same interventions.
            let mut unread = study.clone();
            unread.answer_states.clear();
            let again = unread.read(&model, places.clone(), &[Reading::of(Part::Answer)]).unwrap();
            assert!(!again.is_empty() && again.len() == study.answer_states.len());
            for again in &again {
                let own = study.answer_states.iter().find(|states| states.condition == again.condition).unwrap();
                for at in again.activations.addresses() {
                    let rows =
                        |of: &probity::capture::Activations| of.at(at).unwrap().iter().copied().collect::<Vec<f32>>();
                    let (own, again) = (rows(&own.activations), rows(&again.activations));
                    assert!(max_difference(&own, &again) < 1e-4 * max_abs(&again), "{kind} {at}");
                }
            }
        }
    }
}

#[test]
fn no_strength_is_the_plain_study_to_the_byte() {
    let Some(model) = smollm() else { return };
    let places: Selection = [Site::ResidPost.at(3), Site::AttnOut.at(20)].into_iter().collect();
    let protocol = protocol(3).rounds(1).read_answers(true);
    let plain = protocol.run(&model, places.clone()).unwrap();
    let none: Vec<Intervention> = changes(&model, 9.0).into_iter().map(|change| change.strength(0.0)).collect();
    let under = protocol.under(none).run(&model, places).unwrap();
    assert!(plain.conversations == under.conversations && answers(&plain) == answers(&under));
    for (plain, under) in plain.rounds.iter().zip(&under.rounds) {
        for at in plain.activations.addresses() {
            assert_eq!(plain.activations.at(at).unwrap(), under.activations.at(at).unwrap(), "{at}");
        }
    }
    for (plain, under) in plain.answer_states.iter().zip(&under.answer_states) {
        for at in plain.activations.addresses() {
            assert_eq!(plain.activations.at(at).unwrap(), under.activations.at(at).unwrap(), "{at}");
        }
    }
    assert_ne!(plain.provenance, under.provenance);
    assert!(under.protocol.interventions.unwrap().contains("L1.resid_post"));
}

#[test]
fn strengths_are_shares_of_the_change() {
    let model = babbling();
    let direction = direction(&model, 1);
    let projections = |change: Option<Intervention>| {
        let changes: Vec<Intervention> = change.into_iter().collect();
        let batch = TokenBatch::new(&[&[5, 9, 200]], PadSide::Right).unwrap();
        let seen = std::cell::RefCell::new(Vec::new());
        let mut hooks = hooks(&changes);
        hooks.observe(Site::ResidPost.at(1), |states| {
            *seen.borrow_mut() =
                direction.project(ndarray::ArrayView2::from_shape((3, 48), &values(states)).unwrap())?;
            Ok(())
        });
        model.network().forward(&batch, None, &mut hooks, LogitsFor::None).unwrap();
        drop(hooks);
        seen.into_inner()
    };
    let plain = projections(None);
    let change = |change: Intervention, expected: &dyn Fn(f64) -> f64| {
        for (before, after) in plain.iter().zip(projections(Some(change))) {
            assert!((after - expected(*before)).abs() < 1e-5, "{before} {after}");
        }
    };
    change(Intervention::remove(&direction).strength(0.25), &|before| 0.75 * before);
    change(Intervention::set(&direction, 2.0), &|_| 2.0);
    change(Intervention::set(&direction, 2.0).strength(0.5), &|before| 0.5 * before + 1.0);
    change(Intervention::add(&direction, 4.0).strength(-0.5), &|before| before - 2.0);
    change(Intervention::scale(Site::ResidPost.at(1), 0.0).strength(0.5), &|before| 0.5 * before);
}

#[test]
fn batches_kept_under_other_interventions_are_refused_by_name() {
    let model = babbling();
    let folder = tempfile::tempdir().unwrap();
    let protocol = || protocol(2).rounds(1).decoding(Decoding::new(3)).checkpoints(folder.path());
    let places = Site::ResidPost.at(1);
    let under = |push: f64| protocol().under(changes(&model, push));
    let first = under(1.0).run(&model, places).unwrap();
    let again = under(1.0).run(&model, places).unwrap();
    assert!(answers(&first) == answers(&again) && states(&first, "L1", 1) == states(&again, "L1", 1));
    for other in [protocol(), under(1.5), protocol().under(Interventions::new(changes(&model, 1.0)).during(["L1"]))] {
        let error = other.run(&model, places).unwrap_err();
        assert!(matches!(error, Error::Mismatch { .. }), "{error}");
        assert!(error.to_string().contains("under other interventions"), "{error}");
    }
}

#[test]
fn interventions_that_cannot_be_run_are_refused() {
    let model = babbling();
    let push = |amount: f64| Intervention::add(&direction(&model, 1), amount);
    for (under, says) in [
        (Interventions::new([push(f64::NAN)]), "a finite number"),
        (Interventions::new([push(1.0)]).during(["L7"]), "L7"),
        (Interventions::new([Intervention::scale(Site::ResidPost.at(3), 0.0)]), "L2.resid_post"),
        (
            Interventions::new([Intervention::add(&Direction::new(Site::ResidPost.at(1), Array1::ones(7)), 1.0)]),
            "width 7",
        ),
        (
            Interventions::new([Intervention::remove(&Direction::new(Site::ResidPost.at(1), Array1::zeros(48)))]),
            "all zeros",
        ),
    ] {
        let error = protocol(1).rounds(1).under(under).run(&model, Site::ResidPost.at(1)).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
    let study =
        protocol(2).rounds(1).decoding(Decoding::new(2)).under(push(1.0)).run(&model, Site::ResidPost.at(1)).unwrap();
    let refused = Attribution::new(&direction(&model, 1)).by_round(&model, &study, Settings::default());
    assert!(refused.unwrap_err().to_string().contains("under interventions"));
}
