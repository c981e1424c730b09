//! What the operator and approvers write: Anomaly, Remediation, RemediationApproval.

use anyhow::Result;
use dbmedic_test_support::{Cluster, shop};
use serde_json::{Value, json};

use super::{Case, TYPE, author, check};

const CHOICE: &str = "Unsupported value";
const REQUIRED: &str = "Required value";
const UNKNOWN: &str = "field not declared in schema";

pub fn anomaly() -> Value {
    json!({
        "ruleRef": {"name": "slow", "uid": "u-1"},
        "baselineRef": {"name": "orders"},
        "pod": "orders-db-0",
        "metric": "response_time",
        "unit": "ms",
        "detector": "sigma",
        "severity": "high",
        "onset": "2026-01-01T00:00:00Z",
        "observed": {"at": "2026-01-01T00:00:05Z", "value": 40.5, "band": {"centre": 2.0, "upper": 3.5}, "sigmas": 41.0, "confidence": 99.5},
    })
}

pub fn remediation() -> Value {
    json!({
        "anomalyRef": {"name": "slow-1", "uid": "u-2"},
        "policyRef": {"name": "standard", "uid": "u-3"},
        "strategy": "slow",
        "step": 0,
        "action": "add_index",
        "plan": {
            "target": {"baseline": "orders", "pod": "orders-db-0", "database": "orders", "systemIdentifier": "1", "timeline": 1},
            "change": {"addIndex": {"schema": "public", "table": "orders", "columns": ["customer_id"], "name": "i"}},
            "statement": "CREATE INDEX",
            "undo": "DROP INDEX",
            "verification": {"metric": "response_time", "before": 40.5, "upper": 3.5, "timeoutSeconds": 300},
            "risk": {"level": "low", "reasons": ["small"]},
            "timeoutSeconds": 600,
        },
        "planHash": format!("sha256:{}", "0".repeat(64)),
    })
}

pub fn approval(user: &str) -> Value {
    json!({
        "remediation": "slow-1-1",
        "remediationUid": "u-4",
        "planHash": format!("sha256:{}", "0".repeat(64)),
        "decision": "approve",
        "decidedBy": user,
    })
}

#[tokio::test]
async fn anomalies() -> Result<()> {
    let cluster = Cluster::shared().await?;
    shop::install(cluster).await?;
    let namespace = cluster.namespace("validation").await?;
    let cases: Vec<Case> = vec![
        ("/spec/unknown", json!(1), UNKNOWN),
        ("/spec/severity", json!("urgent"), CHOICE),
        ("/spec/ruleRef/uid", Value::Null, REQUIRED),
        ("/spec/pod", json!("p".repeat(254)), "Too long"),
        ("/spec/metric", json!("m".repeat(64)), "Too long"),
        ("/spec/onset", json!(0), TYPE),
        ("/spec/observed/value", json!("40"), TYPE),
        ("/spec/observed", Value::Null, REQUIRED),
    ];
    let client = author(cluster, &namespace).await?;
    check(client, &namespace, "Anomaly", "anomalies", &anomaly(), &cases).await
}

#[tokio::test]
async fn remediations() -> Result<()> {
    let cluster = Cluster::shared().await?;
    shop::install(cluster).await?;
    let namespace = cluster.namespace("validation").await?;
    let cases: Vec<Case> = vec![
        ("/spec/unknown", json!(1), UNKNOWN),
        ("/spec/approved", json!(true), UNKNOWN),
        ("/spec/action", json!("drop_table"), CHOICE),
        ("/spec/planHash", json!("0".repeat(71)), "should match"),
        ("/spec/planHash", json!(format!("sha256:{}", "0".repeat(63))), "should match"),
        ("/spec/planHash", json!(format!("sha256:{}", "A".repeat(64))), "should match"),
        ("/spec/planHash", Value::Null, REQUIRED),
        ("/spec/plan", Value::Null, REQUIRED),
        ("/spec/plan/sql", json!("drop table orders"), UNKNOWN),
        ("/spec/plan/change/dropTable", json!({}), UNKNOWN),
        ("/spec/plan/change", json!({}), "exactly one of addIndex"),
        ("/spec/plan/change/addIndex/columns", json!(["a", "b", "c", "d"]), "must have at most 3 items"),
        ("/spec/plan/change/addIndex/name", json!("n".repeat(64)), "Too long"),
        ("/spec/plan/statement", json!("s".repeat(2049)), "Too long"),
        ("/spec/plan/risk/level", json!("none"), CHOICE),
        ("/spec/plan/timeoutSeconds", json!(-1), "greater than or equal to 0"),
        ("/spec/step", json!("1"), TYPE),
        ("/spec/policyRef/uid", Value::Null, REQUIRED),
    ];
    let client = author(cluster, &namespace).await?;
    check(client, &namespace, "Remediation", "remediations", &remediation(), &cases).await
}

#[tokio::test]
async fn remediation_approvals() -> Result<()> {
    let cluster = Cluster::shared().await?;
    shop::install(cluster).await?;
    let namespace = cluster.namespace("validation").await?;
    cluster.grant(&namespace, "alice", "dbmedic.io", &["remediationapprovals"], &["create", "patch"]).await?;
    cluster.grant(&namespace, "alice", "dbmedic.io", &["remediations"], &["approve"]).await?;
    let cases: Vec<Case> = vec![
        ("/spec/unknown", json!(1), UNKNOWN),
        ("/status", json!({"approved": true}), UNKNOWN),
        ("/spec/remediation", json!(""), "at least 1 chars"),
        ("/spec/remediation", Value::Null, REQUIRED),
        ("/spec/remediationUid", json!(""), "at least 1 chars"),
        ("/spec/remediationUid", Value::Null, REQUIRED),
        ("/spec/planHash", json!("sha256:0"), "should match"),
        ("/spec/planHash", Value::Null, REQUIRED),
        ("/spec/decision", json!("refuse"), ""),
        ("/spec/decision", json!("maybe"), CHOICE),
        ("/spec/decision", json!("Approve"), CHOICE),
        ("/spec/decision", json!(true), TYPE),
        ("/spec/decision", Value::Null, REQUIRED),
        ("/spec/decidedBy", Value::Null, REQUIRED),
        ("/spec/decidedBy", json!(""), "at least 1 chars"),
        ("/spec/decidedBy", json!("bob"), "spec.decidedBy: found bob, allowed is the requester: alice"),
        ("/spec/expiresAt", json!("2027-01-01T00:00:00Z"), ""),
        ("/spec/expiresAt", json!("tomorrow"), "must be of type date-time"),
        ("/spec/expiresAt", json!(1), TYPE),
        ("/spec/comment", json!("c".repeat(1024)), ""),
        ("/spec/comment", json!("c".repeat(1025)), "Too long"),
    ];
    let client = cluster.client("alice").await?;
    check(client, &namespace, "RemediationApproval", "remediationapprovals", &approval("alice"), &cases).await
}
