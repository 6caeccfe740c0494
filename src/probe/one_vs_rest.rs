//! Several classes or theories: one bank of probes for each.

use std::collections::{BTreeMap, BTreeSet};

use ndarray::{Array2, ArrayView2};

use super::{Estimator, ProbeBank};
use crate::capture::Activations;
use crate::error::nearest;
use crate::hook::Address;
use crate::text::Labels;
use crate::{Error, Result};

/// One bank of probes per class or moral theory, by name.
///
/// Each is fitted and evaluated by itself, its class against all else, with no softmax over classes: a text can belong
/// to several (what justice, deontology and virtue call immoral overlaps) or to none. Positive means "of this class"
/// here, which is "more immoral" where the class is what a theory calls immoral. The split is stratified for each
/// class, so the held-out rows differ between classes.
#[derive(Debug, Clone, PartialEq)]
pub struct OneVsRest {
    banks: BTreeMap<String, ProbeBank>,
}

impl OneVsRest {
    /// Fits `estimator` for each name with its labels, `[n]` each, of the same rows: labels by several theories.
    ///
    /// # Errors
    /// [`Error::Setting`] without labels or with a name twice; those of [`ProbeBank::fit`].
    pub fn fit(
        estimator: &impl Estimator,
        activations: &Activations,
        labels: impl IntoIterator<Item = (impl Into<String>, Labels)>,
    ) -> Result<Self> {
        let mut banks = BTreeMap::new();
        for (name, labels) in labels {
            let name = name.into();
            if banks.contains_key(&name) {
                return Err(Error::setting("labels", name, "each name once"));
            }
            banks.insert(name, ProbeBank::fit(estimator, activations, &labels)?);
        }
        if banks.is_empty() {
            return Err(Error::setting("labels", "none", "give labels for at least one name"));
        }
        Ok(OneVsRest { banks })
    }

    /// Fits `estimator` for each class that occurs in `classes`, `[n]`, one class per row; `groups`, `[n]`, as for
    /// [`Labels::new`].
    ///
    /// # Errors
    /// Those of [`OneVsRest::fit`].
    pub fn fit_classes(
        estimator: &impl Estimator,
        activations: &Activations,
        classes: &[impl AsRef<str>],
        groups: &[String],
    ) -> Result<Self> {
        let names: BTreeSet<&str> = classes.iter().map(AsRef::as_ref).collect();
        let of_class = |name: &str| {
            let labels = classes.iter().map(|class| class.as_ref() == name).collect();
            Ok((name.to_owned(), Labels::new(labels, groups.to_vec())?))
        };
        let labels = names.into_iter().map(of_class).collect::<Result<Vec<_>>>()?;
        Self::fit(estimator, activations, labels)
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.banks.keys().map(String::as_str)
    }

    /// The names with their banks, in order.
    pub fn banks(&self) -> impl Iterator<Item = (&str, &ProbeBank)> {
        self.banks.iter().map(|(name, bank)| (name.as_str(), bank))
    }

    /// The bank of one name.
    ///
    /// # Errors
    /// [`Error::Setting`] with the nearest names.
    pub fn get(&self, name: &str) -> Result<&ProbeBank> {
        self.banks.get(name).ok_or_else(|| {
            let near = nearest(name, self.banks.keys().cloned()).join(", ");
            Error::setting("name", name, format!("a name that has probes; nearest: {near}"))
        })
    }

    /// Mean over the names of the held-out AUROC at one address, each name weighing the same.
    ///
    /// # Errors
    /// [`Error::UnknownAddress`].
    pub fn macro_auroc(&self, address: Address) -> Result<f64> {
        let aurocs = self.banks.values().map(|bank| Ok(bank.get(address)?.evaluation.auroc.estimate));
        let aurocs = aurocs.collect::<Result<Vec<f64>>>()?;
        Ok(aurocs.iter().sum::<f64>() / aurocs.len() as f64)
    }

    /// Decisions of each of `rows`, `[n, d]`, by name: `[n, names]`, columns in the order of
    /// [`OneVsRest::names`]. They can be compared across names where they are log-odds.
    ///
    /// # Errors
    /// [`Error::UnknownAddress`]; [`Error::Mismatch`] for another width.
    pub fn decisions(&self, address: Address, rows: ArrayView2<'_, f32>) -> Result<Array2<f64>> {
        let mut decisions = Array2::zeros((rows.nrows(), self.banks.len()));
        for (mut column, bank) in decisions.columns_mut().into_iter().zip(self.banks.values()) {
            column.iter_mut().zip(bank.get(address)?.decision(rows)?).for_each(|(slot, decision)| *slot = decision);
        }
        Ok(decisions)
    }

    /// The name with the highest decision for each of `rows`, `[n, d]`; the first of equals.
    ///
    /// # Errors
    /// Those of [`OneVsRest::decisions`].
    pub fn classify(&self, address: Address, rows: ArrayView2<'_, f32>) -> Result<Vec<&str>> {
        let decisions = self.decisions(address, rows)?;
        let best = |row: ndarray::ArrayView1<'_, f64>| {
            let by_name = self.banks.keys().zip(row.to_vec());
            let best = by_name.reduce(|best, next| if next.1 > best.1 { next } else { best });
            best.map_or("", |(name, _)| name.as_str())
        };
        Ok(decisions.outer_iter().map(best).collect())
    }
}
