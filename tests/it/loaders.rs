//! Official files as items, and what is said about bad ones.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use common::benchmark;
use probity::task::{
    Bbq, ChoiceTask, CompletionTask, ContextCondition, Ethics, Item, Occupation, Polarity, RealToxicityPrompts,
    Winogender,
};
use probity::Result;

#[track_caller]
fn refused<T>(result: Result<T>, says: &[&str]) {
    let message = common::told(&result.err().expect("an error"));
    for part in says {
        assert!(message.contains(part), "{part:?} not in: {message}");
    }
}

const METADATA: &str = "category,question_index,example_id,target_loc,label_type\nAge,1,0,0,label\nAge,1,1,0,label\n\
    Age,1,2,1,label\nAge,1,3,,label\n";

/// Rows of the form of BBQ, in our own words; example 1 asks the non-negative question, where the biased option is the
/// one that the stereotype does not name.
fn bbq_row(id: u64) -> String {
    let (polarity, condition) = (["neg", "nonneg"][id as usize % 2], ["ambig", "disambig"][id as usize / 2 % 2]);
    let row = serde_json::json!({
        "example_id": id, "question_index": "1", "question_polarity": polarity, "context_condition": condition,
        "category": "Age",
        "answer_info": {"ans0": ["uncle", "old"], "ans1": ["nephew", "nonOld"], "ans2": ["Not known", "unknown"]},
        "context": "An uncle and a nephew sat down.", "question": "Who?", "ans0": "The uncle", "ans1": "The nephew",
        "ans2": "Not known", "label": 2,
    });
    format!("{row}\n")
}

fn bbq_folder(rows: &[String], metadata: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("data")).unwrap();
    std::fs::write(folder.path().join("data/Age.jsonl"), rows.concat()).unwrap();
    std::fs::write(folder.path().join("additional_metadata.csv"), metadata).unwrap();
    folder
}

#[test]
fn bbq_takes_the_target_as_it_is() {
    let folder = bbq_folder(&(0..4).map(bbq_row).collect::<Vec<_>>(), METADATA);
    let task = Bbq::load(folder.path()).unwrap();
    let biased: Vec<Option<usize>> = task.items().iter().map(|item| item.biased).collect();
    assert_eq!(biased, [Some(0), Some(0), Some(1), None]);
    assert_eq!(task.items()[1].polarity, Some(Polarity::NonNegative));
    assert_eq!((task.items()[0].id.as_str(), task.items()[0].group.as_str()), ("Age-0", "Age-1"));
    assert_eq!(task.clone().ambiguous().items().len(), 2);
    refused(task.categories(["Aged"]), &["Aged", "nearest: Age"]);
}

#[test]
fn a_table_of_bbq_that_is_not_corrected_for_polarity_is_refused() {
    let groups = |named: &str| {
        let row = move |id: u64| {
            let mut row: serde_json::Value = serde_json::from_str(&bbq_row(id)).unwrap();
            row["additional_metadata"] = serde_json::json!({"subcategory": "None", "stereotyped_groups": [named]});
            format!("{row}\n")
        };
        (0..8).map(row).collect::<Vec<String>>()
    };
    // By row the target, of which those with odd ids are of non-negative questions.
    let table = |targets: [&str; 8]| {
        let rows = targets.iter().enumerate().map(|(id, target)| format!("Age,1,{id},{target},label\n"));
        format!("category,question_index,example_id,target_loc,label_type\n{}", rows.collect::<String>())
    };
    let load = |named: &str, targets: [&str; 8]| Bbq::load(bbq_folder(&groups(named), &table(targets)).path());
    let corrected = ["0", "1", "0", "1", "0", "1", "0", "1"];
    let as_named = ["0", "0", "0", "0", "0", "0", "0", "0"];
    // The group "old", and the text "uncle" where the stereotype names that, are option 0.
    for named in ["old", "Uncle"] {
        let task = load(named, corrected).unwrap();
        assert!(task
            .items()
            .iter()
            .all(|item| item.biased == Some(usize::from(item.polarity == Some(Polarity::NonNegative)))));
        refused(load(named, as_named), &["additional_metadata.csv:3: target_loc", "polarity", "4 of 4", "Age"]);
    }
    // Odd rows are let be, half of them are not; what cannot be compared is not.
    let _ = load("old", ["0", "1", "0", "1", "0", "1", "0", "0"]).unwrap();
    refused(load("old", ["0", "1", "0", "1", "0", "0", "0", "0"]), &["additional_metadata.csv:7: ", "2 of 4"]);
    let _ = load("aunts", as_named).unwrap();
    let _ = load("old", ["0", "", "0", "", "0", "", "0", ""]).unwrap();
}

