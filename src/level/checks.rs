//! The checks of a verdict, one by one.

use ndarray::Array2;
use serde::{Deserialize, Serialize};

use super::Levels;
use crate::hook::Site;
use crate::probe::{Probe, ProbeBank};
use crate::stats::{normal_upper_quantile, Interval};
use crate::{Error, Result};

/// Groups below which a bootstrap is not trusted to decide.
pub(super) const MIN_GROUPS: usize = 10;

/// One of the seven checks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// `probe_valid`, `behavioural_gain`, `internal_reduction`, `beyond_random_directions`, `equivalence`, `no_reduction`
    /// or `beyond_instruction_tokens`.
    pub name: String,
    /// `None` if it could not be run; `detail` says why.
    pub passed: Option<bool>,
    /// What was compared with what.
    pub detail: String,
    /// The number and the bounds that decided; which, [`VerdictRule`](super::VerdictRule) says.
    pub value: Option<Interval>,
    /// The smallest distance beyond what the check holds the value against (0, one half, the margin, the null's bound) that
    /// a run like this finds with a power of 80 %: what "not passed" does not rule out. From the interval's width, by the
    /// normal distribution; in the value's unit.
    pub detectable: Option<f64>,
}

/// Power of [`Check::detectable`].
const POWER: f64 = 0.8;

impl Check {
    /// With what the width of its value, an interval of `level`, lets a run like this find.
    pub(super) fn powered(self, level: f64) -> Self {
        let half = self.value.map(|value| 0.5 * (value.high - value.low));
        self.found_from(half, normal_upper_quantile(0.5 * (1.0 - level)))
    }

    /// The same where the interval reaches `half` to the side that decides, which is `errors` standard errors.
    fn found_from(mut self, half: Option<f64>, errors: f64) -> Self {
        let found = half.map(|half| half * (1.0 + normal_upper_quantile(1.0 - POWER) / errors));
        self.detectable = found.filter(|found| found.is_finite());
        self
    }

    /// The same where the value itself, of this standard error, is held against a bound.
    pub(super) fn powered_beyond(mut self, standard_error: f64) -> Self {
        let found = normal_upper_quantile(1.0 - POWER) * standard_error;
        self.detectable = Some(found).filter(|found| found.is_finite());
        self
    }
}

/// Check 1, and the probes that pass it.
pub(super) fn probe_valid(bank: &ProbeBank) -> (Check, Vec<&Probe>) {
    let probes: Vec<&Probe> = bank.iter().filter(|probe| probe.address().site() == Site::ResidPost).collect();
    let name = "probe_valid";
    let groups = probes.iter().map(|probe| probe.evaluation.groups_test).min().unwrap_or(0);
    if groups < MIN_GROUPS {
        let detail = format!(
            "{} resid_post probes, evaluated on {groups} held-out groups; at least one on {MIN_GROUPS} is needed",
            probes.len()
        );
        return (check(name, None, detail, None), Vec::new());
    }
    let errors = normal_upper_quantile(0.025 / probes.len() as f64);
    let widening = errors / normal_upper_quantile(0.025);
    let adjusted = |probe: &Probe| {
        let auroc = probe.evaluation.auroc;
        Interval { low: auroc.estimate - widening * (auroc.estimate - auroc.low), ..auroc }
    };
    let best = probes.iter().map(|probe| adjusted(probe)).max_by(|a, b| a.low.total_cmp(&b.low));
    let valid: Vec<&Probe> = probes.iter().copied().filter(|probe| adjusted(probe).low > 0.5).collect();
    let detail = format!(
        "{} of {} resid_post probes have a held-out AUROC above 0.5, by lower bounds adjusted for their number",
        valid.len(),
        probes.len()
    );
    let below = best.map(|auroc| auroc.estimate - auroc.low);
    (check(name, Some(!valid.is_empty()), detail, best).found_from(below, errors), valid)
}

/// Check 2.
pub(super) fn behavioural_gain(behaviour: Option<Interval>) -> Check {
    let name = "behavioural_gain";
    match behaviour {
        None => check(name, None, "no behaviour was given".to_owned(), None),
        Some(gain) if [gain.low, gain.estimate, gain.high].iter().any(|value| !value.is_finite()) => {
            check(name, None, "the interval given is not finite".to_owned(), None)
        }
        Some(gain) => check(
            name,
            Some(gain.low > 0.0),
            "gain over the neutral instruction; passes if its interval lies above 0".to_owned(),
            Some(gain),
        )
        .powered(0.95),
    }
}

pub(super) fn check(name: &str, passed: Option<bool>, detail: String, value: Option<Interval>) -> Check {
    Check { name: name.to_owned(), passed, detail, value, detectable: None }
}

/// Directions and mean differences of the normalised states, both `[l, d]`.
pub(super) fn stacked(
    levels: &Levels,
    valid: &[&Probe],
    (after, before): (usize, usize),
) -> Result<(Array2<f64>, Array2<f64>)> {
    let d = valid.first().map_or(0, |probe| probe.weights.len());
    let (mut directions, mut differences) = (Array2::zeros((valid.len(), d)), Array2::zeros((valid.len(), d)));
    for ((probe, mut direction), mut difference) in
        valid.iter().zip(directions.outer_iter_mut()).zip(differences.outer_iter_mut())
    {
        let address = index_of(levels, probe)?;
        let mean = |condition: usize| levels.means.get(condition).and_then(|means| means.get(address));
        let sides = mean(after).zip(mean(before)).filter(|(mean, _)| mean.unit.len() == d && probe.weights.len() == d);
        let (after, before) = sides.ok_or_else(|| unknown(probe))?;
        direction.assign(&probe.direction.unit());
        difference.assign(&(&after.unit - &before.unit));
    }
    Ok((directions, differences))
}

pub(super) fn index_of(levels: &Levels, probe: &Probe) -> Result<usize> {
    levels.addresses().iter().position(|&address| address == probe.address()).ok_or_else(|| unknown(probe))
}

pub(super) fn unknown(probe: &Probe) -> Error {
    let problem = format!("they were not scored with the bank's probe at {}", probe.address());
    Error::Mismatch { what: "levels".into(), problem }
}

pub(super) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}
