//! What becomes of the gain while directions are changed.

use super::text::{counted, escape, interval, number, percent, NONE};
use crate::causal::{Beyond, CausalEvidence, DirectionEffect, Manipulation, Matching};
use crate::report::Report;
use crate::stats::Interval;

pub(super) fn section(report: &Report) -> String {
    if report.causal.is_empty() {
        return String::new();
    }
    let level = report.analysis.settings.level;
    let heads = ["instruction", "direction", "along", "fluency lost (nats a token)", "gain under it", "goes", "comes"];
    let heads: String = heads.iter().map(|head| format!("<th scope=\"col\">{head}</th>")).collect();
    let rows: String = report.causal.iter().map(|entry| of_entry(entry, level)).collect();
    format!(
        "<section id=\"causal\"><h2>Does the gain depend on the direction?</h2><p>All rounds were run again while the probes\u{2019} \
         direction was changed at every valid layer and token, and while random directions were, each as strongly as costs the \
         same fluency (log-likelihood of the control\u{2019}s own answers). <em>Goes</em>: the gain in {} over the control without the \
         change minus that with it. <em>Comes</em>: what the control alone gains by the change. Intervals are of {}, over item \
         groups. A direction that is read need not be used: if no more goes or comes than along random directions, nothing here \
         says that the gain depends on it.</p><div class=\"scroll\"><table class=\"plain\"><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div></section>",
        escape(report.outcome()),
        escape(&percent(level)),
    )
}

fn of_entry(entry: &CausalEvidence, level: f64) -> String {
    let CausalEvidence { probe, random, .. } = entry;
    let name = format!("{}, round {}", escape(&entry.condition.name()), entry.condition.round);
    let line = |along: &str, cells: [String; 4]| {
        let [loss, gain, goes, comes] = cells;
        format!(
            "<tr><td>{name}</td><td>{}</td><td>{along}</td><td>{loss}</td><td>{gain}</td><td>{goes}</td><td>{comes}</td></tr>",
            escape(&entry.manipulation.to_string())
        )
    };
    let none = || NONE.to_owned();
    let share = entry.share_gone.map_or(String::new(), |share| format!("; share of the gain {}", interval(&share)));
    let compared: Vec<&DirectionEffect> =
        random.iter().filter(|effect| effect.matching != Some(Matching::OutOfReach)).collect();
    let mean = |of: fn(&DirectionEffect) -> f64| match compared.len() {
        0 => none(),
        count => number(compared.iter().map(|effect| of(effect)).sum::<f64>() / count as f64),
    };
    let left_out = match random.len() - compared.len() {
        0 => String::new(),
        count => format!(", {} out of reach", counted(count, "other")),
    };
    let among = format!("{}{left_out} (mean)", counted(compared.len(), "random direction"));
    let beyond = |beyond: &Option<Beyond>, asked: bool| {
        beyond.map_or_else(none, |beyond| {
            let found = match (asked, beyond.holds(level)) {
                (true, true) => "; more than along random directions",
                (true, false) => "; not shown to be more than along random directions",
                (false, _) => "",
            };
            format!("{}, p = {:.3}{found}", interval(&beyond.difference), beyond.p)
        })
    };
    // Taking off asks whether a gain comes, all else whether it goes.
    let asks_coming = matches!(entry.manipulation, Manipulation::Subtract(_));
    let only = |value: &Interval| interval(value);
    [
        line("the model as it is", [none(), only(&entry.gain), none(), none()]),
        line(
            "the probes\u{2019} direction",
            [
                number(probe.fluency_loss),
                only(&probe.gain),
                format!("{}{share}", only(&probe.goes)),
                only(&probe.comes),
            ],
        ),
        line(
            &among,
            [
                mean(|effect| effect.fluency_loss),
                mean(|effect| effect.gain.estimate),
                mean(|effect| effect.goes.estimate),
                mean(|effect| effect.comes.estimate),
            ],
        ),
        line("difference", [none(), none(), beyond(&entry.goes, !asks_coming), beyond(&entry.comes, asks_coming)]),
    ]
    .concat()
}
