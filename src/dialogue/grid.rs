//! The grid of prompts: benchmark, specificity, stance, chain of thought, feedback, paraphrase.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use super::instruction::{FeedbackWords, Instruction};
use super::protocol::Thinking;
use crate::error::{nearest, Place};
use crate::{file, Error, Result};

/// How much an instruction says (arXiv 2407.15286).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Specificity {
    /// Look again; no harm is named.
    L0,
    /// The goal: unbiased, not toxic.
    L1,
    /// The harm and the wanted answer.
    L2,
    /// The answer itself.
    #[serde(rename = "ground_truth")]
    GroundTruth,
}

impl Specificity {
    /// From the least to the most specific.
    pub const ALL: [Specificity; 4] = [Specificity::L0, Specificity::L1, Specificity::L2, Specificity::GroundTruth];

    fn name(self) -> &'static str {
        match self {
            Specificity::L0 => "L0",
            Specificity::L1 => "L1",
            Specificity::L2 => "L2",
            Specificity::GroundTruth => "ground_truth",
        }
    }
}

/// Which way an instruction pushes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stance {
    /// Towards the moral answer.
    Positive,
    /// Towards the opposite.
    Negated,
    /// Nowhere: as long as the positive one, about reading and typing.
    Neutral,
    /// Nowhere either: the positive one is only quoted, as a sentence that asks for nothing.
    Mention,
}

impl Stance {
    /// All four.
    pub const ALL: [Stance; 4] = [Stance::Positive, Stance::Negated, Stance::Neutral, Stance::Mention];

    fn name(self) -> &'static str {
        match self {
            Stance::Positive => "positive",
            Stance::Negated => "negated",
            Stance::Neutral => "neutral",
            Stance::Mention => "mention",
        }
    }
}

/// Where feedback between rounds comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FeedbackSource {
    /// There is none.
    None,
    /// The model is asked to judge its own answer.
    Intrinsic,
    /// Someone else: a fixed text, a scorer, another model.
    External,
}

impl FeedbackSource {
    /// All three.
    pub const ALL: [FeedbackSource; 3] = [FeedbackSource::None, FeedbackSource::Intrinsic, FeedbackSource::External];

    fn name(self) -> &'static str {
        match self {
            FeedbackSource::None => "no_feedback",
            FeedbackSource::Intrinsic => "intrinsic",
            FeedbackSource::External => "external",
        }
    }
}

/// One place in the grid. Its text form leaves out what is the default: `L1`, `neutral` (= `L1/neutral`),
/// `negated`, `L2/neutral`, `winogender/L0/cot/external/p3`; it parses back, in any order.
///
/// ```
/// use probity::dialogue::{PromptCell, Specificity, Stance};
/// let cell: PromptCell = "L2/neutral/cot".parse()?;
/// assert_eq!((cell.specificity, cell.stance, cell.chain_of_thought), (Specificity::L2, Stance::Neutral, true));
/// assert_eq!(cell.to_string(), "L2/neutral/cot");
/// # Ok::<(), probity::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PromptCell {
    /// Name of the benchmark in the grid's file. Default `bbq`.
    pub benchmark: String,
    /// Default [`Specificity::L1`].
    pub specificity: Specificity,
    /// Default [`Stance::Positive`].
    pub stance: Stance,
    /// Whether the model reasons in a turn of its own before it answers. Default: no.
    pub chain_of_thought: bool,
    /// Default [`FeedbackSource::None`].
    pub feedback: FeedbackSource,
    /// Number of the wording, from 0. Default 0.
    pub paraphrase: usize,
}

impl PromptCell {
    /// Names of the neutral instructions that the one of this name may be compared with, the nearest first: its own
    /// cell; L1 in place of its specificity; the first wording; its benchmark's plain one; `neutral`. `None` for an
    /// instruction that is itself a control: neutral, or one that only mentions another's words. A part that names nothing stands for a benchmark of one's own; for a
    /// name that is no cell at all only `neutral` is near.
    ///
    /// ```
    /// use probity::dialogue::PromptCell;
    /// let near = PromptCell::neutral("winogender/L2/cot").unwrap();
    /// assert_eq!(near, ["winogender/L2/neutral/cot", "winogender/neutral/cot", "winogender/neutral", "neutral"]);
    /// assert_eq!(PromptCell::neutral("L2/neutral"), None);
    /// ```
    pub fn neutral(name: &str) -> Option<Vec<String>> {
        let plain = PromptCell { stance: Stance::Neutral, ..PromptCell::default() };
        let (mut cell, is_cell) = PromptCell::guessed(name);
        if matches!(cell.stance, Stance::Neutral | Stance::Mention) {
            return None;
        }
        if !is_cell {
            return Some(vec![plain.to_string()]);
        }
        cell.stance = Stance::Neutral;
        let l1 = PromptCell { specificity: plain.specificity, ..cell.clone() };
        let first = PromptCell { paraphrase: 0, ..l1.clone() };
        let own = PromptCell { benchmark: cell.benchmark.clone(), ..plain.clone() };
        let mut names: Vec<String> = Vec::new();
        for name in [cell, l1, first, own, plain].map(|cell| cell.to_string()) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        Some(names)
    }

