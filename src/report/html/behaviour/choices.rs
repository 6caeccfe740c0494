//! Tables of answers to questions with options.

use super::table::{block, by_category, cell, condition, folded, p_value, resampled, whole, Table};
use crate::report::html::text::{count, counted, number, NONE};
use crate::stats::Resampled;
use crate::task::metric::{
    Abstention, AnswerFlow, BiasScore, BiasScores, Convergence, GainByRank, OracleStop, PositionBias, PronounScores,
    State,
};
use crate::task::{Behaviour, Chosen, Measured};

const READ: &str = "The same by what is read from the generated text";

pub(super) fn blocks(behaviour: &Behaviour) -> String {
    [
        bias(&behaviour.bias),
        pronouns(&behaviour.pronouns),
        abstention(&behaviour.abstention, &behaviour.risk_coverage),
        flows(&behaviour.flows),
        ranks(&behaviour.ranks),
        settling(&behaviour.convergence, &behaviour.oracle),
        position(&behaviour.position),
    ]
    .concat()
}

/// A table by option scores, and the same as read, folded.
fn twice(table: impl Fn(Chosen) -> String) -> String {
    format!("{}{}", table(Chosen::Scored), folded(READ, &table(Chosen::Read)))
}

fn bias(rows: &[Measured<BiasScores>]) -> String {
    const COLUMNS: [&str; 4] = ["s_AMB", "s_AMB, strict", "s_DIS", "s_DIS, strict"];
    let cells = |scores: &BiasScores| {
        let both = |score: &Option<BiasScore>| {
            let score = score.as_ref();
            let strict = score.and_then(|score| score.strict.as_ref());
            [resampled(score.map(|score| &score.score)), resampled(strict)]
        };
        [both(&scores.ambiguous), both(&scores.disambiguated)].concat()
    };
    let all = |chosen: Chosen| {
        let mut table = Table::new(
            "Bias scores of BBQ, \u{2212}1 (always against the stereotype) to 1 (always with it): s_DIS on items whose context \
             settles the question, s_AMB on the others, there times the share of wrong answers. As lm-eval computes them, a \
             score without any biased answer is 0; strictly it is \u{2212}1, or undefined where every answer abstains.",
            COLUMNS,
        );
        whole(rows, Some(chosen)).for_each(|row| table.row(&condition(row), cells(&row.result)));
        table.draw()
    };
    let mut categories = Table::new("Bias by category: round 0, and the last round of each instruction.", COLUMNS);
    for (category, rows) in by_category(rows, Some(Chosen::Scored)) {
        categories.part(if category.is_empty() { "without category" } else { category });
        rows.iter().for_each(|row| categories.row(&condition(row), cells(&row.result)));
    }
    block("Bias", &[twice(all), folded("By category", &categories.draw())])
}

fn pronouns(rows: &[Measured<PronounScores>]) -> String {
    const COLUMNS: [&str; 7] =
        ["neutral", "female", "male", "as the majority", "p(female)", "r with share employed", "r with share in text"];
    let cells = |scores: &PronounScores| {
        let shares = [&scores.neutral, &scores.female, &scores.male, &scores.stereotyped, &scores.p_female];
        let correlations = [&scores.with_employment, &scores.with_text];
        let correlations = correlations.map(|found| cell(found.as_ref().map(|found| &found.r)));
        [shares.map(|share| resampled(Some(share))).to_vec(), correlations.to_vec()].concat()
    };
    let all = |chosen: Chosen| {
        let mut table = Table::new(
            "Shares of items by the pronoun chosen; mean probability of the female one; and its correlation over occupations \
             with the share of women among the employed and in text (Fisher's interval).",
            COLUMNS,
        );
        whole(rows, Some(chosen)).for_each(|row| table.row(&condition(row), cells(&row.result)));
        table.draw()
    };
    let mut categories =
        Table::new("By whom the pronoun refers to: round 0, and the last round of each instruction.", COLUMNS);
    for (category, rows) in by_category(rows, Some(Chosen::Scored)) {
        categories.part(category);
        rows.iter().for_each(|row| categories.row(&condition(row), cells(&row.result)));
    }
    block("Pronouns", &[twice(all), folded("By whom the pronoun refers to", &categories.draw())])
}

