//! The example programs as processes: what they write, and how they refuse bad input.

use std::path::Path;

use common::made::{text, Folder, Gguf};
use common::programs::{display, example, fails, run, succeeds};
use common::{fixture, floats, integers, root};
use probity::capture::Activations;
use probity::probe::ProbeBank;
use safetensors::{Dtype, SafeTensors};
use serde_json::json;

const EXAMPLES: [&str; 4] = ["capture", "capture_store", "train_probe", "self_correction"];

const TEXTS: &str = r#"{"id":"t0","text":"the first market day","group":"a"}
{"id":"t1","text":"we","group":"a"}
{"id":"t2","text":"a longer text than the others, with été in it","group":"b"}
{"id":"t3","text":"we met again","group":"c","span":{"start":3,"end":6}}
"#;

fn tied() -> String {
    fixture("tiny_llama/tied").display().to_string()
}

#[test]
fn every_example_explains_itself() {
    for name in EXAMPLES {
        let help = succeeds(name, &["--help"]);
        assert!(help.contains("Usage:") && help.contains("--out"), "{help}");
        let output = run(name, &["--no-such-option"]);
        assert_eq!(output.status.code(), Some(2), "{name}");
    }
}

#[test]
fn a_network_of_ones_own_is_captured_probed_and_continued() {
    let told = succeeds("own_model", &[]);
    assert!(told.contains("L0.resid_post AUROC 0.") && told.contains("I returned ... "), "{told}");
}

#[test]
fn captured_states_are_tensors_named_by_address() {
    let folder = Folder::new();
    let texts = display(folder.write("texts.jsonl", TEXTS));
    let out = display(folder.join("acts.safetensors"));
    let arguments = ["--model", &tied(), "--texts", &texts, "--sites", "resid_post,z", "--pool", "mean", "--out", &out];
    let told = succeeds("capture", &arguments);
    assert!(told.contains("acts.safetensors: 4 rows at 6 addresses"), "{told}");

    let bytes = folder.read("acts.safetensors");
    let file = SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(file.len(), 6);
    for layer in 0..3 {
        for (site, width) in [("resid_post", 48), ("z", 6 * 8)] {
            let tensor = file.tensor(&format!("L{layer}.{site}")).unwrap();
            assert_eq!((tensor.dtype(), tensor.shape()), (Dtype::F32, &[4, width][..]));
        }
    }
    let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
    let header: serde_json::Value = serde_json::from_str(&metadata.metadata().as_ref().unwrap()["probity"]).unwrap();
    assert_eq!(header["ids"], json!(["t0", "t1", "t2", "t3"]));
    assert_eq!(header["groups"], json!(["a", "a", "b", "c"]));
    let provenance = &header["provenance"];
    assert_eq!((&provenance["pool"], &provenance["model"]), (&json!("mean"), &json!("tied")));
    for hash in ["model_sha256", "tokenizer_sha256", "template_sha256"] {
        assert_eq!(provenance[hash].as_str().unwrap().len(), 64, "{hash}");
    }
    assert_eq!(folder.names(), ["acts.safetensors", "texts.jsonl"]);
    #[cfg(unix)]
    {
        let mode =
            |name: &str| std::os::unix::fs::PermissionsExt::mode(&folder.join(name).metadata().unwrap().permissions());
        assert_eq!(mode("acts.safetensors"), mode("texts.jsonl"), "as readable as other files");
    }

    succeeds("capture", &arguments);
    assert_eq!(folder.read("acts.safetensors"), bytes, "the same inputs give the same bytes");
}

