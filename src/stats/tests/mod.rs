//! The statistics against SciPy, scikit-learn and statsmodels, and by simulation. Their numbers are made by the scripts in
//! `tests/reference`.

mod columns;
mod metrics;

use std::path::Path;

use serde_json::Value;

/// A fixture of the tests.
fn json(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn floats(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
}
