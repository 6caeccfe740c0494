//! Choices of many places.

use std::fmt;
use std::str::FromStr;

use super::{address, Address, Geometry, Site};
use crate::{Error, Result};

/// A choice of places that can be made before the model is known.
///
/// As text it is a list with commas between:
///
/// | part | places |
/// |---|---|
/// | `resid_post` | a site in every layer |
/// | `L12.resid_post`, `L5.head_out.h3`, `embed` | an [`Address`] |
/// | `L4-7.resid_post` | a site in layers 4 to 7 |
/// | `residual` | `resid_post`, `attn_out`, `mlp_out`: the stream, and what a layer adds to it |
/// | `liu2024` | `mlp_norm`, `attn_out`, `mlp_out`: where arXiv 2407.15286 reads (section 4: input of the feed-forward part behind its norm, outputs of attention and feed-forward part) |
///
/// ```
/// use probity::hook::{Selection, Site};
/// let selection: Selection = "liu2024,L3.resid_post".parse()?;
/// let sites = [Site::MlpNorm, Site::AttnOut, Site::MlpOut].map(Site::all_layers);
/// assert_eq!(selection, sites.into_iter().collect::<Selection>().and(Site::ResidPost.at(3)));
/// let some: Selection = "L4-5.mlp_out".parse()?;
/// assert_eq!(some, Site::MlpOut.all_layers().layers("4-5")?);
/// # Ok::<(), probity::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[must_use]
pub struct Selection {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    AllLayers(Site),
    /// A site from one layer to another, both included.
    Layers(Site, usize, usize),
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

    /// Narrows the sites that were chosen in every layer to some: "all", or numbers and ranges such as `0,4-7`. Places that
    /// name their layer, and sites that exist once per model, stay as they are.
    ///
    /// # Errors
    /// [`Error::Setting`] for any other text.
    pub fn layers(self, layers: &str) -> Result<Selection> {
        if layers == "all" {
            return Ok(self);
        }
        let wrong = || Error::setting("layers", layers, "\"all\", or numbers and ranges such as 0,4-7");
        let ranges = layers.split(',').map(|part| range(part.trim())).collect::<Option<Vec<_>>>().ok_or_else(wrong)?;
        let narrowed = |part: Part| match part {
            Part::AllLayers(site) if site.is_per_layer() => {
                ranges.iter().map(|&(first, last)| Part::Layers(site, first, last)).collect()
            }
            other => vec![other],
        };
        Ok(Selection { parts: self.parts.into_iter().flat_map(narrowed).collect() })
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
                Part::AllLayers(site) => addresses.push(Address::new(site, None, None)),
                Part::Layers(site, first, last) => {
                    // Before they are listed: a range may be as long as it likes.
                    geometry.check(site.at(last))?;
                    addresses.extend((first..=last).map(|layer| site.at(layer)));
                }
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

/// The list that reads back as this selection.
impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, part) in self.parts.iter().enumerate() {
            f.write_str(if place > 0 { "," } else { "" })?;
            match part {
                Part::AllLayers(site) => write!(f, "{site}")?,
                Part::Layers(site, first, last) => write!(f, "L{first}-{last}.{site}")?,
                Part::One(address) => write!(f, "{address}")?,
            }
        }
        Ok(())
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
        text.split(',').map(|name| part(name.trim())).collect()
    }
}

/// One part of a list.
fn part(name: &str) -> Result<Selection> {
    if let Some((_, sites)) = PRESETS.iter().find(|(preset, _)| *preset == name) {
        return Ok(sites.iter().map(|site| site.all_layers()).collect());
    }
    if let Ok(site) = name.parse::<Site>() {
        return Ok(site.all_layers());
    }
    let wrong = |problem: String| {
        let expected = "sites, layers as in L4-7.resid_post, addresses such as L12.resid_post, or presets (residual, \
                        liu2024), with commas between";
        Error::setting("sites", name, format!("{expected}; {problem}"))
    };
    let layers =
        name.strip_prefix('L').and_then(|rest| rest.split_once('.')).filter(|(layers, _)| layers.contains('-'));
    let Some((layers, site)) = layers else {
        return name.parse::<Address>().map(Selection::from).map_err(|error| wrong(error.to_string()));
    };
    let Some((first, last)) = range(layers) else {
        return Err(wrong(format!("{layers:?} is no range of layers from a lower to a higher one")));
    };
    match address::site(site) {
        Ok(site) if site.is_per_layer() => Ok(Selection { parts: vec![Part::Layers(site, first, last)] }),
        Ok(site) => Err(wrong(format!("{site} exists once per model, without layers"))),
        Err(problem) => Err(wrong(problem)),
    }
}

/// First and last of `4-7`, or of `4`.
fn range(text: &str) -> Option<(usize, usize)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Some((address::number(first)?, address::number(last)?)).filter(|(first, last)| first <= last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(selection: &Selection) -> Vec<String> {
        let geometry = Geometry { layers: 4, heads: 2, kv_heads: 1 };
        selection.resolve(&geometry).unwrap().iter().map(Address::to_string).collect()
    }

    #[test]
    fn a_selection_resolves_in_order_and_once() {
        let geometry = Geometry { layers: 2, heads: 1, kv_heads: 1 };
        let selection = Site::MlpOut.all_layers().and(Site::Embed.all_layers()).and(Site::MlpOut.at(1));
        let names: Vec<String> = selection.resolve(&geometry).unwrap().iter().map(Address::to_string).collect();
        assert_eq!(names, ["L0.mlp_out", "L1.mlp_out", "embed"]);
    }

    #[test]
    fn layers_are_chosen_by_range_in_the_list_and_for_all_of_it() {
        let selection: Selection = "L1-2.mlp_out, embed,L3.z.h1".parse().unwrap();
        assert_eq!(names(&selection), ["L1.mlp_out", "L2.mlp_out", "embed", "L3.z.h1"]);
        assert_eq!(selection.to_string().parse::<Selection>().unwrap(), selection);
        assert_eq!(selection.to_string(), "L1-2.mlp_out,embed,L3.z.h1");
        let both: Selection = "attn_out,L3.z.h1,final_norm".parse().unwrap();
        let both = both.layers("0,2-3").unwrap();
        assert_eq!(names(&both), ["L0.attn_out", "L2.attn_out", "L3.attn_out", "L3.z.h1", "final_norm"]);
        assert_eq!(names(&Site::Z.all_layers().layers("all").unwrap()).len(), 4);
        for wrong in ["", "3-1", "1-", "-2", "a", "1,,2", "01", "+1", "1-2-3"] {
            let message = Site::Z.all_layers().layers(wrong).unwrap_err().to_string();
            assert!(message.contains("such as 0,4-7"), "{wrong:?}: {message}");
        }
        let geometry = Geometry { layers: 4, heads: 2, kv_heads: 1 };
        let endless: Selection = format!("L0-{}.z", usize::MAX).parse().unwrap();
        assert!(endless.resolve(&geometry).unwrap_err().to_string().contains("nearest: L3.z"));
    }

    #[test]
    fn names_that_are_no_place_are_refused() {
        for text in
            ["", "resid_post,", "residual,L3.resid_pots", "liu2025", "L2-1.z", "L1-x.z", "L0-1.embed", "L0-1.zz"]
        {
            let message = text.parse::<Selection>().unwrap_err().to_string();
            assert!(message.contains("sites") && message.contains("liu2024"), "{text:?}: {message}");
        }
    }
}
