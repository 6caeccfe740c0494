//! Error among the most confident answers.

use crate::stats::{ClusterBootstrap, Resampled};
use crate::task::behaviour::{Choices, Chosen, Measured};
use crate::{Error, Result};

pub(super) fn rows(study: &Choices<'_>) -> Result<Vec<Measured<Resampled>>> {
    study.by_round(|part| {
        // The confidence is that of the most probable option.
        if part.by == Chosen::Read {
            return Ok(None);
        }
        let answers = part.answers();
        let confidence: Vec<f64> =
            answers.iter().map(|answer| answer.probabilities.get(answer.scored).copied().unwrap_or(f64::NAN)).collect();
        let right: Vec<bool> =
            part.items.iter().zip(answers.iter()).map(|(item, answer)| answer.scored == item.label).collect();
        RiskCoverage::of(&confidence, &right)?.area(part.resamples).map(Some)
    })
}

/// The risk-coverage curve: error rate among the k most confident answers, for each k (El-Yaniv and Wiener
/// 2010; area: Geifman and others 2019). Answers of equal confidence come in at their common error rate, so the
/// curve does not depend on the order of the rows.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RiskCoverage {
    /// Rows by falling confidence, and whether each is the last of its tie.
    order: Vec<(usize, bool)>,
    wrong: Vec<f64>,
}

impl RiskCoverage {
    /// Orders answers by their confidence, `[n]`; `right` says whether each is right, `[n]`.
    ///
    /// # Errors
    /// [`Error::RowCount`] with unequal lengths, [`Error::NotFinite`], [`Error::Setting`] without rows.
    pub fn of(confidence: &[f64], right: &[bool]) -> Result<Self> {
        super::check_rows("right answers", right.len(), confidence.len())?;
        if confidence.is_empty() {
            return Err(Error::setting("answers", 0, "at least one"));
        }
        if let Some(row) = confidence.iter().position(|value| !value.is_finite()) {
            return Err(Error::not_finite("confidence", row, row.to_string()));
        }
        let mut rows: Vec<usize> = (0..confidence.len()).collect();
        rows.sort_by(|&a, &b| (confidence[b] + 0.0).total_cmp(&(confidence[a] + 0.0)));
        let ends = rows.windows(2).map(|pair| confidence[pair[0]] > confidence[pair[1]]).chain([true]);
        let order = rows.iter().copied().zip(ends).collect();
        Ok(RiskCoverage { order, wrong: right.iter().map(|&right| super::indicator(!right)).collect() })
    }

    /// Coverage k/n and the error rate among the k most confident answers, for k = 1 to n.
    pub fn curve(&self) -> Vec<(f64, f64)> {
        let n = self.wrong.len() as f64;
        let risks = self.risks(&vec![1.0; self.wrong.len()]);
        risks.into_iter().enumerate().map(|(index, risk)| ((index + 1) as f64 / n, risk)).collect()
    }

    /// Area under the curve: the mean of its n error rates, with its interval over groups. Low is good; a
    /// confidence that says nothing gives the error rate.
    ///
    /// # Errors
    /// [`Error::RowCount`] unless the resamples describe the same rows.
    pub fn area(&self, resamples: &ClusterBootstrap) -> Result<Resampled> {
        super::check_rows("resampled answers", resamples.rows(), self.wrong.len())?;
        let area = resamples.statistic(|weights| {
            let risks = self.risks(weights);
            (!risks.is_empty()).then(|| risks.iter().sum::<f64>() / risks.len() as f64)
        });
        area.ok_or_else(|| Error::setting("answers", 0, "at least one"))
    }

    /// The error rates when each row stands there as many times as its weight says.
    fn risks(&self, weights: &[f64]) -> Vec<f64> {
        let mut risks = Vec::with_capacity(self.wrong.len());
        let (mut seen, mut errors, mut tied, mut tied_errors) = (0.0, 0.0, 0.0, 0.0);
        for &(row, ends_tie) in &self.order {
            tied += weights[row];
            tied_errors += weights[row] * self.wrong[row];
            if ends_tie {
                for k in 1..=tied as usize {
                    let k = k as f64;
                    risks.push((errors + tied_errors * k / tied) / (seen + k));
                }
                seen += tied;
                errors += tied_errors;
                (tied, tied_errors) = (0.0, 0.0);
            }
        }
        risks
    }
}
