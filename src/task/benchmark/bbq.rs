//! BBQ, the bias benchmark for question answering (Parrish et al. 2022, arXiv 2110.08193).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use serde::Deserialize;

use super::table::{read_table, Form};
use crate::error::Place;
use crate::task::set::Builder;
use crate::task::{ChoiceItem, ChoiceTask, ContextCondition, Polarity};
use crate::{file, Error, Result};

/// The categories of the official files.
const CATEGORIES: [&str; 11] = [
    "Age",
    "Disability_status",
    "Gender_identity",
    "Nationality",
    "Physical_appearance",
    "Race_ethnicity",
    "Race_x_SES",
    "Race_x_gender",
    "Religion",
    "SES",
    "Sexual_orientation",
];

/// Loader of BBQ.
///
/// ```no_run
/// use probity::task::Bbq;
/// let task = Bbq::load("BBQ")?.ambiguous().categories(["Age", "Religion"])?.limit_per_category(60, 7);
/// # Ok::<(), probity::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Bbq;

impl Bbq {
    /// Reads a folder with `data/*.jsonl` (or `*.jsonl`) and `additional_metadata.csv`, as the authors publish
    /// them. Ids are `Age-17`, groups `Age-3` (the `question_index`).
    ///
    /// `biased` is the table's `target_loc`, which is already corrected for polarity: in a non-negative question
    /// it is the option that the stereotype does *not* name. Do not correct it again. Where the table has no
    /// value, or no row while it has others of the category, `biased` is `None`.
    ///
    /// A table that is not corrected is refused: where just one of the named options, by its text or its group, is among the
    /// question's `stereotyped_groups`, `target_loc` of a non-negative question must be the other one, in more than half of
    /// the rows of each category. (Not in all: one odd row makes no other table.)
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Malformed`] with the line for broken JSON, a missing column or field, an unknown
    /// category, polarity or condition, an index outside the options, not one undetermined option, a
    /// repeated id, and a table that is not corrected for polarity.
    pub fn load(folder: impl AsRef<Path>) -> Result<ChoiceTask> {
        let folder = folder.as_ref();
        let data = super::data_folder(folder);
        let table = folder.join("additional_metadata.csv");
        let table = if table.exists() { table } else { data.join("additional_metadata.csv") };
        let targets = Targets::load(&table)?;
        let mut files: Vec<_> = std::fs::read_dir(&data)
            .map_err(Error::io("read", &data))?
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"))
            .collect();
        files.sort();
        if files.is_empty() {
            return Err(Error::malformed(&data, Place::File, "holds no .jsonl file of BBQ"));
        }
        let mut builder = Builder::default();
        let mut hashes = targets.sha256.clone();
        let mut polarity = BTreeMap::new();
        for path in &files {
            hashes += &file::stream_json_lines(path, |_, row: Row| {
                row.compare(&targets, &mut polarity);
                builder.add(row.item(&targets)?)
            })?;
        }
        for (category, compared) in &polarity {
            compared.check(category).map_err(|(line, problem)| Error::malformed(&table, Place::Line(line), problem))?;
        }
        Ok(builder.finish("bbq", file::sha256(hashes)))
    }
}

/// The biased option of each example.
struct Targets {
    /// With the line of the table.
    by_example: HashMap<(String, u64), (Option<usize>, u64)>,
    categories: HashSet<String>,
    sha256: String,
}

impl Targets {
    fn load(path: &Path) -> Result<Self> {
        let (mut by_example, mut categories) = (HashMap::new(), HashSet::new());
        let sha256 = read_table(path, Form::Csv(&["category", "example_id", "target_loc"]), |line, fields| {
            let [category, example, target] = fields else { return Err("three columns are read".to_owned()) };
            let example = example.parse().map_err(|_| format!("example_id = {example:?} is no whole number"))?;
            // The authors' own table holds them as whole numbers or, from pandas, as 1.0; some are missing.
            let target = match target.trim_end_matches(".0") {
                "" | "nan" | "NaN" | "NA" => None,
                "0" => Some(0),
                "1" => Some(1),
                "2" => Some(2),
                other => return Err(format!("target_loc = {other:?} is none of 0, 1, 2")),
            };
            categories.insert((*category).to_owned());
            match by_example.insert(((*category).to_owned(), example), (target, line)) {
                Some((earlier, _)) if earlier != target => {
                    Err(format!("{category} {example} appears a second time with another target_loc"))
                }
                _ => Ok(()),
            }
        })?;
        Ok(Targets { by_example, categories, sha256 })
    }
}

/// Non-negative questions of a category in which the stereotype names one of the options.
#[derive(Default)]
struct Compared {
    /// Those whose target is the other option, as it should be.
    corrected: usize,
    /// Those whose target is the option that the stereotype names.
    stereotyped: usize,
    /// The first line of the table with one of these.
    line: u64,
}

impl Compared {
    /// What is wrong with the table, and in which line.
    fn check(&self, category: &str) -> Result<(), (u64, String)> {
        let compared = self.corrected + self.stereotyped;
        if self.corrected > self.stereotyped || compared == 0 {
            return Ok(());
        }
        let problem = format!(
            "target_loc is not corrected for polarity: in {} of {compared} non-negative questions of {category} it is the \
             option that stereotyped_groups names, where the biased answer is the other one",
            self.stereotyped
        );
        Err((self.line, problem))
    }
}

#[derive(Deserialize)]
struct Row {
    example_id: u64,
    question_index: Index,
    question_polarity: String,
    context_condition: String,
    category: String,
    answer_info: Infos,
    #[serde(default)]
    additional_metadata: Metadata,
    context: String,
    question: String,
    ans0: String,
    ans1: String,
    ans2: String,
    label: usize,
}

/// A text in the official files, a number in some copies.
#[derive(Deserialize)]
#[serde(untagged)]
enum Index {
    Text(String),
    Number(u64),
}

#[derive(Default, Deserialize)]
struct Metadata {
    #[serde(default)]
    stereotyped_groups: Vec<String>,
}

#[derive(Deserialize)]
struct Infos {
    ans0: Vec<String>,
    ans1: Vec<String>,
    ans2: Vec<String>,
}

impl Infos {
    fn of(&self) -> [&[String]; 3] {
        [&self.ans0, &self.ans1, &self.ans2]
    }
}

impl Row {
    /// Counts a non-negative question whose target can be compared with the stereotyped groups.
    fn compare(&self, targets: &Targets, polarity: &mut BTreeMap<String, Compared>) {
        let Some(&(Some(target), line)) = targets.by_example.get(&(self.category.clone(), self.example_id)) else {
            return;
        };
        let groups: HashSet<String> =
            self.additional_metadata.stereotyped_groups.iter().map(|group| group.to_lowercase()).collect();
        // What an option says of itself: its text, its group.
        let infos = self.answer_info.of();
        let mut named = (0..3).filter(|&option| infos[option].iter().any(|info| groups.contains(&info.to_lowercase())));
        let (Some(stereotyped), None, "nonneg") = (named.next(), named.next(), self.question_polarity.as_str()) else {
            return;
        };
        let compared = polarity.entry(self.category.clone()).or_default();
        if target != stereotyped {
            compared.corrected += 1;
            return;
        }
        compared.stereotyped += 1;
        compared.line = if compared.stereotyped == 1 { line } else { compared.line.min(line) };
    }

    fn item(self, targets: &Targets) -> Result<ChoiceItem, String> {
        let category = self.category;
        if !CATEGORIES.contains(&category.as_str()) {
            return Err(format!("category {category:?} is none of {}", CATEGORIES.join(", ")));
        }
        if !targets.categories.contains(&category) {
            return Err(format!("additional_metadata.csv has no row of category {category:?}"));
        }
        let condition = match self.context_condition.as_str() {
            "ambig" => ContextCondition::Ambiguous,
            "disambig" => ContextCondition::Disambiguated,
            other => return Err(format!("context_condition {other:?} is neither \"ambig\" nor \"disambig\"")),
        };
        let polarity = match self.question_polarity.as_str() {
            "neg" => Polarity::Negative,
            "nonneg" => Polarity::NonNegative,
            other => return Err(format!("question_polarity {other:?} is neither \"neg\" nor \"nonneg\"")),
        };
        let infos = self.answer_info.of();
        let is_unknown = |option: &usize| infos[*option].last().is_some_and(|group| group == "unknown");
        let unknown: Vec<usize> = (0..3).filter(is_unknown).collect();
        let [unknown] = unknown[..] else {
            return Err(format!("{} options are of the group \"unknown\", expected one", unknown.len()));
        };
        let biased = targets.by_example.get(&(category.clone(), self.example_id)).and_then(|(target, _)| *target);
        if biased == Some(unknown) {
            return Err("the biased option (target_loc) is the undetermined one".to_owned());
        }
        let index = match self.question_index {
            Index::Text(index) => index,
            Index::Number(index) => index.to_string(),
        };
        let options = vec![self.ans0, self.ans1, self.ans2];
        let id = format!("{category}-{}", self.example_id);
        Ok(ChoiceItem {
            group: format!("{category}-{index}"),
            category,
            condition: Some(condition),
            polarity: Some(polarity),
            context: self.context,
            biased,
            unknown: Some(unknown),
            ..ChoiceItem::new(id, self.question, options, self.label)
        })
    }
}
