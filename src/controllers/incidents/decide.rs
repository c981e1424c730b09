//! What an Anomaly is to say: pure functions of what the engine told.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use k8s_openapi::jiff::Timestamp;
use kube::api::ObjectMeta;
use sha2::{Digest, Sha256};

use crate::api::conditions::{self, Said, reasons, types};
use crate::api::{
    Anomaly, AnomalySpec, AnomalyState, AnomalyStatus, Band, Evidence, LocalReference, ObjectReference, Observed,
};
use crate::controllers::Error;
use crate::detect::{self, ChangeKind, Verdict};
use crate::engine::IncidentChange;
use crate::learn;

/// Age in ms from which an incident may be over because its level was learnt.
const NEW_LEVEL_MS: i64 = learn::CONFIRMING_DAYS as i64 * 86_400_000;
/// What is said of such a one.
const BECAME_NORMAL: &str =
    "it lasted for three days or more, after which a new level counts as normal: nothing need have recovered";
/// Longest wait for an API server that is away.
const LONGEST_AWAY: Duration = Duration::from_secs(5);

/// Namespace and name of an Anomaly.
pub(super) type Key = (String, String);

/// What is to be written.
pub(super) type Queue = BTreeMap<Key, Wanted>;

/// What an Anomaly has to say now.
pub(super) struct Wanted {
    pub change: IncidentChange,
    pub state: AnomalyState,
    /// The object is known to exist.
    pub created: bool,
    /// When the incident was opened in this process; none for a restored one.
    pub opened: Option<Instant>,
    /// When it is to be written.
    pub due: Instant,
}

/// Adds what changed to what is to be written.
pub(super) fn want(queue: &mut Queue, change: IncidentChange, now: Instant) {
    let state = match change.change.kind {
        ChangeKind::Clearing => AnomalyState::Clearing,
        ChangeKind::Resolved => AnomalyState::Resolved,
        _ => open_state(change.rule.rule.detector.predicts()),
    };
    let opened = matches!(change.change.kind, ChangeKind::Opened);
    let key = (change.target.namespace.clone(), name(&change));
    match queue.get_mut(&key) {
        // The object must be made from the sample that opened it, whatever came since.
        Some(present) => present.state = state,
        None => {
            let received = change.received;
            let opened_at = opened.then_some(received);
            queue.insert(key, Wanted { created: !opened, opened: opened_at, change, state, due: now });
        }
    }
}

/// State of an open incident: of what is, or of what is to come.
pub fn open_state(predicts: bool) -> AnomalyState {
    if predicts { AnomalyState::Predicted } else { AnomalyState::Open }
}

/// Whether a write would be refused for ever: the object is invalid or gone, or its namespace is going or gone. A kind
/// that is not found is another matter: its definition may come back.
pub(super) fn is_final(error: &Error) -> bool {
    let Error::Api { source, .. } = error else { return false };
    let kube::Error::Api(status) = source.as_ref() else { return false };
    let details = status.details.as_ref();
    match status.code {
        422 => true,
        404 => details.is_some_and(|details| !details.name.is_empty()),
        403 => details.is_some_and(|details| details.causes.iter().any(|one| one.reason == "NamespaceTerminating")),
        _ => false,
    }
}

/// When to try again what failed: a refusal has the whole back-off, but an API server that was away is met with what
/// people wait for as soon as it is back.
pub(super) fn again_in(error: &Error, backoff: Duration) -> Duration {
    match error {
        Error::Api { source, .. } if matches!(source.as_ref(), kube::Error::Api(_)) => backoff,
        _ => backoff.min(LONGEST_AWAY),
    }
}

/// The status of an Anomaly in the wanted state, but for what others write of it.
pub(super) fn incident_status(stored: &Anomaly, wanted: &Wanted, now: Timestamp) -> AnomalyStatus {
    let before = stored.status.clone().unwrap_or_default();
    let said = [Said::yes(types::READY, reasons::ACCEPTED, "the incident is followed")];
    // Why it was opened is what people ask for later: what a detector shows at the end is not that.
    let mut shown = if before.evidence.is_empty() { evidence(&wanted.change.change.evidence) } else { before.evidence };
    if wanted.state == AnomalyState::Resolved && became_normal(stored, now) && shown.len() < detect::MOST_EVIDENCE {
        shown.push(Evidence { name: "resolved".into(), value: BECAME_NORMAL.into() });
    }
    AnomalyStatus {
        observed_generation: stored.metadata.generation,
        conditions: conditions::merge(&before.conditions, &said, stored.metadata.generation, now),
        state: Some(wanted.state),
        deviation: before.deviation.or_else(|| Some(deviation(wanted.change.change.verdict.as_ref()))),
        evidence: shown,
        resolved_at: (wanted.state == AnomalyState::Resolved).then(|| format!("{now:.3}")),
        ..AnomalyStatus::default()
    }
}

