//! Captured hidden states as plain arrays, and their file.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use ndarray::{Array2, ArrayView2, Axis};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use super::npy;
use crate::error::{check_rows, nearest, Place};
use crate::hook::Address;
use crate::{file, Error, Provenance, Result};

/// Which rows belong to which text, where every token was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRows {
    /// Row at which each text begins, and the total at the end, `[n + 1]`.
    pub offsets: Vec<i64>,
    /// Token id of each row.
    pub tokens: Vec<i64>,
}

/// Hidden states of n texts at several addresses.
///
/// Every array has shape `[n, d]`, or `[total tokens, d]` where every token was kept (then
/// [`Activations::token_rows`] says which rows are whose).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Activations {
    ids: Vec<String>,
    groups: Option<Vec<String>>,
    token_rows: Option<TokenRows>,
    states: BTreeMap<Address, Array2<f32>>,
    provenance: Provenance,
}

/// What the file's metadata holds under the key "probity", as JSON.
#[derive(Serialize, Deserialize)]
pub(super) struct Header {
    pub format: u32,
    pub ids: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups: Option<Vec<String>>,
    pub provenance: Provenance,
    /// In the files of a store: SHA-256 of each tensor.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tensors_sha256: BTreeMap<String, String>,
}

pub(super) const HEADER_KEY: &str = "probity";
pub(super) const HEADER_FORMAT: u32 = 1;

impl Activations {
    /// Activations of texts with these ids, as yet without states.
    pub fn new(ids: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Activations { ids: ids.into_iter().map(Into::into).collect(), ..Default::default() }
    }

    /// Sets the group of each text (rows of one group are never split between training and test).
    ///
    /// # Errors
    /// [`Error::RowCount`] unless there is one group per text.
    pub fn with_groups(mut self, groups: Vec<String>) -> Result<Self> {
        check_rows("groups", groups.len(), self.ids.len())?;
        self.groups = Some(groups);
        Ok(self)
    }

    /// Declares that the states have one row per token.
    ///
    /// # Errors
    /// [`Error::RowCount`] unless there is one more offset than texts; [`Error::Mismatch`] unless the offsets
    /// rise from 0 to the number of tokens.
    pub fn with_token_rows(mut self, rows: TokenRows) -> Result<Self> {
        check_rows("offsets", rows.offsets.len(), self.ids.len() + 1)?;
        let rises = rows.offsets.windows(2).all(|pair| pair[0] <= pair[1]);
        if !rises || rows.offsets.first() != Some(&0) || rows.offsets.last() != Some(&(rows.tokens.len() as i64)) {
            return Err(Error::mismatch(
                "offsets",
                format!("they must rise from 0 to the number of tokens, {}", rows.tokens.len()),
            ));
        }
        self.token_rows = Some(rows);
        Ok(self)
    }

    /// Adds provenance.
    pub fn with_provenance(mut self, provenance: Provenance) -> Self {
        self.provenance.extend(provenance);
        self
    }

    /// Adds the states at one address, `[rows, d]`; call it after [`Activations::with_token_rows`].
    ///
    /// # Errors
    /// [`Error::RowCount`] unless there is one row per text (or per token).
    pub fn insert(&mut self, address: Address, states: Array2<f32>) -> Result<()> {
        check_rows(&address.to_string(), states.nrows(), self.rows())?;
        self.states.insert(address, states);
        Ok(())
    }

