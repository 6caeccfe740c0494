//! Files: mapped for reading, written under a temporary name and renamed, hashed.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::Path;

use memmap2::Mmap;
use safetensors::tensor::{Dtype, Metadata, SafeTensors, TensorView};
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use sha2::{Digest, Sha256};

use crate::error::Place;
use crate::{Error, Result};

/// Maps a file into memory for reading. An empty file is refused.
#[allow(unsafe_code)]
pub(crate) fn map(path: &Path) -> Result<Mmap> {
    let file = File::open(path).map_err(Error::io("read", path))?;
    if file.metadata().map_err(Error::io("read", path))?.len() == 0 {
        return Err(Error::malformed(path, Place::File, "the file is empty"));
    }
    // SAFETY: the map is private to this process and only read. As with every mapped file, another process
    // that truncates it meanwhile ends this one; weights and activations are not written in place by anyone.
    let map = unsafe { Mmap::map(&file) }.map_err(Error::io("read", path))?;
    Ok(map)
}

/// Reads a whole text file as UTF-8, without the byte order mark that some editors put before it.
pub(crate) fn read_text(path: &Path) -> Result<String> {
    let mut bytes = std::fs::read(path).map_err(Error::io("read", path))?;
    if bytes.starts_with(b"\xef\xbb\xbf") {
        bytes.drain(..3);
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let line = 1 + error.as_bytes()[..valid].iter().filter(|&&byte| byte == b'\n').count();
        Error::malformed(path, Place::Line(line as u64), "not UTF-8 text")
    })
}

/// A file that is hashed while it is read, without the byte order mark that some editors put before it.
pub(crate) struct HashedReader<R = BufReader<File>> {
    inner: R,
    hash: Sha256,
}

impl HashedReader {
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(Error::io("read", path))?;
        HashedReader::new(BufReader::new(file)).map_err(Error::io("read", path))
    }
}

impl<R: BufRead> HashedReader<R> {
    fn new(mut inner: R) -> std::io::Result<Self> {
        let mut hash = Sha256::new();
        const MARK: &[u8] = b"\xef\xbb\xbf";
        if inner.fill_buf()?.starts_with(MARK) {
            hash.update(MARK);
            inner.consume(MARK.len());
        }
        Ok(HashedReader { inner, hash })
    }

    /// Reads one line with its end; false where the file ends.
    fn line(&mut self, line: &mut Vec<u8>) -> std::io::Result<bool> {
        line.clear();
        let read = self.inner.read_until(b'\n', line)?;
        self.hash.update(&line[..]);
        Ok(read > 0)
    }

    /// SHA-256 of what was read.
    pub fn sha256(self) -> String {
        hex(&self.hash.finalize())
    }
}

impl<R: BufRead> Read for HashedReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hash.update(&buffer[..read]);
        Ok(read)
    }
}

/// Hands each non-empty line of a JSON-lines file, parsed and with its number from 1, to `take`, whose error
/// is told with that number. Only one line is held. SHA-256 of the file.
pub(crate) fn stream_json_lines<T: serde::de::DeserializeOwned>(
    path: &Path,
    take: impl FnMut(u64, T) -> Result<(), String>,
) -> Result<String> {
    json_lines(path, HashedReader::open(path)?, take)
}

/// [`stream_json_lines`] of a file that is part of this crate; errors name it by `path`.
pub(crate) fn stream_bundled<T: serde::de::DeserializeOwned>(
    path: &str,
    text: &str,
    take: impl FnMut(u64, T) -> Result<(), String>,
) -> Result<String> {
    let path = Path::new(path);
    json_lines(path, HashedReader::new(text.as_bytes()).map_err(Error::io("read", path))?, take)
}