#[test]
fn captured_tokens_come_with_offsets() {
    let folder = Folder::new();
    let texts = display(folder.write("texts.jsonl", TEXTS));
    let out = display(folder.join("acts.safetensors"));
    succeeds("capture", &["--model", &tied(), "--texts", &texts, "--layers", "0-1,2", "--pool", "none", "--out", &out]);
    let bytes = folder.read("acts.safetensors");
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let (offsets, tokens) = (integers(&file, "offsets"), integers(&file, "tokens"));
    assert_eq!((offsets.len(), offsets[0]), (5, 0));
    assert_eq!(offsets[4], tokens.len() as i64);
    let model = common::tiny("tied");
    let first: Vec<i64> =
        model.tokenizer().encode("the first market day").unwrap().ids.into_iter().map(i64::from).collect();
    assert_eq!(tokens[..offsets[1] as usize], first);
    for layer in 0..3 {
        assert_eq!(floats(&file, &format!("L{layer}.resid_post")).len(), tokens.len() * 48);
    }
    assert_eq!(Activations::load(&out).unwrap().token_rows().unwrap().offsets, offsets);
}

#[test]
fn a_text_file_is_one_text_a_line() {
    let folder = Folder::new();
    let texts = display(folder.write("texts.txt", "one\ntwo\nthree\n"));
    let out = display(folder.join("new folder/acts.safetensors"));
    succeeds("capture", &["--model", &tied(), "--texts", &texts, "--sites", "embed,final_norm", "--out", &out]);
    let activations = Activations::load(&out).unwrap();
    assert_eq!(activations.ids(), ["1", "2", "3"]);
    assert_eq!(activations.addresses().map(|a| a.to_string()).collect::<Vec<_>>(), ["embed", "final_norm"]);
}

/// Texts of two kinds with their labels, and their states at the last token.
fn labelled(folder: &Folder) -> (String, String) {
    let (mut texts, mut labels) = (String::new(), "label,id,group\n".to_owned());
    for n in 0..60 {
        let word = ["met", "hid"][n % 2];
        texts += &format!("{}\n", json!({ "id": format!("t{n}"), "text": format!("day {n}: we {word} again {n}") }));
        labels += &format!("{},t{n},g{}\n", n % 2, n / 2);
    }
    let texts = display(folder.write("texts.jsonl", texts));
    let acts = display(folder.join("acts.safetensors"));
    let (model, pool) = (tied(), "mean");
    succeeds("capture", &["--model", &model, "--texts", &texts, "--pool", pool, "--out", &acts]);
    (acts, display(folder.write("labels.csv", labels)))
}

#[test]
fn probes_are_trained_on_captured_states() {
    let folder = Folder::new();
    let (acts, labels) = labelled(&folder);
    let (out, metrics) = (display(folder.join("probes.safetensors")), display(folder.join("metrics.json")));
    let arguments = ["--activations", &acts, "--labels", &labels, "--out", &out, "--json", &metrics];
    let told = succeeds("train_probe", &arguments);
    assert!(["L0.resid_post", "L2.resid_post", "AUROC"].iter().all(|part| told.contains(part)), "{told}");

    let bytes = folder.read("probes.safetensors");
    let file = SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(file.tensor("L1.resid_post.weights").unwrap().shape(), [48]);
    assert_eq!(file.tensor("L1.resid_post.affine").unwrap().dtype(), Dtype::F64);
    let bank = ProbeBank::load(&out).unwrap();
    assert_eq!(bank.len(), 3);
    assert_eq!(bank.provenance()["model"], "tied");
    let read: serde_json::Value = serde_json::from_slice(&folder.read("metrics.json")).unwrap();
    assert_eq!(read["probes"].as_array().unwrap().len(), 3);
    assert_eq!(read["probes"][0]["address"], "L0.resid_post");
    assert!(read["probes"][0]["auroc"].as_f64().unwrap() > 0.9, "one word tells the classes apart");

    let written = folder.read("metrics.json");
    succeeds("train_probe", &arguments);
    assert_eq!((folder.read("probes.safetensors"), folder.read("metrics.json")), (bytes, written), "same bytes");
}

