//! How long work tells how far it is.

/// Receives the progress of long work. `()` ignores it.
///
/// The crate itself prints nothing; the examples attach progress bars here.
pub trait Progress {
    /// A stage begins that has `total` steps.
    fn begin(&self, stage: &str, total: u64);
    /// `steps` more of the current stage are done.
    fn advance(&self, steps: u64);
}

impl Progress for () {
    fn begin(&self, _: &str, _: u64) {}
    fn advance(&self, _: u64) {}
}