fn json_lines<T: serde::de::DeserializeOwned>(
    path: &Path,
    mut reader: HashedReader<impl BufRead>,
    mut take: impl FnMut(u64, T) -> Result<(), String>,
) -> Result<String> {
    let (mut line, mut number, mut rows) = (Vec::new(), 0, 0_u64);
    while reader.line(&mut line).map_err(Error::io("read", path))? {
        number += 1;
        let bad = |problem: String| Error::malformed(path, Place::Line(number), problem);
        let text = std::str::from_utf8(&line).map_err(|_| bad("not UTF-8 text".to_owned()))?;
        if !text.trim().is_empty() {
            let row = serde_json::from_str(text.trim_end_matches(['\n', '\r'])).map_err(|error| {
                Error::unparsed(path, Place::Line(number), "is not the JSON that belongs here", InOneLine(error))
            })?;
            take(number, row).map_err(bad)?;
            rows += 1;
        }
    }
    match rows {
        0 => Err(Error::malformed(path, Place::File, "holds no rows")),
        _ => Ok(reader.sha256()),
    }
}

/// Parses each non-empty line of a JSON-lines file, with the line's number from 1.
pub(crate) fn read_json_lines<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Vec<(u64, T)>> {
    let mut rows = Vec::new();
    stream_json_lines(path, |number, row| {
        rows.push((number, row));
        Ok(())
    })?;
    Ok(rows)
}

/// [`read_json_lines`] of a file that is part of this crate; errors name it by `path`.
pub(crate) fn read_bundled<T: serde::de::DeserializeOwned>(path: &str, text: &str) -> Result<Vec<(u64, T)>> {
    let mut rows = Vec::new();
    stream_bundled(path, text, |number, row| {
        rows.push((number, row));
        Ok(())
    })?;
    Ok(rows)
}

/// An error in a line that was parsed by itself, told without its "line 1", which would mislead.
#[derive(Debug)]
struct InOneLine(serde_json::Error);

impl std::error::Error for InOneLine {}

impl std::fmt::Display for InOneLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (message, column) = (self.0.to_string(), self.0.column());
        match message.strip_suffix(&format!(" at line {} column {column}", self.0.line())) {
            Some(message) => write!(f, "column {column}: {message}"),
            None => f.write_str(&message),
        }
    }
}

/// Writes a file so that it appears under `path` whole or not at all.
pub(crate) fn write_atomic(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<&mut File>) -> std::io::Result<()>,
) -> Result<()> {
    write_atomic_under(path, ".partial-", write)
}

/// [`write_atomic`] with a temporary name that begins with `prefix`, by which a killed process's leavings are known.
pub(crate) fn write_atomic_under(
    path: &Path,
    prefix: &str,
    write: impl FnOnce(&mut BufWriter<&mut File>) -> std::io::Result<()>,
) -> Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    std::fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(prefix);
    // Temporary files are private by default; a result is as readable as any file that its owner writes.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut partial = builder.tempfile_in(folder).map_err(Error::io("write", path))?;
    let mut buffer = BufWriter::new(partial.as_file_mut());
    write(&mut buffer).and_then(|()| buffer.flush()).map_err(Error::io("write", path))?;
    drop(buffer);
    partial.as_file().sync_all().map_err(Error::io("write", path))?;
    partial.persist(path).map_err(|error| Error::io("write", path)(error.error))?;
    Ok(())
}

/// Writes one value as indented JSON.
pub(crate) fn write_json(path: &Path, value: &impl serde::Serialize) -> Result<()> {
    write_atomic(path, |file| {
        serde_json::to_writer_pretty(&mut *file, value)?;
        file.write_all(b"\n")
    })
}

/// What [`write_json`] writes.
pub(crate) fn json_text(value: &impl serde::Serialize) -> serde_json::Result<String> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}

/// Writes values as JSON, one a line, whole or not at all.
pub(crate) fn write_json_lines<T: serde::Serialize>(path: &Path, rows: impl IntoIterator<Item = T>) -> Result<()> {
    write_atomic(path, |file| {
        for row in rows {
            serde_json::to_writer(&mut *file, &row)?;
            file.write_all(b"\n")?;
        }
        Ok(())
    })
}

/// SHA-256 in hexadecimal digits.
pub(crate) fn sha256(bytes: impl AsRef<[u8]>) -> String {
    hex(&Sha256::digest(bytes.as_ref()))
}

