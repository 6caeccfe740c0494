//! The grid of prompts: complete, matched in length, replaceable.

use std::collections::BTreeSet;

use common::smollm;
use probity::dialogue::{FeedbackSource, Instruction, PromptCell, PromptGrid, SelfCorrection, Specificity, Stance};
use probity::task::{ChoiceTask, Item};
use probity::Condition;

/// Beginnings of words that an instruction free of moral content must not hold.
const MORAL_STEMS: &str = "moral ethic bias unbias stereotyp harm hurt fair unfair just prejud discrimin respect equal \
    offen toxic right wrong good bad evil virtu honest kind care group people person gender race religio social unknown \
    undetermined polite rude insult threat slur";

/// The most tokens by which a neutral instruction may differ from the positive one.
const MARGIN: usize = 2;

fn words(text: &str) -> Vec<String> {
    text.to_lowercase()
        .split(|c: char| !c.is_alphanumeric() && c != '\'')
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

fn moral_words(text: &str) -> Vec<String> {
    words(text).into_iter().filter(|word| MORAL_STEMS.split(' ').any(|stem| word.starts_with(stem))).collect()
}

fn plain_cells(grid: &PromptGrid) -> Vec<PromptCell> {
    let plain = |cell: &PromptCell| !cell.chain_of_thought && cell.feedback == FeedbackSource::None;
    grid.cells().into_iter().filter(plain).collect()
}

#[test]
fn every_cell_is_there_and_its_ten_wordings_differ() {
    let grid = PromptGrid::bundled().unwrap();
    let cells = grid.cells();
    assert_eq!(cells.len(), 3 * 4 * 4 * 2 * 3 * 10);
    for cell in &cells {
        let instruction = grid.get(cell).unwrap();
        assert_eq!(instruction.reasoning.is_some(), cell.chain_of_thought, "{cell}");
        let feedback = instruction.feedback.as_ref();
        match cell.feedback {
            FeedbackSource::None => assert!(feedback.is_none()),
            FeedbackSource::Intrinsic => assert!(feedback.unwrap().request.is_some()),
            FeedbackSource::External => assert_eq!(feedback.unwrap().give.matches("{feedback}").count(), 1),
        }
        assert_eq!(grid.parse(&cell.to_string()).unwrap(), *cell);
    }
    let firsts: BTreeSet<(String, String)> = plain_cells(&grid)
        .iter()
        .map(|cell| {
            (format!("{}{:?}{:?}", cell.benchmark, cell.specificity, cell.stance), grid.get(cell).unwrap().first)
        })
        .collect();
    assert_eq!(firsts.len(), 480, "no wording twice in a cell");
    for text in plain_cells(&grid).iter().map(|cell| grid.get(cell).unwrap()).flat_map(|i| [i.first, i.review]) {
        assert!(text.ends_with(['.', '?', '}']), "{text}");
        assert_eq!(text.split_whitespace().collect::<Vec<_>>().join(" "), text);
        assert!(!text.contains(|c: char| c.is_ascii_digit()), "{text}");
    }
}

#[test]
fn neutral_instructions_are_as_long_as_positive_ones() {
    let Some(model) = smollm() else { return };
    let grid = PromptGrid::bundled().unwrap();
    let length = |text: &str| {
        let text = text.replace("{answer}", "Not known");
        model.tokenizer().encode_rendered(&text).unwrap().len()
    };
    let mut pairs = 0;
    for cell in plain_cells(&grid).into_iter().filter(|cell| cell.stance == Stance::Neutral) {
        let neutral = grid.get(&cell).unwrap();
        let positive = grid.get(&PromptCell { stance: Stance::Positive, ..cell.clone() }).unwrap();
        for (neutral, positive) in [(&neutral.first, &positive.first), (&neutral.review, &positive.review)] {
            let gap = length(neutral).abs_diff(length(positive));
            assert!(gap <= MARGIN, "{cell}: {gap} tokens apart");
            pairs += 1;
        }
    }
    assert_eq!(pairs, 240);
}

#[test]
fn neutral_instructions_hold_no_moral_word() {
    let grid = PromptGrid::bundled().unwrap();
    for cell in plain_cells(&grid) {
        let instruction = grid.get(&cell).unwrap();
        let hits = moral_words(&instruction.first);
        let names_a_harm = matches!(cell.specificity, Specificity::L1 | Specificity::L2);
        match cell.stance {
            Stance::Neutral => {
                assert!(hits.is_empty() && moral_words(&instruction.review).is_empty(), "{cell}: {hits:?}")
            }
            // To think carefully is no moral word.
            Stance::Positive if cell.specificity == Specificity::L0 => {
                assert!(hits.iter().all(|word| word == "carefully"), "{cell}: {hits:?}");
            }
            _ if names_a_harm && cell.benchmark != "real_toxicity_prompts" => {
                assert!(!hits.is_empty(), "the word list sees {cell}: {}", instruction.first);
            }
            _ => {}
        }
    }
}

#[test]
fn a_mention_quotes_every_word_of_its_instruction_and_adds_few() {
    let grid = PromptGrid::bundled().unwrap();
    let mentions: Vec<PromptCell> =
        plain_cells(&grid).into_iter().filter(|cell| cell.stance == Stance::Mention).collect();
    assert_eq!(mentions.len(), 120);
    for cell in mentions {
        let positive = grid.get(&PromptCell { stance: Stance::Positive, ..cell.clone() }).unwrap();
        let mention = grid.get(&cell).unwrap();
        let (_, rest) = mention.first.split_once('"').unwrap();
        let (quoted, _) = rest.rsplit_once('"').unwrap();
        assert_eq!(words(quoted), words(&positive.first), "{cell}");
        let around = words(&mention.first).len() - words(quoted).len();
        assert!((4..=5).contains(&around), "{cell}: {around} words around the quotation");
        assert!(mention.review.contains(&mention.first), "{cell}");
        let frame = mention.first.replace(quoted, "");
        assert!(moral_words(&frame).is_empty(), "{cell}: {frame}");
    }
    // By its role it is a control, and known by the instruction that it quotes.
    let named = |name: &str| Instruction::named(name).unwrap();
    let design = SelfCorrection::new(ChoiceTask::bundled().unwrap())
        .instructions(["L1", "L2", "neutral", "mention"].map(named))
        .rounds(2)
        .design()
        .unwrap();
    let at = |name: &str| Condition::new(name, 2);
    assert_eq!(design.mention(&at("L1")), Some(&at("mention")));
    assert_eq!((design.mention(&at("L2")), design.mention(&at("neutral"))), (None, None));
    assert_eq!((design.role(&at("mention")), design.control(&at("mention"))), (Some(probity::Role::Control), None));
    assert_eq!(design.control(&at("L1")), Some(&at("neutral")));
    assert_eq!(design.judged(), [&at("L1"), &at("L2")]);
}

#[test]
fn another_wording_comes_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.json");
    let file = r#"{"benchmarks": {"mine": {
        "review": [{"before": "Once more.", "after": "Answer."}],
        "reasoning": [{"request": "Think.", "conclude": "Now?"}],
        "feedback": {"intrinsic": [{"request": "And?", "give": "So."}], "external": [{"give": "Told: {feedback}"}]},
        "instructions": {"L1": {"positive": ["Exact words."], "negated": [{"first": "A.", "review": "B."}]}}}}}"#;
    std::fs::write(&path, file).unwrap();
    let grid = PromptGrid::load(&path).unwrap();
    let said = |name: &str| grid.get(&grid.parse(name).unwrap());
    let instruction = said("mine/L1/cot/external").unwrap();
    assert_eq!(
        (instruction.first.as_str(), instruction.review.as_str()),
        ("Exact words.", "Once more. Exact words. Answer.")
    );
    assert_eq!(instruction.reasoning.unwrap().conclude.as_deref(), Some("Now?"));
    assert_eq!(said("mine/negated").unwrap().review, "B.");
    let refused = |error: probity::Error, says: &str| {
        let error = common::told(&error);
        assert!(error.contains(says), "{error}");
    };
    refused(said("mine/neutral").unwrap_err(), "no such stance");
    refused(said("mine/p1").unwrap_err(), "no such paraphrase");
    refused(grid.parse("mime").unwrap_err(), "nearest: mine");
    for (from, to, says) in [
        ("Told: {feedback}", "Told.", "at \"mine.feedback.external\": a wording lacks"),
        ("[\"Exact words.\"]", "[]", "at \"mine.L1.positive\": 0 wordings"),
        ("\"reasoning\"", "\"raisoning\"", "mine.json:3: is not the JSON that belongs here: unknown field `raisoning`"),
        ("\"L1\"", "\"L7\"", "mine.json:5: is not the JSON that belongs here: unknown variant `L7`"),
    ] {
        std::fs::write(&path, file.replace(from, to)).unwrap();
        refused(PromptGrid::load(&path).unwrap_err(), says);
    }
}

#[test]
fn places_are_filled_from_the_item() {
    let task = ChoiceTask::load(common::root().join("data/ambiguous_qa.jsonl")).unwrap();
    let item = &task.items()[0];
    let told = Instruction::named("ground_truth").unwrap().for_item(item).unwrap();
    assert!(told.first.ends_with("It cannot be determined.") && told.review.contains(item.slot("answer").unwrap()));
    let negated = Instruction::named("ground_truth/negated").unwrap();
    assert!(negated.for_item(item).unwrap().first.contains("The pensioner"));
    let mut open = item.clone();
    open.biased = None;
    assert!(negated.for_item(&open).unwrap_err().to_string().contains("no text for {biased}"));
}

#[test]
fn an_instruction_that_states_the_answer_is_known_by_its_words() {
    let named = |name: &str| Instruction::named(name).unwrap();
    let design = SelfCorrection::new(ChoiceTask::bundled().unwrap())
        .instructions([named("ground_truth"), named("L2"), named("neutral")])
        .rounds(1)
        .design()
        .unwrap();
    let tells = |name: &str| design.tells_answer(&Condition::new(name, 1));
    assert!(tells("ground_truth") && !tells("L2") && !tells("neutral"));
}
