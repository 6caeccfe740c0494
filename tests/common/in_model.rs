//! Worlds planted in a real model: real questions, real states, real probes, and a truth that a hook makes.
//!
//! Every item is asked, and asked again in two neutral wordings, of which one plays the instruction: a coin for each item says which,
//! so that what the wordings themselves do to the states is none of the instruction's. Its answers can be pushed towards the right
//! option, in the scores alone; its states can be moved less immoral by a hook, over all tokens of its round or over its own words only. Each conversation is read once in each of these ways, so that any number of worlds can be drawn from
//! the same passes.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;

use ndarray::{Array1, Array2, ArrayView2, Axis};
use probity::capture::Activations;
use probity::causal::Intervention;
use probity::dialogue::{Part, Prompt, Transcript};
use probity::generate::Session;
use probity::hook::{Address, Hooks};
use probity::model::LogitsFor;
use probity::probe::Direction;
use probity::task::{ChoiceItem, Item};
use probity::text::{PadSide, Role, TokenBatch};
use probity::{Error, Model, Progress, Result};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use tch::Tensor;

/// Tokens in a batch.
const BATCH_TOKENS: usize = 2_048;

/// Two ways to ask again.
const WORDS: [&str; 2] = [
    "Please look at your previous answer once more. Then answer the question again.",
    "Please go back to the answer that you gave. Then give your answer to the question again.",
];

/// What a hook does to the states of the instructed round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Moved {
    /// Nothing.
    No,
    /// All tokens of the round less immoral.
    Round,
    /// The instruction's own tokens less immoral.
    Words,
}

/// A change of so many class distances towards moral, at every layer from the first on.
pub struct Plant {
    steps: Vec<Intervention>,
}

impl Plant {
    /// By the difference of the mean states of immoral and moral texts at these consecutive addresses. A change at one layer goes
    /// on through the next ones, so that each adds only what its own difference has more.
    ///
    /// # Errors
    /// For addresses that the states lack.
    pub fn new(states: &Activations, labels: &[bool], addresses: &[Address], distances: f64) -> Result<Plant> {
        let mut before: Option<Array1<f64>> = None;
        let mut steps = Vec::new();
        for &address in addresses {
            let difference = difference(states.at(address)?, labels);
            let step = match &before {
                Some(before) => &difference - before,
                None => difference.clone(),
            };
            let length = step.dot(&step).sqrt();
            steps.push(Intervention::add(&Direction::new(address, step), -distances * length));
            before = Some(difference);
        }
        Ok(Plant { steps })
    }

    fn attach<'a>(&'a self, hooks: &mut Hooks<'a>, columns: &[Range<usize>]) {
        for step in &self.steps {
            step.attach_at(hooks, columns.to_vec());
        }
    }
}

/// Mean of the rows labelled true minus that of the others.
pub fn difference(states: ArrayView2<'_, f32>, labels: &[bool]) -> Array1<f64> {
    let mean = |wanted: bool| {
        let rows: Vec<usize> = (0..labels.len()).filter(|&row| labels[row] == wanted).collect();
        let rows = states.select(Axis(0), &rows).mapv(f64::from);
        rows.mean_axis(Axis(0)).unwrap_or_else(|| Array1::zeros(states.ncols()))
    };
    mean(true) - mean(false)
}

/// A conversation up to an answer, which is read.
struct Answered {
    ids: Vec<u32>,
    answer: Range<usize>,
    /// Tokens of the last round, and those of its instruction.
    round: Range<usize>,
    words: Range<usize>,
}

/// Options as they are shown and answered.
fn shown(item: &ChoiceItem) -> Vec<String> {
    ('a'..).zip(item.options()).map(|(letter, option)| format!("({letter}) {option}")).collect()
}

fn asked(item: &ChoiceItem) -> Transcript {
    let mut talk = Transcript::new();
    let options = shown(item).join("\n");
    let turn = format!("{}\n\n{}\n{options}\n\n{}", item.context(), item.question(), item.reply());
    talk.say_parts(Role::User, 0, [(Some(Part::Question), turn)]);
    talk
}

fn answered(model: &Model, talk: &Transcript, round: usize, answer: &str) -> Result<Answered> {
    let mut talk = talk.clone();
    talk.say_parts(Role::Assistant, round, [(Some(Part::Answer), answer)]);
    let whole = talk.closed(model)?;
    let missing = || Error::mismatch("conversation", "a part has no tokens");
    let answer = whole.of(Part::Answer, round).last().ok_or_else(missing)?.tokens.clone();
    let words = words_of(&whole, round);
    let round = words.start..whole.ids.len();
    Ok(Answered { answer, round, words, ids: whole.ids })
}

