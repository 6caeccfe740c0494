//! Which parts of the model a projection is the sum of.

use std::fmt;
use std::path::Path;

use ndarray::{s, Array2, ArrayView1, ArrayView2};
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use crate::capture::{Activations, Pool, Readout};
use crate::hook::{Address, Selection, Site};
use crate::probe::Direction;
use crate::progress::Progress;
use crate::stats::{ClusterBootstrap, Interval};
use crate::text::Text;
use crate::{file, Error, Model, Result};

/// Splits the projection of states on a direction into what the embedding, every attention head and every feed-forward
/// part adds to it (direct contributions: Elhage and others 2021, "A Mathematical Framework for Transformer Circuits").
///
/// The residual stream is a sum, so the parts add up to the projection exactly, but for rounding. Behind the final
/// norm they do so with the norm's scale frozen at that of the whole. The direction must live at `resid_pre`,
/// `resid_mid`, `resid_post` or `final_norm`. A part that adds to the projection need not cause it: later parts read
/// earlier ones.
///
/// ```no_run
/// # fn main() -> probity::Result<()> {
/// # let (model, bank): (probity::Model, probity::probe::ProbeBank) = unimplemented!();
/// use probity::{causal::Attribution, hook::Site, stats::ClusterBootstrap, text::Text};
/// let direction = &bank.get(Site::ResidPost.at(20))?.direction;
/// let (before, after) = ([Text::new("a", "I kept it.")], [Text::new("a", "I gave it back.")]);
/// let attribution = Attribution::new(direction);
/// let change = attribution.run(&model, &after)?.minus(&attribution.run(&model, &before)?)?;
/// for row in change.rows(&ClusterBootstrap::new(change.ids(), 2_000, 0)?)? {
///     println!("{} {:+.3}", row.component, row.mean.estimate);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct Attribution<'d> {
    direction: &'d Direction,
    pool: Pool,
    texts_at_once: usize,
}

/// A part of the model that adds to the residual stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Component {
    /// The embedding of token and position.
    Embed,
    /// One attention head.
    Head {
        /// Its layer.
        layer: usize,
        /// Its number.
        head: usize,
    },
    /// What attention adds beyond its heads: the bias of its output.
    AttentionBias {
        /// Its layer.
        layer: usize,
    },
    /// The feed-forward part.
    Mlp {
        /// Its layer.
        layer: usize,
    },
    /// The bias of the final norm.
    NormBias,
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Component::Embed => f.pad("embed"),
            Component::Head { layer, head } => f.pad(&Site::HeadOut.at(layer).head(head).to_string()),
            Component::AttentionBias { layer } => f.pad(&format!("L{layer}.attn_bias")),
            Component::Mlp { layer } => f.pad(&Site::MlpOut.at(layer).to_string()),
            Component::NormBias => f.pad("final_norm_bias"),
        }
    }
}

impl Component {
    /// Its layer, if it has one.
    pub fn layer(self) -> Option<usize> {
        match self {
            Component::Head { layer, .. } | Component::AttentionBias { layer } | Component::Mlp { layer } => {
                Some(layer)
            }
            Component::Embed | Component::NormBias => None,
        }
    }

    /// Whether it belongs to attention.
    pub fn is_attention(self) -> bool {
        matches!(self, Component::Head { .. } | Component::AttentionBias { .. })
    }

    /// Whether it belongs to a feed-forward part.
    pub fn is_mlp(self) -> bool {
        matches!(self, Component::Mlp { .. })
    }
}

/// What each component adds to the projection of each text's state, in the states' own unit; above 0 = more immoral.
#[derive(Debug, Clone, PartialEq)]
pub struct Contributions {
    address: Address,
    ids: Vec<String>,
    components: Vec<Component>,
    /// `[n, components]`.
    values: Array2<f64>,
    /// The projection of the state itself, `[n]`.
    totals: Vec<f64>,
}

/// The mean contribution of one component.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ComponentRow {
    /// The component; or `attention`, `feed_forward`, `total`.
    pub component: String,
    /// Its layer, if it has one.
    pub layer: Option<usize>,
    /// Mean over the texts, with its interval over groups.
    pub mean: Interval,
}

impl<'d> Attribution<'d> {
    /// Attribution of the projection on `direction`, at the address where that lives.
    pub fn new(direction: &'d Direction) -> Self {
        Attribution { direction, pool: Pool::Last, texts_at_once: 64 }
    }

    /// Sets which positions are read: the last of each text or its span ([`Pool::Last`], default), or their mean
    /// ([`Pool::Mean`]; not behind the final norm, whose scale differs from position to position).
    pub fn pool(mut self, pool: Pool) -> Self {
        self.pool = pool;
        self
    }

    /// Reads all texts.
    ///
    /// # Errors
    /// [`Error::Setting`] for a direction that lives elsewhere and for a pooling that does not add up; those of
    /// [`Readout::capture`].
    pub fn run(&self, model: &Model, texts: &[Text]) -> Result<Contributions> {
        self.run_with_progress(model, texts, &())
    }

