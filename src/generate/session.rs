//! A batch of texts that grow together over one key/value cache.

use std::sync::Arc;

use tch::{Kind, Tensor};

use crate::hook::{Hooks, Intervention};
use crate::model::{KvCache, LogitsFor};
use crate::text::{SlotLedger, TokenBatch};
use crate::{Error, Model, Result};

/// A batch of b growing texts (such as conversations) with their keys and values.
///
/// The result of every call depends on the texts and on that call's hooks only, never on what the cache happened
/// to hold: what a row and its new text have in common is reused, the rest is run.
///
/// Hooks that replace change the keys and values that are kept. A read with such hooks must be the session's
/// first, and the read after it starts anew; scores and answers that follow it continue from the changed states.
/// [`Session::generate_hooked`] has hooks on the answer's own tokens. [`Session::intervene`] changes every pass alike: then
/// keys and values serve the next read as they do without.
///
/// ```no_run
/// use probity::{generate::{Decoding, Session}, Model};
/// let model = Model::load("SmolLM2-135M-Instruct.Q4_1.gguf")?;
/// let prompt = model.tokenizer().encode("The capital of France is")?.ids;
/// let mut session = Session::new(&model);
/// session.read(&[&prompt])?;
/// let answer = session.generate(&Decoding::new(8))?;
/// println!("{}", answer[0].text);
/// # Ok::<(), probity::Error>(())
/// ```
#[derive(Debug)]
pub struct Session<'m> {
    pub(super) model: &'m Model,
    pub(super) cache: KvCache,
    /// Natural logarithms of the next token's probabilities after what was read, `[b, v]`.
    pub(super) next: Option<Tensor>,
    /// Whether the cache holds states that a hook has changed.
    pub(super) altered: bool,
    /// What every pass is run under, before the hooks of its call.
    interventions: Arc<[Intervention]>,
    /// Slots to make room for after what is read next.
    reserved: usize,
    limit: Option<usize>,
    peak: usize,
}

impl<'m> Session<'m> {
    /// An empty session.
    pub fn new(model: &'m Model) -> Self {
        let cache = KvCache::for_network(model.network(), None);
        Session {
            model,
            cache,
            next: None,
            altered: false,
            interventions: [].into(),
            reserved: 0,
            limit: None,
            peak: 0,
        }
    }

    /// Sets how many bytes keys and values may take. Default: no limit. What would take more is an error, and the session is
    /// then empty.
    pub fn cache_limit(mut self, bytes: usize) -> Self {
        self.limit = Some(bytes);
        self.cache = self.new_cache();
        self
    }

    /// Makes room for so many tokens after the texts that are read next, so that what follows them is not in the way of
    /// growing. A hint: nothing depends on it but time.
    pub fn reserve(&mut self, tokens: usize) {
        self.reserved = tokens;
    }

    /// Runs every pass from now on under these interventions, at every token: reading, scoring and generating. Hooks of a call
    /// come after them and see what they left. Other interventions than before let go of what was read. Default: none.
    pub fn intervene(&mut self, interventions: &[Intervention]) {
        if *self.interventions != *interventions {
            self.interventions = interventions.into();
            self.altered = false;
            self.forget();
        }
    }

    pub(super) fn new_cache(&self) -> KvCache {
        KvCache::for_network(self.model.network(), self.limit)
    }

    /// Reads b whole texts; only what the cache does not hold yet is run.
    ///
    /// # Errors
    /// [`Error::TextLength`] for an empty text or one longer than the context; those of
    /// [`Network::forward`](crate::model::Network::forward). The session is then empty.
    pub fn read(&mut self, texts: &[&[u32]]) -> Result<()> {
        self.read_hooked(texts, |_| Hooks::new())
    }

