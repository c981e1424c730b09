//! RemediationPolicy.

use anyhow::Result;
use dbmedic_test_support::{Cluster, shop};
use serde_json::{Value, json};

use super::{Case, TYPE, check};

const CHOICE: &str = "Unsupported value";
const REQUIRED: &str = "Required value";
const UNKNOWN: &str = "field not declared in schema";
const EXECUTOR: &str = "executor: a Secret for fixing must be named unless mode is observe";
const TOGETHER: &str = "table and columns belong together";

fn policy() -> Value {
    json!({
        "mode": "auto",
        "autoUpTo": "low",
        "limits": {"fixesPerHour": 10},
        "approvals": {"expireAfter": "24h"},
        "rollbackTimeout": "5m",
        "retries": {"max": 3, "backoff": "exponential"},
        "executor": {"secretRef": {"name": "fixer"}},
        "strategies": {"slow": {"priority": "high", "steps": [{"action": "add_index", "when": "facts.safe", "timeout": "10m"}]}},
    })
}

fn step(value: &Value) -> Value {
    json!({"slow": {"steps": [value]}})
}

fn steps() -> Vec<Case> {
    vec![
        ("/spec/strategies", step(&json!({})), REQUIRED),
        ("/spec/strategies", step(&json!({"action": "drop_table"})), CHOICE),
        ("/spec/strategies", step(&json!({"action": "addIndex"})), CHOICE),
        ("/spec/strategies", step(&json!({"action": "analyze_query"})), ""),
        ("/spec/strategies", step(&json!({"action": "check_indexes", "timeout": "10s"})), ""),
        ("/spec/strategies", step(&json!({"action": "notify", "sql": "drop table orders"})), UNKNOWN),
        ("/spec/strategies", step(&json!({"action": "notify", "when": ""})), "at least 1 chars"),
        ("/spec/strategies", step(&json!({"action": "notify", "when": "x".repeat(1025)})), "Too long"),
        ("/spec/strategies", step(&json!({"action": "add_index", "timeout": "forever"})), "should match"),
        ("/spec/strategies", step(&json!({"action": "add_index", "timeout": "25h"})), "between 1s and 24h"),
        ("/spec/strategies", step(&json!({"action": "notify", "timeout": "10s"})), "timeout means nothing for notify"),
        (
            "/spec/strategies",
            step(&json!({"action": "add_index", "table": "orders", "columns": ["a"]})),
            "schema.table",
        ),
        ("/spec/strategies", step(&json!({"action": "add_index", "table": "a.b.c", "columns": ["a"]})), "schema.table"),
        ("/spec/strategies", step(&json!({"action": "add_index", "table": "\"a.b\".c", "columns": ["a"]})), ""),
        (
            "/spec/strategies",
            step(&json!({"action": "add_index", "table": "public.orders", "columns": ["a", "b", "a"]})),
            "each may be named once",
        ),
        ("/spec/strategies", step(&json!({"action": "add_index", "table": "public.orders", "columns": ["a"]})), ""),
        ("/spec/strategies", step(&json!({"action": "add_index", "table": "public.orders"})), TOGETHER),
        ("/spec/strategies", step(&json!({"action": "add_index", "columns": ["a"]})), TOGETHER),
        (
            "/spec/strategies",
            step(&json!({"action": "notify", "table": "public.orders", "columns": ["a"]})),
            "table and columns are allowed only with add_index",
        ),
        (
            "/spec/strategies",
            step(&json!({"action": "add_index", "table": "public.orders", "columns": []})),
            "at least 1 items",
        ),
        (
            "/spec/strategies",
            step(&json!({"action": "add_index", "table": "public.orders", "columns": ["a", "b", "c", "d"]})),
            "must have at most 3 items",
        ),
        (
            "/spec/strategies",
            step(&json!({"action": "add_index", "table": "public.orders", "columns": [""]})),
            "at least 1 chars",
        ),
        (
            "/spec/strategies",
            step(&json!({"action": "add_index", "table": "public.orders", "columns": ["c".repeat(64)]})),
            "Too long",
        ),
    ]
}

