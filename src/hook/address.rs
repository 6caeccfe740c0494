//! One exact place: its grammar, and whether a model has it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Site;
use crate::error::nearest;
use crate::{Error, Result};

/// One exact place in a model, such as `L12.resid_post`, `L5.head_out.h3` or `embed`.
///
/// Parsing and `Display` round-trip:
///
/// ```
/// use probity::hook::{Address, Site};
/// let address: Address = "L5.head_out.h3".parse()?;
/// assert_eq!(address, Site::HeadOut.at(5).head(3));
/// assert_eq!(address.to_string(), "L5.head_out.h3");
/// # Ok::<(), probity::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("pattern" = pattern())))]
#[serde(try_from = "String", into = "String")]
pub struct Address {
    layer: Option<usize>,
    site: Site,
    head: Option<usize>,
}

impl Address {
    /// Token embeddings: [`Site::Embed`], which exists once per model.
    pub const EMBED: Address = Address::new(Site::Embed, None, None);
    /// Output of the final norm: [`Site::FinalNorm`], which exists once per model.
    pub const FINAL_NORM: Address = Address::new(Site::FinalNorm, None, None);
    /// Next-token logits: [`Site::Logits`], which exists once per model.
    pub const LOGITS: Address = Address::new(Site::Logits, None, None);

    pub(crate) const fn new(site: Site, layer: Option<usize>, head: Option<usize>) -> Self {
        Address { layer, site, head }
    }

    /// One head of this place.
    pub fn head(self, head: usize) -> Address {
        Address { head: Some(head), ..self }
    }

    /// The kind of place.
    pub fn site(self) -> Site {
        self.site
    }

    /// The layer, counted from 0; `None` for the sites that exist once per model.
    pub fn layer(self) -> Option<usize> {
        self.layer
    }

    /// The head, counted from 0, where one was named.
    pub fn head_index(self) -> Option<usize> {
        self.head
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let layer = self.layer.map(|layer| format!("L{layer}.")).unwrap_or_default();
        let head = self.head.map(|head| format!(".h{head}")).unwrap_or_default();
        f.pad(&format!("{layer}{}{head}", self.site.name()))
    }
}

impl FromStr for Address {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad = |problem: String| Error::bad_address(text.to_owned(), problem);
        // As it is displayed and no other way, so that two names never mean one address.
        let index = |part: &str, letter: char| number(part.strip_prefix(letter)?);
        let mut parts = text.split('.').peekable();
        let layer: Option<usize> = parts.peek().and_then(|part| index(part, 'L'));
        if layer.is_some() {
            parts.next();
        }
        let name = parts.next().unwrap_or_default();
        let site = site(name).map_err(&bad)?;
        if site.is_per_layer() != layer.is_some() {
            return Err(bad(if layer.is_some() {
                format!("{site} exists once per model, without a layer")
            } else {
                format!("{site} needs a layer, as in \"L0.{site}\"")
            }));
        }
        let head = match parts.next() {
            None => None,
            Some(part) => Some(index(part, 'h').ok_or_else(|| bad(format!("{part:?} is no head")))?),
        };
        if head.is_some() && site.head_dim().is_none() {
            return Err(bad(format!("{site} has no heads")));
        }
        match parts.next() {
            None => Ok(Address { layer, site, head }),
            Some(rest) => Err(bad(format!("nothing may follow, found {rest:?}"))),
        }
    }
}

/// Every address as it is written, as a regular expression.
#[cfg(feature = "schema")]
fn pattern() -> String {
    let names = |of: fn(&Site) -> bool| Site::ALL.into_iter().filter(of).map(Site::name).collect::<Vec<_>>().join("|");
    let once = names(|site| !site.is_per_layer());
    let whole = names(|site| site.is_per_layer() && site.head_dim().is_none());
    let heads = names(|site| site.head_dim().is_some());
    let number = "(0|[1-9][0-9]*)";
    format!(r"^({once}|L{number}\.({whole}|({heads})(\.h{number})?))$")
}

