//! The experiment: settings, and the one call that runs it.

use std::fmt;
use std::sync::Arc;

use super::analysis::{measure, Analysis};
use super::findings::Findings;
use super::levels::levels_of;
use super::plan::{refused, Plan};
use super::sensitivity::{JudgedStates, Sensitivity};
use crate::capture::{Activations, Pool, Readout};
use crate::causal::{Attribution, CausalEvidence, CausalRounds, RoundContribution};
use crate::dialogue::{ContrastTexts, Part, ReadStates, Reading, SelfCorrection, Study};
use crate::hook::{Address, Selection, Site};
use crate::level::window::Window;
use crate::level::{declared_windows, LayerWindow, Levels, PermutedProbes, ReadingLevels};
use crate::probe::{Estimator, FitProtocol, GroupFolds, LogisticProbe, ProbeBank, StatementDirection};
use crate::progress::Progress;
use crate::scorer::TextScorer;
use crate::stats::{Resampler, Settings};
use crate::task::{ChoiceItem, Item, Measurement};
use crate::text::{LabelledText, Labels, Text};
use crate::{Error, Model, Result};

/// A study of self-correction with everything that its verdict needs.
///
/// ```no_run
/// use probity::prelude::*;
/// # fn main() -> probity::Result<()> {
/// let model = Model::load("SmolLM2-135M-Instruct.Q4_1.gguf")?;
/// let protocol = SelfCorrection::new(ChoiceTask::bundled()?)
///     .instructions([Instruction::named("L1")?, Instruction::named("neutral")?])
///     .rounds(3);
/// let findings = Experiment::new(protocol).seed(7).run(&model)?;
/// println!("{}", findings.report.verdicts[0].kind);
/// findings.write_dir("out")?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use]
pub struct Experiment<I: Item = ChoiceItem> {
    pub(super) protocol: SelfCorrection<I>,
    pub(super) statements: Option<Vec<LabelledText>>,
    pub(super) selection: Selection,
    pub(super) readings: Vec<Reading>,
    probe: Option<Arc<dyn Estimator + Send>>,
    pub(super) direction: Option<Vec<LabelledText>>,
    pub(super) windows: Vec<LayerWindow>,
    crossed: bool,
    pub(super) verdict_site: Site,
    permutations: usize,
    attributed: Option<usize>,
    causal: usize,
    scorer: Option<Arc<dyn TextScorer + Send>>,
    pub(super) settings: Settings,
    pub(super) verdict_window: Option<Window>,
    plan: Option<Plan>,
    sensitivity: Option<Sensitivity>,
}

impl<I: Item> Experiment<I> {
    /// An experiment on this protocol, with its questions, instructions and rounds. Default: probes by logistic regression on
    /// the bundled statements, at the residual stream and at what every layer adds to it (the selection `residual`), read at
    /// the prompt's last token and over the answers.
    pub fn new(protocol: SelfCorrection<I>) -> Self {
        let residual = [Site::ResidPost, Site::AttnOut, Site::MlpOut];
        Experiment {
            protocol,
            statements: None,
            selection: residual.into_iter().map(Site::all_layers).collect(),
            readings: vec![Reading::of(Part::Answer)],
            probe: None,
            direction: None,
            windows: Vec::new(),
            crossed: true,
            verdict_site: Site::ResidPost,
            permutations: 0,
            attributed: None,
            causal: 0,
            scorer: None,
            settings: Settings::default(),
            verdict_window: None,
            plan: None,
            sensitivity: None,
        }
    }

    /// Sets the statements that the probes learn from, default [`LabelledText::bundled`].
    pub fn statements(mut self, statements: Vec<LabelledText>) -> Self {
        self.statements = Some(statements);
        self
    }

    /// Sets the places that are read. Without the site that is judged there is no verdict.
    pub fn sites(mut self, selection: impl Into<Selection>) -> Self {
        self.selection = selection.into();
        self
    }

    /// Sets the site that verdicts judge, one of those that are read, default `resid_post`. Name it before any result is seen:
    /// each site that is tried is one more chance of a false conclusion. An output of attention or of a feed-forward part is what
    /// one part adds; what the other takes back is seen in the residual stream only.
    pub fn verdict_site(mut self, site: Site) -> Self {
        self.verdict_site = site;
        self
    }

