//! The JSON schema of reports: the file is the one that the types give, and it says neither less nor more than reports hold.

use std::collections::BTreeSet;

use common::scripted::scripted;
use jsonschema::Validator;
use probity::dialogue::{Instruction, SelfCorrection, Thinking};
use probity::experiment::Experiment;
use probity::hook::Site;
use probity::report::Report;
use probity::stats::Settings;
use probity::task::{ChoiceItem, ChoiceTask};
use probity::text::LabelledText;
use serde_json::{json, Value};

use crate::report::{everything, full, sparse};

fn validator() -> Validator {
    jsonschema::validator_for(&Report::json_schema()).unwrap()
}

/// A study of the scripted model, with what a report says of protocols: thoughts, and a last round of another instruction.
fn thoughtful() -> Report {
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
        .control("calm")
        .rounds(1)
        .thinking(Thinking { request: "because ?".to_owned(), conclude: Some("so".to_owned()) })
        .re_elicit([Instruction::new("back", "again")]);
    let said = ["so <end>", "open <end>"].repeat(4);
    Experiment::new(protocol)
        .statements((0..80).map(statement).collect())
        .sites(Site::ResidPost.all_layers())
        .readings([])
        .settings(Settings::default().draws(200).flips(200))
        .run(&scripted(&[("first", &said)], 400))
        .unwrap()
        .report
}

#[test]
fn the_file_is_the_schema_that_the_types_give() {
    let path = common::root().join("docs/report.schema.json");
    let derived = serde_json::to_string_pretty(&Report::json_schema()).unwrap() + "\n";
    if std::env::var_os("PROBITY_WRITE_SCHEMA").is_some() {
        std::fs::write(&path, &derived).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == derived, "{} is not what the types give: `make schema` rewrites it", path.display());
}

#[test]
fn reports_keep_to_the_schema() {
    assert!(jsonschema::draft202012::meta::is_valid(&Report::json_schema()));
    let validator = validator();
    let folder = tempfile::tempdir().unwrap();
    for (name, report) in
        sparse().into_iter().chain([("full", full()), ("everything", everything()), ("thoughtful", thoughtful())])
    {
        report.write_dir(folder.path()).unwrap();
        let text = std::fs::read_to_string(folder.path().join("report.json")).unwrap();
        let value: Value = serde_json::from_str(&text).unwrap();
        let problems: Vec<String> =
            validator.iter_errors(&value).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(problems.is_empty(), "{name}: {problems:#?}");
    }
}

/// Whether a key of the object at `pointer` is written only where there is something to say.
fn is_optional(pointer: &str, key: &str) -> bool {
    (pointer.starts_with("/conditions/") && key == "control")
        || (pointer.starts_with("/verdicts/") && key == "wordings")
        || matches!(key, "then" | "conclude" | "about")
}

#[test]
fn keys_that_are_missing_or_unknown_are_refused() {
    let validator = validator();
    for report in [everything(), thoughtful()] {
        let value = serde_json::to_value(report).unwrap();
        assert!(validator.is_valid(&value));
        // Every field, at every depth: missing, or under another name.
        let mut seen = BTreeSet::new();
        for (pointer, keys) in objects(&value) {
            // One element with these keys of each list of rows is enough.
            let kind = pointer.replace(|letter: char| letter.is_ascii_digit(), "#");
            if !seen.insert((kind, keys.clone())) {
                continue;
            }
            for key in keys {
                let mut bad = value.clone();
                let kept = bad.pointer_mut(&pointer).unwrap().as_object_mut().unwrap().remove(&key).unwrap();
                assert_eq!(validator.is_valid(&bad), is_optional(&pointer, &key), "{pointer} without {key}");
                bad.pointer_mut(&pointer).unwrap().as_object_mut().unwrap().insert(format!("{key}_"), kept);
                assert!(!validator.is_valid(&bad), "{pointer} with {key} under another name");
            }
        }
        assert!(seen.len() > 10, "{seen:?}");
    }
}

