//! The same run by other choices of analysis: is the verdict one of them, or of all?

use std::sync::Arc;

use super::levels::levels_of;
use crate::capture::Activations;
use crate::dialogue::{ReadStates, Reading, Study};
use crate::hook::{Address, Site};
use crate::level::window::Window;
use crate::level::{specify, Levels, ReadingLevels, SensitivityTable, Specification};
use crate::probe::{Estimator, LogisticProbe, MassMeanProbe, MeanDifferenceProbe, ProbeBank, RidgeProbe};
use crate::progress::Progress;
use crate::stats::{Resampler, Settings};
use crate::task::{AnsweredRound, Item, Outcome, ScoreRule};
use crate::text::Labels;
use crate::{Condition, Error, Result};

/// A kind of probe with its penalty, in widths of the states (1 is the default of the kinds that have one).
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum ProbeChoice {
    /// [`LogisticProbe`].
    Logistic(f64),
    /// [`RidgeProbe`].
    Ridge(f64),
    /// [`MeanDifferenceProbe`], which has no penalty.
    MeanDifference,
    /// [`MassMeanProbe`], whose shrinkage follows from the texts.
    MassMean,
}

impl ProbeChoice {
    fn penalty(self) -> Option<f64> {
        match self {
            ProbeChoice::Logistic(penalty) | ProbeChoice::Ridge(penalty) => Some(penalty),
            ProbeChoice::MeanDifference | ProbeChoice::MassMean => None,
        }
    }

    fn estimator(self, width: usize, seed: u64) -> Arc<dyn Estimator + Send> {
        let width = width.max(1) as f64;
        match self {
            ProbeChoice::Logistic(penalty) => Arc::new(LogisticProbe::default().alpha(penalty * width).seed(seed)),
            ProbeChoice::Ridge(penalty) => Arc::new(RidgeProbe::default().alpha(penalty * width).seed(seed)),
            ProbeChoice::MeanDifference => Arc::new(MeanDifferenceProbe::default().seed(seed)),
            ProbeChoice::MassMean => Arc::new(MassMeanProbe::default().seed(seed)),
        }
    }
}

/// Which layers a verdict rests on, of those whose probes are valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LayerChoice {
    /// All.
    All,
    /// Each quarter of the layers that were read in turn, halves with fewer than 8.
    Quarters,
    /// These.
    Window(Window),
}

/// The choices that an analysis could have made otherwise; all their combinations are run, but that further seeds look at
/// one choice of layers alone: the one that is declared, else the first.
///
/// A verdict that holds for one probe, seed, margin or layer window among many is a finding about that choice. The model is
/// not run again: probes are fitted anew on the states of the labelled texts, and the states of the study are judged anew.
/// Readings are those of the experiment: the conversation around one answer, the answer, the prompt. (Steegen and others
/// 2016 call this a multiverse, Simonsohn and others 2020 its plot a specification curve.) The combinations share items
/// and texts: how many agree is no p-value.
///
/// ```no_run
/// use probity::{experiment::{ProbeChoice, Sensitivity}, prelude::*};
/// # fn run(experiment: Experiment, model: &Model) -> probity::Result<()> {
/// let grid = Sensitivity::default().probes([ProbeChoice::Logistic(1.0), ProbeChoice::MeanDifference]).margins([0.1, 0.2]);
/// let report = experiment.sensitivity(grid).run(model)?.report;
/// let table = report.sensitivity.as_ref().unwrap();
/// println!("{:?}", table.counts(&Condition::new("L1", 3)));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct Sensitivity {
    probes: Vec<ProbeChoice>,
    seeds: usize,
    layers: Vec<LayerChoice>,
    margins: Vec<f64>,
    score_rules: Vec<ScoreRule>,
}

impl Default for Sensitivity {
    fn default() -> Self {
        use ProbeChoice::{Logistic, MassMean, MeanDifference, Ridge};
        Sensitivity {
            probes: vec![Logistic(0.1), Logistic(1.0), Logistic(10.0), Ridge(1.0), MeanDifference, MassMean],
            seeds: 3,
            layers: vec![LayerChoice::All, LayerChoice::Quarters],
            margins: vec![0.1, 0.2, 0.3],
            score_rules: ScoreRule::ALL.to_vec(),
        }
    }
}

