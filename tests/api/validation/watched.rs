//! Baseline and AnomalyRule.

use anyhow::Result;
use dbmedic_test_support::{Cluster, shop};
use serde_json::{Value, json};

use super::{Case, TYPE, check};

const CHOICE: &str = "Unsupported value";
const REQUIRED: &str = "Required value";
const UNKNOWN: &str = "field not declared in schema";
const INTERVAL: &str = "must be between 1s and 1h";
const WINDOW: &str = "collection.window must be between 7d and 30d";

fn baseline() -> Value {
    json!({
        "engine": "postgresql",
        "pods": {"selector": {"matchLabels": {"app": "db"}}, "port": 5432},
        "connection": {"database": "orders", "secretRef": {"name": "monitor"}, "tls": "prefer"},
        "collection": {"interval": "10s", "statementsInterval": "1m", "window": "14d"},
        "customMetrics": [{"name": "custom_queue", "query": "select 1", "unit": "jobs", "minimum": 0}],
    })
}

#[tokio::test]
async fn baselines() -> Result<()> {
    let cluster = Cluster::shared().await?;
    shop::install(cluster).await?;
    let namespace = cluster.namespace("validation").await?;
    let metric = |name: &str| json!({"name": name, "query": "select 1"});
    let mut cases: Vec<Case> = vec![
        ("/spec/unknown", json!(1), UNKNOWN),
        ("/spec/pods/unknown", json!(1), UNKNOWN),
        ("/spec/connection/password", json!("secret"), UNKNOWN),
        ("/spec/engine", json!("mysql"), CHOICE),
        ("/spec/engine", json!("PostgreSQL"), CHOICE),
        ("/spec/engine", Value::Null, REQUIRED),
        ("/spec/pods", Value::Null, REQUIRED),
        ("/spec/pods/selector", Value::Null, REQUIRED),
        ("/spec/pods/port", json!(0), "greater than or equal to 1"),
        ("/spec/pods/port", json!(1), ""),
        ("/spec/pods/port", json!(65_535), ""),
        ("/spec/pods/port", json!(65_536), "less than or equal to 65535"),
        ("/spec/pods/port", json!("5432"), TYPE),
        ("/spec/pods/port", Value::Null, ""),
        ("/spec/connection", Value::Null, REQUIRED),
        ("/spec/connection/database", json!(""), "at least 1 chars"),
        ("/spec/connection/database", json!("d".repeat(63)), ""),
        ("/spec/connection/database", json!("d".repeat(64)), "Too long"),
        ("/spec/connection/secretRef", Value::Null, REQUIRED),
        ("/spec/connection/secretRef", json!({}), REQUIRED),
        ("/spec/connection/secretRef/name", json!(""), "at least 1 chars"),
        ("/spec/connection/secretRef/namespace", json!("other"), UNKNOWN),
        ("/spec/connection/tls", json!("verify-full"), ""),
        ("/spec/connection/tls", json!("verify-ca"), CHOICE),
        ("/spec/connection/tls", json!(true), TYPE),
        ("/spec/collection", Value::Null, ""),
        ("/spec/collection/window", json!("6d"), WINDOW),
        ("/spec/collection/window", json!("7d"), ""),
        ("/spec/collection/window", json!("30d"), ""),
        ("/spec/collection/window", json!("31d"), WINDOW),
        ("/spec/collection/window", json!("07d"), WINDOW),
        ("/spec/collection/window", json!("336h"), WINDOW),
        ("/spec/collection/window", json!("14"), "should match"),
        ("/spec/collection/window", json!(14), TYPE),
        ("/spec/refresh", json!("weekly"), ""),
        ("/spec/refresh", json!("hourly"), CHOICE),
        ("/spec/statistics", json!({"seasonality": []}), ""),
        ("/spec/statistics", json!({"seasonality": ["daily"]}), ""),
        ("/spec/statistics", json!({"seasonality": ["daily", "daily"]}), "each season may be named once"),
        ("/spec/statistics", json!({"seasonality": ["monthly"]}), CHOICE),
        ("/spec/collection", json!({"interval": "2m", "statementsInterval": "119s"}), "must not be shorter"),
        ("/spec/statistics", json!({"seasonality": ["daily", "weekly", "daily"]}), "must have at most 2 items"),
        ("/spec/statistics", json!({"outlierRemoval": "yes"}), TYPE),
        ("/spec/customMetrics", json!([]), ""),
        ("/spec/customMetrics/0/name", json!("queue"), "should match"),
        ("/spec/customMetrics/0/name", json!("custom_"), "should match"),
        ("/spec/customMetrics/0/name", json!("custom_Queue"), "should match"),
        ("/spec/customMetrics/0/name", json!("custom_queue-1"), "should match"),
        ("/spec/customMetrics/0/query", json!(""), "at least 1 chars"),
        ("/spec/customMetrics/0/query", Value::Null, REQUIRED),
        ("/spec/customMetrics/0/minimum", json!(0.5), TYPE),
        ("/spec/customMetrics", json!([metric("custom_a"), metric("custom_b")]), ""),
        ("/spec/customMetrics", json!([metric("custom_a"), metric("custom_a")]), "customMetrics: names must be unique"),
        (
            "/spec/customMetrics",
            json!((0..33).map(|number| metric(&format!("custom_{number}"))).collect::<Vec<_>>()),
            "must have at most 32 items",
        ),
    ];
    for pointer in ["/spec/collection/interval", "/spec/collection/statementsInterval"] {
        for good in ["1s", "59s", "1m", "60m", "3600s", "1h"] {
            cases.push(("/spec/collection", json!({"interval": good, "statementsInterval": good}), ""));
        }
        for bad in ["0s", "999ms", "1000ms", "61m", "3601s", "2h", "1d"] {
            cases.push((pointer, json!(bad), INTERVAL));
        }
        for bad in ["10", "10 s", "1.5s", "-5s", "", "ten", "1m30s"] {
            cases.push((pointer, json!(bad), "should match"));
        }
        cases.push((pointer, json!(10), TYPE));
    }
    check(cluster.client("admin").await?, &namespace, "Baseline", "baselines", &baseline(), &cases).await
}

