//! What is done along a direction at every address.

use std::fmt;

use ndarray::Array1;
use serde::{Deserialize, Serialize};

use crate::capture::Activations;
use crate::hook::{Address, Intervention};
use crate::probe::{Probe, ProbeBank};
use crate::stats::directions::random_directions;
use crate::{Error, Result};

/// What is done along a direction, at all addresses at once and at every token.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Manipulation {
    /// The projection becomes 0 (directional ablation): is the direction needed?
    Remove,
    /// The projection becomes its mean over the plain prompts of round 0 (mean ablation): nothing varies along the direction,
    /// while the states stay where they are on average.
    Replace,
    /// So many class distances are added, shared evenly between the addresses, since the residual stream carries each share on
    /// to the later ones: towards immoral.
    Add(f64),
    /// So many class distances are taken off, likewise: towards moral.
    Subtract(f64),
}

impl Manipulation {
    /// Refuses amounts that are not above 0.
    pub(super) fn validate(self) -> Result<()> {
        match self {
            Manipulation::Add(amount) | Manipulation::Subtract(amount) if !(amount > 0.0 && amount.is_finite()) => {
                Err(Error::setting("manipulation", self, "a number of class distances above 0"))
            }
            _ => Ok(()),
        }
    }

    /// This manipulation along these axes; 1 is the whole of it ([`Intervention::strength`]).
    pub(super) fn along(self, axes: &[Axis], strength: f64) -> Vec<Intervention> {
        let share = 1.0 / axes.len().max(1) as f64;
        let at = |axis: &Axis| {
            let unit = || axis.unit.iter().map(|&value| value as f32).collect();
            let whole = match self {
                Manipulation::Remove => Intervention::set_along(axis.address, unit(), 0.0),
                Manipulation::Replace => Intervention::set_along(axis.address, unit(), axis.mean),
                Manipulation::Add(by) => Intervention::add_along(axis.address, unit(), by * share * axis.distance),
                Manipulation::Subtract(by) => {
                    Intervention::add_along(axis.address, unit(), -by * share * axis.distance)
                }
            };
            whole.strength(strength)
        };
        axes.iter().map(at).collect()
    }
}

impl fmt::Display for Manipulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let distances = |by: f64| format!("{by} class distance{}", if by == 1.0 { "" } else { "s" });
        match *self {
            Manipulation::Remove => f.pad("removed"),
            Manipulation::Replace => f.pad("replaced by its mean"),
            Manipulation::Add(by) => f.pad(&format!("added, {}", distances(by))),
            Manipulation::Subtract(by) => f.pad(&format!("taken off, {}", distances(by))),
        }
    }
}

/// A direction at one address with what a manipulation along it needs, in the states' own unit.
pub(super) struct Axis {
    pub address: Address,
    /// Length 1, `[d]`.
    unit: Array1<f64>,
    /// The class distance along the probe's direction there.
    distance: f64,
    /// Mean projection of the plain prompts.
    mean: f64,
}

impl Axis {
    /// The directions of these probes.
    ///
    /// # Errors
    /// [`Error::Mismatch`] for a probe without class distance, or whose direction is all zeros; [`Error::UnknownAddress`].
    pub fn of_probes(bank: &ProbeBank, addresses: &[Address], plain: &Activations) -> Result<Vec<Axis>> {
        let axis = |&address: &Address| {
            let probe = bank.get(address)?;
            let unit = probe.direction.unit().to_owned();
            Axis::new(address, unit, distance(probe)?, plain)
        };
        addresses.iter().map(axis).collect()
    }

    /// Random directions in the probes' place, `count` times: at every address the same isotropic draw in the probe's
    /// standardised columns, so that they keep away from dimensions of large spread as the probe does, and are as alike from
    /// layer to layer as a draw can be.
    pub fn random(
        bank: &ProbeBank,
        addresses: &[Address],
        plain: &Activations,
        (count, seed): (usize, u64),
    ) -> Result<Vec<Vec<Axis>>> {
        let mut draws: Vec<Vec<Axis>> = (0..count).map(|_| Vec::with_capacity(addresses.len())).collect();
        for &address in addresses {
            let probe = bank.get(address)?;
            let distance = distance(probe)?;
            let drawn = random_directions(count, probe.scale.len(), seed);
            for (draw, direction) in draws.iter_mut().zip(drawn.outer_iter()) {
                let raw = &direction / &probe.scale;
                let length = raw.dot(&raw).sqrt();
                draw.push(Axis::new(address, raw / length, distance, plain)?);
            }
        }
        Ok(draws)
    }

    fn new(address: Address, unit: Array1<f64>, distance: f64, plain: &Activations) -> Result<Axis> {
        let states = plain.at(address)?;
        let bad = |problem: &str| Err(Error::mismatch(format!("the direction at {address}"), problem.to_owned()));
        if states.ncols() != unit.len() {
            return bad("it has another width than the study's states there");
        }
        if !unit.iter().all(|value| value.is_finite()) || unit.iter().all(|&value| value == 0.0) {
            return bad("it is all zeros: acting along it would change nothing");
        }
        let projections =
            states.outer_iter().map(|row| row.iter().zip(&unit).map(|(h, u)| f64::from(*h) * u).sum::<f64>());
        let mean = projections.sum::<f64>() / states.nrows().max(1) as f64;
        Ok(Axis { address, unit, distance, mean })
    }
}

/// How far a state must go along the probe's direction to go one class distance.
fn distance(probe: &Probe) -> Result<f64> {
    let missing = || {
        let problem = "there is no class distance: fit the bank with FitProtocol::cross_fit, on enough texts";
        Error::mismatch(format!("the probe at {}", probe.address()), problem)
    };
    let fits = probe.cross_fit.as_deref().ok_or_else(missing)?;
    let distance = fits.distance / fits.mean.dot(&probe.direction.unit());
    Some(distance).filter(|distance| distance.is_finite()).ok_or_else(missing)
}
