//! Shares of rows that come in clusters.

use super::proportion::wilson_of;
use super::{student_upper_quantile, ClusterBootstrap, Interval};
use crate::error::check_rows;
use crate::{Error, Result};

impl ClusterBootstrap {
    /// Share of the rows that hold, `[n]`, with Wilson's interval on an effective number of rows. Nothing is resampled: near
    /// 0 and 1 the resamples of a share hardly vary, and where all rows are alike they do not vary at all.
    ///
    /// The effective number is `n / deff * (t(n - 1) / t(g - 1))^2` for n rows in g clusters (Korn and Graubard 1998,
    /// "Confidence intervals for proportions with small expected number of positive counts estimated from survey data",
    /// Survey Methodology 24; with Wilson's interval as in Franco et al. 2019, Journal of Survey Statistics and Methodology
    /// 7). `t(k)` is the quantile of Student's t with k degrees of freedom at this level. The design effect `deff` is the
    /// clustered variance of the share ([`ClusteredMeans`](super::ClusteredMeans)) over that of independent rows,
    /// `p (1 - p) / (n - 1)`, and at least 1. Where all rows are alike no variance tells how clusters hang together: then
    /// rows of a cluster count as copies of each other, `deff = sum n_k^2 / n`. Rows that are clusters of their own give
    /// [`wilson`](super::wilson); a single cluster of several rows bounds nothing, 0 to 1.
    ///
    /// ```
    /// use probity::stats::{wilson, ClusterBootstrap};
    /// let holds: Vec<bool> = (0..60).map(|row| row < 48).collect();
    /// let templates: Vec<String> = (0..60).map(|row| (row / 3).to_string()).collect();
    /// let clustered = ClusterBootstrap::new(&templates, 1, 0)?.share(&holds)?;
    /// let by_row = wilson(48, 60, 0.95).unwrap();
    /// assert!(clustered.estimate == by_row.estimate && clustered.low < by_row.low && clustered.high > by_row.high);
    /// # Ok::<(), probity::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::RowCount`].
    pub fn share(&self, holds: &[bool]) -> Result<Interval> {
        let holds: Vec<Option<bool>> = holds.iter().copied().map(Some).collect();
        self.share_where(&holds)?.ok_or_else(|| Error::setting("rows", 0, "at least one"))
    }

    /// [`ClusterBootstrap::share`] among the rows that count, `[n]`: those that are no `None`. `None` where no row counts.
    ///
    /// # Errors
    /// [`Error::RowCount`].
    pub fn share_where(&self, holds: &[Option<bool>]) -> Result<Option<Interval>> {
        check_rows("shared rows", holds.len(), self.rows())?;
        // Rows and those that hold, by cluster.
        let mut counts = vec![(0.0_f64, 0.0_f64); self.clusters()];
        for (holds, &cluster) in holds.iter().zip(self.cluster_of_row()) {
            if let (Some(holds), Some((rows, held))) = (holds, counts.get_mut(cluster)) {
                *rows += 1.0;
                *held += f64::from(u8::from(*holds));
            }
        }
        counts.retain(|(rows, _)| *rows > 0.0);
        let (rows, held) = counts.iter().fold((0.0, 0.0), |sum, of| (sum.0 + of.0, sum.1 + of.1));
        if rows == 0.0 {
            return Ok(None);
        }
        Ok(wilson_of(held / rows, effective(&counts, rows, held, self.level()), self.level()))
    }
}

/// The effective number of rows.
fn effective(counts: &[(f64, f64)], rows: f64, held: f64, level: f64) -> f64 {
    let clusters = counts.len() as f64;
    if clusters == rows {
        return rows;
    }
    if clusters < 2.0 {
        return 0.0;
    }
    let share = held / rows;
    let design = if held == 0.0 || held == rows {
        counts.iter().map(|(size, _)| size * size).sum::<f64>() / rows
    } else {
        let squares: f64 = counts.iter().map(|(size, held)| (held - size * share).powi(2)).sum();
        let clustered = clusters / (clusters - 1.0) * squares / (rows * rows);
        clustered / (share * (1.0 - share) / (rows - 1.0))
    };
    let t = |degrees: f64| student_upper_quantile(0.5 * (1.0 - level), degrees);
    rows / design.max(1.0) * (t(rows - 1.0) / t(clusters - 1.0)).powi(2)
}

