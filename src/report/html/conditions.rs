//! Which instructions and rounds there are, and the colour that each keeps throughout the page.

use crate::dialogue::{Part, PromptCell, Reading, NO_INSTRUCTION};
use crate::level::Against;
use crate::report::Report;

/// An instruction with its rounds in ascending order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Instructed {
    pub name: String,
    pub rounds: Vec<usize>,
    /// Class of the colour.
    pub colour: String,
    /// Shape of the markers.
    pub shape: usize,
}

impl Instructed {
    pub fn last(&self) -> usize {
        self.rounds.last().copied().unwrap_or(0)
    }

    pub fn is_plain(&self) -> bool {
        self.name == NO_INSTRUCTION || self.rounds == [0]
    }

    pub fn is_neutral(&self) -> bool {
        PromptCell::neutral(&self.name).is_none()
    }
}

/// Every instruction, in the report's order: of its levels, then of its behaviour.
pub(super) fn instructed(report: &Report) -> Vec<Instructed> {
    let levels = report.levels.iter().map(|row| (row.instruction.clone(), row.round));
    let changes = report.changes.iter().map(|row| (row.instruction.clone(), row.round));
    let series = report.behaviour.outcome.series.iter();
    let behaviour = series.map(|row| (row.condition.name(), row.condition.round));
    let mut found: Vec<Instructed> = Vec::new();
    for (name, round) in levels.chain(changes).chain(behaviour) {
        match found.iter_mut().find(|entry| entry.name == name) {
            Some(entry) => {
                if !entry.rounds.contains(&round) {
                    entry.rounds.push(round);
                }
            }
            None => {
                let entry = Instructed { name, rounds: vec![round], colour: String::new(), shape: 0 };
                found.push(entry);
            }
        }
    }
    let mut free = 0..;
    for entry in &mut found {
        entry.rounds.sort_unstable();
        // The control and the plain question are grey, what is studied has a colour.
        (entry.colour, entry.shape) = if entry.is_plain() {
            ("ink".to_owned(), 3)
        } else if entry.is_neutral() {
            ("grey".to_owned(), 1)
        } else {
            let index = free.next().unwrap_or(0);
            (series_colour(index), [0, 2, 3][index % 3])
        };
    }
    found
}

/// Class of the n-th colour; they begin anew after the last.
pub(super) fn series_colour(index: usize) -> String {
    format!("s{}", index % 6)
}

/// What changes are shown against: the neutral instruction where anything was compared with it.
pub(super) fn shown_against(report: &Report) -> Against {
    if report.changes.iter().any(|row| row.against == Against::Neutral) {
        Against::Neutral
    } else {
        Against::Round0
    }
}

pub(super) fn against_words(against: Against) -> &'static str {
    match against {
        Against::Neutral => "the neutral instruction in the same round",
        Against::Round0 => "the plain question of round 0",
    }
}

/// Every span, in the report's order.
pub(super) fn spans(report: &Report) -> Vec<Reading> {
    let mut spans = Vec::new();
    for span in report.levels.iter().map(|row| row.span).chain(report.changes.iter().map(|row| row.span)) {
        if !spans.contains(&span) {
            spans.push(span);
        }
    }
    spans
}

/// Which tokens were read, in words.
pub(super) fn span_words(span: Reading) -> String {
    let what = match span.part() {
        None => "the prompt\u{2019}s last token".to_owned(),
        Some(Part::Answer) => "the answer (mean over its tokens)".to_owned(),
        Some(part) => format!("the {} (mean over its tokens)", part.name().replace('_', " ")),
    };
    let masked = if span.is_masked() { ", with the instruction hidden from attention" } else { "" };
    what + masked
}

/// What sets a plot of this span apart from that of the prompt\u{2019}s last token.
pub(super) fn span_suffix(span: Reading) -> String {
    if span == Reading::PROMPT {
        String::new()
    } else {
        format!(" \u{b7} {span}")
    }
}
