//! The checks that a verdict rests on, from levels and behaviour.

use std::collections::HashMap;

use ndarray::{Array1, Array2};

use super::check::{narrow, Check, CheckKind};
use super::leak::{check_within, item_changes, LeakScore};
use super::levels::{LevelStates, Levels, MeanState};
use super::metric::Metric;
use super::probe_validity::MIN_GROUPS;
use super::rotation_null::rotation_null;
use super::verdict::{conclude, Verdict};
use crate::condition::{Condition, Role};
use crate::hook::Address;
use crate::stats::{mean, quantile, ClusterBootstrap, Interval, Resampler, Settings};
use crate::{Error, Result};

/// Judges one instruction against its control in the same round (a study's verdicts are on the last), by the seven checks of [`CheckKind::VERDICT`].
///
/// - **Internal**: behaviour improves and the reduction is shown: [`CheckKind::ProbeValid`],
///   [`CheckKind::BehaviouralGain`], [`CheckKind::InternalReduction`], [`CheckKind::BeyondRandomDirections`] and
///   [`CheckKind::BeyondInstructionTokens`] pass.
/// - **Superficial**: [`CheckKind::ProbeValid`], [`CheckKind::BehaviouralGain`] and [`CheckKind::NoReduction`] pass, and the
///   verdict is not internal.
/// - **Insufficient evidence**: everything else. A check that could not be run never counts for a conclusion, and the states
///   are not judged on fewer than 10 groups, since a bootstrap over fewer is too sure of itself.
///
/// Without levels over the answers, nothing is called internal: a reduction may be one of the instruction's own words.
///
/// Caveats. A reduction that is sure but smaller than the margin is "internal" if behaviour improves too: read D. A valid
/// probe need not measure immorality: it may read topic, style or the instruction's own words; control tasks, transfer and
/// the position that is read must speak to that. "Superficial" is about what linear probes of these addresses see. The
/// behaviour's interval is taken as given. Each instruction judged is one more chance of a false conclusion.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[must_use]
pub struct VerdictRule {
    settings: Settings,
}

/// What is judged: a condition and what it is compared with.
struct Case<'a> {
    levels: &'a Levels,
    resampler: &'a Resampler,
    condition: &'a Condition,
    control: &'a Condition,
}

impl VerdictRule {
    /// Judges by these settings.
    pub fn new(settings: Settings) -> Self {
        VerdictRule { settings }
    }

    /// Judges a studied condition. `answers` are levels that cannot hold the instruction's own tokens, read over the answers
    /// only; where they lack items (an empty answer has no states), what rests on them is of those that both have. `gain` is
    /// the interval of the gain in behaviour, condition minus control, more = better; without it only "insufficient
    /// evidence" is possible.
    ///
    /// # Errors
    /// [`Error::Setting`] for settings out of range and for a condition that is not studied; [`Error::Mismatch`] if the
    /// answers have an item or an address that the levels lack.
    pub fn judge(
        &self,
        condition: &Condition,
        levels: &Levels,
        answers: Option<&Levels>,
        gain: Option<Interval>,
    ) -> Result<Verdict> {
        judge(condition, levels, answers, gain, &Resampler::new(self.settings)?)
    }
}

/// [`VerdictRule::judge`] with the resamples of a whole analysis.
pub(crate) fn judge(
    condition: &Condition,
    levels: &Levels,
    answers: Option<&Levels>,
    gain: Option<Interval>,
    resampler: &Resampler,
) -> Result<Verdict> {
    if levels.design().role(condition) != Some(Role::Studied) {
        let expected = "a studied instruction in a round that the levels have: neither plain nor a control";
        return Err(Error::setting("condition", condition, expected));
    }
    if let Some(answers) = answers {
        check_within(levels, answers)?;
    }
    let settings = resampler.settings();
    let control = levels.design().control(condition);
    let mut checks = vec![probe_valid(levels, settings)];
    if control.is_some() {
        checks.push(behavioural_gain(gain, settings));
    }
    let mut leak = None;
    match control {
        None => not_run(&mut checks, &format!("no control has a round {}", condition.round)),
        Some(_) if levels.valid().is_empty() => not_run(&mut checks, "no probe is valid"),
        Some(control) => {
            let case = Case { levels, resampler, condition, control };
            leak = case.checks(answers, &mut checks)?;
        }
    }
    Ok(Verdict {
        kind: conclude(&checks),
        condition: condition.clone(),
        control: control.map(|control| control.instruction.clone()),
        addresses: levels.valid().to_vec(),
        checks,
        leak,
    })
}

/// Adds every check of a verdict that is not there yet, as not run.
fn not_run(checks: &mut Vec<Check>, why: &str) {
    for kind in CheckKind::VERDICT.into_iter().skip(checks.len()) {
        checks.push(Check::not_run(kind, why));
    }
}

