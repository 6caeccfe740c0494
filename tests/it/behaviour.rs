//! Behaviour metrics: by hand from scripted answers, and against others' code.

use std::collections::BTreeMap;

use common::{benchmark, json, scored_alike};
use probity::generate::{Continuation, End};
use probity::scorer::TextScorer;
use probity::stats::{wilson, ClusterBootstrap, Settings};
use probity::task::metric::{
    majority_vote, Abstention, AnswerFlow, BiasScores, Convergence, Edits, GainByRank, OracleStop, PositionBias,
    PronounScores, RiskCoverage, ScoreAgreement, SelfDistinguish, Side, ToxicityScores, Trial,
};
use probity::task::{
    Answer, AnsweredRound, BareScore, Bbq, ChoiceItem, ChoiceTask, Chosen, Completion, ContextCondition, Continued,
    Measured, Measurement, Occupation, OptionScore, Polarity, Said, ScoreRule,
};
use probity::{Condition, Design, Result};
use serde_json::Value;

const NOBODY: Option<usize> = None;

fn item(id: &str, label: usize, biased: usize, unknown: usize) -> ChoiceItem {
    let options = ["the first one", "the second one", "not known"].map(str::to_owned).to_vec();
    let open = label == unknown;
    ChoiceItem {
        category: "age".to_owned(),
        condition: Some(if open { ContextCondition::Ambiguous } else { ContextCondition::Disambiguated }),
        polarity: Some(Polarity::Negative),
        context: "Two met.".to_owned(),
        biased: Some(biased),
        unknown: Some(unknown),
        ..ChoiceItem::new(id, "Who?", options, label)
    }
}

fn resamples(items: &[ChoiceItem]) -> ClusterBootstrap {
    let groups: Vec<&str> = items.iter().map(|item| item.group.as_str()).collect();
    ClusterBootstrap::new(&groups, 200, 1).unwrap()
}

fn rows(n: usize) -> ClusterBootstrap {
    ClusterBootstrap::new(&(0..n).map(|row| row.to_string()).collect::<Vec<_>>(), 200, 1).unwrap()
}

fn close(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-12, "{found} {expected}");
}

/// Answers whose probabilities are these.
fn answer(item: &ChoiceItem, probabilities: [f64; 3]) -> Answer {
    let score = |p: f64| scored_alike(p.ln());
    let said = Said::text(&Continuation::new(Vec::new(), "", End::Length));
    Answer::new(item, Said { scores: probabilities.map(score).to_vec(), ..said }).unwrap()
}

// --- against others' code -----------------------------------------------------------------------------------

fn reference_items(reference: &Value) -> Vec<ChoiceItem> {
    let number = |value: &Value| value.as_u64().unwrap() as usize;
    let item = |row: &Value| {
        let category = row[0].as_str().unwrap();
        ChoiceItem {
            id: format!("{category}-{}", row[1]),
            group: format!("{category}-{}", row[2].as_str().unwrap()),
            category: category.to_owned(),
            condition: Some(if row[3] == "ambig" {
                ContextCondition::Ambiguous
            } else {
                ContextCondition::Disambiguated
            }),
            ..item("x", number(&row[4]), number(&row[5]), number(&row[6]))
        }
    };
    reference["items"].as_array().unwrap().iter().map(item).collect()
}

#[test]
fn bbq_scores_are_those_of_lm_eval() {
    let reference = json("benchmarks.json");
    let items = reference_items(&reference);
    let draws = resamples(&items);
    let mut compared = 0;
    for (name, case) in reference["bbq"].as_object().unwrap() {
        let chosen: Vec<Option<usize>> =
            case["chosen"].as_str().unwrap().chars().map(|c| c.to_digit(10).map(|digit| digit as usize)).collect();
        let expect = |key: String, found: f64| {
            let expected = case["scores"][&key].as_f64().unwrap();
            assert!((found - expected).abs() < 1e-12, "{name}, {key}: {found} {expected}");
        };
        let all = BiasScores::of(&items, &chosen, &draws).unwrap();
        let (ambiguous, disambiguated) = (all.ambiguous.unwrap(), all.disambiguated.unwrap());
        expect("amb".into(), ambiguous.score.interval.estimate);
        expect("disamb".into(), disambiguated.score.interval.estimate);
        expect("accuracy amb".into(), ambiguous.accuracy.estimate);
        expect("accuracy disamb".into(), disambiguated.accuracy.estimate);
        for (category, scores) in BiasScores::by_category(&items, &chosen, &draws).unwrap() {
            expect(format!("amb {category}"), scores.ambiguous.unwrap().score.interval.estimate);
            expect(format!("disamb {category}"), scores.disambiguated.unwrap().score.interval.estimate);
            compared += 2;
        }
        match name.as_str() {
            "always anti-biased" => {
                assert_eq!(disambiguated.score.interval.estimate, 0.0, "the guard");
                assert_eq!(disambiguated.strict.unwrap().interval.estimate, -1.0);
                assert_eq!(ambiguous.strict.unwrap().interval.estimate, -1.0);
            }
            "always unknown" => assert!(disambiguated.strict.is_none() && ambiguous.strict.is_none()),
            _ => assert_eq!(disambiguated.strict.unwrap().interval, disambiguated.score.interval),
        }
    }
    assert_eq!(compared, 8 * 6 * 2);
}

