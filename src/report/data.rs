//! Everything that a report shows, as data.

use serde::{Deserialize, Serialize};

use super::plan::PlanRecord;
use crate::causal::{CausalEvidence, RoundContribution};
use crate::condition::Design;
use crate::dialogue::ProtocolRecord;
use crate::level::window::Window;
use crate::level::{
    ChangeTest, Evidence, Family, InstructionRanking, LevelRow, PairwiseEffectiveness, Precision, SensitivityTable,
    Transition, Verdict, WindowRow,
};
use crate::probe::ProbeRow;
use crate::stats::Settings;
use crate::task::Behaviour;
use crate::Provenance;

/// How the results of a report were made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct AnalysisRecord {
    /// The settings that every statement shares, with the sign flips that there were.
    #[serde(flatten)]
    pub settings: Settings,
    /// What shares one joint statement.
    pub family: Family,
    /// The layers that verdicts rest on, if they were declared; else all that were read.
    pub window: Option<Window>,
    /// Layers in a row that make a transition.
    pub consecutive: usize,
    /// Items.
    pub items: usize,
    /// Groups of items, which are resampled.
    pub groups: usize,
}

/// The model in a few words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct ModelSummary {
    /// File or directory name.
    pub name: String,
    /// Layers that were read.
    pub layers: usize,
}

/// Everything that a report shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(title = "Probity report"))]
#[cfg_attr(feature = "schema", schemars(extend("$id" = format!("urn:{}", Report::SCHEMA.replace('-', ":")))))]
#[non_exhaustive]
pub struct Report {
    /// Name and version of the form: [`Report::SCHEMA`].
    #[cfg_attr(feature = "schema", schemars(extend("const" = Report::SCHEMA)))]
    pub schema: String,
    /// The plan that it was made by; without one it is exploratory.
    pub plan: Option<PlanRecord>,
    /// The model.
    pub model: ModelSummary,
    /// Hashes and settings of what the results were made from.
    pub provenance: Provenance,
    /// How the rounds were run.
    pub protocol: ProtocolRecord,
    /// The conditions, and what each is compared with.
    pub conditions: Design,
    /// How the results were made.
    #[serde(rename = "settings")]
    pub analysis: AnalysisRecord,
    /// One verdict per instruction that was studied.
    pub verdicts: Vec<Verdict>,
    /// Held-out results of the probes of the prompts, by address.
    pub probes: Vec<ProbeRow>,
    /// Those of the probes of the answers, on which verdicts rest; none where only prompts were read.
    pub answer_probes: Vec<ProbeRow>,
    /// Behaviour by condition.
    pub behaviour: Behaviour,
    /// Mean levels, reading by reading.
    pub levels: Vec<LevelRow>,
    /// Changes against round 0 and against the control, reading by reading.
    pub changes: Vec<ChangeTest>,
    /// Where over the layers the level begins to change, at the prompt's last token.
    pub transitions: Vec<Transition>,
    /// What else speaks for or against each verdict.
    pub evidence: Vec<Evidence>,
    /// What attention and feed-forward parts add to the changes, where that was asked for.
    pub contributions: Vec<RoundContribution>,
    /// What becomes of the gain where the probes' direction is changed, where that was asked for.
    pub causal: Vec<CausalEvidence>,
    /// How precise gain and D were, which tells what a next study needs ([`Planner`](crate::level::Planner)).
    pub precision: Vec<Precision>,
    /// D and verdict by other analyses of the same run, where that was asked for.
    pub sensitivity: Option<SensitivityTable>,
    /// Choosing among instructions by their level in round 1, where there are three or more.
    pub selection: Option<InstructionRanking>,
    /// Which of two instructions works better, by their levels and by their words, where there are two or more.
    pub pairwise: Option<PairwiseEffectiveness>,
    /// Changes over windows of layers that were named beforehand.
    pub windows: Vec<WindowRow>,
}

impl Report {
    /// Name and version of the report's form; its JSON schema is in `docs/report.schema.json`.
    pub const SCHEMA: &'static str = "probity-report-5";

    /// This report with the numbers of the probes that read the answers.
    pub fn with_answer_probes(self, answer_probes: Vec<ProbeRow>) -> Self {
        Report { answer_probes, ..self }
    }

    /// This report with what [`Attribution::by_round`](crate::causal::Attribution::by_round) found.
    pub fn with_contributions(self, contributions: Vec<RoundContribution>) -> Self {
        Report { contributions, ..self }
    }

    /// This report with what [`CausalRounds`](crate::causal::CausalRounds) found.
    pub fn with_causal(self, causal: Vec<CausalEvidence>) -> Self {
        Report { causal, ..self }
    }

    /// This report with the changes over windows that were named beforehand.
    pub(crate) fn with_windows(self, windows: Vec<WindowRow>) -> Self {
        Report { windows, ..self }
    }

    /// This report with what other analyses of the same run give ([`Sensitivity`](crate::experiment::Sensitivity)).
    pub fn with_sensitivity(self, sensitivity: Option<SensitivityTable>) -> Self {
        Report { sensitivity, ..self }
    }

    /// This report with the plan that it was made by.
    pub fn with_plan(self, plan: Option<PlanRecord>) -> Self {
        Report { plan, ..self }
    }

    /// What the behaviour is measured by, as a word; "behaviour" where nothing was.
    pub fn outcome(&self) -> &str {
        Some(self.behaviour.outcome.name.as_str()).filter(|name| !name.is_empty()).unwrap_or("behaviour")
    }
}
