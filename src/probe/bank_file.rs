//! The file of a bank: safetensors, so that any tool can read the weights.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use ndarray::{Array1, Array2, Axis};
use safetensors::tensor::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};

use super::{CrossFit, Direction, Evaluation, FitReport, Probe, ProbeBank, StrengthCurve};
use crate::error::Place;
use crate::hook::Address;
use crate::stats::Interval;
use crate::{file, Error, Provenance, Result};

const KEY: &str = "probity";
const KIND: &str = "probe_bank";
/// Format 1 lacked most of the held-out metrics, and the training states' scaling; format 2 the fits without each fold.
const FORMAT: u32 = 3;
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
    /// AUROC and groups of the fits without each fold, where there were any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cross_fit: Option<CrossRecord>,
}

#[derive(Serialize, Deserialize)]
struct CrossRecord {
    auroc: Interval,
    groups: usize,
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
    /// `<address>.affine`, `[3]` = intercept, centre, spread; the training states' `<address>.mean` and
    /// `<address>.scale`, `[d]`; where fits left out folds ([`CrossFit`]), `<address>.fold_weights`, `[folds, d]`, and
    /// `<address>.class_distance`, `[4]` = moral, distance, distance_error, spread. The metadata hold under "probity" as JSON the format's number, the sign's meaning,
    /// each probe's fit and held-out metrics, and the provenance: hashes of model, tokeniser, template, texts, labels
    /// and split.
    ///
    /// # Errors
    /// [`Error::Io`]; the file appears whole or not at all.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let record = |probe: &Probe| Record {
            fit: probe.fit,
            strengths: probe.strengths.clone(),
            evaluation: probe.evaluation,
            cross_fit: probe.cross_fit.as_ref().map(|fits| CrossRecord { auroc: fits.auroc, groups: fits.groups }),
        };
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
            let bytes = |values: &mut dyn Iterator<Item = f64>| values.flat_map(f64::to_le_bytes).collect();
            for (name, values) in vectors {
                let name = format!("{}.{name}", probe.address());
                tensors.push((name, vec![values.len()], Dtype::F64, bytes(&mut values.into_iter())));
            }
            if let Some(fits) = &probe.cross_fit {
                let shape = vec![fits.weights.nrows(), fits.weights.ncols()];
                let folds = bytes(&mut fits.weights.iter().copied());
                tensors.push((format!("{}.fold_weights", probe.address()), shape, Dtype::F64, folds));
                let scale = [fits.moral, fits.distance, fits.distance_error, fits.spread];
                let scale_bytes = bytes(&mut scale.into_iter());
                tensors.push((format!("{}.class_distance", probe.address()), vec![4], Dtype::F64, scale_bytes));
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
        let expected: usize = header.probes.values().map(|record| if record.cross_fit.is_some() { 6 } else { 4 }).sum();
        if tensors.len() != expected {
            let problem = format!("{} tensors for {} probes, expected {expected}", tensors.len(), header.probes.len());
            return Err(whole(problem));
        }
        let mut probes = BTreeMap::new();
        for (address, Record { fit, strengths, evaluation, cross_fit }) in header.probes {
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
            let cross_fit =
                cross_fit.map(|record| read_folds(path, &tensors, address, weights.len(), record)).transpose()?;
            let weights = Array1::from_vec(weights);
            let direction = Direction::new(address, weights.clone());
            let probe = Probe {
                direction,
                weights,
                intercept,
                centre,
                spread,
                mean,
                scale,
                fit,
                strengths,
                evaluation,
                cross_fit,
            };
            probes.insert(address, probe);
        }
        Ok(ProbeBank { probes, provenance: header.provenance })
    }
}

/// The fits without each fold at one address of this width.
fn read_folds(
    path: &Path,
    tensors: &SafeTensors<'_>,
    address: Address,
    width: usize,
    CrossRecord { auroc, groups }: CrossRecord,
) -> Result<Arc<CrossFit>> {
    let name = format!("{address}.fold_weights");
    let bad = |place: &str, problem: String| Error::malformed(path, Place::Entry(place.to_owned()), problem);
    let (shape, values) = values(path, tensors, &name)?;
    let &[folds, found] = shape.as_slice() else {
        return Err(bad(&name, format!("has shape {shape:?}, expected two dimensions")));
    };
    if found != width || folds == 0 {
        return Err(bad(&name, format!("has shape {shape:?}, expected folds of {width} values")));
    }
    let weights = Array2::from_shape_vec((folds, width), values).map_err(|error| bad(&name, error.to_string()))?;
    let place = format!("{address}.class_distance");
    let scale = vector(path, tensors, place.clone(), Some(4))?;
    let &[moral, distance, distance_error, spread] = scale.as_slice() else {
        return Err(bad(&place, "has not 4 values".to_owned()));
    };
    if distance_error < 0.0 || spread < 0.0 {
        return Err(bad(&place, "an error or a spread is below 0".to_owned()));
    }
    let mean = weights.mean_axis(Axis(0)).unwrap_or_else(|| Array1::zeros(width));
    Ok(Arc::new(CrossFit { weights, mean, moral, distance, distance_error, spread, auroc, groups }))
}

/// A finite f64 vector, of `len` values where that is known.
fn vector(path: &Path, tensors: &SafeTensors<'_>, name: String, len: Option<usize>) -> Result<Vec<f64>> {
    let bad = |problem: String| Error::malformed(path, Place::Entry(name.clone()), problem);
    let (shape, values) = values(path, tensors, &name)?;
    let &[found] = shape.as_slice() else {
        return Err(bad(format!("has shape {shape:?}, expected one dimension")));
    };
    if len.is_some_and(|len| len != found) {
        return Err(bad(format!("has {found} values, expected {}", len.unwrap_or_default())));
    }
    Ok(values)
}

/// The shape and the finite f64 values of a tensor.
fn values(path: &Path, tensors: &SafeTensors<'_>, name: &str) -> Result<(Vec<usize>, Vec<f64>)> {
    let bad = |problem: String| Error::malformed(path, Place::Entry(name.to_owned()), problem);
    let view = tensors.tensor(name).map_err(|error| bad(error.to_string()))?;
    if view.dtype() != Dtype::F64 {
        return Err(bad(format!("is {:?}, expected F64", view.dtype())));
    }
    let (values, _) = view.data().as_chunks::<8>();
    let values: Vec<f64> = values.iter().map(|&bytes| f64::from_le_bytes(bytes)).collect();
    match values.iter().all(|value| value.is_finite()) {
        true => Ok((view.shape().to_vec(), values)),
        false => Err(bad("holds a value that is not finite".to_owned())),
    }
}