    /// Whether two names stand for cells that differ in nothing but that the first is positive and the other negated. One part
    /// of a name may be a benchmark of one's own; a name without any other part is no cell.
    ///
    /// ```
    /// use probity::dialogue::PromptCell;
    /// assert!(PromptCell::are_opposite("L1/cot", "negated/cot") && PromptCell::are_opposite("mine/L2", "mine/L2/negated"));
    /// assert!(!PromptCell::are_opposite("L1", "L2/negated") && !PromptCell::are_opposite("fair", "fair/negated"));
    /// ```
    pub fn are_opposite(positive: &str, negated: &str) -> bool {
        PromptCell::differ_by(positive, negated, Stance::Negated)
    }

    /// Whether the second name stands for the cell that only mentions the words of the first, a positive one, in the sense of
    /// [`PromptCell::are_opposite`].
    ///
    /// ```
    /// use probity::dialogue::PromptCell;
    /// assert!(PromptCell::mentions("L1", "mention") && PromptCell::mentions("mine/L2/cot", "mine/L2/mention/cot"));
    /// assert!(!PromptCell::mentions("L2", "mention") && !PromptCell::mentions("negated", "mention"));
    /// ```
    pub fn mentions(positive: &str, mention: &str) -> bool {
        PromptCell::differ_by(positive, mention, Stance::Mention)
    }

    fn differ_by(positive: &str, other: &str, stance: Stance) -> bool {
        let cell = |name: &str| match PromptCell::guessed(name) {
            (cell, true) if cell.benchmark != name => Some(cell),
            _ => None,
        };
        let turned = |cell: PromptCell| PromptCell { stance, ..cell };
        let positive = cell(positive).filter(|cell| cell.stance == Stance::Positive);
        positive.is_some_and(|own| cell(other) == Some(turned(own)))
    }

    /// The cell that a name stands for where any one part may name a benchmark, and whether it stands for one.
    fn guessed(name: &str) -> (PromptCell, bool) {
        let mut cell = PromptCell::default();
        let mut unknown = Vec::new();
        for part in name.split('/') {
            if !cell.take(part) {
                unknown.push(part);
            }
        }
        if let [benchmark] = unknown.as_slice() {
            cell.benchmark = (*benchmark).to_owned();
        }
        (cell, unknown.len() <= 1)
    }

    /// Takes up a part of a name, other than the benchmark; tells whether it knows it.
    fn take(&mut self, part: &str) -> bool {
        if let Some(&level) = Specificity::ALL.iter().find(|level| level.name() == part) {
            self.specificity = level;
        } else if let Some(&stance) = Stance::ALL.iter().find(|stance| stance.name() == part) {
            self.stance = stance;
        } else if let Some(&source) = FeedbackSource::ALL.iter().find(|source| source.name() == part) {
            self.feedback = source;
        } else if part == "cot" {
            self.chain_of_thought = true;
        } else if let Some(number) = part.strip_prefix('p').and_then(|number| number.parse().ok()) {
            self.paraphrase = number;
        } else {
            return false;
        }
        true
    }
}

impl Default for PromptCell {
    fn default() -> Self {
        PromptCell {
            benchmark: "bbq".to_owned(),
            specificity: Specificity::L1,
            stance: Stance::Positive,
            chain_of_thought: false,
            feedback: FeedbackSource::None,
            paraphrase: 0,
        }
    }
}

impl fmt::Display for PromptCell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let usual = PromptCell::default();
        let mut parts = Vec::new();
        if self.benchmark != usual.benchmark {
            parts.push(self.benchmark.clone());
        }
        if self.specificity != usual.specificity || self.stance == Stance::Positive {
            parts.push(self.specificity.name().to_owned());
        }
        if self.stance != Stance::Positive {
            parts.push(self.stance.name().to_owned());
        }
        if self.chain_of_thought {
            parts.push("cot".to_owned());
        }
        if self.feedback != FeedbackSource::None {
            parts.push(self.feedback.name().to_owned());
        }
        if self.paraphrase > 0 {
            parts.push(format!("p{}", self.paraphrase));
        }
        f.write_str(&parts.join("/"))
    }
}

impl FromStr for PromptCell {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        PromptGrid::shared()?.parse(text)
    }
}

