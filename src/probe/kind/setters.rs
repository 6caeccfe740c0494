//! The settings that every kind of probe has.

/// The setters of a kind's field `protocol`, and `fit_all`.
macro_rules! protocol_setters {
    () => {
        /// Sets the split, default [`GroupSplit::default`](crate::probe::GroupSplit::default).
        pub fn split(mut self, split: crate::probe::GroupSplit) -> Self {
            self.protocol.split = split;
            self
        }

        /// Sets the resamples for the AUROC's interval, default 1,000.
        pub fn draws(mut self, draws: usize) -> Self {
            self.protocol.draws = draws;
            self
        }

        /// Sets the resamples' seed, default 0. (The split has its own.)
        pub fn seed(mut self, seed: u64) -> Self {
            self.protocol.seed = seed;
            self
        }

        /// Fits and evaluates a probe at every address of pooled activations; see
        /// [`ProbeBank::fit`](crate::probe::ProbeBank::fit).
        ///
        /// # Errors
        /// As [`ProbeBank::fit`](crate::probe::ProbeBank::fit).
        pub fn fit_all(
            &self,
            activations: &crate::capture::Activations,
            labels: &crate::probe::Labels,
        ) -> crate::Result<crate::probe::ProbeBank> {
            crate::probe::ProbeBank::fit(self, activations, labels)
        }
    };
}

pub(super) use protocol_setters;
