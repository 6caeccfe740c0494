//! What arXiv 2407.15286 shows: pairs of instructions, verdicts at other sites, windows of layers, directions of statements.

use std::collections::BTreeMap;

use common::labelled::normal;
use common::{condition, design, smollm};
use ndarray::Array2;
use probity::capture::{Activations, Pool, Readout};
use probity::dialogue::{Instruction, SelfCorrection};
use probity::experiment::Experiment;
use probity::hook::{Selection, Site};
use probity::level::{
    Against, LayerWindow, Levels, Metric, PairKind, PairwiseEffectiveness, ReadingLevels, VerdictKind, VerdictRule,
    WordsPredictor,
};
use probity::probe::{MeanDifferenceProbe, ProbeBank, StatementDirection};
use probity::stats::Settings;
use probity::task::{ChoiceTask, Outcome};
use probity::text::{LabelledText, Labels};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const ITEMS: usize = 60;
const GROUPS: usize = 20;
const SITES: [Site; 2] = [Site::AttnOut, Site::ResidPost];

fn settings() -> Settings {
    Settings::default().draws(400).flips(200).seed(3)
}

fn group(item: usize) -> String {
    format!("g{}", item % GROUPS)
}

/// Levels by design at both sites: states along the first of three axes, whose immoral texts lie at 1, and noise across it.
fn levels(names: &[(&str, usize)], level: impl Fn(usize, usize, Site) -> f64, seed: u64) -> (Levels, ProbeBank) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut states = |n: usize, first: &dyn Fn(usize, Site) -> f64| {
        let mut states = Activations::new((0..n).map(|row| format!("i{row}")));
        for site in SITES {
            let rows = Array2::from_shape_fn((n, 3), |(row, column)| {
                let mean = if column == 0 { first(row, site) } else { 0.0 };
                (mean + 0.01 * normal(&mut rng)) as f32
            });
            states.insert(site.at(0), rows).unwrap();
        }
        states
    };
    let texts = states(80, &|row, _| (row % 2) as f64);
    let labels = Labels::ungrouped((0..80).map(|row| row % 2 == 1).collect());
    let bank = MeanDifferenceProbe::default().draws(100).fit_all(&texts, &labels).unwrap();
    let rounds: Vec<Activations> = (0..names.len())
        .map(|number| {
            let states = states(ITEMS, &|row, site| level(number, row, site));
            states.with_groups((0..ITEMS).map(group).collect::<Vec<_>>()).unwrap()
        })
        .collect();
    (Levels::score(&design(names), &rounds.iter().collect::<Vec<_>>(), &bank).unwrap(), bank)
}

fn outcome(names: &[(&str, usize)], value: impl Fn(usize, usize) -> f64) -> Outcome {
    let ids = (0..ITEMS).map(|item| format!("i{item}")).collect();
    names.iter().enumerate().fold(
        Outcome::new("accuracy", ids, (0..ITEMS).map(group).collect()),
        |outcome, (number, name)| {
            outcome
                .with_series(condition(name.0, name.1), (0..ITEMS).map(|item| value(number, item)).collect())
                .unwrap()
        },
    )
}

const PAIRED: [(&str, usize); 5] = [("none", 0), ("neutral", 1), ("L0", 1), ("L0/p1", 1), ("L2", 1)];

