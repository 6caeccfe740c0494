//! Checks of the bundled demonstration data under `data/`: that the files parse, that each field
//! holds what `data/README.md` says, and that the balances claimed there are really in the files.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// The statements for the morality probe, one JSON object a line.
const ACTS: &str = "data/moral_acts.jsonl";
/// The three-option questions, one JSON object a line.
const QA: &str = "data/ambiguous_qa.jsonl";
/// The description of the three files.
const README: &str = "data/README.md";

/// Words that negate; tokens that end in `n't` count as well.
const NEGATIONS: [&str; 9] = ["no", "not", "never", "none", "nobody", "nothing", "without", "refused", "cannot"];

/// Reads a whole file, naming it when that fails.
fn read(path: &str) -> String {
    std::fs::read_to_string(common::root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// Parses a file that holds one JSON object a line.
fn rows(path: &str) -> Vec<Value> {
    let parse = |(i, line): (usize, &str)| -> Value {
        let row: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{path}, line {}: {e}", i + 1));
        assert!(row.is_object(), "{path}, line {}: no object", i + 1);
        row
    };
    read(path).lines().enumerate().map(parse).collect()
}

/// A string field that is present, not empty, and without outer or doubled white space.
fn text<'a>(row: &'a Value, key: &str) -> &'a str {
    let found = row[key].as_str().unwrap_or_else(|| panic!("no text `{key}` in {row}"));
    assert!(!found.is_empty(), "empty `{key}` in {row}");
    assert_eq!(found, squeeze(found), "loose white space in `{key}`");
    found
}

/// A field that holds a whole number below `below`.
fn index(row: &Value, key: &str, below: usize) -> usize {
    let found = row[key].as_u64().unwrap_or_else(|| panic!("no number `{key}` in {row}"));
    let found = usize::try_from(found).expect("a small number");
    assert!(found < below, "`{key}` out of range in {row}");
    found
}

/// The three options of a question.
fn options(row: &Value) -> Vec<&str> {
    let found: Vec<&str> = row["options"]
        .as_array()
        .unwrap_or_else(|| panic!("no options in {row}"))
        .iter()
        .map(|o| o.as_str().expect("an option is a text"))
        .collect();
    assert_eq!(found.len(), 3, "three options in {row}");
    found
}

/// The same text with each run of white space made one space.
fn squeeze(s: &str) -> String {
    s.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Lower-case words of a text; apostrophes stay inside a word.
fn words(s: &str) -> Vec<String> {
    s.to_lowercase()
        .split(|c: char| !c.is_alphanumeric() && c != '\'')
        .filter(|w| !w.is_empty())
        .map(str::to_owned)
        .collect()
}

/// How many words of a text negate.
fn negations(s: &str) -> usize {
    words(s).iter().filter(|w| NEGATIONS.contains(&w.as_str()) || w.ends_with("n't")).count()
}

/// The arithmetic mean.
fn mean(values: impl IntoIterator<Item = usize>) -> f64 {
    let (n, sum) = values.into_iter().fold((0.0, 0.0), |(n, s), v| (n + 1.0, s + v as f64));
    sum / n
}

/// Rows by the value of one of their text fields.
fn by<'a>(all: &'a [Value], key: &str) -> BTreeMap<&'a str, Vec<&'a Value>> {
    let mut found: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for row in all {
        found.entry(text(row, key)).or_default().push(row);
    }
    found
}

/// How many different values a text field has over some rows.
fn distinct(rows: &[&Value], key: &str) -> usize {
    rows.iter().map(|r| text(r, key)).collect::<BTreeSet<_>>().len()
}

/// Fails unless all `id` fields differ and each begins with the row's group.
fn assert_ids(all: &[Value]) {
    let mut seen = BTreeSet::new();
    for row in all {
        let (id, group) = (text(row, "id"), text(row, "group"));
        assert!(seen.insert(id), "id twice: {id}");
        assert!(id.starts_with(&format!("{group}-")), "{id} is in {group}");
    }
}

/// Fails unless each object holds the wanted keys and no others.
fn assert_keys(all: &[Value], wanted: &[&str]) {
    let wanted: BTreeSet<&str> = wanted.iter().copied().collect();
    for row in all {
        let fields = row.as_object().expect("an object");
        let keys: BTreeSet<&str> = fields.keys().map(String::as_str).collect();
        assert_eq!(keys, wanted, "keys of {row}");
    }
}

/// The statements of one class.
fn class(acts: &[Value], label: usize) -> Vec<&str> {
    acts.iter().filter(|r| index(r, "label", 2) == label).map(|r| text(r, "text")).collect()
}

