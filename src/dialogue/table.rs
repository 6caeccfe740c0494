//! One batch of conversations that run side by side.

use super::{Conversation, Transcript};
use crate::capture::Collector;
use crate::generate::Session;
use crate::task::{Answer, ChoiceItem};
use crate::text::Role;
use crate::{Error, Model, Result};

/// Conversations about some of the items, around one session: what a turn shares with what the session has
/// read is not run again.
pub(super) struct Table<'m> {
    model: &'m Model,
    session: Session<'m>,
    /// Numbers of the items.
    rows: &'m [usize],
    items: Vec<&'m ChoiceItem>,
    answer_tokens: usize,
}

impl<'m> Table<'m> {
    /// A table for the items whose numbers are `rows`.
    pub fn new(model: &'m Model, items: &'m [ChoiceItem], rows: &'m [usize], answer_tokens: usize) -> Self {
        let items = rows.iter().filter_map(|&row| items.get(row)).collect();
        Table { model, session: Session::new(model), rows, items, answer_tokens }
    }

    /// Fresh conversations that ask the questions.
    pub fn open(&self, instruction: Option<&str>) -> Vec<Transcript> {
        let ask = |item: &&ChoiceItem| {
            let mut talk = Transcript::new();
            talk.say(Role::User, item.prompt(instruction));
            talk
        };
        self.items.iter().map(ask).collect()
    }

    /// Reads the states where the answers begin, scores the options, generates the answers and adds them to
    /// the conversations.
    pub fn answer(&mut self, talks: &mut [Transcript], collector: &mut Collector) -> Result<Vec<(usize, Answer)>> {
        let tokenizer = self.model.tokenizer();
        let prompts = talks.iter().map(|talk| talk.prompt(self.model)).collect::<Result<Vec<_>>>()?;
        let options = self
            .items
            .iter()
            .map(|item| {
                let options = item.options.iter();
                options.map(|option| tokenizer.encode_rendered(option)).collect::<Result<Vec<_>>>()
            })
            .collect::<Result<Vec<_>>>()?;
        self.check_room(talks, &prompts, &options)?;
        let prompts: Vec<&[u32]> = prompts.iter().map(Vec::as_slice).collect();
        self.session.read(&prompts, |batch| collector.hooks(batch.rows.clone(), self.rows.to_vec()))?;
        let scores = self.session.score(&options)?;
        let generated = self.session.greedy(self.answer_tokens)?;
        let mut answers = Vec::with_capacity(self.items.len());
        let rows = self.rows.iter().zip(&self.items).zip(talks).zip(scores).zip(generated);
        for ((((&row, item), talk), scores), tokens) in rows {
            let means: Vec<f64> = scores.into_iter().map(|score| score.mean()).collect();
            let text = tokenizer.decode(&tokens)?.trim().to_owned();
            talk.say(Role::Assistant, text.clone());
            answers.push((row, Answer::new(item, &means, text)));
        }
        Ok(answers)
    }

    /// Checks that each prompt leaves room for an answer, and names the item if not.
    fn check_room(&self, talks: &[Transcript], prompts: &[Vec<u32>], options: &[Vec<Vec<u32>>]) -> Result<()> {
        let context = self.model.context();
        for (((item, talk), prompt), options) in self.items.iter().zip(talks).zip(prompts).zip(options) {
            let answer = options.iter().map(Vec::len).max().unwrap_or(0).max(self.answer_tokens);
            let tokens = prompt.len() + answer;
            if prompt.is_empty() || tokens > context {
                let what = format!("item {:?} with the answer to turn {}", item.id, talk.messages().len());
                return Err(Error::TextLength { what, tokens, context });
            }
        }
        Ok(())
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
