//! Whether to believe a probe: controls, baselines and stability, in one table.

mod baseline;
mod code;
mod control;
mod permutation;
mod stability;
mod table;
mod transfer;

use ndarray::ArrayView2;
use rayon::prelude::*;

pub use baseline::Baseline;
pub use code::OnlineCode;
pub use control::Selectivity;
pub use stability::Stability;
pub use table::{Finding, FindingOutcome, ValidityRow, ValidityTable};
pub use transfer::{DataSet, Transfer, TransferCell};

use self::baseline::Baselines;
use self::control::ControlTask;
use self::transfer::Trained;
use super::fitted::gather;
use super::{Estimator, HeldOutCase, Linear, Probe, ProbeBank, Split, Training};
use crate::capture::Activations;
use crate::error::check_rows;
use crate::hook::Address;
use crate::stats::pick;
use crate::text::Labels;
use crate::{Error, Progress, Provenance, Result};

/// Whether to believe a probe: controls, baselines and stability, in one call.
///
/// A high AUROC says that a probe found something on held-out texts. It does not say that the model holds the
/// property: a flexible probe memorises, words alone may tell the labels, and the direction may hang on the split.
/// [`Validity::check`] measures each of these at every address, and every number of its table comes with what it
/// would have to be to believe the probe ([`ValidityRow::findings`]).
///
/// | check | number | to believe the probe |
/// |---|---|---|
/// | `auroc` | held-out AUROC, clustered 95 % interval | whole interval above 0.5 |
/// | `permutation` | p of that AUROC among held-out labels permuted over groups | at most 0.05 |
/// | `selectivity` | AUROC minus the mean AUROC on control tasks (Hewitt and Liang 2019) | p among at least 20 control tasks at most 0.05 |
/// | `compression` | n bits / bits of the online code (Voita and Titov 2020) | above what the share of labels alone gives |
/// | `over_length`, `over_words`, `over_projection`, `over_noise` | paired AUROC difference to a baseline | whole interval above 0 |
/// | `stable_splits`, `stable_bootstraps`, `stable_recipes` | mean cosine of refitted directions | at least 0.71: half of the squared length is shared |
///
/// Reading and steering are two claims: the first eight bear on "the states tell the property", the last three on
/// "this vector is the property's direction". Many addresses are many chances: with l layers expect l/20 of them to
/// pass a 5 % check by luck, and choose a layer inside the training part.
///
/// ```
/// use ndarray::Array2;
/// use probity::capture::Activations;
/// use probity::hook::Site;
/// use probity::probe::LogisticProbe;
/// use probity::probe::validity::{FindingOutcome, Validity};
/// use probity::text::Labels;
///
/// let n = 160;
/// let mut activations = Activations::new((0..n).map(|i| i.to_string()));
/// let value = |i: usize, j: usize| if j == 0 { (i % 2) as f32 } else { (i * (j + 2) % 7) as f32 };
/// activations.insert(Site::ResidPost.at(0), Array2::from_shape_fn((n, 3), |(i, j)| value(i, j)))?;
/// let labels = Labels::ungrouped((0..n).map(|i| i % 2 == 1).collect());
///
/// let table = Validity::default().check(&LogisticProbe::default(), &activations, &labels, None)?;
/// for finding in table.rows[0].findings() {
///     println!("{}: {:?}, to believe it: {} ({:?})", finding.check, finding.value, finding.must_be, finding.outcome);
/// }
/// // Without texts there is nothing to count words in.
/// assert!(table.rows[0].findings().iter().any(|f| f.check == "over_words" && f.outcome == FindingOutcome::NotRun));
/// # Ok::<(), probity::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct Validity {
    control_tasks: usize,
    permutations: usize,
    refits: usize,
    code: bool,
    types: Option<Vec<String>>,
    seed: u64,
}

impl Default for Validity {
    fn default() -> Self {
        Validity { control_tasks: 20, permutations: 999, refits: 5, code: true, types: None, seed: 0 }
    }
}

impl Validity {
    /// Sets the number of control tasks, default 20; 0 leaves them out. Each is one fit at every address.
    pub fn control_tasks(mut self, tasks: usize) -> Self {
        self.control_tasks = tasks;
        self
    }

    /// Sets the permutations of the held-out labels, default 999; 0 leaves them out. They need no fit: given the
    /// training part the probe is fixed, and under the null hypothesis held-out groups are exchangeable.
    pub fn permutations(mut self, permutations: usize) -> Self {
        self.permutations = permutations;
        self
    }

    /// Sets how often the direction is fitted anew on other splits, and on resampled groups: default 5 each; 0 leaves
    /// both out.
    pub fn refits(mut self, refits: usize) -> Self {
        self.refits = refits;
        self
    }

    /// Sets whether the online code is measured, default yes; it costs about two fits at every address.
    pub fn code(mut self, code: bool) -> Self {
        self.code = code;
        self
    }

    /// Sets what recurs in the input, `[n]`, such as the token at the place that is read: control labels are
    /// hashed from it. Default: each text's last word where the texts are known, else its group.
    pub fn control_types(mut self, types: Vec<String>) -> Self {
        self.types = Some(types);
        self
    }

