//! Products of gate and up with many rows of states, gated as they are made.

#[cfg(target_arch = "x86_64")]
pub(crate) use x86_64::linear_gated;

/// There are panels on x86-64 only.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn linear_gated(
    _: &tch::Tensor,
    _: [(&tch::Tensor, Option<&tch::Tensor>); 2],
    _: crate::model::config::Activation,
) -> crate::Result<Option<tch::Tensor>> {
    Ok(None)
}

#[cfg(target_arch = "x86_64")]
mod x86_64 {
    use tch::{Kind, Tensor};

    use crate::model::config::Activation;
    use crate::model::kernel::gate::Gate;
    use crate::model::kernel::maps::Map;
    use crate::model::kernel::memory::{filled, usable};
    use crate::model::kernel::number::Bf16;
    use crate::model::kernel::panel;
    use crate::model::kernel::product::{by_panels, rows_of, Both};
    use crate::Result;

    /// `activation(x Wg^T + bg) * (x Wu^T + bu)` for the maps `[gate, up]`, in the precision of their weights; `None` for few
    /// rows too, where products and gates are best done one after the other.
    pub(crate) fn linear_gated(
        input: &Tensor,
        maps: [(&Tensor, Option<&Tensor>); 2],
        activation: Activation,
    ) -> Result<Option<Tensor>> {
        let Some(by) = Gate::of(activation).filter(|_| usable()) else { return Ok(None) };
        match maps.map(|(weight, _)| weight.kind()) {
            [Kind::Float, Kind::Float] => made::<f32>(input, maps, by),
            [Kind::BFloat16, Kind::BFloat16] => made::<Bf16>(input, maps, by),
            _ => Ok(None),
        }
    }

    fn made<N: Both>(input: &Tensor, [gate, up]: [(&Tensor, Option<&Tensor>); 2], by: Gate) -> Result<Option<Tensor>> {
        let mut size = input.size();
        let input = input.f_to_kind(N::KIND)?.f_contiguous()?;
        let Some((states, n)) = rows_of::<N>(&input) else { return Ok(None) };
        let (Some(gate), Some(up)) = (Map::<N>::of(gate, n), Map::<N>::of(up, n)) else { return Ok(None) };
        if gate.outs != up.outs || !by_panels([&gate, &up].into_iter(), states, n) {
            return Ok(None);
        }
        if let Some(last) = size.last_mut() {
            *last = gate.outs as i64;
        }
        let mut done = Ok(false);
        let made = filled::<N>(&size, |place| done = panel::gated([&gate, &up], by, (states, n), place))?;
        Ok(if done? { made } else { None })
    }

    #[cfg(test)]
    mod tests {
        use tch::Device;

        use super::*;

        #[test]
        fn they_are_products_and_then_gates() {
            tch::manual_seed(6);
            for kind in [Kind::Float, Kind::BFloat16] {
                let random = |size: &[i64]| Tensor::randn(size, (Kind::Float, Device::Cpu)).to_kind(kind);
                for (rows, outs, n) in [(21, 3, 2), (33, 64, 64), (70, 101, 36), (300, 336, 576)] {
                    let (x, gate, up) = (random(&[1, rows, n]), random(&[outs, n]), random(&[outs, n]));
                    let bias = random(&[outs]);
                    for activation in [Activation::Silu, Activation::GeluTanh] {
                        let maps = [(&gate, Some(&bias)), (&up, None)];
                        let Some(found) = linear_gated(&x, maps, activation).unwrap() else { continue };
                        let [gate, up] = crate::model::kernel::linear(&x, maps).unwrap().unwrap();
                        let expected = crate::model::kernel::gated(activation, &gate, &up, kind).unwrap().unwrap();
                        assert!(found.equal(&expected) && found.kind() == kind, "{kind:?}, {rows} rows of {n}");
                    }
                }
            }
        }

        #[test]
        fn what_does_not_apply_is_left_to_others() {
            let random = |size: &[i64]| Tensor::randn(size, (Kind::Float, Device::Cpu));
            let (x, gate, up) = (random(&[40, 8]), random(&[12, 8]), random(&[12, 8]));
            let none = |x: &Tensor, up: &Tensor, activation| {
                linear_gated(x, [(&gate, None), (up, None)], activation).unwrap().is_none()
            };
            assert!(none(&x, &up, Activation::Relu));
            assert!(none(&x, &random(&[11, 8]), Activation::Silu), "other outs");
            assert!(none(&x, &random(&[12, 9]), Activation::Silu), "another width");
            assert!(none(&x, &up.to_kind(Kind::BFloat16), Activation::Silu), "two types");
            assert!(none(&x.narrow(0, 0, 20), &up, Activation::Silu), "few rows");
            assert!(none(&random(&[0, 8]), &up, Activation::Silu), "no rows");
        }
    }
}
