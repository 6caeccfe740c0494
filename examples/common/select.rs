//! Lists of sites and layers.

use probity::hook::{Selection, Site};
use probity::{Error, Result};

/// Reads comma-separated site names.
fn sites(names: &str) -> Result<Vec<Site>> {
    names
        .split(',')
        .map(|name| {
            Site::from_name(name.trim()).ok_or_else(|| Error::Setting {
                name: "--sites",
                value: name.to_owned(),
                expected: format!("one of {}", Site::ALL.map(Site::name).join(", ")),
            })
        })
        .collect()
}

/// Reads sites and layers as a selection.
pub fn select(sites: &str, layers: &str) -> Result<Selection> {
    let mut selection = Selection::default();
    for site in self::sites(sites)? {
        selection = match layers {
            "all" => selection.and(site.all_layers()),
            some => selection.and(layer_numbers(some)?.into_iter().map(|layer| site.at(layer)).collect::<Selection>()),
        };
    }
    Ok(selection)
}

fn layer_numbers(text: &str) -> Result<Vec<usize>> {
    let wrong = || Error::Setting {
        name: "--layers",
        value: text.to_owned(),
        expected: "\"all\", or numbers and ranges such as 0,4-7".to_owned(),
    };
    let mut layers = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let first: usize = first.trim().parse().map_err(|_| wrong())?;
        let last: usize = last.trim().parse().map_err(|_| wrong())?;
        if last < first || last - first > 100_000 {
            return Err(wrong());
        }
        layers.extend(first..=last);
    }
    Ok(layers)
}