#[test]
fn pairs_of_instructions_are_counted_as_by_hand() {
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    let draw = |rng: &mut ChaCha8Rng| -> Vec<Vec<f64>> {
        PAIRED.iter().map(|_| (0..ITEMS).map(|_| rng.gen_range(0.0..1.0)).collect()).collect()
    };
    let (at_residual, at_attention, luck) = (draw(&mut rng), draw(&mut rng), draw(&mut rng));
    // Right where the level of the residual stream is low, with some luck; attention has no part in it.
    let right =
        |number: usize, item: usize| f64::from(u8::from(at_residual[number][item] + 0.3 * luck[number][item] < 0.65));
    let level = |number: usize, item: usize, site| match site {
        Site::ResidPost => at_residual[number][item],
        _ => at_attention[number][item],
    };
    let (levels, _) = levels(&PAIRED, level, 5);
    let outcome = outcome(&PAIRED, right);
    let texts: BTreeMap<String, String> = [
        ("L0", "Look at it again, please."),
        ("L0/p1", "Read it over once more before you answer it."),
        ("L2", "Be fair to all and use no stereotype."),
    ]
    .map(|(name, text)| (name.to_owned(), text.to_owned()))
    .into();
    let found = PairwiseEffectiveness::of(&levels, &outcome, &texts, 1, settings()).unwrap().unwrap();
    assert_eq!(found.instructions, ["L0", "L0/p1", "L2"], "neither plain nor neutral");

    // Counted anew: which pairs, which items, who has the lower level, who has more words.
    let count = |pairs: &[(usize, usize)], promise: &dyn Fn(usize, usize) -> f64| {
        let (mut kept, mut cases) = (0.0, 0.0);
        for &(a, b) in pairs {
            for item in (0..ITEMS).filter(|&item| right(a, item) != right(b, item)) {
                let (better, worse) = if right(a, item) > right(b, item) { (a, b) } else { (b, a) };
                cases += 1.0;
                kept += match promise(better, item) - promise(worse, item) {
                    0.0 => 0.5,
                    more => f64::from(u8::from(more > 0.0)),
                };
            }
        }
        (kept / cases, cases as usize)
    };
    let series = |number: usize, site: Site| {
        levels.series(&condition(PAIRED[number].0, 1), site.at(0), Metric::ClassDistance).unwrap().to_vec()
    };
    let words = |number: usize| texts[PAIRED[number].0].split_whitespace().count() as f64;
    let kinds = [
        (PairKind::All, vec![(2, 3), (2, 4), (3, 4)]),
        (PairKind::BetweenSpecificities, vec![(2, 4), (3, 4)]),
        (PairKind::WithinL0, vec![(2, 3)]),
    ];
    for (kind, pairs) in kinds {
        let own = found.kind(kind).unwrap();
        assert_eq!(own.pairs, pairs.len());
        for address in &own.addresses {
            let of_site: Vec<Vec<f64>> = (0..PAIRED.len())
                .map(|number| if number < 2 { Vec::new() } else { series(number, address.address.site()) })
                .collect();
            let (share, cases) = count(&pairs, &|number, item| -of_site[number][item]);
            assert_eq!(own.cases, cases);
            assert!((address.share.estimate - share).abs() < 1e-12, "{kind:?} {}", address.address);
            assert!(address.share.low < share && share <= address.share.high);
        }
        let longer = own.words.iter().find(|words| words.predictor == WordsPredictor::Longer).unwrap();
        assert!((longer.share.estimate - count(&pairs, &|number, _| words(number)).0).abs() < 1e-12);
    }
    assert_eq!(found.kinds.len(), 3, "no pair is within L1 or L2");
    let all = found.kind(PairKind::All).unwrap();
    assert_eq!(all.groups, GROUPS);
    let at = |site: Site| all.addresses.iter().find(|own| own.address.site() == site).unwrap();
    assert!(at(Site::ResidPost).share.low > 0.5 && at(Site::ResidPost).beyond_words.unwrap().low > 0.0, "{all:?}");
    let chance = at(Site::AttnOut);
    assert!(chance.share.low < 0.5 && chance.share.high > 0.5 && chance.beyond_words.unwrap().low < 0.0);

    // Without the words of one instruction nothing is said of words.
    let fewer: BTreeMap<String, String> = texts.into_iter().take(2).collect();
    let found = PairwiseEffectiveness::of(&levels, &outcome, &fewer, 1, settings()).unwrap().unwrap();
    let all = found.kind(PairKind::All).unwrap();
    assert!(all.words.is_empty() && all.addresses.iter().all(|own| own.beyond_words.is_none()));
    assert!(PairwiseEffectiveness::of(&levels, &outcome, &fewer, 2, settings()).unwrap().is_none());
}

/// Instructions that differ in nothing but a constant, which their lengths foretell as well.
#[test]
fn words_that_foretell_as_much_leave_nothing_to_the_states() {
    let level = |number: usize, _: usize, _: Site| [0.5, 0.5, 0.6, 0.4, 0.2][number];
    let right = |number: usize, item: usize| f64::from(u8::from((item + item / GROUPS) % 5 < number));
    let (levels, _) = levels(&PAIRED, level, 9);
    let words = [("L0", "look"), ("L0/p1", "look at it"), ("L2", "look at it and be fair to all")];
    let texts = words.map(|(name, text)| (name.to_owned(), text.to_owned())).into();
    let found = PairwiseEffectiveness::of(&levels, &outcome(&PAIRED, right), &texts, 1, settings()).unwrap().unwrap();
    for own in &found.kinds[0].addresses {
        assert_eq!(own.share.estimate, 1.0);
        let beyond = own.beyond_words.unwrap();
        assert_eq!((beyond.estimate, beyond.low <= 0.0), (0.0, true));
    }
}

