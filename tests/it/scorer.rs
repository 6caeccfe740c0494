//! The scorer of words: against scikit-learn, repeatable, in and out of a file.

use std::collections::HashSet;
use std::path::PathBuf;

use probity::scorer::{TextScorer, Tfidf, TfidfScorer};
use probity::stats::auroc;
use probity::task::Jigsaw;
use probity::text::LabelledText;
use probity::Error;

fn acts() -> (Vec<String>, Vec<bool>) {
    let rows = LabelledText::load(common::root().join("data/moral_acts.jsonl")).unwrap();
    rows.into_iter().map(|row| (row.text, row.immoral)).unzip()
}

fn numbers(value: &serde_json::Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

#[test]
fn words_weights_and_decisions_are_scikit_learns() {
    let reference = common::json("scorer/acts.json");
    let (texts, labels) = acts();
    let scorer = Tfidf::default().train(&texts, &labels).unwrap();
    assert!(scorer.converged());
    let expected = reference["words"].as_array().unwrap().iter().map(|word| word.as_str().unwrap());
    assert!(scorer.words().map(|(word, _)| word).eq(expected));
    for ((word, ours), theirs) in scorer.words().zip(numbers(&reference["weights"])) {
        assert!((ours - theirs).abs() < 1e-3, "{word}: {ours} {theirs}");
    }
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let decisions = scorer.decision(&texts).unwrap();
    for (ours, theirs) in decisions.iter().zip(numbers(&reference["decisions"])) {
        assert!((ours - theirs).abs() < 1e-3, "{ours} {theirs}");
    }
    // Scores are the decisions' probabilities, of each text by itself whatever its neighbours.
    for (row, text) in texts.iter().enumerate().take(20) {
        let alone = scorer.score(&[text]).unwrap()[0];
        assert!((alone - 1.0 / (1.0 + (-decisions[row]).exp())).abs() < 1e-12);
    }
}

#[test]
fn equal_texts_give_equal_bytes_and_a_file_gives_the_same_scorer() {
    let folder = tempfile::tempdir().unwrap();
    let [a, b] = ["a.json", "b.json"].map(|name| folder.path().join(name));
    let (texts, labels) = acts();
    let scorer = Tfidf::default().max_features(100).train(&texts, &labels).unwrap();
    assert_eq!(scorer.words().count(), 100);
    scorer.save(&a).unwrap();
    Tfidf::default().max_features(100).train(&texts, &labels).unwrap().save(&b).unwrap();
    assert_eq!(std::fs::read(&a).unwrap(), std::fs::read(&b).unwrap());

    let loaded = TfidfScorer::load(&a).unwrap();
    assert_eq!(loaded, scorer);
    assert_eq!(loaded.provenance()["scorer_texts"], texts.len().to_string());
    let whole = std::fs::read_to_string(&a).unwrap();
    for (from, to, says) in [
        ("\"format\": 1", "\"format\": 7", "format 7"),
        ("tfidf_scorer", "another_thing", "another_thing"),
        ("\"intercept\"", "\"interception\"", "no text scorer"),
        ("\"weights\": [", "\"weights\": [ 1.0,", "expected 100 finite weights"),
        ("\"idf\": [", "\"idf\": [ -1.0,", "one idf above 0 each"),
    ] {
        assert!(whole.contains(from), "{from}");
        std::fs::write(&b, whole.replacen(from, to, 1)).unwrap();
        let error = TfidfScorer::load(&b).unwrap_err().to_string();
        assert!(error.contains(says) && error.contains("b.json"), "{error}");
    }
}

#[test]
fn unusable_texts_are_a_clear_error() {
    let train = |settings: Tfidf, texts: &[&str], labels: &[bool]| settings.train(texts, labels).unwrap_err();
    let two = ["a word", "other words"];
    assert!(matches!(train(Tfidf::default(), &two, &[true]), Error::RowCount(at) if at.expected == 2 && at.found == 1));
    assert!(matches!(train(Tfidf::default(), &two, &[true, true]), Error::OneClass { label: 1, .. }));
    assert!(matches!(train(Tfidf::default(), &["a", "!"], &[true, false]), Error::Fit { .. }));
    assert!(matches!(train(Tfidf::default().alpha(0.0), &two, &[true, false]), Error::Setting { .. }));
    assert!(matches!(train(Tfidf::default().max_features(0), &two, &[true, false]), Error::Setting { .. }));
    // A text without a known word gets the intercept.
    let scorer = Tfidf::default().train(&two, &[true, false]).unwrap();
    assert_eq!(scorer.decision(&["?", ""]).unwrap().len(), 2);
    assert!(scorer.score(&[]).unwrap().is_empty());
}

fn jigsaw() -> Option<PathBuf> {
    let folder =
        std::env::var_os("PROBITY_BENCHMARKS").map_or_else(|| common::root().join("../shared/data"), Into::into);
    let path = folder.join("jigsaw/comments.csv");
    if !path.exists() {
        eprintln!("SKIPPED: {} is not there", path.display());
    }
    path.exists().then_some(path)
}

#[test]
fn on_real_comments_the_auroc_is_scikit_learns() {
    let Some(path) = jigsaw() else { return };
    let reference = common::json("scorer/jigsaw.json");
    let rows = Jigsaw::default().load(path).unwrap().rows;
    let in_training = |row: &&LabelledText| row.id.ends_with(|digit| "0123456789ab".contains(digit));
    let (train, test): (Vec<_>, Vec<_>) =
        rows.iter().filter(|row| row.id.starts_with(|digit| "0123456".contains(digit))).partition(in_training);
    let size = |part: &str| reference[part].as_u64().unwrap() as usize;
    assert_eq!((train.len(), test.len()), (size("train"), size("test")));
    let parts = |rows: &[&LabelledText]| -> (Vec<String>, Vec<bool>) {
        rows.iter().map(|row| (row.text.clone(), row.immoral)).unzip()
    };
    let ((texts, labels), (held_out, truth)) = (parts(&train), parts(&test));
    let scorer = Tfidf::default().train(&texts, &labels).unwrap();
    let held_out: Vec<&str> = held_out.iter().map(String::as_str).collect();
    let ours = auroc(&scorer.score(&held_out).unwrap(), &truth).unwrap();
    let theirs = reference["auroc"].as_f64().unwrap();
    println!("AUROC {ours:.4}, scikit-learn {theirs:.4}");
    assert!((ours - theirs).abs() < 0.01, "{ours} {theirs}");
}

#[test]
fn comments_are_drawn_by_seed_and_grouped_by_their_words() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("comments.csv");
    let write = |text: &str| std::fs::write(&path, text).unwrap();
    let mut text = "id,comment_text,toxic,insult\n".to_owned();
    for row in 0..40 {
        text += &format!("c{row},\"comment, number {row}\nof two lines\",{},0\n", u8::from(row < 10));
    }
    text += "d,Comment number 3 -- OF two lines!,1,0\ne,  ,0,0\nc5,\"comment, number 5\nof two lines\",1,0\n";
    write(&text);
    let all = Jigsaw::default().load(&path).unwrap();
    assert_eq!((all.rows.len(), all.read, all.empty, all.copies, all.repeated), (41, 43, 1, 1, 1));
    assert_eq!(all.rows[40].group, "c3");

    let draw = |seed| Jigsaw::default().balanced(true).limit(12).seed(seed).load(&path).unwrap().rows;
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
    assert_eq!(draw(1).iter().filter(|row| row.immoral).count(), 6);
    assert_eq!(Jigsaw::default().balanced(true).load(&path).unwrap().rows.len(), 22);
    let ids: HashSet<String> = draw(1).into_iter().map(|row| row.id).collect();
    assert_eq!(ids.len(), 12);

    for (text, says) in [
        ("id,comment_text\na,b\n", ":1: no column \"toxic\""),
        ("id,comment_text,toxic\na,b,-1\n", ":2: toxic = \"-1\" is neither 0 nor 1"),
        ("id,comment_text,toxic\na,b,1\na,c,1\n", ":3: id \"a\" has another text"),
        ("id,comment_text,toxic\n", "holds no comments"),
    ] {
        write(text);
        let error = Jigsaw::default().load(&path).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}
