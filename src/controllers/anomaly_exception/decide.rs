//! What follows for an exception: what it means, whether it is active, and when that changes. Pure.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use crate::api::conditions::{self, Said, reasons, types};
use crate::api::{AnomalyException, AnomalyExceptionSpec, AnomalyExceptionStatus, Baseline};
use crate::detect::schedule::Window;
use crate::detect::{self, MetricSet};

pub struct Observed {
    pub baseline: Option<Arc<Baseline>>,
    /// Names of the Baseline's rules.
    pub rules: Vec<String>,
}

pub struct Decision {
    /// `None`: the exception cannot be used.
    pub exception: Option<detect::Exception>,
    pub status: AnomalyExceptionStatus,
    /// Time until a window begins or ends; `None` when none will.
    pub edge_in: Option<Duration>,
}

pub fn decide(exception: &AnomalyException, observed: &Observed, now: Timestamp) -> Decision {
    let at = now.as_millisecond();
    let resolved = resolve(exception, observed);
    let calendar = resolved.as_ref().ok().map(|resolved| &resolved.calendar);
    let current = calendar.and_then(|calendar| calendar.current(at));
    let next = calendar.and_then(|calendar| calendar.next(at));
    let ready = match &resolved {
        Ok(_) => unknown_rule(exception, observed).unwrap_or_else(|| {
            let over = current.is_none() && next.is_none();
            let message = if over { "applied; every window is over" } else { "the exception is applied" };
            Said::yes(types::READY, reasons::ACCEPTED, message)
        }),
        Err(said) => said.clone(),
    };
    let mut said = vec![ready.clone()];
    if ready.status == Some(false) {
        said.push(Said::yes(types::STALLED, ready.reason, ready.message));
    }
    let stored = exception.status.clone().unwrap_or_default();
    let shown = current.or(next);
    let is_resolved = resolved.is_ok();
    let status = AnomalyExceptionStatus {
        observed_generation: exception.metadata.generation,
        conditions: conditions::merge(&stored.conditions, &said, exception.metadata.generation, now),
        effect: is_resolved.then(|| effect(&exception.spec)),
        active: Some(current.is_some()),
        next_from: shown.and_then(|window| text(window.from)),
        next_to: shown.and_then(|window| text(window.to)),
    };
    let edge_in = edge(current, next, at);
    Decision { exception: resolved.ok(), status, edge_in }
}

fn resolve(exception: &AnomalyException, observed: &Observed) -> Result<detect::Exception, Said> {
    let Some(baseline) = &observed.baseline else {
        return Err(Said::no(
            types::READY,
            reasons::REFERENCE_NOT_FOUND,
            format!(
                "baselineRef.name: found {:?}, which does not exist in this namespace; allowed is the name of a Baseline",
                exception.spec.baseline_ref.name
            ),
        ));
    };
    detect::exception::resolve(&exception.spec, &MetricSet::new(&baseline.spec.custom_metrics))
        .map_err(|error| Said::no(types::READY, reasons::INVALID_FIELD, error.to_string()))
}

/// An exception that names a rule which is not there is for the others: it says so and works.
fn unknown_rule(exception: &AnomalyException, observed: &Observed) -> Option<Said> {
    let unknown = exception.spec.rules.iter().find(|name| !observed.rules.contains(name))?;
    Some(Said::no(
        types::READY,
        reasons::REFERENCE_NOT_FOUND,
        format!(
            "rules: found {unknown:?}, which is no AnomalyRule of Baseline {:?} in this namespace; allowed are [{}]. The exception is applied to the other rules that it names",
            exception.spec.baseline_ref.name,
            observed.rules.join(", ")
        ),
    ))
}

fn effect(spec: &AnomalyExceptionSpec) -> String {
    let words: Vec<String> = if spec.suppress == Some(true) {
        let metrics = spec.metrics.join(" ");
        vec![if metrics.is_empty() { "suppress".to_owned() } else { format!("suppress {metrics}") }]
    } else {
        spec.expect.iter().map(|(metric, load)| format!("{metric} {load}")).collect()
    };
    words.join(", ").chars().take(256).collect()
}

/// Time until what is shown changes.
fn edge(current: Option<Window>, next: Option<Window>, at: i64) -> Option<Duration> {
    let ends = current.map(|window| window.to);
    // A window that ends later may begin before this one is over: then that one is shown.
    let begins = next.map(|window| window.from);
    let edge = ends.into_iter().chain(begins).min()?;
    u64::try_from(edge.saturating_sub(at)).ok().map(Duration::from_millis)
}