#[test]
fn values_that_no_report_has_are_refused() {
    let validator = validator();
    let value = serde_json::to_value(everything()).unwrap();
    for (pointer, wrong) in [
        ("/schema", json!("probity-report-2")),
        ("/model/layers", json!("3")),
        ("/settings/level", json!(95)),
        ("/settings/null_draws", json!(10)),
        ("/provenance/model_sha256", json!(1)),
        ("/conditions/0/role", json!("extra")),
        ("/verdicts/0/kind", json!("perhaps")),
        ("/verdicts/0/checks/1/name", json!("probe_valid")),
        ("/verdicts/0/checks/0/passed", json!("yes")),
        ("/probes/0/auroc", json!(1.5)),
        ("/probes/0/address", json!("resid_post")),
        ("/probes/0/address", json!("L1.resid_post.h2")),
        ("/probes/0/address", json!("L01.resid_post")),
        ("/behaviour/rows/0/measure", json!("speed")),
        ("/behaviour/rows/0/value/estimate", Value::Null),
        ("/behaviour/outcome/series/0/result/0", json!("1")),
        ("/behaviour/bias/0/chosen", json!("guessed")),
        ("/behaviour/flows/0/result/counts/0", json!([1])),
        ("/behaviour/flows/0/result/mcnemar_p", json!(2)),
        ("/levels/0/interval/low", json!("0")),
        ("/levels/0/reading", json!("everywhere")),
        ("/changes/0/against", json!("before")),
        ("/changes/0/nulls/0/p", json!(0)),
        ("/changes/0/nulls", Value::Null),
    ] {
        let mut bad = value.clone();
        *bad.pointer_mut(pointer).unwrap() = wrong;
        assert!(!validator.is_valid(&bad), "{pointer}");
    }
    // What nothing bounds is null.
    let mut open = value.clone();
    *open.pointer_mut("/changes/0/band/low").unwrap() = Value::Null;
    assert!(validator.is_valid(&open));
}

/// The objects of a report, with their keys, but for the provenance, whose keys are anyone's.
fn objects(report: &Value) -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    gather(report, String::new(), &mut found);
    found.retain(|(pointer, _)| pointer != "/provenance");
    found
}

fn gather(value: &Value, pointer: String, found: &mut Vec<(String, Vec<String>)>) {
    match value {
        Value::Object(fields) => {
            found.push((pointer.clone(), fields.keys().cloned().collect()));
            fields.iter().for_each(|(key, value)| gather(value, format!("{pointer}/{key}"), found));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, value)| gather(value, format!("{pointer}/{index}"), found));
        }
        _ => {}
    }
}

/// The names of all fields that a schema describes; that it does so in words.
fn described(schema: &Value, found: &mut BTreeSet<String>) {
    if let Some(fields) = schema.get("properties").filter(|_| schema.get("required").is_some()) {
        for (name, field) in fields.as_object().unwrap() {
            let text =
                field.get("description").or(schema.get("description")).and_then(Value::as_str).unwrap_or_default();
            assert!(text.len() > 2 && !text.contains("```") && !text.contains("[`"), "{name}: {text:?}");
            found.insert(name.clone());
        }
    }
    match schema {
        Value::Object(fields) => fields.values().for_each(|value| described(value, found)),
        Value::Array(items) => items.iter().for_each(|value| described(value, found)),
        _ => {}
    }
}

#[test]
fn the_schema_names_and_describes_every_field() {
    let mut named = BTreeSet::new();
    described(&Report::json_schema(), &mut named);
    let reports = [everything(), thoughtful()].map(|report| serde_json::to_value(report).unwrap());
    let written: BTreeSet<String> = reports.iter().flat_map(objects).flat_map(|(_, keys)| keys).collect();
    assert!(written.is_subset(&named), "{:?}", written.difference(&named));
    // What neither report has occasion to write.
    assert_eq!(named.difference(&written).collect::<Vec<_>>(), ["expected_maximum", "mention", "tells_answer"]);
}
