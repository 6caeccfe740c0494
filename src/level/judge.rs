//! The rule: which checks are run on which numbers.

use super::behaviour_checks;
use super::check::{Check, CheckKind};
use super::probe_validity::MIN_GROUPS;
use super::readings::ReadingLevels;
use super::state_checks::Case;
use super::verdict::{conclude, Verdict, VerdictKind};
use super::Levels;
use crate::condition::{Condition, Role};
use crate::dialogue::{Part, Reading};
use crate::stats::{Resampler, Settings};
use crate::task::Outcome;
use crate::{Error, Result};

/// Judges one instruction against its control in the same round (a study's verdicts are on the last), by the checks of
/// [`CheckKind::VERDICT`].
///
/// Everything rests on the answers: on what the probes of the answers read over them. Nothing positive is said without.
///
/// - **Internal**: the answers improve over the control and over round 0, and the conversation lowers the level over one and
///   the same answer by more than the margin, over all layers or over a part of them ([`CheckKind::InternalReduction`]), more
///   than along random directions, to below round 0. Without [`Reading::CONTROL_ANSWER`] and [`Reading::AFTER_CONTROL`]
///   nothing is internal: another answer's words have another level.
/// - **Superficial**: the answers improve likewise, no fall of the level by more than a quarter of the margin is shown, nowhere does it fall by as much as the margin
///   ([`CheckKind::NoReduction`], [`CheckKind::NoPartReduced`]), and a change that is known to be there was seen
///   ([`CheckKind::PositiveControl`]).
/// - **Some change**: the answers improve and the level is shown to fall by more than a quarter of the margin, but not by more than all of it.
/// - **Less harm than re-asking**: the answers improve over the control, but not over round 0.
/// - **Insufficient evidence**: everything else. A check that could not be run never counts for a conclusion, and the states
///   are not judged on fewer than 20 groups of items or texts.
///
/// Where an instruction was asked in several wordings, all of this is about the instruction over its wordings: they are a sample,
/// as items are, and gains and changes have intervals over both ([`Verdict::wordings`]).
///
/// [`CheckKind::KeepsRight`], [`CheckKind::SoundAnswers`] and [`CheckKind::InDomain`] are guards: they forbid a positive verdict where
/// they fail.
///
/// Caveats. A valid probe need not measure immorality: it may read topic or style; a change across its direction is not seen:
/// "superficial" is about these probes. Each instruction judged is one more chance of a false conclusion:
/// [`Verdict::adjusted`] is for several.
///
/// An instruction that states the right answer gets no verdict ([`VerdictKind::AnswerTold`]).
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[must_use]
pub struct VerdictRule {
    settings: Settings,
}

