//! `status`: is everything watched, is anything wrong, does anything wait for a person.

mod exceptions;
mod rules;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use serde::Serialize;

use exceptions::{ExceptionRow, known};
use rules::{RuleRow, not_applied};

use super::anomalies::{is_open, tone, word};
use super::cluster::Cluster;
use super::failure::Failure;
use super::figures::age;
use super::output::Report;
use super::table::{Cell, Table, Tone};
use super::text::clean;
use crate::api::conditions::{find, types};
use crate::api::{Anomaly, Baseline, Mode, Remediation, RemediationPolicy, RemediationState, Severity};

/// Baselines, policies and waiting changes.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Status {
    pub baselines: Vec<BaselineRow>,
    pub policies: Vec<PolicyRow>,
    pub awaiting_approval: Vec<Waiting>,
    /// Rules that are not applied.
    pub rules: Vec<RuleRow>,
    /// Exceptions that are active now or not ready.
    pub exceptions: Vec<ExceptionRow>,
    /// Worst severity of all open anomalies, also of those whose Baseline is gone.
    pub worst: Option<Severity>,
    #[serde(skip)]
    all_namespaces: bool,
    /// Where it was looked, as [`Cluster::place`] says it.
    #[serde(skip)]
    place: String,
}

/// One Baseline.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BaselineRow {
    pub namespace: String,
    pub name: String,
    pub ready: String,
    pub databases: i32,
    pub confidence: Option<String>,
    pub learning: bool,
    pub open_anomalies: usize,
    pub worst: Option<Severity>,
    /// What is not as it should be, from the conditions.
    pub message: Option<String>,
    #[serde(skip)]
    age: String,
}

/// One policy.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PolicyRow {
    pub namespace: String,
    pub name: String,
    pub mode: Mode,
    pub can_fix: String,
    pub budget: Option<String>,
    pub success_rate: Option<String>,
    pub message: Option<String>,
    #[serde(skip)]
    age: String,
}

/// A change that waits for a person.
#[derive(Debug, Serialize)]
pub(super) struct Waiting {
    pub namespace: String,
    pub name: String,
}

/// Reads everything that the status is made of.
pub(super) async fn read(cluster: &Cluster, now: Timestamp) -> Result<Status, Failure> {
    // Boxed: six lists at once are a large future.
    let (baselines, policies, anomalies, remediations, rules, exceptions) = tokio::try_join!(
        Box::pin(cluster.list()),
        Box::pin(cluster.list()),
        Box::pin(cluster.list()),
        Box::pin(cluster.list()),
        Box::pin(cluster.list()),
        Box::pin(cluster.list())
    )?;
    let status = model(baselines, policies, &anomalies, &remediations, cluster.all_namespaces, now);
    Ok(Status { rules: not_applied(rules), exceptions: known(exceptions), place: cluster.place(), ..status })
}

fn model(
    baselines: Vec<Baseline>,
    policies: Vec<RemediationPolicy>,
    anomalies: &[Anomaly],
    remediations: &[Remediation],
    all_namespaces: bool,
    now: Timestamp,
) -> Status {
    let baselines = baselines.into_iter().map(|object| {
        let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
        let open = anomalies.iter().filter(|anomaly| {
            is_open(anomaly)
                && anomaly.namespace().unwrap_or_default() == namespace
                && anomaly.spec.baseline_ref.name == name
        });
        let severities: Vec<Severity> = open.map(|anomaly| anomaly.spec.severity).collect();
        let created = object.metadata.creation_timestamp.as_ref().map(|time| time.0);
        let status = object.status.unwrap_or_default();
        let learning = find(&status.conditions, types::LEARNING).is_some_and(|condition| condition.status == "True");
        BaselineRow {
            ready: state_of(&status.conditions, types::READY),
            databases: status.targets.unwrap_or(0),
            confidence: status.confidence.as_deref().map(clean),
            learning,
            open_anomalies: severities.len(),
            worst: severities.into_iter().max(),
            message: complaint(
                &status.conditions,
                &[types::READY, types::DATABASE_REACHABLE, types::HISTORY_STORED, types::METRICS_AVAILABLE],
            ),
            namespace,
            name,
            age: age(created, now),
        }
    });
    let policies = policies.into_iter().map(|object| {
        let created = object.metadata.creation_timestamp.as_ref().map(|time| time.0);
        let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
        let status = object.status.unwrap_or_default();
        PolicyRow {
            namespace,
            name,
            mode: object.spec.mode,
            can_fix: state_of(&status.conditions, types::CAN_FIX),
            budget: status.budget.as_deref().map(clean),
            success_rate: status.success_rate.as_deref().map(clean),
            message: complaint(&status.conditions, &[types::READY, types::CAN_FIX]),
            age: age(created, now),
        }
    });
    let waiting = remediations.iter().filter(|remediation| {
        remediation.status.as_ref().and_then(|status| status.state) == Some(RemediationState::AwaitingApproval)
    });
    Status {
        worst: anomalies.iter().filter(|anomaly| is_open(anomaly)).map(|anomaly| anomaly.spec.severity).max(),
        baselines: baselines.collect(),
        policies: policies.collect(),
        awaiting_approval: waiting
            .map(|object| Waiting { namespace: object.namespace().unwrap_or_default(), name: object.name_any() })
            .collect(),
        rules: Vec::new(),
        exceptions: Vec::new(),
        all_namespaces,
        place: String::new(),
    }
}

