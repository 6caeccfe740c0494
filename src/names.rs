//! Values that are chosen by name.

use std::fmt::Display;

use crate::error::nearest;
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