#[test]
fn bbq_items_are_those_of_the_reference() {
    let Some(folder) = benchmark("bbq") else { return };
    let task = Bbq::load(folder).unwrap();
    let by_id: BTreeMap<&str, &ChoiceItem> = task.items().iter().map(|item| (item.id.as_str(), item)).collect();
    for item in reference_items(&json("benchmarks.json")) {
        let read = by_id[item.id.as_str()];
        assert_eq!((read.label, read.biased, read.unknown), (item.label, item.biased, item.unknown));
        assert_eq!((read.condition, &read.group), (item.condition, &item.group));
    }
}

#[test]
fn polarity_is_not_corrected_twice() {
    let Some(folder) = benchmark("bbq") else { return };
    let task = Bbq::load(folder).unwrap();
    // A model that always follows the table is wholly biased in both polarities; one that corrects it once more
    // for non-negative questions would look unbiased.
    for polarity in [Polarity::Negative, Polarity::NonNegative] {
        let part = task.clone().filter(|item| item.polarity == Some(polarity)).limit(600, 1);
        let chosen: Vec<Option<usize>> = part.items().iter().map(|item| item.biased).collect();
        let scores = BiasScores::of(part.items(), &chosen, &resamples(part.items())).unwrap();
        assert_eq!(scores.disambiguated.unwrap().score.interval.estimate, 1.0);
        assert_eq!(scores.ambiguous.unwrap().score.interval.estimate, 1.0);
    }
}

#[test]
fn areas_under_risk_coverage_are_those_of_numpy() {
    let reference = json("benchmarks.json");
    for case in reference["risk_coverage"].as_array().unwrap() {
        let confidence: Vec<f64> = serde_json::from_value(case["confidence"].clone()).unwrap();
        let right: Vec<bool> = serde_json::from_value(case["right"].clone()).unwrap();
        let curve = RiskCoverage::of(&confidence, &right).unwrap();
        close(curve.area(&rows(right.len())).unwrap().interval.estimate, case["area"].as_f64().unwrap());
    }
}

#[test]
fn winogender_correlations_are_those_of_numpy_and_scipy() {
    let reference = &json("benchmarks.json")["winogender"];
    let p: BTreeMap<String, Vec<f64>> = serde_json::from_value(reference["p_female"].clone()).unwrap();
    let women: BTreeMap<String, f64> = serde_json::from_value(reference["women"].clone()).unwrap();
    let (mut items, mut answers) = (Vec::new(), Vec::new());
    for (occupation, values) in &p {
        for (number, &p) in values.iter().enumerate() {
            let mut options = ["his", "her", "their"].map(str::to_owned).to_vec();
            options.rotate_left(number);
            let female = options.iter().position(|option| option == "her").unwrap();
            let label = options.iter().position(|option| option == "their").unwrap();
            let mut probabilities = [(1.0 - p) / 2.0; 3];
            probabilities[female] = p;
            let bls = women[occupation];
            let item = ChoiceItem {
                group: occupation.clone(),
                options,
                occupation: Some(Occupation { bergsma: 100.0 - bls, bls }),
                ..item(&format!("{occupation}{number}"), label, female, label)
            };
            answers.push(answer(&item, probabilities));
            items.push(item);
        }
    }
    let chosen: Vec<Option<usize>> = answers.iter().map(|answer| Some(answer.scored)).collect();
    let scores = PronounScores::of(&items, &chosen, &answers, &resamples(&items)).unwrap();
    let found = scores.with_employment.unwrap();
    assert_eq!(found.occupations, 48);
    for (found, key) in [(found.r.estimate, "r"), (found.r.low, "low"), (found.r.high, "high")] {
        assert!((found - reference[key].as_f64().unwrap()).abs() < 1e-10, "{key}");
    }
    close(scores.with_text.unwrap().r.estimate, -found.r.estimate);
    let total = scores.neutral.estimate + scores.female.estimate + scores.male.estimate;
    close(total, 1.0);
}

// --- by hand ------------------------------------------------------------------------------------------------

#[test]
fn bias_by_hand() {
    // Three disambiguated items (right 1) and two ambiguous ones; an empty answer and a two-option answer.
    let items = [item("a", 1, 0, 2), item("b", 1, 0, 2), item("c", 1, 0, 2), item("d", 2, 0, 2), item("e", 2, 0, 2)];
    let scores = BiasScores::of(&items, &[Some(0), Some(1), NOBODY, Some(0), Some(2)], &resamples(&items)).unwrap();
    let (open, settled) = (scores.ambiguous.unwrap(), scores.disambiguated.unwrap());
    assert_eq!((settled.items, settled.biased, settled.non_unknown), (3, 1, 2));
    assert_eq!(settled.score.interval.estimate, 0.0);
    close(settled.accuracy.estimate, 1.0 / 3.0);
    // (1 - 1/2) (2 * 1/1 - 1)
    assert_eq!(open.score.interval.estimate, 0.5);
    assert!(BiasScores::of(&items, &[Some(0)], &resamples(&items)).is_err());
    let only = BiasScores::of(&items[..1], &[Some(2)], &resamples(&items[..1])).unwrap();
    assert!(only.ambiguous.is_none() && only.disambiguated.unwrap().strict.is_none());
}

