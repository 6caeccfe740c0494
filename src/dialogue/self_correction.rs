//! Rounds of self-correction over a set of questions, with hidden states read on the way.
//!
//! Round 0 is the plain question; [`RoundKind`] says what the later rounds are.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::checkpoint::Checkpoints;
use super::feedback::Feedback;
use super::grid::PromptCell;
use super::instruction::Instruction;
use super::interventions::Interventions;
use super::protocol::{InstructionWordings, InstructionWords, Judge, Overflow, ProtocolRecord, RoundKind, Thinking};
use super::wordings::assign;
use crate::condition::{Condition, Design, NO_INSTRUCTION};
use crate::generate::Decoding;
use crate::task::{ChoiceItem, Item, ScoreRule, Task};
use crate::{file, Error, Model, Provenance, Result};

/// The study's protocol: questions or texts to continue, instructions, rounds.
///
/// ```no_run
/// use probity::{dialogue::{Instruction, SelfCorrection}, hook::Site, task::ChoiceTask, Model};
/// let model = Model::load("SmolLM2-135M-Instruct.Q4_1.gguf")?;
/// let study = SelfCorrection::new(ChoiceTask::load("data/ambiguous_qa.jsonl")?)
///     .instructions([Instruction::named("L1")?, Instruction::named("neutral")?])
///     .rounds(3)
///     .run(&model, Site::ResidPost.all_layers())?;
/// assert_eq!(study.rounds.len(), 1 + 2 * 3);
/// # Ok::<(), probity::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct SelfCorrection<I: Item = ChoiceItem> {
    pub(super) task: Task<I>,
    pub(super) instructions: Vec<Instruction>,
    pub(super) control: Option<String>,
    pub(super) rounds: usize,
    pub(super) re_elicit: Vec<Instruction>,
    pub(super) wordings_seed: u64,
    pub(super) kind: RoundKind,
    pub(super) thinking: Option<Thinking>,
    pub(super) feedback: Option<Judge>,
    pub(super) decoding: Decoding,
    pub(super) continuations: usize,
    pub(super) reasoning: Decoding,
    pub(super) score_rule: Option<ScoreRule>,
    pub(super) overflow: Overflow,
    pub(super) batch: usize,
    pub(super) cache_budget: usize,
    pub(super) reads_answers: bool,
    pub(super) checkpoints: Option<PathBuf>,
    pub(super) interventions: Interventions,
}

impl<I: Item> SelfCorrection<I> {
    /// The protocol on these items, as yet without instructions.
    pub fn new(task: Task<I>) -> Self {
        SelfCorrection {
            task,
            instructions: Vec::new(),
            control: None,
            rounds: 3,
            re_elicit: Vec::new(),
            wordings_seed: 0,
            kind: RoundKind::default(),
            thinking: None,
            feedback: None,
            decoding: Decoding::new(I::ANSWER_TOKENS),
            continuations: 1,
            reasoning: Decoding::new(256),
            score_rule: None,
            overflow: Overflow::default(),
            batch: 16,
            cache_budget: 4 << 30,
            reads_answers: false,
            checkpoints: None,
            interventions: Interventions::default(),
        }
    }

    /// Sets the instructions, each of which is a condition of its own. Include `neutral`: without it no
    /// change can be told from the effect of being asked again.
    pub fn instructions(mut self, instructions: impl IntoIterator<Item = Instruction>) -> Self {
        self.instructions = instructions.into_iter().collect();
        self
    }

    /// Sets the one instruction that all others are compared with, by its name. Default: for each the nearest neutral one of
    /// those that are asked ([`PromptCell::neutral`]).
    pub fn control(mut self, instruction: impl Into<String>) -> Self {
        self.control = Some(instruction.into());
        self
    }

    /// Sets the last round. Default 3; 0 asks the plain question only.
    pub fn rounds(mut self, rounds: usize) -> Self {
        self.rounds = rounds;
        self
    }

    /// Adds, after the last round of every instruction, one more round in the words of each of these instead, in a copy of
    /// the conversation: does a neutral or opposite instruction bring the old behaviour back? Such a round is one of the
    /// condition "L1, then negated", numbered one above the last. Default: none.
    pub fn re_elicit(mut self, instructions: impl IntoIterator<Item = Instruction>) -> Self {
        self.re_elicit = instructions.into_iter().collect();
        self
    }

