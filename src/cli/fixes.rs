//! `fixes`: planned and made changes.

use k8s_openapi::jiff::Timestamp;
use serde::Serialize;

use super::cluster::Cluster;
use super::failure::Failure;
use super::figures::age;
use super::output::Report;
use super::table::{Cell, Table, Tone};
use super::text::clean;
use crate::api::{ActionName, Remediation, RemediationState, RiskLevel};

/// The changes, the newest first.
#[derive(Debug, Serialize)]
pub(super) struct Fixes {
    pub items: Vec<Row>,
    #[serde(skip)]
    all_namespaces: bool,
}

/// One change.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Row {
    pub namespace: String,
    pub name: String,
    pub state: RemediationState,
    pub action: ActionName,
    pub risk: RiskLevel,
    pub database: String,
    pub reason: Option<String>,
    pub anomaly: String,
    pub statement: String,
    pub plan_hash: String,
    pub decided_by: Option<String>,
    pub created: Option<String>,
    #[serde(skip)]
    age: String,
}

/// Reads and orders the changes.
pub(super) async fn read(cluster: &Cluster, now: Timestamp) -> Result<Fixes, Failure> {
    Ok(model(cluster.list().await?, cluster.all_namespaces, now))
}

fn model(mut objects: Vec<Remediation>, all_namespaces: bool, now: Timestamp) -> Fixes {
    objects.sort_by(|left, right| {
        let (newer, older) = (&right.metadata, &left.metadata);
        newer.creation_timestamp.cmp(&older.creation_timestamp).then(older.name.cmp(&newer.name))
    });
    let items = objects.into_iter().map(|object| {
        let created = object.metadata.creation_timestamp.map(|time| time.0);
        let status = object.status.unwrap_or_default();
        let plan = object.spec.plan;
        Row {
            namespace: object.metadata.namespace.unwrap_or_default(),
            name: object.metadata.name.unwrap_or_default(),
            state: status.state.unwrap_or_default(),
            action: object.spec.action,
            risk: plan.risk.level,
            database: clean(&plan.target.pod),
            reason: status.message.as_deref().map(clean),
            anomaly: clean(&object.spec.anomaly_ref.name),
            statement: clean(&plan.statement),
            plan_hash: clean(&object.spec.plan_hash),
            decided_by: status.approval.map(|approval| clean(&approval.decided_by.unwrap_or(approval.by))),
            created: created.map(|time| time.to_string()),
            age: age(created, now),
        }
    });
    Fixes { items: items.collect(), all_namespaces }
}

/// A state with its symbol: the word says the same.
pub(super) fn state_cell(state: RemediationState) -> Cell {
    use RemediationState as State;
    let (symbol, tone) = match state {
        State::Succeeded => ("✓", Tone::Good),
        State::RolledBack => ("↶", Tone::Watch),
        State::AwaitingApproval => ("?", Tone::Watch),
        State::Unverified => ("~", Tone::Watch),
        State::Failed | State::RollbackFailed => ("✗", Tone::Bad),
        State::Refused | State::Expired | State::Superseded => ("-", Tone::Plain),
        _ => ("…", Tone::Plain),
    };
    Cell::toned(format!("{symbol} {state:?}"), tone)
}

/// An action's name as it is written in a policy.
pub(super) fn action_word(action: ActionName) -> &'static str {
    match action {
        ActionName::AnalyzeQuery => "analyze_query",
        ActionName::CheckIndexes => "check_indexes",
        ActionName::AddIndex => "add_index",
        ActionName::Notify => "notify",
    }
}

/// A risk's word.
pub(super) fn risk_word(risk: RiskLevel) -> &'static str {
    match risk {
        RiskLevel::Low => "low",
        RiskLevel::Medium => "medium",
        RiskLevel::High => "high",
        RiskLevel::Critical => "critical",
    }
}

