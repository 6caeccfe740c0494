//! Choices of many places.

use std::str::FromStr;

use super::{Address, Geometry, Site};
use crate::{Error, Result};

/// A choice of places that can be made before the model is known.
///
/// As text it is a comma-separated list of sites (in every layer), addresses and presets:
///
/// | preset | sites, each in every layer |
/// |---|---|
/// | `residual` | `resid_post`, `attn_out`, `mlp_out`: the stream, and what a layer adds to it |
/// | `liu2024` | `mlp_norm`, `attn_out`, `mlp_out`: where arXiv 2407.15286 reads (section 4: input of the feed-forward part behind its norm, outputs of attention and feed-forward part) |
///
/// ```
/// use probity::hook::{Selection, Site};
/// let selection: Selection = "liu2024,L3.resid_post".parse()?;
/// let sites = [Site::MlpNorm, Site::AttnOut, Site::MlpOut].map(Site::all_layers);
/// assert_eq!(selection, sites.into_iter().collect::<Selection>().and(Site::ResidPost.at(3)));
/// # Ok::<(), probity::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selection {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    AllLayers(Site),
    One(Address),
}

impl Selection {
    pub(crate) fn all_layers(site: Site) -> Self {
        Selection { parts: vec![Part::AllLayers(site)] }
    }

    /// These places and those of `other`.
    pub fn and(mut self, other: impl Into<Selection>) -> Self {
        self.parts.extend(other.into().parts);
        self
    }

    /// The addresses in a model, in order of choice, each once.
    ///
    /// # Errors
    /// [`Error::UnknownAddress`] for the first address that the model does not have; [`Error::Setting`] if
    /// nothing is selected.
    pub fn resolve(&self, geometry: &Geometry) -> Result<Vec<Address>> {
        let mut addresses = Vec::new();
        for part in &self.parts {
            match *part {
                Part::AllLayers(site) if site.is_per_layer() => {
                    addresses.extend((0..geometry.layers).map(|layer| site.at(layer)));
                }
                Part::AllLayers(site) => addresses.push(site.at(0)),
                Part::One(address) => addresses.push(address),
            }
        }
        let mut seen = std::collections::HashSet::new();
        addresses.retain(|&address| seen.insert(address));
        if addresses.is_empty() {
            return Err(Error::setting("selection", "empty", "select at least one site"));
        }
        addresses.iter().try_for_each(|&address| geometry.check(address))?;
        Ok(addresses)
    }
}

impl From<Address> for Selection {
    fn from(address: Address) -> Self {
        Selection { parts: vec![Part::One(address)] }
    }
}

impl FromIterator<Address> for Selection {
    fn from_iter<I: IntoIterator<Item = Address>>(addresses: I) -> Self {
        Selection { parts: addresses.into_iter().map(Part::One).collect() }
    }
}

impl FromIterator<Selection> for Selection {
    fn from_iter<I: IntoIterator<Item = Selection>>(selections: I) -> Self {
        selections.into_iter().fold(Selection::default(), Selection::and)
    }
}

/// Named choices of sites.
const PRESETS: [(&str, [Site; 3]); 2] = [
    ("residual", [Site::ResidPost, Site::AttnOut, Site::MlpOut]),
    ("liu2024", [Site::MlpNorm, Site::AttnOut, Site::MlpOut]),
];

impl FromStr for Selection {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let one = |name: &str| {
            if let Some((_, sites)) = PRESETS.iter().find(|(preset, _)| *preset == name) {
                return Ok(sites.iter().map(|site| site.all_layers()).collect());
            }
            if let Some(site) = Site::from_name(name) {
                return Ok(site.all_layers());
            }
            name.parse::<Address>().map(Selection::from).map_err(|error| {
                let expected =
                    "sites, addresses such as L12.resid_post, or presets (residual, liu2024), with commas between";
                Error::setting("sites", name, format!("{expected}; {error}"))
            })
        };
        text.split(',').map(|name| one(name.trim())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selection_resolves_in_order_and_once() {
        let geometry = Geometry { layers: 2, heads: 1, kv_heads: 1 };
        let selection = Site::MlpOut.all_layers().and(Site::Embed.all_layers()).and(Site::MlpOut.at(1));
        let names: Vec<String> = selection.resolve(&geometry).unwrap().iter().map(Address::to_string).collect();
        assert_eq!(names, ["L0.mlp_out", "L1.mlp_out", "embed"]);
    }

    #[test]
    fn names_that_are_no_place_are_refused() {
        for text in ["", "resid_post,", "residual,L3.resid_pots", "liu2025"] {
            let message = text.parse::<Selection>().unwrap_err().to_string();
            assert!(message.contains("sites") && message.contains("liu2024"), "{text:?}: {message}");
        }
    }
}
