//! What an experiment gives.

use std::path::Path;

use crate::dialogue::Study;
use crate::level::ReadingLevels;
use crate::probe::ProbeBank;
use crate::report::Report;
use crate::task::{ChoiceItem, Item};
use crate::{Error, Result};

/// The report of an experiment and the parts that it is made of. Behaviour is [`Report::behaviour`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Findings<I: Item = ChoiceItem> {
    /// Verdicts, and every number behind them.
    pub report: Report,
    /// Questions, conversations, answers and states of the run.
    pub study: Study<I>,
    /// Probes that learnt at the last token of a user's turn, which read the prompts.
    pub probes: ProbeBank,
    /// Probes that learnt from means over the model's turns, which read answers and other parts; `None` where only prompts
    /// were read.
    pub answer_probes: Option<ProbeBank>,
    /// Levels of every reading, the prompt's last token first.
    pub levels: ReadingLevels,
}

impl<I: Item> Findings<I> {
    /// Writes everything into a folder, which is made if needed: `report.html`, `report.json`, `plots/*.svg` with `plots/index.json`, `levels.csv`,
    /// `levels_by_fold.csv`, `probes.safetensors`, `answer_probes.safetensors`, `answers.jsonl` and `transcripts.jsonl`.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io); each file appears whole or not at all.
    pub fn write_dir(&self, folder: impl AsRef<Path>) -> Result<()> {
        let folder = folder.as_ref();
        self.report.write_dir(folder)?;
        self.levels.write_csv(folder.join("levels.csv"))?;
        self.levels.write_csv_by_fold(folder.join("levels_by_fold.csv"))?;
        self.probes.save(folder.join("probes.safetensors"))?;
        let of_answers = folder.join("answer_probes.safetensors");
        match &self.answer_probes {
            Some(probes) => probes.save(of_answers)?,
            // Those of an earlier experiment are not this one's.
            None if of_answers.exists() => {
                std::fs::remove_file(&of_answers).map_err(Error::io("remove", &of_answers))?;
            }
            None => {}
        }
        self.study.write_answers(folder.join("answers.jsonl"))?;
        self.study.write_transcripts(folder.join("transcripts.jsonl"))
    }
}
