//! Mean changes over windows of layers that were named beforehand.

use super::text::{escape, interval_cell, number};
use crate::level::Against;
use crate::report::Report;

fn against(of: Against) -> &'static str {
    match of {
        Against::Round0 => "round 0",
        Against::Control => "control",
    }
}

pub(super) fn section(report: &Report) -> String {
    if report.windows.is_empty() {
        return String::new();
    }
    let rows: String = report
        .windows
        .iter()
        .map(|row| {
            let [first, last] = row.test.addresses;
            format!(
                "<tr><th scope=\"row\">{} r{}</th><td>{}</td><td>{}</td><td>{first} to {last}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
                escape(&row.condition.name()),
                row.condition.round,
                against(row.against),
                escape(&row.reading.to_string()),
                escape(row.metric.name()),
                interval_cell(&row.test.interval),
                number(row.test.p),
            )
        })
        .collect();
    let head: String = ["", "against", "reading", "layers", "metric", "mean change", "sign-flip p"]
        .map(|name| format!("<th scope=\"col\">{name}</th>"))
        .concat();
    format!(
        "<section id=\"windows\"><h2>Over windows of layers that were named</h2><div class=\"scroll\"><table><caption>Mean change of the \
         level over the layers of each window at each site, in every round of each instruction: less immoral is below 0. Intervals \
         and p are of one window alone, and right only if the window was named before the levels were seen.</caption><thead><tr>{head}\
         </tr></thead><tbody>{rows}</tbody></table></div></section>"
    )
}
