//! AnomalyException.

use anyhow::Result;
use dbmedic_test_support::{Cluster, shop};
use serde_json::{Value, json};

use super::{Case, TYPE, check};

const UNKNOWN: &str = "field not declared in schema";
const REQUIRED: &str = "Required value";
const WHEN: &str = "exactly one of schedule, dates must be given";
const WHAT: &str = "exactly one of suppress: true, expect must be given";
const DURATION: &str = "duration: required with a schedule without an end";
const LOAD: &str = "expect: values are a factor such as 10x";

#[tokio::test]
async fn exceptions() -> Result<()> {
    let cluster = Cluster::shared().await?;
    shop::install(cluster).await?;
    let namespace = cluster.namespace("validation").await?;
    let maintenance = json!({"baselineRef": {"name": "orders"}, "schedule": "Sun 03:00-04:00", "suppress": true});
    let dates = json!([{"from": "2026-11-27", "to": "2026-11-30T12:00:00Z"}]);
    let cases: Vec<Case> = vec![
        ("/spec/unknown", json!(1), UNKNOWN),
        ("/spec/baselineRef", Value::Null, REQUIRED),
        ("/spec/schedule", Value::Null, WHEN),
        ("/spec/dates", dates.clone(), WHEN),
        ("/spec/duration", json!("1h"), DURATION),
        ("/spec/schedule", json!("1st 02:00"), DURATION),
        ("/spec/schedule", json!("0 2 1 * *"), DURATION),
        ("/spec/schedule", json!("Mon-Fri 09:00-17:00"), ""),
        ("/spec/schedule", json!(""), "at least 1 chars"),
        ("/spec/schedule", json!("s".repeat(129)), "Too long"),
        ("/spec/suppress", json!(false), WHAT),
        ("/spec/suppress", Value::Null, WHAT),
        ("/spec/suppress", json!("yes"), TYPE),
        ("/spec/expect", json!({"throughput": "10x"}), WHAT),
        ("/spec/metrics", json!(["throughput"]), ""),
        ("/spec/metrics", json!([]), "at least 1 items"),
        ("/spec/rules", json!(["slow"]), ""),
        ("/spec/rules", json!([""]), "at least 1 chars"),
        ("/spec/pods", json!(["orders-db-0"]), ""),
        ("/spec/timeZone", json!("Europe/Berlin"), ""),
        ("/spec/timeZone", json!("z".repeat(65)), "Too long"),
    ];
    let client = cluster.client("admin").await?;
    check(client.clone(), &namespace, "AnomalyException", "anomalyexceptions", &maintenance, &cases).await?;

    let batch = json!({
        "baselineRef": {"name": "orders"}, "schedule": "1st 02:00", "duration": "1h", "expect": {"throughput": "10x"},
    });
    let mut cases: Vec<Case> = vec![
        ("/spec/duration", Value::Null, DURATION),
        ("/spec/duration", json!("an hour"), "should match"),
        ("/spec/suppress", json!(true), WHAT),
        ("/spec/suppress", json!(false), ""),
        ("/spec/expect", Value::Null, WHAT),
        ("/spec/expect", json!({}), "at least 1 properties"),
        ("/spec/expect", json!({"CPU": "2x"}), "expect: keys are names of metrics"),
        ("/spec/metrics", json!(["throughput"]), "metrics: only with suppress"),
    ];
    for good in
        [json!("10x"), json!("1.5x"), json!(50), json!("95%"), json!("200ms"), json!("100ms..400ms"), json!("1..2")]
    {
        cases.push(("/spec/expect/throughput", good, ""));
    }
    for bad in [json!("much"), json!("x"), json!(""), json!("1,5x"), json!("1..2..3"), json!("..5")] {
        cases.push(("/spec/expect/throughput", bad, LOAD));
    }
    check(client.clone(), &namespace, "AnomalyException", "anomalyexceptions", &batch, &cases).await?;

    let sale = json!({"baselineRef": {"name": "orders"}, "dates": dates, "expect": {"throughput": "10x"}});
    let cases: Vec<Case> = vec![
        ("/spec/duration", json!("1h"), "duration: not allowed with dates"),
        ("/spec/dates", json!([]), "at least 1 items"),
        ("/spec/dates/0/to", Value::Null, REQUIRED),
        ("/spec/dates/0/from", json!("soon"), "at least 10 chars"),
    ];
    check(client, &namespace, "AnomalyException", "anomalyexceptions", &sale, &cases).await
}
