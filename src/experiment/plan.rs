//! What is to be tested, written down before a run.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::call::Experiment;
use crate::dialogue::{ProtocolRecord, Reading};
use crate::error::Place;
use crate::level::window::Window;
use crate::report::PlanRecord;
use crate::stats::Settings;
use crate::task::Item;
use crate::text::LabelledText;
use crate::{file, Error, Model, Provenance, Result};

/// Everything about a run that its verdicts depend on, as a small JSON file that is made before.
///
/// Who chooses layers, margin, score or probe after looking finds something in noise. [`Experiment::by_plan`] runs by a plan:
/// what was asked for is compared with it, and every difference is refused by name before the model is run. The report holds
/// the plan's SHA-256 and its date, and the page's first line says so; without a plan it says "exploratory".
///
/// What changes no result is not in it: device, batch size, folders. Nor are descriptions beside the verdict: permuted labels,
/// attribution, sensitivity. The date is what the plan's maker says: put the file, or its hash, where others can see when it
/// came there (a registry, a repository), if it is to convince them.
///
/// ```no_run
/// use probity::{experiment::Plan, prelude::*};
/// # fn experiment() -> Experiment { unimplemented!() }
/// # fn main() -> probity::Result<()> {
/// let experiment: Experiment = experiment();
/// Plan::of(&experiment)?.save("plan.json")?;
/// // Later, on the same questions:
/// let model = Model::load("SmolLM2-135M-Instruct.Q4_1.gguf")?;
/// experiment.by_plan(Plan::load("plan.json")?).run(&model)?.write_dir("out")?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Plan {
    /// Name and version of the form: [`Plan::SCHEMA`].
    pub schema: String,
    /// When it was made, UTC, as in `2026-03-01T09:30:00Z`: what its maker's clock said.
    pub made: String,
    /// Version of this library, whose rules the verdict follows.
    pub probity: String,
    /// The model's file or directory name; `None` for a plan that is for any.
    pub model: Option<String>,
    /// What is asked.
    pub task: PlannedTask,
    /// SHA-256 of the words of each instruction, by name.
    pub instructions: BTreeMap<String, String>,
    /// SHA-256 of the words of those that end a copy of every conversation, by name.
    pub re_elicited: BTreeMap<String, String>,
    /// Every condition that gets a verdict, with the one that it is compared with.
    pub controls: BTreeMap<String, Option<String>>,
    /// How the rounds are run, the score rule among it.
    pub protocol: ProtocolRecord,
    /// What is read besides the prompt's last token.
    pub readings: Vec<Reading>,
    /// Whether answers are read with the conversations exchanged.
    pub crossed: bool,
    /// The places that are read, as text of a [`Selection`](crate::hook::Selection).
    pub sites: String,
    /// The layers that verdicts rest on; `None` for all whose probes are valid.
    pub verdict_window: Option<Window>,
    /// The site that verdicts judge.
    pub verdict_site: String,
    /// Windows of layers whose mean change is reported.
    pub windows: Vec<String>,
    /// Draws, level, margin, power and seed.
    pub settings: Settings,
    /// What reads the levels.
    pub probe: PlannedProbe,
}

/// The items of a plan and what is measured on them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct PlannedTask {
    /// Name of the task.
    pub name: String,
    /// SHA-256 of its files, before items were chosen.
    pub sha256: String,
    /// Number of items.
    pub items: usize,
    /// SHA-256 of the items chosen, in their order.
    pub items_sha256: String,
    /// What answers are measured by: accuracy, minus toxicity.
    pub outcome: String,
    /// The judge of texts, if there is one.
    pub scorer: Option<String>,
}

/// The probes of a plan and what they learn from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct PlannedProbe {
    /// Kind, penalty, split, folds and seeds, as in the report's provenance.
    pub settings: Provenance,
    /// Number of labelled texts.
    pub texts: usize,
    /// SHA-256 of these texts with labels and groups.
    pub texts_sha256: String,
    /// SHA-256 of the statements whose mean state is the direction, where no probe is fitted.
    pub direction_sha256: Option<String>,
}

impl Plan {
    /// Name and version of the form.
    pub const SCHEMA: &'static str = "probity-plan-1";

    /// The plan that this experiment would keep, made now.
    ///
    /// # Errors
    /// As [`Experiment::check`], and where the bundled statements cannot be read.
    pub fn of<I: Item>(experiment: &Experiment<I>) -> Result<Plan> {
        experiment.check_settings()?;
        let protocol = &experiment.protocol;
        let (task, design) = (protocol.task(), protocol.design()?);
        let statements = experiment.statements.clone().map_or_else(LabelledText::bundled, Ok)?;
        let [instructions, re_elicited] = protocol.words_sha256();
        let control = |judged: &crate::Condition| (judged.to_string(), design.control(judged).map(ToString::to_string));
        Ok(Plan {
            schema: Plan::SCHEMA.to_owned(),
            made: utc(SystemTime::now()),
            probity: env!("CARGO_PKG_VERSION").to_owned(),
            model: None,
            task: PlannedTask {
                name: task.name().to_owned(),
                sha256: task.sha256().to_owned(),
                items: task.items().len(),
                items_sha256: file::sha256(task.items().iter().map(words_of).collect::<String>()),
                outcome: I::OUTCOME.to_owned(),
                scorer: experiment.judge().map(|scorer| scorer.name().to_owned()),
            },
            instructions,
            re_elicited,
            controls: design.judged().into_iter().map(control).collect(),
            protocol: protocol.record(),
            readings: experiment.readings.clone(),
            crossed: experiment.crosses(),
            sites: experiment.selection.to_string(),
            verdict_window: experiment.verdict_window,
            verdict_site: experiment.verdict_site.to_string(),
            windows: experiment.windows.iter().map(ToString::to_string).collect(),
            settings: experiment.settings,
            probe: PlannedProbe {
                settings: crate::probe::described(&experiment.estimator()),
                texts: statements.len(),
                texts_sha256: sha256_of(&statements),
                direction_sha256: experiment.direction.as_deref().map(sha256_of),
            },
        })
    }

