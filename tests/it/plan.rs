//! Plans: what is written down before a run, and that a run keeps to it.

use std::time::Duration;

use common::made::Folder;
use common::scripted::scripted;
use probity::dialogue::{Instruction, Part, Reading, SelfCorrection};
use probity::experiment::{Experiment, Plan};
use probity::hook::{Selection, Site};
use probity::level::window::Window;
use probity::probe::{LogisticProbe, MeanDifferenceProbe};
use probity::stats::Settings;
use probity::task::{ChoiceItem, ChoiceTask, ScoreRule};
use probity::text::LabelledText;
use probity::Error;

fn items(count: usize) -> ChoiceTask {
    let item = |number: usize| {
        let options = ["baker", "clerk", "open"].map(str::to_owned).to_vec();
        let item = ChoiceItem::new(format!("q{number}"), "who ?", options, 2);
        ChoiceItem { context: "first baker and clerk".to_owned(), ..item }
    };
    ChoiceTask::new("scripted", (0..count).map(item).collect()).unwrap()
}

fn statements(count: usize) -> Vec<LabelledText> {
    let statement = |number: usize| LabelledText {
        id: number.to_string(),
        text: if number.is_multiple_of(2) { "baker" } else { "baker and clerk because maybe" }.to_owned(),
        immoral: number % 2 == 1,
        group: (number / 2).to_string(),
    };
    (0..count).map(statement).collect()
}

fn protocol(items: ChoiceTask) -> SelfCorrection {
    SelfCorrection::new(items)
        .instructions([Instruction::new("mine", "so"), Instruction::new("calm", "maybe so")])
        .control("calm")
        .rounds(1)
}

fn of(protocol: SelfCorrection) -> Experiment {
    Experiment::new(protocol)
        .statements(statements(240))
        .readings([])
        .sites(Site::ResidPost.all_layers())
        .settings(few())
}

fn few() -> Settings {
    Settings::default().draws(200).flips(200)
}

fn experiment() -> Experiment {
    of(protocol(items(12)))
}

#[test]
fn a_plan_is_a_file_that_is_written_once() {
    let folder = Folder::new();
    let path = folder.join("plan.json");
    let plan = Plan::of(&experiment()).unwrap().model("tied");
    plan.save(&path).unwrap();
    assert_eq!(Plan::load(&path).unwrap(), plan);
    assert_eq!((plan.task.items, plan.task.outcome.as_str(), plan.sites.as_str()), (12, "accuracy", "resid_post"));
    assert_eq!(plan.controls.values().collect::<Vec<_>>(), [&Some("calm round 1".to_owned())]);
    let error = plan.save(&path).unwrap_err().to_string();
    assert!(error.contains("not there yet"), "{error}");

    // The hash is that of the file, whatever stands in it.
    let again = Plan::of(&experiment().seed(3)).unwrap();
    assert!(again.sha256() != plan.sha256() && plan.sha256().len() == 64);
    let text = std::fs::read_to_string(&path).unwrap();
    for (wrong, says) in [
        (text.replacen("\"crossed\"", "\"crosed\"", 1), "crosed"),
        (text.replace(Plan::SCHEMA, "probity-plan-0"), "probity-plan-0"),
        (text.replacen(&plan.made, "soon", 1), "no date"),
    ] {
        let bad = folder.write("bad.json", wrong);
        let message = common::told(&Plan::load(bad).unwrap_err());
        assert!(message.contains("bad.json") && message.contains(says), "{message}");
    }
}