    /// Sets what is read besides the prompt's last token, default the answers. Without these nothing is called internal.
    /// All that are masked take one more pass over every conversation.
    pub fn readings(mut self, readings: impl IntoIterator<Item = Reading>) -> Self {
        self.readings = readings.into_iter().collect();
        self
    }

    /// Sets whether the answers of judged rounds and of their controls are also read with the conversations exchanged, and texts
    /// of known label in the place of the control's answer: two passes more over the judged conversations and two over their
    /// controls. Default: yes, where the answers are read. Without these no verdict goes beyond "insufficient evidence".
    pub fn crossed(mut self, crossed: bool) -> Self {
        self.crossed = crossed;
        self
    }

    /// Sets the kind of probe with its settings; it keeps its own seed. Default: [`LogisticProbe`] with the seed of
    /// [`Settings`].
    pub fn probe(mut self, probe: impl Estimator + Send + 'static) -> Self {
        self.probe = Some(Arc::new(probe));
        self
    }

    /// Measures levels along the mean state of these statements instead of along fitted probes, the bias direction of arXiv
    /// 2407.15286 ([`StatementDirection`]; [`LabelledText::bundled_groups`] are some). What it is shown to tell apart are the labelled
    /// statements ([`Experiment::statements`]), no one of which had a part in it. Default: fitted probes.
    pub fn statement_direction(mut self, statements: Vec<LabelledText>) -> Self {
        self.direction = Some(statements);
        self
    }

    /// Adds to the report the mean change over these windows of layers, at every site, for every studied condition. Name them
    /// before any level is seen. Default: none.
    pub fn windows(mut self, windows: impl IntoIterator<Item = LayerWindow>) -> Self {
        self.windows = windows.into_iter().collect();
        self
    }

    /// Places changes also among those along probes that were fitted on so many permutations of the labels, each a fit at every
    /// address. Default: 0, none.
    pub fn permuted_labels(mut self, permutations: usize) -> Self {
        self.permutations = permutations;
        self
    }

    /// Splits the changes of the projection at this layer's residual stream into what attention and feed-forward parts add, which
    /// runs every prompt once more. Default: no.
    pub fn attribute(mut self, layer: usize) -> Self {
        self.attributed = Some(layer);
        self
    }

    /// Also runs the rounds while the direction of the valid probes is removed, and while a class distance is taken off along it,
    /// and the same along so many random directions of equal effect on fluency ([`CausalRounds`]): two times 1 + `random` runs
    /// more. Default: 0, none.
    pub fn causal(mut self, random: usize) -> Self {
        self.causal = random;
        self
    }

    /// Sets the judge of texts, which must be no probe. Continuations need one, questions with options do not.
    pub fn scorer(mut self, scorer: impl TextScorer + Send + 'static) -> Self {
        self.scorer = Some(Arc::new(scorer));
        self
    }

    /// Sets draws, level, margin, power and seed of all statements about behaviour and levels, default [`Settings::default`].
    /// (The intervals of the probes' AUROCs are the probe's own: [`FitProtocol`](crate::probe::FitProtocol).)
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// Sets the seed of everything that the experiment draws: split of the probes, resamples, flips, nulls. (How answers are
    /// sampled is the protocol's: [`Decoding::seed`](crate::generate::Decoding::seed).)
    pub fn seed(mut self, seed: u64) -> Self {
        self.settings = self.settings.seed(seed);
        self
    }

    /// Declares the layers that verdicts rest on, a window of the judged site: of these the ones whose probes are valid. Default:
    /// all that were read. Declare them before looking ([`Plan`]).
    pub fn verdict_window(mut self, window: Window) -> Self {
        self.verdict_window = Some(window);
        self
    }

    /// Also judges the run by other choices of probe, penalty, seed, layers, margin and score rule, which shows what the verdict
    /// owes to them; the states of the labelled texts are kept for it. Default: no.
    pub fn sensitivity(mut self, grid: Sensitivity) -> Self {
        self.sensitivity = Some(grid);
        self
    }

    /// Runs by a plan that was made before: whatever differs from it is refused.
    pub fn by_plan(mut self, plan: Plan) -> Self {
        self.plan = Some(plan);
        self
    }

