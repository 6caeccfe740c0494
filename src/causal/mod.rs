//! Interventions along a direction: whether what a probe reads also matters to the model.
//!
//! Reading, steering and silencing are three properties. [`Intervention::add`] tests sufficiency (activation
//! addition), [`Intervention::remove`] necessity (projection ablation). Hold both against random directions
//! before you believe either.

use tch::{Kind, Tensor};

use crate::hook::{Address, Hooks};
use crate::probe::Direction;
use crate::{Error, Result};

/// A change of the states at one address along one unit direction, at every position of a pass.
///
/// ```no_run
/// # fn main() -> probity::Result<()> {
/// # let (model, bank): (probity::Model, probity::probe::ProbeBank) = unimplemented!();
/// use probity::{causal::Intervention, generate::Session, hook::{Hooks, Site}};
/// let direction = &bank.get(Site::ResidPost.at(20))?.direction;
/// let prompt = model.tokenizer().encode("I found a purse, so I")?.ids;
/// let mut session = Session::new(&model);
/// let less_immoral = Intervention::add(direction, -8.0);
/// session.read(&[&prompt], |_| {
///     let mut hooks = Hooks::new();
///     less_immoral.attach(&mut hooks);
///     hooks
/// })?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Intervention {
    address: Address,
    /// The unit vector, `[d]`.
    unit: Vec<f32>,
    change: Change,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Change {
    Add(f64),
    Remove,
}

impl Intervention {
    /// Adds `amount` times the unit direction, in the states' own unit; above 0 is towards immoral.
    pub fn add(direction: &Direction, amount: f64) -> Self {
        Intervention::new(direction, Change::Add(amount))
    }

    /// Takes out the component along the direction: `h - (h . u) u`.
    pub fn remove(direction: &Direction) -> Self {
        Intervention::new(direction, Change::Remove)
    }

    fn new(direction: &Direction, change: Change) -> Self {
        let unit = direction.unit().iter().map(|&value| value as f32).collect();
        Intervention { address: direction.address(), unit, change }
    }

    /// Where it acts.
    pub fn address(&self) -> Address {
        self.address
    }

    /// Adds the hook that does it. A pass fails with [`Error::Mismatch`] if the states there have another
    /// width than the direction or the direction is all zeros, and with [`Error::Setting`] for an amount that is not finite.
    pub fn attach<'a>(&'a self, hooks: &mut Hooks<'a>) {
        hooks.replace(self.address, |states| self.apply(states));
    }

    /// `states` `[..., d]`, changed; computed in f32.
    fn apply(&self, states: &Tensor) -> Result<Tensor> {
        let width = states.size().last().copied().unwrap_or(0);
        if width != self.unit.len() as i64 {
            let problem = format!("the direction has width {}, the states there have {width}", self.unit.len());
            return Err(Error::Mismatch { what: format!("intervention at {}", self.address), problem });
        }
        if self.unit.iter().all(|&value| value == 0.0) {
            let problem = "the direction is all zeros: acting along it would change nothing".to_owned();
            return Err(Error::Mismatch { what: format!("intervention at {}", self.address), problem });
        }
        let unit = Tensor::f_from_slice(&self.unit)?.f_to_device(states.device())?;
        let wide = states.f_to_kind(Kind::Float)?;
        let changed = match self.change {
            Change::Add(amount) if amount.is_finite() => wide.f_add(&unit.f_mul_scalar(amount)?)?,
            Change::Add(amount) => return Err(Error::setting("amount", amount, "a finite number")),
            Change::Remove => {
                let along = wide.f_matmul(&unit)?.f_unsqueeze(-1)?;
                wide.f_sub(&along.f_mul(&unit)?)?
            }
        };
        Ok(changed.f_to_kind(states.kind())?)
    }
}
