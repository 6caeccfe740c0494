//! What to read, and reading it from plain texts.

use std::collections::HashSet;
use std::ops::Range;

use super::collector::Collector;
use super::pool::Pool;
use super::rows::{batches, rows, Row};
use super::{Activations, TokenRows};
use crate::hook::{Address, Intervention, Selection, Site};
use crate::model::{KvCache, LogitsFor};
use crate::progress::Progress;
use crate::text::{Encoded, PadSide, Text, TokenBatch, TokenTree};
use crate::{file, Error, Model, Provenance, Result};

/// Fewer shared tokens than these are not worth a pass of their own.
const LEAST_SHARED_TOKENS: usize = 8;

/// What to read from a model: places, and how the tokens of a span become a row.
///
/// ```no_run
/// use probity::{capture::{Pool, Readout}, hook::Site, text::Text, Model};
/// let model = Model::load("SmolLM2-135M-Instruct.Q4_1.gguf")?;
/// let texts = [Text::new("a", "I gave the coat back."), Text::new("b", "I kept the coat.")];
/// let acts = Readout::new(Site::ResidPost.all_layers(), Pool::Last).capture(&model, &texts)?;
/// assert_eq!(acts.at(Site::ResidPost.at(3))?.dim(), (2, 576));
/// # Ok::<(), probity::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use]
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
        let addresses = self.selection.resolve(&model.geometry())?;
        match addresses.iter().find(|address| address.site() == Site::Pattern) {
            Some(pattern) => {
                Err(Error::setting("selection", pattern, "attention patterns cannot be pooled: use Hooks"))
            }
            None => Ok(addresses),
        }
    }

    /// Reads all texts. Rows come in the order of the texts, whatever the batching. Texts with the same tokens are run
    /// once, so that several spans of a text cost no more than one.
    ///
    /// # Errors
    /// [`Error::TextLength`] for a text that is empty or longer than the context, before anything is run;
    /// [`Error::Setting`] for a span without tokens or a repeated id; [`Error::NotFinite`] if the model
    /// overflows; those of [`Readout::addresses`].
    pub fn capture(&self, model: &Model, texts: &[Text]) -> Result<Activations> {
        self.capture_with_progress(model, texts, &())
    }

    /// [`Readout::capture`] with progress, counted in texts.
    ///
    /// # Errors
    /// Those of [`Readout::capture`].
    pub fn capture_with_progress(&self, model: &Model, texts: &[Text], progress: &dyn Progress) -> Result<Activations> {
        self.capture_under(model, texts, &[], progress)
    }

    /// [`Readout::capture_with_progress`] of states that every pass changes by these interventions.
    pub(crate) fn capture_under(
        &self,
        model: &Model,
        texts: &[Text],
        interventions: &[Intervention],
        progress: &dyn Progress,
    ) -> Result<Activations> {
        let addresses = self.addresses(model)?;
        let job = Job::new(model, texts, self.pool)?;
        let prefix = self.shared_prefix(model, &addresses, &job).map_or(0, <[u32]>::len);
        let mut collector = Collector::new(addresses, self.pool, job.rows());

        progress.begin("reading hidden states", texts.len() as u64);
        let start = (prefix > 0).then(|| job.read_start(model, prefix, interventions)).transpose()?;
        let first_read = |text: usize| self.first_read(&job.spans[text]);
        let branches = self.branches(model, &job) && interventions.is_empty();
        let reads = branches.then_some(&first_read as &dyn Fn(usize) -> usize);
        // No row is longer than the longest text that a network must take.
        let rows = rows(&job.encoded, &job.hidden, reads, self.batch_tokens.min(model.context()));
        for batch in batches(&rows, self.batch_tokens) {
            let ids: Vec<&[u32]> = batch.iter().map(|row| &job.encoded[row.first()].ids[prefix..]).collect();
            let trees = || batch.iter().map(|row| row.tree(&job.encoded, prefix)).collect::<Vec<TokenTree>>();
            let branches = batch.iter().any(|row| row.branches());
            tracing::debug!(rows = batch.len(), shared = prefix, branches, "reading a batch");
            let (input, mut cache) = match &start {
                Some(start) => {
                    let mut cache = start.repeated(ids.len())?;
                    (if branches { cache.branch(&trees())? } else { cache.append(&ids)? }, Some(cache))
                }
                None if branches => (TokenBatch::branching(&trees())?, None),
                None => (job.hiding(TokenBatch::new(&ids, self.pad)?, &batch)?, None),
            };
            let (columns, targets) = job.places(&input, &batch, prefix);
            let read = columns.len() as u64;
            let mut hooks = Intervention::hooks(interventions).then(collector.hooks(columns, targets));
            model.network().forward(&input, cache.as_mut(), &mut hooks, LogitsFor::None)?;
            progress.advance(read);
        }

        let mut activations = Activations::new(texts.iter().map(|text| text.id.clone()))
            .with_provenance(model.provenance().clone())
            .with_provenance(self.provenance())
            .with_provenance(of_texts(texts)?);
        if let Some(groups) = texts.iter().map(|text| text.group.clone()).collect() {
            activations = activations.with_groups(groups)?;
        }
        if self.pool == Pool::EveryToken {
            activations = activations.with_token_rows(job.token_rows())?;
        }
        let activations = collector.finish(activations)?;
        activations.check_finite()?;
        Ok(activations)
    }

    /// Tokens that all texts begin with and of which none is read: these are run once. `None` where that
    /// would gain little, and where padding on the left was asked for, which a cache does not have.
    fn shared_prefix<'j>(&self, model: &Model, addresses: &[Address], job: &'j Job) -> Option<&'j [u32]> {
        if !self.branches(model, job) {
            return None;
        }
        // A pass with a cache goes through all layers, one without stops after the last that is read.
        let all_layers = addresses.iter().any(|address| match address.layer() {
            Some(layer) => layer + 1 == model.geometry().layers,
            None => address.site() != Site::Embed,
        });
        let (first, rest) = job.encoded.split_first().filter(|(_, rest)| !rest.is_empty())?;
        let unread = job.spans.iter().map(|span| self.first_read(span)).min()?;
        let common = |text: &Encoded| first.ids.iter().zip(&text.ids).take_while(|(a, b)| a == b).count();
        let shared = rest.iter().map(common).min()?.min(unread);
        (all_layers && shared >= LEAST_SHARED_TOKENS).then(|| &first.ids[..shared])
    }

    /// Whether texts can share the run of what they begin with: on a network with a cache, which minds whose token is seen
    /// by whom, and which no text is so long for that its beginning is run otherwise. What hides tokens differs from text to
    /// text, so that they share no beginning, and padding on the left is for whole texts.
    fn branches(&self, model: &Model, job: &Job) -> bool {
        let network = model.network();
        let held = |limit: usize| job.encoded.iter().all(|text| text.ids.len() <= limit);
        network.uses_cache()
            && network.cache_holds_up_to().is_none_or(held)
            && self.pad == PadSide::Right
            && job.hidden.iter().all(Vec::is_empty)
    }

    /// The first token of a span that is read.
    fn first_read(&self, span: &Range<usize>) -> usize {
        match self.pool {
            Pool::Last => span.end.saturating_sub(1),
            Pool::Mean | Pool::EveryToken => span.start,
        }
    }

    /// Checks what [`Readout::capture`] checks of texts before it runs any.
    ///
    /// # Errors
    /// [`Error::TextLength`]; [`Error::Setting`] for a span without tokens or a repeated id.
    pub(super) fn check(&self, model: &Model, texts: &[Text]) -> Result<()> {
        let encoded = encode(model, texts)?;
        texts.iter().zip(&encoded).try_for_each(|(text, tokens)| span(text, tokens).map(drop))
    }

    /// Tokens in a batch, and the side of the padding.
    pub(super) fn batching(&self) -> (usize, PadSide) {
        (self.batch_tokens, self.pad)
    }

    pub(crate) fn provenance(&self) -> Provenance {
        Provenance::from([("pool".to_owned(), self.pool.name().to_owned())])
    }
}

