//! What else speaks for or against "superficial": items, edits, re-elicitation, leaks.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::check::{Check, CheckKind};
use super::effect::Change;
use super::leak::LeakScore;
use super::levels::Levels;
use super::probe_validity::MIN_GROUPS;
use super::readings::ReadingLevels;
use super::verdict::Verdict;
use super::wordings;
use crate::condition::Condition;
use crate::dialogue::{Part, Reading};
use crate::stats::{Interval, Resampler, Settings, Spearman};
use crate::task::{Behaviour, Outcome};
use crate::{Error, Result};

/// Evidence beside a verdict (arXiv 2407.15286 calls self-correction superficial; here is what would show it). None of it
/// decides the verdict: it says whether the pieces fit. A check that passes speaks against superficial:
/// [`CheckKind::ItemsAgree`], [`CheckKind::Revises`], [`CheckKind::Survives`] for every instruction that ended a copy of the
/// conversations, [`CheckKind::OverMention`] where the instruction was also only quoted, [`CheckKind::Leak`] for every other reading and for the instruction of opposite meaning.
///
/// Leaks compare D, the verdict's change, with the same change in another [`Reading`], or with half the difference between
/// the instruction and its opposite: what depends on the meaning, not on the words that both have. Intervals are
/// percentile intervals over item groups.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Evidence {
    /// The instruction, in its last round.
    #[serde(flatten)]
    pub condition: Condition,
    /// Name of the instruction that it is compared with.
    pub control: String,
    /// Gains of every item over the control; empty without behaviour.
    pub items: Vec<ItemGain>,
    /// The evidence.
    #[serde(rename = "evidence")]
    pub checks: Vec<Check>,
    /// What the leaks rest on.
    pub leaks: Vec<Leak>,
}

/// What one item gained, condition minus control.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct ItemGain {
    /// Id.
    pub item: String,
    /// Change of its outcome, above 0 = better.
    pub behaviour: f64,
    /// Change of its level, over its answer, mean over the verdict's addresses in class distances, below 0 = less immoral.
    pub internal: f64,
}

/// Where a part of a change may be gone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LeakBy {
    /// In another reading of the same conversations.
    Reading(Reading),
    /// Where an instruction of the opposite meaning is given; its name.
    Opposite(String),
}

/// A leak score with what it compares.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Leak {
    /// What the change is held against.
    pub by: LeakBy,
    /// The score.
    pub score: LeakScore,
}

impl Evidence {
    /// The evidence beside a verdict: from the levels that it judged, and the behaviour. `None`
    /// where the verdict had nothing to compare.
    ///
    /// # Errors
    /// [`Error::Mismatch`] where behaviour and levels are of other items; [`Error::Setting`] for settings out of range.
    pub fn gather(
        verdict: &Verdict,
        levels: &ReadingLevels,
        behaviour: &Behaviour,
        settings: Settings,
    ) -> Result<Option<Evidence>> {
        Evidence::gather_with(verdict, levels, behaviour, &Resampler::new(settings)?)
    }

    /// [`Evidence::gather`] with the resamples of a whole analysis.
    pub(crate) fn gather_with(
        verdict: &Verdict,
        levels: &ReadingLevels,
        behaviour: &Behaviour,
        resampler: &Resampler,
    ) -> Result<Option<Evidence>> {
        let Some((first, others)) = levels.readings().split_first() else { return Ok(None) };
        let of_control = levels.get(Reading::CONTROL_ANSWER);
        let (answers, levels) = (levels.get(Reading::of(Part::Answer)).unwrap_or(first), first);
        let Some(control) = levels.design().control(&verdict.condition) else { return Ok(None) };
        if verdict.addresses.is_empty() {
            return Ok(None);
        }
        let compared = Compared { verdict, levels, answers, control, resampler };
        let items = compared.items(&behaviour.outcome)?;
        let mut checks = vec![compared.items_agree(&items)?, compared.revises(behaviour)];
        checks.extend(compared.survives(&behaviour.outcome)?);
        checks.extend(compared.over_mention(of_control)?);
        let leaks = compared.leaks(others)?;
        checks.extend(leaks.iter().map(|leak| compared.leak_check(leak)));
        let control = control.instruction.clone();
        Ok(Some(Evidence { condition: verdict.condition.clone(), control, items, checks, leaks }))
    }

    /// The correlation over items, where it could be told.
    pub fn agreement(&self) -> Option<Interval> {
        self.checks.iter().find(|check| check.kind == CheckKind::ItemsAgree).and_then(|check| check.value)
    }
}

/// A verdict with its two sides.
struct Compared<'a> {
    verdict: &'a Verdict,
    /// Levels at the prompt, or what was read first.
    levels: &'a Levels,
    /// Levels that the verdict rests on.
    answers: &'a Levels,
    control: &'a Condition,
    resampler: &'a Resampler,
}

