//! How far the probes of a bank are shown to tell immoral from moral.

use crate::hook::{Address, Site};
use crate::probe::{Probe, ProbeBank};
use crate::stats::{normal_upper_quantile, Interval};

/// Groups below which a bootstrap is not trusted to decide.
pub(super) const MIN_GROUPS: usize = 10;

/// Two-sided level of the AUROCs' intervals.
const ALPHA: f64 = 0.05;

/// What the held-out data say of the `resid_post` probes of a bank, adjusted for their number.
#[derive(Debug, Clone)]
pub(super) struct ProbeValidity {
    /// Probes looked at.
    pub probes: usize,
    /// Held-out groups of the probe that has the fewest.
    pub groups: usize,
    /// The AUROC with the highest lower bound, that bound adjusted; `None` where too few groups were held out.
    pub best: Option<Interval>,
    /// Standard errors from an AUROC to its adjusted lower bound.
    pub errors: f64,
    /// Addresses of the probes whose adjusted lower bound is above 0.5.
    pub addresses: Vec<Address>,
}

impl ProbeValidity {
    /// Looks at the `resid_post` probes of a bank. The lower half of each interval is widened by z(0.025/l)/z(0.025) for l
    /// probes (Bonferroni, normal approximation).
    pub fn of(bank: &ProbeBank) -> Self {
        let probes: Vec<&Probe> = bank.iter().filter(|probe| probe.address().site() == Site::ResidPost).collect();
        let groups = probes.iter().map(|probe| probe.evaluation.groups_test).min().unwrap_or(0);
        let errors = normal_upper_quantile(0.5 * ALPHA / probes.len().max(1) as f64);
        let widening = errors / normal_upper_quantile(0.5 * ALPHA);
        let none = ProbeValidity { probes: probes.len(), groups, best: None, errors, addresses: Vec::new() };
        if groups < MIN_GROUPS {
            return none;
        }
        let adjusted = |probe: &Probe| {
            let auroc = probe.evaluation.auroc;
            Interval { low: auroc.estimate - widening * (auroc.estimate - auroc.low), ..auroc }
        };
        let best = probes.iter().map(|probe| adjusted(probe)).max_by(|a, b| a.low.total_cmp(&b.low));
        let valid = probes.iter().filter(|probe| adjusted(probe).low > 0.5);
        ProbeValidity { best, addresses: valid.map(|probe| probe.address()).collect(), ..none }
    }
}