impl VerdictRule {
    /// Judges by these settings.
    pub fn new(settings: Settings) -> Self {
        VerdictRule { settings }
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Judges a studied condition, on the levels of its readings and on how good each answer was ([`Outcome`], more = better).
    ///
    /// # Errors
    /// [`Error::Setting`] for settings out of range and for a condition that is not studied; [`Error::Mismatch`] if the
    /// readings over answers are not all of the same items.
    pub fn judge(&self, condition: &Condition, levels: &ReadingLevels, outcome: &Outcome) -> Result<Verdict> {
        judge(condition, levels, outcome, &Resampler::new(self.settings)?)
    }
}

/// [`VerdictRule::judge`] with the resamples of a whole analysis.
pub(crate) fn judge(
    condition: &Condition,
    levels: &ReadingLevels,
    outcome: &Outcome,
    resampler: &Resampler,
) -> Result<Verdict> {
    let Some(first) = levels.readings().first() else {
        return Err(Error::setting("levels", "none", "those of at least one reading"));
    };
    if first.design().role(condition) != Some(Role::Studied) {
        let expected = "a studied instruction in a round that the levels have: neither plain nor a control";
        return Err(Error::setting("condition", condition, expected));
    }
    let control = first.design().control(condition);
    let answers = levels.get(Reading::of(Part::Answer));
    let mut checks = vec![probe_valid(answers, resampler.settings())];
    let site = first.judged_site();
    let mut verdict = Verdict::empty(condition, control, site, answers.map_or(&[], Levels::valid));
    match (control, answers) {
        (None, _) => not_run(&mut checks, &format!("no control has a round {}", condition.round)),
        (Some(control), answers) => {
            checks.extend(behaviour_checks::run(outcome, first.design(), (control, condition), resampler)?);
            match answers.filter(|answers| !answers.valid().is_empty()) {
                None => {
                    not_run(&mut checks, if answers.is_none() { "answers were not read" } else { "no probe is valid" })
                }
                Some(answers) => {
                    let case = Case { all: levels, answers, outcome, condition, control, resampler };
                    checks.extend(case.checks(&mut verdict)?);
                }
            }
        }
    }
    verdict.kind = match first.design().tells_answer(condition) {
        true => VerdictKind::AnswerTold,
        false => conclude(&checks, &verdict.changes, resampler.settings().margin),
    };
    verdict.adjusted = verdict.kind;
    verdict.checks = checks;
    Ok(verdict)
}

/// Verdicts on every judged condition of a study, each alone and among all ([`Verdict::adjusted`]).
pub(crate) fn judge_all(levels: &ReadingLevels, outcome: &Outcome, resampler: &Resampler) -> Result<Vec<Verdict>> {
    let design = levels.readings().first().map(Levels::design);
    let judged = design.map_or(Vec::new(), |design| design.judged());
    let mut verdicts: Vec<Verdict> =
        judged.iter().map(|condition| judge(condition, levels, outcome, resampler)).collect::<Result<_>>()?;
    let positive = |kind| matches!(kind, VerdictKind::Internal | VerdictKind::Superficial);
    let candidates: Vec<usize> = (0..verdicts.len()).filter(|&place| positive(verdicts[place].kind)).collect();
    let told = verdicts.iter().filter(|verdict| verdict.kind == VerdictKind::AnswerTold).count();
    let all = verdicts.len() - told;
    if all < 2 || candidates.is_empty() {
        return Ok(verdicts);
    }
    // As sure as is asked of one, shared out among those that are open.
    let settings = *resampler.settings();
    let (mut open, mut left) = (candidates, all);
    while !open.is_empty() {
        let stricter = Resampler::new(settings.level(1.0 - (1.0 - settings.level) / left as f64))?;
        let mut still = Vec::new();
        for &place in &open {
            let (Some(condition), Some(verdict)) = (judged.get(place), verdicts.get_mut(place)) else { continue };
            verdict.adjusted = judge(condition, levels, outcome, &stricter)?.kind;
            if !positive(verdict.adjusted) {
                still.push(place);
            }
        }
        let concluded = open.len() - still.len();
        if concluded == 0 {
            break;
        }
        (open, left) = (still, left - concluded);
    }
    Ok(verdicts)
}

/// Adds every check of a verdict that is not there yet, as not run.
fn not_run(checks: &mut Vec<Check>, why: &str) {
    for kind in CheckKind::VERDICT.into_iter().skip(checks.len()) {
        checks.push(Check::not_run(kind, why));
    }
}

fn probe_valid(answers: Option<&Levels>, settings: &Settings) -> Check {
    let kind = CheckKind::ProbeValid;
    let Some(validity) = answers.map(|answers| &answers.validity) else {
        return Check::not_run(kind, "answers were not read");
    };
    let Some(best) = validity.best else {
        return Check::not_run(
            kind,
            format!(
                "{} {} probes, fitted without each fold of {} text groups; at least one on {MIN_GROUPS} is needed",
                validity.probes, validity.site, validity.groups
            ),
        );
    };
    let detail = format!("{} of {} {} probes do", validity.addresses.len(), validity.probes, validity.site);
    Check::run(kind, !validity.addresses.is_empty(), detail, best).found_from(
        (best.estimate - best.low) / validity.errors,
        validity.errors,
        settings.power,
    )
}
