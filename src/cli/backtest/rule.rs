//! `--rule FILE`: an AnomalyRule from YAML, checked as the API server and the operator check it.

use std::path::Path;
use std::sync::LazyLock;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaProps;
use kube::CustomResourceExt;

use super::super::failure::Failure;
use super::super::files::read_small;
use super::super::text::clean;
use super::document::{Document, Problem};
use crate::api::AnomalyRule;
use crate::detect::{FieldError, MetricDescriptor, MetricSet, RecordedRule, resolve};
use crate::measure::{BUILT_IN, Cadence, built_in};

/// A rule, ready to judge, and its name.
pub(super) struct Judging {
    pub recorded: RecordedRule,
    pub name: String,
}

/// Reads the file for columns of these names.
pub(super) fn read(path: &Path, columns: &[String]) -> Result<Judging, Failure> {
    let file = clean(&path.display().to_string());
    let bytes = read_small(path).map_err(|message| Failure::Usage(format!("{file}: {message}")))?;
    parse(&bytes, columns).map_err(|problem| Failure::Usage(problem.in_file(&file)))
}

/// Makes a rule of YAML. The error says where, which field, what was found and what is allowed.
pub(super) fn parse(bytes: &[u8], columns: &[String]) -> Result<Judging, Problem> {
    let document = Document::read(bytes)?;
    let expected = [("apiVersion", "dbmedic.io/v1alpha1"), ("kind", "AnomalyRule")];
    for (field, allowed) in expected {
        let found = document.text_of(field).unwrap_or("none");
        if found != allowed {
            return Err(document.problem(field, &format!("found {found}, allowed: {allowed}")));
        }
    }
    let rule: AnomalyRule = document.typed()?;
    let understood = serde_json::to_value(&rule.spec).map_err(|error| Problem::nowhere(error.to_string()))?;
    if let Some(problem) = document.unknown("spec", &understood, &SCHEMA) {
        return Err(problem);
    }
    if rule.spec.detect.peers.is_some() {
        let message =
            "found peers, which compares several databases; allowed: a detector that judges one, as rows are of one";
        return Err(document.problem("spec.detect.peers", message));
    }
    let metrics: MetricSet = columns.iter().map(|name| descriptor(name)).collect();
    let resolved = resolve(&rule.spec, &metrics).map_err(|error| {
        let FieldError { field, found, allowed } = error;
        let needed = missing_share(&rule, &metrics).filter(|_| found.ends_with('%'));
        let needed = match needed {
            Some(share) => format!(": a column {share} is needed"),
            None if field.contains("metric") => ": a rule needs the columns that it names".to_owned(),
            None => String::new(),
        };
        document.problem(&format!("spec.{field}"), &format!("found {found:?}, allowed {allowed}{needed}"))
    })?;
    let name = clean(rule.metadata.name.as_deref().unwrap_or("without a name"));
    Ok(Judging { recorded: RecordedRule::new(resolved, metrics), name })
}

/// What may be written in a rule's spec, as the API server is told.
static SCHEMA: LazyLock<JSONSchemaProps> = LazyLock::new(|| {
    let version = AnomalyRule::crd().spec.versions.into_iter().next();
    let whole = version.and_then(|version| version.schema?.open_api_v3_schema);
    whole.and_then(|whole| whole.properties?.remove("spec")).unwrap_or_default()
});

/// The metric that gives the rule's own in percent of its maximum, when there is no such column.
fn missing_share(rule: &AnomalyRule, metrics: &MetricSet) -> Option<&'static str> {
    let metric = built_in(rule.spec.detect.metric.as_deref()?)?;
    BUILT_IN[metric].share.filter(|share| metrics.index(share).is_none())
}

