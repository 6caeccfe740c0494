//! Hidden states of the named parts of conversations.

use std::collections::BTreeMap;

use super::{Part, Study, NO_INSTRUCTION};
use crate::capture::{Activations, Pool, Readout};
use crate::hook::{Address, Selection};
use crate::progress::Progress;
use crate::task::Item;
use crate::text::Text;
use crate::{Error, Model, Result};

/// States of one part of the conversations, in one round of one instruction.
#[derive(Debug, Clone)]
pub struct PartStates {
    /// Name of the instruction; [`NO_INSTRUCTION`] in round 0.
    pub instruction: String,
    /// The round in which the part came up.
    pub round: usize,
    /// The part.
    pub part: Part,
    /// Means over the part's tokens; rows are the items whose conversation has the part (an empty answer is none), in
    /// the order of the study.
    pub activations: Activations,
}

impl<I: Item> Study<I> {
    /// Reads the named parts of every conversation, each as the mean over its tokens: of answers, what the response
    /// holds; of instructions, what a level owes to the instruction's own words. Every conversation is run once, whole:
    /// since it only grew, a part's states are those of its own round, unless turns had been dropped by then.
    ///
    /// # Errors
    /// Those of [`Transcript::closed`](super::Transcript::closed) and [`Readout::capture`]; [`Error::TextLength`] for a
    /// conversation that as a whole is longer than the context.
    pub fn read_parts(
        &self,
        model: &Model,
        selection: impl Into<Selection>,
        progress: &dyn Progress,
    ) -> Result<Vec<PartStates>> {
        let order: BTreeMap<&str, usize> = self.items.iter().map(|item| item.id()).zip(0..).collect();
        let (mut texts, mut places) = (Vec::new(), BTreeMap::new());
        for talk in &self.conversations {
            let prompt = talk.transcript.closed(model)?;
            let plain = talk.instruction == NO_INSTRUCTION;
            // A conversation that revises begins with the round that another conversation has.
            for placed in prompt.passages.iter().filter(|placed| (placed.round == 0) == plain) {
                let Some(&item) = order.get(talk.item.as_str()) else { continue };
                let key = (talk.instruction.as_str(), placed.round, placed.part);
                let rows: &mut BTreeMap<usize, usize> = places.entry(key).or_default();
                if rows.contains_key(&item) {
                    continue;
                }
                rows.insert(item, texts.len());
                texts.push(Text {
                    rendered: true,
                    span: Some(placed.span),
                    ..Text::new(texts.len().to_string(), prompt.text.clone())
                });
            }
        }
        let states = Readout::new(selection, Pool::Mean).capture_with(model, &texts, progress)?;
        let addresses: Vec<Address> = states.addresses().collect();
        let rows_of = |((instruction, round, part), rows): (_, BTreeMap<usize, usize>)| {
            let items: Vec<&I> = rows.keys().filter_map(|&item| self.items.get(item)).collect();
            let rows: Vec<usize> = rows.into_values().collect();
            let mut activations = Activations::new(items.iter().map(|item| item.id()))
                .with_groups(items.iter().map(|item| item.group().to_owned()).collect())?
                .with_provenance(self.provenance.clone());
            for &address in &addresses {
                activations.insert(address, states.at(address)?.select(ndarray::Axis(0), &rows))?;
            }
            let instruction: &str = instruction;
            Ok::<_, Error>(PartStates { instruction: instruction.to_owned(), round, part, activations })
        };
        places.into_iter().map(rows_of).collect()
    }
}
