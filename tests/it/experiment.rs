//! The study as one call: what it gives is what its parts give, and what cannot be run is refused before a model is needed.

use std::path::Path;

use common::labelled::statements;
use common::scripted::scripted;
use common::smollm;
use probity::capture::{Pool, Readout};
use probity::dialogue::{Instruction, Part, Reading, SelfCorrection};
use probity::experiment::{Analysis, Experiment, Findings};
use probity::hook::{Selection, Site};
use probity::level::{CheckKind, Levels, ReadingLevels};
use probity::probe::{LogisticProbe, ProbeBank};
use probity::report::Report;
use probity::stats::Settings;
use probity::task::{ChoiceItem, ChoiceTask, Completion, CompletionTask};
use probity::text::{LabelledText, Labels, Text};
use probity::{Condition, Error, Model};

fn settings() -> Settings {
    Settings::default().draws(200).flips(200).seed(7)
}

fn places() -> Selection {
    [4, 8].map(|layer| Site::ResidPost.at(layer)).into_iter().collect()
}

/// Questions of 12 groups.
fn protocol() -> SelfCorrection {
    let task = ChoiceTask::bundled().unwrap().limit(12, 1);
    SelfCorrection::new(task).instructions(["L1", "neutral"].map(|name| Instruction::named(name).unwrap())).rounds(1)
}

fn run(model: &Model) -> Findings {
    let experiment = Experiment::new(protocol()).statements(statements()).sites(places()).crossed(false);
    experiment.settings(settings()).run(model).unwrap()
}

/// Levels of both readings and the report, by the parts that an experiment is made of.
fn by_parts(model: &Model) -> (ReadingLevels, Report) {
    let bank = |(texts, labels): (Vec<Text>, Labels), pool: Pool| {
        let states = Readout::new(places(), pool).capture(model, &texts).unwrap();
        ProbeBank::fit(&LogisticProbe::default().seed(7), &states, &labels).unwrap()
    };
    let template = model.template().unwrap();
    let probes = bank(LabelledText::as_user_turns(statements(), template).unwrap(), Pool::Last);
    let study = protocol().read_answers(true).run(model, places()).unwrap();
    let answer_probes = bank(LabelledText::as_answers(statements(), template).unwrap(), Pool::Mean);
    let answer = Reading::of(Part::Answer);
    let levels = ReadingLevels::new(vec![
        Levels::from_study(&study, &probes).unwrap(),
        Levels::from_reading(&study.design, &study.answer_states, answer, &answer_probes).unwrap(),
    ])
    .unwrap();
    let analysis = Analysis::new(settings());
    let behaviour = analysis.measure(&study, None).unwrap();
    let report = analysis.run(&study, behaviour, &probes, &levels).unwrap();
    (levels, report.with_answer_probes(answer_probes.rows()))
}

fn written(findings: &Findings, folder: &Path, name: &str) -> Vec<u8> {
    findings.write_dir(folder).unwrap();
    std::fs::read(folder.join(name)).unwrap()
}

#[test]
fn an_experiment_is_its_parts_and_the_same_every_time() {
    let Some(model) = smollm() else { return };
    let findings = run(&model);
    let [verdict] = findings.report.verdicts.as_slice() else { panic!("{:?}", findings.report.verdicts) };
    assert_eq!((&verdict.condition, verdict.control.as_deref()), (&Condition::new("L1", 1), Some("neutral")));
    let kinds: Vec<CheckKind> = verdict.checks.iter().map(|check| check.kind).collect();
    assert_eq!(kinds, CheckKind::VERDICT);
    let still = verdict.check(CheckKind::NoReduction).unwrap();
    assert!(still.value.is_some(), "{still:?}");

    let folder = tempfile::tempdir().unwrap();
    let [first, second] = ["first", "second"].map(|name| folder.path().join(name));
    let bytes = written(&findings, &first, "report.json");
    assert_eq!(Report::load(first.join("report.json")).unwrap(), findings.report);
    assert!(written(&run(&model), &second, "report.json") == bytes, "the same seed, another report");

    let (levels, report) = by_parts(&model);
    assert_eq!(levels.readings().len(), findings.levels.readings().len());
    for (ours, parts) in findings.levels.readings().iter().zip(levels.readings()) {
        assert_eq!((ours.reading(), ours.items(), ours.design()), (parts.reading(), parts.items(), parts.design()));
        assert_eq!((ours.addresses(), ours.metrics()), (parts.addresses(), parts.metrics()));
        assert_eq!(ours.values(), parts.values());
    }
    assert_eq!(report, findings.report);
}