impl Report for Fixes {
    fn tables(&self, wide: bool) -> Vec<Table> {
        let mut headers = vec!["NAME", "STATE", "ACTION", "RISK", "DATABASE", "REASON", "AGE"];
        if self.all_namespaces {
            headers.insert(0, "NAMESPACE");
        }
        if wide {
            headers.extend(["ANOMALY", "DECIDED-BY", "PLAN-HASH", "PLAN"]);
        }
        let rows = self.items.iter().map(|row| {
            let mut cells: Vec<Cell> = vec![
                row.name.as_str().into(),
                state_cell(row.state),
                action_word(row.action).into(),
                risk_word(row.risk).into(),
                row.database.as_str().into(),
                row.reason.as_deref().unwrap_or_default().into(),
                row.age.as_str().into(),
            ];
            if self.all_namespaces {
                cells.insert(0, row.namespace.as_str().into());
            }
            if wide {
                cells.extend([
                    row.anomaly.clone().into(),
                    row.decided_by.clone().unwrap_or_default().into(),
                    row.plan_hash.clone().into(),
                    row.statement.clone().into(),
                ]);
            }
            cells
        });
        vec![Table { headers, rows: rows.collect() }]
    }

    fn names(&self) -> Vec<String> {
        self.items.iter().map(|row| format!("remediation.dbmedic.io/{}", row.name)).collect()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::api::{
        AddIndex, Change, ObjectReference, Plan, PlanTarget, RemediationSpec, RemediationStatus, Risk, Verification,
    };

    /// A planned index that waits for a person.
    pub(in crate::cli) fn waiting() -> Remediation {
        let index = AddIndex {
            schema: "public".into(),
            table: "orders".into(),
            columns: vec!["customer_id".into()],
            name: "dbmedic_orders_customer_id".into(),
        };
        let plan = Plan {
            target: PlanTarget {
                baseline: "orders".into(),
                pod: "orders-db-0".into(),
                database: "orders".into(),
                system_identifier: "7".into(),
                timeline: 1,
            },
            change: Change { add_index: Some(index) },
            statement:
                "CREATE INDEX CONCURRENTLY \"dbmedic_orders_customer_id\" ON \"public\".\"orders\" (\"customer_id\")"
                    .into(),
            undo: "DROP INDEX CONCURRENTLY \"public\".\"dbmedic_orders_customer_id\"".into(),
            verification: Verification {
                metric: "response_time".into(),
                before: 412.3,
                upper: Some(12.4),
                statements_before_ms: Some(409.0),
                timeout_seconds: 300,
                ..Verification::default()
            },
            risk: Risk { level: RiskLevel::Low, reasons: vec!["table of 412 MiB, below 1 GiB".into()] },
            timeout_seconds: 600,
        };
        let mut object = Remediation::new(
            "orders-add-index",
            RemediationSpec {
                anomaly_ref: ObjectReference { name: "slow-queries-1".into(), uid: "a-1".into() },
                policy_ref: ObjectReference { name: "standard".into(), uid: "p-1".into() },
                strategy: "slow_query".into(),
                step: 2,
                action: ActionName::AddIndex,
                plan,
                plan_hash: format!("sha256:{}", "ab".repeat(32)),
            },
        );
        object.metadata.namespace = Some("shop".into());
        object.metadata.uid = Some("r-1".into());
        object.status = Some(RemediationStatus {
            state: Some(RemediationState::AwaitingApproval),
            message: Some("mode is suggest".into()),
            ..RemediationStatus::default()
        });
        object
    }

    #[test]
    fn a_change_says_state_risk_and_reason() {
        let text = model(vec![waiting()], false, Timestamp::UNIX_EPOCH).text(false, true, false);
        assert_eq!(
            text,
            "\
NAME               STATE                ACTION      RISK   DATABASE      REASON            AGE
orders-add-index   ? AwaitingApproval   add_index   low    orders-db-0   mode is suggest   <unknown>
"
        );
    }

    #[test]
    fn all_namespaces_are_named() {
        let text = model(vec![waiting()], true, Timestamp::UNIX_EPOCH).text(false, false, false);
        assert!(text.starts_with("shop   orders-add-index   "), "{text}");
    }
}