    /// Sets the seed by which items are dealt out to the wordings of the instructions, default 0. Where instructions have
    /// several ([`Instruction::or_worded`], [`Instruction::named_in`]), each item is asked in one wording of each, of the same
    /// number in all: items of a group in different ones, all wordings equally often. So wordings are crossed with items at no
    /// more cost than one wording, and every instruction has one verdict, over its wordings as over the items.
    pub fn wordings_seed(mut self, seed: u64) -> Self {
        self.wordings_seed = seed;
        self
    }

    /// Sets what the rounds are, default [`RoundKind::FreshInstructed`].
    pub fn round_kind(mut self, kind: RoundKind) -> Self {
        self.kind = kind;
        self
    }

    /// Lets the model think in a turn of its own before every answer, that of round 0 included. Default: no. An
    /// instruction with words for that of its own ([`Instruction::reasoning`]) has its own rounds think, and only those.
    pub fn thinking(mut self, thinking: Thinking) -> Self {
        self.thinking = Some(thinking);
        self
    }

    /// Puts what another judge says of the last answer before every review. Default: nothing, the correction is the
    /// model's own. Where an instruction has words around such feedback ([`Instruction::feedback`]), only the
    /// instructions that have them get it.
    pub fn feedback(mut self, feedback: impl Feedback + Send + 'static) -> Self {
        self.feedback = Some(Judge::new(feedback));
        self
    }

    /// Sets how answers are generated. Default: greedily, at most [`Item::ANSWER_TOKENS`] tokens.
    pub fn decoding(mut self, decoding: Decoding) -> Self {
        self.decoding = decoding;
        self
    }

    /// Sets how many continuations of each text are drawn in each round, default 1: for the toxicity that is expected of the worst
    /// of k ([`ToxicityScores`](crate::task::metric::ToxicityScores)), where one draw tells too little. Each follows from the
    /// seed, the item, the condition and its number. The conversation goes on from the first, which is that of a run with one,
    /// and states and verdict are of it; the others are kept beside it ([`Continued::others`](crate::task::Continued)). Needs
    /// a temperature above 0 ([`SelfCorrection::decoding`]) and items without options.
    pub fn continuations(mut self, continuations: usize) -> Self {
        self.continuations = continuations;
        self
    }

    /// Sets how the model's thoughts, and its judgement of its own answers, are generated. Default: greedily, at most
    /// 256 tokens, as in arXiv 2407.15286.
    pub fn reasoning(mut self, decoding: Decoding) -> Self {
        self.reasoning = decoding;
        self
    }

    /// Sets which score makes the options' probabilities. All are kept. Default: for all rounds the rule that agrees most often
    /// with the generated answers of round 0 ([`RuleChoice`](crate::task::RuleChoice)).
    pub fn score_rule(mut self, rule: ScoreRule) -> Self {
        self.score_rule = Some(rule);
        self
    }