/// Which texts were read, and whether as conversations.
pub(super) fn of_texts(texts: &[Text]) -> Result<Provenance> {
    let failed = |error: serde_json::Error| Error::setting("texts", "", error.to_string());
    let rendered = texts.iter().filter(|text| text.rendered).count();
    let form = match rendered {
        0 => "plain",
        some if some == texts.len() => "rendered",
        _ => "plain and rendered",
    };
    Ok(Provenance::from([
        ("texts_sha256".to_owned(), file::sha256_of_json(&texts).map_err(failed)?),
        ("texts_form".to_owned(), form.to_owned()),
    ]))
}

/// The tokens of all texts, and what of them is read.
struct Job {
    encoded: Vec<Encoded>,
    /// The tokens of each text that are read.
    spans: Vec<Range<usize>>,
    /// The tokens of each text that the others do not see.
    hidden: Vec<Vec<Range<usize>>>,
    /// Row of the result at which each text begins, and the number of rows.
    offsets: Vec<usize>,
}

impl Job {
    fn new(model: &Model, texts: &[Text], pool: Pool) -> Result<Self> {
        let encoded = encode(model, texts)?;
        let both = || texts.iter().zip(&encoded);
        let spans = both().map(|(text, tokens)| span(text, tokens)).collect::<Result<Vec<_>>>()?;
        let hidden = both().map(|(text, tokens)| hidden(text, tokens)).collect();
        let rows = spans.iter().scan(0, |at, span: &Range<usize>| {
            *at += if pool == Pool::EveryToken { span.len() } else { 1 };
            Some(*at)
        });
        let offsets = std::iter::once(0).chain(rows).collect();
        Ok(Job { encoded, spans, hidden, offsets })
    }

