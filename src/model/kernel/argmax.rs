//! The largest of each row.

use tch::{Kind, Tensor};

use super::memory::{numbers, usable, Parts};
use super::number::{Bf16, Number};
use super::{threads, widened};

/// The place of the largest number in each row of `[b, v]`, of equals the first; `None` where it is for libtorch to say, as
/// for rows with NaN.
pub(crate) fn argmax(rows: &Tensor) -> Option<Vec<i64>> {
    if !usable() {
        return None;
    }
    match rows.kind() {
        Kind::Float => largest::<f32>(rows),
        Kind::BFloat16 => largest::<Bf16>(rows),
        _ => None,
    }
}

fn largest<N: Number>(rows: &Tensor) -> Option<Vec<i64>> {
    let &[count, width] = rows.size().as_slice() else { return None };
    let (numbers, width) = (numbers::<N>(rows)?, width as usize);
    let mut found = vec![-1i64; count as usize];
    let places = Parts::new(&mut found);
    threads::share(count as usize, &|row| {
        let Some(numbers) = numbers.get(row * width..(row + 1) * width) else { return };
        let mut top = [0.0];
        maximum(&mut top, numbers);
        let place = numbers.iter().position(|number| number.wide() == top[0]);
        // SAFETY: every row has a place of its own.
        unsafe { places.part(row, 1) }.fill(place.map_or(-1, |place| place as i64));
    });
    found.iter().all(|&place| place >= 0).then_some(found)
}

widened! {
    fn maximum<N>(top: &mut [f32; 1], numbers: &[N]) = plain_maximum
}

/// In lanes, so that it can be done in vectors. NaN if there is one.
#[inline(always)]
fn plain_maximum<N: Number>(top: &mut [f32; 1], numbers: &[N]) {
    let mut lanes = [f32::NEG_INFINITY; 32];
    let mut unordered = [0.0f32; 32];
    let (chunks, rest) = numbers.as_chunks::<32>();
    for chunk in chunks {
        for ((lane, unordered), number) in lanes.iter_mut().zip(&mut unordered).zip(chunk) {
            let number = number.wide();
            *lane = if number > *lane { number } else { *lane };
            // 0 for numbers, NaN for NaN and infinities, which are left to libtorch too.
            *unordered += number * 0.0;
        }
    }
    let strange: f32 = unordered.iter().sum::<f32>() + rest.iter().map(|number| number.wide() * 0.0).sum::<f32>();
    let top_of_rest = rest.iter().map(|number| number.wide()).fold(f32::NEG_INFINITY, f32::max);
    top[0] = lanes.iter().copied().fold(top_of_rest, f32::max) + strange;
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    #[test]
    fn the_largest_is_that_of_libtorch() {
        tch::manual_seed(6);
        for width in [1, 31, 32, 1_000] {
            let rows = Tensor::randn([7, width], (Kind::Float, Device::Cpu));
            for rows in [rows.shallow_clone(), rows.to_kind(Kind::BFloat16), rows.round()] {
                let Some(found) = argmax(&rows) else { return };
                assert_eq!(found, Vec::<i64>::try_from(rows.argmax(-1, false)).unwrap(), "{width}");
            }
        }
        let strange = Tensor::from_slice(&[1.0f32, f32::NAN, 2.0]).view([1, 3]);
        assert_eq!(argmax(&strange), None);
    }
}
