//! The choice of one token.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::Decoding;
use crate::stats::rng;

/// Draws one row's tokens.
pub(super) struct Sampler {
    random: ChaCha8Rng,
}

impl Sampler {
    /// For the row with this key.
    pub fn new(decoding: &Decoding, key: &str) -> Self {
        Sampler { random: rng(decoding.seed, &format!("sampling {key}")) }
    }

    /// A token by its logarithms of probability (up to a constant), `[v]`.
    pub fn draw(&mut self, decoding: &Decoding, logs: &[f32]) -> u32 {
        let allowed = allowed(decoding, logs);
        let total: f64 = allowed.iter().map(|&(_, weight)| weight).sum();
        // One number a token, whatever is allowed, so that the stream stays in step.
        let mut left = self.random.gen::<f64>() * total;
        for &(id, weight) in &allowed {
            left -= weight;
            if left < 0.0 {
                return id;
            }
        }
        allowed.last().map_or(0, |&(id, _)| id)
    }
}

/// The tokens that may be drawn with their weights: temperature first, then top k, then top p, as transformers orders
/// them; in order of id where all may, else from the most probable on.
fn allowed(decoding: &Decoding, logs: &[f32]) -> Vec<(u32, f64)> {
    let top = logs.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weight = |log: f32| (f64::from(log - top) / decoding.temperature).exp();
    let mut tokens: Vec<(u32, f64)> = (0..).zip(logs).map(|(id, &log)| (id, weight(log))).collect();
    let all = decoding.top_k.is_none_or(|k| k >= tokens.len());
    if all && decoding.top_p >= 1.0 {
        return tokens;
    }
    let falling = |a: &(u32, f64), b: &(u32, f64)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
    if let Some(k) = decoding.top_k.filter(|_| !all) {
        tokens.select_nth_unstable_by(k, falling);
        tokens.truncate(k);
    }
    tokens.sort_unstable_by(falling);
    if decoding.top_p < 1.0 {
        let enough = decoding.top_p * tokens.iter().map(|&(_, weight)| weight).sum::<f64>();
        let mut sum = 0.0;
        let kept = tokens.iter().position(|&(_, weight)| {
            sum += weight;
            sum >= enough
        });
        tokens.truncate(kept.map_or(tokens.len(), |last| last + 1));
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Logarithms of 8, 16, 4 and 12: probabilities 0.2, 0.4, 0.1 and 0.3.
    const LOGS: [f32; 4] = [2.079_441_5, 2.772_588_7, 1.386_294_4, 2.484_906_7];

    fn ids(decoding: &Decoding) -> Vec<u32> {
        allowed(decoding, &LOGS).into_iter().map(|(id, _)| id).collect()
    }

    #[test]
    fn what_may_be_drawn_is_what_the_reference_allows() {
        let sampled = || Decoding::new(1).temperature(1.0);
        assert_eq!(ids(&sampled()), [0, 1, 2, 3]);
        assert_eq!(ids(&sampled().top_k(2)), [1, 3]);
        assert_eq!(ids(&sampled().top_k(9)), [0, 1, 2, 3]);
        assert_eq!(ids(&sampled().top_p(0.39)), [1]);
        assert_eq!(ids(&sampled().top_p(0.5)), [1, 3]);
        assert_eq!(ids(&sampled().top_p(0.75)), [1, 3, 0]);
        // After top k the two kept have 4/7 and 3/7: the first alone reaches a half.
        assert_eq!(ids(&sampled().top_k(2).top_p(0.5)), [1]);
        // At half the temperature probabilities are squared: 16, 9, 4, 1 of 30.
        assert_eq!(ids(&sampled().temperature(0.5).top_p(0.8)), [1, 3]);
    }

    #[test]
    fn draws_have_the_probabilities_and_follow_from_seed_and_key() {
        let decoding = Decoding::new(1).temperature(1.0).seed(3);
        let draws = |key: &str| {
            let mut sampler = Sampler::new(&decoding, key);
            (0..20_000).map(|_| sampler.draw(&decoding, &LOGS)).collect::<Vec<_>>()
        };
        let a = draws("a");
        for (id, share) in [(0, 0.2), (1, 0.4), (2, 0.1), (3, 0.3)] {
            let found = a.iter().filter(|&&drawn| drawn == id).count() as f64 / a.len() as f64;
            // Five standard errors of a share of 20,000.
            assert!((found - share).abs() < 5.0 * (share * (1.0 - share) / 2e4_f64).sqrt(), "{id}: {found}");
        }
        assert_eq!(a, draws("a"));
        assert_ne!(a, draws("b"));
    }
}