    /// [`Attribution::run`] with progress, counted in texts.
    ///
    /// # Errors
    /// As [`Attribution::run`].
    pub fn run_with_progress(&self, model: &Model, texts: &[Text], progress: &dyn Progress) -> Result<Contributions> {
        let target = self.direction.address();
        let behind_norm = target.site() == Site::FinalNorm;
        match self.pool {
            Pool::Last => {}
            Pool::Mean if !behind_norm => {}
            pool => return Err(Error::setting("pool", pool.name(), "Pool::Last, or Pool::Mean before the final norm")),
        }
        let sources = sources(model, target)?;
        let selection: Selection =
            sources.iter().copied().chain([target]).chain(behind_norm.then(|| last_stream(model))).collect();
        let readout = Readout::new(selection, self.pool);
        let mut all: Option<Contributions> = None;
        progress.begin("attribution", texts.len() as u64);
        for some in texts.chunks(self.texts_at_once) {
            let states = readout.capture(model, some)?;
            let part = self.split(model, &sources, &states)?;
            match &mut all {
                None => all = Some(part),
                Some(all) => all.append(part)?,
            }
            progress.advance(some.len() as u64);
        }
        all.ok_or_else(|| Error::setting("texts", 0, "at least one text"))
    }

    fn split(&self, model: &Model, sources: &[Address], states: &Activations) -> Result<Contributions> {
        let target = self.direction.address();
        let whole = match target.site() {
            Site::FinalNorm => Some(tensor(states.at(last_stream(model))?)?),
            _ => None,
        };
        let project = |rows: ArrayView2<'_, f32>| -> Result<Vec<f64>> {
            let Some(whole) = &whole else { return self.direction.project(rows) };
            let normed = model.network().final_norm_of_part(&tensor(rows)?.f_to_kind(whole.kind())?, whole)?;
            let normed = normed.ok_or_else(|| {
                Error::setting("direction", target, "at the residual stream: this network does not say how it norms")
            })?;
            let values = Vec::<f32>::try_from(normed.f_to_kind(Kind::Float)?.f_flatten(0, -1)?)?;
            let rows = Array2::from_shape_vec(rows.raw_dim(), values)
                .map_err(|error| Error::mismatch("a normed part", error.to_string()))?;
            self.direction.project(rows.view())
        };
        let width = self.direction.unit().len();
        let mut components: Vec<(Component, Vec<f64>)> = Vec::new();
        for &source in sources {
            let rows = states.at(source)?;
            let layer = source.layer().unwrap_or(0);
            match source.site() {
                Site::Embed => components.push((Component::Embed, project(rows)?)),
                Site::MlpOut => components.push((Component::Mlp { layer }, project(rows)?)),
                Site::AttnOut => {
                    let mut rest = project(rows)?;
                    let heads = states.at(Site::HeadOut.at(layer))?;
                    for head in 0..heads.ncols() / width.max(1) {
                        let values = project(heads.slice(s![.., head * width..(head + 1) * width]))?;
                        rest.iter_mut().zip(&values).for_each(|(rest, value)| *rest -= value);
                        components.push((Component::Head { layer, head }, values));
                    }
                    components.push((Component::AttentionBias { layer }, rest));
                }
                // Taken up with the attention output of its layer.
                _ => {}
            }
        }
        let totals = self.direction.project(states.at(target)?)?;
        if whole.is_some() {
            let rows = states.at(last_stream(model))?;
            let without_bias = project(rows)?;
            let bias = totals.iter().zip(without_bias).map(|(total, parts)| total - parts).collect();
            components.push((Component::NormBias, bias));
        }
        let n = states.ids().len();
        let mut values = Array2::zeros((n, components.len()));
        for (mut column, (_, found)) in values.columns_mut().into_iter().zip(&components) {
            column.assign(&ArrayView1::from(found.as_slice()));
        }
        let components = components.into_iter().map(|(component, _)| component).collect();
        Ok(Contributions { address: target, ids: states.ids().to_vec(), components, values, totals })
    }
}

/// Everything that adds to the residual stream before `target`, in order.
fn sources(model: &Model, target: Address) -> Result<Vec<Address>> {
    model.geometry().check(target)?;
    let layers = model.geometry().layers;
    let (layer, site) = (target.layer().unwrap_or(0), target.site());
    let (whole_layers, attention_of_next) = match site {
        Site::ResidPre => (layer, false),
        Site::ResidMid => (layer, true),
        Site::ResidPost => (layer + 1, false),
        Site::FinalNorm => (layers, false),
        _ => {
            return Err(Error::setting("direction", target, "at resid_pre, resid_mid, resid_post or final_norm"));
        }
    };
    let mut sources = vec![Address::EMBED];
    let attention = |layer: usize| [Site::AttnOut.at(layer), Site::HeadOut.at(layer)];
    for layer in 0..whole_layers {
        sources.extend(attention(layer));
        sources.push(Site::MlpOut.at(layer));
    }
    if attention_of_next {
        sources.extend(attention(layer));
    }
    Ok(sources)
}

