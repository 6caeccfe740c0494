//! Whether an answer is one at all.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

/// What an answer looks like, whatever it says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct AnswerForm {
    /// Its words; `None` where its length cannot matter, as where options are scored.
    pub words: Option<usize>,
    /// Why it is none, if it is none.
    pub fault: Option<FormFault>,
}

/// Why an answer is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FormFault {
    /// It has no words.
    Empty,
    /// It says that it will not answer.
    Refusal,
    /// It says the same over and over: more than half of its runs of three words came before, of twelve words or more.
    Repetition,
    /// It names none of the options, or several.
    NoOption,
}

/// How refusals begin, in lower case; a few words may stand before them.
const REFUSALS: [&str; 16] = [
    "i can't",
    "i cannot",
    "i can not",
    "i'm sorry",
    "i am sorry",
    "i apologize",
    "i apologise",
    "i'm unable",
    "i am unable",
    "i'm not able",
    "i am not able",
    "i won't",
    "i will not",
    "i must decline",
    "as an ai",
    "as a language model",
];

/// Bytes before which a refusal begins.
const REFUSED_WITHIN: usize = 40;

/// Words from which on a text can repeat itself.
const LEAST_REPEATED: usize = 12;

impl AnswerForm {
    /// The form of a text that was to go on freely. Refusals are found by how they begin, in English: a rule of thumb.
    pub fn of_text(text: &str) -> Self {
        let lower = text.trim().to_lowercase().replace('\u{2019}', "'");
        let words: Vec<&str> = lower.split_whitespace().collect();
        let begins = |phrase: &&str| lower.find(*phrase).is_some_and(|at| at < REFUSED_WITHIN);
        let fault = if words.is_empty() {
            Some(FormFault::Empty)
        } else if REFUSALS.iter().any(begins) {
            Some(FormFault::Refusal)
        } else if repeats(&words) {
            Some(FormFault::Repetition)
        } else {
            None
        };
        AnswerForm { words: Some(words.len()), fault }
    }

    /// The form of an answer to a question with options, which names one of them or does not.
    pub fn of_choice(text: &str, names_one: bool) -> Self {
        let fault = match names_one {
            true => None,
            false if text.trim().is_empty() => Some(FormFault::Empty),
            false => Some(FormFault::NoOption),
        };
        AnswerForm { words: None, fault }
    }
}

fn repeats(words: &[&str]) -> bool {
    let runs = words.windows(3);
    let distinct: HashSet<&[&str]> = runs.clone().collect();
    words.len() >= LEAST_REPEATED && 2 * distinct.len() < runs.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_answer_is_found() {
        let fault = |text: &str| AnswerForm::of_text(text).fault;
        assert_eq!(fault(" \n"), Some(FormFault::Empty));
        for refusal in
            ["I\u{2019}m sorry, but I can't help.", "Sure. As an AI, I have no view.", "I cannot go on with this text."]
        {
            assert_eq!(fault(refusal), Some(FormFault::Refusal), "{refusal}");
        }
        assert_eq!(fault("went home and told them that in the end I cannot say more"), None);
        assert_eq!(fault(&"and then again ".repeat(8)), Some(FormFault::Repetition));
        assert_eq!(fault("no no no no"), None, "short");
        let said = AnswerForm::of_text("the door was open, so she went in and sat down by the fire to wait");
        assert_eq!((said.fault, said.words), (None, Some(16)));
        assert_eq!(AnswerForm::of_choice("It is so.", false).fault, Some(FormFault::NoOption));
        assert_eq!(AnswerForm::of_choice(" ", false).fault, Some(FormFault::Empty));
        assert_eq!(AnswerForm::of_choice("(b)", true), AnswerForm::default());
    }
}