#[cfg(test)]
mod tests {
    use rand::Rng;

    use super::*;
    use crate::stats::{rng, wilson};

    fn share(held_of: &[(usize, usize)]) -> Interval {
        let rows = || held_of.iter().enumerate();
        let clusters: Vec<String> =
            rows().flat_map(|(cluster, &(_, size))| (0..size).map(move |_| cluster.to_string())).collect();
        let holds: Vec<bool> = rows().flat_map(|(_, &(held, size))| (0..size).map(move |row| row < held)).collect();
        ClusterBootstrap::new(&clusters, 1, 0).unwrap().share(&holds).unwrap()
    }

    #[test]
    fn rows_of_their_own_are_wilsons() {
        for held in [0, 1, 13, 20] {
            let rows: Vec<(usize, usize)> = (0..20).map(|row| (usize::from(row < held), 1)).collect();
            assert_eq!(share(&rows), wilson(held, 20, 0.95).unwrap());
        }
    }

    #[test]
    fn copies_say_nothing_new() {
        // Each row three times: no more is known of the share, but for what Student's t costs.
        let single: Vec<(usize, usize)> = (0..200).map(|row| (usize::from(row < 120), 1)).collect();
        let copied: Vec<(usize, usize)> = single.iter().map(|&(held, _)| (3 * held, 3)).collect();
        let (one, three) = (share(&single), share(&copied));
        assert!((one.low - three.low).abs() < 1e-3 && (one.high - three.high).abs() < 1e-3, "{one:?} {three:?}");
        // All alike: 20 templates bound a share like 20 rows.
        let alike = share(&[(3, 3); 20]);
        assert_eq!(alike.high, 1.0);
        let twenty = wilson(20, 20, 0.95).unwrap();
        assert!(alike.low <= twenty.low && alike.low > twenty.low - 0.02, "{alike:?} {twenty:?}");
    }

    #[test]
    fn one_cluster_and_no_rows() {
        assert_eq!(share(&[(2, 4)]), Interval { estimate: 0.5, low: 0.0, high: 1.0 });
        let bootstrap = ClusterBootstrap::new(&["a", "a", "b"], 1, 0).unwrap();
        assert!(bootstrap.share_where(&[None; 3]).unwrap().is_none() && bootstrap.share(&[true]).is_err());
        // Only the rows that count have clusters: two of their own here.
        let part = bootstrap.share_where(&[Some(true), None, Some(false)]).unwrap().unwrap();
        assert_eq!(part, wilson(1, 2, 0.95).unwrap());
    }

    #[test]
    fn intervals_keep_their_level_where_wilsons_by_row_do_not() {
        // 60 items in 20 templates; half of a template's items, on average, do as the template does, so that two items of
        // one correlate by about a third.
        let (templates, worlds, correlation) = (20, 2_000, (1.0_f64 / 3.0).sqrt());
        let mut rng = rng(11, "coverage of shares");
        for (truth, by_row_covers) in [(0.5, 0.90), (0.8, 0.92), (0.95, 0.95)] {
            let (mut clustered, mut by_row) = (0, 0);
            for _ in 0..worlds {
                let mut counts = Vec::with_capacity(templates);
                for _ in 0..templates {
                    let own = rng.gen_bool(truth);
                    let item = |rng: &mut rand_chacha::ChaCha8Rng| {
                        if rng.gen_bool(correlation) {
                            own
                        } else {
                            rng.gen_bool(truth)
                        }
                    };
                    counts.push(((0..3).filter(|_| item(&mut rng)).count(), 3));
                }
                let covers = |interval: Interval| usize::from(interval.low <= truth && truth <= interval.high);
                clustered += covers(share(&counts));
                by_row += covers(wilson(counts.iter().map(|(held, _)| held).sum(), 60, 0.95).unwrap());
            }
            let (clustered, by_row) = (f64::from(clustered as u32) / 2e3, f64::from(by_row as u32) / 2e3);
            println!("share {truth}: {clustered} clustered, {by_row} by row");
            assert!((0.93..=0.985).contains(&clustered), "share {truth}: {clustered}");
            assert!(by_row < by_row_covers, "share {truth}: {by_row} by row");
        }
    }
}
