//! What a result was made from.

use std::collections::BTreeMap;

/// What a result was made from: hashes and settings by name, such as `model_sha256` or `pool`.
pub type Provenance = BTreeMap<String, String>;