#[test]
fn flows_by_hand() {
    let items: Vec<ChoiceItem> = ["a", "b", "c", "d", "e", "f"].iter().map(|id| item(id, 1, 0, 2)).collect();
    // Right to wrong, wrong to right, wrong to another wrong, right stays, invalid to right, abstained to invalid.
    let before = [Some(1), Some(0), Some(0), Some(1), NOBODY, Some(2)];
    let after = [Some(0), Some(1), Some(2), Some(1), Some(1), NOBODY];
    let flow = AnswerFlow::of(&items, &before, &after, &resamples(&items)).unwrap();
    assert_eq!((flow.gained, flow.lost, flow.changed), (2, 1, 5));
    assert_eq!(flow.mcnemar_p, 1.0);
    close(flow.gain.estimate, 1.0 / 6.0);
    let [right, abstained, wrong, invalid] = [0, 1, 2, 3];
    assert_eq!(AnswerFlow::STATES, ["right", "undetermined", "wrong", "invalid"]);
    for (before, after) in
        [(right, wrong), (wrong, right), (wrong, abstained), (right, right), (invalid, right), (abstained, invalid)]
    {
        assert_eq!(flow.counts[before][after], 1, "{before} {after}");
    }
    assert_eq!(flow.counts.iter().flatten().sum::<usize>(), 6);
}

#[test]
fn gains_by_rank_by_hand() {
    let items: Vec<ChoiceItem> = ["a", "b", "c", "d"].iter().map(|id| item(id, 1, 0, 2)).collect();
    let first = [0.2, 0.7, 0.1];
    let second = [0.6, 0.3, 0.1];
    let third = [0.5, 0.2, 0.3];
    let answers = |of: [[f64; 3]; 4]| items.iter().zip(of).map(|(item, p)| answer(item, p)).collect::<Vec<_>>();
    let baseline = answers([first, second, second, third]);
    let instructed = answers([first, first, second, third]);
    let neutral = answers([second, second, second, third]);
    let gains = GainByRank::of(&items, &baseline, &instructed, &neutral, &resamples(&items)).unwrap();
    let [one, two, three] = &gains.ranks[..] else { panic!("{gains:?}") };
    assert_eq!((one.rank, one.items, two.items, three.items), (1, 1, 2, 1));
    assert_eq!((one.instructed.estimate, one.neutral.estimate, one.gain.interval.estimate), (1.0, 0.0, 1.0));
    assert_eq!((two.instructed.estimate, two.flipped.estimate, two.flipped_neutral.estimate), (0.5, 0.5, 0.0));
    assert_eq!(two.instructed, wilson(1, 2, 0.95).unwrap());
    close(two.change.probability.interval.estimate, 0.2);
    close(one.change_neutral.probability.interval.estimate, -0.4);
    assert_eq!(three.gain.interval.estimate, 0.0);
    // From 0.3 to 0.7 and from 0.3 to 0.3: half of ln(7/3) - ln(3/7), and half of ln(7/3).
    let logit = 2.0 * (7.0_f64 / 3.0).ln();
    close(two.change.log_odds.interval.estimate, 0.5 * logit);
    close(two.change.log_probability.interval.estimate, 0.25 * logit);
    close(gains.change.as_ref().unwrap().log_odds.interval.estimate, 0.25 * logit);
    close(gains.change_neutral.as_ref().unwrap().log_odds.interval.estimate, -0.25 * logit);
    // Rank 1 gains 1 (the re-ask loses it), the others 1, 0 and 0; in logits rank 1 gains as much as the one that changes.
    let contrasts: Vec<_> =
        gains.contrasts.iter().map(|found| (found.with, found.first_items, found.other_items)).collect();
    assert_eq!(contrasts, [(None, 1, 3), (Some(2), 1, 2), (Some(3), 1, 1)]);
    for (found, (gain, odds)) in gains.contrasts.iter().zip([(2.0 / 3.0, 2.0 / 3.0), (0.5, 0.5), (1.0, 1.0)]) {
        close(found.gain.interval.estimate, gain);
        close(found.log_odds.interval.estimate, odds * logit);
    }
    // Equal probabilities: the lower index is chosen, so the right option (1) stands second.
    let tie = answers([[0.4, 0.4, 0.2]; 4]);
    let gains = GainByRank::of(&items, &tie, &tie, &tie, &resamples(&items)).unwrap();
    assert_eq!((gains.ranks.len(), gains.ranks[0].rank, gains.ranks[0].instructed.estimate), (1, 2, 0.0));
    assert!(gains.contrasts.is_empty(), "rank 1 is not there");
}

#[test]
fn contrasts_of_ranks_resample_groups() {
    let first = [0.2, 0.7, 0.1];
    let second = [0.6, 0.3, 0.1];
    // Twelve templates, of two ranks; some change.
    let of = |copies: usize| {
        let items: Vec<ChoiceItem> = (0..12 * copies)
            .map(|row| ChoiceItem { group: (row / copies).to_string(), ..item(&row.to_string(), 1, 0, 2) })
            .collect();
        let answers = |is_first: &dyn Fn(usize) -> bool| -> Vec<Answer> {
            let p = |row: usize| if is_first(row / copies) { first } else { second };
            items.iter().enumerate().map(|(row, item)| answer(item, p(row))).collect()
        };
        let (baseline, after) = (answers(&|group| group < 6), answers(&|group| !(5..=8).contains(&group)));
        let groups: Vec<&str> = items.iter().map(|item| item.group.as_str()).collect();
        let resamples = ClusterBootstrap::new(&groups, 400, 1).unwrap();
        GainByRank::of(&items, &baseline, &after, &answers(&|group| group < 6), &resamples).unwrap().contrasts.remove(0)
    };
    let (one, four) = (of(1), of(4));
    // -1/6 at rank 1, 3/6 at rank 2.
    close(one.gain.interval.estimate, -2.0 / 3.0);
    assert!(one.gain.interval.high - one.gain.interval.low > 0.5, "{one:?}");
    // Four of each do not make it surer.
    close(one.gain.interval.low, four.gain.interval.low);
    close(one.gain.interval.high, four.gain.interval.high);
    assert_eq!(four.first_items, 24);
}

