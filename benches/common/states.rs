//! Seeded states that look like activations, for the benches of probes.

use ndarray::Array2;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// States, `[n, d]`, and labels: noise and 32 shared factors of falling size, columns of very unequal scale and offset,
/// and labels drawn from a logistic model along one direction.
pub fn states(n: usize, d: usize, seed: u64) -> (Array2<f32>, Vec<bool>) {
    const FACTORS: usize = 32;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut noise = |shape: (usize, usize)| {
        Array2::from_shape_simple_fn(shape, || {
            (-2.0 * (1.0 - rng.gen::<f32>()).ln()).sqrt() * (std::f32::consts::TAU * rng.gen::<f32>()).cos()
        })
    };
    let mut factors = noise((n, FACTORS));
    for (number, mut column) in factors.columns_mut().into_iter().enumerate() {
        column.mapv_inplace(|value| value * 6.0 / (1.0 + number as f32).sqrt());
    }
    let mut x = noise((n, d)) + factors.dot(&noise((FACTORS, d)));
    let scores = x.dot(&noise((d, 1)));
    let spread = (scores.iter().map(|score| score * score).sum::<f32>() / n as f32).sqrt();
    let (scale, offset) = (noise((1, d)).mapv(f32::exp), noise((1, d)));
    x = x * scale + offset;
    let chance = |score: &f32| 1.0 / (1.0 + (-1.5 * score / spread).exp());
    let chances: Vec<f32> = scores.iter().map(chance).collect();
    let labels = chances.iter().map(|&chance| rng.gen::<f32>() < chance).collect();
    (x, labels)
}