    /// Sets the seed of controls, permutations, refits and projections, default 0.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    fn validate(&self) -> Result<()> {
        if (1..20).contains(&self.control_tasks) {
            return Err(Error::setting("control_tasks", self.control_tasks, "at least 20, or 0 for none"));
        }
        if (1..19).contains(&self.permutations) {
            let expected = "at least 19, below which p cannot be 0.05, or 0 for none";
            return Err(Error::setting("permutations", self.permutations, expected));
        }
        if self.refits == 1 {
            return Err(Error::setting("refits", 1, "at least 2, or 0 for none"));
        }
        Ok(())
    }

    /// Fits and evaluates `estimator` at every address as [`ProbeBank::fit`] does, and measures what the
    /// table above lists. `texts`, `[n]`, are what the states were read from; without them the baselines of words
    /// are not run. The result does not depend on the number of threads.
    ///
    /// # Errors
    /// Those of [`ProbeBank::fit`]; [`Error::Setting`]; [`Error::RowCount`] for another number of texts or types.
    pub fn check(
        &self,
        estimator: &impl Estimator,
        activations: &Activations,
        labels: &Labels,
        texts: Option<&[&str]>,
    ) -> Result<ValidityTable> {
        self.check_with_progress(estimator, activations, labels, texts, &())
    }

    /// [`Validity::check`] with progress, counted in addresses.
    ///
    /// # Errors
    /// Those of [`Validity::check`].
    pub fn check_with_progress(
        &self,
        estimator: &impl Estimator,
        activations: &Activations,
        labels: &Labels,
        texts: Option<&[&str]>,
        progress: &dyn Progress,
    ) -> Result<ValidityTable> {
        self.validate()?;
        estimator.validate()?;
        let found = [("texts", texts.map(<[_]>::len)), ("control types", self.types.as_ref().map(Vec::len))];
        for (what, found) in found {
            found.map_or(Ok(()), |found| check_rows(what, found, labels.len()))?;
        }
        let held_out = HeldOutCase::new(estimator.protocol(), activations, labels)?;
        let case = Case { estimator, held_out: &held_out, seed: self.seed };
        progress.begin("fitting probes", 1);
        let bank = ProbeBank::fit_case(estimator, activations, &held_out)?;
        progress.advance(1);

        progress.begin("baselines", 1);
        let widths: Vec<usize> = bank.iter().map(|probe| probe.weights.len()).collect();
        let baselines = Baselines::new(&case, texts, &widths)?;
        progress.advance(1);
        let (types, count) = (self.types.as_deref(), self.control_tasks);
        let control = (count > 0).then(|| ControlTask::new(&case, types, texts, count)).transpose()?;

        progress.begin("controls by address", bank.len() as u64);
        let measure = |probe: &&Probe| self.measure(&case, probe, activations, &baselines, control.as_ref());
        let (probes, mut rows): (Vec<&Probe>, _) = (bank.iter().collect(), Vec::with_capacity(bank.len()));
        for chunk in probes.chunks(rayon::current_num_threads().max(1)) {
            let measured: Vec<Result<ValidityRow>> = chunk.par_iter().map(measure).collect();
            rows.extend(measured.into_iter().collect::<Result<Vec<_>>>()?);
            progress.advance(chunk.len() as u64);
        }
        let transfer = transfer::between(&[Trained { name: "this", activations, case: &held_out, bank: &bank }])?;
        let provenance = self.provenance(&bank, control.as_ref());
        Ok(ValidityTable { rows, baselines: baselines.summaries(), transfer, probes: bank, provenance })
    }

    /// Everything that is measured at one address.
    fn measure<E: Estimator>(
        &self,
        case: &Case<'_, E>,
        probe: &Probe,
        activations: &Activations,
        baselines: &Baselines,
        control: Option<&ControlTask>,
    ) -> Result<ValidityRow> {
        let address = probe.address();
        let states = activations.at(address)?;
        let decisions = pick(&probe.decision(states)?, &case.held_out.split.test);
        let selectivity = control.map(|control| control.run(case, address, states)).transpose()?;
        let code = if self.code { code::online(case, address, states)? } else { None };
        let stability = match self.refits {
            0 => None,
            refits => Some(stability::measure(case, probe, states, refits)?),
        };
        Ok(ValidityRow {
            address,
            layer: address.layer(),
            auroc: probe.evaluation.auroc,
            converged: probe.fit.converged,
            permutation_p: permutation::p(case, &decisions, self.permutations),
            selectivity,
            code,
            baselines: baselines.against(&decisions, states.ncols(), &case.held_out.resamples),
            stability,
        })
    }

    /// What the probes were made from, and these settings.
    fn provenance(&self, bank: &ProbeBank, control: Option<&ControlTask>) -> Provenance {
        let mut provenance = bank.provenance().clone();
        let settings = [
            ("validity_control_task", control.map_or("none", |control| control.name).to_owned()),
            ("validity_control_draws", self.control_tasks.to_string()),
            ("validity_permutations", self.permutations.to_string()),
            ("validity_refits", self.refits.to_string()),
            ("validity_seed", self.seed.to_string()),
        ];
        provenance.extend(settings.map(|(key, value)| (key.to_owned(), value)));
        provenance
    }
}

/// What all checks share.
struct Case<'a, E> {
    estimator: &'a E,
    held_out: &'a HeldOutCase,
    seed: u64,
}

impl<E: Estimator> Case<'_, E> {
    /// The estimator's rule from these rows.
    fn fit(&self, address: Address, states: ArrayView2<'_, f32>, rows: &[usize]) -> Result<Linear> {
        self.estimator.fit(self.training(address, states, rows)?)
    }

    /// These rows with their labels and groups.
    fn training(&self, address: Address, states: ArrayView2<'_, f32>, rows: &[usize]) -> Result<Training> {
        gather(address, states, self.labels(), rows)
    }

    fn labels(&self) -> &Labels {
        &self.held_out.labels
    }

    fn split(&self) -> &Split {
        &self.held_out.split
    }
}

/// Whether labels hold both classes.
fn both(labels: impl IntoIterator<Item = bool>) -> bool {
    let mut seen = [false; 2];
    labels.into_iter().for_each(|label| seen[usize::from(label)] = true);
    seen == [true; 2]
}
