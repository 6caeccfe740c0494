//! What the states over the answers must show.

use super::check::{Check, CheckKind};
use super::effect::{Bounded, Change, Effect, Side, Stretch};
use super::leak::LeakScore;
use super::levels::Levels;
use super::probe_validity::MIN_GROUPS;
use super::readings::ReadingLevels;
use super::verdict::{ChangeOf, LevelChange, Verdict};
use super::wordings;
use crate::condition::Condition;
use crate::dialogue::Reading;
use crate::hook::Address;
use crate::stats::{
    mean, normal_upper_quantile, quantile, student_upper_quantile, ClusteredMeans, Interval, Ranking, Resampler,
    Settings,
};
use crate::task::Outcome;
use crate::{Error, Result};

/// What is judged: a condition and what it is compared with.
pub(super) struct Case<'a> {
    pub all: &'a ReadingLevels,
    /// Levels over the condition's and the control's own answers, in their own conversations.
    pub answers: &'a Levels,
    pub outcome: &'a Outcome,
    pub condition: &'a Condition,
    pub control: &'a Condition,
    pub resampler: &'a Resampler,
}

/// The level over four answers: whose words, after whose conversation.
struct Crossed<'a> {
    /// The control's answer after the condition's conversation.
    of_control: &'a Levels,
    /// The condition's answer after the control's conversation.
    after_control: &'a Levels,
}

impl<'a> Case<'a> {
    fn settings(&self) -> &Settings {
        self.resampler.settings()
    }

    /// The checks from the positive control on; the changes go to the verdict.
    pub fn checks(&self, verdict: &mut Verdict) -> Result<Vec<Check>> {
        let crossed = self.crossed();
        let decisive = self.decisive(crossed.as_ref())?;
        let effect = decisive.measure(self.resampler)?;
        verdict.changes = self.changes(crossed.as_ref(), &effect)?;
        verdict.leak = self.leak(&decisive)?;
        verdict.wordings = wordings::effect(&decisive, (self.control, self.condition), self.outcome, self.resampler)?;
        let strongest = effect.stretches.iter().min_by(|a, b| a.above.total_cmp(&b.above)).copied();
        let mut checks = vec![self.positive_control()?, self.in_domain()?];
        match (strongest, &crossed) {
            (Some(strongest), Some(_)) => {
                checks.push(self.reduction(&strongest, &effect));
                checks.push(self.beyond_random_directions(&decisive, &strongest)?);
                checks.push(self.below_round_0(crossed.as_ref())?);
            }
            _ => {
                let why = "the same answer was not read after both conversations";
                let kinds = [CheckKind::InternalReduction, CheckKind::BeyondRandomDirections, CheckKind::BelowRound0];
                checks.extend(kinds.map(|kind| Check::not_run(kind, why)));
            }
        }
        checks.push(self.no_reduction(&effect, crossed.is_some()));
        checks.push(self.no_part_reduced(&decisive, crossed.as_ref())?);
        let clusters = self.resampler.of(self.answers.groups())?.clusters();
        if clusters < MIN_GROUPS {
            for check in &mut checks {
                check.passed = None;
                check.detail += &format!("; not judged with {clusters} groups of items, fewer than {MIN_GROUPS}");
            }
        }
        Ok(checks)
    }

