//! Which rounds are run under which changes of the model's states.

use serde::Serialize;

use crate::condition::Condition;
use crate::file;
use crate::hook::Intervention;
use crate::{Error, Model, Result};

/// Changes of the states under which rounds are run: the whole conversation that a round reads, its option scores and its
/// answer, with what the model thinks or says of itself on the way.
///
/// ```
/// use probity::causal::Intervention;
/// use probity::{dialogue::Interventions, hook::Site, NO_INSTRUCTION};
/// let silent = Intervention::scale(Site::Z.at(3).head(2), 0.0);
/// let everywhere = Interventions::new([silent.clone()]);
/// let without_instruction = Interventions::new([silent]).during([NO_INSTRUCTION, "neutral"]);
/// # let _ = (everywhere, without_instruction);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[must_use]
pub struct Interventions {
    /// In the order in which they act.
    parts: Vec<Scoped>,
}

/// Changes with the rounds in which they act.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Scoped {
    list: Vec<Intervention>,
    /// Instructions; `None` for all rounds.
    during: Option<Vec<String>>,
}

impl Interventions {
    /// These, one after the other at each address, in all rounds.
    pub fn new(interventions: impl IntoIterator<Item = Intervention>) -> Self {
        let list: Vec<Intervention> = interventions.into_iter().collect();
        let parts = if list.is_empty() { Vec::new() } else { vec![Scoped { list, during: None }] };
        Interventions { parts }
    }

    /// Only in the rounds of these instructions; [`NO_INSTRUCTION`](crate::NO_INSTRUCTION) stands for round 0. A round in the
    /// words of another instruction ([`SelfCorrection::re_elicit`](super::SelfCorrection::re_elicit)) goes with the
    /// conversation that it ends. Default: all rounds.
    pub fn during<S: Into<String>>(mut self, instructions: impl IntoIterator<Item = S>) -> Self {
        let names: Vec<String> = instructions.into_iter().map(Into::into).collect();
        self.parts.iter_mut().for_each(|part| part.during = Some(names.clone()));
        self
    }

    /// These, then `others`, each in its own rounds.
    pub fn and(mut self, others: Interventions) -> Self {
        self.parts.extend(others.parts);
        self
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Those under which the rounds of this condition are run.
    pub fn of(&self, condition: &Condition) -> Vec<Intervention> {
        let acts = |part: &&Scoped| part.during.as_ref().is_none_or(|names| names.contains(&condition.instruction));
        self.parts.iter().filter(acts).flat_map(|part| part.list.iter().cloned()).collect()
    }

    fn list(&self) -> impl Iterator<Item = &Intervention> {
        self.parts.iter().flat_map(|part| &part.list)
    }

    /// Refuses numbers that are not finite, and names of instructions that are not asked.
    pub(super) fn validate(&self, asked: &[&str]) -> Result<()> {
        self.list().try_for_each(Intervention::validate)?;
        let mut during = self.parts.iter().flat_map(|part| part.during.iter().flatten());
        match during.find(|name| !asked.contains(&name.as_str())) {
            None => Ok(()),
            Some(name) => {
                let expected = format!("the name of an instruction that is asked: {}", asked.join(", "));
                Err(Error::setting("Interventions::during", name, expected))
            }
        }
    }

    /// Refuses addresses that the model does not have.
    pub(super) fn check(&self, model: &Model) -> Result<()> {
        self.list().try_for_each(|intervention| model.geometry().check(intervention.address()))
    }

    /// In words; `None` where there is none.
    pub(super) fn describe(&self) -> Option<String> {
        let part = |Scoped { list, during }: &Scoped| {
            let all: Vec<String> = list.iter().map(Intervention::describe).collect();
            let rounds = during.as_ref().map(|names| format!(" (rounds of {})", names.join(", ")));
            all.join(", ") + &rounds.unwrap_or_default()
        };
        (!self.is_empty()).then(|| self.parts.iter().map(part).collect::<Vec<_>>().join("; "))
    }

    /// Hash of every number of them.
    pub(super) fn sha256(&self) -> String {
        file::sha256(serde_json::to_string(self).unwrap_or_default())
    }
}

impl From<Intervention> for Interventions {
    fn from(intervention: Intervention) -> Self {
        Interventions::new([intervention])
    }
}

impl From<Vec<Intervention>> for Interventions {
    fn from(interventions: Vec<Intervention>) -> Self {
        Interventions::new(interventions)
    }
}
