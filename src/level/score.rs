//! From states and probes to levels.

use std::collections::HashSet;
use std::sync::Arc;

use ndarray::{Array1, Array2, Array4, ArrayView2, Axis};
use rayon::prelude::*;

use super::levels::{LevelStates, Levels, MeanState};
use super::metric::Metric;
use super::probe_validity::ProbeValidity;
use crate::capture::Activations;
use crate::condition::{Condition, Design};
use crate::dialogue::{Part, ReadStates, Reading, Study};
use crate::hook::Site;
use crate::probe::{check_width, dot, CrossFit, Probe, ProbeBank};
use crate::stats::{logistic, sum_of_products};
use crate::task::Item;
use crate::{Error, Result};

impl Levels {
    /// Scores every round of a study at the prompt's last token.
    ///
    /// # Errors
    /// As [`Levels::score`].
    pub fn from_study<I: Item>(study: &Study<I>, bank: &ProbeBank) -> Result<Levels> {
        let states = |condition: &Condition| {
            let round = study.round(condition).map(|round| &round.activations);
            round.ok_or_else(|| Error::mismatch("study", format!("it has no {condition}, which its design holds")))
        };
        let states: Vec<&Activations> = study.design.conditions().map(states).collect::<Result<_>>()?;
        Levels::score(&study.design, &states, bank)
    }

    /// Scores what [`Study::read`] read of one reading, of the conditions of this design that have it. Where an item lacks the
    /// part in some round (an empty answer has no tokens), it is left out of all, and of all readings over answers together, so
    /// that every comparison is of the same items.
    ///
    /// # Errors
    /// As [`Levels::score`]; [`Error::Setting`] where nothing was read so, or no item has the part in every round.
    pub fn from_reading(design: &Design, states: &[ReadStates], reading: Reading, bank: &ProbeBank) -> Result<Levels> {
        // Whatever is read over an answer is compared with the rest of it: of the same items.
        let over_answers = |reading: Reading| reading.is_crossed() || reading == Reading::of(Part::Answer);
        let together = |states: &&ReadStates| match over_answers(reading) {
            true => over_answers(states.reading),
            false => states.reading == reading,
        };
        let compared: Vec<&ReadStates> = states.iter().filter(together).collect();
        let here: Vec<&ReadStates> = states.iter().filter(|states| states.reading == reading).collect();
        let Some(first) = here.first() else {
            return Err(Error::setting("reading", reading, "one of those that were read"));
        };
        let held: Vec<HashSet<&str>> =
            compared.iter().map(|states| states.activations.ids().iter().map(String::as_str).collect()).collect();
        let everywhere = |id: &&String| held.iter().all(|ids| ids.contains(id.as_str()));
        let items: Vec<&str> = first.activations.ids().iter().filter(everywhere).map(String::as_str).collect();
        if items.is_empty() {
            return Err(Error::setting("reading", reading, "a part that some item has in every round"));
        }
        let chosen: Vec<Activations> =
            here.iter().map(|states| states.activations.of_items(&items)).collect::<Result<_>>()?;
        let design = design.only(here.iter().map(|states| states.condition.clone()))?;
        let levels = Levels::score(&design, &chosen.iter().collect::<Vec<_>>(), bank)?;
        Ok(Levels { reading, ..levels })
    }

