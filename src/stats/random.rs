//! Random numbers: one generator, and one stream of it per purpose.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The generator of `seed` for one purpose, named by `stream`: purposes do not share numbers, and the order
/// in which threads reach them does not matter.
pub(crate) fn rng(seed: u64, stream: &str) -> ChaCha8Rng {
    // FNV-1a: std's hasher may change between Rust releases, results must not.
    let hash = stream
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(hash);
    rng
}

/// Fills `out` with standard normal values (Box and Muller).
pub(crate) fn normals(rng: &mut ChaCha8Rng, out: &mut [f64]) {
    for pair in out.chunks_mut(2) {
        // 1 - u lies in (0, 1], where the logarithm is finite.
        let radius = (-2.0 * (1.0 - rng.gen::<f64>()).ln()).sqrt();
        let (sin, cos) = (std::f64::consts::TAU * rng.gen::<f64>()).sin_cos();
        for (value, part) in pair.iter_mut().zip([cos, sin]) {
            *value = radius * part;
        }
    }
}
