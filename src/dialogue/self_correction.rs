//! Rounds of self-correction over a set of questions, with hidden states read on the way.
//!
//! Round 0 is the plain question; [`RoundKind`] says what the later rounds are.

use std::path::Path;
use std::rc::Rc;

use serde::Serialize;

use super::asking::opening;
use super::protocol::Judge;
use super::table::{Table, Turn};
use super::{Feedback, Instruction, Overflow, RoundKind, Thinking, Transcript};
use crate::capture::{Activations, Collector, Pool, Readout};
use crate::generate::Decoding;
use crate::hook::Site;
use crate::progress::Progress;
use crate::task::{Answer, AnsweredRound, ChoiceItem, ChoiceTask, ScoreRule};
use crate::{file, Error, Model, Provenance, Result};

/// Name of the condition of round 0, in which no instruction is given.
pub const NO_INSTRUCTION: &str = "none";

/// The study's protocol: questions, instructions, rounds.
///
/// ```no_run
/// use probity::{capture::{Pool, Readout}, dialogue::{Instruction, SelfCorrection}, hook::Site, task::ChoiceTask, Model};
/// let model = Model::load("SmolLM2-135M-Instruct.Q4_1.gguf")?;
/// let readout = Readout::new(Site::ResidPost.all_layers(), Pool::Last);
/// let study = SelfCorrection::new(ChoiceTask::load("data/ambiguous_qa.jsonl")?)
///     .instructions([Instruction::named("L1")?, Instruction::named("neutral")?])
///     .rounds(3)
///     .run(&model, &readout)?;
/// assert_eq!(study.rounds.len(), 1 + 2 * 3);
/// # Ok::<(), probity::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct SelfCorrection {
    pub(super) task: ChoiceTask,
    instructions: Vec<Instruction>,
    rounds: usize,
    kind: RoundKind,
    pub(super) thinking: Option<Thinking>,
    pub(super) feedback: Option<Judge>,
    pub(super) decoding: Decoding,
    pub(super) score_rule: ScoreRule,
    pub(super) overflow: Overflow,
    batch: usize,
}

/// The answers and hidden states of one instruction and round, for all items.
#[derive(Debug, Clone)]
pub struct Round {
    /// Name of the instruction; [`NO_INSTRUCTION`] in round 0.
    pub instruction: String,
    /// The round.
    pub round: usize,
    /// States at the last token of the round's prompt, where the answer begins; rows are the items.
    pub activations: Activations,
    /// The answers, `[n]`.
    pub answers: Vec<Answer>,
}

impl Round {
    /// The answers with their instruction and round.
    pub fn answered(&self) -> AnsweredRound<'_> {
        AnsweredRound { instruction: &self.instruction, round: self.round, answers: &self.answers }
    }
}

/// One finished conversation.
#[derive(Debug, Clone, Serialize)]
pub struct Conversation {
    /// The item's id.
    pub item: String,
    /// Name of the instruction; [`NO_INSTRUCTION`] for round 0 alone.
    pub instruction: String,
    /// The turns.
    #[serde(flatten)]
    pub transcript: Transcript,
}

/// What a run of [`SelfCorrection`] gives.
#[derive(Debug, Clone)]
pub struct Study {
    /// The questions, `[n]`.
    pub items: Vec<ChoiceItem>,
    /// Round 0, then rounds 1 to r of each instruction.
    pub rounds: Vec<Round>,
    /// Every conversation, by item.
    pub conversations: Vec<Conversation>,
    /// Model, data and protocol.
    pub provenance: Provenance,
}

impl Study {
    /// The round of this instruction and number, if it was run.
    pub fn round(&self, instruction: &str, round: usize) -> Option<&Round> {
        self.rounds.iter().find(|entry| entry.instruction == instruction && entry.round == round)
    }

    /// Writes the conversations as JSON lines.
    ///
    /// # Errors
    /// [`Error::Io`]; the file appears whole or not at all.
    pub fn write_transcripts(&self, path: impl AsRef<Path>) -> Result<()> {
        use std::io::Write;
        file::write_atomic(path.as_ref(), |out| {
            for conversation in &self.conversations {
                serde_json::to_writer(&mut *out, conversation)?;
                out.write_all(b"\n")?;
            }
            Ok(())
        })
    }
}

impl SelfCorrection {
    /// The protocol on these questions, as yet without instructions.
    pub fn new(task: ChoiceTask) -> Self {
        SelfCorrection {
            task,
            instructions: Vec::new(),
            rounds: 3,
            kind: RoundKind::default(),
            thinking: None,
            feedback: None,
            decoding: Decoding::new(8),
            score_rule: ScoreRule::default(),
            overflow: Overflow::default(),
            batch: 16,
        }
    }