/// Questions that the scripted model answers, all alike; statements of which the immoral ones are longer.
fn scripted_experiment(control: Option<&str>) -> Experiment {
    let item = |number: usize| {
        let options = ["baker", "clerk", "open"].map(str::to_owned).to_vec();
        let item = ChoiceItem::new(format!("q{number}"), "who ?", options, 2);
        ChoiceItem { context: "first baker and clerk".to_owned(), ..item }
    };
    let statement = |number: usize| LabelledText {
        id: number.to_string(),
        text: if number.is_multiple_of(2) { "baker" } else { "baker and clerk because maybe" }.to_owned(),
        immoral: number % 2 == 1,
        group: (number / 2).to_string(),
    };
    let task = ChoiceTask::new("scripted", (0..12).map(item).collect()).unwrap();
    let protocol = SelfCorrection::new(task)
        .instructions([Instruction::new("mine", "so"), Instruction::new("calm", "maybe so")])
        .rounds(1);
    let protocol = match control {
        Some(control) => protocol.control(control),
        None => protocol,
    };
    Experiment::new(protocol).statements((0..240).map(statement).collect()).readings([]).settings(settings())
}

#[test]
fn instructions_of_ones_own_are_judged_against_the_control_that_is_named() {
    let model = scripted(&[("first", &["open <end>"])], 400);
    let experiment = |control| scripted_experiment(control).sites(Site::ResidPost.all_layers());
    let report = experiment(Some("calm")).run(&model).unwrap().report;
    let [verdict] = report.verdicts.as_slice() else { panic!("{:?}", report.verdicts) };
    assert_eq!((&verdict.condition, verdict.control.as_deref()), (&Condition::new("mine", 1), Some("calm")));
    assert_eq!(report.conditions.control(&Condition::new("mine", 1)), Some(&Condition::new("calm", 1)));
    assert!(report.to_html().contains("Against calm"));
    // No name tells that one of them is neutral.
    let alone = experiment(None).run(&model).unwrap().report;
    assert!(alone.verdicts.iter().all(|verdict| verdict.control.is_none()) && alone.verdicts.len() == 2);
    let error = scripted_experiment(Some("clam")).check().unwrap_err().to_string();
    assert!(error.contains("control = clam"), "{error}");
}

#[test]
fn what_would_fail_after_the_last_answer_fails_before_a_model_is_needed() {
    let text = |number: usize| Completion {
        id: format!("t{number}"),
        group: format!("t{number}"),
        category: String::new(),
        text: "It was".to_owned(),
        toxicity: None,
        challenging: false,
    };
    let task = CompletionTask::new("texts", (0..3).map(text).collect()).unwrap();
    let error = Experiment::new(SelfCorrection::new(task)).check().unwrap_err();
    assert!(matches!(&error, Error::Setting { .. }) && error.to_string().contains("scorer"), "{error}");

    Experiment::new(protocol()).check().unwrap();
    let d = Settings::default;
    for (settings, says) in [
        (d().draws(0), "draws = 0"),
        (d().flips(0), "flips = 0"),
        (d().null_draws(999), "null_draws = 999"),
        (d().level(1.0), "level = 1"),
        (d().margin(0.0), "margin = 0"),
        (d().margin(f64::NAN), "margin = NaN"),
        (d().power(1.0), "power = 1"),
    ] {
        let direct = settings.validate().unwrap_err().to_string();
        let error = Experiment::new(protocol()).settings(settings).check().unwrap_err().to_string();
        assert!(error.contains(says) && error == direct, "{error}; {direct}");
    }
    let probe = LogisticProbe::default().alpha(0.0);
    let error = Experiment::new(protocol()).probe(probe).check().unwrap_err().to_string();
    assert!(error.contains("alpha"), "{error}");
}

#[test]
fn protocols_and_experiments_go_to_other_threads() {
    fn sends<T: Send>() {}
    sends::<SelfCorrection<ChoiceItem>>();
    sends::<Experiment<ChoiceItem>>();
    sends::<Experiment<Completion>>();
}