#[test]
fn agreement_is_of_readable_answers_only() {
    let items: Vec<ChoiceItem> = (0..4).map(|row| item(&row.to_string(), 1, 0, 2)).collect();
    let said = |item: &ChoiceItem, text: &str| {
        let score = |option: usize| {
            let bare = BareScore { total: -(option as f64), per_token: 0.0, per_byte: 0.0, letter: None };
            OptionScore { total: option as f64, per_token: 0.0, letter: if option == 1 { 1.0 } else { 0.0 }, bare }
        };
        let said = Said::text(&Continuation::new(Vec::new(), text, End::Length));
        Answer::new(item, Said { scores: (0..3).map(score).collect(), ..said }).unwrap()
    };
    let answers: Vec<Answer> =
        items.iter().zip(["(c)", "(c)", "(b)", "well"]).map(|(item, text)| said(item, text)).collect();
    let found = ScoreAgreement::of(&answers, &rows(4)).unwrap();
    let share = |rule| found.rules.iter().find(|found| found.rule == rule).unwrap().share.estimate;
    assert_eq!((found.read, found.rules.len()), (3, 6), "no letter stands alone");
    close(share(ScoreRule::Total), 2.0 / 3.0);
    close(share(ScoreRule::Letter), 1.0 / 3.0);
    close(share(ScoreRule::BareTotal), 0.0);
}

#[test]
fn every_gain_has_one_interval() {
    // 4 of 20 items became right and none wrong: by a fair coin so far in 1 of 8 cases.
    let items: Vec<ChoiceItem> = (0..20).map(|row| item(&row.to_string(), 1, 0, 2)).collect();
    let [calm, asked] = [0, 4].map(|right| {
        let p = |row: usize| if row < right { [0.2, 0.7, 0.1] } else { [0.6, 0.3, 0.1] };
        items.iter().enumerate().map(|(row, item)| answer(item, p(row))).collect::<Vec<_>>()
    });
    let conditions = [Condition::plain(), Condition::new("calm", 1), Condition::new("L1", 1)];
    let rounds: Vec<AnsweredRound<'_>> = conditions
        .iter()
        .zip([&calm, &calm, &asked])
        .map(|(condition, answers)| AnsweredRound { condition, answers })
        .collect();
    let design = Design::new(conditions.clone()).unwrap().with_control("calm").unwrap();
    let measurement = Measurement::new(&design, Settings::default().seed(1)).unwrap();
    let found = measurement.measure(&items, &rounds).unwrap();
    let gain = measurement.gain(&found.outcome, &conditions[0], &conditions[2]).unwrap().unwrap();
    assert_eq!((gain.estimate, gain.low), (0.2, 0.0));
    assert_eq!(find(&found.flows, ("L1", 1), Some(Chosen::Scored), None).gain, gain);
    assert_eq!(find(&found.ranks, ("L1", 1), Some(Chosen::Scored), None).ranks[0].gain.interval, gain);
}

#[test]
fn pronouns_are_weighed_whole() {
    // "she was", "he was" and "they were", of two tokens each but the neutral one of four.
    let [she, he, they] = [0.018_f64, 0.09, 0.04];
    let score = |p: f64, tokens: f64| {
        let total = p.ln();
        let bare = BareScore { total, per_token: total / tokens, per_byte: total / 9.0, letter: None };
        OptionScore { bare, ..scored_alike(total / tokens) }
    };
    let item = ChoiceItem {
        options: ["she was", "he was", "they were"].map(str::to_owned).to_vec(),
        occupation: Some(Occupation { bergsma: 30.0, bls: 40.0 }),
        ..item("a", 2, 1, 2)
    };
    let said = Said::text(&Continuation::new(Vec::new(), "", End::Length));
    let scores = vec![score(she, 2.0), score(he, 2.0), score(they, 4.0)];
    let answers = [Answer::new(&item, Said { scores, ..said }).unwrap()];
    let items = [item];
    let found = PronounScores::of(&items, &[Some(answers[0].scored)], &answers, &resamples(&items)).unwrap();
    close(found.p_female.interval.estimate, she / (she + he + they));
    assert!(answers[0].probabilities[0] > 0.15, "{:?}", answers[0].probabilities);
}

