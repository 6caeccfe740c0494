//! How much of a change lives in the instruction's own tokens.

use serde::{Deserialize, Serialize};

use crate::stats::{mean, ClusterBootstrap, Interval};
use crate::Result;

/// The share of a change that is gone where the states cannot hold the instruction's own tokens.
///
/// A probe at the prompt's last token may only read the words of the instruction (2509.21344). So the same change D, of the
/// same items, is measured twice: on the states as they are, and where the instruction's tokens are masked from attention,
/// or over the response's tokens only. The share is 1 - D(masked) / D(whole), with a percentile interval from resamples of
/// item groups that are the same for both.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct LeakScore {
    /// Share of the change that is gone: 1 where nothing is left, 0 where all is, below 0 where masking shows more.
    /// `None` where the whole change is not sure, since a share of nothing means nothing, and where what is left goes the
    /// other way.
    pub share: Option<Interval>,
    /// D on the states as they are, at the level of the resamples, in class distances.
    pub whole: Interval,
    /// D without the instruction's tokens.
    pub masked: Interval,
}

impl LeakScore {
    /// Scores the change of each item, `[n]`, on the states as they are and without the instruction's tokens, resampled
    /// together.
    ///
    /// # Errors
    /// [`Error::RowCount`](crate::Error::RowCount) and [`Error::NotFinite`](crate::Error::NotFinite).
    pub fn measure(whole: &[f64], masked: &[f64], resamples: &ClusterBootstrap) -> Result<LeakScore> {
        let (whole_draws, masked_draws) = (resamples.means(whole)?, resamples.means(masked)?);
        let (d_whole, d_masked) = (mean(whole), mean(masked));
        let interval =
            |estimate, draws: &[f64]| resamples.percentiles(estimate, &mut draws.to_vec(), resamples.level());
        let sure = interval(d_whole, &whole_draws);
        let share = ((sure.high < 0.0 || sure.low > 0.0) && d_whole * d_masked >= 0.0).then(|| {
            let mut shares: Vec<f64> =
                whole_draws.iter().zip(&masked_draws).map(|(whole, masked)| 1.0 - masked / whole).collect();
            resamples.percentiles(1.0 - d_masked / d_whole, &mut shares, resamples.level())
        });
        Ok(LeakScore { share, whole: sure, masked: interval(d_masked, &masked_draws) })
    }

    /// Whether most of the change lives in the instruction's tokens: the share's interval lies above one half.
    pub fn is_leak(&self) -> bool {
        self.share.is_some_and(|share| share.low > 0.5)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_by_hand() {
        let groups: Vec<String> = (0..40).map(|row| row.to_string()).collect();
        let resamples = ClusterBootstrap::new(&groups, 500, 0).unwrap();
        let whole: Vec<f64> = (0..40).map(|row| -1.0 - 0.2 * f64::from(row % 3)).collect();
        let quarter: Vec<f64> = whole.iter().map(|value| 0.25 * value).collect();
        let found = LeakScore::measure(&whole, &quarter, &resamples).unwrap();
        let share = found.share.unwrap();
        assert!((share.estimate - 0.75).abs() < 1e-12 && (share.low - 0.75).abs() < 1e-12 && found.is_leak());
        assert!(!LeakScore::measure(&whole, &whole, &resamples).unwrap().is_leak());
        let unsure: Vec<f64> = (0..40).map(|row| f64::from(row % 2) - 0.5).collect();
        let found = LeakScore::measure(&unsure, &quarter, &resamples).unwrap();
        assert!(found.share.is_none() && !found.is_leak());
    }
}
