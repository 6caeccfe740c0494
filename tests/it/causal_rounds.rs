//! A direction that the gain depends on is found, one that it does not depend on is not.

use common::labelled::normal;
use ndarray::{Array1, Array2};
use probity::capture::Activations;
use probity::causal::{CausalEvidence, CausalRounds, DirectionEffect, Intervention, Manipulation, Matching};
use probity::dialogue::{Instruction, Interventions, SelfCorrection};
use probity::generate::Decoding;
use probity::hook::{Address, Hooks, Site};
use probity::model::LogitsFor;
use probity::probe::{Direction, MeanDifferenceProbe, ProbeBank};
use probity::stats::Settings;
use probity::task::{ChoiceItem, ChoiceTask, ScoreRule};
use probity::text::{Labels, PadSide, TokenBatch};
use probity::{Condition, Error, Model};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::intervened_rounds::babbling;

const ITEMS: usize = 8;
/// Behind the last layer.
fn last() -> Address {
    Site::ResidPost.at(2)
}

/// Rows of the (tied) unembedding: of what is right and of what is wrong.
fn embeddings(model: &Model, words: [&str; 2]) -> [Array1<f64>; 2] {
    words.map(|word| {
        let ids = model.tokenizer().encode_rendered(word).unwrap();
        let (batch, seen) = (TokenBatch::new(&[&ids], PadSide::Right).unwrap(), std::cell::RefCell::new(Vec::new()));
        let mut hooks = Hooks::new();
        hooks.observe(Address::EMBED, common::keep(&seen));
        model.network().forward(&batch, None, &mut hooks, LogitsFor::None).unwrap();
        drop(hooks);
        let rows = Array2::from_shape_vec((ids.len(), 48), seen.into_inner()).unwrap();
        rows.mapv(f64::from).mean_axis(ndarray::Axis(0)).unwrap()
    })
}

/// A bank along exactly this direction, with this class distance: texts in pairs that differ in nothing else.
fn bank(direction: &Direction, distance: f64) -> ProbeBank {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let shared = Array2::from_shape_fn((100, 48), |_| 0.5 * distance * normal(&mut rng));
    let rows = Array2::from_shape_fn((200, 48), |(row, column)| {
        let apart = if row % 2 == 1 { distance * direction.unit()[column] } else { 0.0 };
        (shared[[row / 2, column]] + apart) as f32
    });
    let mut states = Activations::new((0..200).map(|row| row.to_string()));
    states.insert(last(), rows).unwrap();
    let labels: Labels = (0..200).map(|row| (row % 2 == 1, (row / 2).to_string())).collect();
    MeanDifferenceProbe::default().draws(50).fit_all(&states, &labels).unwrap()
}

/// Questions that the model answers wrongly; while "fair" is asked, something pushes along `direction`, which makes it right.
struct Planted {
    model: Model,
    direction: Direction,
    /// How far it is pushed.
    push: f64,
    protocol: SelfCorrection,
}

fn planted() -> Planted {
    let model = babbling();
    let asked = |words: [&str; 2]| {
        let item = |number: usize| {
            let options = words.map(str::to_owned).to_vec();
            let context = format!("{}", 37 * number % 100);
            ChoiceItem { context, ..ChoiceItem::new(number.to_string(), "Late?", options, 0) }
        };
        let task = ChoiceTask::new("late", (0..ITEMS).map(item).collect()).unwrap();
        SelfCorrection::new(task)
            .instructions([Instruction::new("fair", "Be fair."), Instruction::new("calm", "Be brief.")])
            .control("calm")
            .rounds(1)
            .score_rule(ScoreRule::BareTotal)
            .decoding(Decoding::new(4))
    };
    // Whichever of the two words the model prefers is the wrong one.
    let study = asked(["k", "w"]).run(&model, last()).unwrap();
    let answers = || study.rounds.iter().flat_map(|round| &round.answers);
    let words = match 2 * answers().filter(|answer| answer.scored == 0).count() > answers().count() {
        true => ["w", "k"],
        false => ["k", "w"],
    };
    let [right, wrong] = embeddings(&model, words);
    let towards_right = Direction::new(last(), right - wrong);
    // Half of the planted direction is that of the words; the other half has nothing to do with them, and the states lie on
    // its far side: what is left of them without the direction prefers the wrong word still.
    let states: Vec<Array1<f64>> = study.rounds.iter().flat_map(|round| rows(&round.activations)).collect();
    let other = Array1::from_shape_fn(48, |i| (i as f64 * 0.7).sin());
    let other = &other - other.dot(&towards_right.unit()) * &towards_right.unit();
    let length = other.dot(&other).sqrt();
    let mean: f64 = states.iter().map(|state| state.dot(&other)).sum::<f64>();
    let direction = Direction::new(last(), &towards_right.unit() + &(other * (mean.signum() / length)));
    let margin = states.iter().map(|state| state.dot(&towards_right.unit()).abs()).fold(0.0, f64::max);
    let push = 2.0 * margin / direction.unit().dot(&towards_right.unit());
    let pushed = Interventions::new([Intervention::add(&direction, push)]).during(["fair"]);
    Planted { protocol: asked(words).under(pushed), model, direction, push }
}

fn rows(states: &Activations) -> Vec<Array1<f64>> {
    states.at(last()).unwrap().outer_iter().map(|row| row.mapv(f64::from)).collect()
}