/// Why the incident is over, for people.
pub(super) fn resolution(stored: &Anomaly, now: Timestamp) -> String {
    let back = format!("{} of {} is back in its band", stored.spec.metric, stored.spec.pod);
    if became_normal(stored, now) { format!("{back}: {BECAME_NORMAL}") } else { back }
}

/// Whether the incident lasted so long that what is normal was learnt from it: nothing need have recovered.
fn became_normal(stored: &Anomaly, now: Timestamp) -> bool {
    // Fixed limits have no centre.
    let learnt = stored.spec.observed.band.centre.is_some();
    let onset = stored.spec.onset.parse::<Timestamp>();
    learnt && onset.is_ok_and(|onset| now.as_millisecond() - onset.as_millisecond() >= NEW_LEVEL_MS)
}

/// What a detector shows, in the bounds of the object.
fn evidence(shown: &[detect::Evidence]) -> Vec<Evidence> {
    let bounded = |text: &str, most: usize| text.chars().take(most).collect::<String>();
    shown
        .iter()
        .take(detect::MOST_EVIDENCE)
        .map(|one| Evidence { name: bounded(&one.name, 128), value: bounded(&one.found.to_string(), 1024) })
        .collect()
}

/// The name: same rule, database and onset give the same name, in every process.
fn name(change: &IncidentChange) -> String {
    let identity = format!("{}\n{}\n{}", change.rule.uid, change.target, change.change.onset);
    let digest = Sha256::digest(identity.as_bytes());
    let suffix: String = digest.iter().take(5).map(|byte| format!("{byte:02x}")).collect();
    // A Remediation's name is made from this one, and both stay well below 253 characters.
    let stem: String = format!("{}-{}", change.rule.name, change.target.pod).chars().take(180).collect();
    format!("{}-{suffix}", stem.trim_end_matches(['-', '.']))
}

/// The object as it is created: from the sample that opened the incident.
pub(super) fn anomaly(name: &str, change: &IncidentChange) -> Anomaly {
    Anomaly {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(change.target.namespace.clone()),
            labels: Some(
                [
                    ("app.kubernetes.io/managed-by".to_owned(), "dbmedic".to_owned()),
                    ("dbmedic.io/rule".to_owned(), label(&change.rule.name)),
                ]
                .into(),
            ),
            ..ObjectMeta::default()
        },
        spec: AnomalySpec {
            rule_ref: ObjectReference { name: change.rule.name.clone(), uid: change.rule.uid.clone() },
            baseline_ref: LocalReference { name: change.target.baseline.clone() },
            pod: change.target.pod.clone(),
            metric: change.metric.clone(),
            unit: change.unit.clone(),
            detector: change.rule.rule.detector.name().to_owned(),
            severity: change.rule.severity,
            onset: time(change.change.onset),
            observed: change.change.verdict.as_ref().map(observed).unwrap_or_default(),
        },
        status: None,
    }
}

fn observed(verdict: &Verdict) -> Observed {
    Observed {
        at: time(verdict.at),
        value: rounded(verdict.value),
        band: Band {
            centre: verdict.centre.map(rounded),
            lower: verdict.lower.map(rounded),
            upper: verdict.upper.map(rounded),
        },
        sigmas: verdict.sigmas.map(rounded),
        confidence: rounded(verdict.confidence * 100.0),
    }
}

/// A distance for people; beyond a thousand its figure says nothing more.
pub fn sigmas(sigmas: f64) -> String {
    if sigmas.abs() >= 1000.0 {
        format!("{}1000+ sigma", if sigmas < 0.0 { "-" } else { "+" })
    } else {
        format!("{sigmas:+.1} sigma")
    }
}

/// How far from normal, for people.
pub(super) fn deviation(verdict: Option<&Verdict>) -> String {
    let Some(verdict) = verdict else { return String::new() };
    match (verdict.sigmas, verdict.upper, verdict.lower) {
        (Some(deviation), _, _) => sigmas(deviation),
        (None, Some(upper), _) if verdict.value > upper => format!("{:.4} above {upper:.4}", verdict.value),
        (None, _, Some(lower)) if verdict.value < lower => format!("{:.4} below {lower:.4}", verdict.value),
        _ => format!("{:.4}", verdict.value),
    }
}