impl Sensitivity {
    /// Sets the probes. Default: logistic with a tenth of, once and ten times the default penalty, ridge, mean difference,
    /// mass mean.
    pub fn probes(mut self, probes: impl IntoIterator<Item = ProbeChoice>) -> Self {
        self.probes = probes.into_iter().collect();
        self
    }

    /// Sets how many seeds of split and folds, from the experiment's own on. Default 3.
    pub fn seeds(mut self, seeds: usize) -> Self {
        self.seeds = seeds;
        self
    }

    /// Sets the choices of layers. Default: all, and each quarter. Windows that are declared ([`Experiment::verdict_window`]) are
    /// added.
    ///
    /// [`Experiment::verdict_window`]: super::Experiment::verdict_window
    pub fn layers(mut self, layers: impl IntoIterator<Item = LayerChoice>) -> Self {
        self.layers = layers.into_iter().collect();
        self
    }

    /// Sets the margins, in class distances. Default: 0.1, 0.2 and 0.3. The experiment's own is added.
    pub fn margins(mut self, margins: impl IntoIterator<Item = f64>) -> Self {
        self.margins = margins.into_iter().collect();
        self
    }

    /// Sets the rules by which options are scored, default all; those without scores are left out. Texts have one outcome.
    pub fn score_rules(mut self, rules: impl IntoIterator<Item = ScoreRule>) -> Self {
        self.score_rules = rules.into_iter().collect();
        self
    }

    pub(super) fn validate(&self) -> Result<()> {
        let bad = |name, value: String, expected: &str| Err(Error::setting(name, value, expected));
        for (name, count) in [
            ("sensitivity.probes", self.probes.len()),
            ("sensitivity.seeds", self.seeds),
            ("sensitivity.layers", self.layers.len()),
            ("sensitivity.score_rules", self.score_rules.len()),
        ] {
            if count == 0 {
                return bad(name, "none".to_owned(), "at least one");
            }
        }
        let wrong = |value: &f64| !(*value > 0.0 && value.is_finite());
        if let Some(margin) = self.margins.iter().copied().find(|margin| wrong(margin)) {
            return bad("sensitivity.margins", margin.to_string(), "above 0, in class distances");
        }
        if let Some(penalty) = self.probes.iter().filter_map(|probe| probe.penalty()).find(|penalty| wrong(penalty)) {
            return bad("sensitivity.probes", penalty.to_string(), "a penalty above 0, in widths of the states");
        }
        Ok(())
    }

    /// Windows by name, of the layers that were read.
    fn windows(&self, read: &[usize], site: Site, declared: Option<Window>) -> Vec<(String, Option<Window>)> {
        let window = |first: usize, last: usize| Window { site, first, last };
        let parts = if read.len() >= 8 { 4 } else { 2 };
        let mut found: Vec<(String, Option<Window>)> = Vec::new();
        for choice in declared.map(LayerChoice::Window).into_iter().chain(self.layers.iter().copied()) {
            let windows: Vec<Option<Window>> = match choice {
                LayerChoice::All => vec![None],
                LayerChoice::Window(window) => vec![Some(window)],
                LayerChoice::Quarters if read.len() < 2 => Vec::new(),
                LayerChoice::Quarters => (0..parts)
                    .filter_map(|part| {
                        let layers = read.get(part * read.len() / parts..(part + 1) * read.len() / parts)?;
                        layers.first().zip(layers.last()).map(|(&first, &last)| window(first, last))
                    })
                    .map(Some)
                    .collect(),
            };
            for window in windows {
                let name = window.map_or("all".to_owned(), |window| window.to_string());
                if !found.iter().any(|(known, _)| *known == name) {
                    found.push((name, window));
                }
            }
        }
        found
    }

