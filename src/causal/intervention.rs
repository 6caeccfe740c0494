//! Changes of the states along a direction of a probe.

use crate::hook::Intervention;
use crate::probe::Direction;

/// Along the direction of a probe.
impl Intervention {
    /// Adds `amount` times the unit direction, in the states' own unit; above 0 is towards immoral.
    pub fn add(direction: &Direction, amount: f64) -> Self {
        Intervention::add_along(direction.address(), unit(direction), amount)
    }

    /// Takes out the component along the direction: `h - (h . u) u`.
    pub fn remove(direction: &Direction) -> Self {
        Intervention::set(direction, 0.0)
    }

    /// Puts `value` in the place of the projection on the direction, in the states' own unit: `h + (value - h . u) u`.
    pub fn set(direction: &Direction, value: f64) -> Self {
        Intervention::set_along(direction.address(), unit(direction), value)
    }
}

fn unit(direction: &Direction) -> Vec<f32> {
    direction.unit().iter().map(|&value| value as f32).collect()
}