    /// Checks what can be checked without a model; [`Experiment::run`] does so too.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) with the setting that is invalid; [`Error::Mismatch`] with everything that is
    /// not as planned ([`Experiment::by_plan`]).
    pub fn check(&self) -> Result<()> {
        self.check_settings()?;
        let Some(plan) = &self.plan else { return Ok(()) };
        match plan.differences(&Plan::of(self)?).as_slice() {
            [] => Ok(()),
            differences => Err(refused(differences)),
        }
    }

    /// [`Experiment::check`] without the plan.
    pub(super) fn check_settings(&self) -> Result<()> {
        self.protocol.check()?;
        self.check_readings()?;
        self.check_direction()?;
        if let Some(window) = self.verdict_window.filter(|window| window.site != self.verdict_site) {
            let expected = format!("layers of {}, on which verdicts rest", self.verdict_site);
            return Err(Error::setting("verdict_window", window, expected));
        }
        self.sensitivity.as_ref().map_or(Ok(()), Sensitivity::validate)?;
        let resampler = Resampler::new(self.settings)?;
        // What would fail after the last answer fails now.
        let design = self.protocol.design()?;
        let measurement = Measurement::lent(&design, &resampler);
        match self.judge() {
            Some(scorer) => measurement.scorer(scorer).measure(self.protocol.items(), &[]),
            None => measurement.measure(self.protocol.items(), &[]),
        }?;
        if self.causal > 0 {
            self.causal_rounds().check()?;
        }
        self.estimator().validate()
    }

    fn check_direction(&self) -> Result<()> {
        let Some(statements) = &self.direction else { return Ok(()) };
        if statements.is_empty() {
            return Err(Error::setting("statement_direction", "no statements", "5 to 10 that name groups"));
        }
        if self.probe.is_some() || self.permutations > 0 {
            let expected = "neither a probe nor permuted labels beside it: nothing is fitted";
            return Err(Error::setting("statement_direction", "given", expected));
        }
        Ok(())
    }

    /// Refuses, before anything is run, what the selection of this model does not read.
    fn check_places(&self, model: &Model) -> Result<()> {
        let addresses = Readout::new(self.selection.clone(), Pool::Last).addresses(model)?;
        let judged = |address: &Address| address.site() == self.verdict_site && address.head_index().is_none();
        if self.verdict_site != Site::ResidPost && !addresses.iter().any(judged) {
            return Err(Error::setting(
                "verdict_site",
                self.verdict_site,
                "one of the sites that are read, not by heads",
            ));
        }
        for window in &self.windows {
            let (first, last) = window.layers(model.geometry().layers)?;
            let inside = |layer: usize| (first..=last).contains(&layer);
            if !addresses.iter().any(|address| address.head_index().is_none() && address.layer().is_some_and(inside)) {
                return Err(Error::setting("window", window, "layers of which some are read"));
            }
        }
        Ok(())
    }

    fn check_readings(&self) -> Result<()> {
        if self.attributed.is_some() && !self.protocol.interventions().is_empty() {
            let expected = "rounds of the model as it is, whose parts add up to its states";
            return Err(Error::setting("attribute", "rounds under interventions", expected));
        }
        for (place, reading) in self.readings.iter().enumerate() {
            if *reading == Reading::PROMPT || self.readings[..place].contains(reading) {
                let expected = "each once, besides the prompt's last token, which is always read";
                return Err(Error::setting("readings", reading, expected));
            }
        }
        Ok(())
    }

    /// Runs everything.
    ///
    /// # Errors
    /// As [`Experiment::check`], [`SelfCorrection::run`], [`ProbeBank::fit`] and [`Analysis::run`].
    pub fn run(&self, model: &Model) -> Result<Findings<I>> {
        self.run_with_progress(model, &())
    }

