use super::super::{Detector, Limit, MetricDescriptor, Normal, Sigma};
use super::*;
use crate::api::{Decimal, Detect, LimitDetector, Sensitivity, SigmaDetector};
use crate::learn::{Stretch, Tails};
use crate::measure::Cadence;

fn normal() -> Normal<'static> {
    Normal {
        centre: 10.0,
        scale: 1.0,
        minimum: 0.0,
        maximum: f64::INFINITY,
        stretch: Stretch::NONE,
        tails: &Tails::GAUSSIAN,
        growth: 0.0,
    }
}

fn metrics() -> MetricSet {
    let metric = |name: &str, unit: &str, maximum, share: Option<&str>| MetricDescriptor {
        name: name.into(),
        unit: unit.into(),
        minimum: Some(0.0),
        maximum,
        cadence: Cadence::Light,
        share: share.map(str::to_owned),
    };
    [
        metric("latency", "ms", None, None),
        metric("lag", "s", None, None),
        metric("connections", "connections", None, Some("usage")),
        metric("usage", "%", Some(100.0), None),
        metric("size", "B", None, None),
        metric("written", "B/s", None, None),
        metric("custom_plain", "", None, None),
    ]
    .into_iter()
    .collect()
}

fn text(text: &str) -> Decimal {
    Decimal::Text(text.to_owned())
}

fn spec(metric: &str) -> AnomalyRuleSpec {
    let spec = serde_json::json!({"baselineRef": {"name": "orders"}, "detect": {"metric": metric}});
    serde_json::from_value(spec).unwrap_or_else(|error| unreachable!("{error}"))
}

fn limit(metric: &str, above: &str) -> AnomalyRuleSpec {
    let mut spec = spec(metric);
    spec.detect.limit = Some(LimitDetector { above: Some(text(above)), below: None });
    spec
}

fn sigma(above: &str) -> AnomalyRuleSpec {
    let mut spec = spec("latency");
    spec.detect.sigma = Some(SigmaDetector { above: Some(text(above)), below: None });
    spec
}

fn message(spec: &AnomalyRuleSpec) -> String {
    resolve(spec, &metrics()).err().map(|error| error.to_string()).unwrap_or_default()
}

#[test]
fn limits_are_converted_to_the_metrics_unit() {
    let cases = [
        ("latency", "500ms", 500.0),
        ("latency", "2s", 2_000.0),
        ("latency", "0.5 m", 30_000.0),
        ("latency", "750", 750.0),
        ("lag", "500ms", 0.5),
        ("lag", "2m", 120.0),
        ("size", "10GiB", 10_737_418_240.0),
        ("size", "1.5kB", 1_500.0),
        ("size", "1TiB", 1_099_511_627_776.0),
        ("written", "5MB/s", 5e6),
        ("written", "5 B/s", 5.0),
        ("usage", "85%", 85.0),
        ("usage", "85", 85.0),
        ("connections", "85", 85.0),
        ("connections", "85 connections", 85.0),
        ("custom_plain", "3", 3.0),
    ];
    for (metric, above, expected) in cases {
        let rule = resolve(&limit(metric, above), &metrics());
        let found = rule.map(|rule| (rule.metric, rule.detector));
        let index = metrics().index(metric).unwrap_or(usize::MAX);
        let expected = Limit { below: None, above: Some(expected) };
        assert_eq!(found, Ok((index, Detector::Limit(expected))), "{metric} {above}");
    }
}

#[test]
fn percent_of_a_maximum_judges_the_share() {
    let rule = resolve(&limit("connections", "90%"), &metrics());
    assert_eq!(rule.map(|rule| rule.metric).ok(), metrics().index("usage"));
}

#[test]
fn percent_of_a_metric_without_a_maximum_is_refused() {
    assert_eq!(
        message(&limit("latency", "90%")),
        "detect.limit.above: found \"90%\", allowed a number, alone (in ms) or with the unit of ms, s, m"
    );
}

#[test]
fn units_of_another_quantity_are_refused() {
    for (metric, above) in [
        ("latency", "5GiB"),
        ("size", "5s"),
        ("size", "5B/s"),
        ("written", "5GiB"),
        ("usage", "5ms"),
        ("custom_plain", "5ms"),
    ] {
        assert!(message(&limit(metric, above)).starts_with("detect.limit.above: found "), "{metric} {above}");
    }
    assert_eq!(
        message(&limit("connections", "5ms")),
        "detect.limit.above: found \"5ms\", allowed a number, alone (in connections) or with the unit connections, or % of the maximum"
    );
}

