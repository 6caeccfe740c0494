//! Contributions of attention and feed-forward parts over the rounds of a study.

use std::collections::btree_map::{BTreeMap, Entry};

use serde::{Deserialize, Serialize};

use super::{Attribution, Contributions};
use crate::dialogue::{Conversation, PromptCell, Study, NO_INSTRUCTION};
use crate::hook::Address;
use crate::progress::Progress;
use crate::stats::{ClusterBootstrap, Interval};
use crate::task::Item;
use crate::text::Text;
use crate::{Error, Model, Result};

/// What one part of the model adds to the change of the projection, in one round of one instruction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RoundContribution {
    /// Instruction.
    pub instruction: String,
    /// Round.
    pub round: usize,
    /// The condition that was subtracted: the neutral instruction in the same round.
    pub neutral: String,
    /// Where the direction lives.
    pub address: Address,
    /// `embed`, `attention` or `feed_forward`; `other` for biases of a final norm; `total`.
    pub part: String,
    /// Its layer; `None` for `embed` and for sums over all layers.
    pub layer: Option<usize>,
    /// Mean over the items, in the states' own unit, with its interval over item groups. Below 0 = less immoral.
    pub mean: Interval,
}

impl Attribution<'_> {
    /// Splits the change of the projection at the prompt's last token, instruction minus its neutral counterpart, in every
    /// round into what attention and feed-forward parts add (the second question of arXiv 2407.15286): by layer, then over
    /// all layers, which add up to the total.
    ///
    /// # Errors
    /// As [`Attribution::run`]; [`Error::Setting`] for the draws.
    pub fn by_round<I: Item>(
        &self,
        model: &Model,
        study: &Study<I>,
        (draws, seed): (usize, u64),
        progress: &dyn Progress,
    ) -> Result<Vec<RoundContribution>> {
        let groups: Vec<String> = study.items.iter().map(|item| item.group().to_owned()).collect();
        let resamples = ClusterBootstrap::new(&groups, draws, seed)?;
        let talks: BTreeMap<(&str, &str), &Conversation> =
            study.conversations.iter().map(|talk| ((talk.instruction.as_str(), talk.item.as_str()), talk)).collect();
        let mut read: BTreeMap<(&str, usize), Contributions> = BTreeMap::new();
        let mut rows = Vec::new();
        for round in study.rounds.iter().filter(|round| round.instruction != NO_INSTRUCTION) {
            let near = PromptCell::neutral(&round.instruction).into_iter().flatten();
            let neutral = near.filter_map(|name| study.round(&name, round.round)).next();
            let Some(neutral) = neutral else { continue };
            for side in [round, neutral] {
                let key = (side.instruction.as_str(), side.round);
                if let Entry::Vacant(missing) = read.entry(key) {
                    let texts = prompts(model, study, &talks, key)?;
                    missing.insert(self.run_with(model, &texts, progress)?);
                }
            }
            let sides = [round, neutral].map(|side| read.get(&(side.instruction.as_str(), side.round)));
            let [Some(after), Some(before)] = sides else { continue };
            let change = after.minus(before)?;
            let mut row = |part: &str, layer: Option<usize>, values: &[f64]| {
                rows.push(RoundContribution {
                    instruction: round.instruction.clone(),
                    round: round.round,
                    neutral: neutral.instruction.clone(),
                    address: change.address(),
                    part: part.to_owned(),
                    layer,
                    mean: resamples.mean(values)?,
                });
                Ok::<_, Error>(())
            };
            for ((part, layer), values) in change.by_part() {
                row(part, layer, &values)?;
            }
            row("total", None, change.totals())?;
        }
        Ok(rows)
    }
}

impl Contributions {
    /// Sums by kind of part and layer, then, without a layer, over all layers, `[n]` each.
    fn by_part(&self) -> BTreeMap<(&'static str, Option<usize>), Vec<f64>> {
        let mut sums: BTreeMap<(&'static str, Option<usize>), Vec<f64>> = BTreeMap::new();
        for (part, column) in self.components().iter().zip(self.values().columns()) {
            let (name, layer) = match part.layer() {
                Some(layer) if part.is_attention() => ("attention", Some(layer)),
                Some(layer) => ("feed_forward", Some(layer)),
                None if *part == super::Component::Embed => ("embed", None),
                None => ("other", None),
            };
            for key in [Some((name, layer)), layer.map(|_| (name, None))].into_iter().flatten() {
                let sum = sums.entry(key).or_insert_with(|| vec![0.0; column.len()]);
                sum.iter_mut().zip(column).for_each(|(sum, value)| *sum += value);
            }
        }
        sums
    }
}

/// The prompts of all items in one round of one instruction.
fn prompts<I: Item>(
    model: &Model,
    study: &Study<I>,
    talks: &BTreeMap<(&str, &str), &Conversation>,
    (instruction, round): (&str, usize),
) -> Result<Vec<Text>> {
    let prompt = |item: &I| {
        let talk = talks.get(&(instruction, item.id()));
        let before = talk.and_then(|talk| talk.transcript.before_answer(round)).ok_or_else(|| {
            let problem = format!("item {:?} has no conversation with {instruction:?} to round {round}", item.id());
            Error::mismatch("study", problem)
        })?;
        Ok(Text { rendered: true, ..Text::new(item.id(), before.prompt(model)?.text) })
    };
    study.items.iter().map(prompt).collect()
}
