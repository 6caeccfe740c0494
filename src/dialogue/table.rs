//! One batch of conversations that run side by side.

use super::asking::{after_thinking, letters, opening, review};
use super::{Conversation, Instruction, Overflow, Part, SelfCorrection, Transcript};
use crate::capture::Collector;
use crate::generate::{OptionScores, Session};
use crate::hook::Hooks;
use crate::task::{Answer, ChoiceItem, OptionScore};
use crate::text::Role;
use crate::{Error, Model, Result};

/// Conversations about some of the items, around one session: what a turn shares with what the session has
/// read is not run again.
pub(super) struct Table<'m> {
    model: &'m Model,
    protocol: &'m SelfCorrection,
    session: Session<'m>,
    /// Numbers of the items.
    rows: &'m [usize],
    items: Vec<&'m ChoiceItem>,
}

/// What the conversations of a table are about to answer.
#[derive(Clone, Copy)]
pub(super) struct Turn<'a> {
    /// Name of the instruction.
    pub instruction: &'a str,
    /// The round.
    pub round: usize,
}

impl<'m> Table<'m> {
    /// A table for the items whose numbers are `rows`.
    pub fn new(model: &'m Model, protocol: &'m SelfCorrection, rows: &'m [usize]) -> Self {
        let items = rows.iter().filter_map(|&row| protocol.task.items().get(row)).collect();
        Table { model, protocol, session: Session::new(model), rows, items }
    }

    /// Fresh conversations that ask the questions, in round 0 or, with an instruction, in round 1.
    pub fn open(&self, instruction: Option<&Instruction>) -> Result<Vec<Transcript>> {
        let round = usize::from(instruction.is_some());
        let ask = |item: &&ChoiceItem| {
            let instruction = instruction.map(|instruction| instruction.for_item(*item)).transpose()?;
            let mut talk = Transcript::new();
            talk.say_parts(Role::User, round, opening(*item, instruction.as_ref(), self.protocol.thinking.as_ref()));
            Ok(talk)
        };
        self.items.iter().map(ask).collect()
    }

    /// Asks for a review of the last answers.
    pub fn review(&self, talks: &mut [Transcript], instruction: &Instruction, round: usize) -> Result<()> {
        let feedback = match &self.protocol.feedback {
            None => vec![None; talks.len()],
            Some(judge) => {
                let said = judge.0.feedback(talks)?;
                if said.len() != talks.len() {
                    let what = format!("feedback by {}", judge.0.describe());
                    return Err(Error::RowCount { what, expected: talks.len(), found: said.len() });
                }
                said.into_iter().map(Some).collect()
            }
        };
        for ((talk, item), feedback) in talks.iter_mut().zip(&self.items).zip(feedback) {
            let parts = review(*item, &instruction.for_item(*item)?, feedback, self.protocol.thinking.as_ref());
            talk.say_parts(Role::User, round, parts);
        }
        Ok(())
    }

    /// Lets the model think, if it is to; then reads the states where the answers begin, scores the options,
    /// generates the answers and adds them to the conversations.
    pub fn answer(
        &mut self,
        talks: &mut [Transcript],
        turn: Turn<'_>,
        collector: &mut Collector,
    ) -> Result<Vec<(usize, Answer)>> {
        let rationales = self.think(talks, turn)?;
        let tokenizer = self.model.tokenizer();
        let options = self
            .items
            .iter()
            .map(|item| {
                let options = item.options.iter();
                options.map(|option| tokenizer.encode_rendered(option)).collect::<Result<Vec<_>>>()
            })
            .collect::<Result<Vec<_>>>()?;
        let decoding = &self.protocol.decoding;
        let room: Vec<usize> = options
            .iter()
            .map(|options| options.iter().map(Vec::len).max().unwrap_or(0).max(decoding.max_tokens()))
            .collect();
        let (prompts, dropped) = self.prompts(talks, &room)?;
        let prompts: Vec<&[u32]> = prompts.iter().map(Vec::as_slice).collect();
        self.session.read(&prompts, |batch| collector.hooks(batch.rows.clone(), self.rows.to_vec()))?;
        let letters = self.letters()?;
        let scores = self.session.score(&options)?;
        let generated = self.session.generate_with(decoding, &self.keys(turn, "answer"), |_| Hooks::new())?;

        let mut answers = Vec::with_capacity(self.items.len());
        for (place, (said, scores)) in generated.iter().zip(scores).enumerate() {
            let (item, talk) = (self.items[place], &mut talks[place]);
            let scores = scores.into_iter().enumerate().map(|(option, score)| {
                let letter = letters.as_ref().and_then(|letters| letters.get(place)?.get(option).copied());
                option_score(score, item.options.get(option).map_or(1, String::len), letter)
            });
            let mut answer = Answer::new(item, scores.collect(), self.protocol.score_rule, said)?;
            answer.rationale = rationales.as_ref().and_then(|rationales| rationales.get(place).cloned());
            answer.dropped_turns = dropped[place];
            talk.say_parts(Role::Assistant, turn.round, [(Some(Part::Answer), &answer.text)]);
            answers.push((self.rows[place], answer));
        }
        Ok(answers)
    }