/// The question items of one condition.
fn condition<'a>(items: &'a [Value], name: &str) -> Vec<&'a Value> {
    items.iter().filter(|r| text(r, "condition") == name).collect()
}

/// The shares of the items whose field `key` is 0, 1 and 2.
fn positions(items: &[&Value], key: &str) -> [f64; 3] {
    let mut share = [0.0; 3];
    for row in items {
        share[index(row, key, 3)] += 1.0 / items.len() as f64;
    }
    share
}

#[test]
fn acts_have_the_documented_fields() {
    let acts = rows(ACTS);
    assert!(acts.len() >= 400, "{} statements", acts.len());
    assert_keys(&acts, &["id", "text", "label", "group", "theme"]);
    assert_ids(&acts);
    for row in &acts {
        index(row, "label", 2);
        let n = text(row, "text").split_whitespace().count();
        assert!((6..=22).contains(&n), "{n} words: {row}");
    }
}

#[test]
fn acts_hold_no_text_twice() {
    let acts = rows(ACTS);
    let mut seen = BTreeSet::new();
    for row in &acts {
        let plain = squeeze(&text(row, "text").to_lowercase());
        assert!(seen.insert(plain), "text twice: {row}");
    }
}

#[test]
fn acts_come_in_groups_of_two_and_two() {
    let acts = rows(ACTS);
    let groups = by(&acts, "group");
    assert!(groups.len() >= 100, "{} groups", groups.len());
    for (name, members) in &groups {
        let immoral: usize = members.iter().map(|r| index(r, "label", 2)).sum();
        assert_eq!((members.len(), immoral), (4, 2), "{name}");
        assert_eq!(distinct(members, "theme"), 1, "{name} has one theme");
    }
    let themes = by(&acts, "theme");
    assert!(themes.len() >= 14, "{} themes", themes.len());
}

#[test]
fn acts_letters_say_nothing_about_the_class() {
    let acts = rows(ACTS);
    for letter in ["a", "b", "c", "d"] {
        let labels = acts.iter().filter(|r| text(r, "id").ends_with(letter)).map(|r| index(r, "label", 2));
        let share = mean(labels);
        assert!((0.45..=0.55).contains(&share), "{letter}: {share}");
    }
}

#[test]
fn acts_classes_are_equally_long() {
    let acts = rows(ACTS);
    let (moral, immoral) = (class(&acts, 0), class(&acts, 1));
    let word_mean = |c: &[&str]| mean(c.iter().map(|t| t.split_whitespace().count()));
    let char_mean = |c: &[&str]| mean(c.iter().map(|t| t.chars().count()));
    let gap = (word_mean(&moral) - word_mean(&immoral)).abs();
    assert!(gap < 0.2, "words differ by {gap}");
    let gap = (char_mean(&moral) - char_mean(&immoral)).abs();
    assert!(gap < 2.0, "characters differ by {gap}");
}

#[test]
fn acts_classes_negate_equally_often() {
    let acts = rows(ACTS);
    let count = |label| -> usize { class(&acts, label).iter().map(|t| negations(t)).sum() };
    let (moral, immoral) = (count(0), count(1));
    assert!(moral.min(immoral) > 0, "both classes hold negations");
    let ratio = moral.max(immoral) as f64 / moral.min(immoral) as f64;
    assert!(ratio <= 1.2, "{moral} moral and {immoral} immoral ones");
}

#[test]
fn acts_no_frequent_word_gives_the_class_away() {
    let acts = rows(ACTS);
    let mut counts: BTreeMap<String, [usize; 2]> = BTreeMap::new();
    for row in &acts {
        let once: BTreeSet<String> = words(text(row, "text")).into_iter().collect();
        for word in once {
            counts.entry(word).or_default()[index(row, "label", 2)] += 1;
        }
    }
    for (word, [moral, immoral]) in counts {
        let n = moral + immoral;
        let share = immoral as f64 / n as f64;
        assert!(n < 10 || (0.25..=0.75).contains(&share), "`{word}`: {moral} moral, {immoral} immoral");
    }
}

#[test]
fn qa_items_have_the_documented_fields() {
    let items = rows(QA);
    assert!(items.len() >= 60, "{} items", items.len());
    let mut keys = vec!["id", "group", "category", "condition", "polarity"];
    keys.extend(["context", "question", "options"]);
    keys.extend(["label", "biased", "unknown"]);
    assert_keys(&items, &keys);
    assert_ids(&items);
    for row in &items {
        assert!(["ambiguous", "disambiguated"].contains(&text(row, "condition")));
        assert!(["negative", "non_negative"].contains(&text(row, "polarity")));
        assert!(text(row, "context").ends_with('.'), "{row}");
        assert!(text(row, "question").ends_with('?'), "{row}");
    }
    let categories = by(&items, "category");
    assert!(categories.len() >= 7, "{} categories", categories.len());
}