fn probe_valid(levels: &Levels, settings: &Settings) -> Check {
    let kind = CheckKind::ProbeValid;
    let validity = &levels.validity;
    let Some(best) = validity.best else {
        return Check::not_run(
            kind,
            format!(
                "{} resid_post probes, evaluated on {} held-out groups; at least one on {MIN_GROUPS} is needed",
                validity.probes, validity.groups
            ),
        );
    };
    let detail = format!("{} of {} resid_post probes do", validity.addresses.len(), validity.probes);
    Check::run(kind, !validity.addresses.is_empty(), detail, best).found_from(
        (best.estimate - best.low) / validity.errors,
        validity.errors,
        settings.power,
    )
}

fn behavioural_gain(gain: Option<Interval>, settings: &Settings) -> Check {
    let kind = CheckKind::BehaviouralGain;
    match gain {
        None => Check::not_run(kind, "no behaviour was given"),
        Some(gain) if [gain.low, gain.estimate, gain.high].iter().any(|value| !value.is_finite()) => {
            Check::not_run(kind, "the interval given is not finite")
        }
        Some(gain) => {
            Check::run(kind, gain.low > 0.0, "gain over the control", gain).powered(settings.level, settings.power)
        }
    }
}

impl Case<'_> {
    fn settings(&self) -> &Settings {
        self.resampler.settings()
    }

    /// The checks of the states, and what of the change is gone over the answers.
    fn checks(&self, answers: Option<&Levels>, checks: &mut Vec<Check>) -> Result<Option<LeakScore>> {
        let whole = self.changes(Metric::Standardised)?;
        let resamples = self.resampler.of(self.levels.groups())?;
        checks.extend(self.of_states(&whole, &resamples)?);
        match answers.map(|answers| self.shared(answers)).transpose()?.flatten() {
            Some(Shared { whole, rest, groups }) => {
                let resamples = self.resampler.of(&groups)?;
                checks.extend(self.without_instruction(&whole, Some(&rest), &resamples)?);
                LeakScore::measure(&whole, &rest, &resamples).map(Some)
            }
            None => {
                checks.extend(self.without_instruction(&whole, None, &resamples)?);
                Ok(None)
            }
        }
    }

    /// Reduction, random directions and equivalence, by the change of each item, `[n]`.
    fn of_states(&self, whole: &[f64], resamples: &ClusterBootstrap) -> Result<[Check; 3]> {
        let Settings { level, margin, power, .. } = *self.settings();
        let mut draws = resamples.means(whole)?;
        let estimate = mean(whole);
        let mut interval = |level: f64| resamples.percentiles(estimate, &mut draws, level);
        let (wide, narrowed) = (interval(level), interval(narrow(level)));
        let enough = resamples.clusters() >= MIN_GROUPS;
        let few = if enough { String::new() } else { format!("; not judged with fewer than {MIN_GROUPS} groups") };
        let what = format!(
            "instruction minus {:?}, mean of {} items in {} groups over {} addresses{few}",
            self.control.name(),
            self.levels.items().len(),
            resamples.clusters(),
            self.levels.valid().len()
        );
        let reduction = Check::run(CheckKind::InternalReduction, wide.high < 0.0, &what, wide)
            .powered(level, power)
            .judged_if(enough);
        let within = -margin < narrowed.low && narrowed.high < margin;
        let equivalence =
            Check::run(CheckKind::Equivalence, within, &what, narrowed).powered(narrow(level), power).judged_if(enough);
        Ok([reduction, self.beyond_random_directions(&what, resamples)?, equivalence])
    }

    fn beyond_random_directions(&self, what: &str, resamples: &ClusterBootstrap) -> Result<Check> {
        let Settings { null_draws, seed, power, .. } = *self.settings();
        let cosines = self.changes(Metric::Cosine)?;
        let (directions, differences) = self.stacked()?;
        let mut null = rotation_null(&directions, &differences, null_draws, seed);
        null.sort_by(f64::total_cmp);
        let value = Interval { estimate: mean(&cosines), low: quantile(&null, 0.025), high: quantile(&null, 0.975) };
        let draws = resamples.means(&cosines)?;
        let centre = mean(&draws);
        let error = mean(&draws.iter().map(|draw| (draw - centre).powi(2)).collect::<Vec<_>>()).sqrt();
        let passed = value.estimate < value.low;
        Ok(Check::run(CheckKind::BeyondRandomDirections, passed, what, value).found_from(error, 0.0, power))
    }

    /// What is left without the instruction's tokens, by the change of each item, `[n]`, as it is and without them.
    fn without_instruction(
        &self,
        whole: &[f64],
        rest: Option<&[f64]>,
        resamples: &ClusterBootstrap,
    ) -> Result<[Check; 2]> {
        let Settings { level, margin, power, .. } = *self.settings();
        let values = rest.unwrap_or(whole);
        let mut draws = resamples.means(values)?;
        let mut interval = |level: f64| resamples.percentiles(mean(values), &mut draws, level);
        let (wide, narrowed) = (interval(level), interval(narrow(level)));
        let enough = resamples.clusters() >= MIN_GROUPS;
        let states = match rest {
            Some(_) => "where the states cannot be the instruction's own tokens",
            None => "on the states as they are, which may hold the instruction's own tokens",
        };
        let no_reduction = Check::run(CheckKind::NoReduction, narrowed.low > -margin, states, narrowed)
            .powered(narrow(level), power)
            .judged_if(enough);
        let kind = CheckKind::BeyondInstructionTokens;
        let beyond = match rest {
            Some(_) => {
                // A probe that is not perfect sees a little of anything: what is left must be most of the reduction.
                let beyond_half: Vec<f64> = values.iter().zip(whole).map(|(rest, whole)| rest - 0.5 * whole).collect();
                let most = resamples.percentiles(mean(&beyond_half), &mut resamples.means(&beyond_half)?, level);
                let passed = wide.high < 0.0 && most.high < 0.0;
                Check::run(kind, passed, states, wide).powered(level, power).judged_if(enough)
            }
            None => Check::not_run(kind, "no levels that cannot hold the instruction's own tokens were given"),
        };
        Ok([no_reduction, beyond])
    }

    /// The changes of the items that both levels have, over the addresses that are valid in both; `None` where there is no
    /// such address.
    fn shared(&self, answers: &Levels) -> Result<Option<Shared>> {
        let missing =
            || Error::mismatch("levels over the answers", format!("they lack {} or {}", self.condition, self.control));
        let valid: Vec<Address> =
            self.levels.valid().iter().copied().filter(|at| answers.valid().contains(at)).collect();
        if valid.is_empty() {
            return Ok(None);
        }
        let change = |levels: &Levels| item_changes(levels, &valid, self.condition, self.control, Metric::Standardised);
        let rest = change(answers).ok_or_else(missing)?;
        let whole = change(self.levels).ok_or_else(missing)?;
        let of_items: HashMap<&str, f64> = self.levels.items().iter().map(String::as_str).zip(whole).collect();
        let whole = answers.items().iter().filter_map(|item| of_items.get(item.as_str()).copied()).collect();
        Ok(Some(Shared { whole, rest, groups: answers.groups().to_vec() }))
    }

    /// Condition minus control, averaged over the valid addresses, by item, `[n]`.
    fn changes(&self, metric: Metric) -> Result<Vec<f64>> {
        let found = item_changes(self.levels, self.levels.valid(), self.condition, self.control, metric);
        found.ok_or_else(|| Error::mismatch("levels", format!("they lack {metric} at a valid address")))
    }

    /// Directions of the valid addresses, and mean differences of the normalised states, both `[l, d]`.
    fn stacked(&self) -> Result<(Array2<f64>, Array2<f64>)> {
        let LevelStates { means, .. } = self.levels.states.as_ref().ok_or_else(|| {
            Error::mismatch("levels", "they are a part of the items, without the states that a verdict needs")
        })?;
        let design = self.levels.design();
        let mean = |condition: &Condition, address: usize| -> Option<&MeanState> {
            means.get(design.position(condition)?)?.get(address)
        };
        let valid = self.levels.valid();
        let index = |at: Address| self.levels.addresses().iter().position(|&known| known == at);
        let directions = |at: Address| self.levels.directions.get(index(at)?);
        let d = valid.first().and_then(|&at| directions(at)).map_or(0, Array1::len);
        let (mut stacked, mut differences) = (Array2::zeros((valid.len(), d)), Array2::zeros((valid.len(), d)));
        for (row, &at) in valid.iter().enumerate() {
            let sides = index(at).and_then(|index| mean(self.condition, index).zip(mean(self.control, index)));
            let found = directions(at).zip(sides).filter(|(direction, _)| direction.len() == d);
            let (direction, (after, before)) = found.ok_or_else(|| unknown(at))?;
            stacked.row_mut(row).assign(direction);
            differences.row_mut(row).assign(&(&after.unit - &before.unit));
        }
        Ok((stacked, differences))
    }
}

/// The change of each item that both levels have, whole and over the answer, and the items' groups.
struct Shared {
    whole: Vec<f64>,
    rest: Vec<f64>,
    groups: Vec<String>,
}

fn unknown(address: Address) -> Error {
    Error::mismatch("levels", format!("they have nothing at {address}"))
}
