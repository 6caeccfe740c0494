//! One logistic problem among many on a design, and where it ended.

/// One problem: minimise sum_i r_i ln(1 + exp(-y_i (w.x_i + b))) + alpha/2 |w|^2.
#[derive(Clone, Copy)]
pub(crate) struct Task<'a> {
    /// Labels, `[n]`.
    pub labels: &'a [bool],
    /// Weights r of the rows, `[n]`; all 1 if `None`.
    pub weights: Option<&'a [f64]>,
    pub alpha: f64,
    /// How the rows of this problem are standardised, if not as the design is.
    pub frame: Option<&'a Frame>,
    /// Where to start, `[d + 1]`.
    pub start: Option<&'a [f64]>,
}

/// Standardises anew: x = (design - shift) / scale, both `[d]`.
pub(crate) struct Frame {
    pub shift: Vec<f64>,
    pub scale: Vec<f64>,
}

/// Where a problem ended.
pub(crate) struct Found {
    /// Weights in the problem's own frame and the intercept, `[d + 1]`.
    pub params: Vec<f64>,
    /// Decisions on all rows of the design, `[n]`, those left out included.
    pub scores: Vec<f64>,
    pub objective: f64,
    /// Upper bound of (objective - optimum) / objective, as far as the products' width of numbers tells.
    pub relative_gap: f64,
}