/// A number as it is displayed.
pub(super) fn number(digits: &str) -> Option<usize> {
    digits.parse().ok().filter(|number: &usize| number.to_string() == digits)
}

/// The site of a name, or what is wrong with it.
pub(super) fn site(name: &str) -> Result<Site, String> {
    Site::ALL.into_iter().find(|site| site.name() == name).ok_or_else(|| {
        let names = nearest(name, Site::ALL.map(|site| site.name().to_owned()));
        format!("there is no site {name:?}; nearest: {}", names.join(", "))
    })
}

impl TryFrom<String> for Address {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Address> for String {
    fn from(address: Address) -> String {
        address.to_string()
    }
}

/// How many layers and heads a model has: what decides which addresses exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Geometry {
    /// Layers.
    pub layers: usize,
    /// Query heads of a layer.
    pub heads: usize,
    /// Key/value heads of a layer.
    pub kv_heads: usize,
}

impl Geometry {
    /// Checks that the model has `address`.
    ///
    /// # Errors
    /// [`Error::UnknownAddress`] with the nearest valid addresses.
    pub fn check(&self, address: Address) -> Result<()> {
        let heads = if matches!(address.site, Site::K | Site::V) { self.kv_heads } else { self.heads };
        let per_layer = address.site.is_per_layer();
        let layer_fits = match address.layer {
            Some(layer) => per_layer && layer < self.layers,
            None => !per_layer,
        };
        if layer_fits && address.head.is_none_or(|head| head < heads) {
            return Ok(());
        }
        let mut near = address;
        near.layer = per_layer.then(|| address.layer.unwrap_or(0).min(self.layers.saturating_sub(1)));
        near.head = address.head.map(|head| head.min(heads.saturating_sub(1)));
        let mut names = vec![near.to_string()];
        if near.head.is_some() {
            names.push(Address { head: None, ..near }.to_string());
        }
        Err(Error::unknown_address(address.to_string(), names))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_round_trips() {
        for site in Site::ALL {
            for head in [None, site.head_dim().map(|_| 7)] {
                let address = Address::new(site, site.is_per_layer().then_some(3), head);
                assert_eq!(address.to_string().parse::<Address>().unwrap(), address);
            }
        }
        assert_eq!(Address::FINAL_NORM.to_string(), "final_norm");
    }

    #[test]
    fn wrong_addresses_say_what_is_wrong() {
        for (text, says) in [
            ("L3.resid_pots", "resid_post"),
            ("resid_post", "needs a layer"),
            ("L0.embed", "once per model"),
            ("L3.resid_post.h1", "has no heads"),
            ("L3.z.x1", "is no head"),
            ("L3.z.h1.q", "nothing may follow"),
            ("", "no site"),
            ("Lx.z", "no site"),
            ("L+3.z", "no site"),
            ("L3.z.h01", "is no head"),
        ] {
            let message = text.parse::<Address>().unwrap_err().to_string();
            assert!(message.contains(says), "{text:?}: {message}");
        }
    }

    #[test]
    fn unknown_layers_and_heads_name_the_nearest() {
        let geometry = Geometry { layers: 4, heads: 6, kv_heads: 2 };
        assert!(geometry.check(Site::Q.at(3).head(5)).is_ok());
        let message = geometry.check(Site::K.at(3).head(5)).unwrap_err().to_string();
        assert!(message.contains("L3.k.h1"), "{message}");
        let message = geometry.check(Site::ResidPost.at(9)).unwrap_err().to_string();
        assert!(message.contains("L3.resid_post"), "{message}");
        assert!(geometry.check(Address::EMBED).is_ok());
        let message = geometry.check(Site::FinalNorm.at(3)).unwrap_err().to_string();
        assert!(message.ends_with("nearest: final_norm"), "{message}");
    }
}
