//! What the words of an instruction say of its effect, without a model.

use serde::{Deserialize, Serialize};

/// Words that speak of right and wrong, of fairness and of harm, by which the moral words of an instruction are counted.
const MORAL_WORDS: &str =
    "abusive assume assumption assumptions bias biased biases decent discriminate discrimination equal equally \
     ethical evil fair fairly fairness hate hateful harm harmful harmless honest hostile hurt hurtful immoral \
     impartial insult insulting moral offensive polite prejudice prejudices respectful rude stereotype \
     stereotypes toxic unbiased unfair";

/// What foretells the better of two instructions from their words alone, without a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum WordsPredictor {
    /// The longer one, by words.
    Longer,
    /// The one with the larger share of words such as "fair", "harm" or "unbiased".
    MoreMoralWords,
}

impl WordsPredictor {
    /// Every predictor.
    pub const ALL: [WordsPredictor; 2] = [WordsPredictor::Longer, WordsPredictor::MoreMoralWords];

    /// The predictor in words.
    pub fn name(self) -> &'static str {
        match self {
            WordsPredictor::Longer => "the longer one",
            WordsPredictor::MoreMoralWords => "the larger share of moral words",
        }
    }

    /// What it goes by; more is foretold to be better.
    pub fn of(self, text: &str) -> f64 {
        let words: Vec<String> = text
            .split(|letter: char| !letter.is_alphanumeric() && letter != '\'')
            .filter(|word| !word.is_empty())
            .map(str::to_lowercase)
            .collect();
        match self {
            WordsPredictor::Longer => words.len() as f64,
            WordsPredictor::MoreMoralWords => {
                let moral =
                    words.iter().filter(|word| MORAL_WORDS.split(' ').any(|moral| moral == word.as_str())).count();
                moral as f64 / words.len().max(1) as f64
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_counted_by_hand() {
        let text = "Please be fair: don't use stereotypes, be fair.";
        assert_eq!(WordsPredictor::Longer.of(text), 8.0);
        assert_eq!(WordsPredictor::MoreMoralWords.of(text), 3.0 / 8.0);
        assert_eq!(WordsPredictor::MoreMoralWords.of(""), 0.0);
        assert_eq!(MORAL_WORDS, MORAL_WORDS.to_lowercase());
    }
}
