//! SmolLM2 from its GGUF file against transformers on the same file.
//! `tests/reference/make_fixtures.py` makes the references.

use common::{endless, fixture, floats, ids, json, max_difference, smollm, tokens};
use probity::capture::{Activations, Pool, Readout};
use probity::generate::Session;
use probity::hook::{Address, Site};
use probity::text::{Message, PadSide, Role, Text};
use probity::Model;
use safetensors::SafeTensors;

/// The tolerance of the comparison, relative to the largest |value| of the text at the address.
const TOLERANCE: f64 = 1e-4;

fn readout() -> Readout {
    let sites = Site::ResidPost.all_layers().and(Site::AttnOut.all_layers()).and(Site::MlpOut.all_layers());
    Readout::new(sites.and(Site::Embed.all_layers()).and(Site::FinalNorm.all_layers()), Pool::EveryToken)
}

fn texts(cases: &serde_json::Value) -> Vec<Text> {
    let cases = cases["texts"].as_array().unwrap();
    cases
        .iter()
        .enumerate()
        .map(|(number, case)| Text::new(number.to_string(), case["text"].as_str().unwrap()))
        .collect()
}

/// Compares the rows of text `number` and returns the largest relative error with its address.
fn worst(
    states: &Activations,
    row: usize,
    number: usize,
    case: &serde_json::Value,
    reference: &SafeTensors<'_>,
) -> (f64, Address) {
    let offsets = &states.token_rows().unwrap().offsets;
    let start = offsets[row] as usize;
    let mut worst = (0.0, Address::EMBED);
    for address in states.addresses() {
        let all = states.at(address).unwrap();
        let ours: Vec<f32> = case["positions"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|position| all.row(start + position.as_u64().unwrap() as usize).to_vec())
            .collect();
        let theirs = floats(reference, &format!("t{number}.{address}"));
        let scale = case["max_abs"][address.to_string()].as_f64().unwrap();
        let error = max_difference(&ours, &theirs) / scale;
        if error > worst.0 {
            worst = (error, address);
        }
    }
    worst
}

#[test]
fn hidden_states_agree_alone_and_in_mixed_batches() {
    let Some(model) = smollm() else { return };
    let cases = json("smollm2/hidden.json");
    let bytes = std::fs::read(fixture("smollm2/hidden.safetensors")).unwrap();
    let reference = SafeTensors::deserialize(&bytes).unwrap();
    let texts = texts(&cases);
    let check = |how: &str, states: &Activations, row: usize, number: usize| {
        let case = &cases["texts"][number];
        let offsets = &states.token_rows().unwrap().offsets;
        let tokens = &states.token_rows().unwrap().tokens[offsets[row] as usize..offsets[row + 1] as usize];
        assert_eq!(
            tokens.iter().map(|&id| id as u32).collect::<Vec<_>>(),
            ids(&case["ids"]),
            "{how}: tokens of {number}"
        );
        let (error, address) = worst(states, row, number, case, &reference);
        eprintln!("{how}, {} tokens: largest relative error {error:.1e} at {address}", tokens.len());
        assert!(error <= TOLERANCE, "{how}: {error:e} at {address}");
    };
    for (number, text) in texts.iter().enumerate() {
        let states = readout().capture(&model, std::slice::from_ref(text)).unwrap();
        check("alone", &states, 0, number);
    }
    for (how, side) in [("right-padded batch", PadSide::Right), ("left-padded batch", PadSide::Left)] {
        let states = readout().batch_tokens(1 << 20).pad(side).capture(&model, &texts).unwrap();
        for number in 0..texts.len() {
            check(how, &states, number, number);
        }
    }
}

#[test]
fn logits_agree() {
    let Some(model) = smollm() else { return };
    let cases = json("smollm2/hidden.json");
    let bytes = std::fs::read(fixture("smollm2/hidden.safetensors")).unwrap();
    let reference = SafeTensors::deserialize(&bytes).unwrap();
    let readout = Readout::new(Site::Logits.all_layers(), Pool::Last);
    let mut compared = 0;
    for (number, text) in texts(&cases).iter().enumerate() {
        if reference.tensor(&format!("t{number}.logits")).is_err() {
            continue;
        }
        let ours = readout.capture(&model, std::slice::from_ref(text)).unwrap();
        let ours = ours.at(Address::LOGITS).unwrap().row(0).to_vec();
        let theirs = floats(&reference, &format!("t{number}.logits"));
        let error = max_difference(&ours, &theirs) / cases["texts"][number]["max_abs"]["logits"].as_f64().unwrap();
        assert!(error <= TOLERANCE, "{error:e}");
        compared += 1;
    }
    assert_eq!(compared, 2);
}

#[test]
fn token_ids_agree_on_a_thousand_strings() {
    let Some(model) = smollm() else { return };
    let fixture = json("smollm2/tokens.json");
    let cases = fixture["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 1000);
    let different: Vec<&str> = cases
        .iter()
        .filter(|case| model.tokenizer().encode_rendered(case["text"].as_str().unwrap()).unwrap() != ids(&case["ids"]))
        .map(|case| case["text"].as_str().unwrap())
        .collect();
    assert!(different.is_empty(), "{} differ, such as {:?}", different.len(), &different[..different.len().min(5)]);
    assert_eq!(model.tokenizer().encode("one text").unwrap().ids, ids(&fixture["one_text_with_special"]));
}

#[test]
fn the_chat_template_renders_identically() {
    let Some(model) = smollm() else { return };
    let fixture = json("smollm2/chat.json");
    for case in fixture["cases"].as_array().unwrap() {
        let messages: Vec<Message> = serde_json::from_value(case["messages"].clone()).unwrap();
        let prompt = case["add_generation_prompt"].as_bool().unwrap();
        let text = model.template().unwrap().render(&messages, prompt).unwrap();
        assert_eq!(text, case["rendered"].as_str().unwrap());
        assert_eq!(model.tokenizer().encode_rendered(&text).unwrap(), ids(&case["ids"]));
    }
    let alone = Message::new(Role::User, "hi");
    assert!(model.template().unwrap().render(&[alone], false).unwrap().contains("hi"));
}

fn generate(model: &Model, prompts: &[Vec<u32>]) -> Vec<Vec<u32>> {
    let rows: Vec<&[u32]> = prompts.iter().map(Vec::as_slice).collect();
    let mut session = Session::new(model);
    session.read(&rows).unwrap();
    tokens(session.generate(&endless(64)).unwrap())
}

#[test]
fn sixty_four_greedy_tokens_agree_alone_and_in_a_batch() {
    let Some(model) = smollm() else { return };
    let fixture = json("smollm2/greedy.json");
    let cases = fixture["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 5);
    let prompts: Vec<Vec<u32>> = cases.iter().map(|case| ids(&case["prompt_ids"])).collect();
    let expected: Vec<Vec<u32>> = cases.iter().map(|case| ids(&case["new_ids"])).collect();
    assert_eq!(generate(&model, &prompts), expected, "in one batch of unequal prompts");
    for (prompt, expected) in prompts.iter().zip(&expected) {
        assert_eq!(generate(&model, std::slice::from_ref(prompt)), std::slice::from_ref(expected));
    }
}
