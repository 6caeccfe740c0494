//! Which part of a store one of several processes makes.

use std::fmt;
use std::str::FromStr;

use crate::{Error, Result};

/// One of n processes that make a store together: process i makes the shard files k with k mod n = i.
///
/// Parsing and `Display` round-trip. Numbers count from 0, as `SLURM_ARRAY_TASK_ID` and `JOB_COMPLETION_INDEX` do.
///
/// ```
/// use probity::capture::Shard;
/// let shard: Shard = "1/3".parse()?;
/// assert_eq!((0..8).filter(|&file| shard.has(file)).collect::<Vec<_>>(), [1, 4, 7]);
/// assert_eq!(shard.to_string(), "1/3");
/// # Ok::<(), probity::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shard {
    index: usize,
    of: usize,
}

impl Shard {
    /// Process `index` of `of`.
    ///
    /// # Errors
    /// [`Error::Setting`] unless `index` is below `of`.
    pub fn new(index: usize, of: usize) -> Result<Self> {
        match index < of {
            true => Ok(Shard { index, of }),
            false => Err(wrong(&format!("{index}/{of}"))),
        }
    }

    /// Whether this process makes the shard file of this number.
    pub fn has(self, file: usize) -> bool {
        file % self.of == self.index
    }
}

impl Default for Shard {
    /// The only process, `0/1`, which makes every file.
    fn default() -> Self {
        Shard { index: 0, of: 1 }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}/{}", self.index, self.of))
    }
}

impl FromStr for Shard {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (index, of) = text.split_once('/').ok_or_else(|| wrong(text))?;
        // Digits only: `usize` itself would take "+1".
        let number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok()).flatten();
        match (number(index), number(of)) {
            (Some(index), Some(of)) => Shard::new(index, of),
            _ => Err(wrong(text)),
        }
    }
}

fn wrong(text: &str) -> Error {
    Error::setting("shard", text, "i/n with i from 0 to n - 1, such as 0/4")
}

#[cfg(test)]
mod tests {
    use super::Shard;

    #[test]
    fn every_file_belongs_to_exactly_one_process() {
        for of in 1..9 {
            let shards: Vec<Shard> = (0..of).map(|index| Shard::new(index, of).unwrap()).collect();
            for file in 0..40 {
                assert_eq!(shards.iter().filter(|shard| shard.has(file)).count(), 1, "file {file} of {of}");
            }
        }
        assert!((0..40).all(|file| Shard::default().has(file)));
    }

    #[test]
    fn what_is_displayed_parses_and_nothing_else() {
        for text in ["0/1", "3/4", "999/1000"] {
            assert_eq!(text.parse::<Shard>().unwrap().to_string(), text);
        }
        let largest = "99999999999999999999999/99999999999999999999999";
        for text in ["", "1", "/", "1/", "/1", "1/1", "4/3", "0/0", "-1/3", "+0/3", " 0/3", "0/3/1", "a/b", largest] {
            let error = text.parse::<Shard>().unwrap_err().to_string();
            assert!(error.contains("0 to n - 1") && error.contains(text), "{error}");
        }
    }
}
