//! The report as one self-contained page: markup, style and drawings, no script, nothing to fetch. It is
//! well-formed XML too, and the same bytes for the same report.

mod behaviour;
mod causal;
mod conditions;
mod contributions;
mod curves;
mod evidence;
mod maps;
mod methods;
mod pairwise;
mod precision;
mod probes;
mod protocol;
mod selection;
mod sensitivity;
mod style;
mod text;
mod transitions;
mod verdict;
mod windows;
mod wordings;

pub(super) use style::STYLE;

use super::data::Report;
use super::drawing::{Drawing, Drawings};

impl Report {
    /// The report as one HTML page that needs no network.
    ///
    /// The verdicts with their checks come first, then the plots behind them: held-out AUROC by layer, heat
    /// maps and curves of the levels, where changes begin and what parts they come from, behaviour by round; then methods, limits and provenance. What a report
    /// does not hold is left out.
    pub fn to_html(&self) -> String {
        self.page().0
    }

    /// The page, and its drawings by name.
    pub(super) fn page(&self) -> (String, Vec<Drawing>) {
        let drawings = Drawings::default();
        let title = if self.model.name.is_empty() { "Probity report" } else { &self.model.name };
        let sections = [
            verdict::header(self),
            verdict::section(self),
            precision::section(self),
            sensitivity::section(self, &drawings),
            evidence::section(self, &drawings),
            causal::section(self),
            wordings::section(self),
            probes::section(self, &drawings),
            maps::section(self, &drawings),
            curves::section(self, &drawings),
            transitions::section(self),
            windows::section(self),
            contributions::section(self, &drawings),
            selection::section(self, &drawings),
            pairwise::section(self, &drawings),
            behaviour::section(self, &drawings),
            methods::section(self),
        ];
        let page = format!(
            "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\
             <title>{}: self-correction report</title><style>{}</style></head>\n<body>\n{}\n</body></html>\n",
            text::escape(title),
            style::STYLE,
            sections.join("\n")
        );
        (page, drawings.finish())
    }
}
