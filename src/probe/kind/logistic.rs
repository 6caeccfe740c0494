//! The logistic probe: linfa's logistic regression on standardised states.

use ndarray::Array2;

use super::strength::{StrengthCurve, StrengthScore, Strengths};
use super::{with_protocol, Estimator, FitProtocol, FitReport, Linear, Training};
use crate::error::check_rows;
use crate::solve::{
    balanced_weights, cross_validate, tolerance_of_scores, Folds, Problem, Solution, Standardiser, Targets,
};
use crate::{Error, Provenance, Result};

/// L2-regularised logistic regression by linfa-logistic, one probe per address.
///
/// Minimises sum_i ln(1 + exp(-y_i (w.x_i + b))) + alpha/2 |w|^2 over states standardised by the training
/// part's mean and standard deviation; the intercept b is not penalised. This is scikit-learn's
/// `LogisticRegression(C=1/alpha)` after its `StandardScaler`. Weights come back in raw space.
///
/// A warm start of our own brings linfa near the optimum. After linfa's fit, objective and gradient are computed anew
/// and give a proven bound of the distance to the optimum; what misses the tolerance is fitted again in f64 and
/// continued. What then still misses it is returned with `converged: false` in its [`FitReport`].
#[derive(Debug, Clone, Copy, PartialEq)]
#[must_use]
pub struct LogisticProbe {
    alpha: Alpha,
    class_weight: ClassWeight,
    max_iterations: u64,
    tolerance: f64,
    protocol: FitProtocol,
}

/// Where the strength of the penalty comes from.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Alpha {
    /// The width of the states.
    Width,
    Fixed(f64),
    Chosen(Strengths),
}

/// What the rows of each class weigh in a fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClassWeight {
    /// Each row the same.
    #[default]
    Natural,
    /// Each class the same: n / (2 n_k) for a row of class k, scikit-learn's "balanced". linfa knows no weights, so
    /// this optimum is our solver's, held to the same proven bound. Decisions are log-odds as if both classes were
    /// equally frequent: they are not reported as probabilities.
    Balanced,
}

impl Default for LogisticProbe {
    fn default() -> Self {
        LogisticProbe {
            alpha: Alpha::Width,
            class_weight: ClassWeight::Natural,
            max_iterations: 1_000,
            tolerance: 1e-8,
            protocol: FitProtocol::default(),
        }
    }
}

impl LogisticProbe {
    /// Sets the penalty's strength, 1/C in scikit-learn, above 0. Default: the width d of the states. In a Bayesian
    /// reading each weight then has the prior variance 1/d, and the log-odds of a typical state the variance 1,
    /// whatever the width; scikit-learn's C = 1 lets a few hundred texts be learnt by heart.
    pub fn alpha(mut self, alpha: f64) -> Self {
        self.alpha = Alpha::Fixed(alpha);
        self
    }

    /// Chooses the strength at each address by cross-validation inside the training part, instead of
    /// [`LogisticProbe::alpha`]; the probe keeps the scores ([`Probe::strengths`](crate::probe::Probe::strengths)).
    pub fn strengths(mut self, strengths: Strengths) -> Self {
        self.alpha = Alpha::Chosen(strengths);
        self
    }

    /// Sets what the classes weigh, default [`ClassWeight::Natural`].
    pub fn class_weight(mut self, weight: ClassWeight) -> Self {
        self.class_weight = weight;
        self
    }

    /// Sets the iterations of the warm start, and of one run of linfa, default 1,000.
    pub fn max_iterations(mut self, iterations: u64) -> Self {
        self.max_iterations = iterations;
        self
    }

    /// Sets the largest (objective - optimum) / objective that counts as converged, default 1e-8. The solver's
    /// gradient tolerance follows from it, from alpha and from the number of rows.
    pub fn tolerance(mut self, tolerance: f64) -> Self {
        self.tolerance = tolerance;
        self
    }
}

with_protocol!(LogisticProbe);