    /// [`Session::read`] with hooks. `hooks` makes those of this pass; it is given the batch that is run, which always
    /// includes each text's last token.
    ///
    /// # Errors
    /// Those of [`Session::read`] and of the hooks; [`Error::Setting`] for hooks that replace, where some of the texts was
    /// read without them. The session is then empty.
    pub fn read_hooked<'h>(&mut self, texts: &[&[u32]], hooks: impl FnOnce(&TokenBatch) -> Hooks<'h>) -> Result<()> {
        self.check_length(texts.iter().map(|text| text.len()))?;
        self.next = None;
        // Taken out, so that a failed pass leaves no cache that claims tokens it never saw.
        let mut cache = self.take_cache();
        let lengths: Vec<usize> = texts.iter().map(|text| text.len()).collect();
        if std::mem::take(&mut self.altered) || self.must_rerun(cache.ledger(), &lengths) {
            cache = self.new_cache();
        }
        let batch = cache.continue_with(texts)?;
        cache.reserve(self.reserved);
        let hooks = hooks(&batch);
        let replaces = hooks.replaces();
        let kept = lengths.iter().zip(&batch.rows).any(|(&length, row)| row.len() < length);
        if replaces && kept {
            let expected = "hooks that replace need a session that has read nothing yet";
            return Err(Error::setting("hooks", "replacing", expected));
        }
        let logits = self.run(&batch, &mut cache, hooks, LogitsFor::Last)?;
        self.altered = replaces;
        self.cache = cache;
        self.next = logits.map(|logits| logits.f_select(1, 0)?.f_log_softmax(-1, Kind::Float)).transpose()?;
        Ok(())
    }

    /// Lets go of what was read, so that all of the next texts is run.
    pub(crate) fn forget(&mut self) {
        self.next = None;
        self.cache = self.new_cache();
    }

    /// Bytes that keys and values take.
    pub fn cache_bytes(&self) -> usize {
        self.cache.bytes()
    }

    /// Most bytes that keys and values took so far.
    pub fn peak_cache_bytes(&self) -> usize {
        self.peak
    }

    /// The cache, an empty one in its place.
    pub(super) fn take_cache(&mut self) -> KvCache {
        let empty = self.new_cache();
        std::mem::replace(&mut self.cache, empty)
    }

    pub(super) fn next(&self) -> Result<&Tensor> {
        self.next.as_ref().ok_or_else(unread)
    }

    /// A pass over a batch that `cache` has just laid out.
    pub(super) fn run(
        &mut self,
        batch: &TokenBatch,
        cache: &mut KvCache,
        hooks: Hooks<'_>,
        logits: LogitsFor,
    ) -> Result<Option<Tensor>> {
        let found = self.pass(batch, self.model.network().uses_cache().then_some(&mut *cache), hooks, logits);
        self.peak = self.peak.max(cache.bytes());
        found
    }

    /// A pass under the session's interventions.
    pub(super) fn pass(
        &self,
        batch: &TokenBatch,
        cache: Option<&mut KvCache>,
        hooks: Hooks<'_>,
        logits: LogitsFor,
    ) -> Result<Option<Tensor>> {
        let mut hooks = Intervention::hooks(&self.interventions).then(hooks);
        self.model.network().forward(batch, cache, &mut hooks, logits)
    }

    /// Whether what is cached does not serve for rows that grow to these lengths: because the network uses no
    /// cache, or because it treats the whole text otherwise from some length on.
    pub(super) fn must_rerun(&self, ledger: &SlotLedger, lengths: &[usize]) -> bool {
        if !self.model.network().uses_cache() {
            return true;
        }
        let Some(limit) = self.model.network().cache_holds_up_to() else { return false };
        let held = |row: usize| ledger.tokens(row).count();
        lengths.iter().enumerate().any(|(row, &length)| held(row) > 0 && (held(row) <= limit) != (length <= limit))
    }

    pub(super) fn check_length(&self, lengths: impl Iterator<Item = usize>) -> Result<()> {
        let context = self.model.context();
        for (row, tokens) in lengths.enumerate() {
            if tokens == 0 || tokens > context {
                return Err(Error::text_length(format!("text {row} of a session"), tokens, context));
            }
        }
        Ok(())
    }
}

/// The texts that the rows of a ledger hold, each with more tokens after it.
pub(super) fn whole(ledger: &SlotLedger, more: &[&[u32]]) -> Vec<Vec<u32>> {
    more.iter().enumerate().map(|(row, more)| ledger.tokens(row).chain(more.iter().copied()).collect()).collect()
}

pub(super) fn lost() -> Error {
    let expected = "the whole text must be run again, so that what hooks replaced would be lost: replace here too";
    Error::setting("hooks", "none", expected)
}

pub(super) fn unread() -> Error {
    Error::setting("session", "empty", "call Session::read before scoring or generating")
}
