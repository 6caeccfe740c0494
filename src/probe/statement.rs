//! Directions that are hidden states of statements.

use ndarray::{Array1, Array2, ArrayView2, Axis};

use super::direction::dot;
use super::{CrossFit, Direction, Evaluation, FitProtocol, FitReport, HeldOutCase, Probe, ProbeBank};
use crate::capture::Activations;
use crate::error::check_rows;
use crate::solve::Standardiser;
use crate::text::Labels;
use crate::{Error, Result};

/// The mean state of a few statements at one address, as a direction.
///
/// This is the bias direction of 2407.15286: the last-token output of a module on short first-person statements that
/// name the stereotyped group, averaged over 5 to 10 of them, to be compared (by cosine) with states of the same
/// module in the same layer. Capture the statements with `Pool::Last` and the sites that the study reads. Nothing is
/// fitted and nothing contrasted: what all texts share, such as a large mean state, is part of the direction.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct StatementDirection {
    /// The direction.
    pub direction: Direction,
    /// Mean cosine between the states of two statements: near 1 where they share a direction, or where all texts do.
    /// `None` for a single one.
    pub agreement: Option<f64>,
    /// Statements.
    pub statements: usize,
}

impl StatementDirection {
    /// The directions of `statements`, one per address, in order.
    ///
    /// # Errors
    /// [`Error::Setting`] without statements or addresses; [`Error::Mismatch`] for one row per token;
    /// [`Error::NotFinite`].
    pub fn of(statements: &Activations) -> Result<Vec<StatementDirection>> {
        if statements.token_rows().is_some() {
            let problem = "they have one row per token: capture with Pool::Last".to_owned();
            return Err(Error::mismatch("statements", problem));
        }
        let n = statements.rows();
        if n == 0 || statements.addresses().next().is_none() {
            return Err(Error::setting("statements", "none", "5 to 10 statements, captured at one address at least"));
        }
        statements.check_finite()?;
        let at_address = |address| {
            let rows = statements.at(address)?;
            let (mut sum, mut units) = (Array1::<f64>::zeros(rows.ncols()), Array1::<f64>::zeros(rows.ncols()));
            for row in rows.outer_iter() {
                let row = row.mapv(f64::from);
                let length = row.dot(&row).sqrt();
                sum += &row;
                units.scaled_add(if length > 0.0 { 1.0 / length } else { 0.0 }, &row);
            }
            // |sum of units|^2 = n + the cosines of all ordered pairs.
            let count = n as f64;
            let agreement = (n > 1).then(|| (units.dot(&units) - count) / (count * (count - 1.0)));
            Ok(StatementDirection { direction: Direction::new(address, sum), agreement, statements: n })
        };
        statements.addresses().map(at_address).collect()
    }

    /// A bank of the directions of `statements`, for levels and interventions, evaluated on labelled texts.
    ///
    /// No labelled text had a part in the directions, so all of them are held out; the threshold is the mean of their
    /// projections, which with their standard deviation is also the unit of standardised levels.
    ///
    /// # Errors
    /// Those of [`StatementDirection::of`]; [`Error::UnknownAddress`]; [`Error::RowCount`]; [`Error::OneClass`];
    /// [`Error::Mismatch`] for another width.
    pub fn bank(
        statements: &Activations,
        texts: &Activations,
        labels: &Labels,
        protocol: &FitProtocol,
    ) -> Result<ProbeBank> {
        let found = Self::of(statements)?;
        check_rows("labels", labels.len(), texts.rows())?;
        texts.check_finite()?;
        let case = HeldOutCase::whole(protocol, texts, labels)?;
        let mut provenance = statements.provenance().clone();
        provenance.insert("probe_kind".to_owned(), "statement".to_owned());
        provenance.insert("probe_labels_sha256".to_owned(), case.labels.sha256());
        let mut probes = std::collections::BTreeMap::new();
        for StatementDirection { direction, statements: count, .. } in found {
            let address = direction.address();
            let rows = texts.at(address)?;
            super::check_width(address, direction.unit().len(), rows.ncols())?;
            let projections: Vec<f64> = rows.outer_iter().map(|row| dot(row, direction.unit())).collect();
            let (centre, spread) = super::fitted::centre_and_spread(&projections);
            let decisions: Vec<f64> = projections.iter().map(|projection| projection - centre).collect();
            let evaluation = Evaluation::new(&decisions, case.labels.labels(), false, &case.resamples)?;
            let fit = FitReport::direct(count);
            let weights = direction.unit().to_owned();
            let Standardiser { mean, scale, .. } = Standardiser::fit(rows);
            let direction = Direction::new(address, weights.clone());
            let (intercept, strengths) = (-centre, None);
            let copies = without_each(statements.at(address)?);
            let cross_fit = CrossFit::of_copies(copies, rows, &case.labels, protocol)?.map(std::sync::Arc::new);
            let probe = Probe {
                direction,
                weights,
                intercept,
                centre,
                spread,
                mean,
                scale,
                fit,
                strengths,
                evaluation,
                cross_fit,
            };
            probes.insert(address, probe);
        }
        Ok(ProbeBank { probes, provenance })
    }
}

/// The direction without each of the statements, `[statements, d]`, each of length 1; with one statement, that one.
fn without_each(rows: ArrayView2<'_, f32>) -> Array2<f64> {
    let sum = rows.map_axis(Axis(0), |column| column.iter().map(|&value| f64::from(value)).sum::<f64>());
    let mut copies = Array2::zeros(rows.dim());
    for (mut copy, row) in copies.outer_iter_mut().zip(rows.outer_iter()) {
        let rest = if rows.nrows() > 1 { &sum - &row.mapv(f64::from) } else { sum.clone() };
        let length = rest.dot(&rest).sqrt();
        copy.assign(&(rest / if length > 0.0 { length } else { 1.0 }));
    }
    copies
}
