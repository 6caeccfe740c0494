//! Hidden states of conversations, read again where a study did not read them.

use std::collections::{BTreeMap, HashSet};

use super::part::{Part, Passage};
use super::read_states::ReadStates;
use super::reading::Reading;
use super::study::{Conversation, Study};
use super::transcript::{Placed, Prompt};
use crate::capture::{Activations, Pool, Readout};
use crate::condition::{Condition, Design};
use crate::hook::{Address, Intervention, Selection};
use crate::progress::Progress;
use crate::task::Item;
use crate::text::{Span, Text};
use crate::{Error, Model, Result};

/// What rows belong to: a condition and the tokens that were read.
type Key = (Condition, Reading);

/// Texts to read, and by key the text of each item.
#[derive(Default)]
pub(super) struct Plan {
    texts: Vec<Text>,
    places: BTreeMap<Key, BTreeMap<usize, usize>>,
}

impl Plan {
    pub fn add(&mut self, key: Key, item: usize, prompt: &Prompt, span: Span, hidden: &[Span]) {
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
    /// part's states are those of its own round, unless turns had been dropped by then. Answers that the run has read
    /// ([`Study::answer_states`]) at these addresses are not read again.
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
    ) -> Result<Vec<ReadStates>> {
        self.read_with_progress(model, selection, readings, &())
    }

    /// [`Study::read`] with progress, counted in texts.
    ///
    /// # Errors
    /// As [`Study::read`].
    pub fn read_with_progress(
        &self,
        model: &Model,
        selection: impl Into<Selection>,
        readings: &[Reading],
        progress: &dyn Progress,
    ) -> Result<Vec<ReadStates>> {
        if readings.is_empty() {
            return Err(Error::setting("readings", "none", "at least one"));
        }
        let selection = selection.into();
        let wanted = Readout::new(selection.clone(), Pool::Mean).addresses(model)?;
        let mut found = self.held(readings, &wanted)?;
        let held = !found.is_empty();
        let others = |reading: &Reading| !(held && *reading == Reading::of(Part::Answer));
        let readings: Vec<Reading> = readings.iter().copied().filter(others).collect();
        let order: BTreeMap<&str, usize> = self.items.iter().map(|item| item.id()).zip(0..).collect();
        let mut plan = Plan::default();
        if let Some(crossed) = readings.iter().find(|reading| reading.is_crossed()) {
            let expected = "one of the conversation's own; Study::read_crossed reads the others";
            return Err(Error::setting("reading", crossed, expected));
        }
        for talk in &self.conversations {
            if let Some(&item) = order.get(talk.item.as_str()) {
                plan_talk(&mut plan, (talk, item), &self.design, model, &readings)?;
            }
        }
        let read = read_plan(self, model, selection, plan, progress)?;
        if read.is_empty() {
            return Ok(found);
        }
        found.extend(read);
        found.sort_by(|a, b| a.key().cmp(&b.key()));
        Ok(found)
    }

    /// The states over answers that the run has read, at these addresses, if they are asked for; none where it lacks some
    /// address.
    fn held(&self, readings: &[Reading], wanted: &[Address]) -> Result<Vec<ReadStates>> {
        if !readings.contains(&Reading::of(Part::Answer)) {
            return Ok(Vec::new());
        }
        let has = |states: &ReadStates| wanted.iter().all(|&address| states.activations.at(address).is_ok());
        if !self.answer_states.iter().all(has) {
            return Ok(Vec::new());
        }
        let at_these = |states: &ReadStates| {
            let activations = states.activations.at_addresses(wanted)?;
            Ok(ReadStates { condition: states.condition.clone(), activations, reading: states.reading })
        };
        self.answer_states.iter().map(at_these).collect()
    }
}

