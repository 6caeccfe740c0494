//! NumPy's array files.

use std::path::Path;

use ndarray::{Array2, ShapeBuilder};

use crate::error::Place;
use crate::{file, Error, Result};

/// Reads a matrix of floating-point numbers, `[rows, d]`: format 1 to 3 of
/// <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>, f16, f32 or f64, of either byte
/// order, in C or Fortran order.
pub(super) fn read(path: &Path) -> Result<Array2<f32>> {
    let bytes = file::map(path)?;
    let bad = |place: &str, problem: String| Error::malformed(path, Place::Entry(place.to_owned()), problem);
    let (header, data) = split(&bytes).ok_or_else(|| {
        Error::malformed(path, Place::File, "no npy file of format 1 to 3, or one cut short; write it with numpy.save")
    })?;
    let field = |name: &str| {
        let rest = header.split_once(&format!("'{name}':")).map(|(_, rest)| rest.trim_start());
        rest.ok_or_else(|| bad(name, format!("is not in the header {header:?}")))
    };
    let descr = field("descr")?;
    let descr = descr.strip_prefix('\'').and_then(|rest| rest.split_once('\'')).map_or(descr, |(descr, _)| descr);
    let fortran = match field("fortran_order")? {
        text if text.starts_with("True") => true,
        text if text.starts_with("False") => false,
        other => return Err(bad("fortran_order", format!("is neither True nor False: {other:?}"))),
    };
    let shape = field("shape")?;
    let inside = shape.strip_prefix('(').and_then(|rest| rest.split_once(')')).map_or("", |(inside, _)| inside);
    let sizes = inside.split(',').map(str::trim).filter(|size| !size.is_empty());
    let sizes: Option<Vec<usize>> = sizes.map(|size| size.parse().ok()).collect();
    let Some(&[rows, width]) = sizes.as_deref() else {
        return Err(bad("shape", format!("({inside}) is not that of a matrix, (rows, d)")));
    };
    let values = match descr {
        "<f2" => numbers(data, |bytes| f16(u16::from_le_bytes(bytes))),
        ">f2" => numbers(data, |bytes| f16(u16::from_be_bytes(bytes))),
        "<f4" => numbers(data, f32::from_le_bytes),
        ">f4" => numbers(data, f32::from_be_bytes),
        "<f8" => numbers(data, |bytes| f64::from_le_bytes(bytes) as f32),
        ">f8" => numbers(data, |bytes| f64::from_be_bytes(bytes) as f32),
        other => return Err(bad("descr", format!("{other:?} is no f16, f32 or f64; convert it with astype"))),
    };
    let fits = |values: &Vec<f32>| rows.checked_mul(width) == Some(values.len()) && !values.is_empty();
    let values = values.filter(fits).ok_or_else(|| {
        let (bytes, dtype) = (data.len(), descr.get(1..).unwrap_or_default());
        bad("shape", format!("({rows}, {width}) of {dtype} does not go with {bytes} bytes of data, or holds no values"))
    })?;
    let array = Array2::from_shape_vec((rows, width).set_f(fortran), values)
        .map_err(|error| bad("shape", error.to_string()))?;
    Ok(array.as_standard_layout().into_owned())
}

/// Header text and data.
fn split(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let rest = bytes.strip_prefix(b"\x93NUMPY")?;
    let (&[major, _minor], rest) = rest.split_first_chunk::<2>()?;
    let (length, rest) = match major {
        1 => rest.split_first_chunk::<2>().map(|(length, rest)| (usize::from(u16::from_le_bytes(*length)), rest))?,
        2 | 3 => rest.split_first_chunk::<4>().map(|(length, rest)| (u32::from_le_bytes(*length) as usize, rest))?,
        _ => return None,
    };
    let (header, data) = rest.split_at_checked(length)?;
    Some((std::str::from_utf8(header).ok()?, data))
}

/// The numbers of `N` bytes each; `None` where bytes are left over.
fn numbers<const N: usize>(data: &[u8], decode: impl Fn([u8; N]) -> f32) -> Option<Vec<f32>> {
    let (values, rest) = data.as_chunks::<N>();
    rest.is_empty().then(|| values.iter().map(|&bytes| decode(bytes)).collect())
}

/// An IEEE 754 half-precision number, exactly.
pub(super) fn f16(bits: u16) -> f32 {
    let (exponent, mantissa) = (i32::from(bits >> 10 & 31), f32::from(bits & 1023));
    let size = match exponent {
        0 => mantissa * 2.0_f32.powi(-24),
        31 if mantissa == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        _ => (1024.0 + mantissa) * 2.0_f32.powi(exponent - 25),
    };
    if bits >> 15 == 1 {
        -size
    } else {
        size
    }
}

#[cfg(test)]
mod tests {
    use super::f16;

    #[test]
    fn half_precision_landmarks() {
        let landmarks = [
            (0x0000, 0.0),
            (0x0001, 5.960_464_5e-8),
            (0x03ff, 6.097_555e-5),
            (0x0400, 6.103_515_6e-5),
            (0x3c00, 1.0),
            (0x3555, 0.333_251_95),
            (0x7bff, 65504.0),
            (0xc000, -2.0),
            (0xfc00, f32::NEG_INFINITY),
        ];
        for (bits, value) in landmarks {
            assert_eq!(f16(bits), value, "{bits:#06x}");
        }
        assert!(f16(0x7e00).is_nan());
    }
}