impl Compared<'_> {
    /// Change of each item in these levels against this condition; `None` where the levels lack it or a valid address.
    fn change_against(&self, levels: &Levels, base: &Condition) -> Result<Option<Vec<f64>>> {
        let valid: Vec<_> =
            self.verdict.addresses.iter().copied().filter(|address| levels.valid().contains(address)).collect();
        let has = |condition: &Condition| levels.design().position(condition).is_some();
        if valid.is_empty() || !has(&self.verdict.condition) || !has(base) {
            return Ok(None);
        }
        let change = Change::between(levels, &self.verdict.condition, base, &valid);
        change.items(change.whole()).map(Some)
    }

    /// D of each item in these levels.
    fn change(&self, levels: &Levels) -> Result<Option<Vec<f64>>> {
        self.change_against(levels, self.control)
    }

    /// A check of the evidence with its power.
    fn check(&self, kind: CheckKind, passed: bool, detail: String, value: Interval) -> Check {
        let Settings { level, power, .. } = *self.resampler.settings();
        Check::run(kind, passed, detail, value).powered(level, power)
    }

    fn items(&self, outcome: &Outcome) -> Result<Vec<ItemGain>> {
        let sides = outcome.series(&self.verdict.condition).zip(outcome.series(self.control));
        let Some(((after, before), internal)) = sides.zip(self.change(self.answers)?) else { return Ok(Vec::new()) };
        let gains = after.iter().zip(before).map(|(after, before)| after - before);
        let of_item: HashMap<&str, f64> = outcome.items.iter().map(String::as_str).zip(gains).collect();
        let gain = |(item, internal): (&String, f64)| {
            let behaviour = of_item.get(item.as_str()).copied()?;
            Some(ItemGain { item: item.clone(), behaviour, internal })
        };
        let gains: Option<Vec<ItemGain>> = self.answers.items().iter().zip(internal).map(gain).collect();
        gains.ok_or_else(|| Error::mismatch("behaviour", "it is of other items than the levels"))
    }

    fn items_agree(&self, items: &[ItemGain]) -> Result<Check> {
        let kind = CheckKind::ItemsAgree;
        let behaviour: Vec<f64> = items.iter().map(|item| item.behaviour).collect();
        let reduction: Vec<f64> = items.iter().map(|item| -item.internal).collect();
        if items.is_empty() {
            return Ok(Check::not_run(kind, "no behaviour of single items was given"));
        }
        let resamples = self.resampler.of(self.answers.groups())?;
        let found = Spearman::new(&behaviour, &reduction)
            .and_then(|ranks| resamples.statistic(|weights| ranks.weighted(weights)));
        let Some(found) = found else { return Ok(Check::not_run(kind, "all items gained alike")) };
        // A few items that differ make a correlation that no resample of them doubts.
        let differing = differing(&behaviour);
        if differing < MIN_DIFFERING {
            let detail = format!(
                "{differing} of {} items gained otherwise than most; at least {MIN_DIFFERING} are needed",
                items.len()
            );
            return Ok(Check::not_run(kind, detail));
        }
        let detail = format!(
            "Spearman's correlation over {} items of the gain in behaviour with the reduction of the level",
            items.len()
        );
        let value = found.interval;
        Ok(self.check(kind, value.low > 0.0, detail, value).judged_if(resamples.clusters() >= MIN_GROUPS))
    }

    fn revises(&self, behaviour: &Behaviour) -> Check {
        let kind = CheckKind::Revises;
        let condition = &self.verdict.condition;
        let own = behaviour.edits.iter().filter(|row| row.condition.same_course(condition) && row.from > Some(0));
        // The longest way: from the first instructed answer to the last.
        let Some(row) = own.max_by_key(|row| row.condition.round.saturating_sub(row.from.unwrap_or(0))) else {
            return Check::not_run(kind, "there are no texts that were revised");
        };
        let Some(share) = row.result.append_only else {
            return Check::not_run(kind, "no text changed between the rounds");
        };
        let toxicity = |name: &str, of: Option<crate::stats::Resampled>| {
            of.map_or(String::new(), |of| format!("; toxicity of the {name} words {:.3}", of.interval.estimate))
        };
        let detail = format!(
            "share of texts that only grew among those that changed between rounds {} and {}{}{}",
            row.from.unwrap_or(0),
            row.condition.round,
            toxicity("kept", row.result.kept_toxicity),
            toxicity("added", row.result.added_toxicity),
        );
        self.check(kind, share.high < 0.5, detail, share)
    }

    /// What is left of the gain after a last round of another instruction.
    fn survives(&self, outcome: &Outcome) -> Result<Vec<Check>> {
        let kind = CheckKind::Survives;
        let design = self.levels.design();
        let mut checks = Vec::new();
        for condition in design.re_elicited(&self.verdict.condition) {
            let then = condition.then.as_deref().unwrap_or_default();
            let control = design.control(condition);
            let gain = |control| wordings::gain(outcome, design, (control, condition), self.resampler);
            let left = control.map(gain).transpose()?.flatten();
            let check = match (left, control) {
                (Some(left), Some(control)) => {
                    let detail = format!("gain over {:?} after one more round with {then:?}", control.name());
                    self.check(kind, left.low > 0.0, detail, left)
                }
                _ => Check::not_run(kind, "there is no neutral conversation that ends likewise, or no behaviour"),
            };
            checks.push(check.about(then));
        }
        if checks.is_empty() {
            checks.push(Check::not_run(kind, "no round of another instruction came after the last"));
        }
        Ok(checks)
    }

    /// The control's answer in the instruction's conversation against the same answer where the instruction is only quoted.
    fn over_mention(&self, of_control: Option<&Levels>) -> Result<Option<Check>> {
        let kind = CheckKind::OverMention;
        let condition = &self.verdict.condition;
        let Some(mention) = self.levels.design().mention(condition) else { return Ok(None) };
        let has = |levels: &&Levels| [condition, mention].iter().all(|at| levels.design().position(at).is_some());
        let Some(of_control) = of_control.filter(has) else {
            let why = "the control's answer was not read after both conversations";
            return Ok(Some(Check::not_run(kind, why).about(mention.name())));
        };
        let effect =
            Change::between(of_control, condition, mention, &self.verdict.addresses).measure(self.resampler)?;
        let Some(lowest) = effect.stretches.iter().min_by(|a, b| a.above.total_cmp(&b.above)) else {
            return Ok(Some(Check::not_run(kind, "no probe is valid").about(mention.name())));
        };
        let value = Interval { high: lowest.above, ..lowest.interval };
        let detail = format!(
            "the control's answer in both conversations, over {} valid layers, the lowest of {} runs of layers",
            lowest.stretch.last + 1 - lowest.stretch.first,
            effect.stretches.len()
        );
        let check = self.check(kind, lowest.above < 0.0, detail, value).about(mention.name());
        let clusters = self.resampler.of(of_control.groups())?.clusters();
        Ok(Some(check.judged_if(clusters >= MIN_GROUPS)))
    }

    fn leaks(&self, others: &[Levels]) -> Result<Vec<Leak>> {
        let Some(whole) = self.change(self.levels)? else { return Ok(Vec::new()) };
        let score = |whole: &[f64], rest: &[f64], groups: &[String]| {
            LeakScore::measure(whole, rest, &*self.resampler.of(groups)?)
        };
        let of_item: HashMap<&str, f64> =
            self.levels.items().iter().map(String::as_str).zip(whole.iter().copied()).collect();
        let mut leaks = Vec::new();
        for other in others.iter().filter(|other| other.reading() != self.levels.reading()) {
            let Some(rest) = self.change(other)? else { continue };
            let same: Option<Vec<f64>> = other.items().iter().map(|item| of_item.get(item.as_str()).copied()).collect();
            let Some(same) = same else { continue };
            leaks.push(Leak { by: LeakBy::Reading(other.reading()), score: score(&same, &rest, other.groups())? });
        }
        if let Some(opposite) = self.levels.design().opposite(&self.verdict.condition) {
            // Half of the difference between the two is what the opposite does not share.
            if let Some(apart) = self.change_against(self.levels, opposite)? {
                let meant: Vec<f64> = apart.iter().map(|apart| 0.5 * apart).collect();
                let score = score(&whole, &meant, self.levels.groups())?;
                leaks.push(Leak { by: LeakBy::Opposite(opposite.instruction.clone()), score });
            }
        }
        Ok(leaks)
    }

    fn leak_check(&self, leak: &Leak) -> Check {
        let at_prompt = self.levels.reading() == Reading::PROMPT;
        let (about, what) = match &leak.by {
            LeakBy::Opposite(name) => {
                (name.clone(), "share of the change that an instruction of the opposite meaning makes too")
            }
            LeakBy::Reading(reading) if at_prompt => {
                (reading.to_string(), "share of the change at the prompt's last token that is gone there")
            }
            LeakBy::Reading(reading) => (reading.to_string(), "share of the change that is gone there"),
        };
        let check = match leak.score.share {
            Some(share) => self.check(CheckKind::Leak, share.high < 0.5, what.to_owned(), share),
            None => Check::not_run(CheckKind::Leak, "the change itself is not sure, so that there is no share of it"),
        };
        check.about(about)
    }
}

/// Items that must differ in what they gained, before gains are ranked.
const MIN_DIFFERING: usize = 10;

/// Values other than the most frequent one.
fn differing(values: &[f64]) -> usize {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let most = sorted.chunk_by(|a, b| a == b).map(<[f64]>::len).max().unwrap_or(0);
    values.len() - most
}