fn rule() -> Value {
    json!({
        "baselineRef": {"name": "orders"},
        "detect": {"metric": "response_time", "sigma": {"above": 3}},
        "for": "5m",
        "severity": "high",
        "confidence": 90,
        "remediate": {"policyRef": {"name": "standard"}, "strategy": "slow_query"},
    })
}

#[tokio::test]
async fn anomaly_rules() -> Result<()> {
    const ONE: &str = "detect: exactly one of sigma, limit must be given";
    const SIDE: &str = "at least one of above, below must be given";
    const SIGMA: &str = "must be numbers greater than 0";
    const LIMIT: &str = "must be numbers with an optional unit";
    let cluster = Cluster::shared().await?;
    shop::install(cluster).await?;
    let namespace = cluster.namespace("validation").await?;
    let mut cases: Vec<Case> = vec![
        ("/spec/unknown", json!(1), UNKNOWN),
        ("/spec/detect/window", json!("5m"), UNKNOWN),
        ("/spec/baselineRef", Value::Null, REQUIRED),
        ("/spec/baselineRef/name", json!(""), "at least 1 chars"),
        ("/spec/detect", Value::Null, REQUIRED),
        ("/spec/detect/metric", Value::Null, REQUIRED),
        ("/spec/detect/metric", json!("respons_time"), "detect.metric: allowed are"),
        ("/spec/detect/metric", json!("Response_Time"), "detect.metric: allowed are"),
        ("/spec/detect/metric", json!(""), "detect.metric: allowed are"),
        ("/spec/detect/metric", json!("custom_queue_length"), ""),
        ("/spec/detect/metric", json!("custom_"), "detect.metric: allowed are"),
        ("/spec/detect/metric", json!("custom_Queue"), "detect.metric: allowed are"),
        ("/spec/detect/metric", json!("mycustom_queue"), "detect.metric: allowed are"),
        ("/spec/detect", json!({"metric": "response_time"}), ONE),
        ("/spec/detect/limit", json!({"above": "500ms"}), ONE),
        ("/spec/detect", json!({"metric": "response_time", "limit": {"above": "500ms"}}), ""),
        ("/spec/detect/sigma", json!({}), SIDE),
        ("/spec/detect/sigma", json!({"above": 3, "below": 3}), ""),
        ("/spec/detect/sigma", json!({"below": "2.5"}), ""),
        ("/spec/detect/sigma/upper", json!(1), UNKNOWN),
        ("/spec/detect", json!({"metric": "response_time", "limit": {}}), SIDE),
        ("/spec/for", json!("0s"), ""),
        ("/spec/for", json!("5"), "should match"),
        ("/spec/for", json!("5 minutes"), "should match"),
        ("/spec/for", Value::Null, ""),
        ("/spec/resolveAfter", json!("10m"), ""),
        ("/spec/resolveAfter", json!("soon"), "should match"),
        ("/spec/severity", json!("urgent"), CHOICE),
        ("/spec/severity", json!("High"), CHOICE),
        ("/spec/severity", json!("critical"), ""),
        ("/spec/confidence", json!(0), ""),
        ("/spec/confidence", json!(100), ""),
        ("/spec/confidence", json!(-1), "greater than or equal to 0"),
        ("/spec/confidence", json!(101), "less than or equal to 100"),
        ("/spec/confidence", json!("90"), TYPE),
        ("/spec/confidence", json!(99.5), TYPE),
        ("/spec/sensitivity", json!("low"), ""),
        ("/spec/sensitivity", json!("extreme"), CHOICE),
        ("/spec/remediate", Value::Null, ""),
        ("/spec/remediate/policyRef", Value::Null, REQUIRED),
        ("/spec/remediate/strategy", Value::Null, REQUIRED),
        ("/spec/remediate/strategy", json!(""), "at least 1 chars"),
        ("/spec/remediate/strategy", json!("s".repeat(64)), "Too long"),
    ];
    for metric in dbmedic::measure::BUILT_IN {
        cases.push(("/spec/detect/metric", json!(metric.name), ""));
    }
    for side in ["/spec/detect/sigma/above", "/spec/detect/sigma/below"] {
        for good in [json!(1), json!(3), json!(1_000_000), json!("3"), json!("2.5"), json!("0.5")] {
            cases.push((side, good, ""));
        }
        for bad in [
            json!(0),
            json!(-3),
            json!("0"),
            json!("0.0"),
            json!("-1"),
            json!("three"),
            json!("1e3"),
            json!(""),
            json!("3%"),
        ] {
            cases.push((side, bad, SIGMA));
        }
        cases.push((side, json!(2.5), TYPE));
    }
    let limit = |value: Value| json!({"metric": "response_time", "limit": {"above": value}});
    for good in [json!(85), json!(-1), json!("500ms"), json!("85%"), json!("10GiB"), json!("0.5"), json!("12.5 ms")] {
        cases.push(("/spec/detect", limit(good), ""));
    }
    for bad in [json!("high"), json!(""), json!("%"), json!("1,5"), json!("5ms!")] {
        cases.push(("/spec/detect", limit(bad), LIMIT));
    }
    check(cluster.client("admin").await?, &namespace, "AnomalyRule", "anomalyrules", &rule(), &cases).await
}
