//! Rounds run under interventions: what the behaviour has to do with a direction.

use std::fmt;
use std::sync::Arc;

use super::evidence::{CausalEvidence, Manipulated, Matching, Rounds, Sides};
use super::fluency::{Fluency, LEAST_LOSS};
use super::manipulation::{Axis, Manipulation};
use crate::condition::Condition;
use crate::dialogue::{Interventions, SelfCorrection, Study};
use crate::hook::{Address, Site};
use crate::probe::ProbeBank;
use crate::progress::Progress;
use crate::scorer::TextScorer;
use crate::stats::{Resampler, Settings};
use crate::task::{AnsweredRound, ChoiceItem, Item, Measurement, Outcome};
use crate::{Error, Model, Result};

/// Runs a protocol's rounds again while the direction of probes is changed, and while random directions are, and says what
/// becomes of the gain ([`CausalEvidence`]).
///
/// ```no_run
/// use probity::causal::{CausalRounds, Manipulation};
/// # fn main() -> probity::Result<()> {
/// # let (model, protocol): (probity::Model, probity::dialogue::SelfCorrection) = unimplemented!();
/// # let (findings, bank): (probity::experiment::Findings, probity::probe::ProbeBank) = unimplemented!();
/// let causal = CausalRounds::new(protocol).manipulations([Manipulation::Remove, Manipulation::Subtract(1.0)]);
/// for evidence in causal.run(&model, &findings.study, &bank)? {
///     println!("{} {}: {:?}", evidence.condition, evidence.manipulation, evidence.share_gone);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use]
pub struct CausalRounds<I: Item = ChoiceItem> {
    protocol: SelfCorrection<I>,
    manipulations: Vec<Manipulation>,
    addresses: Option<Vec<Address>>,
    random: usize,
    fluency_answers: usize,
    scorer: Option<Arc<dyn TextScorer + Send>>,
    settings: Settings,
}

impl<I: Item> CausalRounds<I> {
    /// The rounds of this protocol. Interventions that it has of its own act first.
    pub fn new(protocol: SelfCorrection<I>) -> Self {
        CausalRounds {
            protocol,
            manipulations: vec![Manipulation::Remove, Manipulation::Subtract(1.0)],
            addresses: None,
            random: 19,
            fluency_answers: 32,
            scorer: None,
            settings: Settings::default(),
        }
    }

    /// Sets what is done along each direction. Default: it is removed; one class distance is taken off.
    pub fn manipulations(mut self, manipulations: impl IntoIterator<Item = Manipulation>) -> Self {
        self.manipulations = manipulations.into_iter().collect();
        self
    }

    /// Sets where it is done, all at once. Default: wherever a `resid_post` probe of the bank tells immoral from moral texts that
    /// it had not learnt from: the lower 95 % bound of its AUROC is above 0.5.
    pub fn at(mut self, addresses: impl IntoIterator<Item = Address>) -> Self {
        self.addresses = Some(addresses.into_iter().collect());
        self
    }

    /// Sets the number of random directions. Default 19, the fewest with which a p-value can be 0.05. Each is as many rounds again
    /// for every manipulation.
    pub fn random(mut self, directions: usize) -> Self {
        self.random = directions;
        self
    }

    /// Sets by how many of the control's answers fluency is measured at most. Default 32. Each of up to 14 strengths of a random
    /// direction reads them once, with their prompts.
    pub fn fluency_answers(mut self, most: usize) -> Self {
        self.fluency_answers = most;
        self
    }

    /// Sets the judge of texts, which must be no probe. Continuations need one, questions with options do not.
    pub fn scorer(mut self, scorer: impl TextScorer + Send + 'static) -> Self {
        self.scorer = Some(Arc::new(scorer));
        self
    }

    /// [`CausalRounds::scorer`] that is shared, if there is one.
    pub(crate) fn shared_scorer(mut self, scorer: Option<Arc<dyn TextScorer + Send>>) -> Self {
        self.scorer = scorer;
        self
    }