impl Estimator for LogisticProbe {
    fn name(&self) -> &'static str {
        "logistic"
    }

    fn settings(&self) -> Provenance {
        [
            ("probe_alpha", self.alpha.describe()),
            ("probe_class_weight", format!("{:?}", self.class_weight).to_lowercase()),
            ("probe_max_iterations", self.max_iterations.to_string()),
            ("probe_tolerance", self.tolerance.to_string()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into()
    }

    fn protocol(&self) -> &FitProtocol {
        &self.protocol
    }

    fn is_calibrated(&self) -> bool {
        self.class_weight == ClassWeight::Natural
    }

    fn validate(&self) -> Result<()> {
        match self.alpha {
            Alpha::Fixed(alpha) if !(alpha > 0.0 && alpha.is_finite()) => {
                return Err(Error::setting("alpha", alpha, "above 0 and finite; it is 1/C of scikit-learn"));
            }
            Alpha::Chosen(strengths) => strengths.validate()?,
            Alpha::Fixed(_) | Alpha::Width => {}
        }
        if !(self.tolerance > 0.0 && self.tolerance < 1.0) {
            return Err(Error::setting("tolerance", self.tolerance, "above 0 and below 1"));
        }
        if self.max_iterations == 0 {
            return Err(Error::setting("max_iterations", 0, "at least 1"));
        }
        self.protocol.validate()
    }

    fn fit(&self, training: Training) -> Result<Linear> {
        Ok(self.fit_selected(training)?.0)
    }

    fn fit_selected(&self, training: Training) -> Result<(Linear, Option<StrengthCurve>)> {
        self.validate()?;
        let standardiser = Standardiser::fit(training.states.view());
        let (alpha, curve) = self.choose(&training, &standardiser)?;
        let Training { what, states, labels, .. } = training;
        let fits = self.fit_labels(&what, states, &standardiser, self.problem(alpha), &[&labels], None)?;
        let fitted = fits.into_iter().next();
        let fitted = fitted.ok_or_else(|| Error::fit(what, "the solver gave no result"))?;
        Ok((fitted, curve))
    }

    /// All draws at once, at the strength that suits the training part's own labels; like the fits inside
    /// cross-validation held to 1e-6 where [`LogisticProbe::tolerance`] is below that. On large designs linfa runs
    /// only for the draws whose warm start misses it by the proven bound; `solver_runs` says so.
    fn fit_draws(&self, training: &Training, draws: &[Vec<bool>]) -> Result<Vec<Linear>> {
        self.validate()?;
        for labels in draws {
            training.check_other(labels)?;
        }
        let standardiser = Standardiser::fit(training.states.view());
        let (alpha, _) = self.choose(training, &standardiser)?;
        let labels: Vec<&[bool]> = draws.iter().map(Vec::as_slice).collect();
        let problem = self.problem(alpha);
        let problem = Problem { tolerance: tolerance_of_scores(&problem), first_runs: 0, ..problem };
        self.fit_labels(&training.what, training.states.clone(), &standardiser, problem, &labels, None)
    }

    /// All folds at once, on columns standardised over all rows and at the strength that suits these, which are told without
    /// the labels of any one fold alone; held to 1e-6 like the fits inside cross-validation.
    fn fit_folds(&self, training: &Training, fold_of: &[usize], folds: usize) -> Result<Vec<Linear>> {
        self.validate()?;
        check_rows(&format!("folds of {}", training.what), fold_of.len(), training.labels.len())?;
        let standardiser = Standardiser::fit(training.states.view());
        let (alpha, _) = self.choose(training, &standardiser)?;
        let problem = self.problem(alpha);
        let problem = Problem { tolerance: tolerance_of_scores(&problem), first_runs: 0, ..problem };
        let kept = |out: usize| fold_of.iter().map(|&fold| f64::from(u8::from(fold != out))).collect();
        let masks: Vec<Vec<f64>> = (0..folds).map(kept).collect();
        let labels: Vec<&[bool]> = masks.iter().map(|_| training.labels.as_slice()).collect();
        self.fit_labels(&training.what, training.states.clone(), &standardiser, problem, &labels, Some(&masks))
    }
}

impl LogisticProbe {
    fn problem(&self, alpha: f64) -> Problem {
        Problem { alpha, max_iterations: self.max_iterations, tolerance: self.tolerance, first_runs: 1 }
    }

    /// The strength for this training part.
    fn choose(&self, training: &Training, standardiser: &Standardiser) -> Result<(f64, Option<StrengthCurve>)> {
        let width = training.states.ncols().max(1);
        let strengths = match self.alpha {
            Alpha::Width => return Ok((width as f64, None)),
            Alpha::Fixed(alpha) => return Ok((alpha, None)),
            Alpha::Chosen(strengths) => strengths,
        };
        let fold_of = strengths.group_folds().assign_by(&training.labels, &training.groups)?;
        let balanced = self.class_weight == ClassWeight::Balanced;
        let folds = Folds { labels: &training.labels, balanced, fold_of: &fold_of };
        let alphas = strengths.grid(width);
        let problem = self.problem(width as f64);
        let scores = cross_validate(&problem, training.states.clone(), standardiser, folds, &alphas);
        let tried = alphas.iter().zip(scores).map(|(&alpha, score)| StrengthScore {
            alpha,
            log_loss: score.log_loss,
            auroc: score.auroc,
            converged: score.relative_gap <= tolerance_of_scores(&problem),
        });
        let curve = StrengthCurve::new(tried.collect());
        Ok((curve.best().map_or(width as f64, |best| best.alpha), Some(curve)))
    }

    fn fit_labels(
        &self,
        what: &str,
        states: Array2<f32>,
        standardiser: &Standardiser,
        problem: Problem,
        draws: &[&[bool]],
        masks: Option<&[Vec<f64>]>,
    ) -> Result<Vec<Linear>> {
        let all = |labels: &[bool]| vec![1.0; labels.len()];
        let mask =
            |draw: usize, labels| masks.and_then(|masks| masks.get(draw).cloned()).unwrap_or_else(|| all(labels));
        let balanced = self.class_weight == ClassWeight::Balanced;
        let weights: Option<Vec<Vec<f64>>> = (balanced || masks.is_some()).then(|| {
            let masked = draws.iter().enumerate().map(|(draw, &labels)| (labels, mask(draw, labels)));
            masked.map(|(labels, mask)| if balanced { balanced_weights(labels, &mask) } else { mask }).collect()
        });
        let weights_of = |draw: usize| weights.as_ref().and_then(|all| all.get(draw)).map(Vec::as_slice);
        let targets: Vec<Targets<'_>> =
            draws.iter().enumerate().map(|(draw, &labels)| Targets { labels, weights: weights_of(draw) }).collect();
        let solutions = problem.solve(states, standardiser, &targets);
        solutions
            .into_iter()
            .zip(draws)
            .map(|(solution, labels)| match solution {
                Ok(solution) => Ok(report(what, solution, standardiser, (labels.len(), problem.tolerance))),
                Err(error) => Err(Error::fit(what.to_owned(), error.to_string())),
            })
            .collect()
    }
}

fn report(what: &str, solution: Solution, standardiser: &Standardiser, (n_train, tolerance): (usize, f64)) -> Linear {
    let converged = solution.relative_gap <= tolerance;
    if !converged {
        let gap = solution.relative_gap;
        tracing::warn!(at = what, gap, tolerance, "a logistic fit did not converge");
    }
    let (weights, intercept) = standardiser.to_raw(&solution.weights, solution.intercept);
    let fit = FitReport {
        n_train,
        objective: Some(solution.objective),
        gradient_norm: Some(solution.gradient_norm),
        relative_gap: Some(solution.relative_gap),
        solver_runs: solution.solver_runs,
        converged,
    };
    Linear { weights, intercept, fit }
}

impl Alpha {
    fn describe(&self) -> String {
        match self {
            Alpha::Width => "width of the states".to_owned(),
            Alpha::Fixed(alpha) => alpha.to_string(),
            Alpha::Chosen(strengths) => strengths.describe(),
        }
    }
}
