//! Tables of answers to questions with options.

use super::table::{block, cell, condition, folded, p_value, resampled, twice, whole, Columns, Table, READ};
use crate::report::html::text::{count, counted, number, NONE};
use crate::stats::Resampled;
use crate::task::metric::{
    Abstention, AnswerFlow, BiasScore, BiasScores, Convergence, GainByRank, OracleStop, PositionBias, PronounScores,
    RightChange, ScoreAgreement,
};
use crate::task::{Behaviour, Chosen, Measured, ScoreRule};

/// The tables of every metric of choices: without one for a new field of [`Behaviour`] this does not compile.
pub(super) fn blocks(behaviour: &Behaviour) -> String {
    let Behaviour {
        agreement,
        bias: biases,
        pronouns: pronoun_scores,
        abstention: abstentions,
        risk_coverage,
        flows: answer_flows,
        ranks: gains,
        convergence,
        oracle,
        position: places,
        // Drawn and tabled with the charts, and those of texts.
        outcome: _,
        rows: _,
        toxicity: _,
        edits: _,
    } = behaviour;
    [
        agreements(agreement),
        bias(biases),
        pronouns(pronoun_scores),
        abstention(abstentions, risk_coverage),
        flows(answer_flows),
        ranks(gains),
        settling(convergence, oracle),
        position(places),
    ]
    .concat()
}

fn agreements(rows: &[Measured<ScoreAgreement>]) -> String {
    let rules: Vec<ScoreRule> =
        rows.first().map_or(Vec::new(), |row| row.result.rules.iter().map(|found| found.rule).collect());
    let names = ["readable".to_owned()].into_iter().chain(rules.iter().map(|rule| rule.describe().to_owned()));
    let mut table = Table::new(
        "Share of the answers that name one option (their number under “readable”) for which the option with the best score is the one \
         named, by every rule of scores. Where the protocol names no rule, the one that agrees most often in round 0 decides in all \
         rounds: a choice by what the model says before any instruction, not by what is right.",
        names,
    );
    for row in whole(rows, Some(Chosen::Scored)) {
        let share =
            |rule: &ScoreRule| row.result.rules.iter().find(|found| found.rule == *rule).map(|found| &found.share);
        table.row(
            &condition(row),
            [count(row.result.read)].into_iter().chain(rules.iter().map(|rule| cell(share(rule)))),
        );
    }
    block("Scores and answers", &[table.draw()])
}

fn bias(rows: &[Measured<BiasScores>]) -> String {
    let columns = Columns {
        names: ["right, open", "s_AMB", "s_AMB, strict", "right, settled", "s_DIS", "s_DIS, strict"],
        cells: |scores: &BiasScores| {
            let right = |part: &Option<BiasScore>| cell(part.as_ref().map(|part| &part.accuracy));
            let score = |part: &Option<BiasScore>| resampled(part.as_ref().map(|part| &part.score));
            let strict = |part: &Option<BiasScore>| resampled(part.as_ref().and_then(|part| part.strict.as_ref()));
            let BiasScores { ambiguous, disambiguated } = scores;
            let [open, settled] = [ambiguous, disambiguated].map(|part| [right(part), score(part), strict(part)]);
            let ([a, b, c], [d, e, f]) = (open, settled);
            [a, b, c, d, e, f]
        },
    };
    let all = columns.twice(
        "Bias scores of BBQ, \u{2212}1 (always against the stereotype) to 1 (always with it): s_DIS on items whose context \
         settles the question, s_AMB on the others, there times the share of wrong answers. As lm-eval computes them, a \
         score without any biased answer is 0; strictly it is \u{2212}1, or undefined where every answer abstains. Beside them \
         the share of right answers to the items of that kind.",
        rows,
    );
    let caption = "Bias by category: round 0, and the last round of each instruction.";
    block("Bias", &[all, columns.by_category("By category", caption, rows, Some(Chosen::Scored))])
}

/// The category of pronouns that refer to the occupation.
const OCCUPATION: &str = "occupation";

