//! At which tokens of a conversation states are read.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::part::Part;
use crate::Error;

/// Which tokens of a round a state stands for, and whether they saw the instruction's words.
///
/// Written as `prompt`, `answer`, `answer-masked` and so on, by the names of the [`Part`]s.
///
/// ```
/// use probity::dialogue::{Part, Reading};
/// assert_eq!(Reading::default().to_string(), "prompt");
/// assert_eq!(Reading::of(Part::Answer).masked().to_string(), "answer-masked");
/// assert_eq!("answer".parse::<Reading>()?, Reading::of(Part::Answer));
/// # Ok::<(), probity::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("pattern" = pattern())))]
#[serde(into = "String", try_from = "String")]
pub struct Reading {
    part: Option<Part>,
    masked: bool,
}

const PROMPT: &str = "prompt";
const MASKED: &str = "-masked";

impl Reading {
    /// The last token of the round's prompt, where the answer begins: where arXiv 2407.15286 reads. The default.
    pub const PROMPT: Reading = Reading { part: None, masked: false };

    /// The mean over the tokens of a part of the round.
    pub fn of(part: Part) -> Self {
        Reading { part: Some(part), masked: false }
    }

    /// This reading in a pass in which no other token attends to the tokens of the instructions. Positions stay as they are.
    pub fn masked(self) -> Self {
        Reading { masked: true, ..self }
    }

    /// The part whose tokens are averaged; `None` for the prompt's last token.
    pub fn part(self) -> Option<Part> {
        self.part
    }

    /// Whether the instruction's tokens are hidden from all others.
    pub fn is_masked(self) -> bool {
        self.masked
    }
}

/// Every reading as it is written, as a regular expression.
#[cfg(feature = "schema")]
fn pattern() -> String {
    format!("^({PROMPT}|{})({MASKED})?$", Part::ALL.map(Part::name).join("|"))
}

impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}{}", self.part.map_or(PROMPT, Part::name), if self.masked { MASKED } else { "" }))
    }
}

impl From<Reading> for String {
    fn from(reading: Reading) -> String {
        reading.to_string()
    }
}

impl FromStr for Reading {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let (name, masked) = text.strip_suffix(MASKED).map_or((text, false), |name| (name, true));
        let part = match name {
            PROMPT => None,
            _ => Some(Part::ALL.into_iter().find(|part| part.name() == name).ok_or_else(|| {
                let names: Vec<&str> = std::iter::once(PROMPT).chain(Part::ALL.map(Part::name)).collect();
                Error::setting("reading", text, format!("one of {}, each with {MASKED:?} or without", names.join(", ")))
            })?),
        };
        Ok(Reading { part, masked })
    }
}

impl TryFrom<String> for Reading {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}