fn state_of(conditions: &[Condition], type_: &str) -> String {
    find(conditions, type_).map_or_else(|| "Unknown".to_owned(), |condition| clean(&condition.status))
}

fn complaint(conditions: &[Condition], wanted: &[&str]) -> Option<String> {
    let failing = wanted.iter().filter_map(|type_| find(conditions, type_)).find(|found| found.status != "True");
    failing.map(|condition| clean(&format!("{}: {}", condition.reason, condition.message)))
}

fn yes_no(state: &str) -> Cell {
    match state {
        "True" => Cell::toned("✓ True", Tone::Good),
        "False" => Cell::toned("✗ False", Tone::Bad),
        other => Cell::toned(format!("? {other}"), Tone::Watch),
    }
}

impl Status {
    /// What a person could do next, for stderr.
    pub(super) fn hints(&self) -> Vec<String> {
        let mut hints = Vec::new();
        if self.baselines.is_empty() {
            let watched = if self.all_namespaces { "." } else { " there. -A looks in all namespaces;" };
            hints.push(format!(
                "No Baselines found{}: nothing is watched{watched} examples/quickstart shows how to begin.",
                self.place
            ));
        }
        for waiting in &self.awaiting_approval {
            let (name, namespace) = (&waiting.name, &waiting.namespace);
            hints.push(format!(
                "{name} waits for a person: kubectl dbmedic explain {name} -n {namespace}, then approve or refuse it"
            ));
        }
        hints
    }

    fn baseline_table(&self, wide: bool) -> Table {
        let mut headers = vec!["BASELINE", "READY", "DATABASES", "CONFIDENCE", "ANOMALIES", "MESSAGE"];
        if wide {
            headers.extend(["LEARNING", "AGE"]);
        }
        let rows = self.baselines.iter().map(|row| {
            let anomalies = match row.worst {
                None => Cell::toned("✓ none", Tone::Good),
                Some(worst) => Cell::toned(format!("✗ {} open, {}", row.open_anomalies, word(worst)), tone(worst)),
            };
            let mut cells: Vec<Cell> = vec![
                row.name.as_str().into(),
                yes_no(&row.ready),
                row.databases.to_string().into(),
                row.confidence.as_deref().unwrap_or_default().into(),
                anomalies,
                row.message.as_deref().unwrap_or_default().into(),
            ];
            if wide {
                cells.extend([Cell::from(if row.learning { "yes" } else { "no" }), row.age.as_str().into()]);
            }
            self.placed(&row.namespace, cells)
        });
        Table { headers: self.headed(headers), rows: rows.collect() }
    }

    fn policy_table(&self, wide: bool) -> Table {
        let mut headers = vec!["POLICY", "MODE", "CAN-FIX", "FIXES-1H", "SUCCESS", "MESSAGE"];
        if wide {
            headers.push("AGE");
        }
        let rows = self.policies.iter().map(|row| {
            let mode = match row.mode {
                Mode::Observe => "observe",
                Mode::Suggest => "suggest",
                Mode::Auto => "auto",
            };
            let mut cells: Vec<Cell> = vec![
                row.name.as_str().into(),
                mode.into(),
                yes_no(&row.can_fix),
                row.budget.as_deref().unwrap_or_default().into(),
                row.success_rate.as_deref().unwrap_or_default().into(),
                row.message.as_deref().unwrap_or_default().into(),
            ];
            if wide {
                cells.push(row.age.as_str().into());
            }
            self.placed(&row.namespace, cells)
        });
        Table { headers: self.headed(headers), rows: rows.collect() }
    }