#[test]
fn the_official_bbq_is_refused_where_its_targets_are_not_corrected() {
    let Some(folder) = benchmark("bbq") else { return };
    let copy = tempfile::tempdir().unwrap();
    std::fs::create_dir(copy.path().join("data")).unwrap();
    let mut non_negative = BTreeSet::new();
    for file in ["Age.jsonl", "Nationality.jsonl"] {
        let text = std::fs::read_to_string(folder.join("data").join(file)).unwrap();
        for row in text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()) {
            if row["question_polarity"] == "nonneg" {
                let unknown = (0..3).find(|option| row["answer_info"][format!("ans{option}")][1] == "unknown").unwrap();
                non_negative.insert((
                    row["category"].as_str().unwrap().to_owned(),
                    row["example_id"].to_string(),
                    unknown,
                ));
            }
        }
        std::fs::write(copy.path().join("data").join(file), text).unwrap();
    }
    let table = std::fs::read_to_string(folder.join("additional_metadata.csv")).unwrap();
    let load = |table: String| {
        std::fs::write(copy.path().join("additional_metadata.csv"), table).unwrap();
        Bbq::load(copy.path())
    };
    let _ = load(table.clone()).unwrap();
    for category in ["Age", "Nationality"] {
        // The same table with the named option as the target of this category's non-negative questions.
        let turned = table.lines().map(|line| {
            let mut fields: Vec<String> = line.split(',').map(str::to_owned).collect();
            let key = |unknown: usize| (fields[0].clone(), fields[2].clone(), unknown);
            let unknown = (0..3).find(|&unknown| fields[0] == category && non_negative.contains(&key(unknown)));
            if let (Some(unknown), Ok(target)) = (unknown, fields[3].parse::<usize>()) {
                fields[3] = (3 - unknown - target).to_string();
            }
            fields.join(",") + "\n"
        });
        refused(load(turned.collect()), &["additional_metadata.csv:", "not corrected for polarity", category]);
    }
}

#[test]
fn bad_lines_of_bbq_are_named() {
    let good: Vec<String> = (0..6).map(bbq_row).collect();
    let line7 = |bad: String, says: &[&str]| {
        let rows: Vec<String> = good.iter().cloned().chain([bad]).collect();
        refused(Bbq::load(bbq_folder(&rows, METADATA).path()), &[&["Age.jsonl:7: "], says].concat());
    };
    let row = bbq_row(7);
    line7(row[..40].to_owned(), &["EOF"]);
    line7(bbq_row(3), &["id \"Age-3\" appears a second time"]);
    line7(row.replace("\"label\":2", "\"label\":3"), &["label = 3 is outside the 3 options"]);
    line7(row.replace("\"label\":2", "\"label\":-1"), &["-1"]);
    line7(row.replace("\"Age\"", "\"Aged\""), &["category \"Aged\" is none of Age, "]);
    line7(row.replace("\"Age\"", "\"SES\""), &["has no row of category \"SES\""]);
    line7(row.replace("nonneg", "positive"), &["question_polarity \"positive\""]);
    line7(row.replace("disambig", "clear"), &["context_condition \"clear\""]);
    line7(row.replace("\"unknown\"", "\"old\""), &["0 options are of the group \"unknown\""]);
    line7(row.replace("\"question\"", "\"query\""), &["missing field `question`"]);
    let load = |metadata: &str| Bbq::load(bbq_folder(&good, metadata).path());
    refused(load(&METADATA.replace("target_loc", "target")), &["metadata.csv:1: ", "\"target_loc\"; nearest: target"]);
    refused(load(&METADATA.replace("2,1,label", "2,4,label")), &["metadata.csv:4: target_loc = \"4\""]);
    refused(load(&METADATA.replace("2,1,label", "2,1")), &["metadata.csv:4: 4 fields, expected 5"]);
    refused(load(""), &["metadata.csv", "empty"]);
    refused(Bbq::load(bbq_folder(&[], METADATA).path()), &["Age.jsonl", "holds no rows"]);
    refused(Bbq::load("/no/such/folder"), &["No such file"]);
    let folder = bbq_folder(&good, METADATA);
    let latin = [good[0].as_bytes(), good[1].as_bytes(), b"{\"\xe9\"}"];
    std::fs::write(folder.path().join("data/Age.jsonl"), latin.concat()).unwrap();
    refused(Bbq::load(folder.path()), &["Age.jsonl:3: not UTF-8"]);
    std::fs::write(folder.path().join("additional_metadata.csv"), b"\xff\xfec\0a\0t\0").unwrap();
    refused(Bbq::load(folder.path()), &["metadata.csv:1: not UTF-8"]);
}

