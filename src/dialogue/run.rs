//! A protocol on its way through a model, batch by batch.

use super::asking::opening;
use super::checkpoint::{Batch, Checkpoints, Finished};
use super::conversation_batch::{ConversationBatch, Turn};
use super::protocol::{ProtocolRecord, RoundKind};
use super::read::of_answers;
use super::self_correction::SelfCorrection;
use super::side_by_side::side_by_side;
use super::study::{Conversation, Round, Study};
use crate::capture::{Activations, Collector, Pool, Readout};
use crate::condition::Design;
use crate::hook::{Selection, Site};
use crate::progress::Progress;
use crate::task::Item;
use crate::{Error, Model, Provenance, Result};

impl<I: Item> SelfCorrection<I> {
    /// Runs all conversations and reads the selected places at the last token of every prompt.
    ///
    /// # Errors
    /// [`Error::Setting`] for an invalid protocol; [`Error::TextLength`] where a conversation outgrows the
    /// model's context; [`Error::Mismatch`] for a folder of checkpoints of another run; what the model, the template
    /// and the selection refuse.
    pub fn run(&self, model: &Model, selection: impl Into<Selection>) -> Result<Study<I>> {
        self.run_with_progress(model, selection, &())
    }

    /// [`SelfCorrection::run`] with progress, counted in answers.
    ///
    /// # Errors
    /// As [`SelfCorrection::run`].
    pub fn run_with_progress(
        &self,
        model: &Model,
        selection: impl Into<Selection>,
        progress: &dyn Progress,
    ) -> Result<Study<I>> {
        self.check()?;
        Run::new(self, model, &Readout::new(selection, Pool::Last))?.finish(progress)
    }
}

impl<I: Item> SelfCorrection<I> {
    /// Removes the batches that runs of this protocol kept ([`SelfCorrection::checkpoints`]); other files in the folder stay.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn remove_checkpoints(&self) -> Result<()> {
        self.checkpoints.as_ref().map_or(Ok(()), |folder| Checkpoints::remove(folder))
    }
}

/// The turns that every item goes through, and what they gave so far.
struct Run<'a, I: Item> {
    protocol: &'a SelfCorrection<I>,
    model: &'a Model,
    provenance: Provenance,
    readout: Provenance,
    /// By place in the schedule, what the turn stands for.
    design: Design,
    /// By item, the number of its wording.
    wordings: Vec<usize>,
    schedule: Vec<Turn<'a>>,
    /// Most bytes that keys and values took in a batch.
    cache_bytes: usize,
    /// By turn, of prompts; then, where answers are read, by turn, of answers.
    collectors: Vec<Collector>,
    /// By turn, then item.
    answers: Vec<Vec<Option<I::Answer>>>,
    /// With the number of the item and of its condition's first turn.
    conversations: Vec<((usize, usize), Conversation)>,
}

impl<'a, I: Item> Run<'a, I> {
    fn new(protocol: &'a SelfCorrection<I>, model: &'a Model, readout: &Readout) -> Result<Self> {
        let addresses = readout.addresses(model)?;
        if let Some(logits) = addresses.iter().find(|address| address.site() == Site::Logits) {
            return Err(Error::setting("selection", logits, "no site of a study: option scores hold what it says"));
        }
        protocol.interventions.check(model)?;
        let mut schedule = vec![Turn { instruction: None, then: None, round: 0 }];
        for instruction in &protocol.instructions {
            let own = |round| Turn { instruction: Some(instruction), then: None, round };
            schedule.extend((1..=protocol.rounds).map(own));
            let round = protocol.rounds + 1;
            schedule.extend(protocol.re_elicit.iter().map(|then| Turn { then: Some(then), ..own(round) }));
        }
        let n = protocol.task.items().len();
        let turns = |pool: Pool, read: bool| std::iter::repeat_n(pool, if read { schedule.len() } else { 0 });
        let pools = turns(Pool::Last, true).chain(turns(Pool::Mean, protocol.reads_answers));
        Ok(Run {
            provenance: protocol.provenance(model),
            design: protocol.design()?,
            wordings: protocol.assigned(),
            readout: readout.provenance(),
            collectors: pools.map(|pool| Collector::new(addresses.clone(), pool, n)).collect(),
            answers: schedule.iter().map(|_| vec![None; n]).collect(),
            conversations: Vec::new(),
            cache_bytes: 0,
            protocol,
            model,
            schedule,
        })
    }

    /// Runs what no checkpoint holds, and puts everything together.
    fn finish(mut self, progress: &dyn Progress) -> Result<Study<I>> {
        let items = self.protocol.task.items();
        // Items of like length side by side, so that little is padded.
        let mut order: Vec<usize> = (0..items.len()).collect();
        order.sort_by_key(|&item| opening(&items[item], None, None).iter().map(|(_, text)| text.len()).sum::<usize>());
        let side_by_side = side_by_side(self.protocol, self.model, self.collectors[0].addresses())?;
        let checkpoints = match &self.protocol.checkpoints {
            None => None,
            Some(folder) => {
                let ids: Vec<&str> = order.iter().map(|&item| items[item].id()).collect();
                let what = (&self.provenance, &self.readout, side_by_side, ids);
                Some(Checkpoints::open(folder, &what, &self.protocol.interventions)?)
            }
        };
        progress.begin("self-correction", (self.schedule.len() * items.len()) as u64);
        for (number, batch) in order.chunks(side_by_side).enumerate() {
            let ids: Vec<&str> = batch.iter().map(|&item| items[item].id()).collect();
            let numbered = Batch { number, ids: &ids, rows: batch };
            let turns = self.schedule.len();
            let kept = checkpoints.as_ref().map(|kept| kept.load(&numbered, turns, &mut self.collectors));
            let finished = match kept.transpose()?.flatten() {
                Some(finished) => {
                    progress.advance((self.schedule.len() * batch.len()) as u64);
                    finished
                }
                None => {
                    let finished = self.batch(batch, progress)?;
                    if let Some(checkpoints) = &checkpoints {
                        checkpoints.save(&numbered, &self.collectors, &finished)?;
                    }
                    finished
                }
            };
            self.take(batch, finished);
        }
        self.study()
    }