#[test]
fn capture_refuses_models_that_it_cannot_read() {
    let folder = Folder::new();
    let texts = display(folder.write("texts.jsonl", TEXTS));
    let out = display(folder.join("acts.safetensors"));
    let refuse = |model: &Path, says: &[&str]| {
        let model = model.display().to_string();
        fails("capture", &["--model", &model, "--texts", &texts, "--out", &out], &folder, says);
    };
    refuse(&folder.join("none.gguf"), &["none.gguf", "No such file"]);
    let models = Folder::new();
    let whole = Gguf::tiny().bytes();
    refuse(&models.write("cut.gguf", &whole[..whole.len() / 2]), &["cut.gguf", "at \"", ".weight", "truncated"]);
    refuse(&models.write("cut.gguf", &whole[..5_000]), &["cut.gguf", "truncated"]);
    refuse(&models.write("bad.gguf", "not a model"), &["bad.gguf", "no GGUF file"]);
    refuse(&models.write("empty.gguf", ""), &["empty.gguf", "is empty"]);
    let bert = Gguf::tiny().with("general.architecture", text("bert")).bytes();
    refuse(&models.write("bert.gguf", bert), &["bert.gguf", "architecture \"bert\"", "supported: gpt2"]);
    let zero = Gguf::tiny().with("general.alignment", common::made::Meta::U32(0)).bytes();
    refuse(&models.write("zero.gguf", zero), &["zero.gguf", "general.alignment"]);

    let spoilt = |spoil: &dyn Fn(&Folder), says: &[&str]| {
        let model = Folder::tiny("tied");
        spoil(&model);
        refuse(model.path(), says);
    };
    spoilt(&|model| model.remove("config.json"), &["config.json", "No such file"]);
    spoilt(&|model| drop(model.write("config.json", "{\n\"model_type\": \"lla")), &["config.json:2"]);
    spoilt(&|model| model.set("config.json", "hidden_act", json!("mish")), &["config.json", "hidden_act = \"mish\""]);
    spoilt(&|model| model.set("config.json", "model_type", json!("mamba")), &["config.json", "architecture \"mamba\""]);
    spoilt(&|model| model.set("config.json", "num_hidden_layers", json!(2)), &["model.layers.2."]);
    spoilt(&|model| model.set("config.json", "intermediate_size", json!(81)), &["mlp.", "has shape", "expected"]);
    spoilt(&|model| model.set("config.json", "vocab_size", json!(287)), &["model.embed_tokens.weight", "[288, 48]"]);
    spoilt(&|model| model.remove("model.safetensors"), &["model.safetensors", "No such file"]);
    spoilt(
        &|model| drop(model.write("model.safetensors", &model.read("model.safetensors")[..100_000])),
        &["model.safetensors", "truncated"],
    );
    spoilt(&|model| drop(model.write("model.safetensors", [7; 99])), &["model.safetensors", "no safetensors file"]);
    spoilt(&|model| model.remove("tokenizer.json"), &["tokenizer.json", "No such file"]);
    spoilt(&|model| drop(model.write("tokenizer.json", "{\n\"model\":")), &["tokenizer.json:2"]);
    spoilt(&|model| drop(model.write("chat_template.jinja", "{% if %}")), &["chat_template.jinja", "syntax error"]);
}