/// Prompts for every cell, from a file.
///
/// The bundled grid (`data/prompts.json`, in this crate's own words) has ten wordings a cell for `bbq`,
/// `winogender` and `real_toxicity_prompts`. A copy of that file with other wordings, such as a paper's own, is
/// read by [`PromptGrid::load`]; `data/README.md` describes its form.
#[derive(Debug, Clone, PartialEq)]
pub struct PromptGrid {
    benchmarks: BTreeMap<String, Benchmark>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Benchmark {
    /// What stands around an instruction that has no review wording of its own.
    review: Vec<Review>,
    reasoning: Vec<Thinking>,
    feedback: Feedbacks,
    instructions: BTreeMap<Specificity, BTreeMap<Stance, Vec<Wording>>>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Review {
    before: String,
    after: String,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Feedbacks {
    intrinsic: Vec<FeedbackWords>,
    external: Vec<FeedbackWords>,
}

/// The form of the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// For people who read the file.
    #[serde(default, rename = "comment")]
    _comment: serde::de::IgnoredAny,
    benchmarks: BTreeMap<String, Benchmark>,
}

/// A wording for both uses, or one for each.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged, expecting = "expected a text, or an object of \"first\" and \"review\"")]
enum Wording {
    One(String),
    Both { first: String, review: String },
}

impl PromptGrid {
    /// The grid that comes with the crate.
    ///
    /// # Errors
    /// [`Error::Malformed`], which a test rules out.
    pub fn bundled() -> Result<Self> {
        PromptGrid::shared().cloned()
    }

    /// The bundled grid, read once.
    pub(super) fn shared() -> Result<&'static PromptGrid> {
        static GRID: LazyLock<Result<PromptGrid, String>> =
            LazyLock::new(|| PromptGrid::read_bundled().map_err(|error| error.to_string()));
        GRID.as_ref().map_err(|problem| Error::malformed(Path::new("data/prompts.json"), Place::File, problem))
    }

    fn read_bundled() -> Result<Self> {
        PromptGrid::read(Path::new("data/prompts.json"), include_str!("../../data/prompts.json"))
    }

    /// Reads a grid from a file like `data/prompts.json`.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Malformed`] with the line for broken JSON or an unknown field, with the cell for a
    /// benchmark whose lists of wordings are empty or differ in length, and for an external feedback without the
    /// place `{feedback}`.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        PromptGrid::read(path.as_ref(), &file::read_text(path.as_ref())?)
    }

    fn read(path: &Path, text: &str) -> Result<Self> {
        let File { benchmarks, .. } = serde_json::from_str(text).map_err(|error| Error::json(path, error))?;
        for (name, benchmark) in &benchmarks {
            let bad = |part: &str, problem: String| {
                Err(Error::malformed(path, Place::Entry(format!("{name}.{part}")), problem))
            };
            let expected = benchmark.review.len();
            if expected == 0 {
                return bad("review", "holds no wording".to_owned());
            }
            let mut lengths = vec![
                ("reasoning".to_owned(), benchmark.reasoning.len()),
                ("feedback.intrinsic".to_owned(), benchmark.feedback.intrinsic.len()),
                ("feedback.external".to_owned(), benchmark.feedback.external.len()),
            ];
            for (specificity, stances) in &benchmark.instructions {
                for (stance, wordings) in stances {
                    lengths.push((format!("{}.{}", specificity.name(), stance.name()), wordings.len()));
                }
            }
            if let Some((part, found)) = lengths.iter().find(|(_, length)| *length != expected) {
                return bad(part, format!("{found} wordings, but \"review\" has {expected}"));
            }
            if benchmark.feedback.external.iter().any(|feedback| !feedback.give.contains("{feedback}")) {
                return bad("feedback.external", "a wording lacks the place \"{feedback}\"".to_owned());
            }
        }
        Ok(PromptGrid { benchmarks })
    }

    /// Reads the text form of a cell of this grid.
    ///
    /// # Errors
    /// [`Error::Setting`] for a part that names nothing, with the nearest.
    pub fn parse(&self, text: &str) -> Result<PromptCell> {
        let mut cell = PromptCell::default();
        for part in text.split('/') {
            if cell.take(part) {
                continue;
            }
            if self.benchmarks.contains_key(part) {
                cell.benchmark = part.to_owned();
            } else {
                let known = Specificity::ALL.iter().map(|level| level.name());
                let known = known.chain(Stance::ALL.iter().map(|stance| stance.name()));
                let known = known.chain(FeedbackSource::ALL.iter().map(|source| source.name())).chain(["cot"]);
                let known = known.map(str::to_owned).chain(self.benchmarks.keys().cloned());
                let problem = format!("names no part of a prompt; nearest: {}", nearest(part, known).join(", "));
                return Err(Error::setting("instruction", part, problem));
            }
        }
        Ok(cell)
    }