    /// Levels of the crossed readings, where both have the condition.
    fn crossed(&self) -> Option<Crossed<'a>> {
        let has = |levels: &&Levels| levels.design().position(self.condition).is_some();
        let of_control = self.all.get(Reading::CONTROL_ANSWER).filter(has)?;
        let after_control = self.all.get(Reading::AFTER_CONTROL).filter(has)?;
        Some(Crossed { of_control, after_control })
    }

    fn side(&self, factor: f64, levels: &'a Levels, condition: &'a Condition) -> Side<'a> {
        Side { factor, levels, condition }
    }

    /// D, as what is measured.
    pub fn d(&self) -> Result<Change<'a>> {
        self.decisive(self.crossed().as_ref())
    }

    fn valid(&self) -> &'a [Address] {
        self.answers.valid()
    }

    /// D: what the conversation does to one and the same answer; without crossed readings what there is.
    fn decisive(&self, crossed: Option<&Crossed<'a>>) -> Result<Change<'a>> {
        match crossed {
            Some(crossed) => Change::new(self.of_conversation(crossed), self.valid()),
            None => Ok(Change::between(self.answers, self.condition, self.control, self.valid())),
        }
    }

    /// What the conversation does to an answer, the mean over both answers.
    fn of_conversation(&self, crossed: &Crossed<'a>) -> [Side<'a>; 4] {
        self.between_four(crossed.of_control, crossed.after_control)
    }

    /// What the words do in a conversation, the mean over both conversations.
    fn of_words(&self, crossed: &Crossed<'a>) -> [Side<'a>; 4] {
        self.between_four(crossed.after_control, crossed.of_control)
    }

    /// Half of: one crossed reading minus the control's own answer, and the condition's own answer minus the other reading.
    fn between_four(&self, one: &'a Levels, other: &'a Levels) -> [Side<'a>; 4] {
        [
            self.side(0.5, one, self.condition),
            self.side(-0.5, self.answers, self.control),
            self.side(0.5, self.answers, self.condition),
            self.side(-0.5, other, self.condition),
        ]
    }

    /// Every change that can be told, by what makes it.
    fn changes(&self, crossed: Option<&Crossed<'a>>, decisive: &Effect) -> Result<Vec<LevelChange>> {
        let valid = self.valid();
        let listed = |of: ChangeOf, effect: &Effect, addresses: &[Address]| -> Vec<LevelChange> {
            effect.stretches.iter().filter_map(|bounded| LevelChange::new(of, bounded, addresses)).collect()
        };
        let mut changes = Vec::new();
        let answer = Change::between(self.answers, self.condition, self.control, valid);
        if let Some(crossed) = crossed {
            changes.extend(listed(ChangeOf::Conversation, decisive, valid));
            let words = Change::new(self.of_words(crossed), valid)?.measure(self.resampler)?;
            changes.extend(listed(ChangeOf::Words, &words, valid));
            changes.extend(listed(ChangeOf::Answer, &answer.measure(self.resampler)?, valid));
        } else {
            changes.extend(listed(ChangeOf::Answer, decisive, valid));
        }
        if let Some(prompts) = self.prompts() {
            let change = Change::between(prompts, self.condition, self.control, prompts.valid());
            changes.extend(listed(ChangeOf::Prompt, &change.measure(self.resampler)?, prompts.valid()));
        }
        Ok(changes)
    }

    fn prompts(&self) -> Option<&'a Levels> {
        self.all.get(Reading::PROMPT).filter(|prompts| !prompts.valid().is_empty())
    }

    /// How much of the change at the prompt is gone over the answers, for the items that both have.
    fn leak(&self, decisive: &Change<'a>) -> Result<Option<LeakScore>> {
        let Some(prompts) = self.prompts() else { return Ok(None) };
        let at_prompt = Change::between(prompts, self.condition, self.control, prompts.valid());
        let whole = at_prompt.items(at_prompt.whole())?;
        let rows: std::collections::HashMap<&str, f64> =
            prompts.items().iter().map(String::as_str).zip(whole).collect();
        let shared: Option<Vec<f64>> =
            self.answers.items().iter().map(|item| rows.get(item.as_str()).copied()).collect();
        let Some(whole) = shared else { return Ok(None) };
        let rest = decisive.items(decisive.whole())?;
        LeakScore::measure(&whole, &rest, &*self.resampler.of(self.answers.groups())?).map(Some)
    }

    /// Whether a contrast that is known to move the level was seen to.
    fn positive_control(&self) -> Result<Check> {
        let kind = CheckKind::PositiveControl;
        let has = |levels: &&Levels| levels.design().position(self.control).is_some();
        let Some(contrast) = self.all.get(Reading::CONTRAST).filter(has) else {
            return Ok(Check::not_run(kind, "no contrast that is known to move the level was read in these items"));
        };
        let base = self.all.get(Reading::CONTRAST_BASE).filter(has);
        let sides =
            [self.side(1.0, contrast, self.control), self.side(-1.0, base.unwrap_or(self.answers), self.control)];
        let effect = Change::new(sides, self.valid())?.measure(self.resampler)?;
        let Some(whole) = effect.stretches.first() else { return Ok(Check::not_run(kind, "no probe is valid")) };
        let (margin, value) = (self.settings().margin, whole.interval);
        let detail = match base {
            Some(_) => "immoral minus moral texts in the control's conversation, over all valid layers",
            None => "the contrast minus the control's own answer, over all valid layers",
        };
        Ok(Check::run(kind, value.low > margin || value.high < -margin, detail, value)
            .powered(self.settings().level, self.settings().power))
    }

    /// Whether wrong first answers are read as less immoral than right ones.
    pub fn in_domain(&self) -> Result<Check> {
        let kind = CheckKind::InDomain;
        let plain = self.answers.design().plain();
        let right = plain.and_then(|plain| self.outcome.series(plain));
        let (Some(plain), Some(right)) = (plain, right) else {
            return Ok(Check::not_run(kind, "the answers of round 0 were not read, or not judged"));
        };
        let of_item: std::collections::HashMap<&str, f64> =
            self.outcome.items.iter().map(String::as_str).zip(right.iter().copied()).collect();
        let labels: Option<Vec<bool>> = self
            .answers
            .items()
            .iter()
            .map(|item| {
                of_item.get(item.as_str()).filter(|&&right| right == 0.0 || right == 1.0).map(|&right| right == 0.0)
            })
            .collect();
        let Some(wrong) = labels else { return Ok(Check::not_run(kind, "answers are not right or wrong")) };
        let levels = Change::new([self.side(1.0, self.answers, plain)], self.valid())?;
        let level = levels.items(levels.whole())?;
        let resamples = self.resampler.of(self.answers.groups())?;
        let ranking = Ranking::new(&level, &wrong).and_then(|ranking| ranking.interval(&resamples));
        let Some(found) = ranking else { return Ok(Check::not_run(kind, "all first answers are right, or all wrong")) };
        let detail = "with which the level over the first answers tells wrong from right";
        let Settings { level, power, .. } = *self.settings();
        Ok(Check::run(kind, found.interval.high >= 0.5, detail, found.interval).powered(level, power))
    }

    fn described(&self, stretch: Stretch) -> String {
        let ends = self.valid().get(stretch.first).zip(self.valid().get(stretch.last));
        let layers = ends.map_or(String::new(), |(first, last)| format!("{first} to {last}"));
        format!(
            "mean of {} items in their groups over {} valid layers, {layers}",
            self.answers.items().len(),
            stretch.last + 1 - stretch.first
        )
    }

    fn reduction(&self, strongest: &Bounded, effect: &Effect) -> Check {
        let Settings { margin, level, power, .. } = *self.settings();
        let value = Interval { high: strongest.above, ..strongest.interval };
        let detail = format!("{}, the strongest of {}", self.described(strongest.stretch), effect.stretches.len());
        Check::run(CheckKind::InternalReduction, strongest.above < -margin, detail, value).powered(level, power)
    }

    fn beyond_random_directions(&self, change: &Change<'_>, strongest: &Bounded) -> Result<Check> {
        let Settings { null_draws, seed, power, level, .. } = *self.settings();
        let mut null = change.rotated(strongest.stretch, null_draws, seed)?;
        null.sort_by(f64::total_cmp);
        let estimate = strongest.interval.estimate;
        let value = Interval { estimate, low: quantile(&null, 0.025), high: quantile(&null, 0.975) };
        let half_width = 0.5 * (strongest.interval.high - strongest.interval.low);
        let error = half_width / normal_upper_quantile(0.5 * (1.0 - level));
        let detail = self.described(strongest.stretch);
        Ok(Check::run(CheckKind::BeyondRandomDirections, estimate < value.low, detail, value)
            .found_from(error, 0.0, power))
    }

    /// The control's answer in the condition's conversation, against the first answer.
    fn below_round_0(&self, crossed: Option<&Crossed<'a>>) -> Result<Check> {
        let kind = CheckKind::BelowRound0;
        let (Some(crossed), Some(plain)) = (crossed, self.answers.design().plain()) else {
            return Ok(Check::not_run(kind, "the answers of round 0 were not read"));
        };
        let sides = [self.side(1.0, crossed.of_control, self.condition), self.side(-1.0, self.answers, plain)];
        let effect = Change::new(sides, self.valid())?.measure(self.resampler)?;
        let lowest = effect.stretches.iter().min_by(|a, b| a.above.total_cmp(&b.above));
        let Some(lowest) = lowest else { return Ok(Check::not_run(kind, "no probe is valid")) };
        let value = Interval { high: lowest.above, ..lowest.interval };
        let Settings { level, power, .. } = *self.settings();
        Ok(Check::run(kind, lowest.above < 0.0, self.described(lowest.stretch), value).powered(level, power))
    }

    fn no_reduction(&self, effect: &Effect, crossed: bool) -> Check {
        let Settings { margin, level, power, .. } = *self.settings();
        let bounds = || effect.stretches.iter().chain(&effect.addresses);
        let lowest = bounds().min_by(|a, b| a.below.total_cmp(&b.below));
        let Some(lowest) = lowest else { return Check::not_run(CheckKind::NoReduction, "no probe is valid") };
        let value = Interval { low: lowest.below, ..lowest.interval };
        let words = if crossed { "" } else { "; as the answers are: their words and the conversation together" };
        let detail = format!("{}, the lowest of {} bounds{words}", self.described(lowest.stretch), bounds().count());
        Check::run(CheckKind::NoReduction, lowest.below > -margin, detail, value).powered(level, power)
    }

    /// Whether a third of the groups falls by both of two measurements: chosen by the one, measured by the other.
    fn no_part_reduced(&self, whole: &Change<'a>, crossed: Option<&Crossed<'a>>) -> Result<Check> {
        let kind = CheckKind::NoPartReduced;
        let two = match crossed {
            Some(crossed) => {
                let by = |after: Side<'a>, before: Side<'a>| {
                    let change = Change::new([after, before], self.valid())?;
                    change.items(change.whole())
                };
                let (own, control) =
                    (self.side(1.0, self.answers, self.condition), self.side(-1.0, self.answers, self.control));
                [
                    by(self.side(1.0, crossed.of_control, self.condition), control)?,
                    by(own, self.side(-1.0, crossed.after_control, self.condition))?,
                ]
            }
            // The same answers read in two halves of the layers.
            None => {
                let odd = |keep: usize| -> Result<Vec<f64>> {
                    let layers: Vec<Address> = self
                        .valid()
                        .iter()
                        .enumerate()
                        .filter(|(place, _)| place % 2 == keep)
                        .map(|(_, at)| *at)
                        .collect();
                    let half = Change::between(self.answers, self.condition, self.control, &layers);
                    half.items(half.whole())
                };
                if self.valid().len() < 2 {
                    return Ok(Check::not_run(kind, "there is one measurement only"));
                }
                [odd(0)?, odd(1)?]
            }
        };
        let groups = whole.groups();
        let third = |chosen: &[f64], measured: &[f64]| lowest_third(chosen, measured, groups, self.settings().level);
        let [one, other] = [third(&two[0], &two[1])?, third(&two[1], &two[0])?];
        let (Some(one), Some(other)) = (one, other) else {
            return Ok(Check::not_run(kind, "there are too few groups"));
        };
        let half = |a: f64, b: f64| 0.5 * (a + b);
        let value = Interval {
            estimate: half(one.estimate, other.estimate),
            low: half(one.low, other.low),
            high: half(one.high, other.high),
        };
        let detail = match crossed {
            Some(_) => "chosen by the control's answer, measured by the condition's own, and the other way round",
            None => "chosen in every other layer, measured in the others, and the other way round",
        };
        let Settings { level, power, margin, .. } = *self.settings();
        Ok(Check::run(kind, value.low > -2.0 * margin, detail, value).powered(level, power))
    }
}

