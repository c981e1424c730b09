//! `anomalies`: what is not normal now.

use k8s_openapi::jiff::Timestamp;
use serde::Serialize;

use super::cluster::Cluster;
use super::failure::Failure;
use super::figures::{age, time};
use super::output::Report;
use super::table::{Cell, Table, Tone};
use super::text::clean;
use crate::api::{Anomaly, AnomalyState, Severity};

/// The anomalies, the most severe first, then the newest.
#[derive(Debug, Serialize)]
pub(super) struct Anomalies {
    pub items: Vec<Row>,
    #[serde(skip)]
    all_namespaces: bool,
}

/// One anomaly.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Row {
    pub namespace: String,
    pub name: String,
    pub state: AnomalyState,
    pub severity: Severity,
    pub metric: String,
    pub database: String,
    pub baseline: String,
    pub rule: String,
    pub deviation: Option<String>,
    pub cause: Option<String>,
    pub since: String,
    pub remediations: Vec<String>,
    #[serde(skip)]
    age: String,
}

/// Reads and orders the anomalies.
pub(super) async fn read(cluster: &Cluster, resolved: bool, now: Timestamp) -> Result<Anomalies, Failure> {
    Ok(model(cluster.list().await?, resolved, cluster.all_namespaces, now))
}

fn model(objects: Vec<Anomaly>, resolved: bool, all_namespaces: bool, now: Timestamp) -> Anomalies {
    let mut items: Vec<Row> = objects
        .into_iter()
        .filter(|object| resolved || is_open(object))
        .map(|object| {
            let status = object.status.unwrap_or_default();
            Row {
                namespace: object.metadata.namespace.unwrap_or_default(),
                name: object.metadata.name.unwrap_or_default(),
                state: status.state.unwrap_or_default(),
                severity: object.spec.severity,
                metric: clean(&object.spec.metric),
                database: clean(&object.spec.pod),
                baseline: clean(&object.spec.baseline_ref.name),
                rule: clean(&object.spec.rule_ref.name),
                deviation: status.deviation.as_deref().map(clean),
                cause: status.root_cause.map(|cause| clean(&cause.summary)),
                age: age(time(&object.spec.onset), now),
                since: clean(&object.spec.onset),
                remediations: status.remediations.iter().map(|name| clean(name)).collect(),
            }
        })
        .collect();
    items.sort_by(|left, right| {
        right.severity.cmp(&left.severity).then(right.since.cmp(&left.since)).then(left.name.cmp(&right.name))
    });
    Anomalies { items, all_namespaces }
}

/// Whether an anomaly is not over.
pub(super) fn is_open(anomaly: &Anomaly) -> bool {
    let state = anomaly.status.as_ref().and_then(|status| status.state).unwrap_or_default();
    state != AnomalyState::Resolved
}

/// Tone of a severity.
pub(super) fn tone(severity: Severity) -> Tone {
    match severity {
        Severity::Low | Severity::Medium => Tone::Watch,
        Severity::High | Severity::Critical => Tone::Bad,
    }
}

/// A severity's word.
pub(super) fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Low => "low",
        Severity::Medium => "medium",
        Severity::High => "high",
        Severity::Critical => "critical",
    }
}

/// A state with its symbol: the word says the same.
pub(super) fn state_cell(state: AnomalyState, severity: Severity) -> Cell {
    match state {
        AnomalyState::Open => Cell::toned("✗ Open", tone(severity)),
        AnomalyState::Predicted => Cell::toned("↗ Predicted", Tone::Watch),
        AnomalyState::Clearing => Cell::toned("~ Clearing", Tone::Watch),
        AnomalyState::Resolved => Cell::toned("✓ Resolved", Tone::Good),
    }
}

impl Anomalies {
    /// The worst severity among those that are not over.
    pub(super) fn worst(&self) -> Option<Severity> {
        self.items.iter().filter(|row| row.state != AnomalyState::Resolved).map(|row| row.severity).max()
    }
}

impl Report for Anomalies {
    fn tables(&self, wide: bool) -> Vec<Table> {
        let mut headers = vec!["NAME", "STATE", "SEVERITY", "METRIC", "DATABASE", "DEVIATION", "CAUSE", "SINCE"];
        if self.all_namespaces {
            headers.insert(0, "NAMESPACE");
        }
        if wide {
            headers.extend(["BASELINE", "RULE", "REMEDIATIONS"]);
        }
        let rows = self.items.iter().map(|row| {
            let mut cells: Vec<Cell> = vec![
                row.name.as_str().into(),
                state_cell(row.state, row.severity),
                Cell::toned(word(row.severity), tone(row.severity)),
                row.metric.as_str().into(),
                row.database.as_str().into(),
                row.deviation.as_deref().unwrap_or_default().into(),
                row.cause.as_deref().unwrap_or("not yet known").into(),
                row.age.as_str().into(),
            ];
            if self.all_namespaces {
                cells.insert(0, row.namespace.as_str().into());
            }
            if wide {
                cells.extend([row.baseline.clone().into(), row.rule.clone().into(), row.remediations.join(",").into()]);
            }
            cells
        });
        vec![Table { headers, rows: rows.collect() }]
    }

    fn names(&self) -> Vec<String> {
        self.items.iter().map(|row| format!("anomaly.dbmedic.io/{}", row.name)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{AnomalySpec, AnomalyStatus, RootCause};

    fn anomaly(name: &str, severity: Severity, state: AnomalyState, onset: &str) -> Anomaly {
        let mut object = Anomaly::new(
            name,
            AnomalySpec {
                metric: "response_time".into(),
                pod: "orders-db-0".into(),
                severity,
                onset: onset.into(),
                ..AnomalySpec::default()
            },
        );
        object.status = Some(AnomalyStatus {
            state: Some(state),
            deviation: Some("+41.2 sigma".into()),
            root_cause: Some(RootCause {
                summary: "a \u{1b}[31mmissing\u{1b}[0m index".into(),
                ..RootCause::default()
            }),
            ..AnomalyStatus::default()
        });
        object
    }

    fn found(resolved: bool) -> Anomalies {
        let objects = vec![
            anomaly("old", Severity::Low, AnomalyState::Open, "2026-11-22T10:00:00Z"),
            anomaly("worst", Severity::High, AnomalyState::Clearing, "2026-11-22T09:00:00Z"),
            anomaly("over", Severity::Critical, AnomalyState::Resolved, "2026-11-22T08:00:00Z"),
        ];
        model(objects, resolved, false, "2026-11-22T10:05:00Z".parse().unwrap())
    }

    #[test]
    fn the_most_severe_comes_first_and_hostile_text_is_cleaned() {
        let text = found(false).text(false, true, false);
        assert_eq!(
            text,
            "\
NAME    STATE        SEVERITY   METRIC          DATABASE      DEVIATION     CAUSE             SINCE
worst   ~ Clearing   high       response_time   orders-db-0   +41.2 sigma   a missing index   65m
old     ✗ Open       low        response_time   orders-db-0   +41.2 sigma   a missing index   5m
"
        );
    }

    #[test]
    fn names_can_be_given_to_kubectl() {
        assert_eq!(found(false).names(), ["anomaly.dbmedic.io/worst", "anomaly.dbmedic.io/old"]);
    }

    #[test]
    fn a_resolved_anomaly_never_fails_a_pipeline() {
        assert_eq!(found(true).items.len(), 3);
        assert_eq!(found(true).worst(), Some(Severity::High));
    }
}