    /// Sets the instructions, each of which is a condition of its own. Include `neutral`: without it no
    /// change can be told from the effect of being asked again.
    pub fn instructions(mut self, instructions: impl IntoIterator<Item = Instruction>) -> Self {
        self.instructions = instructions.into_iter().collect();
        self
    }

    /// Sets the last round. Default 3; 0 asks the plain question only.
    pub fn rounds(mut self, rounds: usize) -> Self {
        self.rounds = rounds;
        self
    }

    /// Sets what the rounds are, default [`RoundKind::FreshInstructed`].
    pub fn round_kind(mut self, kind: RoundKind) -> Self {
        self.kind = kind;
        self
    }

    /// Lets the model think in a turn of its own before every answer. Default: no.
    pub fn thinking(mut self, thinking: Thinking) -> Self {
        self.thinking = Some(thinking);
        self
    }

    /// Puts what another judge says of the last answer before every review. Default: nothing, the correction is the
    /// model's own.
    pub fn feedback(mut self, feedback: impl Feedback + 'static) -> Self {
        self.feedback = Some(Judge(Rc::new(feedback)));
        self
    }

    /// Sets how answers are generated. Default: greedily, at most 8 tokens, as in the paper for multiple choice.
    pub fn decoding(mut self, decoding: Decoding) -> Self {
        self.decoding = decoding;
        self
    }

    /// Sets which score makes the options' probabilities, default [`ScoreRule::PerToken`]. All are kept.
    pub fn score_rule(mut self, rule: ScoreRule) -> Self {
        self.score_rule = rule;
        self
    }