fn found(
    planted: &Planted,
    direction: &Direction,
    manipulations: &[Manipulation],
    random: usize,
) -> Vec<CausalEvidence> {
    let study = planted.protocol.run(&planted.model, last()).unwrap();
    CausalRounds::new(planted.protocol.clone())
        .manipulations(manipulations.iter().copied())
        .random(random)
        .fluency_answers(6)
        .settings(Settings::default().draws(400).flips(200).seed(5))
        .run(&planted.model, &study, &bank(direction, planted.push))
        .unwrap()
}

#[test]
fn a_gain_that_was_planted_along_a_direction_goes_with_it_and_with_no_other() {
    let planted = planted();
    let tried = [Manipulation::Remove, Manipulation::Add(1.0)];
    let evidence = found(&planted, &planted.direction, &tried, 19);
    assert_eq!(evidence.len(), tried.len());
    for (entry, manipulation) in evidence.iter().zip(tried) {
        assert_eq!((&entry.condition, entry.manipulation), (&Condition::new("fair", 1), manipulation));
        assert!(entry.gain.low > 0.4, "{:?}", entry.gain);
        assert_eq!((entry.addresses.as_slice(), entry.random.len()), (&[last()][..], 19));
        let effect = &entry.probe;
        assert!((effect.goes.estimate - (entry.gain.estimate - effect.gain.estimate)).abs() < 1e-9);
        // Every random direction costs as much fluency, or says why not.
        for random in &entry.random {
            let apart = (random.fluency_loss / effect.fluency_loss - 1.0).abs();
            match random.matching.unwrap() {
                Matching::Fluency => assert!(apart <= 0.05 + 1e-9, "{random:?}"),
                Matching::Strength => assert!(random.strength == 1.0 && effect.fluency_loss < 0.005),
                Matching::OutOfReach => assert!(apart > 0.05, "{random:?}"),
                other => panic!("{other:?}"),
            }
        }
        let left = |random: &&DirectionEffect| random.matching == Some(Matching::OutOfReach);
        assert_eq!(entry.goes.unwrap().among, 19 - entry.random.iter().filter(left).count());
    }
    // All that was planted goes with the direction, and hardly any of it with others.
    let (goes, share) = (evidence[0].goes.unwrap(), evidence[0].share_gone.unwrap());
    assert!(goes.holds(0.95) && goes.as_large == 0 && goes.p == 0.05, "{goes:?}");
    assert!(share.low > 0.5 && share.estimate > 0.7, "{share:?}");
    // The direction is that of the right word here: what is added makes the control right.
    assert!(evidence[1].probe.comes.low > 0.4, "{:?}", evidence[1].probe);
    assert!(evidence[1].probe.fluency_loss > 0.005, "{:?}", evidence[1].probe.fluency_loss);
}

#[test]
fn manipulations_do_what_their_names_say() {
    let planted = planted();
    let tried = [Manipulation::Replace, Manipulation::Subtract(1.0)];
    let evidence = found(&planted, &planted.direction, &tried, 0);
    assert!(evidence.iter().all(|entry| entry.random.is_empty() && entry.goes.is_none() && entry.comes.is_none()));
    // In the place of its own value the direction has one for all rounds: the gain goes.
    assert!(evidence[0].probe.goes.low > 0.0, "{:?}", evidence[0].probe);
    // What is taken off the control makes nothing right there, and takes away from what was pushed.
    assert!(evidence[1].probe.comes.high <= 0.0 && evidence[1].probe.gain.low < 1.0, "{:?}", evidence[1].probe);
}

#[test]
fn a_direction_that_the_gain_does_not_depend_on_is_not_found() {
    let planted = planted();
    // Across the planted one.
    let other = Array1::from_shape_fn(48, |i| (i as f64 * 1.3).cos());
    let along = other.dot(&planted.direction.unit());
    let across = Direction::new(last(), other - along * &planted.direction.unit());
    let entry = &found(&planted, &across, &[Manipulation::Remove], 19)[0];
    assert!(entry.gain.low > 0.4);
    assert!(!entry.goes.unwrap().holds(0.95) && !entry.comes.unwrap().holds(0.95), "{:?}", entry.goes);
    assert!(entry.share_gone.unwrap().high < 0.5, "{:?}", entry.share_gone);
}

#[test]
fn what_cannot_be_compared_is_refused() {
    let Planted { model, direction, protocol, push } = planted();
    let study = protocol.run(&model, last()).unwrap();
    let causal = || CausalRounds::new(protocol.clone()).random(1);
    let bank = bank(&direction, push);
    let shorter = protocol.clone().rounds(0).run(&model, last()).unwrap();
    let bare = protocol.clone().under(Interventions::default()).run(&model, last()).unwrap();
    for (result, says) in [
        (causal().manipulations([]).run(&model, &study, &bank), "at least one"),
        (causal().manipulations([Manipulation::Add(0.0)]).run(&model, &study, &bank), "above 0"),
        (causal().fluency_answers(0).run(&model, &study, &bank), "at least 1"),
        (causal().at([]).run(&model, &study, &bank), "at least one"),
        (causal().at([Site::ResidPost.at(1)]).run(&model, &study, &bank), "L1.resid_post"),
        (causal().run(&model, &shorter, &bank), "rounds are others"),
        (causal().run(&model, &bare, &bank), "other interventions"),
        (CausalRounds::new(protocol.clone().instructions([])).run(&model, &study, &bank), ""),
    ] {
        let error: Error = result.unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
    }
}
