//! Which instruction in which round, and what it is compared with.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Name of the condition of round 0, in which no instruction is given.
pub const NO_INSTRUCTION: &str = "none";

/// What joins the names of two instructions in [`Condition::name`].
const THEN: &str = ", then ";

/// An instruction in one round: what a conversation had been told when it was read.
///
/// ```
/// use probity::Condition;
/// let condition = Condition::new("L1", 4).then("negated");
/// assert_eq!(condition.name(), "L1, then negated");
/// assert_eq!(condition.to_string(), "L1, then negated round 4");
/// assert!(Condition::plain().is_plain());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Condition {
    /// Name of the instruction; [`NO_INSTRUCTION`], `none`, for the plain question of round 0.
    pub instruction: String,
    /// Name of another instruction that the last round was given in the place of the first, if it was
    /// ([`SelfCorrection::re_elicit`](crate::dialogue::SelfCorrection::re_elicit)).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub then: Option<String>,
    /// Round, from 0, the plain question.
    pub round: usize,
}

impl Condition {
    /// The plain question, round 0.
    pub fn plain() -> Self {
        Condition::new(NO_INSTRUCTION, 0)
    }

    /// An instruction in one of its own rounds.
    pub fn new(instruction: impl Into<String>, round: usize) -> Self {
        Condition { instruction: instruction.into(), then: None, round }
    }

    /// This condition with its round given in the words of another instruction.
    pub fn then(self, instruction: impl Into<String>) -> Self {
        Condition { then: Some(instruction.into()), ..self }
    }

    /// Whether it is the plain question of round 0.
    pub fn is_plain(&self) -> bool {
        self.round == 0
    }

    /// What was told, without the round, as tables show it: `L1`, or `L1, then negated`.
    pub fn name(&self) -> String {
        match &self.then {
            Some(then) => format!("{}{THEN}{then}", self.instruction),
            None => self.instruction.clone(),
        }
    }

    /// Whether both are rounds of one conversation: the same instructions, in whatever rounds.
    pub fn same_course(&self, other: &Condition) -> bool {
        self.instruction == other.instruction && self.then == other.then
    }

    /// Whether an instruction of this name would make [`Condition::name`] say two things.
    pub(crate) fn is_ambiguous(instruction: &str) -> bool {
        instruction.contains(THEN)
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{} round {}", self.name(), self.round))
    }
}

/// What a condition is in a [`Design`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The plain question of round 0.
    Plain,
    /// An instruction with which others are compared: without a moral word it shows what being asked again does, with moral
    /// words that are only mentioned what their presence does.
    Control,
    /// An instruction that is studied.
    Studied,
}

/// One condition of a [`Design`] with its role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Arm {
    /// The condition.
    #[serde(flatten)]
    pub condition: Condition,
    /// What it is.
    pub role: Role,
    /// Name of the instruction that it is compared with, in the same round; `None` where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<String>,
    /// Name of the instruction of opposite meaning that was given in the same round; `None` where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opposite: Option<String>,
    /// Name of the control that was given in the same round and mentions the instruction's words without asking for anything
    /// ([`Stance::Mention`](crate::dialogue::Stance::Mention)); `None` where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mention: Option<String>,
    /// Whether the instruction states the right answer: to follow it is obedience, no correction.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tells_answer: bool,
}

/// The conditions of a study, and what each is compared with: decided once, when the study is planned, and carried along
/// with everything that is made of it.
///
/// ```
/// use probity::{Condition, Design};
/// let design = Design::new([Condition::plain(), Condition::new("neutral", 1), Condition::new("L1", 1)])?
///     .with_control("neutral")?;
/// assert_eq!(design.control(&Condition::new("L1", 1)), Some(&Condition::new("neutral", 1)));
/// assert_eq!(design.control(&Condition::new("neutral", 1)), None);
/// # Ok::<(), probity::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(transparent)]
#[must_use]
pub struct Design {
    arms: Vec<Arm>,
    /// By item, the number of the wording that it was asked in. The answers' file names it, not that of the conditions.
    #[serde(skip)]
    wordings: Arc<BTreeMap<String, usize>>,
}

