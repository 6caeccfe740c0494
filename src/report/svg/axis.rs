//! Frame of a plot: ticks, their numbers, and what the axes are.

use super::scale::Scale;
use super::{Anchor, Canvas};

/// The corners of the plotting area, in pixels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    pub left: f64,
    pub right: f64,
    pub top: f64,
    pub bottom: f64,
}

/// Horizontal grid lines with their numbers on the left.
pub(super) fn vertical(canvas: &mut Canvas, frame: Frame, scale: &Scale) {
    let ticks = scale.ticks(5);
    let decimals = decimals(&ticks);
    for tick in ticks {
        let y = scale.at(tick);
        canvas.line((frame.left, y), (frame.right, y), "grid");
        canvas.text((frame.left - 6.0, y + 4.0), Anchor::End, "tick", &number(tick, decimals));
    }
}

/// The lower edge with its numbers, and the name of the axis. A layer or a round is a whole number.
pub(super) fn horizontal(canvas: &mut Canvas, frame: Frame, scale: &Scale, name: &str) {
    canvas.line((frame.left, frame.bottom), (frame.right, frame.bottom), "axis");
    for tick in scale.whole_ticks(8) {
        let x = scale.at(tick);
        canvas.line((x, frame.bottom), (x, frame.bottom + 4.0), "axis");
        canvas.text((x, frame.bottom + 16.0), Anchor::Middle, "tick", &number(tick, 0));
    }
    canvas.text(((frame.left + frame.right) / 2.0, frame.bottom + 31.0), Anchor::Middle, "name", name);
}

/// A number with a true minus sign.
pub(in crate::report) fn number(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    match text.strip_prefix('-') {
        Some(digits) if digits.bytes().all(|byte| matches!(byte, b'0' | b'.')) => digits.to_owned(),
        Some(digits) => format!("\u{2212}{digits}"),
        None => text,
    }
}

/// Decimals that tell the ticks apart.
pub(super) fn decimals(ticks: &[f64]) -> usize {
    let exact = |decimals: &usize| {
        ticks.iter().all(|tick| {
            let scaled = tick * 10f64.powi(*decimals as i32);
            (scaled - scaled.round()).abs() < 1e-6 * scaled.abs().max(1.0)
        })
    };
    (0..8).find(exact).unwrap_or(8)
}
