//! How conditions are named that end in another instruction.

const THEN: &str = ", then ";

/// Name of the condition in which the conversation of `instruction` ends in a round of `then`.
pub(crate) fn re_elicitation(instruction: &str, then: &str) -> String {
    format!("{instruction}{THEN}{then}")
}

/// The instruction that was given first, and the one of the last round; `None` for any other name.
pub(crate) fn re_elicited(name: &str) -> Option<(&str, &str)> {
    name.split_once(THEN)
}

/// The condition of that name in this round.
pub(crate) fn condition_of(name: &str, round: usize) -> crate::Condition {
    match re_elicited(name) {
        Some((first, then)) => crate::Condition::new(first, round).then(then),
        None => crate::Condition::new(name, round),
    }
}
