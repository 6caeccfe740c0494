//! The feed-forward part of one layer, with its sites.

use tch::Tensor;

use super::attention::Surroundings;
use super::config::{Activation, FeedForward};
use super::kernel;
use super::parts::Linear;
use crate::hook::{Hooks, Site};
use crate::Result;

/// The feed-forward part; `gate` where the configuration has a gate.
#[derive(Debug)]
pub(crate) struct Mlp {
    pub gate: Option<Linear>,
    pub up: Linear,
    pub down: Linear,
}

impl Mlp {
    /// `[b, t, d]` to `[b, t, d]`, or packed.
    pub fn forward(&self, at: &Surroundings<'_>, input: &Tensor, hooks: &mut Hooks<'_>) -> Result<Tensor> {
        let (FeedForward::Gated(activation) | FeedForward::Plain(activation)) = at.config.feed_forward;
        let precision = self.down.weight.kind();
        let inner = match &self.gate {
            Some(gate) => self.gated(gate, activation, input)?,
            None => activation.forward(self.up.forward(input)?)?,
        };
        self.down.forward(&at.tap(hooks, Site::MlpAct, inner.f_to_kind(precision)?)?)
    }

    fn gated(&self, gate: &Linear, activation: Activation, input: &Tensor) -> Result<Tensor> {
        let maps = [gate, &self.up];
        if let Some(inner) = kernel::linear_gated(input, maps.map(Linear::parts), activation)? {
            return Ok(inner);
        }
        let [gate, up] = Linear::together(maps, input);
        let (gate, up) = (gate?, up?);
        match kernel::gated(activation, &gate, &up, self.down.weight.kind())? {
            Some(inner) => Ok(inner),
            None => Ok(activation.forward(gate)?.f_mul_(&up)?),
        }
    }
}
