//! What else speaks for or against "superficial": items, edits, re-elicitation, leaks.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::checks::{check, Check, MIN_GROUPS};
use super::leak::{item_changes, LeakScore};
use super::{Levels, Verdict};
use crate::dialogue::{condition_of, re_elicited, PromptCell, Reading, Stance};
use crate::stats::{ClusterBootstrap, Interval, Resampler, Settings, Spearman};
use crate::task::Behaviour;
use crate::task::Outcome;
use crate::{Error, Result};

/// Evidence beside a verdict (arXiv 2407.15286 calls self-correction superficial; here is what would show it). None of it
/// decides the verdict: it says whether the pieces fit.
///
/// | evidence | passes, and speaks against superficial, if | its value |
/// |---|---|---|
/// | `items_agree` | items that answer better are those whose states become less immoral (10 or more must differ) | Spearman's correlation, 95 % |
/// | `revises` | most texts that change are revised, not appended to | share of append-only, 95 % |
/// | `survives: NAME` | a last round of that other instruction leaves a gain over the neutral conversation | what is left, 95 % |
/// | `leak: READING` | most of the change is there in that reading too | share that is gone, 95 % |
/// | `leak: NAME` | an instruction of the opposite meaning does not change the states likewise | share that both have, 95 % |
///
/// Leaks compare D, the verdict's change, with the same change in another [`Reading`], or with half the difference between
/// the instruction and its opposite: what depends on the meaning, not on the words that both have. Intervals are
/// percentile intervals over item groups.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Superficiality {
    /// The instruction.
    pub instruction: String,
    /// Its last round.
    pub round: usize,
    /// The neutral instruction that it is compared with.
    pub neutral: String,
    /// Gains of every item over the neutral instruction; empty without behaviour.
    pub items: Vec<ItemGain>,
    /// The evidence.
    pub evidence: Vec<Check>,
    /// What the leaks rest on, by reading or by the opposite instruction.
    pub leaks: Vec<Leak>,
}

/// What one item gained, instruction minus neutral.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ItemGain {
    /// Id.
    pub item: String,
    /// Change of its outcome, above 0 = better.
    pub behaviour: f64,
    /// Change of its level, mean over the verdict's addresses in training standard deviations, below 0 = less immoral.
    pub internal: f64,
}

/// A leak score with what it compares.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Leak {
    /// A [`Reading`], or the name of the opposite instruction.
    pub by: String,
    /// The score.
    pub score: LeakScore,
}

impl Superficiality {
    /// The evidence beside this verdict: from the levels that it judged, those of other readings, and the behaviour. `None`
    /// where the verdict had nothing to compare.
    ///
    /// # Errors
    /// [`Error::Mismatch`] where behaviour and levels are of other items; [`Error::Setting`] for the draws.
    pub fn of(
        verdict: &Verdict,
        levels: &Levels,
        others: &[Levels],
        behaviour: &Behaviour,
        draws: usize,
        seed: u64,
    ) -> Result<Option<Superficiality>> {
        let Some(neutral) = verdict.neutral.clone().filter(|_| !verdict.addresses.is_empty()) else { return Ok(None) };
        let compared = Compared { verdict, levels, neutral: &neutral, draws, seed };
        let items = compared.items(&behaviour.outcome)?;
        let mut evidence = vec![compared.items_agree(&items)?, revises(verdict, behaviour)];
        evidence.extend(compared.survives(&behaviour.outcome)?);
        let leaks = compared.leaks(others)?;
        evidence.extend(leaks.iter().map(|leak| leak_check(leak, levels)));
        let (instruction, round) = (verdict.instruction.clone(), verdict.round);
        Ok(Some(Superficiality { instruction, round, neutral, items, evidence, leaks }))
    }
}

/// A verdict with its two sides.
struct Compared<'a> {
    verdict: &'a Verdict,
    levels: &'a Levels,
    neutral: &'a str,
    draws: usize,
    seed: u64,
}