/// An instant as it is written, in whole seconds.
fn text(at_ms: i64) -> Option<String> {
    Timestamp::from_second(at_ms.div_euclid(1000)).ok().map(|at| at.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn exception(spec: serde_json::Value) -> AnomalyException {
        serde_json::from_value(json!({
            "apiVersion": "dbmedic.io/v1alpha1", "kind": "AnomalyException",
            "metadata": {"name": "known", "namespace": "shop", "generation": 3}, "spec": spec
        }))
        .unwrap()
    }

    fn observed(rules: &[&str]) -> Observed {
        let baseline: Baseline = serde_json::from_value(json!({
            "apiVersion": "dbmedic.io/v1alpha1", "kind": "Baseline", "metadata": {"name": "orders", "namespace": "shop"},
            "spec": {"engine": "postgresql", "pods": {"selector": {}},
                     "connection": {"database": "orders", "secretRef": {"name": "orders-monitor"}}}
        }))
        .unwrap();
        Observed { baseline: Some(Arc::new(baseline)), rules: rules.iter().map(|rule| (*rule).to_owned()).collect() }
    }

    fn maintenance() -> serde_json::Value {
        json!({"baselineRef": {"name": "orders"}, "schedule": "Sun 03:00-04:00", "suppress": true})
    }

    fn now(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn ready(status: &AnomalyExceptionStatus) -> (&str, &str, &str) {
        let ready = conditions::find(&status.conditions, types::READY).unwrap();
        (&ready.status, &ready.reason, &ready.message)
    }

    #[test]
    fn the_window_that_is_active_is_shown_else_the_next_one_and_the_next_look_is_at_its_edge() {
        let sunday = ("2026-11-29T03:00:00Z", "2026-11-29T04:00:00Z");
        let next = ("2026-12-06T03:00:00Z", "2026-12-06T04:00:00Z");
        for (at, active, (from, to), edge) in [
            ("2026-11-29T02:59:59.5Z", false, sunday, 500),
            ("2026-11-29T03:00:00Z", true, sunday, 3_600_000),
            ("2026-11-29T03:59:59Z", true, sunday, 1_000),
            ("2026-11-29T04:00:00Z", false, next, (7 * 24 - 1) * 3_600_000),
        ] {
            let decision = decide(&exception(maintenance()), &observed(&[]), now(at));
            let status = &decision.status;
            assert_eq!(ready(status), ("True", reasons::ACCEPTED, "the exception is applied"), "{at}");
            assert_eq!(status.active, Some(active), "{at}");
            assert_eq!((status.next_from.as_deref(), status.next_to.as_deref()), (Some(from), Some(to)), "{at}");
            assert_eq!(decision.edge_in, Some(Duration::from_millis(edge)), "{at}");
            assert_eq!((status.effect.as_deref(), status.observed_generation), (Some("suppress"), Some(3)));
        }
    }

    #[test]
    fn a_second_pass_within_the_same_window_says_the_same() {
        let mut object = exception(maintenance());
        let first = decide(&object, &observed(&[]), now("2026-11-25T14:00:00Z")).status;
        object.status = Some(first.clone());
        assert_eq!(decide(&object, &observed(&[]), now("2026-11-27T17:00:00Z")).status, first);
    }

    #[test]
    fn dates_that_are_over_are_said_to_be_and_nothing_is_waited_for() {
        let dates = json!([{"from": "2026-11-24", "to": "2026-11-27"}]);
        let spec = json!({"baselineRef": {"name": "orders"}, "dates": dates, "expect": {"throughput": "10x", "lock_waits": 5}});
        let decision = decide(&exception(spec), &observed(&[]), now("2026-11-28T00:00:00Z"));
        assert_eq!(ready(&decision.status).2, "applied; every window is over");
        assert_eq!(decision.status.effect.as_deref(), Some("lock_waits 5, throughput 10x"));
        assert_eq!((decision.status.active, decision.status.next_from, decision.edge_in), (Some(false), None, None));
        assert!(decision.exception.is_some(), "its windows are still left out of the learning");
    }

    #[test]
    fn what_cannot_be_used_says_which_field_and_is_not_applied() {
        let mut spec = maintenance();
        spec["schedule"] = json!("Sonntag 03:00-04:00");
        let decision = decide(&exception(spec), &observed(&[]), now("2026-11-25T14:00:00Z"));
        assert!(decision.exception.is_none() && decision.edge_in.is_none());
        let (status, reason, message) = ready(&decision.status);
        assert_eq!((status, reason), ("False", reasons::INVALID_FIELD));
        assert!(message.starts_with("schedule: found \"Sonntag 03:00-04:00\", allowed five cron fields"), "{message}");
        assert!(conditions::find(&decision.status.conditions, types::STALLED).is_some());
        let nowhere = Observed { baseline: None, rules: Vec::new() };
        let decision = decide(&exception(maintenance()), &nowhere, now("2026-11-25T14:00:00Z"));
        assert!(decision.exception.is_none());
        assert_eq!(ready(&decision.status).1, reasons::REFERENCE_NOT_FOUND);
    }

    #[test]
    fn a_rule_that_is_not_there_is_named_and_the_exception_applied_all_the_same() {
        let mut spec = maintenance();
        spec["rules"] = json!(["slow", "busy"]);
        let decision = decide(&exception(spec), &observed(&["slow"]), now("2026-11-25T14:00:00Z"));
        assert!(decision.exception.is_some());
        let (status, reason, message) = ready(&decision.status);
        assert_eq!((status, reason), ("False", reasons::REFERENCE_NOT_FOUND));
        assert!(message.contains("\"busy\"") && message.contains("[slow]"), "{message}");
    }
}
