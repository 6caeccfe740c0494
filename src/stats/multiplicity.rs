//! Control of the share of false claims among many tests.

use serde::{Deserialize, Serialize};

/// How the share of false claims is kept down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FalseDiscovery {
    /// Benjamini and Hochberg (1995): for independent or positively dependent tests, such as those of neighbouring layers.
    #[default]
    BenjaminiHochberg,
    /// Benjamini and Yekutieli (2001): for tests of any dependence; larger by 1 + 1/2 + ... + 1/m.
    BenjaminiYekutieli,
}

impl FalseDiscovery {
    /// The q-value of each p-value, `[m]`: claiming all tests with q at most 0.05 keeps the expected share of false
    /// claims at 5 % or below. A p-value that is not a number counts as 1.
    ///
    /// q of the i-th smallest of m p-values = the least of p_j m c / j over j >= i, at most 1, with c = 1 or the sum of
    /// 1/j.
    pub fn adjust(self, p: &[f64]) -> Vec<f64> {
        let m = p.len();
        let known = |p: f64| if p.is_nan() { 1.0 } else { p };
        let mut order: Vec<(usize, f64)> = p.iter().map(|&p| known(p)).enumerate().collect();
        order.sort_by(|a, b| a.1.total_cmp(&b.1));
        let factor: f64 = match self {
            FalseDiscovery::BenjaminiHochberg => 1.0,
            FalseDiscovery::BenjaminiYekutieli => (1..=m).map(|rank| 1.0 / rank as f64).sum(),
        };
        let mut q = vec![1.0; m];
        let mut least = 1.0_f64;
        for (rank, (column, p)) in order.into_iter().enumerate().rev() {
            least = least.min(p * m as f64 * factor / (rank + 1) as f64);
            q[column] = least;
        }
        q
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let q = FalseDiscovery::BenjaminiHochberg.adjust(&[0.04, 0.01, 0.03, f64::NAN]);
        let expected = [0.16 / 3.0, 0.04, 0.16 / 3.0, 1.0];
        q.iter().zip(expected).for_each(|(a, b)| assert!((a - b).abs() < 1e-15, "{a} {b}"));
        assert!(FalseDiscovery::BenjaminiYekutieli.adjust(&[]).is_empty());
        assert_eq!(FalseDiscovery::BenjaminiYekutieli.adjust(&[0.9, 0.8]), [1.0, 1.0]);
    }
}
