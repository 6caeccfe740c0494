//! What most programs need, in one line: `use probity::prelude::*;`.

pub use crate::capture::{Activations, Pool, Readout};
pub use crate::dialogue::{Instruction, Reading, SelfCorrection};
pub use crate::experiment::{Experiment, Findings};
pub use crate::hook::{Address, Hooks, Selection, Site};
pub use crate::level::VerdictKind;
pub use crate::model::LoadOptions;
pub use crate::probe::{LogisticProbe, ProbeBank};
pub use crate::stats::Settings;
pub use crate::task::{ChoiceItem, ChoiceTask};
pub use crate::text::{LabelledText, Labels, Text};
pub use crate::{Condition, Error, Model, Result};
