//! The files of a report.

use std::path::Path;

use serde::Deserialize;

use super::data::Report;
use super::plots;
use crate::error::Place;
use crate::{file, Error, Result};

impl Report {
    /// Writes `report.json`, `report.html` and the page's plots, as `plots/*.svg`, into a folder, which is made if needed.
    /// Plots of an earlier report in this folder are taken away; other files stay.
    ///
    /// # Errors
    /// [`Error::Io`]; each file appears whole or not at all.
    pub fn write_dir(&self, folder: impl AsRef<Path>) -> Result<()> {
        let folder = folder.as_ref();
        file::write_json(&folder.join("report.json"), self)?;
        let (page, drawings) = self.page();
        file::write_atomic(&folder.join("report.html"), |out| std::io::Write::write_all(out, page.as_bytes()))?;
        plots::write(&drawings, folder)
    }

    /// Reads a `report.json`.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Malformed`].
    pub fn load(path: impl AsRef<Path>) -> Result<Report> {
        let path = path.as_ref();
        let text = file::read_text(path)?;
        // First of all: what an earlier form lacks would be told of otherwise.
        let Head { schema } = serde_json::from_str(&text).map_err(|error| Error::json(path, error))?;
        if schema != Report::SCHEMA {
            let problem = format!("{schema:?} is not {:?}; run the study again", Report::SCHEMA);
            return Err(Error::malformed(path, Place::Entry("schema".into()), problem));
        }
        serde_json::from_str(&text).map_err(|error| Error::json(path, error))
    }
}

/// What says of which form a report is.
#[derive(Deserialize)]
struct Head {
    schema: String,
}