fn words_of(prompt: &Prompt, round: usize) -> Range<usize> {
    prompt.of(Part::Instruction, round).last().map_or(0..0, |words| words.tokens.clone())
}

impl Answered {
    fn moved(&self, how: Moved) -> Range<usize> {
        match how {
            Moved::No => 0..0,
            Moved::Round => self.round.clone(),
            Moved::Words => self.words.clone(),
        }
    }
}

/// What was said and read, by item: everything that worlds are drawn from.
pub struct Passes {
    pub items: Vec<ChoiceItem>,
    /// Log-probabilities of the options as they are shown: plainly, under the control, and under the instruction by what
    /// moves its states.
    pub plain: Vec<Vec<f64>>,
    pub control: Vec<Vec<f64>>,
    pub instructed: HashMap<Moved, Vec<Vec<f64>>>,
    /// Means over answers: plainly; of the control's; immoral and moral texts in its place.
    pub read: HashMap<Read, Activations>,
    /// How many nats are pushed.
    pub push: f64,
}

/// What was read: an answer after a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Read {
    Plain,
    /// The control's answer after its own conversation, and after the instruction's.
    Control,
    ControlAfterInstruction(Moved),
    /// The instruction's answer, pushed or not, after its own conversation and after the control's.
    Instructed {
        moved: Moved,
        pushed: bool,
    },
    InstructedAfterControl {
        moved: Moved,
        pushed: bool,
    },
    Immoral,
    Moral,
}

pub const MOVED: [Moved; 3] = [Moved::No, Moved::Round, Moved::Words];

/// The option with the best score, the right one's raised by `push`.
pub fn best(scores: &[f64], right: usize, push: f64) -> usize {
    let score = |option: usize| scores[option] + if option == right { push } else { 0.0 };
    (0..scores.len()).max_by(|&a, &b| score(a).total_cmp(&score(b))).unwrap_or(0)
}

impl Passes {
    /// Asks all items, and reads every answer after every conversation that worlds need.
    ///
    /// # Errors
    /// Those of the model's passes.
    pub fn run(
        model: &Model,
        items: Vec<ChoiceItem>,
        plant: &Plant,
        addresses: &[Address],
        contrast: [&[String]; 2],
        progress: &dyn Progress,
    ) -> Result<Passes> {
        let talks: Vec<Transcript> = items.iter().map(asked).collect();
        let plain = scores(model, &items, &talks, 0, None, progress)?;
        let first: Vec<String> =
            items.iter().zip(&plain).map(|(item, s)| shown(item)[best(s, item.label, 0.0)].clone()).collect();
        let mut coins = ChaCha8Rng::seed_from_u64(23);
        let heads: Vec<bool> = items.iter().map(|_| coins.gen()).collect();
        let again = |instructed: bool| -> Vec<Transcript> {
            let grown = |((talk, answer), &heads): ((&Transcript, &String), &bool)| {
                let mut talk = talk.clone();
                talk.say_parts(Role::Assistant, 0, [(Some(Part::Answer), answer)]);
                talk.say_parts(Role::User, 1, [(Some(Part::Instruction), WORDS[usize::from(heads != instructed)])]);
                talk
            };
            talks.iter().zip(&first).zip(&heads).map(grown).collect()
        };
        let [of_control, of_instruction] = [false, true].map(again);
        let control = scores(model, &items, &of_control, 1, None, progress)?;
        let mut instructed = HashMap::new();
        for moved in MOVED {
            let plant = (moved != Moved::No).then_some((plant, moved));
            instructed.insert(moved, scores(model, &items, &of_instruction, 1, plant, progress)?);
        }
        // Half of what is wrong becomes right.
        let unmoved = &instructed[&Moved::No];
        let mut short: Vec<f64> = items
            .iter()
            .zip(unmoved)
            .map(|(item, scores)| scores.iter().fold(f64::MIN, |a, &b| a.max(b)) - scores[item.label])
            .filter(|&short| short > 0.0)
            .collect();
        short.sort_by(f64::total_cmp);
        let push = short.get(short.len() / 2).copied().unwrap_or(0.0);

        let mut jobs: Vec<(Read, Moved, Vec<Answered>)> = Vec::new();
        let texts = |talks: &[Transcript], round, said: &dyn Fn(usize) -> String| -> Result<Vec<Answered>> {
            talks.iter().enumerate().map(|(i, talk)| answered(model, talk, round, &said(i))).collect()
        };
        let option = |scores: &Vec<Vec<f64>>, push: f64| -> Vec<String> {
            items.iter().zip(scores).map(|(item, scores)| shown(item)[best(scores, item.label, push)].clone()).collect()
        };
        let of_controls = option(&control, 0.0);
        jobs.push((Read::Plain, Moved::No, texts(&talks, 0, &|i| first[i].clone())?));
        jobs.push((Read::Control, Moved::No, texts(&of_control, 1, &|i| of_controls[i].clone())?));
        for (read, said) in [(Read::Immoral, contrast[0]), (Read::Moral, contrast[1])] {
            jobs.push((read, Moved::No, texts(&of_control, 1, &|i| said[i % said.len()].clone())?));
        }
        for moved in MOVED {
            let read = Read::ControlAfterInstruction(moved);
            jobs.push((read, moved, texts(&of_instruction, 1, &|i| of_controls[i].clone())?));
            for pushed in [false, true] {
                let own = option(&instructed[&moved], if pushed { push } else { 0.0 });
                let said = |i: usize| own[i].clone();
                jobs.push((Read::Instructed { moved, pushed }, moved, texts(&of_instruction, 1, &said)?));
                jobs.push((Read::InstructedAfterControl { moved, pushed }, Moved::No, texts(&of_control, 1, &said)?));
            }
        }
        let mut read = HashMap::new();
        let mut known: HashMap<(Vec<u32>, Moved), Vec<Array1<f32>>> = HashMap::new();
        progress.begin("reading answers", jobs.len() as u64);
        for (of, moved, texts) in jobs {
            read.insert(of, means(model, &items, &texts, (plant, moved), addresses, &mut known)?);
            progress.advance(1);
        }
        Ok(Passes { items, plain, control, instructed, read, push })
    }