impl Design {
    /// These conditions, in this order, all but the plain question to be studied, as yet compared with nothing.
    ///
    /// # Errors
    /// [`Error::Mismatch`] where a condition, or round 0, occurs twice.
    pub fn new(conditions: impl IntoIterator<Item = Condition>) -> Result<Self> {
        let mut design = Design::default();
        for condition in conditions {
            let bad = |problem: String| Err(Error::mismatch("conditions", problem));
            if design.position(&condition).is_some() {
                return bad(format!("instruction {:?} has round {} twice", condition.name(), condition.round));
            }
            if condition.is_plain() && design.plain().is_some() {
                return bad("round 0, the plain question, occurs twice; give it once".to_owned());
            }
            let role = if condition.is_plain() { Role::Plain } else { Role::Studied };
            let arm = Arm { condition, role, control: None, opposite: None, mention: None, tells_answer: false };
            design.arms.push(arm);
        }
        Ok(design)
    }

    /// Compares every other instruction with this one, in the same round.
    ///
    /// # Errors
    /// [`Error::Setting`] where no condition has it.
    pub fn with_control(self, instruction: &str) -> Result<Self> {
        if !self.arms.iter().any(|arm| !arm.condition.is_plain() && arm.condition.instruction == instruction) {
            return Err(Error::setting("control", instruction, "an instruction that has a round of its own"));
        }
        Ok(self.with_controls(|name| (name != instruction).then(|| vec![instruction.to_owned()])))
    }

    /// Compares each instruction with the first of those that `nearest` names for it and that has the same round (and, where
    /// another instruction ends the conversation, ends likewise). `None` makes the instruction a control.
    pub fn with_controls(mut self, nearest: impl Fn(&str) -> Option<Vec<String>>) -> Self {
        let there = self.clone();
        for arm in self.arms.iter_mut().filter(|arm| arm.role != Role::Plain) {
            let names = nearest(&arm.condition.instruction);
            arm.role = if names.is_some() { Role::Studied } else { Role::Control };
            arm.control = there.first_of(&arm.condition, names.unwrap_or_default());
        }
        self
    }

    /// Sets the opposite of each studied instruction: the first other one that has the same round and for which
    /// `is_opposite(instruction, other)` holds.
    pub fn with_opposites(mut self, is_opposite: impl Fn(&str, &str) -> bool) -> Self {
        let there = self.clone();
        for arm in self.arms.iter_mut().filter(|arm| arm.role == Role::Studied) {
            arm.opposite = there.partner(&arm.condition, |name| is_opposite(&arm.condition.instruction, name));
        }
        self
    }

    /// Sets the control of each studied instruction that mentions its words: the first other instruction that has the same
    /// round and for which `mentions(instruction, other)` holds. It must be a control ([`Design::with_controls`]).
    pub fn with_mentions(mut self, mentions: impl Fn(&str, &str) -> bool) -> Self {
        let there = self.clone();
        for arm in self.arms.iter_mut().filter(|arm| arm.role == Role::Studied) {
            arm.mention = there.partner(&arm.condition, |name| mentions(&arm.condition.instruction, name));
        }
        self
    }

    /// Sets the number of the wording in which each of these items was asked, from 0, in every condition but the plain one
    /// ([`SelfCorrection::wordings_seed`](crate::dialogue::SelfCorrection::wordings_seed)): means over the items are then ones
    /// over wordings too.
    pub fn with_wordings(mut self, of_items: impl IntoIterator<Item = (String, usize)>) -> Self {
        self.wordings = Arc::new(of_items.into_iter().collect());
        self
    }

    /// The wording in which an item was asked; `None` where all were asked in one.
    pub fn wording(&self, item: &str) -> Option<usize> {
        self.wordings.get(item).copied()
    }