    /// Rows of the result.
    fn rows(&self) -> usize {
        self.offsets.last().copied().unwrap_or(0)
    }

    /// The keys and values of the tokens that all texts begin with.
    fn read_start(&self, model: &Model, tokens: usize, interventions: &[Intervention]) -> Result<KvCache> {
        let mut cache = KvCache::for_network(model.network(), None);
        let first = self.encoded.first().and_then(|first| first.ids.get(..tokens)).unwrap_or_default();
        let batch = cache.append(&[first])?;
        model.network().forward(&batch, Some(&mut cache), &mut Intervention::hooks(interventions), LogitsFor::None)?;
        Ok(cache)
    }

    /// The batch with what is hidden in its texts hidden.
    fn hiding(&self, mut input: TokenBatch, batch: &[&Row]) -> Result<TokenBatch> {
        let shifted = |(row, texts): (&Range<usize>, &&Row)| {
            self.hidden[texts.first()].iter().map(|range| range.start + row.start..range.end + row.start).collect()
        };
        let ranges: Vec<Vec<Range<usize>>> = input.rows.iter().zip(batch).map(shifted).collect();
        input.hide(&ranges)?;
        Ok(input)
    }

    /// What is read from a batch of texts without their first `skipped` tokens: the row and the columns of each text, and
    /// the rows of the result that these make.
    fn places(&self, input: &TokenBatch, batch: &[&Row], skipped: usize) -> (Vec<(usize, Range<usize>)>, Vec<usize>) {
        let (mut columns, mut targets) = (Vec::new(), Vec::new());
        for (row, member) in batch.iter().enumerate().flat_map(|(row, of)| of.members.iter().map(move |one| (row, one)))
        {
            // Only a span's unread beginning can lie in a shared part.
            let at = |token: usize| input.rows[row].start + member.column(token, skipped);
            for &text in &member.texts {
                columns.push((row, at(self.spans[text].start)..at(self.spans[text].end)));
                targets.extend(self.offsets[text]..self.offsets[text + 1]);
            }
        }
        (columns, targets)
    }

    /// Which rows are whose, where every token is kept.
    fn token_rows(&self) -> TokenRows {
        let kept = self.encoded.iter().zip(&self.spans).flat_map(|(tokens, span)| &tokens.ids[span.clone()]);
        let tokens = kept.map(|&id| i64::from(id)).collect();
        TokenRows { offsets: self.offsets.iter().map(|&at| at as i64).collect(), tokens }
    }
}

fn encode(model: &Model, texts: &[Text]) -> Result<Vec<Encoded>> {
    let context = model.context();
    let mut seen = HashSet::new();
    texts
        .iter()
        .map(|text| {
            if !seen.insert(&text.id) {
                return Err(Error::setting("id", &text.id, "ids must be unique"));
            }
            let encoded = model.tokenizer().encode_text(text)?;
            // Without a text there is nothing to read, also where the tokeniser adds a token before every text.
            let tokens = if text.text.is_empty() { 0 } else { encoded.ids.len() };
            if tokens == 0 || tokens > context {
                return Err(Error::text_length(format!("text {:?}", text.id), tokens, context));
            }
            Ok(encoded)
        })
        .collect()
}

/// The tokens to read: those of the span, or of the text. Tokens that the tokeniser adds (such as BOS, whose
/// state is an attention sink) are not the text's.
fn span(text: &Text, encoded: &Encoded) -> Result<Range<usize>> {
    let Some(span) = text.span else {
        let own = |&(start, end): &(usize, usize)| start < end;
        let first = encoded.bytes.iter().position(own).unwrap_or(0);
        let last = encoded.bytes.iter().rposition(own).map_or(encoded.ids.len(), |last| last + 1);
        return Ok(first..last);
    };
    let tokens = span.tokens(&encoded.bytes);
    if span.end > text.text.len() || span.start >= span.end || tokens.is_empty() {
        let expected =
            format!("must hold at least one token of text {:?}, which has {} bytes", text.id, text.text.len());
        return Err(Error::setting("span", format!("{}..{}", span.start, span.end), expected));
    }
    Ok(tokens)
}

/// The tokens that others do not see.
fn hidden(text: &Text, encoded: &Encoded) -> Vec<Range<usize>> {
    text.hidden.iter().map(|span| span.tokens(&encoded.bytes)).filter(|range| !range.is_empty()).collect()
}
