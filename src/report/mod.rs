//! The study's result as files that people and programs read: `report.json` (schema in
//! `docs/report.schema.json`) and a self-contained `report.html`.

mod data;
mod drawing;
mod files;
mod html;
mod plan;
mod plots;
#[cfg(feature = "schema")]
mod schema;
mod svg;

pub use data::{AnalysisRecord, ModelSummary, Report};
pub use plan::PlanRecord;
