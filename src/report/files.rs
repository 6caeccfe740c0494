//! The files of a report.

use std::path::Path;

use serde::Deserialize;

use super::data::Report;
use super::plan::PlanRecord;
use super::plots;
use crate::error::Place;
use crate::{file, Error, Result};

impl Report {
    /// Writes `report.json`, `report.html`, `sensitivity.csv` where there is such a table, and the page's plots, as `plots/*.svg`, into a folder, which is made if needed.
    /// Plots of an earlier report in this folder are taken away; other files stay. Where that report was made without this
    /// one's plan, what is written says that it is exploratory: a second analysis of one folder knows the first.
    ///
    /// # Errors
    /// [`Error::Io`]; each file appears whole or not at all.
    pub fn write_dir(&self, folder: impl AsRef<Path>) -> Result<()> {
        let folder = folder.as_ref();
        let report = self.clone().with_plan(self.plan_in(folder));
        file::write_json(&folder.join("report.json"), &report)?;
        let (page, drawings) = report.page();
        file::write_atomic(&folder.join("report.html"), |out| std::io::Write::write_all(out, page.as_bytes()))?;
        let other_analyses = folder.join("sensitivity.csv");
        match &report.sensitivity {
            Some(table) => table.write_csv(other_analyses)?,
            // That of an earlier report is not this one's.
            None if other_analyses.exists() => {
                std::fs::remove_file(&other_analyses).map_err(Error::io("remove", &other_analyses))?;
            }
            None => {}
        }
        plots::write(&drawings, folder)
    }

    /// The plan, and whether it came after another report in this folder.
    fn plan_in(&self, folder: &Path) -> Option<PlanRecord> {
        let plan = self.plan.clone()?;
        let earlier = std::fs::read_to_string(folder.join("report.json")).ok();
        let earlier = earlier.map(|text| serde_json::from_str::<Planned>(&text).unwrap_or_default().plan);
        Some(match (earlier, &plan.exploratory) {
            (Some(Some(before)), None) if before.sha256 == plan.sha256 => before,
            (Some(_), None) => {
                let why = "another analysis was in this folder before".to_owned();
                PlanRecord { exploratory: Some(why), ..plan }
            }
            _ => plan,
        })
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

/// The plan of a report of any form.
#[derive(Default, Deserialize)]
struct Planned {
    #[serde(default)]
    plan: Option<PlanRecord>,
}

/// What says of which form a report is.
#[derive(Deserialize)]
struct Head {
    schema: String,
}
