//! Work shared out over the threads that libtorch itself uses.

use std::ffi::c_void;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::OnceLock;

/// `GOMP_parallel` of the OpenMP library that libtorch is linked with: it runs a function on all threads of the team and
/// returns when all have ended. The thread pool of another library would fight with this team over the cores, for a
/// team's threads wait for work by spinning.
type Parallel = unsafe extern "C" fn(unsafe extern "C" fn(*mut c_void), *mut c_void, u32, u32);

fn team() -> Option<Parallel> {
    static FOUND: OnceLock<Option<Parallel>> = OnceLock::new();
    *FOUND.get_or_init(|| {
        #[cfg(target_os = "linux")]
        {
            // SAFETY: a lookup by name among the loaded libraries; the name ends in NUL.
            let symbol = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"GOMP_parallel".as_ptr()) };
            // SAFETY: a function of this name has this type in every OpenMP library, by GCC's binary interface.
            (!symbol.is_null()).then(|| unsafe { std::mem::transmute::<*mut c_void, Parallel>(symbol) })
        }
        #[cfg(not(target_os = "linux"))]
        None
    })
}

/// Whether work can be shared out.
pub(super) fn available() -> bool {
    team().is_some()
}

struct Job<'a> {
    work: &'a (dyn Fn(usize) + Sync),
    next: AtomicUsize,
    parts: usize,
}

impl Job<'_> {
    /// Parts are taken one by one, so that a thread that is held up leaves its share to the others.
    fn help(&self) {
        loop {
            let part = self.next.fetch_add(1, Ordering::Relaxed);
            if part >= self.parts {
                return;
            }
            (self.work)(part);
        }
    }
}

/// Does `work` for every number below `parts`, in any order, on as many threads as libtorch has been given. A panic in it
/// ends the process: it must not have any.
pub(super) fn share(parts: usize, work: &(dyn Fn(usize) + Sync)) {
    unsafe extern "C" fn helper(job: *mut c_void) {
        // SAFETY: `share` gives a job that lives until every thread has returned from here.
        let job = unsafe { &*job.cast::<Job<'_>>() };
        job.help();
    }
    let job = Job { work, next: AtomicUsize::new(0), parts };
    let threads = tch::get_num_threads().clamp(1, parts.max(1) as i32) as u32;
    match team() {
        // SAFETY: the job is shared by reference only, and outlives the call, which waits for all threads.
        Some(run) if threads > 1 => unsafe { run(helper, std::ptr::from_ref(&job).cast_mut().cast(), threads, 0) },
        _ => job.help(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    #[test]
    fn every_part_is_done_once() {
        for parts in [0, 1, 2, 3, 1_000] {
            let done: Vec<AtomicU32> = (0..parts).map(|_| AtomicU32::new(0)).collect();
            share(parts, &|part| {
                done[part].fetch_add(1, Ordering::Relaxed);
            });
            assert!(done.iter().all(|count| count.load(Ordering::Relaxed) == 1), "{parts}");
        }
    }
}