    /// The states of these texts, in this order.
    ///
    /// # Errors
    /// [`Error::Mismatch`] for an id that is not there, and where every token was kept.
    pub fn of_items(&self, ids: &[&str]) -> Result<Activations> {
        let bad = |problem: String| Error::mismatch("items to select", problem);
        if self.token_rows.is_some() {
            return Err(bad("the states have one row per token".to_owned()));
        }
        let places: HashMap<&str, usize> = self.ids.iter().map(String::as_str).zip(0..).collect();
        let place = |id: &&str| places.get(id).copied().ok_or_else(|| bad(format!("there is no item {id:?}")));
        let rows: Vec<usize> = ids.iter().map(place).collect::<Result<_>>()?;
        let of = |names: &[String]| rows.iter().map(|&row| names[row].clone()).collect();
        Ok(Activations {
            ids: of(&self.ids),
            groups: self.groups.as_deref().map(of),
            token_rows: None,
            states: self.states.iter().map(|(&at, states)| (at, states.select(Axis(0), &rows))).collect(),
            provenance: self.provenance.clone(),
        })
    }

    /// The states at these addresses alone.
    ///
    /// # Errors
    /// [`Error::UnknownAddress`] for one that is not there.
    pub fn at_addresses(&self, addresses: &[Address]) -> Result<Activations> {
        let states = addresses.iter().map(|&address| Ok((address, self.at(address)?.to_owned())));
        Ok(Activations {
            ids: self.ids.clone(),
            groups: self.groups.clone(),
            token_rows: self.token_rows.clone(),
            states: states.collect::<Result<_>>()?,
            provenance: self.provenance.clone(),
        })
    }

    /// Ids of the texts, `[n]`.
    pub fn ids(&self) -> &[String] {
        &self.ids
    }

    /// Groups of the texts, `[n]`, where they are known.
    pub fn groups(&self) -> Option<&[String]> {
        self.groups.as_deref()
    }

    /// Which rows belong to which text, where every token was kept.
    pub fn token_rows(&self) -> Option<&TokenRows> {
        self.token_rows.as_ref()
    }

    /// Rows of every array: texts, or tokens where every token was kept.
    pub fn rows(&self) -> usize {
        self.token_rows.as_ref().map_or(self.ids.len(), |rows| rows.tokens.len())
    }