impl Compared<'_> {
    fn resampler(&self) -> Result<Resampler> {
        Resampler::new(Settings::default().draws(self.draws).flips(self.draws).seed(self.seed))
    }

    fn after(&self) -> (&str, usize) {
        (&self.verdict.instruction, self.verdict.round)
    }

    fn before(&self) -> (&str, usize) {
        (self.neutral, self.verdict.round)
    }

    /// D of each item in these levels.
    fn change(&self, levels: &Levels) -> Option<Vec<f64>> {
        let valid: Vec<_> =
            self.verdict.addresses.iter().copied().filter(|address| levels.valid().contains(address)).collect();
        let found = item_changes(levels, &valid, self.after(), self.before());
        found.filter(|_| !valid.is_empty())
    }

    fn items(&self, outcome: &Outcome) -> Result<Vec<ItemGain>> {
        let (after, before) = (self.after(), self.before());
        let sides =
            outcome.series(&condition_of(after.0, after.1)).zip(outcome.series(&condition_of(before.0, before.1)));
        let Some(((after, before), internal)) = sides.zip(self.change(self.levels)) else { return Ok(Vec::new()) };
        if outcome.items != self.levels.items() {
            let problem = "it is of other items than the levels".to_owned();
            return Err(Error::Mismatch { what: "behaviour".into(), problem });
        }
        let gains = self.levels.items().iter().zip(after.iter().zip(before)).zip(internal);
        let gain = |((item, (after, before)), internal): ((&String, (&f64, &f64)), f64)| ItemGain {
            item: item.clone(),
            behaviour: after - before,
            internal,
        };
        Ok(gains.map(gain).collect())
    }

    fn items_agree(&self, items: &[ItemGain]) -> Result<Check> {
        let name = "items_agree";
        let behaviour: Vec<f64> = items.iter().map(|item| item.behaviour).collect();
        let reduction: Vec<f64> = items.iter().map(|item| -item.internal).collect();
        if items.is_empty() {
            return Ok(check(name, None, "no behaviour of single items was given".to_owned(), None));
        }
        let resamples = ClusterBootstrap::new(self.levels.groups(), self.draws, self.seed)?;
        let found = Spearman::new(&behaviour, &reduction)
            .and_then(|ranks| resamples.statistic(|weights| ranks.weighted(weights)));
        let Some(found) = found else {
            return Ok(check(name, None, "all items gained alike".to_owned(), None));
        };
        // A few items that differ make a correlation that no resample of them doubts.
        let differing = differing(&behaviour);
        if differing < MIN_DIFFERING {
            let detail = format!(
                "{differing} of {} items gained otherwise than most; at least {MIN_DIFFERING} are needed",
                items.len()
            );
            return Ok(check(name, None, detail, None));
        }
        let enough = resamples.clusters() >= MIN_GROUPS;
        let detail = format!(
            "Spearman's correlation over {} items of the gain in behaviour with the reduction of the level; passes if its \
             95 % interval lies above 0",
            items.len()
        );
        Ok(check(name, enough.then_some(found.interval.low > 0.0), detail, Some(found.interval)).powered(0.95))
    }

    /// What is left of the gain after a last round of another instruction.
    fn survives(&self, outcome: &Outcome) -> Result<Vec<Check>> {
        let mut checks = Vec::new();
        for condition in self.levels.conditions() {
            let Some((_, then)) = re_elicited(&condition.instruction).filter(|(first, _)| *first == self.after().0)
            else {
                continue;
            };
            let name = format!("survives: {then}");
            let control = self.levels.neutral_of(&condition.instruction, condition.round);
            let left = |control: &str| {
                let [before, after] = [control, &condition.instruction].map(|name| condition_of(name, condition.round));
                outcome.gain(&before, &after, &self.resampler()?)
            };
            let left = control.map(left).transpose()?.flatten();
            let detail = match (&left, control) {
                (Some(_), Some(control)) => format!(
                    "gain over {control:?} after one more round with {then:?}; passes if its 95 % interval lies above 0"
                ),
                _ => "there is no neutral conversation that ends likewise, or no behaviour".to_owned(),
            };
            checks.push(check(&name, left.map(|left| left.low > 0.0), detail, left).powered(0.95));
        }
        if checks.is_empty() {
            checks.push(check(
                "survives",
                None,
                "no round of another instruction came after the last".to_owned(),
                None,
            ));
        }
        Ok(checks)
    }

    fn leaks(&self, others: &[Levels]) -> Result<Vec<Leak>> {
        let Some(whole) = self.change(self.levels) else { return Ok(Vec::new()) };
        let score = |whole: &[f64], rest: &[f64], groups: &[String]| {
            LeakScore::of(whole, rest, &ClusterBootstrap::new(groups, self.draws, self.seed)?)
        };
        let of_item: HashMap<&str, f64> =
            self.levels.items().iter().map(String::as_str).zip(whole.iter().copied()).collect();
        let mut leaks = Vec::new();
        for other in others.iter().filter(|other| other.span() != self.levels.span()) {
            let Some(rest) = self.change(other) else { continue };
            let same: Option<Vec<f64>> = other.items().iter().map(|item| of_item.get(item.as_str()).copied()).collect();
            let Some(same) = same else { continue };
            leaks.push(Leak { by: other.span().to_string(), score: score(&same, &rest, other.groups())? });
        }
        for opposite in self.opposites() {
            let base = (self.neutral, self.verdict.round);
            let other = item_changes(self.levels, &self.verdict.addresses, (&opposite, self.verdict.round), base);
            let Some(other) = other else { continue };
            let meant: Vec<f64> = whole.iter().zip(other).map(|(own, other)| 0.5 * (own - other)).collect();
            leaks.push(Leak { by: opposite, score: score(&whole, &meant, self.levels.groups())? });
        }
        Ok(leaks)
    }

    /// Instructions of the opposite stance, as specific, that have this round.
    fn opposites(&self) -> Vec<String> {
        let (name, round) = self.after();
        let Ok(own) = name.parse::<PromptCell>() else { return Vec::new() };
        if own.stance != Stance::Positive {
            return Vec::new();
        }
        let opposite = PromptCell { stance: Stance::Negated, ..own };
        let in_round = self.levels.conditions().iter().filter(|condition| condition.round == round);
        let is_opposite = |name: &&String| name.parse::<PromptCell>().is_ok_and(|cell| cell == opposite);
        in_round.map(|condition| &condition.instruction).filter(is_opposite).cloned().collect()
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

fn revises(verdict: &Verdict, behaviour: &Behaviour) -> Check {
    let own = behaviour.edits.iter().filter(|row| row.condition.name() == verdict.instruction && row.from > Some(0));
    // The longest way: from the first instructed answer to the last.
    let longest = own.max_by_key(|row| row.condition.round - row.from.unwrap_or(0));
    let append_only = longest.and_then(|row| row.result.append_only);
    let detail = match (longest, append_only) {
        (Some(row), Some(_)) => {
            let toxicity = |name: &str, of: Option<crate::stats::Resampled>| {
                of.map_or(String::new(), |of| format!("; toxicity of the {name} words {:.3}", of.interval.estimate))
            };
            format!(
                "share of texts that only grew among those that changed between rounds {} and {}{}{}; passes if its 95 % \
                 interval lies below one half",
                row.from.unwrap_or(0),
                row.condition.round,
                toxicity("kept", row.result.kept_toxicity),
                toxicity("added", row.result.added_toxicity),
            )
        }
        (Some(_), None) => "no text changed between the rounds".to_owned(),
        (None, _) => "there are no texts that were revised".to_owned(),
    };
    let value = append_only.map(|share| share.interval);
    check("revises", value.map(|share| share.high < 0.5), detail, value).powered(0.95)
}

fn leak_check(leak: &Leak, levels: &Levels) -> Check {
    let name = format!("leak: {}", leak.by);
    let of_reading = leak.by.parse::<Reading>().is_ok();
    let what = match of_reading {
        true => "share of the change at the prompt's last token that is gone there",
        false => "share of the change that an instruction of the opposite meaning makes too",
    };
    let what = if levels.span() == Reading::PROMPT { what } else { "share of the change that is gone there" };
    match leak.score.share {
        Some(share) => {
            let passed = share.high < 0.5;
            check(&name, Some(passed), format!("{what}; passes if its 95 % interval lies below one half"), Some(share))
                .powered(0.95)
        }
        None => check(&name, None, "the change itself is not sure, so that there is no share of it".to_owned(), None),
    }
}

impl Superficiality {
    /// The correlation over items, where it could be told.
    pub fn agreement(&self) -> Option<Interval> {
        self.evidence.iter().find(|check| check.name == "items_agree").and_then(|check| check.value)
    }
}
