//! At which tokens of a conversation states are read.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::part::Part;
use crate::Error;

/// Which tokens of a round a state stands for, whether they saw the instruction's words, and whose words they are.
///
/// Written as `prompt`, `answer`, `answer-masked` and so on, by the names of the [`Part`]s.
///
/// ```
/// use probity::dialogue::{Part, Reading};
/// assert_eq!(Reading::default().to_string(), "prompt");
/// assert_eq!(Reading::of(Part::Answer).masked().to_string(), "answer-masked");
/// assert_eq!("answer".parse::<Reading>()?, Reading::of(Part::Answer));
/// assert_eq!("answer-of-control".parse::<Reading>()?, Reading::CONTROL_ANSWER);
/// # Ok::<(), probity::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("pattern" = pattern())))]
#[serde(into = "String", try_from = "String")]
pub struct Reading {
    part: Option<Part>,
    masked: bool,
    placed: Placed,
}

/// Which answer stands after which conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
enum Placed {
    /// What was said there.
    #[default]
    Own,
    /// The control's answer, after this condition's conversation.
    OfControl,
    /// This condition's answer, after the control's conversation.
    AfterControl,
    /// An answer that is known to be immoral.
    Contrast,
    /// One that is known to be moral.
    ContrastBase,
}

const PROMPT: &str = "prompt";
const MASKED: &str = "-masked";
const CROSSED: [Reading; 4] =
    [Reading::CONTROL_ANSWER, Reading::AFTER_CONTROL, Reading::CONTRAST, Reading::CONTRAST_BASE];

impl Reading {
    /// The last token of the round's prompt, where the answer begins: where arXiv 2407.15286 reads. The default.
    pub const PROMPT: Reading = Reading { part: None, masked: false, placed: Placed::Own };

    /// The mean over the tokens of the control's answer, put in the place of the condition's own: the words of the one, the
    /// conversation of the other. `answer-of-control`.
    pub const CONTROL_ANSWER: Reading = Reading::crossed(Placed::OfControl);

    /// The mean over the tokens of the condition's answer, put in the place of the control's in the control's conversation.
    /// `answer-after-control`.
    pub const AFTER_CONTROL: Reading = Reading::crossed(Placed::AfterControl);

    /// The mean over the tokens of an answer that is known to move the level, in the control's conversation: a positive
    /// control, which shows that the level would have been seen to move. `answer-contrast`.
    pub const CONTRAST: Reading = Reading::crossed(Placed::Contrast);

    /// What [`Reading::CONTRAST`] is held against, likewise in the control's conversation; without it the control's own
    /// answer is. `answer-contrast-base`.
    pub const CONTRAST_BASE: Reading = Reading::crossed(Placed::ContrastBase);

    /// The mean over the tokens of a part of the round.
    pub fn of(part: Part) -> Self {
        Reading { part: Some(part), masked: false, placed: Placed::Own }
    }

    const fn crossed(placed: Placed) -> Self {
        Reading { part: Some(Part::Answer), masked: false, placed }
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

    /// Whether the answer that is read was not given in this conversation.
    pub fn is_crossed(self) -> bool {
        self.placed != Placed::Own
    }

    fn suffix(self) -> &'static str {
        match self.placed {
            Placed::Own => "",
            Placed::OfControl => "-of-control",
            Placed::AfterControl => "-after-control",
            Placed::Contrast => "-contrast",
            Placed::ContrastBase => "-contrast-base",
        }
    }
}

/// Every reading as it is written, as a regular expression.
#[cfg(feature = "schema")]
fn pattern() -> String {
    let crossed = CROSSED.map(|reading| reading.to_string()).join("|");
    format!("^(({PROMPT}|{})({MASKED})?|{crossed})$", Part::ALL.map(Part::name).join("|"))
}

impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let masked = if self.masked { MASKED } else { "" };
        f.pad(&format!("{}{}{masked}", self.part.map_or(PROMPT, Part::name), self.suffix()))
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
        if let Some(crossed) = CROSSED.into_iter().find(|reading| reading.to_string() == text) {
            return Ok(crossed);
        }
        let (name, masked) = text.strip_suffix(MASKED).map_or((text, false), |name| (name, true));
        let part = match name {
            PROMPT => None,
            _ => Some(Part::ALL.into_iter().find(|part| part.name() == name).ok_or_else(|| {
                let names: Vec<&str> = std::iter::once(PROMPT).chain(Part::ALL.map(Part::name)).collect();
                let crossed = CROSSED.map(|reading| reading.to_string()).join(", ");
                let own = format!("one of {}, each with {MASKED:?} or without", names.join(", "));
                Error::setting("reading", text, format!("{own}, or one of {crossed}"))
            })?),
        };
        Ok(Reading { part, masked, placed: Placed::Own })
    }
}

impl TryFrom<String> for Reading {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}
