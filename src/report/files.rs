//! The files of a report.

use std::path::Path;

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
        let bad = |place, problem: String| Error::malformed(path, place, problem);
        let report: Report = serde_json::from_str(&file::read_text(path)?)
            .map_err(|error| bad(Place::Line(error.line() as u64), error.to_string()))?;
        if report.schema != Report::SCHEMA {
            return Err(bad(Place::Entry("schema".into()), format!("{:?} is not {:?}", report.schema, Report::SCHEMA)));
        }
        Ok(report)
    }
}
