//! The words around an item: what is asked in which turn.

use super::instruction::Instruction;
use super::part::Part;
use super::protocol::Thinking;
use crate::task::Item;

/// Parts of a turn, in order.
pub(super) type Parts = Vec<(Option<Part>, String)>;

/// The opening turn. The instruction follows the question, so that what is asked with and without it begins alike. With
/// a request to think, that stands in the place of the form.
pub(super) fn opening(item: &impl Item, instruction: Option<&Instruction>, thinking: Option<&Thinking>) -> Parts {
    let mut question = format!("{}\n", item.question());
    for (shown, option) in brackets().zip(item.options()) {
        question.push_str(&format!("{shown} {option}\n"));
    }
    let mut parts = Parts::new();
    if !item.context().is_empty() {
        parts.push((Some(Part::Context), format!("{}\n\n", item.context())));
    }
    parts.push((Some(Part::Question), question));
    if let Some(instruction) = instruction {
        parts.extend([(None, "\n".to_owned()), (Some(Part::Instruction), format!("{}\n", instruction.first))]);
    }
    parts.push((None, "\n".to_owned()));
    parts.push(last(item, thinking));
    parts
}

/// A later turn: what another judge said, if there is one, the review, and the request to think if there is one.
pub(super) fn review(
    item: &impl Item,
    instruction: &Instruction,
    feedback: &Remark,
    thinking: Option<&Thinking>,
) -> Parts {
    let mut parts = Parts::new();
    let mut review = instruction.review.clone();
    match feedback {
        Remark::ByAnother(feedback) if !feedback.trim().is_empty() => {
            parts.push((Some(Part::Feedback), format!("{feedback}\n\n")));
        }
        Remark::ByAnother(_) | Remark::Nothing => {}
        Remark::ByItself { lead } => review = format!("{lead} {review}"),
    }
    parts.push((Some(Part::Instruction), review));
    if thinking.is_some() {
        parts.extend([(None, "\n\n".to_owned()), last(item, thinking)]);
    }
    parts
}

/// What was said of an answer before it is reviewed.
pub(super) enum Remark {
    /// Nothing.
    Nothing,
    /// This, by another; it goes before the review. An empty text says nothing.
    ByAnother(String),
    /// The model judged itself in a turn of its own; these words refer to it.
    ByItself {
        /// Begins the review.
        lead: String,
    },
}

/// The turn that asks for the answer after the rationale.
pub(super) fn after_thinking(item: &impl Item, thinking: &Thinking) -> Parts {
    let form = match &thinking.conclude {
        Some(conclude) => format!("{conclude} {}", item.reply()),
        None => item.reply().to_owned(),
    };
    vec![(Some(Part::Form), form)]
}

fn last(item: &impl Item, thinking: Option<&Thinking>) -> (Option<Part>, String) {
    match thinking {
        Some(thinking) => (Some(Part::Thinking), thinking.request.clone()),
        None => (Some(Part::Form), item.reply().to_owned()),
    }
}

/// The letters that stand before the options.
pub(super) fn letters() -> impl Iterator<Item = char> {
    'a'..='z'
}

/// The letters as they are shown before the options, and so as an answer gives them: `(a)`.
pub(super) fn brackets() -> impl Iterator<Item = String> {
    letters().map(|letter| format!("({letter})"))
}
