//! Changes of the states along a direction.

use std::ops::Range;

use serde::Serialize;
use tch::{Kind, Tensor};

use super::{Address, Hooks};
use crate::{Error, Result};

/// A change of the states at one address (or of one head there): along a direction, or of the whole.
///
/// ```no_run
/// # fn main() -> probity::Result<()> {
/// # let (model, bank): (probity::Model, probity::probe::ProbeBank) = unimplemented!();
/// use probity::{causal::Intervention, generate::Session, hook::{Hooks, Site}};
/// let direction = &bank.get(Site::ResidPost.at(20))?.direction;
/// let prompt = model.tokenizer().encode("I found a purse, so I")?.ids;
/// let mut session = Session::new(&model);
/// let less_immoral = Intervention::add(direction, -8.0);
/// session.read_hooked(&[&prompt], |_| {
///     let mut hooks = Hooks::new();
///     less_immoral.attach(&mut hooks);
///     hooks
/// })?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Intervention {
    address: Address,
    change: Change,
    strength: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
enum Change {
    /// Adds the amount times the unit vector, `[d]`.
    Add(Vec<f32>, f64),
    /// Moves the component along the unit vector, `[d]`, to this value.
    Set(Vec<f32>, f64),
    /// Multiplies.
    Scale(f64),
}

impl Intervention {
    /// Adds `amount` times a unit vector, `[d]`.
    pub(crate) fn add_along(address: Address, unit: Vec<f32>, amount: f64) -> Self {
        Intervention { address, change: Change::Add(unit, amount), strength: 1.0 }
    }

    /// Sets the component along a unit vector, `[d]`.
    pub(crate) fn set_along(address: Address, unit: Vec<f32>, value: f64) -> Self {
        Intervention { address, change: Change::Set(unit, value), strength: 1.0 }
    }

    /// Multiplies the states by `factor`; 0 silences them. An address may name one head.
    pub fn scale(address: Address, factor: f64) -> Self {
        Intervention { address, change: Change::Scale(factor), strength: 1.0 }
    }

    /// The same at another strength s, `h + s (f(h) - h)` where it makes `f(h)` of the states h: 0 changes nothing, 1 is the
    /// whole of it, default. Of a direction that is removed, s is the share of the component that is taken out.
    pub fn strength(self, strength: f64) -> Self {
        Intervention { strength, ..self }
    }

    /// Where it acts.
    pub fn address(&self) -> Address {
        self.address
    }

    /// What it does, in words without numbers of the direction: `removes along L3.resid_post`.
    pub(crate) fn describe(&self) -> String {
        let verb = match &self.change {
            Change::Add(_, amount) => format!("adds {} along", amount * self.strength),
            Change::Set(_, 0.0) if self.strength == 1.0 => "removes along".to_owned(),
            Change::Set(_, value) => format!("moves to {value}, by a share of {}, along", self.strength),
            Change::Scale(factor) => format!("multiplies by {}", 1.0 + self.strength * (factor - 1.0)),
        };
        format!("{verb} {}", self.address)
    }

    /// Adds the hook that does it at every position of a pass. A pass fails with [`Error::Mismatch`] if the states
    /// there have another width than the direction or the direction is all zeros, and with [`Error::Setting`] for
    /// an amount, value, factor or strength that is not finite.
    pub fn attach<'a>(&'a self, hooks: &mut Hooks<'a>) {
        hooks.replace(self.address, |states| self.apply(states));
    }

    /// The hooks that do all of these, in this order.
    pub(crate) fn hooks(interventions: &[Intervention]) -> Hooks<'_> {
        let mut hooks = Hooks::new();
        interventions.iter().for_each(|intervention| intervention.attach(&mut hooks));
        hooks
    }

    /// [`Intervention::attach`] at some positions only: of each batch row the columns of this range, counted as in
    /// [`TokenBatch::rows`](crate::text::TokenBatch::rows). A pass fails with [`Error::RowCount`] for another
    /// number of rows.
    pub fn attach_at<'a>(&'a self, hooks: &mut Hooks<'a>, columns: Vec<Range<usize>>) {
        hooks.replace(self.address, move |states| {
            let size = states.size();
            let &[rows, tokens, ..] = size.as_slice() else {
                let problem = format!("shape {size:?} is not [b, t, ...]");
                return Err(Error::mismatch(format!("intervention at {}", self.address), problem));
            };
            if columns.len() as i64 != rows {
                let what = format!("positions of the intervention at {}", self.address);
                return Err(Error::row_count(what, rows as usize, columns.len()));
            }
            let cells: Vec<u8> = columns
                .iter()
                .flat_map(|range| (0..tokens as usize).map(|column| u8::from(range.contains(&column))))
                .collect();
            let mut shape = vec![1; size.len()];
            shape[..2].copy_from_slice(&[rows, tokens]);
            let chosen = Tensor::f_from_slice(&cells)?.f_view(shape.as_slice())?.f_to_kind(Kind::Bool)?;
            Ok(self.apply(states)?.f_where_self(&chosen.f_to_device(states.device())?, states)?)
        });
    }

    /// `states` `[..., d]`, changed; computed in f32 (f64 in an f64 model).
    fn apply(&self, states: &Tensor) -> Result<Tensor> {
        self.validate()?;
        let kind = if states.kind() == Kind::Double { Kind::Double } else { Kind::Float };
        let wide = states.f_to_kind(kind)?;
        let vector = |unit: &[f32]| -> Result<Tensor> {
            self.check(unit, states)?;
            Ok(Tensor::f_from_slice(unit)?.f_to_device(states.device())?.f_to_kind(kind)?)
        };
        let strength = self.strength;
        let changed = match &self.change {
            Change::Add(unit, amount) => wide.f_add(&vector(unit)?.f_mul_scalar(strength * amount)?)?,
            Change::Set(unit, value) => {
                let unit = vector(unit)?;
                let missing = wide.f_matmul(&unit)?.f_sub_scalar(*value)?.f_mul_scalar(strength)?;
                wide.f_sub(&missing.f_unsqueeze(-1)?.f_mul(&unit)?)?
            }
            Change::Scale(factor) => wide.f_mul_scalar(1.0 + strength * (factor - 1.0))?,
        };
        Ok(changed.f_to_kind(states.kind())?)
    }

    /// Refuses numbers that are not finite, and a direction that is all zeros.
    pub(crate) fn validate(&self) -> Result<()> {
        let (name, number) = match &self.change {
            Change::Add(_, amount) => ("amount", *amount),
            Change::Set(_, value) => ("value", *value),
            Change::Scale(factor) => ("factor", *factor),
        };
        for (name, number) in [(name, number), ("strength", self.strength)] {
            if !number.is_finite() {
                return Err(Error::setting(name, number, "a finite number"));
            }
        }
        match &self.change {
            Change::Add(unit, _) | Change::Set(unit, _) if unit.iter().all(|&value| value == 0.0) => {
                Err(self.unfit("the direction is all zeros: acting along it would change nothing"))
            }
            _ => Ok(()),
        }
    }

    fn check(&self, unit: &[f32], states: &Tensor) -> Result<()> {
        let width = states.size().last().copied().unwrap_or(0);
        match width == unit.len() as i64 {
            true => Ok(()),
            false => Err(self.unfit(format!("the direction has width {}, the states there have {width}", unit.len()))),
        }
    }

    fn unfit(&self, problem: impl Into<String>) -> Error {
        Error::mismatch(format!("intervention at {}", self.address), problem)
    }
}
