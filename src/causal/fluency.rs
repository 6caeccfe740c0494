//! How well a model still says what it said, and directions whose effect on that is equal.

use crate::dialogue::{Conversation, Part, Study};
use crate::generate::Session;
use crate::hook::Intervention;
use crate::task::Item;
use crate::{Condition, Error, Model, Result};

/// Texts side by side.
const BATCH: usize = 16;
/// A loss below this, in nats a token, is no effect that could be matched.
pub(super) const LEAST_LOSS: f64 = 0.005;
/// How far a matched loss may lie from the one wanted, as a share of it.
pub(super) const TOLERANCE: f64 = 0.05;
/// Strengths that are tried for one direction, and how far they go from 1.
const TRIES: usize = 14;
const WIDEST: f64 = 256.0;

/// Prompts with the answers that the model gave to them as it is.
pub(super) struct Fluency<'m> {
    model: &'m Model,
    texts: Vec<(Vec<u32>, Vec<u32>)>,
}

/// A strength with the loss that it makes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Strength {
    pub strength: f64,
    /// In nats a token.
    pub loss: f64,
    pub reached: bool,
}

impl<'m> Fluency<'m> {
    /// The answers of these conditions, in the order of the items, at most so many, where they have tokens.
    ///
    /// # Errors
    /// [`Error::Setting`] where there is none.
    pub fn new<I: Item>(model: &'m Model, study: &Study<I>, conditions: &[&Condition], most: usize) -> Result<Self> {
        let mut texts = Vec::new();
        let talk = |item: &I, condition: &Condition| -> Option<&Conversation> {
            study.conversations.iter().find(|talk| talk.item == item.id() && talk.condition.same_course(condition))
        };
        for item in &study.items {
            for &condition in conditions {
                let Some(transcript) = talk(item, condition).map(|talk| &talk.transcript) else { continue };
                let mut passages = transcript.passages().iter();
                let answers = |at: &&crate::dialogue::Passage| at.part == Part::Answer && at.round == condition.round;
                let Some((answer, before)) = passages.rfind(answers).zip(transcript.before_answer(condition.round))
                else {
                    continue;
                };
                let ids = model.tokenizer().encode_rendered(transcript.text(answer))?;
                let prompt = before.prompt(model)?.ids;
                if !ids.is_empty() && prompt.len() + ids.len() <= model.context() && texts.len() < most {
                    texts.push((prompt, ids));
                }
            }
        }
        if texts.is_empty() {
            let expected = "at least one answer of the control with tokens, by which the effect on fluency is measured";
            return Err(Error::setting("study", "no answers of the control", expected));
        }
        Ok(Fluency { model, texts })
    }

    /// Answers.
    pub fn answers(&self) -> usize {
        self.texts.len()
    }

    /// Mean log-likelihood of the answers' tokens under these interventions, in nats a token.
    pub fn mean(&self, interventions: &[Intervention]) -> Result<f64> {
        let mut session = Session::new(self.model);
        session.intervene(interventions);
        let (mut total, mut tokens) = (0.0, 0);
        for batch in self.texts.chunks(BATCH) {
            let prompts: Vec<&[u32]> = batch.iter().map(|(prompt, _)| prompt.as_slice()).collect();
            session.forget();
            session.read(&prompts)?;
            let answers: Vec<Vec<Vec<u32>>> = batch.iter().map(|(_, answer)| vec![answer.clone()]).collect();
            for score in session.score(&answers)?.into_iter().flatten() {
                total += score.total;
                tokens += score.tokens;
            }
        }
        Ok(total / tokens.max(1) as f64)
    }

    /// The strength at which interventions lose `target` nats a token of `plain`: by interpolation between the logarithms of
    /// strength and loss, since a small change loses as its square, within a bracket, and by halving it where that does not
    /// help. What comes nearest where [`TOLERANCE`] is not reached.
    pub fn matched(&self, plain: f64, target: f64, at: impl Fn(f64) -> Vec<Intervention>) -> Result<Strength> {
        search(target, |strength| Ok(plain - self.mean(&at(strength))?))
    }
}

/// The strength whose loss is `target`, above 0.
fn search(target: f64, mut loss_at: impl FnMut(f64) -> Result<f64>) -> Result<Strength> {
    let mut low: Option<(f64, f64)> = None;
    let mut high: Option<(f64, f64)> = None;
    let mut best: Option<Strength> = None;
    let mut strength = 1.0;
    for _ in 0..TRIES {
        let loss = loss_at(strength)?;
        // What is no number is as good as no fluency at all.
        let loss = if loss.is_finite() { loss } else { f64::MAX };
        let reached = (loss - target).abs() <= TOLERANCE * target;
        if best.is_none_or(|best| (loss - target).abs() < (best.loss - target).abs()) {
            best = Some(Strength { strength, loss, reached });
        }
        if reached {
            break;
        }
        match loss < target {
            true => low = Some((strength, loss)),
            false => high = Some((strength, loss)),
        }
        let of_square = |loss: f64| (target / loss.max(1e-9)).sqrt();
        strength = match (low, high) {
            (Some((s, loss)), None) => s * of_square(loss).clamp(1.2, 8.0),
            (None, Some((s, loss))) => s * of_square(loss).clamp(0.125, 1.0 / 1.2),
            (Some(low), Some(high)) => between(low, high, target),
            (None, None) => strength,
        };
        if !(1.0 / WIDEST..=WIDEST).contains(&strength) {
            break;
        }
    }
    best.ok_or_else(|| Error::setting("strength", "none", "at least one that was tried"))
}

/// Between two strengths, the first of which loses less than `target`, the other more.
fn between(low: (f64, f64), high: (f64, f64), target: f64) -> f64 {
    let middle = (low.0 * high.0).sqrt();
    if low.1 <= 0.0 {
        return middle;
    }
    let share = (target.ln() - low.1.ln()) / (high.1.ln() - low.1.ln());
    // Close to an end the bracket would hardly shrink.
    match (0.1..=0.9).contains(&share) {
        true => (low.0.ln() + share * (high.0.ln() - low.0.ln())).exp(),
        false => middle,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_search_hits_its_target_or_says_that_it_does_not() {
        let curves: [&dyn Fn(f64) -> f64; 4] = [
            &|s| 0.02 * s * s,
            &|s| 3.0 * s * s / (1.0 + s),
            &|s| if s < 2.0 { -0.001 } else { 0.3 * (s - 2.0) },
            &|s| if s > 6.0 { f64::NAN } else { 0.1 * s.powi(3) },
        ];
        for (number, curve) in curves.iter().enumerate() {
            for target in [0.01, 0.2, 1.5] {
                let mut tries = 0;
                let found = search(target, |strength| {
                    tries += 1;
                    Ok(curve(strength))
                })
                .unwrap();
                assert!(found.reached, "curve {number}, target {target}: {found:?}");
                assert!((curve(found.strength) - target).abs() <= TOLERANCE * target && tries <= TRIES);
            }
        }
        // A direction that never loses so much.
        let found = search(1.0, |s| Ok(0.5 * s / (1.0 + s))).unwrap();
        assert!(!found.reached && found.loss < 0.5, "{found:?}");
    }
}
