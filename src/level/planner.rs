//! How many items and texts the next study needs.

use std::fmt;

use super::precision::{ChangePrecision, ColumnPrecision, Precision};
use super::probe_validity::MIN_GROUPS;
use crate::stats::{chi_squared_quantile, Requirement, Settings};
use crate::{Error, Result};

/// Says from a pilot how large a study must be to show what it is to show, with the level, margin and power of [`Settings`].
///
/// Of the error of D more items divide the items' part only. The probes' part and that of the class distance shrink with the
/// texts that probes learn from. Where these alone are too much, no number of items is enough, and [`ItemsNeeded`] says how
/// many texts are.
///
/// Power is that of Student's t (noncentral), with Satterthwaite's degrees of freedom where the probes' part counts. A pilot's
/// variance is itself unsure: beside each number stands that by the upper bound of a one-sided interval of its variance
/// (chi-squared with groups - 1 degrees of freedom; Browne 1995 advises 80 %). Plan for an effect that would matter, not for
/// the one that the pilot happened to show.
///
/// ```no_run
/// use probity::{level::Planner, report::Report, stats::Settings};
/// # fn main() -> probity::Result<()> {
/// let pilot = Report::load("out/pilot/report.json")?;
/// for precision in &pilot.precision {
///     let planner = Planner::new(precision, Settings::default())?;
///     println!("a gain of 10 points: {}", planner.for_gain(0.1)?);
///     println!("a fall of half the class distance: {}", planner.for_reduction(0.5)?);
///     println!("no fall, where there is none: {}", planner.for_no_reduction()?);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy)]
#[must_use]
pub struct Planner<'a> {
    pilot: &'a Precision,
    settings: Settings,
    certainty: f64,
    per_group: Option<f64>,
}

/// The size that a study needs.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct ItemsNeeded {
    /// By the pilot's estimates.
    pub estimate: StudySize,
    /// By the upper bound of the pilot's variance between items.
    pub upper: StudySize,
    /// Groups of texts that the probes must learn from, where those of the pilot are too few for any number of items: so many
    /// that probes and items share the error alike. `None` where the pilot's are enough.
    pub texts: Option<usize>,
    /// How sure the upper bound is, such as 0.8.
    pub certainty: f64,
}

/// Items in their groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct StudySize {
    /// Items.
    pub items: usize,
    /// Groups of items.
    pub groups: usize,
}

impl<'a> Planner<'a> {
    /// Plans from this pilot.
    ///
    /// # Errors
    /// Those of [`Settings::validate`].
    pub fn new(pilot: &'a Precision, settings: Settings) -> Result<Self> {
        settings.validate()?;
        Ok(Planner { pilot, settings, certainty: 0.8, per_group: None })
    }

    /// Sets how sure the upper bound of the pilot's variance is, above 0 and below 1. Default 0.8.
    pub fn certainty(mut self, certainty: f64) -> Self {
        self.certainty = certainty;
        self
    }

    /// Sets the items in each group of the study, 1 or more. Default: as in the pilot. Other sizes go by the pilot's
    /// intraclass correlation.
    pub fn per_group(mut self, items: f64) -> Self {
        self.per_group = Some(items);
        self
    }

    /// For [`CheckKind::BehaviouralGain`](super::CheckKind::BehaviouralGain) to find a true gain of this size, in the
    /// outcome's unit.
    ///
    /// # Errors
    /// [`Error::Setting`] for a gain or a setting out of range, and where the pilot measured no behaviour.
    pub fn for_gain(&self, gain: f64) -> Result<ItemsNeeded> {
        let missing = || Error::setting("pilot", "without behaviour", "one whose answers were measured");
        let pilot = self.pilot.gain.as_ref().ok_or_else(missing)?;
        if !(gain > 0.0 && gain.is_finite()) {
            return Err(Error::setting("gain", gain, "above 0, in the outcome's unit"));
        }
        let tail = 0.5 * (1.0 - self.settings.level);
        let of = |variance: f64| Requirement {
            variance,
            fixed: 0.0,
            fixed_degrees: 1.0,
            distance: gain,
            tail,
            power: self.settings.power,
        };
        let size = (pilot.items, pilot.groups, pilot.intraclass_correlation);
        self.needed(size, 0, |factor| vec![of(pilot.variance * factor)])
    }

    /// For [`CheckKind::InternalReduction`](super::CheckKind::InternalReduction) to find a true fall of this size over all
    /// valid layers, in class distances, above the margin. (An internal verdict asks for more:
    /// [`VerdictRule`](super::VerdictRule).)
    ///
    /// # Errors
    /// [`Error::Setting`] for a fall within the margin, a setting out of range, and where the pilot has no D.
    pub fn for_reduction(&self, fall: f64) -> Result<ItemsNeeded> {
        let pilot = self.change()?;
        let margin = self.settings.margin;
        if !(fall > margin && fall.is_finite()) {
            let expected = format!("above the margin of {margin}, in class distances: less is not found beyond it");
            return Err(Error::setting("fall", fall, expected));
        }
        let whole = pilot.stretches.first().ok_or_else(no_change)?;
        // The bound holds for all stretches at once.
        let tail = 1.0 - self.settings.level.powf(1.0 / pilot.effective_stretches.max(1.0));
        let size = (pilot.items, pilot.groups, pilot.intraclass_correlation);
        self.needed(size, pilot.texts, |factor| {
            vec![self.of_column(whole, pilot, factor, fall - margin, tail, self.settings.power)]
        })
    }

