//! Tests of expressions: what they mean, what they refuse and how, and what a sample costs.

use proptest::prelude::*;
use serde_json::json;

use super::super::testing::{DAY, HOUR, MINUTE, MONDAY, Watch, metrics, spec};
use super::*;

const BUSINESS_HOURS: &str =
    "current < baseline_mean * 0.5 && hour >= 9 && hour <= 17 && day_of_week in [1, 2, 3, 4, 5]";

fn compiled(text: &str) -> Result<Expression, FieldError> {
    let spec = spec(json!({"metric": "latency", "expression": text}));
    Expression::resolve(&spec, 0, &metrics()).expect("an expression").map(|(_, expression)| expression)
}

fn message(text: &str) -> String {
    compiled(text).err().map(|error| error.to_string()).unwrap_or_default()
}

/// The verdict on a round (latency, throughput, size, reads) on Monday at 10:30, with a baseline of 100 and 10.
fn verdict(text: &str, values: &[f32]) -> Option<bool> {
    let expression = compiled(text).expect(text);
    Watch::new(&expression, 10.0, |_, _| Some(100.0)).round(MONDAY + 10 * HOUR + 30 * MINUTE, values)
}

#[test]
fn the_seeds_business_hours_traffic_drop() {
    let expression = compiled(BUSINESS_HOURS).expect("valid");
    let mut watch = Watch::new(&expression, 10.0, |_, _| Some(100.0));
    for (day, hour, current, expected) in [
        (0, 10, 40.0, true),
        (4, 17, 49.0, true),
        (0, 10, 51.0, false),
        (0, 8, 40.0, false),
        (0, 18, 40.0, false),
        (5, 10, 40.0, false),
        (6, 10, 40.0, false),
    ] {
        let at = MONDAY + day * DAY + hour * HOUR + 59 * MINUTE;
        assert_eq!(watch.round(at, &[current]), Some(expected), "day {day}, hour {hour}, {current}");
    }
    let at = MONDAY + 10 * HOUR;
    assert!(watch.confidence(at, &[40.0]) > 0.999);
    let evidence = watch.evidence(at, &[40.0]);
    assert_eq!(evidence, ["current: 40 ms", "baseline_mean: 100 ms", "hour: 10", "day_of_week: 1"]);
}

#[test]
fn expressions_mean_what_they_say() {
    let values = [50.0, 200.0, f32::NAN, 7.0];
    for (text, expected) in [
        ("current == 50", Some(true)),
        ("current != 50", Some(false)),
        ("current >= 50 && current <= 50", Some(true)),
        ("current + 2 * 3 - 4 / 2 == 54", Some(true)),
        ("(current + 2) * 3 == 156", Some(true)),
        ("current % 7 == 1", Some(true)),
        ("current * 0 + 5 / 2 == 2.5", Some(true)),
        ("2 + 3 * 4 - 10 / 5 % 3 == current - 38", Some(true)),
        ("10 - 3 - 2 == current / 10", Some(true)),
        ("false && false || current > 1", Some(true)),
        ("current > 1 // more than nothing\n && hour < 12", Some(true)),
        ("current in [50,]", Some(true)),
        ("current in []", Some(false)),
        ("hour > 12 ? false : hour > 11 ? false : current > 1", Some(true)),
        ("!(current > 60) == true && --current == 50 && !!true", Some(true)),
        ("-current < 0", Some(true)),
        ("!(current > 60)", Some(true)),
        ("current > 60 || metrics.throughput > 150", Some(true)),
        ("metrics.throughput / metrics.latency == 4.0", Some(true)),
        ("current < baseline_mean - 3 * baseline_std_dev", Some(true)),
        ("abs(current - baseline_mean) == 50", Some(true)),
        ("min(current, 10) + max(current, 60) == 70", Some(true)),
        ("(hour < 12 ? current : 0) == 50", Some(true)),
        ("hour < 12 ? current == 50 : false", Some(true)),
        ("(current > 40) == (hour == 10)", Some(true)),
        ("(current > 40) != (hour == 10)", Some(false)),
        ("day_of_week in [1, 2] && current > 0", Some(true)),
        ("current in [1, 2, 25 * 2]", Some(true)),
        ("current > 0x20", Some(true)),
        ("current > 1e1 && current > 1.5e+1 && current > .5", Some(true)),
        ("current > 40u", Some(true)),
        ("metrics.reads == 7", Some(true)),
        // A missing metric matters only where the answer depends on it.
        ("metrics.size > 5", None),
        ("metrics.size > 5 && current > 60", Some(false)),
        ("current > 60 && metrics.size > 5", Some(false)),
        ("metrics.size > 5 || current == 50", Some(true)),
        ("metrics.size > 5 || current == 51", None),
        ("current in [metrics.size, 50]", Some(true)),
        ("hour == 10 ? current == 50 : metrics.size > 5", Some(true)),
        // A division by zero has no value.
        ("current / (current - 50) > 5", None),
        ("0 / (current - 50) == 0", None),
    ] {
        assert_eq!(verdict(text, &values), expected, "{text}");
    }
}

