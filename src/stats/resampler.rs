//! Resamples that are drawn once for each set of items and lent to every statistic of it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::{ClusterBootstrap, Settings, SignFlips};
use crate::Result;

/// Lends the bootstrap over any rows' groups: the same groups get the same resamples, which are drawn at the first call.
#[derive(Debug)]
pub(crate) struct Resampler {
    settings: Settings,
    drawn: Mutex<HashMap<Vec<String>, Arc<ClusterBootstrap>>>,
}

impl Resampler {
    /// Takes over the settings.
    ///
    /// # Errors
    /// Those of [`Settings::validate`].
    pub fn new(settings: Settings) -> Result<Self> {
        settings.validate()?;
        Ok(Resampler { settings, drawn: Mutex::default() })
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The resamples for rows in these groups, `[n]`.
    ///
    /// # Errors
    /// Those of [`ClusterBootstrap::new`].
    pub fn of(&self, groups: &[impl AsRef<str>]) -> Result<Arc<ClusterBootstrap>> {
        let key: Vec<String> = groups.iter().map(|group| group.as_ref().to_owned()).collect();
        let drawn = || self.drawn.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = drawn().get(&key) {
            return Ok(known.clone());
        }
        // Drawn without the lock, so that other sets do not wait; two that draw one set draw the same.
        let Settings { draws, flips, seed, level, .. } = self.settings;
        let fresh = Arc::new(ClusterBootstrap::new(groups, draws, seed)?.with_level(level)?.with_flips(flips));
        Ok(drawn().entry(key).or_insert(fresh).clone())
    }

    /// Sign flips for so many clusters.
    ///
    /// # Errors
    /// Those of [`SignFlips::new`].
    pub fn flips(&self, clusters: usize) -> Result<SignFlips> {
        SignFlips::new(clusters, self.settings.flips, self.settings.seed)
    }
}
