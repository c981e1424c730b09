//! `--rule FILE`: an AnomalyRule from YAML, checked as the API server and the operator check it.

use std::path::Path;

use serde_json::Value;

use super::super::failure::Failure;
use super::super::text::clean;
use crate::api::AnomalyRule;
use crate::detect::{MetricDescriptor, MetricSet, RecordedRule, resolve};
use crate::measure::{BUILT_IN, Cadence, built_in};

/// Longest file that a rule may be in, in bytes: what the API server takes.
const LONGEST: u64 = 1024 * 1024;

/// A rule, ready to judge, and its name.
pub(super) struct Judging {
    pub recorded: RecordedRule,
    pub name: String,
}

/// Reads the file for columns of these names.
pub(super) fn read(path: &Path, columns: &[String]) -> Result<Judging, Failure> {
    let file = path.display();
    let failed = |message: String| Failure::Usage(format!("{file}: {message}"));
    let size = std::fs::metadata(path).map_err(|error| failed(format!("cannot be read: {error}")))?.len();
    if size > LONGEST {
        return Err(failed(format!("found {size} bytes, allowed: {LONGEST}")));
    }
    let bytes = std::fs::read(path).map_err(|error| failed(format!("cannot be read: {error}")))?;
    parse(&bytes, columns).map_err(failed)
}

/// Makes a rule of YAML. The error says which field, what was found and what is allowed.
pub(super) fn parse(bytes: &[u8], columns: &[String]) -> Result<Judging, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| format!("found no UTF-8: {error}"))?;
    // YAML's words name line and column.
    let written: Value = serde_saphyr::from_str(text).map_err(|error| format!("found no YAML document: {error}"))?;
    let expected = [("apiVersion", "dbmedic.io/v1alpha1"), ("kind", "AnomalyRule")];
    for (field, allowed) in expected {
        let found = written.get(field).and_then(Value::as_str).unwrap_or("none");
        if found != allowed {
            return Err(format!("{field}: found {}, allowed: {allowed}", clean(found)));
        }
    }
    let rule: AnomalyRule = serde_saphyr::from_str(text).map_err(|error| format!("found no AnomalyRule: {error}"))?;
    let understood = serde_json::to_value(&rule.spec).map_err(|error| error.to_string())?;
    if let Some(field) = written.get("spec").and_then(|spec| unknown(spec, &understood, "spec")) {
        return Err(format!("{}: found a field that an AnomalyRule does not have", clean(&field)));
    }
    let metrics: MetricSet = columns.iter().map(|name| descriptor(name)).collect();
    let resolved = resolve(&rule.spec, &metrics).map_err(|error| clean(&format!("spec.{error}")))?;
    let name = clean(rule.metadata.name.as_deref().unwrap_or("without a name"));
    Ok(Judging { recorded: RecordedRule::new(resolved, metrics), name })
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

/// Path of a field that was written and not understood: the API server would drop it without a word.
fn unknown(written: &Value, understood: &Value, path: &str) -> Option<String> {
    match (written, understood) {
        (Value::Object(written), Value::Object(understood)) => written.iter().find_map(|(name, value)| {
            let path = format!("{path}.{name}");
            match understood.get(name) {
                Some(understood) => unknown(value, understood, &path),
                None => (!value.is_null()).then_some(path),
            }
        }),
        (Value::Array(written), Value::Array(understood)) => written
            .iter()
            .zip(understood)
            .enumerate()
            .find_map(|(index, (written, understood))| unknown(written, understood, &format!("{path}[{index}]"))),
        _ => None,
    }
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
        parse(text.as_bytes(), &columns).err().unwrap_or_else(|| "accepted".to_owned())
    }

    #[test]
    fn a_rule_is_read_for_the_columns_there_are() {
        assert_eq!(said(&text("{metric: response_time, limit: {above: 500ms}}")), "accepted");
        assert_eq!(said(&text("{metric: value, sigma: {above: 3}}")), "accepted");
        assert_eq!(said(include_str!("../../../examples/quickstart/anomalyrule.yaml")), "accepted");
    }

    #[test]
    fn what_is_wrong_with_a_rule_is_named_by_its_field() {
        for (text, words) in [
            (
                text("{metric: qps, sigma: {above: 3}}"),
                "spec.detect.metric: found \"qps\", allowed one of value, response_time",
            ),
            (text("{metric: value, limit: {above: 5 parsecs}}"), "spec.detect.limit.above: found"),
            (text("{metric: value}"), "spec.detect: found \"none\", allowed exactly one of"),
            (
                text("{metric: value, sigmas: {above: 3}}"),
                "spec.detect.sigmas: found a field that an AnomalyRule does not have",
            ),
            (text("{metric: value, limit: {above: [3]}}"), "found no AnomalyRule: "),
            ("a: [".to_owned(), "found no YAML document: "),
            (String::new(), "apiVersion: found none, allowed: dbmedic.io/v1alpha1"),
            (
                "apiVersion: dbmedic.io/v1alpha1\nkind: Baseline".to_owned(),
                "kind: found Baseline, allowed: AnomalyRule",
            ),
        ] {
            let said = said(&text);
            assert!(said.starts_with(words), "{text}: {said}");
        }
        assert!(parse(b"\xff", &[]).err().is_some_and(|said| said.starts_with("found no UTF-8")));
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
