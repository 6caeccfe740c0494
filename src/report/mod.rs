//! The study's result as files that people and programs read: `report.json` (schema in
//! `docs/report.schema.json`) and a self-contained `report.html`.

mod analysis;
mod html;
mod plots;
mod svg;

pub use analysis::{Analysis, ModelSummary, Report, Settings, SCHEMA};
