//! Values that are chosen by name, and the names nearest to a wrong one.

use std::fmt::Display;

use crate::{Error, Result};

/// The value of this name among `all`, whose names are what they display. A command line may write hyphens for the
/// underscores of a name.
///
/// # Errors
/// [`Error::Setting`] for `setting`, with all names and the nearest.
pub(crate) fn named<T: Display + Copy>(setting: &'static str, name: &str, all: &[T]) -> Result<T> {
    all.iter().copied().find(|value| value.to_string() == name.replace('-', "_")).ok_or_else(|| {
        let names: Vec<String> = all.iter().map(T::to_string).collect();
        let expected = format!("one of {}; nearest: {}", names.join(", "), nearest(name, names.clone()).join(", "));
        Error::setting(setting, name, expected)
    })
}

/// The up to three of `names` that are most similar to `wanted`, for error messages.
pub(crate) fn nearest(wanted: &str, names: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut ranked: Vec<(usize, String)> = names.into_iter().map(|name| (edit_distance(wanted, &name), name)).collect();
    ranked.sort();
    ranked.dedup();
    ranked.into_iter().take(3).map(|(_, name)| name).collect()
}

/// Levenshtein distance over bytes.
fn edit_distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// `Display` by the method `name`, and `FromStr` by the table `ALL`, of a type that has both.
macro_rules! by_name {
    ($type:ty, $setting:literal) => {
        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.name())
            }
        }

        impl std::str::FromStr for $type {
            type Err = $crate::Error;

            fn from_str(name: &str) -> $crate::Result<Self> {
                $crate::names::named($setting, name, &<$type>::ALL)
            }
        }
    };
}
pub(crate) use by_name;