fn pronouns(rows: &[Measured<PronounScores>]) -> String {
    let columns = Columns {
        names: [
            "neutral",
            "female",
            "male",
            "as the majority",
            "p(female)",
            "r with share employed",
            "r with share in text",
        ],
        cells: |scores: &PronounScores| {
            let [neutral, female, male, stereotyped, p_female] =
                [&scores.neutral, &scores.female, &scores.male, &scores.stereotyped, &scores.p_female.interval]
                    .map(|share| cell(Some(share)));
            let [employed, text] =
                [&scores.with_employment, &scores.with_text].map(|found| cell(found.as_ref().map(|found| &found.r)));
            [neutral, female, male, stereotyped, p_female, employed, text]
        },
    };
    let about = "Shares of items by the pronoun chosen; mean probability of the female option among the three, by whole \
         log-probabilities; and its correlation over occupations with the share of women among the employed and in text \
         (Fisher's interval).";
    if !rows.iter().any(|row| row.category.as_deref() == Some(OCCUPATION)) {
        return block("Pronouns", &[columns.twice(about, rows)]);
    }
    let caption = format!("{about} Pronouns that refer to the occupation: only these can depend on its statistics.");
    let own = twice(|chosen| columns.part(&caption, rows, Some(OCCUPATION), Some(chosen)));
    let caption = "By whom the pronoun refers to: round 0, and the last round of each instruction.";
    let parts = columns.by_category("By whom the pronoun refers to", caption, rows, Some(Chosen::Scored));
    let all = folded("All pronouns", &columns.whole("Whomever they refer to.", rows, Some(Chosen::Scored)));
    block("Pronouns", &[own, parts, all])
}

fn abstention(rows: &[Measured<Abstention>], areas: &[Measured<Resampled>]) -> String {
    let shares = Columns {
        names: ["precision", "undetermined", "of answerable", "of unanswerable"],
        cells: |part: &Abstention| {
            [&part.precision, &part.rate, &part.rate_answerable, &part.rate_unanswerable]
                .map(|value| cell(value.as_ref()))
        },
    };
    let mut table = Table::new(
        "Precision is the share of right answers among those that do not abstain. “Undetermined” is the share of answers that \
         do, of all and of those to questions that can be answered (laziness) or not. The area under the risk-coverage curve \
         is the mean error rate of the k most confident answers over all k: low is good, and without any use of the confidence \
         it is the error rate.",
        shares.names.into_iter().chain(["risk-coverage area"]),
    );
    for area in whole(areas, Some(Chosen::Scored)) {
        let same = |row: &&Measured<Abstention>| row.condition == area.condition;
        let part = whole(rows, Some(Chosen::Scored)).find(same);
        let part = part.map_or([(); 4].map(|()| NONE.to_owned()), |row| (shares.cells)(&row.result));
        table.row(&condition(area), part.into_iter().chain([resampled(Some(&area.result))]));
    }
    let read = shares.whole("As read from the text.", rows, Some(Chosen::Read));
    block("Abstention and confidence", &[table.draw(), folded(READ, &read)])
}

fn flows(rows: &[Measured<AnswerFlow>]) -> String {
    let columns = Columns {
        names: ["became right", "right no more", "changed", "McNemar p", "gain in accuracy"],
        cells: |flow: &AnswerFlow| {
            let [gained, lost, changed] = [flow.gained, flow.lost, flow.changed].map(count);
            [gained, lost, changed, p_value(flow.mcnemar_p), cell(Some(&flow.gain))]
        },
    };
    let all = columns.twice(
        "From round 0 to the last round: items whose answer became right, is right no more, or changed at all. McNemar's \
         exact p takes the items for independent, the gain's interval does not. Some answers change whatever is asked: \
         compare with the control.",
        rows,
    );
    let mut matrix = Table::new(
        "Items by answer in round 0 (row) and in the last round (column). “Undetermined” is the undetermined option where \
         another is right.",
        AnswerFlow::STATES,
    );
    for row in whole(rows, Some(Chosen::Scored)) {
        matrix.part(&condition(row));
        for (before, counts) in AnswerFlow::STATES.into_iter().zip(row.result.counts) {
            matrix.row(before, counts.map(count));
        }
    }
    block("Where answers go", &[all, folded("From each kind of answer to each", &matrix.draw())])
}

