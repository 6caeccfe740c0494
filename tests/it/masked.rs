//! Tokens hidden from attention: what others see of them is nothing, what they see is unchanged.

use common::{condition, fixture, max_abs, max_difference, smollm};
use probity::capture::{Pool, Readout};
use probity::dialogue::{Instruction, Part, Reading, SelfCorrection};
use probity::hook::{Selection, Site};
use probity::level::Levels;
use probity::model::LoadOptions;
use probity::probe::MeanDifferenceProbe;
use probity::task::ChoiceTask;
use probity::text::{LabelledText, PadSide, Span, Text, Tokenizer};
use probity::Model;

/// A fixture without a tokeniser gets one of the words of these texts.
fn model(name: &str) -> Model {
    if fixture(name).join("tokenizer.json").exists() {
        return Model::load(fixture(name)).unwrap();
    }
    let words =
        "? She said one two six ten and then she went home again . It was a long day they all to the other side of \
                 river look at it";
    let mut vocabulary = serde_json::Map::new();
    for word in words.split_whitespace() {
        let id = vocabulary.len();
        vocabulary.entry(word).or_insert(id.into());
    }
    let tokenizer = serde_json::json!({
        "version": "1.0", "added_tokens": [], "truncation": null, "padding": null, "normalizer": null,
        "pre_tokenizer": { "type": "Whitespace" }, "post_processor": null, "decoder": null,
        "model": { "type": "WordLevel", "vocab": vocabulary, "unk_token": "?" },
    });
    let decoder = LoadOptions::default().load_decoder(fixture(name)).unwrap();
    Model::new(name, decoder, Tokenizer::from_json(&tokenizer.to_string()).unwrap()).unwrap()
}

fn hiding(id: &str, text: &str, words: &str) -> Text {
    let start = text.find(words).unwrap();
    Text { hidden: vec![Span { start, end: start + words.len() }], ..Text::new(id, text) }
}

#[test]
fn others_do_not_see_hidden_tokens() {
    for family in [
        "tiny_llama/tied",
        "families/gemma3_text/six/model.gguf",
        "families/gemma2/plain/model.gguf",
        "families/qwen3/plain/model.gguf",
    ] {
        let model = model(family);
        let everywhere: Selection = [Site::ResidPost, Site::AttnOut].map(Site::all_layers).into_iter().collect();
        let words = ["one two", "six ten"].map(|words| format!("She said {words} and then she went home again."));
        let tokens = |text: &str| model.tokenizer().encode(text).unwrap().ids.len();
        assert_eq!(tokens(&words[0]), tokens(&words[1]), "{family}");
        // A text of another length beside them, so that rows are padded.
        let texts = [
            hiding("a", &words[0], "one two"),
            hiding("b", &words[1], "six ten"),
            Text::new("seen", &words[0]),
            Text::new("also seen", &words[1]),
            Text::new("long", "It was a long day and they all went to the other side of the river to look at it."),
        ];
        for pad in [PadSide::Right, PadSide::Left] {
            let states = Readout::new(everywhere.clone(), Pool::Last).pad(pad).capture(&model, &texts).unwrap();
            for address in states.addresses() {
                let rows = states.at(address).unwrap();
                let row = |row: usize| rows.row(row).to_vec();
                let scale = max_abs(&row(0));
                assert!(max_difference(&row(0), &row(1)) < 1e-5 * scale, "{family} {address}: hidden words show");
                // Layers before may have a window that does not reach back to the hidden words; the last has none.
                if address.layer().map(|layer| layer + 1) == Some(model.geometry().layers) {
                    assert!(max_difference(&row(0), &row(2)) > 1e-4 * scale, "{family} {address}: nothing was hidden");
                    assert!(max_difference(&row(2), &row(3)) > 1e-4 * scale, "{family} {address}");
                }
            }
            // What is hidden sees what it saw, and so does what comes before it.
            let within = |words: &str, hide: bool| {
                let text = hiding("x", &format!("She said {words} and then she went home again."), words);
                let span = Some(Span { start: 0, end: text.hidden[0].end });
                Text { span, hidden: if hide { text.hidden.clone() } else { Vec::new() }, ..text }
            };
            let read = |text: Text| {
                let states =
                    Readout::new(Site::ResidPost.all_layers(), Pool::EveryToken).pad(pad).capture(&model, &[text]);
                let states = states.unwrap();
                let last = states.addresses().last().unwrap();
                states.at(last).unwrap().iter().copied().collect::<Vec<f32>>()
            };
            let (open, hidden) = (read(within("one two", false)), read(within("one two", true)));
            assert!(max_difference(&open, &hidden) < 1e-5 * max_abs(&open), "{family}");
        }
    }
}

