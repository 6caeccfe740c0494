//! The file of a bank: safetensors, so that any tool can read the weights.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use ndarray::Array1;
use safetensors::tensor::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};

use super::{Direction, Evaluation, FitReport, Probe, ProbeBank, StrengthCurve};
use crate::error::Place;
use crate::hook::Address;
use crate::{file, Error, Provenance, Result};

const KEY: &str = "probity";
const KIND: &str = "probe_bank";
/// Format 1 lacked most of the held-out metrics, and the training states' scaling.
const FORMAT: u32 = 2;
/// How the numbers are to be read.
const SIGN: &str = "decision = weights . state + intercept; positive = more immoral";

/// What the metadata hold under "probity", as JSON.
#[derive(Serialize, Deserialize)]
struct Header {
    format: u32,
    kind: String,
    sign: String,
    probes: BTreeMap<Address, Record>,
    provenance: Provenance,
}

#[derive(Serialize, Deserialize)]
struct Record {
    fit: FitReport,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    strengths: Option<StrengthCurve>,
    evaluation: Evaluation,
}

/// The part of a header that tells what the rest will be.
#[derive(Deserialize)]
struct Tag {
    #[serde(default)]
    format: u32,
    #[serde(default)]
    kind: String,
}

impl ProbeBank {
    /// Writes a safetensors file: for each address the f64 tensors `<address>.weights`, `[d]` (raw space);
    /// `<address>.affine`, `[3]` = intercept, centre, spread; and the training states' `<address>.mean` and
    /// `<address>.scale`, `[d]`. The metadata hold under "probity" as JSON the format's number, the sign's meaning,
    /// each probe's fit and held-out metrics, and the provenance: hashes of model, tokeniser, template, texts, labels
    /// and split.
    ///
    /// # Errors
    /// [`Error::Io`]; the file appears whole or not at all.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let record =
            |probe: &Probe| Record { fit: probe.fit, strengths: probe.strengths.clone(), evaluation: probe.evaluation };
        let probes = self.iter().map(|probe| (probe.address(), record(probe)));
        let header = Header {
            format: FORMAT,
            kind: KIND.to_owned(),
            sign: SIGN.to_owned(),
            probes: probes.collect(),
            provenance: self.provenance.clone(),
        };
        let header = serde_json::to_string(&header).map_err(|error| Error::malformed(path, Place::File, error))?;
        let mut tensors: Vec<file::RawTensor> = Vec::new();
        for probe in self.iter() {
            let affine = [probe.intercept, probe.centre, probe.spread];
            let vectors = [
                ("weights", probe.weights.to_vec()),
                ("affine", affine.to_vec()),
                ("mean", probe.mean.to_vec()),
                ("scale", probe.scale.to_vec()),
            ];
            for (name, values) in vectors {
                let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
                tensors.push((format!("{}.{name}", probe.address()), vec![values.len()], Dtype::F64, bytes));
            }
        }
        file::write_safetensors(path, &tensors, HashMap::from([(KEY.to_owned(), header)]))
    }

    /// Reads a file written by [`ProbeBank::save`].
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Malformed`] for another kind of file, and with the tensor's name for one that is
    /// missing, not f64, not finite, or of another shape.
    pub fn load(path: impl AsRef<Path>) -> Result<ProbeBank> {
        let path = path.as_ref();
        let bytes = file::map(path)?;
        let whole = |problem: String| Error::malformed(path, Place::File, problem);
        let in_header = |problem: String| Error::malformed(path, Place::Entry(KEY.to_owned()), problem);
        let (metadata, tensors) = file::read_safetensors(path, &bytes)?;
        let text = metadata
            .metadata()
            .as_ref()
            .and_then(|entries| entries.get(KEY))
            .ok_or_else(|| whole(format!("no {KEY:?} in its metadata: it is no probe bank")))?;
        let tag: Tag = serde_json::from_str(text).map_err(|error| in_header(error.to_string()))?;
        if tag.kind != KIND {
            return Err(in_header("it is no probe bank (activations?)".to_owned()));
        }
        if tag.format != FORMAT {
            let remedy = if tag.format < FORMAT { "fit the probes again" } else { "update probity" };
            return Err(in_header(format!("format {} is not {FORMAT}: {remedy}", tag.format)));
        }
        let header: Header = serde_json::from_str(text).map_err(|error| in_header(error.to_string()))?;
        if header.sign != SIGN {
            return Err(in_header(format!("sign {:?} is not {SIGN:?}", header.sign)));
        }
        if tensors.len() != 4 * header.probes.len() {
            let problem = format!("{} tensors for {} probes, expected four each", tensors.len(), header.probes.len());
            return Err(whole(problem));
        }
        let mut probes = BTreeMap::new();
        for (address, Record { fit, strengths, evaluation }) in header.probes {
            let weights = vector(path, &tensors, format!("{address}.weights"), None)?;
            let affine = vector(path, &tensors, format!("{address}.affine"), Some(3))?;
            let of_columns = ["mean", "scale"].map(|name| {
                vector(path, &tensors, format!("{address}.{name}"), Some(weights.len())).map(Array1::from_vec)
            });
            let [mean, scale] = of_columns;
            let (mean, scale) = (mean?, scale?);
            if let Some(value) = scale.iter().find(|&&value| value <= 0.0) {
                let place = Place::Entry(format!("{address}.scale"));
                return Err(Error::malformed(path, place, format!("scale {value} is not above 0")));
            }
            let affine: [f64; 3] =
                affine.try_into().map_err(|_| in_header(format!("{address}.affine has not 3 values")))?;
            if affine[2] <= 0.0 {
                let place = Place::Entry(format!("{address}.affine"));
                return Err(Error::malformed(path, place, format!("spread {} is not above 0", affine[2])));
            }
            let [intercept, centre, spread] = affine;
            let weights = Array1::from_vec(weights);
            let direction = Direction::new(address, weights.clone());
            let probe =
                Probe { direction, weights, intercept, centre, spread, mean, scale, fit, strengths, evaluation };
            probes.insert(address, probe);
        }
        Ok(ProbeBank { probes, provenance: header.provenance })
    }
}

/// A finite f64 vector, of `len` values where that is known.
fn vector(path: &Path, tensors: &SafeTensors<'_>, name: String, len: Option<usize>) -> Result<Vec<f64>> {
    let bad = |problem: String| Error::malformed(path, Place::Entry(name.clone()), problem);
    let view = tensors.tensor(&name).map_err(|error| bad(error.to_string()))?;
    let &[found] = view.shape() else {
        return Err(bad(format!("has shape {:?}, expected one dimension", view.shape())));
    };
    if view.dtype() != Dtype::F64 {
        return Err(bad(format!("is {:?}, expected F64", view.dtype())));
    }
    if len.is_some_and(|len| len != found) {
        return Err(bad(format!("has {found} values, expected {}", len.unwrap_or_default())));
    }
    let (values, _) = view.data().as_chunks::<8>();
    let values: Vec<f64> = values.iter().map(|&bytes| f64::from_le_bytes(bytes)).collect();
    match values.iter().all(|value| value.is_finite()) {
        true => Ok(values),
        false => Err(bad("holds a value that is not finite".to_owned())),
    }
}
