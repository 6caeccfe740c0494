//! The number types that states come in.

use tch::Kind;

/// bfloat16 as it lies in memory.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[repr(transparent)]
pub(super) struct Bf16(pub u16);

/// A number that is computed with as f32.
pub(super) trait Number: Copy + Send + Sync + Default + 'static {
    const KIND: Kind;
    fn wide(self) -> f32;
    /// To the nearest, ties to even.
    fn narrow(wide: f32) -> Self;
}

impl Number for f32 {
    const KIND: Kind = Kind::Float;

    #[inline(always)]
    fn wide(self) -> f32 {
        self
    }

    #[inline(always)]
    fn narrow(wide: f32) -> f32 {
        wide
    }
}

impl Number for Bf16 {
    const KIND: Kind = Kind::BFloat16;

    #[inline(always)]
    fn wide(self) -> f32 {
        f32::from_bits(u32::from(self.0) << 16)
    }

    #[inline(always)]
    fn narrow(wide: f32) -> Bf16 {
        let bits = wide.to_bits();
        // Half of what is cut off, less one where the last kept bit is 0, so that ties go to the even.
        let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
        // Rounding must not turn a NaN into an infinity.
        Bf16(if wide.is_nan() { (bits >> 16) as u16 | 0x40 } else { rounded as u16 })
    }
}

#[cfg(test)]
mod tests {
    use tch::Tensor;

    use super::*;

    #[test]
    fn bf16_is_rounded_as_libtorch_does() {
        let bits = (0..=u16::MAX).flat_map(|high| {
            [0u32, 1, 0x7fff, 0x8000, 0x8001, 0xffff].map(|low| f32::from_bits(u32::from(high) << 16 | low))
        });
        let values: Vec<f32> = bits.filter(|value| !value.is_nan()).collect();
        let theirs = Tensor::from_slice(&values).to_kind(Kind::BFloat16).to_kind(Kind::Float);
        let theirs = Vec::<f32>::try_from(theirs).unwrap();
        for (&value, theirs) in values.iter().zip(theirs) {
            assert_eq!(Bf16::narrow(value).wide().to_bits(), theirs.to_bits(), "{value}");
        }
        assert!(Bf16::narrow(f32::NAN).wide().is_nan());
        assert!(Bf16::narrow(f32::from_bits(0x7f80_0001)).wide().is_nan());
    }
}
