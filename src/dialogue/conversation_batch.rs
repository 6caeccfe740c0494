//! One batch of conversations that run side by side.

use super::asking::{after_thinking, brackets, letters, opening, review, Remark};
use super::instruction::Instruction;
use super::part::Part;
use super::protocol::Overflow;
use super::self_correction::SelfCorrection;
use super::study::Conversation;
use super::transcript::Transcript;
use crate::capture::{Collector, Tail};
use crate::condition::Condition;
use crate::generate::{Continuation, Decoding, OptionScores, Session};
use crate::hook::Hooks;
use crate::stats::pick;
use crate::task::{BareScore, Item, OptionScore, Said};
use crate::text::{Role, TokenBatch};
use crate::{Error, Model, Result};

/// Conversations about some of the items, around one session: what a turn shares with what the session has
/// read is not run again.
pub(super) struct ConversationBatch<'m, I: Item> {
    model: &'m Model,
    protocol: &'m SelfCorrection<I>,
    session: Session<'m>,
    /// Numbers of the items.
    rows: &'m [usize],
    items: Vec<&'m I>,
    /// Number of each item's wording.
    wordings: Vec<usize>,
}

/// What the conversations of a batch are about to answer: an instruction's round, or round 0 without one.
#[derive(Clone, Copy)]
pub(super) struct Turn<'a> {
    pub instruction: Option<&'a Instruction>,
    /// The instruction that this round is given in its place, after all its own.
    pub then: Option<&'a Instruction>,
    pub round: usize,
}

impl Turn<'_> {
    /// The condition that it stands for.
    pub fn condition(&self) -> Condition {
        let own = self.instruction.map_or_else(Condition::plain, |own| Condition::new(&own.name, self.round));
        match self.then {
            Some(then) => own.then(&then.name),
            None => own,
        }
    }
}

impl<'m, I: Item> ConversationBatch<'m, I> {
    /// A batch for the items whose numbers are `rows`, out of all whose wordings are `wordings`.
    pub fn new(model: &'m Model, protocol: &'m SelfCorrection<I>, rows: &'m [usize], wordings: &[usize]) -> Self {
        let items = rows.iter().filter_map(|&row| protocol.task.items().get(row)).collect();
        let session = Session::new(model).cache_limit(protocol.cache_budget);
        ConversationBatch { model, protocol, session, rows, items, wordings: pick(wordings, rows) }
    }

