//! What to read, and reading it from plain texts.

use std::collections::HashSet;
use std::ops::Range;

use super::collector::Collector;
use super::pool::Pool;
use super::{Activations, Provenance, TokenRows};
use crate::hook::{Address, Selection, Site};
use crate::model::LogitsFor;
use crate::progress::Progress;
use crate::text::{Encoded, PadSide, Text, TokenBatch};
use crate::{Error, Model, Result};

/// What to read from a model: places, and how the tokens of a span become a row.
///
/// ```no_run
/// use probity::{capture::{Pool, Readout}, hook::Site, text::Text, Model};
/// let model = Model::load("SmolLM2-135M-Instruct.Q4_1.gguf")?;
/// let texts = [Text::new("a", "I gave the coat back."), Text::new("b", "I kept the coat.")];
/// let acts = Readout::new(Site::ResidPost.all_layers(), Pool::Last).capture(&model, &texts)?;
/// assert_eq!(acts.at(Site::ResidPost.at(3))?.dim(), (2, model.config().d_model));
/// # Ok::<(), probity::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Readout {
    selection: Selection,
    pool: Pool,
    batch_tokens: usize,
    pad: PadSide,
}

impl Readout {
    /// Reads the selected places, pooled over each text's span.
    pub fn new(selection: impl Into<Selection>, pool: Pool) -> Self {
        Readout { selection: selection.into(), pool, batch_tokens: 2048, pad: PadSide::Right }
    }

    /// Tokens in a batch, padding included. Default 2048; a longer text makes a batch of its own.
    pub fn batch_tokens(mut self, tokens: usize) -> Self {
        self.batch_tokens = tokens;
        self
    }

    /// Side of the padding. Default right; the states are the same.
    pub fn pad(mut self, side: PadSide) -> Self {
        self.pad = side;
        self
    }

    /// The pooling.
    pub fn pool(&self) -> Pool {
        self.pool
    }

    /// The addresses in this model.
    ///
    /// # Errors
    /// [`Error::UnknownAddress`]; [`Error::Setting`] for nothing selected, or for [`Site::Pattern`], whose
    /// rows are no states of tokens.
    pub fn addresses(&self, model: &Model) -> Result<Vec<Address>> {
        let addresses = self.selection.resolve(&model.config().geometry())?;
        match addresses.iter().find(|address| address.site() == Site::Pattern) {
            Some(pattern) => {
                Err(Error::setting("selection", pattern, "attention patterns cannot be pooled: use Hooks"))
            }
            None => Ok(addresses),
        }
    }

    /// Reads all texts. Rows come in the order of the texts, whatever the batching.
    ///
    /// # Errors
    /// [`Error::TextLength`] for a text that is empty or longer than the context, before anything is run;
    /// [`Error::Setting`] for a span without tokens or a repeated id; [`Error::NotFinite`] if the model
    /// overflows; those of [`Readout::addresses`].
    pub fn capture(&self, model: &Model, texts: &[Text]) -> Result<Activations> {
        self.capture_with(model, texts, &())
    }

    /// [`Readout::capture`] with progress, counted in texts.
    ///
    /// # Errors
    /// As [`Readout::capture`].
    pub fn capture_with(&self, model: &Model, texts: &[Text], progress: &dyn Progress) -> Result<Activations> {
        let addresses = self.addresses(model)?;
        let encoded = encode(model, texts)?;
        let spans = texts.iter().zip(&encoded).map(|(text, tokens)| span(text, tokens)).collect::<Result<Vec<_>>>()?;
        let offsets: Vec<usize> = match self.pool {
            Pool::None => std::iter::once(0)
                .chain(spans.iter().scan(0, |at, span| {
                    *at += span.len();
                    Some(*at)
                }))
                .collect(),
            Pool::Last | Pool::Mean => (0..=texts.len()).collect(),
        };
        let rows = offsets.last().copied().unwrap_or(0);
        let mut collector = Collector::new(addresses, self.pool, rows);

        progress.begin("reading hidden states", texts.len() as u64);
        for batch in batches(&encoded, self.batch_tokens) {
            let ids: Vec<&[u32]> = batch.iter().map(|&text| encoded[text].ids.as_slice()).collect();
            let input = TokenBatch::new(&ids, self.pad)?;
            let columns = batch
                .iter()
                .zip(&input.rows)
                .map(|(&text, row)| row.start + spans[text].start..row.start + spans[text].end)
                .collect();
            let targets = batch.iter().flat_map(|&text| offsets[text]..offsets[text + 1]).collect();
            let mut hooks = collector.hooks(columns, targets);
            model.decoder().forward(&input, None, &mut hooks, LogitsFor::None)?;
            progress.advance(batch.len() as u64);
        }

        let mut activations = Activations::new(texts.iter().map(|text| text.id.clone()))
            .with_provenance(model.provenance().clone())
            .with_provenance(self.provenance());
        if let Some(groups) = texts.iter().map(|text| text.group.clone()).collect() {
            activations = activations.with_groups(groups)?;
        }
        if self.pool == Pool::None {
            let kept = encoded.iter().zip(&spans).flat_map(|(tokens, span)| &tokens.ids[span.clone()]);
            let tokens = kept.map(|&id| i64::from(id)).collect();
            let offsets = offsets.iter().map(|&at| at as i64).collect();
            activations = activations.with_token_rows(TokenRows { offsets, tokens })?;
        }
        let activations = collector.finish(activations)?;
        activations.check_finite()?;
        Ok(activations)
    }

    pub(crate) fn provenance(&self) -> Provenance {
        Provenance::from([("pool".to_owned(), self.pool.name().to_owned())])
    }
}

fn encode(model: &Model, texts: &[Text]) -> Result<Vec<Encoded>> {
    let context = model.config().context;
    let mut seen = HashSet::new();
    texts
        .iter()
        .map(|text| {
            if !seen.insert(&text.id) {
                return Err(Error::setting("id", &text.id, "ids must be unique"));
            }
            let encoded = model.tokenizer().encode(&text.text)?;
            // Without a text there is nothing to read, also where the tokeniser adds a token before every text.
            let tokens = if text.text.is_empty() { 0 } else { encoded.ids.len() };
            if tokens == 0 || tokens > context {
                return Err(Error::TextLength { what: format!("text {:?}", text.id), tokens, context });
            }
            Ok(encoded)
        })
        .collect()
}

/// The tokens to read.
fn span(text: &Text, encoded: &Encoded) -> Result<Range<usize>> {
    let Some(span) = text.span else { return Ok(0..encoded.ids.len()) };
    let tokens = span.tokens(&encoded.bytes);
    if span.end > text.text.len() || span.start >= span.end || tokens.is_empty() {
        let expected =
            format!("must hold at least one token of text {:?}, which has {} bytes", text.id, text.text.len());
        return Err(Error::setting("span", format!("{}..{}", span.start, span.end), expected));
    }
    Ok(tokens)
}

/// Texts of like length together, so that little is padded: text numbers, longest batch first.
fn batches(encoded: &[Encoded], budget: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..encoded.len()).collect();
    order.sort_by_key(|&text| std::cmp::Reverse(encoded[text].ids.len()));
    let mut batches: Vec<Vec<usize>> = Vec::new();
    let mut widest = 0;
    for text in order {
        match batches.last_mut() {
            Some(batch) if (batch.len() + 1) * widest <= budget => batch.push(text),
            _ => {
                widest = encoded[text].ids.len();
                batches.push(vec![text]);
            }
        }
    }
    batches
}
