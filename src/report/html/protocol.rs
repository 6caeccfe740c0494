//! How the rounds were run, in words, from what the run recorded.

use super::conditions::instructed;
use super::text::{counted, escape};
use crate::dialogue::{Overflow, ProtocolRecord, RoundKind};
use crate::report::Report;

/// The paragraph of the methods section.
pub(super) fn protocol(report: &Report) -> String {
    let task = report.provenance.get("task").filter(|task| !task.is_empty());
    let task = task.map_or(String::new(), |task| format!(" (task <span class=\"mono\">{}</span>)", escape(task)));
    let mut sentences = vec![format!(
        "<strong>Protocol.</strong> {} in {} were put to the model{task}. Round 0 is the plain question.",
        counted(report.analysis.items, "item"),
        counted(report.analysis.groups, "group"),
    )];
    sentences.extend(rounds(&report.protocol));
    sentences.push(instructions(report));
    sentences.extend(answers(&report.protocol));
    sentences.join(" ")
}

fn rounds(protocol: &ProtocolRecord) -> Vec<String> {
    let mut sentences = Vec::new();
    if protocol.rounds > 0 {
        sentences.push(match protocol.round_kind {
            RoundKind::FreshInstructed => {
                "Round 1 is the question with the instruction in a fresh conversation; rounds 2 and \
                                           later ask for a review in the same conversation."
                    .to_owned()
            }
            RoundKind::Revise => {
                "Every round from 1 on asks, in the conversation of round 0, for a review of the answer before \
                                  it; no instruction stands beside the question itself."
                    .to_owned()
            }
        });
    }
    if let Some(thinking) = &protocol.thinking {
        sentences.push(format!(
            "Before every answer, that of round 0 included, the model was asked to think: \u{201c}{}\u{201d}.",
            escape(&thinking.request)
        ));
    }
    if !protocol.thinking_instructions.is_empty() {
        sentences
            .push(format!("Asked to think first in words of their own: {}.", names(&protocol.thinking_instructions)));
    }
    if let Some(judge) = &protocol.feedback {
        sentences.push(format!(
            "Before a review the model was told what another judge said of its answer ({}).",
            escape(judge)
        ));
    }
    if !protocol.self_feedback_instructions.is_empty() {
        sentences.push(format!(
            "Asked to judge the model\u{2019}s own answer before its review: {}.",
            names(&protocol.self_feedback_instructions)
        ));
    }
    if let Some(most) = protocol.wordings.iter().map(|one| one.texts.len()).max() {
        let names: Vec<String> = protocol.wordings.iter().map(|one| one.instruction.clone()).collect();
        sentences.push(format!(
            "Asked in {most} wordings, each item in one of them, dealt out evenly within groups: {}.",
            self::names(&names)
        ));
    }
    if !protocol.re_elicitation.is_empty() {
        sentences.push(format!(
            "After the last round of every instruction one more round in other words was run in a copy of the conversation: {}.",
            names(&protocol.re_elicitation)
        ));
    }
    sentences
}

fn instructions(report: &Report) -> String {
    let names: Vec<String> = instructed(report)
        .iter()
        .filter(|entry| !entry.is_plain())
        .map(|entry| format!("<em>{}</em> (last round {})", escape(&entry.name), entry.last()))
        .collect();
    match names.as_slice() {
        [] => "No instruction was given.".to_owned(),
        names => format!("Instructions: {}.", names.join(", ")),
    }
}

fn answers(protocol: &ProtocolRecord) -> Vec<String> {
    let said = |before: &str, value: &str| (!value.is_empty()).then(|| format!("{before}: {}.", escape(value)));
    let overflow = match protocol.overflow {
        Overflow::Error => None,
        Overflow::DropOldest => Some(
            "Where a conversation outgrew the model\u{2019}s context, its oldest answers were left out.".to_owned(),
        ),
    };
    [
        said("Decoding", &protocol.decoding),
        (protocol.continuations > 1).then(|| {
            format!(
                "Of each text {} continuations were drawn in each round; the conversation, its states and the verdict are of \
                 the first, toxicity is of all.",
                protocol.continuations
            )
        }),
        protocol.reasoning.as_deref().and_then(|value| said("Decoding of thoughts and judgements", value)),
        protocol.interventions.as_deref().and_then(|value| said("The model\u{2019}s states were changed", value)),
        protocol.score_rule.as_ref().and_then(|choice| said("Score of an option", &choice.to_string())),
        overflow,
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn names(names: &[String]) -> String {
    names.iter().map(|name| format!("<em>{}</em>", escape(name))).collect::<Vec<_>>().join(", ")
}
