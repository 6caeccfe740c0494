//! The mean change over a window of layers, tested where the window was not found.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use super::comparison::{pairs, Against, Pair};
use super::inference::{changes, mean_row};
use super::levels::Levels;
use super::metric::Metric;
use crate::condition::Condition;
use crate::hook::{Address, Site};
use crate::stats::{
    minimum_detectable, rng, student_upper_quantile, ClusteredMeans, Equivalence, Interval, Resampler, Settings,
};
use crate::{Error, Result};

/// Layers of one site, first and last included; as text `L8-15.resid_post`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(into = "String", try_from = "String")]
pub struct Window {
    /// Site.
    pub site: Site,
    /// First layer.
    pub first: usize,
    /// Last layer.
    pub last: usize,
}

/// Which change of the levels is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contrast {
    /// Instruction and round, 1 or later.
    pub condition: Condition,
    /// The condition that is subtracted.
    pub against: Against,
    /// Metric.
    pub metric: Metric,
}

/// The mean change over a window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct WindowTest {
    /// First and last address of the window.
    pub addresses: [Address; 2],
    /// Whether the window was named before looking; otherwise it was found on the other half of the item groups.
    pub declared: bool,
    /// Mean over items and layers of the paired difference, with Student's interval.
    pub interval: Interval,
    /// Standard error, clustered by item group.
    pub standard_error: f64,
    /// Two-sided sign-flip p-value.
    pub p: f64,
    /// Tests against the margin; for the standardised metric.
    pub equivalence: Option<Equivalence>,
    /// The smallest change that a test like this finds with the inference's power.
    pub detectable: f64,
    /// Items tested.
    pub items: usize,
    /// Item groups tested.
    pub groups: usize,
}

/// Levels in two halves of the item groups: one to look at, one to test on.
///
/// The half to test on cannot be seen: [`Halves::find`] gives the search the other half only and consumes the halves, and
/// the [`FoundWindow`] that comes of it can do nothing but test, once.
///
/// ```
/// use probity::hook::Site;
/// use probity::level::window::{Contrast, Halves, Window};
/// use probity::level::{Against, Levels, Metric};
/// use probity::{stats::Settings, Condition};
/// # fn run(levels: &Levels) -> probity::Result<()> {
/// let contrast = Contrast {
///     condition: Condition::new("L2", 1),
///     against: Against::Control,
///     metric: Metric::ClassDistance,
/// };
/// let found = Halves::of(levels, 7)?.find(|half| Window::strongest(half, Site::ResidPost, &contrast))?;
/// println!("{:?}", found.window());
/// let test = found.test(Settings::default(), &contrast)?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Halves {
    explore: Levels,
    confirm: Levels,
}

/// A window that was found on one half of the item groups, with the other half to test it on.
#[derive(Debug)]
pub struct FoundWindow {
    window: Window,
    confirm: Levels,
}

impl Halves {
    /// Divides the item groups at random into halves; of an odd number the half to test on gets one more.
    ///
    /// # Errors
    /// [`Error::Setting`] for fewer than 10 groups.
    pub fn of(levels: &Levels, seed: u64) -> Result<Halves> {
        let mut rows_of: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (row, group) in levels.groups().iter().enumerate() {
            rows_of.entry(group).or_default().push(row);
        }
        let mut groups: Vec<Vec<usize>> = rows_of.into_values().collect();
        if groups.len() < 10 {
            return Err(Error::setting("groups", groups.len(), "at least 10 groups of items, to have 5 in each half"));
        }
        groups.shuffle(&mut rng(seed, "halves"));
        let part = |groups: &[Vec<usize>]| {
            let mut rows: Vec<usize> = groups.concat();
            rows.sort_unstable();
            levels.part(&rows)
        };
        let (explore, confirm) = groups.split_at(groups.len() / 2);
        Ok(Halves { explore: part(explore), confirm: part(confirm) })
    }

    /// Lets `search` choose a window by one half.
    ///
    /// # Errors
    /// Those of `search`.
    pub fn find(self, search: impl FnOnce(&Levels) -> Result<Window>) -> Result<FoundWindow> {
        Ok(FoundWindow { window: search(&self.explore)?, confirm: self.confirm })
    }
}

impl FoundWindow {
    /// The window.
    pub fn window(&self) -> Window {
        self.window
    }

    /// Tests it on the half that did not find it.
    ///
    /// # Errors
    /// As [`Window::test_declared`].
    pub fn test(self, settings: Settings, contrast: &Contrast) -> Result<WindowTest> {
        test(self.window, false, &self.confirm, settings, contrast)
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "L{}-{}.{}", self.first, self.last, self.site)
    }
}

impl From<Window> for String {
    fn from(window: Window) -> Self {
        window.to_string()
    }
}

impl TryFrom<String> for Window {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl FromStr for Window {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let parsed = text.strip_prefix('L').and_then(|rest| rest.split_once('.')).and_then(|(layers, site)| {
            let (first, last) = layers.split_once('-').unwrap_or((layers, layers));
            let window = Window { site: site.parse().ok()?, first: first.parse().ok()?, last: last.parse().ok()? };
            (window.site.is_per_layer() && window.first <= window.last).then_some(window)
        });
        parsed.ok_or_else(|| Error::setting("window", text, "layers of a site, such as L8-15.resid_post"))
    }
}

