//! A store as a Parquet file, for tools that read tables.

use std::io::{Error as IoError, Write};
use std::path::Path;
use std::sync::Arc;

use ndarray::ArrayView2;
use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, FloatType};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::ColumnPath;

use super::ActivationStore;
use crate::capture::Pool;
use crate::progress::Progress;
use crate::{file, Error, Result};

const SCHEMA: &str = "message activations {
    REQUIRED BYTE_ARRAY id (STRING);
    REQUIRED BYTE_ARRAY address (STRING);
    REQUIRED GROUP vector (LIST) { REPEATED GROUP list { REQUIRED FLOAT element; } }
}";

impl ActivationStore {
    /// Writes the pooled states of all texts as one Parquet file, f32, not compressed: a row per text and address with the
    /// columns `id`, `address` and `vector` (a list of d numbers); a row group per shard and address. Provenance is JSON
    /// in the metadata under "probity".
    ///
    /// # Errors
    /// [`Error::Setting`] where every token was kept: ids would not tell rows apart; else as
    /// [`ActivationStore::load`]. The file appears whole or not at all.
    pub fn write_parquet(&self, path: impl AsRef<Path>) -> Result<()> {
        self.write_parquet_with_progress(path, &())
    }

    /// [`ActivationStore::write_parquet`] with progress, counted in texts.
    ///
    /// # Errors
    /// Those of [`ActivationStore::write_parquet`].
    pub fn write_parquet_with_progress(&self, path: impl AsRef<Path>, progress: &dyn Progress) -> Result<()> {
        let path = path.as_ref();
        if self.pool() == Pool::EveryToken {
            return Err(Error::setting("pool", "none", "pooled states, one row a text"));
        }
        self.complete()?;
        progress.begin("writing Parquet", self.texts() as u64);
        // The writer's closure knows errors of input and output only.
        let mut own = None;
        let written = file::write_atomic(path, |file| {
            self.write_rows(file, progress).map_err(|error| match error {
                Failed::Parquet(error) => IoError::other(error),
                Failed::Own(error) => {
                    own = Some(error);
                    IoError::other("reading the store failed")
                }
            })
        });
        own.map_or(written, Err)
    }

    fn write_rows(&self, file: impl Write + Send, progress: &dyn Progress) -> Result<(), Failed> {
        let provenance = serde_json::to_string(self.provenance()).ok();
        let properties = WriterProperties::builder()
            .set_compression(Compression::UNCOMPRESSED)
            .set_dictionary_enabled(false)
            .set_column_dictionary_enabled(ColumnPath::from("address"), true)
            .set_statistics_enabled(EnabledStatistics::None)
            .set_key_value_metadata(Some(vec![KeyValue::new("probity".to_owned(), provenance)]))
            .build();
        let schema = Arc::new(parse_message_type(SCHEMA)?);
        let mut writer = SerializedFileWriter::new(file, schema, Arc::new(properties))?;
        for entry in &self.manifest.shards {
            for (address, _) in self.addresses() {
                let part = self.shard(entry.number, &[address]).map_err(Failed::Own)?;
                let ids: Vec<ByteArray> = part.ids().iter().map(|id| id.as_str().into()).collect();
                let address_name = ByteArray::from(address.to_string().into_bytes());
                let states = part.at(address).map_err(Failed::Own)?;
                let mut group = writer.next_row_group()?;
                let columns =
                    [Column::Texts(&ids), Column::Texts(&vec![address_name; ids.len()]), Column::Lists(states)];
                for column in columns {
                    let Some(mut out) = group.next_column()? else { break };
                    match column {
                        Column::Texts(values) => drop(out.typed::<ByteArrayType>().write_batch(values, None, None)?),
                        Column::Lists(rows) => {
                            let values: Vec<f32> = rows.iter().copied().collect();
                            // Every element is there; the first of each list begins a row.
                            let width = rows.ncols();
                            let begins: Vec<i16> = (0..values.len()).map(|at| i16::from(at % width != 0)).collect();
                            let there = vec![1; values.len()];
                            out.typed::<FloatType>().write_batch(&values, Some(&there), Some(&begins))?;
                        }
                    }
                    out.close()?;
                }
                group.close()?;
            }
            progress.advance(entry.texts as u64);
        }
        writer.close()?;
        Ok(())
    }
}

enum Column<'a> {
    Texts(&'a [ByteArray]),
    Lists(ArrayView2<'a, f32>),
}

enum Failed {
    Own(Error),
    Parquet(ParquetError),
}

impl From<ParquetError> for Failed {
    fn from(error: ParquetError) -> Self {
        Failed::Parquet(error)
    }
}
