//! Changes of the states along a direction.

use std::ops::Range;

use tch::{Kind, Tensor};

use crate::hook::{Address, Hooks};
use crate::probe::Direction;
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
#[derive(Debug, Clone, PartialEq)]
pub struct Intervention {
    address: Address,
    change: Change,
}

#[derive(Debug, Clone, PartialEq)]
enum Change {
    /// Adds the amount times the unit vector, `[d]`.
    Add(Vec<f32>, f64),
    /// Takes out the component along the unit vector, `[d]`.
    Remove(Vec<f32>),
    /// Multiplies.
    Scale(f64),
}

impl Intervention {
    /// Adds `amount` times the unit direction, in the states' own unit; above 0 is towards immoral.
    pub fn add(direction: &Direction, amount: f64) -> Self {
        Intervention { address: direction.address(), change: Change::Add(unit(direction), amount) }
    }

    /// Takes out the component along the direction: `h - (h . u) u`.
    pub fn remove(direction: &Direction) -> Self {
        Intervention { address: direction.address(), change: Change::Remove(unit(direction)) }
    }

    /// Multiplies the states by `factor`; 0 silences them. An address may name one head.
    pub fn scale(address: Address, factor: f64) -> Self {
        Intervention { address, change: Change::Scale(factor) }
    }

    /// Where it acts.
    pub fn address(&self) -> Address {
        self.address
    }

    /// Adds the hook that does it at every position of a pass. A pass fails with [`Error::Mismatch`] if the states
    /// there have another width than the direction or the direction is all zeros, and with [`Error::Setting`] for
    /// an amount or factor that is not finite.
    pub fn attach<'a>(&'a self, hooks: &mut Hooks<'a>) {
        hooks.replace(self.address, |states| self.apply(states));
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
        let kind = if states.kind() == Kind::Double { Kind::Double } else { Kind::Float };
        let wide = states.f_to_kind(kind)?;
        let vector = |unit: &[f32]| -> Result<Tensor> {
            self.check(unit, states)?;
            Ok(Tensor::f_from_slice(unit)?.f_to_device(states.device())?.f_to_kind(kind)?)
        };
        let finite = |name, value: f64| match value.is_finite() {
            true => Ok(value),
            false => Err(Error::setting(name, value, "a finite number")),
        };
        let changed = match &self.change {
            Change::Add(unit, amount) => wide.f_add(&vector(unit)?.f_mul_scalar(finite("amount", *amount)?)?)?,
            Change::Remove(unit) => {
                let unit = vector(unit)?;
                let along = wide.f_matmul(&unit)?.f_unsqueeze(-1)?;
                wide.f_sub(&along.f_mul(&unit)?)?
            }
            Change::Scale(factor) => wide.f_mul_scalar(finite("factor", *factor)?)?,
        };
        Ok(changed.f_to_kind(states.kind())?)
    }

    fn check(&self, unit: &[f32], states: &Tensor) -> Result<()> {
        let width = states.size().last().copied().unwrap_or(0);
        let problem = if width != unit.len() as i64 {
            format!("the direction has width {}, the states there have {width}", unit.len())
        } else if unit.iter().all(|&value| value == 0.0) {
            "the direction is all zeros: acting along it would change nothing".to_owned()
        } else {
            return Ok(());
        };
        Err(Error::mismatch(format!("intervention at {}", self.address), problem))
    }
}

fn unit(direction: &Direction) -> Vec<f32> {
    direction.unit().iter().map(|&value| value as f32).collect()
}