#[test]
fn convergence_votes_and_the_oracle_by_hand() {
    let rounds = [
        vec![Some(0), Some(1), Some(0), Some(1), NOBODY],
        vec![Some(1), Some(1), Some(1), Some(1), NOBODY],
        vec![Some(1), Some(1), Some(0), NOBODY, NOBODY],
    ];
    let settled = Convergence::of(&rounds, &rows(5)).unwrap();
    assert_eq!(settled.rounds, [Some(1), Some(0), None, None, None]);
    assert_eq!((settled.settled.estimate, settled.mean_round), (0.4, Some(0.5)));
    assert!(Convergence::of(&rounds[..1], &rows(5)).is_err() && Convergence::of(&rounds, &rows(4)).is_err());

    let items: Vec<ChoiceItem> = ["a", "b", "c", "d", "e"].iter().map(|id| item(id, 1, 0, 2)).collect();
    assert_eq!(OracleStop::chosen(&items, &rounds).unwrap(), [Some(1), Some(1), Some(1), Some(1), NOBODY]);
    assert!(OracleStop::chosen(&items, &[]).is_err());
    let stop = OracleStop::of(&items, &rounds, &resamples(&items)).unwrap();
    assert_eq!((stop.accuracy.estimate, stop.last.estimate, stop.lost.estimate), (0.8, 0.4, 0.4));

    let samples = [vec![Some(0), Some(1), Some(1), Some(0)], vec![NOBODY, Some(2), NOBODY, Some(1)], vec![NOBODY; 4]];
    assert_eq!(majority_vote(&samples, 3).unwrap(), [Some(1), Some(2), NOBODY]);
    assert_eq!(majority_vote(&samples, 4).unwrap(), [Some(0), Some(2), NOBODY], "ties go to the first sampled");
    assert!(majority_vote(&samples, 5).unwrap_err().to_string().contains("samples of item 0"));
}

#[test]
fn abstention_and_risk_by_hand() {
    let items = [item("a", 1, 0, 2), item("b", 1, 0, 2), item("c", 2, 0, 2), item("d", 2, 0, 2)];
    let chosen = [Some(1), Some(2), Some(2), NOBODY];
    let found = Abstention::of(&items, &chosen, &resamples(&items)).unwrap();
    assert_eq!(found.precision.unwrap().estimate, 0.5, "one right of two that did not abstain");
    assert_eq!(found.rate.unwrap().estimate, 0.5);
    assert_eq!(found.rate_answerable.unwrap().estimate, 0.5);
    assert_eq!(found.rate_unanswerable.unwrap().estimate, 0.5);
    assert_eq!(found.trade_off(0.25), Some(0.5));

    let curve = RiskCoverage::of(&[0.9, 0.5, 0.5, 0.1], &[true, false, true, false]).unwrap();
    // 0; then a tie with one error of two: 0.5/2, 1/3; then 2/4.
    let expected = [(0.25, 0.0), (0.5, 0.25), (0.75, 1.0 / 3.0), (1.0, 0.5)];
    for (found, expected) in curve.curve().into_iter().zip(expected) {
        close(found.0, expected.0);
        close(found.1, expected.1);
    }
    assert!(RiskCoverage::of(&[f64::NAN], &[true]).is_err() && RiskCoverage::of(&[], &[]).is_err());
}

/// Counts the word "vile".
struct Vile;

impl TextScorer for Vile {
    fn name(&self) -> &str {
        "vile"
    }

    fn score(&self, texts: &[&str]) -> Result<Vec<f64>> {
        Ok(texts.iter().map(|text| if text.contains("vile") { 0.75 } else { 0.25 }).collect())
    }
}

#[test]
fn toxicity_by_hand() {
    let continuations = [["so vile", "fine"], ["fine", "fine"], ["vile", "vile"]];
    let continuations: Vec<Vec<String>> = continuations.map(|texts| texts.map(str::to_owned).to_vec()).to_vec();
    let found = ToxicityScores::judge(&continuations, &Vile, &rows(3)).unwrap();
    assert_eq!((found.prompts, found.continuations, found.mean.estimate), (3, 2, 0.5));
    close(found.expected_maximum.unwrap().estimate, 1.75 / 3.0);
    let one_each = ToxicityScores::of(&[vec![0.1], vec![0.7]], &rows(2)).unwrap();
    assert_eq!(one_each.expected_maximum, None);
    close(one_each.mean.estimate, 0.4);
    assert!(serde_json::to_value(&one_each).unwrap().get("expected_maximum").is_none());
    close(found.toxic.estimate, 2.0 / 3.0);
    assert!(ToxicityScores::of(&[vec![0.1], vec![0.1, 0.2], vec![0.3]], &rows(3)).is_err());
    assert!(ToxicityScores::of(&[vec![1.1]], &rows(1)).unwrap_err().to_string().contains("0 to 1"));
}

#[test]
fn edits_by_hand() {
    let before = ["a vile day", "a vile day", "fine"];
    let edits = Edits::of(&before, &["a vile day but calm", "a calm day", "fine"], &Vile, &rows(3)).unwrap();
    close(edits.appended.estimate, 1.0 / 3.0);
    assert_eq!(edits.append_only.unwrap().estimate, 0.5);
    assert_eq!(edits.kept_toxicity.unwrap().interval.estimate, 0.5, "0.75 kept by the appended, 0.25 by the revised");
    assert_eq!(edits.added_toxicity.unwrap().interval.estimate, 0.25);
    assert_eq!(edits.removed_toxicity.unwrap().interval.estimate, 0.75);
}

#[test]
fn telling_apart_by_hand() {
    let trial = |better, a_first, b_first| Trial { better, a_first, b_first };
    let trials = [
        trial(Side::A, Some(Side::A), Some(Side::A)),
        // Picks whatever stands first.
        trial(Side::A, Some(Side::A), Some(Side::B)),
        trial(Side::B, Some(Side::A), Some(Side::A)),
        trial(Side::B, None, Some(Side::B)),
    ];
    let found = SelfDistinguish::of(&trials, &rows(4)).unwrap();
    assert_eq!((found.accuracy.estimate, found.consistent.estimate, found.invalid.estimate), (0.5, 0.5, 0.125));
    assert_eq!(found.accuracy_if_consistent.unwrap().estimate, 0.5);
    // 0.5, 1, 0.5, 1
    assert_eq!(found.first.unwrap().interval.estimate, 0.75);
}

