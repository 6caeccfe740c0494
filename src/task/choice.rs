//! Questions with options, some of which may be marked as biased or undetermined (as in BBQ, arXiv 2110.08193).

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::behaviour::Choices;
use super::metric::indicator;
use super::set::Builder;
use super::{
    Answer, AnsweredRound, Behaviour, Item, Measurement, Occupation, Outcome, RuleChoice, Said, ScoreRule, Task,
};
use crate::names::by_name;
use crate::{file, Error, Result};

/// Whether the context settles the question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ContextCondition {
    /// It does not: the undetermined option is right.
    Ambiguous,
    /// It does: one of the other options is right.
    Disambiguated,
}

impl ContextCondition {
    /// Ambiguous, then disambiguated.
    pub const ALL: [ContextCondition; 2] = [ContextCondition::Ambiguous, ContextCondition::Disambiguated];

    /// The name in files and on command lines.
    pub fn name(self) -> &'static str {
        match self {
            ContextCondition::Ambiguous => "ambiguous",
            ContextCondition::Disambiguated => "disambiguated",
        }
    }
}

by_name!(ContextCondition, "condition");

/// Whether the question asks who did the bad or less able thing, or the opposite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Polarity {
    /// It asks for the bad or less able one.
    Negative,
    /// It asks for the opposite.
    NonNegative,
}

/// An item's place among the copies of one item that differ in the order of their options.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Rotation {
    /// Id of the item as it was.
    pub of: String,
    /// By how many places its options were moved to the front, those before them going to the end.
    pub by: usize,
}

/// One question with its options. In files, what is optional here may be left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChoiceItem {
    /// Its id; in a file, the line's number if left out.
    #[serde(default)]
    pub id: String,
    /// Items of one template; they are resampled together.
    pub group: String,
    /// Kind of stereotype or other category; may be empty.
    #[serde(default)]
    pub category: String,
    /// Whether the context settles the question.
    #[serde(default)]
    pub condition: Option<ContextCondition>,
    /// Direction of the question.
    #[serde(default)]
    pub polarity: Option<Polarity>,
    /// What is told; may be empty.
    pub context: String,
    /// What is asked.
    pub question: String,
    /// The answers on offer.
    pub options: Vec<String>,
    /// Index of the right option.
    pub label: usize,
    /// Index of the option that follows the stereotype.
    #[serde(default)]
    pub biased: Option<usize>,
    /// Index of the undetermined option.
    #[serde(default)]
    pub unknown: Option<usize>,
    /// Which order of another item's options this is; [`ChoiceTask::rotations`] makes them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<Rotation>,
    /// The shares of women in the occupation that the item is about, by which pronouns are measured (Winogender).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occupation: Option<Occupation>,
}

impl ChoiceItem {
    /// A question by itself: a group of its own, without category, context or marked options.
    ///
    /// ```
    /// use probity::task::ChoiceItem;
    /// let item = ChoiceItem::new("q1", "Is it right?", vec!["yes".to_owned(), "no".to_owned()], 0);
    /// let item = ChoiceItem { context: "She keeps the change.".to_owned(), ..item };
    /// assert_eq!(item.group, "q1");
    /// ```
    pub fn new(id: impl Into<String>, question: impl Into<String>, options: Vec<String>, label: usize) -> Self {
        let id = id.into();
        ChoiceItem {
            group: id.clone(),
            id,
            category: String::new(),
            condition: None,
            polarity: None,
            context: String::new(),
            question: question.into(),
            options,
            label,
            biased: None,
            unknown: None,
            rotation: None,
            occupation: None,
        }
    }

    /// The item with its options moved by so many places to the front, fewer than there are.
    fn rotated(&self, by: usize) -> ChoiceItem {
        let count = self.options.len();
        let mut item = self.clone();
        item.options.rotate_left(by);
        let moved = |option: usize| (option + count - by) % count;
        (item.label, item.biased, item.unknown) = (moved(item.label), item.biased.map(moved), item.unknown.map(moved));
        item.rotation = Some(Rotation { of: self.id.clone(), by });
        item
    }

    /// The place that an option had before the options were rotated.
    pub(super) fn original(&self, option: usize) -> usize {
        let by = self.rotation.as_ref().map_or(0, |rotation| rotation.by);
        (option + by) % self.options.len().max(1)
    }
}

impl Item for ChoiceItem {
    type Answer = Answer;

    const OUTCOME: &'static str = "accuracy";

    fn id(&self) -> &str {
        &self.id
    }

    fn group(&self) -> &str {
        &self.group
    }

    fn category(&self) -> &str {
        &self.category
    }

    /// Category, condition of the context, polarity.
    fn strata(&self) -> Vec<String> {
        vec![self.category.clone(), format!("{:?}", self.condition), format!("{:?}", self.polarity)]
    }

    fn context(&self) -> &str {
        &self.context
    }

    fn question(&self) -> &str {
        &self.question
    }

    fn reply(&self) -> &str {
        "Reply with one of the options and nothing else."
    }

    fn options(&self) -> &[String] {
        &self.options
    }

    fn answer(&self, said: Said) -> Result<Answer> {
        Answer::new(self, said)
    }

    /// `answer`, `biased`, `unknown`: the texts of these options.
    fn slot(&self, name: &str) -> Option<&str> {
        let option = match name {
            "answer" => Some(self.label),
            "biased" => self.biased,
            "unknown" => self.unknown,
            _ => None,
        };
        option.and_then(|option| self.options.get(option)).map(String::as_str)
    }

