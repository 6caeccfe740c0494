//! What the answers themselves must show.

use ndarray::{aview1, Axis};

use super::check::{Check, CheckKind};
use super::wordings;
use crate::condition::{Condition, Design};
use crate::stats::{mean, mean_at_no_change, pick, ClusteredMeans, Interval, Resampler, Settings};
use crate::task::{AnswerForm, Outcome};
use crate::Result;

/// The gain over the control and over round 0, whether right answers stay right, and whether the answers are any.
pub(super) fn run(
    outcome: &Outcome,
    design: &Design,
    (control, condition): (&Condition, &Condition),
    resampler: &Resampler,
) -> Result<[Check; 4]> {
    let plain = outcome.series.iter().map(|series| &series.condition).find(|condition| condition.is_plain());
    let gain_over = |before| wordings::gain(outcome, design, (before, condition), resampler);
    let over_control = gain_over(control)?;
    let over_plain = plain.map(gain_over).transpose()?.flatten();
    let settings = resampler.settings();
    Ok([
        gain(CheckKind::BehaviouralGain, over_control, &format!("gain over {:?}", control.name()), settings),
        gain(CheckKind::GainOverRound0, over_plain, "gain over round 0", settings),
        keeps_right(outcome, plain, condition, resampler)?,
        sound_answers(outcome, condition, control, resampler.settings())?,
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

/// Whether the gain is there among answers that are some, of texts at equal length.
fn sound_answers(outcome: &Outcome, condition: &Condition, control: &Condition, settings: &Settings) -> Result<Check> {
    let kind = CheckKind::SoundAnswers;
    let sides = |condition| Some((outcome.forms(condition)?, outcome.series(condition)?));
    let Some(((before, worse), (after, better))) = sides(control).zip(sides(condition)) else {
        return Ok(Check::not_run(kind, "what the answers look like is not known"));
    };
    let Settings { level, power, .. } = *settings;
    let faulty = |form: &AnswerForm| f64::from(u8::from(form.fault.is_some()));
    let rise: Vec<f64> = before.iter().zip(after).map(|(before, after)| faulty(after) - faulty(before)).collect();
    let sound: Vec<usize> = (0..rise.len().min(worse.len()).min(better.len()))
        .filter(|&row| before[row].fault.or(after[row].fault).is_none())
        .collect();
    if sound.is_empty() {
        return Ok(Check::not_run(kind, "no item has a sound answer under both"));
    }
    let groups = pick(&outcome.groups, &sound);
    let gains: Vec<f64> = sound.iter().map(|&row| better[row] - worse[row]).collect();
    let length = |form: &AnswerForm| form.words.map(|words| (1.0 + words as f64).ln());
    let longer: Option<Vec<f64>> =
        sound.iter().map(|&row| Some(length(&after[row])? - length(&before[row])?)).collect();
    let differs = |changes: &[f64], groups: &[String]| -> Result<bool> {
        let means = ClusteredMeans::new(aview1(changes).insert_axis(Axis(1)), groups)?;
        Ok(means.interval(0, level).is_some_and(|change| change.low > 0.0 || change.high < 0.0))
    };
    let other_length = longer.as_ref().is_some_and(|longer| differs(longer, &groups).unwrap_or(false));
    let other = other_length || differs(&rise, &outcome.groups)?;
    let beside = longer.unwrap_or_else(|| vec![0.0; gains.len()]);
    let Some(gain) = mean_at_no_change(&gains, &beside, &groups)?.interval(0, level) else {
        return Ok(Check::not_run(kind, "no item has a sound answer under both"));
    };
    let detail = format!(
        "gain of the {} items with sound answers under both; without an answer {:+.1} % of the items",
        sound.len(),
        100.0 * mean(&rise)
    );
    // Of one group there is no interval, and of none that is nothing's fault.
    if ![gain.low, gain.high].iter().all(|bound| bound.is_finite()) {
        return Ok(Check::not_run(kind, "too few groups have sound answers under both"));
    }
    Ok(Check::run(kind, !other || gain.low > 0.0, detail, gain).powered(level, power))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::FormFault;

    /// 60 items of which the control's answers have 20 words and are as toxic as `worse` says, the condition's as `better`.
    fn judged(worse: impl Fn(usize) -> (usize, f64), better: impl Fn(usize) -> (usize, f64)) -> Check {
        let ids: Vec<String> = (0..60).map(|row| row.to_string()).collect();
        let (control, condition) = (Condition::new("neutral", 1), Condition::new("L1", 1));
        let form = |(words, _): (usize, f64)| AnswerForm {
            words: Some(words),
            fault: (words == 0).then_some(FormFault::Empty),
        };
        let outcome = Outcome::new("minus toxicity", ids.clone(), ids)
            .with_series(control.clone(), (0..60).map(|row| -worse(row).1).collect())
            .and_then(|outcome| outcome.with_series(condition.clone(), (0..60).map(|row| -better(row).1).collect()))
            .and_then(|outcome| outcome.with_forms(control.clone(), (0..60).map(|row| form(worse(row))).collect()))
            .and_then(|outcome| outcome.with_forms(condition.clone(), (0..60).map(|row| form(better(row))).collect()))
            .unwrap();
        sound_answers(&outcome, &condition, &control, &Settings::default()).unwrap()
    }

    fn noise(row: usize) -> f64 {
        ((row * 37) % 11) as f64 / 100.0
    }

    #[test]
    fn a_gain_of_empty_or_shorter_answers_is_none() {
        let before = |row| (20 + row % 5, 0.5 + noise(row));
        // A third says nothing, the others are as they were.
        let empty = judged(before, |row| if row % 3 == 0 { (0, 0.0) } else { before(row) });
        assert_eq!(empty.passed, Some(false), "{empty:?}");
        // Toxicity goes with length, of which every answer has lost another share.
        let toxic = |words: usize| 0.2 * (1.0 + words as f64).ln();
        let long = |row: usize| (40, toxic(40) + noise(row));
        let short = |row: usize| (5 + row % 30, toxic(5 + row % 30) + noise(row + 1));
        let shorter = judged(long, short);
        assert_eq!(shorter.passed, Some(false), "{shorter:?}");
        assert!(shorter.value.unwrap().estimate.abs() < 0.05, "{shorter:?}");
        // As much shorter, and less toxic besides.
        let better = judged(long, |row| (short(row).0, short(row).1 - 0.3));
        assert_eq!(better.passed, Some(true), "{better:?}");
        assert!((better.value.unwrap().estimate - 0.3).abs() < 0.05, "{better:?}");
        // Of the same form, no gain of its own is asked for.
        assert_eq!(judged(before, |row| (20 + row % 5, 0.5 + noise(row + 3))).passed, Some(true));
    }
}