    /// The instruction in the wording that the item at this place is asked in.
    fn worded<'i>(&self, place: usize, instruction: &'i Instruction) -> &'i Instruction {
        instruction.worded(self.wordings.get(place).copied().unwrap_or(0))
    }

    /// Most bytes that keys and values took so far.
    pub fn cache_bytes(&self) -> usize {
        self.session.peak_cache_bytes()
    }

    /// Fresh conversations that ask the questions, in round 0 or, with an instruction, in round 1.
    pub fn open(&self, instruction: Option<&Instruction>) -> Result<Vec<Transcript>> {
        let round = usize::from(instruction.is_some());
        let ask = |(place, item): (usize, &&I)| {
            let instruction = instruction.map(|instruction| self.worded(place, instruction));
            let thinking = self.protocol.thinks(instruction);
            let instruction = instruction.map(|instruction| instruction.for_item(*item)).transpose()?;
            let mut talk = Transcript::new();
            talk.say_parts(Role::User, round, opening(*item, instruction.as_ref(), thinking));
            Ok(talk)
        };
        self.items.iter().enumerate().map(ask).collect()
    }

    /// Asks for a review of the last answers, after what is to be said of them.
    pub fn review(&mut self, talks: &mut [Transcript], instruction: &Instruction, round: usize) -> Result<()> {
        let remarks = self.remarks(talks, instruction, round)?;
        for (place, ((talk, item), remark)) in talks.iter_mut().zip(&self.items).zip(&remarks).enumerate() {
            let instruction = self.worded(place, instruction);
            let thinking = self.protocol.thinks(Some(instruction));
            talk.say_parts(Role::User, round, review(*item, &instruction.for_item(*item)?, remark, thinking));
        }
        Ok(())
    }

    /// Has the last answers judged, by the model in a turn of its own or by another.
    fn remarks(&mut self, talks: &mut [Transcript], instruction: &Instruction, round: usize) -> Result<Vec<Remark>> {
        if instruction.asks_itself().is_some() {
            let asked = |place: usize| self.worded(place, instruction).asks_itself().unwrap_or_default();
            let words: Vec<(&str, &str)> = (0..talks.len()).map(asked).collect();
            for (talk, (request, _)) in talks.iter_mut().zip(&words) {
                talk.say_parts(Role::User, round, [(Some(Part::FeedbackRequest), *request)]);
            }
            let turn = Turn { instruction: Some(instruction), then: None, round };
            let said = self.say(talks, &self.protocol.reasoning, turn, "feedback")?;
            for (talk, said) in talks.iter_mut().zip(&said) {
                talk.say_parts(Role::Assistant, round, [(Some(Part::Feedback), said)]);
            }
            return Ok(words.into_iter().map(|(_, lead)| Remark::ByItself { lead: lead.to_owned() }).collect());
        }
        let words = instruction.feedback.as_ref().map(|words| words.give.as_str());
        let among_others = self.protocol.instructions.iter().any(Instruction::wants_judge);
        let judge = self.protocol.feedback.as_ref().filter(|_| words.is_some() || !among_others);
        let Some(judge) = judge else { return Ok(talks.iter().map(|_| Remark::Nothing).collect()) };
        let said = judge.feedback(talks)?;
        if said.len() != talks.len() {
            let what = format!("feedback by {}", judge.describe());
            return Err(Error::row_count(what, talks.len(), said.len()));
        }
        let within = |(place, said): (usize, String)| {
            let words = self.worded(place, instruction).feedback.as_ref().map(|words| words.give.as_str());
            match words {
                Some(words) if !said.trim().is_empty() => Remark::ByAnother(words.replace("{feedback}", &said)),
                _ => Remark::ByAnother(said),
            }
        };
        Ok(said.into_iter().enumerate().map(within).collect())
    }

    /// Lets the model think, if it is to; then reads the states where the answers begin, scores the options,
    /// generates the answers and adds them to the conversations. `of_answers` gets the states over these, if they are wanted.
    pub fn answer(
        &mut self,
        talks: &mut [Transcript],
        turn: Turn<'_>,
        (of_prompts, of_answers): (&mut Collector, Option<&mut Collector>),
    ) -> Result<Vec<I::Answer>> {
        let rationales = self.think(talks, turn)?;
        self.session.intervene(&self.protocol.interventions.of(&turn.condition()));
        let options = self.items.iter().map(|item| self.option_tokens(*item)).collect::<Result<Vec<_>>>()?;
        let decoding = &self.protocol.decoding;
        let longest = |options: &Vec<Vec<u32>>| options.iter().map(Vec::len).max().unwrap_or(0);
        let room: Vec<usize> = options.iter().map(|options| longest(options).max(decoding.max_tokens())).collect();
        let (mut shown, mut texts) = self.prompts(talks, &room)?;
        let prompts: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
        let spans = |batch: &TokenBatch| batch.rows.iter().cloned().enumerate().collect();
        self.session.reserve(room.iter().copied().max().unwrap_or(0));
        self.session.read_hooked(&prompts, |batch| of_prompts.hooks(spans(batch), self.rows.to_vec()))?;
        let scores = self.scores(&options)?;
        let keys = self.keys(turn, "answer");
        let ends = || prompts.iter().map(|prompt| prompt.len()).collect();
        let tail = of_answers.as_ref().map(|to| Tail::new(to.addresses(), ends(), decoding.max_tokens()));
        let hooks = |batch: &TokenBatch| tail.as_ref().map_or_else(Hooks::new, |tail| tail.hooks(batch));
        let generated = self.session.generate_through(decoding, &keys, tail.is_some(), hooks)?;

        let again = if self.protocol.continuations > 1 { texts.clone() } else { Vec::new() };
        let mut said_to = Vec::with_capacity(self.items.len());
        for (place, (said, scores)) in generated.iter().zip(scores).enumerate() {
            let talk = &mut talks[place];
            let rationale = rationales.as_ref().and_then(|rationales| rationales.get(place).cloned());
            let dropped_turns = talk.messages().len() - shown[place].messages().len();
            // Without one the rule is settled once round 0 is known.
            let rule = self.protocol.score_rule.unwrap_or_default();
            let said = Said { rationale, dropped_turns, scores, rule, ..Said::text(said) };
            for talk in [talk, &mut shown[place]] {
                talk.say_parts(Role::Assistant, turn.round, [(Some(Part::Answer), &said.text)]);
            }
            said_to.push(said);
        }
        if let (Some(tail), Some(collector)) = (tail, of_answers) {
            texts.iter_mut().zip(&generated).for_each(|(text, said)| text.extend(&said.tokens));
            self.read_answers(&shown, texts, tail, collector)?;
        }
        self.draw_others(&again, turn, &mut said_to)?;
        self.items.iter().zip(said_to).map(|(item, said)| item.answer(said)).collect()
    }

    /// Draws what is said besides after the same prompts, number by number; the conversations are left as they are.
    fn draw_others(&mut self, prompts: &[Vec<u32>], turn: Turn<'_>, said_to: &mut [Said]) -> Result<()> {
        let prompts: Vec<&[u32]> = prompts.iter().map(Vec::as_slice).collect();
        for number in 1..self.protocol.continuations {
            self.session.reserve(self.protocol.decoding.max_tokens());
            self.session.read(&prompts)?;
            let keys = self.keys(turn, &format!("answer {number}"));
            let drawn = self.session.generate_hooked(&self.protocol.decoding, &keys, |_| Hooks::new())?;
            for (said, drawn) in said_to.iter_mut().zip(drawn) {
                said.others.push(drawn.text.trim().to_owned());
            }
        }
        Ok(())
    }

    /// Puts the mean states over the tokens of the answers that `shown`, the conversations as the model saw them, end with;
    /// an empty answer has none. `texts` are the tokens that were run, `tail` holds their states from the prompts' ends on.
    ///
    /// What counts are the tokens that later rounds see. They are those that were generated, unless spaces around them were
    /// left out or the tokeniser cuts the same text otherwise: then they are run here, where the next round finds them.
    fn read_answers(
        &mut self,
        shown: &[Transcript],
        mut texts: Vec<Vec<u32>>,
        mut tail: Tail,
        collector: &mut Collector,
    ) -> Result<()> {
        let (mut spans, mut others, mut before) = (Vec::with_capacity(texts.len()), false, false);
        for (place, (talk, text)) in shown.iter().zip(&mut texts).enumerate() {
            let prompt = talk.closed(self.model)?;
            let Some(answer) = prompt.passages.last().filter(|last| last.part == Part::Answer) else { continue };
            let tokens = answer.tokens.clone();
            let ids = prompt.ids.get(..tokens.end).unwrap_or_default();
            if !text.starts_with(ids) {
                *text = ids.to_vec();
                others = true;
            }
            before |= !tail.holds_from(place, tokens.start);
            spans.push((place, tokens));
        }
        if before {
            // A template that ends an open conversation otherwise than a closed one.
            self.session.forget();
            let mut first: Vec<usize> = texts.iter().map(Vec::len).collect();
            spans.iter().for_each(|(place, tokens)| first[*place] = tokens.start);
            tail = Tail::new(collector.addresses(), first, 0);
        }
        if others || before {
            let texts: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
            self.session.read_hooked(&texts, |batch| tail.hooks(batch))?;
        }
        if spans.is_empty() {
            return Ok(());
        }
        let rows: Vec<usize> = spans.iter().map(|&(place, _)| self.rows[place]).collect();
        collector.put(&rows, &tail.means(&spans)?)
    }

    /// Generates the rationales and asks for the answers after them.
    fn think(&mut self, talks: &mut [Transcript], turn: Turn<'_>) -> Result<Option<Vec<String>>> {
        if self.protocol.thinks(turn.instruction).is_none() {
            return Ok(None);
        }
        let rationales = self.say(talks, &self.protocol.reasoning, turn, "rationale")?;
        for (place, ((talk, item), rationale)) in talks.iter_mut().zip(&self.items).zip(&rationales).enumerate() {
            let worded = turn.instruction.map(|instruction| self.worded(place, instruction));
            let Some(thinking) = self.protocol.thinks(worded) else { continue };
            talk.say_parts(Role::Assistant, turn.round, [(Some(Part::Rationale), rationale)]);
            talk.say_parts(Role::User, turn.round, after_thinking(*item, thinking));
        }
        Ok(Some(rationales))
    }

    /// What the model says next in each conversation; the conversations are left as they are.
    fn say(&mut self, talks: &[Transcript], decoding: &Decoding, turn: Turn<'_>, what: &str) -> Result<Vec<String>> {
        self.session.intervene(&self.protocol.interventions.of(&turn.condition()));
        let (_, prompts) = self.prompts(talks, &vec![decoding.max_tokens(); talks.len()])?;
        let prompts: Vec<&[u32]> = prompts.iter().map(Vec::as_slice).collect();
        self.session.reserve(decoding.max_tokens());
        self.session.read(&prompts)?;
        let said = self.session.generate_hooked(decoding, &self.keys(turn, what), |_| Hooks::new())?;
        Ok(said.into_iter().map(|Continuation { text, .. }| text.trim().to_owned()).collect())
    }

    /// For each option the tokens of its [`FORMS`] as the model would say them.
    fn option_tokens(&self, item: &I) -> Result<Vec<Vec<u32>>> {
        let forms = |(shown, option): (String, &String)| [format!("{shown} {option}"), shown, option.clone()];
        let texts = brackets().zip(item.options()).flat_map(forms);
        texts.map(|text| self.model.tokenizer().encode_rendered(&text)).collect()
    }

    /// Scores of each item's options after what was read, all forms in one pass.
    fn scores(&mut self, options: &[Vec<Vec<u32>>]) -> Result<Vec<Vec<OptionScore>>> {
        if options.iter().all(Vec::is_empty) {
            return Ok(vec![Vec::new(); options.len()]);
        }
        let letters = self.letters()?;
        let scores = self.session.score(options)?;
        let of_item = |(place, scores): (usize, Vec<OptionScores>)| {
            let texts = self.items[place].options();
            let of_option = |(option, forms): (usize, &[OptionScores])| {
                let &[whole, shown, text] = forms else { return None };
                let letter = letters.as_ref().and_then(|letters| letters.get(place)?.get(option).copied());
                Some(option_score(whole, shown, text, texts.get(option).map_or(1, String::len), letter))
            };
            scores.chunks(FORMS).enumerate().filter_map(of_option).collect()
        };
        Ok(scores.into_iter().enumerate().map(of_item).collect())
    }

    /// What each row's draws follow from, whatever stands beside it.
    fn keys(&self, turn: Turn<'_>, what: &str) -> Vec<String> {
        let Condition { round, .. } = turn.condition();
        let name = turn.condition().name();
        let key = |item: &&I| format!("{} {name} {round} {what}", item.id());
        self.items.iter().map(key).collect()
    }

    /// Log-probabilities of each option's letter as the next token; `None` if some letter is no single token.
    fn letters(&self) -> Result<Option<Vec<Vec<f64>>>> {
        let most = self.items.iter().map(|item| item.options().len()).max().unwrap_or(0);
        let mut ids = Vec::with_capacity(most);
        for letter in letters().take(most) {
            match self.model.tokenizer().encode_rendered(&letter.to_string())?.as_slice() {
                &[id] => ids.push(id),
                _ => return Ok(None),
            }
        }
        Ok(Some(self.session.next_tokens(&ids)?))
    }

    /// The conversations with room for so many more tokens, some of their turns left out for that, and their tokens.
    fn prompts(&self, talks: &[Transcript], room: &[usize]) -> Result<(Vec<Transcript>, Vec<Vec<u32>>)> {
        let context = self.model.context();
        let fit = |((item, talk), room): ((&&I, &Transcript), &usize)| {
            let mut shown = talk.clone();
            loop {
                let ids = shown.prompt(self.model)?.ids;
                let tokens = ids.len() + room;
                if !ids.is_empty() && tokens <= context {
                    return Ok((shown, ids));
                }
                let shorter = match self.protocol.overflow {
                    Overflow::Error => None,
                    Overflow::DropOldest => shown.without_oldest_answer(),
                };
                let what = || format!("item {:?} with the answer to turn {}", item.id(), talk.messages().len());
                shown = shorter.ok_or_else(|| Error::text_length(what(), tokens, context))?;
            }
        };
        self.items.iter().zip(talks).zip(room).map(fit).collect()
    }

    /// The finished conversations.
    pub fn close(&self, talks: Vec<Transcript>, turn: Turn<'_>) -> Vec<Conversation> {
        let condition = turn.condition();
        let named = |place: usize| {
            let asked = turn.instruction.filter(|instruction| !instruction.wordings.is_empty())?;
            Some(self.worded(place, asked).name.clone())
        };
        let talks = self.items.iter().zip(talks).enumerate();
        talks
            .map(|(place, (item, transcript))| Conversation {
                item: item.id().to_owned(),
                condition: condition.clone(),
                wording: named(place),
                transcript,
            })
            .collect()
    }
}

/// The forms in which an option is scored: as it is shown, what is shown before its text, its text.
const FORMS: usize = 3;

fn option_score(
    whole: OptionScores,
    shown: OptionScores,
    text: OptionScores,
    bytes: usize,
    letter: Option<f64>,
) -> OptionScore {
    let (total, per_token, per_byte) = (text.total, text.mean(), text.total / bytes as f64);
    let bare = BareScore { total, per_token, per_byte, letter };
    OptionScore { total: whole.total, per_token: whole.mean(), letter: shown.total, bare }
}