/// SHA-256 of a value's JSON, which is not held.
pub(crate) fn sha256_of_json(value: &impl serde::Serialize) -> serde_json::Result<String> {
    let mut hasher = BufWriter::new(Sha256::new());
    serde_json::to_writer(&mut hasher, value)?;
    let hasher = hasher.into_inner().map_err(|error| serde_json::Error::io(error.into_error()))?;
    Ok(hex(&hasher.finalize()))
}

/// SHA-256 of a file, read piece by piece.
#[cfg(feature = "gguf")]
pub(crate) fn sha256_of(path: &Path) -> Result<String> {
    let mut file = File::open(path).map_err(Error::io("read", path))?;
    let mut hasher = Sha256::new();
    std::io::copy(&mut file, &mut hasher).map_err(Error::io("read", path))?;
    Ok(hex(&hasher.finalize()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Parses the header of a safetensors file: its metadata and the byte at which tensor data begins. All tensors
/// lie inside the file.
pub(crate) fn safetensors_header(path: &Path, bytes: &[u8]) -> Result<(Metadata, usize)> {
    let bad = |problem: String| Error::malformed(path, Place::File, problem);
    let (header, metadata) = SafeTensors::read_metadata(bytes).map_err(|error| {
        Error::unparsed(path, Place::File, "no safetensors file, or a truncated or damaged one", error)
    })?;
    let data = header + std::mem::size_of::<u64>();
    if data.checked_add(metadata.data_len()).is_none_or(|end| end > bytes.len()) {
        return Err(bad("truncated: the header promises more data".to_owned()));
    }
    // The parser lets the last of two tensors of one name win.
    let names: Names = bytes
        .get(std::mem::size_of::<u64>()..data)
        .and_then(|header| serde_json::from_slice(header).ok())
        .ok_or_else(|| bad("its header is no JSON object".to_owned()))?;
    if let Some(name) = names.twice {
        return Err(Error::malformed(path, Place::Entry(name), "the file has two tensors of this name"));
    }
    Ok((metadata, data))
}

/// The keys of a JSON object, as far as one stands there twice.
struct Names {
    twice: Option<String>,
}

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = Names;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Names, A::Error> {
                let (mut seen, mut twice) = (HashSet::new(), None);
                while let Some((key, IgnoredAny)) = map.next_entry::<String, IgnoredAny>()? {
                    if twice.is_none() && seen.contains(&key) {
                        twice = Some(key);
                    } else {
                        seen.insert(key);
                    }
                }
                Ok(Names { twice })
            }
        }
        deserializer.deserialize_map(Keys)
    }
}

/// Parses a safetensors file.
pub(crate) fn read_safetensors<'d>(path: &Path, bytes: &'d [u8]) -> Result<(Metadata, SafeTensors<'d>)> {
    let (metadata, _) = safetensors_header(path, bytes)?;
    let tensors = SafeTensors::deserialize(bytes)
        .map_err(|error| Error::unparsed(path, Place::File, "no safetensors file", error))?;
    Ok((metadata, tensors))
}

/// A tensor on its way into a file: name, shape, dtype, little-endian bytes.
pub(crate) type RawTensor = (String, Vec<usize>, Dtype, Vec<u8>);

/// Writes tensors and metadata as safetensors, whole or not at all.
pub(crate) fn write_safetensors(path: &Path, tensors: &[RawTensor], metadata: HashMap<String, String>) -> Result<()> {
    let bad = |error| Error::malformed(path, Place::File, error);
    let views = tensors
        .iter()
        .map(|(name, shape, dtype, bytes)| Ok((name, TensorView::new(*dtype, shape.clone(), bytes)?)))
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()
        .map_err(bad)?;
    let bytes = safetensors::serialize(views, Some(metadata)).map_err(bad)?;
    write_atomic(path, |file| file.write_all(&bytes))
}

/// Writes rows as CSV with a header from their field names, whole or not at all.
pub(crate) fn write_csv<T: serde::Serialize>(path: &Path, rows: impl IntoIterator<Item = T>) -> Result<()> {
    write_atomic(path, |file| {
        let mut writer = csv::Writer::from_writer(file);
        for row in rows {
            writer.serialize(row)?;
        }
        writer.flush()
    })
}
