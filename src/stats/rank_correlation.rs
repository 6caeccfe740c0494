//! Correlations of ranks.

use super::weighted_pearson;

/// Spearman's correlation of two series, with its order worked out once, so that resamples by row weights cost little.
///
/// Ranks are mid-ranks, Pearson's correlation is taken of them (Spearman 1904; ties as in SciPy's `spearmanr`). With
/// weights, a row of weight w counts as w equal rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Spearman {
    x: Ranks,
    y: Ranks,
}

/// Rows in rising order, those of equal value together.
#[derive(Debug, Clone, PartialEq)]
struct Ranks {
    runs: Vec<Vec<usize>>,
    rows: usize,
}

impl Ranks {
    fn new(values: &[f64]) -> Self {
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
        let mut runs: Vec<Vec<usize>> = Vec::new();
        for row in order {
            match runs.last_mut() {
                Some(run) if run.first().is_some_and(|&first| values[first] == values[row]) => run.push(row),
                _ => runs.push(vec![row]),
            }
        }
        Ranks { runs, rows: values.len() }
    }

    /// Mid-ranks, `[n]`, but for a constant.
    fn weighted(&self, weights: &[f64]) -> Vec<f64> {
        let (mut ranks, mut below) = (vec![0.0; self.rows], 0.0);
        for run in &self.runs {
            let here: f64 = run.iter().map(|&row| weights[row]).sum();
            run.iter().for_each(|&row| ranks[row] = below + 0.5 * here);
            below += here;
        }
        ranks
    }
}

impl Spearman {
    /// Ranks two series, `[n]` each; `None` with unequal lengths or a value that is not a number.
    pub fn new(x: &[f64], y: &[f64]) -> Option<Self> {
        let fine = x.len() == y.len() && !x.iter().chain(y).any(|value| value.is_nan());
        fine.then(|| Spearman { x: Ranks::new(x), y: Ranks::new(y) })
    }

    /// The correlation of all rows; `None` with fewer than two, or where a side does not vary.
    pub fn correlation(&self) -> Option<f64> {
        self.weighted(&vec![1.0; self.x.rows])
    }

    /// The correlation of rows with weights, `[n]` and not negative.
    pub fn weighted(&self, weights: &[f64]) -> Option<f64> {
        if weights.len() != self.x.rows {
            return None;
        }
        weighted_pearson(&self.x.weighted(weights), &self.y.weighted(weights), weights)
    }
}

/// Kendall's tau-b (Kendall 1945): concordant minus discordant pairs, over the geometric mean of the pairs that either
/// side tells apart. `None` with unequal lengths, a value that is not a number, or where a side does not vary.
pub fn kendall_tau(x: &[f64], y: &[f64]) -> Option<f64> {
    if x.len() != y.len() || x.iter().chain(y).any(|value| value.is_nan()) {
        return None;
    }
    let sign = |a: f64, b: f64| f64::from(i8::from(a > b) - i8::from(a < b));
    let (mut agreement, mut apart_x, mut apart_y) = (0.0, 0.0, 0.0);
    for i in 0..x.len() {
        for j in 0..i {
            let (of_x, of_y) = (sign(x[i], x[j]), sign(y[i], y[j]));
            agreement += of_x * of_y;
            apart_x += of_x.abs();
            apart_y += of_y.abs();
        }
    }
    (apart_x > 0.0 && apart_y > 0.0).then(|| agreement / (apart_x * apart_y).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_scipy_says() {
        // scipy.stats.spearmanr and kendalltau of SciPy 1.17.
        let x = [1.0, 2.0, 2.0, 3.0, 5.0, 4.0];
        let y = [2.0, 1.0, 4.0, 4.0, 9.0, 3.0];
        let spearman = Spearman::new(&x, &y).unwrap().correlation().unwrap();
        assert!((spearman - 0.6617647058823529).abs() < 1e-14, "{spearman}");
        let tau = kendall_tau(&x, &y).unwrap();
        assert!((tau - 0.5).abs() < 1e-14, "{tau}");
        assert_eq!(Spearman::new(&x, &[1.0; 6]).unwrap().correlation(), None);
        assert_eq!(kendall_tau(&x, &[1.0; 6]), None);
        assert!(Spearman::new(&x, &y[1..]).is_none() && kendall_tau(&[f64::NAN], &[1.0]).is_none());
    }

    #[test]
    fn a_weight_is_a_number_of_rows() {
        let (x, y) = ([1.0, 2.0, 3.0, 2.0], [4.0, 3.0, 1.0, 1.0]);
        let weighted = Spearman::new(&x, &y).unwrap().weighted(&[2.0, 1.0, 0.0, 3.0]).unwrap();
        let (rows_x, rows_y) = ([1.0, 1.0, 2.0, 2.0, 2.0, 2.0], [4.0, 4.0, 3.0, 1.0, 1.0, 1.0]);
        assert!((weighted - Spearman::new(&rows_x, &rows_y).unwrap().correlation().unwrap()).abs() < 1e-14);
    }
}
