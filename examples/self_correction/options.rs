//! The command line of the study.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use probity::dialogue::{Overflow, Reading, RoundKind};
use probity::generate::Decoding;
use probity::hook::{Selection, Site};
use probity::level::window::Window;
use probity::level::LayerWindow;
use probity::model::Precision;
use probity::task::{ContextCondition, ScoreRule};

/// Run rounds of self-correction on a model and report behaviour and hidden-state immorality.
///
/// Trains one linear probe per address on labelled statements, asks the items in rounds (0: plain;
/// 1: instructed, fresh; 2 and later: reviews), and writes report.html, report.json, levels.csv, levels_by_fold.csv,
/// probes.safetensors, answer_probes.safetensors where probes of answers were fitted, answers.jsonl, transcripts.jsonl and plots/. An
/// interrupted run goes on where it was.
#[derive(Parser)]
pub struct Options {
    /// GGUF file or Hugging Face directory.
    #[arg(long, default_value = ".models/SmolLM2-135M-Instruct.Q4_1.gguf")]
    pub model: PathBuf,
    /// Precision of the weights: f32, bf16 or f64.
    #[arg(long, default_value = "f32")]
    pub precision: Precision,
    /// What is asked.
    #[arg(long, value_enum, default_value = "bundled")]
    pub task: Task,
    /// Official files: BBQ's or Winogender's folder, prompts.jsonl of RealToxicityPrompts; for `bundled`
    /// questions of your own, JSON lines as in data/ambiguous_qa.jsonl, which is the default.
    #[arg(long)]
    pub data: Option<PathBuf>,
    /// Comma-separated categories; default: all.
    #[arg(long, value_delimiter = ',')]
    pub category: Vec<String>,
    /// Questions of one condition only: `ambiguous` (the context leaves them open) or `disambiguated`.
    #[arg(long)]
    pub condition: Option<ContextCondition>,
    /// Most items, spread over groups and variants; default: 32 for `bundled`, all otherwise.
    #[arg(long)]
    pub limit: Option<usize>,
    /// Most items of each category.
    #[arg(long)]
    pub per_category: Option<usize>,
    /// Ask every question in every rotation of its options, to measure position bias.
    #[arg(long)]
    pub orders: bool,
    /// Comma-separated cells of the prompt grid: L0, L1, L2, ground_truth, neutral, negated, L2/neutral, L1/cot,
    /// L1/intrinsic, L1/external, L1/p3, mention, ... Without neutral there is no verdict.
    #[arg(long, default_value = "L1,neutral", value_delimiter = ',')]
    pub instruction: Vec<String>,
    /// Ask every instruction in so many wordings, each item in one of them: a verdict is then on the instruction over its
    /// wordings. The grid has ten.
    #[arg(long, default_value_t = 1)]
    pub wordings: usize,
    /// Also quote every positive instruction without asking for it (L1: `mention`), a control for what its words do by being
    /// there. One more conversation per instruction.
    #[arg(long)]
    pub mention: bool,
    /// Another grid of prompts, in the form of data/prompts.json.
    #[arg(long)]
    pub prompts: Option<PathBuf>,
    /// Last round.
    #[arg(long, default_value_t = 3)]
    pub rounds: usize,
    /// Comma-separated instructions, each of which ends a copy of every conversation: negated, neutral, ...
    #[arg(long, value_delimiter = ',')]
    pub re_elicit: Vec<String>,
    /// Comma-separated readings besides the prompt's last token: answer, answer-masked, prompt-masked, ... Without
    /// `answer` nothing is called internal. All that are masked take one more pass over every conversation.
    #[arg(long, default_value = "answer", value_delimiter = ',')]
    pub readings: Vec<Reading>,
    /// Split changes of the projection at this layer's residual stream into attention and feed-forward parts.
    #[arg(long)]
    pub attribute: Option<usize>,
    /// Also run all rounds while the probes' direction is removed, and while one class distance is taken off along it, and the same
    /// along so many random directions that cost as much fluency: is the direction needed, does it suffice? 0: none. Costs
    /// 2 (N + 1) times the rounds' own time, and up to 28 N readings of 32 answers. With fewer than 19 no p-value can be 0.05.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub causal: usize,
    /// Place changes also among those along probes that were fitted on so many permutations of the labels; 0: none. Each is a
    /// fit at every address.
    #[arg(long, default_value_t = 0)]
    pub permuted_labels: usize,
    /// What the rounds are: `fresh` (round 1 is a fresh conversation with the instruction) or `revise` (every round reviews the
    /// answer before it, from the plain one on).
    #[arg(long, default_value = "fresh", value_parser = kind)]
    pub kind: RoundKind,
    /// Ask the model to think before every answer, in these words.
    #[arg(long)]
    pub thinking: Option<String>,
    /// Most tokens of a thought, or of the model's judgement of its own answer.
    #[arg(long, default_value_t = 256)]
    pub reasoning_tokens: usize,
    /// Who judges each answer before it is reviewed: `fixed:TEXT`, `scorer` (see --scorer) or `model:PATH`.
    #[arg(long)]
    pub feedback: Option<String>,
    /// Scorer of texts: a saved one (.json), or toxic comments in Jigsaw's form (.csv) to learn one from.
    #[arg(long)]
    pub scorer: Option<PathBuf>,
    /// Most tokens of an answer; default: 8 for questions, 125 for completions.
    #[arg(long)]
    pub tokens: Option<usize>,
    /// Temperature of sampling; 0 is greedy.
    #[arg(long, default_value_t = 0.0)]
    pub temperature: f64,
    /// Continuations drawn of each text in each round, of which the first goes on; more than 1 needs a --temperature.
    #[arg(long, default_value_t = 1)]
    pub continuations: usize,
    /// Draw from the k most probable tokens only.
    #[arg(long)]
    pub top_k: Option<usize>,
    /// Draw from the most probable tokens that hold this share of the probability.
    #[arg(long, default_value_t = 1.0)]
    pub top_p: f64,
    /// End an answer at this text; may be given more than once.
    #[arg(long)]
    pub stop: Vec<String>,
    /// Which score decides between options: of "(b) text" total, per_token or letter; of the text alone bare_total,
    /// bare_per_token, bare_per_byte or bare_letter. Default: the one that agrees most often with the generated answers of round 0.
    #[arg(long)]
    pub score: Option<ScoreRule>,
    /// Leave out the oldest answers where a conversation outgrows the context, instead of failing.
    #[arg(long)]
    pub drop_oldest: bool,
    /// Conversations side by side.
    #[arg(long, default_value_t = 16)]
    pub batch: usize,
    /// Labelled statements for the probes: JSON lines as in data/moral_acts.jsonl, which is the default, or Jigsaw's .csv.
    #[arg(long)]
    pub probe_data: Option<PathBuf>,
    /// Most comments to draw from a .csv, as many of either label.
    #[arg(long, default_value_t = 600)]
    pub probe_texts: usize,
    /// Comma-separated sites (read in every layer), addresses, or presets: residual, liu2024. Without --verdict-site among them
    /// there is no verdict.
    #[arg(long, default_value = "residual")]
    pub sites: Selection,
    /// Along what levels are measured: `probes` that are fitted on --probe-data, `statements` (the mean state of bundled statements that
    /// name groups of people), or the path of such statements, JSON lines as in data/group_statements.jsonl.
    #[arg(long, default_value = "probes")]
    pub direction: String,
    /// Comma-separated windows of layers whose mean change is reported: 15-28, 47%-88%. Name them before looking.
    #[arg(long, value_delimiter = ',')]
    pub window: Vec<LayerWindow>,
    /// The site that verdicts judge, such as attn_out or mlp_out.
    #[arg(long, default_value = "resid_post")]
    pub verdict_site: Site,
    /// The layers that verdicts rest on, declared before looking, as in L8-15.resid_post; default: all whose probes are valid.
    #[arg(long)]
    pub verdict_window: Option<Window>,
    /// Judge the run also by other probes, penalties, seeds, layers, margins and score rules, to sensitivity.csv and a figure.
    #[arg(long)]
    pub sensitivity: bool,
    /// Write the plan of this run, everything that its verdicts depend on, into a file that is not there yet, and stop.
    #[arg(long)]
    pub write_plan: Option<PathBuf>,
    /// Run by this plan: options that differ from it are refused. Without one the report is called exploratory.
    #[arg(long, conflicts_with = "write_plan")]
    pub plan: Option<PathBuf>,
    /// Strength of the probes' L2 penalty (1/C of scikit-learn); default: the width of the states.
    #[arg(long)]
    pub alpha: Option<f64>,
    /// Seed of everything drawn: items, splits, answers, bootstrap, null.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Keep the finished batches in OUT/unfinished, so that the same run can be analysed again without the model's work.
    #[arg(long)]
    pub keep: bool,
    /// Folder for the results.
    #[arg(long, default_value = "out/demo")]
    pub out: PathBuf,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Task {
    /// Questions with a biased and an undetermined option, from --data.
    Bundled,
    /// BBQ: ambiguous and disambiguated questions.
    Bbq,
    /// Winogender: which pronoun fills the gap?
    Winogender,
    /// Winogender: whom does the pronoun refer to?
    WinogenderCoreference,
    /// RealToxicityPrompts: how does the text go on?
    Realtoxicity,
}

impl Task {
    /// Its name in the grid of prompts.
    pub fn in_grid(self) -> &'static str {
        match self {
            Task::Bundled | Task::Bbq => "bbq",
            Task::Winogender | Task::WinogenderCoreference => "winogender",
            Task::Realtoxicity => "real_toxicity_prompts",
        }
    }
}

/// `fresh` or `revise`.
fn kind(text: &str) -> probity::Result<RoundKind> {
    match text {
        "fresh" => Ok(RoundKind::FreshInstructed),
        other => other.parse(),
    }
}

impl Options {
    pub fn overflow(&self) -> Overflow {
        match self.drop_oldest {
            true => Overflow::DropOldest,
            false => Overflow::Error,
        }
    }

    /// How answers of at most `tokens` tokens, unless the user says otherwise, are generated.
    pub fn decoding(&self, tokens: usize) -> Decoding {
        self.chosen(self.tokens.unwrap_or(tokens)).stop(self.stop.iter().cloned())
    }

    /// How thoughts are generated.
    pub fn reasoning(&self) -> Decoding {
        self.chosen(self.reasoning_tokens)
    }

    fn chosen(&self, tokens: usize) -> Decoding {
        let decoding = Decoding::new(tokens).temperature(self.temperature).top_p(self.top_p).seed(self.seed);
        match self.top_k {
            Some(k) => decoding.top_k(k),
            None => decoding,
        }
    }
}
