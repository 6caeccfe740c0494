//! Published recipes for a toxicity probe, reconstructed.

use std::fmt;
use std::str::FromStr;

use rand::seq::SliceRandom;

use super::{GroupSplit, LogisticProbe};
use crate::capture::{Pool, Readout};
use crate::hook::{Address, Site};
use crate::stats::rng;
use crate::text::LabelledText;
use crate::{Error, Model, Result};

/// A published recipe: which states, which texts, which split, which estimator.
///
/// The two come from the same line of work and disagree, so neither is a default. They are reconstructions: what they
/// fix is below, and two things are not as published.
///
/// | | `lee2024` (2401.01967) | `liu2024` (2406.02378) |
/// |---|---|---|
/// | states | last layer's residual stream, mean over the tokens | output of the final norm, last token |
/// | texts | all | labels balanced by under-sampling |
/// | held out | 10 % | 10 % |
/// | estimator | logistic | logistic |
///
/// - Both train two output columns by stochastic gradient descent and keep one column (`liu2024` after the third of
///   ten epochs, at a learning rate of 0.1 and momentum 0.9). Here the optimum of the same cross-entropy is taken, with a
///   penalty of alpha = 1 on standardised states, which gives it one optimum and next to thousands of texts weighs
///   little: a direction that depends on batch order and stopping time cannot be checked. Under any penalty the two
///   columns are each other's negative at the optimum, so "one column" and "difference of columns" are one direction.
/// - The held-out part is split off by group, not by row.
///
/// ```
/// use probity::probe::Preset;
/// let preset: Preset = "liu2024".parse()?;
/// assert_eq!(preset, Preset::Liu2024);
/// # Ok::<(), probity::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// 2401.01967, the probe of "A Mechanistic Understanding of Alignment Algorithms".
    Lee2024,
    /// 2406.02378, the probe that 2407.15286 uses.
    Liu2024,
}

impl Preset {
    /// Every preset.
    pub const ALL: [Preset; 2] = [Preset::Lee2024, Preset::Liu2024];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Preset::Lee2024 => "lee2024",
            Preset::Liu2024 => "liu2024",
        }
    }

    /// What to read from the model.
    ///
    /// # Errors
    /// [`Error::Setting`] for a model without layers.
    pub fn readout(self, model: &Model) -> Result<Readout> {
        match self {
            Preset::Lee2024 => {
                let last = model.geometry().layers.checked_sub(1);
                let last = last.ok_or_else(|| Error::setting("layers", 0, "a model with at least one layer"))?;
                Ok(Readout::new(Site::ResidPost.at(last), Pool::Mean))
            }
            Preset::Liu2024 => Ok(Readout::new(Address::FINAL_NORM, Pool::Last)),
        }
    }

    /// The texts to use, in their order: all, or as many of each label, drawn by `seed`.
    pub fn texts(self, rows: Vec<LabelledText>, seed: u64) -> Vec<LabelledText> {
        match self {
            Preset::Lee2024 => rows,
            Preset::Liu2024 => balanced(rows, seed),
        }
    }

    /// The estimator, with its split; `seed` is that of split and resamples.
    pub fn estimator(self, seed: u64) -> LogisticProbe {
        LogisticProbe::default().alpha(1.0).split(GroupSplit::default().test_fraction(0.1)).seed(seed)
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Preset {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let found = Preset::ALL.into_iter().find(|preset| preset.name() == name);
        found.ok_or_else(|| Error::setting("preset", name, "lee2024 or liu2024"))
    }
}

/// All texts of the rarer label, and as many of the other, drawn by `seed`, in their order.
fn balanced(rows: Vec<LabelledText>, seed: u64) -> Vec<LabelledText> {
    let of = |immoral: bool| (0..rows.len()).filter(|&row| rows[row].immoral == immoral).collect::<Vec<usize>>();
    let mut classes = [of(false), of(true)];
    let fewest = classes.iter().map(Vec::len).min().unwrap_or_default();
    let mut keep = vec![false; rows.len()];
    for class in &mut classes {
        class.shuffle(&mut rng(seed, "under-sampling"));
        class.iter().take(fewest).for_each(|&row| keep[row] = true);
    }
    rows.into_iter().zip(keep).filter(|(_, keep)| *keep).map(|(row, _)| row).collect()
}
