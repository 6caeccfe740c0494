//! Other analyses of one run: each is the one that it says, and the run's own is among them.

use common::labelled::statements;
use common::smollm;
use common::worlds::{asked, grid, Plan, World};
use probity::dialogue::{Instruction, SelfCorrection};
use probity::experiment::{Experiment, LayerChoice, ProbeChoice, Sensitivity};
use probity::hook::{Selection, Site};
use probity::level::window::Window;
use probity::level::{ChangeOf, SensitivityTable, Specification, VerdictKind, VerdictRule};
use probity::stats::Settings;
use probity::task::ChoiceTask;

#[test]
fn several_margins_at_once_are_each_margin_alone() {
    let margins = [0.02, 0.1, 0.2, 0.4, 0.9];
    let mut kinds = std::collections::HashSet::new();
    for (name, seed) in [("superficial", 1), ("internal", 2), ("internal, AUROC 0.72", 3), ("nothing changes", 4)] {
        let plan = grid().into_iter().find(|plan| plan.name == name).unwrap();
        let world = World::draw(Plan { d: plan.d.min(64), ..plan }, seed).unwrap();
        let settings = Settings::default().draws(300);
        let together =
            VerdictRule::new(settings).by_margins(&asked(), &world.levels, &world.outcome, &margins).unwrap();
        for (&margin, kind) in margins.iter().zip(together) {
            let alone = VerdictRule::new(settings.margin(margin));
            let verdict = alone.judge(&asked(), &world.levels, &world.outcome).unwrap();
            assert_eq!(kind, verdict.kind, "{name} by {margin}");
            kinds.insert(kind.to_string());
        }
    }
    assert!(kinds.len() >= 3, "{kinds:?}: the margins make a difference");
}

fn experiment() -> Experiment {
    let task = ChoiceTask::bundled().unwrap().limit(24, 1);
    let protocol = SelfCorrection::new(task)
        .instructions(["L1", "neutral"].map(|name| Instruction::named(name).unwrap()))
        .rounds(1);
    let places: Selection = [4, 8].map(|layer| Site::ResidPost.at(layer)).into_iter().collect();
    Experiment::new(protocol)
        .statements(statements())
        .sites(places)
        .settings(Settings::default().draws(200).flips(200).seed(7))
}

fn window() -> Window {
    Window { site: Site::ResidPost, first: 8, last: 8 }
}

fn row<'a>(table: &'a SensitivityTable, probe: &str, seed: u64, layers: &str, of: ChangeOf) -> &'a Specification {
    let is_it = |row: &&Specification| {
        (row.probe.as_str(), row.seed, row.layers.as_str(), row.reading) == (probe, seed, layers, of)
    };
    table.specifications.iter().find(is_it).unwrap()
}

#[test]
fn the_run_itself_is_among_its_other_analyses() {
    let Some(model) = smollm() else { return };
    let grid = Sensitivity::default()
        .probes([ProbeChoice::Logistic(1.0), ProbeChoice::MeanDifference])
        .seeds(2)
        .layers([LayerChoice::All, LayerChoice::Quarters])
        .margins([0.1, 0.3]);
    let report = experiment().sensitivity(grid).run(&model).unwrap().report;
    let (table, verdict) = (report.sensitivity.as_ref().unwrap(), &report.verdicts[0]);
    // 2 probes, all layers and two halves by the first seed, all by the second, 3 readings.
    assert_eq!(table.specifications.len(), 2 * (3 + 1) * 3);
    let rules = table.score_rules.len();
    assert!(table.margins == [0.1, 0.2, 0.3] && rules >= 3, "{:?}", table.score_rules);
    for of in [ChangeOf::Conversation, ChangeOf::Prompt] {
        let own = row(table, "logistic", 7, "all", of);
        assert_eq!(own.change, verdict.change(of).map(|change| change.interval), "{of:?}");
        let other = row(table, "logistic", 8, "all", of);
        assert!(own.change != other.change, "another split is another D");
    }
    let own = row(table, "logistic", 7, "all", ChangeOf::Conversation);
    let rule = table.score_rules.iter().position(|rule| rule == "per_token").unwrap();
    assert_eq!((own.verdicts[1][rule], own.valid), (verdict.kind, verdict.addresses.len()));
    assert!(table.specifications.iter().all(|row| match row.reading {
        ChangeOf::Prompt => row.verdicts.is_empty(),
        _ => row.verdicts.len() == 3 && row.verdicts.iter().all(|by_rule| by_rule.len() == rules),
    }));
    // Without the crossed readings nothing is internal.
    let answers = table.specifications.iter().filter(|row| row.reading == ChangeOf::Answer);
    assert!(answers.flat_map(|row| row.verdicts.iter().flatten()).all(|kind| *kind != VerdictKind::Internal));
    let counted: usize = table.counts(&verdict.condition).iter().map(|count| count.analyses).sum();
    assert_eq!(counted, 2 * (3 + 1) * 2 * 3 * rules);

    // Another run with what one of the analyses chose is that analysis.
    let declared = experiment().probe(probity::probe::MeanDifferenceProbe::default().seed(7)).verdict_window(window());
    let declared = declared.run(&model).unwrap().report;
    let alike = row(table, "mean_difference", 7, "L8-8.resid_post", ChangeOf::Conversation);
    let change = declared.verdicts[0].change(ChangeOf::Conversation).unwrap();
    assert_eq!((declared.verdicts[0].addresses.as_slice(), alike.valid), ([Site::ResidPost.at(8)].as_slice(), 1));
    assert_eq!(alike.change, Some(change.interval));
    assert!(declared.to_html().contains("of L8-8.resid_post as declared"));
    assert!(!declared.precision.is_empty() && declared.precision[0].change.is_some());
}

#[test]
fn a_grid_without_choices_is_refused() {
    let refused = |grid: Sensitivity| experiment().sensitivity(grid).check().unwrap_err().to_string();
    for (grid, says) in [
        (Sensitivity::default().probes([]), "sensitivity.probes = none"),
        (Sensitivity::default().seeds(0), "sensitivity.seeds = none"),
        (Sensitivity::default().layers([]), "sensitivity.layers = none"),
        (Sensitivity::default().score_rules([]), "sensitivity.score_rules = none"),
        (Sensitivity::default().margins([0.0]), "sensitivity.margins = 0"),
        (Sensitivity::default().probes([ProbeChoice::Ridge(-1.0)]), "sensitivity.probes = -1"),
    ] {
        let error = refused(grid);
        assert!(error.contains(says), "{error}");
    }
}