#[test]
fn without_a_profile_the_baseline_is_missing() {
    let expression = compiled(BUSINESS_HOURS).expect("valid");
    let mut watch = Watch::new(&expression, 10.0, |_, _| None);
    assert_eq!(watch.round(MONDAY + 10 * HOUR, &[1.0]), None);
    assert_eq!(watch.round(MONDAY + 3 * HOUR, &[1.0]), Some(false), "at night it does not matter");
    assert!(watch.confidence(MONDAY, &[1.0]).abs() < 1e-12);
}

#[test]
fn a_metric_over_statements_is_held_between_its_rounds_and_not_for_ever() {
    let expression = compiled("current > 10 && metrics.reads > 5").expect("valid");
    let mut watch = Watch::new(&expression, 1.0, |_, _| None);
    assert_eq!(watch.round(MONDAY, &[20.0, 0.0, 0.0, f32::NAN]), None);
    assert_eq!(watch.round(MONDAY + 10_000, &[20.0, 0.0, 0.0, 9.0]), Some(true));
    assert_eq!(watch.round(MONDAY + 60_000, &[20.0, 0.0, 0.0, f32::NAN]), Some(true));
    assert_eq!(watch.round(MONDAY + 70_000, &[20.0, 0.0, 0.0, 8.0]), Some(true));
    assert_eq!(watch.round(MONDAY + 250_000, &[20.0, 0.0, 0.0, f32::NAN]), Some(true));
    assert_eq!(watch.round(MONDAY + 251_000, &[20.0, 0.0, 0.0, f32::NAN]), None);
}

#[test]
fn sensitivity_widens_the_standard_deviation() {
    for (sensitivity, expected) in [("low", false), ("medium", true), ("high", true)] {
        let mut spec = spec(json!({"metric": "latency", "expression": "current > baseline_mean + 3 * baseline_std_dev"}));
        spec.sensitivity = serde_json::from_value(json!(sensitivity)).expect("a sensitivity");
        let (_, expression) = Expression::resolve(&spec, 0, &metrics()).expect("an expression").expect("valid");
        let found = Watch::new(&expression, 10.0, |_, _| Some(100.0)).round(MONDAY, &[140.0]);
        assert_eq!(found, Some(expected), "{sensitivity}");
    }
}

#[test]
fn without_a_metric_of_its_own_it_is_judged_with_the_quickest_that_it_names() {
    let resolve = |text: &str| {
        let spec = spec(json!({"expression": text}));
        Expression::resolve(&spec, 0, &metrics()).expect("an expression").map(|(metric, _)| metric)
    };
    assert_eq!(resolve("metrics.reads > 5 && metrics.throughput < 1"), Ok(1));
    assert_eq!(resolve("metrics.reads > 5"), Ok(3));
    for text in ["current > 5", "baseline_mean > 5", "hour > 5"] {
        assert!(resolve(text).is_err(), "{text}");
    }
}