    /// All conversations about some of the items.
    fn batch(&mut self, batch: &[usize], progress: &dyn Progress) -> Result<Finished<I::Answer>> {
        let protocol = self.protocol;
        let mut talking = ConversationBatch::new(self.model, protocol, batch, &self.wordings);
        let mut finished = Finished { answers: Vec::new(), conversations: Vec::new(), cache_bytes: 0 };
        let (of_prompts, over_answers) = self.collectors.split_at_mut(self.schedule.len());
        let over_answers = over_answers.iter_mut().map(Some).chain(std::iter::repeat_with(|| None));
        let mut slots = self.schedule.iter().zip(of_prompts.iter_mut().zip(over_answers));
        let mut plain = talking.open(None)?;
        if let Some((&turn, collectors)) = slots.next() {
            finished.answers.push(talking.answer(&mut plain, turn, collectors)?);
            progress.advance(batch.len() as u64);
        }
        // With no round to ask it in, an instruction has no conversation.
        for instruction in protocol.instructions.iter().filter(|_| protocol.rounds > 0) {
            let mut talks = match protocol.kind {
                RoundKind::FreshInstructed => talking.open(Some(instruction))?,
                RoundKind::Revise => plain.clone(),
            };
            for (&turn, collectors) in slots.by_ref().take(protocol.rounds) {
                if turn.round > 1 || protocol.kind == RoundKind::Revise {
                    talking.review(&mut talks, instruction, turn.round)?;
                }
                finished.answers.push(talking.answer(&mut talks, turn, collectors)?);
                progress.advance(batch.len() as u64);
            }
            for (&turn, collectors) in slots.by_ref().take(protocol.re_elicit.len()) {
                let mut again = talks.clone();
                if let Some(then) = turn.then {
                    talking.review(&mut again, then, turn.round)?;
                }
                finished.answers.push(talking.answer(&mut again, turn, collectors)?);
                progress.advance(batch.len() as u64);
                finished.conversations.extend(talking.close(again, turn));
            }
            let own = Turn { instruction: Some(instruction), then: None, round: protocol.rounds };
            finished.conversations.extend(talking.close(talks, own));
        }
        finished.conversations.extend(talking.close(plain, Turn { instruction: None, then: None, round: 0 }));
        finished.cache_bytes = talking.cache_bytes();
        Ok(finished)
    }

    fn take(&mut self, batch: &[usize], finished: Finished<I::Answer>) {
        self.cache_bytes = self.cache_bytes.max(finished.cache_bytes);
        for (slot, answers) in self.answers.iter_mut().zip(finished.answers) {
            for (&item, answer) in batch.iter().zip(answers) {
                slot[item] = Some(answer);
            }
        }
        let place = |talk: &Conversation| {
            self.design.conditions().position(|condition| condition.same_course(&talk.condition)).unwrap_or(0)
        };
        let items = batch.iter().cycle();
        self.conversations.extend(items.zip(finished.conversations).map(|(&item, talk)| ((item, place(&talk)), talk)));
    }

    fn study(mut self) -> Result<Study<I>> {
        self.provenance.insert("cache_bytes".to_owned(), self.cache_bytes.to_string());
        let items = self.protocol.task.items();
        let ids = || items.iter().map(|item| item.id());
        let groups: Vec<String> = items.iter().map(|item| item.group().to_owned()).collect();
        // Round 0 first, then the instructions as given.
        self.conversations.sort_by_key(|&(place, _)| place);
        let conversations: Vec<Conversation> = self.conversations.into_iter().map(|(_, talk)| talk).collect();
        let over_answers = self.collectors.split_off(self.schedule.len());
        let mut answer_states = Vec::with_capacity(over_answers.len());
        for (condition, collector) in self.design.conditions().zip(over_answers) {
            let rows = Activations::new(ids()).with_groups(groups.clone())?.with_provenance(self.provenance.clone());
            let rows =
                collector.finish(rows.with_provenance(Readout::new(Selection::default(), Pool::Mean).provenance()))?;
            let states = of_answers(condition, &rows, &conversations)?;
            answer_states.extend(states);
        }
        let lost = || Error::mismatch("a round", "an item has no answer");
        let answers = self.answers.into_iter().map(|answers| answers.into_iter().collect::<Option<Vec<_>>>());
        let mut answers = answers.collect::<Option<Vec<_>>>().ok_or_else(lost)?;
        let score_rule = I::settle(&mut answers, self.protocol.score_rule)?;
        let chosen = score_rule.iter().map(|choice| ("score_rule".to_owned(), choice.rule.name().to_owned()));
        self.provenance.extend(chosen);
        let mut rounds = Vec::with_capacity(self.schedule.len());
        for ((condition, collector), answers) in self.design.conditions().zip(self.collectors).zip(answers) {
            let rows = Activations::new(ids())
                .with_groups(groups.clone())?
                .with_provenance(self.provenance.clone())
                .with_provenance(self.readout.clone());
            rounds.push(Round { condition: condition.clone(), activations: collector.finish(rows)?, answers });
        }
        Ok(Study {
            items: items.to_vec(),
            design: self.design,
            rounds,
            conversations,
            answer_states,
            interventions: self.protocol.interventions.clone(),
            protocol: ProtocolRecord { score_rule, ..self.protocol.record() },
            provenance: self.provenance,
        })
    }
}
