//! A model with fixed answers, to drive every flow of a conversation.

use std::cell::RefCell;

use probity::hook::{Geometry, Hooks, Site};
use probity::model::{KvCache, LogitsFor, Network};
use probity::text::{ChatTemplate, TokenBatch, Tokenizer};
use probity::{Model, Result};
use tch::{Device, Kind, Tensor};

/// The words that the tokeniser knows; all others are "?".
const WORDS: [&str; 24] = [
    "?",
    "<end>",
    "[user]",
    "[assistant]",
    "first",
    "second",
    "third",
    "fourth",
    "a",
    "b",
    "c",
    "(a)",
    "(b)",
    "(c)",
    "baker",
    "clerk",
    "open",
    "and",
    "because",
    "so",
    "maybe",
    "yes",
    "no",
    "again",
];

/// A chat template: the role in brackets before each turn, which a line break ends.
pub const TEMPLATE: &str = "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}\n{% endfor %}\
                            {% if add_generation_prompt %}[assistant]{% endif %}";

#[derive(Debug)]
struct Script {
    answers: Vec<(u32, Vec<Vec<u32>>)>,
    context: usize,
}

fn id(word: &str) -> u32 {
    WORDS.iter().position(|known| *known == word).unwrap_or_else(|| panic!("no word {word}")) as u32
}

impl Script {
    /// The token after `seen`: the answer under way belongs to the last item that was named before it.
    fn next(&self, seen: &[u32]) -> u32 {
        let starts: Vec<usize> = (0..seen.len()).filter(|&at| seen[at] == id("[assistant]")).collect();
        let Some(&last) = starts.last() else { return 0 };
        let Some((_, answers)) = self.answers.iter().find(|(item, _)| seen.contains(item)) else { return 0 };
        let Some(answer) = answers.get(starts.len() - 1) else { return id("<end>") };
        let said = seen.len() - 1 - last;
        *answer.get(said).or(answer.last()).unwrap_or(&id("<end>"))
    }
}

impl Network for Script {
    fn geometry(&self) -> Geometry {
        Geometry { layers: 1, heads: 1, kv_heads: 1 }
    }

    fn context(&self) -> usize {
        self.context
    }

    fn vocabulary(&self) -> usize {
        WORDS.len()
    }

    fn forward(
        &self,
        batch: &TokenBatch,
        _: Option<&mut KvCache>,
        hooks: &mut Hooks<'_>,
        logits: LogitsFor,
    ) -> Result<Option<Tensor>> {
        hooks.begin(&self.geometry())?;
        let size = batch.ids.size();
        // The state of a position says how many tokens were seen.
        let seen = batch.positions.f_to_kind(Kind::Float)?.f_unsqueeze(-1)?.f_expand([size[0], size[1], 4], false)?;
        let _ = hooks.tap(Site::ResidPost, 0, seen)?;
        hooks.finish()?;
        let result = RefCell::new(Vec::new());
        let positions = |row: &std::ops::Range<usize>| match logits {
            LogitsFor::None => 0..0,
            LogitsFor::Last => row.end - 1..row.end,
            LogitsFor::All => 0..size[1] as usize,
        };
        for (number, row) in batch.rows.iter().enumerate() {
            let ids: Vec<i64> = Vec::try_from(batch.ids.f_select(0, number as i64)?)?;
            let ids: Vec<u32> = ids.into_iter().map(|id| id as u32).collect();
            for at in positions(row) {
                let next = if row.contains(&at) { self.next(&ids[row.start..=at]) } else { 0 };
                let likely = |word: usize| if word as u32 == next { 8.0_f32 } else { 0.0 };
                result.borrow_mut().extend((0..WORDS.len()).map(likely));
            }
        }
        if logits == LogitsFor::None {
            return Ok(None);
        }
        let values = result.into_inner();
        Ok(Some(Tensor::f_from_slice(&values)?.f_view([size[0], -1, WORDS.len() as i64])?.f_to_device(Device::Cpu)?))
    }
}

/// A model that gives these answers, with room for so many tokens.
pub fn scripted(answers: &[(&str, &[&str])], context: usize) -> Model {
    let vocabulary: serde_json::Map<_, _> = WORDS.iter().zip(0..).map(|(&word, id)| (word.into(), id.into())).collect();
    let tokenizer = serde_json::json!({
        "version": "1.0", "added_tokens": [], "truncation": null, "padding": null, "normalizer": { "type": "Lowercase" },
        "pre_tokenizer": { "type": "WhitespaceSplit" }, "post_processor": null, "decoder": null,
        "model": { "type": "WordLevel", "vocab": vocabulary, "unk_token": "?" },
    });
    let words = |text: &&str| text.split(' ').filter(|word| !word.is_empty()).map(id).collect::<Vec<u32>>();
    let answers = answers.iter().map(|(item, said)| (id(item), said.iter().map(words).collect())).collect();
    let tokenizer = Tokenizer::from_json(&tokenizer.to_string()).unwrap();
    Model::new("scripted", Script { answers, context }, tokenizer)
        .unwrap()
        .with_stop_tokens(vec![id("<end>")])
        .with_template(ChatTemplate::new(TEMPLATE, &[]).unwrap())
}