#[tokio::test]
async fn remediation_policies() -> Result<()> {
    let cluster = Cluster::shared().await?;
    shop::install(cluster).await?;
    let namespace = cluster.namespace("validation").await?;
    let many: Vec<Value> = (0..17).map(|_| json!({"action": "notify"})).collect();
    let strategies: serde_json::Map<String, Value> =
        (0..33).map(|number| (format!("s{number}"), json!({"steps": [{"action": "notify"}]}))).collect();
    let second = |requested_by: Value| {
        let mut approvals = json!({"secondPerson": true});
        super::put(&mut approvals, "/requestedBy", &requested_by);
        approvals
    };
    let mut cases: Vec<Case> = vec![
        ("/spec/unknown", json!(1), UNKNOWN),
        ("/spec/limits/fixesPerDay", json!(1), UNKNOWN),
        ("/spec/mode", json!("manual"), CHOICE),
        ("/spec/mode", json!("Auto"), CHOICE),
        ("/spec/mode", json!("suggest"), ""),
        ("/spec/mode", Value::Null, ""),
        ("/spec/executor", Value::Null, EXECUTOR),
        ("/spec/executor", json!({}), REQUIRED),
        ("/spec/executor/secretRef/name", json!(""), "at least 1 chars"),
        ("/spec/executor/secretRef/namespace", json!("other"), UNKNOWN),
        ("/spec/autoUpTo", json!("medium"), ""),
        ("/spec/autoUpTo", json!("high"), "high and critical are never automatic"),
        ("/spec/autoUpTo", json!("critical"), "high and critical are never automatic"),
        ("/spec/autoUpTo", json!("none"), CHOICE),
        ("/spec/limits", Value::Null, ""),
        ("/spec/limits/fixesPerHour", json!(0), "greater than or equal to 1"),
        ("/spec/limits/fixesPerHour", json!(1), ""),
        ("/spec/limits/fixesPerHour", json!(100), ""),
        ("/spec/limits/fixesPerHour", json!(101), "less than or equal to 100"),
        ("/spec/limits/fixesPerHour", json!("10"), TYPE),
        ("/spec/approvals", json!({"secondPerson": true}), "approvals.requestedBy: must name the policy's writer"),
        ("/spec/approvals", second(json!("admin")), ""),
        ("/spec/approvals", second(json!("somebody-else")), "spec.approvals.requestedBy: found somebody-else"),
        ("/spec/approvals", second(json!("")), "at least 1 chars"),
        ("/spec/approvals", second(json!("u".repeat(257))), "Too long"),
        ("/spec/approvals", json!({"requestedBy": "anybody"}), ""),
        ("/spec/approvals/secondPerson", json!("yes"), TYPE),
        ("/spec/approvals/expireAfter", json!("1w"), "should match"),
        ("/spec/approvals/expireAfter", json!("90s"), ""),
        ("/spec/rollbackTimeout", json!("5 m"), "should match"),
        ("/spec/rollbackTimeout", json!(300), TYPE),
        ("/spec/rollbackTimeout", json!("999ms"), "between 1s and 24h"),
        ("/spec/rollbackTimeout", json!("1000ms"), ""),
        ("/spec/rollbackTimeout", json!("25h"), "between 1s and 24h"),
        ("/spec/rollbackTimeout", json!("2d"), "between 1s and 24h"),
        ("/spec/rollbackTimeout", json!("1d"), ""),
        ("/spec/approvals/expireAfter", json!("0s"), "between 1s and 24h"),
        ("/spec/approvals/expireAfter", json!("30d"), "between 1s and 24h"),
        ("/spec/retries/max", json!(-1), "greater than or equal to 0"),
        ("/spec/retries/max", json!(0), ""),
        ("/spec/retries/max", json!(10), ""),
        ("/spec/retries/max", json!(11), "less than or equal to 10"),
        ("/spec/retries/backoff", json!("constant"), ""),
        ("/spec/retries/backoff", json!("linear"), CHOICE),
        ("/spec/riskOverrides", json!({"add_index": "critical"}), ""),
        ("/spec/riskOverrides", json!({"add_index": "deadly"}), CHOICE),
        (
            "/spec/riskOverrides",
            json!({"drop_table": "low"}),
            "riskOverrides: allowed are the names of changing actions",
        ),
        ("/spec/riskOverrides", json!({"notify": "low"}), "riskOverrides: allowed are the names of changing actions"),
        ("/spec/strategies", Value::Null, REQUIRED),
        ("/spec/strategies", json!({}), "strategies: at least one must be given"),
        ("/spec/strategies", json!(strategies), "must have at most 32 items"),
        ("/spec/strategies", json!({"slow": {"steps": []}}), "at least 1 items"),
        ("/spec/strategies", json!({"slow": {}}), REQUIRED),
        ("/spec/strategies", json!({"slow": {"steps": many}}), "must have at most 16 items"),
        ("/spec/strategies", json!({"slow": {"priority": "urgent", "steps": [{"action": "notify"}]}}), CHOICE),
    ];
    cases.extend(steps());
    let client = cluster.client("admin").await?;
    check(client.clone(), &namespace, "RemediationPolicy", "remediationpolicies", &policy(), &cases).await?;
    let mut observing = policy();
    super::put(&mut observing, "/mode", &json!("observe"));
    super::put(&mut observing, "/executor", &Value::Null);
    let suggesting: Vec<Case> = vec![("/spec/mode", json!("suggest"), EXECUTOR), ("/spec/mode", Value::Null, EXECUTOR)];
    check(client, &namespace, "RemediationPolicy", "remediationpolicies", &observing, &suggesting).await
}