    /// Runs every combination.
    pub(super) fn run<I: Item>(
        &self,
        study: &Study<I>,
        states: &JudgedStates,
        behaviour: &Outcome,
        resampler: &Resampler,
        progress: &dyn Progress,
    ) -> Result<SensitivityTable> {
        let Settings { seed, margin, .. } = *resampler.settings();
        let (score_rules, outcomes) = self.outcomes(study, behaviour);
        let mut margins = self.margins.clone();
        margins.push(margin);
        margins.sort_by(f64::total_cmp);
        margins.dedup();
        let judged: Vec<Condition> = study.design.judged().into_iter().cloned().collect();
        let read: Vec<usize> = states.prompts.0.addresses().filter_map(Address::layer).collect();
        let windows = self.windows(&read, states.site, states.window);
        progress.begin("other analyses", (self.probes.len() * (windows.len() + self.seeds - 1)) as u64);
        let mut rows = Vec::new();
        for &probe in &self.probes {
            for step in 0..self.seeds {
                let (seed, looks) = (seed.wrapping_add(step as u64), if step == 0 { windows.len() } else { 1 });
                let estimator = probe.estimator(states.width(), seed);
                let bank = |(texts, labels): &(Activations, Labels)| ProbeBank::fit(&estimator, texts, labels);
                let (prompts, answers) = (bank(&states.prompts)?, states.answers.as_ref().map(bank).transpose()?);
                let levels =
                    levels_of(study, &states.read, &states.asked, states.site, [Some(&prompts), answers.as_ref()])?;
                for (layers, window) in windows.iter().take(looks) {
                    let levels = within(&levels, *window)?;
                    for condition in &judged {
                        let found = specify(condition, &levels, &outcomes, &margins, resampler)?;
                        rows.extend(found.into_iter().map(|found| Specification {
                            condition: condition.clone(),
                            probe: estimator.name().to_owned(),
                            penalty: probe.penalty(),
                            seed,
                            layers: layers.clone(),
                            reading: found.reading,
                            valid: found.valid,
                            change: found.change,
                            verdicts: found.verdicts,
                        }));
                    }
                    progress.advance(1);
                }
            }
        }
        Ok(SensitivityTable::new(margins, score_rules, rows))
    }

    /// The outcomes by each score rule that the answers have.
    fn outcomes<I: Item>(&self, study: &Study<I>, behaviour: &Outcome) -> (Vec<String>, Vec<Outcome>) {
        let rounds: Vec<AnsweredRound<'_, I::Answer>> = study.rounds.iter().map(|round| round.answered()).collect();
        let by = |&rule: &ScoreRule| Some((rule.to_string(), I::outcome_by(&study.items, &rounds, rule)?));
        let found: Vec<(String, Outcome)> = self.score_rules.iter().filter_map(by).collect();
        match found.is_empty() {
            true => (vec![behaviour.name.clone()], vec![behaviour.clone()]),
            false => found.into_iter().unzip(),
        }
    }
}

/// Levels by a window, or as they are.
fn within(levels: &[Levels], window: Option<Window>) -> Result<ReadingLevels> {
    let levels = levels.iter().cloned();
    ReadingLevels::new(match window {
        None => levels.collect(),
        Some(window) => levels.map(|levels| levels.within(window)).collect::<Result<_>>()?,
    })
}

/// What the judgement of a run needs instead of the model.
pub(super) struct JudgedStates {
    /// States and labels of the texts that the probes of the prompts learnt from.
    pub prompts: (Activations, Labels),
    /// Those of the probes of the answers.
    pub answers: Option<(Activations, Labels)>,
    /// What was read besides the prompts.
    pub read: Vec<ReadStates>,
    /// The readings that were asked for, in order.
    pub asked: Vec<Reading>,
    /// The layers that were declared.
    pub window: Option<Window>,
    /// The site that is judged.
    pub site: Site,
}

impl JudgedStates {
    fn width(&self) -> usize {
        let (texts, _) = &self.prompts;
        texts.addresses().find_map(|address| texts.at(address).ok()).map_or(1, |states| states.ncols())
    }
}
