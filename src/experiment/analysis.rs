//! From a study and its levels to a report: every number that is shown, with its interval.

use crate::condition::{Condition, Role};
use crate::dialogue::Study;
use crate::level::{
    judge_all, Evidence, Inference, InstructionRanking, InstructionSelection, Levels, Metric, PairwiseEffectiveness,
    PermutedProbes, Precision, ReadingLevels, Transitions,
};
use crate::probe::ProbeBank;
use crate::report::{AnalysisRecord, ModelSummary, Report};
use crate::scorer::TextScorer;
use crate::stats::{Resampler, Settings};
use crate::task::{AnsweredRound, Behaviour, Item, Measurement};
use crate::{Error, Result};

/// How a finished study is analysed; [`Experiment`](super::Experiment) runs and analyses in one.
///
/// ```no_run
/// # fn main() -> probity::Result<()> {
/// # let (study, probes): (probity::dialogue::Study, probity::probe::ProbeBank) = unimplemented!();
/// use probity::{experiment::Analysis, level::{Levels, ReadingLevels}, stats::Settings};
/// let levels = ReadingLevels::new(vec![Levels::from_study(&study, &probes)?])?;
/// let analysis = Analysis::new(Settings::default().seed(7));
/// let behaviour = analysis.measure(&study, None)?;
/// analysis.run(&study, behaviour, &probes, &levels)?.write_dir("out")?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct Analysis {
    settings: Settings,
    permuted: Option<PermutedProbes>,
}

impl Analysis {
    /// Analyses by these settings.
    pub fn new(settings: Settings) -> Self {
        Analysis { settings, permuted: None }
    }

    /// Adds the null of probes that were fitted on permuted labels, to the changes of the first of the levels: the probes must
    /// have learnt from states that were read like these.
    pub fn permuted_probes(mut self, probes: PermutedProbes) -> Self {
        self.permuted = Some(probes);
        self
    }

    /// Measures the behaviour of a study as its items are measured ([`Item::measure`]). `scorer` judges texts and must be no
    /// probe of the study; questions with options need none.
    ///
    /// # Errors
    /// As [`Measurement::measure`].
    pub fn measure<I: Item>(&self, study: &Study<I>, scorer: Option<&dyn TextScorer>) -> Result<Behaviour> {
        measure(study, scorer, &Resampler::new(self.settings)?)
    }

    /// Analyses a study of any kind of item, whose behaviour was measured. Without behaviour ([`Behaviour::default`]) no
    /// verdict but "insufficient evidence" is possible, nor without levels over the answers
    /// ([`VerdictRule`](crate::level::VerdictRule)).
    ///
    /// # Errors
    /// [`Error::Setting`] for settings out of range; [`Error::Mismatch`] if levels, probes and behaviour do not
    /// belong together.
    pub fn run<I: Item>(
        &self,
        study: &Study<I>,
        behaviour: Behaviour,
        probes: &ProbeBank,
        levels: &ReadingLevels,
    ) -> Result<Report> {
        self.run_with(study, behaviour, probes, levels, &Resampler::new(self.settings)?)
    }

