//! States over the answers' tokens, read while they are generated.

use super::table::Table;
use super::{Part, Transcript};
use crate::capture::{Collector, Tail};
use crate::task::Item;
use crate::Result;

impl<I: Item> Table<'_, I> {
    /// Puts the mean states over the tokens of the answers that `shown`, the conversations as the model saw them, end with;
    /// an empty answer has none. `texts` are the tokens that were run, `tail` holds their states from the prompts' ends on.
    ///
    /// What counts are the tokens that later rounds see. They are those that were generated, unless spaces around them were
    /// left out or the tokeniser cuts the same text otherwise: then they are run here, where the next round finds them.
    pub(super) fn read_answers(
        &mut self,
        shown: &[Transcript],
        mut texts: Vec<Vec<u32>>,
        mut tail: Tail,
        collector: &mut Collector,
    ) -> Result<()> {
        let (mut spans, mut others, mut before) = (Vec::with_capacity(texts.len()), false, false);
        for (place, (talk, text)) in shown.iter().zip(&mut texts).enumerate() {
            let prompt = talk.closed(self.model)?;
            let Some(answer) = prompt.passages.last().filter(|last| last.part == Part::Answer) else { continue };
            let tokens = answer.tokens.clone();
            let ids = prompt.ids.get(..tokens.end).unwrap_or_default();
            if !text.starts_with(ids) {
                *text = ids.to_vec();
                others = true;
            }
            before |= !tail.holds_from(place, tokens.start);
            spans.push((place, tokens));
        }
        if before {
            // A template that ends an open conversation otherwise than a closed one.
            self.session.forget();
            let mut first: Vec<usize> = texts.iter().map(Vec::len).collect();
            spans.iter().for_each(|(place, tokens)| first[*place] = tokens.start);
            tail = Tail::new(collector.addresses(), first, 0);
        }
        if others || before {
            let texts: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
            self.session.read(&texts, |batch| tail.hooks(batch))?;
        }
        if spans.is_empty() {
            return Ok(());
        }
        let rows: Vec<usize> = spans.iter().map(|&(place, _)| self.rows[place]).collect();
        collector.put(&rows, &tail.means(&spans)?)
    }
}