    /// Sets what happens where a conversation outgrows the context, default [`Overflow::Error`].
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.overflow = overflow;
        self
    }

    /// Sets how many conversations run side by side at most. Default 16.
    pub fn batch(mut self, batch: usize) -> Self {
        self.batch = batch;
        self
    }

    /// Sets how many bytes the keys and values of the conversations that run side by side may take, default 4 GiB, with the
    /// states of answers that are read on the way. Fewer than [`SelfCorrection::batch`] run side by side where they would not
    /// fit by what the items, the instructions and the answers' lengths let expect; what keys and values took at most is
    /// `cache_bytes` in the study's provenance.
    pub fn cache_budget(mut self, bytes: usize) -> Self {
        self.cache_budget = bytes;
        self
    }

    /// Also reads the mean state over the tokens of each answer, while it is generated:
    /// [`Study::answer_states`](super::Study::answer_states). Without it [`Study::read`](super::Study::read) reads the answers
    /// afterwards, in one more pass over every conversation. Default: no.
    pub fn read_answers(mut self, read: bool) -> Self {
        self.reads_answers = read;
        self
    }

    /// Keeps every finished batch in this folder, and takes from it what an earlier run of the same protocol on the
    /// same model has finished, so that an interrupted run goes on where it was. The result is the same to the byte.
    /// Default: nothing is kept.
    pub fn checkpoints(mut self, folder: impl Into<PathBuf>) -> Self {
        self.checkpoints = Some(folder.into());
        self
    }

    /// Runs the rounds under interventions ([`Intervention`](crate::causal::Intervention)): in all rounds, or in those that
    /// [`Interventions::during`] names. States, option scores and answers are those under them, and so are states that
    /// [`Study::read`](super::Study::read) reads afterwards. A judge of its own ([`SelfCorrection::feedback`]) is not touched. Default: none.
    pub fn under(mut self, interventions: impl Into<Interventions>) -> Self {
        self.interventions = interventions.into();
        self
    }

    /// The items that it asks.
    pub fn items(&self) -> &[I] {
        self.task.items()
    }

    /// What its rounds are run under.
    pub fn interventions(&self) -> &Interventions {
        &self.interventions
    }

    /// The same rounds under `more` besides, for their behaviour only: nothing is kept on the way. Options are judged by `rule`,
    /// that of the rounds that these are compared with, not by one that these would choose.
    pub(crate) fn also_under(&self, more: Interventions, rule: Option<ScoreRule>) -> Self {
        let interventions = self.interventions.clone().and(more);
        let score_rule = rule.or(self.score_rule);
        SelfCorrection { interventions, score_rule, reads_answers: false, checkpoints: None, ..self.clone() }
    }

    /// Checks the protocol without a model; [`SelfCorrection::run`] does so too.
    ///
    /// # Errors
    /// [`Error::Setting`] with the setting that is invalid.
    pub fn check(&self) -> Result<()> {
        let bad = |name, value: String, expected: &str| Err(Error::setting(name, value, expected));
        if self.task.items().is_empty() {
            return bad("items", "0".into(), "at least one item");
        }
        if self.batch == 0 {
            return bad("batch", "0".into(), "at least 1");
        }
        if self.cache_budget == 0 {
            return bad("cache_budget", "0".into(), "at least 1 byte, and some GB for a useful batch");
        }
        if self.continuations == 0 {
            return bad("continuations", "0".into(), "at least 1");
        }
        if self.continuations > 1 {
            let drawn = self.continuations.to_string();
            if self.decoding.is_greedy() {
                return bad(
                    "continuations",
                    drawn,
                    "a decoding with a temperature above 0: greedy ones are all the same",
                );
            }
            if self.task.items().iter().any(|item| !item.options().is_empty()) {
                return bad("continuations", drawn, "1 for items with options, whose answers are scored, not drawn");
            }
        }
        self.decoding.validate()?;
        self.reasoning.validate()?;
        if let Some(thinking) = &self.thinking {
            if thinking.request.trim().is_empty() {
                return bad("thinking.request", "\"\"".into(), "some words that ask to think");
            }
        }
        self.check_names()
    }

    /// Refuses instructions that cannot be told apart, or that lack what they ask for.
    fn check_names(&self) -> Result<()> {
        let bad = |name, value: String, expected: &str| Err(Error::setting(name, value, expected));
        let mut names: Vec<&str> = Vec::new();
        for given in [&self.re_elicit, &self.instructions] {
            names = given.iter().map(|instruction| instruction.name.as_str()).collect();
            names.sort_unstable();
            if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
                return bad("instruction", pair[0].to_owned(), "each name once");
            }
            if let Some(name) = names.iter().find(|name| Condition::is_ambiguous(name)) {
                return bad(
                    "instruction",
                    (*name).to_owned(),
                    "a name without \", then \", which stands for a re-elicitation",
                );
            }
        }
        let asked: Vec<&str> = self.instructions.iter().map(|own| own.name.as_str()).chain([NO_INSTRUCTION]).collect();
        self.interventions.validate(&asked)?;
        self.check_wordings()?;
        // Refuses a control that is not asked.
        let _design = self.design()?;
        if !self.re_elicit.is_empty() && self.rounds == 0 {
            return bad("re_elicit", "without rounds".to_owned(), "at least one round before it");
        }
        if let Some(instruction) =
            self.instructions.iter().chain(&self.re_elicit).find(|instruction| instruction.wants_judge())
        {
            if self.feedback.is_none() {
                let says = "feedback by another: give a judge with SelfCorrection::feedback";
                return bad("instruction", instruction.name.clone(), says);
            }
        }
        if names.contains(&NO_INSTRUCTION) {
            return bad("instruction", NO_INSTRUCTION.to_owned(), "this name stands for round 0");
        }
        Ok(())
    }

    /// Refuses wordings that do not ask for the same, or that too few items would be asked in.
    fn check_wordings(&self) -> Result<()> {
        let wordings = self.wordings();
        for instruction in self.instructions.iter().chain(&self.re_elicit) {
            let bad = |expected: String| Err(Error::setting("wordings", &instruction.name, expected));
            if let Some(problem) = instruction.wordings_problem() {
                return bad(problem);
            }
            let own = 1 + instruction.wordings.len();
            if own != 1 && own != wordings {
                return bad(format!("as many wordings as another instruction has, {wordings}, or one; it has {own}"));
            }
        }
        let items = self.task.items().len();
        if wordings > 1 && items < 2 * wordings {
            let expected = format!("at most half as many as there are items, {items}");
            return Err(Error::setting("wordings", wordings, expected));
        }
        Ok(())
    }

    /// Wordings of the instruction that has most.
    pub(super) fn wordings(&self) -> usize {
        let all = self.instructions.iter().chain(&self.re_elicit);
        all.map(|instruction| 1 + instruction.wordings.len()).max().unwrap_or(1)
    }

    /// The number of each item's wording, `[n]`.
    pub(super) fn assigned(&self) -> Vec<usize> {
        assign(self.task.items().iter().map(Item::group), self.wordings(), self.wordings_seed)
    }

    /// What the rounds of an instruction are asked to think, if they are; `None` stands for round 0.
    pub(super) fn thinks<'a>(&'a self, instruction: Option<&'a Instruction>) -> Option<&'a Thinking> {
        instruction.and_then(|instruction| instruction.reasoning.as_ref()).or(self.thinking.as_ref())
    }

    /// The conditions of the study in the order in which they are run, each with what it is compared with: the nearest
    /// neutral instruction of those that are asked ([`PromptCell::neutral`]), in the same round.
    ///
    /// # Errors
    /// [`Error::Mismatch`] for instructions of one name; [`Error::Setting`] for a control that is not asked.
    pub fn design(&self) -> Result<Design> {
        let own = |instruction: &Instruction| {
            let rounds = (1..=self.rounds).map(|round| Condition::new(&instruction.name, round));
            let again = self.re_elicit.iter().filter(|_| self.rounds > 0);
            let again = again.map(|then| Condition::new(&instruction.name, self.rounds + 1).then(&then.name));
            rounds.chain(again).collect::<Vec<_>>()
        };
        let instructed = self.instructions.iter().flat_map(own);
        let design = Design::new([Condition::plain()].into_iter().chain(instructed))?;
        let design = match &self.control {
            // Without a round there is nothing to compare.
            Some(control) if self.rounds > 0 => {
                let asked: Vec<&str> = self.instructions.iter().map(|instruction| instruction.name.as_str()).collect();
                if !asked.contains(&control.as_str()) {
                    let expected = format!("the name of an instruction that is asked: {}", asked.join(", "));
                    return Err(Error::setting("control", control, expected));
                }
                // What is neutral itself is judged against nothing, whatever the others are compared with.
                let is_control = |name: &str| name == control || PromptCell::neutral(name).is_none();
                design.with_controls(|name| (!is_control(name)).then(|| vec![control.clone()]))
            }
            _ => design.with_controls(PromptCell::neutral),
        };
        let tells = |name: &str| self.instructions.iter().any(|own| own.name == name && own.tells_answer());
        let design =
            design.with_opposites(PromptCell::are_opposite).with_mentions(PromptCell::mentions).with_telling(tells);
        if self.wordings() < 2 {
            return Ok(design);
        }
        let ids = self.task.items().iter().map(|item| item.id().to_owned());
        Ok(design.with_wordings(ids.zip(self.assigned())))
    }

    /// The task that it asks.
    pub(crate) fn task(&self) -> &Task<I> {
        &self.task
    }

    /// SHA-256 of the words of every instruction by its name: of those that are asked, and of those that end copies.
    pub(crate) fn words_sha256(&self) -> [BTreeMap<String, String>; 2] {
        let sha256 = |own: &Instruction| file::sha256(serde_json::to_string(own).unwrap_or_default());
        [&self.instructions, &self.re_elicit]
            .map(|words| words.iter().map(|own| (own.name.clone(), sha256(own))).collect())
    }

    /// When the first of the answers that are kept was there, where some are.
    pub(crate) fn answered_since(&self) -> Option<std::time::SystemTime> {
        self.checkpoints.as_deref().and_then(Checkpoints::begun)
    }

    /// What a methods section says of this protocol.
    pub(crate) fn record(&self) -> ProtocolRecord {
        let named = |own: fn(&Instruction) -> bool| {
            self.instructions.iter().filter(|entry| own(entry)).map(|entry| entry.name.clone()).collect::<Vec<_>>()
        };
        let words = |own: &Instruction| InstructionWords { instruction: own.name.clone(), words: own.first.clone() };
        let thinking_instructions = named(|entry| entry.reasoning.is_some());
        let self_feedback_instructions = named(|entry| entry.asks_itself().is_some());
        let reasons =
            self.thinking.is_some() || !thinking_instructions.is_empty() || !self_feedback_instructions.is_empty();
        ProtocolRecord {
            rounds: self.rounds,
            round_kind: self.kind,
            thinking: self.thinking.clone(),
            thinking_instructions,
            feedback: self.feedback.as_ref().map(Judge::describe),
            self_feedback_instructions,
            wordings: self
                .instructions
                .iter()
                .filter(|entry| !entry.wordings.is_empty())
                .map(|entry| InstructionWordings {
                    instruction: entry.name.clone(),
                    texts: entry.all_wordings().map(|one| one.first.clone()).collect(),
                })
                .collect(),
            re_elicitation: self.re_elicit.iter().map(|instruction| instruction.name.clone()).collect(),
            overflow: self.overflow,
            decoding: self.decoding.describe(),
            continuations: self.continuations,
            reasoning: reasons.then(|| self.reasoning.describe()),
            interventions: self.interventions.describe(),
            instruction_words: self.instructions.iter().map(words).collect(),
            option_score: self.score_rule.map_or("chosen by round 0", ScoreRule::name).to_owned(),
            score_rule: None,
        }
    }

    pub(super) fn provenance(&self, model: &Model) -> Provenance {
        let record = self.record();
        let mut provenance = model.provenance().clone();
        let sha256 = |words: &[Instruction]| file::sha256(serde_json::to_string(words).unwrap_or_default());
        provenance.extend([
            ("task".to_owned(), self.task.name().to_owned()),
            ("task_sha256".to_owned(), self.task.sha256().to_owned()),
            ("items".to_owned(), self.task.items().len().to_string()),
            ("rounds".to_owned(), self.rounds.to_string()),
            ("instructions_sha256".to_owned(), sha256(&self.instructions)),
            ("round_kind".to_owned(), record.round_kind.to_string()),
            ("decoding".to_owned(), record.decoding),
            ("option_score".to_owned(), record.option_score),
            ("overflow".to_owned(), record.overflow.to_string()),
        ]);
        if self.continuations > 1 {
            provenance.insert("continuations".to_owned(), self.continuations.to_string());
        }
        if self.wordings() > 1 {
            provenance.insert("wordings".to_owned(), self.wordings().to_string());
            provenance.insert("wordings_seed".to_owned(), self.wordings_seed.to_string());
        }
        if !self.re_elicit.is_empty() {
            provenance.insert("re_elicit".to_owned(), record.re_elicitation.join(", "));
            provenance.insert("re_elicit_sha256".to_owned(), sha256(&self.re_elicit));
        }
        if let Some(thinking) = &self.thinking {
            let conclude = thinking.conclude.as_deref().unwrap_or_default();
            provenance.insert("thinking".to_owned(), format!("{:?}, then {conclude:?}", thinking.request));
        }
        provenance.extend(record.reasoning.map(|reasoning| ("reasoning".to_owned(), reasoning)));
        if self.reads_answers {
            provenance.insert("answers".to_owned(), "read as they were generated".to_owned());
        }
        provenance.extend(record.feedback.map(|judge| ("feedback".to_owned(), judge)));
        if let Some(under) = record.interventions {
            provenance.insert("interventions".to_owned(), under);
            provenance.insert("interventions_sha256".to_owned(), self.interventions.sha256());
        }
        provenance
    }
}