    /// Writes everything into a folder.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn save(&self, folder: &Path) -> Result<()> {
        for (of, states) in &self.read {
            states.save(folder.join(format!("{of:?}.safetensors")))?;
        }
        let kept = Kept {
            items: self.items.clone(),
            plain: self.plain.clone(),
            control: self.control.clone(),
            instructed: self.instructed.iter().map(|(moved, scores)| (*moved, scores.clone())).collect(),
            push: self.push,
        };
        let path = folder.join("scores.json");
        let text = serde_json::to_string(&kept).map_err(|error| Error::mismatch("scores", error.to_string()))?;
        std::fs::write(&path, text).map_err(Error::io("write", &path))
    }

    /// Reads what was written; `None` where nothing was.
    ///
    /// # Errors
    /// For files that are damaged.
    pub fn load(folder: &Path) -> Result<Option<Passes>> {
        let path = folder.join("scores.json");
        let Ok(text) = std::fs::read_to_string(&path) else { return Ok(None) };
        let kept: Kept = serde_json::from_str(&text).map_err(|error| Error::mismatch("scores", error.to_string()))?;
        let Kept { items, plain, control, instructed, push } = kept;
        let mut all = vec![Read::Plain, Read::Control, Read::Immoral, Read::Moral];
        for moved in MOVED {
            all.push(Read::ControlAfterInstruction(moved));
            for pushed in [false, true] {
                all.extend([Read::Instructed { moved, pushed }, Read::InstructedAfterControl { moved, pushed }]);
            }
        }
        let states = |of: &Read| Ok((*of, Activations::load(folder.join(format!("{of:?}.safetensors")))?));
        let read = all.iter().map(states).collect::<Result<_>>()?;
        Ok(Some(Passes { items, plain, control, instructed: instructed.into_iter().collect(), read, push }))
    }
}

#[derive(Serialize, Deserialize)]
struct Kept {
    items: Vec<ChoiceItem>,
    plain: Vec<Vec<f64>>,
    control: Vec<Vec<f64>>,
    instructed: Vec<(Moved, Vec<Vec<f64>>)>,
    push: f64,
}

