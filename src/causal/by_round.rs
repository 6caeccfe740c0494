//! Contributions of attention and feed-forward parts over the rounds of a study.

use std::collections::btree_map::{BTreeMap, Entry};

use serde::{Deserialize, Serialize};

use super::{Attribution, Contributions};
use crate::condition::Condition;
use crate::dialogue::{Conversation, Study};
use crate::hook::Address;
use crate::progress::Progress;
use crate::stats::{Interval, Resampler, Settings};
use crate::task::Item;
use crate::text::Text;
use crate::{Error, Model, Result};

/// What one part of the model adds to the change of the projection, in one round of one instruction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct RoundContribution {
    /// Instruction and round.
    #[serde(flatten)]
    pub condition: Condition,
    /// Name of the control instruction, whose projection in the same round was subtracted.
    pub control: String,
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
    /// Splits the change of the projection at the prompt's last token, condition minus its control, in every
    /// round into what attention and feed-forward parts add (the second question of arXiv 2407.15286): by layer, then over
    /// all layers, which add up to the total.
    ///
    /// # Errors
    /// As [`Attribution::run`]; [`Error::Setting`] for settings out of range and for rounds that were run under interventions.
    pub fn by_round<I: Item>(
        &self,
        model: &Model,
        study: &Study<I>,
        settings: Settings,
    ) -> Result<Vec<RoundContribution>> {
        self.by_round_with_progress(model, study, settings, &())
    }

    /// [`Attribution::by_round`] with progress, counted in texts.
    ///
    /// # Errors
    /// As [`Attribution::by_round`].
    pub fn by_round_with_progress<I: Item>(
        &self,
        model: &Model,
        study: &Study<I>,
        settings: Settings,
        progress: &dyn Progress,
    ) -> Result<Vec<RoundContribution>> {
        self.by_round_with(model, study, &Resampler::new(settings)?, progress)
    }

    /// [`Attribution::by_round`] with the resamples of a whole analysis, and progress.
    pub(crate) fn by_round_with<I: Item>(
        &self,
        model: &Model,
        study: &Study<I>,
        resampler: &Resampler,
        progress: &dyn Progress,
    ) -> Result<Vec<RoundContribution>> {
        if !study.interventions.is_empty() {
            let expected = "rounds of the model as it is, whose parts add up to its states";
            return Err(Error::setting("attribution", "rounds under interventions", expected));
        }
        let groups: Vec<String> = study.items.iter().map(|item| item.group().to_owned()).collect();
        let resamples = resampler.of(&groups)?;
        let mut read: BTreeMap<&Condition, Contributions> = BTreeMap::new();
        let mut rows = Vec::new();
        for condition in study.design.conditions() {
            let Some(control) = study.design.control(condition) else { continue };
            for side in [condition, control] {
                if let Entry::Vacant(missing) = read.entry(side) {
                    let texts = prompts(model, study, side)?;
                    missing.insert(self.run_with_progress(model, &texts, progress)?);
                }
            }
            let [Some(after), Some(before)] = [condition, control].map(|side| read.get(side)) else { continue };
            let change = after.minus(before)?;
            let mut row = |part: &str, layer: Option<usize>, values: &[f64]| {
                rows.push(RoundContribution {
                    condition: condition.clone(),
                    control: control.instruction.clone(),
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

/// The prompts of all items under one condition.
fn prompts<I: Item>(model: &Model, study: &Study<I>, condition: &Condition) -> Result<Vec<Text>> {
    let here = study.conversations.iter().filter(|talk| talk.condition.same_course(condition));
    let talks: BTreeMap<&str, &Conversation> = here.map(|talk| (talk.item.as_str(), talk)).collect();
    let prompt = |item: &I| {
        let talk = talks.get(item.id());
        let before = talk.and_then(|talk| talk.transcript.before_answer(condition.round)).ok_or_else(|| {
            let problem = format!("item {:?} has no conversation to {condition}", item.id());
            Error::mismatch("study", problem)
        })?;
        Ok(Text { rendered: true, ..Text::new(item.id(), before.prompt(model)?.text) })
    };
    study.items.iter().map(prompt).collect()
}