    /// Scores the states of n items under every condition of a design, given in its order, at every address of the bank
    /// (addresses without a probe have no level). Conditions and addresses run in parallel; the result does not depend on the
    /// number of threads.
    ///
    /// # Errors
    /// [`Error::RowCount`] unless there are states for each condition; [`Error::Mismatch`] if ids or groups differ between
    /// conditions, an id occurs twice, the probes are not of these states' kind ([`ProbeBank::check_matches`]), or the states have one
    /// row per token; [`Error::UnknownAddress`] for states that lack an address of the bank; [`Error::NotFinite`];
    /// [`Error::Setting`] without conditions, items or probes.
    pub fn score(design: &Design, states: &[&Activations], bank: &ProbeBank) -> Result<Levels> {
        let Some(&first) = states.first() else {
            return Err(Error::setting("states", "none", "give those of at least one condition"));
        };
        let expected = design.arms().len();
        if states.len() != expected {
            return Err(Error::row_count("states by condition", expected, states.len()));
        }
        let n = first.ids().len();
        if n == 0 || bank.is_empty() {
            return Err(Error::setting("items and probes", "none", "at least one of each"));
        }
        for (condition, states) in design.conditions().zip(states) {
            check_states(condition, states, first, bank)?;
        }
        let (metrics, values, means) = score_all(states, bank)?;
        let mut provenance = first.provenance().clone();
        let of_probes = bank.provenance().iter().filter(|(key, _)| key.starts_with("probe_"));
        provenance.extend(of_probes.map(|(key, value)| (key.clone(), value.clone())));
        let items = first.ids().to_vec();
        let samples = bank.iter().map(|probe| Ok(sample(first.at(probe.address())?))).collect::<Result<_>>()?;
        Ok(Levels {
            reading: Reading::PROMPT,
            groups: first.groups().map_or_else(|| items.clone(), <[String]>::to_vec),
            items,
            design: design.clone(),
            addresses: bank.iter().map(Probe::address).collect(),
            metrics,
            values,
            states: Some(LevelStates { means, samples }),
            validity: ProbeValidity::of(bank, Site::ResidPost),
            directions: bank.iter().map(|probe| probe.direction.unit().to_owned()).collect(),
            units: bank.iter().map(|probe| unit(probe).cloned()).collect(),
            scales: bank.iter().map(|probe| probe.scale.clone()).collect(),
            provenance,
        })
    }

    /// These levels, judged at this site instead of the residual stream after each layer: over its valid probes the level of a
    /// verdict, of a ranking and of evidence is averaged. Name the site before the levels are looked at. `bank` holds the probes
    /// that they were scored with.
    ///
    /// # Errors
    /// [`Error::Mismatch`] for another bank; [`Error::Setting`] where it has no probe at the site.
    pub fn judged_at(self, site: Site, bank: &ProbeBank) -> Result<Levels> {
        if !self.is_scored_by(bank) {
            return Err(Error::mismatch("levels", "they were scored with other probes than these"));
        }
        let validity = ProbeValidity::of(bank, site);
        if validity.probes == 0 {
            return Err(Error::setting(
                "verdict_site",
                site,
                "a site at which the states were read, and probes fitted",
            ));
        }
        Ok(Levels { validity, ..self })
    }
}

/// Metrics, values by condition, address, metric and item, and mean states by condition and address.
type Scored = (Vec<Metric>, Array4<f64>, Vec<Vec<MeanState>>);

/// The fits whose class distance is the probe's unit, where their texts are told apart.
fn unit(probe: &Probe) -> Option<&Arc<CrossFit>> {
    probe.cross_fit.as_ref().filter(|fits| fits.is_told_apart())
}

fn score_all(states: &[&Activations], bank: &ProbeBank) -> Result<Scored> {
    let probes: Vec<&Probe> = bank.iter().collect();
    let calibrated = probes.iter().all(|probe| probe.evaluation.probabilities.is_some());
    let possible = |metric: &Metric| match metric {
        Metric::Cosine | Metric::Dot => true,
        Metric::ClassDistance => probes.iter().any(|probe| unit(probe).is_some()),
        Metric::Logit | Metric::Probability => calibrated,
    };
    let metrics: Vec<Metric> = Metric::ALL.into_iter().filter(possible).collect();
    let jobs: Vec<(&Activations, &Probe)> =
        states.iter().flat_map(|&states| probes.iter().map(move |&probe| (states, probe))).collect();
    let scored: Vec<Result<(Vec<f64>, MeanState)>> =
        jobs.par_iter().map(|(states, probe)| score_one(states.at(probe.address())?, probe, &metrics)).collect();
    let n = states.first().map_or(0, |states| states.ids().len());
    let (mut values, mut means) = (Vec::with_capacity(jobs.len() * metrics.len() * n), Vec::new());
    for scored in scored {
        let (levels, mean) = scored?;
        values.extend(levels);
        means.push(mean);
    }
    let values = Array4::from_shape_vec((states.len(), probes.len(), metrics.len(), n), values)
        .map_err(|error| Error::mismatch("levels", error.to_string()))?;
    let mut means = means.into_iter();
    let means = states.iter().map(|_| means.by_ref().take(probes.len()).collect()).collect();
    Ok((metrics, values, means))
}