    /// Sets draws, flips, level and seed of all statements, default [`Settings::default`]. Random directions follow from the
    /// seed too.
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// Checks what can be checked without a model; [`CausalRounds::run`] does so too.
    ///
    /// # Errors
    /// [`Error::Setting`] with the setting that is invalid, and without an instruction that could be judged.
    pub fn check(&self) -> Result<()> {
        self.protocol.check()?;
        self.settings.validate()?;
        self.manipulations.iter().try_for_each(|manipulation| manipulation.validate())?;
        if self.manipulations.is_empty() {
            return Err(Error::setting("manipulations", "none", "at least one"));
        }
        if self.fluency_answers == 0 {
            return Err(Error::setting("fluency_answers", "0", "at least 1"));
        }
        if self.addresses.as_ref().is_some_and(Vec::is_empty) {
            return Err(Error::setting("addresses", "none", "at least one with a probe"));
        }
        let design = self.protocol.design()?;
        match design.judged().into_iter().any(|condition| design.control(condition).is_some()) {
            true => Ok(()),
            false => Err(Error::setting("instructions", "none with a control", "an instruction and a neutral one")),
        }
    }

    /// Runs everything: `study` is the protocol's run on the model as it is, read at least at the addresses, `probes` the bank
    /// whose directions are changed, at places of the states that are `[b, t, d]`. One entry for each instruction and
    /// manipulation.
    ///
    /// # Errors
    /// As [`CausalRounds::check`] and [`SelfCorrection::run`]; [`Error::Mismatch`] for a study of other items or rounds and for
    /// probes without class distance; [`Error::Setting`] where no address is given and no probe is valid.
    pub fn run(&self, model: &Model, study: &Study<I>, probes: &ProbeBank) -> Result<Vec<CausalEvidence>> {
        self.run_with_progress(model, study, probes, &())
    }

    /// [`CausalRounds::run`] with progress, counted in answers.
    ///
    /// # Errors
    /// As [`CausalRounds::run`].
    pub fn run_with_progress(
        &self,
        model: &Model,
        study: &Study<I>,
        probes: &ProbeBank,
        progress: &dyn Progress,
    ) -> Result<Vec<CausalEvidence>> {
        self.check()?;
        self.check_study(study)?;
        let resampler = Resampler::new(self.settings)?;
        let addresses = self.places(probes)?;
        let plain_states = study.round(&Condition::plain()).map(|round| &round.activations).ok_or_else(unasked)?;
        let axes = Axis::of_probes(probes, &addresses, plain_states)?;
        let random = Axis::random(probes, &addresses, plain_states, (self.random, self.settings.seed))?;
        let judged = study.design.judged();
        let sides: Vec<Sides<'_>> = judged
            .iter()
            .filter_map(|condition| {
                let control = study.design.control(condition)?;
                Some(Sides { condition, control, round0: study.design.plain() })
            })
            .collect();
        let mut controls: Vec<&Condition> = Vec::new();
        for side in &sides {
            if !controls.contains(&side.control) {
                controls.push(side.control);
            }
        }
        let rule = study.protocol.score_rule.as_ref().map(|choice| choice.rule);
        let fluency = Fluency::new(model, study, &controls, self.fluency_answers)?;
        let own = study.interventions.of(controls.first().copied().ok_or_else(unasked)?);
        let under = |more: Vec<_>| own.iter().cloned().chain(more).collect::<Vec<_>>();
        let unchanged = fluency.mean(&own)?;
        let plain = self.outcome(study, &resampler)?;
        let resamples = resampler.of(&plain.groups)?;
        let runs = self.manipulations.len() * (1 + self.random);
        progress.begin("rounds under interventions", (runs * study.rounds.len() * study.items.len()) as u64);
        let mut evidence = Vec::new();
        for &manipulation in &self.manipulations {
            let run = |axes: &[Axis], strength: f64| {
                let more = Interventions::new(manipulation.along(axes, strength));
                let protocol = self.protocol.also_under(more, rule);
                let read = axes.first().map(|axis| axis.address).ok_or_else(unasked)?;
                self.outcome(&protocol.run_with_progress(model, read, &Within(progress))?, &resampler)
            };
            let loss = unchanged - fluency.mean(&under(manipulation.along(&axes, 1.0)))?;
            let probe = Rounds { outcome: run(&axes, 1.0)?, strength: 1.0, matching: None, fluency_loss: loss };
            let along_random = |axes: &Vec<Axis>| {
                let at = |strength| under(manipulation.along(axes, strength));
                let (strength, fluency_loss, matching) = if loss < LEAST_LOSS {
                    (1.0, unchanged - fluency.mean(&at(1.0))?, Matching::Strength)
                } else {
                    let found = fluency.matched(unchanged, loss, at)?;
                    let matching = if found.reached { Matching::Fluency } else { Matching::OutOfReach };
                    (found.strength, found.loss, matching)
                };
                Ok(Rounds { outcome: run(axes, strength)?, strength, matching: Some(matching), fluency_loss })
            };
            let random = random.iter().map(along_random).collect::<Result<Vec<_>>>()?;
            let manipulated = Manipulated {
                manipulation,
                addresses: &addresses,
                plain: &plain,
                fluency: unchanged,
                fluency_answers: fluency.answers(),
                probe: &probe,
                random: &random,
                resamples: &resamples,
            };
            for sides in &sides {
                evidence.push(manipulated.evidence(sides)?);
            }
        }
        // Instruction by instruction.
        evidence.sort_by_key(|entry| judged.iter().position(|condition| **condition == entry.condition));
        Ok(evidence)
    }