    /// [`Analysis::run`] with the resamples of a whole experiment.
    pub(super) fn run_with<I: Item>(
        &self,
        study: &Study<I>,
        behaviour: Behaviour,
        probes: &ProbeBank,
        levels: &ReadingLevels,
        resampler: &Resampler,
    ) -> Result<Report> {
        let Some((judged, others)) = levels.readings().split_first() else {
            return Err(Error::setting("levels", "none", "the levels of at least one reading"));
        };
        check_items(&behaviour, judged)?;
        check_origin(study, probes, judged)?;
        let (inference, transitions) = (Inference::new(self.settings), Transitions::default());
        let tests = match &self.permuted {
            Some(permuted) => inference.clone().permuted_probes(permuted.clone()).run_with(judged, resampler)?,
            None => inference.run_with(judged, resampler)?,
        };
        let (mut level_rows, mut changes) = (tests.levels, tests.rows);
        for other in others {
            let tests = inference.run_with(other, resampler)?;
            level_rows.extend(tests.levels);
            changes.extend(tests.rows);
        }
        let verdicts = judge_all(levels, &behaviour.outcome, resampler)?;
        let evidence = verdicts
            .iter()
            .map(|verdict| Evidence::gather_with(verdict, levels, &behaviour, resampler))
            .filter_map(Result::transpose)
            .collect::<Result<Vec<_>>>()?;
        let precision = verdicts
            .iter()
            .filter_map(|verdict| {
                Precision::of_with(&verdict.condition, levels, &behaviour.outcome, resampler).transpose()
            })
            .collect::<Result<Vec<_>>>()?;
        let mut provenance = study.provenance.clone();
        provenance.extend(probes.provenance().iter().map(|(key, value)| (format!("probe.{key}"), value.clone())));
        let layers = judged.addresses().iter().filter_map(|address| address.layer());
        Ok(Report {
            schema: Report::SCHEMA.to_owned(),
            plan: None,
            precision,
            sensitivity: None,
            model: ModelSummary {
                name: study.provenance.get("model").cloned().unwrap_or_default(),
                layers: layers.max().map_or(0, |last| last + 1),
            },
            provenance,
            protocol: study.protocol.clone(),
            // Which item was asked in which wording is in the file of answers.
            conditions: study.design.clone().with_wordings([]),
            analysis: AnalysisRecord {
                settings: tests.settings,
                family: tests.family,
                window: judged.declared(),
                consecutive: transitions.run_length(),
                items: tests.items,
                groups: tests.groups,
            },
            verdicts,
            probes: probes.rows(),
            answer_probes: Vec::new(),
            transitions: match judged.metrics().contains(&Metric::ClassDistance) {
                true => transitions.find_with(judged, resampler, Metric::ClassDistance)?,
                false => Vec::new(),
            },
            selection: ranking(judged, &behaviour, resampler)?,
            pairwise: match behaviour.is_empty() {
                true => None,
                false => {
                    let words = study.protocol.instruction_words.iter();
                    let words = words.map(|own| (own.instruction.clone(), own.words.clone())).collect();
                    PairwiseEffectiveness::with(judged, &behaviour.outcome, &words, 1, resampler)?
                }
            },
            behaviour,
            levels: level_rows,
            changes,
            evidence,
            contributions: Vec::new(),
            causal: Vec::new(),
            windows: Vec::new(),
        })
    }
}

/// [`Analysis::measure`] with the resamples of a whole experiment.
pub(super) fn measure<I: Item>(
    study: &Study<I>,
    scorer: Option<&dyn TextScorer>,
    resampler: &Resampler,
) -> Result<Behaviour> {
    let measurement = Measurement::lent(&study.design, resampler);
    let measurement = match scorer {
        Some(scorer) => measurement.scorer(scorer),
        None => measurement,
    };
    let answered: Vec<AnsweredRound<'_, I::Answer>> = study.rounds.iter().map(|round| round.answered()).collect();
    measurement.measure(&study.items, &answered)
}

/// Instructions by their level in round 1, where there are enough of them.
fn ranking(levels: &Levels, behaviour: &Behaviour, resampler: &Resampler) -> Result<Option<InstructionRanking>> {
    let studied = levels.design().arms().iter().filter(|arm| arm.role == Role::Studied && arm.condition.round == 1);
    let candidates = studied.filter(|arm| behaviour.outcome.series(&arm.condition).is_some()).count();
    let items = levels.items().len() / 3;
    let plain = behaviour.outcome.series(&Condition::plain()).is_some();
    if candidates < 3 || items == 0 || !plain || levels.valid().is_empty() {
        return Ok(None);
    }
    let choose = InstructionSelection::default().settings(*resampler.settings()).items(items.min(20));
    choose.run_with(levels, &behaviour.outcome, 1, resampler).map(Some)
}

/// Levels must be of this study and of these probes, or a report would tell of others than it judges.
fn check_origin<I: Item>(study: &Study<I>, probes: &ProbeBank, levels: &Levels) -> Result<()> {
    if !levels.is_scored_by(probes) {
        return Err(Error::mismatch("levels", "they were scored with other probes than these"));
    }
    let planned = study.design.only(levels.design().conditions().cloned())?;
    if planned != *levels.design() {
        return Err(Error::mismatch("levels", "their conditions are compared with others than the study's"));
    }
    Ok(())
}

/// Behaviour and states must be of the same items, or a verdict would compare what does not belong together.
fn check_items(behaviour: &Behaviour, levels: &Levels) -> Result<()> {
    let (outcome, items) = (&behaviour.outcome, levels.items());
    let problem = if behaviour.is_empty() {
        return Ok(());
    } else if outcome.items.len() != items.len() {
        format!("it is of {} items, the levels are of {}", outcome.items.len(), items.len())
    } else if let Some((found, expected)) = outcome.items.iter().zip(items).find(|(found, item)| found != item) {
        format!("it has item {found:?} where the levels have {expected:?}")
    } else {
        return Ok(());
    };
    Err(Error::mismatch("behaviour", problem))
}
