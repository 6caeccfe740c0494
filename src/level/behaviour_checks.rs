//! What the answers themselves must show.

use super::check::{Check, CheckKind};
use super::wordings;
use crate::condition::{Condition, Design};
use crate::stats::{mean, pick, Interval, Resampler, Settings};
use crate::task::Outcome;
use crate::Result;

/// The gain over the control and over round 0, and whether right answers stay right.
pub(super) fn run(
    outcome: &Outcome,
    design: &Design,
    (control, condition): (&Condition, &Condition),
    resampler: &Resampler,
) -> Result<[Check; 3]> {
    let plain = outcome.series.iter().map(|series| &series.condition).find(|condition| condition.is_plain());
    let gain_over = |before| wordings::gain(outcome, design, (before, condition), resampler);
    let over_control = gain_over(control)?;
    let over_plain = plain.map(gain_over).transpose()?.flatten();
    let settings = resampler.settings();
    Ok([
        gain(CheckKind::BehaviouralGain, over_control, &format!("gain over {:?}", control.name()), settings),
        gain(CheckKind::GainOverRound0, over_plain, "gain over round 0", settings),
        keeps_right(outcome, plain, condition, resampler)?,
    ])
}

fn gain(kind: CheckKind, gain: Option<Interval>, detail: &str, settings: &Settings) -> Check {
    match gain {
        None => Check::not_run(kind, "no behaviour was given"),
        Some(gain) if [gain.low, gain.estimate, gain.high].iter().any(|value| !value.is_finite()) => {
            Check::not_run(kind, "the interval given is not finite")
        }
        Some(gain) => Check::run(kind, gain.low > 0.0, detail, gain).powered(settings.level, settings.power),
    }
}

fn keeps_right(
    outcome: &Outcome,
    plain: Option<&Condition>,
    condition: &Condition,
    resampler: &Resampler,
) -> Result<Check> {
    let kind = CheckKind::KeepsRight;
    let sides = plain.and_then(|plain| outcome.series(plain)).zip(outcome.series(condition));
    let Some((before, after)) = sides else { return Ok(Check::not_run(kind, "no behaviour was given")) };
    if !before.iter().chain(after).all(|&value| value == 0.0 || value == 1.0) {
        return Ok(Check::not_run(kind, "answers are not right or wrong"));
    }
    let right: Vec<usize> = (0..before.len().min(after.len())).filter(|&row| before[row] == 1.0).collect();
    if right.is_empty() {
        return Ok(Check::not_run(kind, "no answer was right in round 0"));
    }
    let kept = pick(after, &right);
    let detail = format!("share of the {} answers right in round 0 that still are", right.len());
    let share = resampler.of(&pick(&outcome.groups, &right))?.mean(&kept)?;
    let Settings { level, power, .. } = *resampler.settings();
    Ok(Check::run(kind, mean(&kept) >= 0.5, detail, share).powered(level, power))
}
