//! Sizes of studies against SciPy, and what no size can do.

use common::root;
use probity::level::{ItemsNeeded, Planner, Precision, StudySize};
use probity::stats::Settings;
use serde_json::Value;

fn reference() -> Value {
    let text = std::fs::read_to_string(root().join("tests/fixtures/planner.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// The sizes of the reference agree to one group: its powers and ours differ in the ninth digit.
fn agree(name: &str, found: &ItemsNeeded, expected: &Value) {
    let near = |size: StudySize, key: &str| {
        let groups = expected[key][1].as_u64().unwrap() as usize;
        assert!(size.groups.abs_diff(groups) <= 1, "{name}, {key}: {size} and not {groups}");
        let items = expected[key][0].as_u64().unwrap() as usize;
        assert!(size.items.abs_diff(items) <= 6, "{name}, {key}: {size} and not {items}");
    };
    near(found.estimate, "estimate");
    near(found.upper, "upper");
    assert_eq!(found.texts, expected["texts"].as_u64().map(|texts| texts as usize), "{name}");
}

#[test]
fn sizes_are_those_of_the_noncentral_t() {
    let reference = reference();
    let number = |key: &str| reference[key].as_f64().unwrap();
    let settings = Settings::default().level(number("level")).margin(number("margin")).power(number("power"));
    let mut without_end = 0;
    for case in reference["cases"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let precision: Precision = serde_json::from_value(case["precision"].clone()).unwrap();
        let mut planner = Planner::new(&precision, settings).unwrap();
        if let Some(items) = case["per_group"].as_f64() {
            planner = planner.per_group(items);
        }
        for (effect, expected) in case["gain"].as_object().unwrap() {
            agree(&format!("{name}, gain {effect}"), &planner.for_gain(effect.parse().unwrap()).unwrap(), expected);
        }
        for (effect, expected) in case["fall"].as_object().unwrap() {
            let found = planner.for_reduction(effect.parse().unwrap()).unwrap();
            agree(&format!("{name}, fall {effect}"), &found, expected);
            without_end += usize::from(found.texts.is_some());
        }
        agree(&format!("{name}, none"), &planner.for_no_reduction().unwrap(), &case["none"]);
    }
    assert!(without_end >= 2, "some pilot's probes are too unsure for any number of items");
}

#[test]
fn what_cannot_be_planned_is_refused_and_what_items_cannot_do_is_said() {
    let reference = reference();
    let case = |name: &str| {
        let found = reference["cases"].as_array().unwrap().iter().find(|case| case["name"] == name).unwrap();
        serde_json::from_value::<Precision>(found["precision"].clone()).unwrap()
    };
    let few = case("too few texts");
    let planner = Planner::new(&few, Settings::default()).unwrap();
    let told = planner.for_reduction(0.3).unwrap().to_string();
    assert!(told.starts_with("not by more items alone: probes need 1788 groups of texts, and then 8"), "{told}");
    let enough = planner.for_reduction(0.8).unwrap().to_string();
    assert_eq!(enough, "40 items in 20 groups (with 80 % certainty 40 items in 20 groups)");
    for (refused, says) in [
        (planner.for_reduction(0.2), "above the margin of 0.2"),
        (planner.for_reduction(f64::NAN), "fall = NaN"),
        (planner.for_gain(0.0), "gain = 0"),
        (planner.certainty(1.0).for_gain(0.1), "certainty = 1"),
        (planner.per_group(0.5).for_gain(0.1), "per_group = 0.5"),
    ] {
        let error = refused.unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
    let mut bare = few.clone();
    (bare.gain, bare.change) = (None, None);
    let planner = Planner::new(&bare, Settings::default()).unwrap();
    assert!(planner.for_gain(0.1).is_err() && planner.for_reduction(0.5).is_err());
    assert!(planner.for_no_reduction().unwrap_err().to_string().contains("without D"));
}
