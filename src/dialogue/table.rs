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
        let context = self.model.config().context;
        for (item, prompt) in self.items.iter().zip(&prompts) {
            if prompt.is_empty() || prompt.len() > context {
                let what = format!("the conversation about item {:?}", item.id);
                return Err(Error::TextLength { what, tokens: prompt.len(), context });
            }
        }
        let prompts: Vec<&[u32]> = prompts.iter().map(Vec::as_slice).collect();
        self.session.read(&prompts, |batch| collector.hooks(batch.rows.clone(), self.rows.to_vec()))?;
        let options = self
            .items
            .iter()
            .map(|item| {
                let options = item.options.iter();
                options.map(|option| tokenizer.encode_rendered(option)).collect::<Result<Vec<_>>>()
            })
            .collect::<Result<Vec<_>>>()?;
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

    /// The finished conversations with the numbers of their items.
    pub fn close(&self, talks: Vec<Transcript>, instruction: &str) -> Vec<(usize, Conversation)> {
        let rows = self.rows.iter().zip(&self.items).zip(talks);
        rows.map(|((&row, item), transcript)| {
            (row, Conversation { item: item.id.clone(), instruction: instruction.to_owned(), transcript })
        })
        .collect()
    }
}
