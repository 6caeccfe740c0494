//! What the examples share: progress bars, lists of sites, and errors as messages with an exit code.
#![allow(dead_code)] // Each example uses its part.

use std::process::ExitCode;
use std::sync::Mutex;

use indicatif::{ProgressBar, ProgressStyle};
use probity::hook::{Selection, Site};
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

/// Ends the program with the error's message, or well.
pub fn exit(result: Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Reads comma-separated site names.
pub fn sites(names: &str) -> Result<Vec<Site>> {
    names
        .split(',')
        .map(|name| {
            Site::from_name(name.trim()).ok_or_else(|| {
                Error::setting("--sites", name.to_owned(), format!("one of {}", Site::ALL.map(Site::name).join(", ")))
            })
        })
        .collect()
}

/// Reads sites and layers as a selection.
pub fn select(sites: &str, layers: &str) -> Result<Selection> {
    let mut selection = Selection::default();
    for site in self::sites(sites)? {
        selection = match layers {
            "all" => selection.and(site.all_layers()),
            some => selection.and(layer_numbers(some)?.into_iter().map(|layer| site.at(layer)).collect::<Selection>()),
        };
    }
    Ok(selection)
}

fn layer_numbers(text: &str) -> Result<Vec<usize>> {
    let wrong =
        || Error::setting("--layers", text.to_owned(), "\"all\", or numbers and ranges such as 0,4-7".to_owned());
    let mut layers = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let first: usize = first.trim().parse().map_err(|_| wrong())?;
        let last: usize = last.trim().parse().map_err(|_| wrong())?;
        if last < first || last - first > 100_000 {
            return Err(wrong());
        }
        layers.extend(first..=last);
    }
    Ok(layers)
}

/// An interval in a table.
pub fn interval(value: &Interval) -> String {
    format!("{:.2} [{:.2}, {:.2}]", value.estimate, value.low, value.high)
}