#[test]
fn capture_refuses_texts_that_it_cannot_read() {
    let folder = Folder::new();
    let out = display(folder.join("acts.safetensors"));
    for (name, content, says) in [
        ("texts.jsonl", "{\"id\":\"a\",\"text\":\"x\"}\n{\"id\":\"b\"\n", &["texts.jsonl:2", "column"][..]),
        (
            "texts.jsonl",
            "{\"id\":\"a\",\"text\":\"x\"}\n{\"id\":\"a\",\"text\":\"y\"}\n",
            &["texts.jsonl:2", "\"a\"", "second time"],
        ),
        ("texts.jsonl", "{\"id\":\"a\",\"text\":\"\"}\n", &["texts.jsonl:1", "text \"a\" is empty"]),
        ("texts.jsonl", "", &["texts.jsonl", "holds no rows"]),
        ("texts.txt", "\n\n", &["texts.txt", "holds no texts"]),
    ] {
        let texts = display(folder.write(name, content));
        fails("capture", &["--model", &tied(), "--texts", &texts, "--out", &out], &folder, says);
    }
    let long = display(folder.write("long.txt", format!("short\n{}\n", "word ".repeat(200))));
    let says = ["text \"2\" has", "the model takes 1 to 64"];
    fails("capture", &["--model", &tied(), "--texts", &long, "--out", &out], &folder, &says);
    let span = "{\"id\":\"a\",\"text\":\"x\",\"span\":{\"start\":5,\"end\":9}}";
    let span = display(folder.write("span.jsonl", span));
    fails("capture", &["--model", &tied(), "--texts", &span, "--out", &out], &folder, &["5..9", "\"a\""]);
    let none = display(folder.join("none.jsonl"));
    fails("capture", &["--model", &tied(), "--texts", &none, "--out", &out], &folder, &["none.jsonl", "No such file"]);
}

#[test]
fn capture_refuses_places_that_there_are_not() {
    let folder = Folder::new();
    let texts = display(folder.write("texts.jsonl", TEXTS));
    let out = display(folder.join("acts.safetensors"));
    for (option, value, says) in [
        ("--sites", "resid_pots", &["--sites", "\"resid_pots\" is no address", "nearest: resid_post"][..]),
        ("--sites", "", &["--sites"]),
        ("--sites", "z.h9", &["--sites", "z.h9"]),
        ("--sites", "pattern", &["attention patterns"]),
        ("--layers", "3", &["no address \"L3.resid_post\"", "nearest: L2.resid_post"]),
        ("--layers", "0-99999", &["no address \"L99999.resid_post\"", "nearest: L2.resid_post"]),
        ("--layers", "2-1", &["layers = 2-1"]),
        ("--layers", "first", &["layers = first"]),
        ("--layers", "0-99999999999999999999", &["layers = 0-9999"]),
    ] {
        fails("capture", &["--model", &tied(), "--texts", &texts, "--out", &out, option, value], &folder, says);
    }
    let output = run("capture", &["--model", &tied(), "--texts", &texts, "--out", &out, "--pool", "max"]);
    assert_eq!(output.status.code(), Some(2), "an unknown pooling is a matter of usage");
}