impl Window {
    /// Whether an address lies in it.
    pub(super) fn holds(self, address: Address) -> bool {
        let inside = address.layer().is_some_and(|layer| (self.first..=self.last).contains(&layer));
        inside && address.site() == self.site && address.head_index().is_none()
    }

    /// Tests a window that was named before anyone looked at these levels, on all items. A window that they suggested
    /// belongs into [`Halves`]: tested on the items that suggested it, chance looks like a finding.
    ///
    /// # Errors
    /// [`Error::Setting`] for a window or a contrast that the levels do not have, and for settings out of range.
    pub fn test_declared(self, levels: &Levels, settings: Settings, contrast: &Contrast) -> Result<WindowTest> {
        test(self, true, levels, settings, contrast)
    }

    /// The run of neighbouring read layers whose mean change is most standard errors from 0.
    ///
    /// # Errors
    /// [`Error::Setting`] for a contrast or a site that the levels do not have.
    pub fn strongest(levels: &Levels, site: Site, contrast: &Contrast) -> Result<Window> {
        let pair = contrast.pair(levels)?;
        let indices = layers(levels, Window { site, first: 0, last: usize::MAX })?;
        let columns: Vec<(Pair, usize)> = indices.iter().map(|&(_, index)| (pair, index)).collect();
        let values = changes(levels, &columns, contrast.metric)?;
        let mut best: Option<(f64, Window)> = None;
        for first in 0..indices.len() {
            for last in first..indices.len() {
                let rows = values.slice(ndarray::s![first..=last, ..]).to_owned();
                let mean = mean_row(&rows);
                let column = ndarray::ArrayView2::from_shape((mean.len(), 1), &mean)
                    .map_err(|error| Error::mismatch("levels", error.to_string()))?;
                let t = ClusteredMeans::new(column, levels.groups())?.t().first().map_or(0.0, |t| t.abs());
                if t.is_finite() && best.is_none_or(|(most, _)| t > most) {
                    best = Some((t, Window { site, first: indices[first].0, last: indices[last].0 }));
                }
            }
        }
        best.map(|(_, window)| window)
            .ok_or_else(|| Error::setting("site", site, "a site at which the levels change by more in some items"))
    }
}

impl Contrast {
    /// The indices of both sides.
    fn pair(&self, levels: &Levels) -> Result<Pair> {
        let is_meant = |pair: &Pair| {
            let arm = levels.design().arms().get(pair.condition);
            pair.against == self.against && arm.is_some_and(|arm| arm.condition == self.condition)
        };
        pairs(levels).into_iter().find(is_meant).ok_or_else(|| {
            let value = format!("{} against {:?}", self.condition, self.against);
            Error::setting("contrast", value, "a condition and what it is compared with, both among the levels")
        })
    }
}

/// The window's layers that were read, with their indices among the addresses.
fn layers(levels: &Levels, window: Window) -> Result<Vec<(usize, usize)>> {
    let of_window =
        |(index, address): (usize, &Address)| Some((address.layer().filter(|_| window.holds(*address))?, index));
    let found: Vec<(usize, usize)> = levels.addresses().iter().enumerate().filter_map(of_window).collect();
    if found.is_empty() {
        let value = format!("{} layers {} to {}", window.site, window.first, window.last);
        return Err(Error::setting("window", value, "layers at which the levels were read"));
    }
    Ok(found)
}

fn test(
    window: Window,
    declared: bool,
    levels: &Levels,
    settings: Settings,
    contrast: &Contrast,
) -> Result<WindowTest> {
    let resampler = Resampler::new(settings)?;
    let pair = contrast.pair(levels)?;
    let indices = layers(levels, window)?;
    let columns: Vec<(Pair, usize)> = indices.iter().map(|&(_, index)| (pair, index)).collect();
    let mean = mean_row(&changes(levels, &columns, contrast.metric)?);
    let shape = |error: ndarray::ShapeError| Error::mismatch("levels", error.to_string());
    let column = ndarray::ArrayView2::from_shape((mean.len(), 1), &mean).map_err(shape)?;
    let means = ClusteredMeans::new(column, levels.groups())?;
    let flipped = resampler.flips(means.clusters())?.test(&means)?;
    let critical = student_upper_quantile(0.5 * (1.0 - settings.level), means.degrees());
    let missing = || Error::setting("groups", means.clusters(), "at least 2 groups of items");
    let ends = indices.first().zip(indices.last());
    let address = |index: usize| levels.addresses().get(index).copied();
    let addresses = ends.and_then(|(first, last)| Some([address(first.1)?, address(last.1)?]));
    let standard_error = means.standard_errors().first().copied().ok_or_else(missing)?;
    Ok(WindowTest {
        addresses: addresses.ok_or_else(missing)?,
        declared,
        interval: means.interval(0, settings.level).ok_or_else(missing)?,
        standard_error,
        p: flipped.p.first().copied().ok_or_else(missing)?,
        equivalence: match contrast.metric {
            Metric::ClassDistance => means.equivalence(0, settings.margin),
            _ => None,
        },
        detectable: minimum_detectable(means.clusters() as f64 - 1.0, critical, settings.power) * standard_error,
        items: levels.items().len(),
        groups: means.clusters(),
    })
}
