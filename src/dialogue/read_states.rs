//! Hidden states of conversations, read again where a study did not read them.

use std::collections::BTreeMap;

use super::{Conversation, Part, Placed, Prompt, Reading, Study, NO_INSTRUCTION};
use crate::capture::{Activations, Pool, Readout};
use crate::hook::{Address, Selection};
use crate::progress::Progress;
use crate::task::Item;
use crate::text::{Span, Text};
use crate::{Error, Model, Result};

/// States of one reading, in one round of one instruction.
#[derive(Debug, Clone)]
pub struct ReadStates {
    /// Name of the instruction; [`NO_INSTRUCTION`] in round 0.
    pub instruction: String,
    /// The round in which the part came up.
    pub round: usize,
    /// Which tokens the rows stand for.
    pub reading: Reading,
    /// Rows are the items whose conversation has the part in this round (an empty answer is none), in the order of the
    /// study.
    pub activations: Activations,
}

/// Of which rows a reading of an instruction's round consists.
type Key<'a> = (&'a str, usize, Reading);

/// Texts to read, and by key the text of each item.
#[derive(Default)]
struct Plan<'a> {
    texts: Vec<Text>,
    places: BTreeMap<Key<'a>, BTreeMap<usize, usize>>,
}

impl<'a> Plan<'a> {
    fn add(&mut self, key: Key<'a>, item: usize, prompt: &Prompt, span: Span, hidden: &[Span]) {
        let rows = self.places.entry(key).or_default();
        if rows.contains_key(&item) {
            return;
        }
        rows.insert(item, self.texts.len());
        let id = self.texts.len().to_string();
        let hidden = hidden.to_vec();
        self.texts.push(Text { rendered: true, span: Some(span), hidden, ..Text::new(id, prompt.text.clone()) });
    }
}

impl<I: Item> Study<I> {
    /// Reads every conversation once more, whole, for states that the rounds did not read: means over the answers, or over
    /// the instruction's own words; or the prompt's last token with the instruction hidden ([`Reading::masked`]). Readings
    /// of one conversation share one pass, those that hide the instruction another. Since a conversation only grew, a
    /// part's states are those of its own round, unless turns had been dropped by then.
    ///
    /// The states of a part are the mean over its tokens: read them with probes that learnt from means ([`Pool::Mean`]).
    ///
    /// # Errors
    /// [`Error::Setting`] without readings; those of [`Transcript::closed`](super::Transcript::closed) and
    /// [`Readout::capture`]; [`Error::TextLength`] for a conversation that as a whole is longer than the context.
    pub fn read(
        &self,
        model: &Model,
        selection: impl Into<Selection>,
        readings: &[Reading],
        progress: &dyn Progress,
    ) -> Result<Vec<ReadStates>> {
        if readings.is_empty() {
            return Err(Error::setting("readings", "none", "at least one"));
        }
        let order: BTreeMap<&str, usize> = self.items.iter().map(|item| item.id()).zip(0..).collect();
        let mut plan = Plan::default();
        for talk in &self.conversations {
            if let Some(&item) = order.get(talk.item.as_str()) {
                plan_talk(&mut plan, talk, item, model, readings)?;
            }
        }
        let Plan { texts, places } = plan;
        if texts.is_empty() {
            return Ok(Vec::new());
        }
        // A span of one token is its own mean.
        let states = Readout::new(selection, Pool::Mean).capture_with(model, &texts, progress)?;
        let addresses: Vec<Address> = states.addresses().collect();
        let rows_of = |((instruction, round, reading), rows): (Key<'_>, BTreeMap<usize, usize>)| {
            let items: Vec<&I> = rows.keys().filter_map(|&item| self.items.get(item)).collect();
            let rows: Vec<usize> = rows.into_values().collect();
            let pool = if reading.part().is_some() { Pool::Mean } else { Pool::Last };
            let mut activations = Activations::new(items.iter().map(|item| item.id()))
                .with_groups(items.iter().map(|item| item.group().to_owned()).collect())?
                .with_provenance(self.provenance.clone())
                .with_provenance(Readout::new(Selection::default(), pool).provenance());
            for &address in &addresses {
                activations.insert(address, states.at(address)?.select(ndarray::Axis(0), &rows))?;
            }
            Ok::<_, Error>(ReadStates { instruction: instruction.to_owned(), round, reading, activations })
        };
        places.into_iter().map(rows_of).collect()
    }
}

fn plan_talk<'a>(
    plan: &mut Plan<'a>,
    talk: &'a Conversation,
    item: usize,
    model: &Model,
    readings: &[Reading],
) -> Result<()> {
    let whole = talk.transcript.closed(model)?;
    let plain = talk.instruction == NO_INSTRUCTION;
    // A conversation that revises begins with the round that another conversation has.
    let own: Vec<&Placed> = whole.passages.iter().filter(|placed| (placed.round == 0) == plain).collect();
    let mut rounds: Vec<usize> = own.iter().map(|placed| placed.round).collect();
    rounds.dedup();
    for &reading in readings {
        let hidden = |prompt: &Prompt| if reading.is_masked() { instructions(prompt) } else { Vec::new() };
        match reading.part() {
            Some(part) => {
                for placed in own.iter().filter(|placed| placed.part == part) {
                    let key = (talk.instruction.as_str(), placed.round, reading);
                    plan.add(key, item, &whole, placed.span, &hidden(&whole));
                }
            }
            None => {
                for &round in &rounds {
                    let Some(before) = talk.transcript.before_answer(round) else { continue };
                    let prompt = before.prompt(model)?;
                    // Read off the whole conversation where its tokens begin with the prompt's: one pass for all rounds.
                    let prompt = if whole.ids.starts_with(&prompt.ids) && whole.text.starts_with(&prompt.text) {
                        Prompt { text: whole.text.clone(), passages: whole.passages.clone(), ..prompt }
                    } else {
                        prompt
                    };
                    let Some(span) = last_token(model, &prompt)? else { continue };
                    plan.add((talk.instruction.as_str(), round, reading), item, &prompt, span, &hidden(&prompt));
                }
            }
        }
    }
    Ok(())
}

/// Bytes of the last of the prompt's tokens in its text.
fn last_token(model: &Model, prompt: &Prompt) -> Result<Option<Span>> {
    let text = Text { rendered: true, ..Text::new("prompt", prompt.text.clone()) };
    let encoded = model.tokenizer().encode_text(&text)?;
    let last = prompt.ids.len().checked_sub(1).and_then(|last| encoded.bytes.get(last));
    Ok(last.map(|&(start, end)| Span { start, end }))
}

/// Where the instructions stand.
fn instructions(prompt: &Prompt) -> Vec<Span> {
    prompt.passages.iter().filter(|placed| placed.part == Part::Instruction).map(|placed| placed.span).collect()
}