    /// For [`CheckKind::NoReduction`](super::CheckKind::NoReduction) to pass where the true change is 0 at every layer. (A
    /// superficial verdict asks for more: [`VerdictRule`](super::VerdictRule).)
    ///
    /// # Errors
    /// [`Error::Setting`] for a setting out of range, and where the pilot has no D.
    pub fn for_no_reduction(&self) -> Result<ItemsNeeded> {
        let pilot = self.change()?;
        // All columns must pass at once, each by a test of its own.
        let power = self.settings.power.powf(1.0 / pilot.effective_columns.max(1.0));
        let (margin, tail) = (self.settings.margin, 1.0 - self.settings.level);
        let size = (pilot.items, pilot.groups, pilot.intraclass_correlation);
        self.needed(size, pilot.texts, |factor| {
            let columns = pilot.stretches.iter().chain(&pilot.layers);
            columns.map(|column| self.of_column(column, pilot, factor, margin, tail, power)).collect()
        })
    }

    fn change(&self) -> Result<&'a ChangePrecision> {
        self.pilot.change.as_ref().ok_or_else(no_change)
    }

    /// By Fieller's bound: a change is beyond the margin where it and the margin times the distance are so far apart.
    fn of_column(
        &self,
        column: &ColumnPrecision,
        pilot: &ChangePrecision,
        factor: f64,
        distance: f64,
        tail: f64,
        power: f64,
    ) -> Requirement {
        Requirement {
            variance: column.variance * factor,
            fixed: column.probe_error.powi(2) + (self.settings.margin * column.distance_error).powi(2),
            fixed_degrees: (pilot.folds as f64 - 1.0).max(1.0),
            distance,
            tail,
            power,
        }
    }

    /// The size at which all requirements hold; these are asked for by a factor of the pilot's variance.
    fn needed(
        &self,
        (items, groups, correlation): (usize, usize, f64),
        texts: usize,
        requirements: impl Fn(f64) -> Vec<Requirement>,
    ) -> Result<ItemsNeeded> {
        if !(self.certainty > 0.0 && self.certainty < 1.0) {
            return Err(Error::setting("certainty", self.certainty, "above 0 and below 1, such as 0.8"));
        }
        if groups < 2 {
            return Err(Error::setting("pilot", groups, "at least 2 groups of items"));
        }
        let own = items as f64 / groups as f64;
        let per_group = self.per_group.unwrap_or(own);
        if !(per_group >= 1.0 && per_group.is_finite()) {
            return Err(Error::setting("per_group", per_group, "1 item or more in each group"));
        }
        // The mean of m items of one group has the variance (1 + (m - 1) rho) / m of one.
        let of_mean = |m: f64| (1.0 + (m - 1.0) * correlation) / m;
        let factor = of_mean(per_group) / of_mean(own);
        let degrees = groups as f64 - 1.0;
        let widened = degrees / chi_squared_quantile(1.0 - self.certainty, degrees);
        // Texts first: where some column cannot be reached, all are planned with as many as the worst needs.
        let unreachable = requirements(factor).iter().any(|one| one.clusters().is_none());
        let share = |one: &Requirement| if unreachable { (2.0 * one.fixed / one.allowed()).max(1.0) } else { 1.0 };
        let more = requirements(factor).iter().map(share).fold(1.0, f64::max);
        let size = |factor: f64| -> Result<StudySize> {
            let mut most = MIN_GROUPS;
            for one in requirements(factor) {
                let one = Requirement { fixed: one.fixed / more, ..one };
                // By the upper bound of the variance it is the same texts and more items.
                let groups = one.clusters().ok_or_else(|| Error::setting("effect", one.distance, BEYOND))?;
                most = most.max(groups);
            }
            Ok(StudySize { items: (most as f64 * per_group).ceil() as usize, groups: most })
        };
        Ok(ItemsNeeded {
            estimate: size(factor)?,
            upper: size(factor * widened)?,
            texts: unreachable.then(|| (texts as f64 * more).ceil() as usize),
            certainty: self.certainty,
        })
    }
}

const BEYOND: &str = "one that fewer than ten million groups of items find";

fn no_change() -> Error {
    Error::setting("pilot", "without D", "one whose answers were read by valid probes")
}

impl fmt::Display for StudySize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} items in {} groups", self.items, self.groups)
    }
}

impl fmt::Display for ItemsNeeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(texts) = self.texts {
            write!(f, "not by more items alone: probes need {texts} groups of texts, and then ")?;
        }
        write!(f, "{} (with {:.0} % certainty {})", self.estimate, 100.0 * self.certainty, self.upper)
    }
}