#[test]
fn rotations_keep_their_marks() {
    let two = ChoiceItem { options: vec!["yes".into(), "no".into()], unknown: None, ..item("b", 0, 1, 2) };
    let task = ChoiceTask::new("two", vec![item("a", 1, 0, 2), two]).unwrap();
    let turned = task.clone().rotations().unwrap();
    assert_eq!((turned.items().len(), turned.sha256()), (5, task.sha256()));
    let ids: Vec<&str> = turned.items().iter().map(|item| item.id.as_str()).collect();
    assert_eq!(ids, ["a", "a/order1", "a/order2", "b", "b/order1"]);
    let orders: Vec<(usize, Option<usize>, Option<usize>, &str)> =
        turned.items().iter().map(|item| (item.label, item.biased, item.unknown, item.options[0].as_str())).collect();
    let expected = [
        (1, Some(0), Some(2), "the first one"),
        (0, Some(2), Some(1), "the second one"),
        (2, Some(1), Some(0), "not known"),
        (0, Some(1), None, "yes"),
        (1, Some(0), None, "no"),
    ];
    assert_eq!(orders, expected);
    for (copy, original) in turned.items().iter().zip([0, 0, 0, 1, 1].map(|at| &task.items()[at])) {
        let rotation = copy.rotation.as_ref().unwrap();
        assert_eq!((&rotation.of, &copy.group), (&original.id, &original.group));
        assert_eq!(copy.options[copy.label], original.options[original.label]);
        let again: ChoiceItem = serde_json::from_str(&serde_json::to_string(copy).unwrap()).unwrap();
        assert_eq!(again, *copy);
    }
    assert_eq!(turned.clone().rotations().unwrap(), turned, "copies are not copied again");
    let clash = ChoiceTask::new("clash", vec![item("a", 1, 0, 2), item("a/order1", 1, 0, 2)]).unwrap();
    assert!(clash.rotations().unwrap_err().to_string().contains("a/order1"));
    let plain: Value = serde_json::to_value(item("a", 1, 0, 2)).unwrap();
    assert!(plain.get("rotation").is_none() && serde_json::from_value::<ChoiceItem>(plain).unwrap().rotation.is_none());
}

#[test]
fn position_bias_by_hand() {
    let task = ChoiceTask::new("two", vec![item("a", 1, 0, 2), item("b", 0, 1, 2)]).unwrap().rotations().unwrap();
    let items = task.items();
    // "a": the second option in every order (places 1, 0, 2). "b": always the first place.
    let chosen = [Some(1), Some(0), Some(2), Some(0), Some(0), Some(0)];
    let found = PositionBias::of(items, &chosen, &resamples(items)).unwrap();
    let shares: Vec<f64> = found.positions.iter().map(|place| place.share.unwrap().estimate).collect();
    [4.0 / 6.0, 1.0 / 6.0, 1.0 / 6.0].iter().zip(shares).for_each(|(expected, found)| close(found, *expected));
    assert!(found.positions.iter().all(|place| place.expected == Some(1.0 / 3.0) && place.right_here == 2));
    // Right options: "a" at 1, 0, 2 (all met), "b" at 0, 2, 1 (met at 0 alone).
    let right: Vec<f64> = found.positions.iter().map(|place| place.accuracy.unwrap().estimate).collect();
    assert_eq!(right, [1.0, 0.5, 0.5]);
    assert_eq!((found.rotated, found.consistent.unwrap().estimate), (2, 0.5));
    // An answer that names nothing is at no place, and what it belongs to is not consistent.
    let found =
        PositionBias::of(items, &[NOBODY, Some(0), Some(2), Some(0), Some(0), Some(0)], &resamples(items)).unwrap();
    assert_eq!((found.positions[0].answers, found.consistent.unwrap().estimate), (5, 0.0));
    close(found.positions[0].share.unwrap().estimate, 0.8);
    // Nothing can be said of consistency where an order is missing, or without rotations.
    let part = PositionBias::of(&items[..2], &chosen[..2], &resamples(&items[..2])).unwrap();
    assert_eq!((part.rotated, part.consistent), (0, None));
    let silent = PositionBias::of(&items[..1], &[NOBODY], &resamples(&items[..1])).unwrap();
    assert!(silent.positions[0].share.is_none() && silent.positions[0].expected.is_none());
    // Items of two and of four options: place 3 exists for one of them.
    let four = ChoiceItem { options: ["a", "b", "c", "d"].map(str::to_owned).to_vec(), ..item("c", 3, 0, 2) };
    let two = ChoiceItem { options: vec!["yes".into(), "no".into()], unknown: None, ..item("d", 0, 1, 2) };
    let mixed = [four, two];
    let found = PositionBias::of(&mixed, &[Some(3), Some(0)], &resamples(&mixed)).unwrap();
    assert_eq!((found.positions[0].answers, found.positions[0].expected), (2, Some(0.375)));
    assert_eq!((found.positions[3].answers, found.positions[3].expected), (1, Some(0.25)));
}

fn find<'r, T>(rows: &'r [Measured<T>], key: (&str, usize), chosen: Option<Chosen>, category: Option<&str>) -> &'r T {
    let mut found = rows.iter().filter(|row| {
        (row.condition.instruction.as_str(), row.condition.round) == key
            && row.chosen == chosen
            && row.category.as_deref() == category
    });
    let row = found.next().unwrap_or_else(|| panic!("no row of {key:?}"));
    assert!(found.next().is_none(), "two rows of {key:?}");
    &row.result
}

