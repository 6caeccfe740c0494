//! Captured states: their file, the three poolings against each other, and padding that changes nothing.

use common::{max_abs, max_difference, tiny, TINY};
use ndarray::Array2;
use probity::capture::{Activations, Pool, Readout, TokenRows};
use probity::hook::{Selection, Site};
use probity::text::{PadSide, Span, Text};
use probity::Model;
use probity::Provenance;

/// Every site that is pooled: all but attention patterns, whose rows are no states of tokens.
fn every_site() -> Selection {
    Site::ALL.into_iter().filter(|&site| site != Site::Pattern).map(Site::all_layers).collect()
}

/// Texts of unequal lengths, one of them of a single token, some read in part.
fn texts() -> Vec<Text> {
    let spanned = |id: &str, text: &str, start, end| Text { span: Some(Span { start, end }), ..Text::new(id, text) };
    vec![
        Text::new("whole", "the first market day"),
        Text::new("short", "a"),
        spanned("middle", "we met again on market day", 3, 12),
        Text::new("accents", "été, naïve: 42!"),
        spanned("one byte", "we met again", 4, 5),
        Text::new("long", "the day after the first market day we met again"),
    ]
}

fn capture(model: &Model, pool: Pool, texts: &[Text]) -> Activations {
    Readout::new(every_site(), pool).capture(model, texts).unwrap()
}

#[test]
fn a_file_gives_back_what_was_saved_for_every_pooling() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("acts.safetensors");
    let model = tiny("untied_sharded");
    let grouped: Vec<Text> =
        texts().into_iter().enumerate().map(|(n, text)| Text { group: Some(format!("g{}", n / 2)), ..text }).collect();
    for pool in [Pool::Last, Pool::Mean, Pool::EveryToken] {
        for texts in [texts(), grouped.clone()] {
            let activations = capture(&model, pool, &texts);
            assert_eq!(activations.groups().is_some(), texts[0].group.is_some());
            assert_eq!(activations.provenance()["pool"], pool.name());
            activations.save(&path).unwrap();
            assert_eq!(Activations::load(&path).unwrap(), activations, "{}", pool.name());
            let first = std::fs::read(&path).unwrap();
            capture(&model, pool, &texts).save(&path).unwrap();
            assert!(std::fs::read(&path).unwrap() == first, "{}: the same bytes again", pool.name());
        }
    }
}

#[test]
fn ids_and_provenance_of_any_text_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("acts.safetensors");
    let ids = ["", "é", "line\nbreak", "\"quoted\"", "\u{0}", "日本"];
    let mut activations = Activations::new(ids)
        .with_groups(ids.iter().rev().map(|id| id.to_string()).collect())
        .unwrap()
        .with_provenance(Provenance::from([("a \"key\"".to_owned(), "\\ value\n".to_owned())]));
    // The smallest, largest and signed zeros too: values come back bit by bit.
    let values = [0.0, -0.0, f32::MIN_POSITIVE, 1e-45, f32::MAX, f32::MIN];
    activations.insert(Site::Z.at(3).head(1), Array2::from_shape_vec((6, 1), values.to_vec()).unwrap()).unwrap();
    activations.save(&path).unwrap();
    let loaded = Activations::load(&path).unwrap();
    assert_eq!(loaded, activations);
    let bits = |a: &Activations| a.at(Site::Z.at(3).head(1)).unwrap().iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&loaded), bits(&activations));
}

#[test]
fn a_file_without_a_header_has_row_numbers_for_ids() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("acts.safetensors");
    let bytes: Vec<u8> = (0..6).flat_map(|n| (n as f32).to_le_bytes()).collect();
    let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![3, 2], &bytes).unwrap();
    std::fs::write(&path, safetensors::serialize([("L0.resid_post", view)], None).unwrap()).unwrap();
    let loaded = Activations::load(&path).unwrap();
    assert_eq!(loaded.ids(), ["0", "1", "2"]);
    assert_eq!(loaded.at(Site::ResidPost.at(0)).unwrap()[[2, 1]], 5.0);
    assert!(loaded.groups().is_none() && loaded.provenance().is_empty());
}