    /// A table of which mostly there is none, and then nothing to say.
    fn rarely<Row>(
        &self,
        headers: &[&'static str],
        rows: &[Row],
        cells: impl Fn(&Row) -> (&str, Vec<Cell>),
    ) -> Option<Table> {
        let placed = rows.iter().map(|row| {
            let (namespace, cells) = cells(row);
            self.placed(namespace, cells)
        });
        (!rows.is_empty()).then(|| Table { headers: self.headed(headers.to_vec()), rows: placed.collect() })
    }

    fn headed(&self, mut headers: Vec<&'static str>) -> Vec<&'static str> {
        if self.all_namespaces {
            headers.insert(0, "NAMESPACE");
        }
        headers
    }

    fn placed(&self, namespace: &str, mut cells: Vec<Cell>) -> Vec<Cell> {
        if self.all_namespaces {
            cells.insert(0, namespace.into());
        }
        cells
    }
}

impl Report for Status {
    fn tables(&self, wide: bool) -> Vec<Table> {
        let mut tables = vec![self.baseline_table(wide), self.policy_table(wide)];
        tables.extend(self.rarely(&RuleRow::HEADERS, &self.rules, |row| (row.namespace.as_str(), row.cells())));
        tables
            .extend(self.rarely(&ExceptionRow::HEADERS, &self.exceptions, |row| (row.namespace.as_str(), row.cells())));
        tables
    }

    fn names(&self) -> Vec<String> {
        let baselines = self.baselines.iter().map(|row| format!("baseline.dbmedic.io/{}", row.name));
        baselines.chain(self.policies.iter().map(|row| format!("remediationpolicy.dbmedic.io/{}", row.name))).collect()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::api::conditions::{Said, merge, reasons};
    use crate::api::{AnomalySpec, LocalReference};
    use serde_json::json;

    pub(super) fn found() -> Status {
        let now = Timestamp::UNIX_EPOCH;
        let mut baseline: Baseline = serde_json::from_value(json!({
            "apiVersion": "dbmedic.io/v1alpha1", "kind": "Baseline",
            "metadata": {"name": "orders", "namespace": "shop"},
            "spec": {"engine": "postgresql", "pods": {"selector": {}},
                     "connection": {"database": "orders", "secretRef": {"name": "orders-monitor"}}},
            "status": {"targets": 1, "confidence": "97%"}
        }))
        .unwrap();
        let said = [
            Said::yes(types::READY, reasons::ACCEPTED, "accepted"),
            Said::no(types::DATABASE_REACHABLE, reasons::AUTHENTICATION_FAILED, "password refused"),
        ];
        baseline.status.as_mut().unwrap().conditions = merge(&[], &said, None, now);
        let policy: RemediationPolicy = serde_json::from_value(json!({
            "apiVersion": "dbmedic.io/v1alpha1", "kind": "RemediationPolicy",
            "metadata": {"name": "standard", "namespace": "shop"},
            "spec": {"mode": "auto", "strategies": {}}, "status": {"budget": "1/10"}
        }))
        .unwrap();
        let mut anomaly = Anomaly::new(
            "a",
            AnomalySpec {
                baseline_ref: LocalReference::from("orders"),
                severity: Severity::High,
                ..AnomalySpec::default()
            },
        );
        anomaly.metadata.namespace = Some("shop".into());
        let waiting = crate::cli::fixes::tests::waiting();
        model(vec![baseline], vec![policy], &[anomaly], &[waiting], false, now)
    }

    #[test]
    fn baselines_and_policies_say_what_is_wrong() {
        assert_eq!(
            found().text(false, true, false),
            "\
BASELINE   READY    DATABASES   CONFIDENCE   ANOMALIES        MESSAGE
orders     ✓ True   1           97%          ✗ 1 open, high   AuthenticationFailed: password refused

POLICY     MODE   CAN-FIX     FIXES-1H   SUCCESS   MESSAGE
standard   auto   ? Unknown   1/10       <none>    <none>
"
        );
    }

    #[test]
    fn the_worst_open_anomaly_decides_and_waiting_changes_are_named() {
        let status = found();
        assert_eq!(status.worst, Some(Severity::High));
        assert_eq!(
            status.hints(),
            [
                "orders-add-index waits for a person: kubectl dbmedic explain orders-add-index -n shop, then approve or refuse it"
            ]
        );
    }

    #[test]
    fn where_nothing_is_watched_it_is_said_where_it_was_looked() {
        let now = Timestamp::UNIX_EPOCH;
        let none = model(Vec::new(), Vec::new(), &[], &[], false, now);
        let here = Status { place: " in namespace shopp".to_owned(), ..none };
        let [hint] = here.hints().try_into().unwrap();
        assert!(
            hint.starts_with("No Baselines found in namespace shopp: nothing is watched there. -A looks in all"),
            "{hint}"
        );
        let none = model(Vec::new(), Vec::new(), &[], &[], true, now);
        assert_eq!(none.hints(), ["No Baselines found: nothing is watched. examples/quickstart shows how to begin."]);
    }
}