    /// Every cell that the grid has a prompt for.
    pub fn cells(&self) -> Vec<PromptCell> {
        let mut cells = Vec::new();
        for (name, benchmark) in &self.benchmarks {
            for (&specificity, stances) in &benchmark.instructions {
                for (&stance, wordings) in stances {
                    for chain_of_thought in [false, true] {
                        for feedback in FeedbackSource::ALL {
                            cells.extend((0..wordings.len()).map(|paraphrase| PromptCell {
                                benchmark: name.clone(),
                                specificity,
                                stance,
                                chain_of_thought,
                                feedback,
                                paraphrase,
                            }));
                        }
                    }
                }
            }
        }
        cells
    }

    /// The instruction of a cell, named by the cell's text form.
    ///
    /// # Errors
    /// [`Error::Setting`] for a cell that the grid does not have.
    pub fn get(&self, cell: &PromptCell) -> Result<Instruction> {
        let missing = |what: &str| Error::setting("instruction", cell, format!("the grid has no such {what}"));
        let benchmark = self.benchmarks.get(&cell.benchmark).ok_or_else(|| missing("benchmark"))?;
        let wordings = benchmark.instructions.get(&cell.specificity).ok_or_else(|| missing("specificity"))?;
        let wordings = wordings.get(&cell.stance).ok_or_else(|| missing("stance"))?;
        let at = cell.paraphrase;
        let (wording, around) = wordings.get(at).zip(benchmark.review.get(at)).ok_or_else(|| missing("paraphrase"))?;
        let (first, review) = match wording {
            Wording::One(text) => (text.clone(), format!("{} {text} {}", around.before, around.after)),
            Wording::Both { first, review } => (first.clone(), review.clone()),
        };
        let feedback = match cell.feedback {
            FeedbackSource::None => None,
            FeedbackSource::Intrinsic => benchmark.feedback.intrinsic.get(at),
            FeedbackSource::External => benchmark.feedback.external.get(at),
        };
        Ok(Instruction {
            name: cell.to_string(),
            meaning: format!("{} {}, {}", cell.benchmark, cell.specificity.name(), cell.stance.name()),
            first,
            review,
            reasoning: benchmark.reasoning.get(at).filter(|_| cell.chain_of_thought).cloned(),
            feedback: feedback.cloned(),
            wordings: Vec::new(),
        })
    }

    /// The instruction of a cell in so many wordings, from the cell's own on ([`Instruction::or_worded`]).
    ///
    /// # Errors
    /// [`Error::Setting`] for a cell that the grid does not have, without wordings, and for more than it has.
    pub fn get_in(&self, cell: &PromptCell, wordings: usize) -> Result<Instruction> {
        if wordings == 0 {
            return Err(Error::setting("wordings", 0, "at least 1"));
        }
        let other = |number: usize| self.get(&PromptCell { paraphrase: cell.paraphrase + number, ..cell.clone() });
        let others = (1..wordings).map(other).collect::<Result<Vec<_>>>()?;
        Ok(self.get(cell)?.or_worded(others))
    }
}

impl Instruction {
    /// The bundled instruction of this name, in the text form of [`PromptCell`]: `L0`, `L1`, `L2`, `neutral`,
    /// `negated`, `winogender/L2/cot/p3`.
    ///
    /// # Errors
    /// [`Error::Setting`] with the nearest names.
    pub fn named(name: &str) -> Result<Instruction> {
        let grid = PromptGrid::shared()?;
        grid.get(&grid.parse(name)?)
    }

    /// The bundled instruction of this name in so many wordings, of which there are ten ([`Instruction::or_worded`]).
    ///
    /// ```
    /// use probity::dialogue::Instruction;
    /// let fair = Instruction::named_in("L1", 10)?;
    /// assert_eq!((fair.name.as_str(), fair.worded(9).name.as_str()), ("L1", "L1/p9"));
    /// # Ok::<(), probity::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`PromptGrid::get_in`].
    pub fn named_in(name: &str, wordings: usize) -> Result<Instruction> {
        let grid = PromptGrid::shared()?;
        grid.get_in(&grid.parse(name)?, wordings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundled_instructions_are_there() {
        for name in ["L0", "L1", "L2", "neutral", "negated", "winogender/L2/cot/external/p9"] {
            assert_eq!(Instruction::named(name).unwrap().name, name);
        }
        let message = Instruction::named("neutrall").unwrap_err().to_string();
        assert!(message.contains("nearest: neutral"), "{message}");
    }
}
