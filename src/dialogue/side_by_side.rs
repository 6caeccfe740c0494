//! How many conversations fit into a budget of memory.

use super::asking::opening;
use super::instruction::Instruction;
use super::self_correction::SelfCorrection;
use super::transcript::Transcript;
use crate::hook::Address;
use crate::task::Item;
use crate::text::Role;
use crate::{Model, Result};

/// Room in tokens for what a chat template puts around a question and its answer, and for the form of an answer. It is a
/// guess; most templates need less.
const TEMPLATE_TOKENS: usize = 64;

/// The number of conversations to run side by side: as many as the protocol allows, fewer where their keys and values, and
/// the states of answers that are read, would not fit into its budget, and at least one.
pub(super) fn side_by_side<I: Item>(
    protocol: &SelfCorrection<I>,
    model: &Model,
    addresses: &[Address],
) -> Result<usize> {
    let Some(token) = model.network().cache_bytes_per_token() else { return Ok(protocol.batch) };
    let tokens = longest(protocol, model)?.min(model.context());
    // States are as wide as the residual stream at nearly every site.
    let state = model.config().map_or(0, |config| config.d_model * size_of::<f32>());
    let answer = if protocol.reads_answers { protocol.decoding.max_tokens() * addresses.len() * state } else { 0 };
    let fit = protocol.cache_budget / (tokens * token + answer).max(1);
    if fit < protocol.batch {
        tracing::debug!(
            fit,
            batch = protocol.batch,
            tokens,
            "fewer conversations side by side, for the cache's budget"
        );
    }
    Ok(protocol.batch.min(fit).max(1))
}

/// Tokens that a conversation may grow to.
fn longest<I: Item>(protocol: &SelfCorrection<I>, model: &Model) -> Result<usize> {
    let length = |text: &str| -> Result<usize> { Ok(model.tokenizer().encode_rendered(text)?.len()) };
    let all = || protocol.instructions.iter().chain(&protocol.re_elicit).flat_map(Instruction::all_wordings);
    let mut of_turn = protocol.decoding.max_tokens() + TEMPLATE_TOKENS;
    let (mut first, mut review, mut thinks) = (0, 0, protocol.thinking.is_some());
    for instruction in all() {
        first = first.max(length(&instruction.first)?);
        review = review.max(length(&instruction.review)?);
        thinks |= instruction.reasoning.is_some() || instruction.asks_itself().is_some() || instruction.wants_judge();
    }
    if thinks {
        of_turn += 2 * protocol.reasoning.max_tokens() + TEMPLATE_TOKENS;
    }
    // The longest by its letters is the longest, or nearly so, by its tokens.
    let items = protocol.task.items();
    let question =
        |item: &I| opening(item, None::<&Instruction>, None).iter().map(|(_, text)| text.len()).sum::<usize>();
    let opened = match items.iter().max_by_key(|item| question(item)) {
        Some(item) => {
            let mut talk = Transcript::new();
            talk.say_parts(Role::User, 0, opening(item, None, None));
            talk.prompt(model)?.ids.len()
        }
        None => 0,
    };
    let turns = protocol.rounds + 1 + usize::from(!protocol.re_elicit.is_empty());
    // Conversations of unequal lengths leave gaps beside each other.
    Ok((opened + first + turns * (review + of_turn)) * 5 / 4)
}
