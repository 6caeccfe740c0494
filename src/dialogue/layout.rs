//! Where a chat template puts each turn.

use std::ops::Range;

use super::part::Passage;
use crate::text::{ChatTemplate, Message, Span};
use crate::{Error, Result};

/// Where a turn stands in the rendered text, and how many of its first bytes the template left out (templates trim).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Turn {
    bytes: Range<usize>,
    trimmed: usize,
}

/// A mark that no text holds: private-use characters around the turn's number.
fn mark(turn: usize) -> String {
    format!("\u{f8f0}{turn}\u{f8f1}")
}

/// Finds each turn in `text`, the template's rendering of `messages`. The template is rendered once more with marks in
/// the turns' place: what stands between marks is the template's own and must stand between the turns.
pub(super) fn turns(
    template: &ChatTemplate,
    messages: &[Message],
    generation_prompt: bool,
    text: &str,
) -> Result<Vec<Turn>> {
    let marked: Vec<Message> =
        messages.iter().enumerate().map(|(turn, message)| Message::new(message.role, mark(turn))).collect();
    let frame = template.render(&marked, generation_prompt)?;
    let mut rest = frame.as_str();
    let mut at = 0;
    let mut turns = Vec::with_capacity(messages.len());
    let hidden = |turn: usize| {
        Error::template(format!("it does not show turn {turn} as it is, so that nothing in it can be located"))
    };
    for (turn, message) in messages.iter().enumerate() {
        let (before, after) = rest.split_once(&mark(turn)).ok_or_else(|| hidden(turn))?;
        at += before.len();
        if !text.get(..at).is_some_and(|text| text.ends_with(before)) {
            return Err(hidden(turn));
        }
        let whole = message.content.as_str();
        let left = whole.len() - whole.trim_start().len();
        let right = whole.len() - whole.trim_end().len();
        let following = after.split('\u{f8f0}').next().unwrap_or_default();
        let found = [(0, 0), (left, right), (left, 0), (0, right)].into_iter().find(|&(left, right)| {
            let shown = whole.get(left..whole.len() - right.min(whole.len() - left)).unwrap_or_default();
            text.get(at..).and_then(|text| text.strip_prefix(shown)).is_some_and(|text| text.starts_with(following))
        });
        let (left, right) = found.ok_or_else(|| hidden(turn))?;
        let shown = whole.len() - left - right.min(whole.len() - left);
        turns.push(Turn { bytes: at..at + shown, trimmed: left });
        at += shown;
        rest = after;
    }
    match text.get(at..) == Some(rest) {
        true => Ok(turns),
        false => Err(hidden(messages.len())),
    }
}

/// The bytes of a part in the rendered text, without the spaces around it; `None` if nothing is left of it.
pub(super) fn placed(messages: &[Message], turns: &[Turn], passage: &Passage) -> Option<Span> {
    let turn = turns.get(passage.turn)?;
    let text = messages.get(passage.turn)?.content.get(passage.span.start..passage.span.end)?;
    let start = passage.span.start + (text.len() - text.trim_start().len());
    let end = passage.span.end - (text.len() - text.trim_end().len());
    let place = |byte: usize| (turn.bytes.start + byte.saturating_sub(turn.trimmed)).min(turn.bytes.end);
    let span = Span { start: place(start), end: place(end) };
    (span.start < span.end).then_some(span)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Role;

    fn find(source: &str, contents: &[&str]) -> Result<Vec<String>> {
        let template = ChatTemplate::new(source, &[]).unwrap();
        let role = |turn: usize| if turn.is_multiple_of(2) { Role::User } else { Role::Assistant };
        let messages: Vec<Message> =
            contents.iter().enumerate().map(|(turn, text)| Message::new(role(turn), *text)).collect();
        let text = template.render(&messages, true).unwrap();
        let turns = turns(&template, &messages, true, &text)?;
        Ok(turns.into_iter().map(|turn| text[turn.bytes].to_owned()).collect())
    }

    #[test]
    fn turns_are_found_however_short_they_are_and_whatever_the_template_says_around_them() {
        let plain = "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}\n{% endfor %}<assistant>";
        assert_eq!(find(plain, &["a", "user", "", "s"]).unwrap(), ["a", "user", "", "s"]);
        let trimming = "{% for m in messages %}[{{ m['content'] | trim }}]{% endfor %}";
        assert_eq!(find(trimming, &["  a b\n", " ", "c"]).unwrap(), ["a b", "", "c"]);
    }

    #[test]
    fn a_template_that_changes_a_turn_is_refused() {
        let upper = "{% for m in messages %}[{{ m['content'] | upper }}]{% endfor %}";
        assert!(find(upper, &["a"]).unwrap_err().to_string().contains("does not show turn 0"));
        let last = "{{ messages[-1]['content'] }}";
        assert!(find(last, &["a", "b"]).unwrap_err().to_string().contains("does not show turn 0"));
    }
}
