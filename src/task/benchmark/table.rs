//! Tables of comma- or tab-separated values, row by row.

use std::path::Path;

use csv::{ErrorKind, ReaderBuilder, StringRecord};

use crate::error::{nearest, Place};
use crate::file::HashedReader;
use crate::{Error, Result};

/// What a table looks like.
pub(super) enum Form<'a> {
    /// Comma-separated with quotes, and a header that names at least these columns.
    Csv(&'a [&'a str]),
    /// Tab-separated, in which a quote is a character like others, and a header that names at least these columns.
    Tsv(&'a [&'a str]),
    /// Comma-separated with quotes, of so many columns without a header.
    Bare(usize),
}

/// Hands the wanted fields of each row to `take`, whose error is told with the row's first line. SHA-256 of the
/// file.
pub(super) fn read_table(
    path: &Path,
    form: Form<'_>,
    mut take: impl FnMut(u64, &[&str]) -> Result<(), String>,
) -> Result<String> {
    let bad = |line: u64, problem: String| Error::malformed(path, Place::Line(line), problem);
    let broken = |error: csv::Error| {
        let line = error.position().map_or(1, csv::Position::line);
        match error.into_kind() {
            ErrorKind::Io(error) => Error::io("read", path)(error),
            ErrorKind::Utf8 { .. } => bad(line, "not UTF-8 text".to_owned()),
            ErrorKind::UnequalLengths { expected_len, len, .. } => {
                bad(line, format!("{len} fields, expected {expected_len}"))
            }
            other => bad(line, format!("{other:?}")),
        }
    };
    let mut builder = ReaderBuilder::new();
    let wanted = match form {
        Form::Csv(columns) => Some(columns),
        Form::Tsv(columns) => {
            builder.delimiter(b'\t').quoting(false);
            Some(columns)
        }
        Form::Bare(_) => None,
    };
    let mut reader = builder.has_headers(wanted.is_some()).from_reader(HashedReader::open(path)?);
    let columns: Vec<usize> = match (wanted, form) {
        (Some(wanted), _) => {
            let header = reader.headers().map_err(broken)?;
            if header.is_empty() {
                return Err(Error::malformed(path, Place::File, "the file is empty"));
            }
            wanted.iter().map(|name| column(header, name).map_err(|problem| bad(1, problem))).collect::<Result<_>>()?
        }
        (None, Form::Bare(count)) => (0..count).collect(),
        (None, _) => Vec::new(),
    };
    let (mut record, mut rows) = (StringRecord::new(), 0_u64);
    while reader.read_record(&mut record).map_err(broken)? {
        let line = record.position().map_or(0, csv::Position::line);
        if wanted.is_none() && record.len() != columns.len() {
            return Err(bad(line, format!("{} fields, expected {}", record.len(), columns.len())));
        }
        let fields: Vec<&str> = columns.iter().map(|&column| record.get(column).unwrap_or_default()).collect();
        take(line, &fields).map_err(|problem| bad(line, problem))?;
        rows += 1;
    }
    match rows {
        0 => Err(Error::malformed(path, Place::File, "holds no rows")),
        _ => Ok(reader.into_inner().sha256()),
    }
}

fn column(header: &StringRecord, name: &str) -> Result<usize, String> {
    header.iter().position(|column| column.trim() == name).ok_or_else(|| {
        let nearest = nearest(name, header.iter().map(str::to_owned)).join(", ");
        format!("the header has no column {name:?}; nearest: {nearest}")
    })
}

/// Reads a field that is 0 or 1.
pub(super) fn flag(name: &str, field: &str) -> Result<bool, String> {
    match field.trim() {
        "0" => Ok(false),
        "1" => Ok(true),
        other => Err(format!("{name} = {other:?} is neither 0 nor 1")),
    }
}