fn last_stream(model: &Model) -> Address {
    Site::ResidPost.at(model.geometry().layers.saturating_sub(1))
}

fn tensor(rows: ArrayView2<'_, f32>) -> Result<Tensor> {
    let values: Vec<f32> = rows.iter().copied().collect();
    Ok(Tensor::f_from_slice(&values)?.f_view([rows.nrows() as i64, rows.ncols() as i64])?)
}

impl Contributions {
    /// Where the direction lives.
    pub fn address(&self) -> Address {
        self.address
    }

    /// Ids of the texts, `[n]`.
    pub fn ids(&self) -> &[String] {
        &self.ids
    }

    /// The components, in the order in which they add.
    pub fn components(&self) -> &[Component] {
        &self.components
    }

    /// The contributions, `[n, components]`.
    pub fn values(&self) -> ArrayView2<'_, f64> {
        self.values.view()
    }

    /// The projection of each state itself, `[n]`.
    pub fn totals(&self) -> &[f64] {
        &self.totals
    }

    /// Largest difference between a projection and the sum of its parts, over the largest projection: what rounding left.
    pub fn closure(&self) -> f64 {
        let sums = self.values.rows().into_iter().map(|row| row.sum());
        let off = sums.zip(&self.totals).map(|(sum, total)| (sum - total).abs()).fold(0.0, f64::max);
        off / self.totals.iter().fold(f64::MIN_POSITIVE, |largest, total| largest.max(total.abs()))
    }

    /// What changed from `before`, text by text: of a later round and an earlier one, or of two instructions.
    ///
    /// # Errors
    /// [`Error::Mismatch`] unless both are of the same texts, components and address.
    pub fn minus(&self, before: &Contributions) -> Result<Contributions> {
        let same = (&self.address, &self.ids, &self.components) == (&before.address, &before.ids, &before.components);
        if !same {
            let problem = "they are of other texts, another model or another address".to_owned();
            return Err(Error::mismatch("contributions", problem));
        }
        Ok(Contributions {
            values: &self.values - &before.values,
            totals: self.totals.iter().zip(&before.totals).map(|(after, before)| after - before).collect(),
            ..self.clone()
        })
    }

    /// Means over the texts: all components in order, then the sums over `attention` (RQ2 of arXiv 2407.15286), over
    /// `feed_forward`, and the `total`.
    ///
    /// # Errors
    /// [`Error::RowCount`] unless the resamples are of as many texts.
    pub fn rows(&self, resamples: &ClusterBootstrap) -> Result<Vec<ComponentRow>> {
        let row = |component: String, layer: Option<usize>, values: Vec<f64>| {
            Ok(ComponentRow { component, layer, mean: resamples.mean(&values)? })
        };
        let columns = self.components.iter().zip(self.values.columns());
        let mut rows = columns
            .map(|(part, column)| row(part.to_string(), part.layer(), column.to_vec()))
            .collect::<Result<Vec<_>>>()?;
        let sum = |keep: fn(Component) -> bool| {
            let mut sums = vec![0.0; self.ids.len()];
            for (_, column) in self.components.iter().zip(self.values.columns()).filter(|(part, _)| keep(**part)) {
                sums.iter_mut().zip(column).for_each(|(sum, value)| *sum += value);
            }
            sums
        };
        rows.push(row("attention".to_owned(), None, sum(Component::is_attention))?);
        rows.push(row("feed_forward".to_owned(), None, sum(Component::is_mlp))?);
        rows.push(row("total".to_owned(), None, self.totals.clone())?);
        Ok(rows)
    }

    /// Writes the columns id, component, layer, value, one contribution a row, then each text's `total`.
    ///
    /// # Errors
    /// [`Error::Io`]; the file appears whole or not at all.
    pub fn write_csv(&self, path: impl AsRef<Path>) -> Result<()> {
        #[derive(Serialize)]
        struct Row<'a> {
            id: &'a str,
            component: String,
            layer: Option<usize>,
            value: f64,
        }
        let texts = self.ids.iter().zip(self.values.rows()).zip(&self.totals);
        let rows = texts.flat_map(|((id, values), &total)| {
            let parts = self.components.iter().zip(values.to_vec());
            let parts = parts.map(move |(part, value)| (part.to_string(), part.layer(), value));
            let rows = parts.chain([("total".to_owned(), None, total)]);
            rows.map(move |(component, layer, value)| Row { id, component, layer, value })
        });
        file::write_csv(path.as_ref(), rows)
    }

    fn append(&mut self, more: Contributions) -> Result<()> {
        self.values
            .append(ndarray::Axis(0), more.values.view())
            .map_err(|error| Error::mismatch("contributions", error.to_string()))?;
        self.ids.extend(more.ids);
        self.totals.extend(more.totals);
        Ok(())
    }
}