/// A built-in metric, or one of which nothing but the name is known.
fn descriptor(name: &str) -> MetricDescriptor {
    built_in(name).map_or_else(
        || MetricDescriptor {
            name: name.to_owned(),
            unit: String::new(),
            minimum: None,
            maximum: None,
            cadence: Cadence::Light,
            share: None,
        },
        |index| MetricDescriptor::from(&BUILT_IN[index]),
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(detect: &str) -> String {
        format!(
            "apiVersion: dbmedic.io/v1alpha1\nkind: AnomalyRule\nmetadata: {{name: slow}}\n\
             spec:\n  baselineRef: {{name: orders}}\n  detect: {detect}\n"
        )
    }

    fn said(text: &str) -> String {
        let columns = ["value".to_owned(), "response_time".to_owned()];
        parse(text.as_bytes(), &columns).map_or_else(|problem| problem.in_file("r.yaml"), |_| "accepted".to_owned())
    }

    #[test]
    fn a_rule_is_read_for_the_columns_there_are() {
        assert_eq!(said(&text("{metric: response_time, limit: {above: 500ms}}")), "accepted");
        assert_eq!(said(&text("{metric: value, sigma: {above: 3}}")), "accepted");
        assert_eq!(said(&text("{multivariate: {metrics: []}}")), "accepted");
        assert_eq!(said(include_str!("../../../examples/quickstart/anomalyrule.yaml")), "accepted");
    }

    #[test]
    fn what_is_wrong_with_a_rule_is_named_by_line_column_and_field() {
        for (text, words) in [
            (
                text("{metric: qps, sigma: {above: 3}}"),
                "r.yaml:6:20: spec.detect.metric: found \"qps\", allowed one of value, response_time: a rule needs \
                 the columns that it names",
            ),
            (
                text("{metric: value, limit: {above: 5 parsecs}}"),
                "r.yaml:6:42: spec.detect.limit.above: found \"5 parsecs\"",
            ),
            (
                text("\n    metric: value\n    sigma:\n      above: -1"),
                "r.yaml:9:14: spec.detect.sigma.above: found \"-1\", allowed",
            ),
            (
                text("{metric: value, sigma: {above: 2.5}}"),
                "r.yaml:6:42: spec.detect.sigma.above: found \"2.5\": a fraction is written in quotes: \"2.5\"",
            ),
            (text("{metric: value}"), "r.yaml:6:3: spec.detect: found \"none\", allowed exactly one of"),
            (
                text("{metric: value, sigmas: {above: 3}}"),
                "r.yaml:6:27: spec.detect.sigmas: found a field that is not known here, allowed: degradation, expression,",
            ),
            (
                text("{metric: value, limit: {abowe: 3}}"),
                "r.yaml:6:35: spec.detect.limit.abowe: found a field that is not known here, allowed: above, below",
            ),
            (
                text("{metric: value, pattern: {above: 3}}"),
                "r.yaml:6:37: spec.detect.pattern.above: found a field that is not known here, allowed: none",
            ),
            (
                text("{metric: value, sigma: {above: 3}}").replace("spec:", "spec:\n  baselineRef2: null"),
                "r.yaml:5:3: spec.baselineRef2: found a field that is not known here, allowed: baselineRef,",
            ),
            (
                text("{metric: value, sigma: {above: 3}}").replace("spec:", "spec:\n  severety: critical"),
                "r.yaml:5:3: spec.severety: found a field that is not known here, allowed: baselineRef, confidence, detect,",
            ),
            (text("{metric: value, limit: {above: [3]}}"), "r.yaml:6:42: spec.detect.limit.above: found a list"),
            (text("{metric: value, limit: {above: {x: 1}}}"), "r.yaml:6:42: spec.detect.limit.above: found fields"),
            (
                text("{metric: value, forecast: {above: 3, probability: 900}}"),
                "r.yaml:6:61: spec.detect.forecast.probability: found \"900\", allowed: a whole number from 0 to 255",
            ),
            (
                text("{metric: value, trend: {direction: sideways}}"),
                "r.yaml:6:46: spec.detect.trend.direction: found \"sideways\", allowed: increasing, decreasing",
            ),
            (text("{metric: value, sigma: 3}"), "r.yaml:6:34: spec.detect.sigma: found \"3\", allowed: fields"),
            (text("{metric: [], sigma: {above: 3}}"), "r.yaml:6:20: spec.detect.metric: found a list, allowed: text"),
            (
                text("{metric: value, metric: value}"),
                "r.yaml:6:27: found \"metric\" a second time, allowed: each field once",
            ),
            (
                format!("{}---\n{}", text("{metric: value, sigma: {above: 3}}"), text("{}")),
                "r.yaml:8:1: found a second YAML document, allowed: one in a file",
            ),
            (
                text("{metric: value, peers: {above: 3}}"),
                "r.yaml:6:27: spec.detect.peers: found peers, which compares several databases",
            ),
            (
                text("{metric: value, sigma: {above: 3}}").replace("spec:", "spec:\n  for: 99999999999d"),
                "r.yaml:5:8: spec.for: ",
            ),
            ("a: [".to_owned(), "r.yaml:1:"),
            (format!("a: {}", "[".repeat(100_000)), "r.yaml:1:"),
            (format!("a: {}1", "{b: ".repeat(60)), "r.yaml:1:"),
            (String::new(), "r.yaml:1:1: apiVersion: found none, allowed: dbmedic.io/v1alpha1"),
            (
                "apiVersion: dbmedic.io/v1alpha1\nkind: Baseline".to_owned(),
                "r.yaml:2:7: kind: found Baseline, allowed: AnomalyRule",
            ),
            (
                "apiVersion: dbmedic.io/v1alpha1\nkind: AnomalyRule\nmetadata: {}\nspec: {detect: {}}".to_owned(),
                "r.yaml:4:8: spec: found no field \"baselineRef\", which is required",
            ),
        ] {
            let said = said(&text);
            assert!(said.starts_with(words), "{text}: {said}");
            for leaked in ["untagged", "variant", "from_str", "DuplicateKeyPolicy", "Options", "invalid u8", "struct "]
            {
                assert!(!said.contains(leaked), "{text}: {said}");
            }
        }
        let problem = parse(b"a: 1\nb: \xff", &[]).err();
        let said = problem.map(|problem| problem.in_file("r.yaml"));
        assert_eq!(said.as_deref(), Some("r.yaml:2:4: found bytes that are no UTF-8, allowed: UTF-8"));
    }

    #[test]
    fn percent_of_a_maximum_names_the_column_that_it_needs() {
        let columns = ["connection_count".to_owned()];
        let text = text("{metric: connection_count, limit: {above: \"90%\"}}");
        let said = parse(text.as_bytes(), &columns).map_or_else(|problem| problem.in_file("r.yaml"), |_| String::new());
        assert!(said.contains("found \"90%\"") && said.contains("connection_usage"), "{said}");
        assert!(said.ends_with("which it is not here: a column connection_usage is needed"), "{said}");
        let columns = [columns[0].clone(), "connection_usage".to_owned()];
        assert!(parse(text.as_bytes(), &columns).is_ok());
    }

    proptest! {
        #[test]
        fn any_text_is_a_rule_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300), inner in ".{0,60}") {
            let columns = ["value".to_owned()];
            let _ = parse(&bytes, &columns);
            let _ = parse(text(&inner).as_bytes(), &columns);
            let _ = parse(text(&format!("{{metric: value, limit: {{above: {inner:?}}}}}")).as_bytes(), &columns);
        }
    }
}
