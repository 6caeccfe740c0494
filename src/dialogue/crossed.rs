//! One and the same answer after two conversations.

use std::collections::HashMap;

use super::read::{read_plan, Plan};
use super::read_states::ReadStates;
use super::reading::Reading;
use super::study::{Conversation, Study};
use super::transcript::Transcript;
use super::Part;
use crate::condition::Condition;
use crate::hook::Selection;
use crate::progress::Progress;
use crate::task::Item;
use crate::text::Role;
use crate::{Model, Result};

/// Answers that are known to differ in their level, for a positive control: item k reads the k-th of each, from the start
/// again where there are fewer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContrastTexts {
    /// Immoral texts.
    pub immoral: Vec<String>,
    /// Moral ones.
    pub moral: Vec<String>,
}

impl<I: Item> Study<I> {
    /// Reads the answers of every judged condition ([`Design::judged`](crate::Design::judged)) and of its control with the
    /// conversations exchanged: the control's answer in the place of the condition's own ([`Reading::CONTROL_ANSWER`]), and
    /// the condition's own in the place of the control's ([`Reading::AFTER_CONTROL`]). With the two as they were said these
    /// tell apart what the words do and what the conversation does. Where the instruction is also only quoted
    /// ([`Design::mention`](crate::Design::mention)), the control's answer is read after that conversation too. Where there are `contrast` texts, they are read in the
    /// control's conversation in the place of its answer ([`Reading::CONTRAST`], [`Reading::CONTRAST_BASE`]).
    ///
    /// Items without an answer on either side are left out. States are means over the answer's tokens.
    ///
    /// # Errors
    /// Those of [`Study::read`].
    pub fn read_crossed(
        &self,
        model: &Model,
        selection: impl Into<Selection>,
        contrast: &ContrastTexts,
        progress: &dyn Progress,
    ) -> Result<Vec<ReadStates>> {
        let mut plan = Plan::default();
        let mut talks: HashMap<&str, Vec<&Conversation>> = HashMap::new();
        for talk in &self.conversations {
            talks.entry(&talk.item).or_default().push(talk);
        }
        let talk = |item: &str, condition: &Condition| {
            let of_item = talks.get(item)?;
            of_item.iter().copied().find(|talk| talk.condition.same_course(condition))
        };
        let mut controls: Vec<&Condition> = Vec::new();
        for condition in self.design.judged() {
            let Some(control) = self.design.control(condition) else { continue };
            let mention = self.design.mention(condition);
            for (row, item) in self.items.iter().enumerate() {
                let talks = talk(item.id(), condition).zip(talk(item.id(), control));
                let Some((own, theirs)) = talks else { continue };
                let quoting = mention.and_then(|mention| Some((mention, talk(item.id(), mention)?)));
                if let Some((text, (mention, quoting))) = answer_of(&theirs.transcript, condition.round).zip(quoting) {
                    let key = (mention, Reading::CONTROL_ANSWER);
                    add(&mut plan, key, row, (quoting, condition.round), text, model)?;
                }
                let pairs = [(Reading::CONTROL_ANSWER, own, theirs), (Reading::AFTER_CONTROL, theirs, own)];
                for (reading, conversation, answer) in pairs {
                    let Some(text) = answer_of(&answer.transcript, condition.round) else { continue };
                    add(&mut plan, (condition, reading), row, (conversation, condition.round), text, model)?;
                }
            }
            if !controls.contains(&control) {
                controls.push(control);
            }
        }
        for control in controls {
            for (row, item) in self.items.iter().enumerate() {
                let Some(talk) = talk(item.id(), control) else { continue };
                let texts = [(Reading::CONTRAST, &contrast.immoral), (Reading::CONTRAST_BASE, &contrast.moral)];
                for (reading, texts) in texts {
                    let Some(text) = texts.get(row % texts.len().max(1)) else { continue };
                    add(&mut plan, (control, reading), row, (talk, control.round), text, model)?;
                }
            }
        }
        read_plan(self, model, selection.into(), plan, progress)
    }
}

/// What was answered in a round.
fn answer_of(transcript: &Transcript, round: usize) -> Option<&str> {
    let answer = transcript.passages().iter().find(|passage| passage.part == Part::Answer && passage.round == round)?;
    Some(transcript.text(answer))
}

/// Plans to read an answer after a conversation up to a round.
fn add(
    plan: &mut Plan,
    (condition, reading): (&Condition, Reading),
    item: usize,
    (talk, round): (&Conversation, usize),
    text: &str,
    model: &Model,
) -> Result<()> {
    let Some(mut before) = talk.transcript.before_answer(round) else { return Ok(()) };
    before.say_parts(Role::Assistant, round, [(Some(Part::Answer), text)]);
    let whole = before.closed(model)?;
    let answer = whole.of(Part::Answer, round).last().map(|placed| placed.span);
    if let Some(span) = answer {
        plan.add((condition.clone(), reading), item, &whole, span, &[]);
    }
    Ok(())
}