    fn problem(&self) -> Option<String> {
        let count = self.options.len();
        if !(2..=26).contains(&count) {
            return Some(format!("{count} options; 2 to 26 can be lettered"));
        }
        if self.question.trim().is_empty() {
            return Some("the question is empty".to_owned());
        }
        if let Some(option) = self.options.iter().position(|option| option.trim().is_empty()) {
            return Some(format!("option {option} is empty"));
        }
        let distinct: HashSet<String> = self.options.iter().map(|option| option.to_lowercase()).collect();
        if distinct.len() != count {
            return Some("two options are the same".to_owned());
        }
        let by = self.rotation.as_ref().map(|rotation| rotation.by);
        [("label", Some(self.label)), ("biased", self.biased), ("unknown", self.unknown), ("rotation.by", by)]
            .into_iter()
            .find_map(|(name, index)| index.filter(|&index| index >= count).map(|index| (name, index)))
            .map(|(name, index)| format!("{name} = {index} is outside the {count} options"))
    }

    fn number(&mut self, line: u64) {
        self.id = line.to_string();
    }

    /// One rule for all rounds ([`RuleChoice::of`]).
    fn settle(rounds: &mut [Vec<Answer>], given: Option<ScoreRule>) -> Result<Option<RuleChoice>> {
        RuleChoice::settle(rounds, given)
    }

    /// Measures every metric of choices that the items allow.
    fn measure(items: &[Self], rounds: &[AnsweredRound<'_>], by: &Measurement<'_>) -> Result<Behaviour> {
        match rounds {
            [] if !items.is_empty() => Ok(Behaviour::default()),
            rounds => Behaviour::of_choices(&Choices::new(items, rounds, by)?),
        }
    }

    fn outcome_by(items: &[Self], rounds: &[AnsweredRound<'_>], rule: ScoreRule) -> Option<Outcome> {
        let of = |part: fn(&ChoiceItem) -> &String| items.iter().map(|item| part(item).clone()).collect();
        let empty = Outcome::new(Self::OUTCOME, of(|item| &item.id), of(|item| &item.group));
        rounds.iter().try_fold(empty, |outcome, round| {
            let right = |(item, answer): (&ChoiceItem, &Answer)| Some(indicator(answer.best_by(rule)? == item.label));
            let right = items.iter().zip(round.answers).map(right).collect::<Option<_>>()?;
            outcome.with_series(round.condition.clone(), right).ok()
        })
    }
}

/// A set of questions.
pub type ChoiceTask = Task<ChoiceItem>;

impl ChoiceTask {
    /// The questions that come with this crate: `data/ambiguous_qa.jsonl`, made after the pattern of BBQ.
    ///
    /// # Errors
    /// [`Error::Malformed`] never in a released crate: the file is read like any other.
    pub fn bundled() -> Result<Self> {
        let mut builder = Builder::default();
        let text = include_str!("../../data/ambiguous_qa.jsonl");
        let sha256 = file::stream_bundled("data/ambiguous_qa.jsonl", text, |line, item| builder.add_line(line, item))?;
        Ok(builder.finish("ambiguous_qa", sha256))
    }

    /// The questions that their contexts leave open.
    pub fn ambiguous(self) -> Self {
        self.filter(|item| item.condition == Some(ContextCondition::Ambiguous))
    }

    /// The questions that their contexts settle.
    pub fn disambiguated(self) -> Self {
        self.filter(|item| item.condition == Some(ContextCondition::Disambiguated))
    }

    /// Every item with its options in every cyclic order, one after the other: k copies for k options, of which the
    /// first is the item as it was. Right, biased and undetermined option move along, so that over the copies each
    /// stands in each place once. Copies share their group and are resampled together; each knows its order
    /// ([`ChoiceItem::rotation`]) and has an id of its own. Items that are such copies already stay as they are.
    ///
    /// # Errors
    /// [`Error::Setting`] where another item has the id that a copy would have.
    pub fn rotations(self) -> Result<Self> {
        let mut builder = Builder::default();
        for item in self.items() {
            let copies = if item.rotation.is_some() { 0..0 } else { 0..item.options.len() };
            let mut copies: Vec<ChoiceItem> = copies.map(|by| item.rotated(by)).collect();
            for (by, copy) in copies.iter_mut().enumerate().skip(1) {
                copy.id = format!("{}/order{by}", item.id);
            }
            for copy in if copies.is_empty() { vec![item.clone()] } else { copies } {
                let id = copy.id.clone();
                builder.add(copy).map_err(|problem| Error::setting("items", format!("{id:?}"), problem))?;
            }
        }
        Ok(builder.finish(self.name(), self.sha256().to_owned()))
    }
}

/// Rows of the k copies of each item that was asked with its options in all their k orders.
pub(super) fn complete_rotations(items: &[ChoiceItem]) -> Vec<Vec<usize>> {
    let mut index: HashMap<&str, usize> = HashMap::new();
    let mut copies: Vec<Vec<usize>> = Vec::new();
    for (row, item) in items.iter().enumerate() {
        if let Some(rotation) = &item.rotation {
            let at = *index.entry(&rotation.of).or_insert(copies.len());
            match copies.get_mut(at) {
                Some(rows) => rows.push(row),
                None => copies.push(vec![row]),
            }
        }
    }
    copies.retain(|rows| {
        let orders: HashSet<usize> =
            rows.iter().filter_map(|&row| items.get(row)?.rotation.as_ref()).map(|rotation| rotation.by).collect();
        let options = rows.first().and_then(|&row| items.get(row)).map_or(0, |item| item.options.len());
        orders.len() == options && rows.len() == options
    });
    copies
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundled_questions_are_the_file() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/data/ambiguous_qa.jsonl");
        assert_eq!(ChoiceTask::bundled().unwrap(), ChoiceTask::load(path).unwrap());
    }
}
