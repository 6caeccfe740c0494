//! How far the probes of a bank are shown to tell immoral from moral.

use crate::hook::{Address, Site};
use crate::probe::{CrossFit, ProbeBank};
use crate::stats::{normal_upper_quantile, Interval};

/// Groups of items or texts below which nothing is concluded: a bootstrap over fewer is too sure of itself, above all where a
/// few groups change much and the others do not.
pub(super) const MIN_GROUPS: usize = 20;

/// Two-sided level of the AUROCs' intervals.
const ALPHA: f64 = 0.05;

/// What the texts left out say of the probes of a bank at one site, adjusted for their number.
#[derive(Debug, Clone)]
pub(super) struct ProbeValidity {
    /// The site.
    pub site: Site,
    /// Probes looked at.
    pub probes: usize,
    /// Text groups of the probe that has the fewest; 0 where texts were not left out in turn.
    pub groups: usize,
    /// The AUROC with the highest lower bound, that bound adjusted; `None` where there are too few groups.
    pub best: Option<Interval>,
    /// Standard errors from an AUROC to its adjusted lower bound.
    pub errors: f64,
    /// Addresses of the probes whose adjusted lower bound is above 0.5.
    pub addresses: Vec<Address>,
}

impl ProbeValidity {
    /// Looks at the probes of a bank at a site, single heads apart. The lower half of each interval is widened by z(0.025/l)/z(0.025) for l
    /// probes (Bonferroni, normal approximation).
    pub fn of(bank: &ProbeBank, site: Site) -> Self {
        let probes: Vec<(Address, Option<&CrossFit>)> = bank
            .iter()
            .filter(|probe| probe.address().site() == site && probe.address().head_index().is_none())
            .map(|probe| (probe.address(), probe.cross_fit.as_deref()))
            .collect();
        let groups = probes.iter().map(|(_, fits)| fits.map_or(0, |fits| fits.groups)).min().unwrap_or(0);
        let errors = normal_upper_quantile(0.5 * ALPHA / probes.len().max(1) as f64);
        let widening = errors / normal_upper_quantile(0.5 * ALPHA);
        let none = ProbeValidity { site, probes: probes.len(), groups, best: None, errors, addresses: Vec::new() };
        if groups < MIN_GROUPS {
            return none;
        }
        let adjusted = |fits: &CrossFit| {
            let auroc = fits.auroc;
            Interval { low: auroc.estimate - widening * (auroc.estimate - auroc.low), ..auroc }
        };
        let aurocs = || probes.iter().filter_map(|(address, fits)| Some((*address, adjusted((*fits)?))));
        let best = aurocs().map(|(_, auroc)| auroc).max_by(|a, b| a.low.total_cmp(&b.low));
        let valid = aurocs().filter(|(_, auroc)| auroc.low > 0.5).map(|(address, _)| address).collect();
        ProbeValidity { best, addresses: valid, ..none }
    }
}
