//! Which instructions and rounds there are, and the colour that each keeps throughout the page.

use crate::condition::{Condition, Role};
use crate::dialogue::{Part, Reading};
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
    /// The condition of one of the rounds.
    any: Condition,
    role: Role,
}

impl Instructed {
    pub fn last(&self) -> usize {
        self.rounds.last().copied().unwrap_or(0)
    }

    pub fn is_plain(&self) -> bool {
        self.role == Role::Plain
    }

    /// Whether the condition is one of its rounds.
    pub fn holds(&self, condition: &Condition) -> bool {
        self.any.same_course(condition)
    }

    /// The condition of one of its rounds.
    pub fn at(&self, round: usize) -> Condition {
        Condition { round, ..self.any.clone() }
    }

    pub fn is_at(&self, round: usize, condition: &Condition) -> bool {
        condition.round == round && self.holds(condition)
    }
}

/// Every instruction, in the report's order: of its levels, then of its behaviour.
pub(super) fn instructed(report: &Report) -> Vec<Instructed> {
    let levels = report.levels.iter().map(|row| &row.condition);
    let changes = report.changes.iter().map(|row| &row.condition);
    let behaviour = report.behaviour.outcome.series.iter().map(|row| &row.condition);
    let mut found: Vec<Instructed> = Vec::new();
    for condition in levels.chain(changes).chain(behaviour) {
        match found.iter_mut().find(|entry| entry.holds(condition)) {
            Some(entry) if entry.rounds.contains(&condition.round) => {}
            Some(entry) => entry.rounds.push(condition.round),
            None => found.push(Instructed {
                name: condition.name(),
                rounds: vec![condition.round],
                colour: String::new(),
                shape: 0,
                role: if condition.is_plain() { Role::Plain } else { Role::Studied },
                any: condition.clone(),
            }),
        }
    }
    let mut free = 0..;
    for entry in &mut found {
        entry.rounds.sort_unstable();
        entry.role = report.conditions.role(&entry.at(entry.last())).unwrap_or(entry.role);
        // The control and the plain question are grey, what is studied has a colour.
        (entry.colour, entry.shape) = match entry.role {
            Role::Plain => ("ink".to_owned(), 3),
            Role::Control => ("grey".to_owned(), 1),
            Role::Studied => {
                let index = free.next().unwrap_or(0);
                (series_colour(index), [0, 2, 3][index % 3])
            }
        };
    }
    found
}

/// Class of the n-th colour; they begin anew after the last.
pub(super) fn series_colour(index: usize) -> String {
    format!("s{}", index % 6)
}

/// What changes are shown against: the control where anything was compared with it.
pub(super) fn shown_against(report: &Report) -> Against {
    if report.changes.iter().any(|row| row.against == Against::Control) {
        Against::Control
    } else {
        Against::Round0
    }
}

pub(super) fn against_words(against: Against) -> &'static str {
    match against {
        Against::Control => "the control in the same round",
        Against::Round0 => "the plain question of round 0",
    }
}

/// Every reading, in the report's order.
pub(super) fn readings(report: &Report) -> Vec<Reading> {
    let mut readings = Vec::new();
    let levels = report.levels.iter().map(|row| row.reading);
    for reading in levels.chain(report.changes.iter().map(|row| row.reading)) {
        if !readings.contains(&reading) {
            readings.push(reading);
        }
    }
    readings
}

/// Which tokens were read, in words.
pub(super) fn reading_words(reading: Reading) -> String {
    let what = match reading.part() {
        None => "the prompt\u{2019}s last token".to_owned(),
        Some(Part::Answer) => "the answer (mean over its tokens)".to_owned(),
        Some(part) => format!("the {} (mean over its tokens)", part.name().replace('_', " ")),
    };
    let masked = if reading.is_masked() { ", with the instruction hidden from attention" } else { "" };
    what + masked
}

/// What sets a plot of this reading apart from that of the prompt\u{2019}s last token.
pub(super) fn reading_suffix(reading: Reading) -> String {
    if reading == Reading::PROMPT {
        String::new()
    } else {
        format!(" \u{b7} {reading}")
    }
}