    /// Generates the rationales and asks for the answers after them.
    fn think(&mut self, talks: &mut [Transcript], turn: Turn<'_>) -> Result<Option<Vec<String>>> {
        let Some(thinking) = &self.protocol.thinking else { return Ok(None) };
        let (prompts, _) = self.prompts(talks, &vec![thinking.decoding.max_tokens(); talks.len()])?;
        let prompts: Vec<&[u32]> = prompts.iter().map(Vec::as_slice).collect();
        self.session.read(&prompts, |_| Hooks::new())?;
        let said = self.session.generate_with(&thinking.decoding, &self.keys(turn, "rationale"), |_| Hooks::new())?;
        let rationales: Vec<String> = said.into_iter().map(|said| said.text.trim().to_owned()).collect();
        for ((talk, item), rationale) in talks.iter_mut().zip(&self.items).zip(&rationales) {
            talk.say_parts(Role::Assistant, turn.round, [(Some(Part::Rationale), rationale)]);
            talk.say_parts(Role::User, turn.round, after_thinking(*item));
        }
        Ok(Some(rationales))
    }

    /// What each row's draws follow from, whatever stands beside it.
    fn keys(&self, turn: Turn<'_>, what: &str) -> Vec<String> {
        let key = |item: &&ChoiceItem| format!("{} {} {} {what}", item.id, turn.instruction, turn.round);
        self.items.iter().map(key).collect()
    }

    /// Log-probabilities of each option's letter as the next token; `None` if some letter is no single token.
    fn letters(&self) -> Result<Option<Vec<Vec<f64>>>> {
        let most = self.items.iter().map(|item| item.options.len()).max().unwrap_or(0);
        let mut ids = Vec::with_capacity(most);
        for letter in letters(most) {
            match self.model.tokenizer().encode_rendered(&letter)?.as_slice() {
                &[id] => ids.push(id),
                _ => return Ok(None),
            }
        }
        Ok(Some(self.session.next_tokens(&ids)?))
    }

    /// Each conversation's tokens, with room for so many more, and how many turns were left out for that.
    fn prompts(&self, talks: &[Transcript], room: &[usize]) -> Result<(Vec<Vec<u32>>, Vec<usize>)> {
        let context = self.model.context();
        let fit = |((item, talk), room): ((&&ChoiceItem, &Transcript), &usize)| {
            let (mut shown, mut dropped) = (talk.clone(), 0);
            loop {
                let ids = shown.prompt(self.model)?.ids;
                let tokens = ids.len() + room;
                if !ids.is_empty() && tokens <= context {
                    return Ok((ids, dropped));
                }
                let shorter = match self.protocol.overflow {
                    Overflow::Error => None,
                    Overflow::DropOldest => shown.without_oldest_answer(),
                };
                let what = || format!("item {:?} with the answer to turn {}", item.id, talk.messages().len());
                shown = shorter.ok_or_else(|| Error::TextLength { what: what(), tokens, context })?;
                dropped += 2;
            }
        };
        self.items.iter().zip(talks).zip(room).map(fit).collect()
    }

    /// The finished conversations with the numbers of their items.
    pub fn close(&self, talks: Vec<Transcript>, instruction: &str) -> Vec<(usize, Conversation)> {
        let rows = self.rows.iter().zip(&self.items).zip(talks);
        rows.map(|((&row, item), transcript)| {
            (row, Conversation { item: item.id.clone(), instruction: instruction.to_owned(), transcript })
        })
        .collect()
    }
}

fn option_score(score: OptionScores, bytes: usize, letter: Option<f64>) -> OptionScore {
    OptionScore { total: score.total, per_token: score.mean(), per_byte: score.total / bytes as f64, letter }
}