#[test]
fn train_probe_refuses_what_it_cannot_train_on() {
    let folder = Folder::new();
    let (acts, labels) = labelled(&folder);
    let out = display(folder.join("probes.safetensors"));
    let json_out = display(folder.join("metrics.json"));
    let refuse = |acts: &str, labels: &str, says: &[&str]| {
        let arguments = ["--activations", acts, "--labels", labels, "--out", &out, "--json", &json_out];
        fails("train_probe", &arguments, &folder, says);
    };
    let others = Folder::new();
    let csv = |content: String| display(others.write("labels.csv", content));
    let good = String::from_utf8(folder.read("labels.csv")).unwrap();
    refuse(&acts, &display(others.join("none.csv")), &["none.csv", "No such file"]);
    refuse(&acts, &csv(format!("{good}1,t99,g\n")), &["labels.csv:62", "id \"t99\" is not in the activations"]);
    refuse(&acts, &csv(format!("{good}1,t3,g\n")), &["labels.csv:62", "\"t3\"", "already, on line 5"]);
    refuse(&acts, &csv(good.replace("1,t7,", "yes,t7,")), &["labels.csv:9", "\"yes\""]);
    refuse(&acts, &csv(good.replace("\n1,", "\n0,")), &["only label 0"]);
    refuse(&acts, &csv(good[..200].to_owned()), &["labels.csv"]);
    refuse(&acts, &csv("id;label\n".to_owned()), &["labels.csv:1", "no column \"id\""]);

    let file = |name: &str, content: &[u8]| display(others.write(name, content));
    let whole = folder.read("acts.safetensors");
    refuse(&display(others.join("none.safetensors")), &labels, &["none.safetensors", "No such file"]);
    refuse(&file("cut.safetensors", &whole[..whole.len() - 9]), &labels, &["cut.safetensors", "truncated"]);
    refuse(&file("bad.safetensors", b"not tensors at all"), &labels, &["bad.safetensors", "safetensors file"]);
    let mut nan = whole.clone();
    let end = nan.len();
    nan[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    refuse(&file("nan.safetensors", &nan), &labels, &["nan.safetensors", ".resid_post\"", "\"t59\"", "not finite"]);
    let huge = br#"{"L0.embed":{"dtype":"F32","shape":[1152921504606846976,0],"data_offsets":[0,0]}}"#;
    let huge = common::made::safetensors(std::str::from_utf8(huge).unwrap(), &[]);
    refuse(&file("huge.safetensors", &huge), &labels, &["huge.safetensors", "at \"L0.embed\""]);

    for (option, value, says) in [("--alpha", "0", "alpha = 0"), ("--test", "1.5", "test_fraction = 1.5")] {
        let arguments = ["--activations", &acts, "--labels", &labels, "--out", &out, option, value];
        fails("train_probe", &arguments, &folder, &[says]);
    }
    let texts = display(folder.join("texts.jsonl"));
    let tokens = display(others.join("tokens.safetensors"));
    succeeds("capture", &["--model", &tied(), "--texts", &texts, "--pool", "none", "--out", &tokens]);
    refuse(&tokens, &labels, &["one row per token"]);
}

/// A tiny model with room for conversations, questions and statements.
fn conversation_files(folder: &Folder) -> [String; 3] {
    let model = Folder::tiny("tied");
    model.set("config.json", "max_position_embeddings", json!(4096));
    std::fs::create_dir(folder.join("model")).unwrap();
    for name in model.names() {
        std::fs::copy(model.join(&name), folder.join("model").join(&name)).unwrap();
    }
    let mut items = String::new();
    for n in 0..4 {
        let item = json!({ "id": format!("q{n}"), "group": format!("g{}", n / 2), "category": "age",
            "condition": if n % 2 == 0 { "ambiguous" } else { "disambiguated" }, "polarity": "negative",
            "context": format!("A man met a boy on day {n}."), "question": "Who was late?",
            "options": ["The man", "The boy", "Unknown"], "label": 2, "biased": 0, "unknown": 2 });
        items += &format!("{item}\n");
    }
    let mut statements = String::new();
    for n in 0..48 {
        let word = ["met", "hid"][n % 2];
        let statement = json!({ "id": format!("s{n}"), "text": format!("we {word} again {n}"), "label": n % 2,
            "group": format!("g{}", n / 2) });
        statements += &format!("{statement}\n");
    }
    let items = display(folder.write("items.jsonl", items));
    [display(folder.join("model")), items, display(folder.write("statements.jsonl", statements))]
}

#[test]
fn self_correction_runs_on_a_tiny_model() {
    let folder = Folder::new();
    let [model, items, statements] = conversation_files(&folder);
    let out = display(folder.join("out"));
    let told = succeeds(
        "self_correction",
        &["--model", &model, "--data", &items, "--probe-data", &statements, "--rounds", "2", "--out", &out],
    );
    assert!(told.contains("verdict for L1 round 2"), "{told}");
    let out = Folder::names_of(&folder.join("out"));
    assert_eq!(out, results_and_plots(), "the results and nothing else");
}

#[test]
fn a_plan_is_written_kept_to_and_planned_from() {
    let folder = Folder::new();
    let [model, items, statements] = conversation_files(&folder);
    let (out, plan) = (display(folder.join("out")), display(folder.join("plan.json")));
    let common = ["--model", &model, "--data", &items, "--probe-data", &statements, "--rounds", "1", "--out", &out];
    let with = |more: &[&str]| [&common[..], more].concat().iter().map(|part| (*part).to_owned()).collect::<Vec<_>>();
    let called = |more: &[&str]| {
        let arguments = with(more);
        succeeds("self_correction", &arguments.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let told = called(&["--write-plan", &plan]);
    assert!(told.contains("plan.json: made 20") && !folder.join("out").exists(), "{told}");
    let hash = told.trim().rsplit(' ').next().unwrap().to_owned();
    called(&["--plan", &plan, "--batch", "3"]);
    let report = String::from_utf8(std::fs::read(folder.join("out/report.json")).unwrap()).unwrap();
    assert!(report.contains(&hash), "{hash}");
    let other = with(&["--plan", &plan, "--seed", "5"]);
    let other: Vec<&str> = other.iter().map(String::as_str).collect();
    fails("self_correction", &other, &folder, &["plan does not fit: ", "settings.seed: planned 0, asked for 5"]);

    let told = succeeds("plan_study", &["--pilot", &out, "--gain", "0.2"]);
    assert!(told.contains("80 % power") && told.contains("L1 round 1"), "{told}");
    fails("plan_study", &["--pilot", &plan], &folder, &["plan.json"]);
}

const RESULTS: [&str; 8] = [
    "answer_probes.safetensors",
    "answers.jsonl",
    "levels.csv",
    "levels_by_fold.csv",
    "probes.safetensors",
    "report.html",
    "report.json",
    "transcripts.jsonl",
];

/// The results, in order, and the folder of the page's plots.
fn results_and_plots() -> Vec<String> {
    let mut all: Vec<String> = RESULTS.into_iter().chain(["plots"]).map(str::to_owned).collect();
    all.sort();
    all
}

#[test]
fn self_correction_killed_at_any_moment_goes_on_to_the_same_bytes() {
    let folder = Folder::new();
    let [model, items, statements] = conversation_files(&folder);
    let arguments = |out: &str| {
        let files = ["--model", &model, "--data", &items, "--probe-data", &statements];
        let options = ["--rounds", "2", "--batch", "1", "--temperature", "1", "--out", out];
        files.iter().chain(&options).map(|argument| argument.to_string()).collect::<Vec<_>>()
    };
    let run = |out: &str| example("self_correction").args(arguments(out)).current_dir(root()).output().unwrap();
    assert!(run(&display(folder.join("whole"))).status.success());
    for batches in 0..4 {
        let name = format!("killed-{batches}");
        let out = folder.join(&name);
        let mut program =
            example("self_correction").args(arguments(&display(out.clone()))).current_dir(root()).spawn().unwrap();
        let last = out.join("unfinished").join(format!("{batches:05}.safetensors"));
        while !last.exists() && program.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        program.kill().unwrap();
        program.wait().unwrap();
        let output = run(&display(out));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        for result in RESULTS {
            assert!(
                folder.read(&format!("{name}/{result}")) == folder.read(&format!("whole/{result}")),
                "{name}/{result}"
            );
        }
    }
}

#[test]
fn self_correction_takes_the_official_files_of_every_benchmark() {
    let folder = Folder::new();
    let [model, _, statements] = conversation_files(&folder);
    let comments = |n: usize| format!("c{n},\"{} number {n}\",{}\n", ["you fool", "thank you"][n % 2], (n + 1) % 2);
    let scorer = "id,comment_text,toxic\n".to_owned() + &(0..40).map(comments).collect::<String>();
    let scorer = display(folder.write("comments.csv", scorer));
    for (task, data, more) in [
        ("bbq", "bbq", &["--category", "Age,Religion", "--per-category", "4", "--orders"][..]),
        ("winogender", "winogender", &["--limit", "8", "--instruction", "L2,L2/neutral"]),
        ("winogender-coreference", "winogender", &["--limit", "8", "--kind", "revise"]),
        (
            "realtoxicity",
            "real_toxicity_prompts/prompts.jsonl",
            &["--limit", "6", "--tokens", "12", "--scorer", &scorer],
        ),
    ] {
        let Some(data) = common::benchmark(data) else { continue };
        let (data, out) = (display(data), display(folder.join(task)));
        let arguments = ["--task", task, "--data", &data, "--model", &model, "--probe-data", &statements];
        let told = succeeds("self_correction", &[&arguments[..], &["--rounds", "2", "--out", &out], more].concat());
        assert!(told.contains("verdict for"), "{told}");
        assert_eq!(Folder::names_of(&folder.join(task)), results_and_plots(), "{task}");
    }
}

#[test]
fn self_correction_refuses_bad_input() {
    let folder = Folder::new();
    let [model, items, statements] = conversation_files(&folder);
    let out = display(folder.join("out"));
    let refuse = |change: &[&str], says: &[&str]| {
        let mut arguments = vec!["--model", &model, "--data", &items, "--probe-data", &statements, "--out", &out];
        for pair in change.chunks(2) {
            match arguments.iter().position(|argument| *argument == pair[0]) {
                Some(at) => arguments[at + 1] = pair[1],
                None => arguments.extend(pair),
            }
        }
        fails("self_correction", &arguments, &folder, says);
    };
    let others = Folder::new();
    let write = |name: &str, content: String| display(others.write(name, content));
    let good = |name: &str| String::from_utf8(folder.read(name)).unwrap();
    refuse(&["--data", &display(others.join("none.jsonl"))], &["none.jsonl", "No such file"]);
    refuse(&["--data", &write("task.jsonl", good("items.jsonl")[..300].to_owned())], &["task.jsonl:2", "EOF"]);
    refuse(
        &["--data", &write("task.jsonl", good("items.jsonl").replace("\"q3\"", "\"q1\""))],
        &["task.jsonl:4", "\"q1\""],
    );
    let outside = good("items.jsonl").replacen("\"label\":2", "\"label\":7", 1);
    refuse(&["--data", &write("task.jsonl", outside)], &["task.jsonl:1", "label = 7"]);
    refuse(&["--probe-data", &display(others.join("none.jsonl"))], &["none.jsonl", "No such file"]);
    let moral = good("statements.jsonl").replace("\"label\":1", "\"label\":0");
    refuse(&["--probe-data", &write("moral.jsonl", moral)], &["only label 0"]);
    let third = good("statements.jsonl").replacen("\"label\":1", "\"label\":3", 1);
    refuse(&["--probe-data", &write("labels.jsonl", third)], &["labels.jsonl:2", "label 3"]);
    refuse(&["--model", &display(others.join("none.gguf"))], &["none.gguf", "No such file"]);
    refuse(&["--instruction", "L1,neutrall"], &["instruction = neutrall", "nearest: neutral"]);
    refuse(&["--instruction", "L1,L1"], &["instruction = L1", "each name once"]);
    refuse(&["--sites", "resid_pots"], &["sites = resid_pots", "nearest: resid_post"]);
    refuse(&["--limit", "0"], &["items = 0"]);
    refuse(&["--task", "realtoxicity"], &["items.jsonl:1", "filename"]);
    refuse(&["--task", "bbq"], &["items.jsonl"]);
    refuse(&["--instruction", "L1/external,neutral"], &["instruction = L1/external", "a judge"]);
    refuse(&["--feedback", "scorer"], &["--feedback = scorer", "--scorer"]);
    refuse(&["--feedback", "nobody"], &["--feedback = nobody", "fixed:TEXT"]);
    refuse(&["--top-k", "3"], &["temperature = 0"]);
    refuse(&["--category", "agee"], &["category = agee", "nearest: age"]);

    let without = Folder::tiny("tied");
    without.remove("chat_template.jinja");
    refuse(&["--model", &display(without.path().to_owned())], &["no chat template"]);
    let broken = Folder::tiny("tied");
    broken.write("chat_template.jinja", "{{ raise_exception('no roles, please') }}");
    refuse(&["--model", &display(broken.path().to_owned())], &["chat template", "no roles, please"]);
    // The fixture itself has a context of 64 tokens.
    refuse(&["--model", &tied()], &["item \"q", "the model takes 1 to 64"]);
}
