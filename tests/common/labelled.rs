//! States with labels whose truth is known, and the normal noise that they are made of.

use ndarray::{Array1, Array2};
use probity::capture::Activations;
use probity::hook::{Address, Site};
use probity::text::LabelledText;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A standard normal number.
pub fn normal(rng: &mut ChaCha8Rng) -> f64 {
    (-2.0 * (1.0 - rng.gen::<f64>()).ln()).sqrt() * (std::f64::consts::TAU * rng.gen::<f64>()).cos()
}

/// The residual stream after a layer.
pub fn at(layer: usize) -> Address {
    Site::ResidPost.at(layer)
}

/// Noise, and for immoral rows `strength` along a fixed unit direction; a share of the rows is immoral.
pub fn planted(n: usize, d: usize, share: f64, strength: f64, seed: u64) -> (Array2<f32>, Vec<bool>, Array1<f64>) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut truth = Array1::from_shape_fn(d, |_| normal(&mut rng));
    truth /= truth.dot(&truth).sqrt();
    let labels: Vec<bool> = (0..n).map(|row| ((row * 7919) % n) < (share * n as f64) as usize).collect();
    let rows = Array2::from_shape_fn((n, d), |(row, column)| {
        (normal(&mut rng) + if labels[row] { strength * truth[column] } else { 0.0 }) as f32
    });
    (rows, labels, truth)
}

/// These rows as the states of layer 0.
pub fn activations(rows: Array2<f32>) -> Activations {
    let mut activations = Activations::new((0..rows.nrows()).map(|row| format!("t{row}")));
    activations.insert(at(0), rows).unwrap();
    activations
}

pub fn cosine(a: &Array1<f64>, b: &Array1<f64>) -> f64 {
    a.dot(b) / (a.dot(a) * b.dot(b)).sqrt()
}

/// Statements that any probe tells apart.
pub fn statements() -> Vec<LabelledText> {
    let statement = |number: usize| LabelledText {
        id: number.to_string(),
        text: format!("On day {} he {}.", number / 2, ["shared his bread", "stole her purse"][number % 2]),
        immoral: number % 2 == 1,
        group: (number / 2).to_string(),
    };
    (0..200).map(statement).collect()
}

/// States of two layers, `[rows, 6]`, whose first axis lies at `level(row)`, with a little noise everywhere.
pub fn two_layers(seed: u64, rows: usize, level: impl Fn(usize) -> f64) -> Activations {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut states = Activations::new((0..rows).map(|row| format!("i{row}")));
    for layer in 0..2 {
        let value = |(row, column): (usize, usize)| {
            let mean = if column == 0 { level(row) } else { 0.0 };
            (mean + 0.2 * normal(&mut rng)) as f32
        };
        states.insert(at(layer), Array2::from_shape_fn((rows, 6), value)).unwrap();
    }
    states
}
