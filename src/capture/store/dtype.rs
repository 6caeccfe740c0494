//! The number types in which states are stored.

use ndarray::ArrayView2;
use safetensors::Dtype;
use serde::{Deserialize, Serialize};

use super::super::npy;
use crate::names::by_name;

/// The number type in which an [`ActivationStore`](super::ActivationStore) keeps states.
///
/// Rounding is to nearest, ties to even. A value x comes back as y with |x - y| at most
/// - 0 as [`StoreDtype::F32`],
/// - 2^-8 |x| as [`StoreDtype::Bf16`],
/// - 2^-11 |x| as [`StoreDtype::F16`], and 2^-25 below 2^-14; 65520 and more do not fit and are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StoreDtype {
    /// Single precision, 4 bytes: exact.
    #[default]
    F32,
    /// Brain floating point, 2 bytes: the range of f32, 8 significant bits.
    Bf16,
    /// IEEE half precision, 2 bytes: 11 significant bits, up to 65504.
    F16,
}

impl StoreDtype {
    const ALL: [StoreDtype; 3] = [StoreDtype::F32, StoreDtype::Bf16, StoreDtype::F16];

    /// The name used in options and manifests.
    pub fn name(self) -> &'static str {
        match self {
            StoreDtype::F32 => "f32",
            StoreDtype::Bf16 => "bf16",
            StoreDtype::F16 => "f16",
        }
    }

    /// Bytes of a value.
    pub fn bytes(self) -> usize {
        match self {
            StoreDtype::F32 => 4,
            StoreDtype::Bf16 | StoreDtype::F16 => 2,
        }
    }

    pub(super) fn in_file(self) -> Dtype {
        match self {
            StoreDtype::F32 => Dtype::F32,
            StoreDtype::Bf16 => Dtype::BF16,
            StoreDtype::F16 => Dtype::F16,
        }
    }

    /// Little-endian bytes of all values, row by row.
    pub(super) fn encode(self, states: ArrayView2<'_, f32>) -> Vec<u8> {
        match self {
            StoreDtype::F32 => states.iter().flat_map(|value| value.to_le_bytes()).collect(),
            StoreDtype::Bf16 => states.iter().flat_map(|&value| to_bf16(value).to_le_bytes()).collect(),
            StoreDtype::F16 => states.iter().flat_map(|&value| to_f16(value).to_le_bytes()).collect(),
        }
    }

    /// The values of little-endian bytes.
    pub(super) fn decode(self, bytes: &[u8]) -> Vec<f32> {
        let halves = || bytes.as_chunks::<2>().0.iter().map(|&bytes| u16::from_le_bytes(bytes));
        match self {
            StoreDtype::F32 => bytes.as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect(),
            StoreDtype::Bf16 => halves().map(|bits| f32::from_bits(u32::from(bits) << 16)).collect(),
            StoreDtype::F16 => halves().map(npy::f16).collect(),
        }
    }

    /// The first row with a value that is not finite, or would not be in this type.
    pub(super) fn misfit(self, states: ArrayView2<'_, f32>) -> Option<usize> {
        let fits = |value: f32| match self {
            StoreDtype::F32 => value.is_finite(),
            StoreDtype::Bf16 => to_bf16(value) & 0x7f80 != 0x7f80,
            StoreDtype::F16 => to_f16(value) & 0x7c00 != 0x7c00,
        };
        states.outer_iter().position(|row| !row.iter().all(|&value| fits(value)))
    }
}

by_name!(StoreDtype, "dtype");

fn to_bf16(value: f32) -> u16 {
    let bits = value.to_bits();
    match value.is_nan() {
        true => (bits >> 16) as u16 | 0x40,
        false => ((bits + 0x7fff + (bits >> 16 & 1)) >> 16) as u16,
    }
}

fn to_f16(value: f32) -> u16 {
    let (sign, size) = ((value.to_bits() >> 16 & 0x8000) as u16, value.to_bits() & 0x7fff_ffff);
    let rounded = match size {
        0x7f80_0001.. => 0x7e00,
        // From 65520 on the nearest is infinity.
        0x477f_f000.. => 0x7c00,
        // Normal from 2^-14 on: another bias of the exponent, 13 bits less.
        0x3880_0000.. => ((size - 0x3800_0000 + 0x0fff + (size >> 13 & 1)) >> 13) as u16,
        // Steps of 2^-24, which the addition of 0.5 rounds to.
        _ => ((f32::from_bits(size) + 0.5).to_bits() - 0.5_f32.to_bits()) as u16,
    };
    sign | rounded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_comes_back_and_what_lies_between_goes_to_the_nearest() {
        for bits in 0..0x7c00_u16 {
            let (value, next) = (npy::f16(bits), npy::f16(bits + 1));
            for sign in [0, 0x8000] {
                let signed = npy::f16(bits | sign);
                assert_eq!(to_f16(signed), bits | sign);
            }
            if next.is_finite() {
                let middle = (value + next) / 2.0;
                assert_eq!(to_f16(middle), bits + (bits & 1), "ties go to the even one, {bits:#06x}");
                assert_eq!(to_f16(middle.next_down()), bits);
                assert_eq!(to_f16(middle.next_up()), bits + 1);
            }
        }
        assert_eq!((to_f16(65519.996), to_f16(65520.0), to_f16(f32::MAX)), (0x7bff, 0x7c00, 0x7c00));
        assert!(npy::f16(to_f16(f32::NAN)).is_nan());
    }

    #[test]
    fn every_brain_float_comes_back_and_what_lies_between_goes_to_the_nearest() {
        let value = |bits: u16| f32::from_bits(u32::from(bits) << 16);
        for bits in 0..0x7f7f_u16 {
            let middle = f32::from_bits(u32::from(bits) << 16 | 0x8000);
            assert_eq!((to_bf16(value(bits)), to_bf16(-value(bits))), (bits, bits | 0x8000));
            assert_eq!(to_bf16(middle), bits + (bits & 1));
            assert_eq!((to_bf16(middle.next_down()), to_bf16(middle.next_up())), (bits, bits + 1));
        }
        assert!(value(to_bf16(f32::NAN)).is_nan() && value(to_bf16(f32::from_bits(0x7f80_0001))).is_nan());
    }

    #[test]
    fn a_value_that_does_not_fit_is_found() {
        let states = |value| ndarray::arr2(&[[1.0, -65504.0], [0.0, value]]);
        for (dtype, value, found) in [
            (StoreDtype::F16, 65520.0, Some(1)),
            (StoreDtype::F16, 65519.0, None),
            (StoreDtype::Bf16, f32::MAX, Some(1)),
            (StoreDtype::Bf16, 3e38, None),
            (StoreDtype::F32, f32::MAX, None),
            (StoreDtype::F32, f32::NAN, Some(1)),
        ] {
            assert_eq!(dtype.misfit(states(value).view()), found, "{dtype} {value}");
        }
    }
}