    /// [`Experiment::run`] with progress.
    ///
    /// # Errors
    /// As [`Experiment::run`].
    pub fn run_with_progress(&self, model: &Model, progress: &dyn Progress) -> Result<Findings<I>> {
        self.check()?;
        self.check_places(model)?;
        let plan = self.plan.as_ref().map(|plan| plan.check_model(model).map(|()| plan));
        let plan = plan.transpose()?.map(|plan| plan.record(self.protocol.answered_since()));
        let resampler = Resampler::new(self.settings)?;
        let statements = self.statements.clone().map_or_else(LabelledText::bundled, Ok)?;
        let (statements, contrast) = match self.crosses() {
            true => set_aside(statements, self.settings.seed)?,
            false => (statements, ContrastTexts::default()),
        };
        let turns = LabelledText::as_user_turns(statements.clone(), model.template()?)?;
        let Fitted { probes, permuted, texts } = self.fit(model, turns, Pool::Last, progress)?;
        let direction = self.attributed.map(|layer| probes.get(Site::ResidPost.at(layer))).transpose()?;
        let protocol = match self.readings.contains(&Reading::of(Part::Answer)) {
            true => self.protocol.clone().read_answers(true),
            false => self.protocol.clone(),
        };
        let study = protocol.run_with_progress(model, self.selection.clone(), progress)?;
        let of_parts = self.readings.iter().any(|reading| reading.part().is_some());
        let answers = of_parts.then(|| LabelledText::as_answers(statements, model.template()?)).transpose()?;
        let of_answers = answers.map(|texts| self.fit(model, texts, Pool::Mean, progress)).transpose()?;
        let (answer_probes, answer_texts) =
            of_answers.map_or((None, None), |fitted| (Some(fitted.probes), fitted.texts));
        let read = self.read(model, &study, &contrast, progress)?;
        let levels =
            levels_of(&study, &read, &self.readings, self.verdict_site, [Some(&probes), answer_probes.as_ref()])?;
        let levels = ReadingLevels::new(match self.verdict_window {
            Some(window) => levels.into_iter().map(|levels| levels.within(window)).collect::<Result<_>>()?,
            None => levels,
        })?;
        let contributions = match direction {
            Some(probe) => Attribution::new(&probe.direction).by_round_with(model, &study, &resampler, progress)?,
            None => Vec::<RoundContribution>::new(),
        };
        let bank = answer_probes.as_ref().unwrap_or(&probes);
        let causal = self.causal_evidence(model, &study, bank, &levels, progress)?;
        let behaviour = measure(&study, self.judge(), &resampler)?;
        let analysis = Analysis::new(self.settings);
        let analysis = match permuted {
            Some(permuted) => analysis.permuted_probes(permuted),
            None => analysis,
        };
        let report = analysis.run_with(&study, behaviour, &probes, &levels, &resampler)?;
        let rows = answer_probes.as_ref().map_or(Vec::new(), ProbeBank::rows);
        let layers = model.geometry().layers;
        let windows = levels.readings().iter().filter(|levels| !levels.reading().is_crossed());
        let windows = windows.map(|levels| declared_windows(levels, &self.windows, layers, self.settings));
        let report = report.with_windows(windows.collect::<Result<Vec<_>>>()?.concat());
        let sensitivity = match (&self.sensitivity, texts) {
            (Some(grid), Some(prompts)) => {
                let (asked, window, site) = (self.readings.clone(), self.verdict_window, self.verdict_site);
                let states = JudgedStates { prompts, answers: answer_texts, read, asked, window, site };
                Some(grid.run(&study, &states, &report.behaviour.outcome, &resampler, progress)?)
            }
            _ => None,
        };
        let report = report.with_contributions(contributions).with_answer_probes(rows).with_causal(causal);
        let report = report.with_plan(plan).with_sensitivity(sensitivity);
        Ok(Findings { report, study, probes, answer_probes, levels })
    }

    fn causal_rounds(&self) -> CausalRounds<I> {
        CausalRounds::new(self.protocol.clone())
            .random(self.causal)
            .shared_scorer(self.scorer.clone())
            .settings(self.settings)
    }

    /// The rounds under interventions along the probes on which verdicts rest, where some are valid.
    fn causal_evidence(
        &self,
        model: &Model,
        study: &Study<I>,
        bank: &ProbeBank,
        levels: &ReadingLevels,
        progress: &dyn Progress,
    ) -> Result<Vec<CausalEvidence>> {
        let judged = levels.get(Reading::of(Part::Answer)).or(levels.readings().first());
        let valid = judged.map(Levels::valid).unwrap_or_default();
        if self.causal == 0 || valid.is_empty() {
            return Ok(Vec::new());
        }
        self.causal_rounds().at(valid.iter().copied()).run_with_progress(model, study, bank, progress)
    }

    /// Whether answers are read with the conversations exchanged.
    pub(super) fn crosses(&self) -> bool {
        self.crossed && self.readings.contains(&Reading::of(Part::Answer))
    }