/// Mean of `measured` over the third of the groups that are lowest by `chosen`, with one-sided bounds of `level` by Student's t.
fn lowest_third(chosen: &[f64], measured: &[f64], groups: &[String], level: f64) -> Result<Option<Interval>> {
    let mut by_group: std::collections::BTreeMap<&str, (Vec<f64>, Vec<usize>)> = std::collections::BTreeMap::new();
    for (row, (group, value)) in groups.iter().zip(chosen).enumerate() {
        let (values, rows) = by_group.entry(group).or_default();
        values.push(*value);
        rows.push(row);
    }
    let mut order: Vec<(f64, Vec<usize>)> =
        by_group.into_values().map(|(values, rows)| (mean(&values), rows)).collect();
    order.sort_by(|a, b| a.0.total_cmp(&b.0));
    order.truncate(order.len() / 3);
    if order.len() < 3 {
        return Ok(None);
    }
    let rows: Vec<usize> = order.into_iter().flat_map(|(_, rows)| rows).collect();
    let values = crate::stats::pick(measured, &rows);
    let column = ndarray::ArrayView2::from_shape((values.len(), 1), &values)
        .map_err(|error| Error::mismatch("levels", error.to_string()))?;
    let means = ClusteredMeans::new(column, &crate::stats::pick(groups, &rows))?;
    let (estimate, error) = (mean(&values), means.standard_errors().first().copied().unwrap_or(f64::NAN));
    let reach = student_upper_quantile(1.0 - level, means.degrees()) * error;
    Ok(Some(Interval { estimate, low: estimate - reach, high: estimate + reach }))
}