#[test]
fn masked_readings_of_a_study_do_not_know_the_instruction() {
    let Some(model) = smollm() else { return };
    let task = ChoiceTask::load(common::root().join("data/ambiguous_qa.jsonl")).unwrap().limit(3, 1);
    let words = |name: &str, first: &str| Instruction {
        name: name.into(),
        first: first.into(),
        review: first.into(),
        ..Instruction::named("L1").unwrap()
    };
    // Words of as many tokens, so that positions agree.
    let study = SelfCorrection::new(task)
        .instructions([words("L1", "Say one thing."), words("neutral", "Say two thing.")])
        .rounds(1)
        .run(&model, Site::ResidPost.at(1))
        .unwrap();
    let at = Site::ResidPost.at(1);
    let readings = [Reading::PROMPT, Reading::PROMPT.masked(), Reading::of(Part::Answer)];
    let read = study.read(&model, at, &readings).unwrap();
    let find = |instruction: &str, round: usize, reading: Reading| {
        let found =
            read.iter().find(|read| (&read.condition, read.reading) == (&condition(instruction, round), reading));
        found.unwrap().activations.at(at).unwrap().iter().copied().collect::<Vec<f32>>()
    };
    // The prompt's last token is read again as it was.
    for (instruction, round) in [("none", 0), ("L1", 1), ("neutral", 1)] {
        let then: Vec<f32> =
            study.round(&condition(instruction, round)).unwrap().activations.at(at).unwrap().iter().copied().collect();
        let again = find(instruction, round, Reading::PROMPT);
        assert!(max_difference(&then, &again) < 1e-4 * max_abs(&then), "{instruction}");
    }
    let (seen, other) = (find("L1", 1, Reading::PROMPT), find("neutral", 1, Reading::PROMPT));
    assert!(max_difference(&seen, &other) > 1e-4 * max_abs(&seen));
    let (seen, other) = (find("L1", 1, Reading::PROMPT.masked()), find("neutral", 1, Reading::PROMPT.masked()));
    assert!(max_difference(&seen, &other) < 1e-5 * max_abs(&seen));

    // Levels of a reading want probes that learnt from like states, and keep the items that have it everywhere.
    let mut statements = LabelledText::load(common::root().join("data/moral_acts.jsonl")).unwrap();
    statements.truncate(120);
    let (texts, labels) = LabelledText::as_user_turns(statements, model.template().unwrap()).unwrap();
    let bank = |pool| {
        let states = Readout::new(at, pool).capture(&model, &texts).unwrap();
        MeanDifferenceProbe::default().draws(100).fit_all(&states, &labels).unwrap()
    };
    let answer = Reading::of(Part::Answer);
    let error = Levels::from_reading(&study.design, &read, answer, &bank(Pool::Last)).unwrap_err().to_string();
    assert!(error.contains("pooling"), "{error}");
    let levels = Levels::from_reading(&study.design, &read, answer, &bank(Pool::Mean)).unwrap();
    assert_eq!((levels.reading(), levels.design().conditions().len()), (answer, 3));
    assert!(Levels::from_reading(&study.design, &read, Reading::of(Part::Rationale), &bank(Pool::Mean)).is_err());
    let masked = Levels::from_reading(&study.design, &read, Reading::PROMPT.masked(), &bank(Pool::Last)).unwrap();
    assert_eq!(masked.items().len(), 3);
}