#[test]
fn bad_lines_of_other_benchmarks_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &str| {
        std::fs::write(folder.path().join(name), content).unwrap();
        folder.path().join(name)
    };
    let prompt = |begin: u32, score: &str| {
        format!(
            "{{\"filename\":\"f\",\"begin\":{begin},\"end\":9,\"prompt\":{{\"text\":\"So\",\"toxicity\":{score}}}}}\n"
        )
    };
    let good: String = (0..6).map(|begin| prompt(begin, if begin == 2 { "null" } else { "0.5" })).collect();
    let task = RealToxicityPrompts::load(write("prompts.jsonl", &good)).unwrap();
    assert_eq!((task.items().len(), task.unscored(), task.clone().toxic().items().len()), (6, 1, 5));
    assert_eq!(task.items()[0].context(), "So");
    let line7 = |bad: &str, says: &[&str]| {
        let load = RealToxicityPrompts::load(write("prompts.jsonl", &format!("{good}{bad}")));
        refused(load, &[&["prompts.jsonl:7: "], says].concat());
    };
    line7(&prompt(7, "1.2"), &["toxicity 1.2 is outside 0 to 1"]);
    line7(&prompt(3, "0.1"), &["id \"f:3-9\" appears a second time"]);
    line7(&prompt(7, "0.1").replace("toxicity", "toxic"), &["missing field `toxicity`"]);
    line7("{\"filename\"", &["EOF"]);

    let virtue = |content: &str| Ethics::Virtue.load(write("virtue.csv", content));
    assert_eq!(virtue("label,scenario\n1,A. [SEP] b\n0,A. [SEP] c\n").unwrap().items().len(), 2);
    refused(virtue("label,scene\n"), &["virtue.csv:1: ", "no column \"scenario\"; nearest: scene"]);
    refused(virtue("label,scenario\n1,A. [SEP] b\n2,A. [SEP] c\n"), &["virtue.csv:3: label = \"2\""]);
    refused(virtue("label,scenario\n1,\"A\nB. [SEP] b\"\n1,A\n"), &["virtue.csv:4: ", "[SEP]"]);
    refused(virtue(""), &["virtue.csv", "empty"]);
    refused(virtue("label,scenario\n"), &["virtue.csv", "holds no rows"]);
    let justice = |content: &str| Ethics::Commonsense.load(write("cm.csv", content));
    refused(justice("label,input,is_short\n1,A,maybe\n"), &["cm.csv:2: is_short = \"maybe\""]);

    let occupations = "occupation\tbergsma_pct_female\tbls_pct_female\tbls_year\nbaker\t40\t60.5\t2015\n";
    let sentence = |gender: &str, words: &str| {
        format!("baker.guest.0.{gender}.txt\tThe baker told the guest that {words} late.\n")
    };
    let three = [sentence("male", "he was"), sentence("female", "she was"), sentence("neutral", "they were")].concat();
    let load = |sentences: &str, occupations: &str| {
        write("occupations-stats.tsv", occupations);
        write("all_sentences.tsv", &format!("sentid\tsentence\n{sentences}"));
        Winogender::Pronouns.load(folder.path())
    };
    let pronouns = load(&three, occupations).unwrap();
    let item = &pronouns.items()[0];
    assert_eq!(item.occupation, Some(Occupation { bergsma: 40.0, bls: 60.5 }));
    assert_eq!(item.context, "The baker told the guest that ____ late.");
    assert_eq!(item.options, ["he was", "she was", "they were"]);
    assert_eq!((item.label, item.biased, item.unknown), (2, Some(1), Some(2)));
    let coreference = Winogender::Coreference.load(folder.path()).unwrap();
    let first = &coreference.items()[0];
    assert_eq!((first.options[first.label].as_str(), first.category.as_str()), ("the baker", "male"));
    refused(load(&three.replace("neutral", "plural"), occupations), &["all_sentences.tsv:4: ", "none of male"]);
    refused(
        load(&three.replace("they were", "all were"), occupations),
        &["all_sentences.tsv:4: ", "no neutral pronoun"],
    );
    refused(
        load(&three.replace("baker.guest.0.female", "cook.guest.0.female"), occupations),
        &["tsv:3: occupation \"cook\""],
    );
    refused(load(&[three.as_str(), &sentence("male", "he was")].concat(), occupations), &["tsv:5: ", "a second time"]);
    refused(load(&three.replace("0.female", "2.female"), occupations), &["tsv:3: ", "neither 0 nor 1"]);
    refused(load(&three, &occupations.replace("60.5", "160")), &["stats.tsv:2: bls_pct_female = \"160\""]);
    refused(load(&sentence("male", "he was"), occupations), &["tsv:2: ", "not there in all of male, female, neutral"]);
}

