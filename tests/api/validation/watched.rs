//! Baseline and AnomalyRule.

use anyhow::Result;
use dbmedic_test_support::{Cluster, shop, workspace};
use serde_json::{Value, json};

use super::{Case, TYPE, check};

const CHOICE: &str = "Unsupported value";
const REQUIRED: &str = "Required value";
const UNKNOWN: &str = "field not declared in schema";
const INTERVAL: &str = "must be between 1s and 1h";
const SIDE: &str = "at least one of above, below must be given";
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
        ("/spec/refresh", json!("30 2 * * 1"), ""),
        ("/spec/refresh", json!("hourly"), "should match"),
        ("/spec/refresh", json!("30 2 * *"), "should match"),
        ("/spec/statistics", json!({"timeZone": "Europe/Berlin"}), ""),
        ("/spec/statistics", json!({"timeZone": "Europe Berlin"}), "should match"),
        ("/spec/statistics", json!({"timeZone": ""}), "should be at least 1 chars long"),
        ("/spec/statistics", json!({"seasonality": []}), ""),
        ("/spec/statistics", json!({"seasonality": ["daily"]}), ""),
        ("/spec/statistics", json!({"seasonality": ["daily", "daily"]}), "each season may be named once"),
        ("/spec/statistics", json!({"seasonality": ["monthly"]}), CHOICE),
        ("/spec/collection", json!({"interval": "2m", "statementsInterval": "119s"}), "must not be shorter"),
        ("/spec/statistics", json!({"seasonality": ["daily", "weekly", "daily"]}), "must have at most 2 items"),
        ("/spec/statistics", json!({"outlierRemoval": "yes"}), TYPE),
        ("/spec/statistics", json!({"confidence": "0.95"}), ""),
        ("/spec/statistics", json!({"confidence": "0.9999"}), ""),
        ("/spec/statistics", json!({"confidence": "0.99991"}), "statistics.confidence: must be a share between"),
        ("/spec/statistics", json!({"confidence": "0.4"}), "statistics.confidence: must be a share between"),
        ("/spec/statistics", json!({"confidence": "95%"}), "statistics.confidence: must be a share between"),
        ("/spec/statistics", json!({"confidence": 1}), "statistics.confidence: must be a share between"),
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
    const ONE: &str = "detect: exactly one of sigma, limit, trend,";
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
        ("/spec/detect/metric", Value::Null, "detect.metric: is required with this detector"),
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
        ("/spec/resolveAfter", json!("30d"), ""),
        ("/spec/resolveAfter", json!("31d"), "resolveAfter must be at most 30d"),
        ("/spec/for", json!("720h"), ""),
        ("/spec/for", json!("721h"), "for must be at most 30d"),
        ("/spec/for", json!("99999999999d"), "for must be at most 30d"),
        ("/spec/severity", json!("urgent"), CHOICE),
        ("/spec/severity", json!("High"), CHOICE),
        ("/spec/severity", json!("critical"), ""),
        ("/spec/confidence", json!(0), ""),
        ("/spec/confidence", json!(100), ""),
        ("/spec/confidence", json!("99.9"), ""),
        ("/spec/confidence", json!(-1), "between 0 and 100"),
        ("/spec/confidence", json!(101), "between 0 and 100"),
        ("/spec/confidence", json!("100.1"), "between 0 and 100"),
        ("/spec/confidence", json!("90%"), "between 0 and 100"),
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
    cases.extend(of_other_detectors());
    check(cluster.client("admin").await?, &namespace, "AnomalyRule", "anomalyrules", &rule(), &cases).await?;
    for file in std::fs::read_dir(workspace().join("examples/rules"))? {
        let text = std::fs::read_to_string(file?.path())?;
        let here = text.replace("namespace: shop", &format!("namespace: {namespace}"));
        cluster.apply_yaml(&here, &namespace).await?;
    }
    Ok(())
}

fn of_other_detectors() -> Vec<Case> {
    const OVER: &str = "must be between 1h and 30d";
    const DEGRADED: &str = "detect.degradation.";
    let on = |name: &str, value: Value| json!({"metric": "response_time", name: value});
    let mut cases: Vec<Case> = Vec::new();
    for (name, value, expected) in [
        ("trend", json!({}), ""),
        ("trend", json!({"direction": "decreasing", "above": "5 ms/day", "over": "7d"}), ""),
        ("trend", json!({"above": "10%/hour", "over": "720h"}), ""),
        ("trend", json!({"above": "0.5MB/s/week"}), ""),
        ("trend", json!({"above": "10%"}), "detect.trend.above: must be a number"),
        ("trend", json!({"above": "-1%/hour"}), "detect.trend.above: must be a number"),
        ("trend", json!({"above": "10%/fortnight"}), "detect.trend.above: must be a number"),
        ("trend", json!({"over": "30m"}), OVER),
        ("trend", json!({"over": "31d"}), OVER),
        ("trend", json!({"direction": "up"}), CHOICE),
        ("degradation", json!({}), ""),
        ("degradation", json!({"worse": "below", "by": 5, "over": "30d", "limit": "100ms"}), ""),
        ("degradation", json!({"by": "0.5%"}), ""),
        ("degradation", json!({"by": "much"}), DEGRADED),
        ("degradation", json!({"by": 0}), DEGRADED),
        ("degradation", json!({"over": "2d"}), DEGRADED),
        ("degradation", json!({"over": "72h"}), DEGRADED),
        ("degradation", json!({"limit": "soon"}), DEGRADED),
        ("degradation", json!({"worse": "up"}), CHOICE),
        ("forecast", json!({}), SIDE),
        ("forecast", json!({"above": "100GiB", "within": "48h", "probability": 80}), ""),
        ("forecast", json!({"above": "100GiB", "within": "60d"}), "detect.forecast.within: must be between 1h and 30d"),
        ("forecast", json!({"above": 5, "probability": 0}), "greater than or equal to 1"),
        ("forecast", json!({"above": 5, "probability": 100}), "less than or equal to 99"),
        ("pattern", json!({}), ""),
        ("peers", json!({}), ""),
        ("peers", json!({"above": 0}), "detect.peers: above and below must be numbers greater than 0"),
        ("expression", json!("current > 5"), ""),
        ("expression", json!(""), "at least 1 chars"),
        ("expression", json!("x".repeat(2_049)), "Too long"),
        ("multivariate", json!({}), "multivariate and queryMix have metrics of their own"),
        ("queryMix", json!({}), "multivariate and queryMix have metrics of their own"),
    ] {
        cases.push(("/spec/detect", on(name, value), expected));
    }
    for (detect, expected) in [
        (json!({"multivariate": {}}), ""),
        (json!({"multivariate": {"metrics": ["throughput", "response_time"]}}), ""),
        (json!({"multivariate": {"metrics": ["throughput"]}}), "at least two metrics"),
        (json!({"multivariate": {"metrics": ["throughput", "throughput"]}}), "each metric may be named once"),
        (json!({"queryMix": {}}), ""),
        (json!({"queryMix": {"divergence": "0.5", "over": "30m"}}), ""),
        (json!({"queryMix": {"divergence": "0"}}), "detect.queryMix.divergence: must be a number"),
        (json!({"queryMix": {"over": "5m"}}), "detect.queryMix.over: must be between 10m and 24h"),
        (json!({"queryMix": {"over": "25h"}}), "detect.queryMix.over: must be between 10m and 24h"),
        (json!({"expression": "metrics.throughput > 5"}), ""),
        (json!({"pattern": {}}), "detect.metric: is required with this detector"),
    ] {
        cases.push(("/spec/detect", detect, expected));
    }
    cases
}