/// Reads what was planned in one pass over its texts.
pub(super) fn read_plan<I: Item>(
    study: &Study<I>,
    model: &Model,
    selection: Selection,
    Plan { texts, places }: Plan,
    progress: &dyn Progress,
) -> Result<Vec<ReadStates>> {
    if texts.is_empty() {
        return Ok(Vec::new());
    }
    // A span of one token is its own mean.
    let readout = Readout::new(selection, Pool::Mean);
    // Texts that are run under the same interventions, together.
    let mut runs: Vec<(Vec<Intervention>, Vec<Text>)> = Vec::new();
    let mut run_of = Vec::with_capacity(places.len());
    let mut run_of_text = vec![0; texts.len()];
    for ((condition, reading), rows) in &places {
        let under = study.interventions.of(read_in(study, condition, *reading));
        let run = runs.iter().position(|(known, _)| *known == under).unwrap_or_else(|| {
            runs.push((under, Vec::new()));
            runs.len() - 1
        });
        run_of.push(run);
        rows.values().for_each(|&text| run_of_text[text] = run);
    }
    let mut row_of = Vec::with_capacity(texts.len());
    for (text, run) in texts.into_iter().zip(run_of_text) {
        row_of.push(runs[run].1.len());
        runs[run].1.push(text);
    }
    let capture =
        |(under, texts): &(Vec<Intervention>, Vec<Text>)| readout.capture_under(model, texts, under, progress);
    let states: Vec<Activations> = runs.iter().map(capture).collect::<Result<_>>()?;
    let rows_of = |(((condition, reading), rows), run): ((Key, BTreeMap<usize, usize>), usize)| {
        let items: Vec<&I> = rows.keys().filter_map(|&item| study.items.get(item)).collect();
        let states = &states[run];
        let rows: Vec<usize> = rows.into_values().map(|text| row_of[text]).collect();
        let pool = if reading.part().is_some() { Pool::Mean } else { Pool::Last };
        let mut activations = Activations::new(items.iter().map(|item| item.id()))
            .with_groups(items.iter().map(|item| item.group().to_owned()).collect())?
            .with_provenance(study.provenance.clone())
            .with_provenance(Readout::new(Selection::default(), pool).provenance());
        for address in states.addresses() {
            activations.insert(address, states.at(address)?.select(ndarray::Axis(0), &rows))?;
        }
        Ok(ReadStates { condition, reading, activations })
    };
    places.into_iter().zip(run_of).map(rows_of).collect()
}

/// The condition whose conversation a reading is of.
fn read_in<'s, I: Item>(study: &'s Study<I>, condition: &'s Condition, reading: Reading) -> &'s Condition {
    let control = study.design.control(condition).filter(|_| reading == Reading::AFTER_CONTROL);
    control.unwrap_or(condition)
}

fn plan_talk(
    plan: &mut Plan,
    (talk, item): (&Conversation, usize),
    ran: &Design,
    model: &Model,
    readings: &[Reading],
) -> Result<()> {
    let whole = talk.transcript.closed(model)?;
    // A conversation may begin with rounds that another one has: that of round 0, or those before a re-elicitation.
    let at = |round: usize| Condition { round, ..talk.condition.clone() };
    let own = |placed: &&Placed| ran.position(&at(placed.round)).is_some();
    let own: Vec<&Placed> = whole.passages.iter().filter(own).collect();
    let mut rounds: Vec<usize> = own.iter().map(|placed| placed.round).collect();
    rounds.dedup();
    for &reading in readings {
        let hidden = |prompt: &Prompt| if reading.is_masked() { instructions(prompt) } else { Vec::new() };
        match reading.part() {
            Some(part) => {
                for placed in own.iter().filter(|placed| placed.part == part) {
                    plan.add((at(placed.round), reading), item, &whole, placed.span, &hidden(&whole));
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
                    plan.add((at(round), reading), item, &prompt, span, &hidden(&prompt));
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

/// Keeps, of all items' states over the answers of a round, those whose answer has tokens; `None` if none has.
pub(super) fn of_answers(
    condition: &Condition,
    all: &Activations,
    conversations: &[Conversation],
) -> Result<Option<ReadStates>> {
    let answers = |passage: &Passage| passage.part == Part::Answer && passage.round == condition.round;
    let answered: HashSet<&str> = conversations
        .iter()
        .filter(|talk| talk.condition.same_course(condition) && talk.transcript.passages().iter().any(answers))
        .map(|talk| talk.item.as_str())
        .collect();
    let ids: Vec<&str> = all.ids().iter().map(String::as_str).filter(|id| answered.contains(id)).collect();
    if ids.is_empty() {
        return Ok(None);
    }
    let activations = all.of_items(&ids)?;
    Ok(Some(ReadStates { condition: condition.clone(), reading: Reading::of(Part::Answer), activations }))
}