    /// The wordings of these items, `[n]`; `None` where one has none.
    pub(crate) fn wordings_of(&self, items: &[String]) -> Option<Vec<usize>> {
        items.iter().map(|item| self.wording(item)).collect()
    }

    /// The first other instruction in the same round, ending likewise, whose name passes.
    fn partner(&self, own: &Condition, passes: impl Fn(&str) -> bool) -> Option<String> {
        let fits = |condition: &&Condition| {
            condition.round == own.round && condition.then == own.then && passes(&condition.instruction)
        };
        self.conditions().find(fits).map(|condition| condition.instruction.clone())
    }

    /// Marks the instructions that state the right answer.
    pub fn with_telling(mut self, tells_answer: impl Fn(&str) -> bool) -> Self {
        for arm in self.arms.iter_mut().filter(|arm| arm.role == Role::Studied) {
            arm.tells_answer = tells_answer(&arm.condition.instruction);
        }
        self
    }

    fn first_of(&self, condition: &Condition, mut names: Vec<String>) -> Option<String> {
        names.retain(|name| *name != condition.instruction);
        names.into_iter().find(|name| self.position(&other(condition, name)).is_some())
    }

    /// The part of these conditions: what one of them is compared with is compared with no more where it is not among them.
    ///
    /// # Errors
    /// [`Error::Mismatch`] for a condition that the design lacks, or one that is named twice.
    pub fn only(&self, conditions: impl IntoIterator<Item = Condition>) -> Result<Self> {
        let mut part = Design { wordings: self.wordings.clone(), ..Design::new(conditions)? };
        let there = part.clone();
        for arm in &mut part.arms {
            let known = self
                .arm(&arm.condition)
                .ok_or_else(|| Error::mismatch("conditions", format!("the study has no {}", arm.condition)))?;
            let kept = |name: &Option<String>| {
                name.clone().filter(|name| there.position(&other(&arm.condition, name)).is_some())
            };
            (arm.role, arm.control, arm.opposite) = (known.role, kept(&known.control), kept(&known.opposite));
            (arm.mention, arm.tells_answer) = (kept(&known.mention), known.tells_answer);
        }
        Ok(part)
    }

    /// The conditions with their roles, in order.
    pub fn arms(&self) -> &[Arm] {
        &self.arms
    }

    /// The conditions, in order.
    pub fn conditions(&self) -> impl ExactSizeIterator<Item = &Condition> {
        self.arms.iter().map(|arm| &arm.condition)
    }

    /// The place of a condition in the order.
    pub fn position(&self, condition: &Condition) -> Option<usize> {
        self.conditions().position(|known| known == condition)
    }

    /// The plain question of round 0, if it was asked.
    pub fn plain(&self) -> Option<&Condition> {
        self.conditions().find(|condition| condition.is_plain())
    }

    /// What a condition is; `None` for one that the design lacks.
    pub fn role(&self, condition: &Condition) -> Option<Role> {
        self.arm(condition).map(|arm| arm.role)
    }

    /// Whether a condition's instruction states the right answer.
    pub fn tells_answer(&self, condition: &Condition) -> bool {
        self.arm(condition).is_some_and(|arm| arm.tells_answer)
    }

    /// What a condition is compared with: its control in the same round.
    pub fn control(&self, condition: &Condition) -> Option<&Condition> {
        let arm = self.arm(condition)?;
        self.find(&other(condition, arm.control.as_deref()?))
    }

    /// The instruction of opposite meaning in the same round.
    pub fn opposite(&self, condition: &Condition) -> Option<&Condition> {
        let arm = self.arm(condition)?;
        self.find(&other(condition, arm.opposite.as_deref()?))
    }

    /// The control in the same round that mentions the instruction's words without asking for anything.
    pub fn mention(&self, condition: &Condition) -> Option<&Condition> {
        let arm = self.arm(condition)?;
        self.find(&other(condition, arm.mention.as_deref()?))
    }