    /// Sets the name of the model's file or directory, without its folder: the plan is then for no other.
    #[must_use]
    pub fn model(mut self, name: impl Into<String>) -> Self {
        self.model = Some(name.into());
        self
    }

    /// Writes the plan as JSON.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Setting`] where the file exists: a plan is not changed, another is made.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        if path.exists() {
            let expected = "a file that is not there yet: a plan that is changed later is none";
            return Err(Error::setting("plan", path.display(), expected));
        }
        file::write_json(path, self)
    }

    /// Reads a plan.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Malformed`] for another form, unknown keys and a date that is none.
    pub fn load(path: impl AsRef<Path>) -> Result<Plan> {
        let path = path.as_ref();
        let plan: Plan = serde_json::from_str(&file::read_text(path)?).map_err(|error| Error::json(path, error))?;
        let bad = |entry: &str, problem: String| Err(Error::malformed(path, Place::Entry(entry.into()), problem));
        if plan.schema != Plan::SCHEMA {
            return bad("schema", format!("{:?} is not {:?}", plan.schema, Plan::SCHEMA));
        }
        if !is_utc(&plan.made) {
            return bad("made", format!("{:?} is no date and time such as 2026-03-01T09:30:00Z", plan.made));
        }
        Ok(plan)
    }

    /// SHA-256 of the file that [`Plan::save`] writes.
    pub fn sha256(&self) -> String {
        file::sha256(file::json_text(self).unwrap_or_default())
    }

    /// Where an experiment's own plan, as of now, is another: "settings.margin: planned 0.2, asked for 0.1". The date and the
    /// model do not count.
    pub(super) fn differences(&self, asked: &Plan) -> Vec<String> {
        let [planned, asked] = [self, asked].map(|plan| {
            let plan = Plan { made: String::new(), model: None, ..plan.clone() };
            let mut flat = BTreeMap::new();
            flatten("", &serde_json::to_value(plan).unwrap_or_default(), &mut flat);
            flat
        });
        let names: std::collections::BTreeSet<&String> = planned.keys().chain(asked.keys()).collect();
        let told = |value: Option<&String>| value.map_or("nothing".to_owned(), Clone::clone);
        let differing = names.into_iter().filter(|name| planned.get(*name) != asked.get(*name));
        differing
            .map(|name| format!("{name}: planned {}, asked for {}", told(planned.get(name)), told(asked.get(name))))
            .collect()
    }

    /// Refuses a model that the plan is not for.
    pub(super) fn check_model(&self, model: &Model) -> Result<()> {
        let asked = model.provenance().get("model").map_or("", String::as_str);
        match &self.model {
            Some(planned) if planned != asked => {
                Err(refused(&[format!("model: planned {planned}, asked for {asked}")]))
            }
            _ => Ok(()),
        }
    }

    /// What the report says of it; `answered` is when the first answers were there, if they were kept from an earlier run.
    pub(super) fn record(&self, answered: Option<SystemTime>) -> PlanRecord {
        let late = answered.is_some_and(|since| utc(since) < self.made);
        let why = late.then(|| "answers of this run are older than the plan".to_owned());
        PlanRecord::new(self.sha256(), self.made.clone(), why)
    }
}

/// The error that lists what is not as planned.
pub(super) fn refused(differences: &[String]) -> Error {
    let problem = format!("{}; ask for what was planned, or make another plan", differences.join("; "));
    Error::mismatch("plan", problem)
}

/// SHA-256 of labelled texts.
fn sha256_of(texts: &[LabelledText]) -> String {
    file::sha256(texts.iter().map(|text| format!("{text:?}\n")).collect::<String>())
}

/// What an item asks.
fn words_of<I: Item>(item: &I) -> String {
    let words =
        (item.id(), item.group(), item.category(), item.context(), item.question(), item.reply(), item.options());
    format!("{words:?}\n")
}

/// The values of a JSON object by their paths, with points between keys.
fn flatten(path: &str, value: &Value, flat: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                flatten(&if path.is_empty() { key.clone() } else { format!("{path}.{key}") }, value, flat);
            }
        }
        Value::Null => {
            flat.insert(path.to_owned(), "nothing".to_owned());
        }
        Value::String(text) => {
            flat.insert(path.to_owned(), text.clone());
        }
        other => {
            flat.insert(path.to_owned(), other.to_string());
        }
    }
}

/// Date and time in UTC, to the second (the civil calendar by Hinnant's days_from_civil, turned round).
fn utc(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Days from 1 March of year 0, in eras of 400 years.
    let z = days + 719_468;
    let (era, day) = (z / 146_097, z % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (day, month) = (day - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    let year = era * 400 + year + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Whether a text has the form of [`utc`], so that such texts are in the order of time.
fn is_utc(text: &str) -> bool {
    const FORM: &[u8] = b"0000-00-00T00:00:00Z";
    let fits = |(byte, form): (u8, &u8)| if *form == b'0' { byte.is_ascii_digit() } else { byte == *form };
    text.len() == FORM.len() && text.bytes().zip(FORM).all(fits)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn seconds_are_dates() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_164_800, "2024-02-29T00:00:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            let found = utc(UNIX_EPOCH + Duration::from_secs(seconds));
            assert_eq!(found, expected);
            assert!(is_utc(&found));
        }
        assert!(!is_utc("yesterday") && !is_utc("2026-3-01T00:00:00Z") && !is_utc(""));
    }
}
