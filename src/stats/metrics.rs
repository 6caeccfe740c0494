//! Metrics of decisions and probabilities row by row.

/// Mean negative log-likelihood in nats of labels under probabilities of the positive class, clipped to
/// `[1e-15, 1 - 1e-15]`. `None` without rows or with unequal lengths.
pub fn log_loss(probabilities: &[f64], positive: &[bool]) -> Option<f64> {
    const CLIP: f64 = 1e-15;
    let loss = |p: f64, positive: bool| -(if positive { p } else { 1.0 - p }).clamp(CLIP, 1.0 - CLIP).ln();
    mean_over_rows(probabilities, positive, loss)
}

/// Mean squared distance of probabilities of the positive class from the labels as 0 and 1 (Brier 1950): 0 is
/// perfect, always saying one half gets 0.25. `None` without rows or with unequal lengths.
pub fn brier(probabilities: &[f64], positive: &[bool]) -> Option<f64> {
    mean_over_rows(probabilities, positive, |p, positive| (p - f64::from(u8::from(positive))).powi(2))
}

/// Share of predictions that equal the labels. `None` without rows or with unequal lengths.
pub fn accuracy(predicted: &[bool], actual: &[bool]) -> Option<f64> {
    if predicted.len() != actual.len() || actual.is_empty() {
        return None;
    }
    let right = predicted.iter().zip(actual).filter(|(predicted, actual)| predicted == actual).count();
    Some(right as f64 / actual.len() as f64)
}

/// Mean of the two classes' shares of right predictions: 0.5 is chance, whatever the class balance. `None` with
/// one class only or with unequal lengths.
pub fn balanced_accuracy(predicted: &[bool], actual: &[bool]) -> Option<f64> {
    if predicted.len() != actual.len() {
        return None;
    }
    let share = |class: bool| {
        let of_class = predicted.iter().zip(actual).filter(|(_, &actual)| actual == class);
        let (rows, right) = of_class.fold((0.0, 0.0), |(rows, right), (&predicted, _)| {
            (rows + 1.0, right + f64::from(u8::from(predicted == class)))
        });
        (rows > 0.0).then(|| right / rows)
    };
    Some(0.5 * (share(false)? + share(true)?))
}

fn mean_over_rows(probabilities: &[f64], positive: &[bool], loss: impl Fn(f64, bool) -> f64) -> Option<f64> {
    if probabilities.len() != positive.len() || positive.is_empty() {
        return None;
    }
    let total: f64 = probabilities.iter().zip(positive).map(|(&p, &positive)| loss(p, positive)).sum();
    Some(total / positive.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses() {
        assert!((log_loss(&[0.5, 0.25], &[true, false]).unwrap() - (2.0_f64.ln() - 0.75_f64.ln()) / 2.0).abs() < 1e-15);
        assert!(log_loss(&[0.0], &[true]).unwrap().is_finite());
        assert_eq!(brier(&[0.5, 0.25], &[true, false]), Some((0.25 + 0.0625) / 2.0));
        assert_eq!(brier(&[], &[]), None);
        assert_eq!(accuracy(&[true, false], &[true, true]), Some(0.5));
        assert_eq!(accuracy(&[], &[]), None);
    }

    #[test]
    fn balance_does_not_move_balanced_accuracy() {
        // Always "negative": 9 of 10 right, and yet no better than chance.
        let actual: Vec<bool> = (0..10).map(|row| row == 0).collect();
        assert_eq!(balanced_accuracy(&[false; 10], &actual), Some(0.5));
        assert_eq!(balanced_accuracy(&actual, &actual), Some(1.0));
        assert_eq!(balanced_accuracy(&[true], &[true]), None);
        assert_eq!(balanced_accuracy(&[true], &[true, false]), None);
    }
}
