//! What is done at an address while a forward pass goes through it.

use tch::Tensor;

use super::{Address, Geometry, Site};
use crate::error::nearest;
use crate::{Error, Result};

type Observer<'a> = Box<dyn FnMut(&Tensor) -> Result<()> + 'a>;
type Replacer<'a> = Box<dyn FnMut(&Tensor) -> Result<Tensor> + 'a>;

enum Action<'a> {
    Observe(Observer<'a>),
    Replace(Replacer<'a>),
}

struct Entry<'a> {
    address: Address,
    action: Action<'a>,
    fired: bool,
}

/// The hooks of one scope: they live as long as this value and may borrow from around it.
///
/// Hooks at one address run in the order in which they were added, each on what the one before it left: an
/// observer added after a replacement sees the replaced tensor. A forward pass refuses an address that the
/// model does not have, and fails when a hook was not reached.
///
/// ```
/// use probity::hook::{Hooks, Site};
/// let mut norm = 0.0;
/// let mut hooks = Hooks::new();
/// hooks.observe(Site::ResidPost.at(3), |tensor| {
///     norm = tensor.f_norm()?.f_double_value(&[])?;
///     Ok(())
/// });
/// hooks.replace(Site::MlpOut.at(4), |tensor| Ok(tensor.f_zeros_like()?));
/// ```
#[derive(Default)]
pub struct Hooks<'a> {
    entries: Vec<Entry<'a>>,
    sites: u32,
}

/// For those who read or change a pass.
impl<'a> Hooks<'a> {
    /// No hooks: a pass with these costs one bit test per site.
    pub fn new() -> Self {
        Hooks::default()
    }

    /// Calls `action` with the tensor at `address` each time a pass goes through it. Shapes: see [`Site`];
    /// a head's address gives the tensor without the head dimension. What stands outside
    /// [`TokenBatch::rows`](crate::text::TokenBatch::rows) is padding, whose states mean nothing.
    ///
    /// The tensor may share storage with the model's own: copy what is kept, change nothing in place.
    pub fn observe(&mut self, address: Address, action: impl FnMut(&Tensor) -> Result<()> + 'a) -> &mut Self {
        self.add(address, Action::Observe(Box::new(action)))
    }

    /// The pass goes on with what `action` returns in place of the tensor at `address`.
    /// The replacement must have the same shape; it may be of another precision.
    pub fn replace(&mut self, address: Address, action: impl FnMut(&Tensor) -> Result<Tensor> + 'a) -> &mut Self {
        self.add(address, Action::Replace(Box::new(action)))
    }

    /// These hooks, then `others`.
    pub(crate) fn then(mut self, others: Hooks<'a>) -> Self {
        self.sites |= others.sites;
        self.entries.extend(others.entries);
        self
    }

    fn add(&mut self, address: Address, action: Action<'a>) -> &mut Self {
        self.sites |= address.site().bit();
        self.entries.push(Entry { address, action, fired: false });
        self
    }
}

/// For networks: what a [`Network`](crate::model::Network)'s pass calls, [`begin`](Hooks::begin) first,
/// [`tap`](Hooks::tap) once per site, [`finish`](Hooks::finish) last.
impl Hooks<'_> {
    /// Begins a pass: every hook's address must be one that the network has.
    ///
    /// # Errors
    /// [`Error::UnknownAddress`].
    pub fn begin(&mut self, geometry: &Geometry) -> Result<()> {
        for entry in &mut self.entries {
            geometry.check(entry.address)?;
            entry.fired = false;
        }
        Ok(())
    }

    /// Whether some hook wants this site in this layer; what is costly is computed only then.
    #[inline]
    pub fn wants(&self, site: Site, layer: usize) -> bool {
        self.sites & site.bit() != 0 && self.entries.iter().any(|entry| is_at(entry.address, site, layer))
    }

    /// Whether some hook replaces, so that what comes after it is no longer the model's own.
    pub fn replaces(&self) -> bool {
        self.entries.iter().any(|entry| matches!(entry.action, Action::Replace(_)))
    }

    /// The last layer that a hook needs: `None` without hooks in layers. With a hook on
    /// [`Site::FinalNorm`] or [`Site::Logits`] it is the model's last.
    pub fn last_layer(&self, geometry: &Geometry) -> Option<usize> {
        self.entries
            .iter()
            .filter_map(|entry| match entry.address.site() {
                Site::FinalNorm | Site::Logits => geometry.layers.checked_sub(1),
                _ => entry.address.layer(),
            })
            .max()
    }

    /// Runs the hooks at a site, which a pass goes through once; go on with the tensor that is returned. Sites that exist once
    /// per model have layer 0 here.
    ///
    /// # Errors
    /// What a hook returns, and [`Error::TensorShape`] for a replacement of another shape.
    #[inline]
    pub fn tap(&mut self, site: Site, layer: usize, tensor: Tensor) -> Result<Tensor> {
        if self.sites & site.bit() == 0 {
            return Ok(tensor);
        }
        self.run(site, layer, tensor)
    }

    fn run(&mut self, site: Site, layer: usize, mut tensor: Tensor) -> Result<Tensor> {
        for entry in self.entries.iter_mut().filter(|entry| is_at(entry.address, site, layer)) {
            entry.fired = true;
            let head = entry.address.head_index().zip(site.head_dim());
            let part = match head {
                Some((head, dim)) => tensor.f_select(dim, head as i64)?,
                None => tensor.shallow_clone(),
            };
            match &mut entry.action {
                Action::Observe(action) => action(&part)?,
                Action::Replace(action) => {
                    let new = action(&part)?;
                    if new.size() != part.size() {
                        return Err(Error::tensor_shape(None, entry.address.to_string(), part.size(), new.size()));
                    }
                    tensor = match head {
                        Some((head, dim)) => tensor.f_select_scatter(&new, dim, head as i64)?,
                        None => new,
                    };
                }
            }
        }
        Ok(tensor)
    }

    /// Ends a pass: every hook must have been reached.
    ///
    /// # Errors
    /// [`Error::HookNeverFired`] for the first hook that was not reached.
    pub fn finish(&self) -> Result<()> {
        let Some(silent) = self.entries.iter().find(|entry| !entry.fired) else { return Ok(()) };
        let address = silent.address.to_string();
        let reached = self.entries.iter().filter(|entry| entry.fired).map(|entry| entry.address.to_string());
        Err(Error::hook_never_fired(&address, nearest(&address, reached)))
    }
}

fn is_at(address: Address, site: Site, layer: usize) -> bool {
    address.site() == site && address.layer().is_none_or(|at| at == layer)
}