#[test]
fn an_own_benchmark_is_a_file_or_a_few_items() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.jsonl");
    let line = |label: usize| {
        format!("{{\"context\":\"\",\"question\":\"Is it so?\",\"options\":[\"yes\",\"no\"],\"label\":{label},\"group\":\"g\"}}\n")
    };
    std::fs::write(&path, [line(0), line(1)].concat()).unwrap();
    let task = ChoiceTask::load(&path).unwrap();
    assert_eq!(task.items().iter().map(|item| item.id.as_str()).collect::<Vec<_>>(), ["1", "2"]);
    refused(
        ChoiceTask::new("mine", vec![task.items()[0].clone(), task.items()[0].clone()]),
        &["\"1\"", "a second time"],
    );
    std::fs::write(&path, [line(0), line(2)].concat()).unwrap();
    refused(ChoiceTask::load(&path), &["mine.jsonl:2: label = 2 is outside the 2 options"]);
    std::fs::write(&path, "\u{feff}{\"text\": \"So\", \"group\": \"g\"}\n").unwrap();
    assert_eq!(CompletionTask::load(&path).unwrap().items()[0].id, "1");
}

#[test]
fn the_official_bbq_is_read_whole() {
    let Some(folder) = benchmark("bbq") else { return };
    let task = Bbq::load(&folder).unwrap();
    assert_eq!(task.items().len(), 9_076);
    let mut found: BTreeMap<(&str, Option<Polarity>), usize> = BTreeMap::new();
    for item in task.items() {
        assert!(item.biased.is_some() && item.biased != item.unknown);
        assert_eq!(
            item.condition == Some(ContextCondition::Ambiguous),
            Some(item.label) == item.unknown,
            "{}",
            item.id
        );
        *found.entry((item.category.as_str(), item.polarity)).or_default() += 1;
    }
    assert_eq!(found.len(), 12);
    assert_eq!(found[&("Religion", Some(Polarity::Negative))], 500);
    let some = task.clone().categories(["Age", "Religion", "Nationality"]).unwrap().limit_per_category(60, 7);
    assert_eq!(some.items().len(), 180);
    let ambiguous = some.clone().ambiguous();
    assert_eq!(ambiguous.items().len(), 90);
    assert_eq!(some.items().iter().filter(|item| item.polarity == Some(Polarity::Negative)).count(), 90);
    let groups: BTreeSet<&str> = some.groups().into_iter().collect();
    assert_eq!(groups.len(), 60, "every template of the three categories");
}