#[test]
fn poolings_agree_with_each_other_at_every_site() {
    for name in TINY {
        let model = tiny(name);
        let texts = texts();
        let [last, mean, none] = [Pool::Last, Pool::Mean, Pool::EveryToken].map(|pool| capture(&model, pool, &texts));
        let TokenRows { offsets, tokens } = none.token_rows().unwrap();
        assert_eq!(offsets.len(), texts.len() + 1);
        assert_eq!(*offsets.last().unwrap() as usize, tokens.len());
        assert_eq!(offsets[2] - offsets[1], 1, "a text of one token");
        let mut addresses = 0;
        for address in none.addresses() {
            let (last, mean, none) = (last.at(address).unwrap(), mean.at(address).unwrap(), none.at(address).unwrap());
            assert_eq!(none.nrows(), tokens.len(), "{name} {address}");
            for (text, range) in offsets.windows(2).enumerate() {
                let rows = none.slice(ndarray::s![range[0] as usize..range[1] as usize, ..]);
                let final_row = rows.row(rows.nrows() - 1);
                assert_eq!(last.row(text), final_row, "{name} {address}, text {text}");
                for (column, values) in rows.columns().into_iter().enumerate() {
                    let by_hand = values.iter().map(|&v| f64::from(v)).sum::<f64>() / values.len() as f64;
                    let largest = values.iter().fold(1.0_f64, |largest, v| largest.max(f64::from(v.abs())));
                    let error = (f64::from(mean[[text, column]]) - by_hand).abs();
                    assert!(error <= 1e-6 * largest, "{name} {address}, text {text}: off by {error:e}");
                }
            }
            addresses += 1;
        }
        assert_eq!(addresses, 3 + 13 * model.geometry().layers, "{name}: every site");
    }
}

#[test]
fn padding_and_batching_change_no_state_at_any_site() {
    for name in TINY {
        let model = tiny(name);
        let texts = texts();
        for pool in [Pool::Last, Pool::Mean, Pool::EveryToken] {
            let readout = Readout::new(every_site(), pool);
            // One token of budget: every text is a batch of its own, without padding.
            let alone = readout.clone().batch_tokens(1).capture(&model, &texts).unwrap();
            for side in [PadSide::Right, PadSide::Left] {
                let together = readout.clone().batch_tokens(usize::MAX).pad(side).capture(&model, &texts).unwrap();
                assert_eq!(together.token_rows(), alone.token_rows());
                for address in alone.addresses() {
                    let (ours, theirs) = (together.at(address).unwrap(), alone.at(address).unwrap());
                    let (ours, theirs) = (ours.as_slice().unwrap(), theirs.as_slice().unwrap());
                    let error = max_difference(ours, theirs) / max_abs(theirs);
                    assert!(error <= 5e-5, "{name} {side:?} {} {address}: relative error {error:e}", pool.name());
                }
            }
        }
    }
}

#[test]
fn the_order_of_texts_does_not_matter() {
    let model = tiny("odd_heads");
    let mut texts = texts();
    let forwards = capture(&model, Pool::Mean, &texts);
    texts.reverse();
    let backwards = capture(&model, Pool::Mean, &texts);
    assert!(forwards.ids().iter().eq(backwards.ids().iter().rev()));
    for address in forwards.addresses() {
        let (a, b) = (forwards.at(address).unwrap(), backwards.at(address).unwrap());
        for (row, other) in a.outer_iter().zip(b.outer_iter().rev()) {
            let (row, other) = (row.to_vec(), other.to_vec());
            assert!(max_difference(&row, &other) <= 5e-5 * max_abs(&row).max(1.0), "{address}");
        }
    }
}

#[test]
fn one_head_is_its_part_of_all_heads() {
    let model = tiny("tied");
    let texts = texts();
    let size = model.config().unwrap().head_size;
    for (site, heads) in
        [(Site::Q, model.geometry().heads), (Site::K, model.geometry().kv_heads), (Site::Z, model.geometry().heads)]
    {
        let all = Readout::new(site.at(1), Pool::Last).capture(&model, &texts).unwrap();
        for head in 0..heads {
            let one = Readout::new(site.at(1).head(head), Pool::Last).capture(&model, &texts).unwrap();
            let part = all.at(site.at(1)).unwrap();
            let part = part.slice(ndarray::s![.., head * size..(head + 1) * size]);
            assert_eq!(one.at(site.at(1).head(head)).unwrap(), part, "{site} {head}");
        }
    }
}

#[test]
fn what_all_texts_begin_with_is_run_once_and_changes_nothing() {
    let start = "the first market day of the year ";
    let texts: Vec<Text> =
        ["", "was late", "and one more"].iter().map(|end| Text::new(*end, format!("{start}{end}"))).collect();
    for name in TINY {
        let model = tiny(name);
        for pool in [Pool::Last, Pool::Mean] {
            // The mean reads from the first token on, so that nothing is shared, unless its span begins later.
            let texts: Vec<Text> = texts
                .iter()
                .map(|text| {
                    let span = Some(Span { start: start.len() - 4, end: text.text.len() });
                    Text { span: span.filter(|_| pool == Pool::Mean), ..text.clone() }
                })
                .collect();
            let together = Readout::new(every_site(), pool).capture(&model, &texts).unwrap();
            for (row, text) in texts.iter().enumerate() {
                let alone = Readout::new(every_site(), pool).capture(&model, std::slice::from_ref(text)).unwrap();
                for address in alone.addresses() {
                    let ours = together.at(address).unwrap().row(row).to_vec();
                    let theirs = alone.at(address).unwrap().row(0).to_vec();
                    let error = max_difference(&ours, &theirs) / max_abs(&theirs);
                    assert!(error <= 5e-5, "{name}, {}, {address}, row {row}: {error:e}", pool.name());
                }
            }
        }
    }
}
