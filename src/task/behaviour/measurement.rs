//! How behaviour is measured.

use std::sync::Arc;

use super::{AnsweredRound, Outcome};
use crate::scorer::TextScorer;
use crate::stats::{ClusterBootstrap, Interval, Resampler, Settings};
use crate::task::{Behaviour, Item};
use crate::{Condition, Design, Error, Result};

/// How behaviour is measured: what is compared with what, how much is resampled, and who judges texts.
///
/// ```
/// use probity::{stats::Settings, Condition, Design};
/// use probity::task::{Answer, AnsweredRound, ChoiceItem, Measurement};
/// # fn measured(items: &[ChoiceItem], plain: &[Answer], calm: &[Answer], asked: &[Answer]) -> probity::Result<()> {
/// let conditions = [Condition::plain(), Condition::new("neutral", 1), Condition::new("L1", 1)];
/// let rounds = [
///     AnsweredRound { condition: &conditions[0], answers: plain },
///     AnsweredRound { condition: &conditions[1], answers: calm },
///     AnsweredRound { condition: &conditions[2], answers: asked },
/// ];
/// let design = Design::new(conditions.clone())?.with_control("neutral")?;
/// let behaviour = Measurement::new(&design, Settings::default().seed(7))?.measure(items, &rounds)?;
/// assert_eq!(behaviour.outcome.name, "accuracy");
/// # Ok(())
/// # }
/// ```
#[must_use]
pub struct Measurement<'a> {
    design: &'a Design,
    resampler: Lender<'a>,
    scorer: Option<&'a dyn TextScorer>,
}

/// Resamples of its own, or those that a larger analysis draws from too.
enum Lender<'a> {
    Own(Resampler),
    Lent(&'a Resampler),
}

impl<'a> Measurement<'a> {
    /// A measurement by itself. The design says which instruction is the control of which.
    ///
    /// # Errors
    /// As [`Settings::validate`].
    pub fn new(design: &'a Design, settings: Settings) -> Result<Self> {
        Ok(Measurement { design, resampler: Lender::Own(Resampler::new(settings)?), scorer: None })
    }

    /// A measurement within an analysis that lends its resamples.
    pub(crate) fn lent(design: &'a Design, resampler: &'a Resampler) -> Self {
        Measurement { design, resampler: Lender::Lent(resampler), scorer: None }
    }

    /// Gives the judge of texts, which must be no probe of the study. Without one, continuations cannot be measured.
    pub fn scorer(self, scorer: &'a dyn TextScorer) -> Self {
        Measurement { scorer: Some(scorer), ..self }
    }

    /// Measures the answers to these items, as items of their kind are measured ([`Item::measure`]).
    ///
    /// # Errors
    /// [`Error::RowCount`] unless each round has one answer per item; those of [`Item::measure`].
    pub fn measure<I: Item>(&self, items: &[I], rounds: &[AnsweredRound<'_, I::Answer>]) -> Result<Behaviour> {
        match rounds.iter().find(|round| round.answers.len() != items.len()) {
            None => I::measure(items, rounds, self),
            Some(AnsweredRound { condition, answers }) => {
                Err(Error::row_count(format!("answers of {condition}"), items.len(), answers.len()))
            }
        }
    }

    /// Mean paired change of an outcome between two conditions, `after - before`, with its interval over groups of items;
    /// `None` where one was not measured. Where few answers change, the interval reaches to 0 unless sign flips of whole
    /// groups find the change too ([`ClusterBootstrap::gain`]).
    ///
    /// # Errors
    /// [`Error::RowCount`] for a series that is not as long as the groups; [`Error::NotFinite`].
    pub fn gain(&self, outcome: &Outcome, before: &Condition, after: &Condition) -> Result<Option<Interval>> {
        outcome.gain(before, after, self.resampler())
    }

    /// What is compared with what.
    pub fn design(&self) -> &'a Design {
        self.design
    }

    /// The judge of texts, for [`Item::measure`] of items whose answers are texts.
    ///
    /// # Errors
    /// [`Error::Setting`] without one.
    pub fn judge(&self) -> Result<&'a dyn TextScorer> {
        self.scorer.ok_or_else(|| Error::setting("scorer", "none", "a judge of texts: their answers are no options"))
    }

    /// Resamples of items in these groups, `[n]`; drawn once for each list of groups.
    ///
    /// # Errors
    /// [`Error::Setting`] without items.
    pub fn resamples(&self, groups: &[impl AsRef<str>]) -> Result<Arc<ClusterBootstrap>> {
        self.resampler().of(groups)
    }

    pub(super) fn resampler(&self) -> &Resampler {
        match &self.resampler {
            Lender::Own(own) => own,
            Lender::Lent(lent) => lent,
        }
    }
}