#[test]
fn everything_that_differs_from_the_plan_is_refused_by_name() {
    let plan = Plan::of(&experiment()).unwrap();
    let by_plan = |experiment: Experiment| experiment.by_plan(plan.clone()).check();
    by_plan(experiment()).unwrap();
    // What changes no result is not in a plan.
    by_plan(of(protocol(items(12)).batch(3).cache_budget(1 << 20))).unwrap();
    let answers = [Reading::of(Part::Answer)];
    let words = [Instruction::new("mine", "so what"), Instruction::new("calm", "maybe so")];
    let window = Window { site: Site::ResidPost, first: 0, last: 1 };
    let some: Selection = Site::ResidPost.at(0).into();
    for (other, says) in [
        (experiment().settings(few().margin(0.1)), "settings.margin: planned 0.2, asked for 0.1"),
        (experiment().settings(few().level(0.9)), "settings.level: planned 0.95, asked for 0.9"),
        (experiment().seed(9), "settings.seed: planned 0, asked for 9"),
        (
            experiment().readings(answers),
            "crossed: planned false, asked for true; readings: planned [], asked for [\"answer\"]",
        ),
        (experiment().sites(some), "sites: planned resid_post, asked for L0.resid_post"),
        (experiment().verdict_window(window), "verdict_window: planned nothing, asked for L0-1.resid_post"),
        (
            experiment().probe(MeanDifferenceProbe::default()),
            "probe.settings.probe_kind: planned logistic, asked for mean_difference",
        ),
        (experiment().probe(LogisticProbe::default().alpha(2.0)), "probe.settings.probe_alpha: planned"),
        (experiment().statements(statements(200)), "probe.texts: planned 240, asked for 200"),
        (of(protocol(items(11))), "task.items: planned 12, asked for 11"),
        (of(protocol(items(12)).rounds(2)), "protocol.rounds: planned 1, asked for 2"),
        (
            of(protocol(items(12)).score_rule(ScoreRule::Total)),
            "protocol.option_score: planned chosen by round 0, asked for total",
        ),
        (of(protocol(items(12)).instructions(words)), "instructions.mine: planned "),
        (of(protocol(items(12)).control("mine")), "controls.calm round 1: planned nothing, asked for mine round 1"),
    ] {
        let error = by_plan(other).unwrap_err();
        assert!(matches!(error, Error::Mismatch { .. }) && error.to_string().contains(says), "{error}; {says}");
    }
    // Other items of the same number, names and files.
    let other: Vec<ChoiceItem> =
        items(12).items().iter().cloned().map(|item| ChoiceItem { context: "and".into(), ..item }).collect();
    let error = by_plan(of(protocol(ChoiceTask::new("scripted", other).unwrap()))).unwrap_err().to_string();
    assert!(error.contains("task.items_sha256") && error.contains("task.sha256"), "{error}");
    // Two differences are two.
    let error = by_plan(experiment().settings(few().margin(0.1).power(0.9))).unwrap_err().to_string();
    assert!(error.contains("settings.margin") && error.contains("settings.power"), "{error}");
}

#[test]
fn a_run_by_a_plan_says_so_and_one_for_another_model_is_refused() {
    let model = scripted(&[("first", &["open <end>"])], 400);
    let plan = Plan::of(&experiment()).unwrap();
    let error = experiment().by_plan(plan.clone().model("other")).run(&model).unwrap_err().to_string();
    assert!(error.contains("model: planned other, asked for"), "{error}");

    let report = experiment().by_plan(plan.clone()).run(&model).unwrap().report;
    let record = report.plan.clone().unwrap();
    assert_eq!((record.sha256, record.made, record.exploratory), (plan.sha256(), plan.made.clone(), None));
    assert!(experiment().run(&model).unwrap().report.plan.is_none());

    // A plan that is younger than the answers has seen them, or may have.
    let folder = Folder::new();
    let kept = || of(protocol(items(12)).checkpoints(folder.join("unfinished")));
    kept().run(&model).unwrap();
    std::thread::sleep(Duration::from_millis(1_100));
    let late = Plan::of(&kept()).unwrap();
    let record = kept().by_plan(late).run(&model).unwrap().report.plan.unwrap();
    assert_eq!(record.exploratory.as_deref(), Some("answers of this run are older than the plan"));
    let record = kept().by_plan(plan).run(&model).unwrap().report.plan.unwrap();
    assert_eq!(record.exploratory, None);
}

#[test]
fn a_window_is_of_layers_that_were_read() {
    let model = scripted(&[("first", &["open <end>"])], 400);
    let window = |first, last| Window { site: Site::ResidPost, first, last };
    let report = experiment().verdict_window(window(0, 0)).run(&model).unwrap().report;
    assert_eq!(report.analysis.window, Some(window(0, 0)));
    let error = experiment().verdict_window(window(0, 900)).run(&model).unwrap_err().to_string();
    assert!(error.contains("window = L0-900.resid_post"), "{error}");
    let mlp = Window { site: Site::MlpOut, first: 0, last: 0 };
    let error = experiment().verdict_window(mlp).check().unwrap_err().to_string();
    assert!(error.contains("verdict_window = L0-0.mlp_out"), "{error}");
    assert_eq!("L0-900.resid_post".parse::<Window>().unwrap(), window(0, 900));
    for wrong in ["", "8-15", "L8-3.resid_post", "L1-2.embed", "La-b.resid_post", "L1-2.resid"] {
        assert!(wrong.parse::<Window>().is_err(), "{wrong}");
    }
}