#[test]
fn the_other_official_files_are_read_whole() {
    if let Some(folder) = benchmark("winogender") {
        let pronouns = Winogender::Pronouns.load(&folder).unwrap();
        let coreference = Winogender::Coreference.load(folder).unwrap();
        assert_eq!((coreference.items().len(), pronouns.items().len()), (576, 96));
        let occupations: BTreeMap<&str, Occupation> =
            pronouns.items().iter().map(|item| (item.group.as_str(), item.occupation.unwrap())).collect();
        assert_eq!(occupations.len(), 48);
        let gender = |text: &String| {
            let words = [["he", "him", "his"], ["she", "her", "hers"], ["they", "them", "their"]];
            let first = text.split(' ').next().unwrap().to_lowercase();
            words.iter().position(|words| words.contains(&first.as_str()))
        };
        for item in pronouns.items() {
            let genders: BTreeSet<usize> = item.options.iter().filter_map(gender).collect();
            assert_eq!(genders.len(), 3, "{:?}", item.options);
            assert_eq!(gender(&item.options[item.label]), Some(2));
            assert!(item.context.contains("____"));
        }
        let accountant = &occupations["accountant"];
        assert_eq!((accountant.bergsma, accountant.bls), (9.26, 59.7));
    }
    if let Some(folder) = benchmark("real_toxicity_prompts") {
        let task = RealToxicityPrompts::load(folder).unwrap();
        assert_eq!((task.items().len(), task.unscored()), (4_009, 16));
        let part =
            |task: &CompletionTask, category: &str| task.items().iter().filter(|i| i.category == category).count();
        assert_eq!((part(&task, "0-0.25"), part(&task, "0.75-1")), (2_319, 495));
        assert_eq!(task.items().iter().filter(|item| item.challenging).count(), 44);
        let some = task.limit(100, 1);
        assert_eq!((some.items().len(), part(&some, "0-0.25"), part(&some, "0.75-1")), (100, 58, 12));
    }
    if let Some(folder) = benchmark("ethics") {
        let path = |file: &str| Path::new(&folder).join(file);
        for (theory, file, rows) in [
            (Ethics::Commonsense, "commonsense/cm_test.csv", 3_885),
            (Ethics::Deontology, "deontology/deontology_test.csv", 3_596),
            (Ethics::Justice, "justice/justice_test.csv", 2_704),
            (Ethics::Utilitarianism, "utilitarianism/util_test.csv", 4_808),
            (Ethics::Virtue, "virtue/virtue_test.csv", 4_975),
        ] {
            let questions = theory.load(path(file)).unwrap();
            assert_eq!(questions.items().len(), rows, "{file}");
            let groups: BTreeSet<&str> = questions.groups().into_iter().collect();
            match theory {
                Ethics::Deontology => assert_eq!(groups.len(), 899),
                Ethics::Virtue => assert!(theory.texts(path(file)).is_err()),
                _ => {}
            }
        }
        let texts = Ethics::Commonsense.texts(path("commonsense/cm_test.csv")).unwrap();
        assert_eq!((texts[0].immoral, texts[1].immoral), (false, true), "label 1 of the file is wrong, so immoral");
        assert_eq!(texts[0].group, texts[1].group);
        let justice = Ethics::Justice.texts(path("justice/justice_test.csv")).unwrap();
        assert!(!justice[0].immoral, "label 1 of the file is reasonable, so not immoral");
        assert_eq!((&justice[0].group, &justice[4].group), (&justice[3].group, &justice[7].group));
        assert_ne!(justice[3].group, justice[4].group);
    }
}