fn check_states(condition: &Condition, states: &Activations, first: &Activations, bank: &ProbeBank) -> Result<()> {
    let bad = |problem: String| {
        let what = format!("instruction {:?}, round {}", condition.name(), condition.round);
        Err(Error::mismatch(what, problem))
    };
    if states.token_rows().is_some() {
        return bad("it has one row per token, levels need one per item: capture with a pool".to_owned());
    }
    let (ids, expected) = (states.ids(), first.ids());
    if ids.len() != expected.len() {
        return bad(format!("it has {} items, the first condition has {}", ids.len(), expected.len()));
    }
    if let Some((row, (found, expected))) = ids.iter().zip(expected).enumerate().find(|(_, (a, b))| a != b) {
        return bad(format!("row {row} is item {found:?}, the first condition has {expected:?} there"));
    }
    if states.groups() != first.groups() {
        return bad("its groups differ from those of the first condition".to_owned());
    }
    let mut seen = HashSet::new();
    if let Some(twice) = ids.iter().find(|id| !seen.insert(id.as_str())) {
        return bad(format!("item {twice:?} occurs twice"));
    }
    bank.check_matches(states)?;
    states.check_finite()
}

/// Evenly spaced rows, no more than [`SAMPLE_ROWS`].
fn sample(states: ArrayView2<'_, f32>) -> Array2<f32> {
    let n = states.nrows();
    let rows: Vec<usize> = (0..n.min(SAMPLE_ROWS)).map(|row| row * n / n.min(SAMPLE_ROWS)).collect();
    states.select(Axis(0), &rows)
}

/// Enough states to know the directions along which they vary most, few enough to keep.
const SAMPLE_ROWS: usize = 256;

/// The levels of all items by metric, `[metrics, n]` row after row, and the mean states.
fn score_one(states: ArrayView2<'_, f32>, probe: &Probe, metrics: &[Metric]) -> Result<(Vec<f64>, MeanState)> {
    let (n, d) = states.dim();
    check_width(probe.address(), probe.weights.len(), d)?;
    let unit = probe.direction.unit();
    let (mut raw_sum, mut unit_sum) = (Array1::<f64>::zeros(d), Array1::<f64>::zeros(d));
    let (mut cosines, mut dots) = (Vec::with_capacity(n), Vec::with_capacity(n));
    for row in states.outer_iter() {
        let projection = dot(row, unit);
        let squares = match row.as_slice() {
            Some(row) => sum_of_products(row, row),
            None => row.iter().map(|&value| f64::from(value).powi(2)).sum(),
        };
        let length = squares.sqrt();
        let per_length = if length > 0.0 { 1.0 / length } else { 0.0 };
        for ((&value, raw), unit) in row.iter().zip(raw_sum.iter_mut()).zip(unit_sum.iter_mut()) {
            *raw += f64::from(value);
            *unit += f64::from(value) * per_length;
        }
        cosines.push(projection * per_length);
        dots.push(projection);
    }
    let length = probe.weights.dot(&probe.weights).sqrt();
    let logit = |dot: f64| dot * length + probe.intercept;
    let mut levels = Vec::with_capacity(metrics.len() * n);
    for metric in metrics {
        match metric {
            Metric::Cosine => levels.extend_from_slice(&cosines),
            Metric::Dot => levels.extend_from_slice(&dots),
            Metric::ClassDistance => match self::unit(probe) {
                Some(fits) => levels.extend(fits.levels(probe.address(), states)?),
                None => levels.extend(std::iter::repeat_n(f64::NAN, n)),
            },
            Metric::Logit => levels.extend(dots.iter().map(|&dot| logit(dot))),
            Metric::Probability => levels.extend(dots.iter().map(|&dot| logistic(logit(dot)))),
        }
    }
    Ok((levels, MeanState { raw: raw_sum / n as f64, unit: unit_sum / n as f64 }))
}