#[test]
fn errors_name_the_place_what_was_found_and_what_is_allowed() {
    for (text, place, found, allowed) in [
        ("current < 5 AND hour > 3", "line 1, column 13", "AND", "&& ||"),
        ("current <\n  bseline_mean", "line 2, column 3", "bseline_mean", "one of current, baseline_mean,"),
        ("current < 5 && metrics.throughputt > 5", "line 1, column 16", "metrics.throughputt", "latency, throughput,"),
        ("throughput > 5", "line 1, column 1", "throughput", "metrics.throughput: other metrics are named so"),
        ("current", "line 1, column 1", "current", "a truth value here"),
        ("current + 5", "line 1, column 1", "current", "a truth value here"),
        ("5 > 3 && current", "line 1, column 10", "current", "a truth value here"),
        ("true + 5 > 3", "line 1, column 1", "true", "a number here"),
        ("!current", "line 1, column 2", "current", "a truth value here"),
        ("current > (5 < 3)", "line 1, column 11", "(5", "a number here"),
        ("current > 'a'", "line 1, column 11", "'a'", "numbers, true, false"),
        ("current in 5", "line 1, column 12", "5", "a list of numbers"),
        ("current in [1, true]", "line 1, column 16", "true]", "a number here"),
        ("current in [1 2]", "line 1, column 15", "2]", ", here"),
        ("[1, 2].all(x, x > current)", "line 1, column 7", ".all(x,", "numbers, true, false"),
        ("current > 5 && has(metrics.size)", "line 1, column 16", "has(metrics.size)", "numbers, true, false"),
        ("size(current) > 5", "line 1, column 1", "size(current)", "numbers, true, false"),
        ("max(current) > 5", "line 1, column 12", ")", ", here"),
        ("(current > 5", "line 1, column 13", "the end", ") here"),
        ("hour > 5 ? current > 5", "line 1, column 23", "the end", ": here"),
        ("current = 5", "line 1, column 9", "=", "== !="),
        ("current > 1e999", "line 1, column 11", "1e999", "a finite number"),
        ("current > 5x", "line 1, column 11", "5x", "a finite number"),
        ("é > 5", "line 1, column 1", "é", "numbers, true, false"),
        ("current > ", "line 1, column 11", "the end", "CEL of numbers"),
        ("", "line 1, column 1", "the end", "CEL of numbers"),
        ("current > 5)", "line 1, column 12", ")", "CEL of numbers"),
        ("true", "", "true", "depends on no measurement"),
        ("hour > 5", "", "hour > 5", "depends on no measurement"),
    ] {
        let error = compiled(text).expect_err(text);
        assert!(error.field.contains(place) && error.field.starts_with("detect.expression"), "{text}: {error}");
        assert!(error.found.starts_with(found), "{text}: {error}");
        assert!(error.allowed.contains(allowed), "{text}: {error}");
    }
}

#[test]
fn what_is_too_long_or_too_deep_is_refused() {
    assert!(message(&format!("current > 5{}", " ".repeat(3_000))).contains("at most 2048 bytes"));
    let chain = vec!["hour > 5"; 150].join(" && ");
    assert!(message(&chain).contains("parts"), "{}", message(&chain));
    for deep in ["(".repeat(900), "((-".repeat(300), "current in [".repeat(90), "true ? ".repeat(90), "abs(".repeat(90)] {
        assert!(message(&format!("{deep}current > 5")).contains("at most 32 deep"), "{deep}");
    }
    for signs in ["-".repeat(900), "!".repeat(900)] {
        assert!(message(&format!("{signs}current > 5")).contains("parts"), "{signs}");
    }
    assert_eq!(message(&format!("{}current > 5{}", "(".repeat(20), ")".repeat(20))), "");
}

proptest! {
    #[test]
    fn any_text_is_survived(text in "\\PC{0,80}") {
        message(&text);
    }

    #[test]
    fn anything_made_of_the_language_is_survived(
        words in prop::collection::vec(prop::sample::select(vec![
            "current", "baseline_mean", "hour", "metrics.", "metrics.size", "throughput", "(", ")", "[", "]", "{", "}",
            "?", ":", "&&", "||", "!", "-", "+", "*", "/", "%", "<", ">=", "==", "in", ",", ".", "1", "0.5", "1e999",
            "0x", "9223372036854775808", "'", "\"", "\\", "true", "null", "abs", "max", "has", ".all(x,", "\n", "é", "b''",
        ]), 0..40),
        values in prop::array::uniform4(any::<f32>()),
    ) {
        if let Ok(expression) = compiled(&words.join(" ")) {
            let mut watch = Watch::new(&expression, 1.0, |_, _| Some(1.0));
            watch.round(MONDAY, &values);
            watch.evidence(MONDAY, &values);
            let sure = watch.confidence(MONDAY, &values);
            prop_assert!(sure.is_nan() || (0.0..=1.0).contains(&sure));
        }
    }
}