    /// What the states were made from.
    pub fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    /// The addresses at hand, by layer and site.
    pub fn addresses(&self) -> impl Iterator<Item = Address> + '_ {
        self.states.keys().copied()
    }

    /// The states at one address, `[rows, d]`.
    ///
    /// # Errors
    /// [`Error::UnknownAddress`] if it was not captured.
    pub fn at(&self, address: Address) -> Result<ArrayView2<'_, f32>> {
        self.states.get(&address).map(Array2::view).ok_or_else(|| {
            let name = address.to_string();
            let nearest = nearest(&name, self.addresses().map(|address| address.to_string()));
            Error::unknown_address(name, nearest)
        })
    }

    /// Checks that every value is finite.
    ///
    /// # Errors
    /// [`Error::NotFinite`] with the first bad address, row and id.
    pub fn check_finite(&self) -> Result<()> {
        for (address, states) in &self.states {
            for (row, values) in states.outer_iter().enumerate() {
                if !values.iter().all(|value| value.is_finite()) {
                    let id = match &self.token_rows {
                        None => row,
                        Some(rows) => rows.offsets.partition_point(|&at| at <= row as i64).saturating_sub(1),
                    };
                    let id = self.ids.get(id).cloned().unwrap_or_default();
                    return Err(Error::not_finite(address.to_string(), row, id));
                }
            }
        }
        Ok(())
    }

    /// Writes a safetensors file: one f32 tensor per address, named by the address; with every token kept
    /// also i64 `offsets` and `tokens`; ids, groups and provenance in the metadata under "probity".
    ///
    /// # Errors
    /// [`Error::Io`]; the file appears whole or not at all.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let header = Header {
            format: HEADER_FORMAT,
            ids: self.ids.clone(),
            groups: self.groups.clone(),
            provenance: self.provenance.clone(),
            tensors_sha256: BTreeMap::new(),
        };
        let header = serde_json::to_string(&header).map_err(|error| Error::malformed(path, Place::File, error))?;
        let mut tensors: Vec<file::RawTensor> = Vec::new();
        for (address, states) in &self.states {
            let bytes = states.iter().flat_map(|value| value.to_le_bytes()).collect();
            tensors.push((address.to_string(), states.shape().to_vec(), Dtype::F32, bytes));
        }
        if let Some(rows) = &self.token_rows {
            for (name, values) in [("offsets", &rows.offsets), ("tokens", &rows.tokens)] {
                let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
                tensors.push((name.to_owned(), vec![values.len()], Dtype::I64, bytes));
            }
        }
        file::write_safetensors(path, &tensors, HashMap::from([(HEADER_KEY.to_owned(), header)]))
    }

    /// Reads a file written by [`Activations::save`], or any safetensors file whose tensors are matrices of f32,
    /// f64, f16 or bf16 named by addresses (then the ids are the row numbers).
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Malformed`] with the tensor's name for one that has no address for a name, is no
    /// such matrix, is empty, or holds a value that is not finite as f32, and for ids, groups or rows that do not
    /// fit together or repeat.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let bytes = file::map(path)?;
        let bad = |place: &str, problem: String| Error::malformed(path, Place::Entry(place.to_owned()), problem);
        let (metadata, tensors) = file::read_safetensors(path, &bytes)?;
        let header = metadata.metadata().as_ref().and_then(|entries| entries.get(HEADER_KEY));
        let header = header.map(|text| read_header(path, text)).transpose()?;
        let token_rows = read_token_rows(path, &tensors)?;
        let mut states = BTreeMap::new();
        for (name, view) in tensors.iter().filter(|(name, _)| !matches!(*name, "offsets" | "tokens")) {
            let address: Address = name.parse().map_err(|error: Error| bad(name, error.to_string()))?;
            states.insert(address, read_states(path, name, &view)?);
        }
        let Some(rows) = states.values().next().map(Array2::nrows) else {
            return Err(Error::malformed(path, Place::File, "holds no activations"));
        };
        let (ids, groups, provenance) = match header {
            Some(header) => (header.ids, header.groups, header.provenance),
            None => {
                let texts = token_rows.as_ref().map_or(rows, |rows| rows.offsets.len().saturating_sub(1));
                ((0..texts).map(|row| row.to_string()).collect(), None, Provenance::default())
            }
        };
        let mut seen = HashSet::with_capacity(ids.len());
        if let Some(twice) = ids.iter().find(|id| !seen.insert(id.as_str())) {
            return Err(bad(HEADER_KEY, format!("id {twice:?} occurs twice")));
        }
        let mut activations = Activations::new(ids).with_provenance(provenance);
        if let Some(groups) = groups {
            activations = activations.with_groups(groups).map_err(|error| bad(HEADER_KEY, error.to_string()))?;
        }
        if let Some(rows) = token_rows {
            activations = activations.with_token_rows(rows).map_err(|error| bad("offsets", error.to_string()))?;
        }
        for (address, array) in states {
            let name = address.to_string();
            activations.insert(address, array).map_err(|error| bad(&name, error.to_string()))?;
        }
        activations.check_finite().map_err(|error| match &error {
            Error::NotFinite(at) => {
                bad(&at.what, format!("row {} (id {:?}) holds a value that is not finite", at.row, at.id))
            }
            _ => error,
        })?;
        Ok(activations)
    }

    /// Reads NumPy files, one matrix `[n, d]` of f16, f32 or f64 per address; the ids are the row numbers.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Malformed`] with the file and the header's field for another shape or type, for a file
    /// whose rows are not as many as those before, and for a value that is not finite as f32; [`Error::Setting`]
    /// without files or with an address given twice.
    pub fn load_npy<P: AsRef<Path>>(files: impl IntoIterator<Item = (Address, P)>) -> Result<Self> {
        let mut all: Option<Activations> = None;
        for (address, path) in files {
            let path = path.as_ref();
            let states = npy::read(path)?;
            let bad = |problem: String| Error::malformed(path, Place::File, problem);
            if let Some(row) = states.outer_iter().position(|row| !row.iter().all(|value| value.is_finite())) {
                return Err(bad(format!("row {row} holds a value that is not finite (as f32)")));
            }
            let numbered = || Activations::new((0..states.nrows()).map(|row| row.to_string()));
            let activations = all.get_or_insert_with(numbered);
            if activations.states.contains_key(&address) {
                return Err(Error::setting("address", address, "each at most once"));
            }
            if activations.rows() != states.nrows() {
                return Err(bad(format!("has {} rows, the files before {}", states.nrows(), activations.rows())));
            }
            activations.insert(address, states)?;
        }
        all.ok_or_else(|| Error::setting("files", "none", "at least one npy file"))
    }
}