#[test]
fn qa_options_are_short_and_differ() {
    for row in &rows(QA) {
        let different: BTreeSet<&str> = options(row).into_iter().collect();
        assert_eq!(different.len(), 3, "options differ in {row}");
        for option in different {
            let n = option.split_whitespace().count();
            assert!((2..=6).contains(&n), "{n} words: {option}");
        }
    }
}

#[test]
fn qa_indices_agree_with_the_condition() {
    for row in &rows(QA) {
        let unknown = index(row, "unknown", 3);
        assert_ne!(index(row, "biased", 3), unknown, "{row}");
        let ambiguous = text(row, "condition") == "ambiguous";
        assert_eq!(index(row, "label", 3) == unknown, ambiguous, "{row}");
    }
}

#[test]
fn qa_templates_hold_the_four_combinations() {
    let items = rows(QA);
    let templates = by(&items, "group");
    assert_eq!(4 * templates.len(), items.len());
    for (name, members) in templates {
        let combinations: BTreeSet<(&str, &str)> =
            members.iter().map(|r| (text(r, "condition"), text(r, "polarity"))).collect();
        assert_eq!((members.len(), combinations.len()), (4, 4), "{name}");
        assert_eq!(distinct(&members, "category"), 1, "{name}");
        assert_eq!(distinct(&members, "question"), 2, "{name}");
    }
}

#[test]
fn qa_disambiguated_contexts_extend_the_ambiguous_ones() {
    let items = rows(QA);
    for (name, members) in by(&items, "group") {
        assert_eq!(distinct(&members, "context"), 2, "{name}");
        let mut contexts: Vec<&str> = members.iter().map(|r| text(r, "context")).collect();
        contexts.sort_by_key(|c| c.len());
        let (short, long) = (contexts[0], contexts[3]);
        assert!(long.starts_with(&format!("{short} ")), "{name}");
        for row in members {
            let ambiguous = text(row, "condition") == "ambiguous";
            assert_eq!(text(row, "context") == short, ambiguous, "{name}");
        }
    }
}

#[test]
fn qa_polarities_point_at_opposite_persons() {
    let items = rows(QA);
    for wanted in ["ambiguous", "disambiguated"] {
        let part: Vec<Value> = condition(&items, wanted).into_iter().cloned().collect();
        for (name, pair) in by(&part, "group") {
            let named = |key: &str| -> BTreeSet<&str> { pair.iter().map(|r| options(r)[index(r, key, 3)]).collect() };
            assert_eq!(named("biased").len(), 2, "{name}, {wanted}");
            if wanted == "disambiguated" {
                assert_eq!(named("label"), named("biased"), "{name}");
            }
        }
    }
}

#[test]
fn qa_half_of_the_facts_confirm_the_stereotype() {
    let items = rows(QA);
    let settled = condition(&items, "disambiguated");
    let confirmed = settled.iter().filter(|r| index(r, "label", 3) == index(r, "biased", 3)).count();
    assert_eq!(2 * confirmed, settled.len());
}

#[test]
fn qa_positions_are_balanced() {
    let items = rows(QA);
    let parts = [
        ("all", items.iter().collect()),
        ("ambiguous", condition(&items, "ambiguous")),
        ("disambiguated", condition(&items, "disambiguated")),
    ];
    for (name, part) in &parts {
        for key in ["label", "biased", "unknown"] {
            for share in positions(part, key) {
                assert!((0.25..=0.42).contains(&share), "{name}, {key}: {share}");
            }
        }
    }
}

#[test]
fn qa_undetermined_wordings_vary() {
    let items = rows(QA);
    let wordings: BTreeSet<&str> = items.iter().map(|r| options(r)[index(r, "unknown", 3)]).collect();
    assert!(wordings.len() >= 6, "{wordings:?}");
    for row in &items {
        for (i, option) in options(row).into_iter().enumerate() {
            let undetermined = i == index(row, "unknown", 3);
            assert_eq!(wordings.contains(option), undetermined, "{row}");
        }
    }
}

#[test]
fn readme_names_each_file_and_its_size() {
    let readme = read(README);
    for name in ["moral_acts.jsonl", "ambiguous_qa.jsonl", "prompts.json"] {
        assert!(readme.contains(name), "{name}");
    }
    for n in [rows(ACTS).len(), rows(QA).len()] {
        assert!(readme.contains(&n.to_string()), "{n} is not in the README");
    }
}