    /// The study must be the protocol's own, or nothing could be compared.
    fn check_study(&self, study: &Study<I>) -> Result<()> {
        let ids = |items: &[I]| items.iter().map(|item| item.id().to_owned()).collect::<Vec<_>>();
        let problem = if study.design != self.protocol.design()? {
            "its rounds are others than the protocol's"
        } else if ids(&study.items) != ids(self.protocol.items()) {
            "its items are others than the protocol's"
        } else if study.interventions != *self.protocol.interventions() {
            "it was run under other interventions than the protocol's"
        } else {
            return Ok(());
        };
        Err(Error::mismatch("study", problem))
    }

    fn places(&self, probes: &ProbeBank) -> Result<Vec<Address>> {
        if let Some(addresses) = &self.addresses {
            return Ok(addresses.clone());
        }
        let valid = |probe: &&crate::probe::Probe| {
            probe.address().site() == Site::ResidPost
                && probe.cross_fit.as_deref().is_some_and(|fits| fits.auroc.low > 0.5)
        };
        let found: Vec<Address> = probes.iter().filter(valid).map(|probe| probe.address()).collect();
        match found.is_empty() {
            false => Ok(found),
            true => Err(Error::setting("addresses", "none", "a valid resid_post probe; or give CausalRounds::at")),
        }
    }

    fn outcome(&self, study: &Study<I>, resampler: &Resampler) -> Result<Outcome> {
        let measurement = Measurement::lent(&study.design, resampler);
        let measurement = match self.scorer.as_deref() {
            Some(scorer) => measurement.scorer(scorer),
            None => measurement,
        };
        let answered: Vec<AnsweredRound<'_, I::Answer>> = study.rounds.iter().map(|round| round.answered()).collect();
        Ok(measurement.measure(&study.items, &answered)?.outcome)
    }
}

impl<I: Item> fmt::Debug for CausalRounds<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CausalRounds")
            .field("protocol", &self.protocol)
            .field("manipulations", &self.manipulations)
            .field("addresses", &self.addresses)
            .field("random", &self.random)
            .finish_non_exhaustive()
    }
}

fn unasked() -> Error {
    Error::setting("study", "without round 0 or a control", "a whole run of the protocol")
}

/// Progress of a part of a stage that has begun.
struct Within<'a>(&'a dyn Progress);

impl Progress for Within<'_> {
    fn begin(&self, _: &str, _: u64) {}

    fn advance(&self, steps: u64) {
        self.0.advance(steps);
    }
}