    pub(super) fn judge(&self) -> Option<&dyn TextScorer> {
        self.scorer.as_deref().map(|scorer| scorer as &dyn TextScorer)
    }

    pub(super) fn estimator(&self) -> Arc<dyn Estimator + Send> {
        self.probe.clone().unwrap_or_else(|| Arc::new(LogisticProbe::default().seed(self.settings.seed)))
    }

    /// A bank that learns where it will read, and, for the prompts, the null of permuted labels if it is asked for.
    fn fit(
        &self,
        model: &Model,
        (texts, labels): (Vec<Text>, Labels),
        pool: Pool,
        progress: &dyn Progress,
    ) -> Result<Fitted> {
        let states = Readout::new(self.selection.clone(), pool).capture_with_progress(model, &texts, progress)?;
        let estimator = self.estimator();
        let permute = || PermutedProbes::fit(&estimator, &states, &labels, self.permutations, self.settings.seed);
        let permuted = (self.permutations > 0 && pool == Pool::Last).then(permute).transpose()?;
        let probes = match &self.direction {
            None => ProbeBank::fit(&estimator, &states, &labels)?,
            Some(statements) => {
                let texts = match pool {
                    Pool::Last => LabelledText::as_user_turns(statements.clone(), model.template()?)?,
                    _ => LabelledText::as_answers(statements.clone(), model.template()?)?,
                };
                let readout = Readout::new(self.selection.clone(), pool);
                let named = readout.capture_with_progress(model, &texts.0, progress)?;
                let protocol = FitProtocol { seed: self.settings.seed, ..FitProtocol::default() };
                StatementDirection::bank(&named, &states, &labels, &protocol)?
            }
        };
        // Of the states only what verdicts rest on is kept.
        let judged: Vec<Address> =
            states.addresses().filter(|at| at.site() == self.verdict_site && at.head_index().is_none()).collect();
        let keep = self.sensitivity.is_some() && !judged.is_empty();
        let kept = keep.then(|| states.at_addresses(&judged)).transpose()?;
        let texts = kept.map(|states| (states, labels));
        Ok(Fitted { probes, permuted, texts })
    }

    /// What is read besides the prompts' last tokens.
    fn read(
        &self,
        model: &Model,
        study: &Study<I>,
        contrast: &ContrastTexts,
        progress: &dyn Progress,
    ) -> Result<Vec<ReadStates>> {
        let crossed = match self.crosses() {
            true => study.read_crossed(model, self.selection.clone(), contrast, progress)?,
            false => Vec::new(),
        };
        let mut read = match self.readings.as_slice() {
            [] => Vec::new(),
            readings => study.read_with_progress(model, self.selection.clone(), readings, progress)?,
        };
        read.extend(crossed);
        Ok(read)
    }
}

/// A bank, and what of its making is needed later.
struct Fitted {
    probes: ProbeBank,
    permuted: Option<PermutedProbes>,
    /// States and labels of the texts that it learnt from, at what verdicts rest on; kept for a sensitivity figure only.
    texts: Option<(Activations, Labels)>,
}

/// Statements in a positive control, and as many as the probes then lack: every twelfth, by group.
const SET_ASIDE: usize = 12;

/// Parts the statements into those that probes learn from and those that they never meet, which are put into the items' own
/// conversations as answers of known label. With too few groups of statements to part, all are for the probes.
fn set_aside(statements: Vec<LabelledText>, seed: u64) -> Result<(Vec<LabelledText>, ContrastTexts)> {
    let labels: Labels = statements.iter().map(|text| (text.immoral, text.group.clone())).collect();
    let folds = GroupFolds::default().folds(SET_ASIDE).seed(seed);
    let Ok(fold_of) = folds.assign(&labels) else { return Ok((statements, ContrastTexts::default())) };
    let (mut kept, mut contrast) = (Vec::new(), ContrastTexts::default());
    for (statement, fold) in statements.into_iter().zip(fold_of) {
        match (fold, statement.immoral) {
            (0, true) => contrast.immoral.push(statement.text),
            (0, false) => contrast.moral.push(statement.text),
            _ => kept.push(statement),
        }
    }
    Ok((kept, contrast))
}

impl<I: Item> fmt::Debug for Experiment<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Experiment")
            .field("protocol", &self.protocol)
            .field("readings", &self.readings)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