#[test]
fn limits_that_can_never_or_always_be_breached_are_refused() {
    assert!(message(&limit("usage", "100%")).contains("usage is never above that"));
    assert!(message(&limit("connections", "150%")).contains("usage is never above that"));
    let mut both = limit("latency", "10");
    both.detect.limit = Some(LimitDetector { above: Some(text("10")), below: Some(text("1s")) });
    assert!(message(&both).contains("below less than above"));
    both.detect.limit = Some(LimitDetector { above: None, below: Some(text("0")) });
    assert!(message(&both).contains("latency is never below that"));
}

#[test]
fn both_sides_of_a_limit_are_of_one_kind() {
    let mut spec = limit("connections", "90%");
    spec.detect.limit = Some(LimitDetector { above: Some(text("90%")), below: Some(text("5")) });
    assert!(message(&spec).starts_with("detect.limit: found \"above and below of different kinds\""));
}

#[test]
fn sensitivity_widens_or_narrows_sigma_and_leaves_limits_alone() {
    for (sensitivity, above) in [(Sensitivity::Low, 4.5), (Sensitivity::Medium, 3.0), (Sensitivity::High, 2.25)] {
        let rule = resolve(&AnomalyRuleSpec { sensitivity, ..sigma("3") }, &metrics());
        assert_eq!(rule.map(|rule| rule.detector), Ok(Detector::Sigma(Sigma { below: None, above: Some(above) })));
        let rule = resolve(&AnomalyRuleSpec { sensitivity, ..limit("latency", "3") }, &metrics());
        assert_eq!(rule.map(|rule| rule.detector), Ok(Detector::Limit(Limit { below: None, above: Some(3.0) })));
    }
}

#[test]
fn sigma_takes_only_numbers_greater_than_zero() {
    for above in ["0", "-1", "3ms", "many", ""] {
        let expected = format!(
            "detect.sigma.above: found {above:?}, allowed a number of sigma greater than 0, such as 3 or \"2.5\""
        );
        assert_eq!(message(&sigma(above)), expected);
    }
}

#[test]
fn exactly_one_detector_is_needed() {
    let allowed = format!("allowed exactly one of {}", Detector::NAMES.join(", "));
    assert_eq!(message(&spec("latency")), format!("detect: found \"none\", {allowed}"));
    let mut both = sigma("3");
    both.detect.limit = limit("latency", "3").detect.limit;
    assert_eq!(message(&both), format!("detect: found \"several\", {allowed}"));
    let mut empty = spec("latency");
    empty.detect = Detect { sigma: Some(SigmaDetector::default()), ..empty.detect };
    assert!(message(&empty).starts_with("detect.sigma: found \"neither above nor below\""));
}

#[test]
fn an_unknown_metric_is_quoted_without_its_control_characters_and_the_known_ones_are_named() {
    let found = message(&limit("late\u{1b}[2Jncy", "3"));
    assert!(found.starts_with("detect.metric: found \"late\\u{1b}[2Jncy\", allowed one of latency, lag, "), "{found}");
    assert!(message(&limit(&"x".repeat(10_000), "3")).len() < 300);
}