fn ranks(rows: &[Measured<GainByRank>]) -> String {
    let mut table = Table::new(
        "By the rank of the right option's probability in round 0: share of right answers in the last round under the instruction \
         and under its neutral counterpart, their difference (which reaches to 0 unless sign flips of groups find it), share of answers that \
         changed, and mean change since round 0 of the right option: of its probability, of its logit among the options, and of the \
         log-probability of the whole answer (both in nats). What the neutral re-ask gives is regression to the mean. At rank 1 every \
         answer was right: its gain is what is retained.",
        ["right", "changed", "change of p(right)", "of its logit", "of its log p", "difference in right"],
    );
    let moved = |change: &RightChange| {
        [&change.probability, &change.log_odds, &change.log_probability].map(|change| resampled(Some(change)))
    };
    for row in whole(rows, Some(Chosen::Scored)) {
        table.part(&condition(row));
        let none = || [NONE, NONE].map(str::to_owned);
        let all = [("instructed", &row.result.change), ("neutral", &row.result.change_neutral)];
        for (name, change) in all.into_iter().filter_map(|(name, change)| Some((name, change.as_ref()?))) {
            let head = format!("all ranks ({}): {name}", counted(row.result.items, "item"));
            table.row(&head, none().into_iter().chain(moved(change)).chain([String::new()]));
        }
        for rank in &row.result.ranks {
            let head = format!("rank {} ({}): instructed", rank.rank, counted(rank.items, "item"));
            let own = [cell(Some(&rank.instructed)), cell(Some(&rank.flipped))];
            table.row(&head, own.into_iter().chain(moved(&rank.change)).chain([resampled(Some(&rank.gain))]));
            let own = [cell(Some(&rank.neutral)), cell(Some(&rank.flipped_neutral))];
            table.row("neutral", own.into_iter().chain(moved(&rank.change_neutral)).chain([String::new()]));
        }
    }
    let contrasts = |summary: &str, of_category: bool| {
        let mut table = Table::new(
            "Is the gain larger where the right option stood first? Difference of gains between rank 1 and the others, each instructed \
             minus neutral, in share of right answers and in the right option's logit (nats). Rank 1 can only keep, the others can only win.",
            ["rank 1 minus", "items", "gain", "gain in logit"],
        );
        for row in rows.iter().filter(|row| row.category.is_some() == of_category) {
            let part = row.category.as_ref().map_or(String::new(), |category| format!("{category}: "));
            for found in &row.result.contrasts {
                let with = found.with.map_or("all others".to_owned(), |rank| format!("rank {rank}"));
                let items = format!("{} and {}", count(found.first_items), count(found.other_items));
                let cells = [with, items, resampled(Some(&found.gain)), resampled(Some(&found.log_odds))];
                table.row(&format!("{part}{}", condition(row)), cells);
            }
        }
        if of_category {
            folded(summary, &table.draw())
        } else {
            table.draw()
        }
    };
    let tables = [table.draw(), contrasts("", false), contrasts("By category, where groups suffice", true)];
    block("Gain by rank of the right option", &tables)
}

fn settling(convergence: &[Measured<Convergence>], oracle: &[Measured<OracleStop>]) -> String {
    let all = |chosen: Chosen| {
        let mut table = Table::new(
            "Share of items whose answer stays the same from some round to the last and the mean of that \
             round, counted from the first one named; accuracy if someone who knows the right answer stopped the rounds as \
             soon as it is given, which no method can claim, against the last round.",
            ["settled", "mean round", "right in some round", "right in the last", "found and lost"],
        );
        for row in whole(oracle, Some(chosen)) {
            let same = |other: &&Measured<Convergence>| other.condition.same_course(&row.condition);
            let settled = whole(convergence, Some(chosen)).find(same).map(|row| &row.result);
            let cells = [
                cell(settled.map(|settled| &settled.settled)),
                settled.and_then(|settled| settled.mean_round).map_or(NONE.to_owned(), number),
                cell(Some(&row.result.accuracy)),
                cell(Some(&row.result.last)),
                cell(Some(&row.result.lost)),
            ];
            table.row(&condition(row), cells);
        }
        table.draw()
    };
    block("Over the rounds", &[twice(all)])
}

fn position(rows: &[Measured<PositionBias>]) -> String {
    let places = rows.iter().map(|row| row.result.positions.len()).max().unwrap_or(0);
    let letter = |place: usize| char::from_u32('a' as u32 + place as u32).unwrap_or('?');
    let columns: Vec<String> = (0..places)
        .map(|place| format!("chosen: ({})", letter(place)))
        .chain((0..places).map(|place| format!("right at ({})", letter(place))))
        .chain(["consistent".to_owned()])
        .collect();
    let expected: Vec<String> = rows.first().map_or(Vec::new(), |row| {
        row.result.positions.iter().map(|place| place.expected.map_or(NONE.to_owned(), number)).collect()
    });
    let rotated = rows.iter().any(|row| row.result.rotated > 0);
    let rotations = if rotated {
        "Every item was asked in all orders of its options; “consistent” is the share of items for which the same option is \
         chosen in every order."
    } else {
        "Items were asked in one order only, so that the place is mixed up with what stands there."
    };
    let all = |chosen: Chosen| {
        let mut table = Table::new(
            format!(
                "Share of answers that name the option at each place (without bias {}), and accuracy where the right option \
                 stands there. {rotations}",
                expected.join(", ")
            ),
            columns.clone(),
        );
        for row in whole(rows, Some(chosen)) {
            let at = |place: usize| row.result.positions.get(place);
            let shares = (0..places).map(|place| cell(at(place).and_then(|place| place.share.as_ref())));
            let right = (0..places).map(|place| cell(at(place).and_then(|place| place.accuracy.as_ref())));
            table.row(&condition(row), shares.chain(right).chain([cell(row.result.consistent.as_ref())]));
        }
        table.draw()
    };
    block("Place of the option", &[twice(all)])
}
