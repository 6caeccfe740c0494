//! Windows of layers that were chosen by hand, before the levels were looked at.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::comparison::Against;
use super::levels::Levels;
use super::metric::Metric;
use super::window::{Contrast, Window, WindowTest};
use crate::condition::{Condition, Role};
use crate::dialogue::Reading;
use crate::hook::{Address, Site};
use crate::stats::Settings;
use crate::{Error, Result};

/// A run of layers by number or by share of the depth: `15-28`, `47%-88%`.
///
/// ```
/// use probity::level::LayerWindow;
/// let window: LayerWindow = "47%-88%".parse()?;
/// assert_eq!((window.layers(32)?, window.layers(24)?), ((15, 28), (11, 21)));
/// assert_eq!("15-28".parse::<LayerWindow>()?.layers(32)?, (15, 28));
/// # Ok::<(), probity::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum LayerWindow {
    /// First and last layer, from 0, both included.
    Layers(usize, usize),
    /// Per cent of the depth: of L layers those that a stretch from the one to the other share of the depth meets, from
    /// floor(from L / 100) to ceil(to L / 100) - 1.
    Depth(f64, f64),
}

impl LayerWindow {
    /// First and last layer in a model of so many layers.
    ///
    /// # Errors
    /// [`Error::Setting`] for a window that ends before it begins, or beyond the model.
    pub fn layers(self, layers: usize) -> Result<(usize, usize)> {
        let (first, last) = match self {
            LayerWindow::Layers(first, last) => (first, last),
            LayerWindow::Depth(from, to) => {
                let at = |share: f64| share / 100.0 * layers as f64;
                // Rounding must not add a layer to a whole share.
                (at(from).floor() as usize, ((at(to) - 1e-9).ceil() as usize).saturating_sub(1))
            }
        };
        if first > last || last >= layers {
            return Err(Error::setting(
                "window",
                self,
                format!("layers in order, from 0 to {}", layers.saturating_sub(1)),
            ));
        }
        Ok((first, last))
    }
}

impl fmt::Display for LayerWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LayerWindow::Layers(first, last) => write!(f, "{first}-{last}"),
            LayerWindow::Depth(from, to) => write!(f, "{from}%-{to}%"),
        }
    }
}

impl FromStr for LayerWindow {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad = || Error::setting("window", text, "two layers such as 15-28, or shares of the depth such as 47%-88%");
        let (from, to) = text.split_once('-').ok_or_else(bad)?;
        let share = |text: &str| {
            let share: f64 = text.strip_suffix('%')?.parse().ok()?;
            (0.0..=100.0).contains(&share).then_some(share)
        };
        match (share(from), share(to), from.parse(), to.parse()) {
            (Some(from), Some(to), ..) if from < to => Ok(LayerWindow::Depth(from, to)),
            (None, None, Ok(first), Ok(last)) if first <= last => Ok(LayerWindow::Layers(first, last)),
            _ => Err(bad()),
        }
    }
}

/// The mean change over a window that was named before anyone looked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct WindowRow {
    /// Instruction and round.
    #[serde(flatten)]
    pub condition: Condition,
    /// The condition that is subtracted.
    pub against: Against,
    /// Which tokens the states stand for.
    pub reading: Reading,
    /// Metric.
    pub metric: Metric,
    /// The window as it was named.
    pub window: String,
    /// The test of the mean over its layers, of this window and site alone.
    pub test: WindowTest,
}

/// Tests every window, of a model of so many layers, at every site that has some of its layers, for every studied condition,
/// by cosine and by class distance where there is one.
pub(crate) fn declared_windows(
    levels: &Levels,
    windows: &[LayerWindow],
    layers: usize,
    settings: Settings,
) -> Result<Vec<WindowRow>> {
    let whole = |address: &&Address| address.head_index().is_none() && address.layer().is_some();
    let of_layers: Vec<&Address> = levels.addresses().iter().filter(whole).collect();
    let sites: BTreeSet<Site> = of_layers.iter().map(|address| address.site()).collect();
    let mut rows = Vec::new();
    for named in windows {
        let (first, last) = named.layers(layers)?;
        for (&site, metric) in
            sites.iter().flat_map(|site| [Metric::Cosine, Metric::ClassDistance].map(|metric| (site, metric)))
        {
            let here: Vec<Address> = of_layers
                .iter()
                .filter(|address| {
                    address.site() == site && address.layer().is_some_and(|at| (first..=last).contains(&at))
                })
                .map(|address| **address)
                .collect();
            for arm in levels.design().arms().iter().filter(|arm| arm.role == Role::Studied) {
                let has = |address: &Address| levels.series(&arm.condition, *address, metric).is_some();
                if here.is_empty() || !here.iter().all(has) {
                    continue;
                }
                for against in [Against::Round0, Against::Control] {
                    let there = match against {
                        Against::Control => levels.design().control(&arm.condition).is_some(),
                        _ => levels.design().plain().is_some(),
                    };
                    if !there {
                        continue;
                    }
                    let contrast = Contrast { condition: arm.condition.clone(), against, metric };
                    let test = Window { site, first, last }.test_declared(levels, settings, &contrast)?;
                    rows.push(WindowRow {
                        condition: arm.condition.clone(),
                        against,
                        reading: levels.reading(),
                        metric,
                        window: named.to_string(),
                        test,
                    });
                }
            }
        }
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_read_and_refused() {
        for text in ["15-28", "0-0", "47%-88%", "2.5%-50%"] {
            assert_eq!(text.parse::<LayerWindow>().unwrap().to_string(), text);
        }
        for text in ["", "15", "28-15", "a-b", "15-28%", "50%-50%", "10%-101%", "-1-3"] {
            assert!(text.parse::<LayerWindow>().is_err(), "{text}");
        }
        assert_eq!(LayerWindow::Depth(0.0, 100.0).layers(7).unwrap(), (0, 6));
        assert_eq!(LayerWindow::Depth(25.0, 50.0).layers(8).unwrap(), (2, 3));
        assert_eq!(LayerWindow::Depth(0.0, 1.0).layers(8).unwrap(), (0, 0));
        assert!(LayerWindow::Layers(3, 8).layers(8).unwrap_err().to_string().contains("0 to 7"));
    }
}
