//! The settings that every statement of an analysis shares.

use serde::{Deserialize, Serialize};

use super::bootstrap::{check_level, MAX_DRAWS};
use crate::{Error, Result};

/// How much is drawn and how sure a statement must be: given once for a whole analysis.
///
/// ```
/// use probity::stats::Settings;
/// let settings = Settings::default().seed(7).margin(0.1);
/// assert_eq!((settings.draws, settings.seed), (2_000, 7));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[must_use]
#[non_exhaustive]
pub struct Settings {
    /// Bootstrap resamples of item groups, default 2,000.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub draws: usize,
    /// Sign flips of the tests, default 2,000; all patterns where these are fewer.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub flips: usize,
    /// Random directions, or rotations, of each null, at least and by default 1,000.
    #[cfg_attr(feature = "schema", schemars(range(min = 1_000)))]
    pub null_draws: usize,
    /// Level of intervals and bands, default 0.95; 1 - level is that of the tests.
    #[cfg_attr(feature = "schema", schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1)))]
    pub level: f64,
    /// The largest change that counts as none, in class distances
    /// ([`Metric::ClassDistance`](crate::level::Metric::ClassDistance)), default 0.2: a fifth of what a complete correction
    /// would come to.
    #[cfg_attr(feature = "schema", schemars(extend("exclusiveMinimum" = 0)))]
    pub margin: f64,
    /// Power of the smallest detectable changes, default 0.8.
    #[cfg_attr(feature = "schema", schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1)))]
    pub power: f64,
    /// Seed of everything random, default 0.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { draws: 2_000, flips: 2_000, null_draws: 1_000, level: 0.95, margin: 0.2, power: 0.8, seed: 0 }
    }
}

impl Settings {
    /// Sets the bootstrap resamples of item groups.
    pub fn draws(self, draws: usize) -> Self {
        Settings { draws, ..self }
    }

    /// Sets the sign flips of the tests.
    pub fn flips(self, flips: usize) -> Self {
        Settings { flips, ..self }
    }

    /// Sets the random directions of each null.
    pub fn null_draws(self, null_draws: usize) -> Self {
        Settings { null_draws, ..self }
    }

    /// Sets the level of intervals and bands, above 0.5 and below 1.
    pub fn level(self, level: f64) -> Self {
        Settings { level, ..self }
    }

    /// Sets the largest change that counts as none. Set it before looking.
    pub fn margin(self, margin: f64) -> Self {
        Settings { margin, ..self }
    }

    /// Sets the power of the smallest detectable changes, above 0 and below 1.
    pub fn power(self, power: f64) -> Self {
        Settings { power, ..self }
    }

    /// Sets the seed of everything random.
    pub fn seed(self, seed: u64) -> Self {
        Settings { seed, ..self }
    }

    /// Refuses settings outside their range.
    ///
    /// # Errors
    /// [`Error::Setting`] with the name of the first.
    pub fn validate(&self) -> Result<()> {
        for (name, draws) in [("draws", self.draws), ("flips", self.flips)] {
            if !(1..=MAX_DRAWS).contains(&draws) {
                return Err(Error::setting(name, draws, format!("1 to {MAX_DRAWS}")));
            }
        }
        if !(1_000..=MAX_DRAWS).contains(&self.null_draws) {
            let expected = format!("1000 to {MAX_DRAWS}: fewer leave the tails of a null to chance");
            return Err(Error::setting("null_draws", self.null_draws, expected));
        }
        check_level(self.level)?;
        if self.level <= 0.5 {
            return Err(Error::setting("level", self.level, "above 0.5 and below 1, such as 0.95"));
        }
        if !(self.margin > 0.0 && self.margin.is_finite()) {
            return Err(Error::setting("margin", self.margin, "above 0, in class distances"));
        }
        if !(self.power > 0.0 && self.power < 1.0) {
            return Err(Error::setting("power", self.power, "above 0 and below 1, such as 0.8"));
        }
        Ok(())
    }
}
