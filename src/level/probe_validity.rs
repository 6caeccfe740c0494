//! How far the probes of a bank are shown to tell immoral from moral.

use super::window::Window;
use crate::hook::{Address, Site};
use crate::probe::{CrossFit, Probe, ProbeBank};
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
    /// The layers that were declared, if some were.
    pub declared: Option<Window>,
    /// What the texts left out say of each probe.
    told: Vec<Told>,
}

/// One probe on the texts left out.
#[derive(Debug, Clone, Copy)]
struct Told {
    address: Address,
    /// AUROC and text groups; `None` where texts were not left out in turn.
    found: Option<(Interval, usize)>,
}

impl ProbeValidity {
    /// Looks at the probes of a bank at a site, single heads apart. The lower half of each interval is widened by z(0.025/l)/z(0.025) for l
    /// probes (Bonferroni, normal approximation).
    pub fn of(bank: &ProbeBank, site: Site) -> Self {
        let judged = |probe: &&Probe| probe.address().site() == site && probe.address().head_index().is_none();
        let found = |fits: &CrossFit| (fits.auroc, fits.groups);
        let told = |probe: &Probe| Told { address: probe.address(), found: probe.cross_fit.as_deref().map(found) };
        ProbeValidity::of_told(site, bank.iter().filter(judged).map(told).collect(), None)
    }

    /// Of these probes only those in the window: adjusted for their number. `None` where its ends were not read.
    pub fn within(&self, window: Window) -> Option<Self> {
        let inside = |told: &&Told| window.holds(told.address);
        let told: Vec<Told> = self.told.iter().filter(inside).copied().collect();
        let read = |layer: usize| told.iter().any(|told| told.address.layer() == Some(layer));
        (read(window.first) && read(window.last)).then(|| ProbeValidity::of_told(self.site, told, Some(window)))
    }

    /// Layers of the probes looked at.
    pub fn layers(&self) -> impl Iterator<Item = usize> + '_ {
        self.told.iter().filter_map(|told| told.address.layer())
    }

    fn of_told(site: Site, told: Vec<Told>, declared: Option<Window>) -> Self {
        let groups = told.iter().map(|told| told.found.map_or(0, |(_, groups)| groups)).min().unwrap_or(0);
        let probes = told.len();
        let errors = normal_upper_quantile(0.5 * ALPHA / probes.max(1) as f64);
        let widening = errors / normal_upper_quantile(0.5 * ALPHA);
        let none = ProbeValidity { site, probes, groups, best: None, errors, addresses: Vec::new(), declared, told };
        if groups < MIN_GROUPS {
            return none;
        }
        let adjusted =
            |auroc: Interval| Interval { low: auroc.estimate - widening * (auroc.estimate - auroc.low), ..auroc };
        let aurocs = || none.told.iter().filter_map(|told| Some((told.address, adjusted(told.found?.0))));
        let best = aurocs().map(|(_, auroc)| auroc).max_by(|a, b| a.low.total_cmp(&b.low));
        let valid = aurocs().filter(|(_, auroc)| auroc.low > 0.5).map(|(address, _)| address).collect();
        ProbeValidity { best, addresses: valid, ..none }
    }
}