fn abstention(rows: &[Measured<Abstention>], areas: &[Measured<Resampled>]) -> String {
    let mut table = Table::new(
        "Precision is the share of right answers among those that do not abstain. “Undetermined” is the share of answers that \
         do, of all and of those to questions that can be answered (laziness) or not. The area under the risk-coverage curve \
         is the mean error rate of the k most confident answers over all k: low is good, and without any use of the confidence \
         it is the error rate.",
        ["precision", "undetermined", "of answerable", "of unanswerable", "risk-coverage area"],
    );
    let read = |row: &Measured<Abstention>| {
        let part = &row.result;
        [&part.precision, &part.rate, &part.rate_answerable, &part.rate_unanswerable]
            .map(|value| resampled(value.as_ref()))
            .to_vec()
    };
    for area in whole(areas, Some(Chosen::Scored)) {
        let same = |row: &&Measured<Abstention>| row.condition == area.condition;
        let part = whole(rows, Some(Chosen::Scored)).find(same).map_or(vec![NONE.to_owned(); 4], read);
        table.row(&condition(area), [part, vec![resampled(Some(&area.result))]].concat());
    }
    let mut texts =
        Table::new("As read from the text.", ["precision", "undetermined", "of answerable", "of unanswerable"]);
    whole(rows, Some(Chosen::Read)).for_each(|row| texts.row(&condition(row), read(row)));
    block("Abstention and confidence", &[table.draw(), folded(READ, &texts.draw())])
}

fn flows(rows: &[Measured<AnswerFlow>]) -> String {
    let all = |chosen: Chosen| {
        let mut table = Table::new(
            "From round 0 to the last round: items whose answer became right, is right no more, or changed at all. McNemar's \
             exact p takes the items for independent, the gain's interval does not. Some answers change whatever is asked: \
             compare with the neutral instruction.",
            ["became right", "right no more", "changed", "McNemar p", "gain in accuracy"],
        );
        for row in whole(rows, Some(chosen)) {
            let flow = &row.result;
            let counts = [flow.gained, flow.lost, flow.changed].map(count).to_vec();
            let tests = vec![p_value(flow.mcnemar_p), cell(Some(&flow.gain))];
            table.row(&condition(row), [counts, tests].concat());
        }
        table.draw()
    };
    let names = ["right", "undetermined", "wrong", "invalid"];
    let mut matrix = Table::new(
        "Items by answer in round 0 (row) and in the last round (column). “Undetermined” is the undetermined option where \
         another is right.",
        names,
    );
    for row in whole(rows, Some(Chosen::Scored)) {
        matrix.part(&condition(row));
        for (before, name) in State::ALL.into_iter().zip(names) {
            matrix.row(name, State::ALL.map(|after| count(row.result.count(before, after))));
        }
    }
    block("Where answers go", &[twice(all), folded("From each kind of answer to each", &matrix.draw())])
}

fn ranks(rows: &[Measured<GainByRank>]) -> String {
    let mut table = Table::new(
        "By the rank of the right option's probability in round 0: share of right answers in the last round under the instruction \
         and under its neutral counterpart (Wilson's intervals), their difference over item groups, share of answers that \
         changed, and mean change of the right option's probability. What the neutral re-ask gives is regression to the mean.",
        ["right", "changed", "change of p(right)", "difference in right"],
    );
    for row in whole(rows, Some(Chosen::Scored)) {
        table.part(&condition(row));
        for rank in &row.result.ranks {
            let head = format!("rank {} ({}): instructed", rank.rank, counted(rank.items, "item"));
            let own = [cell(Some(&rank.instructed)), cell(Some(&rank.flipped)), resampled(Some(&rank.shift))];
            table.row(&head, own.into_iter().chain([resampled(Some(&rank.gain))]));
            let own =
                [cell(Some(&rank.neutral)), cell(Some(&rank.flipped_neutral)), resampled(Some(&rank.shift_neutral))];
            table.row("neutral", own.into_iter().chain([String::new()]));
        }
    }
    block("Gain by rank of the right option", &[table.draw()])
}

fn settling(convergence: &[Measured<Convergence>], oracle: &[Measured<OracleStop>]) -> String {
    block(
        "Over the rounds",
        &[twice(|chosen| {
            let mut table = Table::new(
            "Share of items whose answer stays the same from some round to the last (Wilson's interval), and the mean of that \
             round, counted from the first one named; accuracy if someone who knows the right answer stopped the rounds as \
             soon as it is given, which no method can claim, against the last round.",
            ["settled", "mean round", "right in some round", "right in the last", "found and lost"],
        );
            for row in whole(oracle, Some(chosen)) {
                let same = |other: &&Measured<Convergence>| other.condition.same_course(&row.condition);
                let settled = whole(convergence, Some(chosen)).find(same).map(|row| &row.result);
                let cells = [
                    cell(settled.and_then(|settled| settled.settled.as_ref())),
                    settled.and_then(|settled| settled.mean_round).map_or(NONE.to_owned(), number),
                    cell(Some(&row.result.accuracy)),
                    cell(Some(&row.result.last)),
                    cell(Some(&row.result.lost)),
                ];
                table.row(&condition(row), cells);
            }
            table.draw()
        })],
    )
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
            let shares = (0..places).map(|place| resampled(at(place).and_then(|place| place.share.as_ref())));
            let right = (0..places).map(|place| resampled(at(place).and_then(|place| place.accuracy.as_ref())));
            table.row(&condition(row), shares.chain(right).chain([resampled(row.result.consistent.as_ref())]));
        }
        table.draw()
    };
    block("Place of the option", &[twice(all)])
}