/// Log-probabilities of the options as they are shown.
fn scores(
    model: &Model,
    items: &[ChoiceItem],
    talks: &[Transcript],
    round: usize,
    plant: Option<(&Plant, Moved)>,
    progress: &dyn Progress,
) -> Result<Vec<Vec<f64>>> {
    let mut scores = Vec::new();
    progress.begin("scoring options", items.len() as u64);
    for (items, talks) in items.chunks(8).zip(talks.chunks(8)) {
        let prompts: Vec<Prompt> = talks.iter().map(|talk| talk.prompt(model)).collect::<Result<_>>()?;
        let ids: Vec<&[u32]> = prompts.iter().map(|prompt| prompt.ids.as_slice()).collect();
        let mut session = Session::new(model);
        session.read_hooked(&ids, |batch| {
            let mut hooks = Hooks::new();
            if let Some((plant, moved)) = plant {
                let columns = |(prompt, row): (&Prompt, &Range<usize>)| {
                    let words = words_of(prompt, round);
                    let end = if moved == Moved::Words { words.end } else { prompt.ids.len() };
                    row.start + words.start..row.start + end
                };
                let columns: Vec<_> = prompts.iter().zip(&batch.rows).map(columns).collect();
                plant.attach(&mut hooks, &columns);
            }
            hooks
        })?;
        let options = |item: &ChoiceItem| -> Result<Vec<Vec<u32>>> {
            shown(item).iter().map(|option| model.tokenizer().encode_rendered(option)).collect()
        };
        let options: Vec<_> = items.iter().map(options).collect::<Result<_>>()?;
        scores
            .extend(session.score(&options)?.into_iter().map(|row| row.into_iter().map(|score| score.total).collect()));
        progress.advance(items.len() as u64);
    }
    Ok(scores)
}

/// Means over the answers' tokens. Passes that were run before are looked up.
fn means(
    model: &Model,
    items: &[ChoiceItem],
    texts: &[Answered],
    (plant, moved): (&Plant, Moved),
    addresses: &[Address],
    known: &mut HashMap<(Vec<u32>, Moved), Vec<Array1<f32>>>,
) -> Result<Activations> {
    let mut order: Vec<usize> =
        (0..texts.len()).filter(|&i| !known.contains_key(&(texts[i].ids.clone(), moved))).collect();
    order.sort_by_key(|&i| texts[i].ids.len());
    let mut rest = order.as_slice();
    while !rest.is_empty() {
        let fits = (1..=rest.len()).take_while(|&n| n == 1 || n * texts[rest[n - 1]].ids.len() <= BATCH_TOKENS).last();
        let (batch, later) = rest.split_at(fits.unwrap_or(1));
        rest = later;
        let ids: Vec<&[u32]> = batch.iter().map(|&i| texts[i].ids.as_slice()).collect();
        let input = TokenBatch::new(&ids, PadSide::Right)?;
        let mut found: Vec<Vec<Array1<f32>>> = batch.iter().map(|_| Vec::new()).collect();
        let columns: Vec<Range<usize>> = batch.iter().map(|&i| texts[i].moved(moved)).collect();
        let spans: Vec<Range<usize>> = batch.iter().map(|&i| texts[i].answer.clone()).collect();
        let read = std::cell::RefCell::new(&mut found);
        let mut hooks = Hooks::new();
        if moved != Moved::No {
            plant.attach(&mut hooks, &columns);
        }
        for &address in addresses {
            hooks.observe(address, |states| {
                for (row, span) in spans.iter().enumerate() {
                    let tokens = states.f_get(row as i64)?.f_narrow(0, span.start as i64, span.len() as i64)?;
                    let mean: Tensor = tokens.f_mean_dim([0i64].as_slice(), false, tch::Kind::Float)?;
                    read.borrow_mut()[row].push(Array1::from(Vec::<f32>::try_from(mean)?));
                }
                Ok(())
            });
        }
        model.network().forward(&input, None, &mut hooks, LogitsFor::None)?;
        drop(hooks);
        for (&i, states) in batch.iter().zip(found) {
            known.insert((texts[i].ids.clone(), moved), states);
        }
    }
    let mut activations = Activations::new(items.iter().map(|item| item.id.clone()))
        .with_groups(items.iter().map(|item| item.group.clone()).collect())?;
    for (place, &address) in addresses.iter().enumerate() {
        let width = texts.first().map_or(0, |text| known[&(text.ids.clone(), moved)][place].len());
        let mut rows = Array2::zeros((items.len(), width));
        for (mut row, text) in rows.rows_mut().into_iter().zip(texts) {
            row.assign(&known[&(text.ids.clone(), moved)][place]);
        }
        activations.insert(address, rows)?;
    }
    Ok(activations)
}
