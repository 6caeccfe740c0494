//! Questions with options, some of which may be marked as biased or undetermined (as in BBQ, arXiv 2110.08193).

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::{Answer, Item, Said, Task};
use crate::Result;

/// Whether the context settles the question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// It does not: the undetermined option is right.
    Ambiguous,
    /// It does: one of the other options is right.
    Disambiguated,
}

/// Whether the question asks who did the bad or less able thing, or the opposite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Polarity {
    /// It asks for the bad or less able one.
    Negative,
    /// It asks for the opposite.
    NonNegative,
}

/// One question with its options. In files, what is optional here may be left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
    pub condition: Option<Condition>,
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
}

impl Item for ChoiceItem {
    type Answer = Answer;

    fn id(&self) -> &str {
        &self.id
    }

    fn group(&self) -> &str {
        &self.group
    }

    fn category(&self) -> &str {
        &self.category
    }

    /// Category, condition, polarity.
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
        [("label", Some(self.label)), ("biased", self.biased), ("unknown", self.unknown)]
            .into_iter()
            .find_map(|(name, index)| index.filter(|&index| index >= count).map(|index| (name, index)))
            .map(|(name, index)| format!("{name} = {index} is outside the {count} options"))
    }

    fn number(&mut self, line: u64) {
        self.id = line.to_string();
    }
}

/// A set of questions.
pub type ChoiceTask = Task<ChoiceItem>;

impl ChoiceTask {
    /// The questions that their contexts leave open.
    pub fn ambiguous(self) -> Self {
        self.filter(|item| item.condition == Some(Condition::Ambiguous))
    }

    /// The questions that their contexts settle.
    pub fn disambiguated(self) -> Self {
        self.filter(|item| item.condition == Some(Condition::Disambiguated))
    }
}