    /// Sets what happens where a conversation outgrows the context, default [`Overflow::Error`].
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.overflow = overflow;
        self
    }

    /// Sets how many conversations run side by side. Default 16.
    pub fn batch(mut self, batch: usize) -> Self {
        self.batch = batch;
        self
    }

    /// Runs all conversations.
    ///
    /// # Errors
    /// [`Error::Setting`] for an invalid protocol; [`Error::TextLength`] where a conversation outgrows the
    /// model's context; what the model, the template and the readout refuse.
    pub fn run(&self, model: &Model, readout: &Readout) -> Result<Study> {
        self.run_with(model, readout, &())
    }

    /// [`SelfCorrection::run`] with progress, counted in answers.
    ///
    /// # Errors
    /// As [`SelfCorrection::run`].
    pub fn run_with(&self, model: &Model, readout: &Readout, progress: &dyn Progress) -> Result<Study> {
        self.check(readout)?;
        let items = self.task.items();
        let addresses = readout.addresses(model)?;
        if let Some(logits) = addresses.iter().find(|address| address.site() == Site::Logits) {
            return Err(Error::setting("selection", logits, "no site of a study: option scores hold what it says"));
        }
        let mut schedule = vec![(NO_INSTRUCTION.to_owned(), 0)];
        for instruction in &self.instructions {
            schedule.extend((1..=self.rounds).map(|round| (instruction.name.clone(), round)));
        }
        let mut collectors: Vec<Collector> =
            schedule.iter().map(|_| Collector::new(addresses.clone(), Pool::Last, items.len())).collect();
        let mut answers: Vec<Vec<(usize, Answer)>> = vec![Vec::with_capacity(items.len()); schedule.len()];
        let mut conversations: Vec<(usize, Conversation)> = Vec::new();
        // Questions of like length side by side, so that little is padded.
        let mut order: Vec<usize> = (0..items.len()).collect();
        order.sort_by_key(|&item| opening(&items[item], None, None).iter().map(|(_, text)| text.len()).sum::<usize>());

        progress.begin("self-correction", (schedule.len() * items.len()) as u64);
        for batch in order.chunks(self.batch) {
            let mut table = Table::new(model, self, batch);
            let mut slots = collectors.iter_mut().zip(&mut answers);
            let mut plain = table.open(None)?;
            if let Some((collector, answers)) = slots.next() {
                answers.extend(table.answer(&mut plain, Turn { instruction: NO_INSTRUCTION, round: 0 }, collector)?);
                progress.advance(batch.len() as u64);
            }
            // With no round to ask it in, an instruction has no conversation.
            for instruction in self.instructions.iter().filter(|_| self.rounds > 0) {
                let mut talks = match self.kind {
                    RoundKind::FreshInstructed => table.open(Some(instruction))?,
                    RoundKind::Revise => plain.clone(),
                };
                for (round, (collector, answers)) in (1..=self.rounds).zip(&mut slots) {
                    if round > 1 || self.kind == RoundKind::Revise {
                        table.review(&mut talks, instruction, round)?;
                    }
                    let turn = Turn { instruction: &instruction.name, round };
                    answers.extend(table.answer(&mut talks, turn, collector)?);
                    progress.advance(batch.len() as u64);
                }
                conversations.extend(table.close(talks, &instruction.name));
            }
            conversations.extend(table.close(plain, NO_INSTRUCTION));
        }

        let provenance = self.provenance(model);
        let ids: Vec<&str> = items.iter().map(|item| item.id.as_str()).collect();
        let groups: Vec<String> = items.iter().map(|item| item.group.clone()).collect();
        let rounds = schedule
            .into_iter()
            .zip(collectors)
            .zip(answers)
            .map(|(((instruction, round), collector), mut answers)| {
                answers.sort_by_key(|&(item, _)| item);
                let answers = answers.into_iter().map(|(_, answer)| answer).collect();
                let rows = Activations::new(ids.iter().copied())
                    .with_groups(groups.clone())?
                    .with_provenance(provenance.clone())
                    .with_provenance(readout.provenance());
                Ok(Round { instruction, round, activations: collector.finish(rows)?, answers })
            })
            .collect::<Result<_>>()?;
        // Round 0 first, then the instructions as given.
        let place = |talk: &Conversation| self.instructions.iter().position(|known| known.name == talk.instruction);
        conversations.sort_by_key(|(item, talk)| (*item, place(talk)));
        let conversations = conversations.into_iter().map(|(_, conversation)| conversation).collect();
        Ok(Study { items: items.to_vec(), rounds, conversations, provenance })
    }

    /// Checks the protocol without a model; [`SelfCorrection::run`] does so too.
    ///
    /// # Errors
    /// [`Error::Setting`] with the setting that is invalid.
    pub fn check(&self, readout: &Readout) -> Result<()> {
        let bad = |name, value: String, expected: &str| Err(Error::setting(name, value, expected));
        if self.task.items().is_empty() {
            return bad("items", "0".into(), "at least one question");
        }
        if self.batch == 0 {
            return bad("batch", "0".into(), "at least 1");
        }
        self.decoding.validate()?;
        if let Some(thinking) = &self.thinking {
            thinking.decoding.validate()?;
            if thinking.request.trim().is_empty() {
                return bad("thinking.request", "\"\"".into(), "some words that ask to think");
            }
        }
        if readout.pool() != Pool::Last {
            return bad(
                "pool",
                readout.pool().name().into(),
                "rounds are read at the prompt's last token: use Pool::Last",
            );
        }
        let mut names: Vec<&str> = self.instructions.iter().map(|instruction| instruction.name.as_str()).collect();
        names.sort_unstable();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return bad("instruction", pair[0].to_owned(), "each name once");
        }
        let apart = |entry: &&Instruction| entry.reasoning.is_some() || entry.feedback.is_some();
        if let Some(instruction) = self.instructions.iter().find(apart) {
            let says = "its words for reasoning and feedback go into SelfCorrection::thinking and ::feedback";
            return bad("instruction", instruction.name.clone(), says);
        }
        if names.contains(&NO_INSTRUCTION) {
            return bad("instruction", NO_INSTRUCTION.to_owned(), "this name stands for round 0");
        }
        Ok(())
    }

    fn provenance(&self, model: &Model) -> Provenance {
        let mut provenance = model.provenance().clone();
        let instructions = serde_json::to_string(&self.instructions).unwrap_or_default();
        provenance.extend([
            ("task".to_owned(), self.task.name().to_owned()),
            ("task_sha256".to_owned(), self.task.sha256().to_owned()),
            ("items".to_owned(), self.task.items().len().to_string()),
            ("rounds".to_owned(), self.rounds.to_string()),
            ("instructions_sha256".to_owned(), file::sha256(instructions)),
            ("round_kind".to_owned(), self.kind.name().to_owned()),
            ("decoding".to_owned(), self.decoding.describe()),
            ("option_score".to_owned(), format!("softmax of log-probability, {}", self.score_rule.name())),
            ("overflow".to_owned(), self.overflow.name().to_owned()),
        ]);
        if let Some(thinking) = &self.thinking {
            provenance
                .insert("thinking".to_owned(), format!("{:?}, {}", thinking.request, thinking.decoding.describe()));
        }
        if let Some(judge) = &self.feedback {
            provenance.insert("feedback".to_owned(), judge.0.describe());
        }
        provenance
    }
}