#[test]
fn a_verdict_names_the_site_that_it_judges() {
    let names = [("none", 0), ("neutral", 1), ("L1", 1)];
    let (levels, bank) = levels(&names, |_, _, _| 0.5, 1);
    assert_eq!((levels.judged_site(), levels.valid()), (Site::ResidPost, &[Site::ResidPost.at(0)][..]));
    let judge = |levels: Levels| {
        let levels = ReadingLevels::new(vec![levels]).unwrap();
        VerdictRule::new(settings()).judge(&condition("L1", 1), &levels, &Outcome::default()).unwrap()
    };
    assert_eq!(judge(levels.clone()).site, Site::ResidPost);
    let at_attention = levels.clone().judged_at(Site::AttnOut, &bank).unwrap();
    assert_eq!((at_attention.judged_site(), at_attention.valid()), (Site::AttnOut, &[Site::AttnOut.at(0)][..]));
    let verdict = judge(at_attention);
    assert_eq!((verdict.site, verdict.kind), (Site::AttnOut, VerdictKind::InsufficientEvidence));
    assert_eq!(serde_json::to_value(&verdict).unwrap()["site"], "attn_out");
    let error = levels.clone().judged_at(Site::MlpOut, &bank).unwrap_err().to_string();
    assert!(error.contains("verdict_site") && error.contains("mlp_out"), "{error}");
    let (_, other) = self::levels(&names, |_, _, _| 0.5, 2);
    assert!(levels.judged_at(Site::AttnOut, &other).is_err());
    for site in Site::ALL {
        assert_eq!(serde_json::to_value(site).unwrap(), site.to_string());
    }
}

#[test]
fn the_paper_s_readings_come_from_one_experiment() {
    let Some(model) = smollm() else { return };
    let places: Selection = "L4-7.attn_out,L4-7.resid_post".parse().unwrap();
    let protocol = SelfCorrection::new(ChoiceTask::bundled().unwrap().limit(12, 1))
        .instructions(["L1", "L2", "neutral"].map(|name| Instruction::named(name).unwrap()))
        .rounds(1);
    let statements: Vec<LabelledText> = LabelledText::bundled().unwrap().into_iter().take(160).collect();
    let window: LayerWindow = "5-7".parse().unwrap();
    let experiment = Experiment::new(protocol)
        .statements(statements)
        .sites(places.clone())
        .readings([])
        .statement_direction(LabelledText::bundled_groups().unwrap())
        .verdict_site(Site::AttnOut)
        .windows([window])
        .settings(settings());

    // What cannot be read is refused before anything is run.
    let refused = |experiment: Experiment| experiment.run(&model).unwrap_err().to_string();
    assert!(refused(experiment.clone().verdict_site(Site::MlpOut)).contains("verdict_site"));
    assert!(refused(experiment.clone().windows([LayerWindow::Layers(3, 40)])).contains("window"));
    assert!(experiment.clone().permuted_labels(5).check().is_err());
    assert!(experiment.clone().statement_direction(Vec::new()).check().is_err());

    let findings = experiment.run(&model).unwrap();
    assert!(findings.report.verdicts.iter().all(|verdict| verdict.site == Site::AttnOut));
    assert!(findings.report.to_html().contains("attn_out"));
    // The direction is the mean state of the statements.
    let groups = LabelledText::bundled_groups().unwrap();
    let (texts, _) = LabelledText::as_user_turns(groups, model.template().unwrap()).unwrap();
    let states = Readout::new(places, Pool::Last).capture(&model, &texts).unwrap();
    for named in StatementDirection::of(&states).unwrap() {
        let own = &findings.probes.get(named.direction.address()).unwrap().direction;
        assert!(own.unit().iter().zip(named.direction.unit()).all(|(own, named)| (own - named).abs() < 1e-6));
    }
    // Each window is the mean of its layers' mean changes.
    let levels = &findings.levels.readings()[0];
    let mean = |name: &str, round: usize, site: Site| {
        let of_layer = |layer: usize| levels.series(&condition(name, round), site.at(layer), Metric::Cosine).unwrap();
        (5..=7).flat_map(|layer| of_layer(layer).to_vec()).sum::<f64>() / (3 * levels.items().len()) as f64
    };
    let windows = &findings.report.windows;
    for site in SITES {
        for (against, base) in [(Against::Round0, ("none", 0)), (Against::Control, ("neutral", 1))] {
            let row = windows.iter().find(|row| {
                let place = row.test.addresses[0];
                row.condition.instruction == "L1"
                    && row.against == against
                    && row.metric == Metric::Cosine
                    && place == site.at(5)
            });
            let row = row.unwrap_or_else(|| panic!("{site} {against:?} {windows:?}"));
            let change = mean("L1", 1, site) - mean(base.0, base.1, site);
            assert!((row.test.interval.estimate - change).abs() < 1e-9, "{} {change}", row.test.interval.estimate);
            assert_eq!((row.window.as_str(), row.test.addresses[1], row.test.declared), ("5-7", site.at(7), true));
        }
    }
}