/// Answers that choose these options and say nothing.
fn choosing(items: &[ChoiceItem], options: &[usize]) -> Vec<Answer> {
    let choose = |(item, &option): (&ChoiceItem, &usize)| {
        let mut probabilities = [0.25; 3];
        probabilities[option] = 0.5;
        answer(item, probabilities)
    };
    items.iter().zip(options).map(choose).collect()
}

#[test]
fn a_study_of_choices_is_measured_whole() {
    let mut items = vec![item("a", 1, 0, 2), item("b", 1, 0, 2), item("c", 2, 0, 2), item("d", 2, 0, 2)];
    for item in &mut items[2..] {
        item.category = "sex".to_owned();
    }
    let answers =
        [[0, 1, 0, 2], [0, 1, 0, 2], [0, 1, 2, 0], [1, 1, 0, 2], [1, 0, 2, 2]].map(|of| choosing(&items, &of));
    let conditions = [("none", 0), ("calm", 1), ("calm", 2), ("L1", 1), ("L1", 2)]
        .map(|(instruction, round)| Condition::new(instruction, round));
    let rounds: Vec<AnsweredRound<'_>> =
        conditions.iter().zip(&answers).map(|(condition, answers)| AnsweredRound { condition, answers }).collect();
    let design = Design::new(conditions.clone()).unwrap().with_control("calm").unwrap();
    let measurement = Measurement::new(&design, Settings::default().draws(200).seed(1)).unwrap();
    let found = measurement.measure(&items, &rounds).unwrap();

    assert_eq!((found.outcome.name.as_str(), found.outcome.series.len()), ("accuracy", 5));
    assert_eq!(found.outcome.series(&conditions[4]).unwrap(), [1.0, 0.0, 1.0, 1.0]);
    let gain = measurement.gain(&found.outcome, &conditions[2], &conditions[4]).unwrap().unwrap();
    // (1, 0, 1, 1) minus (0, 1, 1, 0)
    assert_eq!(gain.estimate, 0.25);
    assert_eq!(measurement.gain(&found.outcome, &Condition::new("calm", 3), &conditions[4]).unwrap(), None);

    let scored = Some(Chosen::Scored);
    let all = find(&found.bias, ("L1", 2), scored, None);
    // Of two settled items one follows the stereotype: 2 * 1/2 - 1.
    assert_eq!(all.disambiguated.as_ref().unwrap().score.interval.estimate, 0.0);
    let by_hand =
        BiasScores::of(&items, &answers[4].iter().map(|a| Some(a.scored)).collect::<Vec<_>>(), &resamples(&items));
    assert_eq!(all, &by_hand.unwrap(), "the same draws where the seed is the same");
    let sex = find(&found.bias, ("none", 0), scored, Some("sex"));
    assert!(sex.disambiguated.is_none());
    // (1 - 1/2) (2 * 1/1 - 1)
    assert_eq!(sex.ambiguous.as_ref().unwrap().score.interval.estimate, 0.5);
    // Nothing was said, so that no text names an option.
    let read = find(&found.bias, ("L1", 2), Some(Chosen::Read), None).disambiguated.as_ref().unwrap();
    assert_eq!((read.non_unknown, read.accuracy.estimate), (0, 0.0));
    assert_eq!(found.bias.len(), 5 * 2 * 3);

    assert_eq!(find(&found.abstention, ("L1", 2), scored, None).rate.unwrap().estimate, 0.5);
    // All as sure: the error rate.
    close(find(&found.risk_coverage, ("none", 0), scored, None).interval.estimate, 0.5);
    assert_eq!(find(&found.position, ("none", 0), scored, None).positions[0].share.unwrap().estimate, 0.5);
    let flow = find(&found.flows, ("L1", 2), scored, None);
    // a and c become right, b is lost, d stays.
    assert_eq!((flow.gained, flow.lost, flow.changed), (2, 1, 3));
    assert!(found.flows.iter().all(|row| row.from == Some(0) && row.condition.round == 2));
    let ranks = find(&found.ranks, ("L1", 2), scored, None);
    assert_eq!(found.ranks.len(), 1, "the control has no control");
    // Right at first: b (lost; the control keeps it) and d (kept; the control loses it).
    assert_eq!((ranks.ranks[0].items, ranks.ranks[0].gain.interval.estimate), (2, 0.0));
    let settled = find(&found.convergence, ("L1", 2), scored, None);
    // Rounds 0, 1, 2: a 0 1 1, b 1 1 0, c 0 0 2, d 2 2 2.
    assert_eq!(settled.rounds, [Some(1), None, None, Some(0)]);
    let oracle = find(&found.oracle, ("L1", 2), scored, None);
    assert_eq!((oracle.accuracy.estimate, oracle.last.estimate), (1.0, 0.75));
    assert!(found.pronouns.is_empty() && found.toxicity.is_empty() && found.edits.is_empty());

    // Nothing is measured that the items or the rounds do not allow.
    let bare: Vec<ChoiceItem> =
        items.iter().map(|item| ChoiceItem { condition: None, unknown: None, biased: None, ..item.clone() }).collect();
    let found = measurement.measure(&bare, &rounds[1..2]).unwrap();
    assert!(found.bias.is_empty() && found.abstention.is_empty() && found.flows.is_empty());
    assert!(found.ranks.is_empty() && found.convergence.is_empty());
    assert_eq!(found.risk_coverage.len(), 1);
    let short = [AnsweredRound { condition: &conditions[3], answers: &answers[0][..3] }];
    assert!(measurement.measure(&items, &short).unwrap_err().to_string().contains("L1 round 1"));
    assert!(measurement.measure::<ChoiceItem>(&[], &[]).is_err());
}

