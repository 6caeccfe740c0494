//! What the examples share: progress bars, and errors as messages with an exit code.
#![allow(dead_code)] // Each example uses its part.

use std::process::ExitCode;
use std::sync::Mutex;

use indicatif::{ProgressBar, ProgressStyle};
use probity::stats::Interval;
use probity::{Error, Progress, Result};

/// Shows each stage as a progress bar on standard error.
#[derive(Default)]
pub struct Bars {
    current: Mutex<Option<ProgressBar>>,
}

impl Progress for Bars {
    fn begin(&self, stage: &str, total: u64) {
        let bar = ProgressBar::new(total);
        if let Ok(style) = ProgressStyle::with_template("{msg:28} {bar:40} {pos}/{len} {elapsed} (left {eta})") {
            bar.set_style(style);
        }
        bar.set_message(stage.to_owned());
        if let Ok(mut current) = self.current.lock() {
            if let Some(done) = current.replace(bar) {
                done.finish();
            }
        }
    }

    fn advance(&self, steps: u64) {
        if let Ok(current) = self.current.lock() {
            if let Some(bar) = current.as_ref() {
                bar.inc(steps);
            }
        }
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        if let Ok(mut current) = self.current.lock() {
            if let Some(bar) = current.take() {
                bar.finish();
            }
        }
    }
}

/// An error and what caused it: `a: b`.
pub fn told(error: &Error) -> String {
    let causes = std::iter::successors(std::error::Error::source(error), |error| error.source());
    causes.fold(error.to_string(), |told, cause| format!("{told}: {cause}"))
}

/// Ends the program with the error's message, or well.
pub fn exit(result: Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", told(&error));
            ExitCode::FAILURE
        }
    }
}

/// An interval in a table.
pub fn interval(value: &Interval) -> String {
    format!("{:.2} [{:.2}, {:.2}]", value.estimate, value.low, value.high)
}
