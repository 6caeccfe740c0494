//! The memory of tensors, as slices.

use tch::{Device, Tensor};

use super::number::Number;
use super::{threads, tile::Level};
use crate::Result;

/// Whether this machine has what the functions here need.
pub(super) fn usable() -> bool {
    Level::of_this_machine().is_some() && threads::available()
}

/// Whether a tensor's numbers lie in this process's memory one after the other, as this type.
pub(super) fn lies_plain<N: Number>(tensor: &Tensor) -> bool {
    tensor.kind() == N::KIND
        && tensor.device() == Device::Cpu
        && tensor.is_contiguous()
        && tensor.data_ptr().cast::<N>().is_aligned()
}

/// The numbers of a tensor; `None` unless they lie one after the other on the CPU as this type.
pub(super) fn numbers<N: Number>(tensor: &Tensor) -> Option<&[N]> {
    if !lies_plain::<N>(tensor) {
        return None;
    }
    let length = tensor.numel();
    if length == 0 {
        return Some(&[]);
    }
    // SAFETY: kind, device, layout and alignment have just been checked, so that `length` numbers of this type lie there; the tensor
    // is borrowed, and keeps its storage. Nothing in this crate writes to a tensor while another function reads it.
    Some(unsafe { std::slice::from_raw_parts(tensor.data_ptr().cast::<N>(), length) })
}

/// The numbers of a tensor that is being filled; as [`numbers`].
pub(super) fn numbers_mut<N: Number>(tensor: &mut Tensor) -> Option<&mut [N]> {
    if !lies_plain::<N>(tensor) {
        return None;
    }
    let length = tensor.numel();
    if length == 0 {
        return Some(&mut []);
    }
    // SAFETY: as in `numbers`; callers give tensors that they have just made, which nobody else holds.
    Some(unsafe { std::slice::from_raw_parts_mut(tensor.data_ptr().cast::<N>(), length) })
}

/// A new tensor with the numbers that `fill` puts there.
pub(super) fn filled<N: Number>(size: &[i64], fill: impl FnOnce(&mut [N])) -> Result<Option<Tensor>> {
    let mut made = Tensor::f_empty(size, (N::KIND, Device::Cpu))?;
    Ok(numbers_mut(&mut made).map(fill).map(|()| made))
}

/// A slice of which several threads write parts that do not overlap.
pub(super) struct Parts<N> {
    start: *mut N,
    length: usize,
}

// SAFETY: the only access is `part`, whose callers keep the parts apart.
unsafe impl<N: Send> Sync for Parts<N> {}

impl<N> Parts<N> {
    pub fn new(slice: &mut [N]) -> Self {
        Parts { start: slice.as_mut_ptr(), length: slice.len() }
    }

    /// `length` numbers from `start` on, fewer at the end.
    ///
    /// # Safety
    /// The slice lives, and no other part overlaps this one.
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn part(&self, start: usize, length: usize) -> &mut [N] {
        let start = start.min(self.length);
        // SAFETY: within the slice; the rest is the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(start), length.min(self.length - start)) }
    }
}

/// Does `work` on runs of rows of `width` numbers (the last may be shorter): with the number of the first row, and the rows.
/// Small inputs stay on one thread.
pub(super) fn by_rows<N: Number>(out: &mut [N], width: usize, work: impl Fn(usize, &mut [N]) + Sync) {
    // Numbers that one thread works on without being slower than two that must be told to begin.
    const AT_ONCE: usize = 16 * 1024;
    let rows = out.len().div_ceil(width.max(1));
    if out.len() <= AT_ONCE {
        return work(0, out);
    }
    let rows_at_once = (AT_ONCE / width.max(1)).max(1);
    let parts = Parts::new(out);
    threads::share(rows.div_ceil(rows_at_once), &|part| {
        let row = part * rows_at_once;
        // SAFETY: parts are runs of rows of their own.
        work(row, unsafe { parts.part(row * width, rows_at_once * width) });
    });
}
