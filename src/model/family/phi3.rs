//! Phi-3 (also Phi-4-mini): fused projections, long rotary positions, a window.

use super::usual::{Usual, PLAIN};
use super::Family;

pub(super) const FAMILY: Family = Family {
    name: "phi3",
    config: |settings| {
        let mut config = settings.usual("phi3")?;
        let window = settings.optional_size("sliding_window")?;
        config.windows = settings.windows(config.layers, window, |_| window.is_some())?;
        Ok(config)
    },
    build: |loader, config, settings| Usual { fused: true, ..PLAIN }.build(loader, config, settings),
};