#[test]
fn durations_have_defaults_and_errors_name_them() {
    let rule = |spec: &AnomalyRuleSpec| resolve(spec, &metrics()).map(|rule| (rule.for_ms, rule.resolve_after_ms));
    assert_eq!(rule(&sigma("3")), Ok((300_000, 300_000)));
    assert_eq!(rule(&AnomalyRuleSpec { for_: "0s".into(), ..sigma("3") }), Ok((0, 0)));
    let after = AnomalyRuleSpec { resolve_after: Some("1m".into()), ..sigma("3") };
    assert_eq!(rule(&after), Ok((300_000, 60_000)));
    assert!(message(&AnomalyRuleSpec { for_: "5 m".into(), ..sigma("3") }).starts_with("for: found \"5 m\""));
    let after = AnomalyRuleSpec { resolve_after: Some("soon".into()), ..sigma("3") };
    assert!(message(&after).starts_with("resolveAfter: found \"soon\""));
    for text in ["30d", "720h", "2592000000ms"] {
        assert!(resolve(&AnomalyRuleSpec { for_: text.into(), ..sigma("3") }, &metrics()).is_ok(), "{text}");
    }
    for text in ["31d", "721h", "99999999999d"] {
        let long = AnomalyRuleSpec { for_: text.into(), ..sigma("3") };
        assert_eq!(message(&long), format!("for: found \"{text}\", allowed at most 30d"));
        let long = AnomalyRuleSpec { resolve_after: Some(text.into()), ..sigma("3") };
        assert_eq!(message(&long), format!("resolveAfter: found \"{text}\", allowed at most 30d"));
    }
    for wrong in [Decimal::Whole(101), Decimal::Text("85%".to_owned())] {
        let found = format!("confidence: found {:?}, allowed 0 to 100", wrong.to_string());
        let said = message(&AnomalyRuleSpec { confidence: Some(wrong), ..sigma("3") });
        assert!(said.starts_with(&found), "{said}");
    }
}

#[test]
fn a_verdict_below_the_rules_confidence_is_no_breach() {
    // One sample in 56 of normal life lies as far above.
    let sight = Sight::new(7, 0, 12.1).with_normal(Some(normal()));
    for (confidence, breach) in [(None, true), (Some("99"), false), (Some("98.5"), false), (Some("98"), true)] {
        let percent = confidence.map(|percent| Decimal::Text(percent.to_owned()));
        let rule = resolve(&AnomalyRuleSpec { confidence: percent, ..sigma("2") }, &metrics());
        let verdict = rule.ok().and_then(|rule| rule.judge(&rule.detector.memory(), &sight));
        assert_eq!(verdict.map(|verdict| (verdict.at, verdict.breach)), Some((7, breach)), "{confidence:?}");
        assert!(verdict.and_then(|verdict| verdict.sigmas).is_some_and(|sigmas| (sigmas - 2.1).abs() < 1e-9));
    }
}

#[test]
fn a_limits_verdict_has_no_sigmas_even_over_a_ready_profile() {
    let rule = resolve(&limit("latency", "15"), &metrics());
    let sight = Sight::new(7, 0, 20.0).with_normal(Some(normal()));
    let verdict = rule.ok().and_then(|rule| rule.judge(&rule.detector.memory(), &sight));
    let expected = Verdict {
        at: 7,
        metric: 0,
        value: 20.0,
        centre: None,
        lower: None,
        upper: Some(15.0),
        sigmas: None,
        confidence: 1.0,
        breach: true,
    };
    assert_eq!(verdict, Some(expected));
}

proptest::proptest! {
    #[test]
    fn any_text_in_any_field_is_survived_and_errors_name_the_field(
        field in proptest::sample::select(vec![
            ("sigma", "above"), ("limit", "above"), ("limit", "below"), ("trend", "above"), ("trend", "over"),
            ("degradation", "by"), ("degradation", "over"), ("degradation", "limit"), ("queryMix", "divergence"),
            ("queryMix", "over"), ("expression", ""),
        ]),
        number in proptest::sample::select(vec!["", "5", "-1", "1e9", "99999999999999999999", "0.1", "NaN", "inf"]),
        text in "\\PC{0,12}",
        unit in proptest::sample::select(vec!["", "%", "ms", "d", "h", "%/hour", "/", "ms/day", "GiB"]),
    ) {
        let written = format!("{number}{text}{unit}");
        let mut detect = serde_json::json!({"metric": "latency"});
        match field {
            (detector, "") => detect[detector] = serde_json::json!(written),
            (detector, field) => detect[detector][field] = serde_json::json!(written),
        }
        let spec = serde_json::json!({"baselineRef": {"name": "orders"}, "detect": detect});
        if let Ok(spec) = serde_json::from_value::<AnomalyRuleSpec>(spec)
            && let Err(error) = resolve(&spec, &MetricSet::new(&[]).iter().cloned().chain(metrics().iter().cloned()).collect())
        {
            let path = format!("detect.{}", field.0);
            proptest::prop_assert!(error.field.starts_with(&path), "{error}");
            proptest::prop_assert!(error.found.chars().count() <= 64 && !error.allowed.is_empty(), "{error}");
        }
    }
}