/// Ids, groups and provenance of a file.
fn read_header(path: &Path, text: &str) -> Result<Header> {
    let header: Header = serde_json::from_str(text).map_err(|error| bad_header(path, error))?;
    match header.format {
        HEADER_FORMAT => Ok(header),
        format => {
            let problem = format!("format {format} is not {HEADER_FORMAT}: update probity");
            Err(Error::malformed(path, Place::Entry(HEADER_KEY.to_owned()), problem))
        }
    }
}

/// Which rows are whose, where the file says.
fn read_token_rows(path: &Path, tensors: &SafeTensors<'_>) -> Result<Option<TokenRows>> {
    let bad = |name: &str, problem: String| Error::malformed(path, Place::Entry(name.to_owned()), problem);
    let integers = |name: &str| match tensors.tensor(name) {
        Err(_) => Ok(None),
        Ok(view) if view.dtype() == Dtype::I64 => Ok(Some(le_values(&view, i64::from_le_bytes))),
        Ok(view) => Err(bad(name, format!("is {:?}, expected I64", view.dtype()))),
    };
    match (integers("offsets")?, integers("tokens")?) {
        (Some(offsets), Some(tokens)) => Ok(Some(TokenRows { offsets, tokens })),
        (None, None) => Ok(None),
        _ => Err(bad("offsets", "`offsets` and `tokens` come together".to_owned())),
    }
}

/// The states in one tensor of a file, `[rows, d]`, as f32.
fn read_states(path: &Path, name: &str, view: &TensorView<'_>) -> Result<Array2<f32>> {
    let bad = |problem: String| Error::malformed(path, Place::Entry(name.to_owned()), problem);
    let &[rows, width] = view.shape() else {
        return Err(bad(format!("has shape {:?}, expected [rows, d]", view.shape())));
    };
    // A tensor without values may claim any number of rows: 2^60 times 0 fits into every file.
    if rows == 0 || width == 0 {
        return Err(bad(format!("has shape {:?}, which holds no values", view.shape())));
    }
    let values = match view.dtype() {
        Dtype::F32 => le_values(view, f32::from_le_bytes),
        Dtype::F64 => le_values(view, |bytes| f64::from_le_bytes(bytes) as f32),
        Dtype::F16 => le_values(view, |bytes| npy::f16(u16::from_le_bytes(bytes))),
        Dtype::BF16 => le_values(view, |bytes| f32::from_bits(u32::from(u16::from_le_bytes(bytes)) << 16)),
        other => return Err(bad(format!("is {other:?}, expected F32, F64, F16 or BF16"))),
    };
    Array2::from_shape_vec((rows, width), values).map_err(|error| bad(error.to_string()))
}

/// What is wrong with the JSON of a file's own metadata.
pub(super) fn bad_header(path: &Path, error: serde_json::Error) -> Error {
    Error::unparsed(path, Place::Entry(HEADER_KEY.to_owned()), "is not the JSON that belongs here", error)
}

/// The little-endian values of a tensor whose dtype has `N` bytes.
fn le_values<const N: usize, T>(view: &TensorView<'_>, decode: impl Fn([u8; N]) -> T) -> Vec<T> {
    let (values, _) = view.data().as_chunks::<N>();
    values.iter().map(|&bytes| decode(bytes)).collect()
}