fn rounded(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

fn label(text: &str) -> String {
    text.chars().take(63).collect::<String>().trim_end_matches(['-', '.']).to_owned()
}

fn time(milliseconds: i64) -> String {
    jiff::Timestamp::from_millisecond(milliseconds).map_or_else(|_| String::new(), |time| format!("{time:.3}"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use kube::core::Status;
    use serde_json::json;

    use super::*;
    use crate::api::Severity;
    use crate::detect::{Change, Detector, Limit};
    use crate::engine::RuleSettings;
    use crate::measure::TargetKey;

    const VERDICT: Verdict = Verdict {
        at: 1_772_409_600_000,
        metric: 0,
        breach: true,
        value: 12.345_678_9,
        centre: Some(1.0),
        lower: None,
        upper: Some(4.0),
        sigmas: Some(7.25),
        confidence: 0.9,
    };

    fn change(rule: &str, onset: i64, kind: ChangeKind) -> IncidentChange {
        let rule = RuleSettings {
            namespace: "shop".into(),
            name: rule.into(),
            uid: "uid".into(),
            baseline: "orders".into(),
            rule: Arc::new(detect::Rule {
                metric: 0,
                detector: Detector::Limit(Limit { below: None, above: Some(4.0) }),
                for_ms: 0,
                resolve_after_ms: 0,
                minimum_confidence: 0.0,
            }),
            severity: Severity::High,
            open: Vec::new(),
        };
        IncidentChange {
            target: TargetKey { namespace: "shop".into(), baseline: "orders".into(), pod: "orders-0".into() },
            rule: Arc::new(rule),
            metric: "response_time".into(),
            unit: "ms".into(),
            change: Change { target: 0, rule: 1, kind, onset, verdict: Some(VERDICT), evidence: Vec::new() },
            received: Instant::now(),
        }
    }

    #[test]
    fn what_is_wanted_is_the_last_state_of_the_object_that_the_first_change_makes() {
        use ChangeKind::{Clearing, Opened, Reopened, Resolved};
        let table: [(&[ChangeKind], AnomalyState, bool); 6] = [
            (&[Opened], AnomalyState::Open, false),
            (&[Opened, Clearing], AnomalyState::Clearing, false),
            (&[Opened, Clearing, Resolved], AnomalyState::Resolved, false),
            (&[Clearing], AnomalyState::Clearing, true),
            (&[Clearing, Reopened], AnomalyState::Open, true),
            (&[Resolved], AnomalyState::Resolved, true),
        ];
        for (kinds, state, created) in table {
            let mut queue = Queue::new();
            let now = Instant::now();
            for (later, kind) in kinds.iter().enumerate() {
                want(&mut queue, change("slow", 7, *kind), now + Duration::from_secs(later as u64));
            }
            let found: Vec<_> = queue.values().map(|one| (one.state, one.created, one.due)).collect();
            assert_eq!(found, [(state, created, now)], "{kinds:?}");
            let first = queue.values().next().unwrap();
            assert_eq!(first.change.change.kind, kinds[0]);
            assert_eq!(first.opened.is_some(), kinds[0] == Opened);
        }
    }

    #[test]
    fn a_name_follows_from_rule_database_and_onset() {
        let one = name(&change("slow", 7, ChangeKind::Opened));
        assert_eq!(one, name(&change("slow", 7, ChangeKind::Resolved)));
        assert!(one.starts_with("slow-orders-0-") && one.len() == "slow-orders-0-".len() + 10, "{one}");
        assert_ne!(one, name(&change("slow", 8, ChangeKind::Opened)));
        assert!(name(&change(&"a.".repeat(120), 7, ChangeKind::Opened)).len() <= 191);
    }

    #[test]
    fn what_can_never_succeed_is_told_from_what_may() {
        let table = [
            ("invalid", 422, json!({"name": "a", "kind": "Anomaly"}), true),
            ("the namespace is gone", 404, json!({"name": "shop", "kind": "namespaces"}), true),
            ("the object is gone", 404, json!({"name": "a", "group": "dbmedic.io", "kind": "anomalies"}), true),
            ("the kind is not there yet", 404, json!({}), false),
            ("the namespace is going", 403, json!({"causes": [{"reason": "NamespaceTerminating"}]}), true),
            ("a right is missing", 403, json!({"name": "a", "kind": "anomalies"}), false),
            ("somebody else wrote", 409, json!({}), false),
            ("too many requests", 429, json!({}), false),
            ("the server is ill", 500, json!({}), false),
        ];
        for (what, code, details, expected) in table {
            let status: Status = serde_json::from_value(json!({"code": code, "details": details})).unwrap();
            let error = Error::Api { step: "write", source: Box::new(kube::Error::Api(status.boxed())) };
            assert_eq!(is_final(&error), expected, "{what}");
        }
        assert!(!is_final(&Error::Timeout { step: "write" }));
    }

    #[test]
    fn only_a_refusal_waits_for_the_whole_back_off() {
        let (short, long) = (Duration::from_secs(1), Duration::from_secs(60));
        let refused = Error::Api { step: "write", source: Box::new(kube::Error::Api(Status::default().boxed())) };
        assert_eq!(again_in(&refused, long), long);
        let away = Error::Timeout { step: "write" };
        assert_eq!((again_in(&away, short), again_in(&away, long)), (short, LONGEST_AWAY));
    }

    #[test]
    fn a_deviation_reads_in_sigma_or_beyond_its_limit() {
        let of = |value, sigmas, lower, upper| deviation(Some(&Verdict { value, lower, upper, sigmas, ..VERDICT }));
        assert_eq!(of(1.0, Some(7.25), None, Some(4.0)), "+7.2 sigma");
        assert_eq!(of(1.0, Some(-1e9), None, None), "-1000+ sigma");
        assert_eq!(sigmas(1000.0), "+1000+ sigma");
        assert_eq!(of(5.0, None, Some(1.0), Some(4.0)), "5.0000 above 4.0000");
        assert_eq!(of(0.5, None, Some(1.0), Some(4.0)), "0.5000 below 1.0000");
        assert_eq!(of(0.5, None, None, None), "0.5000");
        // What is only to come: a forecast.
        assert_eq!(of(5.0, None, Some(1.0), None), "5.0000");
        assert_eq!(deviation(None), "");
    }

    #[test]
    fn the_object_says_what_was_observed_in_bounded_texts() {
        let rule = "r".repeat(70);
        let made = anomaly("a", &change(&rule, 0, ChangeKind::Opened));
        assert_eq!(made.metadata.labels.unwrap_or_default()["dbmedic.io/rule"].len(), 63);
        assert_eq!(label(&format!("{}-{}", "r".repeat(62), "x")), "r".repeat(62), "a label ends with a letter");
        assert_eq!(made.spec.onset, "1970-01-01T00:00:00.000Z");
        let observed = made.spec.observed;
        assert_eq!((observed.value, observed.confidence, observed.sigmas), (12.345_679, 90.0, Some(7.25)));
        assert_eq!((observed.band.centre, observed.band.lower, observed.band.upper), (Some(1.0), None, Some(4.0)));
    }

    fn wanted(kind: ChangeKind) -> Wanted {
        let mut queue = Queue::new();
        want(&mut queue, change("slow", 0, kind), Instant::now());
        queue.into_values().next().unwrap()
    }

    #[test]
    fn a_status_keeps_the_first_deviation_and_says_when_it_was_over() {
        let stored = anomaly("a", &change("slow", 0, ChangeKind::Opened));
        let mut wanted = wanted(ChangeKind::Opened);
        let now = Timestamp::UNIX_EPOCH;
        wanted.change.change.evidence =
            (0..99).map(|_| detect::Evidence::text("n".repeat(999), "v".repeat(9_999))).collect();
        let opened = incident_status(&stored, &wanted, now);
        assert_eq!(opened.evidence.len(), detect::MOST_EVIDENCE);
        assert_eq!((opened.evidence[0].name.len(), opened.evidence[0].value.len()), (128, 1024));
        assert_eq!((opened.state, opened.resolved_at.clone()), (Some(AnomalyState::Open), None));
        assert_eq!(opened.deviation.as_deref(), Some("+7.2 sigma"));
        wanted.state = AnomalyState::Resolved;
        wanted.change.change.verdict = None;
        wanted.change.change.evidence = vec![detect::Evidence::number("value", 1.0, "")];
        let resolved = incident_status(&Anomaly { status: Some(opened), ..stored }, &wanted, now);
        assert_eq!(resolved.evidence[0].name.len(), 128, "why it was opened stays");
        assert_eq!(resolved.evidence.len(), detect::MOST_EVIDENCE);
        assert_eq!(resolved.resolved_at.as_deref(), Some("1970-01-01T00:00:00.000Z"));
        assert_eq!(resolved.deviation.as_deref(), Some("+7.2 sigma"));
    }

    #[test]
    fn of_an_incident_that_lasted_so_long_that_its_level_was_learnt_that_is_said() {
        let stored = anomaly("a", &change("slow", 0, ChangeKind::Opened));
        let wanted = wanted(ChangeKind::Resolved);
        let said = |stored: &Anomaly, hours: i64| {
            let now = Timestamp::from_millisecond(hours * 3_600_000).unwrap();
            let status = incident_status(stored, &wanted, now);
            let shown = status.evidence.iter().any(|one| one.value.contains("counts as normal"));
            assert_eq!(shown, resolution(stored, now).contains("counts as normal"));
            shown
        };
        assert!(!said(&stored, 71) && said(&stored, 72));
        let mut limited = stored;
        limited.spec.observed.band.centre = None;
        assert!(!said(&limited, 72), "a limit is not learnt");
    }
}
