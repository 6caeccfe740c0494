//! What libtorch leaves undone on a CPU: products, norms, rotations, gates, and the attention of single queries.
//!
//! A decoder that writes one token after the other reads every weight for a handful of rows. There the products of
//! libtorch use a third to a half of the memory's bandwidth, and each small operation on the states starts and ends by
//! itself; with many rows its f32 products do without the widest vectors on some processors. The functions here do the
//! same sums in one pass each, in f32 or from bf16 to f32, on libtorch's own threads. Each returns `None` where it does not
//! apply (another device or number type, an older processor, another threading library), and the caller goes the way of
//! libtorch: the results agree to rounding.
//!
//! A result does not depend on the number of threads.

// Vector instructions and the memory of tensors; every use says why it is sound.
#![allow(unsafe_code)]

mod argmax;
mod attention;
mod exp;
mod gate;
mod gated;
mod maps;
mod memory;
mod norm;
mod number;
#[cfg(target_arch = "x86_64")]
mod panel;
mod product;
mod registers;
mod rotation;
mod threads;
mod tile;

pub(crate) use argmax::argmax;
pub(crate) use attention::attend_once;
pub(crate) use gate::gated;
pub(crate) use gated::linear_gated;
pub(crate) use norm::rms_norm;
pub(crate) use product::linear;
pub(crate) use rotation::rotate;

/// Compiles a function over slices for the processor's wide vectors; the caller has checked that it has them.
macro_rules! widened {
    ($(#[$doc:meta])* fn $name:ident $(<$($number:ident),+>)? ($($argument:ident: $type:ty),* $(,)?) = $plain:ident) => {
        $(#[$doc])*
        fn $name $(<$($number: crate::model::kernel::number::Number),+>)? ($($argument: $type),*) {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2,fma")]
                unsafe fn avx2 $(<$($number: crate::model::kernel::number::Number),+>)? ($($argument: $type),*) {
                    $plain($($argument),*)
                }
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
                unsafe fn avx512 $(<$($number: crate::model::kernel::number::Number),+>)? ($($argument: $type),*) {
                    $plain($($argument),*)
                }
                use crate::model::kernel::tile::Level;
                match Level::of_this_machine() {
                    // SAFETY: the level says that the processor has these instructions.
                    Some(Level::Avx512 | Level::Avx512Bf16) => return unsafe { avx512($($argument),*) },
                    // SAFETY: as above.
                    Some(Level::Avx2) => return unsafe { avx2($($argument),*) },
                    None => {}
                }
            }
            $plain($($argument),*)
        }
    };
}
use widened;