    /// The last round of every studied instruction, in order: what a verdict is passed on. Rounds in the words of another
    /// instruction are not among them.
    pub fn judged(&self) -> Vec<&Condition> {
        let own = |arm: &&Arm| arm.role == Role::Studied && arm.condition.then.is_none();
        let mut last: Vec<&Condition> = Vec::new();
        for condition in self.arms.iter().filter(own).map(|arm| &arm.condition) {
            match last.iter_mut().find(|known| known.same_course(condition)) {
                Some(known) if known.round < condition.round => *known = condition,
                Some(_) => {}
                None => last.push(condition),
            }
        }
        last
    }

    /// The rounds in the words of other instructions that came after those of this one.
    pub fn re_elicited<'a>(&'a self, condition: &'a Condition) -> impl Iterator<Item = &'a Condition> {
        self.conditions().filter(|other| other.then.is_some() && other.instruction == condition.instruction)
    }

    fn arm(&self, condition: &Condition) -> Option<&Arm> {
        self.arms.iter().find(|arm| arm.condition == *condition)
    }

    fn find(&self, condition: &Condition) -> Option<&Condition> {
        self.conditions().find(|known| *known == condition)
    }
}

/// The condition of another instruction that ends likewise, in the same round.
fn other(condition: &Condition, instruction: &str) -> Condition {
    Condition { instruction: instruction.to_owned(), ..condition.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn design() -> Design {
        let own =
            ["neutral", "L2/neutral", "L1", "L2"].map(|name| (1..=2).map(move |round| Condition::new(name, round)));
        let ends = ["neutral", "L1"].map(|name| Condition::new(name, 3).then("negated"));
        Design::new([Condition::plain()].into_iter().chain(own.into_iter().flatten()).chain(ends)).unwrap()
    }

    fn nearest(name: &str) -> Option<Vec<String>> {
        match name {
            "neutral" | "L2/neutral" => None,
            name => Some(vec![format!("{name}/neutral"), "neutral".to_owned()]),
        }
    }

    #[test]
    fn controls_are_the_nearest_that_end_likewise() {
        let design = design().with_controls(nearest);
        let control = |condition: Condition| design.control(&condition).map(ToString::to_string);
        assert_eq!(control(Condition::new("L2", 2)).unwrap(), "L2/neutral round 2");
        assert_eq!(control(Condition::new("L1", 1)).unwrap(), "neutral round 1");
        assert_eq!(control(Condition::new("L1", 3).then("negated")).unwrap(), "neutral, then negated round 3");
        assert_eq!((control(Condition::new("neutral", 1)), control(Condition::plain())), (None, None));
        let judged: Vec<String> = design.judged().iter().map(ToString::to_string).collect();
        assert_eq!(judged, ["L1 round 2", "L2 round 2"]);
        assert_eq!(design.role(&Condition::new("L2/neutral", 1)), Some(Role::Control));
    }

    #[test]
    fn a_part_keeps_the_comparisons_that_it_can() {
        let whole = design().with_controls(nearest).with_opposites(|own, other| (own, other) == ("L1", "L2"));
        let some =
            [Condition::new("L1", 1), Condition::new("L2", 1), Condition::new("neutral", 1), Condition::new("L2", 2)];
        let part = whole.only(some.clone()).unwrap();
        assert_eq!(part.control(&some[0]), Some(&some[2]));
        assert_eq!((part.control(&some[3]), part.opposite(&some[0])), (None, Some(&some[1])));
        assert!(whole.only([Condition::new("L9", 1)]).is_err());
        let json = serde_json::to_string(&whole).unwrap();
        assert_eq!(serde_json::from_str::<Design>(&json).unwrap(), whole);
    }

    #[test]
    fn nothing_occurs_twice() {
        assert!(Design::new([Condition::new("L1", 1), Condition::new("L1", 1)]).is_err());
        assert!(Design::new([Condition::plain(), Condition::new("other", 0)]).is_err());
        assert!(design().with_control("absent").is_err());
    }
}
