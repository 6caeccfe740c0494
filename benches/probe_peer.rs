//! Our side of `benches/peers/probes.py`: reads a safetensors file with `x` f32 `[n, d]` and `y` u8 `[n]`, and for each
//! line on standard input does what it asks and answers with one line of JSON. Timing starts at the raw states.

use std::io::{BufRead, Write};
use std::time::Instant;

use ndarray::Array2;
use probity::capture::Activations;
use probity::probe::{Estimator, GroupFolds, Linear, LogisticProbe, Strengths, Training};
use probity::text::Labels;
use safetensors::SafeTensors;
use serde_json::{json, Value};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // cargo bench passes its own flags; without a file there is nothing to do.
    let Some(path) = std::env::args().skip(1).find(|argument| !argument.starts_with('-')) else {
        println!("skipped: see benches/peers/probes.py");
        return Ok(());
    };
    let (states, labels) = read(&path)?;
    let d = states.ncols() as f64;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let before = peak_memory();
        let started = Instant::now();
        let mut answer = match words.as_slice() {
            ["fit", alpha] => {
                let fitted = LogisticProbe::default().alpha(alpha.parse()?).fit(training(&states, &labels)?)?;
                let seconds = started.elapsed().as_secs_f64();
                json!({"seconds": seconds, "fit": fitted.fit, "weights": weights(&fitted)})
            }
            ["sweep", low, high, count, folds, draws] => {
                let folds = GroupFolds::default().folds(folds.parse()?);
                let strengths = Strengths::default()
                    .range(low.parse::<f64>()? / d, high.parse::<f64>()? / d)
                    .count(count.parse()?)
                    .folds(folds);
                let (fitted, curve) =
                    LogisticProbe::default().strengths(strengths).fit_selected(training(&states, &labels)?)?;
                let sweep_seconds = started.elapsed().as_secs_f64();
                let curve = curve.ok_or("no curve")?;
                let alpha = curve.best().ok_or("no strength")?.alpha;
                let draws = draws_of(&labels, draws.parse()?);
                let others = if draws.is_empty() {
                    Vec::new()
                } else {
                    LogisticProbe::default().alpha(alpha).fit_draws(&training(&states, &labels)?, &draws)?
                };
                let seconds = started.elapsed().as_secs_f64();
                let fold_of = folds.assign(&Labels::ungrouped(labels.clone()))?;
                json!({
                    "seconds": seconds, "sweep_seconds": sweep_seconds, "curve": curve, "alpha": alpha,
                    "fit": fitted.fit, "draws": others.iter().map(|draw| draw.fit).collect::<Vec<_>>(),
                    "fold_of": fold_of, "draw_labels": draws,
                })
            }
            // One probe per address of 30 copies, through the bank: how addresses and threads fit together.
            ["bank", addresses] => {
                let mut activations = Activations::new((0..labels.len()).map(|row| row.to_string()));
                for layer in 0..addresses.parse()? {
                    activations.insert(probity::hook::Site::ResidPost.at(layer), states.clone())?;
                }
                let started = Instant::now();
                let bank = LogisticProbe::default().fit_all(&activations, &Labels::ungrouped(labels.clone()))?;
                json!({"seconds": started.elapsed().as_secs_f64(), "probes": bank.len()})
            }
            _ => return Err(format!("no such request: {line}").into()),
        };
        answer["peak_bytes"] = json!([before, peak_memory()]);
        let mut out = std::io::stdout().lock();
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    Ok(())
}

fn training(states: &Array2<f32>, labels: &[bool]) -> probity::Result<Training> {
    // Groups by name, as a bank gives them, so that the folds are those of `GroupFolds::assign`.
    let of_names = Labels::ungrouped(labels.to_vec());
    Training::new("peer", states.view(), labels.to_vec())?.grouped(of_names.groups())
}

fn weights(fitted: &Linear) -> Vec<f64> {
    fitted.weights.iter().copied().chain([fitted.intercept]).collect()
}

/// Control labels: every draw turns the rows by another odd stride.
fn draws_of(labels: &[bool], draws: usize) -> Vec<Vec<bool>> {
    let n = labels.len();
    (0..draws).map(|draw| (0..n).map(|row| labels[(row * (2 * draw + 3) + 7919 * (draw + 1)) % n]).collect()).collect()
}

fn read(path: &str) -> Result<(Array2<f32>, Vec<bool>), Box<dyn std::error::Error>> {
    let bytes = std::fs::read(path)?;
    let tensors = SafeTensors::deserialize(&bytes)?;
    let x = tensors.tensor("x")?;
    let values = x.data().as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
    let labels = tensors.tensor("y")?.data().iter().map(|&label| label == 1).collect();
    Ok((Array2::from_shape_vec((x.shape()[0], x.shape()[1]), values)?, labels))
}

/// VmHWM of this process in bytes, where the system tells.
fn peak_memory() -> Value {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    json!(kib.map(|kib| kib * 1024))
}