#[test]
fn a_study_of_texts_is_measured_whole() {
    let text = |id: &str, group: &str, category: &str| Completion {
        id: id.into(),
        group: group.into(),
        category: category.into(),
        text: "It was".into(),
        toxicity: None,
        challenging: false,
    };
    let items = [text("a", "g", "mild"), text("b", "g", "mild"), text("c", "h", "sharp")];
    let said = |texts: [&str; 3]| -> Vec<Continued> {
        let continued = |(item, text): (&Completion, &str)| Continued {
            item: item.id.clone(),
            text: text.to_owned(),
            others: Vec::new(),
            end: End::Length,
            rationale: None,
            dropped_turns: 0,
        };
        items.iter().zip(texts).map(continued).collect()
    };
    let answers = [
        said(["vile", "fine", "vile"]),
        said(["a vile day", "fine", "vile"]),
        said(["a vile day but calm", "fine", "vile"]),
        said(["a vile day but calm", "fine", "calm"]),
    ];
    let conditions = [0, 1, 2, 3].map(|round| Condition::new(if round > 0 { "L1" } else { "none" }, round));
    let rounds: Vec<AnsweredRound<'_, Continued>> =
        conditions.iter().zip(&answers).map(|(condition, answers)| AnsweredRound { condition, answers }).collect();
    let design = Design::new(conditions.clone()).unwrap();
    let measurement = || Measurement::new(&design, Settings::default().draws(200)).unwrap();
    let found = measurement().scorer(&Vile).measure(&items, &rounds).unwrap();
    assert_eq!(found.outcome.name, "minus toxicity");
    assert_eq!(found.outcome.series(&conditions[3]).unwrap(), [-0.75, -0.25, -0.25]);
    close(measurement().gain(&found.outcome, &conditions[0], &conditions[3]).unwrap().unwrap().estimate, 0.5 / 3.0);
    close(find(&found.toxicity, ("none", 0), None, None).toxic.estimate, 2.0 / 3.0);
    assert_eq!(find(&found.toxicity, ("L1", 3), None, Some("mild")).mean.estimate, 0.5);
    assert_eq!(find(&found.toxicity, ("L1", 3), None, Some("sharp")).prompts, 1);
    let steps: Vec<(Option<usize>, usize)> = found.edits.iter().map(|row| (row.from, row.condition.round)).collect();
    assert_eq!(steps, [(Some(0), 1), (Some(1), 2), (Some(2), 3), (Some(1), 3)]);
    close(found.edits[1].result.appended.estimate, 1.0 / 3.0);
    assert_eq!(found.edits[3].result.append_only.unwrap().estimate, 0.5);
    assert_eq!(found.edits[3].result.removed_toxicity.unwrap().interval.estimate, 0.75);
    assert!(found.rows.is_empty() && found.bias.is_empty() && !found.is_empty());

    /// Says more than there is to say.
    struct Loud;
    impl TextScorer for Loud {
        fn name(&self) -> &str {
            "loud"
        }
        fn score(&self, texts: &[&str]) -> Result<Vec<f64>> {
            Ok(vec![2.0; texts.len()])
        }
    }
    let error = measurement().scorer(&Loud).measure(&items, &rounds).unwrap_err();
    assert!(error.to_string().contains("0 to 1"), "{error}");
    let error = measurement().measure(&items, &rounds).unwrap_err();
    assert!(error.to_string().contains("scorer"), "{error}");
}

#[test]
fn the_worst_of_several_continuations_by_hand() {
    let item = |id: &str| -> Completion {
        serde_json::from_value(serde_json::json!({ "id": id, "group": id, "text": "It was" })).unwrap()
    };
    let items = ["a", "b", "c"].map(item);
    let said = [["vile", "fine"], ["fine", "fine"], ["fine", "vile"]];
    let answers: Vec<Continued> = items
        .iter()
        .zip(said)
        .map(|(item, [text, other])| Continued {
            item: item.id.clone(),
            text: text.to_owned(),
            others: vec![other.to_owned()],
            end: End::Length,
            rationale: None,
            dropped_turns: 0,
        })
        .collect();
    let condition = Condition::plain();
    let design = Design::new([condition.clone()]).unwrap();
    let measurement = Measurement::new(&design, Settings::default().draws(200)).unwrap();
    let round = AnsweredRound { condition: &condition, answers: &answers };
    let found = measurement.scorer(&Vile).measure(&items, &[round]).unwrap();
    let toxicity = &find(&found.toxicity, ("none", 0), None, None);
    assert_eq!(toxicity.continuations, 2);
    // Means 0.5, 0.25, 0.5; highest 0.75, 0.25, 0.75.
    close(toxicity.mean.estimate, 1.25 / 3.0);
    close(toxicity.expected_maximum.unwrap().estimate, 1.75 / 3.0);
    close(toxicity.toxic.estimate, 2.0 / 3.0);
    assert_eq!(found.outcome.series(&condition).unwrap(), [-0.75, -0.25, -0.25], "the first goes on");
}
